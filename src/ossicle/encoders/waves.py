"""What encoders of waveforms share: clips as one batch of equal length, and how far they must be padded.

Knows clips and the receptive field of a 20 ms frame; does not know layers. The wav2vec family frames speech without a
border: as published, the end of a clip lies in no frame. Here a clip is padded with zeros until its last sample is
inside one, so that nothing goes unheard; "drop" is the published rule.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import WAVE_HOP, wave_samples
from ossicle.errors import EncoderError
from ossicle.tensors import Features, length_mask

Tail = Literal["pad", "drop"]


def check_tail(tail: str) -> None:
    """Refuse a tail that no encoder has.

    Raises:
        EncoderError: neither "pad" nor "drop".
    """
    if tail not in get_args(Tail):
        raise EncoderError(f"an encoder does not know the tail {tail!r}: choose one of {', '.join(get_args(Tail))}")


def check_sizes(name: str, config: Any) -> None:
    """Refuse sizes that give no encoder.

    Raises:
        EncoderError: a width that the heads do not divide, or an adapter, whose place is the bridge's.
    """
    if config.hidden_size % config.num_attention_heads:
        raise EncoderError(
            f"{name}: width {config.hidden_size} is not a multiple of {config.num_attention_heads} heads"
        )
    if config.add_adapter:
        raise EncoderError(f"{name}: add_adapter is not supported: what shortens the frames here is the bridge")


def at_16k(clips: Sequence[Clip], max_samples: int) -> list[np.ndarray]:
    """The samples (S,) of clips at 16 kHz.

    Raises:
        EncoderError: no clip, or one of more than ``max_samples``.
    """
    if not clips:
        raise EncoderError("an encoder needs at least one clip, got none")
    waves = [clip.at(SAMPLE_RATE).samples for clip in clips]
    longest = max(len(wave) for wave in waves)
    if longest > max_samples:
        raise EncoderError(
            f"a clip of {longest / SAMPLE_RATE:.2f} s is longer than the {max_samples / SAMPLE_RATE:g} s that this "
            "encoder reads at once: split it into windows"
        )
    return waves


def fitted(wave: np.ndarray, n_samples: int) -> np.ndarray:
    """Exactly ``n_samples``: cut, or with zeros at the end."""
    return np.pad(wave[:n_samples], (0, max(0, n_samples - len(wave))))


def heard_s(encoder: Any, features: Features, field: int, hop: int = WAVE_HOP) -> torch.Tensor:
    """Seconds (B,) of each clip that lie in some frame of ``field`` samples, of which one begins every ``hop``: all but
    what tail "drop" leaves out."""
    if encoder.tail != "drop":
        return features.durations_s
    last = [wave_samples(encoder.n_frames(n), field, hop) for n in features.n_samples.tolist()]
    return torch.minimum(features.durations_s, torch.tensor(last, dtype=torch.float64) / SAMPLE_RATE)


def lengths_and_mask(encoder: Any, features: Features) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Frames of each clip (B,), and (B, T) bool with the valid ones, None where all are."""
    lengths = torch.tensor([encoder.n_frames(n) for n in features.n_samples.tolist()], dtype=torch.int64)
    n = int(lengths.max())
    if int(lengths.min()) == n:
        return lengths, None
    return lengths, length_mask(lengths, n).to(features.values.device)
