"""The model that comes with the package: its files, its examples, and every format that it hears."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import ossicle
from ossicle.cli import run
from ossicle.hub.folder import ASSETS, verify
from ossicle.models.audio_lm import AudioLM

MINI = ASSETS / "mini"
EXAMPLES = ASSETS / "examples"
MAX_BYTES = 15_000_000
ANSWERS = {
    "speech": ("the baker was born on the tenth of october", "the tenth of october"),
    "sounds": ("drop then bird then phone", "phone"),
    "music": ("a flute plays", "flute"),
}
"""What is right for each question of an example file, in order."""
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
}
RATES = (8_000, 12_000, 16_000, 24_000, 44_100, 48_000)
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)


@pytest.fixture(scope="module")
def mini() -> AudioLM:
    return ossicle.load("mini", device="cpu")


def test_it_is_small_whole_and_says_where_it_comes_from() -> None:
    verify("mini")
    assert sum(path.stat().st_size for path in MINI.rglob("*")) <= MAX_BYTES
    origin = json.loads((MINI / "origin.json").read_text())
    assert origin["recipe"]["name"] == "mini" and origin["data_hours"] > 1 and origin["steps"] > 0
    assert len(origin["recipe_hash"]) >= 12 and origin["seed"] == origin["recipe"]["seed"]
    assert origin["segments"][0]["from_step"] == 0
    assert all(one["commit"].isalnum() and one["versions"]["torch"] for one in origin["segments"])
    assert "small-world" in (MINI / "card.md").read_text().lower()


@pytest.mark.parametrize("name", ANSWERS)
def test_the_examples_are_answered_right(mini: AudioLM, name: str) -> None:
    questions = (EXAMPLES / f"{name}.txt").read_text().splitlines()
    for question, answer in zip(questions, ANSWERS[name], strict=True):
        told = ossicle.ask(mini, EXAMPLES / f"{name}.flac", question)
        assert told.text == answer
        assert told.ledger.seconds_heard == pytest.approx(told.ledger.seconds_given, abs=0.05)


def test_every_example_has_its_questions() -> None:
    assert {path.stem for path in EXAMPLES.iterdir()} == set(ANSWERS)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "rate"), [(suffix, rate) for suffix in FORMATS for rate in (OPUS_RATES if suffix == "opus" else RATES)]
)
def test_every_format_is_heard_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, suffix: str, rate: int, channels: int
) -> None:
    samples, own = soundfile.read(EXAMPLES / "speech.flac", dtype="float32")
    samples = soxr.resample(samples, own, rate)
    kind, subtype = FORMATS[suffix]
    path = tmp_path / f"speech.{suffix}"
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, format=kind, subtype=subtype)
    assert run(["ask", str(path), "What is said?", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    ledger = told["ledger"]
    assert told["text"]
    assert ledger["seconds_given"] == pytest.approx(len(samples) / rate, abs=0.05)
    assert ledger["seconds_heard"] == pytest.approx(ledger["seconds_given"], abs=0.05)
    assert ledger["frames"] == pytest.approx(50 * ledger["seconds_heard"], abs=1)
    assert ledger["audio_tokens"] == -(-ledger["frames"] // 2) and ledger["text_tokens"] > 0
