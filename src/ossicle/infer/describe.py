"""What a model is made of, and what this machine offers it.

Knows parts by their promises and packages by their names; reads no model file, and computes only how
audio tokens lie beside embeddings.
"""

import importlib.metadata
import math
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ossicle import __version__
from ossicle.audio.clip import Clip
from ossicle.bridge import calibrate
from ossicle.codec.units import UNIT_HZ
from ossicle.models.audio_lm import AudioLM
from ossicle.translate.translator import Translator

CORE = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "soundfile", "soxr", "pydantic")
EXTRAS = {
    "media": ("av",),
    "train": ("accelerate", "peft", "tensorboard"),
    "eval": ("jiwer", "sacrebleu"),
    "bench": ("pocketsphinx",),
    "world": ("espeakng-loader",),
    "quant": ("bitsandbytes",),
}
PROGRAMS = ("flite", "festival")


def physical_cores() -> int:
    """Cores that this process may use, two hardware threads of one core counted once."""
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return os.cpu_count() or 1
    cores = set()
    for cpu in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.add(siblings.read_text().strip() if siblings.exists() else str(cpu))
    return len(cores)


def environment(wanted: Mapping[str, Sequence[str]] = EXTRAS) -> dict[str, Any]:
    """Versions, extras, devices and voices of this installation; what is missing says how to get it.

    Args:
        wanted: packages of each extra.
    """
    extras = {}
    for extra, packages in wanted.items():
        found = {package: _version(package) for package in packages}
        missing = [package for package, version in found.items() if version is None]
        have = ", ".join(f"{package} {version}" for package, version in found.items() if version)
        extras[extra] = have if not missing else f"missing {', '.join(missing)}: pip install 'ossicle[{extra}]'"
    cuda = torch.cuda.is_available()
    return {
        "ossicle": __version__,
        "python": platform.python_version(),
        "packages": {package: _version(package) or "missing" for package in CORE},
        "extras": extras,
        "programs": {program: "found" if shutil.which(program) else "not found (optional)" for program in PROGRAMS},
        "devices": ["cpu", *(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))]
        if cuda
        else ["cpu"],
        "physical_cores": physical_cores(),
        "threads": torch.get_num_threads(),
    }


