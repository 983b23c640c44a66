"""Gradient checkpointing: the same gradients, computed twice, and off again after the stage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from models.tiny import FAMILIES, noise, tiny_model
from torch import nn
from transformers import Qwen2ForCausalLM

from ossicle.errors import ConfigError
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora
from ossicle.train.answers import Answer
from ossicle.train.objectives import Batch
from ossicle.train.recipe_stages import Budget, Stage
from ossicle.train.recompute import recomputed, towers
from ossicle.train.sources import Sample
from ossicle.train.stage import set_trainable

PLAIN = Stage("s", "answer", ("encoder", "bridge", "llm"), Budget(1, 1))
TWICE = replace(PLAIN, checkpointing=True)


def flags(model: AudioLM) -> list[bool]:
    return [one.gradient_checkpointing for one in model.modules() if hasattr(one, "gradient_checkpointing")]


class Counter:
    """How often the first layer of an LLM is computed, by its first matrix."""

    def __init__(self, model: AudioLM) -> None:
        self.n = 0
        layer = next(one for name, one in model.llm.named_modules() if name.endswith("layers.0.mlp.up_proj"))
        layer.register_forward_hook(self.count)

    def count(self, *_: Any) -> None:
        self.n += 1


def batch_for(model: AudioLM) -> Batch:
    objective = Answer(model)
    samples = [Sample(noise(0.4 + i / 5, seed=i).samples, "What is said?", "hello", "own") for i in range(2)]
    return objective.collate([objective.item(sample, np.random.default_rng(0)) for sample in samples])


def gradients(model: AudioLM, stage: Stage) -> tuple[dict[str, torch.Tensor], int]:
    """The gradients of one batch by name, and how often the LLM's first layer was computed."""
    set_trainable(stage, model, Answer(model))
    counter = Counter(model)
    modes = [one.training for one in model.modules()]
    with recomputed(stage, model):
        assert all(flags(model)) == stage.checkpointing or "encoder" not in stage.trains
        Answer(model).loss(model, batch_for(model))[0].backward()
    assert [one.training for one in model.modules()] == modes
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}, counter.n


@pytest.mark.parametrize("trains", [("encoder", "bridge", "llm"), ("bridge", "lora"), ("bridge",)], ids="-".join)
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_without(family: str, trains: Any) -> None:
    found = []
    for stage in (replace(PLAIN, trains=trains), replace(TWICE, trains=trains)):
        model = tiny_model(family, pattern="frozen" if trains == ("bridge",) else "full")
        if "lora" in trains:
            torch.manual_seed(0)
            add_lora(model, 2)
        found.append(gradients(model, stage))
        assert not any(flags(model))  # off again
    (plain, once), (again, twice) = found
    assert (once, twice) == (1, 2)
    assert plain.keys() == again.keys() and plain
    for name, value in plain.items():
        torch.testing.assert_close(again[name], value, atol=1e-6, rtol=1e-5)


def test_an_error_inside_leaves_nothing_on() -> None:
    model = tiny_model()
    with pytest.raises(ZeroDivisionError), recomputed(TWICE, model):
        raise ZeroDivisionError
    assert not any(flags(model))


class Cannot(Qwen2ForCausalLM):
    """A published class that never learned to compute its layers twice."""

    supports_gradient_checkpointing = False


class Own(nn.Module):
    """An encoder of one's own, made of nothing published."""


def test_what_cannot_do_it_is_named() -> None:
    model = tiny_model()
    assert towers(PLAIN, model) == [] and len(towers(TWICE, model)) == 2
    assert towers(replace(TWICE, trains=("bridge",)), model) == [model.llm]
    assert towers(replace(TWICE, objective="hear", trains=("encoder",)), model) == [model.encoder.tower]
    model.encoder = Own()
    with pytest.raises(ConfigError, match="stage s: a Own has no gradient checkpointing, leave out checkpointing"):
        towers(TWICE, model)
    model.llm = Cannot(model.llm.config)
    with pytest.raises(ConfigError, match="stage s: a Cannot has no gradient checkpointing"):
        towers(TWICE, model)
