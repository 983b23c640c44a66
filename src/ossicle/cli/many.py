"""Many inputs into one folder: a file or several for each, written whole or not at all, gone on with after a kill.

Knows names, files and what goes wrong with one input; does not know models, nor what a result says. Beside the results
stand ``run.json``, by what model and options they were made, so that no others are taken for done, ``done.jsonl``, what
each was made of, and ``errors.jsonl``, what failed in the latest run. An input is done when its files stand there and
were made of what it is now; those that failed are tried again.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import typer

from ossicle.cli.done import Done, origin_of
from ossicle.cli.inputs import Input
from ossicle.cli.options import DONE_IN_PART, OF_ONE_INPUT
from ossicle.cli.output import as_line, line
from ossicle.errors import OssicleError, RequestError, StorageError

RUN, DONE, ERRORS, LOCK = "run.json", "done.jsonl", "errors.jsonl", ".lock"
LINE_S = 15.0
BAR = 24


@dataclass(frozen=True)
class Result:
    """What became of one input.

    Args:
        files: for each suffix what writes the file.
        audio_s: seconds of audio that were heard.
        cut: whether a text was cut off at the most tokens that were allowed.
        note: what else is to be told of it; empty where nothing is.
    """

    files: Mapping[str, Callable[[Path], None]]
    audio_s: float
    cut: bool = False
    note: str = ""


def into_folder(
    inputs: Sequence[Input],
    folder: str,
    suffixes: Sequence[str],
    *,
    run: Mapping[str, Any],
    one: Callable[[Input], Result],
) -> None:
    """Work on every input whose result is not there yet.

    Args:
        inputs: those of one name are told apart by the suffixes of their files.
        folder: for the results; made where it is not there.
        suffixes: of the files of each input; the last one is written last.
        run: what the results depend on beside their inputs, as JSON holds it.
        one: what makes a result.

    Raises:
        RequestError: two inputs that no name tells apart; the folder holds results of another run.
        StorageError: the folder cannot be written, holds other files, or another process writes it.
        typer.Exit: 7 where some inputs failed, the first one's exit code where all did.
    """
    place = Path(folder)
    _check_strangers(place)
    from ossicle.train.process import claimed

    done = Done(place / DONE)
    inputs = done.named(inputs, [Path(RUN).stem] if Path(RUN).suffix in suffixes else [])
    targets = _targets(inputs, place, suffixes)
    with claimed(place / LOCK) as mine:
        if not mine:
            raise StorageError(f"another process writes into {folder}")
        _check_run(place, run)
        _sweep({path for several in targets for path in several})
        done.read()  # another process may have ended since
        _go_through(inputs, targets, done, place / ERRORS, one)


def _go_through(
    inputs: Sequence[Input],
    targets: Sequence[Sequence[Path]],
    done: Done,
    errors: Path,
    one: Callable[[Input], Result],
) -> None:
    errors.unlink(missing_ok=True)
    there = done.there(inputs, targets)
    n_cut = sum(is_there and done.is_cut(given) for given, is_there in zip(inputs, there, strict=True))
    progress = Progress(len(inputs), sum(there), sys.stderr, n_cut=n_cut)
    failed: list[OssicleError] = []
    for given, paths, is_there in zip(inputs, targets, there, strict=True):
        if is_there:
            continue
        origin = origin_of(given)  # before it is read
        try:
            given.check()
            result = one(given)
        except OF_ONE_INPUT as error:
            failed.append(error)
            progress.tell(line(error.code, f"{given}: {error}"))
            _append(errors, {"file": str(given), "code": error.code, "message": str(error)})
            for path in paths if done.is_stale(given, paths) else ():
                path.unlink(missing_ok=True)
            progress.step(0.0, failed=True)
            continue
        assert len(result.files) == len(paths)
        done.begin(given, origin, paths, cut=result.cut)
        for path, write in zip(paths, result.files.values(), strict=True):
            write(path)
        if result.cut:
            progress.tell(f"{given}: cut off at --max-tokens")
        if result.note:
            progress.tell(f"{given}: {result.note}")
        progress.step(result.audio_s, cut=result.cut)
    progress.end(f"see {errors}" if failed else "")
    if failed:
        raise typer.Exit(failed[0].exit_code if len(failed) == len(inputs) else DONE_IN_PART)


def _targets(inputs: Sequence[Input], folder: Path, suffixes: Sequence[str]) -> list[list[Path]]:
    """The files of each input, the one that is written last at the end.

    Raises:
        RequestError: two inputs have one name, or an input has that of a file of ours.
    """
    seen: dict[str, str] = {RUN: "the folder's own notes"}
    for given in inputs:
        for suffix in suffixes:
            name = given.name + suffix
            if name in seen:
                raise RequestError(f"{name} would be written for {given} and for {seen[name]}: use a folder for each")
            seen[name] = str(given)
    return [[folder / (given.name + suffix) for suffix in suffixes] for given in inputs]


def _check_strangers(folder: Path) -> None:
    """A folder that no run of ours wrote may hold nothing: a result could have the name of a file there."""
    if folder.is_dir() and not (folder / RUN).exists():
        strangers = [one.name for one in folder.iterdir() if not one.name.startswith(".")]
        if strangers:
            raise StorageError(f"{folder} holds other files, such as {min(strangers)}: name a folder of its own")


def _check_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Write down what the results depend on, or compare it with what stands there.

    Raises:
        RequestError: it differs.
    """
    from ossicle.hub.whole import whole_file

    notes, text = folder / RUN, json.dumps(run, indent=2) + "\n"
    try:
        said = json.loads(notes.read_text(encoding="utf-8"))
    except FileNotFoundError:
        whole_file(notes, text.encode())
        return
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{notes} cannot be read: name another folder") from error
    if said != run and all(one.name in (RUN, DONE, ERRORS, LOCK) for one in folder.iterdir()):
        whole_file(notes, text.encode())  # no result of the other run is there
    elif said != run:
        said = said if isinstance(said, dict) else {}
        keys = [key for key in {**run, **said} if run.get(key) != said.get(key)]
        differs = ", ".join(f"{key} {_short(said.get(key))}, now {_short(run.get(key))}" for key in keys)
        raise RequestError(f"{folder} holds results of another run ({differs}): name another folder")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:16]}..."


