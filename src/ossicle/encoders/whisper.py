"""A Whisper encoder that computes only the frames that hold audio.

Knows clips, log-mel features and frames; does not know bridges or LLMs. The published class insists on 30 s of input;
here its own layers run on the clip's length, with padding masked as keys, which equals the padded and masked run
exactly as long as two log-mel frames beyond the clip go into the convolutions. Source: Radford et al. 2022, section
2.2; layers and weight names of `transformers`' WhisperEncoder; the released Ultravox processor for ``chunks``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as Tower

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.features import log_mel
from ossicle.audio.lengths import MEL_HOP, chunk_frames, mel_frames, whisper_frames
from ossicle.errors import EncoderError
from ossicle.tensors import Features, Frames, length_mask, stacked

HALO = 2
"""Log-mel frames beyond the clip that its last frame sees through the two convolutions."""


@dataclass(frozen=True)
class WhisperSettings:
    """Sizes of a Whisper encoder.

    ``final_norm`` applies the tower's closing LayerNorm to the frames; Qwen2-Audio's order (pool, then LayerNorm)
    needs it off, the bridge then norms. ``window`` computes every clip in the whole window of ``max_frames``, its
    silence included and not masked, as the published Whisper was trained and runs; only the clip's own frames are kept.
    Without it, frames change (nothing attends to silence) and a short clip costs what it is long. ``chunks`` hears as
    the Ultravox layout does: a clip ends with its last log-mel frame, mirrored there as at its start, and a longer one
    is made log-mel with one peak for all of it, then cut every ``2 * max_frames`` of its frames, wherever that falls.
    """

    width: int = 256
    layers: int = 4
    heads: int = 4
    ffn: int = 1024
    n_mels: int = 80
    max_frames: int = 1500
    final_norm: bool = True
    dropout: float = 0.0
    window: bool = False
    chunks: bool = False


class WhisperEncoder(nn.Module):
    """Log-mel features to 50 frames a second.

    Args:
        settings: the sizes.

    Raises:
        EncoderError: a width that the heads do not divide, or both ``window`` and ``chunks``.
    """

    rate_hz = SAMPLE_RATE / (2 * MEL_HOP)
    sample_rate = SAMPLE_RATE

    def __init__(self, settings: WhisperSettings) -> None:
        super().__init__()
        if settings.width % settings.heads:
            raise EncoderError(f"width {settings.width} is not a multiple of {settings.heads} heads")
        if settings.window and settings.chunks:
            raise EncoderError(
                "window and chunks exclude each other: a clip is padded to a window, or ends where it ends"
            )
        self.settings = settings
        self.chunks = settings.chunks
        self.width = settings.width
        self.max_samples = settings.max_frames * 2 * MEL_HOP
        config = WhisperConfig(
            d_model=settings.width,
            encoder_layers=settings.layers,
            encoder_attention_heads=settings.heads,
            encoder_ffn_dim=settings.ffn,
            num_mel_bins=settings.n_mels,
            max_source_positions=settings.max_frames,
            dropout=settings.dropout,
        )
        config._attn_implementation = "sdpa"
        self.tower = Tower(config)
        if not settings.final_norm:
            self.tower.layer_norm = nn.Identity()

    def n_frames(self, n_samples: int) -> int:
        """Frames for ``n_samples`` at 16 kHz."""
        return whisper_frames(n_samples)

    def features(self, clips: Sequence[Clip]) -> Features:
        """Log-mel features of clips of any rate, each with its own peak, zero-padded to the longest.

        Args:
            clips: at least one; none longer than ``max_samples`` after resampling to 16 kHz.

        Returns:
            values (B, n_mels, M), M = the longest clip's frames and its halo.

        Raises:
            EncoderError: no clip, or one that is longer than the encoder's positions.
        """
        if not clips:
            raise EncoderError("an encoder needs at least one clip, got none")
        at_16k = [clip.at(SAMPLE_RATE) for clip in clips]
        longest = max(clip.n_samples for clip in at_16k)
        if longest > self.max_samples:
            raise EncoderError(
                f"a clip of {longest / SAMPLE_RATE:.2f} s is longer than the {self.max_samples / SAMPLE_RATE:g} s that "
                "this encoder has positions for: split it into windows"
            )
        mels = [self._log_mel(clip.samples) for clip in at_16k]
        return stacked(mels, [clip.n_samples for clip in at_16k], [clip.duration_s for clip in clips])

    def windows(self, clip: Clip) -> list[tuple[Clip, Features]]:
        """A clip of any length and rate in the layout's chunks, which share one peak: pieces that follow each other at
        16 kHz, each with its features (1, n_mels, M). Only for an encoder with ``chunks``.
        """
        at_16k, size = clip.at(SAMPLE_RATE), self.max_samples
        mel, found = self._log_mel(at_16k.samples), []
        for i, n in enumerate(chunk_frames(at_16k.n_samples, 2 * self.settings.max_frames)):
            start_s = i * size / SAMPLE_RATE
            samples = at_16k.samples[i * size : (i + 1) * size]
            values = mel[:, 2 * i * self.settings.max_frames :][:, :n]
            if i and n % 2:  # the layout pads what follows a whole chunk with zeros, of which the last frame sees one
                values, n = np.pad(values, ((0, 0), (0, 1))), n + 1
            seconds = min(size / SAMPLE_RATE, clip.duration_s - start_s)
            found.append(
                (Clip(samples, SAMPLE_RATE, clip.start_s + start_s), stacked([values], [n * MEL_HOP], [seconds]))
            )
        return found

    def _log_mel(self, samples: np.ndarray) -> np.ndarray:
        """(n_mels, M) of samples at 16 kHz, with what follows them."""
        if self.settings.chunks:
            samples = np.pad(samples, (0, max(0, 2 * MEL_HOP - len(samples))))
        return log_mel(samples, n_mels=self.settings.n_mels, halo=self.halo(len(samples)))

    def halo(self, n_samples: int) -> int:
        """Log-mel frames beyond a clip: two, or as many as fill the window; none past the last position, where the
        published extractor ends, and none where a clip ends with its last frame."""
        if self.settings.chunks:
            return 0
        if self.settings.window:
            return 2 * self.settings.max_frames - mel_frames(n_samples)
        return min(HALO, 2 * self.settings.max_frames - mel_frames(n_samples))

    def forward(self, features: Features) -> Frames:
        """Frames of a batch.

        Args:
            features: values (B, n_mels, M) as `features` makes them.

        Returns:
            values (B, T, D) with T the longest clip's frames.
        """
        tower = self.tower
        lengths = torch.tensor([whisper_frames(n) for n in features.n_samples.tolist()], dtype=torch.int64)
        n = self.settings.max_frames if self.settings.window else int(lengths.max())
        hidden = nn.functional.gelu(tower.conv1(features.values))  # (B, D, M)
        if self.settings.chunks:  # the second convolution sees zeros past a clip's end, as it does alone
            read = torch.tensor([sum(chunk_frames(n)) for n in features.n_samples.tolist()])
            hidden = hidden * length_mask(read, hidden.shape[-1])[:, None, :].to(hidden)
        hidden = nn.functional.gelu(tower.conv2(hidden))[:, :, :n]  # (B, D, T)
        hidden = hidden.permute(0, 2, 1) + tower.embed_positions.weight[:n]  # (B, T, D)
        mask = None
        if int(lengths.min()) < n and not self.settings.window:
            mask = length_mask(lengths, n)[:, None, None, :].expand(-1, 1, n, -1).to(hidden.device)  # keys only
        for layer in tower.layers:
            hidden = layer(hidden, mask)
        return Frames(tower.layer_norm(hidden[:, : int(lengths.max())]), lengths, self.rate_hz, features.durations_s)
