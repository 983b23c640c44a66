"""Translation scored in four directions, from speech and text to both, for every pair of languages.

Knows items, engines and recognisers; does not know models or the look of a table. Text is scored as it is written;
speech by what a recogniser reads back (ASR-BLEU), both sides in their spoken form, under the recogniser's name. Beside
the direct way stands the cascade, which recognises, translates the text, and says it: what it loses and what it costs.
Delays are of one item alone, from its last sample or letter to the last of the answer.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.evaluate.likeness import METRICS, Likeness, likeness
from ossicle.evaluate.metrics import count, interval
from ossicle.evaluate.recognisers import Recogniser
from ossicle.world.parallel import spoken_form

DIRECTIONS = ("s2t", "t2t", "s2s", "t2s")
"""Source and target, speech or text."""
WAYS = ("direct", "cascade")
SPOKEN = "|text:spoken"
"""In a signature: both sides in lower case, without marks."""
Show = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class ParallelItem:
    """One sentence in several languages.

    Args:
        texts: by language, as written.
        speech: by language.
    """

    texts: dict[str, str]
    speech: dict[str, Clip]


@dataclass(frozen=True, eq=False)
class Engine:
    """What is scored.

    Args:
        name: for the table.
        languages: in and out.
        n_parameters: of all its parts.
        translate: (speech or text, its language, the language wanted) to text; into the same language it recognises.
        speak: the same to speech; of a text into its own language it says that text. None for an engine without voice.
    """

    name: str
    languages: tuple[str, ...]
    n_parameters: int
    translate: Callable[[Clip | str, str, str], str]
    speak: Callable[[Clip | str, str, str], Clip] | None = None


@dataclass(frozen=True)
class Row:
    """One pair of languages in one direction.

    Args:
        source, to: languages.
        direction: one of `DIRECTIONS`.
        way: one of `WAYS`.
        bleu, chrf: of text, or of what ``recogniser`` reads back.
        recogniser: its name; None for text.
        seconds: mean delay of an item.
    """

    source: str
    to: str
    direction: str
    way: str
    bleu: Likeness
    chrf: Likeness
    recogniser: str | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        facts = {key: getattr(self, key) for key in ("source", "to", "direction", "way", "recogniser")}
        scores = {"bleu": self.bleu.as_dict(), "chrf": self.chrf.as_dict()}
        return {**facts, **scores, "seconds": round(self.seconds, 4)}


@dataclass(frozen=True)
class Heard:
    """How well a recogniser reads one language: what bounds every score of speech that it reads back.

    Args:
        language: spoken.
        voice: "people" for the items' speech, "engine" for what the engine says of the items' texts.
        recogniser: its name.
        wer: word error rate, both sides in their spoken form.
        low: lower end of the 95 % interval.
        high: upper end.
        n: items.
    """

    language: str
    voice: str
    recogniser: str
    wer: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        rates = {key: round(getattr(self, key), 6) for key in ("wer", "low", "high")}
        return {"language": self.language, "voice": self.voice, "recogniser": self.recogniser, **rates, "n": self.n}


@dataclass(frozen=True)
class TranslationScores:
    """Everything that an evaluation found."""

    model: str
    n_parameters: int
    seed: int
    rows: tuple[Row, ...]
    heard: tuple[Heard, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "model": self.model,
            "parameters": self.n_parameters,
            "seed": self.seed,
            "translation": [one.as_dict() for one in self.rows],
            "recognition": [one.as_dict() for one in self.heard],
        }


def score_translation(
    engine: Engine,
    items: Sequence[ParallelItem],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    directions: Sequence[str] = DIRECTIONS,
    recognisers: Sequence[Recogniser] = (),
    cascade: bool = True,
    seed: int = 0,
    show: Show = lambda line: None,
) -> TranslationScores:
    """Score an engine.

    Args:
        engine: what is scored; without a voice its two directions to speech are left out.
        items: with every language that is asked for.
        pairs: (source, target); none means all of the engine's languages.
        directions: of `DIRECTIONS`.
        recognisers: each reads back the languages that it understands; speech in others is not scored by it.
        cascade: also as a cascade, where the source is speech.
        seed: of the bootstrap.
        show: takes a line of progress for each row.

    Raises:
        RequestError: no item, an unknown direction, a language that the engine or the items do not have, or speech that
            nobody reads back.
    """
    pairs = tuple(pairs) or tuple(permutations(engine.languages, 2))
    _check(engine, items, pairs, directions)
    if engine.speak is None:
        directions = [direction for direction in directions if direction[-1] == "t"]
    unread = {to for _, to in pairs if all(to not in one.languages for one in recognisers)}
    if unread and any(direction[-1] == "s" for direction in directions):
        raise RequestError(
            f"nobody reads back speech in {', '.join(sorted(unread))}: give a recogniser, or s2t and t2t"
        )
    rows: list[Row] = []
    for source, to in pairs:
        for direction in directions:
            for way in WAYS if cascade and direction[0] == "s" else WAYS[:1]:
                found = _made(engine, items, source, to, direction, way)
                for row in _scored(found, items, (source, to, direction, way), recognisers, seed):
                    rows.append(row)
                    by = "" if row.recogniser is None else f" by {row.recogniser}"
                    show(f"{source} to {to}, {direction}, {way}: BLEU {row.bleu.value:.1f}{by}, {row.seconds:.2f} s")
    spoken = dict.fromkeys(language for pair in pairs for language in pair)
    heard = [one for language in spoken for one in _heard(engine, items, language, recognisers, seed)]
    return TranslationScores(engine.name, engine.n_parameters, seed, tuple(rows), tuple(heard))


def read_back(recogniser: Recogniser, clip: Clip, language: str) -> str:
    """What is read of speech, in its spoken form; nothing of no samples."""
    return spoken_form(recogniser.read(clip, language)) if len(clip.samples) else ""


@dataclass(frozen=True, eq=False)
class _Made:
    """An engine's answers, texts or clips, and the mean delay."""

    texts: list[str]
    clips: list[Clip]
    seconds: float


