"""Speech and text to text, learned together: each sentence is decoded once from what was heard and once from what was
read; or text to text alone.

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
from ossicle.tensors import Features, stacked
from ossicle.train.hear import masked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.recognise import Recognise, RecogniseBatch, RecogniseItem
from ossicle.train.sources import Pair, Sample
from ossicle.translate.translator import Encoded, Translator


@dataclass(frozen=True)
class Written:
    """A sentence to read, ``source``, and what the decoder is to write of it, ``target`` behind ``prefix``."""

    source: list[int]
    prefix: list[int]
    target: list[int]


@dataclass(frozen=True, eq=False)
class InterpretItem:
    """What is heard, (F, T), its sentence first, and further ones that are only read; nothing heard is None."""

    features: np.ndarray | None
    n_samples: int
    sentences: tuple[Written, ...]
    seconds: float
    aside: RecogniseItem | None = None

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class InterpretBatch:
    """Items side by side: the sentences of all that is heard, then those that are only read.

    Args:
        seconds, features: of what is heard, B clips; None where all is only read.
        sources: of all sentences, S >= B, the first B of which are heard.
        read: what the decoder reads for each.
        targets: (S, L) int64, `IGNORE` where nothing is predicted.
        aside: what the speech encoder's own lesson is told.
    """

    seconds: float
    features: Features | None
    sources: tuple[list[int], ...]
    read: tuple[list[int], ...]
    targets: torch.Tensor
    aside: RecogniseBatch | None = None

    def to(self, device: torch.device) -> "InterpretBatch":
        """The same on a device."""
        features = None if self.features is None else self.features.to(device)
        aside = None if self.aside is None else self.aside.to(device)
        return replace(self, features=features, targets=self.targets.to(device), aside=aside)


class Interpret(nn.Module):
    """Next tokens of the target, from speech and from text.

    Args:
        model: whose features and tokens.
        text_weight: of all that is decoded from text, beside 1 for speech.
        smoothing: share of label smoothing.
        recognise: the speech encoder's own lesson, learned on the side from the same frames.
        recognise_weight: of that lesson, per frame against per token.
        hears: false learns from text alone.
    """

    def __init__(
        self,
        model: Translator,
        *,
        text_weight: float = 0.5,
        smoothing: float = 0.0,
        recognise: Recognise | None = None,
        recognise_weight: float = 0.0,
        hears: bool = True,
    ) -> None:
        super().__init__()
        self.banks, self.text = model.banks, model.text
        self.text_weight, self.smoothing, self.hears = text_weight, smoothing, hears
        self.recognise, self.recognise_weight = recognise, recognise_weight
        self.nothing = nn.Module()

    @property
    def heads(self) -> nn.Module:
        """Those of the lesson on the side."""
        return self.nothing if self.recognise is None else self.recognise

    def item(self, sample: Sample, rng: np.random.Generator) -> InterpretItem:
        """Masked features and ids."""
        assert sample.pair is not None
        seconds = len(sample.samples) / SAMPLE_RATE
        sentences = tuple(self._written(pair) for pair in (sample.pair, *sample.also))
        if not self.hears:
            return InterpretItem(None, len(sample.samples), sentences, seconds)
        if self.recognise is not None:
            aside = self.recognise.item(sample, rng)
            return InterpretItem(aside.features, aside.n_samples, sentences, seconds, aside)
        read = self.banks.features([Clip(sample.samples, SAMPLE_RATE)])
        features = masked(read.values[0].numpy(), self.banks.stack, rng)
        return InterpretItem(features, int(read.n_samples[0]), sentences, seconds)

    def _written(self, pair: Pair) -> Written:
        source = self.text.encode(pair.source_text, pair.source)
        return Written(source, self.text.prefix(pair.target), [*self.text.tokens(pair.target_text), self.text.eos])

    def collate(self, items: Sequence[InterpretItem]) -> InterpretBatch:
        """Items side by side."""
        sentences = [item.sentences[0] for item in items]
        sentences += [one for item in items for one in item.sentences[1:]]
        read = tuple([*one.prefix, *one.target[:-1]] for one in sentences)
        targets = np.full((len(read), max(map(len, read))), IGNORE, np.int64)
        for row, one in zip(targets, sentences, strict=True):
            first = len(one.prefix) - 1  # the state at the language predicts the first token
            row[first : first + len(one.target)] = one.target
        seconds = [item.seconds for item in items]
        aside = [item.aside for item in items if item.aside is not None]
        told = self.recognise.collate(aside) if self.recognise is not None and aside else None
        heard = [item.features for item in items if item.features is not None]
        features = None if told is None else told.features
        if heard and told is None:
            features = stacked(heard, [item.n_samples for item in items], seconds)
        sources = tuple(one.source for one in sentences)
        return InterpretBatch(sum(seconds), features, sources, read, torch.from_numpy(targets), told)

    def loss(self, model: Translator, batch: InterpretBatch) -> Loss:
        """Token-summed loss of both ways; counted are the tokens of what is heard. What is read weighs as much whether
        one sentence is read for each that is heard, or several."""
        read = model.read(batch.sources)
        if batch.features is None:
            lost, n, parts = self._lost(model, model.states(read, batch.read), batch.targets, "text")
            return lost, n, parts
        frames = model.frames(batch.features)
        heard = model.adapted(frames)
        n_heard, n_read = len(heard.lengths), len(read.lengths)
        states = model.states(together([heard, read]), [*batch.read[:n_heard], *batch.read])
        from_speech, n, parts = self._lost(model, states[:n_heard], batch.targets[:n_heard], "speech")
        from_text, _, more = self._lost(model, states[n_heard:], batch.targets, "text")
        total, parts = from_speech + self.text_weight * n_heard / n_read * from_text, {**parts, **more}
        if self.recognise is not None and batch.aside is not None:
            own, n_frames, more = self.recognise.frame_loss(frames, heard, batch.aside, read)
            total, parts = total + self.recognise_weight * own * (n / n_frames), {**parts, **more}
        return total, n, parts

    def _lost(self, model: Translator, states: torch.Tensor, targets: torch.Tensor, way: str) -> Loss:
        """What is lost over the tokens that are to be predicted."""
        kept = targets != IGNORE
        target = targets[kept]
        scores = model.logits(states[kept]).float()
        lost = functional.cross_entropy(scores, target, reduction="sum", label_smoothing=self.smoothing)
        right = int((scores.argmax(-1) == target).sum()) / len(target)
        return lost, len(target), {f"from_{way}": lost.item() / len(target), f"right_from_{way}": right}


def together(several: Sequence[Encoded]) -> Encoded:
    """What a decoder attends to, of several batches as one."""
    longest = max(one.values.shape[1] for one in several)
    values = [functional.pad(one.values, (0, 0, 0, longest - one.values.shape[1])) for one in several]
    return Encoded(torch.cat(values), torch.cat([one.lengths for one in several]))
