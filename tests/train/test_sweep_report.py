"""The page of a sweep: it says what its cells show, and no more."""

import json
from pathlib import Path

import pytest

from ossicle.errors import StorageError
from ossicle.plan import render
from ossicle.plan.quality import TASKS, figures, read_sweep, winners
from ossicle.train.ranking import GROUPS, Found
from ossicle.train.sweep_report import PLANNED, as_json, page, sentence, write

from .sweeps import sweep_of
from .test_ranking import found, result

MADE = {"commit": "abc", "device": "cpu", "threads": 2, "versions": {"torch": "2"}}


def pair(*, at: int = 4, shares: tuple[float, float] = (0.9, 0.7), double: bool = False) -> list[dict]:
    return [result(name, at, share, double=double) for name, share in zip(("conv", "mean"), shares, strict=True)]


def test_one_sentence_says_where_a_ranking_holds_and_where_none_is_stated() -> None:
    cells = [*pair(), *pair(double=True), *pair(at=8, shares=(0.7, 0.7)), *pair(at=16), *pair(at=2, shares=(0.7, 0.7))]
    several = found(*cells)
    told = sentence(several, list(several.ranks()))
    assert told.startswith("at 12.5 tokens a second conv is first with 90.0 % (")
    assert "before mean with 70.0 % (" in told
    assert "at 25 and 6.25 no ranking is stated, the first two do not differ clearly" in told
    assert told.endswith(
        "at 3.12 (not doubled) no ranking is stated, the difference is not confirmed by twice the hours."
    )


def test_the_page_says_where_a_bridge_is_no_better_than_silence(tmp_path: Path) -> None:
    cells = [result(name, k, share, silence=0.9) for name, share in (("conv", 0.9), ("mean", 0.7)) for k in (4, 8)]
    told = page(sweep_of(tmp_path), found(*cells), failed=[], left=0, made=MADE, command="x", picture="y")
    assert "at 12.5 and 6.25 no ranking is stated, the first is no better than silence." in told
    assert told.count("| none: the first is no better than silence |") == 2
    low = [line for line in told.splitlines() if "| none: no better than silence" in line]
    assert [line.split("|")[3].strip() for line in low] == ["conv", "mean"]


@pytest.mark.parametrize(
    ("double", "words"),
    [
        ({}, "twice the hours.\n"),
        ({"groups": ["content", "music"], "seeds": [1]}, "twice the hours, for content and music only, with seed 1.\n"),
        ({"seeds": [1, 2]}, "twice the hours, with seeds 1 and 2.\n"),
    ],
)
def test_the_page_says_what_twice_the_hours_are_for(double: dict, words: str, tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, seeds=[1, 2], double=double)
    assert words in page(sweep, found(), failed=[], left=0, made={}, command="x", picture="y")


