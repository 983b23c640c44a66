"""Checkpoints: a kill at any moment, damage of any file and a full disk leave the newest whole one to be found."""

import builtins
import io
import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ossicle.errors import CheckpointError, StorageError
from ossicle.train.checkpoint import STATE, Checkpoint, newest, read, save

WRITES = ("open", "fsync", "replace", "mkdir", "unlink", "rmdir")
KILLED, REFUSED = 137, 3


def content(step: int) -> Checkpoint:
    values = {"w": torch.full((40, 50), float(step)), "b": torch.tensor([step, 1])}
    return Checkpoint({"model": values, "optimizer": {"0.step": torch.tensor(step + 0.5)}}, {"place": {"step": step}})


def step_of(found: Checkpoint) -> int:
    """The step whose checkpoint this is, which all its parts must agree on."""
    step = int(found.state["place"]["step"])
    wanted = content(step)
    assert found.tensors.keys() == wanted.tensors.keys()
    for group, tensors in wanted.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[group][name], value) for name, value in tensors.items())
    assert found.folder is not None and int(found.folder.name) == step
    return step


def in_child(work: Callable[[], Any]) -> tuple[int, str]:
    """Run something in a forked child: its exit status, and what a StorageError said there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            work()
            status = 0
        except StorageError as error:
            os.write(writer, f"{error.code}: {error}".encode())
            status = REFUSED
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as told:
        message = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message


def die_at(call: int) -> None:
    """In a child: end this process, as SIGKILL would, in place of its n-th call that opens, syncs, moves or removes."""
    left = [call]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                os._exit(KILLED)
            return function(*args, **kwargs)

        return counting

    for name in WRITES:
        setattr(os, name, counted(getattr(os, name)))
    io.open = builtins.open = counted(io.open)  # type: ignore[assignment]


def kills(folder: Path, base: Path | None, step: int) -> list[int | None]:
    """Save a step over a copy of ``base``, killed at each call in turn: the newest step that is then found."""
    found: list[int | None] = []
    status = KILLED
    while status == KILLED:
        shutil.rmtree(folder, ignore_errors=True)
        if base is not None:
            shutil.copytree(base, folder)
        call = len(found) + 1

        def work(call: int = call) -> None:
            die_at(call)
            save(folder, step, content(step))

        status, _ = in_child(work)
        one = newest(folder)
        found.append(None if one is None else step_of(one))
        save(folder, step + 1, content(step + 1))
        assert not list(folder.glob(".draft*")) and step_of(newest(folder)) == step + 1
    assert status == 0
    return found


def test_killed_at_any_write_the_newest_whole_one_is_found(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / "base", step, content(step))
    found = kills(tmp_path / "run", tmp_path / "base", 3)
    assert len(found) > 15 and found == sorted(found) and set(found) == {2, 3}


def test_killed_in_the_first_save_there_is_none_yet(tmp_path: Path) -> None:
    found = kills(tmp_path / "run", None, 1)
    assert set(found) == {None, 1} and found[-1] == 1


def test_killed_while_a_step_is_saved_again_the_one_before_it_is_left(tmp_path: Path) -> None:
    for step in (1, 2):
        save(tmp_path / "base", step, content(step))
    found = kills(tmp_path / "run", tmp_path / "base", 2)
    assert set(found) == {1, 2} and found[0] == found[-1] == 2


def test_as_many_stay_as_are_wanted(tmp_path: Path) -> None:
    for step in range(1, 6):
        assert save(tmp_path, step, content(step), keep=3) == tmp_path / f"{step:08d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000003", "00000004", "00000005"]
    save(tmp_path, 6, content(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000005", "00000006"]
    assert step_of(newest(tmp_path)) == 6 and newest(tmp_path).state["passed_over"] == []
    assert newest(tmp_path / "elsewhere") is None


def test_stray_drafts_are_swept_and_never_read(tmp_path: Path) -> None:
    save(tmp_path, 1, content(1))
    shutil.copytree(tmp_path / "00000001", tmp_path / ".draft-00000009")
    (tmp_path / "notes").mkdir()
    assert step_of(newest(tmp_path)) == 1
    save(tmp_path, 2, content(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "00000002", "notes"]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    for step in (1, 2):
        save(tmp_path, step, content(step))
    return tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize(
    ("damage", "message", "code"),
    [
        ("flip", "has changed since it was saved", "hash_mismatch"),
        ("cut", "is missing or cut, [0-9]+ bytes are expected", "incomplete"),
        ("delete", "is missing or cut, [0-9]+ bytes are expected", "incomplete"),
    ],
)
def test_a_damaged_file_is_named_and_its_checkpoint_passed_over(
    pair: Path, name: str, damage: str, message: str, code: str
) -> None:
    path = pair / "00000002" / name
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(0, len(data), 10) if damage == "flip" else (0,):
        changed = bytearray(data)
        changed[place] ^= 1 << int(place) % 8
        match damage:
            case "flip":
                path.write_bytes(changed)
            case "cut":
                path.write_bytes(data[:-1])
            case _:
                path.unlink()
        with pytest.raises(CheckpointError, match=f"checkpoint 00000002: {name} {message}") as caught:
            read(pair / "00000002")
        assert caught.value.code == code
        found = newest(pair)
        assert step_of(found) == 1 and found.state["passed_over"] == [str(caught.value)]


def test_any_flipped_bit_of_the_state_is_noticed(pair: Path) -> None:
    path = pair / "00000002" / STATE
    data, state = path.read_bytes(), read(pair / "00000002").state
    rng = np.random.default_rng(1)
    refused = 0
    for place, bit in zip(rng.integers(0, len(data), 200).tolist(), rng.integers(0, 8, 200).tolist(), strict=True):
        changed = bytearray(data)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        try:
            assert read(pair / "00000002").state == state  # such as a capital in a number's exponent
        except CheckpointError as error:
            refused += 1
            assert STATE in str(error) and "checkpoint 00000002" in str(error)
            assert step_of(newest(pair)) == 1
    assert refused > 190


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}}', "\x00", '{"files": '])
def test_a_state_that_is_none_is_refused(pair: Path, text: str) -> None:
    (pair / "00000002" / STATE).write_text(text)
    with pytest.raises(CheckpointError, match=r"checkpoint 00000002 has no readable state\.json"):
        read(pair / "00000002")
    (pair / "00000002" / STATE).unlink()
    assert step_of(newest(pair)) == 1


def test_a_changed_state_is_told_from_one_of_before_it_was_signed(pair: Path) -> None:
    path = pair / "00000002" / STATE
    told = json.loads(path.read_text())
    told["state"]["place"]["step"] = 7
    path.write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=r"00000002: state\.json has changed since it was saved") as caught:
        read(pair / "00000002")
    assert caught.value.code == "hash_mismatch"
    del told["sha256"]
    path.write_text(json.dumps(told))
    assert read(pair / "00000002").state == {"place": {"step": 7}}


def test_where_none_is_whole_each_fault_is_told(pair: Path) -> None:
    for folder in pair.iterdir():
        (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no checkpoint is whole: checkpoint 00000002: .*; checkpoint 00000001:"):
        newest(pair)


@pytest.mark.parametrize("limit", [0, 100, 4_096])
def test_a_full_disk_is_an_error_and_leaves_the_old_one(tmp_path: Path, limit: int) -> None:
    save(tmp_path, 1, content(1))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        save(tmp_path, 2, content(2))

    status, message = in_child(work)
    assert (status, message) == (REFUSED, "no_space: the checkpoint of step 2 cannot be written: File too large")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001"]
    assert step_of(newest(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="the checkpoint of step 1 cannot be written: Not a directory") as caught:
        save(tmp_path / "file" / "checkpoints", 1, content(1))
    assert caught.value.code == "not_writable"
    assert (tmp_path / "file").read_text() == "mine"
