"""docs/claims.md and docs/projection.md: every command is run, and prints what the page says it prints."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ossicle.cli import run

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "projection.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE + GUIDE, re.DOTALL)


def commands(block: str) -> list[tuple[str, str]]:
    """Every command of a block with what it prints; "> " goes on with a command."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + line[2:], "")
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


COMMANDS = [pair for block in BLOCKS for pair in commands(block)]


def test_every_section_has_a_command():
    sections = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) >= 15
    assert all("```console\n$ " in section for section in sections)


def printed(command, capsys):
    """Standard output of a command of the page."""
    program, *arguments = shlex.split(command)
    if program == "ossicle":
        capsys.readouterr()
        assert run(arguments) == 0
        return capsys.readouterr().out
    assert program == "python"
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("command", "output"), COMMANDS)
def test_the_page_says_what_is_printed(command, output, capsys):
    assert printed(command, capsys) == output
