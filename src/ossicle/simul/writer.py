"""Pieces of a source in, tokens out that stay: a decoder and a policy, turn by turn, sentence by sentence.

Knows encoder outputs, ids and decisions; does not know audio, time or text. After every piece the policy is asked; what
it writes is committed, and what it decided is kept with its reasons, so that a run can be gone through afterwards.
Where it writes an end, the sentence is over: the decoder begins anew at the place of the source where that sentence was
left, and what lies before is forgotten. So a source may go on for ever, at the cost of a sentence.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.decoder import Reading
from ossicle.simul.policies import Decision, Pen, Policy, Read, Write
from ossicle.translate.search import MAX_TOKENS
from ossicle.translate.translator import Translator

BEFORE, BEHIND = 3, 8
"""Outputs before and behind the furthest one that a sentence's tokens looked at, among which it was left."""
LEAST_S = 0.4
"""Of a source that has ended so much must be left for one more sentence."""


@dataclass(frozen=True)
class Turn:
    """What was decided after a piece.

    Args:
        n_heard: encoder outputs until then.
        finished: whether the source had ended.
        decision: with its reasons.
    """

    n_heard: int
    finished: bool
    decision: Decision


@dataclass(frozen=True, eq=False)
class Sentence:
    """A sentence that is over.

    Args:
        ids: its tokens, without the end.
        states: (1, n + 2, D) of the decoder over the prefix and them.
        first, end: encoder outputs of the source between which it was.
        limits: how many outputs, from the first one on, each token was chosen with.
        full: it was cut, for as many tokens were written as may be.
    """

    ids: tuple[int, ...]
    states: torch.Tensor
    first: int
    end: int
    limits: tuple[int, ...] = ()
    full: bool = False


