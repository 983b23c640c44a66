"""Quality: marks, sources, what may be extrapolated, and who may win."""

import json
import math

import pytest

from ossicle.errors import DataError, RequestError
from ossicle.plan.quality import PLACES, PUBLISHED, TASKS, Figure, figures, read_sweep, sweep_file, winners


def measured(hz, value, low=None, high=None, **changes):
    said = {"task": "speech", "metric": "word error rate, %", "better": "lower", "system": "mini"}
    low, high = value - 1 if low is None else low, value + 1 if high is None else high
    return {**said, "hz": hz, "value": value, "low": low, "high": high, **changes}


@pytest.fixture
def sweep(tmp_path):
    """Measured figures, read from a file."""

    def read(*rows, **beside):
        path = tmp_path / "sweep.json"
        path.write_text(json.dumps({"figures": list(rows), **beside}))
        return read_sweep(path)

    return read


def test_every_published_figure_names_its_source_and_has_no_interval():
    assert all(one.kind == "published" and one.source and one.low is one.high is None for one in PUBLISHED)
    assert {one.task for one in PUBLISHED} == set(TASKS)
    assert {one.better for one in PUBLISHED} == {"lower", "higher"}


def test_nothing_published_is_extrapolated_and_nothing_published_wins():
    for task in TASKS:
        found = figures(task, [50.0, 25.0, 6.25, 1.67])
        assert found == [one for one in PUBLISHED if one.task == task]
        assert set(winners(found).values()) == {"no winner: nothing is measured"}


def test_measured_figures_come_first_and_rates_between_and_beyond_are_extrapolated(sweep):
    ours = sweep(measured(25.0, 4.0), measured(6.25, 8.0), measured(25.0, 90.0, task="sound", metric="accuracy"))
    found = figures("speech", [37.5, 25.1, 12.5, 6.25], ours)
    assert [one.kind for one in found[:5]] == ["measured", "measured", "extrapolated", "extrapolated", "published"]
    beyond, between = found[2:4]
    assert (beyond.hz, beyond.value) == (37.5, pytest.approx(6.0 - 2 * math.log2(3)))
    assert (between.hz, between.value) == (12.5, pytest.approx(6.0))
    assert between.source == "line through 25 and 6.25 a second" and between.low is None
    assert {one.task for one in found} == {"speech"}


@pytest.mark.parametrize(
    ("better", "values", "hz", "n"),
    [
        ("lower", (4.0, 8.0), 37.6, 0),  # further than the reach
        ("lower", (4.0, 8.0), 4.1, 0),
        ("lower", (4.0, 8.0), 4.2, 1),
        ("lower", (1.0, 8.0), 37.0, 0),  # below zero
        ("higher", (96.0, 80.0), 37.0, 0),  # above a hundred
        ("lower", (140.0, 80.0), 37.0, 1),  # a word error rate may be
    ],
)
def test_a_line_goes_not_far_and_to_nothing_impossible(sweep, better, values, hz, n):
    ours = sweep(*(measured(rate, value, better=better) for rate, value in zip((25.0, 6.25), values, strict=True)))
    assert sum(one.kind == "extrapolated" for one in figures("speech", [hz], ours)) == n


def test_one_rate_is_no_line(sweep):
    ours = sweep(measured(25.0, 4.0), measured(25.0, 5.0))
    assert [one.kind for one in figures("speech", [12.5], ours)][:3] == ["measured", "measured", "published"]


def test_systems_are_extrapolated_each_by_itself(sweep):
    ours = sweep(measured(25.0, 4.0), measured(6.25, 8.0, system="other"))
    assert "extrapolated" not in {one.kind for one in figures("speech", [12.5], ours)}


@pytest.mark.parametrize(
    ("better", "first", "second", "won"),
    [
        ("lower", (4.0, 3.0, 5.0), (8.0, 7.0, 9.0), "mini at 25 a second"),
        ("higher", (4.0, 3.0, 5.0), (8.0, 7.0, 9.0), "mini at 6.25 a second"),
        ("lower", (4.0, 3.0, 7.0), (8.0, 7.0, 9.0), "no winner: the intervals of mini at 25 a second and mini at 6.25"),
        (
            "higher",
            (4.0, 3.0, 7.0),
            (8.0, 7.0, 9.0),
            "no winner: the intervals of mini at 6.25 a second and mini at 25",
        ),
    ],
)
def test_only_a_measurement_that_is_clear_of_all_others_wins(sweep, better, first, second, won):
    ours = sweep(measured(25.0, *first, better=better), measured(6.25, *second, better=better))
    found = winners(figures("speech", [], ours))
    assert found["word error rate, %"].startswith(won)


def test_one_measurement_has_nothing_to_win_against(sweep):
    found = winners(figures("speech", [], sweep(measured(25.0, 4.0))))
    assert found["word error rate, %"] == "no winner: one measurement has none beside it"


def test_a_measured_figure_says_its_command_and_may_say_more(sweep):
    (figure,) = sweep(measured(25.0, 4.0, command="ossicle sweep", seeds=3), version=1)
    assert figure == Figure(
        *("speech", "word error rate, %", "lower", "mini", 25.0, 4.0, "measured", "ossicle sweep", 3.0, 5.0)
    )
    assert sweep(measured(25.0, 4.0))[0].source == "sweep.json"


@pytest.mark.parametrize(
    "row",
    [
        measured(25.0, 4.0, task="smell"),
        measured(25.0, 4.0, better="faster"),
        measured(25.0, 4.0, low="3"),
        measured(0.0, 4.0),
        measured(25.0, math.nan),
        {"task": "speech"},
        "text",
    ],
)
def test_a_sweep_that_cannot_be_read_is_refused(sweep, row):
    with pytest.raises((DataError), match=r"sweep.json is no sweep: its figures cannot be read"):
        sweep(row)


def test_other_files_are_no_sweep(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    for name in ("a.json", "missing.json"):
        with pytest.raises(DataError, match="is no sweep"):
            read_sweep(tmp_path / name)


def test_the_sweep_of_this_installation_can_be_read_where_there_is_one():
    found = sweep_file()
    assert found == next((path for path in PLACES if path.exists()), None)
    assert found is None or bool(read_sweep(found)) == (json.loads(found.read_text())["left"] == 0)


def test_an_unknown_task_is_refused():
    with pytest.raises(RequestError, match="the task 'smell' is not known: choose one of speech, sound, music, "):
        figures("smell", [])
