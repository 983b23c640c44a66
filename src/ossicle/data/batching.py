"""Batches of like length: a pool of items is sorted, cut under a budget, and the batches shuffled.

Knows sizes; does not know what is in an item. Sorting inside a pool wastes few frames on padding and keeps the order of
training random from pool to pool; everything follows from the pool's number, so a run resumes in the middle of a pool.
"""

from collections.abc import Sequence

import numpy as np

from ossicle.errors import ConfigError


def like_length_batches(sizes: Sequence[float], budget: float, rng: np.random.Generator) -> list[list[int]]:
    """Cut a pool into batches whose padded size stays inside a budget.

    Args:
        sizes: one number for each item, e.g. seconds.
        budget: the most that ``len(batch) * max(sizes of the batch)`` may be; an item over it is a batch of its own.
        rng: shuffles the batches.

    Returns:
        lists of indices; each index of ``sizes`` is in exactly one.

    Raises:
        ConfigError: a budget that is not positive.
    """
    if not budget > 0:
        raise ConfigError(f"a batch needs a budget above 0, got {budget:g}")
    batches: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: (sizes[i], i)):
        if batches and (len(batches[-1]) + 1) * sizes[index] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return [batches[i] for i in rng.permutation(len(batches))]
