"""The encoder's own lessons: letters by CTC, and for each frame its phone and its marks.

Knows the world's ground truth, features and frames of any encoder; does not know bridges or LLMs. The exact times of
phones give every frame a target from the first step on, which CTC alone does not. Source: Graves et al. 2006 for CTC;
Park et al. 2019 for the masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.bridge.own import Letters
from ossicle.encoders.w2v_bert import STACKED, W2vBertEncoder
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.models.audio_lm import AudioLM
from ossicle.tensors import Features, stacked
from ossicle.train.objectives import IGNORE, Batch, Loss
from ossicle.train.sources import Sample, said_in
from ossicle.world.speech import PHONES
from ossicle.world.telling import LETTERS, MARKS, marks, pitch_known

BLANK = 0
UNKNOWN = 255
"""In the marks of a frame: nobody knows, so no loss."""


@dataclass(frozen=True, eq=False)
class HearItem:
    """What the encoder reads of one sample, (F, M), how many samples it hears, and the targets of its frames."""

    features: np.ndarray
    n_samples: int
    letters: np.ndarray
    phones: np.ndarray
    marks: np.ndarray
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


def mask_features(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SpecAugment in small: up to two bands of 10 bins and two times of 0.15 s set to the mean (Park et al. 2019)."""
    mel = mel.copy()
    fill = mel.mean()
    for _ in range(int(rng.integers(0, 3))):
        first = int(rng.integers(0, mel.shape[0] - 10))
        mel[first : first + int(rng.integers(1, 11))] = fill
    for _ in range(int(rng.integers(0, 3))):
        first = int(rng.integers(0, max(1, mel.shape[1] - 15)))
        mel[:, first : first + int(rng.integers(1, 16))] = fill
    return mel


