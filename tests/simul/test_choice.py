"""Probabilities of writing, and the steps of a source that they are of."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ossicle.errors import ConfigError
from ossicle.simul.choice import Choice, Choices, n_steps, pooled, spread


def test_at_the_start_it_leans_to_reading() -> None:
    choice = Choice(16, 4)
    with torch.no_grad():
        for value in choice.source.parameters():
            value.zero_()
        p = choice(torch.randn(2, 3, 16), choice.keys(torch.randn(2, 5, 16)))
    assert p.shape == (2, 4, 3, 5) and p.dtype == torch.float32
    assert torch.allclose(p, torch.sigmoid(torch.tensor(-2.5))) and p[0, 0, 0, 0].item() == pytest.approx(
        0.0759, abs=1e-4
    )


def test_probabilities_are_those_of_the_definition() -> None:
    torch.manual_seed(0)
    choice = Choice(8, 2, layers=2, temperature=0.5)
    states, steps = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    with torch.no_grad():
        p = choice(states, choice.keys(steps))
        queries, keys = choice.state(states)[0], choice.source(steps)[0]
        assert (queries >= 0).all() and (keys >= 0).all()  # the last layer has a ReLU too
        for head in range(2):
            for i in range(3):
                for j in range(4):
                    part = slice(4 * head, 4 * head + 4)
                    energy = float(queries[i, part] @ keys[j, part]) / 2 - 0.5
                    assert p[0, head, i, j].item() == pytest.approx(1 / (1 + math.exp(-energy / 0.5)), abs=1e-6)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3), ratio=st.integers(1, 4))
def test_steps_are_means_over_what_there_is(lengths: list[int], ratio: int) -> None:
    values = torch.arange(float(max(lengths) * len(lengths))).view(len(lengths), -1, 1)
    steps, counts = pooled(values, torch.tensor(lengths), ratio)
    assert counts.tolist() == [n_steps(n, ratio) for n in lengths]
    for row, n in enumerate(lengths):
        alone = [float(values[row, i : min(i + ratio, n)].mean()) for i in range(0, n, ratio)]
        assert steps[row, : len(alone), 0].tolist() == pytest.approx(alone)
        assert (steps[row, len(alone) :] == 0).all()
    said = torch.rand(len(lengths), 2, 1, steps.shape[1])
    for row, n in enumerate(counts.tolist()):
        said[row, ..., n:] = 0
    wide = spread(said, torch.tensor(lengths), ratio, max(lengths))
    for row, n in enumerate(lengths):
        places = [min(i + ratio, n) - 1 for i in range(0, n, ratio)]
        assert torch.equal(wide[row, :, :, places], said[row, :, :, : len(places)])
    assert torch.allclose(wide.sum(-1), said.sum(-1))


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"heads": 3}, {"heads": 0}, {"heads": 2, "layers": 0}, {"heads": 2, "temperature": 0.0}):
        with pytest.raises(ConfigError, match="a choice has heads that divide its width, a layer at least"):
            Choice(8, **wrong)
    with pytest.raises(ConfigError, match="a step holds at least one output of the encoder: got 0"):
        Choices(8, 2, 1, ratio=0)
