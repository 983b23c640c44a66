"""Tensors from files, and names that must match: what is missing, left over or of another shape is an error.

Knows safetensors and names; does not know what the tensors are for.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ossicle.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


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
