"""Sound in as it comes, text out that stays, and speech: ears, a writer and whole words, one utterance at a time.

Knows samples, seconds and words; does not know policies' reasons, nor where the sound comes from. A word is handed out
when the next one begins or the source has ended, for till then it may go on. Every piece of text says when it was
written, by the sound that had come, and which part of the sound it closes: these parts follow each other without a hole
from the first sample to the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.simul.blocks import Blocks
from ossicle.simul.choice import Choices
from ossicle.simul.hearing import Hearing, hearing_of
from ossicle.simul.policies import Policy
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.writer import Writer
from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.translator import Translator


@dataclass(frozen=True)
class Said:
    """A piece of a translation that stays.

    Args:
        text: whole words with the blank before them; empty where only the source ended.
        at_s: seconds of the source that had been handed in; of a text, words.
        span_s: the part of the source since the piece before.
        last: nothing comes after it.
    """

    text: str
    at_s: float
    span_s: tuple[float, float]
    last: bool = False


class Ears(Protocol):
    """What hears piece by piece, as `ossicle.simul.encoder.Listening` does."""

    n_samples: int
    """That were handed in."""

    def hear(self, samples: np.ndarray) -> torch.Tensor:
        """More sound (S,), and the encoder outputs (1, n, D) that are certain now."""
        ...

    def finish(self) -> torch.Tensor:
        """The last outputs."""
        ...


class Interpreting:
    """A translation of speech while it is spoken.

    Args:
        model: in evaluation mode.
        policy: when to write.
        language: to write.
        hearing: how it hears piece by piece; None is the model's own.
        ears: that hear, in place of new ones.
        voice: that says what is written; None leaves it at text.
        max_tokens: as `Writer`.

    Raises:
        RequestError: the model cannot hear so, an unknown language, tokens out of range.
    """

    def __init__(
        self,
        model: Translator,
        policy: Policy,
        language: str,
        *,
        hearing: Hearing | None = None,
        ears: Ears | None = None,
        voice: Uttering | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self.model = model
        self.ears = (hearing_of(model) if hearing is None else hearing).begin(model) if ears is None else ears
        choices = model.choices if isinstance(model.choices, Choices) else None
        self.levels = Levels(round(model.sample_rate / model.encoded_hz))
        self.writer = Writer(
            model, policy, language, choices=choices, max_tokens=max_tokens, quietest=self.levels.quietest
        )
        self.voice = voice
        self.text = ""
        """All that was handed out."""
        self.open = ""
        """Of these what belongs to the sentence that is not over."""
        self.n_full = 0
        """Sentences that were cut, for as many tokens were written as may be."""
        self.closed_s = 0.0

    @property
    def heard_s(self) -> float:
        """Seconds that were handed in."""
        return self.ears.n_samples / SAMPLE_RATE

    def hear(self, samples: np.ndarray) -> list[Said | Uttered]:
        """More sound, (S,) float32 at 16 kHz, and what is written after it: nothing, or a piece, and speech behind it.

        Raises:
            RequestError: the sound had ended; samples that are none.
        """
        values = self.ears.hear(samples)  # which refuses what is no sound
        self.levels.hear(samples)
        return self._written(values, last=False)

    def finish(self) -> list[Said | Uttered]:
        """The sound has ended: the rest, one piece that may be empty, and its speech.

        Raises:
            RequestError: it had ended before.
        """
        return self._written(self.ears.finish(), last=True)

    def _written(self, values: torch.Tensor, *, last: bool) -> list[Said | Uttered]:
        if not values.shape[1] and not last:
            return []
        self.writer.hear(values, finished=last)
        new, spoken = "", []
        for one in self.writer.sentences:
            new += self._more(one.ids)
            spoken += self._spoken(one.states, one.ids, over=True)
            self.open, self.n_full = "", self.n_full + one.full
        self.writer.sentences.clear()
        ids = self.writer.ids
        n = 0 if last else whole_words(self.model.text, ids)
        if n:
            new += self._more(ids[:n])
            spoken += self._spoken(self.writer.states(n), ids[:n], over=False)
        self.levels.forget(self.writer.first)
        if not new and not last:
            return []
        said = Said(new, self.heard_s, (self.closed_s, self.heard_s), last)
        self.closed_s = self.heard_s
        return [said, *spoken]

    def _more(self, ids: Sequence[int]) -> str:
        """Hands out what of a sentence was not yet, with the blank before it."""
        whole = self.model.text.decode(list(ids))
        assert whole.startswith(self.open), (whole, self.open)
        new = whole[len(self.open) :]
        piece = f" {new}" if self.text and new and not self.open else new
        self.text, self.open = self.text + piece, whole
        return piece

    def _spoken(self, states: torch.Tensor, ids: Sequence[int], *, over: bool) -> list[Uttered]:
        """What is said of the first tokens of a sentence."""
        made = None if self.voice is None else self.voice.say(states, ids, last=over)
        return [] if made is None else [Uttered(*made, self.heard_s)]


class Levels:
    """How loud a sound is, encoder output by encoder output, as far back as it may be asked.

    Args:
        size: samples of an output.
    """

    def __init__(self, size: int) -> None:
        self.blocks, self.first = Blocks(size), 0
        self.powers: list[float] = []

    def hear(self, samples: np.ndarray) -> None:
        """More sound, (S,)."""
        self.powers += np.square(self.blocks.hear(samples), dtype=np.float64).mean(1).tolist()

    def forget(self, first: int) -> None:
        """What lies before an output is not asked for any more."""
        if first > self.first:
            self.powers, self.first = self.powers[first - self.first :], first

    def quietest(self, first: int, end: int) -> int:
        """The quietest output from one to before another; the middle one of those that are alike."""
        some = self.powers[first - self.first : end - self.first]
        if not some:
            return end - 1
        least = min(some)
        alike = [i for i, power in enumerate(some) if power == least]
        return first + alike[len(alike) // 2]


def whole_words(text: TextTokens, ids: Sequence[int]) -> int:
    """Tokens of the words that are whole, because another one begins behind them; the last word may go on."""
    return max((i for i, piece in enumerate(text.pieces(ids)) if piece.startswith(BLANK)), default=0)
