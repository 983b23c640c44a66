"""The hierarchical tags of Qwen-Audio: what is asked, said in a fixed order of special tokens.

Knows the released vocabulary and its slots; does not know audio or models. A tagged request names, in this order: what
to start (transcript or analysis), the language of the audio, the task, the language of the text, whether times are
wanted, and how the output is to look. Extensions of ours, not in the released vocabulary, begin with ``source_`` (a
last tag: where the audio comes from) or ``own_`` (an instruction: what the world asks). Source: Chu et al. 2023,
section 3.2, and the released tokenizer, which spells the first tag ``startoftranscript`` where the paper's prose and
the read-me have other spellings.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from ossicle.errors import RequestError

FIRST_ID = 151_643
N_EXTRA = 205
LAST_CENTISECOND = 3000
STARTS = ("startoftranscript", "startofanalysis")
TASKS = ("translate", "transcribe", "caption", "keyword")
LANGUAGES = ("unknown", "en", "zh", "de", "es", "ko", "fr", "ja", "it", "zh_tr")
TIMESTAMPS = ("notimestamps", "timestamps")
SILENCE = "sil"
STYLES = ("caption_audiocaps", "caption_clotho", "audioset_ontology", "caption_plain", "itn", "wo_itn")
INSTRUCTIONS = (
    *STYLES,
    *("named_entity_recognition", "audio_grounding", "emotion_recognition", "music_description", "note_analysis"),
    *("sonic", "instrument", "speaker_meta", "song_meta", "scene", "event", "vocal_classification"),
    *("speech_understanding", "speech_edit"),
)
"""Tags that say how the output is to look, or what it is about."""
QUESTION, ANSWER = "question", "answer"
SOURCES = ("source_speech", "source_sound", "source_music", "source_mixed")
"""Our own extension: none of these is in the released vocabulary."""
OWN_INSTRUCTIONS = (
    *("own_spoken_question", "own_speaker_pitch", "own_speaker_pace", "own_audio_kind"),
    *("own_count", "own_when", "own_tempo", "own_melody"),
)
"""Our own extension too: instructions for what the released ones have no name for."""
_TAG = re.compile(r"<\|([^|<>]+)\|>")


def written(name: str) -> str:
    """A tag as it stands in a prompt."""
    return f"<|{name}|>"


@cache
def vocabulary() -> dict[str, int]:
    """The special tokens of the released tokenizer with their ids, in its order: 151643 to 155164."""
    notes = [
        *("pitch", *(f"midi_pitch_{i}" for i in range(128))),
        *("velocity", *(f"midi_velocity_{i}" for i in range(128))),
    ]
    names = [
        *("endoftext", "im_start", "im_end"),
        *(f"extra_{i}" for i in range(N_EXTRA)),
        "[[[AUDIO:modality]]]",
        *STARTS,
        *TASKS,
        *LANGUAGES,
        *("notimestamps", SILENCE, "timestamps"),
        *(f"{i / 100:.2f}" for i in range(LAST_CENTISECOND + 1)),
        *STYLES,
        *("startofentityvalue", "endofentityvalue", "startofentitytype", "endofentitytype", "named_entity_recognition"),
        *("audio_grounding", "startofword", "endofword", "delim"),
        *("emotion_recognition", "music_description", "note_analysis"),
        *notes,
        *("sonic", "instrument", "speaker_meta", "song_meta"),
        *(QUESTION, ANSWER, "choice"),
        *("scene", "event", "vocal_classification"),
        *("speech_understanding", "scenario", "action", "entities"),
        "speech_edit",
        *("<audio>", "</audio>"),
    ]
    plain = {"[[[AUDIO:modality]]]", "<audio>", "</audio>"}
    return {name if name in plain else written(name): FIRST_ID + i for i, name in enumerate(names)}


@dataclass(frozen=True)
class Tags:
    """One tagged request.

    Args:
        start: "startoftranscript" (recognition, translation) or "startofanalysis" (everything else).
        audio_language: of what is heard; "unknown" for audio without speech.
        task: one of `TASKS`; None for a question.
        text_language: of the answer; None for a question.
        timestamps: "timestamps" or "notimestamps"; None for a question.
        instruction: one of `INSTRUCTIONS` or `OWN_INSTRUCTIONS`, or None.
        question: free text in place of task, text language and timestamps.
        source: one of `SOURCES` (an extension of ours), or None.

    Raises:
        RequestError: a name that its slot does not know, a question beside a task, or one that is no plain text.
    """

    start: str
    audio_language: str
    task: str | None = None
    text_language: str | None = None
    timestamps: str | None = None
    instruction: str | None = None
    question: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name, known in SLOTS:
            value = getattr(self, name)
            if value not in known and not (value is None and name not in ("start", "audio_language")):
                raise RequestError(f"the slot {name} has no tag {value!r}, it knows {', '.join(known)}")
        answered = (self.task, self.text_language, self.timestamps)
        if self.question is None and None in answered:
            raise RequestError("a tagged request names task, text_language and timestamps, or it is a question")
        if self.question is not None and (answered != (None, None, None) or self.instruction is not None):
            raise RequestError("a question takes the place of task, text_language, timestamps and instruction")
        if not isinstance(self.question, str | None):
            raise RequestError(f"the question is text, got {self.question!r}")
        if self.question is not None and _TAG.search(self.question):
            raise RequestError(f"the question holds a tag: {self.question!r}")


SLOTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("start", STARTS),
    ("audio_language", LANGUAGES),
    ("task", TASKS),
    ("text_language", LANGUAGES),
    ("timestamps", TIMESTAMPS),
    ("instruction", (*INSTRUCTIONS, *OWN_INSTRUCTIONS)),
    ("source", SOURCES),
)
"""The slots in their order, and the tags that each knows."""
REQUIRED = ("start", "audio_language", "task", "text_language", "timestamps")
"""Slots that every request fills which is no question."""


def pieces(tags: Tags) -> list[tuple[bool, str]]:
    """The tags as they follow ``</audio>``: each one by itself (True), and the text of a question (False)."""
    source = [] if tags.source is None else [tags.source]
    if tags.question is not None:
        head = [(True, written(name)) for name in (tags.start, tags.audio_language, *source, QUESTION)]
        return [*head, (False, tags.question), (True, written(ANSWER))]
    values = [getattr(tags, name) for name, _ in SLOTS]
    return [(True, written(value)) for value in values if value is not None]


def render(tags: Tags) -> str:
    """The tags as one text."""
    return "".join(text for _, text in pieces(tags))


def parse(text: str) -> tuple[Tags, str]:
    """Read what `render` writes.

    Returns:
        The tags, and the text behind them.

    Raises:
        RequestError: a tag that is not known, in the wrong order, or missing.
    """
    found: dict[str, str] = {}
    at, slot = 0, 0
    while (match := _TAG.match(text, at)) is not None:
        name = match[1]
        if name == QUESTION:
            question, closed, rest = text[match.end() :].partition(written(ANSWER))
            if not closed:
                raise RequestError(f"the question is not closed by {written(ANSWER)}")
            _begun(found)
            return Tags(**found, question=question), rest
        later = [i for i in range(slot, len(SLOTS)) if name in SLOTS[i][1]]
        if not later:
            places = [SLOTS[i][0] for i in range(slot) if name in SLOTS[i][1]]
            if not places and not found:
                raise RequestError(f"{match[0]} is not a tag that a request can begin with")
            if not places:
                _refuse_inside(match[0], found)
                break  # a time or another tag of the output
            raise RequestError(f"{match[0]} comes too late: the slot {places[-1]} is already behind")
        slot = later[0] + 1
        found[SLOTS[later[0]][0]] = name
        at = match.end()
    _begun(found)
    return Tags(**found), text[at:]


def _begun(found: dict[str, str]) -> None:
    """Refuse a request without the two tags that each has."""
    lacking = [name for name in ("start", "audio_language") if name not in found]
    if lacking:
        raise RequestError(f"the request has no {' and no '.join(lacking)}")


def _refuse_inside(tag: str, found: dict[str, str]) -> None:
    """Refuse a tag that no slot knows where a request still lacks some."""
    lacking = [name for name in REQUIRED if name not in found]
    if lacking:
        raise RequestError(f"{tag} is not a tag that a request knows, and its {lacking[0]} is still to come")


def time_tag(seconds: float) -> str:
    """The token of a time.

    Raises:
        RequestError: below 0, above 30 s, or no number.
    """
    hundredths = round(seconds * 100) if math.isfinite(seconds) else -1
    if not 0 <= hundredths <= LAST_CENTISECOND:
        raise RequestError(f"a time is from 0.00 to 30.00 s (got {seconds:g})")
    return written(f"{hundredths / 100:.2f}")


@dataclass(frozen=True)
class Timed:
    """A word with its times in seconds."""

    word: str
    start_s: float
    end_s: float


def render_words(words: Sequence[Timed]) -> str:
    """Words with times: neighbours share a time, a pause between two is ``sil``.

    Raises:
        RequestError: a word that is empty or holds a tag, times that overlap, run backwards or leave 0 to 30 s.
    """
    times = [(time_tag(word.start_s), time_tag(word.end_s)) for word in words]  # before any is compared
    out = []
    for word in words:
        if not word.word or _TAG.search(word.word):
            raise RequestError(f"{word.word!r} is no word that can be written between times")
        if word.end_s < word.start_s:
            raise RequestError(f"{word.word!r} ends at {word.end_s:g} s, before it starts at {word.start_s:g} s")
    for before, after in pairwise(words):
        if round(after.start_s * 100) < round(before.end_s * 100):
            raise RequestError(f"{after.word!r} starts before {before.word!r} ends")
    last = None
    for word, (start, end) in zip(words, times, strict=True):
        if last is None:
            out.append(start)
        elif start != last:
            out += [written(SILENCE), start]
        out += [word.word, end]
        last = end
    return "".join(out)


def parse_words(text: str) -> list[Timed]:
    """Read what `render_words` writes; pauses are left out.

    Raises:
        RequestError: anything but times and words in turn.
    """
    pieces = re.split(r"<\|(\d+\.\d\d)\|>", text)
    if pieces[0] or (len(pieces) > 1 and pieces[-1]):
        raise RequestError("words with times begin and end with a time")
    times = [float(one) for one in pieces[1::2]]
    between = pieces[2:-1:2]
    if any(time > LAST_CENTISECOND / 100 for time in times) or any(b < a for a, b in pairwise(times)):
        raise RequestError("times are from 0.00 to 30.00 s and never run backwards")
    found = []
    for word, (start, end) in zip(between, pairwise(times), strict=True):
        if word == written(SILENCE):
            continue
        if not word or _TAG.search(word):
            raise RequestError(f"between {start:.2f} and {end:.2f} s stands {word!r}, wanted a word or a pause")
        found.append(Timed(word, start, end))
    return found
