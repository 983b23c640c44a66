"""Tokens with moments: a batch loses what its items lose alone; lateness is in seconds, and costs what is said."""

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.hearing import Hearing
from ossicle.train.simultaneous import Simultaneous
from ossicle.train.sources import Pair, Sample
from ossicle.train.timing import Timing
from ossicle.translate.translator import Translator

RNG = np.random.default_rng
WORDS = {"a": 300, "b": 700, "c": 1500, "d": 3000}
"""Words that are tones, half a second each."""
TEXTS = ("a b c d", "d c b a", "b b d a", "c a d d")


def taught(bias: float = -0.5) -> Translator:
    """A tiny translator that listens in chunks of two outputs and chooses."""
    model = tiny()
    torch.manual_seed(1)
    config = model.settings
    stride = round(model.banks.rate_hz / model.encoded_hz)
    model.hearing = Hearing(model.banks.width // model.banks.stack, frames=2 * stride)
    model.choices = Choices(
        model.width, config.decoder_attention_heads, config.decoder_layers, ratio=1, layers=2, bias=bias
    )
    model.hearing.learn(model, [sample(text).samples for text in TEXTS])
    return model


def sample(text: str) -> Sample:
    at = np.arange(8000) / 16000
    wave = np.concatenate([0.2 * np.sin(2 * np.pi * WORDS[word] * at) for word in text.split()])
    wave = (wave + 0.01 * RNG(3).normal(size=len(wave))).astype(np.float32)
    return Sample(wave, None, text, "pair", pair=Pair("en", "fr", text, text))


def test_an_item_in_a_batch_loses_what_it_loses_alone() -> None:
    model = taught()
    for form in ("dal", "delay"):
        objective = Simultaneous(model, Timing(0.7, 0.3, form=form))
        some = [sample(text) for text in ("a b c", "d", "b a")]
        items = [objective.item(one, RNG(0)) for one in some]
        total, n, parts = objective.loss(model, objective.collate(items))
        alone = [objective.loss(model, objective.collate([item])) for item in items]
        assert n == sum(one[1] for one in alone) == sum(1 + len(model.text.tokens(one.answer)) for one in some)
        for name, weights in (("token", [one[1] for one in alone]), ("late_s", [1] * 3), ("variance_s2", [1] * 3)):
            mean = np.average([one[2][name] for one in alone], weights=weights)
            assert parts[name] == pytest.approx(mean, rel=1e-4, abs=1e-6)
        wanted = n * (parts["token"] + 0.7 * parts["late_s"] + 0.3 * parts["variance_s2"])
        assert total.item() == pytest.approx(wanted, rel=1e-5)


def test_who_waits_for_the_end_is_as_late_as_the_source_is_long() -> None:
    model = taught(bias=-1e4)
    objective = Simultaneous(model, Timing(form="delay"))
    one = sample("a b c d")
    _, _, parts = objective.loss(model, objective.collate([objective.item(one, RNG(0))]))
    last = model.n_encoded(len(one.samples)) / model.encoded_hz
    assert parts["late_s"] == pytest.approx(last, rel=1e-5) and parts["variance_s2"] == pytest.approx(0, abs=1e-6)
    soon = Simultaneous(taught(bias=1e4), Timing(form="delay"))
    _, _, parts = soon.loss(taught(bias=1e4), soon.collate([soon.item(one, RNG(0))]))
    assert parts["late_s"] == pytest.approx(1 / model.encoded_hz, rel=1e-5)


def test_a_handful_is_learned_and_lateness_that_costs_falls() -> None:
    late = []
    for cost in (0.0, 1.0):
        model = taught()
        objective = Simultaneous(model, Timing(cost, 0.1))
        batch = objective.collate([objective.item(sample(text), RNG(0)) for text in TEXTS])
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        first = None
        for _ in range(150):
            total, n, parts = objective.loss(model, batch)
            first = first or parts
            (total / n).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        assert parts["token"] < 0.2 * first["token"] and parts["right"] > 0.9
        late.append(parts["late_s"])
    assert late[1] < late[0] - 0.2
    assert late[1] < first["late_s"]


def test_what_it_needs_is_named() -> None:
    model = taught()
    model.choices = None
    with pytest.raises(RequestError, match="does not choose when to write: teach it first"):
        Simultaneous(model)
    model.hearing = None
    with pytest.raises(RequestError, match="does not hear piece by piece: teach it first"):
        Simultaneous(model)
    for wrong, message in (
        ({"latency_weight": -1.0}, "timing: latency_weight is -1, it must be a number of at least 0"),
        ({"variance_weight": float("inf")}, "timing: variance_weight is inf"),
        ({"ratio": 0}, "timing: ratio is 0, it must be at least 1"),
        ({"clips": 0}, "timing: clips is 0, it must be at least 1"),
        ({"chunk_s": 0.0}, r"timing: chunk_s is above 0, left_s 0 or more \(got 0 and 0\)"),
        ({"left_s": -1.0}, r"\(got 0.32 and -1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            Timing(**wrong)
