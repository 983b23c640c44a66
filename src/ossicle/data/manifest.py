"""Manifests: one JSON object a line, each a conversation with audio.

Knows the line format and where the audio lies; reads lines as they are asked for and audio only when an item is opened.
Does not know models or training. The shorthand ``{"audio", "text"}`` means: transcribe this.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_clip
from ossicle.errors import DataError, OssicleError, StorageError
from ossicle.prompt.chat import ROLES, Message

TRANSCRIBE = "what is said?"
"""The question that the shorthand stands for; one of the phrasings that the world asks it with."""
KEYS = {"id", "messages", "task", "language", "truth"}
SHORT_KEYS = {"id", "audio", "text", "start_s", "end_s", "language"}


@dataclass(frozen=True)
class AudioPart:
    """Audio on disk: a file, or the part of it from ``start_s`` to ``end_s`` (None: its end)."""

    path: Path
    start_s: float = 0.0
    end_s: float | None = None

    @property
    def whole(self) -> bool:
        """Whether it is all of its file."""
        return self.start_s == 0.0 and self.end_s is None

    def read(self, *, rate: int | None = None) -> Clip:
        """The audio itself.

        Raises:
            OssicleError: the file is missing, unreadable or shorter than the part.
        """
        clip = read_clip(self.path, rate=rate)
        return clip if self.whole else clip.cut(self.start_s, self.end_s)


@dataclass(frozen=True)
class Turn:
    """One message of an item, its audio not yet read."""

    role: str
    content: tuple[AudioPart | str, ...]


@dataclass(frozen=True)
class Item:
    """One line of a manifest.

    Args:
        id: unique among those that lines give; the line number where the line gives none.
        turns: the conversation; where the last is the assistant's, it is the answer that is wanted.
        task: free, e.g. "transcribe".
        language: of the answer, e.g. "en"; None where the line does not say.
        truth: whatever else is known about the audio.
        where: file and line, for error messages.
        line: its number, from 1.
        named: whether the line gives its id.
    """

    id: str
    turns: tuple[Turn, ...]
    task: str = ""
    language: str | None = None
    truth: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    line: int = 0
    named: bool = True

    def open(self, *, rate: int | None = None) -> tuple[Message, ...]:
        """Read the audio.

        Args:
            rate: samples per second of every clip; None keeps the file's own.

        Raises:
            DataError: a file is missing, unreadable or shorter than the part; the message names file and line.
        """
        return tuple(Message(turn.role, tuple(self._part(part, rate) for part in turn.content)) for turn in self.turns)

    def _part(self, part: AudioPart | str, rate: int | None) -> Clip | str:
        if isinstance(part, str):
            return part
        try:
            return part.read(rate=rate)
        except OssicleError as error:
            raise DataError(f"{self.where}: {part.path.name}: {error}") from error


def read(path: str | os.PathLike[str], *, without: Collection[int] = ()) -> Iterator[Item]:
    """The items of a manifest, one line at a time.

    Args:
        path: a JSONL file.
        without: numbers of lines that are passed over unread.

    Raises:
        DataError: the manifest is missing, a line is not an item, or an id stands there twice; the message names file
            and line.
    """
    for _, found in scan(path, without=without):
        if isinstance(found, DataError):
            raise found
        yield found


def scan(
    path: str | os.PathLike[str], *, without: Collection[int] = ()
) -> Iterator[tuple[int, Item] | tuple[int, DataError]]:
    """Every line that is not empty, by its number: its item, or what is wrong with it, as `read` would raise it.

    Raises:
        DataError: the manifest is missing or cannot be read.
    """
    path = Path(path)
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:  # so that a bad byte is one line's
            for number, line in enumerate(lines, 1):
                if line.strip() and number not in without:
                    yield _scanned(line, number, path, seen)
    except FileNotFoundError as error:
        raise DataError(f"there is no manifest {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def write(path: str | os.PathLike[str], items: Iterable[Item]) -> int:
    """Write a manifest, whole or not at all; audio paths become relative to it where they can.

    Returns:
        The number of items.

    Raises:
        StorageError: the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    n_items = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as lines:
            for item in items:
                lines.write(json.dumps(_line(item, path.parent), ensure_ascii=False) + "\n")
                n_items += 1
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if partial.exists():
            partial.unlink()
    return n_items


def _scanned(line: str, number: int, path: Path, seen: set[str]) -> tuple[int, Item] | tuple[int, DataError]:
    """One line; its id joins those that were seen."""
    try:
        item = _item(line, number, path)
        _expect(not item.named or item.id not in seen, item.where, f"the id {item.id!r} stands in an earlier line")
    except DataError as error:
        return number, error
    if item.named:
        seen.add(item.id)
    return number, item


