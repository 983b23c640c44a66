"""A folder that is written whole or not at all: beside its target, synced, then renamed.

Knows folders and renames; does not know what is in them.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ossicle.errors import StorageError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole_folder(target: Path, *, replaces: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Give a draft folder, and rename it to ``target`` when the block ends well; else nothing stays.

    Args:
        target: must not exist or be empty, unless it may be replaced.
        replaces: says whether what stands at ``target`` may be replaced; None: nothing may.

    Raises:
        StorageError: the target stands in the way or cannot be written.
    """
    _check_target(target, replaces)
    draft: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.draft-", dir=target.parent))
        yield draft
        draft.chmod(0o755)
        _sync_below(draft)
        _swap(draft, target)
    except OSError as error:
        code = "no_space" if error.errno in FULL else "not_writable"
        raise StorageError(f"{target} cannot be written: {error.strerror or 'unknown fault'}", code=code) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _check_target(target: Path, replaces: Callable[[Path], bool] | None) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        if replaces is None:
            raise StorageError(f"{target} exists: choose another name, or say that it may be overwritten")
        if not replaces(target):
            raise StorageError(f"{target} is not a model folder, so it is not overwritten: choose another name")


def _swap(draft: Path, target: Path) -> None:
    """Put the draft in place; what stood there before is kept beside it until that is done."""
    old: Path | None = None
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent))
        target.replace(old)
    try:
        draft.replace(target)
    except OSError:
        if old is not None:
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
