"""What flows between encoder, bridge and LLM: three small containers of tensors.

Knows shapes; does not know who made the values. It is a file of its own, below `encoders` and `bridge`, because both
need it and neither may import the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Features:
    """What an encoder reads.

    Args:
        values: (B, F, M) float, feature bins by feature frames (or (B, 1, S) for waveforms), zero beyond each clip.
        n_samples: (B,) int64, samples of each clip at the encoder's own rate.
        durations_s: (B,) float64, seconds of each clip as given.
    """

    values: torch.Tensor
    n_samples: torch.Tensor
    durations_s: torch.Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Features":
        """The same features on a device; lengths and durations stay on the CPU."""
        return Features(self.values.to(device=device, dtype=dtype), self.n_samples, self.durations_s)


@dataclass(frozen=True, eq=False)
class Frames:
    """An encoder's output.

    Args:
        values: (B, T, D) float; rows past ``lengths`` hold anything and must be masked by the reader.
        lengths: (B,) int64 on the CPU, valid frames.
        rate_hz: frames per second.
        durations_s: (B,) float64 on the CPU, seconds of each clip that lie in its frames: all, or less where an encoder
            drops what fills no whole frame, as published.
    """

    values: torch.Tensor
    lengths: torch.Tensor
    rate_hz: float
    durations_s: torch.Tensor


@dataclass(frozen=True, eq=False)
class AudioTokens:
    """A bridge's output: the vectors that the LLM reads.

    Args:
        values: (B, N, E) float; rows past ``lengths`` are zero.
        lengths: (B,) int64 on the CPU, valid tokens.
        spans_s: (B, N, 2) float64 on the CPU, start and end second of each token; the valid ones cover the clip from 0
            to the frames' duration without a hole, except for what ``tail_s`` says was dropped.
        tail_s: (B,) float64 on the CPU, seconds at the end of each clip that no token holds (a published layout's
        drop).
    """

    values: torch.Tensor
    lengths: torch.Tensor
    spans_s: torch.Tensor
    tail_s: torch.Tensor


def between(values: torch.Tensor, lengths: torch.Tensor, times: int) -> torch.Tensor:
    """Each frame as ``times`` moments, on straight lines between the middles of neighbours; no row reads past its end.

    Args:
        values: (B, T, D) float.
        lengths: (B,) int64, valid frames of each row.
        times: moments in a frame; 1 changes nothing.

    Returns:
        (B, times * T, D); what stands past ``times * lengths`` means nothing.
    """
    if times == 1:
        return values
    n, t, d = values.shape
    at = torch.arange(t, device=values.device)
    last = (lengths.to(values.device) - 1).clamp(min=0)[:, None]
    before = (at - 1).clamp(min=0).expand(n, t).minimum(last)[..., None].expand(n, t, d)
    after = (at + 1).expand(n, t).minimum(last)[..., None].expand(n, t, d)
    moments = []
    for i in range(times):
        share = (i + 0.5) / times - 0.5  # of a frame, from its middle
        moments.append(values + abs(share) * (values.gather(1, before if share < 0 else after) - values))
    return torch.stack(moments, dim=2).flatten(1, 2)  # (B, T, times, D) -> (B, times * T, D)


def stacked(rows: Sequence[np.ndarray], n_samples: Sequence[int], durations_s: Sequence[float]) -> Features:
    """Features (F, M) of clips of any length as one batch: values (B, F, M), zero-padded to the longest."""
    values = np.zeros((len(rows), rows[0].shape[0], max(row.shape[1] for row in rows)), np.float32)
    for into, row in zip(values, rows, strict=True):
        into[:, : row.shape[1]] = row
    return Features(
        torch.from_numpy(values),
        torch.tensor(n_samples, dtype=torch.int64),
        torch.tensor(durations_s, dtype=torch.float64),
    )


def side_by_side(several: Sequence[Features]) -> Features:
    """Features of several batches as one, zero-padded to the longest."""
    n = max(one.values.shape[-1] for one in several)
    values = [nn.functional.pad(one.values, (0, n - one.values.shape[-1])) for one in several]
    return Features(
        torch.cat(values),
        torch.cat([one.n_samples for one in several]),
        torch.cat([one.durations_s for one in several]),
    )


def sample_of(part: Any, default: torch.Tensor) -> torch.Tensor:
    """A weight or buffer of an encoder or a bridge, whose device and dtype its input must have; ``default`` where it
    has none."""
    held = chain(*(getattr(part, name, tuple)() for name in ("parameters", "buffers")))
    return next((one for one in held if one.is_floating_point()), default)


def length_mask(lengths: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n) bool, True where a position is valid."""
    return torch.arange(n)[None, :] < lengths[:, None]
