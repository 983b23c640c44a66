"""The tiny recipe's model, and samples of the world for it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ossicle.models.audio_lm import AudioLM
from ossicle.train.hear import Hear
from ossicle.train.objectives import Objective
from ossicle.train.parts import build
from ossicle.train.recipe import Recipe, read_recipe
from ossicle.train.sources import Sample, World

TINY = Path(__file__).with_name("tiny.yaml")


def tiny_recipe(*overrides: str) -> Recipe:
    return read_recipe(TINY, overrides)


def tiny_model(*overrides: str) -> AudioLM:
    return build(tiny_recipe(*overrides).parts, name="tiny", seed=3).eval()


def samples(n: int, task: str, *, dry: bool = False) -> list[Sample]:
    world = World(1, 0, "train", {task: 1.0}, dry=dry)
    return [world.sample(i) for i in range(n)]


MODEL = tiny_model()
RNG = np.random.default_rng


def tiny_hear(seed: int = 0) -> Hear:
    torch.manual_seed(seed)
    return Hear(MODEL.encoder)


def items(objective: Objective, n: int, task: str, **kind: Any) -> list[Any]:
    return [objective.item(sample, RNG(i)) for i, sample in enumerate(samples(n, task, **kind))]
