"""Pieces of a source in, tokens out that stay: a decoder and a policy, turn by turn.

Knows encoder outputs, ids and decisions; does not know audio, time or text. After every piece the policy is asked once;
what it writes is committed, and what it decided is kept with its reasons, so that a run can be gone through afterwards.
"""

from dataclasses import dataclass

import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.decoder import Reading
from ossicle.simul.policies import Decision, Pen, Policy, Read, Write
from ossicle.translate.search import MAX_TOKENS
from ossicle.translate.translator import Translator


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


class Writer:
    """A translation that grows.

    Args:
        model: in evaluation mode.
        policy: that decides.
        language: to write.
        choices: where the policy needs them.
        max_tokens: the most tokens in all; None is 256, or what the model has positions for.

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
    ) -> None:
        self.prefix = model.text.prefix(language)
        room = model.settings.max_position_embeddings - len(self.prefix)
        self.most = min(MAX_TOKENS, room) if max_tokens is None else max_tokens
        if not 1 <= self.most <= room:
            raise RequestError(f"max_tokens is {self.most}: {model.name} writes 1 to {room}")
        self.model, self.eos = model, model.text.eos
        self.reading, self.policy = Reading(model, choices), policy
        self.ids: list[int] = []
        self.limits: list[int] = []
        self.turns: list[Turn] = []
        self.finished = False
        policy.begin()

    def hear(self, values: torch.Tensor, *, finished: bool = False) -> Decision:
        """A piece of the source, and what is written after it.

        Args:
            values: (1, n, D) of the encoder, which follow all given before.
            finished: nothing comes after it.

        Raises:
            RequestError: the source had ended before.
        """
        if self.finished:
            raise RequestError("the source has ended: a new one needs a new writer")
        self.reading.hear(values)
        self.finished = finished
        decision = self._decide(new=values.shape[1] > 0)
        if isinstance(decision, Write):
            self.ids += decision.ids
            self.limits += [self.reading.n_heard] * len(decision.ids)
        self.turns.append(Turn(self.reading.n_heard, finished, decision))
        return decision

    @property
    def full(self) -> bool:
        """Whether as many tokens are written as may be: what comes after them is lost."""
        return len(self.ids) >= self.most

    def states(self, n: int) -> torch.Tensor:
        """Of the decoder over the prefix and the first ``n`` tokens, (1, n + 2, D), which stay; at the end of a source
        the newest is read with all that was heard.

        Raises:
            RequestError: not so many tokens are written, or none behind them while the source goes on.
        """
        if not 0 <= n <= len(self.ids) - (not self.finished):
            raise RequestError(f"{len(self.ids)} tokens are written, the last may still change: {n} states are wanted")
        given = [*self.prefix, *self.ids[:n]]
        if self.reading.n_written < len(given):
            self.reading.write(given[self.reading.n_written :])
        return self.reading.states[:, : len(given)]

    def _decide(self, *, new: bool) -> Decision:
        most = self.most - len(self.ids)
        if not self.reading.n_heard or not (new or self.finished):
            return Read("nothing new was heard")
        if most < 1:
            return Read(f"{self.most} tokens are written")
        pen = Pen(self.reading, [*self.prefix, *self.ids], eos=self.eos, finished=self.finished, most=most)
        decision = checked(self.policy, self.policy.decide(pen), most)
        pen.settle(decision.ids if isinstance(decision, Write) else ())
        return decision


def checked(policy: Policy, decision: object, most: int) -> Decision:
    """What a policy decided, if it may.

    Raises:
        ConfigError: it is neither to read nor to write, writes nothing or more than there is room for, or does not say
            why.
    """
    if isinstance(decision, Read):
        return decision
    if isinstance(decision, Write) and 0 < len(decision.ids) <= most and len(decision.reasons) == len(decision.ids):
        return decision
    raise ConfigError(
        f"the policy {type(policy).__name__} decides on Read(reason), or on Write(ids, reasons) of 1 to {most} tokens "
        f"with a reason for each: got {decision!r}"
    )