def describe(model: AudioLM, clip: Clip | None = None) -> dict[str, Any]:
    """Parts, rates, parameters, context and `calibration` of a model; ``clip`` is what that hears."""
    encoder, bridge = model.encoder, model.bridge
    rate_hz = float(getattr(encoder, "rate_hz", 0.0))
    parts: dict[str, Any] = {
        "name": model.name,
        "pattern": model.pattern,
        "context": model.context,
        "encoder": {
            "kind": type(encoder).__name__,
            "width": encoder.width,
            "sample_rate": encoder.sample_rate,
            "frames_per_s": rate_hz,
            "window_s": encoder.max_samples / encoder.sample_rate,
            "parameters": _parameters(encoder),
        },
        "bridge": {
            "kind": type(bridge).__name__,
            "fixed_rate": bool(getattr(bridge, "fixed_rate", False)),
            "tokens_per_s": bridge.expected_hz(rate_hz) if hasattr(bridge, "expected_hz") else None,
            "parameters": _parameters(bridge),
        },
        "llm": {
            "kind": type(model.llm).__name__,
            "width": model.table.weight.shape[1],
            "vocabulary": model.table.weight.shape[0],
            "parameters": _parameters(model.llm),
        },
    }
    parts["parameters"] = _parameters(model)
    parts["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    parts["device"] = str(model.device)
    parts["calibration"] = calibration(model, clip)
    return parts


def describe_translator(model: Translator) -> dict[str, Any]:
    """Languages, parts, rates and parameters of a translator; a part that it lacks is not told of.

    The table of tokens, which its parts of text share, is counted once, as the part ``tokens``.
    """
    table = model.shared
    parts: dict[str, Any] = {
        "name": model.name,
        "languages": list(model.languages),
        "tokens": {"kind": type(table).__name__, "count": table.num_embeddings, "parameters": _parameters(table)},
    }
    for name, part in model.named_children():
        if name not in ("shared", "lm_head"):
            own = sum(one.numel() for one in part.parameters() if one is not table.weight)
            parts[name] = {"kind": type(part).__name__, **_facts(model, name, part), "parameters": own}
    parts["parameters"] = _parameters(model)
    parts["dtype"] = str(model.dtype).removeprefix("torch.")
    parts["device"] = str(model.device)
    return parts


def _facts(model: Translator, name: str, part: Any) -> dict[str, Any]:
    """What is told of a translator's part beside its kind and size."""
    match name:
        case "speech_encoder":
            rates = {"frames_per_s": model.banks.rate_hz, "tokens_per_s": model.encoded_hz}
            return {"width": model.width, "sample_rate": model.sample_rate, **rates, "window_s": model.max_s}
        case "text_encoder" | "text_decoder":
            return {"width": model.width, "longest_text": model.settings.max_position_embeddings}
        case "unit_decoder":
            return {"units": part.n_units, "units_per_s": UNIT_HZ, "characters": len(part.letters)}
        case "vocoder":
            return {"units": part.n_units, "languages": list(part.languages), "speakers": dict(part.speakers)}
        case "codebook":
            return {"units": part.n_units, "of_layer": part.layer}
        case _:
            return {}


def calibration(model: AudioLM, clip: Clip | None = None) -> dict[str, float | None]:
    """How audio tokens lie beside the embeddings of text: sizes and angles.

    Args:
        model: whose bridge and LLM.
        clip: what is heard, of any length and rate. None is two seconds of quiet noise from a fixed seed, so that no
            file is needed: enough for sizes, while angles mean something only of sound that the model was made for.

    Returns:
        ``median_norm_of_embeddings``, ``median_norm_of_audio_tokens``: median L2 norms.
        ``norm_ratio``: audio over text. Outside 0.5-2 the first blocks of a frozen LLM drown in the tokens or hardly
        see them; one that was trained with them may have learned another size. None where the embeddings have none.
        ``mean_cosine_of_audio_tokens``: over pairs of different tokens. Above 0.9 they have collapsed: all places of
        the clip say the same. None of a clip that gives one token.
        ``nearest_word_cosine``: median over tokens of the largest cosine to any embedding. Random directions get about
        sqrt(2 ln V / E); at or below that the tokens point at no word, which a frozen LLM seldom reads well. Near 1
        each token copies a word.
        ``cosine_of_means``, ``angle_of_means_deg``: between the mean audio token and the mean embedding. Near 0 degrees
        the two clouds lie alike, near 90 each has directions of its own, clearly beyond 90 they are opposed. Where the
        embeddings have no mean to speak of (an untrained LLM) the angle is chance.

    Raises:
        AudioInputError: a clip that gives no audio token, or that is no sound; see `AudioLM.hear`.
    """
    tokens = model.hear([_noise(model.encoder.sample_rate) if clip is None else clip])[0].values.float()
    text = model.embedding_rows()
    wanted, got = calibrate.median_norm(text), calibrate.median_norm(tokens)
    cosine = calibrate.cosine_of_means(tokens, text)
    found = {
        "median_norm_of_embeddings": wanted,
        "median_norm_of_audio_tokens": got,
        "norm_ratio": got / wanted if wanted > 0 else None,
        "mean_cosine_of_audio_tokens": calibrate.mean_cosine(tokens) if len(tokens) > 1 else None,
        "nearest_word_cosine": float(calibrate.nearest_cosines(tokens, text).median()),
        "cosine_of_means": cosine,
        "angle_of_means_deg": math.degrees(math.acos(max(-1.0, min(1.0, cosine)))),
    }
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def _noise(rate: int) -> Clip:
    """Two seconds of quiet noise, always the same."""
    generator = torch.Generator().manual_seed(0)
    return Clip((0.05 * torch.randn(2 * rate, generator=generator)).numpy(), rate)


def _parameters(part: Any) -> int:
    return sum(one.numel() for one in part.parameters()) if isinstance(part, nn.Module) else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
