"""Parts of one's own: a class in a Python file that the user names, ``FILE.py:CLASS``.

A file is run only where the user names it: in a recipe, in `load`, on the command line. A model folder never brings
code: it says which class it was made with, the hash of its file and the arguments that built it. Knows files, classes
and hashes; does not know what a part must do (`evaluate.contracts` does).
"""

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from ossicle.errors import CheckpointError, ConfigError, OssicleError, RequestError
from ossicle.hub.description import CONFIG, Part, digest

OWN = "own"
"""The kind of such a part in a description."""
MODULE = "ossicle_own_"
"""How the modules of such files are called, before the hash of the file."""
_FORM = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Own:
    """Which class a part is, and how it was built.

    Args:
        file: the name of its file, without the folder.
        name: the class.
        sha256: of the file.
        arguments: by keyword, plain values.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    file: str
    name: str
    sha256: str
    arguments: dict[str, Any]


def is_own(source: str) -> bool:
    """Whether a source reads ``FILE.py:CLASS``."""
    return _FORM.fullmatch(source) is not None


def file_of(source: str) -> Path:
    """The file of ``FILE.py:CLASS``.

    Raises:
        ConfigError: another form, or there is no such file.
    """
    match = _FORM.fullmatch(source)
    if match is None:
        raise ConfigError(f"a part of your own is named as FILE.py:CLASS, got {source!r}")
    if not Path(match[1]).is_file():
        raise ConfigError(f"{source}: there is no file {match[1]}")
    return Path(match[1])


def build_own(source: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Import a class from a file and build it. This runs the file.

    Args:
        source: ``FILE.py:CLASS``.
        arguments: by keyword; they are kept, so that a folder with the part can tell how it was built.

    Returns:
        The part, which can be saved.

    Raises:
        ConfigError: no such file or class, a file or a class that raises, a class that is no ``torch.nn.Module``, or
            arguments that JSON cannot hold.
    """
    path, given = file_of(source), dict(arguments or {})
    try:
        json.dumps(given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{source}: a folder can tell only arguments that JSON can: {error}") from error
    name = source.rpartition(":")[2]
    sha256 = digest(path)
    found = getattr(_imported(path, sha256), name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise ConfigError(f"{source}: {path.name} holds no class {name} that is a torch.nn.Module")
    part = _built(found, source, given)
    part.ossicle_own = Own(path.name, name, sha256, given)
    return part


def own_policy(source: str) -> Callable[[], Any]:
    """Import a policy of one's own (see `ossicle.simul.policies`): what makes one. This runs the file, once.

    Args:
        source: ``FILE.py:CLASS``.

    Raises:
        ConfigError: no such file or class, a file that raises, a class without ``begin`` and ``decide``; when one is
            made, a class that raises.
    """
    path, name = file_of(source), source.rpartition(":")[2]
    found = getattr(_imported(path, digest(path)), name, None)
    if not isinstance(found, type) or not all(callable(getattr(found, one, None)) for one in ("begin", "decide")):
        raise ConfigError(f"{source}: {path.name} holds no class {name} with begin() and decide(pen)")
    return partial(_built, found, source, {})


def _built(found: type, source: str, arguments: Mapping[str, Any]) -> Any:
    """One of a class that is not ours.

    Raises:
        ConfigError: it raises; it may raise anything.
    """
    try:
        return found(**arguments)
    except (Exception, SystemExit) as error:
        said = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ConfigError(f"{source}: {found.__name__}({said}) raised {type(error).__name__}: {error}") from error


def _imported(path: Path, sha256: str) -> ModuleType:
    """A file as a module; the same file is run once."""
    name = MODULE + sha256[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file that ends with .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is run
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):  # such as an interrupt
            raise
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def faults_told() -> Iterator[None]:
    """What a part of one's own raises while it is used is told with its file and method; our own errors stay as they
    are.

    Raises:
        ConfigError: in place of what such a part raised.
    """
    try:
        yield
    except OssicleError:
        raise
    except (Exception, SystemExit) as error:
        where = raised_in(error)
        if where is None:
            raise
        raise ConfigError(f"{where} raised {type(error).__name__}: {error}") from error


def raised_in(error: BaseException) -> str | None:
    """File and method of a part of one's own that an error came through, the innermost; None where there is none, and
    where it is an exit that came from elsewhere, as by a signal while the part was at work."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    own = [frame for frame in frames if str(frame.f_globals.get("__name__", "")).startswith(MODULE)]
    if not own or (isinstance(error, SystemExit) and own[-1] is not frames[-1]):
        return None
    return f"{own[-1].f_code.co_filename}: {own[-1].f_code.co_qualname}"


def own_part(which: str, said: Part, given: Any) -> Any:
    """The part that a description calls one's own, as the caller gives it; its weights are still to be read.

    Args:
        which: "encoder" or "bridge".
        said: the description.
        given: ``FILE.py:CLASS``, whose file must be the one that the model was made with; or a part, of any class.

    Raises:
        RequestError: nothing is given.
        CheckpointError: a description that cannot be read, or ``hash_mismatch`` for a file that changed.
        ConfigError: as `build_own`, or something else that is given.
    """
    try:
        own = TypeAdapter(Own).validate_python(said.config)
    except ValidationError as error:
        raise CheckpointError(f"{CONFIG} does not tell which class the {which} is", code="bad_format") from error
    named = f"{own.file}:{own.name}"
    if given is None:
        raise RequestError(
            f"the {which} is a class of its maker's own, {named}, and a model folder never brings code: give it "
            f'yourself, load(..., parts={{"{which}": "{named}"}}), on the command line --part {which}={named} '
            "(--compare-part of a model to compare with)",
            code="missing_parameter",
        )
    if isinstance(given, nn.Module):
        return given  # described as what it is: it need not compute what the class of the description does
    if not isinstance(given, str):
        kind = f"the class {given.__name__}" if isinstance(given, type) else repr(given)
        raise ConfigError(f"parts[{which!r}] is {kind}: give FILE.py:CLASS, or a part that is built, a torch.nn.Module")
    if digest(file_of(given)) != own.sha256:
        raise CheckpointError(
            f"{given} is not the file that the {which} was made with, {named}: its hash differs; if its weights still "
            f'fit, give the part itself, load(..., parts={{"{which}": {own.name}(...)}})',
            code="hash_mismatch",
        )
    return build_own(given, own.arguments)
