"""What a sweep may say: rates of groups, rankings that last, and the lowest rate that loses no more than allowed."""

from typing import Any

import numpy as np
import pytest

from ossicle.train.ranking import GROUPS, Found, compared
from ossicle.world.tasks import TASKS

N = 200
HITS = {"good": 0.9, "fair": 0.7, "like": 0.7}


def hits(share: float, n: int = N, *, shift: int = 0) -> list[float]:
    """Hits of items, the same items for the same share."""
    return np.roll((np.arange(n) < round(share * n)).astype(float), shift).tolist()


def result(
    arm: str,
    k: int,
    share: float,
    *,
    seed: int = 1,
    double: bool = False,
    rate: float | None = None,
    also: dict[int, float] | None = None,
    task: str = "sound",
    metric: str = "accuracy",
    silence: float | None = -1,
) -> dict[str, Any]:
    if silence == -1:
        silence = 0.1 if metric == "accuracy" else 0.95

    def scored(k: int, share: float) -> dict[str, Any]:
        counts = {"numerators": hits(share), "denominators": [1.0] * N}
        return {
            "tokens_per_s": rate or 50 / k,
            "tokens_per_text_token": None if metric == "accuracy" else 2.0,
            "tokens_per_word": None if metric == "accuracy" else 9.0,
            "flops_per_audio_s": 1e6,
            "tasks": {task: {"metric": metric, **counts, "silence": silence}},
        }

    whole = {"arm": arm, "k": k, "seed": seed, "double": double, "parameters": 10, "train_s": 3.0}
    rates = {str(k): scored(k, share), **{str(one): scored(one, value) for one, value in (also or {}).items()}}
    return {**whole, "trained_audio_h": 2.0 if double else 1.0, "rates": rates}


def found(*results: dict[str, Any], reference: str = "mean") -> Found:
    return Found(results, reference=reference, reference_k=4)


def test_every_task_of_the_world_has_its_group() -> None:
    assert set(GROUPS) == set(TASKS)
    assert list(dict.fromkeys(GROUPS.values())) == ["content", "sounds", "music", "speaker", "time and order"]


def test_a_row_pools_the_tasks_of_a_group_and_the_seeds() -> None:
    one, other = result("mean", 4, 0.8), result("mean", 4, 0.6, seed=2)
    for share, cell in ((0.4, one), (0.2, other)):
        counts = {"numerators": hits(share, 100), "denominators": [1.0] * 100}
        cell["rates"]["4"]["tasks"]["caption"] = {"metric": "accuracy", **counts, "silence": 0.4}
        cell["rates"]["4"]["tasks"]["own"] = {"metric": "wer", **counts, "silence": None}
    several = found(one, other)
    own, sounds = sorted(several.rows, key=lambda row: row.key)
    assert (sounds.key, sounds.n, sorted(sounds.counts)) == (("sounds", "accuracy"), 300, [1, 2])
    assert sounds.value == pytest.approx((160 + 40 + 120 + 20) / 600) and sounds.silence == pytest.approx(0.25)
    assert sounds.low < 0.5 < sounds.value < 0.67 < sounds.high
    assert own.key == ("own", "wer") and own.silence is None
    assert several.keys == [("sounds", "accuracy"), ("own", "wer")]
    told = sounds.as_dict(several.costs[sounds.place])
    assert told | {"low": 0, "high": 0} == {
        **{"bridge": "mean", "k": 4, "tokens_per_s": 12.5, "group": "sounds", "metric": "accuracy", "value": 0.566667},
        **{"low": 0, "high": 0, "silence": 0.25, "n": 300, "seeds": [1, 2], "parameters": 10},
        **{"flops_per_audio_s": 1000000, "seconds": 3.0, "trained_audio_h": 1.0},
        **{"tokens_per_text_token": None, "tokens_per_word": None},
    }


@pytest.mark.parametrize(
    ("shares", "doubled", "verdict"),
    [
        ((0.9, 0.7), (0.95, 0.8), "holds"),
        ((0.9, 0.7), None, "not doubled"),
        ((0.9, 0.7), (0.9, 0.9), "under-trained"),
        ((0.9, 0.7), (0.7, 0.9), "under-trained"),
        ((0.7, 0.7), (0.9, 0.7), "open"),
    ],
)
def test_a_ranking_is_stated_only_if_twice_the_hours_confirm_it(
    shares: tuple[float, float], doubled: tuple[float, float] | None, verdict: str
) -> None:
    cells = [result(name, 4, share) for name, share in zip(("mean", "conv"), shares, strict=True)]
    more = zip(("mean", "conv"), doubled or (), strict=False)
    several = found(*cells, *(result(name, 4, share, double=True) for name, share in more))
    (rank,) = several.ranks()
    assert rank.verdict == verdict and (rank.first.place[0], rank.second.place[0]) == ("mean", "conv")
    assert (rank.doubled is None) == (doubled is None)
    assert several.to_double() == ([("mean", 4), ("conv", 4)] if verdict != "open" else [])


