"""When to read and when to write: policies behind one interface.

Knows how much of a source has come, whether it has ended, and a `Pen` with which to look ahead in the decoder; does not
know audio, time or text. A policy is asked after every piece of the source and says how many tokens are to be written
now: these are committed and never taken back, whatever it looked at besides. When the source has ended everything is
written. Sources: Ma et al. 2019 (wait-k), Liu et al. 2020 (local agreement), Papi et al. 2023 (AlignAtt), Ma et al.
2023 (EMMA) and the order of its released policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from ossicle.errors import ConfigError
from ossicle.simul.choice import n_steps
from ossicle.simul.decoder import PREFIX, Reading, Step

Reduced = Literal["min", "mean", "median"]


@dataclass(frozen=True)
class Read:
    """Wait for more; ``reason`` is for who asks later why."""

    reason: str


@dataclass(frozen=True)
class Write:
    """Write these tokens now; ``reasons`` has one for each."""

    ids: tuple[int, ...]
    reasons: tuple[str, ...]


Decision = Read | Write


class Pen:
    """A decoder as a policy sees it: tokens are tried one after another, and taken back or kept.

    Args:
        reading: that has heard something.
        written: all ids that are committed, the prefix of the language among them.
        eos: the id that ends a translation.
        finished: whether the source has ended.
        most: how many tokens may still be written.
        several: whether an end may be written while the source goes on, behind which another sentence begins.
    """

    def __init__(
        self, reading: Reading, written: Sequence[int], *, eos: int, finished: bool, most: int, several: bool = True
    ) -> None:
        self.reading, self.written, self.eos = reading, tuple(written), eos
        self.finished, self.most, self.several = finished, most, several
        self.tried: list[int] = []
        self.step = reading.write(self.written[reading.n_written :])

    @property
    def n_heard(self) -> int:
        """Outputs of the encoder that have come."""
        return self.reading.n_heard

    @property
    def n_pieces(self) -> int:
        """Tokens that are committed, without the prefix."""
        return len(self.written) - PREFIX

    def likeliest(self) -> int:
        """The token that would come next."""
        return int(self.step.log_probs.argmax())

    def ends(self, token: int, n: int) -> bool:
        """Whether nothing more is to be written now: the token is the end, ``n`` new ones before it, and the source has
        ended, or nothing is written of the sentence yet. Else an end may be written like any token."""
        return token == self.eos and (self.finished or not self.several or not self.n_pieces + n)

    def go_on(self, token: int) -> Step:
        """Try a token: the decoder goes on behind it."""
        self.tried.append(token)
        self.step = self.reading.write([token])
        return self.step

    def greedy(self) -> list[int]:
        """The likeliest tokens up to the end or as many as may be written, tried from here on."""
        found: list[int] = []
        while len(found) < self.most and (token := self.likeliest()) != self.eos:
            found.append(token)
            self.go_on(token)
        return found

    def settle(self, ids: Sequence[int]) -> None:
        """Of all that was tried only these are written. What has been computed of them stays, but of the newest, behind
        which nothing is written yet: it is read again when more has been heard."""
        same = 0
        while same < min(len(ids), len(self.tried)) and ids[same] == self.tried[same]:
            same += 1
        self.reading.forget(len(self.tried) - same + 1)
        self.tried = []


class Policy(Protocol):
    """When to write. A policy may remember; `begin` makes it forget."""

    def begin(self) -> None:
        """A new sentence."""

    def decide(self, pen: Pen) -> Decision:
        """What to do now. ``pen`` stands behind what is committed; what it tries is taken back by who asked."""


class WaitK:
    """Wait for ``k`` steps, then write a token a step.

    Args:
        k: steps before the first token.
        ratio: encoder outputs in a step.

    Raises:
        ConfigError: either below 1.
    """

    def __init__(self, k: int = 3, *, ratio: int = 2) -> None:
        if k < 1 or ratio < 1:
            raise ConfigError(f"wait-k waits for at least 1 step of at least 1 output: got k {k}, ratio {ratio}")
        self.k, self.ratio = k, ratio

    def begin(self) -> None:
        """Nothing is remembered."""

    def decide(self, pen: Pen) -> Decision:
        """As many tokens as there are steps behind the first k."""
        steps = pen.n_heard // self.ratio
        allowed = steps - self.k + 1
        ids: list[int] = []
        reasons: list[str] = []
        while len(ids) < pen.most and (pen.finished or pen.n_pieces + len(ids) < allowed):
            token = pen.likeliest()
            if pen.ends(token, len(ids)):
                break
            ids.append(token)
            reasons.append("the source has ended" if pen.finished else f"{steps} steps are {self.k} before this token")
            if token == pen.eos:
                break
            pen.go_on(token)
        return (
            Write(tuple(ids), tuple(reasons))
            if ids
            else Read(f"token {pen.n_pieces + 1} wants {self.k + pen.n_pieces} steps")
        )


class LocalAgreement:
    """Write what the last ``n`` translations of what was heard begin with alike.

    Args:
        n: translations that have to agree.

    Raises:
        ConfigError: fewer than 2.
    """

    def __init__(self, n: int = 2) -> None:
        if n < 2:
            raise ConfigError(f"at least 2 translations can agree: got {n}")
        self.n = n
        self.begin()

    def begin(self) -> None:
        """No translation so far."""
        self.last: list[list[int]] = []

    def decide(self, pen: Pen) -> Decision:
        """The common beginning of the newest translations, behind what is committed."""
        committed = list(pen.written)
        whole = [*committed, *pen.greedy()]
        if pen.likeliest() == pen.eos and not pen.ends(pen.eos, len(whole) - len(committed)):
            whole.append(pen.eos)
        if pen.finished:
            new = whole[len(committed) :]
            return Write(tuple(new), ("the source has ended",) * len(new)) if new else Read("nothing is left to write")
        self.last = [*self.last, whole][-self.n :]
        if len(self.last) < self.n:
            return Read(f"{len(self.last)} of {self.n} translations")
        alike = 0
        for column in zip(*self.last, strict=False):
            if len({*column}) > 1:
                break
            alike += 1
        new = whole[len(committed) : alike]
        if not new:
            return Read("the newest translations differ from here on")
        return Write(tuple(new), (f"{self.n} translations agree",) * len(new))


class AlignAtt:
    """Write until a token looks at the newest part of the source.

    Args:
        frames: encoder outputs at the end of what was heard that no token may look at.
        layer: of the decoder, counted from 1, whose mean over heads tells where a token looks.

    Raises:
        ConfigError: either below 1.
    """

    def __init__(self, frames: int = 4, *, layer: int = 1) -> None:
        if frames < 1 or layer < 1:
            raise ConfigError(f"AlignAtt holds back at least 1 output and looks at layer 1 or above: {frames}, {layer}")
        self.frames, self.layer = frames, layer

    def begin(self) -> None:
        """Nothing is remembered."""

    def decide(self, pen: Pen) -> Decision:
        """Tokens up to the first that looks too far.

        Raises:
            ConfigError: the decoder has no such layer.
        """
        ids: list[int] = []
        reasons: list[str] = []
        limit = pen.n_heard - self.frames
        why = "nothing is left to write"
        while len(ids) < pen.most:
            if self.layer > len(pen.step.attention):
                raise ConfigError(f"the decoder has {len(pen.step.attention)} layers, AlignAtt looks at {self.layer}")
            token = pen.likeliest()
            looks = int(pen.step.attention[self.layer - 1].mean(0).argmax())
            if pen.ends(token, len(ids)) or (not pen.finished and looks >= limit):
                why = "it would end here" if token == pen.eos else f"it looks at {looks}, of {pen.n_heard}"
                break
            ids.append(token)
            reasons.append(f"it looks at {looks}, of {pen.n_heard}")
            if token == pen.eos:
                break
            pen.go_on(token)
        return Write(tuple(ids), tuple(reasons)) if ids else Read(why)


class Emma:
    """Write while the decoder's own choices say so.

    Args:
        threshold: probability of writing below which it reads.
        counted: "since" takes the probability that the token would have been written by now, from the step at which
            the one before it was, as the alignment that is learned has it; "newest" that at the newest step alone, as
            released: a token whose moment has passed may then wait for the end.
        reduced: over all layers and heads: "min", "mean" or "median".
        first_layer: the first whose choice counts, counted from 1.
        wait: steps before the first token.
        most: tokens between two pieces of the source.
        block: no token before the source's end that makes a run of so many tokens come again; 0 blocks none.
        ratio: encoder outputs in a step, as the choices have it.

    Raises:
        ConfigError: a number that is out of its range, an unknown ``reduced``.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        *,
        counted: Literal["since", "newest"] = "since",
        reduced: Reduced = "mean",
        first_layer: int = 1,
        wait: int = 1,
        most: int = 50,
        block: int = 0,
        ratio: int = 2,
    ) -> None:
        if not 0 <= threshold <= 1 or min(first_layer, wait, most, ratio) < 1 or block < 0:
            raise ConfigError(
                "EMMA has a threshold from 0 to 1; first_layer, wait, most and ratio of 1 or more, block of 0 or more: "
                f"got {threshold:g}, {first_layer}, {wait}, {most}, {ratio}, {block}"
            )
        if reduced not in ("min", "mean", "median"):
            raise ConfigError(f"choices are reduced by min, mean or median, not {reduced!r}")
        if counted not in ("since", "newest"):
            raise ConfigError(f"choices are counted since the token before, or at the newest step, not {counted!r}")
        self.counted = counted
        self.threshold, self.reduced, self.first_layer = threshold, reduced, first_layer
        self.wait, self.most, self.block, self.ratio = wait, most, block, ratio
        self.begin()

    def begin(self) -> None:
        """No token was written."""
        self.since = 0
        """The step at which the newest token was."""

    def probability(self, step: Step) -> float:
        """That the next token is written by now.

        Raises:
            ConfigError: the decoder has no choices, or not so many layers.
        """
        if step.p_steps is None:
            raise ConfigError(
                "EMMA decides by a decoder's choices, this one has none: train them, or take another policy"
            )
        if self.first_layer > len(step.p_steps):
            raise ConfigError(f"the decoder has {len(step.p_steps)} layers, EMMA begins at {self.first_layer}")
        newest = step.p_steps.shape[-1] - 1
        first = newest if self.counted == "newest" else min(self.since, newest)
        some = 1 - (1 - step.p_steps[self.first_layer - 1 :, :, first:]).prod(-1).flatten()
        match self.reduced:
            case "min":
                return float(some.min())
            case "mean":
                return float(some.mean())
            case _:
                return float(torch.quantile(some, 0.5))

    def decide(self, pen: Pen) -> Decision:
        """Tokens while the probability is at the threshold or above."""
        if not pen.finished and n_steps(pen.n_heard, self.ratio) < self.wait:
            return Read(f"{n_steps(pen.n_heard, self.ratio)} of {self.wait} steps")
        ids: list[int] = []
        reasons: list[str] = []
        why, most = "nothing is left to write", pen.most if pen.finished else min(self.most, pen.most)
        while len(ids) < most:
            p, token = self.probability(pen.step), pen.likeliest()
            if not pen.finished:
                if p < self.threshold:
                    why = f"{p:.3f} is below {self.threshold:g}"
                    break
                if repeats([*pen.written[PREFIX:], *ids, token], self.block):
                    why = f"the last {self.block} tokens would come again"
                    break
            if pen.ends(token, len(ids)):
                why = "it would end here"
                break
            ids.append(token)
            reasons.append("the source has ended" if pen.finished else f"{p:.3f} is not below {self.threshold:g}")
            self.since = n_steps(pen.n_heard, self.ratio) - 1
            if token == pen.eos:
                break
            pen.go_on(token)
        return Write(tuple(ids), tuple(reasons)) if ids else Read(why)


def repeats(ids: Sequence[int], n: int) -> bool:
    """Whether the newest n tokens came before."""
    if n < 1 or len(ids) <= n:
        return False
    newest = tuple(ids[-n:])
    return any(tuple(ids[i : i + n]) == newest for i in range(len(ids) - n))
