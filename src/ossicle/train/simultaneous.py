"""Speech to text with moments: each token is learned at the expectation over all times at which it may be written.

Knows pairs, translators and their choices; does not know optimisers, nor policies that use what is learned. The loss is
that of the next token where every head attends as EMMA's expectation says, how late tokens are expected, in seconds,
and how uncertain that is. Of several sentences in a row each is learned by itself, from where the one before ended, and
with the begin of the next one: so a decoder learns where a sentence is over, and what it hears may go on for ever. Some
batches are written at a pace instead, from close behind the speaker to when all was heard. Sources: Ma et al. 2023
(arXiv 2312.04515); Elbayad et al. 2020 (one model for many waits); how much lateness weighs, and the paces, are ours.
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
from ossicle.tensors import Features, length_mask, stacked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample, Sentence
from ossicle.train.timing import Timing
from ossicle.translate.speech_encoder import shortened
from ossicle.translate.translator import Encoded, Translator

AT_ONCE = 0.3
"""Share of the paces that write when all was heard."""
LEADS_S = (0.3, 4.0)
"""The others are so late behind the speaker, seconds."""
EARLY_S, AFTER_S = (-0.05, 0.5), (0.0, 4.0)
"""What is heard of the sentence before, which was translated, and of the one behind, which was not."""
SILENT = 0.15
"""Share of the sounds of whose end, where nothing is said, nothing is to be written."""


@dataclass(frozen=True)
class Row:
    """A sentence within a sound.

    Args:
        first, end: encoder outputs that its translation may look at.
        read, target: what the decoder reads, and is to write at the last positions of it.
        start_s, lasts: when it is said, seconds, and how long.
        ends: the sound ends there, and does not go on.
    """

    first: int
    end: int
    read: list[int]
    target: list[int]
    start_s: float
    lasts: float
    ends: bool


@dataclass(frozen=True, eq=False)
class SimultaneousItem:
    """What is heard, (F, T), and the sentences in it.

    ``lead_s`` is how late they are written behind the speaker, infinite when all was heard; None leaves it to the
    model.
    """

    features: np.ndarray
    n_samples: int
    rows: tuple[Row, ...]
    seconds: float
    lead_s: float | None = None

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class SimultaneousBatch:
    """Items side by side, B of them with R sentences together.

    Args:
        seconds, features: of what is heard.
        rows: of all items, and of which item each is, (R,) int64.
        targets: (R, L) int64, `IGNORE` where nothing is predicted.
        lead_s: of the first item.
    """

    seconds: float
    features: Features
    rows: tuple[Row, ...]
    owners: torch.Tensor
    targets: torch.Tensor
    lead_s: float | None = None

    @property
    def read(self) -> list[list[int]]:
        """What the decoder reads, of each sentence."""
        return [row.read for row in self.rows]

    def to(self, device: torch.device) -> "SimultaneousBatch":
        """The same on a device; which item each sentence is of stays on the CPU."""
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
        self.outputs_hz, self.settings = model.encoded_hz, model.settings
        self.step_s = self.choices.ratio / self.outputs_hz
        self.chunk = max(1, round(self.hearing.chunks.frames * self.outputs_hz / model.banks.rate_hz))
        """Encoder outputs that come together."""
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """None beside the model."""
        return self.nothing

    def item(self, sample: Sample, rng: np.random.Generator) -> SimultaneousItem:
        """Features as they are when sound comes piece by piece, and every sentence with its part of them."""
        pair = sample.pair
        assert pair is not None, "simultaneous translation is learned from the parallel world"
        rows = self.hearing.normed(self.banks, sample.samples)
        seconds = len(sample.samples) / SAMPLE_RATE
        n = shortened(self.banks.n_frames(len(sample.samples)), self.settings)
        sentences = sample.sentences or (Sentence(0.0, seconds, pair.target_text),)
        made = []
        for i, one in enumerate(sentences):
            first = 0 if i == 0 else self._output(one.start_s - rng.uniform(*EARLY_S), n)
            end = n if i == len(sentences) - 1 else self._output(one.end_s + rng.uniform(*AFTER_S), n) + 1
            made.append(self._row(first, max(end, first + 1), n, pair.target, one))
        first = self._output(sentences[-1].end_s + rng.uniform(0.05, 0.2), n)
        if rng.random() < SILENT and first + self.choices.ratio < n:
            nothing = Sentence(first / self.outputs_hz, seconds, "")
            made.append(self._row(first, n, n, pair.target, nothing))
        lead_s = self._lead_s(rng) if rng.random() < self.timing.paced else None
        return SimultaneousItem(rows.T, len(sample.samples), tuple(made), seconds, lead_s)

    def _output(self, second: float, n: int) -> int:
        """The encoder output that begins a step and holds a second."""
        whole = max(0, int(second * self.outputs_hz)) // self.choices.ratio * self.choices.ratio
        return min(whole, (n - 1) // self.choices.ratio * self.choices.ratio)

    def _row(self, first: int, end: int, n: int, language: str, one: Sentence) -> Row:
        prefix, target = self.text.prefix(language), [*self.text.tokens(one.target_text), self.text.eos]
        read, lasts = [*prefix, *target[:-1]], one.end_s - one.start_s
        return Row(first, end, read, target, one.start_s, lasts, ends=end == n)

    def _lead_s(self, rng: np.random.Generator) -> float:
        return float("inf") if rng.random() < AT_ONCE else float(rng.uniform(*LEADS_S))

    def collate(self, items: Sequence[SimultaneousItem]) -> SimultaneousBatch:
        """Items side by side."""
        seconds = [item.seconds for item in items]
        rows = [row for item in items for row in item.rows]
        owners = [i for i, item in enumerate(items) for _ in item.rows]
        targets = np.full((len(rows), max(len(row.read) for row in rows)), IGNORE, np.int64)
        for place, row in zip(targets, rows, strict=True):
            place[len(row.read) - len(row.target) : len(row.read)] = row.target
        features = stacked([item.features for item in items], [item.n_samples for item in items], seconds)
        of = torch.tensor(owners, dtype=torch.int64)
        return SimultaneousBatch(sum(seconds), features, tuple(rows), of, torch.from_numpy(targets), items[0].lead_s)

    def parts(self, encoded: Encoded, batch: SimultaneousBatch) -> Encoded:
        """The part of what is heard that each sentence may look at, R items."""
        lengths = torch.tensor([row.end - row.first for row in batch.rows], dtype=torch.int64)
        most = int(lengths.max())
        first = torch.tensor([row.first for row in batch.rows], dtype=torch.int64)
        at = (first[:, None] + torch.arange(most)).clamp(max=encoded.values.shape[1] - 1)
        values = encoded.values[batch.owners.to(encoded.values.device)[:, None], at.to(encoded.values.device)]
        inside = length_mask(lengths, most).to(values.device, values.dtype)[..., None]
        return Encoded(values * inside, lengths)

    def loss(self, model: Translator, batch: SimultaneousBatch) -> Loss:
        """Sum over the tokens; what is late weighs as much as so many tokens' loss."""
        encoded = self.parts(self.hearing.heard(model, batch.features), batch)
        if batch.lead_s is not None:
            made = limited(model, encoded, batch.read, self.limits(batch), None)
            lost, n, right = _next_tokens(model, made.states, batch.targets)
            return lost, n, {"paced_token": lost.item() / n, "paced_right": right / n}
        ends = torch.tensor([row.ends for row in batch.rows])
        made = expected(model, encoded, batch.read, self.choices, ends=ends)
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

    def limits(self, batch: SimultaneousBatch) -> torch.Tensor:
        """What each position may hear where a pace is given: the speaker as even as the text, ``lead_s`` before it, up
        to the end of that chunk of the sound; (R, Y) int64 encoder outputs."""
        assert batch.lead_s is not None
        found = torch.empty(len(batch.rows), batch.targets.shape[1], dtype=torch.int64)
        for place, row in zip(found, batch.rows, strict=True):
            written = (torch.arange(len(place)) - (PREFIX - 1)).clamp(min=0)
            heard_s = row.start_s + batch.lead_s + written * row.lasts / len(row.target)
            chunks = (heard_s.clamp(max=row.end / self.outputs_hz) * self.outputs_hz / self.chunk).ceil()
            place[:] = (chunks.long() * self.chunk - row.first).clamp(min=1, max=row.end - row.first)
        return found


def _next_tokens(model: Translator, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """The summed loss of the tokens that are predicted, how many there are, and how many are right."""
    kept = targets != IGNORE
    scores, target = model.logits(states[kept]).float(), targets[kept]
    lost = functional.cross_entropy(scores, target, reduction="sum")
    return lost, len(target), int((scores.argmax(-1) == target).sum())
