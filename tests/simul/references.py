"""Slow and plain ways to the numbers of EMMA, in float64, cell by cell as the definitions say."""

import numpy as np
import torch


def recursion(p: np.ndarray) -> np.ndarray:
    """alpha (N, Y, X) of p (N, Y, X): each cell from its left and its upper neighbour."""
    p = p.astype(np.float64)
    n, y, x = p.shape
    alpha = np.zeros((n, y, x))
    for i in range(y):
        arrived = np.zeros(n)
        for j in range(x):
            came = alpha[:, i - 1, j] if i else np.full(n, float(j == 0))
            arrived = arrived * (1 - p[:, i, j - 1]) + came if j else came
            alpha[:, i, j] = p[:, i, j] * arrived
    return alpha


def by_definition(p: np.ndarray) -> np.ndarray:
    """alpha (Y, X) of p (Y, X): the definition word for word, with its product over the steps that were not taken."""
    y, x = p.shape
    before = np.eye(1, x)[0]
    rows = []
    for i in range(y):
        row = [
            p[i, j] * sum(before[k] * np.prod([1 - p[i, m] for m in range(k, j)]) for k in range(j + 1))
            for j in range(x)
        ]
        before = np.array(row)
        rows.append(before)
    return np.array(rows)


def by_matrix(p: torch.Tensor) -> torch.Tensor:
    """alpha (N, Y, X) by EMMA's transition matrices: rows of alpha times (X, X), row after row."""
    n, y, x = p.shape
    before = torch.zeros(n, x, dtype=p.dtype)
    before[:, 0] = 1
    rows = []
    for i in range(y):
        stay = 1 - torch.roll(p[:, i], 1, -1)[:, None, :].expand(n, x, x).triu(1)
        before = p[:, i] * torch.einsum("nk,nkj->nj", before, stay.cumprod(-1).triu())
        rows.append(before)
    return torch.stack(rows, 1)


def lookback(alpha: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """beta (N, Y, X): a softmax for every beginning."""
    alpha, energies = alpha.astype(np.float64), energies.astype(np.float64)
    beta = np.zeros_like(alpha)
    for k in range(alpha.shape[-1]):
        some = energies[..., : k + 1]
        weights = np.exp(some - some.max(-1, keepdims=True))
        beta[..., : k + 1] += alpha[..., k : k + 1] * weights / weights.sum(-1, keepdims=True)
    return beta


def lagging(delays: list[float], source: float) -> float:
    """DAL of one item, as Cherry and Foster define it."""
    pace, last, found = source / len(delays), None, []
    for i, delay in enumerate(delays):
        last = delay if last is None else max(delay, last + pace)
        found.append(last - i * pace)
    return sum(found) / len(found)
