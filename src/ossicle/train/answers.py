"""The two lessons that end in an answer: about audio that is told in words, and about audio itself.

``tell`` teaches an LLM alone, ``answer`` any of encoder, bridge and LLM. Knows prompts and models; does not know
optimisers. Source: Chu et al. 2023 for next-token loss on the answer alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import resampled_samples
from ossicle.bridge.own import OwnLesson
from ossicle.errors import DataError
from ossicle.models.audio_lm import AudioLM, Bridge
from ossicle.prompt.chat import ClipText, Message, Prompt, render, render_answer, resized
from ossicle.tensors import AudioTokens, Features, Frames, side_by_side
from ossicle.train.frozen import FrozenEncoder, Sound, gather
from ossicle.train.hear import Hear, HearItem, letters_of, side_by_side_letters
from ossicle.train.kept import Kept
from ossicle.train.objectives import IGNORE, Batch, Loss, Spans
from ossicle.train.sources import Question, Sample
from ossicle.world.telling import TELL_HZ, tell

Turns = Sequence[tuple[Question, str]]
"""Questions and answers about one clip."""

INSTANT = Clip(np.zeros(1, np.float32), SAMPLE_RATE)
"""Stands in a message for a clip: only that there is one counts in a prompt."""
_DRAWING = Lock()


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
        messages.append(asked_turn(question, with_clip=not messages))
        before = render(messages, [n], tokenizer, pad_id=pad_id, clip_text=clip_text)
        asked.append((before, render_answer(tokenizer, answer)))
        messages.append(Message("assistant", (answer,)))
    last, ids = asked[-1]
    whole = last.ids + ids
    spans = [
        (len(before.ids), len(ids)) for before, ids in asked if whole[: len(before.ids) + len(ids)] == before.ids + ids
    ]
    return Prompt(whole, last.slots), tuple(spans)


def asked_turn(question: Question, *, with_clip: bool) -> Message:
    """A turn of the user, its parts in order; of the clip only counts where it stands."""
    clip = [INSTANT] if with_clip else []
    parts = question if isinstance(question, tuple) else (None,) if question is None else (None, question)
    return Message("user", tuple(one for part in parts for one in (clip if part is None else [part])))


def tokens_in_prompts(model: AudioLM) -> Callable[[int], int]:
    """How many audio tokens a prompt keeps places for, by a clip's samples at the encoder's own rate: of a bridge of a
    fixed rate the exact number, of any other what its rate lets expect; `fitted` makes that exact when the bridge has
    spoken."""
    encoder, bridge = model.encoder, model.bridge

    def n_tokens(n_samples: int) -> int:
        n_frames = encoder.n_frames(n_samples)
        most = bridge.max_tokens(n_frames)
        if bridge.fixed_rate or most == 0:
            return most
        return min(most, max(1, ceil(n_frames * bridge.expected_hz(encoder.rate_hz) / encoder.rate_hz)))

    return n_tokens


def bridged(bridge: Bridge, frames: Frames, seed: int) -> AudioTokens:
    """Audio tokens of a batch in training; what the bridge draws from torch's global generator follows from the seed,
    also where another thread computes another batch of the step meanwhile."""
    with _DRAWING, torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        return bridge(frames)


def fitted(batch: Batch, tokens: AudioTokens) -> Batch:
    """A batch whose prompts keep as many places as the bridge gave tokens, with answers where they then stand.

    A clip that gives more tokens than expected may thereby run over the context: it is learned all the same.
    """
    prompts: list[Prompt] = []
    answers: list[Spans] = []
    for prompt, spans, n in zip(batch.prompts, batch.answers, tokens.lengths.tolist(), strict=True):
        (slot,) = prompt.slots
        new = prompt if slot.length == n else resized(prompt, [n])
        prompts.append(new)
        answers.append(tuple((start + len(new.ids) - len(prompt.ids), length) for start, length in spans))
    return replace(batch, prompts=tuple(prompts), answers=tuple(answers))


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
    in place of features for an encoder that stays as it is, ``said`` the letters spoken where the bridge learns from
    them, ``seed`` of what the bridge draws."""

    features: Features | None
    hear: HearItem | None
    prompt: Prompt
    answers: Spans
    seconds: float
    sound: Sound | None = None
    said: np.ndarray | None = None
    seed: int = 0

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
        frozen: the model's encoder, if it stays as it is and hears each clip alone, or the clips that are kept with
            their frames; not together with ``hear``.

    A bridge with a loss of its own (`ossicle.bridge.own`) learns by it beside.
    """

    def __init__(
        self,
        model: AudioLM,
        *,
        hear: Hear | None = None,
        hear_weight: float = 0.0,
        frozen: FrozenEncoder | Kept | None = None,
    ) -> None:
        self.tokenizer, self.pad_id, self.context = model.tokenizer, model.pad_id, model.context
        self.encoder, self.n_tokens, self.clip_text = model.encoder, tokens_in_prompts(model), model.clip_text
        self.reads_letters = isinstance(model.bridge, OwnLesson)
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
        n_samples = resampled_samples(len(sample.samples), SAMPLE_RATE, self.encoder.sample_rate)
        if sample.sound is not None:
            sound = sample.sound
        elif isinstance(self.frozen, FrozenEncoder):
            sound = self.frozen.sound(Clip(sample.samples, SAMPLE_RATE))
        elif self.hear is not None:
            hear = self.hear.item(sample, rng)
            n_samples = hear.n_samples
        else:
            features = self.encoder.features([Clip(sample.samples, SAMPLE_RATE)])
            n_samples = int(features.n_samples[0])
        n = self.n_tokens(n_samples)
        prompt, answers = prompt_with_answers(self.tokenizer, self.pad_id, turns(sample), n, clip_text=self.clip_text)
        check_fits(prompt, self.context, sample)
        said = letters_of(sample.said) if self.reads_letters and sample.said is not None else None
        return AnswerItem(features, hear, prompt, answers, seconds, sound, said, int(rng.integers(2**63)))

    def collate(self, items: Sequence[AnswerItem]) -> Batch:
        """Items side by side."""
        prompts, answers = tuple(item.prompt for item in items), tuple(item.answers for item in items)
        sounds = [item.sound for item in items if item.sound is not None]
        features = [item.features for item in items if item.features is not None]
        batch = Batch(sum(item.seconds for item in items))
        if sounds:
            batch = replace(batch, sounds=gather(sounds))
        elif features:
            batch = replace(batch, features=side_by_side(features))
        elif self.hear is not None:
            batch = self.hear.collate([item.hear for item in items if item.hear is not None])
        said = side_by_side_letters([item.said for item in items])
        return replace(batch, prompts=prompts, answers=answers, said=said, seed=items[0].seed)

    def frames(self, model: AudioLM, batch: Batch) -> Frames:
        """What the encoder makes of a batch."""
        if batch.sounds is not None:
            assert self.frozen is not None
            return self.frozen.frames(batch.sounds)
        assert batch.features is not None
        return model.encoder(batch.features)

    def loss(self, model: AudioLM, batch: Batch) -> Loss:
        """Next-token loss on the answers, plus the encoder's own and the bridge's own."""
        frames = self.frames(model, batch)
        tokens = bridged(model.bridge, frames, batch.seed)
        batch = fitted(batch, tokens)
        embeds, mask = model.splice(batch.prompts, tokens)
        total, count, parts = answer_loss(model, embeds, mask, batch)
        if isinstance(model.bridge, OwnLesson):
            own = model.bridge.own_loss(frames, batch.said)
            total = total + model.bridge.own_weight * own * count
            parts["bridge"] = own.item()
        if self.hear is not None:
            heard, n, more = self.hear.frame_loss(frames, batch)
            total = total + self.hear_weight * heard * (count / n)
            parts |= more
        return total, count, parts
