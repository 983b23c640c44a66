"""Translation while somebody speaks: raw samples in, text out as it comes, whole files at the end."""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from simul.small import wordy
from simul.test_continuous import TALK

from ossicle.cli import live_sources, run
from ossicle.errors import RequestError
from ossicle.hub.translator import save_translator

OSSICLE = [sys.executable, "-c", "import sys; from ossicle.cli import main; sys.argv[0] = 'ossicle'; main()"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A folder that hears piece by piece, chooses, and speaks; each token is a word, so that words come soon."""
    return str(save_translator(wordy(), tmp_path_factory.mktemp("live") / "tiny"))


def raw(wave: np.ndarray = TALK) -> bytes:
    return (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes()


@pytest.fixture
def translate(model, capfd, monkeypatch):
    """Run the command in this process with some bytes on standard input: exit code, standard output and error."""

    def call(data: bytes, *options: object):
        given, taken = os.pipe()
        writer = threading.Thread(target=_feed, args=(taken, data))
        writer.start()
        with os.fdopen(given, "rb") as file:
            monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=file))
            capfd.readouterr()
            arguments = ["translate", "--live", "--to", "fr", "--model", model, "--policy", "wait-k:1", *options]
            code = run([str(one) for one in arguments])
            out, err = capfd.readouterr()
        writer.join()
        return code, out, err

    return call


def _feed(number: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(number, "wb") as file:
        file.write(data)  # a command that refuses reads nothing


def test_text_and_files(translate, tmp_path) -> None:
    files = [tmp_path / f"talk.{end}" for end in ("txt", "srt", "vtt", "html", "wav")]
    options = [("--transcript", files[0]), ("--srt", files[1]), ("--vtt", files[2]), ("--trace", files[3])]
    code, out, err = translate(raw(), *itertools.chain(*options), "--speak", files[4], "--max-tokens", 40)
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == 2 and all(lines) and files[0].read_text().splitlines() == [line.strip() for line in lines]
    assert "heard 9.60 s · 2 utterances · wait-k:1 · " in err and "times as fast" in err
    for subtitles in files[1:3]:
        assert subtitles.read_text().count("-->") >= 2
    assert files[3].read_text().count("<svg") == 2
    speech = soundfile.info(files[4])
    assert speech.samplerate == 16_000 and speech.duration > 1
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(one.name for one in files)


def test_events_as_json(translate) -> None:
    code, out, err = translate(raw(), "--json", "--max-tokens", 40)
    assert code == 0 and err == ""
    *events, end = map(json.loads, out.splitlines())
    assert {one["event"] for one in events} == {"text"} and sum(one["ends"] for one in events) == 3  # two, and the rest
    spans = [one["span_s"] for one in events]
    assert spans[0][0] == 0 and all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert spans[-1][1] == end["closed_s"] == end["heard_s"] == 9.6
    assert (end["utterances"], end["policy"], end["interrupted"]) == (2, "wait-k:1", False) and end["work_s"] > 0


def test_speech_stands_where_it_would_be_heard(translate, tmp_path) -> None:
    code, out, _ = translate(raw(), "--json", "--speak", tmp_path / "a.wav", "--pace", 4, "--voice", "ann")
    assert code == 0
    spoken = [one for one in map(json.loads, out.splitlines()) if one["event"] == "speech"]
    samples, _ = soundfile.read(tmp_path / "a.wav")
    end = 0.0
    for one in spoken:
        assert one["start_s"] == pytest.approx(max(end, one["at_s"]), abs=2e-3)
        assert not samples[round(16_000 * end) + 20 : round(16_000 * one["start_s"]) - 20].any()
        end = one["start_s"] + one["seconds"]
    assert len(samples) / 16_000 == pytest.approx(end, abs=2e-3) and len(spoken) > 1


def test_other_rates_are_resampled(translate) -> None:
    import soxr

    wave = soxr.resample(TALK, 16_000, 8_000).astype(np.float32)
    code, out, _ = translate(raw(wave), "--rate", 8000, "--json")
    end = json.loads(out.splitlines()[-1])
    assert code == 0 and end["heard_s"] == pytest.approx(9.6, abs=0.01) and end["utterances"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--policy", "no"], "there is no policy 'no'"),
        (["--rate", "100"], "4000 to 384000 Hz: got 100"),
        (["--transcript", "a.doc"], "--transcript names a file that ends in .txt, got 'a.doc'"),
        (["--transcript", "nowhere/a.txt"], "the folder of 'nowhere/a.txt' is not there"),
        (["--voice", "ann"], "--voice is of speech"),
        (["--out", "folder"], "leave out --out"),
        (["a.wav"], "leave out SOURCE"),
        (["--mic", "--rate", "16000"], "leave it out with --mic"),
        (["--to", "it"], "'it'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(translate, options, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = translate(b"", *options)
    assert code != 0 and out == "" and err.count("\n") == 1 and message in err
    assert list(tmp_path.iterdir()) == []


def test_text_is_translated_while_it_is_typed(translate, tmp_path) -> None:
    typed = "\ufeffa b c d\ne f \u20ac 7 g".encode()
    options = ["--from", "en", "--transcript", tmp_path / "a.txt", "--speak", tmp_path / "a.wav"]
    code, out, err = translate(typed, *options)
    assert code == 0 and len(out.splitlines()) == 2 and "2 lines · wait-k:1" in err
    assert "left out, for tiny has no token for them: \u20ac 7\n" in err
    assert (tmp_path / "a.txt").read_text().splitlines() == [one.strip() for one in out.splitlines()]
    assert soundfile.info(tmp_path / "a.wav").duration > 0.5
    told = translate(typed, "--from", "en", "--json")[1]
    assert told.count('"ends": true') == 2 and json.loads(told.splitlines()[-1])["unread"] == "\u20ac7"
    for wrong, message in ((["--trace", "a.html"], "leave out --trace"), (["--mic"], "leave out --mic")):
        code, _, err = translate(b"", "--from", "en", *wrong)
        assert code == 2 and message in err
    code, bad, err = translate("\ufeffa b c d\ne \u00e9".encode() + b" f \xff\xff g\n", "--from", "en")
    assert code == 2 and bad.splitlines()[0] == out.splitlines()[0] and len(bad.splitlines()) == 2
    assert "standard input is no text in UTF-8 from byte 18 on (invalid start byte); all before that was tra" in err
    assert translate(b"\n  \n7 7 7\n", "--from", "en")[:2] == (0, "")


def test_a_line_of_too_many_words_is_cut(translate, tmp_path) -> None:
    alone = [translate(one, "--from", "en", "--max-tokens", 20)[1] for one in (b"a b c", b"g h")]
    code, out, err = translate(b"a b c\n" + 40 * b"a b c d e f g " + b"\ng h\n", "--from", "en", "--max-tokens", 20)
    lines = out.splitlines(keepends=True)
    assert code == 0 and lines[0] == alone[0] and lines[-1] == alone[-1] and len(lines) > 3, err


def test_faults_of_a_policy_of_ones_own_are_its_own(translate, tmp_path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from ossicle.simul.policies import Write\n\n\nclass Odd:\n    def begin(self): ...\n"
        "    def decide(self, pen): return 1 / 0\n\n\nclass Far(Odd):\n"
        "    def decide(self, pen): return Write((99999,), ('x',))\n"
    )
    code, _, err = translate(raw(), "--policy", f"{file}:Odd")
    assert code == 2 and f"{file}: Odd.decide raised ZeroDivisionError: division by zero" in err
    code, _, err = translate(raw(), "--policy", f"{file}:Far")
    assert code == 2 and "on Write(ids, reasons) of 1 to " in err and "got Write(ids=(99999,)" in err
    for name, told in (("", "there is no policy ''"), ("alignatt:3,layer=9", "decoder has 2 layers, counted from 1")):
        code, out, err = translate(raw(), "--policy", name)
        assert code == 2 and told in err and not out


def test_a_file_that_cannot_be_written_costs_no_other(translate, tmp_path, monkeypatch) -> None:
    replace = Path.replace

    def full(path: Path, to: object) -> Path:
        if str(to).endswith(".srt"):
            raise OSError(28, "No space left on device")
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", full)
    files = {end: tmp_path / f"talk.{end}" for end in ("txt", "srt", "vtt", "html", "wav")}
    options = ["--transcript", files["txt"], "--srt", files["srt"], "--vtt", files["vtt"], "--trace", files["html"]]
    code, out, err = translate(raw(), *options, "--speak", files["wav"], "--max-tokens", 40)
    assert code == 5 and out and f"{files['srt']} cannot be written: No space left on device" in err
    assert {one.name for one in tmp_path.iterdir()} == {"talk.txt", "talk.vtt", "talk.html", "talk.wav"}
    code, out, err = translate(raw(), "--trace", tmp_path / f"{300 * 'n'}.html", "--transcript", tmp_path / "c.txt")
    assert code == 5 and not out and "nnn.html cannot be written: File name too long" in err
    assert not (tmp_path / "c.txt").exists()


def test_subtitles_begin_when_somebody_speaks(translate, tmp_path) -> None:
    wave = np.concatenate([TALK, np.zeros(16_000 * 5, np.float32), TALK])
    code, _, err = translate(raw(wave), "--vtt", tmp_path / "a.vtt", "--max-tokens", 40)
    assert code == 0, err
    cues = [line.split(" --> ")[0] for line in (tmp_path / "a.vtt").read_text().splitlines() if "-->" in line]
    starts = [60 * int(one.split(":")[-2]) + float(one.split(":")[-1]) for one in cues]
    assert len(starts) >= 4 and starts[0] > 0.5
    late = len(TALK) / 16_000 + 5.0
    assert not any(len(TALK) / 16_000 + 0.1 < one < late + 0.5 for one in starts)


def test_a_terminal_holds_no_samples(monkeypatch, translate) -> None:
    monkeypatch.setattr(os, "isatty", lambda number: True)
    code, out, err = translate(raw())
    assert code == 2 and not out and "standard input is a terminal, wanted are raw samples" in err


def test_a_policy_of_ones_own(translate, tmp_path) -> None:
    example = Path(__file__).parents[2] / "examples" / "own_policy.py"
    code, _, err = translate(raw(), "--policy", f"{example}:Sure", "--trace", tmp_path / "a.html", "--max-tokens", 40)
    assert code == 0 and f"{example}:Sure" in err and "% sure" in (tmp_path / "a.html").read_text()
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "class Odd:\n    def begin(self): ...\n    def decide(self, pen): return 3\n\n\nclass No: ...\n\n\n"
        "class Bad(Odd):\n    def __init__(self): raise ValueError('no')\n"
    )
    code, out, err = translate(raw(), "--policy", f"{wrong}:Odd")
    assert code == 2 and out == "" and "the policy Odd decides on Read(reason), or on Write(ids, reasons)" in err
    code, _, err = translate(raw(), "--policy", f"{wrong}:Bad")
    assert code == 2 and "Bad() raised ValueError: no" in err
    code, _, err = translate(raw(), "--policy", f"{wrong}:No")
    assert code == 2 and "holds no class No with begin() and decide(pen)" in err


def test_options_of_live_without_it(translate, capfd) -> None:
    assert run(["translate", "a", "--to", "fr", "--policy", "emma"]) == 2
    assert "--policy is of --live, which is not given" in capfd.readouterr().err
    assert run(["translate", "--to", "fr"]) == 2
    assert "there is nothing to translate" in capfd.readouterr().err


def test_half_a_sample_is_told_when_all_else_is_translated(translate, tmp_path) -> None:
    code, out, err = translate(raw() + b"x", "--transcript", tmp_path / "a.txt")
    assert code == 2 and "ends within a sample" in err and out
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert (out, (tmp_path / "a.txt").read_text().split()) == (translate(raw())[1], out.split())


@pytest.mark.parametrize(("head", "name"), [(b"RIFF", "WAV"), (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3\x03", "MP3")])
def test_a_file_of_a_format_is_no_raw_samples(translate, tmp_path, head, name) -> None:
    code, out, err = translate(head + raw(), "--transcript", tmp_path / "a.txt", "--rate", 8000)
    assert code == 2 and not out and "file, wanted are raw samples" in err and f" {name} " in err and "-ar 8000 " in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_few_samples_are_heard_too(translate, n) -> None:
    code, out, err = translate(raw()[: 2 * n], "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["heard_s"] == round(n / 16_000, 3)


def test_bytes_that_come_one_by_one_are_the_same_sound(monkeypatch) -> None:
    data, stop = raw()[:4001], live_sources.Stop()
    given, taken = os.pipe()
    writer = threading.Thread(target=_feed, args=(taken, data))
    writer.start()
    read = os.read
    monkeypatch.setattr(os, "read", lambda number, n: read(number, min(n, 1)))
    with os.fdopen(given, "rb") as file:
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=file))
        heard = list(live_sources.samples_of(16_000, stop))
    writer.join()
    assert isinstance(stop.fault, RequestError) and "ends within a sample" in str(stop.fault)
    assert np.array_equal(np.concatenate(heard), np.frombuffer(data[:4000], "<i2").astype(np.float32) / 32768)


def start(model: str, *options: object) -> subprocess.Popen[bytes]:
    command = [*OSSICLE, "translate", "--live", "--to", "fr", "--model", model, "--policy", "wait-k:1", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, command)), stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


def test_words_come_before_the_speaker_ends_and_an_interrupt_leaves_all(model, tmp_path) -> None:
    path = tmp_path / "talk.txt"
    with start(model, "--transcript", path, "--trace", tmp_path / "talk.html") as child:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        child.stdin.write(raw(TALK[: 16_000 * 3]))  # in the midst of the first utterance
        child.stdin.flush()
        assert select.select([child.stdout], [], [], 60)[0], "no word before the speaker has ended"
        first = os.read(child.stdout.fileno(), 100)
        assert first.strip()
        time.sleep(1.0)
        child.send_signal(signal.SIGINT)
        out = first + child.stdout.read()
        assert child.wait(timeout=60) == 130
        assert b"heard 3.00 s" in child.stderr.read()
    assert path.read_text().splitlines() == [out.decode().strip()]
    assert (tmp_path / "talk.html").read_text().count("<svg") == 1
    assert not path.with_name("talk.txt.partial").exists()


@pytest.mark.parametrize("keeps", [True, False])
def test_who_reads_no_more_ends_it_unless_there_is_a_transcript(model, translate, tmp_path, keeps) -> None:
    path = tmp_path / "talk.txt"
    with start(model, *(["--transcript", path] if keeps else [])) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(raw(TALK))
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        assert child.wait(timeout=60) == (0 if keeps else 130)
    assert not keeps or path.read_text().split() == translate(raw(TALK))[1].split()


class FakeMicrophone:
    """Gives sound as fast as it is taken, then asks to stop as a user does."""

    def __init__(self, rate, size, *, channels, dtype, callback) -> None:
        assert (rate, channels, dtype) == (16_000, 1, "float32")
        self.size, self.callback = size, callback

    def __enter__(self):
        blocks = [TALK[at : at + self.size] for at in range(0, len(TALK), self.size)]
        for one in blocks:
            self.callback(one[:, None], len(one), None, None)
        threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        return self

    def __exit__(self, *_) -> None: ...


def test_a_microphone(translate, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", types.SimpleNamespace(InputStream=FakeMicrophone))
    code, out, err = translate(b"", "--mic")
    assert code == 130 and len(out.splitlines()) == 2 and "heard 9.60 s" in err


def test_what_a_microphone_loses_is_told_and_is_silence(translate, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", types.SimpleNamespace(InputStream=LosingMicrophone))
    monkeypatch.setattr(live_sources, "MIC_S", 4.0)
    code, _, err = translate(b"", "--mic")
    assert code == 130 and "5.6 s of the microphone were lost" in err


class LosingMicrophone(FakeMicrophone):
    """Says one more thing when it is heard again."""

    def __enter__(self):
        super().__enter__()
        one = TALK[: self.size]
        threading.Timer(1.5, lambda: self.callback(one[:, None], len(one), None, None)).start()
        return self


def test_a_missing_microphone_package_is_said(translate, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = translate(b"", "--mic")
    assert code != 0 and "a microphone needs sounddevice" in err


def test_the_partial_transcript_grows(model, tmp_path) -> None:
    path = tmp_path / "talk.txt"
    with start(model, "--transcript", path) as child:
        assert child.stdin is not None
        child.stdin.write(raw(TALK[: 16_000 * 5]))
        child.stdin.flush()
        grown = Path(f"{path}.partial")
        until = time.monotonic() + 60
        while time.monotonic() < until and not (grown.exists() and grown.read_text().count("\n") == 1):
            time.sleep(0.1)
        assert grown.read_text().count("\n") == 1
        child.kill()
    assert not path.exists() and grown.exists()
