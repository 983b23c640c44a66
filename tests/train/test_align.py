"""The aligner's lesson: it finds every duration, and nothing else decides."""

import numpy as np
import pytest
import torch

from ossicle.errors import ConfigError, DataError
from ossicle.train.align import Align
from ossicle.train.spoken import SpokenBatch, units_of
from ossicle.translate.aligner import FAR, forward_sum

from .speaking import LETTERS, PER_UNIT, TEXTS, Hearing, Said, hearing, said

RNG = np.random.default_rng(0)


def overfitted(model: Hearing, several: list[Said], steps: int = 120) -> tuple[Align, SpokenBatch, dict[str, float]]:
    """Train the aligner on a batch by the objective's own loss."""
    objective = Align(model, LETTERS)
    batch = objective.collate([objective.item(one.sample, RNG) for one in several])
    optimizer = torch.optim.AdamW(model.aligner.parameters(), lr=1e-2)
    for _ in range(steps):
        total, n, parts = objective.loss(model, batch)
        optimizer.zero_grad()
        (total / n).backward()
        optimizer.step()
    return objective, batch, parts


@pytest.mark.parametrize("silences", [True, False])
def test_the_aligner_finds_every_duration_and_its_loss_falls_to_nothing(silences):
    several = [said(text, seed, silences=silences) for seed, text in enumerate(TEXTS)]
    model = hearing(silence=silences)
    _, batch, parts = overfitted(model, several)
    units, n_units = units_of(model, batch.features)
    given = batch.characters.ids, batch.characters.lengths, units, n_units
    assert forward_sum(model.aligner(*given), blank=FAR).item() / int(n_units.sum()) < 0.02
    assert parts["one_way"] < 0.02 and parts["sure"] > 0.98
    lasting = model.aligner.durations(*given)
    for i, one in enumerate(several):
        assert lasting.characters[i, : len(one.durations)].tolist() == one.durations
        assert (lasting.before[i].item(), lasting.after[i].item()) == (one.before, one.after)
    assert lasting.folded(batch.characters.lengths).sum(1).tolist() == n_units.tolist()


def test_the_pull_to_one_alignment_comes_late():
    model, several = hearing(), [said(text, seed) for seed, text in enumerate(TEXTS)]
    for weight in (0.0, 1.0):
        objective = Align(model, LETTERS, binarisation_weight=weight)
        batch = objective.collate([objective.item(one.sample, RNG) for one in several])
        total, n, parts = objective.loss(model, batch)
        pull = weight * parts["sure"] * parts["one_way"]
        assert total.item() / n == pytest.approx(parts["all_ways"] + pull, rel=1e-5)
        assert parts["sure"] == pytest.approx(np.exp(-parts["one_way"])) and parts["sure"] < 0.3


def test_the_prior_counts_if_it_is_wanted():
    model, one = hearing(), said("abc.", 0)
    plain, believing = (Align(model, LETTERS, prior=prior) for prior in (0.0, 1.0))
    batch = plain.collate([plain.item(one.sample, RNG)])
    assert plain.loss(model, batch)[2]["all_ways"] != pytest.approx(believing.loss(model, batch)[2]["all_ways"])


def test_a_loss_in_a_batch_is_the_sum_of_the_losses_alone():
    model, several = hearing(), [said(text, seed) for seed, text in enumerate(TEXTS)]
    objective = Align(model, LETTERS, binarisation_weight=0.0)
    items = [objective.item(one.sample, RNG) for one in several]
    together, n, _ = objective.loss(model, objective.collate(items))
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    torch.testing.assert_close(together, torch.stack([one[0] for one in alone]).sum())
    assert n == sum(one[1] for one in alone) == sum(len(one.sample.samples) for one in several) // PER_UNIT


def test_nothing_but_the_aligner_gets_a_gradient():
    model = hearing()
    objective = Align(model, LETTERS)
    objective.loss(model, objective.collate([objective.item(said("abc.", 0).sample, RNG)]))[0].backward()
    moved = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert moved == {"aligner"} and not list(objective.heads.parameters())


def test_speech_that_is_too_short_for_its_text_is_a_bad_item():
    model = hearing()
    one = said("abc fed.", 0).sample
    short = type(one)(one.samples[: 10 * PER_UNIT], one.pair)
    with pytest.raises(DataError, match="en-fr: 11 characters, 2 of them silence, for 10 units of speech"):
        Align(model, LETTERS).item(short, RNG)
    model = hearing(silence=False)
    Align(model, LETTERS).item(short, RNG)
    silent = type(one)(one.samples, type(one.pair)("en", "en", "", "a"), where="pairs.jsonl:3")
    with pytest.raises(DataError, match=r"pairs\.jsonl:3: 0 characters, 0 of them silence, for .* one at least"):
        Align(model, LETTERS).item(silent, RNG)


@pytest.mark.parametrize("part", ["codebook", "aligner"])
def test_a_part_that_lacks_is_named(part):
    model = hearing()
    setattr(model, part, None)
    with pytest.raises(ConfigError, match=f"own has no {part}"):
        Align(model, LETTERS)
