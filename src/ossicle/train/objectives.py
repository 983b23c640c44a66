"""What is trained: three objectives behind one promise, so that there is one loop.

``hear`` teaches an encoder letters (CTC), phones and marks; ``tell`` teaches an LLM to answer about audio that is
told in words; ``answer`` teaches any of encoder, bridge and LLM to answer about audio itself. Each makes an item of a
sample and a batch of items (in a worker process) and a loss of a batch. Knows models and samples; does not know
optimisers. Source: Graves et al. 2006 for CTC; Chu et al. 2023 for next-token loss on the answer alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.features import log_mel
from ossicle.encoders.whisper import HALO, WhisperEncoder, stack_mels
from ossicle.errors import ConfigError
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import Message, Prompt, render, render_answer
from ossicle.tensors import Features
from ossicle.train.sources import Sample
from ossicle.world.speech import PHONES
from ossicle.world.telling import LETTERS, MARKS, TELL_HZ, marks, pitch_known, tell

FRAME_HZ = 50
IGNORE = -100
BLANK = 0
UNKNOWN = 255
"""In the marks of a frame: nobody knows, so no loss."""

Loss = tuple[torch.Tensor, int, dict[str, float]]
"""Sum over what was counted, the count, and parts of the mean for the log."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Items side by side; what an objective does not need stays None.

    ``features`` (B, ...); ``letters`` all letter ids in a row with ``n_letters`` (B,); ``phones`` (B, T) int64;
    ``marks`` (B, T, M) uint8; ``prompts`` with the answers' ids at their ends and ``n_answers`` ids of answer each;
    ``bags`` (3, n): row, position and token id of each told word; ``seed`` of what the loss itself draws.
    """

    seconds: float
    features: Features | None = None
    letters: torch.Tensor | None = None
    n_letters: torch.Tensor | None = None
    phones: torch.Tensor | None = None
    marks: torch.Tensor | None = None
    prompts: tuple[Prompt, ...] = ()
    n_answers: tuple[int, ...] = ()
    bags: torch.Tensor | None = None
    seed: int = 0


class Objective(Protocol):
    """What the loop knows of what is trained."""

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""

    def item(self, sample: Sample, rng: np.random.Generator) -> Any:
        """What a batch needs of one sample; None where the sample says nothing to this objective."""

    def collate(self, items: Sequence[Any]) -> Batch:
        """Items side by side."""

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """The loss of a batch."""


@dataclass(frozen=True, eq=False)
class HearItem:
    """Log-mel and targets of one sample."""

    mel: np.ndarray
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


def frame_targets(sample: Sample, n_frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letters (n,), phones (T,) and marks (T, M) of a sample of the world."""
    assert sample.scene is not None, "frame targets need the ground truth of the world"
    said = " ".join(event.label for event in sample.events if event.kind == "speech")
    letters = np.array([LETTERS.index(letter) + 1 for letter in said], np.int64)
    phones = np.full(n_frames, IGNORE, np.int64)
    for event in sample.events:
        if event.kind == "phone" and event.label in PHONES:
            phones[
                int(event.start_s * FRAME_HZ) : max(int(event.end_s * FRAME_HZ), int(event.start_s * FRAME_HZ) + 1)
            ] = PHONES.index(event.label)
    grid = np.zeros((n_frames, len(MARKS)), np.uint8)
    for mark in marks(sample.scene, sample.events):
        grid[int(mark.start_s * FRAME_HZ) : int(np.ceil(mark.end_s * FRAME_HZ)), MARKS.index(mark.word)] = 1
    if not pitch_known(sample.scene):
        grid[:, [MARKS.index("low"), MARKS.index("high")]] = UNKNOWN
    return letters, phones, grid


class Hear(nn.Module):
    """Letters by CTC, and for each frame its phone and its marks.

    Args:
        encoder: whose frames; a Whisper encoder, because items carry log-mels.
        phone_weight, mark_weight: of the two frame losses beside CTC.
    """

    def __init__(self, encoder: WhisperEncoder, *, phone_weight: float = 1.5, mark_weight: float = 4.0) -> None:
        super().__init__()
        self.n_mels = encoder.settings.n_mels
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
        """Masked log-mel and targets."""
        mel = mask_features(log_mel(sample.samples, n_mels=self.n_mels, halo=HALO), rng)
        n = (mel.shape[1] - HALO + 1) // 2
        return HearItem(mel, len(sample.samples), *frame_targets(sample, n), len(sample.samples) / SAMPLE_RATE)

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


