"""The model that comes with the package: its files, its examples, and every format that it hears."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

import ossicle
from ossicle.cli import run
from ossicle.evaluate.metrics import count
from ossicle.hub.folder import ASSETS, verify
from ossicle.models.audio_lm import AudioLM
from ossicle.world.meeting import write_meeting

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


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("world") / "meeting"
    write_meeting(folder, seed=3, duration_s=90.0, n_facts=3, n_speakers=3)
    told: dict[str, Any] = json.loads((folder / "meeting.json").read_text())
    return folder / "meeting.wav", told


def test_a_meeting_is_heard_whole_and_written_down_utterance_by_utterance(
    mini: AudioLM, meeting: tuple[Path, dict[str, Any]]
) -> None:
    path, told = meeting
    transcript = ossicle.transcribe(mini, path, speech_only=True)
    assert transcript.ledger.seconds_given == transcript.ledger.seconds_heard == 90.0
    counts = count("wer", [" ".join(one["text"] for one in told["utterances"])], [transcript.text])
    assert counts.rate is not None and counts.rate < 0.15
    spoken = [one for one in transcript.segments if one.text]
    assert len(spoken) == len(told["utterances"])
    for segment, said in zip(spoken, told["utterances"], strict=True):
        assert said["start_s"] - 0.6 < segment.start_s <= said["start_s"] + 0.05
        assert said["end_s"] - 0.05 <= segment.end_s < said["end_s"] + 0.6
    unspoken = {one.finish for one in transcript.segments if not one.text}
    assert unspoken == {"quiet", "no_speech"}, "there are long pauses, and sounds between the utterances"


def test_without_asking_for_speech_a_sound_gets_words(mini: AudioLM, meeting: tuple[Path, dict[str, Any]]) -> None:
    path, told = meeting
    spoken = [one for one in ossicle.transcribe(mini, path).segments if one.text]
    assert len(told["utterances"]) < len(spoken) <= len(told["utterances"]) + len(told["sounds"])


def test_a_fact_said_once_is_found_in_a_meeting_that_the_context_does_not_hold(
    mini: AudioLM, meeting: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, told = meeting
    with pytest.raises(ossicle.ContextError, match="retrieve passages of it"):
        ossicle.ask(mini, path, "what is said?")
    recording = ossicle.listen(mini, path, speech_only=True)
    for fact in told["facts"]:
        said = told["utterances"][fact["utterance"]]
        answer = ossicle.ask(mini, recording, fact["question"], about=fact["about"], passages=1)
        ((start_s, end_s),) = answer.passages
        assert start_s < said["end_s"] and said["start_s"] < end_s
        alone = ossicle.ask(mini, ossicle.Clip(_between(path, start_s, end_s), 16_000), fact["question"])
        assert answer.text == alone.text
    fact = told["facts"][0]
    arguments = ["ask", str(path), fact["question"], "--long", "retrieve", "--about", fact["about"], "--passages", "1"]
    assert run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ledger"]["seconds_heard"] == 90.0 and 80 < printed["ledger"]["seconds_dropped"] < 90
    assert printed["note"].startswith("read 1 of ") and len(printed["passages"]) == 1
    assert run(arguments) == 0
    assert "s not read" in capsys.readouterr().err


def _between(path: Path, start_s: float, end_s: float) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32")
    part: np.ndarray = samples[round(start_s * 16_000) : round(end_s * 16_000)]
    return part
