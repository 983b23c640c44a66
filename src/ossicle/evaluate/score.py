"""Scores of a model: each task's rate with an interval, beside the same with silence and with another clip's audio.

Knows items, controls and slices; does not know how answers are made, nor what a table looks like. A model that answers
as well with silence or with the wrong audio does not listen, whatever its score.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ossicle.errors import LimitError, RequestError
from ossicle.evaluate.items import Item, manifest_items, silence, taken_from, with_audio, world_items
from ossicle.evaluate.metrics import Counts, Difference, count, interval, paired
from ossicle.infer.generate import Sampling
from ossicle.infer.requests import Request, ask_all, ask_batch, clips_in, prepare
from ossicle.models.audio_lm import AudioLM

SUITES = ("world",)
N_CONTROL = 40
"""Items of a control; a limit lowers it."""
BATCH = 16
MAX_TOKENS = 160
"""Of an answer; where the prompt leaves less of the context, as much as it leaves."""
Show = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TaskScore:
    """How one task went.

    Args:
        metric: "wer" (lower is better) or "accuracy".
        value: the rate over the headline items, a fraction; None without items.
        low: lower end of its 95 % interval.
        high: upper end.
        n: headline items.
        silence: the rate with zeros in place of the audio, over the first ``n_control`` items.
        swapped: the rate with another item's audio, over the first ``n_swapped`` of them that it fits.
        slices: rate and number of items of each slice.
        n_control: items of the control with silence.
        n_swapped: items of the control with another clip's audio.
        counts: of every headline item, for paired comparisons.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    silence: float | None
    swapped: float | None
    slices: dict[str, tuple[float | None, int]]
    n_control: int
    n_swapped: int
    counts: Counts

    @property
    def listens(self) -> bool:
        """The interval lies on the better side of the figure with silence."""
        if self.silence is None or self.low is None or self.high is None:
            return False
        return self.high < self.silence if self.metric == "wer" else self.low > self.silence

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        return {
            "metric": self.metric,
            "value": _rounded(self.value),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "n": self.n,
            "silence": _rounded(self.silence),
            "swapped": _rounded(self.swapped),
            "n_swapped": self.n_swapped,
            "slices": {name: {"value": _rounded(value), "n": n} for name, (value, n) in self.slices.items()},
        }


@dataclass(frozen=True)
class Comparison:
    """Another model on the same items: its own rate and the paired difference, other minus this, of each task."""

    model: str
    tasks: dict[str, tuple[float | None, Difference | None]]


