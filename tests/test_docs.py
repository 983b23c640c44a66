"""What the documents say is true: the tree, the levels, the commands, the Python of the README."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

import ossicle
from ossicle.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ossicle"
GUIDES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def tree() -> dict[str, str]:
    """Path below ``src/ossicle`` and description of every line of the tree in ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = text.split("```")[1].split("src/ossicle/\n")[1].split("\ntests/")[0]
    found, room = {}, ""
    for line in block.splitlines():
        indent, name, said = re.fullmatch(r"( +)(\S+) +(\S.*)", line).groups()
        assert len(indent) in (2, 4), line
        room = (name if name.endswith("/") else "") if len(indent) == 2 else room
        found[name if len(indent) == 2 else room + name] = said
    return found


def test_the_tree_is_the_real_one():
    files = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    files -= {name for name in files if name.endswith("/__init__.py")}
    rooms = {f"{path.parent.relative_to(SOURCE).as_posix()}/" for path in SOURCE.glob("*/__init__.py")}
    assert set(tree()) == files | rooms | {"assets/"}


def test_every_line_of_the_tree_says_something():
    assert all(len(said) > 10 for said in tree().values())


def test_the_levels_are_the_ones_that_are_enforced():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+) \| (.*) \|$", text, re.MULTILINE)
    said = {room: float(level) for level, rooms in rows for room in re.findall(r"`(\w+)`", rooms)}
    levels = next(
        node.value
        for node in ast.parse((ROOT / "tests" / "test_imports.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "LEVELS"
    )
    assert said == ast.literal_eval(levels)


def shell_lines() -> list[tuple[str, str]]:
    """Every line of a shell block of a guide, without its comment."""
    lines = []
    for guide in GUIDES:
        for block in re.findall(r"```sh\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL):
            lines += [(guide.name, line.split("  #")[0].strip()) for line in block.splitlines() if line.strip()]
    return lines


COMMANDS = [(guide, line) for guide, line in shell_lines() if line.startswith("ossicle ")]


def test_the_readme_shows_every_command():
    assert {line.split()[1] for guide, line in COMMANDS if guide == "README.md"} == set(
        typer.main.get_command(app).commands
    )


@pytest.mark.parametrize(("guide", "line"), COMMANDS)
def test_commands_of_the_guides_parse(guide, line):
    name, *arguments = shlex.split(line.split(" < ")[0])[1:]
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, list(arguments), resilient_parsing=False)
    assert context.params
    for recipe in (ROOT / one for one in arguments if one.startswith("recipes/")):
        assert recipe.is_file()


def test_make_targets_of_the_guides_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {line.split()[1] for _, line in shell_lines() if line.startswith("make ")}
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make check", "make test"]


def test_python_of_the_readme_uses_the_public_face():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ossicle":
                assert node.attr in ossicle.__all__


def test_links_between_the_documents_lead_somewhere():
    for guide in [*GUIDES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)\)", guide.read_text(encoding="utf-8")):
            assert (guide.parent / target).exists(), f"{guide.name}: {target}"
