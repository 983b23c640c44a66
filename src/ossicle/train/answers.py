"""The two lessons that end in an answer: about audio that is told in words, and about audio itself.

``tell`` teaches an LLM alone, ``answer`` any of encoder, bridge and LLM. Knows prompts and models; does not know
optimisers. Source: Chu et al. 2023 for next-token loss on the answer alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import resampled_samples
from ossicle.errors import ConfigError, DataError
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import ClipText, Message, Prompt, render, render_answer
from ossicle.tensors import Features, Frames, side_by_side
from ossicle.train.frozen import FrozenEncoder, Sound, gather
from ossicle.train.hear import Hear, HearItem
from ossicle.train.objectives import IGNORE, Batch, Loss, Spans
from ossicle.train.sources import Question, Sample
from ossicle.world.telling import TELL_HZ, tell

Turns = Sequence[tuple[Question, str]]
"""Questions and answers about one clip."""


def prompt_with_answers(
    tokenizer: Any, pad_id: int, turns: Turns, n: int, *, clip_text: ClipText | None = None
) -> tuple[Prompt, Spans]:
    """A training conversation about one clip of ``n`` audio tokens, and where its answers stand.

    The ids up to the last answer are those that generation sees. An earlier answer counts only where the LLM's chat
    template writes it as generation would give it: some templates rewrite what lies in the past.
    """
    messages: list[Message] = []
    asked: list[tuple[Prompt, list[int]]] = []
    for question, answer in turns:
        messages.append(_asked(question, with_clip=not messages))
        before = render(messages, [n], tokenizer, pad_id=pad_id, clip_text=clip_text)
        asked.append((before, render_answer(tokenizer, answer)))
        messages.append(Message("assistant", (answer,)))
    last, ids = asked[-1]
    whole = last.ids + ids
    spans = [
        (len(before.ids), len(ids)) for before, ids in asked if whole[: len(before.ids) + len(ids)] == before.ids + ids
    ]
    return Prompt(whole, last.slots), tuple(spans)


def _asked(question: Question, *, with_clip: bool) -> Message:
    """A turn of the user, its parts in order; of the clip only counts where it stands."""
    clip = [Clip(np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)] if with_clip else []
    parts = question if isinstance(question, tuple) else (None,) if question is None else (None, question)
    return Message("user", tuple(one for part in parts for one in (clip if part is None else [part])))


def check_fits(prompt: Prompt, context: int, sample: Sample) -> None:
    """Refuse a prompt that the LLM could not read at inference either.

    Raises:
        DataError: prompt and answers have more tokens than the context.
    """
    if len(prompt.ids) > context:
        where = sample.where or sample.task
        raise DataError(f"{where}: audio, question and answer are {len(prompt.ids)} tokens, the model reads {context}")


def turns(sample: Sample) -> Turns:
    """What a sample asks and what follows."""
    return [(sample.question, sample.answer), *sample.more]


def answer_loss(model: AudioLM, embeds: torch.Tensor, mask: torch.Tensor, batch: Batch) -> Loss:
    """Next-token loss on the answers of right-padded prompts; the head runs on the answers' positions only."""
    n = max(len(prompt.ids) for prompt in batch.prompts)
    targets = torch.full((len(batch.prompts), n), IGNORE)
    for row, prompt, answers in zip(targets, batch.prompts, batch.answers, strict=True):
        for start, length in answers:
            row[start - 1 : start + length - 1] = torch.tensor(prompt.ids[start : start + length])
    used = (targets != IGNORE).any(0).nonzero().squeeze(1)
    targets = targets[:, used].to(embeds.device)
    logits = model.llm(
        inputs_embeds=embeds, attention_mask=mask, logits_to_keep=used.to(embeds.device), use_cache=False
    ).logits
    total = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    count = int((targets != IGNORE).sum())
    with torch.no_grad():
        right = ((logits.argmax(-1) == targets) & (targets != IGNORE)).sum().item() / count
    return total, count, {"answer": total.item() / count, "token_accuracy": right}


