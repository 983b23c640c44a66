"""Bytes of training, counted part by part: weights, gradients, optimiser state, and what autograd keeps of a batch.

Knows modules, optimisers and autograd's hooks; does not know data or stages. Counted on the real thing, so that no
table of layers has to be kept true.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ossicle.models.audio_lm import AudioLM

STEP_BYTES = 4
"""A float32 step count that AdamW keeps beside the moments of every tensor."""


@dataclass(frozen=True)
class Bytes:
    """Memory of one part of the model in one stage; what libraries and allocators take besides is in none of it.

    Args:
        weights: of all its parameters and buffers, as they lie in memory (float32 throughout training).
        gradients: as much as the weights that the stage trains.
        optimiser: two moments and a step count of 4 bytes for each weight tensor that AdamW moves, one moment for each
            that Muon moves.
        activations: what autograd keeps for the backward pass of the largest batch that was drawn, each storage once
            and weights not at all, times the batches that are computed side by side.
    """

    weights: int = 0
    gradients: int = 0
    optimiser: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimiser + self.activations


def parts_of(model: AudioLM, heads: nn.Module) -> dict[str, nn.Module]:
    """What memory is counted by."""
    return {**dict(model.named_children()), "heads": heads}


def part_bytes(
    model: AudioLM, heads: nn.Module, optimizer: torch.optim.Optimizer, activations: dict[str, int]
) -> dict[str, Bytes]:
    """Memory of each part that has any.

    Args:
        model: with gradients asked for as the stage trains it.
        heads: what is trained beside it.
        optimizer: of `ossicle.train.stage.new_optimizer`.
        activations: by part, from `kept_by_part`.
    """
    state: dict[int, int] = {}
    for group in optimizer.param_groups:
        for value in group["params"]:
            size = value.numel() * value.element_size()
            state[id(value)] = 2 * size + STEP_BYTES if group["block"] is None else size
    found = {}
    for name, part in parts_of(model, heads).items():
        weights = list(part.parameters())
        found[name] = Bytes(
            weights=sum(_size(value) for value in [*weights, *part.buffers()]),
            gradients=sum(_size(value) for value in weights if value.requires_grad),
            optimiser=sum(state.get(id(value), 0) for value in weights),
            activations=activations.get(name, 0),
        )
    return {name: one for name, one in found.items() if one.total}


@contextmanager
def kept_by_part(model: AudioLM, heads: nn.Module) -> Iterator[dict[int, tuple[str, int]]]:
    """Count what autograd keeps of a forward pass in this thread: part and bytes of each storage, by its address.

    What is computed between the parts (the splice, the loss) counts to the LLM, whose logits it is about. The graph
    must live as long as what is counted, or an address could come again.
    """
    kept: dict[int, tuple[str, int]] = {}
    here = threading.local()
    parts = parts_of(model, heads)
    weights = {value.untyped_storage().data_ptr() for part in parts.values() for value in part.parameters()}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept.setdefault(storage.data_ptr(), (getattr(here, "part", "llm"), storage.nbytes()))
        return value

    def into(name: str) -> Any:
        def enter(_module: nn.Module, _arguments: Any) -> None:
            here.part = name

        return enter

    def leave(*_: Any) -> None:
        here.part = "llm"

    handles = [part.register_forward_pre_hook(into(name)) for name, part in parts.items()]
    handles += [part.register_forward_hook(leave) for part in parts.values()]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            yield kept
    finally:
        for handle in handles:
            handle.remove()


def _size(value: torch.Tensor) -> int:
    return value.numel() * value.element_size()
