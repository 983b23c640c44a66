"""A sweep as one page: curves, a plain sentence for each group of tasks, and the tables behind them; and as JSON.

Knows what was found; does not know how cells are made. Everything that is said follows from the cells that are there.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ossicle.errors import StorageError
from ossicle.evaluate.report import table
from ossicle.evaluate.score import percent
from ossicle.train.curves import svg
from ossicle.train.grid import Sweep
from ossicle.train.many_rates import GOAL, AtRate, Beside, one_checkpoint
from ossicle.train.ranking import TOLERANCE, Found, Key, Lowest, Rank, Row

METRICS = {"wer": "word error rate", "accuracy": "accuracy"}
PLANNED = {"content": "speech", "sounds": "sound", "music": "music", "speaker": "speaker"}
"""Groups by what the planner calls their task; it has none for time and order."""
SILENT = "no better than silence"


def write(
    path: str | os.PathLike[str],
    sweep: Sweep,
    found: Found,
    *,
    failed: Sequence[tuple[str, str]],
    left: int,
    made: dict[str, Any],
    command: str,
) -> None:
    """Write ``F.md`` and beside it ``F.json`` and ``F.svg``, each whole or not at all.

    Args:
        path: of the page.
        sweep: what was asked.
        found: what its cells show.
        failed: cells that failed, and why.
        left: cells that are still to be done.
        made: commit, versions and device of the last cell.
        command: that made the page.

    Raises:
        StorageError: a file cannot be written.
    """
    path = Path(path)
    files = {
        path.with_suffix(".svg"): svg(found),
        path.with_suffix(".json"): json.dumps(as_json(sweep, found, command, left=left), indent=1) + "\n",
        path: page(sweep, found, failed=failed, left=left, made=made, command=command, picture=path.stem + ".svg"),
    }
    for target, text in files.items():
        partial = target.with_name(target.name + ".partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}") from error
        finally:
            if partial.exists():
                partial.unlink()


def as_json(sweep: Sweep, found: Found, command: str, *, left: int = 0) -> dict[str, Any]:
    """``rows``, one for each arm, rate and group, and of those that the planner has a task for the same as ``figures``
    in its form; ``one_checkpoint``, what it gives up at each rate; ``doubled``, rows of what learned for twice as long.

    While cells are ``left``, there are no figures: a planner that takes them for measured would name winners of a grid
    that is half there.
    """
    rows = [row for row in found.rows if not row.place[2]]
    figures = [
        {
            "task": PLANNED[row.key[0]],
            "metric": f"{METRICS[row.key[1]]}, small world, %",
            "better": "lower" if row.key[1] == "wer" else "higher",
            "system": f"{row.place[0]} on {sweep.base}",
            "hz": round(found.costs[row.place].tokens_per_s, 4),
            **{name: round(100 * getattr(row, name), 4) for name in ("value", "low", "high")},
            "command": command,
        }
        for row in rows
        if row.key[0] in PLANNED and not left
    ]
    many = [one.as_dict(found.costs[one.row.place].tokens_per_s) for one in one_checkpoint(found)]
    return {
        "left": left,
        "rows": [row.as_dict(found.costs[row.place]) for row in rows],
        "doubled": [row.as_dict(found.costs[row.place]) for row in found.rows if row.place[2]],
        "figures": figures,
        "one_checkpoint": many,
    }


def page(
    sweep: Sweep,
    found: Found,
    *,
    failed: Sequence[tuple[str, str]],
    left: int,
    made: dict[str, Any],
    command: str,
    picture: str,
) -> str:
    """The page as Markdown."""
    hours, seeds = sweep.audio_hours, len(sweep.seeds)
    versions = ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())
    lines = [
        f"# Sweep {sweep.name}",
        "",
        f"Made by `{command}`",
        f"at commit {made.get('commit', 'unknown')},",
        f"on {made.get('device', 'cpu')}, {made.get('threads', '?')} threads; {versions}.",
        f"A bridge alone learns between the encoder and the LLM of {sweep.base}, both frozen: {hours:g} hours of audio",
        f"a cell, the same clips in the same order for all, {seeds} seeds. Intervals: 95 %, over items and seeds.",
        f"A ranking is stated only if it holds after twice the hours{_double_words(sweep)}.",
        "Figures of a small world: no other model's can be held against them.",
        "",
    ]
    if left:
        lines += [f"{left} cells of the grid are still to be done.", ""]
    if failed:
        lines += ["Failed cells:", "", *(f"- {name}: {why}" for name, why in failed), ""]
    if found.rows:
        lines += [f"![curves]({picture})", "", *_sentences(found), ""]
        lines += [
            "## Rankings",
            "",
            _rank_table(found),
            "",
            "## Lowest rate within the tolerance",
            "",
            _low_words(sweep),
        ]
        lines += [
            "",
            _low_table(found),
            "",
            *_many_lines(found),
            "## Costs",
            "",
            _cost_table(found),
            "",
            "## Figures",
            "",
            _figures(found),
        ]
    return "\n".join(lines).rstrip() + "\n"


def _double_words(sweep: Sweep) -> str:
    """What twice the hours are bounded to."""
    groups, seeds = sweep.double.groups, sweep.double.seeds
    of = [] if groups is None else [f"for {_listed(groups)} only"]
    with_seeds = [] if seeds is None else [f"with seed{'s'[: len(seeds) > 1]} {_listed([str(seed) for seed in seeds])}"]
    return "".join(f", {one}" for one in (*of, *with_seeds))


def _sentences(found: Found) -> list[str]:
    """One plain sentence for each group."""
    by_key: dict[Key, list[Rank]] = {}
    for rank in found.ranks():
        by_key.setdefault(rank.key, []).append(rank)
    return [f"- **{key[0]}** ({METRICS[key[1]]}): {sentence(found, ranks)}" for key, ranks in by_key.items()]


def sentence(found: Found, ranks: Sequence[Rank]) -> str:
    """What can be said of a group at each rate, in one sentence."""
    said, alike, deaf, doubtful = [], [], [], []
    for rank in ranks:
        at = f"{_hz(found, rank.first)} tokens a second"
        if rank.verdict == "holds":
            said.append(
                f"at {at} {rank.first.place[0]} is first with {_figure(rank.first)}, "
                f"before {rank.second.place[0]} with {_figure(rank.second)}"
            )
        elif rank.verdict == "open":
            alike.append(_hz(found, rank.first))
        elif rank.verdict == "silence":
            deaf.append(_hz(found, rank.first))
        else:
            doubtful.append(f"{_hz(found, rank.first)} ({rank.verdict})")
    if alike:
        said.append(f"at {_listed(alike)} no ranking is stated, the first two do not differ clearly")
    if deaf:
        said.append(f"at {_listed(deaf)} no ranking is stated, the first is {SILENT}")
    if doubtful:
        said.append(f"at {_listed(doubtful)} no ranking is stated, the difference is not confirmed by twice the hours")
    return "; ".join(said) + "."


def _listed(several: Sequence[str]) -> str:
    return several[0] if len(several) == 1 else f"{', '.join(several[:-1])} and {several[-1]}"


def _rank_table(found: Found) -> str:
    head = (
        "group",
        "metric",
        "tokens/s",
        "first",
        "",
        "second",
        " ",
        "difference, points",
        "after twice the hours",
        "ranking",
    )
    words = {
        "holds": "holds",
        "open": "none: the interval holds 0",
        "silence": f"none: the first is {SILENT}",
        "not doubled": "none: not doubled yet",
        "under-trained": "under-trained",
    }
    rows = [
        (
            *(rank.key[0], METRICS[rank.key[1]], _hz(found, rank.first)),
            *(rank.first.place[0], _figure(rank.first), rank.second.place[0], _figure(rank.second)),
            *(_points(rank.difference), "-" if rank.doubled is None else _points(rank.doubled), words[rank.verdict]),
        )
        for rank in found.ranks()
    ]
    return table(head, rows)


def _low_words(sweep: Sweep) -> str:
    return (
        f"Against the same bridge at k {sweep.reference_k}. The tolerance is {100 * TOLERANCE['wer']:g} point of word "
        f"error rate, {100 * TOLERANCE['accuracy']:g} points of accuracy,\nand the whole interval of the difference "
        'lies within it; "none": no lower rate is shown to be within. A bridge that is no better at k '
        f"{sweep.reference_k} than\nwith silence in place of the audio has no lowest rate."
    )


def _low_table(found: Found) -> str:
    head = (
        "group",
        "metric",
        "bridge",
        "lowest rate, tokens/s",
        "difference, points",
        "audio tokens per text token",
        "per word",
    )
    return table(head, [_low_row(found, one) for one in found.lowest()])


def _low_row(found: Found, one: Lowest) -> tuple[str, ...]:
    change = "-" if one.difference is None else _points(one.difference)
    if one.row is None:
        why = "none" if one.hears else f"none: {SILENT}"
        return (one.key[0], METRICS[one.key[1]], one.name, why, change, "-", "-")
    cost = found.costs[one.row.place]
    per = (_number(cost.tokens_per_text_token), _number(cost.tokens_per_word))
    return (one.key[0], METRICS[one.key[1]], one.name, f"{cost.tokens_per_s:.3g}", change, *per)


def _many_lines(found: Found) -> list[str]:
    """The section on checkpoints that serve many rates; nothing where there is none."""
    several = one_checkpoint(found)
    if not several:
        return []
    side = ("difference, points", "error rate", f"within {100 * GOAL:g} %")
    first = ("group", "metric", "bridge", "k", "tokens/s", "one checkpoint")
    head = (*first, "best dedicated", *side, "mean pool", *(f"{one} " for one in side))
    rows = [
        (
            *(one.row.key[0], METRICS[one.row.key[1]], one.row.place[0], str(one.row.place[1])),
            *(f"{found.costs[one.row.place].tokens_per_s:.3g}", _figure(one.row)),
            *(*_beside(one.best, named=True), *_beside(one.reference, named=False)),
        )
        for one in several
    ]
    words = (
        "A bridge that serves many rates with one set of weights, beside those that were trained for one rate each,\n"
        "with as many hours and no more tokens: the best of them, and the mean pool. Differences are its value minus\n"
        "the other's, paired, with their 95 % intervals; the error rate's change is a share of the other's (of\n"
        "accuracy: of what is wrong). Both are over the seeds that both have. Whether it is within follows from that\n"
        "change, not from an interval."
    )
    return ["## One checkpoint, many rates", "", words, "", *_many_sentences(several), "", table(head, rows), ""]


def _many_sentences(several: Sequence[AtRate]) -> list[str]:
    """One plain sentence for each checkpoint."""
    by: dict[tuple[str, int], list[bool]] = {}
    for one in several:
        reached = by.setdefault((one.row.place[0], one.trained_k), [])
        if one.best is not None and one.best.within is not None:
            reached.append(one.best.within)
    return [
        f"- **{name}**, trained at k {k}: within {100 * GOAL:g} % of the error rate of the best dedicated bridge in "
        f"{sum(reached)} of {len(reached)} groups and rates where that is better than silence."
        for (name, k), reached in by.items()
    ]


def _beside(one: Beside | None, *, named: bool) -> tuple[str, ...]:
    if one is None:
        return ("-", "-", "-", "-")
    told = f"{one.row.place[0]} {_figure(one.row)}" if named else _figure(one.row)
    change = "-" if one.relative is None else f"{100 * one.relative:+.1f} %"
    if not one.row.hears:
        return (told, _points(one.difference), change, SILENT)
    return (told, _points(one.difference), change, {None: "-", True: "yes", False: "no"}[one.within])


def _cost_table(found: Found) -> str:
    head = (
        "bridge",
        "k",
        "hours",
        "tokens/s",
        "equal rate",
        "per text token",
        "per word",
        "parameters",
        "MFLOP per audio-s",
        "training, s",
        "trained at k",
    )
    rows = [
        (
            *(place[0], str(place[1]), f"{cost.trained_audio_h:.2f}", f"{cost.tokens_per_s:.2f}"),
            "yes" if found.kept_rate(place) else "no, more",
            *(_number(cost.tokens_per_text_token), _number(cost.tokens_per_word), f"{cost.parameters:,}"),
            *(f"{cost.flops_per_audio_s / 1e6:.1f}", f"{cost.seconds:.0f}", str(cost.trained_k)),
        )
        for place, cost in sorted(found.costs.items(), key=lambda one: (one[0][2], one[0][1], one[0][0]))
    ]
    return table(head, rows)


def _figures(found: Found) -> str:
    head = ("group", "metric", "bridge", "k", "hours", "value", "with silence", "n", "seeds")
    order = {key: i for i, key in enumerate(found.keys)}
    rows = [
        (
            *(row.key[0], METRICS[row.key[1]], row.place[0], str(row.place[1])),
            f"{found.costs[row.place].trained_audio_h:.2f}",
            *(_figure(row), percent(row.silence), str(row.n), str(len(row.counts))),
        )
        for row in sorted(found.rows, key=lambda row: (order[row.key], row.place[1], row.place[2], row.place[0]))
    ]
    return table(head, rows)


def _hz(found: Found, row: Row) -> str:
    """The mean pool's rate at a row's k, where it stands, else the row's own."""
    cost = found.costs.get((found.reference, row.place[1], False), found.costs[row.place])
    return f"{cost.tokens_per_s:.3g}"


def _figure(row: Row) -> str:
    return f"{percent(row.value)} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _points(difference: Any) -> str:
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
