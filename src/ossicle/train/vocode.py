"""A vocoder's lesson: from units back to the waveform that they were made of.

Knows clips, a model's units and its vocoder; does not know optimisers, nor which vocoder it is. Units are made of whole
clips, as they will be when the model speaks, by the model's own frozen ear; of both, units and waveform, crops are
learned, with units on either side of them that are read and not judged. Without a GAN the loss is a distance of
spectra. With one, discriminators learn beside the vocoder: their loss is on made waveforms that are cut off from the
vocoder, the vocoder's on discriminators whose weights are cut off, so that the sum of both is one loss for one
optimiser. Source: Kong et al. 2020, "HiFi-GAN" (arXiv 2010.05646), equations 1-6, and the weights of its trainer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.encoders.waves import fitted
from ossicle.errors import ConfigError
from ossicle.tensors import Features, stacked
from ossicle.train.objectives import Loss
from ossicle.train.sources import Sample
from ossicle.train.spoken import units_of
from ossicle.train.vocoding import Vocoding
from ossicle.translate.discriminators import (
    Discriminators,
    deception_loss,
    discriminator_loss,
    feature_distance,
    judged_by_frozen,
)
from ossicle.translate.spectral_loss import mel_distance, stft_distance
from ossicle.translate.vocoder import UNIT_SAMPLES

Who = tuple[str, str | int | None]
"""A language, and who speaks; None is the language's default speaker."""


@dataclass(frozen=True, eq=False)
class VocodeItem:
    """A whole clip's features (F, T), and of its crops the first units and the waveforms (320 * crop_units,) each."""

    features: np.ndarray
    n_samples: int
    firsts: tuple[int, ...]
    waves: tuple[np.ndarray, ...]
    who: Who
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class VocodeBatch:
    """Clips side by side, and the crops of all of them: ``waves`` (R, 320 * crop_units), for each its clip's row, its
    first unit, and who speaks."""

    seconds: float
    features: Features
    waves: torch.Tensor
    rows: tuple[int, ...]
    firsts: tuple[int, ...]
    who: tuple[Who, ...]

    def to(self, device: torch.device) -> "VocodeBatch":
        """The same on a device."""
        return replace(self, features=self.features.to(device), waves=self.waves.to(device))


class Vocode:
    """From a model's units to the waveforms that they were made of.

    Args:
        model: whose features; with a vocoder and a codebook by the time of the first loss.
        how: crops and weights.
        who: the language of a sample, and who speaks it.
    """

    def __init__(self, model: Any, how: Vocoding, *, who: Callable[[Sample], Who]) -> None:
        self.read, self.n_units = model.features, model.n_units
        self.how, self.who = how, who
        self.discriminators = Discriminators(how.discriminator_width) if how.gan else None
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """The discriminators; none without a GAN."""
        return self.nothing if self.discriminators is None else self.discriminators

    def item(self, sample: Sample, rng: np.random.Generator) -> VocodeItem | None:
        """Features of the clip and crops of its waveform; None of a clip too short for one unit."""
        read, n = self.read([Clip(sample.samples, SAMPLE_RATE)]), self.how.crop_units
        n_samples = int(read.n_samples[0])
        n_units = self.n_units(n_samples)
        if n_units < 1:
            return None
        crops = min(self.how.crops, max(1, n_units // n))
        drawn = rng.integers(-(n // 2), max(0, n_units - n) + n // 2 + 1, crops)  # else the ends would hardly be heard
        firsts = tuple(int(one) for one in drawn.clip(0, max(0, n_units - n)))
        whole = fitted(sample.samples, n_units * UNIT_SAMPLES)
        waves = tuple(fitted(whole[one * UNIT_SAMPLES :], n * UNIT_SAMPLES) for one in firsts)
        seconds = len(sample.samples) / SAMPLE_RATE
        return VocodeItem(read.values[0].numpy(), n_samples, firsts, waves, self.who(sample), seconds)

    def collate(self, items: Sequence[VocodeItem]) -> VocodeBatch:
        """Items side by side."""
        seconds = [item.seconds for item in items]
        rows = tuple(row for row, item in enumerate(items) for _ in item.firsts)
        return VocodeBatch(
            sum(seconds),
            stacked([item.features for item in items], [item.n_samples for item in items], seconds),
            torch.from_numpy(np.stack([wave for item in items for wave in item.waves])),
            rows,
            tuple(one for item in items for one in item.firsts),
            tuple(items[row].who for row in rows),
        )

    def loss(self, model: Any, batch: VocodeBatch) -> Loss:
        """Sum over the crops.

        Raises:
            ConfigError: the model has no codebook or no vocoder.
        """
        if model.vocoder is None:
            raise ConfigError("the model has no vocoder that could be trained")
        made, true, how = self.spoken(model, batch), batch.waves, self.how
        mel, stft = mel_distance(made, true), stft_distance(made, true)
        total = how.mel_weight * mel + how.stft_weight * stft
        parts = {"mel": mel, "stft": stft}
        if self.discriminators is not None:
            of_true = self.discriminators(true)
            told = discriminator_loss(of_true, self.discriminators(made.detach()))
            of_made = judged_by_frozen(self.discriminators, made)
            features, deceived = feature_distance(of_true, of_made), deception_loss(of_made)
            total = total + how.feature_weight * features + how.deception_weight * deceived + told
            parts |= {"features": features, "deception": deceived, "discriminators": told}
        n = len(true)
        return total * n, n, {name: value.item() for name, value in parts.items()}

    def spoken(self, model: Any, batch: VocodeBatch) -> torch.Tensor:
        """What the model's vocoder makes of the crops, without what was only read: (R, 320 * crop_units)."""
        units, n_units = units_of(model, batch.features)
        side, n = self.how.context_units, self.how.crop_units
        begins = [max(0, first - side) for first in batch.firsts]
        ends = [min(int(n_units[row]), first + n + side) for row, first in zip(batch.rows, batch.firsts, strict=True)]
        crops = [units[row, a:b] for row, a, b in zip(batch.rows, begins, ends, strict=True)]
        lengths = torch.tensor([len(crop) for crop in crops], dtype=torch.int64)
        languages, speakers = zip(*batch.who, strict=True)
        whole = model.vocoder(pad_sequence(crops, batch_first=True), lengths, languages=languages, speakers=speakers)
        whole = functional.pad(
            whole.float(), (0, n * UNIT_SAMPLES)
        )  # of a clip shorter than a crop the rest is silence
        skipped = [(first - a) * UNIT_SAMPLES for first, a in zip(batch.firsts, begins, strict=True)]
        return torch.stack([one[at : at + n * UNIT_SAMPLES] for one, at in zip(whole, skipped, strict=True)])