def whisper(model: AudioLM) -> WhisperEncoder:
    """The model's encoder, which must read log-mels to be trained here.

    Raises:
        ConfigError: it is another kind of encoder.
    """
    if not isinstance(model.encoder, WhisperEncoder):
        raise ConfigError(f"training needs a Whisper encoder, the model has {type(model.encoder).__name__}")
    return model.encoder


def features_of(items: Sequence[HearItem]) -> Features:
    """The items' log-mels as one batch."""
    lengths = [item.n_samples for item in items]
    return stack_mels([item.mel for item in items], lengths, [n / SAMPLE_RATE for n in lengths])


def conversation(question: str | None) -> tuple[Message, ...]:
    """One user turn: a clip, and the question if there is one (voice chat has none)."""
    clip = Clip(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    return (Message("user", (clip,) if question is None else (clip, question)),)


def prompt_with_answer(tokenizer: Any, pad_id: int, question: str | None, answer: str, n: int) -> tuple[Prompt, int]:
    """A training prompt of one clip of ``n`` audio tokens, and how many ids at its end are the answer."""
    prompt = render(conversation(question), [n], tokenizer, pad_id=pad_id)
    ids = render_answer(tokenizer, answer)
    return Prompt(prompt.ids + ids, prompt.slots), len(ids)


def answer_loss(model: AudioLM, embeds: torch.Tensor, mask: torch.Tensor, batch: Batch) -> Loss:
    """Next-token loss on the answers of right-padded prompts; the head runs on the answers' positions only."""
    n = max(len(prompt.ids) for prompt in batch.prompts)
    targets = torch.full((len(batch.prompts), n), IGNORE)
    for row, prompt, n_answer in zip(targets, batch.prompts, batch.n_answers, strict=True):
        end = len(prompt.ids)
        row[end - n_answer - 1 : end - 1] = torch.tensor(prompt.ids[end - n_answer :])
    used = (targets != IGNORE).any(0).nonzero().squeeze(1)
    targets = targets[:, used].to(embeds.device)
    logits = model.llm(inputs_embeds=embeds, attention_mask=mask, logits_to_keep=used.to(embeds.device)).logits
    total = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    count = int((targets != IGNORE).sum())
    with torch.no_grad():
        right = ((logits.argmax(-1) == targets) & (targets != IGNORE)).sum().item() / count
    return total, count, {"answer": total.item() / count, "token_accuracy": right}


@dataclass(frozen=True, eq=False)
class TellItem:
    """A prompt with its answer, and the words told in its slots."""

    prompt: Prompt
    n_answer: int
    bags: tuple[tuple[int, int], ...]
    seconds: float
    seed: int

    @property
    def size(self) -> float:
        """What padding costs by: tokens, as seconds of told audio."""
        return len(self.prompt.ids) / TELL_HZ


class Tell:
    """The LLM answers about tellings: sums of word embeddings in place of audio tokens.

    Args:
        model: whose tokenizer and pad id are used.
        noise: standard deviation of what is added to each told vector, as a share of the median embedding norm.
    """

    def __init__(self, model: AudioLM, *, noise: float = 0.25) -> None:
        self.tokenizer, self.pad_id, self.noise = model.tokenizer, model.pad_id, noise
        self._heads = nn.Identity()
        self._ids: dict[str, tuple[int, ...]] = {}

    @property
    def heads(self) -> nn.Module:
        """Nothing but the model is trained."""
        return self._heads

    def ids(self, word: str) -> tuple[int, ...]:
        """Token ids of a told word: a letter is its own token, a mark is the sum of its pieces."""
        if word not in self._ids:
            if len(word) == 1:
                found = [self.tokenizer.convert_tokens_to_ids("\u2581" if word == " " else word)]
            else:
                found = self.tokenizer(word, add_special_tokens=False)["input_ids"]
            self._ids[word] = tuple(found)
        return self._ids[word]

    def item(self, sample: Sample, rng: np.random.Generator) -> TellItem:
        """A telling with between 0 and 15 % slips, and the prompt around it."""
        assert sample.scene is not None, "a telling needs the ground truth of the world"
        seconds = len(sample.samples) / SAMPLE_RATE
        slips = float(rng.choice([0.0, 0.04, 0.08, 0.15]))
        told = tell(sample.scene, sample.events, seconds, rng, slips=slips)
        prompt, n_answer = prompt_with_answer(self.tokenizer, self.pad_id, sample.question, sample.answer, len(told))
        start = prompt.slots[0].start
        bags = tuple((start + i, key) for i, bag in enumerate(told) for word in bag for key in self.ids(word))
        return TellItem(prompt, n_answer, bags, seconds, int(rng.integers(2**63)))

    def collate(self, items: Sequence[TellItem]) -> Batch:
        """Items side by side."""
        rows = [(i, place, key) for i, item in enumerate(items) for place, key in item.bags]
        return Batch(
            seconds=sum(item.seconds for item in items),
            prompts=tuple(item.prompt for item in items),
            n_answers=tuple(item.n_answer for item in items),
            bags=torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).T,
            seed=items[0].seed,
        )

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """Next-token loss of the LLM alone."""
        assert batch.bags is not None
        table = model.llm.get_input_embeddings()
        n = max(len(prompt.ids) for prompt in batch.prompts)
        ids = torch.full((len(batch.prompts), n), self.pad_id)
        mask = torch.zeros((len(batch.prompts), n), dtype=torch.int64)
        slots = torch.zeros((len(batch.prompts), n, 1))
        for i, prompt in enumerate(batch.prompts):
            ids[i, : len(prompt.ids)] = torch.tensor(prompt.ids)
            mask[i, : len(prompt.ids)] = 1
            for slot in prompt.slots:
                slots[i, slot.start : slot.start + slot.length] = 1
        device = table.weight.device
        row, place, key = batch.bags.to(device)
        embeds = table(ids.to(device))
        told = torch.zeros_like(embeds).index_put((row, place), table(key), accumulate=True)
        size = table.weight.detach().norm(dim=1).median() / embeds.shape[-1] ** 0.5
        drawn = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(batch.seed)).to(device)
        shake = drawn * slots.to(device) * size * self.noise
        return answer_loss(model, embeds + told + shake, mask.to(device), batch)


