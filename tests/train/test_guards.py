"""What a run must show at its end: the score of items that it never trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ossicle.data.check import Longest
from ossicle.data.manifest import read
from ossicle.train.guards import score_held_out
from ossicle.train.sources import divided

from .support import tiny_model


def manifest(folder: Path, n: int) -> Path:
    soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0, 0.1, 4_000).astype(np.float32), 16_000)
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps({"id": f"x{i}", "audio": "a.wav", "text": "a dog"}) + "\n" for i in range(n)))
    return path


def test_held_out_items_are_scored_and_can_be_scored_again(tmp_path: Path) -> None:
    path = manifest(tmp_path, 6)
    held_out = divided(path, 0.3)[1]
    assert 0 < len(held_out) < 6
    scores = score_held_out(tiny_model(), path, 0.3, tmp_path)
    assert scores is not None
    told = json.loads((tmp_path / "score.json").read_text())
    assert told == json.loads(json.dumps(scores.as_dict()))
    (task,) = told["tasks"].values()
    assert task["n"] == len(held_out) and task["metric"] == "wer"
    assert [item.id for item in read(tmp_path / "holdout.jsonl")] == [item.id for item in held_out]


def test_where_nothing_is_held_out_nothing_is_scored(tmp_path: Path) -> None:
    assert score_held_out(tiny_model(), manifest(tmp_path, 3), 0.0, tmp_path) is None
    assert not (tmp_path / "score.json").exists()


def test_what_cannot_be_scored_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = manifest(tmp_path, 20)
    held_out = [item.id for item in divided(path, 0.4)[1]]
    missing, long, *others = held_out
    soundfile.write(tmp_path / "long.wav", np.zeros(32_000, np.float32), 16_000)
    replaced = {missing: "none.wav", long: "long.wav"}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(one | {"audio": replaced.get(one["id"], "a.wav")}) + "\n" for one in lines))
    scores = score_held_out(tiny_model(), path, 0.4, tmp_path, Longest(1.0))
    assert scores is not None and [item.id for item in read(tmp_path / "holdout.jsonl")] == others
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and all(line.startswith("left out of the score: own.jsonl, line ") for line in told)
    assert any("none.wav" in line for line in told) and any(
        "2.0 s are longer than 1 s (data.max_clip_s)" in line for line in told
    )
