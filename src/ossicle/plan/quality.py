"""How good: what is measured, what is published and what is only extrapolated, each marked as such.

Knows figures and their sources; does not measure. Published figures are single points of different encoders, LLMs, data
and normalisers, so nothing is ever read off a line through them; only our own sweep, one set of parts at several rates,
is extrapolated, and only a measurement can win. Source: section 6 of the project's notes on audio language models.

The sweep is a JSON file, ``{"figures": [{"task", "metric", "better": "lower" or "higher", "system", "hz", "value",
"low", "high"}, ...]}``, values in the metric's unit, low and high the 95 % interval.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ossicle.errors import DataError, RequestError

TASKS = ("speech", "sound", "music", "speaker", "dialogue")
PLACES = (
    Path(__file__).parents[1] / "assets" / "sweep.json",
    Path(__file__).parents[3] / "docs" / "results" / "sweep.json",
)
"""Where our sweep is looked for: in the package, then in a checkout."""
SAME = 0.065
"""Rates that differ by less than this share are one rate: the last token of a short clip is seldom full, so that 16
frames a token come to 3.31 a second where 3.125 are asked about."""
REACH = 1.5
"""No line goes further beyond the measured rates than by this factor: one of word errors would soon be below zero."""


@dataclass(frozen=True)
class Figure:
    """One figure of quality.

    Args:
        task: one of `TASKS`.
        metric: with data set and unit.
        better: "lower" or "higher".
        system: what was measured.
        hz: audio tokens a second.
        value: of the metric.
        kind: "measured", "published" or "extrapolated".
        source: the command, the publication, or what was extrapolated from.
        low: lower end of the 95 % interval of a measured figure.
        high: upper end of it.
    """

    task: str
    metric: str
    better: str
    system: str
    hz: float
    value: float
    kind: str
    source: str
    low: float | None = None
    high: float | None = None


def _published(task: str, metric: str, better: str, rows: Iterable[tuple[str, float, float, str]]) -> list[Figure]:
    return [Figure(task, metric, better, name, hz, value, "published", source) for name, hz, value, source in rows]


QWEN, QWEN2, SLAM = "Qwen-Audio README", "Qwen2-Audio README, table 1", "SLAM-LLM README"
CANARY, VOICE = "Canary-Qwen 2.5B model card", "VoiceBench README"
PUBLISHED: tuple[Figure, ...] = (
    *_published(
        *("speech", "word error rate, LibriSpeech test-clean, %", "lower"),
        (
            ("Qwen-Audio", 25.0, 2.0, QWEN),
            ("Qwen2-Audio", 25.0, 1.6, QWEN2),
            ("Canary-Qwen 2.5B", 12.5, 1.61, CANARY),
            ("SLAM-ASR WavLM-L", 10.0, 2.28, SLAM),
            ("SLAM-ASR HuBERT-XL", 10.0, 1.84, SLAM),
            ("SALMONN", 2.93, 2.1, f"quoted in the {QWEN}"),
        ),
    ),
    *_published(
        *("speech", "word error rate, LibriSpeech test-other, %", "lower"),
        (
            ("Qwen-Audio", 25.0, 4.2, QWEN),
            ("Qwen2-Audio", 25.0, 3.6, QWEN2),
            ("Canary-Qwen 2.5B", 12.5, 3.1, CANARY),
            ("SLAM-ASR WavLM-L", 10.0, 4.78, SLAM),
            ("SLAM-ASR HuBERT-XL", 10.0, 3.39, SLAM),
            ("SALMONN", 2.93, 4.9, f"quoted in the {QWEN}"),
        ),
    ),
    *_published(
        *("sound", "accuracy, VocalSound, %", "higher"),
        (("Qwen-Audio", 25.0, 92.89, QWEN), ("Qwen2-Audio", 25.0, 93.92, QWEN2)),
    ),
    *_published(
        *("sound", "score of 10, AIR-Bench sound", "higher"),
        (("Qwen2-Audio", 25.0, 6.99, QWEN2), ("SALMONN", 2.93, 6.28, "quoted in the Qwen READMEs")),
    ),
    *_published(
        *("music", "score of 10, AIR-Bench music", "higher"),
        (("Qwen2-Audio", 25.0, 6.79, QWEN2), ("SALMONN", 2.93, 5.95, "quoted in the Qwen READMEs")),
    ),
    *_published(
        *("speaker", "accuracy, MELD (emotion of the voice), %", "higher"),
        (("Qwen-Audio", 25.0, 55.7, QWEN), ("Qwen2-Audio", 25.0, 55.3, QWEN2)),
    ),
    *_published(
        *("dialogue", "overall, VoiceBench", "higher"),
        (("Ultravox v0.5 8B", 6.25, 74.86, VOICE), ("Qwen2-Audio", 25.0, 55.80, VOICE)),
    ),
)


def sweep_file() -> Path | None:
    """Our own measurements, where this installation has them."""
    return next((path for path in PLACES if path.is_file()), None)


def read_sweep(path: Path) -> list[Figure]:
    """The measured figures of a sweep.

    Raises:
        DataError: not such a file.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["figures"]
        return [_measured(row, path.name) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no sweep: its figures cannot be read ({error})") from error


def _measured(row: Any, source: str) -> Figure:
    if not isinstance(row, dict):
        raise ValueError(f"a figure is an object, got {row!r}")
    known = {one.name for one in fields(Figure)} - {"kind", "source"}
    said = {key: value for key, value in row.items() if key in known}
    figure = Figure(kind="measured", source=row.get("command", source), **said)
    numbers = (figure.hz, figure.value, figure.low, figure.high)
    if figure.task not in TASKS or figure.better not in ("lower", "higher"):
        raise ValueError(f"task {figure.task!r}, better {figure.better!r}")
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers) or figure.hz <= 0:
        raise ValueError(f"hz, value, low and high are {numbers}")
    return figure


