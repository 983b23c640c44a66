"""The description of a model folder, ``config.json``: the parts, where their weights lie, which files there must be.

Knows JSON, names, sizes and hashes; does not know tensors. Unknown keys, a higher format and paths that leave the
folder are refused here, before anything is read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ossicle.errors import CheckpointError
from ossicle.prompt.chat import ClipText

FORMAT = 1
KIND = "audio_lm"
CONFIG = "config.json"
CARD = "card.md"
About = TypeVar("About")


@dataclass(frozen=True)
class Reference:
    """Weights that are not in the folder: a repository on the hub, or another folder.

    Args:
        repo: repository id, or path of a folder.
        revision: of the repository; None for a folder.
        sha256: of its ``model.safetensors``, or of the names and hashes of its shards; checked by `verify`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    repo: str
    revision: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Part:
    """An encoder or a bridge: its kind, the settings that build it, and the path of its weights in the folder."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: str
    config: dict[str, Any]
    weights: str


@dataclass(frozen=True)
class LanguageModel:
    """The LLM: its weights are a path in the folder (with settings of their own beside them), or a reference."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: str
    config: dict[str, Any]
    weights: str | Reference


@dataclass(frozen=True)
class Record:
    """What a file must be."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Description:
    """Everything that ``config.json`` says."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: int
    kind: str
    name: str
    pattern: str
    context: int
    encoder: Part
    bridge: Part
    llm: LanguageModel
    adapter: str | None = None
    clip_text: ClipText = field(default_factory=ClipText)
    files: dict[str, Record] = field(default_factory=dict)

    def text(self) -> str:
        """The JSON text of ``config.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_description(folder: Path) -> Description:
    """Read and check ``config.json``, and that every file it lists is there with its size.

    Raises:
        CheckpointError: ``incomplete`` for a file that is missing or has another size, ``bad_format`` for anything that
            is not a description of this format.
    """
    raw = read_config(folder)
    kind = raw.get("kind")
    if isinstance(kind, str) and kind != KIND:
        told = ": load it with load_translator" if kind == "translator" else ""
        raise CheckpointError(f"{folder} holds a {kind!r}, known is {KIND!r}{told}", code="bad_format")
    description = validated(Description, raw, folder)
    _check_files(folder, description)
    return description


def read_config(folder: Path) -> dict[str, Any]:
    """What the ``config.json`` of a folder of ours says, whatever kind of model it holds.

    Raises:
        CheckpointError: ``incomplete`` where there is none that can be read, ``bad_format`` where it is none of ours or
            of a higher format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder} is not a model folder: it has no {CONFIG}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{CONFIG} of {folder} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{CONFIG} of {folder} is not JSON", code="bad_format") from error
    said = raw.get("format") if isinstance(raw, dict) else None
    if not isinstance(said, int) or said < 1:
        raise CheckpointError(f"{CONFIG} of {folder} names no format: is it a model of ossicle?", code="bad_format")
    if said > FORMAT:
        raise CheckpointError(
            f"{folder} has the format {said}, this version of ossicle reads up to {FORMAT}: install a newer one",
            code="bad_format",
        )
    return dict(raw)


def validated(of: type[About], raw: dict[str, Any], folder: Path) -> About:
    """What ``config.json`` says as a description of a kind.

    Raises:
        CheckpointError: ``bad_format``, with what is unknown, missing or wrong.
    """
    try:
        return TypeAdapter(of).validate_python(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise CheckpointError(f"{CONFIG} of {folder} cannot be used: {faults}", code="bad_format") from error


def check_records(folder: Path, files: Mapping[str, Record]) -> None:
    """Refuse a folder in which a file is missing or has another size.

    Raises:
        CheckpointError: ``incomplete``, with the first such file.
    """
    for name, record in files.items():
        path = inside(folder, name)
        if not path.is_file():
            raise CheckpointError(f"{folder} is incomplete: {name} is missing")
        got = path.stat().st_size
        if got != record.bytes:
            raise CheckpointError(f"{folder} is incomplete: {name} has {got} bytes, it was saved with {record.bytes}")


def check_hashes(folder: Path, files: Mapping[str, Record]) -> int:
    """Read every file again and compare it with the hash that was written at save.

    Returns:
        How many files were compared.

    Raises:
        CheckpointError: ``hash_mismatch`` for a file that changed, ``incomplete`` for one that cannot be read.
    """
    for name, record in files.items():
        try:
            found = digest(inside(folder, name))
        except OSError as error:
            raise CheckpointError(f"{name} cannot be read: {error.strerror}") from error
        check_hash(name, found, record.sha256)
    return len(files)


def check_hash(name: str, found: str, wanted: str) -> None:
    """Refuse a file that changed.

    Raises:
        CheckpointError: ``hash_mismatch``.
    """
    if found != wanted:
        raise CheckpointError(f"{name} is not the file that was saved: its hash differs", code="hash_mismatch")


def _check_files(folder: Path, description: Description) -> None:
    check_records(folder, description.files)
    weights = [description.encoder.weights, description.bridge.weights, description.llm.weights, description.adapter]
    for name in [*(name for name in weights if isinstance(name, str)), "tokenizer.json"]:
        inside(folder, name)
        if not any(listed == name or listed.startswith(f"{name}/") for listed in description.files):
            raise CheckpointError(f"{folder} is incomplete: {CONFIG} lists no file for {name}")


def inside(folder: Path, name: str) -> Path:
    """The path of a file in the folder.

    Raises:
        CheckpointError: ``bad_format`` for a name that leads out of the folder.
    """
    path = folder / name
    plain = PurePosixPath(name)
    leaves = plain.is_absolute() or ".." in plain.parts or not plain.parts
    if leaves or not path.resolve().is_relative_to(folder.resolve()):
        raise CheckpointError(f"{CONFIG} of {folder} names {name!r}, which is not in the folder", code="bad_format")
    return path


def records(folder: Path) -> dict[str, Record]:
    """Size and hash of every file below a folder, by its path in it; not of ``config.json`` and the card."""
    free = {folder / CONFIG, folder / CARD}  # a card may be edited by hand
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path not in free)
    return {path.relative_to(folder).as_posix(): Record(path.stat().st_size, digest(path)) for path in paths}


def fingerprint(folder: Path) -> str:
    """One hash for a model folder, the same wherever it lies: of ``config.json`` where that lists the hashes of the
    others, else of the names and hashes of all files.

    Raises:
        CheckpointError: a file cannot be read.
    """
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8")) if (folder / CONFIG).is_file() else None
        if isinstance(said, dict) and "format" in said and said.get("files"):
            return digest(folder / CONFIG)
        paths = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        listed = "".join(f"{path.as_posix()} {digest(folder / path)}\n" for path in paths)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} cannot be read: {error}") from error
    return hashlib.sha256(listed.encode()).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
