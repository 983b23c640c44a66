"""Sound in blocks of one size, however it comes.

Knows samples; does not know what is made of a block.
"""

import numpy as np


class Blocks:
    """Cuts a sound into blocks, and keeps what does not fill one.

    Args:
        size: samples of a block.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting = np.zeros(0, np.float32)
        """Less than a block."""

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """More sound, (S,) float32, and the blocks that are whole now, (n, size)."""
        given = np.concatenate([self.waiting, samples.astype(np.float32, copy=False)])
        n = len(given) // self.size
        self.waiting = given[n * self.size :].copy()
        return given[: n * self.size].reshape(n, self.size)
