"""The page of the probes: every number, the command, and the LLM's answers only where it was asked."""

import pytest

from ossicle.errors import StorageError
from ossicle.evaluate.metrics import Difference
from ossicle.evaluate.probe_report import tables, write
from ossicle.evaluate.probes import Answers, Found, Probed, Rate

EVENT = Found(
    probe="event",
    asks="which kind",
    n_fit=60,
    n_test=30,
    n_vectors=31,
    n_classes=25,
    chance=0.05,
    frames=Rate(0.9, 0.8, 0.95),
    pooled=Rate(0.85, 0.7, 0.9),
    after=Rate(0.5, 0.4, 0.6),
    loss=Difference(0.35, 0.25, 0.452),
    verdict="lost at the bridge",
)
ANSWERED = Found(
    **{**vars(EVENT), "probe": "content", "answers": Answers("transcribe", "wer", 40, Rate(0.04, 0.02, 0.06))}
)


def cells(text, first):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_number_stands_in_its_row():
    text = tables(Probed("mini", 0, {"event": EVENT}))
    rates = ["5.0 %", "90.0 % (80.0 to 95.0)", "85.0 % (70.0 to 90.0)", "50.0 % (40.0 to 60.0)"]
    told = ["+35.0", "+25.0 to +45.2", "lost at the bridge"]
    assert cells(text, "event") == ["event", "which kind", "25", "31 in 30 clips", *rates, *told]
    assert "the LLM's answers" not in text and "below 2 points" in text


def test_the_llms_answers_stand_beside_it_where_it_was_asked():
    text = tables(Probed("mini", 0, {"event": EVENT, "content": ANSWERED}))
    assert cells(text, "event")[-1] == "none"
    assert cells(text, "content")[-1] == "transcribe: word error rate 4.0 % (2.0 to 6.0) of 40"
    assert "the LLM does not use it" in text


def test_the_page_names_the_command_and_is_written_whole(tmp_path):
    path = tmp_path / "results" / "probes.md"
    found = Probed("mini", 3, {"event": EVENT})
    write(path, found, command="ossicle probe mini --seed 3")
    title = "# What reaches the LLM of mini: linear probes\n\nMade by `ossicle probe mini --seed 3` (seed 3).\n\n"
    assert path.read_text() == title + tables(found) + "\n" and list(path.parent.iterdir()) == [path]
    with pytest.raises(StorageError, match=r"probes.md/x.md cannot be written"):
        write(path / "x.md", found, command="")
