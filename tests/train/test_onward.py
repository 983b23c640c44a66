"""A recipe that has grown by a stage goes on from a finished model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ossicle.errors import CheckpointError, NotFoundError
from ossicle.hub.folder import load, save
from ossicle.train.loop import run
from ossicle.train.onward import take_up
from ossicle.train.recipe import Recipe, read_recipe

from .support import TINY, tiny_model


def written(path: Path, *, stages: int, **changes: Any) -> Path:
    """The first stages of the tiny recipe, as a file."""
    recipe = {**yaml.safe_load(TINY.read_text()), **changes}
    path.write_text(yaml.safe_dump({**recipe, "stages": recipe["stages"][:stages]}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after three stages; its run's folder is gone."""
    folder = tmp_path_factory.mktemp("first")
    made = run(written(folder / "short.yaml", stages=3), out=folder / "run", device="cpu")
    return made.rename(folder / "model")


def origin(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "origin.json").read_text())
    return told


def test_the_fourth_stage_begins_where_the_third_ended(finished: Path, tmp_path: Path) -> None:
    again = run(TINY, out=tmp_path / "run", device="cpu", begun=str(finished))
    before, after = origin(finished), origin(again)
    assert after["steps"] > before["steps"] and after["data_hours"] > before["data_hours"]
    assert after["cpu_hours"] > before["cpu_hours"] > 0
    assert [one["from_step"] for one in after["segments"]] == [0, before["steps"]]
    assert after["segments"][1]["from_model"] == str(finished)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[: len(before["log"])] == before["log"]
    assert [line["stage"] for line in lines if line["share"] >= 1] == ["hear", "tell", "connect", "tune"]
    assert load(again).pattern == "lora"
    again = run(TINY, out=tmp_path / "run", device="cpu", begun="gone")  # its own checkpoint is all that a run needs
    assert origin(again)["steps"] == after["steps"]


def test_what_was_not_counted_stays_unknown(finished: Path, tmp_path: Path) -> None:
    """Models made before processors' time was counted."""
    older = shutil.copytree(finished, tmp_path / "older")
    told = origin(older)
    del told["cpu_hours"]
    size = (older / "origin.json").stat().st_size  # which is looked at
    (older / "origin.json").write_text(json.dumps(told).ljust(size))
    again = run(TINY, out=tmp_path / "run", device="cpu", begun=str(older))
    assert origin(again)["cpu_hours"] is None and origin(again)["training_hours"] >= told["training_hours"]


def test_the_weights_are_the_models(finished: Path) -> None:
    taken = take_up(str(finished), read_recipe(TINY))
    assert taken.stages == 3
    ours = dict(load(finished, device="cpu").named_parameters())
    assert ours.keys() == taken.weights.keys()
    assert all(torch.equal(value, taken.weights[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("stages", "changes", "message"),
    [
        (4, {"seed": 4}, r"parts, seed or stage 1 \(hear\) differ"),
        (2, {}, r"parts, seed or stage 3 \(connect\) differ"),
        (3, {}, "went through all 3 stages of the recipe: add one"),
    ],
)
def test_another_recipe_is_refused_before_anything_is_written(
    finished: Path, tmp_path: Path, stages: int, changes: dict[str, Any], message: str
) -> None:
    recipe = written(tmp_path / "other.yaml", stages=stages, **changes)
    with pytest.raises(CheckpointError, match=message) as refused:
        run(recipe, out=tmp_path / "run", device="cpu", begun=str(finished))
    assert refused.value.code == "key_mismatch" and not (tmp_path / "run").exists()


def test_a_model_that_no_recipe_made_and_one_that_is_not_there(tmp_path: Path) -> None:
    recipe: Recipe = read_recipe(TINY)
    save(tiny_model(), tmp_path / "plain")
    with pytest.raises(CheckpointError, match="does not tell which recipe made it"):
        take_up(str(tmp_path / "plain"), recipe)
    with pytest.raises(NotFoundError, match="there is no model 'none'"):
        take_up("none", recipe)
