"""The strided convolution: values against plain arithmetic, padding, tails, settings and refusals."""

import pytest
import torch

from ossicle.bridge.calibrate import calibrate
from ossicle.bridge.conv import ConvMLP
from ossicle.errors import BridgeError

from .support import random_frames, row_of


def test_a_token_is_convolution_relu_linear_relu_linear_of_its_run() -> None:
    bridge, frames = ConvMLP(6, 4, k=3, hidden=10, output_norm="none"), random_frames([7])
    filled = torch.cat([frames.values[0], torch.zeros(2, 6)])  # zeros fill the last run
    inner, outer = bridge.inner[1], bridge.output.linear
    assert (bridge.conv.kernel_size, bridge.conv.stride) == ((3,), (3,))
    values = bridge.conv(filled.T[None])[0].T.clamp(min=0)
    values = (values @ inner.weight.T + inner.bias).clamp(min=0)
    torch.testing.assert_close(bridge(frames).values[0], values @ outer.weight.T + outer.bias)


def test_the_output_norm_fixes_the_size_of_every_token_and_is_calibrated() -> None:
    bridge = ConvMLP(6, 16, k=2, hidden=32)
    sizes = bridge(random_frames([8])).values.square().mean(-1).sqrt()
    torch.testing.assert_close(sizes[0], torch.ones(4), atol=1e-2, rtol=0)
    assert calibrate(bridge, random_frames([40]), torch.randn(50, 16) * 0.02).ratio == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("tail", "n_frames", "n_tokens", "tail_s"),
    [
        ("zero", 7, 3, 0.0),
        ("drop", 7, 2, 0.02),
        ("zero", 6, 2, 0.0),
        ("drop", 6, 2, 0.0),
        ("drop", 2, 1, 0.0),
        ("zero", 0, 0, 0.0),
    ],
)
def test_tails(tail: str, n_frames: int, n_tokens: int, tail_s: float) -> None:
    bridge = ConvMLP(6, 4, k=3, hidden=8, tail=tail)
    tokens = bridge(random_frames([n_frames, 9]))
    assert tokens.lengths.tolist() == [n_tokens, 3]
    assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == n_tokens
    assert tokens.tail_s[0].item() == pytest.approx(tail_s)


@pytest.mark.parametrize("tail", ["zero", "drop"])
def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients(tail: str) -> None:
    bridge, frames = ConvMLP(6, 4, k=3, hidden=8, tail=tail), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_the_published_size() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in ConvMLP(1280, 4096, output_norm="none").parameters()) == 19_209_472  # 19.21 M


def test_rates_and_settings() -> None:
    bridge = ConvMLP(6, 4, k=5, hidden=7, tail="drop", output_norm="none")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, True, True)
    assert ConvMLP(**bridge.settings()).settings() == bridge.settings()
    assert bridge.settings()["hidden"] == 7 and (ConvMLP(6, 4).k, ConvMLP(6, 4).hidden) == (5, 2048)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "ConvMLP needs k of at least 1 frame per audio token, got 0"),
        ({"tail": "duplicate"}, "ConvMLP does not know the tail 'duplicate': choose one of zero, drop"),
        ({"output_norm": ""}, "does not know the output norm '': choose one of none, rms"),
        ({"hidden": 0}, "ConvMLP needs widths of at least 1, got 6, 4, 0"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        ConvMLP(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="ConvMLP was built for frames of width 8, got 6"):
        ConvMLP(8, 4, hidden=8)(random_frames([4]))
