"""A folder or a file that is written whole or not at all: beside its target, synced, then renamed.

Knows files, folders, renames and the system's faults; does not know what is in them. The draft of a folder is locked as
long as its process lives, so that the next one to write the same folder can tell what a killed one left.
"""

import errno
import fcntl
import glob
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from ossicle.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_folder(
    target: Path, *, replaces: Callable[[Path], bool] | None = None, instead: str = "choose another name"
) -> Iterator[Path]:
    """Give a draft folder, and rename it to ``target`` when the block ends well; else nothing stays.

    Args:
        target: must not exist or be empty, unless it may be replaced; never the folder that this runs in.
        replaces: says whether what stands at ``target`` may be replaced; None: nothing may.
        instead: what a caller can do where something stands at ``target``.

    Raises:
        StorageError: the target stands in the way or cannot be written.
    """
    _check_target(target, replaces, instead)
    place = Path(os.path.abspath(target))
    draft: Path | None = None
    lock: int | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.draft-", dir=place.parent))
        lock = _locked(draft)
        yield draft
        draft.chmod(0o755)
        _sync_below(draft)
        _swap(draft, place)
    except Exception as error:
        number = fault_number(error)
        if number is None:
            raise
        code = "no_space" if number in FULL else "not_writable"
        raise StorageError(f"{target} cannot be written: {os.strerror(number)}", code=code) from error
    finally:
        if lock is not None:
            os.close(lock)
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def whole_file(target: Path, content: bytes) -> None:
    """Write a file, and replace an older one of its name; a killed process leaves the older one, and at most a draft
    ``.NAME.*.part`` beside it.

    Raises:
        StorageError: it cannot be written.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        _sync(target.parent)
    except OSError as error:
        code = "no_space" if error.errno in FULL else "not_writable"
        raise StorageError(f"{target} cannot be written: {os.strerror(error.errno or errno.EIO)}", code=code) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def fault_number(error: Exception) -> int | None:
    """The system's number of a fault in writing or reading; None for any other error.

    What is written by safetensors and tokenizers tells it in words only.
    """
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    told = re.search(r"os error (\d+)", str(error)) if type(error) in (SafetensorError, Exception) else None
    if told is None:
        return errno.EIO if isinstance(error, SafetensorError) else None
    return int(told[1])


def _check_target(target: Path, replaces: Callable[[Path], bool] | None, instead: str) -> None:
    if target.is_dir() and Path.cwd().is_relative_to(target.resolve()):  # a rename would take it away
        raise StorageError(f"{target} is the folder that this runs in, or holds it: choose another name")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        if replaces is None:
            raise StorageError(f"{target} exists: {instead}")
        if not replaces(target):
            raise StorageError(f"{target} is not a model folder, so it is not overwritten: choose another name")


def _sweep(target: Path) -> None:
    """Remove what a killed process left beside the target: drafts that nobody holds, and what it had replaced."""
    for stray in target.parent.glob(f".{glob.escape(target.name)}.draft-*"):
        with suppress(OSError):  # another process writes it, or it is gone by now
            lock = os.open(stray, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(stray)
            finally:
                os.close(lock)
    if target.exists():  # else what was moved aside may be all that there is
        for stray in target.parent.glob(f".{glob.escape(target.name)}.old-*"):
            shutil.rmtree(stray, ignore_errors=True)


def _locked(draft: Path) -> int:
    """A handle that keeps the draft locked until it is closed."""
    lock = os.open(draft, os.O_RDONLY)
    with suppress(OSError):  # some network file systems lock no folders: nothing is swept there
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return lock


def _swap(draft: Path, target: Path) -> None:
    """Put the draft in place; what stood there before is kept beside it until that is done."""
    old: Path | None = None
    try:
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent))
            target.replace(old)
        draft.replace(target)
    except OSError:
        if old is not None and target.exists():
            old.rmdir()
        elif old is not None:
            old.replace(target)
        raise
    _sync(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _sync_below(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
