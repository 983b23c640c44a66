"""Calibration: the tokens get the embeddings' size, whatever the bridge and its output norm."""

import pytest
import torch
from torch import nn

from ossicle.bridge.calibrate import BLOCK, calibratable, calibrate, nearest_cosines
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.stacking import StackMLP
from ossicle.errors import BridgeError

from .support import random_frames

ROWS = torch.full((9, 16), 0.25)  # every row has the norm 1.0


@pytest.mark.parametrize("output_norm", ["none", "rms"])
@pytest.mark.parametrize("build", [MeanPool, StackMLP])
def test_tokens_get_the_median_size_of_the_embeddings(build: type[nn.Module], output_norm: str) -> None:
    torch.manual_seed(0)
    bridge = build(6, 16, k=2, output_norm=output_norm)
    frames = random_frames([40, 23])
    before = bridge(frames).values[0].norm(dim=-1).median().item()
    found = calibrate(bridge, frames, ROWS)
    assert found.median_embedding == pytest.approx(1.0)
    assert found.median_before == pytest.approx(before, rel=0.2)
    assert found.median_after == pytest.approx(1.0, rel=1e-2)
    assert found.ratio == pytest.approx(found.median_after)
    assert bridge(frames).values[0].norm(dim=-1).median().item() == pytest.approx(1.0, rel=0.2)


def test_the_gain_is_the_median_over_the_root_of_the_width() -> None:
    bridge = MeanPool(6, 16, output_norm="rms")
    calibrate(bridge, random_frames([10]), ROWS)
    torch.testing.assert_close(bridge.output.norm.weight, torch.full((16,), 0.25))


def test_the_cosine_tells_collapsed_tokens() -> None:
    bridge = MeanPool(6, 16, norm_in=False)
    assert calibrate(bridge, random_frames([40]), ROWS).cosine < 0.9
    with torch.no_grad():
        bridge.output.linear.weight.mul_(1e-3)
        bridge.output.linear.bias.fill_(1.0)
    assert calibrate(bridge, random_frames([40]), ROWS).cosine > 0.99


def test_the_cosine_is_the_mean_over_pairs() -> None:
    bridge, frames = MeanPool(6, 16), random_frames([6])
    found = calibrate(bridge, frames, ROWS)
    tokens = bridge(frames).values[0]
    pairs = [torch.cosine_similarity(tokens[i], tokens[j], dim=0).item() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.cosine == pytest.approx(sum(pairs) / 3, abs=1e-5)


def test_embeddings_of_no_size_give_no_ratio() -> None:
    assert calibrate(MeanPool(6, 16), random_frames([6]), torch.zeros(3, 16)).ratio == 0.0


def test_an_output_of_ones_own_is_not_ours() -> None:
    own = nn.Module()
    own.output = nn.Linear(6, 16)
    assert [calibratable(one) for one in (MeanPool(6, 16), StackMLP(6, 16), own, nn.Linear(6, 16))] == [
        True,
        True,
        False,
        False,
    ]


def test_calibration_needs_rows_and_tokens() -> None:
    with pytest.raises(BridgeError, match="at least one embedding row, got none"):
        calibrate(MeanPool(6, 16), random_frames([6]), ROWS[:0])
    with pytest.raises(BridgeError, match="at least 2 audio tokens, got 1: give it a longer clip"):
        calibrate(MeanPool(6, 16), random_frames([2]), ROWS)


def test_tokens_that_are_all_zero_cannot_be_scaled() -> None:
    bridge = MeanPool(6, 16)
    with torch.no_grad():
        bridge.output.linear.weight.zero_()
        bridge.output.linear.bias.zero_()
    with pytest.raises(BridgeError, match="all zero: nothing can be scaled"):
        calibrate(bridge, random_frames([6]), ROWS)


def test_the_nearest_is_found_in_every_block() -> None:
    others = torch.zeros(2 * BLOCK + 3, 4)
    others[:, 0] = 1.0
    others[-1] = torch.tensor([0.0, 0.0, 2.0, 0.0])
    rows = torch.tensor([[0.0, 0.0, 5.0, 0.0], [3.0, 4.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0]])
    torch.testing.assert_close(nearest_cosines(rows, others), torch.tensor([1.0, 0.6, 0.0]))
