"""A wav2vec 2.0 encoder: waveforms to 50 frames a second.

Knows clips, waveforms and frames; does not know bridges or LLMs. Layers and weight names of `transformers`'
Wav2Vec2Model. Where its first convolution norms over time (the base models), each clip goes through the convolutions
alone, because padding would change what the norm sees. Source: Baevski et al. 2020.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import WAVE_FIELD, WAVE_HOP, wave_frames, wave_samples
from ossicle.encoders.waves import Tail, at_16k, check_sizes, check_tail, fitted, heard_s, lengths_and_mask
from ossicle.errors import EncoderError
from ossicle.tensors import Features, Frames, stacked

EPSILON = 1e-7
"""Of the norm over a clip's samples, as the published extractor has it."""


class Wav2Vec2Encoder(nn.Module):
    """Waveforms to 50 frames a second.

    Args:
        config: of a ``Wav2Vec2Config``; what is not said has that class's value.
        normalize: bring each clip to mean 0 and variance 1, as ``do_normalize`` of the published extractor.
        tail: "pad" hears every sample, "drop" is the published rule.
        max_s: longest clip in seconds; what is longer goes through in windows.

    Raises:
        EncoderError: sizes that give no encoder, or a front end of other than 20 ms a frame.
    """

    rate_hz = SAMPLE_RATE / WAVE_HOP
    sample_rate = SAMPLE_RATE

    def __init__(
        self, config: Mapping[str, Any], *, normalize: bool = True, tail: Tail = "pad", max_s: float = 30.0
    ) -> None:
        super().__init__()
        self.config, self.normalize, self.tail, self.max_s = dict(config), normalize, tail, max_s
        made = Wav2Vec2Config(**self.config)
        check_tail(tail)
        check_sizes("wav2vec 2.0", made)
        _check_front_end(made)
        self.width = made.hidden_size
        self.max_samples = int(max_s * SAMPLE_RATE)
        made._attn_implementation = "sdpa"
        self.tower = Wav2Vec2Model(made)
        self._alone = made.feat_extract_norm == "group"

    def settings(self) -> dict[str, Any]:
        """What builds this encoder again."""
        return {"config": self.config, "normalize": self.normalize, "tail": self.tail, "max_s": self.max_s}

    def n_frames(self, n_samples: int) -> int:
        """Frames for ``n_samples`` at 16 kHz."""
        return wave_frames(n_samples, WAVE_FIELD, self.tail)

    def features(self, clips: Sequence[Clip]) -> Features:
        """Waveforms of clips of any rate, zero-padded to the longest.

        Args:
            clips: at least one, none longer than ``max_s``.

        Returns:
            values (B, 1, S), S the samples that the longest clip's frames need.

        Raises:
            EncoderError: no clip, or one that is too long.
        """
        waves = at_16k(clips, self.max_samples)
        rows = [fitted(_normal(wave) if self.normalize else wave, self._n_read(len(wave)))[None] for wave in waves]
        return stacked(rows, [len(one) for one in waves], [clip.duration_s for clip in clips])

    def _n_read(self, n_samples: int) -> int:
        """Samples that go into the convolutions: with "drop" also those that no frame sees, because a norm may."""
        return max(n_samples, wave_samples(self.n_frames(n_samples), WAVE_FIELD))

    def forward(self, features: Features) -> Frames:
        """Frames of a batch.

        Args:
            features: values (B, 1, S) as `features` makes them.

        Returns:
            values (B, T, D) with T the longest clip's frames.
        """
        lengths, mask = lengths_and_mask(self, features)
        waves = features.values[:, 0]  # (B, S)
        hidden, _ = self.tower.feature_projection(
            self._convolved(waves, features.n_samples)[:, : int(lengths.max())]
        )  # (B, T, D)
        values = self.tower.encoder(hidden, attention_mask=mask).last_hidden_state
        return Frames(values, lengths, self.rate_hz, heard_s(self, features, WAVE_FIELD))

    def _convolved(self, waves: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """(B, S) -> (B, T, C); frames past a clip's own hold anything."""
        front = self.tower.feature_extractor
        read = [self._n_read(n) for n in n_samples.tolist()]
        if not self._alone or len(set(read)) == 1:
            out: torch.Tensor = front(waves).transpose(1, 2)
            return out
        rows = [front(wave[None, :n])[0].T for wave, n in zip(waves, read, strict=True)]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _normal(wave: np.ndarray) -> np.ndarray:
    normed: np.ndarray = (wave - wave.mean()) / np.sqrt(wave.var() + EPSILON)
    return normed


def _check_front_end(config: Wav2Vec2Config) -> None:
    field, hop = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field, hop = field + (kernel - 1) * hop, hop * stride
    if (field, hop) != (WAVE_FIELD, WAVE_HOP):
        raise EncoderError(
            f"wav2vec 2.0: a frame of this config sees {field} samples every {hop}, supported are {WAVE_FIELD} every "
            f"{WAVE_HOP}"
        )
