"""Who may import whom, and what may not stand in the source at all: read from the syntax trees, nothing is run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ossicle"
FILES = sorted(SOURCE.rglob("*.py"))

LEVELS = {
    "errors": 0,
    "audio": 1,
    "prompt": 2,
    "plan": 2,
    "tensors": 2,
    "encoders": 3,
    "bridge": 3,
    "codec": 3,
    "models": 4,
    "translate": 4,
    "simul": 4.5,
    "hub": 5,
    "data": 5,
    "world": 5,
    "infer": 6,
    "evaluate": 7,
    "train": 8,
    "cli": 9,
}
WITHOUT_TORCH = {"errors", "audio", "prompt", "plan", "world", "cli"}
TORCH = {"torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft"}
OPTIONAL = {
    "accelerate",
    "av",
    "espeakng_loader",
    "jiwer",
    "peft",
    "pocketsphinx",
    "sacrebleu",
    "tensorboard",
    "torch.utils.tensorboard",
}
READS_AUDIO = {"soundfile", "av"}


def room(path: Path) -> str:
    """The first part below ``src/ossicle``: the room, or the name of a file that is a room by itself."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Every import statement with each module that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports are not used"
            if node.module == "ossicle":
                for alias in node.names:
                    yield node, f"ossicle.{alias.name}"
            else:
                yield node, node.module or ""


def inside_functions(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """The imports that stand in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node)


def wrong_direction(name: str, tree: ast.AST) -> list[str]:
    """What a file of room ``name`` imports from its own level or above."""
    found = []
    for node, module in imports(tree):
        parts = module.split(".")
        if parts[0] != "ossicle" or module == "ossicle.__version__":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        if target != name and LEVELS.get(target, 99) >= LEVELS[name]:
            found.append(f"line {node.lineno}: {name} (level {LEVELS[name]}) imports {module}")
    return found


def forbidden(tree: ast.AST) -> list[str]:
    """Calls and names that run what they read, or that hide an import from the program."""
    found = [
        f"line {node.lineno}: {module}" for node, module in imports(tree) if module.split(".")[0] in {"pickle", "dill"}
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {
                "eval",
                "exec",
                "compile",
                "__import__",
                "torch.load",
                "yaml.load",
                "yaml.unsafe_load",
                "numpy.load",
            }:
                found.append(f"line {node.lineno}: {called}")
            if called == "np.load" and "allow_pickle=True" in ast.unparse(node):
                found.append(f"line {node.lineno}: {called} with allow_pickle")
            if any(k.arg == "trust_remote_code" for k in node.keywords):
                found.append(f"line {node.lineno}: trust_remote_code")
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node).endswith("TYPE_CHECKING"):
            found.append(f"line {node.lineno}: TYPE_CHECKING")
    return found


def each(files: list[Path] = FILES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files, ids=lambda path: path.relative_to(SOURCE).as_posix())


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@each([path for path in FILES if path != SOURCE / "__init__.py"])
def test_imports_go_only_downwards(path):
    assert room(path) in LEVELS, f"{room(path)} is a new room: give it a level in ARCHITECTURE.md and here"
    assert not wrong_direction(room(path), parse(path))


@each()
def test_imports_stand_at_the_top_except_optional_extras_and_commands(path):
    late = [
        f"line {node.lineno}: {module}"
        for node, module in inside_functions(parse(path))
        if module not in OPTIONAL and module.split(".")[0] not in OPTIONAL
    ]
    assert not late or room(path) == "cli"


@each([path for path in FILES if room(path) in WITHOUT_TORCH])
def test_rooms_without_torch_have_none(path):
    tree = parse(path)
    inside = {node for node, _ in inside_functions(tree)} if room(path) == "cli" else set()
    heavy = [module for node, module in imports(tree) if module.split(".")[0] in TORCH and node not in inside]
    assert not heavy


@each()
def test_nothing_is_unpickled_evaluated_or_hidden(path):
    assert not forbidden(parse(path))


@each([path for path in FILES if room(path) != "audio"])
def test_only_the_audio_room_decodes_bytes(path):
    assert not [module for _, module in imports(parse(path)) if module.split(".")[0] in READS_AUDIO]


@each()
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(parse(path))


def test_the_rules_see_what_they_forbid():
    bad = ast.parse(
        "import pickle\nfrom typing import TYPE_CHECKING\nimport typing\nif typing.TYPE_CHECKING:\n    pass\n"
        "eval('1')\ntorch.load('x')\nyaml.load('x')\nnp.load('x', allow_pickle=True)\nf(trust_remote_code=False)\n"
    )
    assert sorted(line.split(": ")[1] for line in forbidden(bad)) == [
        "TYPE_CHECKING",
        "eval",
        "np.load with allow_pickle",
        "pickle",
        "torch.load",
        "trust_remote_code",
        "yaml.load",
    ]
    assert wrong_direction("audio", ast.parse("from ossicle.models.audio_lm import AudioLM")) == [
        "line 1: audio (level 1) imports ossicle.models.audio_lm"
    ]
    assert wrong_direction("audio", ast.parse("import ossicle")) == ["line 1: audio (level 1) imports ossicle"]
    assert not wrong_direction(
        "hub", ast.parse("from ossicle import __version__\nfrom ossicle.errors import DataError")
    )
