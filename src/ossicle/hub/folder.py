"""Model folders: an AudioLM to files and back, strictly, in safetensors and JSON.

Knows what a folder holds and how each part is read and written; does not know training or the hub's network. A tied
output head is stored once. Nothing that is on disk is ever unpickled.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from ossicle import __version__
from ossicle.errors import CheckpointError, ConfigError, NotFoundError, RequestError
from ossicle.hub.description import (
    CARD,
    CONFIG,
    FORMAT,
    KIND,
    Description,
    LanguageModel,
    Part,
    Reference,
    check_hash,
    check_hashes,
    digest,
    inside,
    read_description,
    records,
)
from ossicle.hub.own import OWN, own_part
from ossicle.hub.parts import build_bridge, build_encoder, describe
from ossicle.hub.published import FAULTS
from ossicle.hub.quiet import quiet
from ossicle.hub.qwen2_audio import MODEL_TYPE as QWEN2_AUDIO
from ossicle.hub.qwen2_audio import load_qwen2_audio
from ossicle.hub.strict import WEIGHTS, Tensors, as_stored, check_keys, exact_dtype, read_tensors, refuse, weight_files
from ossicle.hub.ultravox import MODEL_TYPE as ULTRAVOX
from ossicle.hub.ultravox import load_ultravox
from ossicle.hub.whole import whole_folder
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import adapter_settings, adapter_tensors, has_lora, read_settings, set_adapter_tensors, wrap

ASSETS = Path(__file__).parents[1] / "assets"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PARTS = ("encoder", "bridge", "llm")


def save(
    model: AudioLM,
    folder: str | Path,
    *,
    card: str | None = None,
    origin: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    exact: Collection[str] = (),
    llm: Reference | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model folder, whole or not at all.

    Args:
        model: a LoRA that is not merged goes to ``adapter/``, beside the LLM's own weights.
        folder: where; its parents are made.
        card: text of ``card.md``; a short description by default.
        origin: what ``origin.json`` tells of where the model comes from; the versions of the packages are added.
        dtype: "float32", "bfloat16" or "float16" for all weights on disk; as they are by default.
        exact: of "encoder", "bridge" and "llm" those whose numbers must stay bit for bit: where ``dtype`` would change
            one, the part is stored in bfloat16, or as it is.
        llm: where the LLM's weights can be found instead of being written once more; only for an LLM whose own weights
            are unchanged, which is pattern "frozen" or a LoRA that is not merged.
        overwrite: replace the model folder that stands there.

    Returns:
        The folder.

    Raises:
        StorageError: the folder stands in the way or cannot be written.
        RequestError: an unknown ``dtype``, or one that has no room for a weight; an unknown name in ``exact``; a
            reference for an LLM that was trained, or none for one in 4 bits.
        ConfigError: a part that files know nothing of.
    """
    if dtype is not None and dtype not in DTYPES:
        raise RequestError(f"dtype {dtype!r} is not known: choose one of {', '.join(DTYPES)}")
    if not {*exact} <= {*PARTS}:
        raise RequestError(f"exact names of {', '.join(PARTS)}, got {', '.join(map(repr, exact))}")
    if llm is not None and not (model.pattern == "frozen" or has_lora(model.llm)):
        raise RequestError(
            f"the LLM was trained (pattern {model.pattern!r}): its weights must be saved, not referred to"
        )
    if llm is None and model.quantized:
        raise RequestError(
            "the LLM is held in 4 bits, which no folder can hold: refer to its weights, save(..., llm=Reference(...))"
        )
    encoder, bridge = (Part(*describe(part), f"{name}.safetensors") for name, part in _modules(model).items())
    about = Description(
        format=FORMAT,
        kind=KIND,
        name=model.name,
        pattern=model.pattern,
        context=model.context,
        encoder=encoder,
        bridge=bridge,
        llm=LanguageModel("causal_lm", {"model_type": model.llm.config.model_type}, "llm" if llm is None else llm),
        adapter="adapter" if has_lora(model.llm) else None,
        clip_text=model.clip_text,
    )
    target = Path(folder)
    replaces = _is_model_folder if overwrite else None
    with whole_folder(target, replaces=replaces, instead="choose another name, or say overwrite=True") as draft:
        asked = None if dtype is None else DTYPES[dtype]
        for name, part in _modules(model).items():
            twins = twins_of(part)
            own = {key: value for key, value in part.state_dict().items() if key not in twins}
            kind = exact_dtype(own.values(), asked) if name in exact else asked
            save_file(stored(own, kind), draft / f"{name}.safetensors", {"format": "pt"})
        if llm is None:
            _save_llm(model.llm, draft / "llm", asked, exact="llm" in exact)
        if about.adapter is not None:
            _save_adapter(model.llm, draft / about.adapter, asked)
        model.tokenizer.save_pretrained(draft)
        (draft / CARD).write_text(_card(model) if card is None else card, encoding="utf-8")
        (draft / "origin.json").write_text(origin_text(origin), encoding="utf-8")
        (draft / CONFIG).write_text(replace(about, files=records(draft)).text(), encoding="utf-8")
    return target


