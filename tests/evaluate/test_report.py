"""Tables: every number of the scores, and the command that made them."""

import numpy as np
import pytest

from ossicle.errors import StorageError
from ossicle.evaluate.metrics import Counts, Difference
from ossicle.evaluate.report import tables, write
from ossicle.evaluate.score import Comparison, Scores, TaskScore

NONE = Counts(np.zeros(0), np.zeros(0))
TASKS = {
    "transcribe": TaskScore(
        "wer", 0.0812, 0.06, 0.11, 80, 0.98, 1.12, {"accents": (0.0812, 80), "festival": (None, 0)}, 40, 40, NONE
    ),
    "melody": TaskScore("accuracy", 0.9, 0.83, 0.96, 80, 0.5, 0.48, {}, 40, 40, NONE),
    "tempo": TaskScore("accuracy", 0.7, 0.6, 0.8, 80, 0.65, 0.5, {}, 40, 37, NONE),
}


def cells(text, first):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} ")][:1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_number_of_a_task_stands_in_its_row():
    text = tables(Scores("mini", "world", TASKS))
    want = ["transcribe", "word error rate", "8.1 %", "6.0 % to 11.0 %", "80", "98.0 %", "112.0 %", "40", "yes"]
    assert cells(text, "transcribe") == want
    assert cells(text, "melody")[-1] == "yes"
    assert cells(text, "tempo")[-2:] == ["40 and 37", "not shown"]
    assert "Mean accuracy over 2 tasks: 80.0 %" in text
    assert "| transcribe | festival | none  | 0  |" in text


def test_a_comparison_has_a_table_of_its_own():
    other = Comparison("frozen", {"melody": (0.8, Difference(-0.1, -0.15, -0.02)), "tempo": (None, None)})
    text = tables(Scores("mini", "world", TASKS, other)).split("\n\n")[-1]
    assert cells(text, "melody") == ["melody", "accuracy", "90.0 %", "80.0 %", "-10.0", "-15.0 to -2.0", "yes"]
    assert cells(text, "tempo") == ["tempo", "accuracy", "70.0 %", "none", "none", "none", "no"]


def test_the_file_names_the_command_and_is_written_whole(tmp_path):
    path = tmp_path / "results" / "mini.md"
    write(path, Scores("mini", "world", TASKS, seed=3), command="ossicle evaluate --json")
    text = path.read_text()
    assert text.startswith("# mini on world\n\nMade by `ossicle evaluate --json` (seed 3).\n")
    assert tables(Scores("mini", "world", TASKS)) in text
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(StorageError, match=r"mini.md/x.md cannot be written: (Not a directory|File exists)"):
        write(path / "x.md", Scores("mini", "world", TASKS), command="")
