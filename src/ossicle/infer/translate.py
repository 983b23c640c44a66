"""Speech or text of any length to text in another language, and to speech that says this text.

Knows pieces, sentences and how their translations are joined; does not know where audio is cut, nor how tokens, units
and samples are found. A source of speech is read as it goes, cut in its pauses, each piece heard once; between spoken
translations stands the pause that stood between the pieces. Several pieces go through the model at once, which changes
none of them.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import torch

from ossicle.audio.clip import Clip, seconds_to_samples
from ossicle.audio.lengths import resampled_samples
from ossicle.audio.pauses import Piece, edges_s
from ossicle.errors import RequestError
from ossicle.infer.ledger import Ledger, summed
from ossicle.infer.sentences import fitted, paragraphs
from ossicle.infer.transcribe import GROUP, groups
from ossicle.translate.search import MAX_TOKENS, Hypothesis, search
from ossicle.translate.speaking import speak_ids
from ossicle.translate.translator import Encoded, Translator

Sound = Clip | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A clip, or anything but a string with its own sample rate that `audio.io` reads."""
WINDOW_S = 15.0
"""The longest piece of speech, or what the model hears at once where that is less."""
SLOWEST, FASTEST = 0.1, 10.0
"""Paces beyond which nothing is speech any more."""
SENTENCE_PAUSE_S = 0.35
"""Between two spoken sentences of a text."""


@dataclass(frozen=True)
class Translated:
    """A piece of speech or a sentence, and what it became.

    Args:
        text: empty where nothing is said.
        start_s, end_s: seconds of the source; of a text, those of ``spoken_s``, 0 where it was not spoken.
        finish: "end", "length" for a text that was cut off, "quiet" for a piece in which no moment is over the floor of
            the recording, "unread" for a sentence of which no letter can be read.
        source: the sentence that was translated; empty of speech.
        unread: characters of ``source`` that the model has no token for, each once; they were left out.
        spoken_s: where it begins and ends in the speech that was made; None where there is none.
    """

    start_s: float
    end_s: float
    text: str
    finish: str = "end"
    source: str = ""
    unread: str = ""
    spoken_s: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Translation:
    """What a source became.

    Args:
        text: of all segments, joined; the lines of a text stay lines, blank ones too.
        audio: speech that says it, of no samples where there is nothing to say; None where none was asked for.
        segments: pieces without a hole from the first sample to the last, or sentences.
        ledger: counts and seconds over all segments. Of speech, ``audio_tokens`` are the vectors that the text decoder
            attended to, and what was quiet counts as heard, then dropped.
    """

    text: str
    audio: Clip | None
    segments: tuple[Translated, ...]
    ledger: Ledger

    @property
    def unread(self) -> str:
        """Characters of a text that the model has no token for, each once; they were left out."""
        return "".join(dict.fromkeys("".join(segment.unread for segment in self.segments)))


@dataclass(eq=False)
class Voice:
    """Speech that grows: spoken pieces with pauses between them.

    Args:
        rate: samples per second.
        parts: (S,) float32 each.
        n_samples: of all parts.
        tail_s: quiet seconds at the end of the last piece.
    """

    rate: int
    parts: list[np.ndarray] = field(default_factory=list)
    n_samples: int = 0
    tail_s: float = 0.0

    def say(self, samples: np.ndarray, pause_s: float) -> tuple[float, float]:
        """Add a piece, so much quiet before it as makes a pause with what is quiet at the edges of both; before the
        first piece there is none.

        Returns:
            where it begins and ends, seconds.
        """
        lead_s, tail_s = edges_s(Clip(samples, self.rate))
        if self.parts:
            quiet = seconds_to_samples(max(pause_s - self.tail_s - lead_s, 0.0), self.rate)
            self._add(np.zeros(quiet, np.float32))
        begin = self.n_samples
        self._add(samples)
        self.tail_s = tail_s
        return begin / self.rate, self.n_samples / self.rate

    def clip(self) -> Clip:
        """All of it."""
        return Clip(np.concatenate([np.zeros(0, np.float32), *self.parts]), self.rate)

    def _add(self, samples: np.ndarray) -> None:
        self.parts.append(samples)
        self.n_samples += len(samples)


