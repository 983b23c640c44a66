"""The command line: arguments, output, exit codes; every failure is one line and never a traceback."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models.tiny import ENCODER, noise, tiny_model
from train.sweeps import written

from ossicle import errors
from ossicle.audio.io import read_clip
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.cli import run, split_arguments
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import RequestError
from ossicle.evaluate.labelled import PROBES
from ossicle.hub.description import fingerprint
from ossicle.hub.folder import load, save
from ossicle.hub.own import build_own
from ossicle.infer.ask import ask
from ossicle.infer.describe import calibration

LEDGER = [
    "seconds_given",
    "seconds_heard",
    "tail_s",
    "frames",
    "audio_tokens",
    "text_tokens",
    "time_to_first_token_s",
    "tokens_per_s",
    "seconds_merged",
    "seconds_dropped",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with random weights."""
    return str(save(tiny_model(), tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "noise.wav"
    clip = noise(0.6)
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    return str(path)


@pytest.fixture
def ossicle(capsys):
    """Run a command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        exit_code = run([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return exit_code, out, err

    return call


def failed(result, exit_code, code):
    """The one line that a failed command leaves; checks that it is one line with this code."""
    got, out, err = result
    assert (got, out) == (exit_code, ""), err
    assert err.startswith(f"error: {code}: ") and err.count("\n") == 1 and err.endswith("\n"), err
    return err


def child(*arguments, **options):
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-c", "from ossicle.cli import main; main()", *arguments]
    return subprocess.run(command, check=False, **given)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "files", "question"),
    [
        (["what is said?"], ["what is said?"], None),
        (["a.wav"], ["a.wav"], None),
        (["a.wav", "what is said?"], ["a.wav"], "what is said?"),
        (["a.wav", "b.WAV", "c.opus"], ["a.wav", "b.WAV", "c.opus"], None),
        (["a.wav", "what is said in b.wav"], ["a.wav", "what is said in b.wav"], None),
        (["a", "what?", "b.mp3"], ["a", "b.mp3"], "what?"),
        (["-", "what?"], ["-"], "what?"),
        (["a.wav", "-"], ["a.wav", "-"], None),
        (["a.wav", ""], ["a.wav"], ""),
    ],
)
def test_files_and_question_are_told_apart(arguments, files, question):
    assert split_arguments(arguments) == (files, question)


def test_a_later_argument_that_exists_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "speech").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert split_arguments(["a.wav", "speech"]) == (["a.wav", "speech"], None)
    assert split_arguments(["a.wav", "music"]) == (["a.wav"], "music")
    (tmp_path / "music").mkdir()
    assert split_arguments(["a.wav", "music"]) == (["a.wav"], "music")
    os.mkfifo(tmp_path / "pipe")
    assert split_arguments(["a.wav", "pipe"]) == (["a.wav", "pipe"], None)


def test_two_questions_and_standard_input_twice_are_refused():
    with pytest.raises(RequestError, match=r"one question at most, got 'what\?' and 'why\?'"):
        split_arguments(["a.wav", "what?", "why?"])
    with pytest.raises(RequestError, match=r"standard input \(-\) can be read once only"):
        split_arguments(["-", "a.wav", "-"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ask"], "missing_parameter"),
        (["transcribe"], "missing_parameter"),
        (["transcribe", "-", "-"], "invalid_value"),
        (["ask", "a.wav", "--loud"], "unknown_parameter"),
        (["ask", "a.wav", "--max-tokens", "many"], "invalid_value"),
        (["sing"], "invalid_value"),
        (["evaluate", "--limit", "0"], "invalid_value"),
        (["world", "melody", "--split", "exam"], "invalid_value"),
        (["world", "smell"], "bad_value"),
    ],
)
def test_bad_arguments_are_exit_2(ossicle, arguments, code):
    failed(ossicle(*arguments), 2, code)


def test_help_and_version(ossicle):
    exit_code, out, _ = ossicle("--version")
    assert (exit_code, out) == (0, "ossicle 0.1.0\n")
    for arguments in ([], ["--help"]):
        exit_code, out, _ = ossicle(*arguments)
        assert exit_code == 0 and all(
            name in out for name in ("ask", "transcribe", "train", "evaluate", "probe", "world", "info")
        )


# Asking


def test_json_holds_the_text_and_the_whole_ledger(ossicle, folder, wav):
    exit_code, out, err = ossicle("ask", wav, "What is said?", "--json", "--model", folder, "--max-tokens", "8")
    assert (exit_code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert list(found) == ["file", "text", "finish", "ledger"] and found["file"] == wav
    assert found["finish"] == "length"
    assert list(found["ledger"]) == LEDGER
    assert found["text"] == ask(tiny_model(), wav, "What is said?", max_tokens=8).text


def test_without_json_the_text_is_all_of_standard_output(ossicle, folder, wav):
    exit_code, out, err = ossicle("ask", wav, "--model", folder, "--max-tokens", "5")
    assert exit_code == 0 and out == ask(tiny_model(), wav, max_tokens=5).text + "\n"
    assert "heard 0.60 of 0.60 s · 30 frames · 15 audio tokens · 5 text tokens (cut off at --max-tokens)" in err


def test_sampling_settings_reach_the_model(ossicle, folder, wav):
    arguments = ("ask", wav, "What?", "--json", "--model", folder, "--max-tokens", "12", "--temperature", "1.5")
    texts = [json.loads(ossicle(*arguments, "--seed", seed, "--threads", "1")[1])["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    failed(ossicle("ask", wav, "--model", folder, "--temperature", "3"), 2, "invalid_value")
    failed(ossicle("ask", wav, "--model", folder, "--device", "abacus"), 2, "invalid_value")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_heard_whole(ossicle, folder, tmp_path, rate, channels):
    samples = np.stack([noise(0.7, seed=c, rate=rate).samples for c in range(channels)], axis=1)
    files = []
    for name, options in {
        "a.wav": {"subtype": "PCM_16"},
        "b.flac": {},
        "c.ogg": {"format": "OGG", "subtype": "VORBIS"},
        "d.mp3": {"format": "MP3"},
        "e.opus": {"format": "OGG", "subtype": "OPUS"},
    }.items():
        if name != "e.opus" or rate != 44_100:  # Opus has no such rate
            files.append(str(tmp_path / name))
            soundfile.write(files[-1], samples, rate, **options)
    exit_code, out, err = ossicle("ask", *files, "What is said?", "--json", "--model", folder, "--max-tokens", "2")
    assert (exit_code, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["file"] for one in found] == files
    for one in found:
        ledger = one["ledger"]
        assert abs(ledger["seconds_given"] - 0.7) < (0.08 if one["file"].endswith("mp3") else 0.001)
        assert abs(ledger["seconds_heard"] + ledger["tail_s"] - ledger["seconds_given"]) < 0.05


def test_several_files_are_done_even_if_one_is_bad(ossicle, folder, wav, tmp_path):
    bad, missing = tmp_path / "bad.wav", tmp_path / "missing.wav"
    bad.write_bytes(b"this is no audio at all, though it is called so")
    arguments = ("ask", bad, wav, missing, "What?", "--model", folder, "--max-tokens", "2")
    exit_code, out, err = ossicle(*arguments, "--json")
    assert exit_code == 7 and json.loads(out)["file"] == wav
    assert [line.split(": ")[:3] for line in err.splitlines()] == [
        ["error", "audio_undecodable", str(bad)],
        ["error", "file_not_found", str(missing)],
    ]
    assert ossicle("ask", missing, bad, "--model", folder)[0] == 3
    assert f"== {wav}\n" in ossicle(*arguments)[1]


def test_too_much_for_the_context_is_exit_4_with_the_numbers(ossicle, folder, tmp_path):
    path = tmp_path / "long.opus"
    soundfile.write(path, noise(60.0, rate=48_000).samples, 48_000, format="OGG", subtype="OPUS")
    line = failed(ossicle("ask", path, "What?", "--model", folder), 4, "context_length_exceeded")
    assert "at 25 per second" in line and "tiny reads 400" in line
    exit_code, out, _ = ossicle("transcribe", path, "--model", folder, "--json", "--max-tokens", "1")
    found = json.loads(out)
    assert exit_code == 0 and len(found["segments"]) >= 8
    assert abs(found["ledger"]["seconds_heard"] - 60.0) < 0.05


def test_long_audio_is_refused_until_a_way_is_named_which_is_told(ossicle, folder, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, noise(20.0).samples, 16_000)
    asked = ("ask", path, "What?", "--model", folder, "--max-tokens", 3)
    line = failed(ossicle(*asked), 4, "context_length_exceeded")
    assert "say what to do with long audio: retrieve passages of it, or lower its rate" in line
    code, out, err = ossicle(*asked, "--long", "lower")
    assert code == 0 and "neighbours that are alike were merged" in err and "(20.00 s merged)" in err
    told = json.loads(ossicle(*asked, "--long", "lower", "--json")[1])
    assert told["passages"] == [] and told["note"] in err and told["text"] == out.rstrip("\n")
    failed(ossicle(*asked, "--long", "cut"), 2, "invalid_value")


def test_a_bridge_of_several_rates_is_told_one(ossicle, folder, wav, tmp_path):
    nested = save(tiny_model(bridge=Matryoshka(32, 32, k=2, hidden=16)), tmp_path / "nested")
    for command, more in (("ask", ("What?",)), ("transcribe", ())):
        got = ossicle(command, wav, *more, "--model", nested, "--rate", 6.25, "--max-tokens", 2, "--json")
        assert json.loads(got[1])["ledger"]["audio_tokens"] == 4  # 30 frames, 8 a token
    line = failed(ossicle("ask", wav, "What?", "--model", folder, "--rate", 6.25), 2, "invalid_value")
    assert "the bridge of tiny is a MeanPool, which serves one rate" in line


def test_transcribing_prints_the_text_and_in_json_the_segments(ossicle, folder, wav):
    arguments = ("transcribe", wav, "--model", folder, "--max-tokens", "6")
    exit_code, out, err = ossicle(*arguments, "--json")
    found = json.loads(out)
    assert (exit_code, err) == (0, "") and list(found) == ["file", "text", "ledger", "segments"]
    assert list(found["ledger"]) == LEDGER
    assert found["segments"] == [{"start_s": 0.0, "end_s": 0.6, "text": found["text"], "finish": "length"}]
    _, out, err = ossicle(*arguments)
    assert out == found["text"] + "\n" and "(cut off at --max-tokens)" in err
    failed(ossicle(*arguments, "--language", "xx"), 2, "unsupported_language")


def test_standard_input_is_a_file(ossicle, folder, wav, monkeypatch):
    with open(wav, "rb") as stream:
        data = stream.read()
    done = child("ask", "-", "What?", "--json", "--model", folder, "--max-tokens", "2", input=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["ledger"]["seconds_given"] == 0.6
    for command, given, code in (
        ("transcribe", data, None),
        ("ask", b"", "audio_empty"),
        ("transcribe", b"", "audio_empty"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        result = ossicle(command, "-", "--model", folder, "--max-tokens", "2")
        if code is None:
            assert result[0] == 0
        else:
            failed(result, 3, code)


def test_a_model_that_is_not_there_is_exit_6(ossicle, wav):
    failed(ossicle("ask", wav, "--model", "nobody"), 6, "model_not_found")


# Bad audio, one row of the project's table of bad inputs after another


def encoded(seconds=0.5, rate=16_000, channels=1, *, format="WAV", subtype=None, scale=1.0):
    samples = scale * np.stack([noise(seconds, seed=c, rate=rate).samples for c in range(channels)], axis=1)
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format=format, subtype=subtype)
    return data.getvalue()


def wave(*, rate=16_000, channels=1, bits=16, align=None, data=b"\0\1" * 8_000, declared=None, tag=1):
    align = channels * bits // 8 if align is None else align
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    size = len(data) if declared is None else declared
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + (b"data" + struct.pack("<I", size) + data)
    )


def floats(values):
    return wave(bits=32, tag=3, data=np.asarray(values, "<f4").tobytes())


def flac_of_rate(rate):
    """A FLAC whose header claims another rate: 20 bits after the block and frame sizes."""
    data = bytearray(encoded(format="FLAC"))
    first = struct.unpack(">I", data[18:22])[0]
    data[18:22] = struct.pack(">I", first & 0xFFF | rate << 12)
    return bytes(data)


def mp3_without_count():
    """An MP3 whose first frame, which holds the count, is taken away, and its last quarter too, at frame edges."""
    data = encoded(2.0, format="MP3")
    starts, at = [], 0
    while at + 4 <= len(data):
        head = struct.unpack(">I", data[at : at + 4])[0]
        assert head >> 21 == 0x7FF
        version, rate = head >> 19 & 3, (44_100, 48_000, 32_000)[head >> 10 & 3] >> {3: 0, 2: 1, 0: 2}[head >> 19 & 3]
        table = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        lower = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
        kbit = (table if version == 3 else lower)[head >> 12 & 15]
        starts.append(at)
        at += (144 if version == 3 else 72) * kbit * 1000 // rate + (head >> 9 & 1)
    return data[starts[1] : starts[len(starts) * 3 // 4]]


UNDECODABLE, UNSUPPORTED, CUT = "audio_undecodable", "unsupported_media_type", "audio_truncated"
BAD = {
    "B1 zero bytes": (b"", "audio_empty"),
    "B2 header without frames": (wave(data=b""), "audio_too_short"),
    "B3 79 ms": (wave(data=b"\0\1" * 1_264), "audio_too_short"),
    "B4 random": (np.random.default_rng(0).bytes(5_000), UNDECODABLE),
    "B4 html": (b"<!DOCTYPE html><html><body>hello</body></html>" * 9, UNDECODABLE),
    "B4 pdf": (b"%PDF-1.7\n" + b"1 0 obj\n" * 50, UNDECODABLE),
    "B4 png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, UNDECODABLE),
    "B4 header alone": (encoded(format="FLAC")[:100], UNDECODABLE),
    "B5 playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nfile:///etc/passwd\n", UNSUPPORTED),
    "B5 midi": (b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + b"\0" * 100, UNSUPPORTED),
    "B5 avi": (b"RIFF\xff\0\0\0AVI LIST" + b"\0" * 200, UNSUPPORTED),
    "B5 adpcm": (encoded(format="WAV", subtype="IMA_ADPCM"), UNSUPPORTED),
    "B7 flac": (encoded(2.0, format="FLAC")[:-900], CUT),
    "B7 vorbis": (encoded(2.0, format="OGG", subtype="VORBIS")[:-900], CUT),
    "B7 opus": (encoded(2.0, format="OGG", subtype="OPUS")[:-900], CUT),
    "B7 wav": (wave()[:-2], CUT),
    "B7 mp3": (encoded(3.0, format="MP3")[:-9_000], CUT),
    "B10 align": (wave(align=0), UNDECODABLE),
    "B10 bits": (wave(bits=0, align=2), UNDECODABLE),
    "B10 odd": (wave(data=b"\0" * 16_001), UNDECODABLE),
    "B11 nine": (wave(channels=9, data=b"\0" * 18_000), "too_many_channels"),
    "B11 all": (wave(channels=65_535, align=2), "too_many_channels"),
    "B13 flac": (flac_of_rate(655_350), "bad_sample_rate"),
    "B15 rate 0": (wave(rate=0), "bad_sample_rate"),
    "B15 rate 1": (wave(rate=1), "bad_sample_rate"),
    "B15 rate 3999": (wave(rate=3_999), "bad_sample_rate"),
    "B15 rate 192001": (wave(rate=192_001), "bad_sample_rate"),
    "B15 rate 10 M": (wave(rate=10_000_000), "bad_sample_rate"),
    "B17 nan": (floats([0.1] * 8_000 + [np.nan] * 8), "audio_not_finite"),
    "B17 inf": (floats([0.1] * 8_000 + [np.inf]), "audio_not_finite"),
    "B18 loud": (floats([0.1] * 8_000 + [1001.0]), "audio_out_of_range"),
    "B21 raw": (noise(0.5).samples.tobytes(), UNDECODABLE),
}


@pytest.mark.parametrize(("data", "code"), BAD.values(), ids=BAD.keys())
def test_bad_audio_is_one_line_and_exit_3(ossicle, folder, tmp_path, data, code):
    path = tmp_path / "sound.wav"
    path.write_bytes(data)
    for command in ("ask", "transcribe"):
        failed(ossicle(command, path, "--model", folder, "--max-tokens", "1"), 3, code)


GOOD = {
    "B3 80 ms": (wave(data=b"\0\1" * 1_280), 0.08),
    "B6 flac called wav": (encoded(format="FLAC"), 0.5),
    "B8 mp3 without count": (mp3_without_count(), None),
    "B9 unknown length": (wave(declared=0xFFFFFFFF), 0.5),
    "B9 length zero": (wave(declared=0), 0.5),
    "B14 192 kHz x 8": (encoded(0.2, 192_000, 8, subtype="PCM_16"), 0.2),
    "B16 odd rate": (encoded(rate=44_099), 0.5),
    "B18 beyond one": (floats([900.0] * 8_000), 0.5),
    "B19 silence": (wave(data=b"\0" * 16_000), 0.5),
    "B19 constant": (floats([0.5] * 8_000), 0.5),
    "B20 a-law": (encoded(subtype="ALAW"), 0.5),
    "B20 mu-law": (encoded(subtype="ULAW"), 0.5),
    "B20 8 bit": (encoded(subtype="PCM_U8"), 0.5),
    "B20 24 bit": (encoded(subtype="PCM_24"), 0.5),
    "B20 32 bit": (encoded(subtype="PCM_32"), 0.5),
    "B20 float64": (encoded(subtype="DOUBLE"), 0.5),
}


@pytest.mark.parametrize(("data", "seconds"), GOOD.values(), ids=GOOD.keys())
def test_odd_but_good_audio_is_heard_whole(ossicle, folder, tmp_path, data, seconds):
    path = tmp_path / "sound.wav"
    path.write_bytes(data)
    exit_code, out, err = ossicle("ask", path, "--model", folder, "--max-tokens", "1", "--json")
    assert (exit_code, err) == (0, "")
    ledger = json.loads(out)["ledger"]
    assert seconds is None or abs(ledger["seconds_given"] - seconds) < 0.001
    assert abs(ledger["seconds_heard"] - ledger["seconds_given"]) < 0.05


def test_what_is_not_a_regular_file_is_exit_3(ossicle, folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for name, code in {
        str(tmp_path / "missing.wav"): "file_not_found",
        str(tmp_path): "path_not_allowed",
        str(tmp_path / "pipe.wav"): "path_not_allowed",
        "/dev/zero": "path_not_allowed",
        "file:///etc/passwd": "path_not_allowed",
    }.items():
        failed(ossicle("ask", name, "--model", folder), 3, code)


# The other commands


def test_world_writes_examples_and_evaluate_scores_them(ossicle, folder, tmp_path):
    exit_code, out, err = ossicle("world", "melody", "--count", "3", "--out", tmp_path / "set", "--split", "test")
    manifest = tmp_path / "set" / "manifest.jsonl"
    assert (exit_code, out, err) == (0, f"3 examples in {manifest}\n", "")
    assert len(list((tmp_path / "set" / "audio").glob("*.flac"))) == 3
    report = tmp_path / "results.md"
    arguments = ("evaluate", "--data", manifest, "--model", folder, "--limit", "2")
    exit_code, out, err = ossicle(*arguments, "--json", "--compare", folder, "--report", report)
    found = json.loads(out)
    assert exit_code == 0 and found["tasks"]["melody"]["n"] == 2 and err.startswith("melody: accuracy ")
    assert found["compare"]["tasks"]["melody"]["difference"] == 0 and found["fingerprint"] == fingerprint(Path(folder))
    assert "Made by `ossicle evaluate --data " in report.read_text()
    assert ossicle(*arguments)[1].startswith("| task")
    failed(ossicle("evaluate", "--suite", "moon", "--model", folder), 2, "invalid_value")
    failed(ossicle("evaluate", "--data", tmp_path / "none.jsonl", "--model", folder), 7, "bad_item")


def test_info_shows_parts_and_environment_and_verifies(ossicle, folder, tmp_path):
    exit_code, out, _ = ossicle("info", "--model", folder, "--json", "--verify")
    found = json.loads(out)
    assert exit_code == 0 and list(found) == ["environment", "model", "verified"]
    assert found["environment"]["packages"]["torch"] != "missing"
    assert (found["model"]["encoder"]["frames_per_s"], found["model"]["bridge"]["tokens_per_s"]) == (50.0, 25.0)
    assert found["model"]["parameters"] == sum(one.numel() for one in tiny_model().parameters())
    exit_code, out, _ = ossicle("info", "--model", folder)
    assert exit_code == 0 and "  encoder\n    kind: WhisperEncoder\n" in out
    assert "norm_ratio: " in out and "angle_of_means_deg: " in out
    damaged = save(tiny_model(), tmp_path / "damaged")
    with open(damaged / "bridge.safetensors", "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    got, _, err = ossicle("info", "--model", damaged, "--verify")
    assert got == 6 and err.startswith("error: hash_mismatch: ") and err.count("\n") == 1


def test_probe_prints_a_table_or_json_and_writes_the_page(ossicle, folder, tmp_path):
    encoder = WhisperEncoder(replace(ENCODER, max_frames=400))
    model, page = save(tiny_model(encoder=encoder), tmp_path / "long"), tmp_path / "probes.md"
    exit_code, out, err = ossicle("probe", model, "--items", 4, "--report", page)
    assert exit_code == 0 and [line.split(":")[0] for line in err.splitlines()] == list(PROBES)
    assert (
        out in page.read_text()
        and f"Made by `ossicle probe {model} --items 4 --report {page}` (seed 0)." in page.read_text()
    )
    found = json.loads(ossicle("probe", model, "--items", 4, "--json")[1])
    assert found["model"] == "tiny" and list(found["probes"]) == list(PROBES)
    assert failed(ossicle("probe", model, "--items", 3), 2, "invalid_value").endswith("scored on, got 3\n")
    assert "the encoder reads 2 s at once" in failed(ossicle("probe", folder, "--items", 4), 4, "audio_too_long")


def test_info_measures_calibration_with_a_sound_file(ossicle, folder, wav):
    given, of_noise = (
        json.loads(ossicle("info", "--model", folder, "--json", *more)[1])["model"]["calibration"]
        for more in (("--audio", wav), ())
    )
    assert given == calibration(load(folder, device="cpu"), read_clip(wav)) and given != of_noise
    failed(ossicle("info", "--model", "no-such-model", "--audio", wav + ".gone", "--json"), 3, "file_not_found")


def test_a_part_of_ones_own_is_run_where_it_is_named(ossicle, wav, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from ossicle.bridge.pooling import MeanPool\n\n\nclass Mine(MeanPool):\n    pass\n"
    )
    named = f"{tmp_path / 'mine.py'}:Mine"
    bridge = build_own(named, {"width_in": 32, "width_out": 32})
    model = str(save(tiny_model(bridge=bridge), tmp_path / "m"))
    commands = (("ask", wav, "--max-tokens", 2), ("transcribe", wav, "--max-tokens", 2), ("info",))
    for command in commands:
        exit_code, _, err = ossicle(*command, "--model", model)
        assert (
            exit_code == 2 and "error: missing_parameter: the bridge is a class of its maker's own, mine.py:Mine" in err
        )
        assert ossicle(*command, "--model", model, "--part", f"bridge={named}")[0] == 0
        exit_code, _, err = ossicle(*command, "--model", model, "--part", named)
        assert exit_code == 2 and "--part reads encoder=FILE.py:CLASS or bridge=FILE.py:CLASS" in err
    scored = ("evaluate", "--model", model, "--limit", 1, "--data", tmp_path / "d.jsonl", "--part", f"bridge={named}")
    (tmp_path / "d.jsonl").write_text(json.dumps({"audio": wav, "text": "a"}) + "\n")
    assert ossicle(*scored)[0] == 0
    exit_code, _, err = ossicle(*scored, "--compare", model)
    assert exit_code == 2 and "(--compare-part of a model to compare with)" in err
    assert ossicle(*scored, "--compare", model, "--compare-part", f"bridge={named}")[0] == 0
    exit_code, _, err = ossicle("export", model, tmp_path / "out", "--part", f"bridge={named}")
    assert exit_code == 2 and "the Qwen2-Audio layout holds a model only if" in err


def test_a_recipe_that_is_not_there_is_told(ossicle, tmp_path):
    failed(ossicle("train", tmp_path / "none.yaml", "--out", tmp_path / "run"), 3, "file_not_found")


def test_a_sweep_prints_its_page_and_is_exit_7_where_cells_are_left(ossicle, tmp_path):
    path = written(tmp_path)
    command = ["sweep", path, "--out", tmp_path / "run", "--device", "cpu"]
    done = ossicle(*command, "--minutes", "0.0000001")
    assert (done[0], done[1].strip()) == (7, str(tmp_path / "run" / "sweep.md"))
    assert done[2].splitlines()[-1] == "0 cells failed, 1 are left"
    assert ossicle(*command)[0] == 0
    failed(ossicle(*command, "--only", "conv"), 2, "invalid_value")
    assert ossicle(*command, "--results", tmp_path / "kept")[0] == 0
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["mean-k8-seed1.json"]


def test_a_training_that_is_interrupted_says_so_and_is_exit_130(tmp_path):
    recipe = os.path.join(os.path.dirname(__file__), "train", "tiny.yaml")
    arguments = ("train", recipe, "--out", str(tmp_path / "run"), "--set", "hear.budget.audio_hours=9")
    with subprocess.Popen(
        [sys.executable, "-c", "from ossicle.cli import main; main()", *arguments], stdout=-1, stderr=-1, text=True
    ) as training:
        while not list((tmp_path / "run").glob("checkpoints/0*")):
            assert training.poll() is None
            time.sleep(0.05)
        training.send_signal(signal.SIGINT)
        out, err = training.communicate(timeout=120)
    assert (training.returncode, out) == (130, "")
    assert err.splitlines()[-1] == f"interrupted: a checkpoint is in {tmp_path / 'run'}, the same command goes on"


@pytest.mark.parametrize("value", ["2,1", "abc", "0", ""])
def test_any_setting_of_openmp_is_borne(ossicle, folder, wav, monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert ossicle("ask", wav, "--model", folder, "--max-tokens", "1")[0] == 0


def test_standard_input_that_is_closed_is_told(ossicle, folder, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    failed(ossicle("transcribe", "-", "--model", folder), 2, "invalid_value")


def test_what_is_no_unicode_is_refused_or_escaped(ossicle, folder, wav, tmp_path):
    failed(ossicle("ask", wav, "\udcff\udcfe", "--json", "--model", folder), 2, "invalid_value")
    odd = tmp_path / "bad\udcff.wav"
    os.rename(wav, odd)
    exit_code, out, _ = ossicle("ask", odd, "--json", "--model", folder, "--max-tokens", "1")
    assert exit_code == 0 and json.loads(out)["file"] == str(odd)


def test_a_report_that_cannot_be_written_loses_no_figure(ossicle, folder, wav, tmp_path):
    manifest = tmp_path / "own.jsonl"
    manifest.write_text(json.dumps({"audio": wav, "text": "a"}) + "\n")
    report = tmp_path / "none.txt" / "r.md"
    report.parent.write_text("a file stands where the folder would be")
    exit_code, out, err = ossicle("evaluate", "--data", manifest, "--model", folder, "--report", report)
    assert exit_code == 5 and "transcribe" in out and "error: not_writable: " in err
    manifest.write_text("")
    failed(ossicle("evaluate", "--data", manifest, "--model", folder), 7, "bad_item")
    for command in ("evaluate", "world"):
        failed(ossicle(command, *(["count"] if command == "world" else []), "--seed", "-1"), 2, "invalid_value")


def test_a_task_that_is_not_there_leaves_no_folder(ossicle, tmp_path):
    failed(ossicle("world", "nope", "--out", tmp_path / "x"), 2, "bad_value")
    failed(ossicle("world", "transcribe", "--slice", "nope", "--out", tmp_path / "x"), 2, "bad_value")
    assert not (tmp_path / "x").exists()


# Ways to fail


def test_debug_shows_the_traceback_before_the_line(ossicle, tmp_path):
    missing = tmp_path / "missing.wav"
    _, _, err = ossicle("ask", missing, "--debug")
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("error: file_not_found: ")
    assert "Traceback" not in ossicle("ask", missing)[2]


FAULT = """
import signal, sys, time
from ossicle.cli import app, main

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

@app.command()
def fault():
    raise ZeroDivisionError("by\\nnothing")

@app.command()
def large():
    raise MemoryError

@app.command()
def torch():
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

@app.command()
def wait():
    print("ready", flush=True)
    time.sleep(60)

main()
"""


def test_a_mistake_of_ours_is_exit_1_and_one_line():
    done = subprocess.run([sys.executable, "-c", FAULT, "fault"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: internal_error: ZeroDivisionError: by nothing (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["large", "torch"])
def test_too_little_memory_is_exit_5_and_no_mistake_of_ours(command):
    done = subprocess.run([sys.executable, "-c", FAULT, command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "error: out_of_memory: the machine has too little memory: give it less at once\n"


def test_an_interrupt_is_exit_130_without_a_word():
    with subprocess.Popen([sys.executable, "-c", FAULT, "wait"], stdout=-1, stderr=-1, text=True) as waiting:
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGINT)
        _, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, err) == (130, "")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs the device /dev/full, which Linux has")
def test_output_that_finds_no_space_is_exit_5_and_one_line():
    with FULL.open("wb") as full:
        done = child("info", "--json", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"\n")) == (5, 1)
    assert done.stderr.startswith(b"error: no_space: ")


def test_output_that_nobody_reads_ends_the_program_without_a_word():
    reading, writing = os.pipe()
    os.close(reading)
    done = child("info", "--json", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_every_error_has_an_exit_code_of_the_table():
    ours = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.OssicleError)]
    assert {one.exit_code for one in ours} == set(range(1, 8))


# Planning


def test_a_plan_of_seconds_of_files_and_of_standard_input(ossicle, wav, monkeypatch):
    exit_code, out, err = ossicle("plan", "--seconds", "0.6", "--json")
    assert (exit_code, err, out.count("\n")) == (0, "", 1)
    by_seconds = json.loads(out)
    assert (by_seconds["frames"], by_seconds["audio_tokens"], by_seconds["verdict"]) == (30, 15, "fits")
    exit_code, out, err = ossicle("plan", wav, wav, "--json")
    assert (exit_code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [{"file": wav, **by_seconds}] * 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(wav).read_bytes())))
    assert json.loads(ossicle("plan", "-", "--json")[1]) == {"file": "-", **by_seconds}
    exit_code, out, _ = ossicle("plan", wav, wav)
    assert exit_code == 0 and out.count(f"== {wav}\n0.6 s: whisper-large-v3 mean_pool k=2 tail=pool -> ") == 2


def test_a_file_whose_header_is_silent_is_decoded(ossicle, tmp_path):
    path = tmp_path / "endless.flac"
    soundfile.write(path, noise(0.6).samples, 16_000)
    data = bytearray(path.read_bytes())
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # STREAMINFO: a number of samples of 0 is an unknown one
    path.write_bytes(data)
    exit_code, out, err = ossicle("plan", path, "--json")
    assert (exit_code, err, json.loads(out)["frames"]) == (0, "", 30)


def test_a_plan_takes_what_tells_its_parts(ossicle):
    arguments = "--encoder mini --bridge window_qformer --k 10 --queries 2 --tail zero --llm qwen3-0.6b --context 5000"
    more = "--batch 2 --dtype float32 --memory 8 --words-per-minute 100 --tokens-per-word 3"
    exit_code, out, _ = ossicle("plan", "--seconds", "60", "--json", *arguments.split(), *more.split())
    plan = json.loads(out)
    assert exit_code == 0 and plan["name"] == "mini window_qformer k=10 queries=2 tail=zero"
    assert (plan["audio_tokens"], plan["text_tokens"]) == (600, 300)
    assert [plan[name] for name in ("llm", "context", "batch", "dtype")] == ["qwen3-0.6b", 5000, 2, "float32"]
    assert plan["verdict"] == "fits"


def test_a_plan_of_everything_is_one_table(ossicle):
    exit_code, out, _ = ossicle("plan", "--seconds", "1800", "--all", "--json")
    found = json.loads(out)
    assert exit_code == 0 and list(found) == ["rates", "families"]
    assert [row["audio_tokens"] for row in found["rates"]][:3] == [90_000, 45_000, 22_500]
    table = ossicle("plan", "--seconds", "1800", "--all")[1]
    assert all(row["name"] in table for row in found["rates"] + found["families"])


def test_a_plan_for_a_task_marks_every_figure(ossicle):
    exit_code, out, _ = ossicle("plan", "--seconds", "10", "--task", "dialogue", "--json")
    found = json.loads(out)
    assert (
        exit_code == 0
        and found["task"] == "dialogue"
        and set(found["winners"]) == {one["metric"] for one in found["figures"]}
    )
    assert {one["kind"] for one in found["figures"]} <= {"measured", "published", "extrapolated"}
    text = ossicle("plan", "--seconds", "10", "--all", "--task", "speech")[1]
    assert "SLAM-LLM README" in text and "no winner" in text


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "words"),
    [
        ([], 2, "missing_parameter", "give files or --seconds, one of the two"),
        (["a.wav", "--seconds", "1"], 2, "invalid_value", "give files or --seconds, one of the two"),
        (["-", "-"], 2, "invalid_value", "standard input (-) can be read once only"),
        (["--seconds", "-1"], 2, "invalid_value", "a clip needs seconds above 0, got -1"),
        (["--seconds", "0"], 2, "invalid_value", "a clip needs seconds above 0, got 0"),
        (["--seconds", "long"], 2, "invalid_value", "should be a valid number"),
        (["--seconds", "1", "--dtype", "int3"], 2, "invalid_value", "int3"),
        (["--seconds", "1", "--task", "smell"], 2, "invalid_value", "smell"),
        (["--seconds", "1", "--all", "--k", "2"], 2, "invalid_value", "--all shows every rate of a mean pool"),
        (["--seconds", "1", "--encoder", "moshi", "--k", "2"], 2, "invalid_value", "moshi is a family"),
        (["--seconds", "1", "--llm", "gpt-0"], 6, "model_not_found", "no LLM of the name 'gpt-0' is known"),
        (["missing.wav"], 3, "file_not_found", "missing.wav"),
    ],
)
def test_what_cannot_be_planned_is_one_line(ossicle, arguments, exit_code, code, words):
    assert words in failed(ossicle("plan", *arguments), exit_code, code)