def load(
    model: str | Path = "mini",
    *,
    device: str = "auto",
    dtype: str = "auto",
    parts: Mapping[str, Any] | None = None,
) -> AudioLM:
    """Read a model.

    Args:
        model: a shipped name, a model folder, or a folder in the layout of Qwen2-Audio or Ultravox.
        device: "auto" (the first GPU, else the CPU) or a device of torch.
        dtype: "auto" (bfloat16 on a GPU, else float32), "float32", "bfloat16" or "float16".
        parts: where the model was made with an encoder or a bridge of one's own: "encoder" and "bridge" to
            "FILE.py:CLASS", which runs that file, or to a part that gets the weights. Nothing that a folder names is
            ever run.

    Returns:
        The model, in evaluation mode.

    Raises:
        NotFoundError: neither a shipped name nor a folder.
        CheckpointError: the folder is incomplete, of another format, or its weights do not match its description.
        RequestError: an unknown ``device`` or ``dtype``; a part of one's own that is not given, or one that is given
            and not wanted.
        ConfigError: a part that is given cannot be built.
    """
    place, kind = place_of(device), dtype
    if dtype == "auto":
        kind = "bfloat16" if place.type == "cuda" else "float32"
    if kind not in DTYPES:
        raise RequestError(f"dtype {dtype!r} is not known: choose one of auto, {', '.join(DTYPES)}")
    folder = find(model)
    given = dict(parts or {})
    if not given.keys() <= {"encoder", "bridge"}:
        raise RequestError(f"parts are encoder and bridge, got {', '.join(map(repr, given))}")
    layout = layout_of(folder)
    if layout is not None:
        if given:
            raise _unwanted(next(iter(given)))
        loaded = load_ultravox(folder) if layout == ULTRAVOX else load_qwen2_audio(folder)
        return loaded.to(device=place, dtype=DTYPES[kind])
    about = read_description(folder)
    own: dict[str, Any] = {
        name: own_part(name, said, given.pop(name, None))
        for name, said in (("encoder", about.encoder), ("bridge", about.bridge))
        if said.kind == OWN
    }
    if given:
        raise _unwanted(next(iter(given)))
    try:
        encoder = own["encoder"] if "encoder" in own else build_encoder(about.encoder.kind, about.encoder.config)
        bridge = own["bridge"] if "bridge" in own else build_bridge(about.bridge.kind, about.bridge.config)
    except (ConfigError, *FAULTS) as error:
        raise CheckpointError(f"{folder}: no part can be made as {CONFIG} says: {error}", code="bad_format") from error
    for part, said in ((encoder, about.encoder), (bridge, about.bridge)):
        _load_part(part, folder, said.weights)
    llm = _load_llm(folder, about.llm.weights, DTYPES[kind])
    tokenizer = _load_tokenizer(folder)
    try:
        made = AudioLM(
            encoder,
            bridge,
            llm,
            tokenizer,
            context=about.context,
            pattern=about.pattern,
            name=about.name,
            clip_text=about.clip_text,
        )
    except ConfigError as error:
        raise CheckpointError(f"{folder}: {error}", code="bad_format") from error
    if about.adapter is not None:
        _load_adapter(made, inside(folder, about.adapter))
    return made.to(device=place, dtype=DTYPES[kind]).eval()


