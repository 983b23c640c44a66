"""Calibration: a bridge's tokens get the size that the LLM's own embeddings have.

Knows vectors, their norms and angles; does not know audio. Scale is hygiene, not alignment: it lets training start from
tokens that the LLM's residual stream neither drowns in nor overwrites. The functions below `calibrate` only measure.
Source: the norms of trained embedding tables against uncalibrated projectors (100 times as large in one public report).
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch
from torch.nn.functional import normalize

from ossicle.bridge.output import Output
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask

BLOCK = 8192
"""Embeddings whose cosines are computed at once."""


class Calibratable(Protocol):
    """A bridge that ends with an `Output`."""

    output: Output

    def __call__(self, frames: Frames) -> AudioTokens: ...


def calibratable(bridge: Any) -> TypeGuard[Calibratable]:
    """Whether a bridge ends with an `Output`; what a bridge of one's own calls so may be anything."""
    return isinstance(getattr(bridge, "output", None), Output)


@dataclass(frozen=True)
class Calibration:
    """What calibration found and left.

    Args:
        median_embedding: median L2 norm of the embedding rows.
        median_before: median L2 norm of the audio tokens before.
        median_after: the same afterwards.
        ratio: ``median_after / median_embedding``; outside 0.5-2 something is wrong.
        cosine: mean cosine between two different audio tokens; above 0.9 they have collapsed.
    """

    median_embedding: float
    median_before: float
    median_after: float
    ratio: float
    cosine: float


@torch.no_grad()
def calibrate(bridge: Calibratable, frames: Frames, embedding_rows: torch.Tensor) -> Calibration:
    """Set the size of a bridge's tokens, in place, to the median norm of the LLM's embeddings.

    Args:
        bridge: a bridge with ``.output``; its gain or its last Linear is changed.
        frames: frames of real clips, at least two audio tokens in all.
        embedding_rows: (V, E) float, rows as the LLM uses them, of tokens that occur in text.

    Returns:
        The medians before and after, their ratio, and the mean pairwise cosine of the tokens.

    Raises:
        BridgeError: no embedding rows, fewer than two audio tokens, or tokens that are all zero.
    """
    if embedding_rows.shape[0] == 0:
        raise BridgeError("calibration needs at least one embedding row, got none")
    before = _valid(bridge(frames))
    if before.shape[0] < 2:
        raise BridgeError(f"calibration needs at least 2 audio tokens, got {before.shape[0]}: give it a longer clip")
    wanted, now = median_norm(embedding_rows), median_norm(before)
    bridge.output.resize(now=now, wanted=wanted)
    after = _valid(bridge(frames))
    got = median_norm(after)
    return Calibration(wanted, now, got, got / wanted if wanted > 0 else 0.0, mean_cosine(after))


def _valid(tokens: AudioTokens) -> torch.Tensor:
    """The valid tokens of all clips in one list: (B, N, E) -> (n, E) float32."""
    valid = length_mask(tokens.lengths, tokens.values.shape[1]).to(tokens.values.device)
    return tokens.values[valid].float()


def median_norm(rows: torch.Tensor) -> float:
    """Median L2 norm of rows (n, E)."""
    return float(rows.float().norm(dim=-1).median())


def mean_cosine(rows: torch.Tensor) -> float:
    """Mean cosine over all pairs of different rows (n, E), n >= 2, without making the (n, n) table."""
    units = normalize(rows.float(), dim=-1)
    n = units.shape[0]
    return float((units.sum(dim=0).square().sum() - units.square().sum()) / (n * (n - 1)))


def nearest_cosines(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The largest cosine of each row (n, E) to any of the others (V, E): (n,) float32; a block of V at a time."""
    units = normalize(rows.float(), dim=-1)
    best = units.new_full((len(units),), -1.0)
    for start in range(0, len(others), BLOCK):
        block = normalize(others[start : start + BLOCK].float(), dim=-1)
        best = torch.maximum(best, (units @ block.T).amax(dim=1))
    return best


def cosine_of_means(rows: torch.Tensor, others: torch.Tensor) -> float:
    """Cosine of the mean of rows (n, E) to the mean of the others (V, E); 0 where a mean is zero."""
    means = [one.mean(dim=0, dtype=torch.float32) for one in (rows, others)]
    return float(torch.dot(normalize(means[0], dim=0), normalize(means[1], dim=0)))
