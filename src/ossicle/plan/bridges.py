"""How many tokens each kind of bridge makes of frames, told by its name and the frames that make a token.

Knows counts; does not know what a bridge computes. The rules are those of `audio.lengths`, which the modules call too.
Source: section 2 of the project's notes on projection (2.1 to 2.10), with published settings as defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ossicle.audio.lengths import ceil_div, whole_clip, windowed
from ossicle.errors import RequestError


@dataclass(frozen=True)
class BridgeRule:
    """A bridge's counting rule; build it with `bridge_rule`.

    Args:
        kind: a name of `KINDS`.
        k: frames that make a token, or the ``queries`` tokens of a window; where ``variable`` those that are expected
            to; 0 where a clip has as many tokens however long it is.
        queries: tokens of every k frames, or of a clip.
        tail: what becomes of the last ``T % k`` frames.
        variable: how many tokens there are depends on what is heard.
    """

    kind: str
    k: int
    queries: int = 1
    tail: str = ""
    variable: bool = False

    def __str__(self) -> str:
        numbers = [f"k={self.k}"] * (self.k > 0) + [f"queries={self.queries}"] * (self.queries > 1)
        return " ".join([self.kind, *numbers, *([f"tail={self.tail}"] if self.tail else [])])

    def expected(self, n_frames: int) -> int:
        """Tokens for ``n_frames``; for a variable number those that are expected."""
        if self.variable:
            return ceil_div(n_frames, self.k)
        return windowed(n_frames, self.k, self.queries, self.tail) if self.k else whole_clip(n_frames, self.queries)

    def most(self, n_frames: int) -> int:
        """The most tokens that ``n_frames`` can give: where the number varies a token a frame, else `expected`."""
        return n_frames if self.variable else self.expected(n_frames)

    def nominal_hz(self, rate_hz: float, seconds: float) -> float:
        """Tokens a second as one says it, without tails; where their number is fixed, of a clip of ``seconds``."""
        return rate_hz * self.queries / self.k if self.k else self.queries / seconds


KINDS: Mapping[str, tuple[BridgeRule, tuple[str, ...]]] = {
    usual.kind: (usual, tails)
    for usual, tails in (
        (BridgeRule("mean_pool", 2, tail="pool"), ("pool", "drop")),
        (BridgeRule("stack_mlp", 5, tail="duplicate"), ("duplicate", "drop")),
        (BridgeRule("stack_swiglu", 8, tail="zero"), ("zero",)),
        (BridgeRule("conv", 5, tail="zero"), ("zero", "drop")),
        (BridgeRule("attention_pool", 4, tail="mask"), ("mask",)),
        (BridgeRule("window_qformer", 15, 3, tail="mask"), ("mask", "zero")),
        (BridgeRule("qformer", 0, 32), ()),
        (BridgeRule("merging", 4, tail="pool"), ("pool",)),
        (BridgeRule("matryoshka", 4, tail="pool"), ("pool",)),
        (BridgeRule("ctc", 4, variable=True), ()),
        (BridgeRule("cif", 4, variable=True), ()),
    )
}
"""Every kind with its usual numbers, and the tails that it may have."""
WITH_QUERIES = ("attention_pool", "window_qformer", "qformer")


def bridge_rule(kind: str, *, k: int | None = None, queries: int | None = None, tail: str | None = None) -> BridgeRule:
    """A bridge's counting rule; what is not given has the kind's usual value.

    Raises:
        RequestError: an unknown kind or tail, a number below 1, or one that this kind does not have.
    """
    if kind not in KINDS:
        raise RequestError(f"the bridge {kind!r} is not known: choose one of {', '.join(KINDS)}")
    usual, tails = KINDS[kind]
    if k is not None and not usual.k:
        raise RequestError(f"{kind} has no k: it gives as many tokens however long a clip is")
    if queries is not None and kind not in WITH_QUERIES:
        raise RequestError(f"{kind} has no queries: those that do are {', '.join(WITH_QUERIES)}")
    for name, value in (("k", k), ("queries", queries)):
        if value is not None and value < 1:
            raise RequestError(f"{kind} needs {name} of at least 1, got {value}")
    if tail is not None and tail not in tails:
        known = f"choose one of {', '.join(tails)}" if tails else "it has none"
        raise RequestError(f"{kind} does not know the tail {tail!r}: {known}")
    return BridgeRule(kind, k or usual.k, queries or usual.queries, tail or usual.tail, usual.variable)
