"""Simultaneous translation scored: how good it is against how late it comes, for policies at several settings.

Knows items, translators, policies and clocks; does not know the look of a table. Every policy runs on the same model
over the same sound in the same pieces; what the encoder makes of a piece is computed once for all of them, and the time
that it took is counted for each. The clock is that of somebody who speaks: work on a piece begins when the piece is
there and the work before it is done; the elapsed time of a word is when its piece is through. Text is counted in words
between blanks. The ceiling is the same model, which is told where sentences are, and hears each to its end.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import RequestError
from ossicle.evaluate.likeness import Likeness, likeness
from ossicle.evaluate.metrics import N_RESAMPLES
from ossicle.evaluate.parallel import CODES
from ossicle.simul.hearing import hearing_of
from ossicle.simul.latency import MEASURES, tokens
from ossicle.simul.named import policy_named
from ossicle.simul.policies import WaitK
from ossicle.simul.stream import Interpreting, Said
from ossicle.translate.translator import Translator
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parallel_speech import said
from ossicle.world.scenes import render
from ossicle.world.speech import speak_afresh

N_ITEMS = 50
LEAST_S = 8.0
"""What an utterance lasts at least."""
PIECE_S = 0.32
PAIRS = (("en", "fr"), ("en", "de"))
OFFLINE = "offline"
HEARS_ALL = 10**6
AROUND = 1600
"""Samples around a sentence that is heard alone."""
SETTINGS: tuple[tuple[str, float], ...] = (
    *((f"emma:{one:g}", 1) for one in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    *((f"wait-k:{one}", 1) for one in (3, 6, 9, 13, 18, 25)),
    *(("agreement:2", one) for one in (1, 2, 3, 5)),
    *((f"alignatt:{one},layer=2", 1) for one in (2, 5, 8, 12, 17, 24)),
)
"""Policies, and how many pieces are handed in at once."""
Show = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class LongItem:
    """An utterance of several sentences.

    Args:
        texts: by language.
        language: that it is said in.
        speech: of `LEAST_S` seconds at least.
        sentences: where each is said, first sample and end.
    """

    texts: dict[str, str]
    language: str
    speech: Clip
    sentences: tuple[tuple[int, int], ...]


def long_items(n: int, language: str, *, seed: int = 0) -> list[LongItem]:
    """Test utterances of several sentences; the first ones are the same for any ``n``.

    Raises:
        DependencyError: eSpeak NG is not installed.
    """
    found = []
    for number in range(n):
        drawn = np.random.default_rng([seed, number, 8])
        sentences: list[dict[str, str]] = []
        while True:
            sentences.append(dict(parallel(drawn, "test").texts))
            rng = np.random.default_rng([seed, number, 9, LANGUAGES.index(language)])
            scene = said(rng, "test", language, [one[language] for one in sentences], clean=True)
            made = render(scene, speak=speak_afresh)
            if len(made.samples) >= LEAST_S * SAMPLE_RATE:
                break
        texts = {one: " ".join(sentence[one] for sentence in sentences) for one in LANGUAGES}
        spoken = [event for event in made.events if event.kind == "speech"]
        bounds = tuple((round(one.start_s * SAMPLE_RATE), round(one.end_s * SAMPLE_RATE)) for one in spoken)
        found.append(LongItem(texts, language, Clip(made.samples, SAMPLE_RATE), bounds))
    return found


@dataclass(frozen=True, eq=False)
class Pieces:
    """What ears made of a sound, piece by piece.

    Args:
        sizes: samples of each piece.
        values: (1, n, D) of the encoder after each, and one more after the end.
        seconds: that each took.
    """

    sizes: list[int]
    values: list[torch.Tensor]
    seconds: list[float]


class Recorded:
    """Ears that say what they made before; `spent` is the time that it took."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.n_samples = self.place = 0
        self.spent = 0.0

    def hear(self, samples: np.ndarray) -> torch.Tensor:
        """The outputs of as many pieces as there are in these samples."""
        found, end = [], self.n_samples + len(samples)
        while self.n_samples < end:
            self.n_samples += self.pieces.sizes[self.place]
            found.append(self._next())
        assert self.n_samples == end, "recorded ears hear whole pieces"
        return torch.cat(found, 1)

    def finish(self) -> torch.Tensor:
        """The outputs at the end."""
        return self._next()

    def _next(self) -> torch.Tensor:
        self.spent += self.pieces.seconds[self.place]
        self.place += 1
        return self.pieces.values[self.place - 1]


