"""A look at a run before it starts: nothing is written, and what it says is so."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml

from ossicle.cli import run as ossicle
from ossicle.errors import DataError, RequestError, TrainingError
from ossicle.train import preflight as preflights
from ossicle.train.estimate import Report
from ossicle.train.preflight import preflight
from ossicle.train.stage import objective_of

from .support import TINY, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        samples = np.random.default_rng(i).normal(0, 0.1, 8_000 + 4_000 * i).astype(np.float32)
        soundfile.write(tmp_path / f"{i}.wav", samples, 16_000)
    return tmp_path


def manifest(folder: Path, n: int = 12, *more: dict[str, Any]) -> str:
    lines = [{"audio": f"{i % 3}.wav", "text": f"text {i}"} for i in range(n)]
    (folder / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*lines, *more]))
    return str(folder / "own.jsonl")


def recipe(folder: Path, *stages: int, **stage: Any) -> Path:
    raw = yaml.safe_load(TINY.read_text())
    raw["stages"] = [{**raw["stages"][i], **stage} for i in stages]
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def look(path: Path, *overrides: str, **arguments: Any) -> Report:
    return preflight(path, overrides=overrides, device="cpu", **arguments)


def test_a_manifest_and_a_bridge(folder: Path) -> None:
    path, data = recipe(folder, 2), manifest(folder)
    before = {one: one.stat().st_mtime_ns for one in folder.rglob("*")}
    report = look(path, "holdout=0.3", data=data)
    assert {one: one.stat().st_mtime_ns for one in folder.rglob("*")} == before  # nothing was written
    example, (stage,), (checked,) = report.example, report.stages, report.checked
    assert example is not None and example.where.startswith("own.jsonl, line ")
    length = checked.lengths[int(example.where.split()[-1])]
    assert (example.n_audio, example.n_text, example.n_learned, example.seconds) == (
        length.audio_tokens,
        length.text_tokens,
        length.learned_tokens,
        length.seconds,
    )
    model = tiny_model()
    for name, part in stage.parts.items():
        size, buffers = (
            sum(value.numel() * 4 for value in values)
            for values in (getattr(model, name).parameters(), getattr(model, name).buffers())
        )
        assert part.weights == size + buffers and part.gradients == (size if name == "bridge" else 0)
    assert 0 < stage.epoch_s < sum(one.seconds for one in checked.lengths.values())  # some are held out
    assert stage.audio_s == pytest.approx(0.008 * 3600) and stage.seconds > 0 and stage.workers == 0
    assert stage.parts["llm"].activations > 0 and stage.parts["encoder"].activations == 0
    assert 0 < stage.known_s < stage.step_s and stage.measured is None
    assert report.refuse() is None and (report.device, report.precision) == ("cpu", "float32")


def test_without_a_cache_every_epoch_has_the_same_pace(folder: Path) -> None:
    (stage,) = look(recipe(folder, 2), "connect.data.cache=false", data=manifest(folder)).stages
    assert stage.known_s == stage.step_s


def test_every_stage_of_a_recipe_of_the_world(folder: Path) -> None:
    report = look(TINY, "tune.data.pool_items=4", "hear.data.tasks={sound: 1}")
    assert [stage.name for stage in report.stages] == ["hear", "tell", "connect", "tune"] and report.checked == ()
    hear, tell, connect, tune = report.stages
    assert report.example is None and "heads" in hear.parts and hear.epoch_s == float("inf")
    assert tell.parts["llm"].gradients > 0.99 * tell.parts["llm"].weights and connect.parts["llm"].gradients == 0
    assert 0 < tune.parts["llm"].gradients < tune.parts["llm"].weights and tune.parts["encoder"].activations > 0


def test_a_telling_is_an_example_too(folder: Path) -> None:
    report = look(recipe(folder, 1), "tell.data.pool_items=3")
    assert report.example is not None and {kind for kind, _ in report.example.pieces} == {"read", "learned", "audio"}


def test_minutes_give_the_audio_that_they_are_good_for(folder: Path) -> None:
    for minutes in (1e-7, 600.0):
        (stage,) = look(recipe(folder, 2), data=manifest(folder), minutes=minutes).stages
        assert stage.seconds == pytest.approx(60 * minutes)
        assert (stage.audio_s > stage.epoch_s) == (minutes > 1)
    with pytest.raises(RequestError, match=r"minutes must be above 0 \(got 0\)"):
        look(recipe(folder, 2), data=manifest(folder), minutes=0.0)


def test_batches_that_are_computed_side_by_side_count_together(folder: Path) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        one, two = (
            look(recipe(folder, 2, optimizer={"accumulate": n}), "precision=bfloat16", data=manifest(folder)).stages[0]
            for n in (1, 2)
        )
    finally:
        torch.set_num_threads(threads)
    assert two.parts["llm"].activations == 2 * one.parts["llm"].activations and two.working == 2 * one.working


def test_too_many_bad_items_are_exit_7_and_told_all_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path, before = recipe(folder, 2), sorted(folder.iterdir())
    arguments = ["train", str(path), "--device", "cpu", "--preflight", "--data"]
    assert ossicle([*arguments, manifest(folder, 12, {"audio": "none.wav", "text": "x"})]) == 7
    out, err = capsys.readouterr()
    assert "12 of 13 items usable" in out and "  rejected: own.jsonl, line 13: none.wav: there is no file" in out
    assert "audio-hours an hour" in out and err.startswith("error: too_many_bad_items: 1 of 13 items of the manifest")
    assert ossicle([*arguments, manifest(folder, 12)]) == 0
    out, err = capsys.readouterr()
    assert "{+" in out and err == "" and sorted(folder.iterdir()) == sorted({*before, folder / "own.jsonl"})


def test_a_manifest_without_a_usable_item_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="1 of 1 items of the manifest cannot be used"):
        look(recipe(folder, 2), data=manifest(folder, 0, {"audio": "none.wav", "text": "x"}))
    soundfile.write(folder / "nan.wav", np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(
        DataError, match=r"stage connect: none of its first 16 items can be used, such as own.jsonl, line 1"
    ):
        look(recipe(folder, 2), data=manifest(folder, 0, {"audio": "nan.wav", "text": "x"}))


def test_items_that_no_header_shows_to_be_bad_are_named(folder: Path) -> None:
    soundfile.write(folder / "nan.wav", np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    path = recipe(folder, 2, trains=["llm"])  # nothing is calibrated
    bad = {"audio": "nan.wav", "text": "x"}
    with pytest.raises(DataError, match="stage connect: none of its first 20 items can be used"):
        look(path, data=manifest(folder, 0, bad))
    first = int(np.random.default_rng([3, 0]).permutation(2)[0])
    data = Path(manifest(folder, 1))
    lines = [data.read_text(), json.dumps(bad) + "\n"]
    data.write_text("".join(lines if first == 1 else reversed(lines)))
    with pytest.raises(DataError, match=r"stage connect: no item of its first pool can be used, such as own\.jsonl"):
        look(path, "connect.data.pool_items=1", data=str(data))


def test_a_bad_item_that_no_header_shows_joins_the_report(folder: Path) -> None:
    soundfile.write(folder / "nan.wav", np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    data = manifest(folder, 39, {"audio": "nan.wav", "text": "x"})
    report = look(recipe(folder, 2), data=data)
    (checked,) = report.checked
    assert [str(fault) for fault in checked.faults] == ["own.jsonl, line 40: nan.wav: a sample is not a finite number"]
    assert set(checked.lengths) == set(range(1, 40))
    with pytest.raises(DataError, match="1 of 40 items of the manifest cannot be used"):
        report.refuse()


def test_a_batch_that_does_not_fit_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """An objective for whose loss there is no memory."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            self.inner = objective_of(*arguments, **more)
            self.heads = self.inner.heads

        def item(self, *arguments: Any) -> Any:
            return self.inner.item(*arguments)

        def collate(self, items: Sequence[Any]) -> Any:
            return self.inner.collate(items)

        def loss(self, *_: Any) -> Any:
            raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(preflights, "objective_of", Full)
    with pytest.raises(
        TrainingError, match=r"stage tell: a batch of \d+ s of audio does not fit into the memory of cpu"
    ) as e:
        look(recipe(folder, 1), "tell.data.pool_items=3")
    assert e.value.code == "out_of_memory"


def test_what_a_finished_model_went_through_is_not_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        stages = 3

    monkeypatch.setattr(preflights, "take_up", lambda *_: Taken())
    report = look(TINY, "tune.data.pool_items=4", begun="x")
    assert [stage.name for stage in report.stages] == ["tune"] and report.example is not None
    assert replace(report, example=None).example is None
