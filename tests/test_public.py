"""The public face: what it lists is there, and listing it costs nothing."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ossicle
from ossicle import errors

ROOT = Path(__file__).parents[1]


def child(code: str) -> str:
    """Standard output of a fresh Python that runs ``code``."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_all_is_sorted_and_without_doubles():
    assert ossicle.__all__ == sorted(set(ossicle.__all__))


@pytest.mark.parametrize("name", ossicle.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    assert getattr(ossicle, name).__doc__


def test_no_public_name_is_that_of_a_room():
    """A room that is imported stands under its name in the package, whatever stood there before."""
    rooms = {path.stem for path in (ROOT / "src" / "ossicle").iterdir() if (path / "__init__.py").is_file()}
    assert {"plan", "translate"} <= rooms and not rooms & set(ossicle.__all__)
    assert ossicle.make_translation is importlib.import_module("ossicle.infer.translate").translate


def test_every_error_is_public():
    ours = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert ours == {name for name in ossicle.__all__ if name.endswith("Error")}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ossicle' has no attribute 'nonsense'"):
        _ = ossicle.nonsense


def test_dir_lists_names_that_are_not_loaded_yet():
    assert set(ossicle.__all__) <= set(dir(ossicle))


def test_the_version_is_that_of_the_project():
    assert ossicle.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_importing_ossicle_takes_nothing_heavy():
    heavy = "[m for m in ('torch', 'transformers', 'numpy', 'soundfile', 'pydantic') if m in sys.modules]"
    assert child(f"import sys, ossicle; print({heavy})") == "[]"


@pytest.mark.parametrize("arguments", ["['--help']", "['ask', '--help']", "['train', '--help']", "['--version']"])
def test_the_command_line_helps_without_torch(arguments):
    code = (
        "import sys\n"
        "from ossicle.cli import main\n"
        f"sys.argv = ['ossicle', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    assert child(code).splitlines()[-1] == "[]"


def test_a_plan_is_made_without_torch():
    code = (
        "import sys\n"
        "from ossicle.cli import run\n"
        "assert run(['plan', '--seconds', '1800', '--all', '--task', 'speech', '--json']) == 0\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    assert child(code).splitlines()[-1] == "[]"
