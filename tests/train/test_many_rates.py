"""One checkpoint at many rates: beside whom it is set, and how much its error rate changes."""

import pytest

from ossicle.train.many_rates import one_checkpoint

from .test_ranking import found, result


def test_it_is_set_beside_the_best_of_equal_rate_that_was_trained_for_the_rate() -> None:
    several = one_checkpoint(
        found(
            *(result("nested", 4, 0.8, also={8: 0.6}), result("other", 4, 0.7, also={8: 0.99})),
            *(result("mean", 8, 0.5), result("conv", 8, 0.7), result("greedy", 8, 0.9, rate=20.0)),
            result("nested", 4, 0.9, also={8: 0.9}, double=True),
        )
    )
    assert [(one.row.place, one.trained_k) for one in several] == [
        *((("nested", 4, False), 4), (("nested", 8, False), 4), (("other", 4, False), 4), (("other", 8, False), 4))
    ]
    at = several[1]
    assert at.best is not None and at.best.row.place[0] == "conv"
    assert at.best.relative == pytest.approx(1 / 3) and at.best.within is False
    assert at.best.difference.value == pytest.approx(-0.1) and at.best.difference.high < 0
    assert at.reference is not None and at.reference.row.place[0] == "mean"
    assert at.reference.relative == pytest.approx(-0.2) and at.reference.within is True


def test_a_checkpoint_is_what_was_trained_for_one_rate() -> None:
    cells = [result("nested", 4, 0.8, also={8: 0.6}), result("nested", 8, 0.9, also={4: 0.5}), result("mean", 8, 0.5)]
    several = one_checkpoint(found(*cells))
    assert {(one.trained_k, one.row.place[1]): one.row.value for one in several} == {
        **{(4, 4): 0.8, (4, 8): 0.6},
        **{(8, 8): 0.9, (8, 4): 0.5},
    }
    assert [one.best is not None for one in several] == [one.row.place[1] == 8 for one in several]


def test_of_word_errors_more_are_worse_and_seeds_are_those_that_both_have() -> None:
    more = {"task": "transcribe", "metric": "wer"}
    cells = [result("nested", 4, 0.3, also={8: 0.44}, **more), result("mean", 8, 0.4, **more)]
    (at,) = (one for one in one_checkpoint(found(*cells, result("mean", 8, 0.8, seed=2, **more))) if one.best)
    assert at.best is not None and at.best.row.value == pytest.approx(0.6)
    assert at.best.relative == pytest.approx(0.1) and at.best.within is True
    assert at.best.difference.value == pytest.approx(0.04)
    (apart,) = (one for one in one_checkpoint(found(cells[0], result("mean", 8, 0.4, seed=2, **more))) if one.best)
    assert apart.best is not None and apart.best.relative == pytest.approx(0.1)


def test_against_silence_or_no_errors_nothing_is_said() -> None:
    for other, silence in ((1.0, 0.1), (0.5, 0.5)):
        cells = [result("nested", 4, 0.8, also={8: 0.6}), result("mean", 8, other, silence=silence)]
        (at,) = (one for one in one_checkpoint(found(*cells)) if one.best)
        assert at.best is not None and at.best.within is None and (at.best.relative is None) == (other == 1.0)