def test_the_page_holds_tables_failures_and_what_is_left(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    wer = [result("written", k, 0.2, task="transcribe", metric="wer") for k in (4, 8)]
    several = found(*pair(), *pair(shares=(0.8, 0.8), double=True), *wer, result("greedy", 4, 0.5, rate=20.0))
    told = page(
        sweep,
        several,
        failed=[("own-k4-seed1", "KeyError: 'x'")],
        left=2,
        made=MADE,
        command="ossicle sweep x",
        picture="sweep.svg",
    )
    for words in (
        "Made by `ossicle sweep x`",
        "at commit abc,\non cpu, 2 threads; torch 2.",
        "2 cells of the grid are still to be done.",
        "- own-k4-seed1: KeyError: 'x'",
        "![curves](sweep.svg)",
        "- **sounds** (accuracy): at 12.5 (under-trained) no ranking is stated",
        "| under-trained",
        "no, more",
        "2.00",
    ):
        assert words in told, words
    (low,) = (line for line in told.splitlines() if line.startswith("| content") and "6.25" in line and "+0.0" in line)
    assert [cell.strip() for cell in low.split("|")][-3:-1] == ["2.00", "9.00"]
    empty = page(sweep, found(), failed=[], left=0, made={}, command="x", picture="y")
    assert "curves" not in empty and "Failed" not in empty and "still to be done" not in empty


def test_the_planner_reads_every_group_that_it_has_a_task_for(tmp_path: Path) -> None:
    assert set(PLANNED) <= set(GROUPS.values()) and set(PLANNED.values()) <= set(TASKS)
    tasks = {group: task for task, group in GROUPS.items() if task != "transcribe"}  # one of each group
    cells = []
    for name, share in (("conv", 0.9), ("mean", 0.6)):
        for k in (4, 8):
            one = result(name, k, 1 - share, task="transcribe", metric="wer")
            for task in tasks.values():
                one["rates"][str(k)]["tasks"] |= result(name, k, share, task=task)["rates"][str(k)]["tasks"]
            cells.append(one)
    sweep = sweep_of(tmp_path)
    write(tmp_path / "sweep.md", sweep, found(*cells), failed=[], left=0, made=MADE, command="ossicle sweep x")
    measured = read_sweep(tmp_path / "sweep.json")
    error, accuracy = "word error rate, small world, %", "accuracy, small world, %"
    for group, task in PLANNED.items():
        known = figures(task, [12.5, 6.25, 4.5], measured)
        ours = [(one.system, one.hz, one.metric, one.better, one.value) for one in known if one.kind == "measured"]
        wanted = [
            (f"{name} on {sweep.base}", hz, *told)
            for name, share in (("conv", 90.0), ("mean", 60.0))
            for hz in (12.5, 6.25)
            for told in ((error, "lower", 100 - share), (accuracy, "higher", share))
            if group == "content" or told[0] == accuracy
        ]
        assert sorted(ours) == sorted(wanted)
        assert {one.source for one in known if one.kind == "measured"} == {"ossicle sweep x"}
        assert [one.hz for one in known if one.kind == "extrapolated"] == [4.5] * len({told[2:3] for told in ours}) * 2
        assert winners(known)[accuracy].startswith("no winner: the intervals of conv on")
        assert f"conv on {sweep.base}" in render.quality(task, known, winners(known))


def test_the_page_sets_one_checkpoint_beside_bridges_of_one_rate(tmp_path: Path) -> None:
    cells = [
        result("nested", 4, 0.8, also={8: 0.7, 16: 0.6}),
        *pair(shares=(0.84, 0.7)),
        *pair(at=8, shares=(0.9, 0.7)),
    ]
    sweep = sweep_of(tmp_path)
    told = page(sweep, found(*cells), failed=[], left=0, made=MADE, command="x", picture="y")
    section = told.partition("## One checkpoint, many rates")[2].partition("\n## ")[0]
    assert (
        "- **nested**, trained at k 4: within 20 % of the error rate of the best dedicated bridge in 0 of 2" in section
    )
    lines = [[cell.strip() for cell in line.split("|")[4:-1]] for line in section.splitlines() if "nested" in line]
    first, second, third = (line for line in lines if len(line) > 3)
    assert first[:2] == ["4", "12.5"] and first[3].startswith("conv 84.0 %") and first[4].startswith("-4.0 (")
    assert first[5:7] == ["+25.0 %", "no"] and first[7].startswith("70.0 %") and first[9:] == ["-33.3 %", "yes"]
    assert second[5:7] == ["+200.0 %", "no"] and second[9:] == ["+0.0 %", "yes"]
    assert third[0] == "16" and third[3:] == ["-"] * 8
    rows = as_json(sweep, found(*cells), "x")["one_checkpoint"]
    assert [(row["k"], row["value"], row["trained_k"]) for row in rows] == [(4, 0.8, 4), (8, 0.7, 4), (16, 0.6, 4)]
    assert rows[0]["best"]["bridge"] == "conv" and rows[0]["best"]["difference"]["value"] == -0.04
    assert (rows[1]["best"]["relative"], rows[1]["reference"]["within"], rows[2]["best"]) == (2.0, True, None)
    none = page(sweep, found(*pair()), failed=[], left=0, made=MADE, command="x", picture="y")
    assert "One checkpoint" not in none and as_json(sweep, found(*pair()), "x")["one_checkpoint"] == []


def test_the_lowest_rate_is_told_in_the_tokens_of_the_bridge_itself(tmp_path: Path) -> None:
    cells = [result("mean", k, 0.9) for k in (4, 8)] + [result("greedy", k, 0.9, rate=40.0 / k) for k in (4, 8)]
    told = page(sweep_of(tmp_path), found(*cells), failed=[], left=0, made=MADE, command="x", picture="y")
    section = told.partition("## Lowest rate")[2].partition("\n## ")[0]
    lines = [[cell.strip() for cell in line.split("|")] for line in section.splitlines() if line.startswith("| sounds")]
    assert {line[3]: line[4] for line in lines} == {"mean": "6.25", "greedy": "5"}


def test_files_are_written_together_and_the_json_has_a_row_for_each_figure(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)

    def made(path: Path, several: Found) -> None:
        write(path, sweep, several, failed=[], left=0, made=MADE, command="x")

    made(tmp_path / "docs" / "sweep.md", found(*pair(), *pair(shares=(0.95, 0.7), double=True)))
    told = json.loads((tmp_path / "docs" / "sweep.json").read_text())
    rows, (figure, _) = told["rows"], told["figures"]
    assert figure.pop("low") < 90 < figure.pop("high")
    assert figure == {
        **{"task": "sound", "metric": "accuracy, small world, %", "better": "higher", "hz": 12.5, "value": 90.0},
        **{"system": f"conv on {sweep.base}", "command": "x"},
    }
    assert [(row["bridge"], row["k"], row["value"]) for row in rows] == [("conv", 4, 0.9), ("mean", 4, 0.7)]
    assert [(row["bridge"], row["value"]) for row in told["doubled"]] == [("conv", 0.95), ("mean", 0.7)]
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"sweep.md", "sweep.json", "sweep.svg"}
    half = as_json(sweep, found(*pair()), "x", left=3)
    assert half["left"] == 3 and half["figures"] == [] and half["rows"] == rows, "a planner waits for the whole grid"
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        made(tmp_path / "file" / "sweep.md", found(*pair()))