def _sweep(targets: set[Path]) -> None:
    """Remove the drafts that a killed process left beside what it was to write."""
    for folder in {path.parent for path in targets}:
        for stray in folder.glob(".*.part") if folder.is_dir() else ():
            named = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}\.part", stray.name)
            if named is not None and folder / named[1] in targets:
                stray.unlink(missing_ok=True)


def _append(path: Path, value: Mapping[str, Any]) -> None:
    """Add one JSON object as a line, at once."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(f"{as_line(value)}\n".encode())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


class Progress:
    """How far it is: a bar on a terminal, a line every 15 s elsewhere, and one at the end.

    Args:
        n: inputs in all.
        before: of these, done by an earlier run.
        out: where it is shown.
        n_cut: of those done before, with a text that was cut off.
    """

    def __init__(self, n: int, before: int, out: TextIO, *, n_cut: int = 0) -> None:
        self.n, self.before, self.out = n, before, out
        self.done, self.failed, self.cut, self.audio_s = before, 0, n_cut, 0.0
        self.began = self.shown = time.monotonic()
        self.on_terminal = out.isatty()
        self.over = "\r\x1b[K" if self.on_terminal else ""  # what stands there is written over
        if self.before:
            print(f"{before} of {n} are there from an earlier run", file=out, flush=True)

    def step(self, audio_s: float, *, failed: bool = False, cut: bool = False) -> None:
        """One more input was worked on."""
        self.audio_s += audio_s
        self.failed += failed
        self.cut += cut
        self.done += not failed
        now = time.monotonic()
        if self.on_terminal:
            print(f"{self.over}{self.reading(now)}", end="", file=self.out, flush=True)
        elif now - self.shown >= LINE_S:
            print(self.reading(now), file=self.out, flush=True)
            self.shown = now

    def tell(self, text: str) -> None:
        """A line above the bar."""
        print(f"{self.over}{text}", file=self.out, flush=True)

    def end(self, more: str) -> None:
        """The last line."""
        self.tell("  ".join(filter(None, [self.reading(time.monotonic()), more])))

    def reading(self, now: float) -> str:
        """Inputs, those that failed and those cut off, audio-hours, rate and time left."""
        seconds = max(now - self.began, 1e-9)
        worked = self.done + self.failed - self.before
        left_s = seconds / worked * (self.n - self.done - self.failed) if worked else 0.0
        full = BAR * (self.done + self.failed) // self.n if self.n else BAR
        bar = f"[{'#' * full}{'.' * (BAR - full)}]  " if self.on_terminal else ""
        failed = f"  {self.failed} failed" if self.failed else ""
        cut = f"  {self.cut} cut off" if self.cut else ""
        return (
            f"{bar}{self.done} of {self.n}{failed}{cut}  {self.audio_s / 3600:.2f} audio-h  "
            f"{self.audio_s / seconds:.0f} audio-s/s  {left_s / 60:.1f} min left"
        )
