"""The translator that comes with the package: its files, its examples, and that what it says can be understood."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import ossicle
from ossicle.audio.clip import Clip
from ossicle.cli import run
from ossicle.evaluate.metrics import count
from ossicle.hub.folder import ASSETS
from ossicle.hub.translator import verify_translator
from ossicle.translate.translator import Translator
from ossicle.world.parallel import parallel

FOLDER, EXAMPLES = ASSETS / "mini-translate", Path(__file__).parents[1] / "examples"
MAX_BYTES = 12_000_000
SAID = {one: (EXAMPLES / f"{one}.txt").read_text().strip() for one in ("en", "fr", "de")}
PAIRS = list(itertools.permutations(SAID, 2))
MOST_ERRORS = 0.35
"""Of the words that are read back of speech on the six test sentences that are said here."""


@pytest.fixture(scope="module")
def model() -> Translator:
    return ossicle.load_translator("mini-translate", device="cpu")


def test_it_is_small_whole_and_says_where_it_comes_from() -> None:
    verify_translator(FOLDER)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) <= MAX_BYTES
    origin = json.loads((FOLDER / "origin.json").read_text())
    assert origin["recipe"]["name"] == "mini-translate" and origin["data_hours"] > 1 and origin["steps"] > 0
    assert origin["seed"] == origin["recipe"]["seed"] and origin["segments"][0]["from_step"] == 0
    assert all(one["commit"].rstrip("+").isalnum() and one["versions"]["torch"] for one in origin["segments"])
    assert "small-world" in (FOLDER / "card.md").read_text().lower()


@pytest.mark.parametrize(("source", "to"), [*PAIRS, *((one, one) for one in SAID)])
def test_the_examples_are_translated(model: Translator, source: str, to: str) -> None:
    told = ossicle.make_translation(model, EXAMPLES / f"{source}.wav", to=to)
    assert told.text == SAID[to]
    assert told.ledger.seconds_heard == pytest.approx(told.ledger.seconds_given, abs=0.05)


@pytest.mark.parametrize(("source", "to"), PAIRS)
def test_a_text_is_translated(model: Translator, source: str, to: str) -> None:
    assert ossicle.make_translation(model, SAID[source], source_language=source, to=to).text == SAID[to]


def test_the_text_of_the_readme_is_translated(model: Translator) -> None:
    text = "This evening Martin will see six lions."
    assert text in (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    told = ossicle.make_translation(model, text, source_language="en", to="de").text
    assert told == "Heute Abend wird Martin sechs Löwen sehen."


@pytest.mark.parametrize("language", SAID)
def test_what_it_says_is_read_back(model: Translator, language: str) -> None:
    texts = [parallel(np.random.default_rng(i), "test").texts[language] for i in range(6)]
    spoken = [ossicle.say(model, text, language=language) for text in texts]
    read = [ossicle.make_translation(model, clip, to=language).text for clip in spoken]
    rate = count("wer", texts, read).rate
    assert rate is not None and rate <= MOST_ERRORS
    without = [ossicle.make_translation(model, Clip(0 * clip.samples, clip.rate), to=language).text for clip in spoken]
    assert without == [""] * len(texts)


def test_the_command_writes_the_right_text_and_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoken = tmp_path / "out.wav"
    assert run(["translate", str(EXAMPLES / "en.wav"), "--to", "fr", "--speak", str(spoken)]) == 0
    assert capsys.readouterr().out == f"{SAID['fr']}\n"
    assert run(["translate", str(spoken), "--to", "fr"]) == 0
    assert capsys.readouterr().out == f"{SAID['fr']}\n"
