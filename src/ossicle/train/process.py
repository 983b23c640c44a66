"""What a training process shares: the threads of its processor among the batches of a step, its folder with no other,
the signals that end it.

Knows threads, locks and signals; does not know what is trained.
"""

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

import torch

from ossicle.errors import StorageError

Counted = tuple[float, int, dict[str, float]]
"""A batch's summed loss, what it counts, and its means for the log."""
Given = TypeVar("Given")
Made = TypeVar("Made")


class RunAll(Protocol):
    """Runs a function over several things, in their order."""

    def __call__(self, function: Callable[[Given], Made], several: list[Given]) -> list[Made]: ...


def _in_turn(function: Callable[[Given], Made], several: list[Given]) -> list[Made]:
    return [function(one) for one in several]


@contextmanager
def lanes(n: int, device: torch.device) -> Iterator[RunAll]:
    """Run a function over the batches of a step: on a processor side by side, with as many threads each as there are.

    A small model keeps two threads of one batch waiting for each other; two batches of one thread each do not wait.
    """
    threads = torch.get_num_threads()
    n = min(n, threads) if device.type == "cpu" else 1
    if n == 1:
        yield _in_turn
        return
    with ThreadPoolExecutor(n) as pool:

        def side_by_side(function: Callable[[Given], Made], several: list[Given]) -> list[Made]:
            torch.set_num_threads(threads // n)
            try:
                return list(pool.map(function, several))
            finally:
                torch.set_num_threads(threads)  # for the optimiser

        yield side_by_side


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One trainer a folder; the lock dies with its process."""
    with claimed(folder / "lock") as mine:
        if not mine:
            raise StorageError(f"another process trains in {folder}")
        yield


@contextmanager
def claimed(path: Path, *, wait: bool = False, shared: bool = False) -> Iterator[bool]:
    """Whether a file, made where it is not there, is now this process's own; what one claims is free when it ends or
    dies.

    Args:
        path: of the file, which stays empty.
        wait: until it is free.
        shared: together with all that claim it so.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+")  # a shared claim is one of reading
    except OSError as error:
        raise StorageError(f"the run's folder {path.parent} cannot be written: {error.strerror}") from error
    with handle:
        try:  # unlike flock's, no worker process inherits it
            fcntl.lockf(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError):
            mine = False
        else:
            mine = True
        yield mine


class Stoppable(Protocol):
    """What ends after the step under way once ``stopping`` is set."""

    stopping: bool


@contextmanager
def stop_on_signal(training: Stoppable) -> Iterator[None]:
    """SIGTERM or SIGINT ends the run after the step that is under way, with a checkpoint; a second one ends it at once.

    Outside of the main thread, where Python takes no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if training.stopping:
            raise SystemExit(143)
        training.stopping = True

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
