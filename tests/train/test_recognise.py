"""The speech encoder's lesson in several languages: targets where the events are, and that it can be learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.train.objectives import IGNORE
from ossicle.train.recognise import LETTERS, Recognise, letters_of, phones_of
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
    assert parts["phone_right"] == 1.0 and parts["ctc_per_frame"] < 0.01 and parts["ctc_per_token"] < 0.05
