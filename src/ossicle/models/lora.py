"""LoRA on the LLM of an AudioLM: a small trainable addition to frozen weights (pattern 2), until it is merged.

Knows which linear layers are meant and PEFT, which is an optional extra; does not know training or files. Encoder and
bridge never get one, whatever their layers are called: only the LLM is wrapped.
Source: Hu et al. 2021; all linear layers of a block, as QLoRA found to be needed (Dettmers et al. 2023).
"""

import re
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ossicle.errors import ConfigError, DependencyError
from ossicle.models.audio_lm import AudioLM


def has_lora(llm: Any) -> bool:
    """Whether an LLM carries a LoRA that is not merged."""
    return hasattr(llm, "merge_and_unload")


def add_lora(
    model: AudioLM, r: int, *, targets: str | None = None, alpha: float | None = None, dropout: float = 0.0
) -> None:
    """Put a LoRA on the model's LLM, in place; the LLM's own weights freeze and the pattern becomes "lora".

    Args:
        model: its encoder and bridge stay as they are.
        r: rank, >= 1.
        targets: a regular expression that the end of a layer's name must match, such as "q_proj|v_proj" or
            "layers.[0-3].mlp.*"; all linear layers but the head by default.
        alpha: the addition is scaled by ``alpha / r``; 2 r by default.
        dropout: on the input of the addition, in training.

    Raises:
        ConfigError: ``r`` < 1, a LoRA that is there already, no linear layer, or none that ``targets`` matches.
        DependencyError: PEFT is not installed.
    """
    if r < 1:
        raise ConfigError(f"a LoRA needs a rank of at least 1, got {r}")
    if has_lora(model.llm):
        raise ConfigError("the LLM has a LoRA already: merge it before adding another")
    peft = _peft()
    settings = peft.LoraConfig(
        r=r,
        lora_alpha=2 * r if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=target_layers(model.llm, targets),
        task_type="CAUSAL_LM",
    )
    wrap(model, settings)


def target_layers(llm: Any, targets: str | None) -> list[str]:
    """Names of the LLM's linear layers, without its head, whose ends a regular expression matches; None matches all.

    Raises:
        ConfigError: there is none, or ``targets`` is no regular expression.
    """
    head = llm.get_output_embeddings()
    linear = [name for name, module in llm.named_modules() if isinstance(module, nn.Linear) and module is not head]
    try:
        wanted = re.compile(rf"(.*\.)?({'.*' if targets is None else targets})")
    except re.error as error:
        raise ConfigError(f"lora_targets is no regular expression: {targets!r} ({error})") from error
    found = [name for name in linear if wanted.fullmatch(name)]
    if not found:
        kinds = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none at all"
        what = "to put a LoRA on" if targets is None else f"that lora_targets {targets!r} matches"
        raise ConfigError(f"the LLM has no linear layer {what}: those of a {type(llm).__name__} are {kinds}")
    return found


def wrap(model: AudioLM, settings: Any) -> None:
    """Put the LoRA of a ``peft.LoraConfig`` on the model's LLM, in place.

    Raises:
        ConfigError: the LLM has none of the target layers.
    """
    try:
        model.llm = _peft().get_peft_model(model.llm, settings)
    except ValueError as error:
        raise ConfigError(
            f"the LLM has no layer of the names that the LoRA is for: {settings.target_modules}"
        ) from error
    model.pattern = "lora"


def merge_lora(model: AudioLM) -> None:
    """Add the LoRA to the LLM's weights, in place, and take it off.

    Raises:
        ConfigError: there is none.
    """
    if not has_lora(model.llm):
        raise ConfigError("the LLM has no LoRA to merge")
    model.llm = model.llm.merge_and_unload()


def adapter_tensors(llm: Any) -> dict[str, torch.Tensor]:
    """The weights of the LoRA alone, by the names that PEFT gives them in files."""
    tensors: dict[str, torch.Tensor] = _peft().get_peft_model_state_dict(llm, save_embedding_layers=False)
    return tensors


def set_adapter_tensors(llm: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Give the LoRA these weights; names and shapes must be those of `adapter_tensors`."""
    _peft().set_peft_model_state_dict(llm, tensors)


def adapter_settings(llm: Any) -> Any:
    """The ``peft.LoraConfig`` of the LoRA, without the path from which the LLM came."""
    settings = copy(llm.peft_config["default"])
    settings.base_model_name_or_path = None
    if isinstance(settings.target_modules, set):
        settings.target_modules = sorted(settings.target_modules)  # a set would be written in another order each time
    return settings


def read_settings(folder: Path) -> Any:
    """The ``peft.LoraConfig`` that lies in an adapter's folder."""
    return _peft().LoraConfig.from_pretrained(folder)


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise DependencyError("a LoRA needs PEFT: pip install 'ossicle[train]'") from error
    return peft
