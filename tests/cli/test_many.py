"""Many inputs into one folder: whole or not at all, never twice, whatever ends the program."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import soundfile
import typer
from models.tiny import noise

from ossicle.cli.inputs import Input
from ossicle.cli.many import LINE_S, Progress, Result, into_folder
from ossicle.errors import AudioInputError, FetchError, RequestError, StorageError
from ossicle.hub.whole import whole_file

RUN = {"command": "count", "model": "abc", "beams": 1}


def write(text, path):
    whole_file(path, text.encode())


class Counting:
    """Makes the name of an input of it; keeps what it was asked for."""

    def __init__(self, *, bad=(), error=AudioInputError, cut=()):
        self.bad, self.error, self.cut, self.asked = bad, error, cut, []

    def __call__(self, given):
        self.asked.append(given.name)
        if given.name in self.bad:
            raise self.error(f"{given.name} is broken")
        files = {".srt": partial(write, "1"), ".txt": partial(write, given.name)}
        return Result(files, 36.0, given.name in self.cut)


def named(*names):
    return [Input(f"in/{name}", name) for name in names]


def go(inputs, folder, one, *, run=RUN):
    """Exit code of a run."""
    try:
        into_folder(inputs, str(folder), [".srt", ".txt"], run=run, one=one)
    except typer.Exit as end:
        return end.exit_code
    return 0


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_input_has_its_files_and_nothing_is_done_twice(tmp_path, capsys):
    inputs, first, again = named("a", "deep/b"), Counting(), Counting()
    assert go(inputs, tmp_path / "out", first) == 0
    assert files(tmp_path / "out") == [".lock", "a.srt", "a.txt", "deep/b.srt", "deep/b.txt", "done.jsonl", "run.json"]
    assert (tmp_path / "out" / "deep" / "b.txt").read_text() == "deep/b"
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == RUN
    assert capsys.readouterr().err.startswith("2 of 2  0.02 audio-h  ")
    assert go([*inputs, *named("c")], tmp_path / "out", again) == 0
    assert (first.asked, again.asked) == (["a", "deep/b"], ["c"])
    assert capsys.readouterr().err.startswith("2 of 3 are there from an earlier run\n3 of 3  0.01 audio-h  ")


def test_failures_are_told_listed_and_tried_again(tmp_path, capsys):
    inputs, out = named("a", "b", "c"), tmp_path / "out"
    assert go(inputs, out, Counting(bad=("a", "c"))) == 7
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [
        "error: audio_undecodable: in/a: a is broken",
        "error: audio_undecodable: in/c: c is broken",
    ]
    assert told[2].startswith("1 of 3  2 failed  ") and told[2].endswith(f"  see {out / 'errors.jsonl'}")
    assert [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()] == [
        {"file": "in/a", "code": "audio_undecodable", "message": "a is broken"},
        {"file": "in/c", "code": "audio_undecodable", "message": "c is broken"},
    ]
    healed = Counting()
    assert go(inputs, out, healed) == 0 and healed.asked == ["a", "c"]
    assert "errors.jsonl" not in files(out)


def test_texts_that_were_cut_off_are_told_and_counted(tmp_path, capsys):
    assert go(named("a", "b", "c"), tmp_path / "out", Counting(cut=("a", "c"))) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == ["in/a: cut off at --max-tokens", "in/c: cut off at --max-tokens"]
    assert told[2].startswith("3 of 3  2 cut off  0.03 audio-h  ") and len(told) == 3
    assert go(named("a", "b", "d", "e"), tmp_path / "out", Counting(bad=("d",), cut=("e",))) == 7
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("3 of 4  1 failed  2 cut off  ") and "in/a" not in "".join(told)


def test_where_all_fail_the_first_one_says_how(tmp_path):
    assert go(named("a", "b"), tmp_path / "out", Counting(bad=("a", "b"), error=FetchError)) == 3


def test_what_is_no_fault_of_one_input_ends_the_run(tmp_path):
    with pytest.raises(RequestError, match="a is broken"):
        go(named("a", "b"), tmp_path / "out", Counting(bad=("a",), error=RequestError))


def test_results_of_another_run_are_not_taken(tmp_path):
    out, again = tmp_path / "out", Counting()
    assert go(named("a"), out, Counting()) == 0
    message = r'holds results of another run \(model "abc", now "def", beams 1, now 5\): name another folder'
    with pytest.raises(RequestError, match=message):
        go(named("a"), out, again, run={**RUN, "model": "def", "beams": 5})
    with pytest.raises(RequestError, match=r"\(beams null, now 1\)"):
        (out / "run.json").write_text(json.dumps({key: RUN[key] for key in ("command", "model")}))
        go(named("a"), out, again)
    (out / "run.json").write_text("{")
    with pytest.raises(StorageError, match=r"run\.json cannot be read"):
        go(named("a"), out, again)
    assert not again.asked


def test_a_run_that_left_no_result_does_not_keep_the_folder(tmp_path):
    with pytest.raises(RequestError, match="a is broken"):
        go(named("a"), tmp_path, Counting(bad=["a"], error=RequestError), run={"to": "fx"})
    assert go(named("a"), tmp_path, Counting(), run={"to": "fr"}) == 0
    assert json.loads((tmp_path / "run.json").read_text()) == {"to": "fr"}


def test_a_changed_input_is_done_again_and_a_broken_one_loses_its_result(tmp_path):
    sound, out = tmp_path / "a.wav", tmp_path / "out"
    soundfile.write(sound, noise(0.2).samples, 16_000)
    inputs, again = [Input("a.wav", "a", str(sound))], Counting()
    assert go(inputs, out, Counting()) == 0
    assert go(inputs, out, again) == 0 and not again.asked
    later = time.time() + 60
    os.utime(sound, (later, later))
    assert go(inputs, out, again) == 0 and again.asked == ["a"]
    sound.write_bytes(b"no sound")
    assert go(inputs, out, again) == 3 and again.asked == ["a"]
    assert files(out) == [".lock", "done.jsonl", "errors.jsonl", "run.json"]


def test_an_input_out_of_reach_takes_no_result_away(tmp_path):
    sound, out = tmp_path / "a.wav", tmp_path / "out"
    soundfile.write(sound, noise(0.2).samples, 16_000)
    inputs = [Input("a.wav", "a", str(sound))]
    assert go(inputs, out, Counting()) == 0
    sound.rename(tmp_path / "elsewhere.wav")
    assert go(inputs, out, Counting()) == 3
    assert files(out) == [".lock", "a.srt", "a.txt", "done.jsonl", "errors.jsonl", "run.json"]
    (tmp_path / "elsewhere.wav").rename(sound)
    again = Counting()
    assert go(inputs, out, again) == 0 and not again.asked


def test_of_one_name_the_suffix_tells_inputs_apart(tmp_path):
    out, again = tmp_path / "out", Counting()
    flac, wav = (Input(f"x/a.{end}", "a", full_name=f"a.{end}") for end in ("flac", "wav"))
    odd, run = Input("x/a.wav.mp3", "a.wav", full_name="a.wav.mp3"), Input("run.wav", "run", full_name="run.wav")
    first = Counting()
    assert go([flac, wav, odd, run], out, first) == 0
    assert first.asked == ["a.flac", "a.wav", "a.wav.mp3", "run"]
    into_folder([run], str(tmp_path / "json"), [".json"], run=RUN, one=lambda _: Result({".json": write_a}, 0.0))
    assert files(tmp_path / "json") == [".lock", "done.jsonl", "run.json", "run.wav.json"]
    with pytest.raises(RequestError, match=r"a\.wav\.srt would be written for y/a\.wav and for x/a\.wav"):
        go([wav, Input("y/a.wav", "a", full_name="a.wav")], out, again)


def write_a(path):
    write("a", path)


def test_a_name_stays_when_others_of_that_name_join_and_leave(tmp_path):
    out = tmp_path / "out"
    for end in ("flac", "wav", "ogg"):
        soundfile.write(tmp_path / f"a.{end}", noise(0.1).samples, 16_000)
    flac, wav, ogg = (
        Input(f"a.{end}", "a", str(tmp_path / f"a.{end}"), full_name=f"a.{end}") for end in ("flac", "wav", "ogg")
    )
    for given, made in (([wav], ["a"]), ([wav, flac], ["a.flac"]), ([ogg, wav, flac], ["a.ogg"]), ([flac], [])):
        one = Counting()
        assert go(given, out, one) == 0 and one.asked == made
    assert {path.name: path.read_text() for path in out.glob("*.txt")} == {
        "a.txt": "a",
        "a.flac.txt": "a.flac",
        "a.ogg.txt": "a.ogg",
    }


def test_two_inputs_that_no_name_tells_apart_and_names_of_ours_are_refused(tmp_path):
    with pytest.raises(RequestError, match=r"a\.srt would be written for y/a and for x/a: use a folder for each"):
        go([Input("x/a", "a"), Input("y/a", "a")], tmp_path / "out", Counting())
    with pytest.raises(RequestError, match=r"run\.json would be written for in/run and for the folder's own notes"):
        into_folder(named("run"), str(tmp_path / "out"), [".json"], run=RUN, one=Counting())
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_is_not_written(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    with pytest.raises(StorageError, match=r"holds other files, such as a\.txt: name a folder of its own"):
        go(named("a"), tmp_path, Counting())
    assert files(tmp_path) == ["a.txt"]


def test_one_process_a_folder(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom ossicle.train.process import claimed\n"
        "with claimed(Path(sys.argv[1])) as mine:\n    print(mine, flush=True)\n    sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        with pytest.raises(StorageError, match="another process writes into"):
            go(named("a"), tmp_path, Counting())
        other.stdin.close()
    assert go(named("a"), tmp_path, Counting()) == 0


KILLED = """
import sys, time
from pathlib import Path
import typer
from ossicle.cli.inputs import Input
from ossicle.cli.many import Result, into_folder
from ossicle.errors import AudioInputError
from ossicle.hub.whole import whole_file

