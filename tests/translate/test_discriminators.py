"""Discriminators: that they learn to tell, what their losses are, and whose weights move."""

import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.translate.discriminators import (
    Discriminators,
    Judged,
    deception_loss,
    discriminator_loss,
    feature_distance,
    judged_by_frozen,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def small() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(2)


def judged(score: float, feature: float) -> Judged:
    return Judged(torch.full((2, 3), score), (torch.full((2, 4, 5), feature), torch.full((2, 4), 2 * feature)))


@pytest.mark.parametrize("n", [1120, 1121, 2049])
def test_eight_judge_waveforms_of_any_length_each_row_by_itself(n: int) -> None:
    wave = noise(3, n)
    said = small()(wave)
    assert len(said) == 8
    for one, alone in zip(said, small()(wave[1:2]), strict=True):
        assert len(one.scores) == 3 and one.scores.ndim == 2 and len(one.features) == 4
        torch.testing.assert_close(one.scores[1:2], alone.scores, atol=1e-5, rtol=0)


def test_the_losses_are_those_of_the_paper() -> None:
    true, made = [judged(0.5, 1.0), judged(1.0, 1.0)], [judged(0.25, 4.0), judged(0.0, 1.0)]
    assert float(discriminator_loss(true, made)) == pytest.approx(0.25 + 0.0625)
    assert float(deception_loss(made)) == pytest.approx(0.5625 + 1.0)
    assert float(feature_distance(true, made)) == pytest.approx(3.0 + 6.0)


def test_they_learn_to_tell_noise_from_tones() -> None:
    ours = small()
    moves = torch.optim.AdamW(ours.parameters(), lr=1e-2)
    tones = 0.1 * torch.sin(torch.arange(1600) * torch.tensor([[0.1], [0.2], [0.4], [0.8]]))
    losses = []
    for _ in range(40):
        loss = discriminator_loss(ours(noise(4, 1600)), ours(tones))
        losses.append(loss.item())
        moves.zero_grad()
        loss.backward()
        moves.step()
    assert losses[-1] < 3  # eight that cannot decide say one half everywhere, which costs 4


def test_judged_by_frozen_gives_slopes_to_the_samples_alone_and_the_same_scores() -> None:
    ours, made = small(), noise(1, 1200).requires_grad_()
    frozen = judged_by_frozen(ours, made)
    (deception_loss(frozen) + feature_distance(ours(noise(1, 1200, seed=1)), frozen)).backward()
    assert made.grad is not None and made.grad.isfinite().all() and made.grad.any()
    assert all(value.grad is None for value in ours.parameters())
    for a, b in zip(frozen, ours(made), strict=True):
        assert torch.equal(a.scores, b.scores)


def test_the_width_is_told_and_a_width_of_none_refused() -> None:
    n = [sum(value.numel() for value in Discriminators(width).parameters()) for width in (2, 8)]
    assert n[1] > 8 * n[0]
    with pytest.raises(ConfigError, match="discriminators of width 0 do not exist: it must be at least 1"):
        Discriminators(0)
