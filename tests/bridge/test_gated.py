"""Gated stacking: values against plain arithmetic, the zeros of the tail, padding, settings and refusals."""

import pytest
import torch

from ossicle.bridge.calibrate import calibrate
from ossicle.bridge.gated import GAIN, StackSwiGLU
from ossicle.bridge.runs import zero_filled_runs
from ossicle.errors import BridgeError

from .support import random_frames, row_of


def test_runs_lie_side_by_side_and_end_in_zeros() -> None:
    values = torch.tensor([[[1.0], [2.0], [3.0], [float("nan")]], [[5.0], [6.0], [7.0], [8.0]]])
    assert zero_filled_runs(values, torch.tensor([3, 4]), 2).tolist() == [[[1, 2], [3, 0]], [[5, 6], [7, 8]]]
    assert zero_filled_runs(values, torch.tensor([1, 4]), 3).tolist() == [[[1, 0, 0], [0] * 3], [[5, 6, 7], [8, 0, 0]]]


@pytest.mark.parametrize("output_norm", ["none", "rms"])
def test_a_token_is_normed_gated_by_its_second_half_and_normed(output_norm: str) -> None:
    bridge, frames = StackSwiGLU(6, 4, k=3, hidden=10, output_norm=output_norm), random_frames([6])

    def rms(rows: torch.Tensor) -> torch.Tensor:
        return GAIN * rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    hidden = rms(frames.values.reshape(1, 2, 18)) @ bridge.inner.weight.T
    values = hidden[..., :5] * hidden[..., 5:] * hidden[..., 5:].sigmoid()
    values = (rms(values) if output_norm == "none" else values) @ bridge.output.linear.weight.T
    torch.testing.assert_close(bridge(frames).values, rms(values) if output_norm == "rms" else values)
    assert (bridge.norm_mid is None) == (output_norm == "rms") == (bridge.output.norm is not None)
    assert bridge.inner.bias is None and bridge.output.linear.bias is None


@pytest.mark.parametrize(("n_frames", "n_tokens"), [(0, 0), (1, 1), (3, 1), (4, 2), (7, 3)])
def test_no_frame_is_lost(n_frames: int, n_tokens: int) -> None:
    bridge = StackSwiGLU(6, 4, k=3, hidden=8)
    tokens = bridge(random_frames([n_frames, 9]))
    assert tokens.lengths.tolist() == [n_tokens, 3] and tokens.tail_s.tolist() == [0, 0]
    assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == n_tokens


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = StackSwiGLU(6, 4, k=3, hidden=8), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters() if p.grad is not None)
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


@pytest.mark.parametrize("output_norm", ["none", "rms"])
def test_it_is_calibrated(output_norm: str) -> None:
    bridge = StackSwiGLU(6, 16, k=2, hidden=32, output_norm=output_norm)
    found = calibrate(bridge, random_frames([40]), torch.randn(50, 16) * 0.02)
    assert found.ratio == pytest.approx(1.0, abs=0.01) and found.median_before > found.median_after


def test_rates_and_settings() -> None:
    bridge = StackSwiGLU(6, 4, k=5, hidden=6, output_norm="rms")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, True, True)
    assert StackSwiGLU(**bridge.settings()).settings() == bridge.settings()
    assert bridge.settings()["hidden"] == 6 and bridge.settings()["output_norm"] == "rms"
    assert (StackSwiGLU(6, 4).k, StackSwiGLU(6, 4).hidden) == (8, 4096)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "StackSwiGLU needs k of at least 1 frame per audio token, got 0"),
        ({"output_norm": ""}, "does not know the output norm '': choose one of none, rms"),
        ({"hidden": 0}, "StackSwiGLU needs widths of at least 1, got 6, 4, 0"),
        ({"hidden": 7}, "StackSwiGLU needs an even hidden width, which the gate halves, got 7"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        StackSwiGLU(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="StackSwiGLU was built for frames of width 8, got 6"):
        StackSwiGLU(8, 4, hidden=8)(random_frames([4]))
