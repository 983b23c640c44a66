"""What arguments stand for: files, folders, manifests, standard input."""

import json

import pytest
import soundfile
from models.tiny import noise

from ossicle.cli.inputs import expand
from ossicle.errors import AudioInputError, DataError, FetchError, RequestError


def touched(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def lines(path, *objects):
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in objects))
    return str(path)


def test_a_folder_stands_for_its_sound_files_by_their_names(tmp_path):
    touched(tmp_path, "b.wav", "a.FLAC", "deep/c.d.mp3", "notes.txt", ".hidden.wav", ".git/x.wav", "results/b.wav")
    (tmp_path / "folder.wav").mkdir()
    found = expand([str(tmp_path)], without=str(tmp_path / "results"))
    assert [one.name for one in found] == ["a", "b", "deep/c.d"]
    assert [one.path for one in found] == [str(tmp_path / name) for name in ("a.FLAC", "b.wav", "deep/c.d.mp3")]
    assert [one.full_name for one in found] == ["a.FLAC", "b.wav", "deep/c.d.mp3"]
    assert len(expand([str(tmp_path)])) == 4


@pytest.mark.parametrize("results", ["talks/out", "talks/../talks/out", "link", "linked/out", "away/out"])
def test_results_inside_of_the_folder_are_not_read_by_whatever_name(tmp_path, monkeypatch, results):
    monkeypatch.chdir(tmp_path)
    touched(tmp_path, "talks/a.wav", "talks/out/a.wav", "talks/outer.wav", "elsewhere/b.wav")
    (tmp_path / "link").symlink_to(tmp_path / "talks" / "out")
    (tmp_path / "linked").symlink_to(tmp_path / "talks")
    (tmp_path / "away").symlink_to("linked")
    (tmp_path / "talks" / "out" / "b.wav").symlink_to(tmp_path / "elsewhere" / "b.wav")
    (tmp_path / "talks" / "c.wav").symlink_to(tmp_path / "talks" / "out" / "a.wav")
    for folder in ("talks", "elsewhere/../talks", "linked"):
        found = expand([folder], without=results)
        assert [one.name for one in found] == ["a", "c", "outer"]


def test_a_folder_without_sound_is_told(tmp_path):
    touched(tmp_path, "notes.txt")
    (own := tmp_path / "own").mkdir()
    (own / "a.wav").touch()
    with pytest.raises(
        FetchError, match="holds no sound file outside the folder of results, in which it lies: give --out"
    ):
        expand([str(own)], without=str(own))
    (own / "a.wav").unlink()
    with pytest.raises(FetchError, match=r"holds no sound file: looked for \.wav, "):
        expand([str(tmp_path)])


def test_files_are_themselves_whatever_they_are_called(tmp_path):
    found = expand(["x/talk.wav", "-", "speech"])
    assert [(one.told, one.name, one.path) for one in found] == [
        ("x/talk.wav", "talk", "x/talk.wav"),
        ("-", "standard-input", None),
        ("speech", "speech", "speech"),
    ]
    with pytest.raises(RequestError, match="can be read once only"):
        expand(["-", "a.wav", "-"])


def test_a_manifest_stands_for_the_sound_of_each_line(tmp_path):
    audio = {"type": "audio", "path": "a.wav"}
    manifest = lines(
        tmp_path / "set.jsonl",
        {"audio": "deep/a.wav", "text": "not read"},
        {"id": "one/two: 3", "audio": "a.wav", "text": "", "start_s": 0.25, "end_s": 0.5},
        "no JSON",
        {"messages": [{"role": "user", "content": [audio, audio]}]},
        {"audio": "../a.wav", "text": "", "start_s": 0.5},
        {"audio": str(tmp_path / "a.wav"), "text": "", "start_s": 0.25, "end_s": 0.5},
    )
    found = expand([manifest])
    assert [one.name for one in found] == ["deep/a", "one_two_3", "line-3", "line-4", "a-0.5-end", "a-0.25-0.5"]
    full = ["deep/a.wav", None, None, None, "a.wav-0.5-end", "a.wav-0.25-0.5"]
    assert [one.full_name for one in found] == full
    assert str(found[1]) == f"{manifest}, line 2" and (found[1].start_s, found[1].end_s) == (0.25, 0.5)
    for one, message in ((found[2], "line 3: not JSON"), (found[3], "line 4: one sound a line is needed, got 2")):
        with pytest.raises(DataError, match=message):
            one.check()
    with pytest.raises(DataError, match="there is no manifest"):
        expand([str(tmp_path / "none.jsonl")])


def test_a_part_of_a_file_is_read_as_a_clip(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1.0).samples, 16_000, subtype="FLOAT")
    part = {"audio": "a.wav", "text": "", "start_s": 0.25}
    whole, rest, behind = expand(
        [lines(tmp_path / "set.jsonl", {"audio": "a.wav", "text": ""}, part | {"end_s": 0.5}, part | {"end_s": 1.5})]
    )
    assert whole.source() == str(tmp_path / "a.wav")
    assert (rest.source().start_s, rest.source().end_s) == (0.25, 0.5)
    with pytest.raises(DataError, match=r"the part from 0\.25 s to 1\.5 s is empty or outside the clip"):
        behind.source()


def test_what_is_no_sound_shows_without_decoding(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    broken, missing = expand([str(tmp_path / "a.wav"), str(tmp_path / "b.wav")])
    with pytest.raises(AudioInputError):
        broken.check()
    with pytest.raises(FetchError, match="there is no file"):
        missing.check()
