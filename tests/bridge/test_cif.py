"""Integrate and fire: the closed form against a loop that adds up, rests, spans, the aim in training, the own loss."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.bridge.cif import Cif, crossings, fire
from ossicle.bridge.own import OwnLesson
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def added_up(weights: list[float], n: int) -> list[list[float]]:
    """The shares of frames in tokens, by adding up frame after frame; the last token takes all that is left."""
    tokens, room = [[0.0] * len(weights)], 1.0
    for t, weight in enumerate(weights):
        while len(tokens) < n and weight >= room:
            tokens[-1][t] += room
            weight, room = weight - room, 1.0
            tokens.append([0.0] * len(weights))
        tokens[-1][t] += weight
        room -= weight
    return [[share / sum(token) for share in token] for token in tokens]


@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(st.lists(st.floats(0.01, 3.0), min_size=1, max_size=25), min_size=1, max_size=4),
    less=st.integers(0, 2),
)
def test_the_closed_form_is_the_loop(rows: list[list[float]], less: int) -> None:
    """Weights above one fill several tokens from one frame; a last token may be left with more than one."""
    n = torch.tensor([max(1, int(sum(row) + 0.5) - less) for row in rows])
    weights = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.float64)
    for into, row in zip(weights, rows, strict=True):
        into[: len(row)] = torch.tensor(row, dtype=torch.float64)
    shares = fire(weights, n)
    for i, (row, count) in enumerate(zip(rows, n.tolist(), strict=True)):
        wanted = torch.tensor(added_up(row, count), dtype=torch.float64)
        torch.testing.assert_close(shares[i, :count, : len(row)], wanted, atol=1e-7, rtol=1e-6)
        assert shares[i, count:].eq(0).all() and shares[i, :, len(row) :].eq(0).all()


def test_a_known_example() -> None:
    weights = torch.tensor([0.3, 0.4, 0.5, 0.2, 0.7, 0.6], dtype=torch.float64)
    shares = fire(weights[None], torch.tensor([3]))[0]
    wanted = [[0.3, 0.4, 0.3, 0, 0, 0], [0, 0, 0.2, 0.2, 0.6, 0], [0, 0, 0, 0, 1 / 7, 6 / 7]]
    torch.testing.assert_close(shares, torch.tensor(wanted, dtype=torch.float64))
    assert crossings(weights, 3).tolist() == pytest.approx([2.6, 4 + 0.6 / 0.7])


@settings(deadline=None, max_examples=60)
@given(weights=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=25))
def test_spans_end_where_the_sums_cross(weights: list[float]) -> None:
    row = torch.tensor(weights, dtype=torch.float64)
    n = max(1, int(sum(weights) + 0.5))
    at = crossings(row, n)
    below = torch.cat([torch.zeros(1, dtype=torch.float64), row.cumsum(0)])
    sums = [float(below[int(x)] + (x - int(x)) * (row[int(x)] if x < len(row) else 0)) for x in at.tolist()]
    assert sums == pytest.approx(list(range(1, n)), abs=1e-9)


def test_rests_of_at_least_a_half_fire_once_more() -> None:
    bridge = Cif(6, 4, k=4).eval()
    with torch.no_grad():
        bridge.weight.weight.zero_()  # every frame weighs a quarter
    lengths = [1, 2, 3, 5, 6, 9, 11]
    assert bridge(random_frames(lengths)).lengths.tolist() == [1, 1, 1, 1, 2, 2, 3]


def test_a_token_is_a_weighted_mean_then_layer_norm_then_the_output() -> None:
    torch.manual_seed(1)
    bridge, frames = Cif(6, 4, k=3, output_norm="none").eval(), random_frames([11], pad=2)
    tokens, weights = bridge(frames), bridge.weights(frames)
    shares = torch.tensor(added_up(weights[0, :11].tolist(), int(tokens.lengths[0])))
    normed = torch.nn.functional.layer_norm(shares @ frames.values[0, :11], (6,))
    torch.testing.assert_close(tokens.values[0], bridge.output.linear(normed), atol=1e-5, rtol=1e-5)
    cuts = crossings(weights[0, :11].detach(), int(tokens.lengths[0]))
    torch.testing.assert_close(tokens.spans_s[0, 1:, 0], cuts / 50)
    assert tokens.spans_s[0, -1, 1] == 11 / 50


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), k=st.integers(2, 9), loud=st.floats(-9, 9))
def test_in_training_the_aim_is_reached_exactly(lengths: list[int], k: int, loud: float) -> None:
    bridge = Cif(6, 4, k=k).train()
    with torch.no_grad():
        bridge.weight.bias.add_(loud)
        bridge.weight.weight.mul_(30)
    tokens = bridge(random_frames(lengths, pad=1))
    wanted = [-(-n // k) for n in lengths]
    assert tokens.lengths.tolist() == wanted == [bridge.max_tokens(n) for n in lengths]
    for row, n in enumerate(wanted):
        assert (tokens.spans_s[row, :n, 1] > tokens.spans_s[row, :n, 0]).all()
    bridge.eval()
    free = bridge(random_frames(lengths, pad=1)).lengths.tolist()
    assert all(1 <= n <= bridge.max_tokens(t) == t for n, t in zip(free, lengths, strict=True))


def test_the_last_span_ends_with_a_clip_that_ends_inside_its_last_frame() -> None:
    torch.manual_seed(0)
    bridge, frames = Cif(6, 4, k=2).train(), random_frames([3])
    frames = Frames(frames.values, frames.lengths, 50.0, torch.tensor([0.041], dtype=torch.float64))
    spans = bridge(frames).spans_s[0]
    assert spans[-1, 1] == 0.041 and (spans[:, 1] > spans[:, 0]).all() and spans[0, 1] == spans[1, 0]


@pytest.mark.parametrize("k", [2, 4, 16])
def test_untrained_it_gives_about_the_tokens_that_are_aimed_at(k: int) -> None:
    torch.manual_seed(0)
    got = [int(Cif(64, 4, k=k).eval()(random_frames([800], width=64)).lengths[0]) for _ in range(5)]
    assert all(0.8 * 800 / k < n < 1.25 * 800 / k for n in got), got


def test_the_own_loss_is_the_share_by_which_the_sums_miss() -> None:
    torch.manual_seed(2)
    bridge, frames = Cif(6, 4, k=4), random_frames([9, 4, 0], pad=3)
    sums, aim = bridge.weights(frames).sum(1), torch.tensor([3, 1, 0])
    loss = bridge.own_loss(frames, None)
    assert loss.dtype == torch.float32 and loss.dim() == 0
    assert loss.item() == pytest.approx(((sums - aim).abs().sum() / 4).item())
    loss.backward()
    heads = [*bridge.norm_frames.parameters(), *bridge.near.parameters(), *bridge.weight.parameters()]
    assert all(torch.isfinite(one.grad).all() and one.grad.any() for one in heads)
    assert isinstance(bridge, OwnLesson) and bridge.own_loss(random_frames([0]), None).tolist() == 0


def test_its_own_loss_alone_teaches_the_rate() -> None:
    torch.manual_seed(0)
    bridge, frames = Cif(6, 4, k=3), random_frames([90, 60])
    with torch.no_grad():
        bridge.weight.bias.add_(2)
    optimizer = torch.optim.Adam(bridge.parameters(), lr=0.1)
    before = bridge.eval()(frames).lengths.tolist()
    for _ in range(30):
        optimizer.zero_grad()
        bridge.own_loss(frames, None).backward()
        optimizer.step()
    after = bridge(frames).lengths.tolist()
    assert before[0] > 60 and 28 <= after[0] <= 32 and 18 <= after[1] <= 22, after


@pytest.mark.parametrize("training", [True, False])
def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients(training: bool) -> None:
    torch.manual_seed(0)
    bridge, frames = Cif(6, 4, k=2).train(training), random_frames([8, 1, 0, 5], pad=4)
    frames = Frames(frames.values.requires_grad_(), frames.lengths, frames.rate_hz, frames.durations_s)
    tokens = bridge(frames)
    (tokens.values.square().sum() + bridge.own_loss(frames, None)).backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    assert torch.isfinite(frames.values.grad).all() and bridge.near.weight.grad.any()
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0], atol=1e-5, rtol=1e-5)


def test_an_empty_batch_gives_no_tokens() -> None:
    assert Cif(6, 4)(random_frames([])).values.shape == (0, 0, 4)
    assert Cif(6, 4).eval()(random_frames([0])).lengths.tolist() == [0]


def test_rates_and_settings() -> None:
    bridge = Cif(6, 4, k=5, own_weight=0.5, output_norm="none")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, False, False)
    assert Cif(**bridge.settings()).settings() == bridge.settings() and bridge.settings()["own_weight"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "Cif needs k of at least 1 frame per audio token, got 0"),
        ({"k": 1}, "Cif needs k of at least 2 frames per audio token, got 1"),
        ({"own_weight": float("nan")}, "Cif needs an own_weight of at least 0, got nan"),
        ({"width_in": 0}, "Cif needs widths of at least 1, got 0, 4"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Cif(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="Cif was built for frames of width 8, got 6"):
        Cif(8, 4)(random_frames([4]))