@dataclass(frozen=True, eq=False)
class AnswerItem:
    """Audio features, the prompt with its answer, and what `Hear` wants."""

    hear: HearItem
    prompt: Prompt
    n_answer: int
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


class Answer:
    """The model answers about audio; with ``hear`` the encoder keeps its own lessons beside.

    Args:
        model: whose tokenizer, encoder and bridge give the lengths.
        hear: the encoder's objective, or None.
        hear_weight: of that objective, per frame against per answer token.
    """

    def __init__(self, model: AudioLM, *, hear: Hear | None = None, hear_weight: float = 0.0) -> None:
        self.tokenizer, self.pad_id = model.tokenizer, model.pad_id
        if not model.bridge.fixed_rate:
            raise ConfigError(f"training needs a bridge of a fixed rate, {type(model.bridge).__name__} has none")
        self.n_tokens, self.n_frames = model.bridge.max_tokens, model.encoder.n_frames
        self.n_mels = whisper(model).settings.n_mels
        self.hear, self.hear_weight = hear, hear_weight
        self._heads: nn.Module = nn.Identity() if hear is None else hear

    @property
    def heads(self) -> nn.Module:
        """The encoder's heads, if its own lessons go on."""
        return self._heads

    def item(self, sample: Sample, rng: np.random.Generator) -> AnswerItem:
        """Features and the prompt around the sample's audio."""
        if self.hear is not None and sample.scene is not None:
            hear = self.hear.item(sample, rng)
        else:
            nothing = np.zeros(0, np.int64)
            mel = log_mel(sample.samples, n_mels=self.n_mels, halo=HALO)
            seconds = len(sample.samples) / SAMPLE_RATE
            hear = HearItem(mel, len(sample.samples), nothing, nothing, np.zeros((0, len(MARKS)), np.uint8), seconds)
        n = self.n_tokens(self.n_frames(hear.n_samples))
        prompt, n_answer = prompt_with_answer(self.tokenizer, self.pad_id, sample.question, sample.answer, n)
        return AnswerItem(hear, prompt, n_answer, hear.seconds)

    def collate(self, items: Sequence[AnswerItem]) -> Batch:
        """Items side by side."""
        prompts, n_answers = tuple(item.prompt for item in items), tuple(item.n_answer for item in items)
        if self.hear is None:
            features = features_of([item.hear for item in items])
            return Batch(sum(item.seconds for item in items), features, prompts=prompts, n_answers=n_answers)
        b = self.hear.collate([item.hear for item in items])
        return Batch(b.seconds, b.features, b.letters, b.n_letters, b.phones, b.marks, prompts, n_answers)

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """Next-token loss on the answers, plus the encoder's own."""
        assert batch.features is not None
        frames = model.encoder(batch.features)
        embeds, mask = model.splice(batch.prompts, model.bridge(frames))
        total, count, parts = answer_loss(model, embeds, mask, batch)
        if self.hear is not None:
            heard, n, more = self.hear.frame_loss(frames, batch)
            total = total + self.hear_weight * heard * (count / n)
            parts |= more
        return total, count, parts
