"""What speech teaches of how a text sounds: its units, by the model's own codebook, and the characters of its text.

Knows samples of the parallel world, translators and codebooks; does not know losses. The speech is that of a sample's
source text, in the voice that the model is to speak with; units are made by the model itself, of hidden states that no
gradient reaches, because whoever speaks is understood by the same ear.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.codec.units import Codebook, KMeans
from ossicle.encoders.banks import Banks
from ossicle.errors import ConfigError, DataError
from ossicle.simul.hearing import Hearing
from ossicle.tensors import Features, stacked
from ossicle.train.sources import Sample
from ossicle.translate.aligner import Aligner
from ossicle.translate.spelling import spelled
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import Characters


@dataclass(frozen=True, eq=False)
class SpokenItem:
    """Speech, (F, T) of ``n_samples``, and its text.

    Args:
        features, n_samples, seconds: of the speech.
        tokens: of its text, without language and end.
        language: that it is said in.
        other: the same in another language, as a text encoder reads it.
        heard: whether the decoder attends to the speech itself, and not to ``other``.
        coming: features as they are when the speech comes piece by piece, for a decoder that hears it so.
    """

    features: np.ndarray
    n_samples: int
    seconds: float
    tokens: list[int]
    language: str
    other: list[int]
    heard: bool
    coming: np.ndarray | None = None

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class SpokenBatch:
    """Items side by side.

    Args:
        seconds: of all speech.
        features: of the speech.
        characters: of its texts.
        read: what a text decoder reads for each, ``[eos, language, t1, .., tn]``.
        others: the same in another language, as a text encoder reads it.
        heard: whether the decoder attends to the speech itself, and not to ``others``.
        coming: features of the speech as they are when it comes piece by piece; None where nobody hears it so.
    """

    seconds: float
    features: Features
    characters: Characters
    read: tuple[list[int], ...]
    others: tuple[list[int], ...]
    heard: bool
    coming: Features | None = None

    def to(self, device: torch.device) -> "SpokenBatch":
        """The same on a device; lengths stay on the CPU."""
        spelling = self.characters
        moved = Characters(spelling.ids.to(device), spelling.counts.to(device), spelling.lengths)
        coming = None if self.coming is None else self.coming.to(device)
        return replace(self, features=self.features.to(device), characters=moved, coming=coming)


class Spoken:
    """Makes items and batches of samples.

    Args:
        banks: of the model, its features.
        text: of the model, its tokens.
        letters: ids of the characters that texts are spelled with.
        n_silences: characters that an aligner adds to each text.
        hear_share: of the items whose decoder attends to the speech itself.
        hearing: how a decoder hears that attends to speech which comes piece by piece.
    """

    def __init__(
        self,
        banks: Banks,
        text: TextTokens,
        letters: Mapping[str, int],
        *,
        n_silences: int,
        hear_share: float = 0.0,
        hearing: Hearing | None = None,
    ) -> None:
        self.banks, self.text, self.letters = banks, text, dict(letters)
        self.n_silences, self.hear_share, self.hearing = n_silences, hear_share, hearing

    def item(self, sample: Sample, rng: np.random.Generator) -> SpokenItem:
        """Features and ids.

        Raises:
            DataError: the text has more characters than its speech has units.
        """
        pair = sample.pair
        assert pair is not None, "speech with its text needs the parallel world"
        read, seconds = self.banks.features([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
        tokens = self.text.tokens(pair.source_text)
        n = int(spelled(self.text, [tokens], self.letters).lengths[0]) + self.n_silences
        n_samples = int(read.n_samples[0])
        n_units = self.banks.n_moments(n_samples)
        if not self.n_silences < n <= n_units:
            raise DataError(
                f"{sample.where or sample.task}: {n} characters, {self.n_silences} of them silence, for {n_units} "
                "units of speech: there must be one at least, and no more than units"
            )
        heard = bool(rng.random() < self.hear_share)
        other = self.text.encode(pair.target_text, pair.target)
        coming = None if self.hearing is None else self.hearing.normed(self.banks, sample.samples).T
        return SpokenItem(read.values[0].numpy(), n_samples, seconds, tokens, pair.source, other, heard, coming)

    def collate(self, items: Sequence[SpokenItem]) -> SpokenBatch:
        """Items side by side; the first decides what the decoder attends to."""
        seconds, n_samples = [item.seconds for item in items], [item.n_samples for item in items]
        coming = [item.coming for item in items if item.coming is not None]
        return SpokenBatch(
            sum(seconds),
            stacked([item.features for item in items], n_samples, seconds),
            spelled(self.text, [item.tokens for item in items], self.letters),
            tuple([*self.text.prefix(item.language), *item.tokens] for item in items),
            tuple(item.other for item in items),
            items[0].heard,
            stacked(coming, n_samples, seconds) if coming else None,
        )


def codebook_of(model: Translator) -> Codebook:
    """The model's codebook.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(model.codebook, Codebook):
        raise ConfigError(f"{model.name} has no codebook that makes units of speech: one must be learned first")
    return model.codebook


def aligner_of(model: Translator) -> Aligner:
    """The model's aligner.

    Raises:
        ConfigError: it has none.
    """
    if not isinstance(model.aligner, Aligner):
        raise ConfigError(f"{model.name} has no aligner of characters and units: one must be made first")
    return model.aligner


@torch.no_grad()
def units_of(model: Translator, features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Units of speech, by the model's own ear and codebook, as it makes them when it is used: nothing is dropped out,
    and the precision is that of the weights.

    Returns:
        (B, U) int64, -1 beyond each clip, and how many there are, (B,) int64 on the CPU.

    Raises:
        ConfigError: the model has no codebook.
        RequestError: the model hears no speech.
    """
    book = codebook_of(model)
    if model.speech_encoder is not None:
        model.speech_encoder.eval()
    with torch.autocast(model.device.type, enabled=False):
        frames = model.moments(features, book.layer)
        units: torch.Tensor = book(frames.values, frames.lengths)
    return units, frames.lengths


@torch.no_grad()
def learn_codebook(model: Translator, samples: Iterable[Sample], *, count: int, layer: int, seed: int) -> Codebook:
    """A codebook for a model whose ear has learned to hear: clusters of its hidden states.

    Args:
        model: whose.
        samples: speech, each heard alone.
        count: of units.
        layer: of the speech encoder, counted from 1.
        seed: of what is drawn.

    Raises:
        RequestError: the samples have fewer frames than units are wanted.
    """
    found = KMeans(count, model.width, seed=seed)
    if model.speech_encoder is not None:
        model.speech_encoder.eval()
    for sample in samples:
        frames = model.moments(model.features([Clip(sample.samples, SAMPLE_RATE)]), layer)
        found.add(frames.values[0, : int(frames.lengths[0])])
    return found.codebook(layer).to(model.device)
