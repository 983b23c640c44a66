"""Speech to text with moments: each token is learned at the expectation over all times at which it may be written.

Knows pairs, translators and their choices; does not know optimisers, nor policies that use what is learned. The loss is
that of the next token where every head attends as EMMA's expectation says, how late tokens are expected, in seconds,
and how uncertain that is. Source: Ma et al. 2023 (arXiv 2312.04515); how much lateness weighs is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.simul.choice import steps_each
from ossicle.simul.decoder import PREFIX, expected
from ossicle.simul.emma import latency, variance
from ossicle.simul.hearing import choices_of, hearing_of
from ossicle.tensors import Features, stacked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample
from ossicle.train.timing import Timing
from ossicle.translate.translator import Translator


@dataclass(frozen=True, eq=False)
class SimultaneousItem:
    """What is heard, (F, T), and what the decoder is to write of it, ``target`` behind ``prefix``."""

    features: np.ndarray
    n_samples: int
    prefix: list[int]
    target: list[int]
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class SimultaneousBatch:
    """Items side by side; ``targets`` (B, L) int64, `IGNORE` where nothing is predicted."""

    seconds: float
    features: Features
    read: tuple[list[int], ...]
    targets: torch.Tensor

    def to(self, device: torch.device) -> "SimultaneousBatch":
        """The same on a device."""
        return replace(self, features=self.features.to(device), targets=self.targets.to(device))


class Simultaneous:
    """Next tokens, when they are expected to be written.

    Args:
        model: with a way to listen and with choices.
        timing: what being late costs.

    Raises:
        RequestError: the model has no choices, or no way to listen piece by piece.
    """

    def __init__(self, model: Translator, timing: Timing | None = None) -> None:
        self.hearing, self.choices = hearing_of(model), choices_of(model)
        self.banks, self.text, self.timing = model.banks, model.text, timing or Timing()
        self.step_s = self.choices.ratio / model.encoded_hz
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """None beside the model."""
        return self.nothing

    def item(self, sample: Sample, rng: np.random.Generator) -> SimultaneousItem:
        """Features as they are when sound comes piece by piece, and ids."""
        pair = sample.pair
        assert pair is not None, "simultaneous translation is learned from the parallel world"
        rows = self.hearing.normed(self.banks, sample.samples)
        seconds = len(sample.samples) / SAMPLE_RATE
        target = [*self.text.tokens(pair.target_text), self.text.eos]
        return SimultaneousItem(rows.T, len(sample.samples), self.text.prefix(pair.target), target, seconds)

    def collate(self, items: Sequence[SimultaneousItem]) -> SimultaneousBatch:
        """Items side by side."""
        seconds = [item.seconds for item in items]
        read = tuple([*one.prefix, *one.target[:-1]] for one in items)
        targets = np.full((len(read), max(map(len, read))), IGNORE, np.int64)
        for row, one in zip(targets, items, strict=True):
            first = len(one.prefix) - 1
            row[first : first + len(one.target)] = one.target
        features = stacked([item.features for item in items], [item.n_samples for item in items], seconds)
        return SimultaneousBatch(sum(seconds), features, read, torch.from_numpy(targets))

    def loss(self, model: Translator, batch: SimultaneousBatch) -> Loss:
        """Sum over the tokens; what is late weighs as much as so many tokens' loss."""
        encoded = self.hearing.heard(model, batch.features)
        made = expected(model, encoded, batch.read, self.choices)
        kept = batch.targets != IGNORE
        scores, target = model.logits(made.states[kept]).float(), batch.targets[kept]
        lost = functional.cross_entropy(scores, target, reduction="sum")
        n = len(target)
        n_targets = kept.sum(1).cpu()
        steps = steps_each(encoded.lengths, self.choices.ratio)
        # (B, layers * H, Y, N): the rows of the tokens to be written, all layers' heads side by side
        alpha = torch.cat(made.alpha, 1)[:, :, PREFIX - 1 :]
        late = self.step_s * latency(alpha, steps, n_targets, form=self.timing.form, heads=self.timing.heads).mean()
        spread = self.step_s**2 * variance(alpha, n_targets).mean()
        total = lost + n * (self.timing.latency_weight * late + self.timing.variance_weight * spread)
        right = int((scores.argmax(-1) == target).sum()) / n
        parts = {"token": lost.item() / n, "right": right, "late_s": late.item(), "variance_s2": spread.item()}
        return total, n, parts
