"""How many tokens each kind of bridge makes of frames, told by its name and a few numbers.

Knows counts; does not know what a bridge computes. The rules are those of `audio.lengths`, which the modules call too.
Source: section 2 of the project's notes on projection (2.3 to 2.10), with the published settings as defaults.
"""

import math
from dataclasses import dataclass

from ossicle.audio.lengths import grouped, windowed
from ossicle.errors import RequestError

RUNS = {
    "mean_pool": (2, ("pool", "drop")),
    "stack_mlp": (5, ("duplicate", "drop")),
    "stack_swiglu": (8, ("zero",)),
    "conv": (5, ("zero", "drop")),
    "merging": (2, ("pool",)),
    "matryoshka": (2, ("pool", "drop")),
}
"""k frames become one token: the usual k, and the tails, the usual one first."""
WINDOWS = {"attention_pool": (4, 1), "window_qformer": (15, 3)}
"""Every window of so many frames becomes so many tokens (window_qformer: Granite's)."""
FIXED = {"qformer": 64}
"""A clip, or a window of the encoder, becomes so many tokens however long it is (SLAM-LLM's)."""
VARIABLE = {"ctc": 11.7, "cif": 5.0}
"""Tokens a second that are expected: phones of English (FlexiCodec, arXiv 2510.00981); a mean weight of 0.1 a frame."""
Given = dict[str, int | str | float | None]
KINDS = (*RUNS, *WINDOWS, *FIXED, *VARIABLE)


@dataclass(frozen=True)
class BridgeRule:
    """A bridge's counting rule; build it with `bridge_rule`.

    Args:
        kind: one of `KINDS`.
        k: frames that become one token; 0 where that is not how it counts.
        tail: what becomes of the last ``T % k`` frames.
        window: frames that share ``queries`` tokens; 0 where there are none.
        queries: tokens of a window, or of a clip.
        hz: tokens a second that are expected of a variable rate.
    """

    kind: str
    k: int = 0
    tail: str = ""
    window: int = 0
    queries: int = 0
    hz: float = 0.0

    def __str__(self) -> str:
        said = {"k": self.k, "tail": self.tail, "window": self.window, "queries": self.queries, "hz": self.hz}
        return " ".join([self.kind, *(f"{name}={value}" for name, value in said.items() if value)])

    def expected(self, n_frames: int, rate_hz: float) -> int:
        """Tokens for ``n_frames``, for a variable rate those that are expected, at least one of any frame."""
        if self.k:
            return grouped(n_frames, self.k, self.tail)
        if self.window:
            return windowed(n_frames, self.window, self.queries)
        if self.queries:
            return self.queries if n_frames else 0
        return min(n_frames, max(1, math.ceil(n_frames * self.hz / rate_hz - 1e-9))) if n_frames else 0

    def most(self, n_frames: int, rate_hz: float) -> int:
        """The most tokens that ``n_frames`` can give: a variable rate never gives more than a token a frame."""
        return n_frames if self.hz else self.expected(n_frames, rate_hz)

    def nominal_hz(self, rate_hz: float, seconds: float) -> float:
        """Tokens a second as one says it, without tails: of a clip of ``seconds`` where their number is fixed."""
        if self.k:
            return rate_hz / self.k
        if self.window:
            return rate_hz * self.queries / self.window
        return self.queries / seconds if self.queries else self.hz


def bridge_rule(
    kind: str,
    *,
    k: int | None = None,
    tail: str | None = None,
    window: int | None = None,
    queries: int | None = None,
    hz: float | None = None,
) -> BridgeRule:
    """A bridge's counting rule; what is not given has the kind's usual value.

    Raises:
        RequestError: an unknown kind or tail, a number below 1, or one that this kind does not have.
    """
    given: Given = {"k": k, "tail": tail, "window": window, "queries": queries, "hz": hz}
    if kind in RUNS:
        usual, tails = RUNS[kind]
        _refuse_others(kind, given, ("k", "tail"))
        if tail is not None and tail not in tails:
            raise RequestError(f"{kind} does not know the tail {tail!r}: choose one of {', '.join(tails)}")
        return BridgeRule(kind, k=usual if k is None else k, tail=tail or tails[0])
    if kind in WINDOWS:
        _refuse_others(kind, given, ("window", "queries"))
        frames, tokens = WINDOWS[kind]
        return BridgeRule(kind, window=window or frames, queries=queries or tokens)
    if kind in FIXED:
        _refuse_others(kind, given, ("queries",))
        return BridgeRule(kind, queries=queries or FIXED[kind])
    if kind in VARIABLE:
        _refuse_others(kind, given, ("hz",))
        return BridgeRule(kind, hz=hz or VARIABLE[kind])
    raise RequestError(f"the bridge {kind!r} is not known: choose one of {', '.join(KINDS)}")


def _refuse_others(kind: str, given: Given, own: tuple[str, ...]) -> None:
    others = [name for name, value in given.items() if value is not None and name not in own]
    if others:
        raise RequestError(f"{kind} has no {' and no '.join(others)}: it is told by {' and '.join(own)}")
    for name in own:
        value = given[name]
        if isinstance(value, int | float) and not (math.isfinite(value) and value > 0):
            raise RequestError(f"{kind} needs {name} above 0, got {value:g}")
