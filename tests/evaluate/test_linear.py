"""The linear classifier: right where classes can be told, honest where they cannot, the same by either Gram matrix."""

import pytest
import torch

from ossicle.errors import RequestError
from ossicle.evaluate.linear import STRENGTHS, Linear, Rows, _Solver, fitted


def made(n, *, width=8, n_classes=3, told=4.0, seed=0, a_clip=2):
    """``n`` vectors around one centre a class, the centres the same for every seed."""
    rng, ways = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(99)
    labels = torch.randint(n_classes, (n,), generator=rng)
    values = told * torch.randn(n_classes, width, generator=ways)[labels] + torch.randn(n, width, generator=rng)
    return Rows(values, labels, torch.arange(n) // a_clip)


def rate(rows, n_classes=3, test=None, **options):
    one = fitted(rows, n_classes, first_held_out=int(rows.clips[-1]) * 4 // 5)
    return float(one.hits(test or rows).double().mean())


def test_separable_classes_are_told_and_noise_is_not():
    assert rate(made(300), test=made(300, seed=1)) > 0.98
    assert abs(rate(made(300, told=0.0), test=made(600, told=0.0, seed=1)) - 1 / 3) < 0.08


def test_more_numbers_than_vectors_do_not_make_noise_look_told():
    assert rate(made(60, width=200), test=made(300, width=200, seed=1)) > 0.95
    assert rate(made(60, width=200, told=0.0), test=made(600, width=200, told=0.0, seed=1)) < 0.45


@pytest.mark.parametrize(("n", "width"), [(40, 7), (7, 40)])
def test_it_is_ridge_regression_by_either_matrix(n, width):
    rows = made(n, width=width)
    values = rows.values.double()
    values = (values - values.mean(dim=0)) / values.std(dim=0, correction=0)
    targets = torch.nn.functional.one_hot(rows.labels, 3).double()
    powers = values.T @ values / n + 0.1 * torch.eye(width)
    wanted = torch.linalg.solve(powers, values.T @ (targets - targets.mean(dim=0)) / n)
    torch.testing.assert_close(_Solver(rows, 3).at(0.1).weights, wanted)


def test_size_and_place_of_the_inputs_do_not_matter():
    rows, test = made(300, told=0.7), made(300, told=0.7, seed=1)
    moved, moved_test = (Rows(1e3 * one.values - 5e3, one.labels, one.clips) for one in (rows, test))
    assert rate(rows, test=test) == pytest.approx(rate(moved, test=moved_test), abs=0.01)


def test_numbers_that_never_change_do_no_harm():
    rows, test = made(200), made(200, seed=1)
    still = [Rows(torch.cat([one.values, torch.full((200, 3), 7.0)], 1), one.labels, one.clips) for one in (rows, test)]
    assert rate(still[0], test=still[1]) == rate(rows, test=test)
    zeros = Rows(torch.zeros(20, 4), torch.arange(20) % 2, torch.arange(20))
    assert fitted(zeros, 2, first_held_out=16).hits(zeros).double().mean() == 0.5


def test_the_strength_is_chosen_on_what_was_held_out():
    rows = made(80, width=60, told=0.25)
    early = rows.clips < 32
    solver = _Solver(rows.subset(early), 3)
    rates = {one: float(solver.at(one).hits(rows.subset(~early)).double().mean()) for one in STRENGTHS}
    chosen = fitted(rows, 3, first_held_out=32)
    assert rates[chosen.strength] == max(rates.values()) > min(rates.values())
    torch.testing.assert_close(chosen.weights, _Solver(rows, 3).at(chosen.strength).weights)  # and fitted on all


def test_of_strengths_that_are_as_good_the_strongest_is_taken():
    values = torch.tensor([[-1.0], [1.0]]).repeat(10, 1)
    rows = Rows(values, torch.tensor([0, 1]).repeat(10), torch.arange(20))
    assert fitted(rows, 2, first_held_out=16).strength == max(STRENGTHS)


def test_only_what_is_allowed_and_what_was_shown_is_answered():
    one = Linear(
        torch.zeros(1).double(),
        torch.ones(1).double(),
        torch.zeros(1, 3).double(),
        torch.tensor([0.1, 0.5, 0.4]).double(),
        1.0,
    )
    values, clips = torch.zeros(2, 1), torch.arange(2)
    assert one.hits(Rows(values, torch.tensor([1, 2]), clips)).tolist() == [True, False]
    allowed = torch.tensor([[True, False, True], [True, True, False]])
    assert one.hits(Rows(values, torch.tensor([2, 1]), clips, allowed)).tolist() == [True, True]
    shown = made(60, n_classes=2)
    fit = fitted(shown, 3, first_held_out=24)
    assert fit.bias[2] == -torch.inf and not fit.hits(Rows(shown.values, torch.full((60,), 2), shown.clips)).any()


def test_too_little_to_learn_from_is_refused():
    rows = made(20)
    same = Rows(rows.values, torch.zeros_like(rows.labels), rows.clips)
    with pytest.raises(RequestError, match=r"at least 2 classes to learn from .* got 1 and 4: give it more items"):
        fitted(same, 3, first_held_out=8)
    with pytest.raises(RequestError, match="vectors to choose its strength on, got 3 and 0"):
        fitted(rows, 3, first_held_out=10)
