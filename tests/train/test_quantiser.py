"""Quantisers: what they choose, what moves them, what they refuse."""

import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.train.quantiser import ProductQuantiser, RandomProjection, perplexity


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def learned(seed: int = 0) -> ProductQuantiser:
    torch.manual_seed(seed)
    return ProductQuantiser(8, 6, groups=2, n_codes=5)


def test_in_evaluation_the_likeliest_codes_are_taken_and_their_vectors_stand_side_by_side() -> None:
    quantiser, values = learned().eval(), drawn(7, 8)
    found = quantiser(values, temperature=1.0)
    logits = quantiser.choose(quantiser.norm(values)).reshape(7, 2, 5)
    assert torch.equal(found.codes, logits.argmax(-1))
    sides = [quantiser.vectors[group][found.codes[:, group]] for group in range(2)]
    assert torch.allclose(found.vectors, quantiser.project(torch.cat(sides, 1)), atol=1e-6)
    assert torch.equal(quantiser(values, temperature=9.0).vectors, found.vectors)


def test_in_training_choices_are_drawn_and_what_is_to_be_guessed_is_not() -> None:
    quantiser, values = learned().train(), drawn(50, 8)
    one, other = quantiser(values, temperature=1.0), quantiser(values, temperature=1.0)
    assert torch.equal(one.codes, other.codes) and not torch.equal(one.vectors, other.vectors)
    (one.vectors * drawn(50, 6, seed=1)).sum().backward()
    for weight in (quantiser.choose.weight, quantiser.vectors, quantiser.project.weight):
        assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_codes_that_are_never_chosen_cost() -> None:
    quantiser = learned().eval()
    with torch.no_grad():
        quantiser.choose.weight.zero_()
        quantiser.choose.bias.zero_()
        assert quantiser(drawn(9, 8), temperature=1.0).unused.abs() < 1e-6
        quantiser.choose.bias[[0, 5]] = 50.0
        assert abs(quantiser(drawn(9, 8), temperature=1.0).unused - 0.8) < 1e-5  # one of five is left in each group


def test_perplexity_counts_what_is_in_use() -> None:
    assert torch.allclose(perplexity(torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])), torch.tensor([2.0, 1.0]))


def test_a_random_projection_takes_the_nearest_of_its_directions_and_never_changes() -> None:
    quantiser, values = RandomProjection(8, groups=3, n_codes=6, inner=4, seed=5), drawn(40, 8)
    codes = quantiser(values)
    normed = (values - values.mean(1, keepdim=True)) / values.std(1, keepdim=True, correction=0)
    inner = torch.nn.functional.normalize(torch.einsum("nd,gde->nge", normed, quantiser.projections), dim=-1)
    nearest = (inner[:, :, None] - quantiser.directions).norm(dim=-1).argmin(-1)
    assert torch.equal(codes, nearest) and len(codes.unique()) == 6
    assert torch.equal(quantiser(3 * values + 1), codes)  # louder is not other
    assert torch.equal(RandomProjection(8, groups=3, n_codes=6, inner=4, seed=5)(values), codes)
    assert not torch.equal(RandomProjection(8, groups=3, n_codes=6, inner=4, seed=6)(values), codes)
    assert not list(quantiser.parameters()) and not quantiser.state_dict()


def test_codebooks_in_which_there_is_nothing_to_choose_are_refused() -> None:
    for groups, n_codes in ((0, 4), (1, 1)):
        with pytest.raises(ConfigError, match=f"at least 1 group of at least 2 codes, got {groups} of {n_codes}"):
            RandomProjection(8, groups=groups, n_codes=n_codes)
        with pytest.raises(ConfigError, match="at least 1 group"):
            ProductQuantiser(8, 6, groups=groups, n_codes=n_codes)
    with pytest.raises(ConfigError, match="width 7 cannot be shared by 2 groups"):
        ProductQuantiser(8, 7, groups=2, n_codes=4)