@dataclass(frozen=True)
class Scores:
    """Everything that an evaluation found."""

    model: str
    suite: str
    tasks: dict[str, TaskScore]
    compare: Comparison | None = None
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON report; ``compare`` stands in it only where another model was given."""
        whole: dict[str, Any] = {
            "model": self.model,
            "suite": self.suite,
            "tasks": {name: task.as_dict() for name, task in self.tasks.items()},
        }
        if self.compare is not None:
            whole["compare"] = {
                "model": self.compare.model,
                "tasks": {name: _compared(*pair) for name, pair in self.compare.tasks.items()},
            }
        return whole


def evaluate(
    model: AudioLM,
    *,
    suite: str = "world",
    manifest: str | os.PathLike[str] | None = None,
    tasks: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    compare: AudioLM | None = None,
    show: Show = lambda line: None,
) -> Scores:
    """Score a model on a suite or on a manifest.

    Args:
        model: what is scored.
        suite: "world"; test sentences and test voices of the synthetic world.
        manifest: scored in place of the suite; items are grouped by their ``task``.
        tasks: only these tasks of the suite; none means all.
        limit: most items of each task, slice and control.
        seed: of the draw and of the bootstrap; the same seed gives the same items.
        compare: another model, asked the same.
        show: takes a line of progress for each task.

    Raises:
        RequestError: an unknown suite.
        DataError: a manifest without an item, or a line of it that cannot be used.
        LimitError: a clip is longer than the model reads; the line that it stands in is named.
    """
    if suite not in SUITES:
        raise RequestError(f"there is no suite {suite!r}, known are {', '.join(SUITES)}")
    groups = world_items(tasks, limit, seed) if manifest is None else manifest_items(manifest, limit)
    scored: dict[str, TaskScore] = {}
    others: dict[str, tuple[float | None, Difference | None]] = {}
    for name, metric, items, missing in groups:
        scored[name] = one = score(model, items, metric, missing=missing, n_control=limit or N_CONTROL, seed=seed)
        show(f"{name}: {metric} {percent(one.value)} of {one.n}, silence {percent(one.silence)}")
        if compare is not None:
            counts = answered(compare, [item for item in items if item.headline], metric)
            others[name] = (counts.rate, paired(one.counts, counts, seed=seed))
    name = suite if manifest is None else os.fspath(manifest)
    return Scores(model.name, name, scored, None if compare is None else Comparison(compare.name, others), seed)


def score(
    model: AudioLM,
    items: Sequence[Item],
    metric: str,
    *,
    missing: Sequence[str] = (),
    n_control: int = N_CONTROL,
    seed: int = 0,
) -> TaskScore:
    """Ask a model every item, and the first headline items again with silence and with another item's audio.

    Args:
        model: what is scored.
        items: of one task.
        metric: "wer" or "accuracy".
        missing: slices that could not be made; they are listed with n = 0.
        n_control: most items of a control.
        seed: of the bootstrap.
    """
    counts = answered(model, items, metric)
    headline = np.array([item.headline for item in items], dtype=bool)
    main = counts.subset(headline)
    low, high = interval(main, seed=seed) or (None, None)
    controls = [item for item in items if item.headline][:n_control]
    silent = answered(model, [with_audio(item, silence) for item in controls], metric)
    swapped = _swapped(model, controls, metric)
    names = dict.fromkeys(name for item in items for name in item.slices)
    slices = {name: counts.subset(np.array([name in item.slices for item in items])) for name in names}
    return TaskScore(
        metric=metric,
        value=main.rate,
        low=low,
        high=high,
        n=int(headline.sum()),
        silence=silent.rate,
        swapped=swapped.rate,
        slices={name: (part.rate, len(part.numerators)) for name, part in slices.items()}
        | {name: (None, 0) for name in missing},
        n_control=len(controls),
        n_swapped=len(swapped.numerators),
        counts=main,
    )


def answered(model: AudioLM, items: Sequence[Item], metric: str) -> Counts:
    """Ask every item, greedily and in batches of like length, and score the answers in the items' own order.

    Raises:
        LimitError: an item does not fit the model; the line that it stands in is named.
    """
    requests = [Request(item.messages, Sampling(MAX_TOKENS)) for item in items]
    try:
        answers = ask_all(model, requests, batch=BATCH)
    except LimitError:  # not all have room for the longest answer: the longest clips first, which may have none at all
        order = sorted(range(len(items)), key=lambda i: -_seconds(items[i]))
        rooms = {i: _room(model, items[i]) for i in order}
        requests = [Request(item.messages, Sampling(rooms[i])) for i, item in enumerate(items)]
        answers = ask_all(model, requests, batch=BATCH)
    return count(metric, [item.answer for item in items], [answer.text for answer in answers])


def _seconds(item: Item) -> float:
    return sum(clip.duration_s for clip in clips_in(item.messages))


def _room(model: AudioLM, item: Item) -> int:
    """Tokens that are left for an item's answer, at most `MAX_TOKENS`.

    Raises:
        LimitError: none is; the message says where the item stands.
    """
    try:
        ask_batch(model, [Request(item.messages, Sampling(1))])
    except LimitError as error:
        raise type(error)(f"{item.where}: {error}" if item.where else str(error), code=error.code) from error
    (prompt,), _ = prepare(model, [item.messages])
    return min(MAX_TOKENS, model.context - len(prompt.ids))


def _swapped(model: AudioLM, items: Sequence[Item], metric: str) -> Counts:
    """Ask every item about the next one's audio; where that does not fit beside its text about the shortest of the
    others, and where none fits not at all."""
    if len(items) < 2:
        return answered(model, (), metric)
    following = [*items[1:], *items[:1]]
    try:
        return answered(model, [_about(*pair) for pair in zip(items, following, strict=True)], metric)
    except LimitError:
        first, second = sorted(items, key=_seconds)[:2]
        fitting = []
        for item, other in zip(items, following, strict=True):
            pairs = _about(item, other), _about(item, second if item is first else first)
            fitting += [pair for pair in pairs if _fits(model, pair)][:1]
        return answered(model, fitting, metric)


def _about(item: Item, other: Item) -> Item:
    return with_audio(item, taken_from(other))


def _fits(model: AudioLM, item: Item) -> bool:
    try:
        return _room(model, item) > 0
    except LimitError:
        return False


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"


def _compared(value: float | None, difference: Difference | None) -> dict[str, Any]:
    if difference is None:
        return {"value": _rounded(value), "difference": None, "low": None, "high": None}
    return {
        "value": _rounded(value),
        "difference": _rounded(difference.value),
        "low": _rounded(difference.low),
        "high": _rounded(difference.high),
    }
