"""Runs of k neighbouring frames: how many tokens they give, which seconds each token holds, what the tail loses.

Knows lengths and seconds, the same for every bridge of a fixed rate; does not know what a bridge does with a run.
Source: tail policies as published systems have them (Qwen2-Audio and SLAM-ASR drop; masked and duplicate lose nothing).
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from ossicle.audio.lengths import grouped
from ossicle.errors import BridgeError
from ossicle.tensors import Frames


class Runs:
    """The lengths of a bridge that makes each run of ``k`` frames one token."""

    fixed_rate: ClassVar[bool] = True
    streamable: ClassVar[bool] = True
    k: int
    tail: str

    def n_tokens(self, n_frames: int) -> int:
        """Audio tokens for ``n_frames`` frames."""
        return grouped(n_frames, self.k, self.tail)

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give; here exactly `n_tokens`."""
        return self.n_tokens(n_frames)

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second for an encoder of ``rate_hz`` frames per second."""
        return rate_hz / self.k


def check_runs(
    name: str, *, widths: Sequence[int], k: int, tail: str = "pool", tails: Sequence[str] = ("pool",)
) -> None:
    """Refuse a run length, a tail or a width that no bridge can have.

    Raises:
        BridgeError: ``k`` or a width below 1, or a ``tail`` that is not one of ``tails``.
    """
    if k < 1:
        raise BridgeError(f"{name} needs k of at least 1 frame per audio token, got {k}")
    if tail not in tails:
        raise BridgeError(f"{name} does not know the tail {tail!r}: choose one of {', '.join(tails)}")
    if min(widths) < 1:
        raise BridgeError(f"{name} needs widths of at least 1, got {', '.join(map(str, widths))}")


def check_width(name: str, frames: Frames, width: int) -> None:
    """Refuse frames of another width than the bridge was built for.

    Raises:
        BridgeError: the last axis of the frames is not ``width``.
    """
    got = frames.values.shape[-1]
    if got != width:
        raise BridgeError(f"{name} was built for frames of width {width}, got {got}: another encoder?")


def run_lengths(lengths: torch.Tensor, k: int, tail: str) -> torch.Tensor:
    """(B,) int64 frames -> (B,) int64 tokens, by `lengths.grouped`."""
    return torch.tensor([grouped(n, k, tail) for n in lengths.tolist()], dtype=torch.int64)


def run_spans(frames: Frames, n_tokens: torch.Tensor, k: int, tail: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end second of every token, and the seconds at the end that no token holds.

    Args:
        frames: what the tokens are made of; lengths, rate and durations are read.
        n_tokens: (B,) int64, tokens of each clip.
        k: frames in a run.
        tail: "drop" loses the frames after the last whole run; any other tail keeps them.

    Returns:
        Spans (B, N, 2) float64 and the lost tails (B,) float64. The valid spans of a clip begin at 0, have no hole and
        end at its duration, or where its last used frame ends if frames were dropped; the others are zero.
    """
    width = int(n_tokens.max()) if len(n_tokens) else 0
    spans = torch.zeros(len(n_tokens), width, 2, dtype=torch.float64)
    tails = torch.zeros(len(n_tokens), dtype=torch.float64)
    rows = zip(n_tokens.tolist(), frames.lengths.tolist(), frames.durations_s.tolist(), strict=True)
    for row, (n, n_frames, duration_s) in enumerate(rows):
        edges = torch.arange(n + 1, dtype=torch.float64) * k / frames.rate_hz
        edges.clamp_(max=duration_s)
        if not (tail == "drop" and n * k < n_frames):
            edges[n:] = duration_s
        spans[row, :n] = torch.stack([edges[:-1], edges[1:]], dim=-1)
        tails[row] = duration_s - edges[n]
    return spans, tails
