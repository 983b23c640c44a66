"""Batches from a source, made by worker processes, pool by pool.

Knows sources, objectives and batch budgets; does not know models or optimisers. Pool number p holds the items
``p * pool_items`` to ``(p + 1) * pool_items - 1`` of the source, so (pool, batch) says exactly how far a run is.
"""

import errno
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.data.batching import like_length_batches
from ossicle.data.check import Longest
from ossicle.errors import DataError, OssicleError, StorageError, TrainingError
from ossicle.hub.own import faults_told
from ossicle.hub.whole import FULL
from ossicle.train.objectives import Batch, Objective
from ossicle.train.recipe_stages import Data
from ossicle.train.rejected import Rejected
from ossicle.train.sources import Source


@dataclass(frozen=True, eq=False)
class Pool:
    """The batches of one pool, and why items of it could not be used; or what ended the worker that made it."""

    batches: list[Batch]
    bad: list[str]
    failed: OssicleError | None = None


class Pools(Dataset[Pool]):
    """Pools by number.

    Args:
        source: samples by index.
        objective: makes items and batches.
        data: sizes.
        key: of the random numbers: (seed, stage).
        first: number of the first pool that is wanted; ``pools[0]`` is that one.
        longest: clip; that of ``data``, if nothing else is said.
    """

    def __init__(
        self,
        source: Source,
        objective: Objective,
        data: Data,
        key: tuple[int, int],
        first: int,
        *,
        longest: Longest | None = None,
    ) -> None:
        self.source, self.objective, self.data, self.key, self.first = source, objective, data, key, first
        self.longest = longest or Longest(data.max_clip_s)

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, place: int) -> Pool:
        try:
            return self.pool(self.first + place)
        except OssicleError as error:  # raised again by `feed`: across processes a traceback would come with it
            return Pool([], [], error)

    @faults_told()
    def pool(self, number: int) -> Pool:
        """The pool of a number.

        Raises:
            OssicleError: whatever the source or the objective raises but DataError, which makes an item a bad one.
        """
        items, sizes, bad = [], [], []
        for index in range(number * self.data.pool_items, (number + 1) * self.data.pool_items):
            try:
                sample = self.source.sample(index)
                fault = self.longest.fault(len(sample.samples) / SAMPLE_RATE)
                if fault is not None:
                    raise DataError(f"{sample.where or sample.task}: {fault}")
                item = self.objective.item(sample, np.random.default_rng([*self.key, index, 1]))
            except DataError as error:
                bad.append(str(error))
                continue
            items.append(item)
            sizes.append(item.size)
        order = np.random.default_rng([*self.key, number, 2])
        batches = like_length_batches(sizes, self.data.batch_s, order)
        return Pool([self.objective.collate([items[i] for i in batch]) for batch in batches], bad)


class _Parcels(Dataset[bytes]):
    """Pools as a worker sends them. A pool that cannot be sent, as where shared memory is full, is packed up as what
    ended the worker: the queue would drop it without a word, and the trainer wait for it for ever."""

    def __init__(self, pools: Pools) -> None:
        self.pools = pools

    def __getitem__(self, place: int) -> bytes:
        pool = self.pools[place]
        try:
            return bytes(ForkingPickler.dumps(pool))
        except Exception as error:  # torch and pickle raise all sorts
            full = getattr(error, "errno", None) in FULL or os.strerror(errno.ENOSPC) in str(error)
            failed = StorageError(
                f"a worker cannot hand over its batches: {error}; is shared memory (/dev/shm) full, `ulimit -n` low?",
                code="no_space" if full else "not_writable",
            )
            return bytes(ForkingPickler.dumps(Pool([], [], failed)))

    def __len__(self) -> int:
        return len(self.pools)


@contextmanager
def workers_told() -> Iterator[None]:
    """Around all that runs while there are workers: torch tells of one that died from within whatever is under way.

    Raises:
        TrainingError: ``worker_lost``.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a worker process that makes the data is gone ({str(error).rstrip('. ')}); where memory was short, lower "
            "data.pool_items or data.workers; the same command goes on from the last checkpoint",
            code="worker_lost",
        ) from error


def feed(pools: Pools, *, skip: int, rejected: Rejected | None = None) -> Generator[tuple[int, int, Batch]]:
    """(pool, number of the batch in it, batch) for ever, from the first pool's batch number ``skip``.

    Args:
        pools: made by worker processes.
        skip: batches of the first pool that were done before.
        rejected: counts, tells and lists what is left out.

    Raises:
        DataError: over 1 % of the items cannot be used, or a whole pool cannot.
        TrainingError: ``worker_lost`` for a worker that died.
        OssicleError: whatever ended a worker.
    """
    left_out = rejected or Rejected()
    workers = pools.data.workers or max((os.cpu_count() or 2) - 1, 1)
    loader = DataLoader(
        _Parcels(pools),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=2,
        multiprocessing_context="fork",
        worker_init_fn=_give_way,
    )
    parcels: Any = iter(loader)
    try:
        for place in count():
            with workers_told():
                pool: Pool = ForkingPickler.loads(next(parcels))
            if pool.failed is not None:
                raise pool.failed
            left_out.add(pools.data.pool_items, pool.bad, none_left=not pool.batches)
            for number, batch in enumerate(pool.batches):
                if place > 0 or number >= skip:
                    yield pools.first + place, number, batch
    finally:  # now: an error's traceback may keep them to the end of the process, which would wait for them for ever
        parcels._shutdown_workers()
        for worker in parcels._workers:
            worker.kill()  # one that is in the middle of a pool: it heeds no other signal


def _as_it_is(parcel: Any) -> Any:
    return parcel


def _give_way(_worker: int) -> None:
    """A worker runs when the trainer waits: both at once on few cores would make the trainer's threads wait in turn."""
    if hasattr(os, "SCHED_IDLE"):  # Linux
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
    for one in (signal.SIGTERM, signal.SIGINT):  # the trainer stops its workers itself, after the step under way
        signal.signal(one, signal.SIG_IGN)
