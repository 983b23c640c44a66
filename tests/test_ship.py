"""What is shipped: a translator scored whole on the command line, then put among the package's models with a card."""

import contextlib
import io
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from infer.test_translate import talking
from models.tiny import tiny_model
from simul.small import speaking as simultaneous
from translate.small import letters
from translate.test_quick_vocoder import small

from ossicle.cli import run
from ossicle.errors import NotFoundError
from ossicle.hub.description import fingerprint
from ossicle.hub.folder import find, save, verify
from ossicle.hub.translator import load_translator, save_translator, verify_translator
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Translator

TOOL = Path(__file__).parents[1] / "tools" / "ship.py"
ORIGIN = {
    "recipe": {"name": "tiny-translator", "summary": "letters to letters"},
    "data_hours": 12.34,
    "training_hours": 0.5,
    "versions": {"ossicle": "as it was then"},
}


class Scored(NamedTuple):
    """A translator's folder, what `ossicle evaluate` printed about it and told on the way, and its page."""

    folder: Path
    printed: str
    told: str
    page: str

    @property
    def scores(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.printed)
        return found


def speaking() -> Translator:
    """A tiny translator of random weights that speaks English and French."""
    model = talking()
    model.text, model.vocoder = TextTokens(letters().tokenizer, {"en": 4, "fr": 5}), small()
    model.config["max_position_embeddings"] = 40  # of what is read and written there is little
    return model


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    place = tmp_path_factory.mktemp("runs")
    folder = save_translator(speaking(), place / "model", dtype="float16", origin=ORIGIN)
    printed, told = io.StringIO(), io.StringIO()
    arguments = ["evaluate", "--model", str(folder), "--limit", "1", "--seed", "57", "--json"]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        assert run([*arguments, "--report", str(place / "page.md")]) == 0
    return Scored(folder, printed.getvalue(), told.getvalue(), (place / "page.md").read_text())


@pytest.fixture
def ship() -> Callable[..., Path]:
    made: Callable[..., Path] = runpy.run_path(str(TOOL))["ship"]
    return made


def test_a_translator_is_scored_whole_on_the_command_line(scored: Scored) -> None:
    found = scored.scores
    assert (found["model"], found["seed"], scored.printed.count("\n")) == ("tiny", 57, 1)
    assert found["parameters"] == sum(value.numel() for value in speaking().parameters())
    rows = [(one["source"], one["to"], one["direction"], one["way"], one["recogniser"]) for one in found["translation"]]
    ways = [("s2t", "direct"), ("s2t", "cascade"), ("t2t", "direct"), ("s2s", "direct"), ("s2s", "cascade")]
    assert rows == [
        (source, to, direction, way, "tiny" if direction[-1] == "s" else None)
        for source, to in (("en", "fr"), ("fr", "en"))
        for direction, way in (*ways, ("t2s", "direct"))
    ]
    assert all(one["bleu"]["n"] == 1 and 0 <= one["chrf"]["value"] < 100 for one in found["translation"])
    assert any(one["chrf"]["value"] > 0 for one in found["translation"])
    assert [(one["language"], one["voice"]) for one in found["recognition"]] == [
        (language, voice) for language in ("en", "fr") for voice in ("people", "engine")
    ]
    lines = [line for line in scored.told.splitlines() if ": BLEU " in line]
    assert len(lines) == 12 and lines[1].startswith("en to fr, s2t, cascade: BLEU ")
    assert scored.page.startswith("# tiny: translation\n\nMade by `ossicle evaluate --model ")
    assert scored.page.count("| en to fr | ") == scored.page.count("| fr to en | ") == 6


def test_a_translator_that_is_shipped_is_found_by_its_name_and_by_none(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossicle.hub.folder.ASSETS", tmp_path)
    with pytest.raises(NotFoundError, match="there is no model 'mini-translate': give a model folder, or one of -"):
        load_translator()
    target = ship(scored.folder, scored.scores, assets=tmp_path)
    assert target == tmp_path / "mini-translate" == find("mini-translate") and verify_translator("mini-translate") > 5
    assert (target / "origin.json").read_bytes() == (scored.folder / "origin.json").read_bytes()
    trained = load_translator(scored.folder, device="cpu").state_dict()
    for model in (load_translator(device="cpu"), load_translator("mini-translate", device="cpu")):
        assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())
    assert ship(scored.folder, scored.scores, assets=tmp_path) == target  # in place of the one before
    with pytest.raises(NotFoundError, match="give a model folder, or one of mini-translate"):
        load_translator("nobody")


