"""A sweep's file: which cells it asks for, and what is wrong with one that cannot be run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ossicle.errors import ConfigError
from ossicle.train.grid import (
    Cell,
    Double,
    Finalists,
    cell_identity,
    cells_of,
    doubled_cells,
    final_cells,
    pool_identity,
    possible_cells,
    read_sweep,
    recipe_at,
    settings_at,
)

from .sweeps import DATA, arm, sweep_of, written

OWN = Path(__file__).parents[2] / "examples" / "own_bridge.py"
RECIPES = Path(__file__).parents[2] / "recipes"
MEAN = arm("mean", "mean_pool")
NAMED = {"name": "own", "bridge_from": f"{OWN}:Loudest"}


def names(cells: list[Cell]) -> list[str]:
    return [cell.name for cell in cells]


def test_cells_are_every_arm_at_its_rates_with_its_seeds(tmp_path: Path) -> None:
    own = {**NAMED, "k": [16], "seeds": [3]}
    sweep = sweep_of(tmp_path, k=[4, 8], seeds=[1, 2], arms=[arm("mean", "mean_pool", k=[2, 4, 8]), own])
    cells = cells_of(sweep)
    assert names(cells) == [
        *("mean-k2-seed1", "mean-k4-seed1", "mean-k8-seed1", "mean-k2-seed2", "mean-k4-seed2", "mean-k8-seed2"),
        "own-k16-seed3",
    ]
    assert replace(cells[0], double=True).name == "mean-k2-seed1-double"


def test_the_best_get_more_cells(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, k=[4, 8], arms=[MEAN, arm("stack", "stack_mlp", k=[4])])
    assert final_cells(sweep, ("stack",)) == []
    sweep = replace(sweep, finalists=Finalists(1, k=(12,), seeds=(3,)))
    assert names(final_cells(sweep, ("stack",))) == ["stack-k4-seed3", "stack-k12-seed1", "stack-k12-seed3"]
    told = replace(sweep.arms[1], at={4: {"k": 4}})
    with pytest.raises(ConfigError, match=r"stack is among the best, and its at has no settings for k \(12,\)"):
        final_cells(replace(sweep, arms=(sweep.arms[0], told)), ("stack",))


def test_whatever_a_sweep_may_come_to_want_is_known_before(tmp_path: Path) -> None:
    at = {8: {"k": 8}}
    sweep = sweep_of(tmp_path, arms=[MEAN, arm("stack", "stack_mlp", at=at)], finalists={"n": 1, "k": [4]})
    first = ["mean-k8-seed1", "stack-k8-seed1", "mean-k4-seed1"]  # of a finalist without settings at 4 there is no cell
    assert names(possible_cells(sweep)) == [*first, *(f"{name}-double" for name in first)]
    assert len(possible_cells(replace(sweep, finalists=None))) == 4


def test_twice_the_hours_may_be_for_some_seeds_only(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, seeds=[1, 2], double={"groups": ["music"], "seeds": [2]})
    assert sweep.double.groups == ("music",)
    assert names(doubled_cells(sweep, cells_of(sweep))) == ["mean-k8-seed2-double"]
    assert names(possible_cells(sweep)) == ["mean-k8-seed1", "mean-k8-seed2", "mean-k8-seed2-double"]
    free = replace(sweep, double=Double())
    assert [cell_identity(free, cell) for cell in cells_of(free)] == [cell_identity(sweep, c) for c in cells_of(sweep)]


def test_a_cell_is_a_recipe_in_which_a_bridge_alone_learns(tmp_path: Path) -> None:
    at = {8: {"k": 9, "hidden": 32}}
    arms = [MEAN, arm("stack", "stack_mlp", at=at), NAMED]
    sweep = sweep_of(tmp_path, arms=arms, optimizer={"lr": 0.01})
    mean, stack, own = (recipe_at(sweep, cell, tmp_path / "clips") for cell in cells_of(sweep))
    assert mean.parts.bridge is not None and (mean.parts.bridge.kind, mean.parts.bridge.k) == ("mean_pool", 8)
    assert stack.parts.bridge is not None and (stack.parts.bridge.k, stack.parts.bridge.hidden) == (9, 32)
    assert own.parts.own["bridge"] == NAMED["bridge_from"] and own.parts.bridge_config == {"k": 8}
    for one in (mean, stack, own):
        (stage,) = one.stages
        assert stage.trains == ("bridge",) and stage.data.kept == str(tmp_path / "clips") and stage.optimizer.lr == 0.01
        assert (one.parts.base, one.seed, stage.budget.audio_hours) == (sweep.base, 1, 0.006)
    double = recipe_at(sweep, replace(cells_of(sweep)[0], double=True), tmp_path)
    assert double.stages[0].budget.audio_hours == 0.012
    assert settings_at(sweep.arms[0], 8) == {"kind": "mean_pool", "k": 8}


def test_test_items_may_be_told_task_by_task(tmp_path: Path) -> None:
    data = sweep_of(tmp_path, data={**DATA, "test_items": {"transcribe": 9, "others": 4}}).data
    assert (data.n_test("transcribe"), data.n_test("said")) == (9, 4)
    assert sweep_of(tmp_path).data.n_test("said") == 3


def test_an_identity_follows_from_what_a_result_depends_on_and_nothing_else(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, arms=[MEAN, NAMED])
    mean, own = cells_of(sweep)
    one = cell_identity(sweep, mean)
    same = replace(sweep, k=(8, 16), seeds=(1, 2), arms=sweep.arms[:1], data=replace(sweep.data, workers=2))
    assert cell_identity(same, mean) == one
    others = [
        cell_identity(sweep, own),
        cell_identity(sweep, replace(mean, double=True)),
        cell_identity(sweep, replace(mean, arm=replace(mean.arm, also_at=(16,)))),
        cell_identity(replace(sweep, audio_hours=0.01), mean),
        cell_identity(replace(sweep, data=replace(sweep.data, test_items=4)), mean),
        cell_identity(replace(sweep, base="mini"), mean),
    ]
    assert len({one, *others}) == 7
    manifest = tmp_path / "own.jsonl"
    manifest.write_text("{}\n")
    named = replace(sweep, data=replace(sweep.data, manifest=str(manifest)))
    before = pool_identity(named)
    manifest.write_text("{} \n")
    assert pool_identity(named) != before != pool_identity(sweep)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"arms": [MEAN, MEAN]}, "two arms have the same name: mean, mean"),
        ({"k": []}, "a sweep needs at least one k and one seed"),
        ({"seeds": [0]}, "k and seeds are at least 1"),
        ({"audio_hours": 0}, r"audio_hours must be above 0 \(got 0\)"),
        ({"arms": [arm("stack", "stack_mlp")]}, "one arm is a mean_pool at every k of the sweep"),
        ({"arms": [arm("mean", "mean_pool", k=[4])]}, "one arm is a mean_pool at every k of the sweep"),
        ({"arms": [MEAN, arm("a b", "stack_mlp")]}, r"an arm's name is letters, digits, - and _ \(got 'a b'\)"),
        ({"arms": [MEAN, {"name": "none"}]}, "none: an arm names either bridge or bridge_from"),
        ({"arms": [MEAN, {"name": "s", "bridge": {"kind": "stack_mlp", "k": 4}}]}, "s: k is the sweep's"),
        ({"arms": [MEAN, arm("s", "stack_mlp", also_at=[0])]}, r"s: k is at least 1 \(got 0\)"),
        ({"arms": [MEAN, arm("s", "stack_mlp", at={4: {}})]}, "s: at has no settings for k 8"),
        ({"arms": [MEAN, {"name": "s", "bridge": {"kind": "stack_mlp", "depth": 2}}]}, "arm s at k 8: unknown key"),
        ({"arms": [MEAN, {"name": "s", "bridge_from": "x"}]}, "FILE.py:CLASS"),
        ({"data": {**DATA, "test_items": 0}}, r"data.test_items must be above 0 \(got 0 of others\)"),
        ({"data": {**DATA, "test_items": {"said": 0, "others": 1}}}, r"data.test_items .*\(got 0 of said\)"),
        ({"data": {**DATA, "test_items": {"said": 1}}}, "data.test_items needs a number for 'others'"),
        ({"data": {**DATA, "hours": 0}}, r"data.hours must be above 0 \(got 0\)"),
        ({"data": {**DATA, "silent_items": -1}}, r"data.silent_items must be at least 0 \(got -1\)"),
        ({"data": {**DATA, "holdout": 1}}, r"data.holdout is a share from 0 to below 1 \(got 1\)"),
        ({"data": {**DATA, "manifest": "m", "holdout": 0}}, "data.manifest needs items to score"),
        ({"data": {**DATA, "test": "m"}}, "data.test is a manifest beside data.manifest"),
        ({"data": {**DATA, "test_tasks": ["sing"]}}, "unknown task 'sing'"),
        ({"data": {**DATA, "tasks": {"sing": 1}}}, "unknown task 'sing'"),
        ({"finalists": {"n": 2}}, r"finalists.n is from 1 to the number of arms \(got 2\)"),
        ({"double": {"seeds": [2]}}, r"double.seeds are some of the sweep's, 1 \(got 2\)"),
        ({"double": {"seeds": []}}, r"double.seeds are some of the sweep's, 1 \(got none\)"),
        ({"double": {"groups": ["smell"]}}, r"double.groups are some of content, music, .* \(got smell\)"),
        ({"double": {"groups": []}}, r"double.groups are some of .* \(got none\)"),
        ({"double": {"hours": 2}}, "unknown key double.hours"),
        ({"rates": [4]}, "unknown key rates"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_loads(
    changes: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=fault):
        sweep_of(tmp_path, **changes)


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match="must hold a mapping with name, base, arms, k, seeds and audio_hours"):
        read_sweep(path)


@pytest.mark.parametrize("name", ["sweep.yaml", "sweep-smoke.yaml"])
def test_the_recipes_can_be_read(name: str) -> None:
    sweep = read_sweep(RECIPES / name)
    assert len(sweep.arms) >= 2 and sweep.base == "mini"
