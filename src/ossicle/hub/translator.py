"""Folders of translators: a Translator to files and back, strictly, in safetensors and JSON.

Knows what such a folder holds and how each part is read and written; does not know training. A part that the model does
not have is not in its folder. The tied table of tokens is stored once, with the text decoder.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

from ossicle.errors import CheckpointError, ConfigError, RequestError
from ossicle.hub.description import (
    CARD,
    CONFIG,
    FORMAT,
    Part,
    Record,
    check_hashes,
    check_records,
    inside,
    read_config,
    records,
    validated,
)
from ossicle.hub.folder import DTYPES, find, origin_text, place_of, stored, twins_of
from ossicle.hub.published import FAULTS
from ossicle.hub.seamless import is_seamless, load_seamless
from ossicle.hub.speaking import build_speaking, described_speaking
from ossicle.hub.strict import check_keys, read_tensors
from ossicle.hub.whole import whole_folder
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Translator

KIND: Literal["translator"] = "translator"
TOKENIZER = "tokenizer.json"
CORE = ("speech_encoder", "text_encoder", "text_decoder")
SPEAKING = ("unit_decoder", "vocoder", "codebook", "aligner", "hearing", "choices")
TIED = "embed_tokens.weight"


@dataclass(frozen=True)
class TextDescription:
    """Ids of languages and of special tokens."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    languages: dict[str, int]
    pad: int
    unk: int
    bos: int
    eos: int


@dataclass(frozen=True)
class TranslatorDescription:
    """Everything that ``config.json`` says: sizes as a ``SeamlessM4Tv2Config`` names them, and the parts there are."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: int
    kind: Literal["translator"]
    name: str
    config: dict[str, Any]
    stack: int
    tail: Literal["pad", "drop"]
    max_s: float
    text: TextDescription
    parts: dict[str, Part]
    files: dict[str, Record] = field(default_factory=dict)

    def json(self) -> str:
        """The JSON text of ``config.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"


