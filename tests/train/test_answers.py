"""Answers: what is asked of the model, and at which places it is told how well it did."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional

from ossicle.audio.clip import Clip
from ossicle.bridge.own import Letters
from ossicle.bridge.pooling import MeanPool
from ossicle.data.check import Longest, check
from ossicle.evaluate.contracts import check_encoder
from ossicle.evaluate.items import manifest_items
from ossicle.prompt.chat import CHATML, Message, render, render_answer
from ossicle.tensors import AudioTokens, Frames
from ossicle.train.answers import Answer, Tell, prompt_with_answers, tokens_in_prompts
from ossicle.train.frozen import FrozenEncoder
from ossicle.train.sources import Manifest, Sample
from ossicle.train.stage import reader_of

from .support import MODEL, RNG, Ear, items, samples, tiny_hear, tiny_model


def test_a_prompt_ends_in_its_answer() -> None:
    prompt, ((start, n),) = prompt_with_answers(MODEL.tokenizer, MODEL.pad_id, [("what is said?", "a dog")], 7)
    answer = render_answer(MODEL.tokenizer, "a dog")
    assert prompt.ids[start:] == answer and n == len(answer)
    (slot,) = prompt.slots
    assert slot.length == 7 and prompt.ids[slot.start : slot.start + 7] == [MODEL.pad_id] * 7
    clip = Clip(np.zeros(100, np.float32), 16_000)
    asked = render([Message("user", (clip, "what is said?"))], [7], MODEL.tokenizer, pad_id=MODEL.pad_id)
    assert prompt.ids[:start] == asked.ids


def test_every_answer_of_a_conversation_stands_where_generation_would_give_it() -> None:
    told: list[tuple[str | None, str]] = [(None, "a dog"), ("which animal?", "dog"), ("how many?", "one")]
    prompt, spans = prompt_with_answers(MODEL.tokenizer, MODEL.pad_id, told, 5)
    clip = Clip(np.zeros(100, np.float32), 16_000)
    turns: list[Message] = []
    for (question, answer), (start, n) in zip(told, spans, strict=True):
        turns.append(Message("user", ((clip,) if question is None else (question,))))
        assert prompt.ids[:start] == render(turns, [5], MODEL.tokenizer, pad_id=MODEL.pad_id).ids
        assert prompt.ids[start : start + n] == render_answer(MODEL.tokenizer, answer)
        turns.append(Message("assistant", (answer,)))
    assert sum(spans[-1]) == len(prompt.ids) and len(prompt.slots) == 1


def test_an_answer_that_the_template_rewrites_in_the_past_does_not_count() -> None:
    tokenizer = copy.deepcopy(MODEL.tokenizer)
    tokenizer.chat_template = CHATML.replace("{{ message.role }}", "{{ message.role }}{{ '!' if loop.last else '' }}")
    told: list[tuple[str | None, str]] = [("which animal?", "dog"), ("how many?", "one")]
    prompt, ((start, n),) = prompt_with_answers(tokenizer, MODEL.pad_id, told, 5)
    assert prompt.ids[start : start + n] == render_answer(tokenizer, "one") and start + n == len(prompt.ids)


@pytest.mark.parametrize("content", ["A", "AT", "TA", "TAT", "ATT", "TTA", "A-"])
def test_a_manifest_is_learned_in_the_order_in_which_it_is_asked(tmp_path: Path, content: str) -> None:
    soundfile.write(tmp_path / "a.wav", RNG(0).normal(0, 0.1, 8_000), 16_000)
    parts = {
        "A": {"type": "audio", "path": "a.wav"},
        "T": {"type": "text", "text": "hm?"},
        "-": {"type": "text", "text": ""},
    }
    user = {"role": "user", "content": [parts[one] for one in content]}
    line = {"messages": [user, {"role": "assistant", "content": "yes"}]}
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(line))
    (_, _, (asked,), _) = next(manifest_items(path, None))
    item = Answer(MODEL).item(Manifest(path, 1).sample(0), RNG(0))
    n = item.prompt.slots[0].length
    wanted = render(asked.messages, [n], MODEL.tokenizer, pad_id=MODEL.pad_id)
    assert item.prompt.ids == wanted.ids + render_answer(MODEL.tokenizer, "yes") and item.prompt.slots == wanted.slots
    length = check(path, reader=reader_of(MODEL, Longest(9.0))).lengths[1]
    assert length.audio_tokens + length.text_tokens == len(item.prompt.ids)


@pytest.mark.parametrize("short", [0, 1, 161, 400])
def test_the_longest_clip_is_trained_on_as_it_is_heard(short: int) -> None:
    samples = RNG(0).normal(0, 0.1, MODEL.encoder.max_samples - short).astype(np.float32)
    objective = Answer(MODEL)
    batch = objective.collate([objective.item(Sample(samples, "what?", "x", "own"), RNG(0))])
    heard = MODEL.encoder.features([Clip(samples, 16_000)])
    assert batch.features is not None and torch.equal(batch.features.values, heard.values)


@torch.no_grad()
@pytest.mark.parametrize("task", ["instrument", "order"])
def test_the_answer_loss_is_that_of_the_whole_sequence_at_the_answers_places(task: str) -> None:
    objective = Answer(MODEL)
    several = items(objective, 3, task)
    batch = objective.collate(several)
    total, count, parts = objective.loss(MODEL, batch)
    wanted = right = 0.0
    for sample in samples(3, task):
        tokens = MODEL.bridge(MODEL.encoder(MODEL.encoder.features([Clip(sample.samples, 16_000)])))
        n = int(tokens.lengths[0])
        asked = [(sample.question, sample.answer), *sample.more]
        prompt, spans = prompt_with_answers(MODEL.tokenizer, MODEL.pad_id, asked, n)
        assert len(spans) == len(asked) > 1
        embeds = MODEL.table(torch.tensor(prompt.ids))
        start = prompt.slots[0].start
        embeds[start : start + n] = tokens.values[0, :n]
        logits = MODEL.llm(inputs_embeds=embeds[None]).logits[0]
        for begin, length in spans:
            answer = torch.tensor(prompt.ids[begin : begin + length])
            given = logits[begin - 1 : begin + length - 1]
            wanted += functional.cross_entropy(given, answer, reduction="sum").item()
            right += (given.argmax(-1) == answer).sum().item()
    assert total.item() == pytest.approx(wanted, rel=1e-4)
    assert count == sum(length for item in several for _, length in item.answers)
    assert parts["token_accuracy"] == pytest.approx(right / count) and parts["answer"] == pytest.approx(wanted / count)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("kept", [False, True])
def test_an_encoder_may_hear_at_another_rate(rate: int, kept: bool) -> None:
    model = tiny_model()
    model.encoder = Ear(rate)
    assert check_encoder(model.encoder, examples=3).kept
    objective = Answer(model, frozen=FrozenEncoder(model.encoder) if kept else None)
    count = reader_of(model, Longest()).n_tokens
    several = []
    for n_samples in (4_001, 16_000, 20_319, 20_320, 20_321):
        sample = Sample(RNG(0).normal(0, 0.1, n_samples).astype(np.float32), "what?", "x", "own")
        several.append(objective.item(sample, RNG(0)))
        assert several[-1].prompt.slots[0].length == count(n_samples)
    assert math.isfinite(objective.loss(model, objective.collate(several))[0].item())


def test_an_answer_may_keep_the_encoders_lessons() -> None:
    ears = tiny_hear()
    plain, both = Answer(MODEL), Answer(MODEL, hear=ears, hear_weight=0.5)
    assert both.heads is ears and not list(plain.heads.parameters())
    item = both.item(samples(1, "count")[0], RNG(0))
    batch = both.collate([item])
    total, count, parts = both.loss(MODEL, batch)
    answer, _, _ = plain.loss(MODEL, batch)
    heard, n, more = ears.frame_loss(MODEL.encoder(batch.features), batch)
    assert total.item() == pytest.approx(answer.item() + 0.5 * heard.item() * count / n, rel=1e-5)
    assert parts.keys() == {"answer", "token_accuracy", *more}
    total.backward()
    assert all(value.grad is not None for value in ears.parameters())
    MODEL.zero_grad()


def test_told_words_are_embeddings_in_the_slots() -> None:
    objective = Tell(MODEL, noise=0.0)
    assert objective.ids("a") == (MODEL.tokenizer.convert_tokens_to_ids("a"),)
    assert objective.ids(" ") == (MODEL.tokenizer.convert_tokens_to_ids("\u2581"),)
    assert len(objective.ids("rain")) >= 4 and objective.ids("rain") == objective.ids("rain")
    several = items(objective, 2, "transcribe", dry=True)
    batch = objective.collate(several)
    for item, prompt in zip(several, batch.prompts, strict=True):
        (slot,) = prompt.slots
        assert slot.length == math.ceil(item.seconds * 25 - 1e-9)
        assert all(slot.start <= place < slot.start + slot.length for place, _ in item.bags)
        assert {key for _, key in item.bags} & {objective.ids(letter)[0] for letter in "aeiou"}
    assert not list(objective.heads.parameters())
    quiet = replace(batch, bags=torch.zeros((3, 0), dtype=torch.int64))
    assert objective.loss(MODEL, batch)[0].item() != objective.loss(MODEL, quiet)[0].item()


@torch.no_grad()
def test_noise_shakes_only_what_is_told() -> None:
    batch = Tell(MODEL).collate(items(Tell(MODEL), 2, "transcribe", dry=True))
    losses = []
    for noise in (0.0, 0.25):
        for seed in (1, 2):
            losses.append(Tell(MODEL, noise=noise).loss(MODEL, replace(batch, seed=seed))[0].item())
    assert losses[0] == losses[1] and losses[2] != losses[3]
    assert losses[3] == Tell(MODEL, noise=0.25).loss(MODEL, replace(batch, seed=2))[0].item()


class Halves(MeanPool):
    """As many tokens as the mean pool gives, but for the later half of the clips of a batch one less."""

    fixed_rate = False

    def max_tokens(self, n_frames: int) -> int:
        return 2 * super().max_tokens(n_frames)

    def forward(self, frames: Frames) -> AudioTokens:
        tokens = super().forward(frames)
        lengths = tokens.lengths.clone()
        lengths[len(lengths) // 2 :] -= 1
        return replace(tokens, lengths=lengths)


class Draws(MeanPool):
    """One or two tokens less, drawn at random, and a loss of its own: the letters, and how large the frames are."""

    own_weight = 0.5

    def forward(self, frames: Frames) -> AudioTokens:
        tokens = super().forward(frames)
        return replace(tokens, lengths=tokens.lengths - int(torch.randint(1, 3, ())))

    def own_loss(self, frames: Frames, letters: Letters | None) -> torch.Tensor:
        self.told = letters
        return frames.values.square().mean()


@torch.no_grad()
def test_prompts_follow_the_tokens_that_a_bridge_of_no_fixed_rate_gives() -> None:
    model = tiny_model()
    model.bridge = Halves(16, 16, k=2)
    objective = Answer(model)
    assert tokens_in_prompts(model)(16_000) == 25 and tokens_in_prompts(MODEL)(16_000) == 25
    several = items(objective, 4, "instrument")
    total, count, _ = objective.loss(model, objective.collate(several))
    wanted = 0.0
    for i, sample in enumerate(samples(4, "instrument")):
        tokens = MeanPool.forward(model.bridge, model.encoder(model.encoder.features([Clip(sample.samples, 16_000)])))
        n = int(tokens.lengths[0]) - (i >= 2)
        asked = [(sample.question, sample.answer), *sample.more]
        prompt, spans = prompt_with_answers(model.tokenizer, model.pad_id, asked, n)
        embeds = model.table(torch.tensor(prompt.ids))
        start = prompt.slots[0].start
        embeds[start : start + n] = tokens.values[0, :n]
        logits = model.llm(inputs_embeds=embeds[None]).logits[0]
        for begin, length in spans:
            answer = torch.tensor(prompt.ids[begin : begin + length])
            wanted += functional.cross_entropy(logits[begin - 1 : begin + length - 1], answer, reduction="sum").item()
    assert total.item() == pytest.approx(wanted, rel=1e-4)
    assert count == sum(length for item in several for _, length in item.answers)


@torch.no_grad()
def test_what_a_bridge_draws_follows_from_the_batch_and_its_own_loss_is_added() -> None:
    model = tiny_model()
    model.bridge = Draws(16, 16, k=2)
    objective = Answer(model)
    speech, music = items(objective, 1, "transcribe"), items(objective, 1, "instrument")
    batch = objective.collate([*speech, *music])
    torch.manual_seed(1)
    state = torch.get_rng_state()
    total, count, parts = objective.loss(model, batch)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert objective.loss(model, batch)[0].item() == total.item()
    own = model.bridge.own_loss(objective.frames(model, batch), batch.said)
    assert parts["bridge"] == pytest.approx(own.item())
    assert total.item() == pytest.approx(parts["answer"] * count + 0.5 * own.item() * count, rel=1e-5)
    told = model.bridge.told
    said = samples(1, "transcribe")[0].said
    assert (
        told.n.tolist() == [len(said), 0]
        and told.ids.tolist() == tiny_hear().collate(items(tiny_hear(), 1, "transcribe")).letters.tolist()
    )
    losses = {objective.loss(model, replace(batch, seed=seed))[0].item() for seed in range(8)}
    assert len(losses) == 2
    unknown = replace(speech[0], said=None)
    assert objective.collate([unknown]).said is None
    assert objective.collate([unknown, speech[0]]).said.n.tolist() == [0, len(said)]