def test_the_card_says_what_was_measured_and_how_little_that_means(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path
) -> None:
    scores = scored.scores
    row = scores["translation"][0]
    row["bleu"] |= {"value": 12.345, "low": 9.87, "high": 23.4}
    english = [{**row, "recogniser": "another"} for row in scores["translation"] if row["direction"] == "t2s"][1:]
    card = (ship(scored.folder, scores, assets=tmp_path) / "card.md").read_text()
    assert f"A translator with {scores['parameters']:,} parameters: letters to letters." in card
    assert "the recipe `tiny-translator`, on 12 hours" in card and "in 30 minutes of training" in card
    assert "It knows English and French from speech synthesisers" in card and "Measured on 1 sentences" in card
    assert "(seed 57)" in card and "(here: tiny)" in card and "cannot be compared" in card
    heads = [line for line in card.splitlines() if line.startswith(("| BLEU ", "| chrF "))]
    for line in heads:
        assert [one.strip() for one in line.split("|")[2:-1]] == [
            *("S2T", "S2T, cascade", "T2T", "S2S", "S2S, cascade", "T2S"),
        ]
    assert "| en to fr | 12.3 (9.9 to 23.4)" in card and card.count("| fr to en | ") == len(heads) == 2
    chrf = scores["translation"][1]["chrf"]
    assert f"| {chrf['value']:.1f} ({chrf['low']:.1f} to {chrf['high']:.1f}) " in card
    assert f"- `BLEU {row['bleu']['signature']}`" in card and "|text:spoken`" in card
    heard = scores["recognition"][0]
    assert f"| the test voices | tiny    | {100 * heard['wer']:.1f} % (" in card
    scores["translation"] += english  # who reads English alone
    again = (ship(scored.folder, scores, assets=tmp_path) / "card.md").read_text()
    assert "| T2S, another " in again and "(here: tiny, another)" in again
    (line, _) = (line for line in again.splitlines() if line.startswith("| en to fr | "))
    assert line.split("|")[-2].strip() == ""


def test_a_model_that_answers_is_shipped_as_mini(ship: Callable[..., Path], tmp_path: Path) -> None:
    folder = save(tiny_model(), tmp_path / "model", dtype="float16", origin=ORIGIN)
    told = {"metric": "wer", "value": 0.125, "low": 0.1, "high": 0.15, "silence": 1.0, "n": 4}
    slices = {"accents": {"value": 0.5, "n": 2}, "festival": {"value": None, "n": 0}}
    scores = {"model": tiny_model().name, "tasks": {"transcribe": {**told, "slices": slices}}}
    target = ship(folder, scores, assets=tmp_path)
    assert target == tmp_path / "mini" and verify(target) > 5
    assert (target / "origin.json").read_bytes() == (folder / "origin.json").read_bytes()
    card = (target / "card.md").read_text()
    assert (
        card.startswith("# mini\n") and "| transcribe | word error rate | 12.5% | 10.0% to 15.0% | 100.0% | 4 |" in card
    )
    assert "| accents | 50.0% | 2 |" in card and "| festival | none | 0 |" in card
    with pytest.raises(SystemExit, match="the scores are of another with "):
        ship(folder, {**scores, "model": "another"}, assets=tmp_path)
    with pytest.raises(SystemExit, match="the scores are of a folder with the fingerprint 0123, not of "):
        ship(folder, {**scores, "fingerprint": "0123"}, assets=tmp_path)


def test_what_is_too_large_or_scored_as_another_is_not_shipped(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path
) -> None:
    scores = scored.scores
    with pytest.raises(SystemExit, match=r"the scores are of tiny with 7 parameters, not of tiny with "):
        ship(scored.folder, {**scores, "parameters": 7}, assets=tmp_path)
    limits = ship.__globals__["MAX_BYTES"]
    assert limits["mini-translate"] == 12_000_000
    target = ship(scored.folder, scores, assets=tmp_path)
    size = sum(path.stat().st_size for path in target.iterdir())
    limits["mini-translate"] = size - 1
    with pytest.raises(SystemExit, match=rf"makes {size:,} bytes, at most {size - 1:,} may be shipped"):
        ship(scored.folder, scores, assets=tmp_path)
    assert verify_translator(target) > 5  # what was shipped before stays


def test_scores_are_of_the_very_folder_where_they_tell_its_fingerprint(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path
) -> None:
    other = speaking()
    with torch.no_grad():
        other.shared.weight[0, 0] += 1.0
    save_translator(other, tmp_path / "other", dtype="float16", origin=ORIGIN)  # as large, and of the same name
    theirs, ours = fingerprint(tmp_path / "other"), fingerprint(scored.folder)
    with pytest.raises(SystemExit, match=rf"with the fingerprint {theirs}, not of {scored.folder} with {ours}"):
        ship(scored.folder, {**scored.scores, "fingerprint": theirs}, assets=tmp_path / "assets")
    assert ship(scored.folder, {**scored.scores, "fingerprint": ours}, assets=tmp_path / "assets").is_dir()


