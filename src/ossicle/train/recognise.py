"""The speech encoder's own lesson in several languages: letters by CTC, for each frame its phone, and behind the
adaptor for each frame the token that is being said, and what the text encoder makes of that token.

Knows the world's ground truth, features and frames of a translator; does not know its decoder. The exact times of
phones and words give every frame a target from the first step on, which CTC alone does not. A text decoder that can
read then finds what it knows behind the adaptor, and need not find out by itself which frames belong to which word.
Source: Graves et al. 2006 for CTC; Park et al. 2019 for the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.tensors import Features, Frames, stacked
from ossicle.train.hear import BLANK, masked
from ossicle.train.objectives import IGNORE, Loss
from ossicle.train.sources import Sample
from ossicle.translate.text import TextTokens
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
    phones: np.ndarray
    source: list[int]
    said: np.ndarray
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class RecogniseBatch:
    """Items side by side: letters in a row with ``n_letters`` (B,); phones (B, T) int64, one a moment that a head tells
    of; the sentences ``sources`` as a text encoder reads them, and for each frame behind the adaptor, ``said`` (B, N)
    int64, which place of its sentence is being said, `IGNORE` where none is or none is known."""

    seconds: float
    features: Features
    letters: torch.Tensor
    n_letters: torch.Tensor
    phones: torch.Tensor
    sources: tuple[list[int], ...]
    said: torch.Tensor

    def to(self, device: torch.device) -> "RecogniseBatch":
        """The same on a device."""
        phones, said = self.phones.to(device), self.said.to(device)
        return replace(self, features=self.features.to(device), phones=phones, said=said)


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


def said_at(sample: Sample, text: TextTokens, n: int, frame_s: float) -> np.ndarray:
    """(n,) int64, for each frame of ``frame_s`` seconds the place in ``[language, t1, .., tn, eos]`` of the token that
    is being said at its middle; `IGNORE` where nothing is, or nobody knows. Inside a word time goes by letters.
    """
    found = np.full(n, IGNORE, np.int64)
    end_s = next((event.end_s for event in sample.events if event.kind == "speech"), 0.0)
    if sample.pair is None or not sample.words:
        return found
    marks = [sample.words[0]]
    for place, second in (*sample.words[1:], (len(sample.pair.source_text), end_s)):
        if place > marks[-1][0] and second >= marks[-1][1]:
            marks.append((place, second))
    places, seconds = (np.array(one, np.float64) for one in zip(*marks, strict=True))
    begin_s = np.interp(np.array(text.places(sample.pair.source_text)), places, seconds)
    middle_s = np.arange(n) * frame_s  # a frame of the adaptor reads as much before its place as after it
    inside = (middle_s >= begin_s[0]) & (middle_s < end_s)
    found[inside] = np.searchsorted(begin_s, middle_s[inside], side="right")  # 1 for the first token: behind language
    return found


class Recognise(nn.Module):
    """Letters by CTC, phones by frame; behind the adaptor tokens by frame, and the text encoder's states of them.

    Args:
        model: whose features, frames and tokens.
        phone_weight, token_weight, state_weight: of the other losses beside that of letters.
    """

    def __init__(
        self,
        model: Translator,
        *,
        phone_weight: float = 1.5,
        token_weight: float = 2.0,
        state_weight: float = 4.0,
    ) -> None:
        super().__init__()
        self.banks, self.text, self.n_encoded = model.banks, model.text, model.n_encoded
        self.frame_s = 1 / model.encoded_hz
        self.norm = nn.LayerNorm(model.width)
        self.fine = model.banks.fine
        self.letter = nn.Linear(model.width, self.fine * (1 + len(LETTERS)))
        self.phone = nn.Linear(model.width, self.fine * len(PHONES_3))
        self.token = nn.Linear(model.width, model.settings.vocab_size)
        self.phone_weight, self.token_weight, self.state_weight = phone_weight, token_weight, state_weight

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""
        return self

    def item(self, sample: Sample, rng: np.random.Generator) -> RecogniseItem:
        """Masked features and targets."""
        assert sample.pair is not None
        read, seconds = self.banks.features([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
        n_samples = int(read.n_samples[0])
        phones = phones_of(sample, self.banks.n_moments(n_samples), self.fine * self.banks.rate_hz)
        features = masked(read.values[0].numpy(), self.banks.stack, rng)
        text = sample.pair.source_text
        source = self.text.encode(text, sample.pair.source)
        said = said_at(sample, self.text, self.n_encoded(n_samples), self.frame_s)
        return RecogniseItem(features, n_samples, letters_of(text), phones, source, said, seconds)

    def collate(self, items: Sequence[RecogniseItem]) -> RecogniseBatch:
        """Items side by side, frames padded to the longest."""
        phones = np.full((len(items), max(len(item.phones) for item in items)), IGNORE, np.int64)
        said = np.full((len(items), max(len(item.said) for item in items)), IGNORE, np.int64)
        for i, item in enumerate(items):
            phones[i, : len(item.phones)], said[i, : len(item.said)] = item.phones, item.said
        seconds = [item.seconds for item in items]
        return RecogniseBatch(
            sum(seconds),
            stacked([item.features for item in items], [item.n_samples for item in items], seconds),
            torch.from_numpy(np.concatenate([item.letters for item in items])),
            torch.tensor([len(item.letters) for item in items]),
            torch.from_numpy(phones),
            tuple(item.source for item in items),
            torch.from_numpy(said),
        )

    def loss(self, model: Translator, batch: RecogniseBatch) -> Loss:
        """Frame-summed loss of the speech encoder alone."""
        frames = model.frames(batch.features)
        read = None
        if model.text_encoder is not None:
            with torch.no_grad():
                read = model.read(batch.sources)
        return self.frame_loss(frames, model.adapted(frames), batch, read)

    def frame_loss(self, frames: Frames, encoded: Encoded, batch: RecogniseBatch, read: Encoded | None) -> Loss:
        """Loss of what is there already: the conformer's frames, what the adaptor makes of them, and what the text
        encoder makes of the sentences (more items may follow in ``read``), to which no gradient goes."""
        hidden = self.norm(frames.values.float())
        lengths = self.fine * frames.lengths
        letters = self._finer(self.letter(hidden)).log_softmax(-1).transpose(0, 1)  # (T, B, 1 + letters)
        ctc = functional.ctc_loss(
            letters, batch.letters, lengths, batch.n_letters, blank=BLANK, reduction="sum", zero_infinity=True
        )
        told = batch.phones.flatten()
        scores = self._finer(self.phone(hidden)).flatten(0, 1)
        phones = functional.cross_entropy(scores, told, ignore_index=IGNORE, reduction="sum")
        n, n_phones = int(lengths.sum()), max(int((told != IGNORE).sum()), 1)
        right = int((scores.argmax(-1) == told).sum()) / n_phones
        parts = {"ctc_per_frame": ctc.item() / n, "phone": phones.item() / n_phones, "phone_right": right}
        total = ctc + self.phone_weight * phones
        row, place = torch.nonzero(batch.said != IGNORE, as_tuple=True)
        if len(row):
            heard, at = encoded.values[row, place].float(), batch.said[row, place]
            ids = pad_sequence([torch.tensor(one) for one in batch.sources], batch_first=True).to(at.device)
            scores = self.token(heard)
            tokens = functional.cross_entropy(scores, ids[row, at], reduction="sum")
            total = total + self.token_weight * tokens
            parts |= {"token": tokens.item() / len(row)}
            parts["token_right"] = int((scores.argmax(-1) == ids[row, at]).sum()) / len(row)
            if read is not None:
                far = (heard - read.values[row, at].detach().float()).square().mean(-1).sum()
                total = total + self.state_weight * far
                parts["state"] = far.item() / len(row)
        return total, n, {**dict.fromkeys(("token", "token_right", "state"), 0.0), **parts}

    def _finer(self, scores: torch.Tensor) -> torch.Tensor:
        """(B, T, fine * C) -> (B, fine * T, C): what a frame says of each moment that lies in it."""
        n, t, width = scores.shape
        return scores.reshape(n, t * self.fine, width // self.fine)
