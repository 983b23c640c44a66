"""Mean pooling: values against plain arithmetic, padding, tails, settings and refusals."""

import pytest
import torch

from ossicle.bridge.pooling import MeanPool, mean_runs
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def test_runs_are_averaged_over_valid_frames_only() -> None:
    values = torch.tensor([[[1.0], [3.0], [5.0], [float("nan")]], [[2.0], [4.0], [6.0], [8.0]]])
    means = mean_runs(values, torch.tensor([3, 4]), 2)
    assert means[..., 0].tolist() == [[2.0, 5.0], [3.0, 7.0]]


def test_a_token_is_pool_then_layer_norm_then_linear() -> None:
    bridge, frames = MeanPool(6, 4, k=2), random_frames([5])
    pooled = torch.stack([frames.values[0, 0:2].mean(0), frames.values[0, 2:4].mean(0), frames.values[0, 4]])
    normed = torch.nn.functional.layer_norm(pooled, (6,))
    expected = normed @ bridge.output.linear.weight.T + bridge.output.linear.bias
    torch.testing.assert_close(bridge(frames).values[0], expected)


def test_without_the_inner_norm_scale_is_kept() -> None:
    bridge, frames = MeanPool(6, 4, norm_in=False), random_frames([4])
    with torch.no_grad():
        bridge.output.linear.bias.zero_()
    double = Frames(frames.values * 2, frames.lengths, frames.rate_hz, frames.durations_s)
    torch.testing.assert_close(bridge(double).values, bridge(frames).values * 2)


def test_the_output_norm_fixes_the_size_of_every_token() -> None:
    tokens = MeanPool(6, 16, output_norm="rms")(random_frames([7, 3]))
    sizes = tokens.values.square().mean(-1).sqrt()
    torch.testing.assert_close(sizes[0], torch.ones(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("tail", "n_frames", "n_tokens", "end_s", "tail_s"),
    [
        ("pool", 7, 3, 0.14, 0.0),
        ("drop", 7, 2, 0.12, 0.02),
        ("pool", 6, 2, 0.12, 0.0),
        ("drop", 6, 2, 0.12, 0.0),
        ("pool", 2, 1, 0.04, 0.0),
        ("drop", 2, 1, 0.04, 0.0),
        ("pool", 0, 0, None, 0.0),
        ("drop", 0, 0, None, 0.0),
    ],
)
def test_tails(tail: str, n_frames: int, n_tokens: int, end_s: float | None, tail_s: float) -> None:
    bridge = MeanPool(6, 4, k=3, tail=tail)
    tokens = bridge(random_frames([n_frames, 9]))
    assert tokens.lengths.tolist() == [n_tokens, 3]
    assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == n_tokens
    assert tokens.tail_s[0].item() == pytest.approx(tail_s)
    if end_s is not None:
        assert tokens.spans_s[0, n_tokens - 1, 1].item() == pytest.approx(end_s)


def test_the_last_span_is_clamped_to_a_duration_inside_its_last_frame() -> None:
    frames = random_frames([5])
    frames = Frames(frames.values, frames.lengths, 50.0, torch.tensor([0.083], dtype=torch.float64))
    assert MeanPool(6, 4)(frames).spans_s[0].flatten().tolist() == [0.0, 0.04, 0.04, 0.08, 0.08, 0.083]


def test_the_last_span_is_extended_to_a_duration_past_its_last_frame() -> None:
    frames = random_frames([4])
    frames = Frames(frames.values, frames.lengths, 50.0, torch.tensor([0.1], dtype=torch.float64))
    assert MeanPool(6, 4)(frames).spans_s[0].flatten().tolist() == [0.0, 0.04, 0.04, 0.1]


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = MeanPool(6, 4, k=3), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters() if p.grad is not None)
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_rates_and_settings() -> None:
    bridge = MeanPool(6, 4, k=4, tail="drop", norm_in=False, output_norm="rms")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (12.5, True, True)
    assert MeanPool(**bridge.settings()).settings() == bridge.settings()
    assert bridge.settings()["k"] == 4


def test_an_empty_batch_gives_no_tokens() -> None:
    assert MeanPool(6, 4)(random_frames([])).values.shape == (0, 0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "MeanPool needs k of at least 1 frame per audio token, got 0"),
        ({"tail": "zero"}, "MeanPool does not know the tail 'zero': choose one of pool, drop"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
        ({"width_out": 0}, "MeanPool needs widths of at least 1, got 6, 0"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        MeanPool(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="MeanPool was built for frames of width 8, got 6"):
        MeanPool(8, 4)(random_frames([4]))
