"""The tiny recipe's model, and samples of the world for it."""

from pathlib import Path

from ossicle.models.audio_lm import AudioLM
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
