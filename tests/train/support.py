"""The tiny recipe's model, and samples of the world for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle.audio.clip import Clip
from ossicle.models.audio_lm import AudioLM
from ossicle.tensors import Features, Frames, stacked
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


class Ear(nn.Module):
    """An encoder of one's own at any sample rate: 50 frames a second, each a map of its own samples."""

    width, rate_hz = 16, 50.0

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.sample_rate, self.hop, self.max_samples = rate, rate // 50, 6 * rate
        self.map = nn.Linear(self.hop, self.width)

    def n_frames(self, n_samples: int) -> int:
        return -(-n_samples // self.hop)

    def features(self, clips: Sequence[Clip]) -> Features:
        waves = [clip.at(self.sample_rate).samples for clip in clips]
        rows = [np.pad(wave, (0, self.hop * self.n_frames(len(wave)) - len(wave)))[None] for wave in waves]
        return stacked(rows, [len(wave) for wave in waves], [clip.duration_s for clip in clips])

    def forward(self, features: Features) -> Frames:
        lengths = torch.tensor([self.n_frames(n) for n in features.n_samples.tolist()])
        values = self.map(features.values.reshape(len(lengths), -1, self.hop))
        return Frames(values[:, : int(lengths.max())], lengths, self.rate_hz, features.durations_s)
