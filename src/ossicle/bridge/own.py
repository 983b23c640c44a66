"""What a bridge with a lesson of its own is told beside the frames: the letters of each clip, where they are known.

Knows ids and counts; does not know which letters they stand for, nor who wrote them. Such a bridge has ``own_weight``
and ``own_loss(frames, letters)``, a mean that training adds to the loss of the answers.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from ossicle.errors import BridgeError
from ossicle.tensors import Frames

BLANK = 0
"""The class of a frame that says no letter."""


@dataclass(frozen=True, eq=False)
class Letters:
    """What is said in the clips of a batch.

    Args:
        ids: (n,) int64, the letters of all clips in a row, each from 1 on; 0 is the blank.
        n: (B,) int64 on the CPU, letters of each clip; 0 for a clip without speech.
    """

    ids: torch.Tensor
    n: torch.Tensor


@runtime_checkable
class OwnLesson(Protocol):
    """A bridge that learns something beside the answers."""

    own_weight: float

    def own_loss(self, frames: Frames, letters: Letters | None) -> torch.Tensor: ...


def check_weight(name: str, own_weight: float) -> None:
    """Refuse a weight that would teach the opposite.

    Raises:
        BridgeError: it is not 0 or more.
    """
    if not own_weight >= 0:
        raise BridgeError(f"{name} needs an own_weight of at least 0, got {own_weight:g}")
