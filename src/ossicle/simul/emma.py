"""EMMA's numbers: when each token is expected to be written, what it attends to until then, and how late that is.

Knows probabilities of writing, (B, H, Y, X) over target tokens and source steps; does not know what they come from,
nor the decisions that are made of them in use. All sums are over every way to read and write, exact and in float32
whatever the autocast: in half precision probabilities near 0 and 1 lose the alignment. Sources: Raffel et al. 2017
(arXiv 1704.00784) for the alignment, Arivazhagan et al. 2019 (arXiv 1906.05218) for the lookback, Ma et al. 2023 (EMMA,
arXiv 2312.04515) for both without a bias and for the losses; the order of computation is ours.
"""

from typing import Literal

import torch
from torch.nn import functional

from ossicle.errors import RequestError
from ossicle.tensors import length_mask

Latency = Literal["dal", "delay"]
Heads = Literal["mean", "max", "weighted"]


def expected_alignment(
    p_write: torch.Tensor, source_lengths: torch.Tensor | None = None, *, residual: bool = False
) -> torch.Tensor:
    """How probable it is that each token is written at each source step, over all ways to come there.

    ``alpha[i, j] = p[i, j] * sum over k <= j of alpha[i - 1, k] * product over k <= l < j of (1 - p[i, l])``, computed
    for all cells of an anti-diagonal at once: X + Y - 1 steps, memory of Y * X, no division.

    Args:
        p_write: (.., Y, X) float, from 0 to 1.
        source_lengths: (B,) int64, valid steps of the first dimension's items, at least 1; None where all are.
        residual: a token that may never be written is written at its item's last step.

    Returns:
        (.., Y, X) float32, or float64 of float64; 0 past an item's end.

    Raises:
        RequestError: no step or no token, or a length that is not from 1 to X.
    """
    *_, y, x = p_write.shape
    if p_write.ndim < 2 or x < 1 or y < 1:
        raise RequestError(f"probabilities of writing are (.., Y, X), at least one of each: got {tuple(p_write.shape)}")
    with torch.autocast(p_write.device.type, enabled=False):
        p = p_write if p_write.dtype == torch.float64 else p_write.float()
        inside = None
        if source_lengths is not None:
            inside = steps_inside(source_lengths, p)
            p = p * inside
        skewed = _skewed(p)  # (.., Y, X + Y - 1): column s holds the cells with i + j = s
        read = 1 - skewed
        waiting = functional.pad(torch.ones_like(skewed[..., :1, 0]), (0, y - 1))  # before step 0, for token 0
        columns = []
        for s in range(x + y - 1):
            written = skewed[..., s] * waiting  # (.., Y)
            columns.append(written)
            waiting = read[..., s] * waiting + functional.pad(written[..., :-1], (1, 0))
        alpha = _straight(torch.stack(columns, -1), x)
        return with_residual(alpha, source_lengths) if residual else alpha


def with_residual(alpha: torch.Tensor, source_lengths: torch.Tensor | None = None) -> torch.Tensor:
    """What is missing of each token's probability, (.., Y, X), put on its item's last valid step."""
    missing = (1 - alpha.sum(-1, keepdim=True)).clamp(min=0)
    last = torch.full((len(alpha),), alpha.shape[-1]) if source_lengths is None else source_lengths
    at = functional.one_hot(last.to(alpha.device) - 1, alpha.shape[-1]).to(alpha.dtype)  # (B, X)
    return alpha + missing * at.view(len(at), *[1] * (alpha.ndim - 2), -1)


def infinite_lookback(alpha: torch.Tensor, energies: torch.Tensor) -> torch.Tensor:
    """What a token attends to, if at the step where it is written it may attend to all steps so far.

    ``beta[i, j] = sum over k >= j of alpha[i, k] * softmax of energies[i, : k + 1] at j``. Two passes over the steps,
    one for the softmax of every beginning and one back for the sum, both with factors from 0 to 1 alone: neither a
    division by what has underflowed nor a logarithm.

    Args:
        alpha: (.., Y, X) float, as `expected_alignment`.
        energies: (.., Y, X) float; those where ``alpha`` is 0 from there on do not matter.

    Returns:
        (.., Y, X) of the dtype of ``alpha``; rows sum to what those of ``alpha`` sum to.
    """
    with torch.autocast(alpha.device.type, enabled=False):
        u = energies.to(alpha.dtype)
        highest = u.detach().cummax(-1).values  # any level will do: it cancels
        new = (u - highest).exp()
        faded = functional.pad((highest[..., :-1] - highest[..., 1:]).exp(), (1, 0))
        total, totals = torch.zeros_like(u[..., 0]), []
        for j in range(u.shape[-1]):
            total = total * faded[..., j] + new[..., j]  # sum of e to the energies so far, 1 at least
            totals.append(total)
        sums = torch.stack(totals, -1)
        share = new / sums  # softmax of each beginning at its own end
        kept = functional.pad(sums[..., :-1], (1, 0)) * faded / sums  # what one more step leaves of the others
        ahead, found = torch.zeros_like(total), []
        for j in range(u.shape[-1] - 1, -1, -1):
            ahead = alpha[..., j] + ahead
            found.append(share[..., j] * ahead)
            ahead = kept[..., j] * ahead
        return torch.stack(found[::-1], -1)


