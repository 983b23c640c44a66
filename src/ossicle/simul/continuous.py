"""Speech without an end, translated while it is spoken: utterance by utterance, in memory that does not grow.

Knows utterances and what translates one; does not know where the sound comes from nor where the text goes. Times are
those of the whole sound, and the parts of it that the pieces close follow each other without a hole, pauses among them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import RequestError
from ossicle.simul.policies import Policy, Write
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting, Said
from ossicle.simul.utterances import Heard, Pauses, Utterances
from ossicle.simul.writer import Turn
from ossicle.translate.translator import Translator


@dataclass(frozen=True)
class Utterance:
    """What was decided in one utterance, for whoever looks at it afterwards.

    Args:
        start_s, end_s: where it lies in the sound.
        turns: of the policy.
        ids: tokens that were written, with the ends of sentences but for the last.
        n_full: sentences that were cut, for as many tokens were written as may be.
    """

    start_s: float
    end_s: float
    turns: tuple[Turn, ...]
    ids: tuple[int, ...]
    n_full: int


class Continuous:
    """A translation of somebody who does not stop.

    Args:
        model: that hears piece by piece, in evaluation mode.
        policy: makes one for each utterance.
        language: to write.
        voice: makes one for each utterance, if it is to be spoken.
        pauses: where utterances end.
        max_tokens: of a sentence, as `Interpreting`.
        look: takes every utterance when it has ended.

    Raises:
        RequestError: as `Interpreting`.
    """

    def __init__(
        self,
        model: Translator,
        policy: Callable[[], Policy],
        language: str,
        *,
        voice: Callable[[], Uttering] | None = None,
        pauses: Pauses | None = None,
        max_tokens: int | None = None,
        look: Callable[[Utterance], None] = lambda one: None,
    ) -> None:
        self.model, self.policy, self.language = model, policy, language
        self.voice, self.max_tokens, self.look = voice, max_tokens, look
        self.cutter = Utterances(pauses)
        self.session: Interpreting | None = None
        self.start = 0
        """Sample at which the utterance begins."""
        self.n_samples = 0
        self.n_utterances = 0
        self.closed_s = 0.0
        self.ended = False
        self._begin()  # what cannot be is said now, and not with the first word
        self.session = None

    @property
    def heard_s(self) -> float:
        """Seconds that were handed in."""
        return self.n_samples / SAMPLE_RATE

    def hear(self, samples: np.ndarray) -> list[Said | Uttered]:
        """More sound, (S,) float32 at 16 kHz, and what comes of it.

        Raises:
            RequestError: the sound had ended; samples that are none.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new translation")
        if samples.ndim != 1 or samples.dtype != np.float32 or not np.isfinite(samples).all():
            raise RequestError(f"samples are (S,) float32 and finite: got {samples.dtype} {samples.shape}")
        self.n_samples += len(samples)
        return self._through(self.cutter.hear(samples))

    def finish(self) -> list[Said | Uttered]:
        """The sound has ended: the rest; at least one piece, which closes the sound.

        Raises:
            RequestError: it had ended before.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new translation")
        self.ended = True
        found = self._through(self.cutter.finish())
        if self.closed_s < self.heard_s or not self.n_samples:
            found.append(Said("", self.heard_s, (self.closed_s, self.heard_s), last=True))
            self.closed_s = self.heard_s
        return found

    def _begin(self) -> Interpreting:
        voice = None if self.voice is None else self.voice()
        return Interpreting(self.model, self.policy(), self.language, voice=voice, max_tokens=self.max_tokens)

    def _through(self, parts: list[Heard]) -> list[Said | Uttered]:
        found: list[Said | Uttered] = []
        for part in parts:
            if self.session is None:
                self.session, self.start = self._begin(), part.start
                self.n_utterances += 1
            events = self.session.hear(part.samples)
            if part.ends:
                events += self.session.finish()
            found += [self._placed(one) for one in events]
            if part.ends:
                self._end()
        return found

    def _placed(self, one: Said | Uttered) -> Said | Uttered:
        """In the time of the whole sound."""
        at_s = self.start / SAMPLE_RATE + one.at_s
        if isinstance(one, Uttered):
            return replace(one, at_s=at_s)
        span, self.closed_s = (self.closed_s, at_s), at_s
        return replace(one, at_s=at_s, span_s=span)

    def _end(self) -> None:
        session = self.session
        assert session is not None
        end_s = self.start / SAMPLE_RATE + session.heard_s
        turns = tuple(session.writer.turns)
        ids = tuple(one for turn in turns if isinstance(turn.decision, Write) for one in turn.decision.ids)
        self.look(Utterance(self.start / SAMPLE_RATE, end_s, turns, ids, session.n_full))
        self.session = None
