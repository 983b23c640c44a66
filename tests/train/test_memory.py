"""Bytes: what is counted is what the real thing takes."""

import multiprocessing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import nn

from ossicle.train.answers import Answer
from ossicle.train.hear import Hear
from ossicle.train.memory import STEP_BYTES, Bytes, kept_by_part, part_bytes
from ossicle.train.objectives import Batch, Objective
from ossicle.train.stage import enter, new_optimizer, objective_of, set_trainable, source_of
from ossicle.train.weights import dump_optimizer

from .support import items, tiny_model, tiny_recipe


def total_bytes(values: object) -> int:
    return sum(value.numel() * value.element_size() for value in values)


def batch_of(objective: Objective, n: int = 3) -> Batch:
    return objective.collate(items(objective, n, "count"))


@pytest.mark.parametrize("stage", [0, 2, 3])
@pytest.mark.parametrize("muon", ["false", "true"])
def test_weights_gradients_and_optimiser_are_the_real_ones(stage: int, muon: str) -> None:
    names = ("hear", "tell", "connect", "tune")
    recipe, model = tiny_recipe(f"{names[stage]}.optimizer.muon={muon}"), tiny_model()
    hear = Hear(model.encoder)
    objective = objective_of(recipe.stages[stage], model, hear)
    enter(recipe, stage, model, objective, source_of(recipe, stage, None))
    trained = set_trainable(recipe.stages[stage], model, objective)
    optimizer = new_optimizer(recipe.stages[stage], model, objective, trained)
    counted = part_bytes(model, objective.heads, optimizer, {"llm": 5})
    objective.loss(model, batch_of(objective))[0].backward()
    for value in trained:
        value.grad = torch.zeros_like(value) if value.grad is None else value.grad
    optimizer.step()
    heads = list(objective.heads.parameters())
    real = total_bytes([*model.parameters(), *model.buffers(), *heads, *objective.heads.buffers()])
    assert sum(one.weights for one in counted.values()) == real
    assert sum(one.gradients for one in counted.values()) == total_bytes(value.grad for value in trained)
    assert sum(one.optimiser for one in counted.values()) == total_bytes(dump_optimizer(optimizer).values())
    assert counted["llm"].activations == 5 and counted["encoder"].activations == 0
    assert ("heads" in counted) == (stage != 2)


class Squares(nn.Module):
    """A part that keeps its input, of a known size, twice: once as it is and once as its square."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.square() + x.square()).exp()


def test_what_autograd_keeps_counts_once_and_to_its_part() -> None:
    model = tiny_model()
    model.bridge = Squares()
    with kept_by_part(model, nn.Identity()) as kept:
        x = torch.zeros(10, 10, requires_grad=True)
        y = model.bridge(x)  # keeps x, and its own output
        z = torch.sigmoid(y)  # outside of the parts: keeps its output
        w = z @ model.table.weight[:10, :10]  # keeps z again, and a weight, which is none of this
    assert sorted(kept.values()) == [("bridge", 400), ("bridge", 400), ("llm", 400)]
    assert w.requires_grad and Bytes(1, 2, 3, 4).total == 10 and STEP_BYTES == 4
    model.bridge(x)
    assert len(kept) == 3  # nothing counts any longer


def test_a_frozen_part_keeps_nothing() -> None:
    model, recipe = tiny_model(), tiny_recipe()
    objective = Answer(model)
    set_trainable(recipe.stages[2], model, objective)
    with kept_by_part(model, objective.heads) as kept:
        loss = objective.loss(model, batch_of(objective))[0]
    parts = {part for part, _ in kept.values()}
    assert parts == {"bridge", "llm"} and loss.requires_grad


def _peak(connection: Connection, width: int) -> None:
    """In a process of its own: the estimate of a step, and how far the process grew over one."""
    torch.set_num_threads(1)
    wide = (f"parts.llm={{width: {width}, layers: 4, heads: 4, kv_heads: 2, ffn: {4 * width}, context: 600}}",)
    recipe, model = tiny_recipe(*wide), tiny_model(*wide)
    stage = replace(recipe.stages[2], trains=("bridge", "llm"))
    objective = Answer(model)
    trained = set_trainable(stage, model, objective)
    optimizer = new_optimizer(stage, model, objective, trained)
    batch = batch_of(objective, 12)
    objective.loss(model, batch_of(objective, 1))  # the libraries' own memory is there
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for _ in range(2):
        objective.loss(model, batch)[0].backward()
        optimizer.step()
    grown = _status("VmHWM") - before
    sizes = {}
    with kept_by_part(model, objective.heads) as kept:
        loss = objective.loss(model, batch)[0]
    for part, n in kept.values():
        sizes[part] = sizes.get(part, 0) + n
    counted = part_bytes(model, objective.heads, optimizer, sizes)
    working = 2 * max(n for _, n in kept.values())
    connection.send((sum(one.total - one.weights for one in counted.values()) + working, grown, loss.item()))


def _status(key: str) -> int:
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(key + ":"))
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells no peak")
def test_the_estimate_is_near_what_a_process_grows_by() -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_peak, args=(theirs, 192))
    child.start()
    assert ours.poll(300)
    estimate, measured, _ = ours.recv()
    child.join()
    assert 0.6 < estimate / measured < 1.4, (estimate, measured)
