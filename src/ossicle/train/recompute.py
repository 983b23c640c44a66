"""Gradient checkpointing: a layer's activations are thrown away and computed again when its gradient is needed.

Memory for time, for one stage. Knows layers of `transformers`, which do it; does not know what is trained. A frozen LLM
stays in evaluation mode, and its layers too but for the one flag by which they decide whether to be computed twice.
Source: Chen et al. 2016 (sublinear memory).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ossicle.errors import ConfigError
from ossicle.models.audio_lm import AudioLM
from ossicle.train.recipe_stages import Stage


def towers(stage: Stage, model: AudioLM) -> list[PreTrainedModel]:
    """What of a model is computed twice in a stage: its LLM, and its encoder if that is trained.

    Raises:
        ConfigError: one of them cannot do it.
    """
    if not stage.checkpointing:
        return []
    parts: list[Any] = []
    if stage.objective != "hear":
        parts.append(model.llm)
    if "encoder" in stage.trains:
        parts.append(model.encoder)
    found = []
    for part in parts:
        inside = [one for one in part.modules() if isinstance(one, PreTrainedModel)][:1]  # the outermost
        if not inside or not inside[0].supports_gradient_checkpointing:
            raise ConfigError(
                f"stage {stage.name}: a {type(inside[0] if inside else part).__name__} has no gradient checkpointing, "
                "leave out checkpointing"
            )
        found += inside
    return found


@contextmanager
def recomputed(stage: Stage, model: AudioLM) -> Iterator[None]:
    """Inside, the layers of a stage's `towers` are computed twice; afterwards everything is as it was."""
    flags: list[nn.Module] = []
    changed = towers(stage, model)
    for tower in changed:
        tower.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        flags += [one for one in tower.modules() if isinstance(one, GradientCheckpointingLayer) and not one.training]
    for layer in flags:
        layer.training = True  # not `train()`: what is inside keeps its mode
    try:
        yield
    finally:
        for layer in flags:
            layer.training = False
        for tower in changed:
            tower.activation_checkpointing_disable()