def _unwanted(name: str) -> RequestError:
    return RequestError(
        f"the {name} of this model is one of ossicle's: leave it out of parts, or set your own on the model "
        "that load gives"
    )


def layout_of(folder: Path) -> str | None:
    """The published layout of a folder, by the ``model_type`` of its config; None for a folder of ours, or none."""
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # `read_description` tells what is wrong
        return None
    kind = said.get("model_type") if isinstance(said, dict) and "format" not in said else None
    return kind if kind in (QWEN2_AUDIO, ULTRAVOX) else None


def verify(model: str | Path) -> int:
    """Read every file of a model folder again and compare it with the hash that was written at save.

    Returns:
        How many files were compared.

    Raises:
        NotFoundError: as `load`.
        CheckpointError: ``hash_mismatch`` for a file that changed, ``incomplete`` for one that is not there,
            ``bad_format`` for a folder that holds no AudioLM of ours.
    """
    folder = find(model)
    about = read_description(folder)
    n, referred = check_hashes(folder, about.files), about.llm.weights
    if isinstance(referred, Reference) and referred.sha256 is not None:
        check_hash(referred.repo, _referred_hash(referred), referred.sha256)
        n += 1
    return n


def refer(source: str) -> Reference:
    """Where the weights of a published LLM lie: a folder, or a hub id with the revision that is on this machine; with
    their hash, where they are safetensors."""
    if Path(source).is_dir():
        found = Reference(str(Path(source).resolve()))
    else:
        held = _cached(source, None)
        found = Reference(source, revision=None if held is None else held.name)
    try:
        return replace(found, sha256=_referred_hash(found))
    except CheckpointError:
        return found


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in ASSETS.glob(f"*/{CONFIG}"))


def find(model: str | Path) -> Path:
    """The folder of a shipped name or a path.

    Raises:
        NotFoundError: it is neither.
    """
    if model in shipped():
        return ASSETS / model
    if Path(model).is_dir():
        return Path(model)
    raise NotFoundError(
        f"there is no model {str(model)!r}: give a model folder, or one of {', '.join(shipped()) or '-'}"
    )


def _modules(model: AudioLM) -> dict[str, Any]:
    return {"encoder": model.encoder, "bridge": model.bridge}


def _is_model_folder(path: Path) -> bool:
    return (path / CONFIG).is_file()


