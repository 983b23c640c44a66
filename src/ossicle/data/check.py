"""A whole manifest gone through before the first step: every fault with its file and line, and how long each item is.

Knows lines, headers of sound files, and what a tokenizer and a rate of audio tokens make of an item; does not know
models or training. By default a sound file is judged by its header, which costs no decoding; damage behind the header
shows when the item is read. What is found is a list, not an error, so that a bad manifest is told whole.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip, part_of
from ossicle.audio.guards import check_length
from ossicle.audio.io import probe
from ossicle.audio.lengths import resampled_samples
from ossicle.data.manifest import AudioPart, Item, scan
from ossicle.errors import DataError, OssicleError, RequestError
from ossicle.prompt.chat import ClipText, Message, control_words, render, render_answer

BAD_SHARE = 0.01
"""Most of a manifest's items that may be bad."""
EXACT = ("wav", "flac")
"""Containers whose headers tell the very number of samples."""
PLACE = re.compile(r"(?P<file>[^/]+?), line (?P<line>\d+): (?P<reason>.*)", re.DOTALL)


@dataclass(frozen=True)
class Fault:
    """Why an item cannot be used; file and line are empty where it comes from no manifest.

    ``file`` is the manifest's path, since two of a run may have one name; messages give the name alone.
    """

    file: str
    line: int
    reason: str

    @classmethod
    def of(cls, message: str, manifest: Path | None = None) -> "Fault":
        """From the message of an error, which begins with its place: a line of ``manifest``, if that is known."""
        found = PLACE.fullmatch(message)
        if found is None:
            return cls("", 0, message)
        return cls(found["file"] if manifest is None else str(manifest), int(found["line"]), found["reason"])

    def __str__(self) -> str:
        return f"{Path(self.file).name}, line {self.line}: {self.reason}" if self.file else self.reason

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Longest:
    """The longest clip that can be used, and whose limit that is."""

    seconds: float = float("inf")
    whose: str = "data.max_clip_s"

    def fault(self, seconds: float) -> str | None:
        """What is wrong with a clip of so many seconds."""
        if seconds <= self.seconds:
            return None
        return f"{seconds:.1f} s are longer than {self.seconds:g} s ({self.whose})"


@dataclass(frozen=True, eq=False)
class Reader:
    """How a model reads an item.

    Args:
        tokenizer, pad_id, clip_text: what its prompts are made with.
        context: most tokens of prompt and answer.
        n_tokens: audio tokens of a number of samples at 16 kHz.
        longest: of its clips.
    """

    tokenizer: Any
    pad_id: int
    context: int
    n_tokens: Callable[[int], int]
    longest: Longest = Longest()
    clip_text: ClipText | None = None


@dataclass(frozen=True)
class Length:
    """How long an item is: seconds of audio; tokens only where a reader was given.

    ``text_tokens`` are those of question, template and answer, ``learned_tokens`` of them those of the answer.
    """

    seconds: float
    audio_tokens: int = 0
    text_tokens: int = 0
    learned_tokens: int = 0


@dataclass(frozen=True, eq=False)
class Checked:
    """A manifest as it was found.

    Args:
        n_items: lines that are not empty.
        faults: all of them, in the order of lines; a line may have several.
        lengths: of each item without a fault, by its line.
    """

    path: Path
    n_items: int
    faults: tuple[Fault, ...]
    lengths: Mapping[int, Length]

    @property
    def bad(self) -> frozenset[int]:
        """Numbers of the lines that have a fault."""
        return frozenset(fault.line for fault in self.faults)

    def joined(self, reasons: Iterable[str]) -> "Checked":
        """The same with what showed only when items were read, as errors told it."""
        found = dict.fromkeys([*self.faults, *(Fault.of(reason, self.path) for reason in reasons)])
        bad = {fault.line for fault in found}
        lengths = {line: length for line, length in self.lengths.items() if line not in bad}
        return replace(self, faults=tuple(sorted(found, key=lambda fault: fault.line)), lengths=lengths)

    def refuse(self) -> None:
        """Nothing, if it can be trained on.

        Raises:
            DataError: no item at all; ``too_many_bad_items`` where over 1 % are bad, or none is left.
        """
        if self.n_items == 0:
            raise DataError(f"the manifest {self.path} holds no item")
        refuse(len(self.bad), self.n_items, next(iter(self.faults), None))


def refuse(n_bad: int, n_items: int, first: Fault | None) -> None:
    """Refuse a manifest with over 1 % of bad items.

    Raises:
        DataError: ``too_many_bad_items``; the message names numbers and the first fault.
    """
    if n_bad > BAD_SHARE * n_items:
        raise DataError(
            f"{n_bad} of {n_items} items of the manifest cannot be used (at most {BAD_SHARE:.0%} may be so), such as "
            f"{first}",
            code="too_many_bad_items",
        )


