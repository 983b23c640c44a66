"""Tokens with moments: a batch loses what its items lose alone; lateness is in seconds, and costs what is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.hearing import Hearing
from ossicle.train.simultaneous import Simultaneous, SimultaneousBatch, SimultaneousItem
from ossicle.train.sources import Pair, Sample, Sentence
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
        objective = Simultaneous(model, Timing(0.7, 0.3, form=form, paced=0.0))
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
    objective = Simultaneous(model, Timing(form="delay", paced=0.0))
    one = sample("a b c d")
    _, _, parts = objective.loss(model, objective.collate([objective.item(one, RNG(0))]))
    last = model.n_encoded(len(one.samples)) / model.encoded_hz
    assert parts["late_s"] == pytest.approx(last, rel=1e-5) and parts["variance_s2"] == pytest.approx(0, abs=1e-6)
    soon = Simultaneous(taught(bias=1e4), Timing(form="delay", paced=0.0))
    _, _, parts = soon.loss(taught(bias=1e4), soon.collate([soon.item(one, RNG(0))]))
    assert parts["late_s"] == pytest.approx(1 / model.encoded_hz, rel=1e-5)


@pytest.mark.slow
def test_a_handful_is_learned_and_lateness_that_costs_falls() -> None:
    late = []
    for cost in (0.0, 1.0):
        model = taught()
        objective = Simultaneous(model, Timing(cost, 0.1, paced=0.0))
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


def paced(lead_s: float) -> Simultaneous:
    """Which always writes at this pace."""
    objective = Simultaneous(taught(), Timing(paced=0.999))
    objective._lead_s = lambda rng: lead_s  # type: ignore[method-assign]
    return objective


def in_a_row(*texts: str, gap_s: float = 0.5) -> Sample:
    """Sentences with silence between them, and a second of it at the end."""
    parts, sentences, at = [], [], 0.0
    for text in texts:
        wave = sample(text).samples
        sentences.append(Sentence(at, at + len(wave) / 16000, text))
        parts += [wave, np.zeros(round(gap_s * 16000), np.float32)]
        at += len(wave) / 16000 + gap_s
    whole = " ".join(texts)
    samples = np.concatenate([*parts, np.zeros(8000, np.float32)])
    return Sample(samples, None, whole, "pair", pair=Pair("en", "fr", whole, whole), sentences=tuple(sentences))


def test_a_pace_is_how_much_of_the_source_each_token_hears() -> None:
    objective = paced(0.5)
    batch = objective.collate([objective.item(sample(text), RNG(0)) for text in ("a b c d", "d")])
    found = objective.limits(batch)
    assert batch.lead_s == 0.5 and found.shape == (2, max(map(len, batch.read)))
    n, per_s, chunk = [row.end for row in batch.rows], objective.outputs_hz, objective.chunk
    n_tokens = len(batch.read[0]) - 1  # behind the language
    for position, limit in enumerate(found[0, : len(batch.read[0])].tolist()):
        heard_s = min(2.0, 0.5 + max(0, position - 1) * 2.0 / n_tokens)
        assert limit in (n[0], chunk * np.ceil(heard_s * per_s / chunk))
    assert (found.diff(dim=1) >= 0).all() and found[0, 0] == found[0, 1] < n[0]
    assert found[0, len(batch.read[0]) - 1] == n[0] and found[1].tolist() == [n[1]] * found.shape[1]


def test_sentences_in_a_row_are_learned_each_by_itself() -> None:
    objective = paced(float("inf"))
    model, texts = taught(), ("a b c", "d c", "b a d")
    spoken = in_a_row(*texts)
    firsts, ends, silent = set(), set(), 0
    for seed in range(30):
        item = objective.item(spoken, RNG(seed))
        assert [model.text.decode(row.target[:-1]) for row in item.rows[:3]] == list(texts)
        for row, one in zip(item.rows, spoken.sentences, strict=False):
            first_s, end_s = row.first / model.encoded_hz, row.end / model.encoded_hz
            assert (row.first == 0) == (one.start_s == 0) and first_s <= one.start_s + 0.05 + 1e-9
            assert first_s >= one.start_s - 0.5 - 1 / model.encoded_hz and end_s >= one.end_s - 1 / model.encoded_hz
            assert row.first % objective.choices.ratio == 0 and row.start_s == one.start_s
        firsts.add(item.rows[1].first)
        ends.add(item.rows[0].end)
        assert item.rows[2].end == model.n_encoded(len(spoken.samples))
        if len(item.rows) == 4:  # of the silence at the end nothing is written
            silent += 1
            assert item.rows[3].target == [model.text.eos]
            assert item.rows[3].first / model.encoded_hz >= spoken.sentences[-1].end_s - 1 / model.encoded_hz
    assert len(firsts) > 1 and len(ends) > 3 and 1 <= silent <= 12


def test_a_sentence_among_others_loses_what_its_part_of_the_sound_loses() -> None:
    model, spoken = taught(), in_a_row("a b c", "d c")
    for objective in (Simultaneous(model, Timing(0.7, 0.3, paced=0.0)), paced(float("inf")), paced(0.4)):
        items = [objective.item(spoken, RNG(3)), objective.item(sample("b a"), RNG(4))]
        batch = objective.collate(items)
        encoded = objective.hearing.heard(model, batch.features)
        parts = objective.parts(encoded, batch)
        for i, row in enumerate(batch.rows):
            mine = encoded.values[batch.owners[i], row.first : row.end]
            assert torch.equal(parts.values[i, : len(mine)], mine) and not parts.values[i, len(mine) :].any()
        total, n, _ = objective.loss(model, batch)
        each = [objective.loss(model, one) for one in (_alone(objective, items, i, j) for i, j in _places(items))]
        assert n == sum(one[1] for one in each) == sum(len(row.target) for row in batch.rows)
        if batch.lead_s is not None:  # else lateness is a mean over sentences
            assert total.item() == pytest.approx(sum(one[0].item() for one in each), rel=1e-5)


def _places(items: list[SimultaneousItem]) -> list[tuple[int, int]]:
    return [(i, j) for i, item in enumerate(items) for j in range(len(item.rows))]


def _alone(objective: Simultaneous, items: list[SimultaneousItem], i: int, j: int) -> SimultaneousBatch:
    return objective.collate([replace(items[i], rows=(items[i].rows[j],), lead_s=items[0].lead_s)])


def test_who_writes_when_all_was_heard_loses_what_a_translator_loses() -> None:
    model = taught()
    objective = paced(float("inf"))
    some = [sample(text) for text in ("a b c d", "c a")]
    items = [objective.item(one, RNG(0)) for one in some]
    batch = objective.collate(items)
    total, n, parts = objective.loss(model, batch)
    encoded = objective.hearing.heard(model, batch.features)
    scores = model.logits(model.states(encoded, batch.read))
    wanted = torch.nn.functional.cross_entropy(scores.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    assert total.item() == pytest.approx(wanted.item(), rel=1e-5) and {*parts} == {"paced_token", "paced_right"}
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    assert n == sum(one[1] for one in alone)
    assert total.item() == pytest.approx(sum(one[0].item() for one in alone), rel=1e-5)


def test_paces_and_choices_come_in_turns() -> None:
    model = taught()
    objective = Simultaneous(model, Timing(paced=0.5))
    leads = [objective.item(sample("a"), RNG(i)).lead_s for i in range(60)]
    known = [one for one in leads if one is not None]
    assert 20 <= len(known) <= 40 and 3 <= sum(one == float("inf") for one in known) <= 16
    assert all(0.3 <= one <= 4 or one == float("inf") for one in known)
    never = Simultaneous(model, Timing(paced=0.0))
    assert {never.item(sample("a"), RNG(i)).lead_s for i in range(20)} == {None}


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
        ({"paced": 1.0}, "timing: paced is 1, it is a share from 0 to below 1"),
        ({"clips": 0}, "timing: clips is 0, it must be at least 1"),
        ({"chunk_s": 0.0}, r"timing: chunk_s is above 0, left_s 0 or more \(got 0 and 0\)"),
        ({"left_s": -1.0}, r"\(got 0.32 and -1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            Timing(**wrong)