def figures(task: str, rates_hz: Sequence[float], measured: Sequence[Figure] = ()) -> list[Figure]:
    """Every figure of a task: measured, then extrapolated to those of ``rates_hz`` that were not, then published.

    Args:
        task: one of `TASKS`.
        rates_hz: rates that a plan asks about.
        measured: of `read_sweep`.

    Raises:
        RequestError: an unknown task.
    """
    if task not in TASKS:
        raise RequestError(f"the task {task!r} is not known: choose one of {', '.join(TASKS)}")
    ours = [one for one in measured if one.task == task]
    series: dict[tuple[str, str], list[Figure]] = {}
    for one in ours:
        series.setdefault((one.system, one.metric), []).append(one)
    made = [found for points in series.values() for hz in rates_hz if (found := _extrapolated(points, hz)) is not None]
    return [*ours, *made, *(one for one in PUBLISHED if one.task == task)]


def _extrapolated(points: Sequence[Figure], hz: float) -> Figure | None:
    """On the line through the two nearest measured rates, over log rate; None where it needs none, has too few, or goes
    too far."""
    rates = [one.hz for one in points]
    if not min(rates) / REACH <= hz <= max(rates) * REACH:
        return None
    if any(abs(one.hz / hz - 1) < SAME for one in points):
        return None
    near = sorted(points, key=lambda one: abs(math.log(one.hz / hz)))[:2]
    if len(near) < 2 or abs(near[0].hz / near[1].hz - 1) < SAME:
        return None
    a, b = near
    value = a.value + (b.value - a.value) * math.log(hz / a.hz) / math.log(b.hz / a.hz)
    if value < 0 or (value > 100 and a.better == "higher" and a.metric.endswith("%")):
        return None
    source = f"line through {a.hz:g} and {b.hz:g} a second"
    return Figure(a.task, a.metric, a.better, a.system, hz, value, "extrapolated", source)


def winners(found: Sequence[Figure]) -> dict[str, str]:
    """For each metric the rate that wins, or why none does; only measured figures can win.

    The best one wins where its 95 % interval is clear of the interval of every other.
    """
    said = {}
    for metric in dict.fromkeys(one.metric for one in found):
        ours = [one for one in found if one.metric == metric and one.kind == "measured"]
        said[metric] = _winner(ours)
    return said


def _winner(ours: Sequence[Figure]) -> str:
    if len(ours) < 2:
        return "no winner: " + ("nothing is measured" if not ours else "one measurement has none beside it")
    lower = ours[0].better == "lower"
    best, *others = sorted(ours, key=lambda one: one.value if lower else -one.value)
    assert best.low is not None and best.high is not None, "measured figures have intervals"
    for one in others:
        assert one.low is not None and one.high is not None, "measured figures have intervals"
        if (one.low <= best.high) if lower else (one.high >= best.low):
            return f"no winner: the intervals of {_at(best)} and {_at(one)} overlap"
    return _at(best)


def _at(one: Figure) -> str:
    return f"{one.system} at {one.hz:g} a second"