def check(path: str | Path, *, reader: Reader | None = None, deep: bool = False) -> Checked:
    """Go through a manifest.

    Args:
        path: a JSONL manifest.
        reader: a model's; without one, tokens are not counted.
        deep: decode every sound file instead of reading its header.

    Returns:
        What was found; `Checked.refuse` judges it.

    Raises:
        DataError: the manifest is missing or cannot be read.
    """
    path, n_items = Path(path), 0
    faults: list[Fault] = []
    lengths: dict[int, Length] = {}
    for number, found in scan(path):
        n_items += 1
        if isinstance(found, DataError):
            faults.append(Fault.of(str(found), path))
            continue
        n_samples, reasons = _heard(found, deep=deep)
        reasons += _written(found, reader)
        if not reasons and reader is not None:
            judged = _read(found, n_samples, reader)
            reasons += [judged] if isinstance(judged, str) else []
            lengths |= {} if isinstance(judged, str) else {number: judged}
        elif not reasons:
            lengths[number] = Length(n_samples / SAMPLE_RATE)
        faults += [Fault(str(path), number, reason) for reason in reasons]
    return Checked(path, n_items, tuple(faults), lengths)


def shape_fault(item: Item) -> str | None:
    """Why an item is no question about one clip with its answer; None where it is."""
    roles = [turn.role for turn in item.turns]
    kinds = [[isinstance(part, str) for part in turn.content] for turn in item.turns]
    n_clips = sum(kind.count(False) for kind in kinds)
    if roles == ["user", "assistant"] and n_clips == 1 and kinds[1] == [True]:
        return None
    return (
        "training takes one user turn with one clip, and one answer as one text "
        f"(got {n_clips} {'clip' if n_clips == 1 else 'clips'} in turns of {', '.join(roles)})"
    )


def _heard(item: Item, *, deep: bool) -> tuple[int, list[str]]:
    """Samples at 16 kHz of all clips of an item, and what is wrong with their files."""
    n_samples, reasons = 0, []
    for part in (part for turn in item.turns for part in turn.content if isinstance(part, AudioPart)):
        try:
            n_samples += _n_samples(part, deep=deep)
        except OssicleError as error:
            reasons.append(f"{part.path.name}: {error}")
    return n_samples, reasons


def _n_samples(part: AudioPart, *, deep: bool) -> int:
    """Samples at 16 kHz, by the header where that is enough."""
    info = None if deep else probe(part.path)
    if info is None or info.cut or info.n_frames is None or not (part.whole or info.container in EXACT):
        return part.read(rate=SAMPLE_RATE).n_samples  # of a file that is cut this raises, before it decodes any
    check_length(info.n_frames, info.rate)
    n_samples = resampled_samples(info.n_frames, info.rate, SAMPLE_RATE)
    first, last = part_of(n_samples, SAMPLE_RATE, part.start_s, part.end_s)
    return last - first


def _written(item: Item, reader: Reader | None) -> Iterator[str]:
    """What is wrong with the turns and texts of an item."""
    fault = shape_fault(item)
    if fault is not None:
        yield fault
    texts = [part for turn in item.turns for part in turn.content if isinstance(part, str)]
    if item.turns[-1].role == "assistant" and not any(
        isinstance(part, str) and part.strip() for part in item.turns[-1].content
    ):
        yield "the answer is empty"
    if reader is not None:
        words = sorted({word for text in texts for word in control_words(reader.tokenizer, text)})
        if words:
            yield f"a text spells the model's control tokens {', '.join(words)}: take them out"


def _read(item: Item, n_samples: int, reader: Reader) -> Length | str:
    """How long a well-formed item is to a model, or why it cannot read it."""
    seconds = n_samples / SAMPLE_RATE
    fault = reader.longest.fault(seconds)
    if fault is not None:
        return fault
    silent = Clip(np.zeros(1, np.float32), SAMPLE_RATE)  # only that it is a clip, and where, counts
    user = Message("user", tuple(part if isinstance(part, str) else silent for part in item.turns[0].content))
    n_audio = reader.n_tokens(n_samples)
    try:
        prompt = render([user], [n_audio], reader.tokenizer, pad_id=reader.pad_id, clip_text=reader.clip_text)
        answer = render_answer(reader.tokenizer, str(item.turns[1].content[0]))
    except RequestError as error:
        return str(error)
    n = len(prompt.ids) + len(answer)
    if n > reader.context:
        return f"audio, question and answer are {n} tokens, the model reads {reader.context}"
    return Length(seconds, n_audio, n - n_audio, len(answer))
