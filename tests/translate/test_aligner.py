"""The aligner: the best way through, the sums over all ways, masks, layout."""

from itertools import combinations

import numpy as np
import pytest
import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.translate.aligner import (
    FAR,
    Aligned,
    Aligner,
    Durations,
    beta_binomial,
    binarisation,
    counted,
    forward_sum,
    published_name,
    search,
    starts,
)

LENGTHS, UNITS = torch.tensor([5, 1, 3, 4]), torch.tensor([9, 4, 3, 12])


def scores(seed: int = 0) -> Aligned:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(4, 12, 5, generator=generator) * 3
    beyond = torch.arange(5)[None] >= LENGTHS[:, None]
    return Aligned(values.masked_fill(beyond[:, None], FAR).log_softmax(-1), LENGTHS, UNITS)


def ways(n_characters: int, n_units: int) -> list[list[int]]:
    """Every path: where it goes on to the next character."""
    return [
        [sum(unit >= cut for cut in cuts) for unit in range(n_units)]
        for cuts in combinations(range(1, n_units), n_characters - 1)
    ]


def by_hand(values: np.ndarray) -> list[int]:
    """Glow-TTS's search as two loops, over log-probabilities (U, C)."""
    n_units, n_characters = values.shape
    best = np.full((n_characters, n_units), -np.inf)
    for at in range(n_units):
        for c in range(min(at + 1, n_characters)):
            before = 0.0 if at == c == 0 else best[c, at - 1] if c == 0 else max(best[c - 1, at - 1], best[c, at - 1])
            best[c, at] = before + values[at, c]
    path = [n_characters - 1]
    for at in range(n_units - 2, -1, -1):
        c = path[0]
        path.insert(0, c - 1 if c and best[c - 1, at] >= best[c, at] else c)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_the_search_equals_two_loops_and_no_way_is_better(seed):
    aligned = scores(seed)
    path = search(aligned.log_probs, LENGTHS, UNITS)
    assert path.dtype == torch.int64
    for i, (n, n_units) in enumerate(zip(LENGTHS.tolist(), UNITS.tolist(), strict=True)):
        values = aligned.log_probs[i, :n_units, :n].double().numpy()
        assert path[i].tolist() == by_hand(values) + [-1] * (12 - n_units)
        along = [values[np.arange(n_units), way].sum() for way in ways(n, n_units)]
        assert values[np.arange(n_units), path[i, :n_units]].sum() == pytest.approx(max(along))
    lasting = counted(path, 5)
    assert lasting.sum(1).tolist() == UNITS.tolist()
    assert ((lasting >= 1) == (torch.arange(5)[None] < LENGTHS[:, None])).all()
    assert starts(lasting)[0].tolist() == [path[0].tolist().index(c) for c in range(5)]


def test_of_two_ways_as_good_the_search_goes_on_late():
    path = search(torch.zeros(1, 5, 3), torch.tensor([3]), torch.tensor([5]))
    assert path.tolist() == [[0, 0, 0, 1, 2]] == [by_hand(np.zeros((5, 3)))]


def test_the_forward_sum_is_the_sum_over_all_ways():
    aligned = scores()
    total = 0.0
    for i, (n, n_units) in enumerate(zip(LENGTHS.tolist(), UNITS.tolist(), strict=True)):
        values = aligned.log_probs[i].double()
        along = torch.stack([values[torch.arange(n_units), torch.tensor(way)].sum() for way in ways(n, n_units)])
        total -= along.logsumexp(0).item()
    assert forward_sum(aligned, blank=FAR).item() == pytest.approx(total, rel=1e-5)
    assert forward_sum(aligned).item() != pytest.approx(total, rel=1e-2)


def test_the_blank_and_the_prior_stand_beside_the_characters_before_all_are_normed():
    one = Aligned(torch.tensor([[[0.7, 0.3], [0.2, 0.8]]]).log(), torch.tensor([2]), torch.tensor([2]))
    share = 1 + np.exp(-1)
    assert forward_sum(one).item() == pytest.approx(-np.log(0.7 / share * 0.8 / share), rel=1e-5)
    prior = beta_binomial(one.lengths, one.unit_lengths)
    assert prior.exp().tolist() == [[pytest.approx([2 / 3, 1 / 3]), pytest.approx([1 / 3, 2 / 3])]]
    first, second = 0.7 * 2 / 3 / (0.7 * 2 / 3 + 0.3 / 3), 0.8 * 2 / 3 / (0.8 * 2 / 3 + 0.2 / 3)
    assert forward_sum(one, prior=1.0, blank=FAR).item() == pytest.approx(-np.log(first * second), rel=1e-5)


def test_the_prior_is_a_distribution_over_each_texts_characters_and_goes_along():
    prior = beta_binomial(LENGTHS, UNITS)
    for i, (n, n_units) in enumerate(zip(LENGTHS.tolist(), UNITS.tolist(), strict=True)):
        share = prior[i, :n_units].exp()
        torch.testing.assert_close(share.sum(1), torch.ones(n_units))
        assert (share[:, n:] == 0).all() and (prior[i, n_units:, :n] == 0).all()
        mean = share @ torch.arange(5.0)
        assert (mean.diff() > 0).all() or n == 1


def test_binarisation_is_the_paths_own_log_probability():
    aligned = scores()
    path = search(aligned.log_probs, LENGTHS, UNITS)
    expected = -sum(
        float(aligned.log_probs[i, at, path[i, at]]) for i, n in enumerate(UNITS.tolist()) for at in range(n)
    )
    assert binarisation(aligned, path).item() == pytest.approx(expected, rel=1e-5)


