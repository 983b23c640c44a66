"""The aligner's lesson: speech and its text, and nothing said of when.

Knows batches of speech with its text; does not know optimisers. The sum over all alignments teaches it, with the belief
that speech goes evenly through a text, without which one letter may come to stand for everything; as it grows sure, it
is pulled to be as sure of one: the weight of that pull is the square of how probable a unit of the most probable
alignment is on the average, so that it comes late by itself and a resumed run needs to remember nothing. Source:
Badlani et al. 2021, who switch it on at a step.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ossicle.train.objectives import Loss
from ossicle.train.sources import Sample
from ossicle.train.spoken import Spoken, SpokenBatch, SpokenItem, aligner_of, codebook_of, units_of
from ossicle.translate.aligner import believed, binarisation, forward_sum, search
from ossicle.translate.translator import Translator


class Align(nn.Module):
    """Which units each character of a text is.

    Args:
        model: with a codebook, and the aligner that learns.
        letters: ids of the characters that texts are spelled with.
        prior: weight of the belief that speech goes evenly through a text.
        binarisation_weight: of the pull to one alignment, at its full.

    Raises:
        ConfigError: the model has no codebook or no aligner.
    """

    def __init__(
        self, model: Translator, letters: Mapping[str, int], *, prior: float = 1.0, binarisation_weight: float = 1.0
    ) -> None:
        super().__init__()
        codebook_of(model)
        silences = 0 if aligner_of(model).silence is None else 2
        self.spoken = Spoken(model.banks, model.text, letters, n_silences=silences)
        self.prior, self.binarisation_weight = prior, binarisation_weight
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """None."""
        return self.nothing

    def item(self, sample: Sample, rng: np.random.Generator) -> SpokenItem:
        """Features and characters.

        Raises:
            DataError: the text has more characters than its speech has units.
        """
        return self.spoken.item(sample, rng)

    def collate(self, items: Sequence[SpokenItem]) -> SpokenBatch:
        """Items side by side."""
        return self.spoken.collate(items)

    def loss(self, model: Translator, batch: SpokenBatch) -> Loss:
        """Loss summed over units."""
        units, n_units = units_of(model, batch.features)
        aligned = aligner_of(model)(batch.characters.ids, batch.characters.lengths, units, n_units)
        n = int(n_units.sum())
        all_ways = forward_sum(aligned, prior=self.prior)
        one_way = binarisation(aligned, search(believed(aligned, self.prior), aligned.lengths, aligned.unit_lengths))
        sure = torch.exp(-one_way.detach() / n)
        parts = {"all_ways": all_ways.item() / n, "one_way": one_way.item() / n, "sure": sure.item()}
        return all_ways + self.binarisation_weight * sure**2 * one_way, n, parts
