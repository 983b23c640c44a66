"""A vocoder that speaks while units still come: exactly the samples that it would make of all of them.

A unit's samples depend on so many units on either side, which every vocoder of ours states; they are handed out when
those have come, and what lies further back is forgotten. So there is no seam to hear, and the price is stated: `lag_s`.
Knows units and samples; does not know what chose the units.
"""

import torch

from ossicle.errors import RequestError
from ossicle.translate.vocoder import UNIT_SAMPLES, UnitVocoder

UNIT_S = 0.02


class Saying:
    """A vocoder at work on one utterance.

    Args:
        vocoder: in evaluation mode.
        language: that is spoken.
        speaker: a name, a number or None, the language's own first one.
        device: of the units.

    Raises:
        RequestError: a language or speaker that the vocoder does not have.
    """

    def __init__(
        self,
        vocoder: UnitVocoder,
        language: str,
        speaker: str | int | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if language not in vocoder.languages:
            raise RequestError(
                f"this vocoder does not speak {language!r}, it speaks {', '.join(vocoder.languages)}",
                code="unsupported_language",
            )
        self.vocoder, self.language = vocoder, language
        self.speaker = vocoder.speaker_row(speaker, language)
        self.units = torch.zeros(0, dtype=torch.int64, device=device)
        """Those that what is still to be said depends on."""
        self.n_behind = 0
        """How many of these are said already."""
        self.ended = False

    @property
    def lag_s(self) -> float:
        """Seconds of speech whose units have come at most before their samples do."""
        return self.vocoder.reach * UNIT_S

    def say(self, units: torch.Tensor) -> torch.Tensor:
        """More units, (U,) int64, and the samples (S,) float32 that are certain now.

        Raises:
            RequestError: the utterance had ended; a unit that the vocoder does not have.
        """
        if self.ended:
            raise RequestError("the utterance has ended: a new one needs a new voice")
        self.units = torch.cat([self.units, units.to(self.units.device)])
        return self._said(len(self.units) - self.vocoder.reach)

    def finish(self) -> torch.Tensor:
        """The last samples.

        Raises:
            RequestError: the utterance had ended before.
        """
        if self.ended:
            raise RequestError("the utterance has ended: a new one needs a new voice")
        self.ended = True
        return self._said(len(self.units))

    @torch.no_grad()
    def _said(self, end: int) -> torch.Tensor:
        """Samples of the units up to ``end`` that are not said yet."""
        if end <= self.n_behind:
            return torch.zeros(0)
        lengths = torch.tensor([len(self.units)])
        whole = self.vocoder(self.units[None], lengths, languages=[self.language], speakers=[self.speaker])[0]
        said = whole[self.n_behind * UNIT_SAMPLES : end * UNIT_SAMPLES].cpu()
        first = max(0, end - self.vocoder.reach)
        self.units, self.n_behind = self.units[first:], end - first
        return said
