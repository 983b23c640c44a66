"""The command line: arguments in, text or JSON out, one way to fail."""

from ossicle.cli import hearing, learning, translating
from ossicle.cli.options import split_arguments
from ossicle.cli.program import app, main, run

__all__ = ["app", "hearing", "learning", "main", "run", "split_arguments", "translating"]