class Writer:
    """A translation that grows.

    Args:
        model: in evaluation mode.
        policy: that decides.
        language: to write.
        choices: where the policy needs them.
        max_tokens: the most tokens of a sentence; None is 256, or what the model has positions for.
        quietest: of the outputs from one to before another, the quietest, where a sentence is best left; None takes the
            first that none of its tokens looked at.
        several: whether a source may hold several sentences; else an end is written when it has ended, not before.

    Raises:
        RequestError: an unknown language, tokens out of range.
    """

    def __init__(
        self,
        model: Translator,
        policy: Policy,
        language: str,
        *,
        choices: Choices | None = None,
        max_tokens: int | None = None,
        quietest: Callable[[int, int], int] | None = None,
        several: bool = True,
    ) -> None:
        self.prefix = model.text.prefix(language)
        room = model.settings.max_position_embeddings - len(self.prefix)
        self.most = min(MAX_TOKENS, room) if max_tokens is None else max_tokens
        if not 1 <= self.most <= room:
            raise RequestError(f"max_tokens is {self.most}: {model.name} writes 1 to {room}")
        self.model, self.eos, self.choices, self.quietest = model, model.text.eos, choices, quietest
        self.policy, self.several = policy, several
        self.sentences: list[Sentence] = []
        """Those that are over, until somebody takes them."""
        self.turns: list[Turn] = []
        self.finished = False
        self.kept = torch.zeros(1, 0, model.width, device=model.device, dtype=model.dtype)
        """Of the source what the sentence may look at; ``first`` is the number of the first one."""
        self.first = 0
        self._begin()

    @property
    def n_heard(self) -> int:
        """Encoder outputs that have come."""
        return self.first + self.kept.shape[1]

    def hear(self, values: torch.Tensor, *, finished: bool = False) -> list[Decision]:
        """A piece of the source, and what is written after it.

        Args:
            values: (1, n, D) of the encoder, which follow all given before.
            finished: nothing comes after it.

        Raises:
            RequestError: the source had ended before.
        """
        if self.finished:
            raise RequestError("the source has ended: a new one needs a new writer")
        self.kept = torch.cat([self.kept, values], 1)
        self.reading.hear(values)
        self.finished = finished
        if not self.kept.shape[1] or not (values.shape[1] or finished):
            return self._told(Read("nothing new was heard"))
        found: list[Decision] = []
        while True:
            decision, over = self._decide()
            found += self._told(decision)
            if not over or not self._left():
                return found

    def states(self, n: int) -> torch.Tensor:
        """Of the decoder over the prefix and the first ``n`` tokens of the sentence, (1, n + 2, D), which stay.

        Raises:
            RequestError: not so many tokens are written, or none behind them.
        """
        if not 0 <= n < len(self.ids):
            raise RequestError(f"{len(self.ids)} tokens are written, the last may still change: {n} states are wanted")
        return self.reading.states[:, : len(self.prefix) + n]

    def _begin(self) -> None:
        """A sentence from what is kept of the source on."""
        self.ids: list[int] = []
        """Of the sentence; when the source has ended, of the last one."""
        self.limits: list[int] = []
        """How many outputs, from its first one on, each token was chosen with."""
        self.reading = Reading(self.model, self.choices)
        self.reading.hear(self.kept)
        self.policy.begin()

    def _told(self, decision: Decision) -> list[Decision]:
        self.turns.append(Turn(self.n_heard, self.finished, decision))
        return [decision]

    def _decide(self) -> tuple[Decision, bool]:
        """One decision, and whether the sentence is over."""
        written, most = [*self.prefix, *self.ids], self.most - len(self.ids)
        if most < 1:  # where there is one sentence only
            return Read(f"{self.most} tokens are written"), self.finished
        pen = Pen(self.reading, written, eos=self.eos, finished=self.finished, most=most, several=self.several)
        decision = checked(self.policy, self.policy.decide(pen), most, self.eos, self.model.settings.vocab_size)
        new = decision.ids if isinstance(decision, Write) else ()
        ended = new[-1:] == (self.eos,)
        real = new[:-1] if ended else new
        pen.settle(real)
        self.ids += real
        self.limits += [self.reading.n_heard] * len(real)
        return decision, ended or self.finished or (self.several and len(self.ids) >= self.most)

    def _left(self) -> bool:
        """The sentence is over: it is kept for who takes it, and the next one begins; false where there is nothing to
        begin with."""
        if not self.ids:
            return False
        given = [*self.prefix, *self.ids]
        if self.reading.n_written < len(given):
            self.reading.write(given[self.reading.n_written :])
        end, n_heard = self._end(), self.n_heard
        full = len(self.ids) >= self.most
        states = self.reading.states[:, : len(given)]
        self.sentences.append(Sentence(tuple(self.ids), states, self.first, end, tuple(self.limits), full))
        least = LEAST_S * self.model.encoded_hz if self.finished else 1
        left = self.several and n_heard - end >= least
        if left or not self.finished:  # else what is there stays, to be looked at
            self.kept, self.first = self.kept[:, end - self.first :], end
            self._begin()
        return left

    def _end(self) -> int:
        """The output of the source at which the sentence was left: a quiet one around the furthest that its tokens
        looked at."""
        n = self.kept.shape[1]
        furthest = max(self.reading.looked[len(self.prefix) - 1 : len(self.prefix) - 1 + len(self.ids)])
        if self.quietest is None:
            return self.first + min(furthest + 1, n)
        low, high = max(1, furthest - BEFORE), min(n, furthest + BEHIND)
        return self.quietest(self.first + low, self.first + high) if low < high else self.n_heard


def checked(policy: Policy, decision: object, most: int, eos: int, n_ids: int) -> Decision:
    """What a policy decided, if it may.

    Raises:
        ConfigError: it is neither to read nor to write, writes nothing or more than there is room for, does not say
            why, goes on behind an end, or writes what is no token.
    """
    if isinstance(decision, Read):
        return decision
    if isinstance(decision, Write) and decision.ids and len(decision.reasons) == len(decision.ids):
        n = len(decision.ids) - (decision.ids[-1] == eos)
        if n <= most and eos not in decision.ids[:n] and all(0 <= one < n_ids for one in decision.ids):
            return decision
    raise ConfigError(
        f"the policy {type(policy).__name__} decides on Read(reason), or on Write(ids, reasons) of 1 to {most} tokens "
        f"below {n_ids} with a reason for each, an end at most the last: got {decision!r}"
    )
