"""What a training process shares: threads and its folder."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ossicle.errors import StorageError
from ossicle.train.objectives import Batch
from ossicle.train.process import Counted, lanes, locked

BATCHES = [Batch(seconds=float(i)) for i in range(4)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def counted(batch: Batch) -> Counted:
    return batch.seconds, torch.get_num_threads(), {}


def test_batches_run_side_by_side_in_order_and_share_the_threads(two_threads: None) -> None:
    met = threading.Barrier(2, timeout=30)

    def wait(batch: Batch) -> Counted:
        met.wait()  # never passed if one runs after the other
        return counted(batch)

    with lanes(2, torch.device("cpu")) as run_all:
        assert [(total, n) for total, n, _ in run_all(wait, BATCHES)] == [(float(i), 1) for i in range(4)]
        assert torch.get_num_threads() == 2  # for the optimiser
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("n", "device"), [(1, "cpu"), (2, "cuda")])
def test_one_lane_runs_in_the_callers_thread(two_threads: None, n: int, device: str) -> None:
    with lanes(n, torch.device(device)) as run_all:
        told = run_all(lambda batch: (batch.seconds, threading.get_ident(), {}), BATCHES)
    assert [(total, n) for total, n, _ in told] == [(float(i), threading.get_ident()) for i in range(4)]


def test_what_a_batch_raises_is_raised(two_threads: None) -> None:
    def fail(batch: Batch) -> Counted:
        raise ValueError(f"batch {batch.seconds:g}")

    with lanes(2, torch.device("cpu")) as run_all, pytest.raises(ValueError, match="batch 0"):
        run_all(fail, BATCHES)
    assert torch.get_num_threads() == 2


def test_the_lock_dies_with_its_process_though_a_worker_of_it_lives(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    trainer = os.fork()
    if trainer == 0:
        with locked(tmp_path):
            worker = os.fork()
            if worker:
                os.write(writer, f"{worker}\n".encode())
            time.sleep(600)
            os._exit(0)
    worker = int(os.read(reader, 20))
    try:
        with pytest.raises(StorageError, match="another process trains in"), locked(tmp_path):
            pass
        os.kill(trainer, signal.SIGKILL)
        os.waitpid(trainer, 0)
        os.kill(worker, 0)  # is still there
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.close(reader)
        os.close(writer)
