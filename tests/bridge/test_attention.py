"""Attention pooling: a mean at step 0, values by plain arithmetic, order, padding, spans, settings and refusals."""

import pytest
import torch

from ossicle.bridge.attention import AttentionPool
from ossicle.bridge.calibrate import calibrate
from ossicle.bridge.pooling import mean_runs
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def learned(**arguments: object) -> AttentionPool:
    """One whose queries have left zero, and whose positions weigh."""
    bridge = AttentionPool(**{"width_in": 6, "width_out": 4, "k": 3, "heads": 2, **arguments})
    torch.nn.init.normal_(bridge.query, std=3.0)
    torch.nn.init.normal_(bridge.position)
    return bridge


@pytest.mark.parametrize("queries", [1, 3])
def test_it_begins_as_the_mean_of_a_window(queries: int) -> None:
    bridge, frames = AttentionPool(6, 4, k=3, queries=queries, heads=2), random_frames([8, 1, 5])
    means = bridge.mix(bridge.to_value(mean_runs(frames.values, frames.lengths, 3)))
    expected = bridge.output(bridge.norm_in(means)).repeat_interleave(queries, dim=1)
    tokens = bridge(frames)
    for row, n in enumerate(tokens.lengths.tolist()):
        torch.testing.assert_close(tokens.values[row, :n], expected[row, :n])


@pytest.mark.parametrize("norm_in", [True, False])
def test_a_token_is_what_its_query_reads_by_each_head(norm_in: bool) -> None:
    bridge, frames = learned(queries=2, norm_in=norm_in, output_norm="rms"), random_frames([3])
    window, query = frames.values[0], bridge.to_query(bridge.query)
    key, value = bridge.to_key(window) + bridge.position, bridge.to_value(window)
    read = torch.zeros(2, 6)
    for head in (slice(0, 3), slice(3, 6)):
        scores = query[:, head] @ key[:, head].T / 3**0.5
        read[:, head] = scores.softmax(-1) @ value[:, head]
    read = bridge.mix(read)
    read = bridge.norm_in(read) if norm_in else read
    assert (bridge.norm_in is None) != norm_in
    torch.testing.assert_close(bridge(frames).values[0], bridge.output(read))


def test_frames_in_another_order_are_told_apart_once_positions_weigh() -> None:
    frames = random_frames([3])
    turned = Frames(frames.values.flip(1), frames.lengths, frames.rate_hz, frames.durations_s)
    new, trained = AttentionPool(6, 4, k=3, heads=2), learned()
    torch.testing.assert_close(new(turned).values, new(frames).values)
    assert not torch.allclose(trained(turned).values, trained(frames).values, atol=1e-3)


def test_queries_and_positions_learn_from_the_first_steps_on() -> None:
    bridge, frames = AttentionPool(6, 4, k=3, heads=2), random_frames([9])
    optimizer = torch.optim.SGD(bridge.parameters(), lr=0.1)
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        bridge(frames).values.square().sum().backward()
        moved.append([float(value.grad.abs().max()) for value in (bridge.query, bridge.position)])
        optimizer.step()
    assert moved[0][0] > 0 and moved[0][1] == 0 and moved[1][1] > 0


@pytest.mark.parametrize(("n_frames", "n_tokens"), [(0, 0), (1, 2), (3, 2), (4, 4), (7, 6)])
def test_no_frame_is_lost(n_frames: int, n_tokens: int) -> None:
    bridge = learned(queries=2)
    tokens = bridge(random_frames([n_frames, 9]))
    assert tokens.lengths.tolist() == [n_tokens, 6] and tokens.tail_s.tolist() == [0, 0]
    assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == n_tokens


def test_the_tokens_of_a_window_share_its_seconds() -> None:
    spans = learned(queries=2)(random_frames([5])).spans_s[0]
    torch.testing.assert_close(spans[:, 0], torch.tensor([0.0, 0.03, 0.06, 0.08], dtype=torch.float64))
    assert torch.equal(spans[1:, 0], spans[:-1, 1]) and float(spans[-1, 1]) == 0.1


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = learned(queries=2), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_an_empty_batch_gives_no_tokens() -> None:
    assert learned()(random_frames([])).values.shape == (0, 0, 4)


@pytest.mark.parametrize("output_norm", ["none", "rms"])
def test_it_is_calibrated(output_norm: str) -> None:
    bridge = AttentionPool(6, 16, k=2, heads=2, output_norm=output_norm)
    assert calibrate(bridge, random_frames([40]), torch.randn(50, 16) * 0.02).ratio == pytest.approx(1, abs=0.01)


def test_the_size_is_four_square_maps_and_the_projection() -> None:
    with torch.device("meta"):
        bridge = AttentionPool(1280, 4096, k=4, queries=2, norm_in=False)
    assert sum(p.numel() for p in bridge.parameters()) == 4 * 1280**2 + 6 * 1280 + 1281 * 4096  # 11.8 M


def test_rates_and_settings() -> None:
    bridge = AttentionPool(6, 4, k=5, queries=2, heads=3, norm_in=False, output_norm="rms")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (20.0, True, True)
    assert AttentionPool(**bridge.settings()).settings() == bridge.settings()
    assert bridge.settings()["heads"] == 3 and bridge.settings()["norm_in"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "AttentionPool needs k of at least 1 frame per audio token, got 0"),
        ({"queries": 0}, "AttentionPool needs at least 1 query, got 0"),
        ({"heads": 4}, "AttentionPool needs a number of heads that divides the width 6, got 4"),
        ({"heads": 0}, "AttentionPool needs a number of heads that divides the width 6, got 0"),
        ({"width_out": 0}, "AttentionPool needs widths of at least 1, got 6, 0"),
        ({"output_norm": "l2"}, "does not know the output norm 'l2': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        AttentionPool(**{"width_in": 6, "width_out": 4, "heads": 2, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="AttentionPool was built for frames of width 8, got 6"):
        AttentionPool(8, 4)(random_frames([4]))