def test_until_the_new_folder_is_whole_the_old_one_stays(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[str, bytes]:
        paths = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths}

    target = ship(scored.folder, scored.scores, assets=tmp_path)
    before = contents()
    assert {Path(name).parent.as_posix() for name in before} == {target.name}

    def stopped(folder: Path) -> None:
        assert folder.stat().st_dev == target.stat().st_dev and folder.is_relative_to(tmp_path)
        assert contents().items() > before.items()  # the new one is there, and not in its place
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(ship.__globals__, "verify_translator", stopped)
        ship(scored.folder, {**scored.scores, "seed": 58}, assets=tmp_path)
    assert contents() == before
    for stray in (".mini-translate.draft-killed", ".mini-translate.old-killed"):
        (tmp_path / stray).mkdir()
        (tmp_path / stray / "card.md").write_text("half")
    ship(scored.folder, {**scored.scores, "seed": 58}, assets=tmp_path)
    assert b"(seed 58)" in (target / "card.md").read_bytes() and {*contents()} == {*before}


def test_one_that_chooses_when_to_write_has_a_name_and_a_card_of_its_own(
    ship: Callable[..., Path], tmp_path: Path
) -> None:
    folder = save_translator(simultaneous(), tmp_path / "model", dtype="float16", origin=ORIGIN)
    target = ship(folder, assets=tmp_path)  # first to be measured by its name
    weights = {path.name: path.read_bytes() for path in target.glob("*.safetensors")}
    assert target.name == "mini-simul" and "Nothing was measured yet." in (target / "card.md").read_text()
    points = [
        _point("offline", 64.94, 9000.0),
        _point("emma:0.5", 50.04, 1250.4),
        _point("emma:0.6", 57.16, 1990.0),
        _point("emma:0.9", 60.0, 2100.0),  # too late
        _point("wait-k:9", 30.0, 2100.0),
        {**_point("agreement:2", 0.0, 0.0), "latency_ms": {}},
    ]
    heard = {"source": "en", "to": "fr", "policy": "emma:0.5", "recogniser": "mini-translate"}
    heard |= {"asr_bleu": {"value": 41.26, "low": 40.0, "high": 42.0, "n": 4, "signature": "s"}}
    scores = {"model": "tiny", "seed": 3, "hardware": "a laptop", "simultaneous": points, "spoken": [heard]}
    again = ship(target, {**scores, "fingerprint": fingerprint(target)}, assets=tmp_path)
    card = (again / "card.md").read_text()
    rows = [[one.strip() for one in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| en to")]
    assert rows == [
        ["en to fr", "offline", "64.9 (63.9 to 65.9)", "9.00", "9.05"],
        ["en to fr", "emma:0.6", "57.2 (56.2 to 58.2)", "1.99", "2.04"],
        ["en to fr", "emma:0.5", "mini-translate", "41.3 (40.0 to 42.0)"],
    ]
    assert "on a laptop" in card and "on 4 utterances" in card and "(seed 3)" in card and "- `BLEU nrefs:1`" in card
    assert {path.name: path.read_bytes() for path in target.glob("*.safetensors")} == weights
    assert (target / "origin.json").read_bytes() == (folder / "origin.json").read_bytes()


def test_a_card_is_made_of_the_scores_of_its_own_kind_of_model(
    scored: Scored, ship: Callable[..., Path], tmp_path: Path
) -> None:
    folder = save_translator(simultaneous(), tmp_path / "model", dtype="float16", origin=ORIGIN)
    with pytest.raises(SystemExit, match="no scores of this kind of model: wanted 'simultaneous' among model, "):
        ship(folder, {"model": "tiny", "translation": []}, assets=tmp_path)
    with pytest.raises(SystemExit, match="wanted 'translation' among model, seed, simultaneous"):
        ship(scored.folder, {"model": "tiny", "seed": 3, "simultaneous": []}, assets=tmp_path)
    answering = save(tiny_model(), tmp_path / "answering", dtype="float16", origin=ORIGIN)
    with pytest.raises(SystemExit, match="holds no translator, and its card needs scores"):
        ship(answering, assets=tmp_path)
    assert not list(tmp_path.glob("mini*"))


def _point(policy: str, bleu: float, laal: float) -> dict[str, Any]:
    """A row of ``ossicle evaluate --suite simul --json``."""
    bleus = {"value": bleu, "low": bleu - 1, "high": bleu + 1, "n": 4, "signature": "nrefs:1"}
    late = {"laal": {"value": laal}, "laal_ca": {"value": laal + 50}}
    return {"source": "en", "to": "fr", "policy": policy, "piece_s": 0.32, "bleu": bleus, "latency_ms": late}
