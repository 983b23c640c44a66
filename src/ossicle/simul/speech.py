"""What was written is said, phrase by phrase, while the rest still comes.

A phrase is whole words, as soon as they are long enough to be worth saying, or a sentence has ended. The unit decoder
reads the sentence so far, words said before among them, so that the new ones sound as they do in it; of its units those
of the new characters are spoken, once and never again. A phrase ends with all its sound, so that no word waits for the
next one, and fades in and out over milliseconds within an utterance, so that nothing clicks. Knows states, characters,
units and samples; does not know policies. Source: Seamless Communication 2023, the order of its released agent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from ossicle.errors import RequestError
from ossicle.simul.vocoder import UNIT_S, Saying
from ossicle.translate.spelling import spelled
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import Characters, UnitDecoder
from ossicle.translate.vocoder import UNIT_SAMPLES, UnitVocoder

LEAST_S = 1.0
"""What a phrase lasts at least, unless a sentence or the source ends with it; as released."""
FADE = 64
"""Samples over which a phrase fades where it does not stand at an end of an utterance: 4 ms."""
STOP = re.compile(r"[.?!]$")


@dataclass(frozen=True, eq=False)
class Uttered:
    """A phrase that was said.

    Args:
        samples: (S,) float32 at 16 kHz, 320 for each unit.
        text: that they say.
        at_s: seconds of the source that had been handed in.
    """

    samples: np.ndarray
    text: str
    at_s: float


class Uttering:
    """A voice for one translation.

    Args:
        model: that speaks, in evaluation mode.
        language: that is spoken.
        speaker: a name, a number or None, the language's own first one.
        pace: how many times as fast as the model would speak.
        least_s: as `LEAST_S`.

    Raises:
        RequestError: the model does not speak, or not this language or speaker.
    """

    def __init__(
        self,
        model: Translator,
        language: str,
        speaker: str | int | None = None,
        *,
        pace: float = 1.0,
        least_s: float = LEAST_S,
    ) -> None:
        decoder, vocoder = model.unit_decoder, cast(UnitVocoder | None, model.vocoder)
        if not isinstance(decoder, UnitDecoder) or vocoder is None or not decoder.letters:
            raise RequestError(f"{model.name} writes, but does not speak")
        self.model, self.decoder, self.pace, self.least_s = model, decoder, pace, least_s
        self.vocoder, self.language, self.speaker = vocoder, language, speaker
        self._saying()
        self.n_said = 0
        """Characters of the sentence that are said."""
        self.n_tried = 0
        """Characters of it that were found too short."""

    @torch.no_grad()
    def say(self, states: torch.Tensor, ids: Sequence[int], *, last: bool) -> tuple[np.ndarray, str] | None:
        """Say what is new of a sentence, if it is enough.

        Args:
            states: (1, n + 2, D) of the text decoder over [end, language, t1..tn].
            ids: t1..tn, whole words of one sentence.
            last: the sentence is over: the next ids are those of another one.

        Returns:
            samples (S,) float32 and the text that they say; None waits for more.
        """
        first = not self.n_said
        made = self._phrase(states, ids, final=last or self._stops(ids)) if ids else None
        if last:
            self.n_said = self.n_tried = 0
        if made is not None:
            self._fade(made[0], first=first, last=last)
        return made

    def _stops(self, ids: Sequence[int]) -> bool:
        return STOP.search(self.model.text.pieces(ids[-1:])[0]) is not None

    def _phrase(self, states: torch.Tensor, ids: Sequence[int], *, final: bool) -> tuple[np.ndarray, str] | None:
        """New words of the sentence, if they are enough, or it has ended."""
        characters = spelled(self.model.text, [list(ids)], self.decoder.letters)
        n = int(characters.lengths[0])
        if n <= self.n_said or (not final and n <= self.n_tried):
            return None
        units = self.decoder(states, torch.tensor([states.shape[1]]), characters, pace=self.pace)
        said = int(units.durations[0, : self.n_said].sum())
        new = units.ids[0, said : int(units.lengths[0])]
        if not final and len(new) * UNIT_S < self.least_s:
            self.n_tried = n
            return None
        text = self._text(ids, characters)
        self.n_said = n
        saying = self._saying()
        samples = torch.cat([saying.say(new), saying.finish()]).numpy()
        assert len(samples) == UNIT_SAMPLES * len(new)
        return samples, text.strip()

    def _text(self, ids: Sequence[int], characters: Characters) -> str:
        """Of the tokens whose characters are not said yet."""
        ends = characters.counts[0, 1:].cumsum(0).tolist()  # of each token; the last is nobody's
        first = next(i for i, end in enumerate(ends) if end > self.n_said)
        whole, before = self.model.text.decode(list(ids)), self.model.text.decode(list(ids[:first]))
        return whole[len(before) :] if whole.startswith(before) else whole

    def _saying(self) -> Saying:
        return Saying(self.vocoder, self.language, self.speaker, device=self.model.device)

    def _fade(self, samples: np.ndarray, *, first: bool, last: bool) -> None:
        n = min(FADE, len(samples))
        ramp = np.linspace(0, 1, n, endpoint=False, dtype=np.float32)
        if not first:
            samples[:n] *= ramp
        if not last:
            samples[len(samples) - n :] *= ramp[::-1]
