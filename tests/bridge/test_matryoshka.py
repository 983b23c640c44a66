"""Matryoshka: one set of weights at every rate, moments against the cosine transform, drawn rates, refusals."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.bridge.matryoshka import COARSEST, FINEST, MOMENTS, Matryoshka, moments, told
from ossicle.bridge.pooling import MeanPool
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def moved(bridge: Matryoshka) -> Matryoshka:
    """The bridge with weights that training could have given it, in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in (bridge.rate, bridge.shape):
            part.weight.copy_(torch.randn(part.weight.shape, generator=generator) * 0.3)
    return bridge.eval()


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3), k=st.integers(2, 25))
def test_moments_are_those_of_the_cosine_transform_of_each_run(lengths: list[int], k: int) -> None:
    frames = random_frames(lengths, width=2, pad=1)
    got = moments(frames.values.nan_to_num(7.0), frames.lengths, k)
    assert got.shape == (len(lengths), -(-frames.values.shape[1] // k), MOMENTS, 2)
    for row, length in enumerate(lengths):
        for i, first in enumerate(range(0, length, k)):
            run = frames.values[row, first : min(first + k, length)]
            m = len(run)
            for j in range(1, MOMENTS + 1):
                wave = torch.tensor([math.cos(math.pi * j * (t + 0.5) / m) for t in range(m)])
                wanted = (wave[:, None] * run).mean(0) if j < m else torch.zeros(2)
                torch.testing.assert_close(got[row, i, j - 1], wanted, atol=1e-5, rtol=1e-4)
        assert got[row, -(-length // k) :].eq(0).all()


@pytest.mark.parametrize("k", [2, 3, 25])
def test_untrained_it_is_mean_pooling_at_every_rate(k: int) -> None:
    frames, pool = random_frames([60, 31, 1]), MeanPool(6, 4, k=k)
    bridge = Matryoshka(6, 4, k=5, hidden=8, output_norm="none").eval()
    pool.load_state_dict({key: value for key, value in bridge.state_dict().items() if key in pool.state_dict()})
    got, wanted = bridge.at(k)(frames), pool(frames)
    torch.testing.assert_close(got.values, wanted.values)
    assert torch.equal(got.spans_s, wanted.spans_s) and torch.equal(got.lengths, wanted.lengths)


def test_another_rate_has_the_same_weights_and_leaves_the_bridge_as_it_is() -> None:
    bridge, frames = moved(Matryoshka(6, 4, k=4, hidden=8)), random_frames([40])
    other = bridge.at(16)
    assert (bridge.k, other.k, other.settings()["k"]) == (4, 16, 16)
    assert all(a is b for a, b in zip(bridge.parameters(), other.parameters(), strict=True))
    assert (bridge(frames).lengths.tolist(), other(frames).lengths.tolist()) == ([10], [3])
    assert (bridge.n_tokens(40), other.n_tokens(40), other.max_tokens(40)) == (10, 3, 20)
    assert (bridge.expected_hz(50.0), other.expected_hz(50.0)) == (12.5, 3.125)
    torch.testing.assert_close(other.at(4)(frames).values, bridge(frames).values)


def test_the_rate_and_the_order_inside_a_run_are_heard() -> None:
    bridge, frames = moved(Matryoshka(6, 4, k=4, hidden=8)), random_frames([4])
    back = Frames(frames.values.flip(1), frames.lengths, 50.0, frames.durations_s)
    assert (bridge(frames).values - bridge(back).values).abs().max() > 0.01
    one = bridge(frames).values[0, 0], bridge.at(5)(frames).values[0, 0]  # the same four frames
    assert (one[0] - one[1]).abs().max() > 0.01


def test_rates_are_told_apart_by_bounded_numbers() -> None:
    every = torch.stack([told(k) for k in range(FINEST, COARSEST + 1)])
    apart = torch.cdist(every, every) + torch.eye(len(every))
    assert every.abs().max() <= 1 and apart.min() > 0.05


def test_in_training_each_batch_draws_a_rate_from_the_generator_that_a_run_saves() -> None:
    bridge, frames = Matryoshka(6, 4, k=4, hidden=8), random_frames([50, 1])
    assert bridge.training and not bridge.fixed_rate
    state = torch.get_rng_state()
    torch.manual_seed(5)
    drawn = [int(bridge(frames).lengths[0]) for _ in range(30)]
    torch.manual_seed(5)
    again = [int(bridge(frames).lengths[0]) for _ in range(30)]
    assert drawn == again and len(set(drawn)) > 5
    assert all(2 <= n <= bridge.max_tokens(50) == 25 for n in drawn)
    torch.set_rng_state(state)
    bridge.eval()
    before = torch.get_rng_state()
    assert bridge.fixed_rate and bridge(frames).lengths.tolist() == [13, 1]
    assert torch.equal(before, torch.get_rng_state())


def test_drawn_rates_are_log_uniform_and_all_of_them_come() -> None:
    bridge, frames = Matryoshka(2, 2, k=4, hidden=2), random_frames([50], width=2)
    torch.manual_seed(0)
    ends = [float(bridge(frames).spans_s[0, 0, 1]) for _ in range(1500)]
    found = Counter(round(end * 50) for end in ends)
    assert sorted(found) == list(range(FINEST, COARSEST + 1))
    for low, high in ((2, 4), (4, 8), (8, 16)):
        share = sum(found[k] for k in range(low, high)) / 1500
        assert share == pytest.approx(math.log(2) / math.log(13), abs=0.05)


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = moved(Matryoshka(6, 4, k=3, hidden=8)), random_frames([8, 1, 0, 5], pad=4)
    frames = Frames(frames.values.requires_grad_(), frames.lengths, frames.rate_hz, frames.durations_s)
    tokens = bridge(frames)
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters()) and bridge.inner.weight.grad.any()
    assert torch.isfinite(frames.values.grad).all()
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_an_empty_batch_gives_no_tokens() -> None:
    assert Matryoshka(6, 4).eval()(random_frames([])).values.shape == (0, 0, 4)


def test_settings_hold_the_rate_that_nobody_asked_for() -> None:
    bridge = Matryoshka(6, 4, k=5, hidden=7, output_norm="none")
    assert bridge.streamable and Matryoshka(**bridge.settings()).settings() == bridge.settings()
    bridge.at(9)
    assert bridge.settings()["k"] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "Matryoshka needs k of at least 1 frame per audio token, got 0"),
        ({"k": 1}, "Matryoshka serves 2 to 25 frames per audio token, got 1"),
        ({"hidden": 0}, "Matryoshka needs widths of at least 1, got 6, 4, 0"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Matryoshka(**{"width_in": 6, "width_out": 4, **arguments})


def test_a_rate_that_is_not_served_is_refused() -> None:
    with pytest.raises(BridgeError, match="Matryoshka serves 2 to 25 frames per audio token, got 26"):
        Matryoshka(6, 4).at(26)


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="Matryoshka was built for frames of width 8, got 6"):
        Matryoshka(8, 4)(random_frames([4]))
