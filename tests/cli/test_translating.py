"""Commands translate and speak: what is a sound and what a text, what is printed and written, what is refused."""

import io
import json
import os
import sys

import numpy as np
import pytest
import soundfile
from infer.test_translate import RATE, talk, talking, writing
from models.tiny import tiny_model
from parity.test_seamless import write
from translate.test_quick_vocoder import small
from translate.tiny import published

from ossicle.cli import run
from ossicle.cli.inputs import expand_with_texts
from ossicle.errors import DataError, RequestError
from ossicle.hub.folder import save
from ossicle.hub.translator import save_translator


@pytest.fixture(scope="module")
def mute(tmp_path_factory):
    """A translator's folder."""
    return str(save_translator(writing(), tmp_path_factory.mktemp("mute") / "tiny"))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    """One that speaks all three languages; ann and bob speak English, cleo French."""
    model = talking()
    model.vocoder = small()
    return str(save_translator(model, tmp_path_factory.mktemp("talking") / "tiny"))


@pytest.fixture
def ossicle(capsys):
    """Run a command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        exit_code = run([str(one) for one in arguments])
        return exit_code, *capsys.readouterr()

    return call


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "talk.wav"
    soundfile.write(path, talk(1.0, 1.5, 0.8).samples, RATE, subtype="FLOAT")
    return path


def failed(result, exit_code, code):
    """The one line that a failed command leaves."""
    got, out, err = result
    assert (got, out) == (exit_code, ""), err
    assert err.startswith(f"error: {code}: ") and err.count("\n") == 1, err
    return err


def test_a_sound_becomes_text_and_in_json_segments(ossicle, mute, wav):
    asked = ("translate", wav, "--to", "fr", "--model", mute, "--max-tokens", 6)
    code, out, err = ossicle(*asked, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "") and list(found) == ["file", "text", "ledger", "segments"]
    assert found["ledger"]["seconds_heard"] == found["ledger"]["seconds_given"] == pytest.approx(3.3)
    assert [segment["finish"] == "quiet" for segment in found["segments"]] == [False, True, False]
    code, out, err = ossicle(*asked)
    assert (code, out) == (0, found["text"] + "\n") and err.startswith("  heard 3.30 of 3.30 s (0.75 s not read) · ")


def test_a_text_becomes_text(ossicle, mute):
    asked = ("translate", "ab cd? ef!", "--from", "en", "--to", "de", "--model", mute, "--max-tokens", 6)
    code, out, _ = ossicle(*asked, "--json")
    found = json.loads(out)
    assert code == 0 and list(found) == ["source", "text", "ledger", "segments"]
    assert found["source"] == "ab cd? ef!" and [one["source"] for one in found["segments"]] == ["ab cd?", "ef!"]
    code, out, err = ossicle(*asked)
    assert out == found["text"] + "\n" and "text tokens (cut off at --max-tokens)" in err and "heard" not in err


def test_standard_input_is_sound(ossicle, mute, wav, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(wav.read_bytes())))
    code, out, _ = ossicle("translate", "-", "--to", "fr", "--model", mute, "--max-tokens", 2, "--json")
    assert code == 0 and json.loads(out)["file"] == "-"


def test_speech_and_subtitles_of_one_source(ossicle, speaker, wav, tmp_path):
    asked = ("translate", wav, "--to", "fr", "--model", speaker, "--max-tokens", 6)
    spoken, srt, vtt = (tmp_path / name for name in ("out.wav", "out.srt", "out.vtt"))
    code, out, _ = ossicle(*asked, "--speak", spoken, "--voice", "cleo", "--srt", srt, "--vtt", vtt, "--json")
    found = json.loads(out)
    samples, rate = soundfile.read(spoken)
    first, last = (found["segments"][i]["spoken_s"] for i in (0, 2))
    assert code == 0 and rate == RATE and len(samples) / rate == pytest.approx(last[1]) and first[0] == 0
    assert " --> 00:00:0" in srt.read_text() and vtt.read_text().startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert found["text"] == json.loads(ossicle(*asked, "--json")[1])["text"]


def test_speech_is_not_written_over_what_is_heard(ossicle, speaker, wav, monkeypatch):
    before = wav.read_bytes()
    monkeypatch.chdir(wav.parent)
    asked = ("translate", wav, "--to", "fr", "--model", speaker, "--max-tokens", 6, "--speak", wav.name)
    message = f"--speak {wav.name} would be written over what is read: name another file"
    assert message in failed(ossicle(*asked), 5, "not_writable")
    assert wav.read_bytes() == before
    (wav.parent / "dir.wav").mkdir()
    asked = (*asked[:-1], "dir.wav")
    assert "--speak dir.wav is a folder: name a file" in failed(ossicle(*asked), 5, "not_writable")


def test_a_text_is_spoken(ossicle, speaker, tmp_path, monkeypatch):
    out, script = tmp_path / "out.wav", tmp_path / "script.txt"
    asked = ("--language", "en", "--model", speaker)
    code, shown, err = ossicle("speak", "ab c.", out, *asked, "--voice", "bob")
    samples, _ = soundfile.read(out)
    assert (code, shown) == (0, "") and err == f"  {len(samples) / RATE:.2f} s in {out}\n" and samples.any()
    script.write_text("ab c.")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab c.")))
    for text in (script, "-"):
        code, shown, _ = ossicle("speak", text, out, *asked, "--voice", "1", "--json")
        assert code == 0 and json.loads(shown) == {
            "file": str(out),
            "text": "ab c.",
            "unread": "",
            "seconds": pytest.approx(len(samples) / RATE),
        }
        assert np.array_equal(soundfile.read(out)[0], samples)
    assert "the pace is 0: it is" in failed(ossicle("speak", "a", out, *asked, "--pace", 0), 2, "invalid_value")
    ossicle("speak", "ab c.", out, *asked, "--pace", 0.25)
    assert len(soundfile.read(out)[0]) > len(samples)
    missing = failed(ossicle("speak", tmp_path / "none.TXT", out, *asked), 3, "file_not_found")
    assert f"there is no file '{tmp_path / 'none.TXT'}'" in missing
    script.write_text("")
    assert "it holds no text" in failed(ossicle("speak", script, out, *asked), 7, "bad_item")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert "is no text in UTF-8" in failed(ossicle("speak", "-", out, *asked), 2, "invalid_value")
    assert "ends in .wav, got 'x.mp3'" in failed(ossicle("speak", "a", "x.mp3", *asked), 2, "invalid_value")
    failed(ossicle("speak", "a", tmp_path / "none" / "x.wav", *asked), 5, "not_writable")
    (tmp_path / "dir.wav").mkdir()
    message = failed(ossicle("speak", "a", tmp_path / "dir.wav", *asked), 5, "not_writable")
    assert "dir.wav' is a folder: name a file" in message
    for sound in (out, tmp_path, "none.wav", "./none"):
        message = failed(ossicle("speak", sound, out, *asked), 2, "invalid_value")
        assert f"{str(sound)!r} names a sound or a folder, and speak takes a text" in message


def test_half_a_character_is_no_text(ossicle, speaker, tmp_path):
    """What a shell hands over where a name or a text is no UTF-8."""
    half = os.fsdecode(b"caf\xe9")
    asked = ("--model", speaker)
    for command in (
        ("speak", half, tmp_path / "out.wav", "--language", "fr"),
        ("translate", half, "--from", "en", "--to", "fr"),
        ("translate", half, "--from", "en", "--to", "en"),
    ):
        message = failed(ossicle(*command, *asked), 2, "invalid_value")
        assert r"a text is characters in UTF-8: what stands at place 3 is none ('\udce9')" in message


def test_what_no_token_says_is_told(ossicle, mute, speaker, tmp_path):
    asked = ("translate", "ab 55 cd.", "--from", "en", "--to", "de", "--model", mute, "--max-tokens", 6)
    code, _, err = ossicle(*asked)
    assert code == 0 and err.endswith("  left out, for the model has no token for it: 5\n")
    code, out, err = ossicle(*asked, "--json")
    assert (code, err) == (0, "") and [one["unread"] for one in json.loads(out)["segments"]] == ["5"]
    spoken = tmp_path / "out.wav"
    asked = ("speak", "ab 7 cd.", spoken, "--language", "en", "--model", speaker)
    assert (
        ossicle(*asked)[2].endswith("no token for it: 7\n")
        and json.loads(ossicle(*asked, "--json")[1])["unread"] == "7"
    )
    spoken.unlink()
    refused = failed(ossicle("speak", "7", spoken, "--language", "en", "--model", speaker), 2, "invalid_value")
    assert "nothing of the text can be read" in refused and not spoken.exists()
    (script := tmp_path / "notes.txt").write_text("ab. 9 cd.")
    out = tmp_path / "out"
    refused = failed(ossicle("translate", script, "--to", "de", "--model", mute), 2, "missing_parameter")
    assert "is a text file: say its language, --from LANGUAGE" in refused
    _, _, err = ossicle("translate", script, "--from", "en", "--to", "de", "--model", mute, "--out", out)
    assert f"{script}: left out, for the model has no token for it: 9\n" in err


def test_a_folder_of_sounds_and_a_text_file_become_a_folder(ossicle, speaker, tmp_path):
    talks, script, out = tmp_path / "talks", tmp_path / "script.txt", tmp_path / "out"
    talks.mkdir()
    for number in range(3):
        soundfile.write(talks / f"{number}.wav", talk(0.4, seed=number).samples, RATE)
    (talks / "1.wav").write_bytes(b"no sound")
    script.write_text("ab c.")
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"\xff\xfe\xfa")
    asked = ("translate", talks, script, empty, "--to", "fr", "--from", "en", "--model", speaker, "--max-tokens", 4)
    asked = (*asked, "--out", out, "--also", "wav", "--also", "srt", "--json")
    code, shown, err = ossicle(*asked)
    assert (code, shown) == (7, "") and "3 of 5  2 failed  " in err
    cut = [name for name in ("0", "2", "script") if "length" in (out / f"{name}.json").read_text()]
    told = [line for line in err.splitlines() if line.endswith(": cut off at --max-tokens")]
    assert cut and len(told) == len(cut) and f"2 failed  {len(cut)} cut off  " in err.splitlines()[-1]
    names = [f"{name}.{kind}" for name in ("0", "2", "script") for kind in ("json", "srt", "wav")]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [".lock", *names, "done.jsonl", "errors.jsonl", "run.json"]
    )
    failures = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [(one["file"], one["code"]) for one in failures] == [
        (str(talks / "1.wav"), "audio_undecodable"),
        (str(empty), "bad_item"),
    ]
    assert "it cannot be read as a text in UTF-8" in failures[1]["message"]
    assert soundfile.read(out / "script.wav")[0].any()
    before = {name: (out / name).stat().st_mtime_ns for name in names}
    assert ossicle(*asked)[2].startswith("3 of 5 are there from an earlier run\n")
    assert {name: (out / name).stat().st_mtime_ns for name in names} == before
    assert '(to "fr", now "en")' in failed(ossicle(*asked[:5], "en", *asked[6:]), 2, "invalid_value")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "message"),
    [
        (
            ("a b", "--to", "fr"),
            2,
            "missing_parameter",
            "'a b' is a text, for there is no file of that name",
        ),
        (("recordings/", "--to", "fr", "--from", "en"), 3, "file_not_found", "there is no file 'recordings/'"),
        (("./talks", "--to", "fr", "--from", "en"), 3, "file_not_found", "there is no file './talks'"),
        (("talk.wav", "--to", "fr", "--also", "wav"), 2, "invalid_value", "give it, or use --speak F.wav"),
        (("a b", "--to", "fr", "--from", "en", "--beams", "0"), 2, "invalid_value", "--beams"),
        (("talk.mp3", "--to", "fr"), 3, "file_not_found", "there is no file 'talk.mp3'"),
        (("none.jsonl", "--to", "fr"), 7, "bad_item", "there is no manifest"),
        (("notes.txt", "--to", "fr", "--from", "en"), 3, "file_not_found", "there is no file 'notes.txt'"),
        (("talk.wav", "--to", "fr", "--voice", "bob"), 2, "invalid_value", "--voice is of speech, and none is asked"),
        (
            ("talk.wav", "--to", "fr", "--pace", "2", "--out", "x", "--also", "srt"),
            2,
            "invalid_value",
            "--pace is of speech, and none is asked for",
        ),
        (("-", "-", "--to", "fr"), 2, "invalid_value", "standard input (-) can be read once only"),
        (("a b",), 2, "missing_parameter", "--to"),
        (
            ("a b", "--to", "fr", "--from", "en", "--srt", "x.srt"),
            2,
            "invalid_value",
            "has no times for subtitles",
        ),
        (("a b", "--to", "fr", "--from", "en", "--out", "x"), 2, "invalid_value", "so it takes files, got a text: a b"),
        (
            ("a b", "--to", "xx", "--from", "en"),
            2,
            "unsupported_language",
            "'xx' is not supported, allowed are en",
        ),
        (("a b", "--to", "fr", "--from", "xx"), 2, "unsupported_language", "'xx' is not supported, allowed are en, fr"),
        (
            ("a b", "--to", "fr", "--from", "en", "--speak", "x.wav"),
            2,
            "invalid_value",
            "writes, but does not speak",
        ),
        (("a b", "--to", "fr", "--from", "en", "--speak", "x.mp3"), 2, "invalid_value", "a file that ends in .wav"),
        (("a", "b", "--to", "fr", "--from", "en", "--speak", "x.wav"), 2, "invalid_value", "there are 2 inputs"),
    ],
)
def test_what_cannot_be_done_is_one_line(ossicle, mute, tmp_path, monkeypatch, arguments, exit_code, code, message):
    monkeypatch.chdir(tmp_path)
    assert message in failed(ossicle("translate", *arguments, "--model", mute), exit_code, code)
    assert not list(tmp_path.iterdir())


def test_a_model_of_the_other_kind_is_told(ossicle, mute, wav, tmp_path):
    ears = save(tiny_model(), tmp_path / "ears")
    for command in (("translate", wav, "--to", "fr"), ("speak", "a", tmp_path / "x.wav", "--language", "fr")):
        assert "holds no translator but 'audio_lm'" in failed(ossicle(*command, "--model", ears), 6, "bad_format")
    for command in (("transcribe", wav), ("ask", wav, "What?")):
        code, _, err = ossicle(*command, "--model", mute)
        assert code == 6 and "holds a 'translator', known is 'audio_lm'" in err
    failed(ossicle("translate", wav, "--to", "fr", "--model", "nobody"), 6, "model_not_found")


def test_a_folder_in_the_published_layout_translates_and_speaks(ossicle, wav, tmp_path):
    model, spoken = write(tmp_path / "seamless", published()), tmp_path / "out.wav"
    asked = ("--to", "fra", "--model", model, "--max-tokens", 6, "--json", "--speak", spoken, "--voice", 11)
    code, out, err = ossicle("translate", wav, *asked)
    ledger = json.loads(out)["ledger"]
    assert code == 0 and err.startswith("seamless: licence of the weights: ") and soundfile.read(spoken)[0].any()
    assert 0 < ledger["tail_s"] < 0.2 and ledger["seconds_heard"] + ledger["tail_s"] == pytest.approx(3.3)
    assert json.loads(ossicle("translate", "abc dg.", "--from", "eng", *asked)[1])["text"]


def test_info_shows_the_parts_of_a_translator_and_verifies_its_files(ossicle, speaker, wav, tmp_path):
    code, out, _ = ossicle("info", "--model", speaker, "--json", "--verify")
    found = json.loads(out)
    assert code == 0 and list(found) == ["environment", "model", "verified"]
    assert found["model"]["languages"] == ["en", "fr", "de"] and found["model"]["speech_encoder"]["frames_per_s"] == 50
    code, out, _ = ossicle("info", "--model", speaker)
    assert code == 0 and "  vocoder\n    kind: QuickVocoder\n" in out and "      cleo: 2\n" in out
    for options in (("--audio", wav), ("--part", "encoder=mine.py:Mine")):
        assert "leave out --audio and --part" in failed(
            ossicle("info", "--model", speaker, "--json", *options), 2, "invalid_value"
        )
    damaged = save_translator(writing(), tmp_path / "damaged")
    with (damaged / "speech_encoder.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\2\3\4")
    failed(ossicle("info", "--model", damaged, "--verify", "--json"), 6, "hash_mismatch")


def test_info_shows_a_folder_in_the_published_layout(ossicle, tmp_path):
    model = write(tmp_path / "seamless", published())
    found = json.loads(ossicle("info", "--model", model, "--json")[1])["model"]
    assert set(found["languages"]) == {"eng", "fra", "arb"} and found["vocoder"]["kind"] == "HifiGan"
    assert found["speech_encoder"]["tokens_per_s"] == 50 / 8
    assert "names no format" in failed(ossicle("info", "--model", model, "--verify", "--json"), 6, "bad_format")


def test_what_is_no_file_is_a_text_unless_it_ends_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk").write_bytes(b"")
    (tmp_path / "a.txt").write_text("ab", encoding="utf-8")
    found = expand_with_texts(["talk", "x.WAV", "hello", "a.txt", "read b.txt", "-"])
    assert [(one.path, one.text) for one in found] == [
        ("talk", None),
        ("x.WAV", None),
        (None, "hello"),
        ("a.txt", "ab"),
        (None, "read b.txt"),
        (None, None),
    ]
    with pytest.raises(RequestError, match="can be read once only"):
        expand_with_texts(["-", "hello", "-"])
    (tmp_path / "a.txt").write_text(" ")
    with pytest.raises(DataError, match="it holds no text"):
        expand_with_texts(["a.txt"])[0].check()


@pytest.mark.parametrize("options", [("--data", "own.jsonl"), ("--compare", "mini")])
def test_a_translator_is_scored_on_the_parallel_world_alone(ossicle, mute, options):
    code, out, told = ossicle("evaluate", "--model", mute, *options)
    assert (code, out) == (2, "") and "a translator is scored on the parallel world" in told


def test_what_does_not_speak_is_not_read_back(ossicle, tmp_path):
    model = save(tiny_model(), tmp_path / "hears")
    code, out, told = ossicle("evaluate", "--model", model, "--read-back", "itself")
    assert (code, out) == (2, "") and "does not speak: --read-back is for translators" in told
