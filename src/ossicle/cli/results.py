"""What commands write for a sound: text or JSON, subtitles, speech; on standard output, into files, or into a folder.

Knows names of files and when each is written; does not know what made the results. Nothing heavy is imported before it
is needed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from ossicle.cli.inputs import Input
from ossicle.cli.many import Result, into_folder
from ossicle.cli.options import each
from ossicle.cli.output import as_line, print_json, print_ledger, print_note
from ossicle.errors import RequestError, StorageError

TEXT, JSON, SRT, VTT, WAV = ".txt", ".json", ".srt", ".vtt", ".wav"

Out = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="A file for each input goes here; a run that was killed goes on."),
]
Also = Annotated[list[str] | None, typer.Option(metavar="srt|vtt", help="Of --out: this file as well, for each input.")]
Srt = Annotated[str | None, typer.Option(metavar="F.srt", help="Subtitles of the one input, also as a file.")]
Vtt = Annotated[str | None, typer.Option(metavar="F.vtt", help="The same as WebVTT.")]


class Ledger(Protocol):
    """What a call heard and spent."""

    @property
    def seconds_given(self) -> float: ...

    def as_dict(self) -> dict[str, float | int]: ...


@dataclass(frozen=True)
class Made:
    """What a model made of one sound.

    Args:
        text: all of it.
        segments: with times, for subtitles.
        ledger: of the call.
        shown: what ``--json`` shows beside the name of the sound.
        cut: whether a text was cut off.
        note: what else is to be told of it; empty where nothing is.
        audio: speech that was made, a clip.
    """

    text: str
    segments: Sequence[Any]
    ledger: Ledger
    shown: Mapping[str, Any]
    cut: bool = False
    audio: Any = None
    note: str = ""


def write_each(
    inputs: Sequence[Input],
    make: Callable[[Input], Made],
    *,
    as_json: bool,
    out: str | None = None,
    also: Sequence[str] = (),
    named: Mapping[str, str | None],
    run: Mapping[str, Any],
    model: str,
) -> None:
    """Make something of every input, and write it.

    Args:
        inputs: at least one.
        make: what is made of one; called in their order.
        as_json: write objects in place of texts.
        out: the folder of a file for each input; None writes on standard output.
        also: of ``out``: suffixes of other files for each input, without their dots.
        named: by each suffix that there may be, the name of a file for the only input, or None.
        run: what results depend on beside their input and the model.
        model: name or folder of it.

    Raises:
        RequestError: options that do not fit together or the inputs.
        StorageError: a folder is missing or cannot be written.
        typer.Exit: as `each` and `into_folder`.
    """
    kinds = [suffix[1:] for suffix in named]
    wrong = [kind for kind in also if kind not in kinds]
    if wrong:
        raise RequestError(f"--also knows {', '.join(kinds)}, got {wrong[0]!r}")
    files = {suffix: file for suffix, file in named.items() if file is not None}
    _check_files(files, inputs, out)
    if out is not None:
        _into(out, inputs, make, as_json=as_json, also=also, run=run, model=model)
        return
    if also:
        raise RequestError(f"--also names files of --out FOLDER: give it, or use {_option(f'.{also[0]}')} F.{also[0]}")

    def one(given: Input) -> None:
        given.check()
        made = make(given)
        for suffix, file in files.items():
            _writer(made, suffix, given, as_json)(Path(file))
        if as_json:
            print_json(_object(made, given))
        else:
            print(made.text, flush=True)
            print_ledger(made.ledger.as_dict(), cut=made.cut)
            print_note(made.note, [])

    each(inputs, one, headed=not as_json)


def _into(
    out: str,
    inputs: Sequence[Input],
    make: Callable[[Input], Made],
    *,
    as_json: bool,
    also: Sequence[str],
    run: Mapping[str, Any],
    model: str,
) -> None:
    from ossicle.hub.description import fingerprint
    from ossicle.hub.folder import find

    for given in inputs:
        if given.path is None and given.fault is None:
            kind = "a text" if given.text is not None else "standard input"
            raise RequestError(f"--out goes on with what it has begun, so it takes files, got {kind}: {given}")
    suffixes = [*dict.fromkeys(f".{kind}" for kind in also), JSON if as_json else TEXT]
    depends = {"format": 1, "model": fingerprint(find(model)), **run, "files": suffixes}

    def one(given: Input) -> Result:
        made = make(given)
        files = {suffix: _writer(made, suffix, given, as_json) for suffix in suffixes}
        return Result(files, made.ledger.seconds_given, made.cut, made.note)

    into_folder(inputs, out, suffixes, run=depends, one=one)


def _check_files(files: Mapping[str, str], inputs: Sequence[Input], out: str | None) -> None:
    """Refuse names before anything is computed for them."""
    for suffix, file in files.items():
        option = _option(suffix)
        if out is not None or len(inputs) > 1:
            given = "--out is given" if out is not None else f"there are {len(inputs)} inputs"
            raise RequestError(
                f"{option} names the file of one input, and {given}: use --out FOLDER --also {suffix[1:]}"
            )
        if Path(file).suffix.lower() != suffix:
            raise RequestError(f"{option} names a file that ends in {suffix}, got {file!r}")
        folder = os.path.dirname(os.path.abspath(file))
        if not os.path.isdir(folder):
            raise StorageError(f"the folder of {file!r} is not there: make it first")
        if os.path.isdir(file):
            raise StorageError(f"{option} {file} is a folder: name a file")
        if any(one.path is not None and _is_same(one.path, file) for one in inputs):
            raise StorageError(f"{option} {file} would be written over what is read: name another file")


def _option(suffix: str) -> str:
    """That names the one file of a suffix."""
    return "--speak" if suffix == WAV else f"--{suffix[1:]}"


def _is_same(path: str | os.PathLike[str], file: str) -> bool:
    try:
        return os.path.samefile(path, file)
    except (OSError, ValueError):
        return False


def _object(made: Made, given: Input) -> dict[str, Any]:
    return {"source" if given.text is not None and given.path is None else "file": str(given), **made.shown}


def _writer(made: Made, suffix: str, given: Input, as_json: bool) -> Callable[[Path], None]:
    """What writes one of the files of an input."""
    from ossicle.audio.io import write_clip
    from ossicle.infer.subtitles import cues, srt, vtt

    match suffix:
        case ".wav":
            return partial(write_clip, made.audio)
        case ".srt":
            text = srt(cues(made.segments))
        case ".vtt":
            text = vtt(cues(made.segments))
        case ".json":
            text = as_line(_object(made, given)) + "\n"
        case _:
            text = made.text + "\n"
    return partial(_write_text, text)


def _write_text(text: str, path: Path) -> None:
    from ossicle.hub.whole import whole_file

    whole_file(path, text.encode("utf-8", "backslashreplace"))