def _made(engine: Engine, items: Sequence[ParallelItem], source: str, to: str, direction: str, way: str) -> _Made:
    texts, clips, spent = [], [], []
    for item in items:
        given: Clip | str = item.speech[source] if direction[0] == "s" else item.texts[source]
        begun = time.perf_counter()
        language = source
        if way == "cascade":
            recognised = engine.translate(given, source, source)
            given, language = engine.translate(recognised, source, to) if recognised.strip() else "", to
        if direction[-1] == "s":
            assert engine.speak is not None
            silent = isinstance(given, str) and not given.strip()
            clips.append(Clip(np.zeros(0, np.float32), 16_000) if silent else engine.speak(given, language, to))
        else:
            texts.append(str(given) if way == "cascade" else engine.translate(given, language, to))
        spent.append(time.perf_counter() - begun)
    return _Made(texts, clips, float(np.mean(spent)))


def _scored(
    made: _Made,
    items: Sequence[ParallelItem],
    place: tuple[str, str, str, str],
    recognisers: Sequence[Recogniser],
    seed: int,
) -> Iterator[Row]:
    """A row of text, or one by each recogniser that understands the speech."""
    references = [item.texts[place[1]] for item in items]
    if made.texts:
        bleu, chrf = (likeness(metric, references, made.texts, seed=seed) for metric in METRICS)
        yield Row(*place, bleu, chrf, None, made.seconds)
        return
    wanted = [spoken_form(text) for text in references]
    for one in recognisers:
        if place[1] in one.languages:
            got = [read_back(one, clip, place[1]) for clip in made.clips]
            scores = (likeness(metric, wanted, got, seed=seed) for metric in METRICS)
            bleu, chrf = (replace(score, signature=score.signature + SPOKEN) for score in scores)
            yield Row(*place, bleu, chrf, one.name, made.seconds)


def _heard(
    engine: Engine, items: Sequence[ParallelItem], language: str, recognisers: Sequence[Recogniser], seed: int
) -> Iterator[Heard]:
    """What the engine and each recogniser read of people's speech, and each recogniser of the engine's own."""
    wanted = [spoken_form(item.texts[language]) for item in items]

    def row(voice: str, name: str, got: list[str]) -> Heard:
        found = count("wer", wanted, got)
        ends = interval(found, seed=seed)
        assert ends is not None and found.rate is not None
        return Heard(language, voice, name, found.rate, *ends, len(items))

    people = [item.speech[language] for item in items]
    yield row("people", engine.name, [spoken_form(engine.translate(clip, language, language)) for clip in people])
    knowing = [one for one in recognisers if language in one.languages]
    for one in knowing:
        if one.name != engine.name:
            yield row("people", one.name, [read_back(one, clip, language) for clip in people])
    if engine.speak is not None and knowing:
        own = [engine.speak(item.texts[language], language, language) for item in items]
        for one in knowing:
            yield row("engine", one.name, [read_back(one, clip, language) for clip in own])


def _check(
    engine: Engine, items: Sequence[ParallelItem], pairs: Sequence[tuple[str, str]], directions: Sequence[str]
) -> None:
    """Refuse what cannot be scored."""
    if not items:
        raise RequestError("translation is scored on at least one item, got none")
    odd = [direction for direction in directions if direction not in DIRECTIONS]
    if odd or not directions:
        raise RequestError(f"unknown direction {', '.join(odd) or 'none'}, known are {', '.join(DIRECTIONS)}")
    for language in dict.fromkeys(language for pair in pairs for language in pair):
        if language not in engine.languages:
            known = ", ".join(engine.languages)
            raise RequestError(f"{engine.name} does not know {language!r}, but {known}", code="unsupported_language")
        if any(language not in item.texts or language not in item.speech for item in items):
            raise RequestError(f"not every item has a text and speech in {language!r}", code="unsupported_language")
