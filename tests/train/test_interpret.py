"""Speech and text to text: what is predicted stands where it is predicted, padding says nothing, and a handful of
sentences is learned by heart from either."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from translate.small import noise, tiny

from ossicle.train.interpret import Interpret, together
from ossicle.train.objectives import IGNORE
from ossicle.train.recognise import Recognise
from ossicle.train.sources import Pair, Sample

RNG = np.random.default_rng
PAIRS = (
    Pair("en", "fr", "a dog", "un chien"),
    Pair("en", "de", "a dog", "ein hund"),
    Pair("fr", "en", "deux", "two"),
    Pair("de", "de", "wo?", "wo?"),
)


def samples() -> list[Sample]:
    heard = {"a dog": 6_400, "deux": 9_000, "wo?": 4_321}
    found = []
    for pair in PAIRS:
        n = heard[pair.source_text]
        wave = RNG(n).normal(scale=0.1, size=n).astype(np.float32)
        found.append(Sample(wave, None, pair.target_text, "pair", pair=pair))
    return found


def test_the_state_at_the_language_predicts_the_first_token() -> None:
    model = tiny()
    objective, text = Interpret(model), model.text
    batch = objective.collate([objective.item(one, RNG(0)) for one in samples()])
    for i, pair in enumerate(PAIRS):
        wanted = [*text.tokens(pair.target_text), text.eos]
        assert batch.read[i] == [text.eos, text.ids[pair.target], *wanted[:-1]]
        row = batch.targets[i].tolist()
        assert row[: 1 + len(wanted)] == [IGNORE, *wanted] and {*row[1 + len(wanted) :]} <= {IGNORE}
        assert batch.sources[i] == text.encode(pair.source_text, pair.source)


def test_an_item_in_a_batch_loses_what_it_loses_alone() -> None:
    model = tiny()
    objective = Interpret(model, text_weight=0.5)
    items = [objective.item(one, RNG(0)) for one in samples()]
    total, n, parts = objective.loss(model, objective.collate(items))
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    assert n == sum(one[1] for one in alone)
    assert total.item() == pytest.approx(sum(one[0].item() for one in alone), rel=1e-5)
    assert total.item() == pytest.approx(n * (parts["from_speech"] + 0.5 * parts["from_text"]), rel=1e-5)


def test_sentences_that_are_only_read_are_learned_from_text_alone() -> None:
    model = tiny()
    objective = Interpret(model, text_weight=0.5)
    more = [replace(one, also=PAIRS[2:]) for one in samples()[:2]]
    batch = objective.collate([objective.item(one, RNG(0)) for one in more])
    assert [batch.sources[i] for i in range(6)] == [
        model.text.encode(one.source_text, one.source) for one in (*PAIRS[:2], *PAIRS[2:], *PAIRS[2:])
    ]
    total, n, parts = objective.loss(model, batch)
    assert n == sum(1 + len(model.text.tokens(one.target_text)) for one in PAIRS[:2])
    alone = [objective.loss(model, objective.collate([objective.item(one, RNG(0))])) for one in more]
    assert total.item() == pytest.approx(sum(one[0].item() for one in alone), rel=1e-5)
    plain = objective.loss(model, objective.collate([objective.item(one, RNG(0)) for one in samples()[:2]]))
    assert parts["from_speech"] == pytest.approx(plain[2]["from_speech"], rel=1e-5)
    assert parts["from_text"] != pytest.approx(plain[2]["from_text"], rel=1e-3)


def test_letters_and_phones_are_learned_on_the_side_from_the_same_frames() -> None:
    model = tiny()
    torch.manual_seed(0)
    aside = Recognise(model)
    both = Interpret(model, recognise=aside, recognise_weight=0.3)
    batch = both.collate([both.item(one, RNG(0)) for one in samples()])
    total, n, parts = both.loss(model, batch)
    plain = Interpret(model)
    apart, _, _ = plain.loss(model, plain.collate([plain.item(one, RNG(0)) for one in samples()]))
    own, n_frames, _ = aside.loss(model, aside.collate([aside.item(one, RNG(0)) for one in samples()]))
    assert total.item() == pytest.approx(apart.item() + 0.3 * own.item() * n / n_frames, rel=1e-5)
    assert both.heads is aside and "ctc_per_frame" in parts and "from_text" in parts


def test_a_text_side_learns_without_sound() -> None:
    model = tiny()
    objective = Interpret(model, hears=False)
    batch = objective.collate([objective.item(one, RNG(0)) for one in samples()])
    total, n, parts = objective.loss(model, batch)
    total.backward()
    assert batch.features is None and n == sum(1 + len(model.text.tokens(one.target_text)) for one in PAIRS)
    assert total.item() == pytest.approx(n * parts["from_text"], rel=1e-5) and "from_speech" not in parts
    assert model.speech_encoder is not None and all(one.grad is None for one in model.speech_encoder.parameters())


def test_sources_of_any_lengths_are_one_batch() -> None:
    model = tiny()
    heard = model.hear(model.features([*noise(8_000)]))
    read = model.read([[4, 8, 3]])
    both = together([heard, read])
    assert both.lengths.tolist() == [int(heard.lengths[0]), 3]
    assert both.values[1, 3:].abs().sum() == 0


@pytest.mark.parametrize("smoothing", [0.0, pytest.param(0.1, marks=pytest.mark.slow)])
def test_a_handful_is_learned_by_heart_from_speech_and_from_text(smoothing: float) -> None:
    model = tiny()
    objective = Interpret(model, text_weight=1.0, smoothing=smoothing)
    batch = objective.collate([objective.item(one, RNG(0)) for one in samples()])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(180):
        total, n, parts = objective.loss(model, batch)
        (total / n).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert parts["right_from_speech"] == parts["right_from_text"] == 1.0
    if not smoothing:
        assert parts["from_speech"] < 0.02 and parts["from_text"] < 0.02
    else:
        assert parts["from_speech"] > 0.1  # smoothed targets are never reached
