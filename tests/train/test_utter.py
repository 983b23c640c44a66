"""A unit decoder learns what is said and for how long: overfitted, it says just that."""

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.codec.units import KMeans
from ossicle.errors import ConfigError, DataError, RequestError
from ossicle.train.spoken import learn_codebook, units_of
from ossicle.train.utter import PAUSE, Utter, cut, told
from ossicle.translate.aligner import Durations

from .speaking import LETTERS, WIDTH, hearing, said, several
from .test_align import RNG, overfitted

SEVERAL = several(4, words=1)


def test_the_unit_decoder_says_the_units_and_durations_that_it_was_told():
    model = hearing()
    overfitted(model, several(64, words=1), steps=80)
    objective = Utter(model, LETTERS, hear_share=0.0)
    batch = objective.collate([objective.item(one.sample, RNG) for one in SEVERAL])
    optimizer = torch.optim.AdamW(model.unit_decoder.parameters(), lr=4e-3)
    for _ in range(150):
        total, n, parts = objective.loss(model, batch)
        optimizer.zero_grad()
        (total / n).backward()
        optimizer.step()
    assert parts["unit"] < 0.05 and parts["duration"] < 0.005
    units, durations = told(model, batch)
    for i, one in enumerate(SEVERAL):
        known = list(one.durations)
        known[0] += min(one.before, PAUSE)
        known[-1] += min(one.after, PAUSE)
        assert durations[i, : len(known)].tolist() == known
    states = model.states(model.read(batch.others), batch.read)
    lengths = torch.tensor([len(one) for one in batch.read])
    made = model.unit_decoder(states, lengths, batch.characters)
    assert torch.equal(made.durations, durations)
    for i, n in enumerate(durations.sum(1).tolist()):
        assert made.lengths[i] == n and torch.equal(made.ids[i, :n], units[i, :n])


def test_the_loss_is_of_units_and_of_characters():
    model = hearing()
    losses = []
    for weight in (0.0, 2.0):
        objective = Utter(model, LETTERS, duration_weight=weight, hear_share=0.0)
        batch = objective.collate([objective.item(one.sample, RNG) for one in SEVERAL])
        total, n, parts = objective.loss(model, batch)
        assert n == int(told(model, batch)[1].sum())
        assert total.item() / n == pytest.approx(parts["unit"] + weight * parts["duration"], rel=1e-5)
        losses.append(total.item())
    assert losses[0] < losses[1]


def test_a_loss_in_a_batch_is_the_sum_of_the_losses_alone():
    model = hearing()
    objective = Utter(model, LETTERS, duration_weight=0.0, hear_share=0.0)
    items = [objective.item(one.sample, RNG) for one in SEVERAL]
    together, n, _ = objective.loss(model, objective.collate(items))
    alone = [objective.loss(model, objective.collate([item])) for item in items]
    torch.testing.assert_close(together, torch.stack([one[0] for one in alone]).sum())
    assert n == sum(one[1] for one in alone)


def test_the_decoder_attends_to_the_text_or_to_the_speech_itself():
    model = hearing()
    shares = []
    for share in (0.0, 0.5, 1.0):
        objective = Utter(model, LETTERS, hear_share=share)
        shares.append(np.mean([objective.item(SEVERAL[1].sample, np.random.default_rng(i)).heard for i in range(40)]))
        batch = objective.collate([objective.item(SEVERAL[0].sample, RNG)])
    assert shares[0] == 0 < shares[1] < shares[2] == 1
    assert batch.heard and objective.loss(model, batch)[2]["unit"] != pytest.approx(
        Utter(model, LETTERS, hear_share=0.0).loss(model, _read(batch))[2]["unit"]
    )
    deaf = hearing(reads=False)
    assert Utter(deaf, LETTERS).item(SEVERAL[0].sample, RNG).heard


def _read(batch):
    return type(batch)(batch.seconds, batch.features, batch.characters, batch.read, batch.others, heard=False)


def test_what_the_decoder_reads_is_the_text_of_the_speech_and_what_it_attends_to_is_the_other():
    model = hearing()
    objective = Utter(model, LETTERS)
    one = objective.item(said("abc.", 0).sample, RNG)
    batch = objective.collate([one])
    eos, language = model.text.eos, model.text.ids["en"]
    assert batch.read[0] == [eos, language, *model.text.tokens("abc.")]
    assert batch.others[0] == [language, *model.text.tokens(".cba"), eos]
    assert batch.characters.ids[0].tolist() == [LETTERS[letter] for letter in "\u2581abc."]
    assert batch.characters.counts.shape == (1, len(batch.read[0]))


def test_pauses_at_the_ends_are_cut():
    units = torch.arange(40)[None].repeat(3, 1)
    characters = torch.tensor([[2, 3, 1], [4, 0, 0], [1, 1, 0]])
    lasting = Durations(characters, torch.tensor([9, 2, 5]), torch.tensor([7, 30, 0]))
    left, durations = cut(units, torch.tensor([3, 1, 2]), lasting)
    assert durations.tolist() == [[2 + PAUSE, 3, 1 + PAUSE], [4 + 2 + PAUSE, 0, 0], [1 + 5, 1, 0]]
    assert left[0, :16].tolist() == list(range(9 - PAUSE, 9 + 6 + PAUSE))
    assert left[1, :11].tolist() == list(range(4 + 2 + PAUSE)) and left[2, :7].tolist() == list(range(7))


def test_nothing_but_what_is_trained_gets_a_gradient():
    model = hearing()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith("unit_decoder"))
    objective = Utter(model, LETTERS)
    assert not list(objective.heads.parameters())
    objective.loss(model, objective.collate([objective.item(SEVERAL[0].sample, RNG)]))[0].backward()
    moved = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert moved == {"unit_decoder"}


def test_speech_that_is_too_short_is_a_bad_item_and_a_missing_part_is_named():
    model = hearing()
    one = said("abc fed.", 0).sample
    with pytest.raises(DataError, match="11 characters, 2 of them silence, for 5 units"):
        Utter(model, LETTERS).item(type(one)(one.samples[: 5 * 320], one.pair), RNG)
    for part, named in (("unit_decoder", "unit decoder"), ("aligner", "aligner"), ("codebook", "codebook")):
        model = hearing()
        setattr(model, part, None)
        with pytest.raises(ConfigError, match=f"own has no {named}"):
            Utter(model, LETTERS)


def test_a_codebook_is_learned_of_the_models_own_hidden_states():
    model = hearing()
    samples = [one.sample for one in SEVERAL]
    expected = KMeans(4, WIDTH, seed=3)
    for one in samples:
        expected.add(model.frames(model.features([Clip(one.samples, 16_000)]), layer=1).values[0])
    model.codebook = learn_codebook(model, samples, count=4, layer=1, seed=3)
    assert torch.equal(model.codebook.centroids, expected.codebook(1).centroids) and model.codebook.layer == 1
    units, lengths = units_of(model, model.features([Clip(one.samples, 16_000) for one in samples]))
    assert set(units.unique().tolist()) == {-1, 0, 1, 2, 3}
    assert [int((row >= 0).sum()) for row in units] == lengths.tolist()
    with pytest.raises(RequestError, match="500 centroids need at least as many rows"):
        learn_codebook(model, samples[1:2], count=500, layer=1, seed=3)
