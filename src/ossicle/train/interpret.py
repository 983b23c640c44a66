"""Speech and text to text, learned together: each sentence is decoded once from what was heard and once from what was
read.

Knows pairs and translators; does not know optimisers. One decoder pass serves both, items of speech and of text side by
side. Source: Barrault et al. 2023 (SeamlessM4T), section 4: next-token loss on the target behind ``[eos, language]``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.encoders.banks import STACKED
from ossicle.tensors import Features, stacked
from ossicle.train.hear import masked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample
from ossicle.translate.translator import Encoded, Translator


@dataclass(frozen=True, eq=False)
class InterpretItem:
    """What is heard, (F, T), what is read, and what is to be written of one sample."""

    features: np.ndarray
    n_samples: int
    source: list[int]
    target: list[int]
    prefix: list[int]
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class InterpretBatch:
    """Items side by side; ``read`` and ``targets`` (B, L) int64, the second `IGNORE` where nothing is predicted."""

    seconds: float
    features: Features
    sources: tuple[list[int], ...]
    read: tuple[list[int], ...]
    targets: torch.Tensor

    def to(self, device: torch.device) -> "InterpretBatch":
        """The same on a device."""
        return replace(self, features=self.features.to(device), targets=self.targets.to(device))


class Interpret(nn.Module):
    """Next tokens of the target, from speech and from text.

    Args:
        model: whose features and tokens.
        text_weight: of what is decoded from text, beside 1 for speech.
        smoothing: share of label smoothing.
    """

    def __init__(self, model: Translator, *, text_weight: float = 0.5, smoothing: float = 0.0) -> None:
        super().__init__()
        self.banks, self.text = model.banks, model.text
        self.text_weight, self.smoothing = text_weight, smoothing
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """None."""
        return self.nothing

    def item(self, sample: Sample, rng: np.random.Generator) -> InterpretItem:
        """Masked features and ids."""
        pair = sample.pair
        assert pair is not None
        read, seconds = self.banks.features([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
        return InterpretItem(
            masked(read.values[0].numpy(), STACKED, rng),
            int(read.n_samples[0]),
            self.text.encode(pair.source_text, pair.source),
            [*self.text.tokens(pair.target_text), self.text.eos],
            self.text.prefix(pair.target),
            seconds,
        )

    def collate(self, items: Sequence[InterpretItem]) -> InterpretBatch:
        """Items side by side."""
        read = tuple([*item.prefix, *item.target[:-1]] for item in items)
        targets = np.full((len(items), max(map(len, read))), IGNORE, np.int64)
        for row, item in zip(targets, items, strict=True):
            first = len(item.prefix) - 1  # the state at the language predicts the first token
            row[first : first + len(item.target)] = item.target
        seconds = [item.seconds for item in items]
        return InterpretBatch(
            sum(seconds),
            stacked([item.features for item in items], [item.n_samples for item in items], seconds),
            tuple(item.source for item in items),
            read,
            torch.from_numpy(targets),
        )

    def loss(self, model: Translator, batch: InterpretBatch) -> Loss:
        """Token-summed loss of both ways; counted are the tokens of one."""
        heard, read = model.hear(batch.features), model.read(batch.sources)
        states = model.states(together([heard, read]), [*batch.read, *batch.read])
        kept = batch.targets != IGNORE
        target = batch.targets[kept]
        sums, right = [], []
        for part in states.chunk(2):
            scores = model.logits(part[kept]).float()
            sums.append(functional.cross_entropy(scores, target, reduction="sum", label_smoothing=self.smoothing))
            right.append(int((scores.argmax(-1) == target).sum()))
        n = len(target)
        parts = {
            "from_speech": sums[0].item() / n,
            "from_text": sums[1].item() / n,
            "right_from_speech": right[0] / n,
            "right_from_text": right[1] / n,
        }
        return sums[0] + self.text_weight * sums[1], n, parts


def together(several: Sequence[Encoded]) -> Encoded:
    """What a decoder attends to, of several batches as one."""
    longest = max(one.values.shape[1] for one in several)
    values = [functional.pad(one.values, (0, 0, 0, longest - one.values.shape[1])) for one in several]
    return Encoded(torch.cat(values), torch.cat([one.lengths for one in several]))
