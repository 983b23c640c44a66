"""EMMA's numbers against plain float64: alignment, lookback, delays, losses; padding, edges, gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ossicle.errors import RequestError
from ossicle.simul.emma import (
    average_lagging,
    expected_alignment,
    expected_delays,
    infinite_lookback,
    latency,
    variance,
    with_residual,
)

from .references import by_definition, by_matrix, lagging, lookback, recursion

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "uniform": lambda rng, shape: rng.random(shape),
    "sharp": lambda rng, shape: 1 / (1 + np.exp(-5 * rng.normal(size=shape))),
    "writes early": lambda rng, shape: 1 / (1 + np.exp(-rng.normal(3, 1, shape))),
    "reads": lambda rng, shape: 1 / (1 + np.exp(-rng.normal(-3, 1, shape))),
    "near 0 and 1": lambda rng, shape: np.abs((rng.random(shape) < 0.5) - 10.0 ** rng.uniform(-12, -3, shape)),
    "0 and 1": lambda rng, shape: (rng.random(shape) < 0.3).astype(float),
}
SHAPES = [(40, 90), (60, 10), (1, 1), (1, 30), (30, 1), (25, 25), (9, 60)]
"""Tokens and steps; of each kind and shape 24 cases: 1,008 in all."""
CASES = 24
TOLERANCE = 1e-6


def probabilities(kind: str, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng([*KINDS].index(kind))
    return KINDS[kind](rng, (CASES, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_alpha_in_float32_is_that_of_the_recursion_in_float64(kind: str, shape: tuple[int, int]) -> None:
    p = probabilities(kind, shape)
    alpha = expected_alignment(torch.from_numpy(p))
    assert alpha.dtype == torch.float32
    assert np.abs(alpha.numpy() - recursion(p)).max() <= TOLERANCE
    assert (alpha.sum(-1) <= 1 + 1e-5).all() and (alpha >= 0).all()
    assert torch.allclose(with_residual(alpha).sum(-1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_beta_in_float32_is_that_of_every_softmax_in_float64(kind: str, shape: tuple[int, int]) -> None:
    alpha = expected_alignment(torch.from_numpy(probabilities(kind, shape)))
    rng = np.random.default_rng(7)
    for spread in (1.0, 8.0, 40.0):
        energies = (spread * rng.normal(size=alpha.shape)).astype(np.float32)
        beta = infinite_lookback(alpha, torch.from_numpy(energies))
        assert np.abs(beta.numpy() - lookback(alpha.numpy(), energies)).max() <= TOLERANCE
        assert torch.allclose(beta.sum(-1), alpha.sum(-1), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_transition_matrices_say_the_same(kind: str) -> None:
    p = torch.from_numpy(probabilities(kind, (12, 33)))
    assert (expected_alignment(p) - by_matrix(p)).abs().max() <= TOLERANCE


def test_the_recursion_is_the_definition() -> None:
    for kind in KINDS:
        p = probabilities(kind, (6, 9)).astype(np.float64)
        assert np.abs(recursion(p)[0] - by_definition(p[0])).max() < 1e-14


def test_golden_values() -> None:
    p = torch.full((1, 1, 2, 3), 0.5)
    one, n = torch.tensor([3]), torch.tensor([2])
    assert expected_alignment(p)[0, 0].tolist() == [[0.5, 0.25, 0.125], [0.25, 0.25, 0.1875]]
    alpha = expected_alignment(p, residual=True)
    assert alpha[0, 0].tolist() == [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]
    assert expected_delays(alpha)[0, 0].tolist() == [1.75, 2.25]
    assert expected_delays(alpha, step=320)[0, 0].tolist() == [560, 720]
    assert variance(alpha)[0, 0].item() == pytest.approx(0.6875)
    assert latency(alpha, one, n).tolist() == [1.75]
    assert latency(alpha, one, n, form="delay").tolist() == [2.0]
    beta = infinite_lookback(alpha, torch.tensor([0.0, 1.0, 2.0]).expand(1, 1, 2, 3))[0, 0]
    assert beta.tolist() == [
        pytest.approx([0.5897, 0.2439, 0.1663], abs=5e-5),
        pytest.approx([0.3623, 0.3051, 0.3326], abs=5e-5),
    ]


@given(
    p=st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=1, max_size=9),
    length=st.integers(1, 4),
)
def test_what_is_written_never_comes_before_what_was_written_before(p: list[list[float]], length: int) -> None:
    alpha = expected_alignment(torch.tensor(p, dtype=torch.float64)[None], torch.tensor([length]), residual=True)[0]
    assert (alpha[:, length:] == 0).all()
    reached = alpha.cumsum(-1)  # by which step a token is written
    assert (reached[1:] <= reached[:-1] + 1e-9).all()
    assert torch.allclose(reached[:, -1], torch.ones((), dtype=torch.float64))


def test_a_padded_batch_is_its_items_alone() -> None:
    torch.manual_seed(0)
    sources, targets = torch.tensor([7, 19, 1, 12]), torch.tensor([9, 4, 3, 12])
    p, u = torch.rand(4, 3, 12, 19), 9 * torch.randn(4, 3, 12, 19)
    alpha = expected_alignment(p, sources, residual=True)
    beta = infinite_lookback(alpha, u)
    for i, (x, y) in enumerate(zip(sources.tolist(), targets.tolist(), strict=True)):
        alone = expected_alignment(p[i : i + 1, :, :y, :x], residual=True)
        assert torch.allclose(alpha[i, :, :y, :x], alone[0], atol=1e-6) and (alpha[i, :, :, x:] == 0).all()
        assert torch.allclose(beta[i, :, :y, :x], infinite_lookback(alone, u[i : i + 1, :, :y, :x])[0], atol=1e-6)
        one, n = torch.tensor([x]), torch.tensor([y])
        for form in ("dal", "delay"):
            for heads in ("mean", "max", "weighted"):
                together = latency(alpha, sources, targets, form=form, heads=heads)[i]
                assert torch.allclose(together, latency(alone, one, n, form=form, heads=heads)[0], atol=1e-5)
        assert torch.allclose(variance(alpha, targets)[i], variance(alone)[0], atol=1e-5)


def test_average_lagging_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 2, 5, 40):
        delays = np.sort(rng.uniform(0, 3000, n))
        found = average_lagging(torch.from_numpy(delays)[None], 3000.0)
        assert found.item() == pytest.approx(lagging(delays.tolist(), 3000.0))
    assert average_lagging(torch.tensor([[1000.0, 1500, 2000, 3000, 3000]]), 3000.0).item() == pytest.approx(1080)


def test_heads_are_gathered_as_is_said() -> None:
    alpha = torch.zeros(1, 2, 1, 4)
    alpha[0, 0, 0, 0] = alpha[0, 1, 0, 2] = 1  # one head writes at step 1, the other at step 3
    sizes = torch.tensor([4]), torch.tensor([1])
    assert latency(alpha, *sizes).tolist() == [2.0]
    assert latency(alpha, *sizes, heads="max").tolist() == [3.0]
    assert latency(alpha, *sizes, heads="weighted").item() == pytest.approx((1 + 3 * np.e**2) / (1 + np.e**2))
    assert variance(alpha).tolist() == [[0.0, 0.0]]


def test_gradients() -> None:
    torch.manual_seed(1)
    p = torch.rand(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    u = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    sources, targets = torch.tensor([5, 3]), torch.tensor([4, 2])

    def losses(p: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, ...]:
        alpha = expected_alignment(p, sources, residual=True)
        return infinite_lookback(alpha, u), latency(alpha, sources, targets), variance(alpha, targets)

    assert torch.autograd.gradcheck(losses, (p, u))
    assert torch.autograd.gradcheck(lambda p: expected_alignment(p), (p,))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_at_the_ends_are_numbers(value: float) -> None:
    p = torch.full((1, 1, 5, 4), value, requires_grad=True)
    alpha = expected_alignment(p, residual=True)
    assert torch.isfinite(alpha).all()
    latency(alpha, torch.tensor([4]), torch.tensor([5])).sum().backward()
    assert p.grad is not None and torch.isfinite(p.grad).all()


def test_half_precision_does_not_reach_the_alignment() -> None:
    p = torch.from_numpy(probabilities("sharp", (25, 25)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        alpha = expected_alignment(p)
        assert torch.equal(alpha, expected_alignment(p)) and alpha.dtype == torch.float32
        beta = infinite_lookback(alpha, 5 * p)
    assert torch.equal(alpha, expected_alignment(p)) and torch.equal(beta, infinite_lookback(alpha, 5 * p))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RequestError, match=r"\(\.\., Y, X\), at least one of each: got \(2, 0\)"):
        expected_alignment(torch.zeros(2, 0))
    for lengths in ([0, 3], [2, 4], [3]):
        with pytest.raises(RequestError, match=r"2 sources have as many lengths, each from 1 to 3: got"):
            expected_alignment(torch.zeros(2, 1, 3), torch.tensor(lengths))
    alpha, one = torch.ones(1, 1, 1, 1), torch.tensor([1])
    with pytest.raises(RequestError, match="the latency is dal or delay, not 'al'"):
        latency(alpha, one, one, form="al")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="heads are gathered by mean, max or weighted, not 'min'"):
        latency(alpha, one, one, heads="min")  # type: ignore[arg-type]
