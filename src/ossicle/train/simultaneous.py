"""Speech to text with moments: each token is learned at the expectation over all times at which it may be written.

Knows pairs, translators and their choices; does not know optimisers, nor policies that use what is learned. The loss is
that of the next token where every head attends as EMMA's expectation says, how late tokens are expected, in seconds,
and how uncertain that is. Some batches are written at a pace instead, from close behind the speaker to when all was
heard. Sources: Ma et al. 2023 (arXiv 2312.04515); Elbayad et al. 2020 (one model for many waits); how much lateness
weighs, and the paces, are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.simul.choice import steps_each
from ossicle.simul.decoder import PREFIX, expected, limited
from ossicle.simul.emma import latency, variance
from ossicle.simul.hearing import choices_of, hearing_of
from ossicle.tensors import Features, stacked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample
from ossicle.train.timing import Timing
from ossicle.translate.translator import Encoded, Translator

AT_ONCE = 0.3
"""Share of the paces that write when all was heard."""
LEADS_S = (0.3, 4.0)
"""The others are so late behind the speaker, seconds."""


@dataclass(frozen=True, eq=False)
class SimultaneousItem:
    """What is heard, (F, T), and what the decoder is to write of it, ``target`` behind ``prefix``.

    ``lead_s`` is how late it is written behind the speaker, infinite when all was heard; None leaves it to the model.
    """

    features: np.ndarray
    n_samples: int
    prefix: list[int]
    target: list[int]
    seconds: float
    lead_s: float | None = None

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class SimultaneousBatch:
    """Items side by side; ``targets`` (B, L) int64, `IGNORE` where nothing is predicted; ``lead_s`` of the first item,
    and how long each lasts."""

    seconds: float
    features: Features
    read: tuple[list[int], ...]
    targets: torch.Tensor
    lead_s: float | None = None
    lasts: tuple[float, ...] = ()

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
        self.outputs_hz = model.encoded_hz
        self.step_s = self.choices.ratio / self.outputs_hz
        self.chunk = max(1, round(self.hearing.chunks.frames * self.outputs_hz / model.banks.rate_hz))
        """Encoder outputs that come together."""
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
        lead_s = self._lead_s(rng) if rng.random() < self.timing.paced else None
        return SimultaneousItem(rows.T, len(sample.samples), self.text.prefix(pair.target), target, seconds, lead_s)

    def _lead_s(self, rng: np.random.Generator) -> float:
        return float("inf") if rng.random() < AT_ONCE else float(rng.uniform(*LEADS_S))

    def collate(self, items: Sequence[SimultaneousItem]) -> SimultaneousBatch:
        """Items side by side."""
        seconds = [item.seconds for item in items]
        read = tuple([*one.prefix, *one.target[:-1]] for one in items)
        targets = np.full((len(read), max(map(len, read))), IGNORE, np.int64)
        for row, one in zip(targets, items, strict=True):
            first = len(one.prefix) - 1
            row[first : first + len(one.target)] = one.target
        features = stacked([item.features for item in items], [item.n_samples for item in items], seconds)
        return SimultaneousBatch(
            sum(seconds), features, read, torch.from_numpy(targets), items[0].lead_s, tuple(seconds)
        )

    def loss(self, model: Translator, batch: SimultaneousBatch) -> Loss:
        """Sum over the tokens; what is late weighs as much as so many tokens' loss."""
        encoded = self.hearing.heard(model, batch.features)
        if batch.lead_s is not None:
            made = limited(model, encoded, batch.read, self.limits(encoded, batch), None)
            lost, n, right = _next_tokens(model, made.states, batch.targets)
            return lost, n, {"paced_token": lost.item() / n, "paced_right": right / n}
        made = expected(model, encoded, batch.read, self.choices)
        lost, n, right = _next_tokens(model, made.states, batch.targets)
        n_targets = (batch.targets != IGNORE).sum(1).cpu()
        steps = steps_each(encoded.lengths, self.choices.ratio)
        # (B, layers * H, Y, N): the rows of the tokens to be written, all layers' heads side by side
        alpha = torch.cat(made.alpha, 1)[:, :, PREFIX - 1 :]
        late = self.step_s * latency(alpha, steps, n_targets, form=self.timing.form, heads=self.timing.heads).mean()
        spread = self.step_s**2 * variance(alpha, n_targets).mean()
        total = lost + n * (self.timing.latency_weight * late + self.timing.variance_weight * spread)
        parts = {"token": lost.item() / n, "right": right / n, "late_s": late.item(), "variance_s2": spread.item()}
        return total, n, parts

    def limits(self, encoded: Encoded, batch: SimultaneousBatch) -> torch.Tensor:
        """What each position may hear where a pace is given: the speaker as even as the text, ``lead_s`` before it, up
        to the end of that chunk; (B, Y) int64 encoder outputs."""
        assert batch.lead_s is not None
        most = max(map(len, batch.read))
        found = torch.empty(len(batch.read), most, dtype=torch.int64)
        for row, (read, n, lasts) in enumerate(zip(batch.read, encoded.lengths.tolist(), batch.lasts, strict=True)):
            written = (torch.arange(most) - (PREFIX - 1)).clamp(min=0)
            heard_s = batch.lead_s + written * lasts / max(1, len(read) - PREFIX + 1)
            chunks = (heard_s.clamp(max=lasts) * self.outputs_hz / self.chunk).ceil()
            found[row] = (chunks.long() * self.chunk).clamp(min=1, max=n)
        return found


def _next_tokens(model: Translator, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """The summed loss of the tokens that are predicted, how many there are, and how many are right."""
    kept = targets != IGNORE
    scores, target = model.logits(states[kept]).float(), targets[kept]
    lost = functional.cross_entropy(scores, target, reduction="sum")
    return lost, len(target), int((scores.argmax(-1) == target).sum())
