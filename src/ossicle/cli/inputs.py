"""What a command is to work on: sound files, folders of them, manifests, standard input; each sound by itself.

Knows paths and lines of manifests; does not know what is done with a sound. A folder stands for the sound files in it
and in its folders, by their names; a manifest (FILE.jsonl) for one sound a line, of which texts are not read. Nothing
heavy is imported before it is needed.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ossicle.cli.options import AUDIO_SUFFIXES, STANDARD_INPUT, standard_input
from ossicle.errors import DataError, FetchError, OssicleError, RequestError

MANIFEST, TEXT = ".jsonl", ".txt"


@dataclass(frozen=True)
class Input:
    """One sound, or one text where a command takes texts.

    Args:
        told: how it is told of: its path, or the file and line of a manifest.
        name: of what is written for it, without suffix; may hold folders.
        full_name: the same with the suffix of its own file, for where another input has the name too; None where it has
            no other name.
        path: of its file; None for standard input, and where the line has a fault.
        start_s, end_s: the part of the file; None is its end.
        text: where it is a text and no sound.
        fault: what is wrong with its line, or its text.
    """

    told: str
    name: str
    path: str | None = None
    start_s: float = 0.0
    end_s: float | None = None
    text: str | None = None
    fault: DataError | FetchError | None = None
    full_name: str | None = None

    def __str__(self) -> str:
        return self.told

    def check(self) -> None:
        """Look at what needs no decoding, so that no model is loaded for what is no sound.

        Raises:
            AudioInputError, FetchError: the file is no audio, or not there.
            DataError: the line or the text is none that can be used.
        """
        if self.fault is not None:
            raise self.fault
        if self.path is not None and self.text is None:
            from ossicle.audio.io import probe

            probe(self.path)

    def source(self) -> Any:
        """What `audio.io` reads: the file, standard input, or the clip of a part. Of a text the text.

        Raises:
            DataError: there is no such part.
        """
        if self.text is not None:
            return self.text
        if self.path is None:
            return standard_input()
        if self.start_s == 0.0 and self.end_s is None:
            return self.path
        from ossicle.data.manifest import AudioPart

        try:
            return AudioPart(Path(self.path), self.start_s, self.end_s).read()
        except OssicleError as error:
            raise DataError(str(error)) from error


def expand(arguments: Sequence[str], *, without: str | None = None) -> list[Input]:
    """The inputs that arguments stand for, in their order.

    Args:
        arguments: files, folders, manifests, or "-".
        without: a folder whose files are not taken, whatever it is called here: results go there.

    Raises:
        RequestError: standard input twice.
        FetchError: a folder holds no sound file.
        DataError: a manifest cannot be read.
    """
    if [*arguments].count(STANDARD_INPUT) > 1:
        raise RequestError("standard input (-) can be read once only")
    return [one for argument in arguments for one in _expanded(argument, without)]


def expand_with_texts(arguments: Sequence[str], *, without: str | None = None) -> list[Input]:
    """The same where an argument may also be a text, or a file of one (FILE.txt).

    A text is what is no file, does not end as a sound file or a manifest does, and is not one word that begins or ends
    as a path does. One word that ends in .txt is a file, and `Input.check` tells where it is not there.

    Raises:
        RequestError, FetchError, DataError: as `expand`.
    """
    sounds = [one for one in arguments if is_sound(one)]
    expand([one for one in sounds if one == STANDARD_INPUT])  # refused twice
    found: list[Input] = []
    for argument in arguments:
        if is_text_file(argument):
            found.append(_of_text_file(argument))
        elif is_sound(argument):
            found += expand([argument], without=without)
        else:
            found.append(Input(argument, "text", text=argument))
    return found


def is_text_file(argument: str) -> bool:
    """Whether an argument names a file of a text, which may be missing, and is none itself."""
    missing = not os.path.exists(argument) and re.search(r"\s", argument) is None
    return Path(argument).suffix.lower() == TEXT and (os.path.isfile(argument) or missing)


def is_sound(argument: str) -> bool:
    """Whether an argument names sound: a file that is there or ends as one, a folder, standard input."""
    named = Path(argument).suffix.lower() in (*AUDIO_SUFFIXES, MANIFEST)
    path = re.fullmatch(r"(\.{0,2}/|~/)\S+|\S+/", argument) is not None
    return argument == STANDARD_INPUT or os.path.exists(argument) or named or path


def _of_text_file(path: str) -> Input:
    text: str | None = None
    fault: DataError | FetchError | None = None
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        fault = FetchError(f"there is no file {path!r}: check the path, or put a text in words that are no file's name")
    except (OSError, UnicodeDecodeError) as error:
        fault = DataError(f"it cannot be read as a text in UTF-8: {error}")
    if text is not None and not text.strip():
        fault = DataError("it holds no text")
    return Input(path, Path(path).stem, path, text=text, fault=fault, full_name=Path(path).name)


def _expanded(argument: str, without: str | None) -> Iterator[Input]:
    path = Path(argument)
    if argument == STANDARD_INPUT:
        yield Input(argument, "standard-input")
    elif os.path.isdir(argument):
        yield from _of_folder(path, without)
    elif path.suffix.lower() == MANIFEST:
        yield from _of_manifest(path)
    else:
        yield Input(argument, path.stem, argument, full_name=path.name)


def _of_folder(folder: Path, without: str | None) -> Iterator[Input]:
    place = Path(os.path.realpath(folder))  # below it, no link to a folder is followed
    results = None if without is None else os.path.realpath(without)
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (results is not None and (place / path.relative_to(folder)).is_relative_to(results))
        and not path.is_dir()
    ]
    if not found:
        own = results is not None and place.is_relative_to(results)
        where = " outside the folder of results, in which it lies: give --out another folder" if own else ""
        raise FetchError(
            f"the folder {str(folder)!r} holds no sound file{where}: looked for {', '.join(AUDIO_SUFFIXES)}"
        )
    for path in found:
        full_name = path.relative_to(folder)
        yield Input(str(path), str(full_name.with_suffix("")), str(path), full_name=str(full_name))


def _of_manifest(manifest: Path) -> Iterator[Input]:
    from ossicle.data.manifest import AudioPart, scan

    for number, item in scan(manifest):
        told = f"{manifest}, line {number}"
        if isinstance(item, DataError):
            yield Input(told, f"line-{number}", fault=item)
            continue
        parts = [part for turn in item.turns for part in turn.content if isinstance(part, AudioPart)]
        if len(parts) != 1:
            fault = DataError(f"{item.where}: one sound a line is needed, got {len(parts)}")
            yield Input(told, f"line-{number}", fault=fault)
            continue
        (part,) = parts
        if item.named:
            name, full_name = re.sub(r"[^\w.-]+", "_", item.id).strip("."), None
        else:
            name, full_name = _names_of(part, manifest.parent)
        yield Input(told, name or f"line-{number}", str(part.path), part.start_s, part.end_s, full_name=full_name)


def _names_of(part: Any, folder: Path) -> tuple[str, str]:
    """Of an item without an id, without and with the suffix of its file: the file's name, and its times where it is a
    part; the same whichever line it stands in."""
    path = part.path.relative_to(folder) if part.path.is_relative_to(folder) else Path(part.path.name)
    inside = not path.is_absolute() and ".." not in path.parts
    full = path if inside else Path(path.name)
    times = "" if part.whole else f"-{part.start_s:g}-{'end' if part.end_s is None else f'{part.end_s:g}'}"
    return f"{full.with_suffix('')}{times}", f"{full}{times}"
