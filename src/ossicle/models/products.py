"""Products of a few rows with a weight matrix on a processor: a step of decoding is nothing else.

Knows matrices; does not know layers. A step reads every weight once, so it should run at the speed of the memory; the
matrix-vector product that a Linear calls reaches a third of it on some processors, a batched product over blocks of
the same weights nearly all of it (`benchmarks/products.py` measures both). Values differ by rounding only.
"""

import torch
from torch import nn
from torch.nn import functional

BLOCKS = 4
"""Blocks of a weight's rows that are multiplied side by side."""
FEW, FEWER = 8, 3
"""Most rows for which blocks are faster: for weights that widen or keep the width, and for those that narrow it."""


def product(linear: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    """What ``linear(rows)`` gives, without gradients.

    Args:
        linear: weight (O, I).
        rows: (B, I).

    Returns:
        (B, O).
    """
    weight, n = linear.weight, len(rows)
    n_out, n_in = weight.shape
    if n > (FEW if n_in <= n_out else FEWER) or weight.device.type != "cpu" or weight.dtype != torch.float32:
        plain: torch.Tensor = linear(rows)
        return plain
    whole = n_out - n_out % BLOCKS
    columns = rows.T[None].expand(BLOCKS, -1, -1)  # (B, I) -> (blocks, I, B)
    blocks = torch.bmm(weight[:whole].view(BLOCKS, -1, n_in), columns)  # (blocks, O / blocks, B)
    told = blocks.view(whole, n).T
    if whole < n_out:
        told = torch.cat([told, functional.linear(rows, weight[whole:])], dim=1)
    return told if linear.bias is None else told + linear.bias
