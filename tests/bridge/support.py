"""Random frames for the bridge tests."""

import torch

from ossicle.tensors import Frames


def random_frames(lengths: list[int], *, width: int = 6, rate_hz: float = 50.0, seed: int = 0, pad: int = 0) -> Frames:
    """Frames whose padding holds garbage, as an encoder may leave it."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(len(lengths), max(lengths, default=0) + pad, width, generator=generator)
    for row, n in enumerate(lengths):
        values[row, n:] = float("nan")
    lengths_tensor = torch.tensor(lengths, dtype=torch.int64)
    return Frames(values, lengths_tensor, rate_hz, lengths_tensor.double() / rate_hz)


def row_of(frames: Frames, row: int) -> Frames:
    """One clip of a batch, alone and without padding."""
    n = int(frames.lengths[row])
    one = slice(row, row + 1)
    return Frames(frames.values[one, :n], frames.lengths[one], frames.rate_hz, frames.durations_s[one])
