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
FEW, FEWER = 8, 4
"""Most rows for which blocks are faster: for weights that widen or keep the width, and for those that narrow it."""


def product(linear: nn.Linear, rows: torch.Tensor) -> torch.Tensor:
    """What ``linear(rows)`` gives, without gradients.

    Args:
        linear: weight (O, I).
        rows: (B, I).

    Returns:
        (B, O).
    """
    weight, bias = linear.weight, linear.bias
    (n_out, n_in), n = weight.shape, rows.shape[0]
    if n > (FEW if n_in <= n_out else FEWER) or weight.device.type != "cpu" or weight.dtype != torch.float32:
        plain: torch.Tensor = linear(rows)
        return plain
    if n_out % BLOCKS:
        whole = n_out - n_out % BLOCKS
        rest = functional.linear(rows, weight[whole:], None if bias is None else bias[whole:])
        return torch.cat([_blocks(weight[:whole], None if bias is None else bias[:whole], rows), rest], dim=1)
    return _blocks(weight, bias, rows)


def _blocks(weight: torch.Tensor, bias: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
    """The same for a weight whose rows are a multiple of the blocks."""
    (n_out, n_in), n = weight.shape, rows.shape[0]
    columns = rows.t().expand(BLOCKS, n_in, n)  # (B, I) -> (blocks, I, B)
    parts = weight.view(BLOCKS, -1, n_in)  # (O, I) -> (blocks, O / blocks, I)
    told = torch.bmm(parts, columns) if bias is None else torch.baddbmm(bias.view(BLOCKS, -1, 1), parts, columns)
    return told.view(n_out, n).t()  # (blocks, O / blocks, B) -> (B, O)
