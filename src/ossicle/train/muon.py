"""The optimiser: AdamW, and for hidden matrices momentum made orthogonal.

Knows weights and gradients; does not know models. A hidden matrix moves by the nearest orthogonal matrix to its
momentum (Jordan et al. 2024, "Muon"), scaled so that a step is as large as AdamW's and both share one rate (Liu et al.
2025, section 2.2). PyTorch's own Muon iterates in bfloat16, which is a hundred times slower than float32 on a processor
without bf16 units, and multiplies the long side again in each round; here the rounds run on the small Gram matrix.
"""

from collections.abc import Iterable
from typing import Any

import torch

MOMENTUM = 0.95
ROUNDS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
STEP_RMS = 0.2
"""Root mean square of an update at rate 1, as AdamW's usually is."""


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """About the nearest matrices with singular values of 1: Newton-Schulz rounds of a quintic polynomial.

    Args:
        matrices: (B, m, n) with m <= n.

    Returns:
        (B, m, n); singular values of 0.7 to 1.2 wherever the input's are above a thousandth of its norm.
    """
    a, b, c = QUINTIC
    size = matrices.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    gram = torch.bmm(matrices, matrices.mT) / size.square()
    turned: torch.Tensor | None = None
    for _ in range(ROUNDS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # b G + c G^2
        factor.diagonal(dim1=1, dim2=2).add_(a)
        turned = factor if turned is None else torch.bmm(factor, turned)
        half = torch.bmm(factor, gram)
        gram = torch.bmm(half, factor)
    assert turned is not None
    return torch.bmm(turned / size, matrices)


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but for the groups with ``block``: those hold matrices that move orthogonally.

    ``block`` is how many rows are made orthogonal together: 0 takes a whole matrix; a head's size keeps the heads of a
    projection apart; a negative size means columns.

    Args:
        groups: parameter groups as AdamW takes them, each with its ``block`` or None for plain AdamW.
        lr, betas: AdamW's.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        super().__init__(list(groups), lr=lr, betas=betas, fused=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.optim.Optimizer.__setstate__(self, state)  # AdamW's own wants to find its step count in every state

    @torch.no_grad()
    def step(self, closure: Any = None) -> float | None:  # type: ignore[override]
        """One step of every group; ``closure`` as `torch.optim.Optimizer.step` takes it."""
        kept = []
        for group in self.param_groups:
            if group["block"] is None:
                continue
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for value in group["params"]:
                if value.grad is not None:
                    by_shape.setdefault(value.shape, []).append(value)
            for values in by_shape.values():
                self._move(values, group)
                kept += [(value, value.grad) for value in values]
        for value, _ in kept:
            value.grad = None
        loss: float | None = super().step(closure)
        for value, grad in kept:
            value.grad = grad
        return loss

    def _move(self, values: list[torch.Tensor], group: dict[str, Any]) -> None:
        """One step of matrices of one shape."""
        wanted = []
        for value in values:
            assert value.grad is not None
            momentum = self.state[value].setdefault("momentum", torch.zeros_like(value))
            momentum.lerp_(value.grad, 1 - MOMENTUM)
            wanted.append(value.grad.lerp(momentum, MOMENTUM))
        for value, move in zip(values, _moves(torch.stack(wanted), group["block"]), strict=True):
            value.mul_(1 - group["lr"] * group["weight_decay"])
            value.add_(move, alpha=-group["lr"])


def _moves(matrices: torch.Tensor, block: int) -> torch.Tensor:
    """Orthogonal updates (B, m, n) of matrices, block by block, with a root mean square of `STEP_RMS`."""
    if block < 0:
        return _moves(matrices.mT, -block).mT
    n, rows, columns = matrices.shape
    blocks = matrices.reshape(-1, block or rows, columns)
    moved = orthogonal(blocks.mT).mT if blocks.shape[1] > columns else orthogonal(blocks)
    scale = STEP_RMS * max(moved.shape[1:]) ** 0.5  # an orthogonal (m, n) has a root mean square of max(m, n) ** -0.5
    moves: torch.Tensor = (moved * scale).reshape(n, rows, columns)
    return moves
