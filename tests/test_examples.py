"""Every example runs, on a tiny random model, and says what it promises to say; the recordings hold what they say."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models.tiny import noise, tiny_model
from simul.small import speaking

from ossicle.hub.folder import save
from ossicle.hub.translator import save_translator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
RECORDINGS = {
    "en": "He has a headache because it will snow.",
    "fr": "Il a mal à la tête parce qu'il neigera.",
    "de": "Er hat Kopfschmerzen, weil es schneien wird.",
}
SAYS = {
    "ask.py": ("what is said: ", "who says it: ", "heard 10.00 of 10.00 s in "),
    "no_bridge.py": ("with its bridge: ", "NoBridge: every promise is kept", "without: "),
    "own_bridge.py": ("Loudest: every promise is kept", "seconds_given=10.0", "tail_s=0.0"),
    "own_encoder.py": ("WavLM: every promise is kept", "seconds_given=10.0", "frames=500"),
    "own_policy.py": (" s ", " 10.00 s "),
    "stream.py": (" tokens a second",),
    "subtitles.py": ("1\n00:00:00,000 --> 00:00:0", "2\n00:00:0", " --> 00:00:10,000\n"),
}
TRANSLATES = {"own_policy.py"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    soundfile.write(folder / "noise.wav", noise(10.0).samples, 16_000)
    save(tiny_model(context=512), folder / "tiny")
    save_translator(speaking(), folder / "translator")
    return folder


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs_and_is_short(name, folder, capsys, monkeypatch):
    path = EXAMPLES / name
    assert len(path.read_text().splitlines()) <= 40
    model = folder / ("translator" if name in TRANSLATES else "tiny")
    monkeypatch.setattr(sys, "argv", [name, str(folder / "noise.wav"), str(model)])
    runpy.run_path(str(path), run_name="__main__")
    out = capsys.readouterr().out
    assert all(text in out for text in SAYS[name])


def test_every_recording_has_its_text_and_is_what_the_tool_makes(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["example_speech.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "tools" / "example_speech.py"), run_name="__main__")
    beside = {path.name for path in EXAMPLES.iterdir() if path.suffix != ".py" and path.is_file()}
    assert (
        beside
        == {path.name for path in tmp_path.iterdir()}
        == {f"{x}{y}" for x in RECORDINGS for y in (".wav", ".txt")}
    )
    for language, text in RECORDINGS.items():
        name = f"{language}.wav"
        info = soundfile.info(EXAMPLES / name)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert (EXAMPLES / name).stat().st_size < 200_000
        made, kept = (soundfile.read(folder / name, dtype="float32")[0] for folder in (tmp_path, EXAMPLES))
        assert len(made) == len(kept) and np.abs(made - kept).max() < 1e-3 < np.abs(kept).max()
        for folder in (tmp_path, EXAMPLES):
            assert (folder / f"{language}.txt").read_text(encoding="utf-8") == f"{text}\n"
