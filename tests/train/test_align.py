"""The aligner's lesson: it finds every duration, and nothing else decides."""

import numpy as np
import pytest
import torch

from ossicle.errors import ConfigError, DataError
from ossicle.train.align import Align
from ossicle.train.spoken import SpokenBatch, units_of
from ossicle.translate.aligner import FAR, forward_sum

from .speaking import LETTERS, PER_UNIT, Hearing, Said, hearing, said, several

RNG = np.random.default_rng(0)
WIDE = ("t_conv.1", "f_conv.1", "f_conv.4")


def overfitted(model: Hearing, sentences: list[Said], steps: int = 120) -> SpokenBatch:
    """Train the aligner by the objective's own loss; the first 16 sentences as one batch.

    Neighbours stay unread: who reads them finds alignments that are shifted by some units as good as the right one.
    """
    objective = Align(model, LETTERS)
    items = [objective.item(one.sample, RNG) for one in sentences]
    batches = [objective.collate(items[first : first + 16]) for first in range(0, len(items), 16)]
    learns = [value for name, value in model.aligner.named_parameters() if not name.startswith(WIDE)]
    optimizer = torch.optim.AdamW(learns, lr=2e-2)
    for step in range(steps):
        total, n, _ = objective.loss(model, batches[step % len(batches)])
        optimizer.zero_grad()
        (total / n).backward()
        optimizer.step()
    return batches[0]


@pytest.mark.parametrize("silences", [True, False])
@pytest.mark.parametrize("words", [1, None])
def test_the_aligner_finds_every_duration_and_its_loss_falls_to_nothing(words, silences):
    sentences = several(64, silences=silences, words=words)
    model = hearing(silence=silences)
    batch = overfitted(model, sentences)
    units, n_units = units_of(model, batch.features)
    given = batch.characters.ids, batch.characters.lengths, units, n_units
    lasting = model.aligner.durations(*given)
    for i, one in enumerate(sentences[:16]):
        assert lasting.characters[i, : len(one.durations)].tolist() == one.durations
        assert (lasting.before[i].item(), lasting.after[i].item()) == (one.before, one.after)
    assert lasting.folded(batch.characters.lengths).sum(1).tolist() == n_units.tolist()
    if words == 1 and not silences:  # else a letter or a silence stands twice, and its neighbours must tell which it is
        assert forward_sum(model.aligner(*given), blank=FAR).item() / int(n_units.sum()) < 0.05
        parts = Align(model, LETTERS).loss(model, batch)[2]
        assert parts["one_way"] < 0.05 and parts["sure"] > 0.95


def test_the_pull_to_one_alignment_comes_late():
    model, sentences = hearing(), several(4)
    for weight in (0.0, 1.0):
        objective = Align(model, LETTERS, binarisation_weight=weight)
        batch = objective.collate([objective.item(one.sample, RNG) for one in sentences])
        total, n, parts = objective.loss(model, batch)
        pull = weight * parts["sure"] ** 2 * parts["one_way"]
        assert total.item() / n == pytest.approx(parts["all_ways"] + pull, rel=1e-5)
        assert parts["sure"] == pytest.approx(np.exp(-parts["one_way"])) and parts["sure"] < 0.3


def test_the_prior_counts_if_it_is_wanted():
    model, one = hearing(), said("abc.", 0)
    plain, believing = (Align(model, LETTERS, prior=prior) for prior in (0.0, 1.0))
    batch = plain.collate([plain.item(one.sample, RNG)])
    assert plain.loss(model, batch)[2]["all_ways"] != pytest.approx(believing.loss(model, batch)[2]["all_ways"])


def test_a_loss_in_a_batch_is_the_sum_of_the_losses_alone():
    model, sentences = hearing(), several(4)
    objective = Align(model, LETTERS, binarisation_weight=0.0)
    items = [objective.item(one.sample, RNG) for one in sentences]
    together, n, _ = objective.loss(model, objective.collate(items))
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    torch.testing.assert_close(together, torch.stack([one[0] for one in alone]).sum())
    assert n == sum(one[1] for one in alone) == sum(len(one.sample.samples) for one in sentences) // PER_UNIT


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