def recorded(model: Translator, samples: np.ndarray, piece_s: float = PIECE_S) -> Pieces:
    """A sound through a model's ears, piece by piece.

    Raises:
        RequestError: the model does not hear so.
    """
    ears, size = hearing_of(model).begin(model), round(piece_s * SAMPLE_RATE)
    pieces = Pieces([], [], [])
    for at in range(0, len(samples), size):
        part, begun = samples[at : at + size], time.perf_counter()
        pieces.values.append(ears.hear(part))
        pieces.seconds.append(time.perf_counter() - begun)
        pieces.sizes.append(len(part))
    begun = time.perf_counter()
    pieces.values.append(ears.finish())
    pieces.seconds.append(time.perf_counter() - begun)
    return pieces


@dataclass(frozen=True)
class Interpreted:
    """A translation and when its words were written.

    Args:
        text: of all.
        delays: of each word, ms of the source that had been handed in.
        elapsed: of each word, ms of the clock.
        source: ms.
        spent: ms of work in all.
        said: the pieces of it.
    """

    text: str
    delays: list[float]
    elapsed: list[float]
    source: float
    spent: float
    said: list[Said] = field(default_factory=list, repr=False)


def interpreted(
    model: Translator, policy: str, language: str, samples: np.ndarray, pieces: Pieces, *, at_once: int = 1
) -> Interpreted:
    """Translate a sound as if it were spoken now.

    Args:
        model: that hears piece by piece.
        policy: by name.
        language: to write, by the model's code.
        samples: (S,) of the sound.
        pieces: what the model's ears made of it.
        at_once: pieces that are handed in at once.

    Raises:
        RequestError, ConfigError: as `policy_named` and `Interpreting`.
    """
    ears = Recorded(pieces)
    session = Interpreting(model, policy_named(policy, model), language, ears=ears)
    said: list[Said] = []
    delays: list[float] = []
    elapsed: list[float] = []
    clock = spent = 0.0
    at, sizes = 0, pieces.sizes
    turns = [sum(sizes[i : i + at_once]) for i in range(0, len(sizes), at_once)]
    for i, n in enumerate([*turns, 0]):
        before, begun = ears.spent, time.perf_counter()
        events = session.hear(samples[at : at + n]) if i < len(turns) else session.finish()
        work = 1000 * (time.perf_counter() - begun + ears.spent - before)
        at += n
        clock, spent = max(clock, 1000 * at / SAMPLE_RATE) + work, spent + work
        for one in (event for event in events if isinstance(event, Said)):
            words = tokens(one.text)
            delays += [1000 * one.at_s] * len(words)
            elapsed += [clock] * len(words)
            said.append(one)
    return Interpreted(session.text, delays, elapsed, 1000 * len(samples) / SAMPLE_RATE, spent, said)


def offline(model: Translator, language: str, item: LongItem) -> Interpreted:
    """Each sentence of an utterance by itself, heard to its end by the same ears before anything is written: what the
    model knows when it need not hurry, nor find out where a sentence ends.

    Raises:
        RequestError: as `Interpreting`.
    """
    samples, texts, begun = item.speech.samples, [], time.perf_counter()
    for first, end in item.sentences:
        session = Interpreting(model, WaitK(HEARS_ALL), language)
        session.hear(samples[max(0, first - AROUND) : end + AROUND])
        session.finish()
        texts.append(session.text)
    spent, source = 1000 * (time.perf_counter() - begun), 1000 * len(samples) / SAMPLE_RATE
    text = " ".join(one for one in texts if one)
    n = len(tokens(text))
    return Interpreted(text, [source] * n, [source + spent] * n, source, spent)


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
    return f"{names[0] if names else platform.machine()}, {torch.get_num_threads()} threads"
