"""Merging: rounds against one merge at a time, ties, counts, spans, gradients, settings and refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ossicle.bridge.merging import GRID, PLACES, SPREAD, Merging, begins
from ossicle.bridge.pooling import MeanPool
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def one_at_a_time(values: torch.Tensor, n: int) -> list[int]:
    """Where segments begin, if always the two neighbours are merged whose frames are nearest to their joint mean."""
    units = functional.normalize(values, dim=-1).double().numpy()
    starts = list(range(len(units)))

    def key(i: int) -> tuple[int, int]:
        both = units[starts[i] : starts[i + 2] if i + 2 < len(starts) else None]
        return round(float(((both - both.mean(0)) ** 2).sum()) * GRID), starts[i + 1] * SPREAD % PLACES

    keys = [key(i) for i in range(len(starts) - 1)]
    while len(starts) > n:
        i = keys.index(min(keys))
        del starts[i + 1], keys[i]
        keys[max(i - 1, 0) : i + 1] = [key(j) for j in range(max(i - 1, 0), min(i + 1, len(keys)))]
    return starts


def slow_frames(n: int, seed: int, steps: int) -> torch.Tensor:
    """(n, 3) frames as an encoder gives them: alike for a while, then others, in so many steps."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randn(steps, 3, generator=generator)
    where = torch.randint(0, steps, (n,), generator=generator).sort().values
    loud = torch.rand(n, 1, generator=generator) + 0.5
    return kinds[where] * loud + torch.randn(n, 3, generator=generator) * (0.2 if seed % 2 else 0)


@settings(deadline=None, max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    seed=st.integers(0, 999),
    steps=st.integers(1, 12),
    k=st.integers(1, 9),
)
def test_rounds_are_one_merge_at_a_time(lengths: list[int], seed: int, steps: int, k: int) -> None:
    values = torch.full((len(lengths), max(lengths) + 1, 3), float("nan"))
    for row, n in enumerate(lengths):
        values[row, :n] = slow_frames(n, seed + row, steps)
    wanted = torch.tensor([-(-n // k) for n in lengths])
    first = begins(values, torch.tensor(lengths), wanted)
    for row, (n, count) in enumerate(zip(lengths, wanted.tolist(), strict=True)):
        assert first[row].nonzero().flatten().tolist() == one_at_a_time(values[row, :n], count)


def test_what_is_alike_is_merged_and_what_is_not_stays() -> None:
    a, b, c = torch.eye(3)
    frames = torch.stack([a, a * 2, a, b, c, c * 3, c, c, a])  # direction counts, not size
    bridge = Merging(3, 4, k=2, output_norm="none")
    tokens = bridge(Frames(frames[None], torch.tensor([9]), 50.0, torch.tensor([0.17], dtype=torch.float64)))
    assert tokens.lengths.tolist() == [5]
    four = Merging(3, 4, k=3)(Frames(frames[None, :8], torch.tensor([8]), 50.0, torch.tensor([0.16]).double()))
    assert (four.spans_s[0] * 50).flatten().tolist() == pytest.approx([0, 3, 3, 4, 4, 8])
    starts = (tokens.spans_s[0, :, 0] * 50).round().int().tolist()
    assert {0, 3, 4, 8} < set(starts) and tokens.spans_s[0, -1, 1] == 0.17
    ends = [*starts[1:], 9]
    means = torch.stack([frames[i:j].mean(0) for i, j in zip(starts, ends, strict=True)])
    expected = bridge.output.linear(functional.layer_norm(means, (3,)))
    torch.testing.assert_close(tokens.values[0], expected)


@pytest.mark.parametrize("k", [2, 4, 7, 16])
def test_frames_that_are_all_alike_are_merged_evenly_in_spite_of_rounding(k: int) -> None:
    frames = torch.ones(1, 300, 6) + torch.randn(1, 300, 6, generator=torch.Generator().manual_seed(k)) * 1e-6
    several = [begins(one, torch.tensor([300]), torch.tensor([300 // k]))[0] for one in (torch.ones(1, 300, 6), frames)]
    assert torch.equal(*several)
    sizes = several[0].nonzero().flatten().diff(append=torch.tensor([300]))
    assert sizes.max() <= 2.5 * k


def test_k_of_one_merges_nothing() -> None:
    frames = random_frames([7, 3])
    pool, merging = MeanPool(6, 4, k=1), Merging(6, 4, k=1, output_norm="none")
    merging.load_state_dict(pool.state_dict())
    torch.testing.assert_close(merging(frames).values, pool(frames).values)
    torch.testing.assert_close(merging(frames).spans_s, pool(frames).spans_s)


def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients() -> None:
    bridge, frames = Merging(6, 4, k=3), random_frames([8, 1, 0, 5], pad=4)
    frames = Frames(frames.values.requires_grad_(), frames.lengths, frames.rate_hz, frames.durations_s)
    tokens = bridge(frames)
    assert tokens.lengths.tolist() == [bridge.n_tokens(n) for n in (8, 1, 0, 5)] == [3, 1, 0, 2]
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    assert torch.isfinite(frames.values.grad).all() and frames.values.grad[0, :8].ne(0).any(-1).all()
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_an_empty_batch_gives_no_tokens() -> None:
    assert Merging(6, 4)(random_frames([])).values.shape == (0, 0, 4)
    assert Merging(6, 4)(random_frames([0])).lengths.tolist() == [0]


def test_rates_and_settings() -> None:
    bridge = Merging(6, 4, k=5, output_norm="none")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, True, False)
    assert Merging(**bridge.settings()).settings() == bridge.settings() and bridge.max_tokens(11) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "Merging needs k of at least 1 frame per audio token, got 0"),
        ({"width_out": 0}, "Merging needs widths of at least 1, got 6, 0"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Merging(**{"width_in": 6, "width_out": 4, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="Merging was built for frames of width 8, got 6"):
        Merging(8, 4)(random_frames([4]))
