"""Simultaneous translation scored: how good it is against how late it comes, for policies at several settings.

Knows runs and scores; does not know models' insides nor the look of a table. Every policy runs on the same model over
the same sound in the same pieces (simultaneous_runs.py). Text is counted in words between blanks. The ceiling is the
same model, which is told where sentences are, and hears each to its end.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ossicle.errors import RequestError
from ossicle.evaluate.likeness import Likeness, likeness
from ossicle.evaluate.metrics import N_RESAMPLES
from ossicle.evaluate.parallel import CODES
from ossicle.evaluate.simultaneous_runs import (
    PIECE_S,
    LongItem,
    Pieces,
    interpreted,
    long_items,
    offline,
    recorded,
)
from ossicle.simul.hearing import hearing_of
from ossicle.simul.latency import MEASURES, tokens
from ossicle.simul.named import policy_named
from ossicle.translate.translator import Translator

N_ITEMS = 50
PAIRS = (("en", "fr"), ("en", "de"))
OFFLINE = "offline"
SETTINGS: tuple[tuple[str, float], ...] = (
    *((f"emma:{one:g}", 1) for one in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
    *((f"wait-k:{one}", 1) for one in (3, 6, 9, 13, 18)),
    *(("agreement:2", one) for one in (1, 2, 3, 5)),
    *((f"alignatt:{one},layer=2", 1) for one in (2, 5, 8, 12, 17)),
)
"""Policies, and how many pieces are handed in at once."""
Show = Callable[[str], None]


@dataclass(frozen=True)
class Mean:
    """A mean over items with its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """The keys of the JSON report."""
        return {"value": round(self.value, 3), "low": round(self.low, 3), "high": round(self.high, 3)}


