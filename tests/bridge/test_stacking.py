"""Stacking and the perceptron: values against plain arithmetic, padding, tails, settings and refusals."""

import pytest
import torch

from ossicle.bridge.stacking import StackMLP, stack_runs
from ossicle.errors import BridgeError

from .support import random_frames, row_of


def test_runs_lie_side_by_side_and_the_last_frame_is_repeated() -> None:
    values = torch.tensor([[[1.0], [2.0], [3.0], [float("nan")]], [[5.0], [6.0], [7.0], [8.0]]])
    stacked = stack_runs(values, torch.tensor([3, 4]), 2, 2)
    assert stacked.tolist() == [[[1.0, 2.0], [3.0, 3.0]], [[5.0, 6.0], [7.0, 8.0]]]


def test_a_token_is_linear_relu_linear_of_its_run() -> None:
    bridge, frames = StackMLP(6, 4, k=3, hidden=10, output_norm="none"), random_frames([6])
    inner, outer = bridge.inner[0], bridge.output.linear
    hidden = (frames.values.reshape(1, 2, 18) @ inner.weight.T + inner.bias).clamp(min=0)
    torch.testing.assert_close(bridge(frames).values, hidden @ outer.weight.T + outer.bias)


def test_a_token_without_biases_and_with_gelu() -> None:
    bridge = StackMLP(6, 4, k=3, hidden=10, output_norm="none", activation="gelu", bias=False)
    frames = random_frames([6])
    hidden = torch.nn.functional.gelu(frames.values.reshape(1, 2, 18) @ bridge.inner[0].weight.T)
    torch.testing.assert_close(bridge(frames).values, hidden @ bridge.output.linear.weight.T)
    assert bridge.inner[0].bias is None and bridge.output.linear.bias is None
    assert StackMLP(**bridge.settings()).settings() == bridge.settings()


def test_what_settings_of_before_say_is_the_same_bridge() -> None:
    old = {"width_in": 6, "width_out": 4, "k": 5, "hidden": 7, "tail": "drop", "output_norm": "none"}
    bridge = StackMLP(**old)
    assert bridge.settings() == {**old, "activation": "relu", "bias": True}
    names = ["inner.0.weight", "inner.0.bias", "output.linear.weight", "output.linear.bias"]
    assert list(bridge.state_dict()) == names and isinstance(bridge.inner[1], torch.nn.ReLU)


def test_the_output_norm_fixes_the_size_of_every_token() -> None:
    tokens = StackMLP(6, 16, k=2, hidden=32)(random_frames([8]))
    sizes = tokens.values.square().mean(-1).sqrt()
    torch.testing.assert_close(sizes[0], torch.ones(4), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("tail", "n_frames", "n_tokens", "tail_s"),
    [
        ("duplicate", 7, 3, 0.0),
        ("drop", 7, 2, 0.02),
        ("duplicate", 6, 2, 0.0),
        ("drop", 6, 2, 0.0),
        ("duplicate", 2, 1, 0.0),
        ("drop", 2, 1, 0.0),
        ("duplicate", 0, 0, 0.0),
    ],
)
def test_tails(tail: str, n_frames: int, n_tokens: int, tail_s: float) -> None:
    bridge = StackMLP(6, 4, k=3, hidden=8, tail=tail)
    tokens = bridge(random_frames([n_frames, 9]))
    assert tokens.lengths.tolist() == [n_tokens, 3]
    assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == n_tokens
    assert tokens.tail_s[0].item() == pytest.approx(tail_s)


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = StackMLP(6, 4, k=3, hidden=8), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters() if p.grad is not None)
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_rates_and_settings() -> None:
    bridge = StackMLP(6, 4, k=5, hidden=7, tail="drop", output_norm="none")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, True, True)
    assert StackMLP(**bridge.settings()).settings() == bridge.settings()
    assert bridge.settings()["hidden"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": -1}, "StackMLP needs k of at least 1 frame per audio token, got -1"),
        ({"tail": "pool"}, "StackMLP does not know the tail 'pool': choose one of duplicate, drop"),
        ({"output_norm": ""}, "does not know the output norm '': choose one of none, rms"),
        ({"hidden": 0}, "StackMLP needs widths of at least 1, got 6, 4, 0"),
        ({"activation": "silu"}, "StackMLP does not know the activation 'silu': choose one of relu, gelu"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        StackMLP(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="StackMLP was built for frames of width 8, got 6"):
        StackMLP(8, 4)(random_frames([4]))
