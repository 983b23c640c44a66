"""The speech encoder's lesson in several languages: targets where the events are, and that it can be learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.train.objectives import IGNORE
from ossicle.train.pairs import Pairs
from ossicle.train.recognise import LETTERS, Recognise, letters_of, phones_of, said_at
from ossicle.train.sources import Pair, Sample
from ossicle.world.parts import Event
from ossicle.world.speech import PHONES_3

RNG = np.random.default_rng


def sample(n_samples: int = 8_000, text: str = "Où est l'âne ?") -> Sample:
    events = (Event(0.1, 0.2, "phone", PHONES_3[3]), Event(0.2, 0.201, "phone", PHONES_3[5]))
    wave = RNG(n_samples).normal(scale=0.1, size=n_samples).astype(np.float32)
    return Sample(wave, None, "x", "fr-en", None, events, pair=Pair("fr", "en", text, "Where?"))


def test_letters_are_what_is_heard_of_a_text() -> None:
    told = letters_of("Où est l'âne, Müßig-Ganz?")
    assert "".join(LETTERS[one - 1] for one in told) == "où est l'âne müßig ganz"
    assert min(told) >= 1  # 0 is the blank of CTC


def test_phones_are_where_they_are_heard() -> None:
    phones = phones_of(sample(), 25, 50.0)
    assert phones[:11].tolist() == [IGNORE] * 5 + [3] * 5 + [5]
    assert set(phones[11:].tolist()) == {IGNORE}


def test_tokens_are_where_their_letters_are_said() -> None:
    text = tiny().text
    pair = Pair("en", "fr", "ab cd.", "x")  # tokens: blank a b blank c d .
    events = (Event(0.2, 1.0, "speech", pair.source_text),)
    told = Sample(np.zeros(1, np.float32), None, "x", "t", events=events, pair=pair, words=((0, 0.2), (3, 0.5)))
    places = said_at(told, text, 14, 0.08)
    assert len(text.tokens(pair.source_text)) == 7 and text.places(pair.source_text) == [0, 0, 1, 3, 3, 4, 5]
    assert places[:3].tolist() == [IGNORE] * 3  # 0, 0.08 and 0.16 s
    assert places[3:7].tolist() == [2, 3, 3, 3]  # a at 0.24, b from 0.3 s on
    assert places[7:13].tolist() == [5, 5, 6, 6, 7, 7] and places[13] == IGNORE  # c, d from 0.67, the mark from 0.83
    assert said_at(replace(told, words=()), text, 14, 0.08).tolist() == [IGNORE] * 14


def test_the_worlds_words_are_told() -> None:
    found = Pairs(5, 0, "train", {"de-en": 1.0}, clean=True).sample(3)
    assert found.pair is not None and len(found.words) > 1
    speech = next(event for event in found.events if event.kind == "speech")
    for place, second in found.words:
        assert found.pair.source_text[place].isalnum()
        assert speech.start_s <= second <= speech.end_s
    first = min(event.start_s for event in found.events if event.kind == "phone")
    assert found.words[0][1] == pytest.approx(first, abs=0.05)


def test_frames_are_drawn_to_what_the_text_encoder_makes_of_their_token() -> None:
    model = tiny()
    torch.manual_seed(0)
    objective = Recognise(model)
    told = replace(sample(9_600, "a b"), words=((0, 0.1), (2, 0.3)), events=(Event(0.1, 0.6, "speech", "a b"),))
    batch = objective.collate([objective.item(told, RNG(0))])
    frames = model.frames(batch.features)
    encoded, read = model.adapted(frames), model.read(batch.sources)
    total, _, parts = objective.frame_loss(frames, encoded, batch, read)
    at = batch.said[0] != IGNORE
    assert at.sum() == 6 and model.text_encoder is not None
    far = (encoded.values[0, at] - read.values[0, batch.said[0, at]]).square().mean()
    assert parts["state"] == pytest.approx(far.item(), rel=1e-5)
    total.backward()
    assert all(one.grad is None for one in model.text_encoder.layers.parameters())
    without = objective.frame_loss(model.frames(batch.features), encoded.rows([0]), batch, None)
    assert without[2]["state"] == 0.0 and without[2]["token"] == parts["token"]


def test_an_item_in_a_batch_loses_what_it_loses_alone() -> None:
    model = tiny()
    torch.manual_seed(0)
    objective = Recognise(model)
    items = [objective.item(sample(n), RNG(0)) for n in (8_000, 12_345, 4_000)]
    together, n, _ = objective.loss(model, objective.collate(items))
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    assert n == sum(one[1] for one in alone) == sum(len(item.phones) for item in items)
    assert together.item() == pytest.approx(sum(one[0].item() for one in alone), rel=1e-5)


def test_a_handful_is_learned_by_heart() -> None:
    model = tiny()
    torch.manual_seed(0)
    objective = Recognise(model)
    texts = ("ja", "no", "oui")  # letters are tokens here
    several = [replace(sample(9_600 + 640 * i), pair=Pair("de", "de", text, text)) for i, text in enumerate(texts)]
    batch = objective.collate([replace(objective.item(one, RNG(0))) for one in several])
    optimizer = torch.optim.AdamW([*model.parameters(), *objective.parameters()], lr=3e-3)
    for _ in range(150):
        total, n, parts = objective.loss(model, batch)
        (total / n).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert parts["phone_right"] == 1.0 and parts["ctc_per_frame"] < 0.01