def masked(features: np.ndarray, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Features with masks, where ``columns`` columns of a picture 100 Hz fine stand in each of theirs.

    Args:
        features: (F, M); a picture of F / columns bins, or a waveform.
        columns: as `picture_columns` tells.
    """
    if columns == 0:
        return features
    n_rows, n = features.shape
    picture = features.T.reshape(n * columns, n_rows // columns).T  # (F, M) -> (bins, 10 ms)
    return np.ascontiguousarray(mask_features(picture, rng).T.reshape(n, n_rows).T)


def picture_columns(encoder: Any) -> int:
    """How many columns of a picture, of 10 ms each, stand side by side in one of an encoder's features; 0 where those
    are waveforms, which are not masked."""
    match encoder:
        case WhisperEncoder():
            return 1
        case W2vBertEncoder():
            return STACKED
        case _:
            return 0


def letters_of(said: str) -> np.ndarray:
    """Ids (n,) int64 of spoken words, from 1: 0 is the blank of CTC."""
    return np.array([LETTERS.index(letter) + 1 for letter in said], np.int64)


def side_by_side_letters(several: Sequence[np.ndarray | None]) -> Letters | None:
    """Letters of a batch's clips; None where nobody knows what any of them says."""
    if all(one is None for one in several):
        return None
    rows = [np.zeros(0, np.int64) if one is None else one for one in several]
    return Letters(torch.from_numpy(np.concatenate(rows)), torch.tensor([len(row) for row in rows]))


def frame_targets(sample: Sample, n_frames: int, *, rate_hz: float = 50.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letters (n,), phones (T,) and marks (T, M) of a sample of the world."""
    assert sample.scene is not None, "frame targets need the ground truth of the world"
    letters = letters_of(said_in(sample.events))
    phones = np.full(n_frames, IGNORE, np.int64)
    for event in sample.events:
        if event.kind == "phone" and event.label in PHONES:
            first = int(event.start_s * rate_hz)
            phones[first : max(int(event.end_s * rate_hz), first + 1)] = PHONES.index(event.label)
    grid = np.zeros((n_frames, len(MARKS)), np.uint8)
    for mark in marks(sample.scene, sample.events):
        grid[int(mark.start_s * rate_hz) : int(np.ceil(mark.end_s * rate_hz)), MARKS.index(mark.word)] = 1
    if not pitch_known(sample.scene):
        grid[:, [MARKS.index("low"), MARKS.index("high")]] = UNKNOWN
    return letters, phones, grid


class Hear(nn.Module):
    """Letters by CTC, and for each frame its phone and its marks.

    Args:
        encoder: whose features and frames.
        phone_weight, mark_weight: of the two frame losses beside CTC.
    """

    def __init__(self, encoder: Any, *, phone_weight: float = 1.5, mark_weight: float = 4.0) -> None:
        super().__init__()
        self.read, self.n_frames, self.rate_hz = encoder.features, encoder.n_frames, encoder.rate_hz  # not its weights
        self.columns = picture_columns(encoder)
        self.norm = nn.LayerNorm(encoder.width)
        self.letter = nn.Linear(encoder.width, 1 + len(LETTERS))
        self.phone = nn.Linear(encoder.width, len(PHONES))
        self.mark = nn.Linear(encoder.width, len(MARKS))
        self.phone_weight, self.mark_weight = phone_weight, mark_weight

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""
        return self

    def item(self, sample: Sample, rng: np.random.Generator) -> HearItem:
        """Masked features and targets."""
        read, seconds = self.read([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
        n_samples = int(read.n_samples[0])
        targets = frame_targets(sample, self.n_frames(n_samples), rate_hz=self.rate_hz)
        return HearItem(masked(read.values[0].numpy(), self.columns, rng), n_samples, *targets, seconds)

    def collate(self, items: Sequence[HearItem]) -> Batch:
        """Items side by side, frames padded to the longest."""
        n = max(len(item.phones) for item in items)
        phones = np.full((len(items), n), IGNORE, np.int64)
        grid = np.full((len(items), n, len(MARKS)), UNKNOWN, np.uint8)
        for i, item in enumerate(items):
            phones[i, : len(item.phones)], grid[i, : len(item.phones)] = item.phones, item.marks
        return Batch(
            seconds=sum(item.seconds for item in items),
            features=features_of(items),
            letters=torch.from_numpy(np.concatenate([item.letters for item in items])),
            n_letters=torch.tensor([len(item.letters) for item in items]),
            phones=torch.from_numpy(phones),
            marks=torch.from_numpy(grid),
        )

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """Frame-summed loss of the encoder alone."""
        assert batch.features is not None
        return self.frame_loss(model.encoder(batch.features), batch)

    def frame_loss(self, frames: Any, batch: Batch) -> Loss:
        """Loss of frames that are there already."""
        assert batch.letters is not None and batch.n_letters is not None
        assert batch.phones is not None and batch.marks is not None
        hidden = self.norm(frames.values.float())
        letters = self.letter(hidden).log_softmax(-1).transpose(0, 1)  # (T, B, 1 + letters)
        ctc = functional.ctc_loss(
            letters, batch.letters, frames.lengths, batch.n_letters, blank=BLANK, reduction="sum", zero_infinity=True
        )
        device = hidden.device
        phones = functional.cross_entropy(
            self.phone(hidden).flatten(0, 1), batch.phones.flatten().to(device), ignore_index=IGNORE, reduction="sum"
        )
        grid = batch.marks.to(device)
        known = (grid != UNKNOWN).float()
        marked = functional.binary_cross_entropy_with_logits(
            self.mark(hidden), (grid == 1).float(), weight=known, reduction="sum"
        )
        n = int(frames.lengths.sum())
        total = ctc + self.phone_weight * phones + self.mark_weight / len(MARKS) * marked
        n_phones = max(int((batch.phones != IGNORE).sum()), 1)
        parts = {
            "ctc_per_frame": ctc.item() / n,
            "phone": phones.item() / n_phones,
            "mark": marked.item() / max(known.sum().item(), 1),
        }
        return total, n, parts


def features_of(items: Sequence[HearItem]) -> Features:
    """What the encoder reads of the items, as one batch."""
    lengths, seconds = [item.n_samples for item in items], [item.seconds for item in items]
    return stacked([item.features for item in items], lengths, seconds)