@dataclass(eq=False)
class Watch:
    """Seconds of one call.

    Args:
        began: on the performance counter.
        first_s: from there to the first token; 0 until there is one.
    """

    began: float = field(default_factory=lambda: time.perf_counter())
    first_s: float = 0.0

    def on_first(self) -> None:
        """The first token of a batch is there."""
        self.first_s = self.first_s or self.passed_s()

    def passed_s(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began


@dataclass(frozen=True)
class Task:
    """What is to be made of every piece."""

    to: str
    beams: int
    max_tokens: int | None
    speaker: str | int | None
    pace: float
    speak: bool
    watch: Watch = field(default_factory=Watch)


def translate(
    model: Translator,
    source: str | Sound,
    *,
    to: str,
    source_language: str | None = None,
    speak: bool = False,
    beams: int = 1,
    max_tokens: int | None = None,
    speaker: str | int | None = None,
    pace: float = 1.0,
) -> Translation:
    """Translate speech or a text. Into the language that is spoken, this is recognition.

    Args:
        model: from `load`, with languages.
        source: a string is the text itself; speech is a clip, a path (``Path("talk.wav")``), encoded bytes or an open
            file. Of any length.
        to: the language of the answer, one of ``model.languages``.
        source_language: of a text, which needs it; where it is ``to``, the text is its own translation. Speech is heard
            without it.
        speak: also make speech of the answer.
        beams: 1 takes the likeliest token each time; more keep so many beginnings.
        max_tokens: most tokens of one piece or sentence; None leaves it to the model.
        speaker: a voice by its name or number; None is the language's own.
        pace: of speech, how many times as fast as the model would speak.

    Raises:
        RequestError: an argument is out of range, ``unsupported_language``, the model does not hear, read or speak, or
            a text of which nothing can be read.
        AudioInputError: the source cannot be read.
    """
    _check_model(model)
    for language in (to, source_language):
        if language is not None:
            model.text.language_id(language)  # raises for one that is not known
    if speak:
        check_voice(model, to, pace, speaker)
    task = Task(to, beams, max_tokens, speaker, pace, speak)
    if not isinstance(source, str):
        return _of_speech(model, source, task)
    if source_language is None:
        hint = f"; for the file of that name give Path({source!r})" if os.path.exists(source) else ""
        raise RequestError(
            f"a text needs source_language, one of {', '.join(model.languages)}{hint}", code="missing_parameter"
        )
    return _of_text(model, source, source_language, task)


def say(model: Translator, text: str, *, language: str, speaker: str | int | None = None, pace: float = 1.0) -> Clip:
    """Make speech that says exactly this text.

    Args:
        model: from `load`, with languages and a voice.
        text: of any length; sentences are spoken one by one.
        language: that it is in.
        speaker: a voice by its name or number; None is the language's own.
        pace: how many times as fast as the model would speak.

    Raises:
        RequestError: an argument is out of range, ``unsupported_language``, an empty text or one of which nothing can
            be read, or the model does not speak.
    """
    audio = translate(model, text, to=language, source_language=language, speak=True, speaker=speaker, pace=pace).audio
    assert audio is not None
    return audio


def _check_model(model: object) -> None:
    if not isinstance(model, Translator):
        name = getattr(model, "name", "the model")
        raise RequestError(
            f"{name} is an {type(model).__name__}, which answers questions about sound: translating takes a Translator "
            "such as mini-translate"
        )


def check_voice(model: Translator, language: str, pace: float = 1.0, speaker: str | int | None = None) -> None:
    """Whether a model speaks a language, before anything is computed.

    Raises:
        RequestError: it has no voice, or not this one, or none in this language; a pace that nobody speaks at.
    """
    if model.unit_decoder is None or model.vocoder is None:
        raise RequestError(f"{model.name} writes, but does not speak: it was made without unit decoder and vocoder")
    vocoder: Any = model.vocoder
    known = tuple(vocoder.languages)
    if language not in known:
        raise RequestError(
            f"{model.name} does not speak {language!r}: it speaks {', '.join(known)}", code="unsupported_language"
        )
    if not SLOWEST <= pace <= FASTEST:
        raise RequestError(f"the pace is {pace:g}: it is from {SLOWEST:g} to {FASTEST:g}, 1 as the model would speak")
    vocoder.speaker_row(speaker, language)  # raises for one that is not known


def _of_speech(model: Translator, source: Sound, task: Task) -> Translation:
    voice, pause_s = Voice(model.sample_rate), 0.0
    found: list[tuple[Translated, Ledger]] = []
    for group in groups(source, rate=model.sample_rate, window_s=min(WINDOW_S, model.max_s)):
        with torch.inference_mode():
            heard = model.hear(model.features([piece.clip for piece in group]))
            loud = [i for i, piece in enumerate(group) if not piece.quiet]
            written = dict(zip(loud, _written(model, heard.rows(loud), task) if loud else [], strict=True))
            spoken = _spoken(model, heard, written, task)
        for i, piece in enumerate(group):
            one = written.get(i)
            lead_s, tail_s = edges_s(piece.clip)
            place = voice.say(spoken[i], pause_s + lead_s) if i in spoken else None
            pause_s = tail_s if place is not None else pause_s + piece.clip.duration_s
            found.append((_segment(model, piece, one, place), _ledger(model, piece.clip, heard, i, one)))
    segments = tuple(segment for segment, _ in found)
    text = " ".join(segment.text for segment in segments if segment.text)
    return Translation(text, voice.clip() if task.speak else None, segments, _summed(found, task.watch))


def _written(model: Translator, encoded: Encoded, task: Task) -> list[Hypothesis]:
    languages = [task.to] * len(encoded.values)
    several = search(
        model, encoded, languages, beams=task.beams, max_tokens=task.max_tokens, on_first=task.watch.on_first
    )
    return [hypotheses[0] for hypotheses in several]


def _spoken(model: Translator, encoded: Encoded, written: dict[int, Hypothesis], task: Task) -> dict[int, np.ndarray]:
    """Samples (S,) of what was written, by its row in ``encoded``."""
    rows = [i for i, one in written.items() if model.text.decode(one.ids).strip()] if task.speak else []
    if not rows:
        return {}
    ids = [written[i].ids for i in rows]
    n = len(rows)
    speech = speak_ids(model, encoded.rows(rows), ids, [task.to] * n, speakers=[task.speaker] * n, pace=task.pace)
    samples = speech.samples.float().cpu().numpy()
    return {i: row[:length] for i, row, length in zip(rows, samples, speech.lengths.tolist(), strict=True)}


def _segment(model: Translator, piece: Piece, one: Hypothesis | None, place: tuple[float, float] | None) -> Translated:
    span = (piece.clip.start_s, piece.clip.end_s)
    if one is None:
        return Translated(*span, "", "quiet")
    return Translated(*span, model.text.decode(one.ids).strip(), _finish(one), spoken_s=place)


def _finish(one: Hypothesis) -> str:
    return "end" if one.whole else "length"


def _ledger(model: Translator, clip: Clip, heard: Encoded, row: int, one: Hypothesis | None) -> Ledger:
    """Of one piece, without the times of the call."""
    assert heard.heard_s is not None
    heard_s = float(heard.heard_s[row])
    return Ledger(
        seconds_given=clip.duration_s,
        seconds_heard=heard_s,
        tail_s=clip.duration_s - heard_s,
        frames=model.n_frames(resampled_samples(clip.n_samples, clip.rate, model.sample_rate)),
        audio_tokens=0 if one is None else int(heard.lengths[row]),
        text_tokens=0 if one is None else _n_tokens(one),
        time_to_first_token_s=0.0,
        tokens_per_s=0.0,
        seconds_dropped=heard_s if one is None else 0.0,
    )


def _n_tokens(one: Hypothesis) -> int:
    """Written tokens, the end among them."""
    return len(one.ids) + one.whole


def _summed(found: Sequence[tuple[Translated, Ledger]], watch: Watch) -> Ledger:
    ledgers = [ledger for _, ledger in found]
    n_written = sum(ledger.text_tokens for ledger in ledgers)
    return summed(ledgers, time_to_first_token_s=watch.first_s, tokens_per_s=n_written / watch.passed_s())


def _of_text(model: Translator, text: str, language: str, task: Task) -> Translation:
    lines = [
        [part for sentence in line for part in fitted(sentence, lambda one: _fits(model, one))]
        for line in paragraphs(text)
    ]
    sentences = [sentence for line in lines for sentence in line]
    if not sentences:
        raise RequestError("there is no text: it is empty or blank")
    voice = Voice(model.sample_rate)
    found: list[tuple[Translated, Ledger]] = []
    for first in range(0, len(sentences), GROUP):
        made, spoken = _of_sentences(model, sentences[first : first + GROUP], language, task)
        for i, (segment, n_tokens) in enumerate(made):
            place = voice.say(spoken[i], SENTENCE_PAUSE_S) if i in spoken else None
            start_s, end_s = place or (0.0, 0.0)
            segment = replace(segment, start_s=start_s, end_s=end_s, spoken_s=place)
            found.append((segment, Ledger(0.0, 0.0, 0.0, 0, 0, n_tokens, 0.0, 0.0)))
    segments = tuple(segment for segment, _ in found)
    left = iter(segment.text for segment in segments)
    joined = "\n".join(" ".join(filter(None, [next(left) for _ in line])) for line in lines)
    result = Translation(joined, voice.clip() if task.speak else None, segments, _summed(found, task.watch))
    if all(segment.finish == "unread" for segment in segments):
        unread = " ".join(result.unread)
        raise RequestError(f"nothing of the text can be read: {model.name} has no token for {unread}")
    return result


def _of_sentences(
    model: Translator, group: Sequence[str], language: str, task: Task
) -> tuple[list[tuple[Translated, int]], dict[int, np.ndarray]]:
    """Of each sentence what it became, without times, and how many tokens were written; and the samples (S,) of those
    that are spoken."""
    same = language == task.to
    if same and not task.speak:
        return [(Translated(0.0, 0.0, sentence, source=sentence), 0) for sentence in group], {}
    legible = [model.text.legible(sentence) for sentence in group]
    rows = [i for i, (read, unread) in enumerate(legible) if not unread or any(char.isalnum() for char in read)]
    several, samples = _put(model, [legible[i][0] for i in rows], language, task) if rows else ([], {})
    written = dict(zip(rows, several, strict=True))
    made: list[tuple[Translated, int]] = []
    for i, (sentence, (_, unread)) in enumerate(zip(group, legible, strict=True)):
        one = written.get(i)
        text = "" if one is None else model.text.decode(one.ids).strip()
        finish = "unread" if one is None else _finish(one)
        n_tokens = 0 if one is None or same else _n_tokens(one)
        made.append((Translated(0.0, 0.0, sentence if same else text, finish, sentence, unread), n_tokens))
    return made, {rows[i]: one for i, one in samples.items()}


def _put(
    model: Translator, sentences: Sequence[str], language: str, task: Task
) -> tuple[list[Hypothesis], dict[int, np.ndarray]]:
    """What sentences that can be read become, and samples (S,) of what is spoken of it, by its number."""
    with torch.inference_mode():
        encoded = model.read([model.text.encode(sentence, language) for sentence in sentences])
        if language == task.to:  # what is said is the text itself
            written = [Hypothesis(model.text.tokens(sentence), 0.0, whole=True) for sentence in sentences]
        else:
            written = _written(model, encoded, task)
        return written, _spoken(model, encoded, dict(enumerate(written)), task)


def _fits(model: Translator, sentence: str) -> bool:
    """Whether a sentence is so short that its translation may be half as long again."""
    room: int = model.settings.max_position_embeddings - len(model.text.prefix(model.languages[0]))
    return len(model.text.tokens(sentence)) <= min(MAX_TOKENS, room) * 2 // 3
