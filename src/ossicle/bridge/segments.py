"""Segments of neighbouring frames, each of its own length, become one token each: their means, their seconds.

Knows frames and where they are cut; does not know why. `runs` has the same for runs of a fixed length.
"""

from collections.abc import Sequence

import torch

from ossicle.tensors import Frames


def segment_means(values: torch.Tensor, ids: torch.Tensor, n: int) -> torch.Tensor:
    """Average the frames of each segment.

    Args:
        values: (B, T, D) float.
        ids: (B, T) int64, which of the clip's segments a frame belongs to; -1: none, and the frame is never read.
        n: segments of a clip at most.

    Returns:
        (B, n, D) of the same dtype, summed in float32; zero where a segment has no frame.
    """
    n_batch, _, width = values.shape
    ids = ids.to(values.device)
    inside = ids >= 0
    flat = (torch.arange(n_batch, device=ids.device)[:, None] * n + ids)[inside]  # (frames,)
    sums = torch.zeros(n_batch * n, width, device=values.device).index_add(0, flat, values[inside].float())
    counts = torch.bincount(flat, minlength=n_batch * n).clamp(min=1)
    return (sums / counts[:, None]).view(n_batch, n, width).to(values.dtype)  # (B * n, D) -> (B, n, D)


def segment_spans(frames: Frames, cuts: Sequence[torch.Tensor], n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end second of every segment, and the tails, of which nothing is lost.

    Args:
        frames: lengths, rate and durations are read.
        cuts: for each clip where one segment ends and the next begins, in frames from the first and in order; may lie
            inside a frame. A clip of c cuts has c + 1 segments, one of no frames has none.
        n: segments of a clip at most.

    Returns:
        Spans (B, n, 2) float64 that begin at 0, have no hole and end at the clip's duration, and tails (B,), all zero.
    """
    spans = torch.zeros(len(cuts), n, 2, dtype=torch.float64)
    rows = zip(cuts, frames.lengths.tolist(), frames.durations_s.tolist(), strict=True)
    for row, (inner, n_frames, duration_s) in enumerate(rows):
        if n_frames == 0:
            continue
        at = inner.double()
        last = n_frames - 1
        ends_s = at.clamp(max=last) / frames.rate_hz
        ends_s += (at - last).clamp(min=0) * (duration_s - last / frames.rate_hz)  # the last frame ends with the clip
        edges = torch.cat([at.new_zeros(1), ends_s.clamp(max=duration_s), at.new_full((1,), duration_s)])
        spans[row, : len(edges) - 1] = torch.stack([edges[:-1], edges[1:]], dim=-1)
    return spans, torch.zeros(len(cuts), dtype=torch.float64)
