"""Folders that are written whole or not at all."""

import errno
import os
import resource
import signal
from pathlib import Path

import pytest
from safetensors import SafetensorError

from ossicle.errors import StorageError
from ossicle.hub.whole import _swap, fault_number, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_draft_becomes_the_folder(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a" / "b") as draft:
        (draft / "deep").mkdir()
        (draft / "deep" / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "deep" / "x").read_text() == "1"
    assert names(tmp_path / "a") == ["b"]


def test_a_fault_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("1")
    with pytest.raises(RuntimeError, match="half way"), whole_folder(tmp_path / "b", replaces=lambda _: True) as draft:
        (draft / "x").write_text("1")
        raise RuntimeError("half way")
    assert names(tmp_path) == ["b"]
    assert names(tmp_path / "b") == ["old"]


def test_what_stands_there_is_replaced_if_it_may(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("1")
    with whole_folder(tmp_path / "b", replaces=lambda path: (path / "old").is_file()) as draft:
        (draft / "new").write_text("1")
    assert names(tmp_path / "b") == ["new"]
    with (
        pytest.raises(StorageError, match="is not a model folder, so it is not overwritten"),
        whole_folder(tmp_path / "b", replaces=lambda path: (path / "old").is_file()),
    ):
        pass
    with pytest.raises(StorageError, match=r"exists: choose another name$"), whole_folder(tmp_path / "b"):
        pass
    assert names(tmp_path) == ["b"]


def test_an_empty_folder_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with whole_folder(tmp_path / "b") as draft:
        (draft / "new").write_text("1")
    assert names(tmp_path / "b") == ["new"]


def test_a_file_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(StorageError, match=r"exists: choose another name$"), whole_folder(tmp_path / "b"):
        pass


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(StorageError, match="cannot be written: ") as caught,
        whole_folder(tmp_path / "file" / "b"),
    ):
        pass
    assert caught.value.code == "not_writable"


def test_a_full_disk_is_named_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written: No space left") as caught, whole_folder(tmp_path / "b"):
        raise OSError(28, os.strerror(28))
    assert caught.value.code == "no_space"
    assert not names(tmp_path)


def test_if_the_last_rename_fails_the_old_folder_is_back(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("1")
    with pytest.raises(FileNotFoundError):
        _swap(tmp_path / "no draft", tmp_path / "b")
    assert names(tmp_path) == ["b"]
    assert names(tmp_path / "b") == ["old"]


def test_the_folder_that_this_runs_in_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for target in (Path("."), Path(".."), tmp_path / "here"):
        with pytest.raises(StorageError, match="is the folder that this runs in, or holds it"), whole_folder(target):
            pass
    assert names(tmp_path) == ["here"] and names(tmp_path / "here") == ["below"]
    with whole_folder(Path("../other/.././c")) as draft:
        (draft / "x").write_text("1")
    assert names(tmp_path / "here") == ["below", "c"] and names(tmp_path / "here" / "c") == ["x"]


def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(tmp_path: Path) -> None:
    for name in (".b.draft-1", ".b.old-1", ".c.draft-1", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
    with whole_folder(tmp_path / "b", replaces=lambda _: True):
        with whole_folder(tmp_path / "b", replaces=lambda _: True) as draft:
            (draft / "x").write_text("1")
        assert len(list(tmp_path.glob(".b.draft-*"))) == 1  # the outer one
    assert names(tmp_path) == [".c.draft-1", "b"]


def test_what_was_moved_aside_stays_where_nothing_took_its_place(tmp_path: Path) -> None:
    (tmp_path / ".b.old-1").mkdir()
    (tmp_path / ".b.old-1" / "x").write_text("1")
    with pytest.raises(RuntimeError, match="half way"), whole_folder(tmp_path / "b"):
        raise RuntimeError("half way")
    assert names(tmp_path) == [".b.old-1"]


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        (OSError(errno.EFBIG, "x"), errno.EFBIG),
        (OSError("no number"), errno.EIO),
        (SafetensorError('IoError(Os { .. }): "File too large (os error 27)"'), 27),
        (SafetensorError("header"), errno.EIO),
        (Exception("No space left on device (os error 28)"), 28),
        (Exception("a key"), None),
        (RuntimeError("(os error 28)"), None),
    ],
)
def test_the_number_of_a_fault_is_told_in_words_too(fault: Exception, number: int | None) -> None:
    assert fault_number(fault) == number


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    whole_file(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_text() == "new" and names(tmp_path) == ["x"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target, fault in ((tmp_path / "folder", "Is a directory"), (tmp_path / "none" / "x", "No such file")):
        with pytest.raises(StorageError, match=f"cannot be written: {fault}") as caught:
            whole_file(target, b"new")
        assert caught.value.code == "not_writable"
    assert names(tmp_path) == ["folder"]


def test_a_file_that_finds_no_space_says_so_and_leaves_the_older_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
        with pytest.raises(StorageError) as caught:
            whole_file(tmp_path / "x", b"much more than eight bytes")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "no_space" and (tmp_path / "x").read_text() == "old" and names(tmp_path) == ["x"]
