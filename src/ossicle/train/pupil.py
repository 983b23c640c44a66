"""Who is taught, as the loop knows it: a model of some kind behind one promise.

The loop asks a pupil for everything that depends on the kind of its model, so that there is one loop. Knows what a kind
of model needs before, between and after stages; does not know steps or checkpoints.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ossicle.data.check import Checked, Longest
from ossicle.train.objectives import Objective
from ossicle.train.recipe_stages import Data, Stage
from ossicle.train.sources import Source


class Pupil(Protocol):
    """A model with what its kind needs; the loop knows nothing else of it."""

    model: Any

    @property
    def lasting(self) -> nn.Module | None:
        """What is trained beside the model through several stages, and thrown away at the end."""

    def to(self, device: torch.device) -> None:
        """Move everything to a device, before the first step."""

    def named(self) -> dict[str, torch.Tensor]:
        """All that the run may change of the model, by name: what a checkpoint holds."""

    def fingerprints(self) -> dict[str, str]:
        """Of what no stage trains, by name, the tokenizer too: no checkpoint holds it."""

    def check(self, data: str | None) -> list[Checked | None]:
        """Each stage's manifest gone through; None for a stage of the world."""

    def source(self, index: int, data: str | None, *, without: Collection[int] = ()) -> Source:
        """The samples of a stage."""

    def longest(self, data: Data) -> Longest:
        """The longest clip of a stage."""

    def look_at(self, index: int) -> None:
        """Whether a stage can be taught at all, before hours of the stages ahead of it.

        Raises:
            ConfigError: it cannot.
        """

    def prepared(self, index: int, source: Source, *, begun: bool, folder: Path, precision: str) -> Objective:
        """What a stage trains, with all that has to be there before its first step; ``begun`` where that was done."""

    def trained(self, stage: Stage, objective: Objective) -> list[nn.Parameter]:
        """Let a stage's weights take gradients and no others; returns those that do."""

    def optimizer(self, stage: Stage, objective: Objective, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of a stage."""

    def recomputed(self, stage: Stage) -> AbstractContextManager[None]:
        """Inside, what the stage says is computed twice instead of kept."""

    def resumed(self, stage: Stage, *, begun: bool, done: bool) -> None:
        """Make the model the one whose weights a checkpoint holds; ``begun``: inside the stage, ``done``: after all."""

    def left(self, stage: Stage) -> None:
        """What happens once, after a stage's last step."""

    def kept_after(self, stage: Stage) -> bool:
        """Whether the model after a stage is worth a folder of its own."""

    def save(self, folder: Path, stages: tuple[Stage, ...], origin: Mapping[str, Any]) -> None:
        """Write the model's folder, after these stages."""

    def score(self, folder: Path, out: Path, data: str | None, without: Collection[int]) -> None:
        """Score the finished model on what was held out, if anything was."""
