"""Checkpoints that survive a kill at any moment: written beside, synced, renamed; the newest whole one is found again.

Knows tensors, JSON and folders; does not know what is trained. A checkpoint is a folder ``<step>`` with safetensors
and ``state.json``, which holds the size and SHA-256 of every other file, and of itself, and is written last; a folder
without a matching ``state.json`` never existed.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ossicle.errors import CheckpointError, StorageError
from ossicle.hub.whole import FULL, fault_number

STATE = "state.json"
NAME = re.compile(r"\d{8}")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to go on: groups of tensors by name, and plain facts."""

    tensors: Mapping[str, Mapping[str, torch.Tensor]]
    state: Mapping[str, Any]
    folder: Path | None = None


def save(folder: Path, step: int, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write a checkpoint and drop all but the newest ``keep``.

    Args:
        folder: of the run's checkpoints; made if it is not there.
        step: names the checkpoint.
        checkpoint: groups of tensors become files.
        keep: how many stay.

    Returns:
        the checkpoint's folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    target, draft = folder / f"{step:08d}", folder / f".draft-{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        draft.mkdir()
        files = {}
        for name, tensors in checkpoint.tensors.items():
            path = draft / f"{name}.safetensors"
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": digest(path)}
        told = {"files": files, "state": dict(checkpoint.state)}
        _write(draft / STATE, json.dumps({**told, "sha256": _digest_of(told)}, indent=1))
        for path in draft.iterdir():
            _sync(path)
        _sync(draft)
        shutil.rmtree(target, ignore_errors=True)
        draft.replace(target)
        _sync(folder)
        for old in _folders(folder)[:-keep]:
            shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        number = fault_number(error) or errno.EIO
        code, fault = "no_space" if number in FULL else "not_writable", os.strerror(number)
        raise StorageError(f"the checkpoint of step {step} cannot be written: {fault}", code=code) from error
    return target


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, read into memory; None if there is none.

    A damaged one is passed over, and its fault kept in ``state["passed_over"]`` of the one that is returned.

    Raises:
        CheckpointError: there are checkpoints, but all are damaged.
    """
    faults: list[str] = []
    for path in reversed(_folders(folder)):
        try:
            found = read(path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        return Checkpoint(found.tensors, {**found.state, "passed_over": faults}, path)
    if faults:
        raise CheckpointError("no checkpoint is whole: " + "; ".join(faults))
    return None


def read(path: Path) -> Checkpoint:
    """Read one checkpoint and check every file's size and hash.

    Raises:
        CheckpointError: ``incomplete`` for a file that is missing or cut, ``hash_mismatch`` for one that changed.
    """
    try:
        description = json.loads((path / STATE).read_text(encoding="utf-8"))
        files, state = description["files"], description["state"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path.name} has no readable {STATE}") from error
    # A checkpoint of before the digest of its own state was written has the other two keys only.
    if set(description) != {"files", "state"} and description.get("sha256") != _digest_of(
        {"files": files, "state": state}
    ):
        raise CheckpointError(f"checkpoint {path.name}: {STATE} has changed since it was saved", code="hash_mismatch")
    tensors = {}
    for name, facts in files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != facts["bytes"]:
            raise CheckpointError(
                f"checkpoint {path.name}: {name} is missing or cut, {facts['bytes']} bytes are expected"
            )
        if digest(file) != facts["sha256"]:
            raise CheckpointError(
                f"checkpoint {path.name}: {name} has changed since it was saved", code="hash_mismatch"
            )
        tensors[file.stem] = load_file(file)
    return Checkpoint(tensors, state, path)


def sweep(folder: Path) -> None:
    """Remove what a kill left half-written."""
    for stray in folder.glob(".draft-*"):
        shutil.rmtree(stray)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and NAME.fullmatch(path.name))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
