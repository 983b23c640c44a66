"""What a model is made of, and what this machine offers it.

Knows parts by their promises and packages by their names; reads no model file, and computes only how loud
audio tokens are.
"""

import importlib.metadata
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
from ossicle.models.audio_lm import AudioLM

CORE = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "soundfile", "soxr", "pydantic")
EXTRAS = {
    "media": ("av",),
    "train": ("accelerate", "peft", "tensorboard"),
    "eval": ("jiwer",),
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


def describe(model: AudioLM) -> dict[str, Any]:
    """Parts, rates, parameters and context of a model."""
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
    parts["calibration"] = calibration(model)
    return parts


def calibration(model: AudioLM) -> dict[str, float]:
    """How loud audio tokens are beside the embeddings of text: median norms of both.

    The audio is two seconds of quiet noise from a fixed seed, so that no file is needed.
    """
    generator = torch.Generator().manual_seed(0)
    rate = model.encoder.sample_rate
    noise = 0.05 * torch.randn(2 * rate, generator=generator)
    tokens = model.hear([Clip(noise.numpy(), rate)])[0].values
    text = model.embedding_rows().float().norm(dim=1).median()
    return {
        "median_norm_of_embeddings": round(float(text), 4),
        "median_norm_of_audio_tokens": round(float(tokens.float().norm(dim=1).median()), 4),
    }


def _parameters(part: Any) -> int:
    return sum(one.numel() for one in part.parameters()) if isinstance(part, nn.Module) else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
