"""From a text decoder's states to units of speech: what is said, and how long each character lasts.

Knows batches of speech with its text; does not know optimisers. The model's own ear makes the units, its aligner the
durations; the text decoder reads the text of the speech, attending to the same in another language or to the speech
itself, as it will when it translates; one that was taught to write while it hears attends as it expects to. Pauses at
the ends are cut to a few units: how long somebody waits before they speak does not follow from the text.
Source: Barrault et al. 2023 (Seamless), section 3.3.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ossicle.errors import ConfigError
from ossicle.simul.decoder import expected
from ossicle.simul.hearing import Hearing, choices_of
from ossicle.train.objectives import Loss
from ossicle.train.sources import Sample
from ossicle.train.spoken import Spoken, SpokenBatch, SpokenItem, aligner_of, codebook_of, units_of
from ossicle.translate.aligner import Durations
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import UnitDecoder

PAUSE = 5
"""Units of silence that are left at either end: a tenth of a second."""


class Utter(nn.Module):
    """Units and durations of what a text decoder writes.

    Args:
        model: with a codebook and an aligner that have learned, and the unit decoder that learns.
        letters: ids of the characters that texts are spelled with.
        duration_weight: of the mean duration loss beside the mean unit loss.
        hear_share: of the batches whose decoder attends to the speech itself; all, of a model that writes while it
            hears.
        smoothing: share of label smoothing.
        ear: the model whose ear, codebook and aligner tell what is said; None is the model itself. A model whose ear
            has changed since its units were found goes on to speak in those of the model that it was.

    Raises:
        ConfigError: a model lacks a part.
    """

    def __init__(
        self,
        model: Translator,
        letters: Mapping[str, int],
        *,
        duration_weight: float = 1.0,
        hear_share: float = 0.25,
        smoothing: float = 0.0,
        ear: Translator | None = None,
    ) -> None:
        super().__init__()
        unit_decoder_of(model)
        self.ears = [model if ear is None else ear]  # in a list, for its weights are none of the objective's
        codebook_of(self.ears[0])
        silences = 0 if aligner_of(self.ears[0]).silence is None else 2
        self.hearing = model.hearing if isinstance(model.hearing, Hearing) else None
        share = 1.0 if model.text_encoder is None or self.hearing is not None else hear_share
        self.spoken = Spoken(
            model.banks, model.text, letters, n_silences=silences, hear_share=share, hearing=self.hearing
        )
        self.duration_weight, self.smoothing = duration_weight, smoothing
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """None."""
        return self.nothing

    def item(self, sample: Sample, rng: np.random.Generator) -> SpokenItem:
        """Features and ids.

        Raises:
            DataError: the text has more characters than its speech has units.
        """
        return self.spoken.item(sample, rng)

    def collate(self, items: Sequence[SpokenItem]) -> SpokenBatch:
        """Items side by side."""
        return self.spoken.collate(items)

    def loss(self, model: Translator, batch: SpokenBatch) -> Loss:
        """Loss summed over units."""
        units, durations = told(self.ears[0], batch)
        lengths = torch.tensor([len(one) for one in batch.read])
        entropy, n, squared, n_characters = unit_decoder_of(model).loss(
            self._states(model, batch),
            lengths,
            batch.characters,
            durations,
            units,
            label_smoothing=self.smoothing,
        )
        parts = {"unit": entropy.item() / n, "duration": squared.item() / n_characters}
        return entropy + self.duration_weight * squared * (n / n_characters), n, parts

    def _states(self, model: Translator, batch: SpokenBatch) -> torch.Tensor:
        """Of the text decoder, (B, L, D)."""
        if self.hearing is not None and batch.coming is not None:
            encoded = self.hearing.heard(model, batch.coming)
            return expected(model, encoded, batch.read, choices_of(model)).states
        return model.states(model.hear(batch.features) if batch.heard else model.read(batch.others), batch.read)


def unit_decoder_of(model: Translator) -> UnitDecoder:
    """The model's unit decoder.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(model.unit_decoder, UnitDecoder):
        raise ConfigError(f"{model.name} has no unit decoder: one must be made first")
    return model.unit_decoder


def told(model: Translator, batch: SpokenBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """What a unit decoder is told of a batch: units (B, U) and durations (B, C), pauses at the ends cut."""
    units, n_units = units_of(model, batch.features)
    written = batch.characters
    return cut(units, written.lengths, aligner_of(model).durations(written.ids, written.lengths, units, n_units))


def cut(units: torch.Tensor, lengths: torch.Tensor, lasting: Durations) -> tuple[torch.Tensor, torch.Tensor]:
    """Units with at most `PAUSE` of silence at either end, those of the first and the last character.

    Args:
        units: (B, U) int64.
        lengths: (B,) int64, characters of each text.
        lasting: units of each character and of the silences.

    Returns:
        Units (B, U) int64, the rest of the longest, anything beyond each; durations (B, C) int64.
    """
    before, after = lasting.before.clamp(max=PAUSE), lasting.after.clamp(max=PAUSE)
    durations = Durations(lasting.characters, before, after).folded(lengths)
    left_out = lasting.before - before
    at = torch.arange(int(durations.sum(1).max()), device=units.device)[None] + left_out[:, None]
    return units.gather(1, at.clamp(max=units.shape[1] - 1)), durations
