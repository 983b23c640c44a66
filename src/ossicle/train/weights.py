"""Weights and optimiser states as named tensors, copied strictly.

Knows tensors and names; does not know files.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from ossicle.errors import CheckpointError

SAMPLED = 2**18
"""Numbers of a tensor that a fingerprint looks at; of larger tensors evenly strided ones, so that a large LLM takes
seconds."""


def dump_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """The inverse of `dump_optimizer`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_named(ours: dict[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    """Copy weights by name, strictly.

    Raises:
        CheckpointError: ``key_mismatch`` with the names that only one side has, or whose shapes differ.
    """
    odd = sorted(set(ours) ^ set(theirs))
    if odd:
        raise CheckpointError(f"the checkpoint does not fit the model: {', '.join(odd[:5])}", code="key_mismatch")
    shapes = [name for name, value in ours.items() if value.shape != theirs[name].shape]
    if shapes:
        raise CheckpointError(
            f"the checkpoint does not fit the model: other shapes of {', '.join(shapes[:5])}", code="key_mismatch"
        )
    with torch.no_grad():
        for name, value in ours.items():
            value.copy_(theirs[name])


def fingerprint(module: nn.Module) -> str:
    """Digest of a module's weights by which another training of them is told; not proof against a single number that
    was changed in a tensor of more than `SAMPLED`."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        flat = value.detach().reshape(-1)
        flat = flat[:: -(-len(flat) // SAMPLED) or 1].cpu().contiguous()
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]