def _item(line: str, number: int, path: Path) -> Item:
    """One line, checked."""
    where = f"{path.name}, line {number}"
    _expect(_is_unicode(line), where, "not UTF-8 text")
    try:
        data = json.loads(line)
    except RecursionError as error:
        raise DataError(f"{where}: not JSON of a manifest: too many brackets inside each other") from error
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    _expect(isinstance(data, dict), where, "a line is one JSON object")
    _expect(
        _is_unicode(json.dumps(data, ensure_ascii=False)),
        where,
        "a text holds half of a surrogate pair, which is no Unicode",
    )
    short = "messages" not in data
    allowed = SHORT_KEYS if short else KEYS
    unknown = sorted(set(data) - allowed)
    _expect(not unknown, where, f"unknown {', '.join(unknown)}; allowed are {', '.join(sorted(allowed))}")
    turns = _short(data, where, path.parent) if short else _turns(data["messages"], where, path.parent)
    truth, language = data.get("truth", {}), data.get("language")
    _expect(isinstance(truth, dict), where, "truth is a JSON object")
    _expect(language is None or isinstance(language, str), where, "language is a string")
    task = data.get("task", "transcribe" if short else "")
    _expect(isinstance(task, str), where, "task is a string")
    key = data.get("id")
    return Item(str(number if key is None else key), turns, task, language, truth, where, number, key is not None)


def _short(data: Mapping[str, Any], where: str, folder: Path) -> tuple[Turn, ...]:
    """``{"audio", "text"}``: the question is to transcribe, the text is the answer."""
    _expect("audio" in data and "text" in data, where, 'a line needs "messages", or "audio" and "text"')
    _expect(isinstance(data["text"], str), where, "text is a string")
    times = {key: data[key] for key in ("start_s", "end_s") if key in data}
    audio = _audio({"type": "audio", "path": data["audio"], **times}, where, folder)
    return Turn("user", (audio, TRANSCRIBE)), Turn("assistant", (data["text"],))


def _turns(messages: Any, where: str, folder: Path) -> tuple[Turn, ...]:
    _expect(isinstance(messages, list) and bool(messages), where, "messages is a list of at least one message")
    turns = []
    for message in messages:
        _expect(
            isinstance(message, dict) and set(message) == {"role", "content"}, where, "a message has role and content"
        )
        role, content = message["role"], message["content"]
        _expect(role in ROLES, where, f"role is {role!r}, allowed are {', '.join(ROLES)}")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        _expect(isinstance(parts, list) and bool(parts), where, "content is a string or a list of parts")
        turns.append(Turn(role, tuple(_part(part, role, where, folder) for part in parts)))
    return tuple(turns)


def _part(part: Any, role: str, where: str, folder: Path) -> AudioPart | str:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "text":
            _expect(
                set(part) == {"type", "text"} and isinstance(part["text"], str), where, "a text part has a text string"
            )
            return str(part["text"])
        case "audio":
            _expect(role == "user", where, f"audio stands in a turn of the user, not of the {role}")
            return _audio(part, where, folder)
        case _:
            raise DataError(f"{where}: a part's type is {kind!r}, allowed are audio, text")


def _audio(part: Mapping[str, Any], where: str, folder: Path) -> AudioPart:
    unknown = sorted(set(part) - {"type", "path", "start_s", "end_s"})
    _expect(not unknown, where, f"unknown {', '.join(unknown)} in an audio part; allowed are path, start_s, end_s")
    path, start_s, end_s = part.get("path"), part.get("start_s", 0.0), part.get("end_s")
    _expect(isinstance(path, str) and bool(path), where, "the path of the audio is a string")
    _expect(_seconds(start_s) and (end_s is None or _seconds(end_s)), where, "start_s and end_s are seconds from 0 on")
    _expect(end_s is None or end_s > start_s, where, f"the audio ends at {end_s} s, not after its start at {start_s} s")
    return AudioPart(folder / str(path), float(start_s), None if end_s is None else float(end_s))


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expect(holds: bool, where: str, message: str) -> None:
    if not holds:
        raise DataError(f"{where}: {message}")


def _line(item: Item, folder: Path) -> dict[str, Any]:
    """An item as the full form of a line."""
    messages = [
        {"role": turn.role, "content": [_written(part, folder) for part in turn.content]} for turn in item.turns
    ]
    extra = {"task": item.task, "language": item.language, "truth": dict(item.truth)}
    named = {"id": item.id} if item.named else {}  # another file has other lines
    return {**named, "messages": messages, **{key: value for key, value in extra.items() if value}}


def _written(part: AudioPart | str, folder: Path) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    inside = part.path.is_relative_to(folder)
    data: dict[str, Any] = {
        "type": "audio",
        "path": str(part.path.relative_to(folder) if inside else part.path.absolute()),
    }
    if part.start_s:
        data["start_s"] = part.start_s
    if part.end_s is not None:
        data["end_s"] = part.end_s
    return data
