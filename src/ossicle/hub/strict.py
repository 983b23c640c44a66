"""Tensors to files and from them, strictly: a name, a shape or a number that does not match is an error.

Knows safetensors and names; does not know what the tensors are for.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ossicle.errors import CheckpointError, RequestError

Tensors = dict[str, torch.Tensor]
WEIGHTS = "model.safetensors"
"""The file with a published model's weights, where they are not many."""


def read_tensors(path: Path) -> Tensors:
    """Every tensor of a safetensors file.

    Raises:
        CheckpointError: it cannot be read, or is damaged.
    """
    try:
        return load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: is it there, and may you?") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path.name} is damaged: it is not safetensors", code="bad_format") from error


def weight_files(folder: Path) -> list[str]:
    """Names of the files with a folder's weights: one, or all that an index names.

    Raises:
        CheckpointError: an index that cannot be read.
    """
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file():
        return [WEIGHTS]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} cannot be read: does it map names to files?", code="bad_format") from error


def as_stored(name: str, tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """A tensor as it goes to disk: on the CPU, contiguous, in ``dtype`` if it holds floats (None: its own).

    Raises:
        RequestError: ``dtype`` has no room for a number of the tensor.
    """
    whole = tensor.detach().cpu()
    got = whole.to(dtype if whole.is_floating_point() else None).contiguous()
    lost = whole.isfinite() & ~got.isfinite() if got.dtype != whole.dtype else None
    if lost is not None and lost.any():
        most, kind = float(whole[lost].abs().max()), str(got.dtype).removeprefix("torch.")
        raise RequestError(
            f"{name} holds {most:g}, the most that {kind} holds is {torch.finfo(got.dtype).max:g}: store it as "
            "bfloat16 or float32"
        )
    return got


def exact_dtype(tensors: Iterable[torch.Tensor], dtype: torch.dtype | None) -> torch.dtype | None:
    """The first of ``dtype`` and bfloat16 that changes no number of the tensors; None (as they are) if both do."""
    floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
    for kind in (dtype, torch.bfloat16):
        if kind is None or all(torch.equal(tensor.to(kind).to(tensor.dtype), tensor) for tensor in floats):
            return kind
    return None


def check_keys(want: Mapping[str, torch.Tensor], got: Mapping[str, torch.Tensor], name: str) -> None:
    """Refuse tensors ``got`` that are not, by name and shape, those of ``want``.

    Raises:
        CheckpointError: ``key_mismatch``, with the names.
    """
    shapes = [key for key in sorted(want.keys() & got.keys()) if want[key].shape != got[key].shape]
    refuse(name, sorted(want.keys() - got.keys()), sorted(got.keys() - want.keys()), shapes)


def refuse(name: str, missing: list[str], leftover: list[str], shapes: list[str]) -> None:
    """Raise if any list names a weight."""
    faults = [
        f"{what} {', '.join(keys[:8])}{f' and {len(keys) - 8} more' if len(keys) > 8 else ''}"
        for what, keys in (("missing", missing), ("left over", leftover), ("of another shape", shapes))
        if keys
    ]
    if faults:
        raise CheckpointError(f"{name} does not match its description: {'; '.join(faults)}", code="key_mismatch")