def place_of(device: str) -> torch.device:
    """The device that a name means; "auto" is the first GPU, else the CPU.

    Raises:
        RequestError: there is none of that name.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if device != "meta":  # it holds no numbers
            return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise RequestError(f"there is no device {device!r} here: choose auto, cpu, cuda or cuda:N") from error
    raise RequestError(f"there is no device {device!r} here: choose auto, cpu, cuda or cuda:N")


def stored(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype | None) -> Tensors:
    """Tensors as they go to disk: on the CPU, contiguous, cast; two names of one tensor stay two names of one."""
    seen: dict[tuple[Any, ...], torch.Tensor] = {}
    found = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        if key not in seen:
            value = as_stored(name, tensor, dtype)
            piece = value.untyped_storage().nbytes() > value.numel() * value.element_size()
            seen[key] = value.clone() if piece else value  # no two names may share memory but as twins
        found[name] = seen[key]
    return found


def _save_llm(llm: Any, folder: Path, dtype: torch.dtype | None, *, exact: bool) -> None:
    """The LLM's own weights, without a LoRA, as `transformers` writes them."""
    own = llm.get_base_model() if has_lora(llm) else llm
    tensors = {
        name.replace(".base_layer.", "."): tensor for name, tensor in own.state_dict().items() if "lora_" not in name
    }
    dtype = exact_dtype(tensors.values(), dtype) if exact else dtype
    with quiet():
        own.save_pretrained(folder, state_dict=stored(tensors, dtype))
    if dtype is not None:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        settings["dtype"] = str(dtype).removeprefix("torch.")
        (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _save_adapter(llm: Any, folder: Path, dtype: torch.dtype | None) -> None:
    folder.mkdir()
    adapter_settings(llm).save_pretrained(folder)
    save_file(stored(adapter_tensors(llm), dtype), folder / "adapter_model.safetensors", {"format": "pt"})


def _load_part(part: nn.Module, folder: Path, name: str) -> None:
    tensors, twins = read_tensors(inside(folder, name)), twins_of(part)
    check_keys({key: value for key, value in part.state_dict().items() if key not in twins}, tensors, name)
    part.load_state_dict(tensors | {key: tensors[first] for key, first in twins.items()})


def twins_of(part: nn.Module) -> dict[str, str]:
    """Names of tensors that are another's too, such as of tied weights, to that other's name: files hold each once."""
    first: dict[tuple[Any, ...], str] = {}
    twins = {}
    for name, value in part.state_dict().items():
        key = (value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else (name,)
        if first.setdefault(key, name) != name:
            twins[name] = first[key]
    return twins


def _load_llm(folder: Path, weights: str | Reference, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    options["trust_remote_code"] = False  # else a folder that brings code makes `transformers` ask on the terminal
    source: str | Path
    if isinstance(weights, Reference):
        source = weights.repo
        options |= {} if weights.revision is None else {"revision": weights.revision}
    else:
        source = inside(folder, weights)
        options["local_files_only"] = True
    try:
        with quiet():
            llm, found = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **options)
    except SafetensorError as error:
        raise CheckpointError("the LLM's weights are damaged: they are not safetensors", code="bad_format") from error
    except RuntimeError as error:
        raise CheckpointError("llm does not match: weights of another shape", code="key_mismatch") from error
    except FAULTS as error:
        what = f"referred to as {weights.repo!r}" if isinstance(weights, Reference) else "in the folder"
        raise CheckpointError(
            f"the LLM {what} cannot be read: is it there, and of a kind that transformers knows?"
        ) from error
    refuse("llm", sorted(found["missing_keys"]), sorted(found["unexpected_keys"]), [])
    for weight in llm.parameters():
        weight.data = weight.data.clone()  # out of the mapped file into aligned memory, where sums round as before
    return llm


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    try:
        with quiet():
            return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # `tokenizers` raises nothing more special
        raise CheckpointError(f"the tokenizer of {folder} cannot be read: {error}", code="bad_format") from error


def _load_adapter(model: AudioLM, folder: Path) -> None:
    tensors = read_tensors(folder / "adapter_model.safetensors")
    try:
        wrap(model, read_settings(folder))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"the adapter in {folder} cannot be read: {error}", code="bad_format") from error
    check_keys(adapter_tensors(model.llm), tensors, "adapter")
    set_adapter_tensors(model.llm, tensors)


def _referred_hash(weights: Reference) -> str:
    """Hash of the weights that a reference means: of their one file, or of the names and hashes of several.

    Raises:
        CheckpointError: they are not on this machine.
    """
    folder = Path(weights.repo)
    if not folder.is_dir():
        folder = _cached(weights.repo, weights.revision) or folder
    try:
        if (folder / WEIGHTS).is_file():
            return digest(folder / WEIGHTS)
        told = "".join(f"{name} {digest(folder / name)}\n" for name in weight_files(folder))
    except OSError as error:
        raise CheckpointError(
            f"{WEIGHTS} of {weights.repo!r} is not on this machine, so nothing was compared"
        ) from error
    return hashlib.sha256(told.encode()).hexdigest()


def _cached(repo: str, revision: str | None) -> Path | None:
    """The folder of a hub id in the cache of this machine, which is named after its revision."""
    try:
        path = try_to_load_from_cache(repo, CONFIG, revision=revision)
    except ValueError:  # no hub id, such as a folder that is gone
        return None
    return Path(path).parent if isinstance(path, str) else None


def _card(model: AudioLM) -> str:
    n = sum(weight.numel() for weight in model.parameters())
    return f"# {model.name}\n\nAn audio language model made with ossicle: {n:,} parameters, pattern {model.pattern}.\n"


def origin_text(origin: Mapping[str, Any] | None) -> str:
    """The text of ``origin.json``: what is told, and the versions of the packages."""
    versions = {"ossicle": __version__, **{name: version(name) for name in ("torch", "transformers")}}
    return json.dumps({"versions": versions, **(origin or {})}, indent=2, sort_keys=True) + "\n"
