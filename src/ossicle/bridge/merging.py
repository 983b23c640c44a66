"""Merging: the most similar neighbours become one, again and again, until as many are left as were asked for.

Knows frames and how alike they are; learns nothing of where to merge. Frames are compared by their direction. A merge
costs what one mean for both would lose, the sum of squares inside, which for two frames is one minus their cosine. It
only grows as segments grow. So a boundary that is cheaper than both its neighbours falls before them, whatever happens
elsewhere: all such boundaries fall in one round, and the outcome is still that of one merge at a time.
Source: A-ToMe (arXiv 2306.16009) for merging adjacent frames by cosine; Ward 1963 for sums of squares. The whole sum in
place of what a merge adds to it, which among neighbours does not always grow (Grimm 1987), is the project's own.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_runs, check_width, run_lengths
from ossicle.bridge.segments import segment_means, segment_spans
from ossicle.tensors import AudioTokens, Frames, length_mask

GRID = 4096
"""Steps of cost per unit: frames that differ by rounding alone, as in digital silence, cost nothing at all."""
PLACES = 2**24
SPREAD = 10_368_889
"""Odd, the golden section of ``PLACES``: places times it are all different, and those of the largest lie evenly."""
NEVER = 2**62
"""Above every cost, and a number that floats hold exactly: paddings are handed over as floats."""


def _lost(means: torch.Tensor, sizes: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
    """The sum of squares about the joint mean of each pair of neighbours: (M, D), (M,), (M,) -> (M - 1,)."""
    apart = (means[1:] - means[:-1]).square_().sum(dim=1)
    return lost[1:] + lost[:-1] + apart * (sizes[1:] * sizes[:-1] / (sizes[1:] + sizes[:-1]))


def fall(units: torch.Tensor, walls: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """When each boundary between neighbours falls, if all are merged.

    Args:
        units: (M, D) float32, frames of length one, clip after clip.
        walls: (M - 1,) bool, boundaries between clips, which never fall.
        places: (M - 1,) int64, where in its clip a boundary lies; of two that cost the same this says which falls.

    Returns:
        (M - 1,) int64, no two of a clip alike; the smallest fall first. `NEVER` for walls.
    """
    means, sizes, lost = units.clone(), units.new_ones(len(units)), units.new_zeros(len(units))
    order = places * SPREAD % PLACES
    fell, here = torch.full_like(order, NEVER), torch.arange(len(order), device=units.device)
    while True:
        both = _lost(means, sizes, lost)
        dear = ((both * GRID).round().long() * PLACES + order[here]).masked_fill(walls[here], NEVER)
        around = functional.pad(dear, (1, 1), value=NEVER)
        low = (dear < around[:-2]) & (dear < around[2:])
        at = low.nonzero().squeeze(1)  # never two neighbours
        if not len(at):
            return fell
        fell[here[at]] = dear[at]
        share = (sizes[at + 1] / (sizes[at] + sizes[at + 1]))[:, None]
        means[at] = torch.lerp(means[at], means[at + 1], share)
        sizes[at] += sizes[at + 1]
        lost[at] = both[at]
        stay = torch.ones(len(sizes), dtype=torch.bool, device=low.device)
        stay[at + 1] = False
        means, sizes, lost, here = means[stay], sizes[stay], lost[stay], here[~low]


@torch.no_grad()
def begins(values: torch.Tensor, lengths: torch.Tensor, n_tokens: torch.Tensor) -> torch.Tensor:
    """Frames with which a segment begins, if neighbours of ``values`` (B, T, D) are merged to ``n_tokens`` (B,) each.

    Returns:
        (B, T) bool on the CPU.
    """
    valid = length_mask(lengths, values.shape[1])
    first = functional.pad(torch.zeros_like(valid[:, 1:]), (1, 0), value=True) & valid
    if not valid.any():
        return first
    place = torch.arange(values.shape[1]).expand_as(valid)[valid]  # (M,), of every frame in its clip
    units = functional.normalize(values[valid.to(values.device)].float(), dim=-1)  # (M, D)
    fell = torch.full(valid.shape, -1)
    joined = fall(units, (place[1:] == 0).to(units.device), place[1:].to(units.device))
    fell[valid] = functional.pad(joined.cpu(), (1, 0), value=NEVER)  # the boundary before each frame
    fell[first] = NEVER
    for row, n in enumerate(n_tokens.tolist()):
        first[row, fell[row].topk(n).indices] = True
    return first


class Merging(Runs, nn.Module):
    """Merge similar neighbours to ``ceil(T / k)`` segments, average each, then project to the LLM's width.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token on the average of each clip, >= 1.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k`` < 1, an unknown ``output_norm``, a width < 1.
    """

    kind: ClassVar[str] = "merging"
    streamable: ClassVar[bool] = False
    tail = "pool"

    def __init__(self, width_in: int, width_out: int, *, k: int = 4, output_norm: str = "rms") -> None:
        super().__init__()
        check_runs("Merging", widths=(width_in, width_out), k=k)
        self.width_in, self.width_out, self.k = width_in, width_out, k
        self.norm_in = nn.LayerNorm(width_in)
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "output_norm": self.output_norm,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E); a token's span is that of its frames.

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width("Merging", frames, self.width_in)
        lengths = run_lengths(frames.lengths, self.k, self.tail)
        n = int(lengths.max()) if len(lengths) else 0
        first = begins(frames.values, frames.lengths, lengths)
        ids = (first.cumsum(dim=1) - 1).masked_fill(~length_mask(frames.lengths, first.shape[1]), -1)
        values = self.norm_in(segment_means(frames.values, ids, n))  # (B, T, D) -> (B, N, D)
        valid = length_mask(lengths, n).to(values.device)
        values = self.output(values).masked_fill(~valid[..., None], 0)  # (B, N, D) -> (B, N, E)
        cuts = [row.nonzero().squeeze(1)[1:] for row in first]
        return AudioTokens(values, lengths, *segment_spans(frames, cuts, n))
