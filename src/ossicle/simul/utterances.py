"""Speech without an end in utterances, as it comes: somebody begins to speak, and pauses, or goes on for too long.

Knows samples and how loud they are; does not know words. A moment is quiet where it is near the floor, the level that a
tenth of the last seconds' moments do not reach, as in `ossicle.audio.pauses`, which looks at a whole stretch and can
put its cuts where they are best. Here a cut can only be made now: after a pause that is long enough, the shorter the
longer the utterance is; and where somebody pauses not at all, at the longest that an utterance may be. What is quiet
between two utterances is passed over, but for a little before the next one; nothing of it is kept. A sound that was
steady from its begin, as the noise of a room is, is quiet until something stands out of it. The same cuts come out
however the sound was handed in.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import ConfigError, RequestError
from ossicle.simul.blocks import Blocks

MOMENT = 160
"""Samples whose level is one: 10 ms."""
AROUND = 5
"""Moments, the newest last, whose mean square is the level of one: 50 ms."""
SPAN_S = 6.0
"""So much of the past the floor is taken from."""
FLOOR_SHARE, LOUD_SHARE, BELOW_SHARE, SPREADS = 0.10, 0.95, 0.02, 7.0
OVER_DB, LEAST_OVER_DB, UNDER_DB, FAINT_DB, LEAST_DB = 6.0, 3.0, 12.0, -70.0, -100.0
"""As in `ossicle.audio.pauses`."""
STEADY_DB, UNSURE_S = 6.0, 1.0
"""A sound whose levels differ by less was steady till now, and nothing stands out of it. Before the first utterance so
much is kept, for what is speech may show late, where somebody spoke already when the sound began."""
BEGINS = 4
"""Moments in a row that are not quiet begin an utterance."""


@dataclass(frozen=True)
class Pauses:
    """When an utterance ends.

    Args:
        pause_s: a pause of so long ends it.
        soft_s: from this length on a pause of ``short_s`` does.
        short_s: see there.
        most_s: it is never longer.
        lead_s: so much of the quiet before it belongs to it.
    """

    pause_s: float = 0.5
    soft_s: float = 8.0
    short_s: float = 0.16
    most_s: float = 16.0
    lead_s: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.short_s <= self.pause_s and self.lead_s >= 0 and 1 <= self.soft_s <= self.most_s):
            raise ConfigError(
                "an utterance ends after pauses of 0 < short_s <= pause_s and lengths of 1 <= soft_s <= most_s, lead_s "
                f"is 0 or more: got {self.short_s:g}, {self.pause_s:g}, {self.soft_s:g}, {self.most_s:g} and "
                f"{self.lead_s:g}"
            )


@dataclass(frozen=True, eq=False)
class Heard:
    """A part of an utterance.

    Args:
        samples: (S,) float32 that follow those before.
        start: the sample of the whole sound at which it begins.
        ends: the utterance ends with it.
        paused: it ends in a pause, and not for being too long.
    """

    samples: np.ndarray
    start: int
    ends: bool = False
    paused: bool = True


class Utterances:
    """Cuts a sound as it comes.

    Args:
        pauses: where.
    """

    def __init__(self, pauses: Pauses | None = None) -> None:
        self.pauses = pauses or Pauses()
        self.levels: deque[float] = deque(maxlen=round(SPAN_S * SAMPLE_RATE / MOMENT))
        self.powers: deque[float] = deque(maxlen=AROUND)
        self.loud_db = self.quiet_db = LEAST_DB
        self.blocks = Blocks(MOMENT)
        self.lead = np.zeros(0, np.float32)
        """Of the quiet before an utterance; with the moments that may be its first."""
        self.n_samples = 0
        """That were handed in, but for those waiting."""
        self.speaking = self.begun = False
        self.n_inside = self.n_quiet = self.n_loud = 0
        """Samples of the utterance; moments of the pause, or in a row that are not quiet."""
        self.ended = False

    @property
    def kept_bytes(self) -> int:
        """Of all that is remembered of the sound."""
        return self.blocks.waiting.nbytes + self.lead.nbytes + 8 * (len(self.levels) + len(self.powers))

    def hear(self, samples: np.ndarray) -> list[Heard]:
        """More sound.

        Args:
            samples: (S,) float32 at 16 kHz.

        Raises:
            RequestError: the sound had ended.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new cutter")
        found: list[Heard] = []
        for moment in self.blocks.hear(samples):
            found += self._moment(moment)
        return joined(found)

    def finish(self) -> list[Heard]:
        """The sound has ended: the rest of the utterance, if there is one.

        Raises:
            RequestError: it had ended before.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new cutter")
        self.ended = True
        left, start = self.blocks.waiting, self.n_samples
        self.n_samples += len(left)
        return [Heard(left, start, ends=True)] if self.speaking else []

    def _moment(self, moment: np.ndarray) -> list[Heard]:
        quiet = self._is_quiet(moment)
        start, self.n_samples = self.n_samples, self.n_samples + MOMENT
        if not self.speaking:
            self.n_loud = 0 if quiet else self.n_loud + 1
            most = round(max(self.pauses.lead_s, 0 if self.begun else UNSURE_S) * SAMPLE_RATE) + BEGINS * MOMENT
            self.lead = np.concatenate([self.lead, moment])[-most:]
            if self.n_loud < BEGINS:
                return []
            lead, self.lead = self.lead[self._passed() :], np.zeros(0, np.float32)
            self.speaking, self.begun, self.n_inside, self.n_quiet = True, True, len(lead), 0
            return [Heard(lead, self.n_samples - len(lead))]
        self.n_inside += MOMENT
        self.n_quiet = self.n_quiet + 1 if quiet else 0
        too_long = self.n_inside + MOMENT > self.pauses.most_s * SAMPLE_RATE
        if not too_long and self.n_quiet * MOMENT < self._pause_s() * SAMPLE_RATE:
            return [Heard(moment.copy(), start)]
        self.speaking, self.n_loud = False, 0
        return [Heard(moment.copy(), start, ends=True, paused=self.n_quiet > 0)]

    def _passed(self) -> int:
        """Samples of what was kept that are passed over: up to the lead of its first moment that is not quiet now."""
        n = len(self.lead) // MOMENT
        levels = list(self.levels)[-n:]
        first = next((i for i, level in enumerate(levels) if level >= self.quiet_db), n - BEGINS)
        return max(0, first * MOMENT - round(self.pauses.lead_s * SAMPLE_RATE))

    def _pause_s(self) -> float:
        """What ends an utterance now: from ``soft_s`` on less and less."""
        some = self.pauses
        return some.short_s if self.n_inside >= some.soft_s * SAMPLE_RATE else some.pause_s

    def _is_quiet(self, moment: np.ndarray) -> bool:
        self.powers.append(float(np.square(moment, dtype=np.float64).mean()))
        level = float(10 * np.log10(sum(self.powers) / len(self.powers) + 10 ** (LEAST_DB / 10)))
        self.levels.append(level)
        least, low, high = np.quantile(np.fromiter(self.levels, float), (BELOW_SHARE, FLOOR_SHARE, LOUD_SHARE)).tolist()
        if high - least >= STEADY_DB or self.loud_db > LEAST_DB:
            self.loud_db = max(self.loud_db, high)
        floor = min(low, max(self.loud_db - UNDER_DB, FAINT_DB)) if self.loud_db > LEAST_DB else low
        self.quiet_db = max(FAINT_DB, floor + min(max(SPREADS * (low - least), LEAST_OVER_DB), OVER_DB))
        return level < self.quiet_db


def joined(parts: list[Heard]) -> list[Heard]:
    """Parts that follow each other within an utterance, as one."""
    found: list[Heard] = []
    for one in parts:
        if found and not found[-1].ends:
            before = found.pop()
            one = Heard(np.concatenate([before.samples, one.samples]), before.start, one.ends, one.paused)
        found.append(one)
    return found
