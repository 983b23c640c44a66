"""What is left out: told once, listed, and too much of it ends the run."""

import json
from pathlib import Path

import pytest

from ossicle.data.check import Checked, Fault
from ossicle.errors import DataError, StorageError
from ossicle.train.rejected import MOST_TOLD, Rejected

OWN = "data/own.jsonl"


def faults(n: int, file: str = OWN) -> list[Fault]:
    return [Fault(file, line, "no sound") for line in range(1, n + 1)]


def checked(n_items: int, *known: Fault) -> Checked:
    return Checked(Path(OWN), n_items, known, {})


def listed(path: Path) -> list[Fault]:
    return [Fault(**json.loads(line)) for line in path.read_text().splitlines()]


def test_what_is_known_is_told_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rejected.jsonl"
    Rejected(path, known=faults(MOST_TOLD + 7)).tell()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "left out: own.jsonl, line 1: no sound" and len(told) == MOST_TOLD + 1
    assert told[-1] == f"left out: 7 more, all in {path}" and listed(path) == faults(MOST_TOLD + 7)
    Rejected(path).tell()  # the files were mended: the list says so
    assert listed(path) == []


def test_without_a_fault_there_is_no_list(tmp_path: Path) -> None:
    Rejected(tmp_path / "rejected.jsonl").tell()
    assert list(tmp_path.iterdir()) == []


def test_what_is_met_joins_the_list_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, known, met = tmp_path / "rejected.jsonl", faults(1), [Fault(OWN, 5, "cut")]
    rejected = Rejected(path, known=known, met=met)
    rejected.begin(checked(1000, *known))
    for _ in range(3):
        rejected.add(10, ["own.jsonl, line 5: cut", "own.jsonl, line 9: damaged"], none_left=False)
    assert capsys.readouterr().err == "left out: own.jsonl, line 9: damaged\n"
    assert listed(path) == [*known, *met, Fault(OWN, 9, "damaged")] == [*rejected.known, *rejected.met]


def test_of_a_manifest_the_lines_count_that_are_its_own() -> None:
    rejected = Rejected(known=[*faults(1), *faults(9, "other/own.jsonl")])
    rejected.begin(checked(200, *faults(1)))
    rejected.add(100, ["own.jsonl, line 1: no text", "own.jsonl, line 2: cut"], none_left=True)
    rejected.add(100, ["own.jsonl, line 2: cut"], none_left=False)  # in the next epoch
    with pytest.raises(
        DataError, match=r"3 of 200 items of the manifest .* such as own.jsonl, line 1: no sound"
    ) as caught:
        rejected.add(100, ["own.jsonl, line 3: cut"], none_left=False)
    assert caught.value.code == "too_many_bad_items"


def test_of_a_source_without_end_what_was_drawn_counts() -> None:
    rejected = Rejected()
    rejected.add(90, ["a", "b"], none_left=False)
    with pytest.raises(DataError, match=r"2 of 100 training items cannot be used .at most 1% may be so., such as a"):
        rejected.add(10, [], none_left=False)
    rejected.begin(None)
    with pytest.raises(DataError, match=r"1 of 1 training items .* such as a"):
        rejected.add(1, ["c"], none_left=True)


def test_a_list_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"rejected\.jsonl cannot be written: No such file or directory"):
        Rejected(tmp_path / "gone" / "rejected.jsonl", known=faults(1)).tell()
