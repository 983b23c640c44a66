"""Scores as tables in Markdown, with the command that made them.

Knows numbers and words; does not know how anything was measured.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ossicle.errors import StorageError
from ossicle.evaluate.score import Comparison, Scores, TaskScore, percent


def tables(scores: Scores) -> str:
    """The tables of one evaluation as Markdown: tasks, slices, and the comparison where there is one."""
    parts = [_task_table(scores), _slice_table(scores)]
    if scores.compare is not None:
        parts.append(_compare_table(scores, scores.compare))
    return "\n\n".join(part for part in parts if part)


def write(path: str | os.PathLike[str], scores: Scores, *, command: str) -> None:
    """Write the tables to a file, under the command that made them; whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    text = f"# {scores.model} on {scores.suite}\n\nMade by `{command}` (seed {scores.seed}).\n\n{tables(scores)}\n"
    write_page(path, text)


def write_page(path: str | os.PathLike[str], text: str) -> None:
    """Write a page to a file, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if partial.exists():
            partial.unlink()


def _task_table(scores: Scores) -> str:
    head = (
        "task",
        "metric",
        "value",
        "95 % interval",
        "n",
        "with silence",
        "with another clip",
        "controls n",
        "listens",
    )
    rows = [
        (
            name,
            _metric(one),
            percent(one.value),
            f"{percent(one.low)} to {percent(one.high)}",
            str(one.n),
            percent(one.silence),
            percent(one.swapped),
            str(one.n_control) if one.n_swapped == one.n_control else f"{one.n_control} and {one.n_swapped}",
            "yes" if one.listens else "not shown",
        )
        for name, one in scores.tasks.items()
    ]
    closed = [one.value for one in scores.tasks.values() if one.metric == "accuracy" and one.value is not None]
    mean = f"\n\nMean accuracy over {len(closed)} tasks: {percent(sum(closed) / len(closed))}" if closed else ""
    return table(head, rows) + mean


def _slice_table(scores: Scores) -> str:
    rows = [
        (task, name, percent(value), str(n))
        for task, one in scores.tasks.items()
        for name, (value, n) in one.slices.items()
    ]
    return table(("task", "slice", "value", "n"), rows) if rows else ""


def _compare_table(scores: Scores, other: Comparison) -> str:
    theirs = other.model if other.model != scores.model else f"{other.model} (compared)"
    head = ("task", "metric", scores.model, theirs, "difference", "95 % interval", "clear")
    rows = []
    for name, (value, difference) in other.tasks.items():
        change = ("none", "none", "no")
        if difference is not None:
            span = f"{points(difference.low)} to {points(difference.high)}"
            change = (points(difference.value), span, "yes" if difference.clear else "no")
        one = scores.tasks[name]
        rows.append((name, _metric(one), percent(one.value), percent(value), *change))
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also stand under each other as plain text."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    first, *further = (f"| {line} |" for line in lines)
    return "\n".join([first, "| " + " | ".join("-" * width for width in widths) + " |", *further])


def _metric(one: TaskScore) -> str:
    return "word error rate" if one.metric == "wer" else one.metric


def points(value: float) -> str:
    """A difference of two rates in points, with its sign."""
    return f"{100 * value:+.1f}"