def test_twice_the_hours_are_for_the_cell_that_was_trained_and_may_be_bounded_to_groups() -> None:
    several = found(result("nested", 4, 0.9, also={8: 0.8}), result("mean", 4, 0.9), result("mean", 8, 0.3))
    assert several.to_double() == [("nested", 4), ("mean", 8)]
    assert several.to_double(["sounds"]) == [("nested", 4), ("mean", 8)] and several.to_double(["content"]) == []


def test_of_word_errors_the_fewest_are_first() -> None:
    several = found(*(result(n, 4, s, task="transcribe", metric="wer") for n, s in (("mean", 0.5), ("conv", 0.2))))
    (rank,) = several.ranks()
    assert rank.first.place[0] == "conv" and rank.difference.value == pytest.approx(0.3)


def test_who_spends_more_tokens_than_the_mean_pool_is_not_ranked() -> None:
    greedy = result("ctc", 4, 0.9, rate=14.0)
    several = found(result("mean", 4, 0.7), greedy, result("conv", 4, 0.3))
    (rank,) = several.ranks()
    assert (rank.first.place[0], rank.second.place[0]) == ("mean", "conv")
    assert [several.kept_rate((name, 4, False)) for name in ("mean", "ctc", "conv")] == [True, False, True]
    assert found(greedy).kept_rate(("ctc", 4, False)) and list(found(greedy).ranks()) == []


def test_the_lowest_rate_is_found_going_down_until_the_tolerance_is_left() -> None:
    shares = {2: 0.9, 4: 0.9, 8: 0.9, 12: 0.5, 16: 0.9}
    several = found(*(result("mean", k, share) for k, share in shares.items()), result("late", 8, 0.9))
    (one,) = several.lowest()
    assert one.name == "mean" and one.row is not None and one.row.place[1] == 8
    assert one.difference is not None and one.difference.value == 0
    (none,) = found(result("mean", 4, 0.9), result("mean", 16, 0.5)).lowest()
    assert none.row is None and none.difference is not None and none.difference.value == pytest.approx(-0.4)
    (alone,) = found(result("mean", 4, 0.9)).lowest()
    assert alone.row is None and alone.difference is None
    (written,) = found(*(result("mean", k, 0.2, task="transcribe", metric="wer") for k in (4, 8))).lowest()
    assert written.row is not None and written.row.place[1] == 8


def test_what_was_trained_for_a_rate_stands_before_what_is_only_scored_there() -> None:
    several = found(result("nested", 4, 0.9, also={8: 0.5, 16: 0.4}), result("nested", 8, 0.8))
    values = {row.place[1]: row.value for row in several.rows}
    assert values == {4: 0.9, 8: 0.8, 16: 0.4}
    assert {place[1]: cost.trained_k for place, cost in several.costs.items()} == {4: 4, 8: 8, 16: 4}


def test_the_best_stand_at_all_rates() -> None:
    cells = [result(name, k, share) for name, share in (("mean", 0.5), ("conv", 0.6)) for k in (4, 8)]
    several = found(*cells, result("part", 4, 0.9))
    assert several.best("sounds", 2, (4, 8)) == ("conv", "mean")
    assert several.best("sounds", 1, (4, 8)) == ("conv",) and several.best("content", 1, (4, 8)) == ()
    wer = found(*(result(n, 4, s, task="transcribe", metric="wer") for n, s in (("mean", 0.5), ("conv", 0.2))))
    assert wer.best("content", 1, (4,)) == ("conv",)


def test_without_a_common_seed_the_intervals_are_held_against_each_other() -> None:
    several = found(result("mean", 4, 0.9), result("conv", 4, 0.7, seed=2))
    first, second = several.rows
    difference = compared(first, second)
    assert (difference.low, difference.high) == (second.low - first.high, second.high - first.low)
    assert compared(first, first).value == 0


@pytest.mark.parametrize(
    ("metric", "silence", "hears"),
    [
        *(("accuracy", 0.8, True), ("accuracy", 0.88, False), ("accuracy", 0.95, False), ("accuracy", None, True)),
        *(("wer", 0.97, True), ("wer", 0.92, False), ("wer", 0.8, False), ("wer", None, True)),
    ],
)
def test_what_is_no_better_than_silence_has_no_lowest_rate_and_no_first_place(
    metric: str, silence: float | None, hears: bool
) -> None:
    first, second = (("mean", 0.9), ("conv", 0.5)) if metric == "accuracy" else (("conv", 0.9), ("mean", 1.0))
    more = {"metric": metric, "silence": silence}
    cells = [result(name, k, share, **more) for k, (name, share) in ((4, first), (8, first), (4, second))]
    doubles = [result(name, 4, share, double=True, **more) for name, share in (first, second)]
    several = found(*cells, *doubles)
    (rank,) = several.ranks()
    assert rank.difference.clear and rank.first.hears is hears
    assert rank.verdict == ("holds" if hears else "silence") and bool(several.to_double()) is hears
    low = {one.name: one for one in several.lowest()}[first[0]]
    assert (low.hears, low.row is not None, low.difference is not None) == (hears, hears, hears)
