"""Muon: orthogonal moves of matrices, AdamW for the rest."""

import pytest
import torch
from torch import nn

from ossicle.train.muon import MOMENTUM, STEP_RMS, MuonAdamW, orthogonal
from ossicle.train.weights import dump_optimizer, load_optimizer

BETAS = (0.9, 0.98)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def group(*values: nn.Parameter, block: int | None = None, decay: float = 0.0) -> dict[str, object]:
    return {"params": list(values), "weight_decay": decay, "block": block}


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 64), (1, 64, 256)])
def test_moves_have_the_directions_of_the_matrix_and_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = drawn(*shape) * 1e-4
    u, values, vh = torch.linalg.svd(matrices, full_matrices=False)
    got = u.mT @ orthogonal(matrices) @ vh.mT
    sizes = got.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(got, torch.diag_embed(sizes), rtol=0, atol=2e-3)
    large = values > 0.02 * values.norm(dim=1, keepdim=True)
    assert large.float().mean() > 0.9
    assert sizes[large].min() > 0.6 and sizes.max() < 1.3


def test_no_gradient_gives_no_move_and_no_nan() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 8, 8)), torch.zeros(1, 8, 8))


@pytest.mark.parametrize("block", [0, 8, -8])
@pytest.mark.parametrize("shape", [(32, 32), (32, 64), (64, 32)])
def test_a_step_is_as_large_as_the_rate_says_and_each_block_is_orthogonal(block: int, shape: tuple[int, int]) -> None:
    value = nn.Parameter(drawn(*shape))
    before = value.detach().clone()
    value.grad = drawn(*shape, seed=1)
    optimizer = MuonAdamW([group(value, block=block)], lr=0.5, betas=BETAS)
    optimizer.step()
    move = (before - value.detach()) / 0.5
    assert move.square().mean().sqrt().item() == pytest.approx(STEP_RMS, rel=0.25)
    blocks = {0: [move], 8: list(move.split(8)), -8: list(move.mT.split(8))}[block]
    for one in blocks:
        sizes = torch.linalg.svdvals(one) / (STEP_RMS * max(one.shape) ** 0.5)
        assert sizes[: len(sizes) // 2].min() > 0.6 and sizes.max() < 1.3


def test_heads_do_not_touch_each_other() -> None:
    """Without blocks, a large gradient of one head shapes the move of another."""
    moves = {}
    for block in (0, 8):
        for scale in (1.0, 100.0):
            value = nn.Parameter(torch.zeros(16, 16))
            value.grad = drawn(16, 16)
            value.grad[:8] *= scale
            MuonAdamW([group(value, block=block)], lr=1.0, betas=BETAS).step()
            moves[block, scale] = value.detach()[8:]
    torch.testing.assert_close(moves[8, 1.0], moves[8, 100.0])
    assert (moves[0, 1.0] - moves[0, 100.0]).abs().max() > 0.1


def test_matrices_decay_and_momentum_carries_on() -> None:
    value = nn.Parameter(torch.ones(4, 4))
    optimizer = MuonAdamW([group(value, block=0, decay=0.1)], lr=0.5, betas=BETAS)
    value.grad = torch.zeros(4, 4)
    optimizer.step()
    torch.testing.assert_close(value.detach(), torch.full((4, 4), 0.95))
    value.grad = torch.eye(4)
    optimizer.step()
    torch.testing.assert_close(optimizer.state[value]["momentum"], (1 - MOMENTUM) * torch.eye(4))
    assert torch.equal(value.grad, torch.eye(4))  # gradients are for the caller to clear


def test_groups_without_blocks_are_adamw() -> None:
    ours, theirs = nn.Parameter(drawn(5, 3)), nn.Parameter(drawn(5, 3))
    matrix = nn.Parameter(drawn(4, 4))
    one = MuonAdamW([group(ours, decay=0.1), group(matrix, block=0)], lr=0.1, betas=BETAS)
    two = torch.optim.AdamW([theirs], lr=0.1, betas=BETAS, weight_decay=0.1, fused=True)
    for seed in range(3):
        ours.grad = theirs.grad = drawn(5, 3, seed=seed)
        matrix.grad = drawn(4, 4, seed=seed)
        one.step()
        two.step()
    assert torch.equal(ours, theirs)


def test_a_restored_optimiser_goes_on_as_if_it_had_never_stopped() -> None:
    def build(*values: torch.Tensor) -> tuple[list[nn.Parameter], MuonAdamW]:
        made = [nn.Parameter(value.clone()) for value in values]
        return made, MuonAdamW([group(made[0], block=4), group(made[1])], lr=0.1, betas=BETAS)

    def advance(values: list[nn.Parameter], optimizer: MuonAdamW, seed: int) -> None:
        for i, value in enumerate(values):
            value.grad = drawn(*value.shape, seed=seed + i)
        optimizer.step()

    first, optimizer = build(drawn(8, 8), drawn(8))
    advance(first, optimizer, 1)
    second, restored = build(*[value.detach() for value in first])
    load_optimizer(restored, {name: value.clone() for name, value in dump_optimizer(optimizer).items()})
    advance(first, optimizer, 5)
    advance(second, restored, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