def made(silence: int | None = None) -> tuple[Aligner, list[torch.Tensor]]:
    torch.manual_seed(0)
    characters, units = torch.randint(0, 7, (4, 5)), torch.randint(0, 11, (4, 14))
    beyond = torch.arange(14)[None] >= (UNITS + 2)[:, None]
    return Aligner(7, 11, 16, silence=silence).eval(), [characters, LENGTHS, units.masked_fill(beyond, -1), UNITS + 2]


@pytest.mark.parametrize("silence", [None, 6])
def test_a_batch_changes_nothing(silence):
    aligner, batch = made(silence)
    together, lasting = aligner(*batch), aligner.durations(*batch)
    whole = lasting.folded(LENGTHS)
    assert whole.sum(1).tolist() == (UNITS + 2).tolist()
    for i, (n, n_units) in enumerate(zip(LENGTHS.tolist(), (UNITS + 2).tolist(), strict=True)):
        one = [batch[0][i : i + 1, :n], torch.tensor([n]), batch[2][i : i + 1, :n_units], torch.tensor([n_units])]
        alone = aligner(*one)
        n_all = n + 2 * (silence is not None)
        torch.testing.assert_close(together.log_probs[i, :n_units, :n_all], alone.log_probs[0])
        assert (together.log_probs[i, :, n_all:].exp() == 0).all()
        durations = aligner.durations(*one)
        assert torch.equal(durations.characters[0], lasting.characters[i, :n])
        assert (lasting.characters[i, n:] == 0).all() and (durations.characters >= 1).all()
        assert torch.equal(durations.folded(torch.tensor([n]))[0], whole[i, :n])
    sums = torch.stack([forward_sum(aligner(*(x[i : i + 1] for x in batch))) for i in range(4)])
    torch.testing.assert_close(sums.sum(), forward_sum(together))


def test_scores_are_distances_not_their_squares_and_silence_is_a_character():
    aligner, batch = made(silence=6)
    one = [batch[0][:1], batch[1][:1], batch[2][:1, :11], batch[3][:1]]
    plain = Aligner(7, 11, 16, temperature=0.5).eval()
    plain.load_state_dict(aligner.state_dict())
    framed = [torch.cat([torch.tensor([[6]]), one[0], torch.tensor([[6]])], 1), torch.tensor([7]), *one[2:]]
    letters, sounds = plain.embed_text(framed[0]).mT, plain.embed_unit(framed[2]).mT
    letters = plain.t_conv["4"](plain.t_conv["1"](letters).relu()).mT
    sounds = plain.f_conv["7"](plain.f_conv["4"](plain.f_conv["1"](sounds).relu()).relu()).mT
    far = (sounds[:, :, None] - letters[:, None]).norm(dim=3)
    torch.testing.assert_close(plain(*framed).log_probs, (-0.5 * far).log_softmax(-1))
    torch.testing.assert_close(aligner(*one).log_probs, (-far).log_softmax(-1))
    lasting = aligner.durations(*one)
    silences = Aligner(7, 11, 16).eval()
    silences.load_state_dict(aligner.state_dict())
    all_of_them = silences.durations(*framed).characters[0]
    assert [lasting.before.item(), *lasting.characters[0].tolist(), lasting.after.item()] == all_of_them.tolist()


def test_silences_are_folded_into_the_first_and_the_last_character():
    lasting = Durations(torch.tensor([[2, 1, 3], [4, 0, 0]]), torch.tensor([5, 6]), torch.tensor([7, 8]))
    assert lasting.folded(torch.tensor([3, 1])).tolist() == [[7, 1, 10], [18, 0, 0]]
    assert lasting.characters.tolist() == [[2, 1, 3], [4, 0, 0]]


def test_dropout_is_for_learning_alone_and_never_for_durations():
    aligner, batch = made(silence=6)
    before, lasting = aligner(*batch).log_probs, aligner.durations(*batch)
    aligner.train()
    assert not torch.equal(aligner(*batch).log_probs, before)
    assert torch.equal(aligner.durations(*batch).characters, lasting.characters)


def test_every_weight_has_a_gradient_that_is_finite():
    aligner, batch = made(silence=6)
    aligned = aligner(*batch)
    (
        forward_sum(aligned, prior=1.0) + binarisation(aligned, search(aligned.log_probs, LENGTHS + 2, UNITS + 2))
    ).backward()
    for name, weight in aligner.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


def test_weights_have_the_published_places():
    names = sorted(published_name(name) for name in made()[0].state_dict())
    convs = [f"t_conv.{i}" for i in (1, 4)] + [f"f_conv.{i}" for i in (1, 4, 7)]
    frontend = [f"alignment_frontend.{table}.weight" for table in ("embed_text", "embed_unit")]
    assert names == sorted([*frontend, *(f"alignment_encoder.{c}.{w}" for c in convs for w in ("weight", "bias"))])


def test_what_cannot_be_aligned_is_refused():
    aligner, (characters, lengths, units, unit_lengths) = made()
    with pytest.raises(RequestError, match="5 characters need at least as many units: text 0 has 4"):
        aligner(characters, lengths, units, torch.tensor([4, 4, 4, 4]))
    with pytest.raises(
        RequestError, match="5 characters, 2 of them silence, need at least as many units: text 2 has 4"
    ):
        made(silence=0)[0].durations(characters, lengths, units, torch.tensor([14, 3, 4, 14]))
    with pytest.raises(RequestError, match=r"at least 1 character to be aligned: got \[5, 0, 3, 4\]"):
        aligner(characters, torch.tensor([5, 0, 3, 4]), units, unit_lengths)
    with pytest.raises(ConfigError, match="one of the characters 0 to 6: got 7"):
        Aligner(7, 11, 16, silence=7)
