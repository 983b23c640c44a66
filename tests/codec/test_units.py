"""Units: k-means of a stream, the codebook, what units say of phones."""

import numpy as np
import pytest
import torch

from ossicle.codec.units import BEYOND, Codebook, KMeans, nearest, phones_at, purity, statistics
from ossicle.errors import RequestError

PLACES = np.array([[0.0, 0.0, 9.0], [0.0, 9.0, 0.0], [9.0, 0.0, 0.0], [9.0, 9.0, 9.0], [0.0, 0.0, -9.0]], np.float32)


def rows(n: int, seed: int = 0, places: np.ndarray = PLACES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (places[rng.integers(0, len(places), n)] + rng.normal(0, 0.5, (n, 3))).astype(np.float32)


def learned(*parts: np.ndarray, k: int = 5, seed: int = 1) -> KMeans:
    made = KMeans(k, 3, seed=seed)
    for part in parts:
        made.add(part)
    return made


def same(one: KMeans, other: KMeans) -> bool:
    return all(torch.equal(value, other.state()[name]) for name, value in one.state().items())


def test_clouds_are_found_and_their_middles_are_the_means_of_the_stream():
    some = rows(3_000)
    book = learned(some).codebook(3)
    which, _ = nearest(torch.from_numpy(PLACES), book.centroids)
    assert sorted(which.tolist()) == [0, 1, 2, 3, 4] and book.layer == 3
    means = np.stack([some[np.abs(some - place).max(1) < 4].mean(0) for place in PLACES])
    np.testing.assert_allclose(book.centroids[which].numpy(), means, atol=1e-3)


def test_the_result_depends_on_the_rows_alone_not_on_how_many_come_at_a_time():
    some = rows(1_003)
    whole = learned(some)
    assert same(whole, learned(*np.array_split(some, 37)))
    assert same(whole, learned(some[:1], torch.from_numpy(some[1:])))
    assert not same(whole, learned(some, seed=2))


@pytest.mark.parametrize("n", [7, 150, 612])
def test_learning_resumed_from_its_state_is_learning_that_was_never_cut(n):
    some = rows(1_003)
    first = learned(some[:n])
    resumed = KMeans.of(first.state())
    assert same(first, resumed)
    resumed.add(some[n:])
    assert same(resumed, learned(some))
    assert torch.equal(resumed.codebook(1).centroids, learned(some).codebook(1).centroids)


def test_a_codebook_may_be_asked_for_at_any_time_and_learning_goes_on_as_if_it_were_not():
    some = rows(1_003)
    made = learned(some[:300])
    before = made.state()
    made.codebook(1)
    assert all(torch.equal(value, made.state()[name]) for name, value in before.items())
    few = learned(some[:8]).codebook(1)
    assert few.n_units == 5 and few.centroids.isfinite().all()


def test_rows_that_wait_count_too():
    made, new = learned(rows(400)), np.full((9, 3), 100.0, np.float32)
    without = made.codebook(1).centroids
    made.add(new)
    assert made.codebook(1).centroids.max() > without.max() + 1


def test_a_centroid_that_died_begins_anew_where_rows_are():
    made = learned(rows(300, places=PLACES[:2]), k=6)
    made.add(rows(4_000, 2, PLACES[2:]))
    _, far = nearest(torch.from_numpy(PLACES[2:]), made.centroids)
    assert (far < 1).all()
    which, _ = nearest(torch.from_numpy(rows(1_000, 3, PLACES[2:])), made.centroids)
    assert len(which.unique()) >= 5  # of six, two were left behind at the places where nobody speaks any more


def test_equal_rows_are_no_trouble():
    book = learned(np.ones((500, 3), np.float32), k=4).codebook(1)
    assert book.centroids.isfinite().all()
    assert nearest(torch.ones(1, 3), book.centroids)[1].item() < 1e-6


def test_the_unit_of_a_frame_is_the_nearest_centroid_and_none_is_beyond_the_end():
    generator = torch.Generator().manual_seed(0)
    book = Codebook(torch.randn(11, 6, generator=generator), layer=2)
    frames = torch.randn(3, 9, 6, generator=generator)
    lengths = torch.tensor([9, 4, 1])
    units = book(frames, lengths)
    assert units.dtype == torch.int64 and book.n_units == 11 and book.width == 6
    for i, length in enumerate(lengths.tolist()):
        far = (frames[i, :length, None] - book.centroids).square().sum(-1)
        assert units[i, :length].tolist() == far.argmin(1).tolist()
        assert units[i, length:].tolist() == [BEYOND] * (9 - length)
        assert torch.equal(book(frames[i : i + 1, :length], lengths[i : i + 1])[0], units[i, :length])
    assert list(book.state_dict()) == ["centroids"]


def test_bad_input_is_refused_by_name():
    with pytest.raises(RequestError, match="at least 1 centroid and 1 column: got k 0, width 3"):
        KMeans(0, 3, seed=0)
    with pytest.raises(RequestError, match=r"rows \(n, 3\): got \(5, 4\)"):
        KMeans(2, 3, seed=0).add(np.zeros((5, 4), np.float32))
    with pytest.raises(RequestError, match="finite rows"):
        KMeans(2, 3, seed=0).add(np.full((5, 3), np.nan, np.float32))
    with pytest.raises(RequestError, match="5 centroids need at least as many rows: got 4"):
        learned(rows(4)).codebook(1)
    with pytest.raises(RequestError, match=r"at least \(1, 1\): got \(0, 3\)"):
        Codebook(torch.zeros(0, 3), layer=1)
    with pytest.raises(RequestError, match="got the layer 0"):
        Codebook(torch.zeros(2, 3), layer=0)
    with pytest.raises(RequestError, match=r"frames \(B, T, 3\): got \(1, 5, 4\)"):
        Codebook(torch.zeros(2, 3), layer=1)(torch.zeros(1, 5, 4), torch.tensor([5]))


PHONES = (("a", 0.0, 0.04), ("b", 0.06, 0.101), ("a", 0.11, 0.3))


def test_a_unit_has_the_phone_that_sounds_in_its_middle():
    assert phones_at(PHONES, 7) == ["a", "a", None, "b", "b", "a", "a"]
    assert phones_at(PHONES, 1) == ["a"]
    assert phones_at((), 2) == [None, None]


def test_purity_and_statistics_of_a_case_by_hand():
    units = [np.array([1, 1, 9, 2, 1, 0, 0]), torch.tensor([2, 2, BEYOND, BEYOND])]
    phones = [PHONES, (("b", 0.0, 0.04),)]
    # phone a: units 1 1 0 0; phone b: units 2 1 2 2; unit 9 lies in no phone
    assert purity(units, phones) == 7 / 8
    found = statistics(units, phones)
    assert (found.n, found.used, found.purity) == (9, 4, 7 / 8)
    assert found.run_s == pytest.approx(9 / 50 / 6)
    shares = np.array([2, 3, 3, 1]) / 9
    assert found.perplexity == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    left = 3 / 8 * -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))  # only unit 1 leaves its phone open
    assert found.information == pytest.approx(1 - left / np.log(2))


def test_units_without_phones_are_refused():
    with pytest.raises(RequestError, match="units of 1 clips need phones of as many: got 2"):
        purity([np.zeros(3, np.int64)], [PHONES, PHONES])
    with pytest.raises(RequestError, match="no unit lies inside a phone"):
        statistics([np.full(7, BEYOND)], [PHONES])


def test_one_phone_leaves_nothing_to_tell():
    assert statistics([np.array([0, 1])], [(("a", 0.0, 1.0),)]).information == 1.0
