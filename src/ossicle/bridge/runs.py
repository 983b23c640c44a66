"""Runs of k neighbouring frames: how many tokens they give, which seconds each token holds, what the tail loses.

Knows lengths, padding and seconds, the same for every bridge of a fixed rate; does not know what is done with a run.
Source: tail policies as published systems have them (Qwen2-Audio and SLAM-ASR drop; masked and duplicate lose nothing).
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch.nn import functional

from ossicle.audio.lengths import ceil_div, windowed
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask


class Runs:
    """The lengths of a bridge that makes each run of ``k`` frames one token, or ``queries`` tokens."""

    fixed_rate: ClassVar[bool] = True
    streamable: ClassVar[bool] = True
    width_in: int
    k: int
    tail: str
    queries: int = 1

    def n_tokens(self, n_frames: int) -> int:
        """Audio tokens for ``n_frames`` frames."""
        return windowed(n_frames, self.k, self.queries, self.tail)

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give; here exactly `n_tokens`."""
        return self.n_tokens(n_frames)

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second for an encoder of ``rate_hz`` frames per second."""
        return rate_hz * self.queries / self.k

    def count(self, frames: Frames) -> tuple[torch.Tensor, int]:
        """Tokens of each clip, (B,) int64, and the most of them, N.

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width(type(self).__name__, frames, self.width_in)
        lengths = run_lengths(frames.lengths, self.k, self.tail, self.queries)
        return lengths, longest(lengths)

    def tokens(self, values: torch.Tensor, frames: Frames, lengths: torch.Tensor) -> AudioTokens:
        """Values (B, N, E) as audio tokens: zeros past a clip's own, the span of each, the seconds that are lost."""
        spans_s, tail_s = run_spans(frames, lengths, self.k, self.tail, self.queries)
        return AudioTokens(zero_filled(values, lengths), lengths, spans_s, tail_s)


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


def check_heads(name: str, *, queries: int, width: int, heads: int) -> None:
    """Refuse attention that cannot be.

    Raises:
        BridgeError: ``queries`` or ``heads`` below 1, or heads that do not divide the width.
    """
    if queries < 1:
        raise BridgeError(f"{name} needs at least 1 query, got {queries}")
    if heads < 1 or width % heads:
        raise BridgeError(f"{name} needs a number of heads that divides the width {width}, got {heads}")


def check_width(name: str, frames: Frames, width: int) -> None:
    """Refuse frames of another width than the bridge was built for.

    Raises:
        BridgeError: the last axis of the frames is not ``width``.
    """
    got = frames.values.shape[-1]
    if got != width:
        raise BridgeError(f"{name} was built for frames of width {width}, got {got}: another encoder?")


def longest(lengths: torch.Tensor) -> int:
    """The most of (B,) lengths, 0 of none."""
    return int(lengths.max()) if len(lengths) else 0


def zero_filled(values: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Zeros in the places past a clip's own, whatever stood there: (B, X, D) -> (B, X, D)."""
    valid = length_mask(lengths, values.shape[1]).to(values.device)
    return values.masked_fill(~valid[..., None], 0)


def zero_filled_runs(values: torch.Tensor, lengths: torch.Tensor, k: int) -> torch.Tensor:
    """Lay runs of ``k`` frames side by side, zeros past a clip's last: (B, T, D) -> (B, ceil(T / k), k * D)."""
    n_batch, n_frames, width = values.shape
    values = functional.pad(zero_filled(values, lengths), (0, 0, 0, -n_frames % k))
    return values.reshape(n_batch, ceil_div(n_frames, k), k * width)


def run_lengths(lengths: torch.Tensor, k: int, tail: str, queries: int = 1) -> torch.Tensor:
    """(B,) int64 frames -> (B,) int64 tokens, by `lengths.windowed`."""
    return torch.tensor([windowed(n, k, queries, tail) for n in lengths.tolist()], dtype=torch.int64)


def run_spans(
    frames: Frames, n_tokens: torch.Tensor, k: int, tail: str, queries: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end second of every token, and the seconds at the end that no token holds.

    Args:
        frames: what the tokens are made of; lengths, rate and durations are read.
        n_tokens: (B,) int64, tokens of each clip, a multiple of ``queries``.
        k: frames in a run.
        tail: "drop" loses the frames after the last whole run; any other tail keeps them.
        queries: tokens of a run. All of them see the whole run; so that they have an order, each gets an equal share
            of the run's seconds.

    Returns:
        Spans (B, N, 2) float64 and the lost tails (B,) float64. The valid spans of a clip begin at 0, have no hole and
        end at its duration, or where its last used frame ends if frames were dropped; the others are zero.
    """
    spans = torch.zeros(len(n_tokens), longest(n_tokens), 2, dtype=torch.float64)
    tails = torch.zeros(len(n_tokens), dtype=torch.float64)
    shares = torch.arange(queries, dtype=torch.float64) / queries
    rows = zip(n_tokens.tolist(), frames.lengths.tolist(), frames.durations_s.tolist(), strict=True)
    for row, (n, n_frames, duration_s) in enumerate(rows):
        n_runs = n // queries
        edges = torch.arange(n_runs + 1, dtype=torch.float64) * k / frames.rate_hz
        edges.clamp_(max=duration_s)
        if not (tail == "drop" and n_runs * k < n_frames):
            edges[n_runs:] = duration_s
        inner = edges[:-1, None] + edges.diff()[:, None] * shares  # (runs, queries)
        edges = torch.cat([inner.flatten(), edges[-1:]])
        spans[row, :n] = torch.stack([edges[:-1], edges[1:]], dim=-1)
        tails[row] = duration_s - edges[n]
    return spans, tails