def save_translator(
    model: Translator,
    folder: str | Path,
    *,
    card: str | None = None,
    origin: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a translator's folder, whole or not at all.

    Args:
        model: with the parts that it has.
        folder: where; its parents are made.
        card: text of ``card.md``; a short description by default.
        origin: what ``origin.json`` tells of where the model comes from; the versions of the packages are added.
        dtype: "float32", "bfloat16" or "float16" for all weights on disk; as they are by default.
        overwrite: replace the model folder that stands there.

    Returns:
        The folder.

    Raises:
        StorageError: the folder stands in the way or cannot be written.
        RequestError: an unknown ``dtype``, or one that has no room for a weight.
    """
    if dtype is not None and dtype not in DTYPES:
        raise RequestError(f"dtype {dtype!r} is not known: choose one of {', '.join(DTYPES)}")
    text = model.text
    about = TranslatorDescription(
        format=FORMAT,
        kind=KIND,
        name=model.name,
        config=model.config,
        stack=model.banks.stack,
        tail=model.tail,
        max_s=model.max_s,
        text=TextDescription(text.ids, text.pad, text.unk, text.bos, text.eos),
        parts={name: _described(model, name) for name in _held(model)},
    )
    replaces = is_translator_folder if overwrite else None
    with whole_folder(Path(folder), replaces=replaces, instead="choose another name, or say overwrite=True") as draft:
        for name in _held(model):
            tensors = stored(_own(model, name), None if dtype is None else DTYPES[dtype])
            save_file(tensors, draft / f"{name}.safetensors", {"format": "pt"})
        text.tokenizer.save(str(draft / TOKENIZER))
        (draft / CARD).write_text(_card(model) if card is None else card, encoding="utf-8")
        (draft / "origin.json").write_text(origin_text(origin), encoding="utf-8")
        (draft / CONFIG).write_text(replace(about, files=records(draft)).json(), encoding="utf-8")
    return Path(folder)


def read_translator(folder: Path, *, device: str = "auto", dtype: str = "auto") -> Translator:
    """Read a translator's folder.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: the folder is incomplete, of another format, or its weights do not match its description.
        RequestError: an unknown ``device`` or ``dtype``.
    """
    place, kind = _place_and_type(device, dtype)
    about = describe_translator(folder)
    said = about.text
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    except Exception as error:  # `tokenizers` raises nothing more special
        raise CheckpointError(f"the tokenizer of {folder} cannot be read: {error}", code="bad_format") from error
    text = TextTokens(tokenizer, said.languages, pad=said.pad, unk=said.unk, bos=said.bos, eos=said.eos)
    has = about.parts.keys()
    try:
        model = Translator(
            about.config,
            text,
            stack=about.stack,
            tail=about.tail,
            max_s=about.max_s,
            hears="speech_encoder" in has,
            reads="text_encoder" in has,
            name=about.name,
        )
        for name in (one for one in SPEAKING if one in has):
            setattr(model, name, build_speaking(name, about.parts[name].kind, about.parts[name].config, model))
    except (ConfigError, *FAULTS) as error:
        raise CheckpointError(f"{folder}: no part can be made as {CONFIG} says: {error}", code="bad_format") from error
    for name, part in about.parts.items():
        tensors, wanted = read_tensors(inside(folder, part.weights)), _own(model, name)
        check_keys(wanted, tensors, part.weights)
        for key, value in tensors.items():
            wanted[key].copy_(value)
    return model.to(device=place, dtype=kind).eval()


def holds_translator(model: str | Path) -> bool:
    """Whether a shipped name or a folder is one that `load_translator` reads.

    Raises:
        NotFoundError: neither a shipped name nor a folder.
    """
    folder = find(model)
    return is_translator_folder(folder) or is_seamless(folder)


def load_translator(model: str | Path = "mini-translate", *, device: str = "auto", dtype: str = "auto") -> Translator:
    """Read a translator.

    Args:
        model: a shipped name, a folder of ossicle's own, or one in the layout of SeamlessM4T-v2.
        device: "auto" (the first GPU, else the CPU) or a device of torch.
        dtype: "auto" (bfloat16 on a GPU, else float32), "float32", "bfloat16" or "float16".

    Returns:
        The model, in evaluation mode.

    Raises:
        NotFoundError: neither a shipped name nor a folder.
        CheckpointError: the folder is incomplete, holds no translator, or its weights do not match its description.
        RequestError: an unknown ``device`` or ``dtype``.
    """
    folder = find(model)
    if is_seamless(folder):
        place, kind = _place_and_type(device, dtype)
        return load_seamless(folder, device=place, dtype=kind)
    return read_translator(folder, device=device, dtype=dtype)


def verify_translator(model: str | Path) -> int:
    """Read every file of a translator's own folder again and compare it with the hash that was written at save.

    Returns:
        How many files were compared.

    Raises:
        NotFoundError: as `load_translator`.
        CheckpointError: ``hash_mismatch`` for a file that changed, ``incomplete`` for one that is not there,
            ``bad_format`` for a folder of another kind; a published one lists no hashes.
    """
    folder = find(model)
    return check_hashes(folder, describe_translator(folder).files)


def _place_and_type(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """The device, and the type of all weights.

    Raises:
        RequestError: one of them is not known.
    """
    place, kind = place_of(device), dtype
    if dtype == "auto":
        kind = "bfloat16" if place.type == "cuda" else "float32"
    if kind not in DTYPES:
        raise RequestError(f"dtype {dtype!r} is not known: choose one of auto, {', '.join(DTYPES)}")
    return place, DTYPES[kind]


def describe_translator(folder: Path) -> TranslatorDescription:
    """Read and check ``config.json``, and that every file it lists is there with its size.

    Raises:
        CheckpointError: as `ossicle.hub.description.read_description`.
    """
    raw = read_config(folder)
    if raw.get("kind") != KIND:
        raise CheckpointError(f"{folder} holds no translator but {raw.get('kind')!r}", code="bad_format")
    about = validated(TranslatorDescription, raw, folder)
    unknown = sorted(about.parts.keys() - {*CORE, *SPEAKING})
    if unknown or "text_decoder" not in about.parts:
        what = f"unknown parts {', '.join(unknown)}" if unknown else "no text_decoder"
        raise CheckpointError(f"{CONFIG} of {folder} cannot be used: {what}", code="bad_format")
    for name in [TOKENIZER, *(part.weights for part in about.parts.values())]:
        if name not in about.files:
            raise CheckpointError(f"{folder} is incomplete: {CONFIG} lists no file for {name}")
    check_records(folder, about.files)
    return about


def is_translator_folder(path: Path) -> bool:
    """Whether a folder describes itself as one of a translator."""
    try:
        said = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("kind") == KIND


def _held(model: Translator) -> list[str]:
    return [name for name in (*CORE, *SPEAKING) if getattr(model, name) is not None]


def _described(model: Translator, name: str) -> Part:
    weights = f"{name}.safetensors"
    return Part("seamless_m4t_v2", {}, weights) if name in CORE else Part(*described_speaking(model, name), weights)


def _own(model: Translator, name: str) -> dict[str, Any]:
    """The tensors of a part that are its own; the text decoder has the table of tokens for all."""
    part: nn.Module = getattr(model, name)
    twins = {*twins_of(part), *((TIED,) if name == "text_encoder" else ())}
    return {key: value for key, value in part.state_dict().items() if key not in twins}


def _card(model: Translator) -> str:
    n = sum(weight.numel() for weight in model.parameters())
    return f"# {model.name}\n\nA translator of {', '.join(model.languages)} made with ossicle: {n:,} parameters.\n"
