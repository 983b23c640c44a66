"""What commands write: subtitles beside a text, a folder of files for a folder of sounds."""

import json

import pytest
import soundfile
import torch
from models.tiny import noise, tiny_model

from ossicle.cli import run
from ossicle.hub.folder import save


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save(tiny_model(), tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture
def ossicle(capsys):
    """Run a command in this process: exit code, standard output, standard error."""

    def call(*arguments):
        capsys.readouterr()
        exit_code = run([str(one) for one in arguments])
        return exit_code, *capsys.readouterr()

    return call


def sounds(folder, n, *, broken=(), seconds=0.1):
    folder.mkdir()
    for number in range(n):
        path = folder / f"{number:03d}.wav"
        soundfile.write(path, noise(seconds, seed=number).samples, 16_000)
        if number in broken:
            path.write_bytes(path.read_bytes()[: 60 if number % 2 else 1000] if number else b"no sound")
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_of_a_hundred_with_three_broken_ones(ossicle, model, tmp_path):
    talks, out = sounds(tmp_path / "talks", 100, broken=(0, 31, 64)), tmp_path / "out"
    asked = ("transcribe", talks, "--model", model, "--max-tokens", 1, "--out", out, "--json", "--also", "srt")
    code, shown, err = ossicle(*asked)
    assert (code, shown) == (7, "")
    good = [f"{number:03d}" for number in range(100) if number not in (0, 31, 64)]
    files = [name + suffix for name in good for suffix in (".json", ".srt")]
    assert names(out) == [".lock", *sorted([*files, "done.jsonl", "errors.jsonl", "run.json"])]
    failed = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [one["file"] for one in failed] == [str(talks / f"{number:03d}.wav") for number in (0, 31, 64)]
    assert err.count("error: ") == 3 and "97 of 100  3 failed  " in err
    one = json.loads((out / "001.json").read_text())
    assert list(one) == ["file", "text", "ledger", "segments"] and one["file"] == str(talks / "001.wav")
    assert one["ledger"]["seconds_heard"] == pytest.approx(0.1)
    before = {name: (out / name).stat().st_mtime_ns for name in files}
    code, _, err = ossicle(*asked)
    assert code == 7 and err.startswith("97 of 100 are there from an earlier run\n")
    assert {name: (out / name).stat().st_mtime_ns for name in files} == before
    code, _, err = ossicle(*asked[:5], 2, *asked[6:])
    assert code == 2 and "holds results of another run (max_tokens 1, now 2): name another folder" in err
    code, _, err = ossicle(*asked[:-2])
    assert code == 2 and '(files [".srt", ".json"], now [".json"])' in err


def test_another_model_of_that_name_is_another_run(ossicle, tmp_path):
    talks, model = sounds(tmp_path / "talks", 2), tmp_path / "tiny"
    made = tiny_model()
    save(made, model)
    asked = ("transcribe", talks, "--model", model, "--max-tokens", 1, "--out", tmp_path / "out")
    assert ossicle(*asked)[0] == 0 and names(tmp_path / "out") == [
        ".lock",
        "000.txt",
        "001.txt",
        "done.jsonl",
        "run.json",
    ]
    with torch.no_grad():
        next(made.bridge.parameters()).add_(1.0)
    save(made, model, overwrite=True)
    code, _, err = ossicle(*asked)
    assert code == 2 and 'holds results of another run (model "' in err


def test_results_beside_sounds_of_one_name_that_grow_in_number(ossicle, model, tmp_path):
    talks = sounds(tmp_path / "talks", 1)
    out = talks / ".." / "talks" / "out"
    asked = ("transcribe", talks, "--model", model, "--max-tokens", 1, "--out", out, "--also", "srt")
    assert ossicle(*asked)[0] == 0
    for suffix in ("flac", "ogg"):
        soundfile.write(talks / f"000.{suffix}", noise(0.1).samples, 16_000)
    (out / "000.ogg").write_bytes(b"no input, as it stands among the results")
    code, _, err = ossicle(*asked)
    assert code == 0 and err.startswith("1 of 3 are there from an earlier run\n")
    texts = ["000.ogg.srt", "000.ogg.txt", "000.srt", "000.txt"]
    assert names(out) == [".lock", "000.flac.srt", "000.flac.txt", "000.ogg", *texts, "done.jsonl", "run.json"]
    assert ossicle(*asked)[2].startswith("3 of 3 are there from an earlier run\n3 of 3  ")


def test_subtitles_of_one_sound(ossicle, model, tmp_path):
    talk = sounds(tmp_path / "talks", 1, seconds=1.5) / "000.wav"
    srt, vtt = tmp_path / "talk.srt", tmp_path / "talk.VTT"
    code, out, _ = ossicle("transcribe", talk, "--model", model, "--max-tokens", 40, "--srt", srt, "--vtt", vtt)
    assert code == 0 and out.strip()
    assert srt.read_text().startswith("1\n00:00:00,000 --> 00:00:0") and "00:00:01,500\n" in srt.read_text()
    assert vtt.read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0")
    shown = "".join(line for line in srt.read_text().splitlines() if " --> " not in line and not line.isdecimal())
    assert "".join(shown.split()) == "".join(out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--srt", "x.srt"), "--srt names the file of one input, and there are 2 inputs: use --out FOLDER --also srt"),
        (("--vtt", "x.vtt", "--out", "y"), "--vtt names the file of one input, and --out is given"),
        (("--also", "srt"), "--also names files of --out FOLDER: give it, or use --srt F.srt"),
        (("--also", "doc", "--out", "y"), "--also knows srt, vtt, got 'doc'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_heard(ossicle, tmp_path, options, message):
    code, out, err = ossicle("transcribe", sounds(tmp_path / "talks", 2), "--model", "nobody", *options)
    assert (code, out) == (2, "") and err.startswith(f"error: invalid_value: {message}")


def test_files_of_subtitles_are_what_they_seem(ossicle, tmp_path):
    talk = sounds(tmp_path / "talks", 1) / "000.wav"
    for file, code, message in (
        (talk, 2, "--srt names a file that ends in .srt, got "),
        (tmp_path / "none" / "x.srt", 5, "x.srt' is not there: make it first"),
    ):
        got, _, err = ossicle("transcribe", talk, "--model", "nobody", "--srt", file)
        assert got == code and message in err
    got, _, err = ossicle("transcribe", "-", "--model", "nobody", "--out", tmp_path / "out")
    assert got == 2 and "so it takes files, got standard input: -" in err
    assert not (tmp_path / "out").exists()
