"""Objectives: what is asked of the model, and that a batch's loss is the sum of its items' losses."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ossicle.audio.clip import Clip
from ossicle.audio.features import log_mel
from ossicle.errors import ConfigError
from ossicle.prompt.chat import Message, render, render_answer
from ossicle.train.objectives import (
    FRAME_HZ,
    IGNORE,
    LETTERS,
    MARKS,
    PHONES,
    UNKNOWN,
    Answer,
    Hear,
    Objective,
    Tell,
    conversation,
    frame_targets,
    mask_features,
    prompt_with_answer,
    whisper,
)
from ossicle.train.sources import Sample
from ossicle.world.parts import Event, Pause, Scene, Speech, Voice

from .support import samples, tiny_model

MODEL = tiny_model()
RNG = np.random.default_rng


def hear(seed: int = 0) -> Hear:
    torch.manual_seed(seed)
    return Hear(whisper(MODEL))


def items(objective: Objective, n: int, task: str, **kind: Any) -> list[Any]:
    return [objective.item(sample, RNG(i)) for i, sample in enumerate(samples(n, task, **kind))]


OBJECTIVES = {
    "hear": (lambda: hear(), "transcribe", False),
    "hear sounds": (lambda: hear(), "count", False),
    "tell": (lambda: Tell(MODEL, noise=0.0), "transcribe", True),
    "answer": (lambda: Answer(MODEL), "instrument", False),
}


@torch.no_grad()
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batchs_loss_is_the_sum_of_its_items(name: str) -> None:
    make, task, dry = OBJECTIVES[name]
    objective = make()
    several = items(objective, 4, task, dry=dry)
    together, n, parts = objective.loss(MODEL, objective.collate(several))
    alone = [objective.loss(MODEL, objective.collate([item])) for item in several]
    assert n == sum(count for _, count, _ in alone) > 4
    assert together.item() == pytest.approx(sum(total.item() for total, _, _ in alone), rel=1e-4)
    assert together.item() > 0 and all(math.isfinite(value) for value in parts.values())
    batch = objective.collate(several)
    assert batch.seconds == pytest.approx(sum(item.seconds for item in several))
    assert all(item.size > 0 for item in several)


def spoken_sample(pitch: int = 10) -> Sample:
    voice = Voice("espeak", "en-us", "m3", rate_wpm=100, pitch=pitch, warp=1.0)
    events = (
        Event(0.1, 0.5, "speech", "a b"),
        Event(0.1, 0.2, "phone", "eI"),
        Event(0.2, 0.201, "phone", "b"),
        Event(0.3, 0.5, "phone", "unheard of"),
    )
    scene = Scene((Pause(0.1), Speech("a b", voice)))
    return Sample(np.zeros(9_600, np.float32), None, "x", "t", scene, events)


def test_frame_targets_are_where_the_events_are() -> None:
    letters, phones, grid = frame_targets(spoken_sample(), 30)
    assert [LETTERS[letter - 1] for letter in letters] == list("a b")  # 0 is the blank of CTC
    assert phones[:11].tolist() == [IGNORE] * 5 + [PHONES.index("eI")] * 5 + [PHONES.index("b")]
    assert set(phones[11:].tolist()) == {IGNORE}
    for word, wanted in (("speech", 1), ("low", 1), ("slow", 1), ("high", 0), ("rain", 0)):
        column = grid[:, MARKS.index(word)]
        assert set(column[5:25].tolist()) == {wanted} and set(column[:5].tolist()) == {0}, word
    unsure = frame_targets(spoken_sample(pitch=45), 30)[2]
    assert set(unsure[:, [MARKS.index("low"), MARKS.index("high")]].ravel().tolist()) == {UNKNOWN}
    assert set(unsure[5:25, MARKS.index("speech")].tolist()) == {1}


def test_a_hear_item_has_one_target_for_each_frame_of_the_encoder() -> None:
    for n in (1, 160, 161, 320, 321, 9_600):
        sample = replace(spoken_sample(), samples=np.full(n, 0.1, np.float32))
        item = hear().item(sample, RNG(0))
        assert len(item.phones) == len(item.marks) == MODEL.encoder.n_frames(n)
        assert item.seconds == n / 16_000 and MODEL.encoder.rate_hz == FRAME_HZ


def test_padding_and_what_nobody_knows_cost_nothing() -> None:
    objective = hear()
    one, other = items(objective, 2, "count")
    batch = objective.collate([one, other])
    n = min(len(one.phones), len(other.phones))
    short = 0 if len(one.phones) == n else 1
    assert (batch.phones[short, n:] == IGNORE).all() and (batch.marks[short, n:] == UNKNOWN).all()
    frames = MODEL.encoder(batch.features)
    for marks in (batch.marks, torch.full_like(batch.marks, UNKNOWN)):
        asked = replace(batch, marks=marks, phones=torch.full_like(batch.phones, IGNORE))
        total, _, parts = objective.frame_loss(frames, asked)
        assert parts["phone"] == 0 and math.isfinite(total.item())
    assert parts["mark"] == 0


def test_masking_sets_bands_and_times_to_the_mean_and_nothing_else() -> None:
    mel = log_mel(RNG(0).normal(0, 0.1, 16_000).astype(np.float32))
    before = mel.copy()
    shares = []
    for seed in range(30):
        masked = mask_features(mel, RNG(seed))
        changed = masked != mel
        assert np.array_equal(mel, before)
        np.testing.assert_allclose(masked[changed], mel.mean(), rtol=1e-6)
        shares.append(changed.mean())
    assert min(shares) == 0.0 and 0.05 < np.mean(shares) < 0.4
    assert mask_features(mel[:, :3], RNG(1)).shape == (80, 3)


def test_a_prompt_ends_in_its_answer() -> None:
    prompt, n = prompt_with_answer(MODEL.tokenizer, MODEL.pad_id, "what is said?", "a dog", 7)
    answer = render_answer(MODEL.tokenizer, "a dog")
    assert prompt.ids[-n:] == answer and n == len(answer)
    (slot,) = prompt.slots
    assert slot.length == 7 and prompt.ids[slot.start : slot.start + 7] == [MODEL.pad_id] * 7
    clip = Clip(np.zeros(100, np.float32), 16_000)
    asked = render([Message("user", (clip, "what is said?"))], [7], MODEL.tokenizer, pad_id=MODEL.pad_id)
    assert prompt.ids[:-n] == asked.ids
    assert [len(message.content) for message in conversation(None)] == [1]


@torch.no_grad()
def test_the_answer_loss_is_that_of_the_whole_sequence_at_the_answers_places() -> None:
    objective = Answer(MODEL)
    several = items(objective, 3, "instrument")
    batch = objective.collate(several)
    total, count, parts = objective.loss(MODEL, batch)
    wanted = right = 0.0
    for sample in samples(3, "instrument"):
        tokens = MODEL.bridge(MODEL.encoder(MODEL.encoder.features([Clip(sample.samples, 16_000)])))
        n = int(tokens.lengths[0])
        prompt, n_answer = prompt_with_answer(MODEL.tokenizer, MODEL.pad_id, sample.question, sample.answer, n)
        embeds = MODEL.table(torch.tensor(prompt.ids))
        start = prompt.slots[0].start
        embeds[start : start + n] = tokens.values[0, :n]
        logits = MODEL.llm(inputs_embeds=embeds[None]).logits[0, -n_answer - 1 : -1]
        answer = torch.tensor(prompt.ids[-n_answer:])
        wanted += functional.cross_entropy(logits, answer, reduction="sum").item()
        right += (logits.argmax(-1) == answer).sum().item()
    assert total.item() == pytest.approx(wanted, rel=1e-4)
    assert count == sum(item.n_answer for item in several)
    assert parts["token_accuracy"] == pytest.approx(right / count) and parts["answer"] == pytest.approx(wanted / count)


def test_an_answer_may_keep_the_encoders_lessons() -> None:
    ears = hear()
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
            torch.manual_seed(seed)
            losses.append(Tell(MODEL, noise=noise).loss(MODEL, batch)[0].item())
    assert losses[0] == losses[1] and losses[2] != losses[3]


class Ear(torch.nn.Module):
    """An encoder that is no Whisper encoder."""


def test_models_that_cannot_be_trained_are_refused() -> None:
    model = tiny_model()
    model.bridge = torch.nn.Identity()
    model.bridge.fixed_rate = False
    with pytest.raises(ConfigError, match="training needs a bridge of a fixed rate, Identity has none"):
        Answer(model)
    model = tiny_model()
    model.encoder = Ear()
    with pytest.raises(ConfigError, match="training needs a Whisper encoder, the model has Ear"):
        whisper(model)
    assert whisper(MODEL) is MODEL.encoder
