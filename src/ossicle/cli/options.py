"""What commands are told: the options that several of them share, and how files, models and threads are read from them.

Knows arguments and the exit codes of commands that end before all is done; does not know what a command does. Nothing
heavy is imported before it is needed.
"""

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

import typer

from ossicle.cli.output import line
from ossicle.errors import AudioInputError, DataError, FetchError, LimitError, RequestError

DONE_IN_PART, INTERRUPTED = 7, 130
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"),
    *(".m4a", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".mka", ".aac", ".amr", ".wma", ".3gp"),
)
STANDARD_INPUT = "-"

Model = Annotated[str, typer.Option(help="A shipped name, or a model folder.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="CPU threads; OMP_NUM_THREADS, or the physical cores.")
]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to write for one answer.")]
Rate = Annotated[
    float | None,
    typer.Option(metavar="HZ", help="Audio tokens a second, for a model whose bridge serves several rates."),
]
Temperature = Annotated[float, typer.Option(help="0 is greedy, up to 2.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
DrawSeed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
OwnParts = Annotated[
    list[str] | None,
    typer.Option("--part", metavar="encoder=FILE.py:CLASS", help="The model's encoder or bridge of your own; is run."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Files and question of ``FILE... [QUESTION]``.

    The first is a file; a later one is a file if it is one, is "-" or ends as an audio file does, else the question.

    Raises:
        RequestError: two questions, or standard input twice.
    """
    files, question = [arguments[0]], None
    for one in arguments[1:]:
        is_file = os.path.exists(one) and not os.path.isdir(one)  # or a pipe
        if one == STANDARD_INPUT or is_file or Path(one).suffix.lower() in AUDIO_SUFFIXES:
            files.append(one)
        elif question is None:
            question = one
        else:
            raise RequestError(f"one question at most, got {question!r} and {one!r}: put a question in quotes")
    if files.count(STANDARD_INPUT) > 1:
        raise RequestError("standard input (-) can be read once only")
    return files, question


OF_ONE_INPUT = (AudioInputError, FetchError, LimitError, DataError)
"""What may be wrong with one input while the others are still done."""
Told = TypeVar("Told")
"""A file, or what else is worked on; how it is told of is its string."""


def each(files: Sequence[Told], one: Callable[[Told], None], *, headed: bool) -> None:
    """Run a command on every file; a bad file among good ones is told, and the others are still done.

    Raises:
        OssicleError: of a single file.
        typer.Exit: 7 where some files failed, the first one's exit code where all did.
    """
    failed = []
    for file in files:
        if headed and len(files) > 1:
            print(f"== {file}", flush=True)
        try:
            one(file)
        except OF_ONE_INPUT as error:
            if len(files) == 1:
                raise
            failed.append(error)
            print(line(error.code, f"{file}: {error}"), file=sys.stderr)
    if failed:
        raise typer.Exit(failed[0].exit_code if len(failed) == len(files) else DONE_IN_PART)


def source_of(file: str) -> str | BinaryIO:
    """What `audio.io` reads."""
    return standard_input() if file == STANDARD_INPUT else file


def standard_input() -> BinaryIO:
    """Standard input.

    Raises:
        RequestError: it is closed.
    """
    if sys.stdin is None:
        raise RequestError("standard input (-) is closed")
    return sys.stdin.buffer


def seconds_of(file: str) -> float:
    """Length of a file as its header declares it; only where that is silent, it is decoded."""
    from ossicle.audio.io import probe, read_blocks

    source: str | bytes = file if file != STANDARD_INPUT else standard_input().read()  # it is looked at twice
    declared = probe(source)
    if declared.duration_s is not None:
        return declared.duration_s
    return sum(block.n_samples for block in read_blocks(source)) / declared.rate


def own_parts(parts: Sequence[str] | None) -> dict[str, str]:
    """What `load` wants of ``encoder=FILE.py:CLASS``.

    Raises:
        RequestError: something else.
    """
    pairs = [one.partition("=") for one in parts or ()]
    wrong = [name + equals + source for name, equals, source in pairs if not equals]
    if wrong:
        raise RequestError(f"--part reads encoder=FILE.py:CLASS or bridge=FILE.py:CLASS, got {wrong[0]!r}")
    return {name: source for name, _, source in pairs}


def opener(
    model: str, device: str, threads: int | None, parts: Sequence[str] | None, rate: float | None = None
) -> Callable[[], Any]:
    """A function that loads the model when it is first called, so that bad audio is refused before."""
    own = own_parts(parts)

    @cache
    def opened() -> Any:
        from ossicle.hub.folder import load
        from ossicle.infer.lower import at_rate

        set_threads(threads)
        loaded = load(model, device=device, parts=own)
        return loaded if rate is None else at_rate(loaded, rate)

    return opened


def translator_opener(model: str, device: str, threads: int | None) -> Callable[[], Any]:
    """The same for a translator."""

    @cache
    def opened() -> Any:
        from ossicle.hub.translator import load_translator

        set_threads(threads)
        return load_translator(model, device=device)

    return opened


SMALL = 50_000_000
"""Parameters of a model whose steps are too small to share between threads."""


def few_threads(model: Any, threads: int | None) -> None:
    """One thread for a small model that works in small steps, piece by piece: two take longer together. Where a number
    is given, also by OMP_NUM_THREADS, it stands."""
    import torch

    told = threads is not None or "OMP_NUM_THREADS" in os.environ
    if not told and sum(value.numel() for value in model.parameters()) < SMALL:
        torch.set_num_threads(1)


def set_threads(threads: int | None) -> None:
    """Use so many CPU threads; where none are given, OMP_NUM_THREADS of them, or one for each physical core."""
    import torch

    from ossicle.infer.describe import physical_cores

    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # OpenMP's list is one number a level
    torch.set_num_threads(threads or (int(said) if said.isdecimal() and int(said) > 0 else physical_cores()))
