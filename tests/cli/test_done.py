"""What results were made of: what changed is made again, and nothing else, whenever a run was killed."""

import io
import json
import os
import time
from dataclasses import replace

import pytest
import soundfile
from models.tiny import noise

from cli.test_many import Counting, files, go
from ossicle.cli.inputs import Input, expand, expand_with_texts
from ossicle.cli.many import Result
from ossicle.errors import StorageError


@pytest.fixture
def sound(tmp_path):
    return Input("a.wav", "a", written(tmp_path / "a.wav"))


def written(path, *, seconds=0.1):
    file = io.BytesIO()
    soundfile.write(file, noise(seconds).samples, 16_000, format="WAV")
    path.write_bytes(file.getvalue())
    return str(path)


def asked(inputs, out, *, bad=()):
    """Names of what a run makes."""
    one = Counting(bad=bad)
    go(inputs, out, one)
    return one.asked


def lines(out):
    return [json.loads(line) for line in (out / "done.jsonl").read_text().splitlines()]


def test_another_part_or_file_or_text_of_that_name_is_made_again(tmp_path, sound):
    out, other = tmp_path / "out", written(tmp_path / "b.wav")
    os.utime(other, ns=(0, os.stat(sound.path).st_mtime_ns))
    several = [sound, replace(sound, end_s=0.5), replace(sound, start_s=0.25, end_s=0.5), replace(sound, path=other)]
    for given in [*several, sound]:
        assert asked([given], out) == ["a"]
        assert asked([given], out) == []
    script = tmp_path / "script.txt"
    for text in ("one", "two"):
        script.write_text(text)
        os.utime(script, ns=(0, 0))
        given = expand_with_texts([str(script)])
        assert (asked(given, out), asked(given, out)) == (["script"], [])


def test_a_line_of_a_manifest_that_names_another_part_is_made_again(tmp_path, sound):
    manifest, out = tmp_path / "set.jsonl", tmp_path / "out"
    for end_s in (0.5, 0.75):
        manifest.write_text(json.dumps({"id": "one", "audio": "a.wav", "text": "", "end_s": end_s}) + "\n")
        assert (asked(expand([str(manifest)]), out), asked(expand([str(manifest)]), out)) == (["one"], [])


def test_a_source_by_another_name_of_its_folder_is_the_same(tmp_path, sound, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert asked([sound], out) == ["a"]
    assert [asked([replace(sound, path=path)], out) for path in ("a.wav", "link/a.wav", "out/../a.wav")] == [[]] * 3


def test_an_older_source_or_one_of_another_size_is_another(tmp_path, sound):
    out, now = tmp_path / "out", time.time_ns()
    for seconds, time_ns in ((0.1, now), (0.1, now - 10**12), (0.2, now - 10**12)):
        written(tmp_path / "a.wav", seconds=seconds)
        os.utime(sound.path, ns=(0, time_ns))
        assert (asked([sound], out), asked([sound], out)) == (["a"], [])


class Killed:
    """Ends the program after so many files of a result."""

    def __init__(self, n_files):
        self.n_files = n_files

    def __call__(self, given):
        return Result({suffix: self.write for suffix in (".srt", ".txt")}, 1.0)

    def write(self, path):
        if not self.n_files:
            raise KeyboardInterrupt
        self.n_files -= 1
        path.write_text("new")


@pytest.mark.parametrize("n_files", [0, 1])
@pytest.mark.parametrize("back", [True, False])
def test_a_result_that_was_being_replaced_at_a_kill_is_neither_the_old_nor_the_new(tmp_path, sound, n_files, back):
    out, part = tmp_path / "out", replace(sound, end_s=0.5)
    assert asked([sound], out) == ["a"]
    with pytest.raises(KeyboardInterrupt):
        go([part], out, Killed(n_files))
    given = sound if back else part
    assert (asked([given], out), asked([given], out)) == (["a"], [])


def test_a_torn_line_counts_for_nothing_and_spoils_no_other(tmp_path, sound):
    out, part, other = tmp_path / "out", replace(sound, end_s=0.5), replace(sound, name="b")
    assert asked([sound, other], out) == ["a", "b"]
    whole = (out / "done.jsonl").read_bytes()
    for torn in (b"{", b'{"name": "a", "pa', b"\xff\n\n[1]\n{}"):  # begun for another part: its files are not there
        for name in ("a.srt", "a.txt"):
            (out / name).unlink()
        (out / "done.jsonl").write_bytes(whole + torn)
        assert (asked([part, other], out), asked([part, other], out)) == (["a"], [])
        assert asked([sound], out) == ["a"]


def test_results_of_which_nothing_is_known_count_where_they_are_no_older(tmp_path, sound):
    out, part = tmp_path / "out", replace(sound, end_s=0.5)
    later = written(tmp_path / "b.wav")
    inputs = [sound, replace(sound, name="b", path=later)]
    assert asked(inputs, out) == ["a", "b"]
    (out / "done.jsonl").unlink()  # as an earlier version left it
    os.utime(later, (time.time() + 60, time.time() + 60))
    assert asked(inputs, out) == ["b"]
    assert sorted((one["name"], one["path"]) for one in lines(out)) == [("a", sound.path), ("b", later)]
    assert asked([part], out) == ["a"]


def test_what_fails_loses_what_was_made_of_another_but_not_what_was_made_of_it(tmp_path, sound):
    out = tmp_path / "out"
    assert asked([sound], out) == ["a"]
    (out / "a.srt").unlink()
    assert asked([sound], out, bad=["a"]) == ["a"] and "a.txt" in files(out)
    gone = replace(sound, path=str(tmp_path / "gone.wav"))
    assert asked([gone], out) == [] and {"a.txt", "errors.jsonl"} <= {*files(out)}
    assert asked([replace(sound, end_s=0.5)], out, bad=["a"]) == ["a"] and "a.txt" not in files(out)


def test_a_text_file_that_is_broken_now_is_not_done(tmp_path):
    script, out = tmp_path / "script.txt", tmp_path / "out"
    script.write_text("one")
    assert asked(expand_with_texts([str(script)]), out) == ["script"]
    script.write_text(" ")
    assert asked(expand_with_texts([str(script)]), out) == []
    assert files(out) == [".lock", "done.jsonl", "errors.jsonl", "run.json"]


def test_notes_that_cannot_be_read_are_told(tmp_path, sound):
    (tmp_path / "out" / "done.jsonl").mkdir(parents=True)
    (tmp_path / "out" / "run.json").write_text("{}")  # it is a folder of ours
    with pytest.raises(StorageError, match=r"done\.jsonl cannot be read"):
        go([sound], tmp_path / "out", Counting())
    assert files(tmp_path / "out") == ["run.json"]
