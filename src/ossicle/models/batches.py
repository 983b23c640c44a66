"""Which windows and which prompts go through a model at once: as many as gain, which on a processor are few.

Knows lengths; does not know what is computed. A batch is as long as its longest row, and a row of padding costs what a
row of audio costs; it also takes a mask, for which attention has a slower kernel. A GPU gains more by many rows than it
loses by that; a processor gains only while the rows are short. Measured by `benchmarks/qwen2_audio.py`.
"""

from collections.abc import Sequence

import torch

MAX_BATCH = 16
"""Rows at once, at most."""
MOST_FRAMES, MOST_TOKENS = 400, 256
"""Frames of windows, or tokens of prompts, padding included, that a processor still does faster together."""


def together(lengths: Sequence[int], most: int, device: torch.device) -> list[range]:
    """Neighbouring rows in groups.

    Args:
        lengths: of the rows.
        most: places of a group on a processor, padding included, unless it is a single row.
        device: where it is computed.

    Returns:
        Ranges that follow each other and hold every row once.
    """
    groups: list[range] = []
    start, longest = 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        full = i - start == MAX_BATCH or (device.type == "cpu" and (i + 1 - start) * longest > most)
        if i > start and full:
            groups.append(range(start, i))
            start, longest = i, length
    return [*groups, range(start, len(lengths))] if len(lengths) else []
