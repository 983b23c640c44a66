"""What is trained, as the loop knows it: items, batches and losses behind one promise.

Knows samples and models by name; does not know which objectives there are. An objective makes an item of a sample and
a batch of items (in a worker process), and a loss of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from ossicle.bridge.own import Letters
from ossicle.prompt.chat import Prompt
from ossicle.tensors import Features
from ossicle.train.frozen import Sounds
from ossicle.train.sources import Sample

IGNORE = -100
Spans = tuple[tuple[int, int], ...]
"""Where answers stand among the ids of a prompt: start and length of each."""

Loss = tuple[torch.Tensor, int, dict[str, float]]
"""Sum over what was counted, the count, and parts of the mean for the log."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Items side by side; what an objective does not need stays None.

    ``features`` (B, ...); ``letters`` all letter ids in a row with ``n_letters`` (B,); ``phones`` (B, T) int64;
    ``marks`` (B, T, M) uint8; ``prompts`` with their answers in them, ``answers``: where those stand; ``bags`` (3, n):
    row, position and token id of each told word; ``seed`` of what the loss itself draws; ``sounds``: in place of
    ``features``, for an encoder that hears each clip alone; ``said``: letters for a bridge with a loss of its own.
    """

    seconds: float
    features: Features | None = None
    letters: torch.Tensor | None = None
    n_letters: torch.Tensor | None = None
    phones: torch.Tensor | None = None
    marks: torch.Tensor | None = None
    prompts: tuple[Prompt, ...] = ()
    answers: tuple[Spans, ...] = ()
    bags: torch.Tensor | None = None
    seed: int = 0
    sounds: Sounds | None = None
    said: Letters | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same with its features on a device; a loss moves the small rest itself."""
        return self if self.features is None else replace(self, features=self.features.to(device))


class BatchLike(Protocol):
    """What the loop knows of a batch."""

    @property
    def seconds(self) -> float:
        """Of audio."""

    def to(self, device: torch.device) -> Any:
        """The same on a device."""


class Objective(Protocol):
    """What the loop knows of what is trained."""

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""

    def item(self, sample: Sample, rng: np.random.Generator) -> Any:
        """What a batch needs of one sample; None where the sample says nothing to this objective."""

    def collate(self, items: Sequence[Any]) -> Any:
        """Items side by side, a `BatchLike`."""

    def loss(self, model: Any, batch: Any) -> Loss:
        """The loss of a batch."""
