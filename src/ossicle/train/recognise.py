"""The speech encoder's own lesson in several languages: letters by CTC, for each frame its phone, and behind the
adaptor the tokens of the text by CTC.

Knows the world's ground truth, features and frames of a translator; does not know its decoders. The exact times of
phones give every frame a target from the first step on, which CTC alone does not. What can be read off behind the
adaptor is what a text decoder that can read already finds familiar. Source: Graves et al. 2006 for CTC; Watanabe et al.
2017 for CTC beside attention; Park et al. 2019 for the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.encoders.banks import STACKED
from ossicle.tensors import Features, Frames, stacked
from ossicle.train.hear import BLANK, masked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample
from ossicle.translate.translator import Encoded, Translator
from ossicle.world.parallel import spoken_form
from ossicle.world.speech import PHONES_3

LETTERS = " '-abcdefghijklmnopqrstuvwxyz" + "àâäæçèéêëîïôöùûüÿœß"


@dataclass(frozen=True, eq=False)
class RecogniseItem:
    """What the encoder reads of one sample, (F, T), and the targets of its frames."""

    features: np.ndarray
    n_samples: int
    letters: np.ndarray
    tokens: np.ndarray
    phones: np.ndarray
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class RecogniseBatch:
    """Items side by side: letters in a row with ``n_letters`` (B,), tokens so too; phones (B, T) int64."""

    seconds: float
    features: Features
    letters: torch.Tensor
    n_letters: torch.Tensor
    tokens: torch.Tensor
    n_tokens: torch.Tensor
    phones: torch.Tensor

    def to(self, device: torch.device) -> "RecogniseBatch":
        """The same on a device."""
        return replace(self, features=self.features.to(device), phones=self.phones.to(device))


def letters_of(text: str) -> np.ndarray:
    """Ids (n,) int64 of what is said, from 1: 0 is the blank of CTC; what is no known letter is left out."""
    return np.array([LETTERS.index(one) + 1 for one in spoken_form(text) if one in LETTERS], np.int64)


def phones_of(sample: Sample, n_frames: int, rate_hz: float) -> np.ndarray:
    """(T,) int64, the phone at each frame, `IGNORE` where there is none or none is known."""
    phones = np.full(n_frames, IGNORE, np.int64)
    for event in sample.events:
        if event.kind == "phone" and event.label in PHONES_3:
            first = int(event.start_s * rate_hz)
            phones[first : max(int(event.end_s * rate_hz), first + 1)] = PHONES_3.index(event.label)
    return phones


class Recognise(nn.Module):
    """Letters by CTC, phones by frame, tokens by CTC behind the adaptor.

    Args:
        model: whose features, frames and tokens.
        phone_weight, token_weight: of the other two losses beside that of letters.
    """

    def __init__(self, model: Translator, *, phone_weight: float = 1.5, token_weight: float = 1.0) -> None:
        super().__init__()
        self.banks, self.text = model.banks, model.text
        self.norm = nn.LayerNorm(model.width)
        self.letter = nn.Linear(model.width, 1 + len(LETTERS))
        self.phone = nn.Linear(model.width, len(PHONES_3))
        self.token = nn.Linear(model.width, model.settings.vocab_size)
        self.phone_weight, self.token_weight = phone_weight, token_weight

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""
        return self

    def item(self, sample: Sample, rng: np.random.Generator) -> RecogniseItem:
        """Masked features and targets."""
        assert sample.pair is not None
        read, seconds = self.banks.features([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
        n_samples = int(read.n_samples[0])
        phones = phones_of(sample, self.banks.n_frames(n_samples), self.banks.rate_hz)
        features = masked(read.values[0].numpy(), STACKED, rng)
        text = sample.pair.source_text
        tokens = np.array(self.text.tokens(text), np.int64)
        return RecogniseItem(features, n_samples, letters_of(text), tokens, phones, seconds)

    def collate(self, items: Sequence[RecogniseItem]) -> RecogniseBatch:
        """Items side by side, frames padded to the longest."""
        phones = np.full((len(items), max(len(item.phones) for item in items)), IGNORE, np.int64)
        for i, item in enumerate(items):
            phones[i, : len(item.phones)] = item.phones
        seconds = [item.seconds for item in items]
        return RecogniseBatch(
            sum(seconds),
            stacked([item.features for item in items], [item.n_samples for item in items], seconds),
            torch.from_numpy(np.concatenate([item.letters for item in items])),
            torch.tensor([len(item.letters) for item in items]),
            torch.from_numpy(np.concatenate([item.tokens for item in items])),
            torch.tensor([len(item.tokens) for item in items]),
            torch.from_numpy(phones),
        )

    def loss(self, model: Translator, batch: RecogniseBatch) -> Loss:
        """Frame-summed loss of the speech encoder alone."""
        frames = model.frames(batch.features)
        return self.frame_loss(frames, model.adapted(frames), batch)

    def frame_loss(self, frames: Frames, encoded: Encoded, batch: RecogniseBatch) -> Loss:
        """Loss of what is there already: the conformer's frames, and what the adaptor makes of them."""
        hidden = self.norm(frames.values.float())
        letters = self.letter(hidden).log_softmax(-1).transpose(0, 1)  # (T, B, 1 + letters)
        ctc = functional.ctc_loss(
            letters, batch.letters, frames.lengths, batch.n_letters, blank=BLANK, reduction="sum", zero_infinity=True
        )
        scores = self.token(encoded.values.float()).log_softmax(-1).transpose(0, 1)  # (N, B, tokens); blank is padding
        read = functional.ctc_loss(
            scores, batch.tokens, encoded.lengths, batch.n_tokens, blank=BLANK, reduction="sum", zero_infinity=True
        )
        told = batch.phones.flatten()
        scores = self.phone(hidden).flatten(0, 1)
        phones = functional.cross_entropy(scores, told, ignore_index=IGNORE, reduction="sum")
        n, n_phones = int(frames.lengths.sum()), max(int((told != IGNORE).sum()), 1)
        right = int((scores.argmax(-1) == told).sum()) / n_phones
        parts = {"ctc_per_frame": ctc.item() / n, "phone": phones.item() / n_phones, "phone_right": right}
        parts["ctc_per_token"] = read.item() / max(int(batch.n_tokens.sum()), 1)
        return ctc + self.phone_weight * phones + self.token_weight * read, n, parts
