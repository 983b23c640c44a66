"""Calibration: a bridge's tokens get the size that the LLM's own embeddings have.

Knows vectors and their norms; does not know audio. Scale is hygiene, not alignment: it lets training start from tokens
that the LLM's residual stream neither drowns in nor overwrites.
Source: the norms of trained embedding tables against uncalibrated projectors (100 times as large in one public report).
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import torch

from ossicle.bridge.output import Output
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask


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
    wanted, now = _median_norm(embedding_rows), _median_norm(before)
    bridge.output.resize(now=now, wanted=wanted)
    after = _valid(bridge(frames))
    got = _median_norm(after)
    return Calibration(wanted, now, got, got / wanted if wanted > 0 else 0.0, _mean_cosine(after))


def _valid(tokens: AudioTokens) -> torch.Tensor:
    """The valid tokens of all clips in one list: (B, N, E) -> (n, E) float32."""
    valid = length_mask(tokens.lengths, tokens.values.shape[1]).to(tokens.values.device)
    return tokens.values[valid].float()


def _median_norm(rows: torch.Tensor) -> float:
    return float(rows.float().norm(dim=-1).median())


def _mean_cosine(rows: torch.Tensor) -> float:
    """Mean cosine over all pairs of different rows, without making the (n, n) table."""
    units = torch.nn.functional.normalize(rows, dim=-1)
    n = units.shape[0]
    return float((units.sum(dim=0).square().sum() - units.square().sum()) / (n * (n - 1)))
