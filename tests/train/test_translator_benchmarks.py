"""Benchmarks of translators: what their lines are made of; and, slowly, that each goes through on a trained one."""

import contextlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
import yaml
from simul.small import wordy
from translate.small import noise, tiny

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.codec.units import Codebook
from ossicle.errors import ConfigError
from ossicle.hub.folder import shipped
from ossicle.hub.translator import save_translator
from ossicle.train.loop import run
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.translator import Translator

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny-translator.yaml")
NEW_VOICE = ROOT / "recipes" / "new-voice.yaml"
LANGUAGES = ("en", "fr", "de")
N_UNITS = 20


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[Any]:
    """The scripts by their names, as they import each other; threads are afterwards what they were."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module
    torch.set_num_threads(threads)


def speaking(seed: int = 0, *, stack: int = 2) -> Translator:
    """A translator of random weights with a codebook and a vocoder."""
    model = tiny(seed, stack=stack)
    model.codebook = Codebook(torch.randn(N_UNITS, model.width), layer=1)
    model.vocoder = QuickVocoder(N_UNITS, LANGUAGES, {one: one for one in LANGUAGES}, width=8, ffn=8).eval()
    return model


def quiet(seconds: float) -> Clip:
    return Clip(np.zeros(round(seconds * SAMPLE_RATE), np.float32), SAMPLE_RATE)


def cells(page: Path) -> dict[str, list[list[str]]]:
    """Rows of the tables of a page by their first cell."""
    found: dict[str, list[list[str]]] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| "):
            first, *others = (cell.strip() for cell in line.strip("|").split("|"))
            found.setdefault(first, []).append(others)
    return found


@pytest.mark.parametrize("stack", [2, 4])
def test_speech_is_said_again_from_its_own_units(benchmarks: Any, stack: int) -> None:
    model, (clip,) = speaking(stack=stack), noise(9000)
    made, units, took_s = benchmarks("vocoder").said_again(model, clip, "fr", None)
    assert len(units) == model.n_units(9000) and made.n_samples == 320 * len(units) and took_s > 0
    again, _, _ = benchmarks("vocoder").said_again(model, clip, "fr", "de")
    assert np.abs(made.samples - again.samples).max() > 0


def test_a_real_time_factor_is_of_all_speech_and_of_the_sentence_in_the_middle(benchmarks: Any) -> None:
    line = benchmarks("vocoder").quick("say", [1.0, 3.0, 5.0], [quiet(2), quiet(2), quiet(0)])
    assert line[:5] == ("say", "3", "4.0", "9.00", "2.250") and line[6] == "1.000"
    assert benchmarks("vocoder").quick("say", [1.0], [quiet(0)])[4:] == ("none", "none", "none")


def test_units_that_follow_phones_are_pure(benchmarks: Any) -> None:
    vocoder = benchmarks("vocoder")
    units = torch.tensor([4, 4, 4, 7, 7])
    one = vocoder.Again("", quiet(0.1), quiet(0.1), units, (("a", 0.0, 0.06), ("b", 0.06, 0.1)), 0.1)
    assert vocoder.of_units("de", [one]) == ("de", "5", "2", "2", "50", "100.0 %", "60.0 %", "100.0 %")


class Parrot:
    """Reads loud clips well, and nothing of others."""

    name, languages = "parrot", ("en",)

    def read(self, clip: Clip, language: str) -> str:
        return "The dog sleeps." if clip.samples.any() else ""


def test_word_errors_of_both_stand_side_by_side(benchmarks: Any) -> None:
    vocoder, (loud,) = benchmarks("vocoder"), noise(8000)
    one = vocoder.Again("The dog sleeps.", loud, quiet(0.5), torch.zeros(25, dtype=torch.int64), (), 0.1)
    line = vocoder.heard("en", [one, one], Parrot())
    assert line[:4] == ("en", "parrot", "2", "0.0 %") and line[5] == "100.0 %"
    assert line[7] == "+100.0 (+100.0 to +100.0)"


def test_what_no_engine_says_is_left_out_with_the_reason(benchmarks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    there, silent = benchmarks("vocoder").installed(LANGUAGES)
    assert there == ["fr", "de"] and silent == ["en: flite, which says it, is not installed"]


def test_a_model_that_does_not_come_with_the_package_is_told(
    benchmarks: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    aligner = benchmarks("aligner")
    assert aligner.is_there("runs/own") and capsys.readouterr().out == ""
    assert aligner.is_there(aligner.MODEL) == (aligner.MODEL in shipped())
    assert ("ossicle train recipes/mini-translate.yaml" in capsys.readouterr().out) == (aligner.MODEL not in shipped())


def test_the_truth_is_of_words_behind_blanks_of_words_behind_marks_and_of_letters(benchmarks: Any) -> None:
    text, begins = "Le chat, qui dort.", {0: 0.0, 3: 0.2, 9: 0.9, 13: 1.1}
    phones = [(0.0, 0), (0.1, 0), (0.2, 3), (0.9, 9), (1.1, 13), (1.2, 13), (1.3, 13)]
    truth = benchmarks("aligner").truth_of(text, begins, phones)
    assert truth.words == [(0, 0.0), (3, 0.2), (13, 1.1)] and truth.marked == [(9, 0.9)]
    assert truth.letters == [(1, 0.1)]  # "chat" and "dort" have fewer phones than letters


def test_the_interval_of_an_aligner_is_over_sentences_not_over_their_letters(benchmarks: Any) -> None:
    aligner = benchmarks("aligner")
    late = {"a word": [np.full((900, 2), one) for one in (0.01, -0.02, 0.03)], "a letter": [np.zeros((0, 2))] * 3}
    late["a letter"][1] = np.full((1, 2), 0.05)
    line = aligner.line_of("fr", "a word", late["a word"])
    assert line[2:] == ("2700", "3", "20 (10 to 30)", "30", "100 %", "+10", "20")
    assert aligner.line_of("fr", "a letter", late["a letter"])[2:5] == ("1", "1", "50 (50 to 50)")
    assert [len(rows) for rows in aligner.together(late)] == [900, 901, 900]
    nothing = aligner.line_of("fr", "a mark", [np.zeros((0, 2))])
    assert nothing[2:5] == ("0", "0", "") and len(nothing) == len(line) == len(aligner.HEAD)


@pytest.mark.parametrize("stack", [2, 4])
def test_speech_of_a_single_unit_and_none_at_all_has_a_view(benchmarks: Any, stack: int) -> None:
    model = speaking(stack=stack)
    for seconds in (0.0, 0.02, 0.04, 0.2):
        frame, shares = benchmarks("through_text").views(model, quiet(seconds))
        assert frame.isfinite().all() and shares.sum() == pytest.approx(1)


def test_mel_distances_are_over_what_both_clips_have(benchmarks: Any) -> None:
    loud, other = noise(8000, 8000)
    longer = Clip(np.concatenate([loud.samples, other.samples]), SAMPLE_RATE)
    found = benchmarks("new_voice").distances([loud, longer, other], [loud, loud, loud])
    assert found.numerators[:2].tolist() == [0.0, 0.0] and found.numerators[2] > 0.1
    assert found.denominators.tolist() == [1.0] * 3


def origin_of(base: Path, speaker: dict[str, Any] | None) -> dict[str, Any]:
    return {"recipe": {"parts": {"base": str(base), "speaker": speaker}}}


def test_vocoders_are_compared_before_and_after_and_nothing_else(benchmarks: Any, tmp_path: Path) -> None:
    model, new_voice = speaking(), benchmarks("new_voice")
    save_translator(model, tmp_path / "base", origin={})
    assert isinstance(model.vocoder, QuickVocoder)
    model.vocoder = model.vocoder.with_speaker("linda", "en")
    with torch.no_grad():
        model.vocoder.speaker.weight[-1] += 1.0
    save_translator(model, tmp_path / "grown", origin={})
    speaker = {"name": "linda", "language": "en"}
    before, after = new_voice.models_of(origin_of(tmp_path / "base", speaker), tmp_path / "grown")
    rows = [one.vocoder.speaker.weight for one in (before, after)]
    torch.testing.assert_close(rows[0][-1], rows[0][:-1].mean(0))
    torch.testing.assert_close(rows[1][-1], rows[0][-1] + 1.0, atol=2e-3, rtol=0)
    with pytest.raises(ConfigError, match=r"was taught no new speaker: it takes a run of recipes/new-voice\.yaml"):
        new_voice.models_of(origin_of(tmp_path / "base", None), tmp_path / "grown")
    with pytest.raises(ConfigError, match="was taught no new speaker"):  # nor does its recipe know any
        new_voice.models_of({"recipe": {"parts": {"base": "mini"}}}, tmp_path / "grown")
    save_translator(speaking(1), tmp_path / "other", origin={})
    with pytest.raises(ConfigError, match=r"grown differs from .*other in shared\.weight: only vocoders are compared"):
        new_voice.models_of(origin_of(tmp_path / "other", speaker), tmp_path / "grown")


def test_a_long_talk_is_laid_on_its_sentences_and_told_part_by_part(benchmarks: Any) -> None:
    live = benchmarks("live")
    texts = ["un chat dort", "il pleut", "nous mangeons du pain"]
    told = [{"texts": {"fr": one}, "start_s": 10.0 * i, "end_s": 10.0 * i + 4} for i, one in enumerate(texts)]
    words, at = ["un", "chat", "dort", "nous", "mangeons", "du", "vin"], [2, 3, 6, 24, 25, 26, 27]
    made = live.Streamed(words, [1000.0 * one for one in at], True, [], 1.0, 1)
    found = live.translated(made, told, "fr")
    assert [one.text for one in found] == ["un chat dort", "", "nous mangeons du vin"]
    assert [one.start_s for one in found] == [0.0, 10.0, 20.0] and found[1].late_s is None
    # 3 words over 4 s: 2 - 0, 3 - 4/3, and the first one after the end, 6 - 8/3
    assert found[0].late_s == pytest.approx(np.mean([2, 3 - 4 / 3, 6 - 8 / 3]))
    rows, grew = live.delay_rows(found, 30.0)
    assert [row[:2] for row in rows] == [("0 to 0", "2"), ("0 to 0", "1")]
    assert grew == pytest.approx(found[2].late_s / found[0].late_s) and rows[0][4] == f"{found[0].late_s:.2f}"
    assert live.delay_rows(found, 600.0)[0][0][0] == "0 to 5"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(TINY, out=tmp_path_factory.mktemp("runs") / "tiny", device="cpu")


@pytest.mark.slow
def test_the_vocoder_goes_through(benchmarks: Any, trained: Path, tmp_path: Path) -> None:
    benchmarks("vocoder").main([str(trained), "--items", "1", "--out", str(tmp_path / "page.md")])
    told = cells(tmp_path / "page.md")
    assert {"fr", "de", "units to speech, fr", "text to speech, de"} <= {*told}
    assert told["fr"][0][0] == "tiny-translator"


@pytest.mark.slow
def test_the_aligner_goes_through(benchmarks: Any, trained: Path, tmp_path: Path) -> None:
    benchmarks("aligner").main([str(trained), "--items", "2", "--out", str(tmp_path / "page.md")])
    assert cells(tmp_path / "page.md")["fr"][0][0] == "all that begins"
    assert "whole sentences are drawn anew" in (tmp_path / "page.md").read_text()


@pytest.mark.slow
def test_a_talk_goes_through(benchmarks: Any, trained: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "page.md", ["--from", "fr", "--to", "de", "--minutes", "0.2", "--folder", str(tmp_path)]
    benchmarks("talk").main(["--model", str(trained), *more, "--out", str(out)])
    told = cells(out)
    assert told["translate --to de, first 12 s"][0][0] == "12.0 of 12.0" and len(told["the talk"]) == 2


@pytest.mark.slow
def test_the_way_through_text_goes_through(benchmarks: Any, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    benchmarks("through_text").main(["--model", str(trained), "--items", "8", "--out", str(out)])
    assert len(cells(out)["speaker (of 8)"][0]) == 5


@pytest.mark.slow
def test_a_new_voice_goes_through(benchmarks: Any, trained: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(NEW_VOICE.read_text())
    raw["parts"]["base"] = str(trained)
    raw["stages"][0] |= {"budget": {"audio_hours": 0.002, "share": 1}, "data": {"batch_s": 8, "pool_items": 4}}
    (tmp_path / "voice.yaml").write_text(yaml.safe_dump(raw))
    folder, out = run(tmp_path / "voice.yaml", out=tmp_path / "voice", device="cpu").parent, tmp_path / "page.md"
    benchmarks("new_voice").main([str(folder), "--items", "1", "--out", str(out)])
    near, *read = cells(out)["linda (new)"]
    assert near[0] == "1" and near[1] != near[3] and read[0][0] == "tiny-translator"
    hours = json.loads((folder / "model" / "origin.json").read_text())["data_hours"]
    assert f"{hours:.2f} hours of audio" in out.read_text()


@pytest.mark.slow
def test_half_an_hour_while_it_is_spoken_goes_through(benchmarks: Any, tmp_path: Path) -> None:
    save_translator(wordy(max_position_embeddings=40), tmp_path / "model")
    out, more = tmp_path / "page.md", {"policy": "wait-k:2", "minutes": 2.0, "folder": tmp_path / "talk"}
    with contextlib.suppress(typer.Exit):  # what is random may well be later at the end
        benchmarks("live").main(str(tmp_path / "model"), out=out, **more)
    told = cells(out)
    assert [one[0] for one in told["speech to text"]] == ["1", "2"] == [one[0] for one in told["speech to speech"]]
    assert {"5", "10", "20"} <= {*told} and "cover every sample once" in out.read_text()