@dataclass(frozen=True, eq=False)
class TellItem:
    """A prompt with its answers, and the words told in its slots."""

    prompt: Prompt
    answers: Spans
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
        self.context, self.clip_text = model.context, model.clip_text
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
        """A telling with between 0 and 25 % slips, and the prompt around it.

        Raises:
            DataError: it does not fit the model's context.
        """
        assert sample.scene is not None, "a telling needs the ground truth of the world"
        seconds = len(sample.samples) / SAMPLE_RATE
        slips = float(rng.choice([0.0, 0.06, 0.14, 0.25]))
        told = tell(sample.scene, sample.events, seconds, rng, slips=slips)
        prompt, answers = prompt_with_answers(
            self.tokenizer, self.pad_id, turns(sample), len(told), clip_text=self.clip_text
        )
        check_fits(prompt, self.context, sample)
        start = prompt.slots[0].start
        bags = tuple((start + i, key) for i, bag in enumerate(told) for word in bag for key in self.ids(word))
        return TellItem(prompt, answers, bags, seconds, int(rng.integers(2**63)))

    def collate(self, items: Sequence[TellItem]) -> Batch:
        """Items side by side."""
        rows = [(i, place, key) for i, item in enumerate(items) for place, key in item.bags]
        return Batch(
            seconds=sum(item.seconds for item in items),
            prompts=tuple(item.prompt for item in items),
            answers=tuple(item.answers for item in items),
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
        size = model.embedding_rows().norm(dim=1).median() / embeds.shape[-1] ** 0.5
        drawn = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(batch.seed)).to(device)
        shake = drawn * slots.to(device) * size * self.noise
        return answer_loss(model, embeds + told + shake, mask.to(device), batch)


@dataclass(frozen=True, eq=False)
class AnswerItem:
    """Audio features of one clip, the prompt with its answers, and what `Hear` wants if it is asked beside; ``sound``
    in place of features for an encoder that stays as it is."""

    features: Features | None
    hear: HearItem | None
    prompt: Prompt
    answers: Spans
    seconds: float
    sound: Sound | None = None

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
        frozen: the model's encoder, if it stays as it is and hears each clip alone; not together with ``hear``.
    """

    def __init__(
        self,
        model: AudioLM,
        *,
        hear: Hear | None = None,
        hear_weight: float = 0.0,
        frozen: FrozenEncoder | None = None,
    ) -> None:
        self.tokenizer, self.pad_id, self.context = model.tokenizer, model.pad_id, model.context
        if not model.bridge.fixed_rate:
            raise ConfigError(f"training needs a bridge of a fixed rate, {type(model.bridge).__name__} has none")
        self.encoder, self.n_tokens, self.clip_text = model.encoder, model.bridge.max_tokens, model.clip_text
        self.hear, self.hear_weight, self.frozen = hear, hear_weight, frozen
        self._heads: nn.Module = nn.Identity() if hear is None else hear

    @property
    def heads(self) -> nn.Module:
        """The encoder's heads, if its own lessons go on."""
        return self._heads

    def item(self, sample: Sample, rng: np.random.Generator) -> AnswerItem:
        """Features and the prompt around the sample's audio.

        Raises:
            DataError: it does not fit the model's context.
        """
        seconds = len(sample.samples) / SAMPLE_RATE
        hear = features = sound = None
        if self.frozen is not None:
            sound = self.frozen.sound(Clip(sample.samples, SAMPLE_RATE))
            n_samples = resampled_samples(len(sample.samples), SAMPLE_RATE, self.encoder.sample_rate)
        elif self.hear is not None:
            hear = self.hear.item(sample, rng)
            n_samples = hear.n_samples
        else:
            features = self.encoder.features([Clip(sample.samples, SAMPLE_RATE)])
            n_samples = int(features.n_samples[0])
        n = self.n_tokens(self.encoder.n_frames(n_samples))
        prompt, answers = prompt_with_answers(self.tokenizer, self.pad_id, turns(sample), n, clip_text=self.clip_text)
        check_fits(prompt, self.context, sample)
        return AnswerItem(features, hear, prompt, answers, seconds, sound)

    def collate(self, items: Sequence[AnswerItem]) -> Batch:
        """Items side by side."""
        prompts, answers = tuple(item.prompt for item in items), tuple(item.answers for item in items)
        if self.frozen is not None:
            sounds = gather([item.sound for item in items if item.sound is not None])
            return Batch(sum(item.seconds for item in items), prompts=prompts, answers=answers, sounds=sounds)
        if self.hear is None:
            features = side_by_side([item.features for item in items if item.features is not None])
            return Batch(sum(item.seconds for item in items), features, prompts=prompts, answers=answers)
        b = self.hear.collate([item.hear for item in items if item.hear is not None])
        return Batch(b.seconds, b.features, b.letters, b.n_letters, b.phones, b.marks, prompts, answers)

    def frames(self, model: AudioLM, batch: Batch) -> Frames:
        """What the encoder makes of a batch."""
        if self.frozen is not None:
            assert batch.sounds is not None
            return self.frozen.frames(batch.sounds)
        assert batch.features is not None
        return model.encoder(batch.features)

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """Next-token loss on the answers, plus the encoder's own."""
        frames = self.frames(model, batch)
        embeds, mask = model.splice(batch.prompts, model.bridge(frames))
        total, count, parts = answer_loss(model, embeds, mask, batch)
        if self.hear is not None:
            heard, n, more = self.hear.frame_loss(frames, batch)
            total = total + self.hear_weight * heard * (count / n)
            parts |= more
        return total, count, parts
