"""What a sweep learns from and is scored on: made once, the same for whoever makes it anew."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ossicle.errors import CheckpointError, DataError, DependencyError
from ossicle.evaluate.items import world_items
from ossicle.train.kept import Kept
from ossicle.train.pools import _Clips, _each, pools
from ossicle.train.sources import World

from .support import MODEL
from .sweeps import sweep_of


def manifest(folder: Path, name: str, lengths_s: list[float], tasks: tuple[str, ...] = ("sound", "own")) -> Path:
    lines = []
    for i, seconds in enumerate(lengths_s):
        noise = np.random.default_rng(i).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
        soundfile.write(folder / f"{name}-{i}.wav", noise, 16_000)
        asked = [{"type": "audio", "path": f"{name}-{i}.wav"}, {"type": "text", "text": "what?"}]
        turns = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": [{"type": "text", "text": f"a {i}"}]},
        ]
        lines.append(json.dumps({"id": f"{name}{i}", "messages": turns, "task": tasks[i % len(tasks)]}))
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.jsonl"


def test_clips_of_the_world_are_the_source_and_the_items_of_an_evaluation(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path)
    folder, test = pools(sweep, MODEL, tmp_path / "clips")
    train = Kept(folder)
    world = World(1, 0, "train", sweep.data.tasks)
    for i, clip in enumerate(train.clips):
        sample = world.sample(i)
        assert (clip.question, clip.answer) == (sample.question, sample.answer)
        assert abs(clip.n_samples - len(sample.samples)) < 80
        assert (clip.more, clip.said) == (sample.more, sample.said)
    assert train.seconds >= 3600 * 0.006 > train.seconds - train.clips[-1].n_samples / 16_000
    real = [clip for clip in test.clips if not clip.silent]
    wanted = [
        (name, metric, item.answer)
        for name, metric, items, _ in world_items(("transcribe", "instrument"), 3, sweep.data.seed)
        for item in items
        if item.headline
    ]
    assert [(clip.task, clip.metric, clip.answer) for clip in real] == wanted and len(wanted) == 6
    assert [clip.task for clip in test.clips if clip.silent] == ["transcribe", "instrument"]
    before = (folder / "clips.jsonl").stat().st_mtime_ns
    pools(sweep, MODEL, tmp_path / "clips")
    assert (folder / "clips.jsonl").stat().st_mtime_ns == before
    with pytest.raises(CheckpointError, match="were made for other data or another base model"):
        pools(replace(sweep, data=replace(sweep.data, seed=2)), MODEL, tmp_path / "clips")
    again, _ = pools(sweep, MODEL, tmp_path / "again")
    asked = [[(clip.question, clip.answer, clip.more) for clip in one.clips] for one in (Kept(again), train)]
    assert asked[0] == asked[1]  # eSpeak does not say the same twice to the sample
    row = next(i for i, clip in enumerate(train.clips) if clip.task == "instrument")
    assert torch.equal(Kept(again).rows([row]).values, train.rows([row]).values)


def test_a_manifest_is_divided_or_has_a_test_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = manifest(tmp_path, "own", [0.5, 0.6, 0.7, 0.8, 3.5])
    test = manifest(tmp_path, "test", [0.5, 0.6, 0.7, 0.8, 0.9])
    sweep = sweep_of(tmp_path)
    data = replace(sweep.data, manifest=str(own), test=str(test), test_items=2, max_clip_s=3.0)
    folder, items = pools(replace(sweep, data=data), MODEL, tmp_path / "a")
    assert sorted(clip.answer for clip in Kept(folder).clips) == ["a 0", "a 1", "a 2", "a 3"]
    assert "left out: own.jsonl, line 5: 3.5 s are longer than 3 s" in capsys.readouterr().err
    told = [(clip.task, clip.metric, clip.answer, clip.silent) for clip in items.clips]
    assert told == [
        *[("sound", "accuracy", "a 0", False), ("sound", "accuracy", "a 0", True), ("sound", "accuracy", "a 2", False)],
        *[("own", "wer", "a 1", False), ("own", "wer", "a 1", True), ("own", "wer", "a 3", False)],
    ]
    halves = replace(data, test=None, holdout=0.5)
    folder, items = pools(replace(sweep, data=halves), MODEL, tmp_path / "b")
    sides = [{clip.answer for clip in side.clips} for side in (Kept(folder), items)]
    assert sides[0].isdisjoint(sides[1]) and sides[0] and sides[1]


def test_data_of_which_nothing_can_be_used_and_a_missing_voice_end_it() -> None:
    def bad(_: int) -> list:
        raise DataError("broken")

    def mute(_: int) -> list:
        raise DependencyError("no voice")

    with pytest.raises(DataError, match="none of the first 20 items can be used, such as: broken"):
        list(_each(_Clips(bad, 30, 9.0), 1))
    with pytest.raises(DependencyError, match="no voice"):
        list(_each(_Clips(mute, 30, 9.0), 1))
