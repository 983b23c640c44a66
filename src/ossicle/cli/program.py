"""The program: where commands are hung up, and one way to fail.

Knows exit codes; does not know commands. What goes wrong is one line on standard error.
Exit codes: 0 done, 1 training that cannot go on, or internal, 2 arguments, 3 a file that is missing or no audio,
4 limits, 5 machine, 6 model, 7 data or in part, 130 interrupted.
"""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from ossicle import __version__
from ossicle.cli.options import INTERRUPTED
from ossicle.cli.output import line
from ossicle.errors import OssicleError, RequestError, StorageError

app = typer.Typer(
    name="ossicle",
    help="Gives a language model ears: ask about a sound file, transcribe it, train, evaluate.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

NO_MEMORY = "can't allocate memory"
"""How torch says it of a processor's."""


def main() -> None:
    """The program ``ossicle``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. What goes wrong is one line on standard error."""
    try:
        given = list(arguments)
        return int(app(given or ["--help"], prog_name="ossicle", standalone_mode=False, obj=tuple(given)) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        code, exit_code, message = _explain(error)
        if "--debug" in arguments:
            traceback.print_exc()
        print(line(code, message), file=sys.stderr)
        return exit_code


def _explain(error: Exception) -> tuple[str, int, str]:
    """Code, exit code and text of anything that went wrong."""
    match error:
        case OssicleError():
            return error.code, error.exit_code, str(error)
        case typer.TyperException():
            codes = {"NoSuchOption": "unknown_parameter", "MissingParameter": "missing_parameter"}
            return codes.get(type(error).__name__, "invalid_value"), RequestError.exit_code, error.format_message()
        case OSError(errno=errno.ENOSPC):
            _drop_output()
            return "no_space", StorageError.exit_code, "there is no space left where the output goes"
        case MemoryError() | RuntimeError() if isinstance(error, MemoryError) or NO_MEMORY in str(error):
            return "out_of_memory", StorageError.exit_code, "the machine has too little memory: give it less at once"
        case _:
            text = f"{type(error).__name__}: {error} (this is a mistake in ossicle; --debug shows where)"
            return "internal_error", OssicleError.exit_code, text


def _drop_output() -> None:
    """What is still in the buffer of standard output goes nowhere: flushing it at exit would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ossicle {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Gives a language model ears: ask about a sound file, transcribe it, train, evaluate."""
