"""Pools of batches from worker processes: in order, from any place, and never silently short of items."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
from torch import nn

from ossicle.errors import DataError, DependencyError, StorageError, TrainingError
from ossicle.train.feed import Pools, feed, workers_told
from ossicle.train.objectives import Batch
from ossicle.train.recipe_stages import Data
from ossicle.train.sources import Sample


@dataclass
class Numbers:
    """A source whose sample i lasts 0.1 to 0.7 s and says i; some cannot be read, some are too long."""

    bad: tuple[int, ...] = ()
    long: tuple[int, ...] = ()

    def sample(self, index: int) -> Sample:
        if index in self.bad:
            raise DataError(f"no {index}")
        seconds = 5.0 if index in self.long else 0.1 * (1 + index % 7)
        return Sample(np.zeros(round(seconds * 16_000), np.float32), None, str(index), "count", where=f"at {index}")


@dataclass
class Item:
    index: int
    size: float
    draw: float


class Count:
    """An objective whose batches name their items, in ``answers``, and carry a random number of each."""

    heads = nn.Identity()

    def item(self, sample: Sample, rng: np.random.Generator) -> Item:
        return Item(int(sample.answer), len(sample.samples) / 16_000, rng.random())

    def collate(self, items: Sequence[Item]) -> Batch:
        return Batch(sum(item.draw for item in items), answers=tuple(((item.index, 1),) for item in items))

    def loss(self, model: Any, batch: Batch) -> Any:
        raise AssertionError("a feed computes no loss")


def indices(batch: Batch) -> tuple[int, ...]:
    return tuple(index for ((index, _),) in batch.answers)


def pools(first: int = 0, *, source: Numbers | None = None, **data: Any) -> Pools:
    settings = Data(**{"pool_items": 20, "batch_s": 1.5, "max_clip_s": 1.0, **data})
    return Pools(source or Numbers(), Count(), settings, (1, 2), first)


def drawn(feeding: Any, n: int) -> list[tuple[int, int, tuple[int, ...], float]]:
    return [(pool, number, indices(batch), batch.seconds) for pool, number, batch in islice(feeding, n)]


def test_a_pool_holds_its_own_items_once_and_follows_from_its_number() -> None:
    pool = pools(3)[0]
    assert sorted(i for batch in pool.batches for i in indices(batch)) == list(range(60, 80)) and pool.bad == []
    again = pools(2)[1]
    assert [(indices(b), b.seconds) for b in again.batches] == [(indices(b), b.seconds) for b in pool.batches]
    assert all(len(indices(batch)) * max(1 + i % 7 for i in indices(batch)) <= 15 for batch in pool.batches)
    assert len(pools()) == 2**31


@pytest.mark.parametrize("workers", [1, 3, 0])
def test_any_number_of_workers_gives_the_same_batches_in_the_same_order(workers: int) -> None:
    one = drawn(feed(pools(workers=workers), skip=0), 30)
    assert [pool for pool, *_ in one] == sorted(pool for pool, *_ in one) and one[-1][0] >= 2
    for number in range(one[-1][0]):
        wanted = [(indices(batch), batch.seconds) for batch in pools(number)[0].batches]
        assert [tuple(rest) for pool, _, *rest in one if pool == number] == wanted


def test_a_feed_goes_on_at_any_batch() -> None:
    whole = drawn(feed(pools(), skip=0), 24)
    for place in (1, 7, 15):
        pool, number = whole[place][:2]
        assert drawn(feed(pools(pool), skip=number), 5) == whole[place : place + 5]


def test_a_few_bad_items_are_passed_over_and_told(capfd: pytest.CaptureFixture[str]) -> None:
    batches = drawn(feed(pools(source=Numbers(bad=(3,), long=(250,))), skip=0), 120)
    seen = {i for _, _, items, _ in batches for i in items}
    assert 3 not in seen and 250 not in seen and {2, 4, 249, 251} <= seen
    assert capfd.readouterr().err == "left out: no 3\nleft out: at 250: 5.0 s are longer than 1 s (data.max_clip_s)\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Numbers(bad=(44, 45)), r"2 of 100 training items cannot be used \(at most 1% may be so\), such as no 44"),
        (Numbers(long=(7, 90)), r"2 of 100 training items .*, such as at 7: 5.0 s are longer than 1 s"),
        (Numbers(bad=tuple(range(20, 40))), "20 of 40 training items .* such as no 20"),
        (Numbers(bad=(0,), long=tuple(range(1, 20))), "20 of 20 training items .* such as no 0"),
    ],
)
def test_too_many_bad_items_end_the_feed_with_their_number(source: Numbers, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        drawn(feed(pools(source=source), skip=0), 200)
    assert caught.value.code == "too_many_bad_items"


def test_a_worker_that_dies_ends_the_feed() -> None:
    class Deadly(Numbers):
        def sample(self, index: int) -> Sample:
            if index == 45:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().sample(index)

    with pytest.raises(
        TrainingError, match=r"a worker process that makes the data is gone \(DataLoader worker"
    ) as caught:
        drawn(feed(pools(source=Deadly()), skip=0), 100)
    assert caught.value.code == "worker_lost" and active_children() == []


def test_a_pool_that_cannot_be_sent_ends_the_feed() -> None:
    """Such as one for which shared memory has no room: the queue between the processes would drop it in silence."""

    class Full:
        def __reduce__(self) -> Any:
            raise RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)")

    class Heavy(Count):
        def collate(self, items: Sequence[Item]) -> Batch:
            return replace(super().collate(items), bags=Full())

    given = Pools(Numbers(), Heavy(), Data(pool_items=20, batch_s=1.5), (1, 2), 0)
    with pytest.raises(StorageError, match="a worker cannot hand over its batches: unable to write to file") as caught:
        drawn(feed(given, skip=0), 1)
    assert caught.value.code == "no_space"


def test_only_what_tells_of_a_worker_is_told_as_such() -> None:
    with pytest.raises(RuntimeError, match="else"), workers_told():
        raise RuntimeError("else")


def test_what_ends_a_worker_is_raised_as_it_is() -> None:
    class Broken(Numbers):
        def sample(self, index: int) -> Sample:
            raise DependencyError("there is no voice")

    with pytest.raises(DependencyError) as caught:
        drawn(feed(pools(source=Broken()), skip=0), 1)
    assert str(caught.value) == "there is no voice" and caught.value.exit_code == 5
    for child in active_children():
        child.join(30)  # it may still be on its way out where the machine is busy
    assert active_children() == []  # though the error still holds all that it came through
