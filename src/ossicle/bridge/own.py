"""A bridge's own loss: what a bridge that finds its tokens in the sound learns by, beside the answers of the LLM.

Knows frames and letters; does not know which bridge learns by them, nor how.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from ossicle.tensors import Frames


@dataclass(frozen=True, eq=False)
class Letters:
    """What is said in the clips of a batch.

    Args:
        ids: all letters in a row, clip after clip, int64 from 1 to V; 0 is left for the blank of CTC.
        n: (B,) int64, letters of each clip; 0 where nothing is said.
    """

    ids: torch.Tensor
    n: torch.Tensor


@runtime_checkable
class OwnLoss(Protocol):
    """A bridge with a loss of its own; the LLM's loss is 1, this one weighs ``own_weight``."""

    own_weight: float

    def own_loss(self, frames: Frames, letters: Letters | None) -> torch.Tensor:
        """The mean loss of a batch; ``letters`` is None where nobody knows what is said."""