def mean(values: Sequence[float], seed: int) -> Mean:
    """The mean of some items, and its interval by the bootstrap."""
    given = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    drawn = given[rng.integers(len(given), size=(N_RESAMPLES, len(given)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Mean(float(given.mean()), float(low), float(high))


@dataclass(frozen=True)
class Point:
    """One policy at one setting.

    Args:
        source, to: languages.
        policy: by name, with its setting; `OFFLINE` is the ceiling.
        piece_s: seconds that are handed in at once.
        bleu: of all items.
        latency: means over the items by measure, ms but for AP; with ``_ca`` of the clock.
        rtf: seconds of work a second of sound.
        n_silent: items for which nothing was written, which have no latency.
    """

    source: str
    to: str
    policy: str
    piece_s: float
    bleu: Likeness
    latency: dict[str, Mean]
    rtf: float
    n_silent: int

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        facts = {key: getattr(self, key) for key in ("source", "to", "policy", "piece_s", "n_silent")}
        return {**facts, "bleu": self.bleu.as_dict(), **_cost(self)}


@dataclass(frozen=True)
class SpokenPoint:
    """One pair of languages, spoken.

    Args:
        source, to: languages.
        policy: by name.
        recogniser: that read it back.
        bleu: of what it read, in the spoken form.
        latency: means over the items, ms: start_offset, end_offset, atd; with ``_ca`` of the clock.
        rtf: seconds of work a second of sound.
        n_silent: items of which nothing was said.
    """

    source: str
    to: str
    policy: str
    recogniser: str
    bleu: Likeness
    latency: dict[str, Mean]
    rtf: float
    n_silent: int

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        facts = {key: getattr(self, key) for key in ("source", "to", "policy", "recogniser", "n_silent")}
        return {**facts, "asr_bleu": self.bleu.as_dict(), **_cost(self)}


def _cost(point: "Point | SpokenPoint") -> dict[str, Any]:
    """What a point costs: delays and work."""
    late = {key: one.as_dict() for key, one in point.latency.items()}
    return {"latency_ms": late, "rtf": round(point.rtf, 4)}


@dataclass(frozen=True)
class SimultaneousScores:
    """Everything that was found.

    Args:
        model: name.
        hardware: on what.
        seed: of items and intervals.
        seconds: that the items last in all, by source language.
        points: of every pair, policy and setting.
        spoken: of every pair, where speech was asked for.
    """

    model: str
    hardware: str
    seed: int
    seconds: dict[str, float]
    points: tuple[Point, ...]
    spoken: tuple[SpokenPoint, ...] = ()

    def ceiling(self, source: str, to: str) -> Point:
        """What the model writes of a pair when it has heard all."""
        return next(one for one in self.points if (one.source, one.to, one.policy) == (source, to, OFFLINE))

    def within(self, source: str, to: str, policy: str, laal: float) -> Point | None:
        """The best of a policy's settings whose mean LAAL is at most so many ms."""
        fit = [one for one in self.points if (one.source, one.to) == (source, to) and kind(one.policy) == policy]
        fit = [one for one in fit if one.latency and one.latency["laal"].value <= laal]  # not where nothing is written
        return max(fit, key=lambda one: one.bleu.value, default=None)

    def as_dict(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "model": self.model,
            "hardware": self.hardware,
            "seed": self.seed,
            "seconds": {key: round(one, 3) for key, one in self.seconds.items()},
            "simultaneous": [one.as_dict() for one in self.points],
            "spoken": [one.as_dict() for one in self.spoken],
        }


def kind(policy: str) -> str:
    """A policy's name without its setting."""
    return policy.partition(":")[0]


def score_simultaneous(
    model: Translator,
    *,
    n: int = N_ITEMS,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    settings: Sequence[tuple[str, float]] | None = None,
    seed: int = 0,
    show: Show = lambda line: None,
) -> SimultaneousScores:
    """Score a model that translates while it hears.

    Args:
        model: that hears piece by piece.
        n: utterances of each source language.
        pairs: of the world's languages.
        settings: policies by name, and how many pieces of `PIECE_S` are handed in at once; by default `SETTINGS`.
        seed: of the items and the bootstrap.
        show: takes a line of progress for each point.

    Raises:
        RequestError: the model does not hear so, an unknown policy, a language that it does not know.
        DependencyError: eSpeak NG or sacrebleu is not installed.
    """
    hearing_of(model)
    settings = SETTINGS if settings is None else settings
    for name, _ in settings:
        policy_named(name, model)
    codes = {one: code_of(model, one) for one in dict.fromkeys(one for pair in pairs for one in pair)}
    heard: dict[str, tuple[list[LongItem], list[Pieces]]] = {}
    points: list[Point] = []
    for source, to in pairs:
        if source not in heard:
            items = long_items(n, source, seed=seed)
            recorded(model, items[0].speech.samples)  # once for nothing: what is first is slow
            heard[source] = items, [recorded(model, one.speech.samples) for one in items]
        for name, at_once in ((OFFLINE, 1), *settings):
            point = _point(model, *heard[source], (source, to, name), codes[to], round(at_once), seed)
            points.append(point)
            late = f"LAAL {point.latency['laal'].value:.0f} ms" if point.latency else "nothing written"
            show(f"{source} to {to}, {name}, {point.piece_s:g} s: BLEU {point.bleu.value:.1f}, {late}")
    seconds = {one: sum(item.speech.duration_s for item in items) for one, (items, _) in heard.items()}
    return SimultaneousScores(model.name, hardware(), seed, seconds, tuple(points))


def _point(
    model: Translator,
    items: list[LongItem],
    heard: list[Pieces],
    place: tuple[str, str, str],
    language: str,
    at_once: int,
    seed: int,
) -> Point:
    _, to, policy = place
    made = [
        offline(model, language, item)
        if policy == OFFLINE
        else interpreted(model, policy, language, item.speech.samples, pieces, at_once=at_once)
        for item, pieces in zip(items, heard, strict=True)
    ]
    references = [item.texts[to] for item in items]
    bleu = likeness("bleu", references, [one.text for one in made], seed=seed)
    spoke = [(one, len(tokens(text))) for one, text in zip(made, references, strict=True) if one.delays]
    latency = {}
    for name, measure in MEASURES.items() if spoke else ():
        latency[name] = mean([measure(one.delays, one.source, length) for one, length in spoke], seed)
        by_clock = [measure(one.elapsed, one.source, length) for one, length in spoke]
        latency[f"{name}_ca"] = mean(by_clock, seed)
    rtf = sum(one.spent for one in made) / sum(one.source for one in made)
    return Point(*place, at_once * PIECE_S, bleu, latency, rtf, len(made) - len(spoke))


def code_of(model: Translator, language: str) -> str:
    """How a model calls a language of the world.

    Raises:
        RequestError: it does not know it.
    """
    found = [code for code in CODES.get(language, ()) if code in model.languages]
    if not found:
        known = ", ".join(model.languages)
        raise RequestError(f"{model.name} does not know {language!r}, but {known}", code="unsupported_language")
    return found[0]


def hardware() -> str:
    """The processor and how many threads work on it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    n = torch.get_num_threads()
    return f"{names[0] if names else platform.machine()}, {n} thread{'s' if n > 1 else ''}"
