"""A linear classifier: ridge regression on the classes, in closed form, its strength chosen on clips held out.

Knows vectors and classes; does not know what they stand for. Inputs are standardised with the numbers of what it is
fitted on. One eigendecomposition serves every strength, of the smaller of the two Gram matrices, so that both many
frames and wide tokens are cheap. Nothing is random.
Source: Hoerl and Kennard 1970; Alain and Bengio 2016 for linear probes of what a layer holds.
"""

from dataclasses import dataclass

import torch

from ossicle.errors import RequestError

STRENGTHS = tuple(10.0**power for power in range(3, -5, -1))
"""Of the ridge, in units of the inputs' variance; the strongest first, which wins a tie."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Vectors with their classes.

    Args:
        values: (n, D) float.
        labels: (n,) int64, the class of each.
        clips: (n,) int64, the clip that each comes from.
        allowed: (n, K) bool, the classes that may be answered; None means all.
    """

    values: torch.Tensor
    labels: torch.Tensor
    clips: torch.Tensor
    allowed: torch.Tensor | None = None

    def subset(self, mask: torch.Tensor) -> "Rows":
        """The same for the rows of a mask (n,)."""
        allowed = None if self.allowed is None else self.allowed[mask]
        return Rows(self.values[mask], self.labels[mask], self.clips[mask], allowed)


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted classifier: scores are ``(values - mean) / scale @ weights + bias``.

    Args:
        mean: (D,) float64.
        scale: (D,) float64.
        weights: (D, K) float64.
        bias: (K,) float64; minus infinity for a class that it was never shown.
        strength: of the ridge.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    weights: torch.Tensor
    bias: torch.Tensor
    strength: float

    def hits(self, rows: Rows) -> torch.Tensor:
        """(n,) bool: where the class with the highest score, of those allowed, is the right one."""
        scores = (rows.values.double() - self.mean) / self.scale @ self.weights + self.bias
        if rows.allowed is not None:
            scores = scores.masked_fill(~rows.allowed, -torch.inf)
        return scores.argmax(dim=1) == rows.labels


def fitted(rows: Rows, n_classes: int, *, first_held_out: int) -> Linear:
    """Fit on the clips before ``first_held_out`` with each strength, keep the one that is right most often on the
    others, and fit that on all.

    Args:
        rows: what it learns from.
        n_classes: K.
        first_held_out: number of the first clip of the validation part.

    Raises:
        RequestError: fewer than two classes to learn from, or nothing held out.
    """
    early = rows.clips < first_held_out
    learned, held_out = rows.subset(early), rows.subset(~early)
    n = len(torch.unique(learned.labels))
    if n < 2 or not len(held_out.labels):
        raise RequestError(
            f"a probe needs at least 2 classes to learn from and vectors to choose its strength on, got {n} and "
            f"{len(held_out.labels)}: give it more items"
        )
    solver = _Solver(learned, n_classes)
    rates = {strength: float(solver.at(strength).hits(held_out).double().mean()) for strength in STRENGTHS}
    return _Solver(rows, n_classes).at(max(STRENGTHS, key=lambda strength: rates[strength]))


class _Solver:
    """Ridge regression on the same rows with any strength."""

    def __init__(self, rows: Rows, n_classes: int) -> None:
        values = rows.values.double()
        self.mean = values.mean(dim=0)
        spread = values.std(dim=0, correction=0)
        self.scale = torch.where(spread > 1e-9 * spread.max().clamp(min=1e-30), spread, 1.0)
        values = (values - self.mean) / self.scale
        targets = torch.nn.functional.one_hot(rows.labels, n_classes).double()
        self.share = targets.mean(dim=0)  # (K,)
        self.basis, self.powers = _principal(values)  # (D, r), (r,)
        self.known = (values @ self.basis).T @ (targets - self.share) / len(values)  # (r, K)

    def at(self, strength: float) -> Linear:
        weights = self.basis @ (self.known / (self.powers + strength)[:, None])
        bias = self.share.masked_fill(self.share == 0, -torch.inf)
        return Linear(self.mean, self.scale, weights, bias, strength)


def _principal(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions (D, r) in which centred values (n, D) vary, and their variances (r,)."""
    n, width = values.shape
    if n >= width:
        powers, basis = torch.linalg.eigh(values.T @ values / n)
        return basis, powers.clamp(min=0)
    powers, left = torch.linalg.eigh(values @ values.T / n)
    kept = powers > 1e-12 * powers[-1].clamp(min=1e-30)
    powers, left = powers[kept], left[:, kept]
    return values.T @ left / (n * powers).sqrt(), powers