place, log = Path(sys.argv[1]), Path(sys.argv[2])

def write(text, path):
    whole_file(path, text.encode())
    time.sleep(0.01)  # a kill between two files of one input is as likely as any other

def one(given):
    with log.open("a") as lines:
        lines.write(given.name + "\\n")
    if given.name in ("7", "50", "93"):
        raise AudioInputError("broken")
    text = given.name * 1000
    return Result({".srt": lambda path: write(text, path), ".txt": lambda path: write(text, path)}, 1.0)

inputs = [Input(str(number), str(number)) for number in range(100)]
try:
    into_folder(inputs, str(place), [".srt", ".txt"], run={"command": "count"}, one=one)
except typer.Exit as end:
    sys.exit(end.exit_code)
"""


def test_a_run_that_is_killed_goes_on_and_does_nothing_twice(tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    command = [sys.executable, "-c", KILLED, str(out), str(log)]
    done_before: set[str] = set()
    for n_wanted in (20, 55):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
            while len(list(out.glob("*.txt"))) < n_wanted:
                assert run.poll() is None
                time.sleep(0.005)
            run.send_signal(signal.SIGKILL)
        whole = {path.stem for path in out.glob("[0-9]*.txt")}
        assert n_wanted <= len(whole) < 97 and done_before <= whole
        assert all(path.read_text() == path.stem * 1000 for path in out.glob("[0-9]*.*"))
        done_before = whole
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 7
    assert len(files(out)) == 2 * 97 + 4  # and both notes, the errors, the lock: no drafts are left
    begun = log.read_text().split()
    again = [name for name in set(begun) if begun.count(name) > 1]
    assert len(set(again) - {"7", "50", "93"}) <= 2  # what was under way at each kill
    assert not {name for name in again if begun.count(name) > 3}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_has_a_bar_and_other_places_lines():
    terminal, plain = Terminal(), io.StringIO()
    for out in (terminal, plain):
        progress = Progress(4, 1, out)
        progress.step(1800.0)
        progress.tell("error: x")
        progress.step(0.0, failed=True)
        progress.shown -= LINE_S
        progress.step(1800.0)
        progress.end("see it")
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn[0] == "1 of 4 are there from an earlier run\n"
    assert drawn[1].startswith("[############............]  2 of 4  0.50 audio-h  ")
    assert drawn[2] == "error: x\n" and drawn[3].startswith("[##################......]  2 of 4  1 failed  ")
    assert drawn[-1].startswith("[########################]  3 of 4  1 failed  1.00 audio-h  ")
    assert drawn[-1].endswith(" audio-s/s  0.0 min left  see it\n")
    lines = plain.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "1 of 4 are there from an earlier run",
        "error: x",
        "3 of 4",
        "3 of 4",
    ]


def test_time_left_is_told_by_what_was_worked_on():
    progress = Progress(10, 4, io.StringIO())
    progress.began = 0.0
    progress.step(90.0)
    progress.step(0.0, failed=True)
    assert progress.reading(60.0) == "5 of 10  1 failed  0.03 audio-h  2 audio-s/s  2.0 min left"
