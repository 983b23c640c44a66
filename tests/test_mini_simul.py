"""The translator that comes with the package to write while it hears: its files, and that it does what it is for."""

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ossicle
from ossicle.evaluate.likeness import likeness
from ossicle.evaluate.simultaneous_runs import PIECE_S, long_items
from ossicle.hub.folder import ASSETS
from ossicle.hub.translator import load_translator, verify_translator
from ossicle.simul.continuous import Continuous
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting, Said
from ossicle.translate.translator import Translator

FOLDER, EXAMPLES = ASSETS / "mini-simul", Path(__file__).parents[1] / "examples"
MAX_BYTES, RATE = 12_000_000, 16_000
OSSICLE = [sys.executable, "-c", "import sys; from ossicle.cli import main; sys.argv[0] = 'ossicle'; main()"]
N_ITEMS = 1
LEAST_BLEU = 35.0
"""Of one utterance, far below what is measured on many."""


@pytest.fixture(scope="module")
def model() -> Translator:
    return load_translator("mini-simul", device="cpu")


def interpreted(model: Translator, samples: np.ndarray, to: str, *, speaks: bool = False) -> list[Said | Uttered]:
    voice = Uttering(model, to) if speaks else None
    session, size = Interpreting(model, policy_named(best_policy(model), model), to, voice=voice), round(PIECE_S * RATE)
    events = [one for at in range(0, len(samples), size) for one in session.hear(samples[at : at + size])]
    return events + session.finish()


def text_of(events: list[Said | Uttered]) -> str:
    return "".join(one.text for one in events if isinstance(one, Said)).strip()


def test_it_is_small_whole_and_says_where_it_comes_from() -> None:
    verify_translator(FOLDER)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) <= MAX_BYTES
    origin = json.loads((FOLDER / "origin.json").read_text())
    assert origin["recipe"]["name"] == "mini-simul" and origin["data_hours"] > 1 and origin["steps"] > 0
    assert all(one["commit"].rstrip("+").isalnum() and one["versions"]["torch"] for one in origin["segments"])
    card = (FOLDER / "card.md").read_text()
    assert "small-world" in card.lower() and "| en to fr | offline " in card and "| en to de | emma:" in card


@pytest.mark.parametrize(("source", "to"), [("en", "fr"), ("en", "de"), ("fr", "en"), ("de", "en")])
def test_the_examples_are_translated(model: Translator, source: str, to: str) -> None:
    samples = soundfile.read(EXAMPLES / f"{source}.wav", dtype="float32")[0]
    assert text_of(interpreted(model, samples, to)) == (EXAMPLES / f"{to}.txt").read_text().strip()


@pytest.mark.parametrize("to", ["fr", "de"])
def test_it_translates_while_somebody_speaks(model: Translator, to: str) -> None:
    items = long_items(N_ITEMS, "en", seed=5)
    made = []
    for item in items:
        events = interpreted(model, item.speech.samples, to)
        words = [one for one in events if isinstance(one, Said) and one.text.strip()]
        assert words[0].at_s < 0.5 * item.speech.duration_s
        assert max(one.at_s for one in words[:-1]) <= item.speech.duration_s
        made.append(text_of(events))
    assert likeness("bleu", [item.texts[to] for item in items], made).value > LEAST_BLEU


@pytest.mark.parametrize("loud", [0.0, 1e-3, 0.1])
def test_where_nobody_speaks_nothing_is_written(model: Translator, loud: float) -> None:
    session = Continuous(model, lambda: policy_named(best_policy(model), model), "fr")
    noise = (loud * np.random.default_rng(0).normal(size=10 * RATE)).astype(np.float32)
    events = [one for at in range(0, len(noise), 5120) for one in session.hear(noise[at : at + 5120])]
    assert text_of(events + session.finish()) == ""


def test_what_it_says_is_read_back(model: Translator) -> None:
    (item,) = long_items(1, "en", seed=5)
    events = interpreted(model, item.speech.samples, "fr", speaks=True)
    spoken = [one for one in events if isinstance(one, Uttered)]
    assert len(spoken) > 1 and spoken[0].at_s < item.speech.duration_s
    reader = ossicle.load_translator("mini-translate", device="cpu")
    clip = ossicle.Clip(np.concatenate([one.samples for one in spoken]), RATE)
    read = ossicle.make_translation(reader, clip, to="fr").text
    assert likeness("chrf", [text_of(events)], [read]).value > 30


def test_the_command_shows_words_before_the_speaker_ends(tmp_path: Path) -> None:
    samples = np.concatenate([soundfile.read(EXAMPLES / f"{one}.wav", dtype="int16")[0] for one in ("en", "en")])
    command = [*OSSICLE, "translate", "--live", "--to", "fr", "--transcript", str(tmp_path / "talk.txt")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(samples.tobytes())
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 120)[0]  # the sound has not ended
        process.stdin.close()
        text = process.stdout.read().decode()
    assert process.returncode == 0 and text.strip()
    assert (tmp_path / "talk.txt").read_text().split() == text.split()