def expected_delays(alpha: torch.Tensor, *, step: float = 1.0) -> torch.Tensor:
    """When each token is expected to be written, (.., Y): ``step`` times the mean of its source steps, from 1."""
    at = torch.arange(1, alpha.shape[-1] + 1, device=alpha.device, dtype=alpha.dtype)
    return step * (alpha * at).sum(-1)


def average_lagging(
    delays: torch.Tensor, source: torch.Tensor | float, target_lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Differentiable average lagging of delays: how far behind an even pace, where no token costs less than its share.

    Args:
        delays: (B, .., Y), of the first ``target_lengths`` tokens.
        source: how long the source is, in the unit of the delays: (B,) or one number.
        target_lengths: (B,) int64, at least 1; None where all Y are.

    Returns:
        (B, ..). Source: Cherry and Foster 2019 (arXiv 1906.00048).
    """
    n = _of_items(target_lengths, delays)
    length = torch.as_tensor(source, dtype=delays.dtype, device=delays.device)
    pace = length.view(-1, *[1] * (delays.ndim - 1)) / n[..., None]
    even = pace * torch.arange(delays.shape[-1], device=delays.device, dtype=delays.dtype)
    late = (delays - even).cummax(-1).values
    return _mean(late, target_lengths)


def variance(alpha: torch.Tensor, target_lengths: torch.Tensor | None = None) -> torch.Tensor:
    """How uncertain the source step of a token is, mean over the tokens: (B, ..), in steps squared."""
    at = torch.arange(1, alpha.shape[-1] + 1, device=alpha.device, dtype=alpha.dtype)
    mean = (alpha * at).sum(-1, keepdim=True)
    spread = (alpha * (at - mean).square()).sum(
        -1
    )  # equals E[j^2] - E[j]^2 of a row that sums to 1, and cancels nothing
    return _mean(spread, target_lengths)


def latency(
    alpha: torch.Tensor,
    source_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    *,
    form: Latency = "dal",
    heads: Heads = "mean",
) -> torch.Tensor:
    """How late the tokens of each item are, in source steps.

    Args:
        alpha: (B, H, Y, X), with the residual.
        source_lengths, target_lengths: (B,) int64, both at least 1.
        form: "dal", or "delay", the mean expected delay.
        heads: gathered by their mean, by the latest, or by a softmax of their latencies as weights.

    Returns:
        (B,).

    Raises:
        RequestError: an unknown ``form`` or ``heads``.
    """
    delays = expected_delays(alpha)  # (B, H, Y)
    match form:
        case "dal":
            late = average_lagging(delays, source_lengths.to(delays.device), target_lengths)
        case "delay":
            late = _mean(delays, target_lengths)
        case _:
            raise RequestError(f"the latency is dal or delay, not {form!r}")
    match heads:
        case "mean":
            return late.mean(1)
        case "max":
            return late.amax(1)
        case "weighted":
            return (late.softmax(1) * late).sum(1)
        case _:
            raise RequestError(f"heads are gathered by mean, max or weighted, not {heads!r}")


def steps_inside(source_lengths: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, .., 1, X) of ``like``'s dtype: 1 at an item's steps, 0 past its end.

    Raises:
        RequestError: a length that is not from 1 to X.
    """
    x = like.shape[-1]
    lengths = source_lengths.cpu()
    if len(lengths) != len(like) or int(lengths.min()) < 1 or int(lengths.max()) > x:
        raise RequestError(f"{len(like)} sources have as many lengths, each from 1 to {x}: got {lengths.tolist()}")
    inside = length_mask(lengths, x).to(like.device, like.dtype)
    return inside.view(len(inside), *[1] * (like.ndim - 2), x)


def _skewed(cells: torch.Tensor) -> torch.Tensor:
    """(.., Y, X) as (.., Y, X + Y - 1), row i moved i places to the right, zeros on both sides."""
    *rest, y, x = cells.shape
    wide = functional.pad(cells, (0, y)).flatten(-2)  # rows of X + Y, read as rows of one less
    return wide[..., : y * (x + y - 1)].view(*rest, y, x + y - 1)


def _straight(skewed: torch.Tensor, x: int) -> torch.Tensor:
    """`_skewed` undone: (.., Y, X)."""
    *rest, y, width = skewed.shape
    return functional.pad(skewed.flatten(-2), (0, y)).view(*rest, y, width + 1)[..., :x]


def _of_items(target_lengths: torch.Tensor | None, tokens: torch.Tensor) -> torch.Tensor:
    """How many tokens each item of (B, .., Y) has, (B, 1, ..) with one dimension less."""
    n = torch.full((len(tokens),), tokens.shape[-1]) if target_lengths is None else target_lengths
    return n.to(tokens.device, tokens.dtype).view(-1, *[1] * (tokens.ndim - 2))


def _mean(values: torch.Tensor, target_lengths: torch.Tensor | None) -> torch.Tensor:
    """Mean over an item's tokens: (B, .., Y) to (B, ..)."""
    if target_lengths is not None:
        inside = length_mask(target_lengths.cpu(), values.shape[-1]).to(values.device)
        values = values.masked_fill(~inside.view(len(inside), *[1] * (values.ndim - 2), -1), 0.0)
    return values.sum(-1) / _of_items(target_lengths, values)
