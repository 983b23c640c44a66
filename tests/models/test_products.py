"""Products in blocks: what the Linear gives, for every number of rows and every shape of the weight."""

import pytest
import torch
from torch import nn

from ossicle.models.products import BLOCKS, FEW, FEWER, product


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(16, 24), (24, 16), (17, 24), (101, 24), (3, 8), (8, 8)])
@torch.no_grad()
def test_blocks_give_what_the_linear_gives(shape: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(shape[1], shape[0], bias=bias)
    for n in (1, 2, FEWER, FEWER + 1, FEW, FEW + 1, 20):
        rows = torch.randn(n, shape[1])
        told = product(linear, rows)
        assert told.shape == (n, shape[0])
        torch.testing.assert_close(told, linear(rows), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_other_numbers_than_float32_go_through_the_linear() -> None:
    linear = nn.Linear(8, 2 * BLOCKS).to(torch.bfloat16)
    rows = torch.randn(1, 8, dtype=torch.bfloat16)
    assert torch.equal(product(linear, rows), linear(rows))
