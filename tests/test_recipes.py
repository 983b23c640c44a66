"""The shipped recipes, run as a user runs them: minutes of training each, so only `make test-all` runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.world.grammar import sentence
from ossicle.world.speech import sample_voice, speak

RECIPES = Path(__file__).parents[1] / "recipes"
OSSICLE = (sys.executable, "-c", "from ossicle.cli import main; main()")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

pytestmark = pytest.mark.slow


def ossicle(*arguments: str | Path) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(
        [*OSSICLE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A manifest of 200 spoken sentences of the test split, in voices of the test split."""
    lines = []
    for i in range(200):
        rng = np.random.default_rng(i)
        text = sentence(rng, "test").text
        soundfile.write(tmp_path / f"{i}.wav", speak(text, sample_voice(rng, "test")).samples, SAMPLE_RATE)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": text}))
    (tmp_path / "own.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "own.jsonl"


def test_mini_killed_half_way_goes_on_unaided_and_answers(voices: Path, tmp_path: Path) -> None:
    command = ("train", RECIPES / "mini.yaml", "--minutes", "3", "--out", tmp_path / "mini")
    first = subprocess.Popen([*OSSICLE, *map(str, command)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    time.sleep(90)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    folder = ossicle(*command).strip()
    segments = json.loads((Path(folder) / "origin.json").read_text())["segments"]
    assert len(segments) == 2 and segments[1]["from_step"] > 0
    told = json.loads(ossicle("ask", voices.parent / "0.wav", "What is said?", "--model", folder, "--json"))
    assert told["ledger"]["seconds_heard"] == pytest.approx(told["ledger"]["seconds_given"], abs=0.05)


def test_a_bridge_learns_from_two_hundred_files(voices: Path, tmp_path: Path) -> None:
    folder = ossicle("train", RECIPES / "own-data.yaml", "--data", voices, "--out", tmp_path / "own").strip()
    scores = json.loads((tmp_path / "own" / "score.json").read_text())
    (task,) = scores["tasks"].values()
    assert 10 <= task["n"] <= 30
    assert task["high"] < task["silence"] and task["value"] < task["swapped"]
    assert json.loads(ossicle("ask", voices.parent / "0.wav", "What is said?", "--model", folder, "--json"))["text"]


def test_a_sweep_in_small_is_made_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    command = ("sweep", RECIPES / "sweep-smoke.yaml", "--out", tmp_path / "sweep")
    first = subprocess.Popen([*OSSICLE, *map(str, command)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    cells = tmp_path / "sweep" / "cells"
    while not list(cells.glob("*/result.json")) and first.poll() is None:
        time.sleep(0.5)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = {path: path.stat().st_mtime_ns for path in cells.glob("*/result.json")}
    page = Path(ossicle(*command).strip())
    assert done and all(path.stat().st_mtime_ns == then for path, then in done.items())
    rows = json.loads(page.with_suffix(".json").read_text())["rows"]
    assert {(row["bridge"], row["k"]) for row in rows} >= {(name, k) for name in ("mean", "stack") for k in (4, 16)}
    assert len({row["trained_audio_h"] for row in rows}) == 1
    assert "failed" not in page.read_text().lower() and page.with_suffix(".svg").is_file()
