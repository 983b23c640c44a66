"""Batches of like length: every item once, no batch over its budget."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.data.batching import like_length_batches
from ossicle.errors import ConfigError

SIZES = st.lists(st.floats(0.01, 30.0), max_size=60)


@settings(deadline=None, max_examples=200)
@given(sizes=SIZES, budget=st.floats(0.1, 100.0), seed=st.integers(0, 99))
def test_every_index_is_in_one_batch_and_the_budget_is_kept(sizes: list[float], budget: float, seed: int) -> None:
    batches = like_length_batches(sizes, budget, np.random.default_rng(seed))
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= budget


@settings(deadline=None, max_examples=100)
@given(sizes=SIZES, budget=st.floats(0.1, 100.0))
def test_a_batch_holds_neighbours_in_size(sizes: list[float], budget: float) -> None:
    batches = like_length_batches(sizes, budget, np.random.default_rng(0))
    spans = sorted((min(sizes[i] for i in batch), max(sizes[i] for i in batch)) for batch in batches)
    assert all(above[0] >= below[1] for below, above in pairwise(spans))


def test_batches_are_full_and_shuffled_by_the_generator_alone() -> None:
    sizes = [float(i % 7 + 1) for i in range(200)]
    one, same, other = (like_length_batches(sizes, 20.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other and sorted(map(sorted, one)) == sorted(map(sorted, other))
    assert len(one) < 200 * 4.5 / 20.0 * 1.5
    assert [max(sizes[i] for i in batch) for batch in one] != sorted(max(sizes[i] for i in batch) for batch in one)


def test_an_item_over_the_budget_is_alone_and_no_item_is_no_batch() -> None:
    batches = like_length_batches([1.0, 50.0, 1.0, 60.0], 10.0, np.random.default_rng(0))
    assert sorted(batches) == [[0, 2], [1], [3]]
    assert like_length_batches([], 10.0, np.random.default_rng(0)) == []


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_must_be_positive(budget: float) -> None:
    with pytest.raises(ConfigError, match=f"a batch needs a budget above 0, got {budget:g}"):
        like_length_batches([1.0], budget, np.random.default_rng(0))
