"""Manifests: what a line may hold, what it means, and errors that name file and line."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ossicle.audio.clip import Clip
from ossicle.data.manifest import TRANSCRIBE, AudioPart, Item, Turn, read, scan, write
from ossicle.errors import DataError, StorageError
from ossicle.prompt.chat import Message


@pytest.fixture
def folder(tmp_path):
    samples = np.linspace(-0.5, 0.5, 16_000, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", samples, 16_000, subtype="FLOAT")
    return tmp_path


def manifest(folder, *lines):
    path = folder / "set.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_the_shorthand_means_transcribe(folder):
    (item,) = read(manifest(folder, {"audio": "ramp.wav", "text": "a ramp"}))
    assert item.task == "transcribe" and item.id == "1"
    assert item.turns == (
        Turn("user", (AudioPart(folder / "ramp.wav"), TRANSCRIBE)),
        Turn("assistant", ("a ramp",)),
    )


def test_the_full_form_keeps_everything(folder):
    line = {
        "id": "x7",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "audio", "path": "ramp.wav", "start_s": 0.25, "end_s": 0.5},
                    {"type": "text", "text": "Up or down?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "up"}]},
        ],
        "task": "melody",
        "language": "en",
        "truth": {"slope": 1.0},
    }
    (item,) = read(manifest(folder, line))
    assert (item.id, item.task, item.language, item.truth) == ("x7", "melody", "en", {"slope": 1.0})
    system, user, assistant = item.open()
    assert (system, assistant) == (Message("system", ("Be brief.",)), Message("assistant", ("up",)))
    clip, question = user.content
    assert isinstance(clip, Clip) and question == "Up or down?"
    assert (clip.n_samples, clip.rate, clip.start_s) == (4000, 16_000, 0.25)
    np.testing.assert_array_equal(clip.samples, np.linspace(-0.5, 0.5, 16_000, dtype=np.float32)[4000:8000])


def test_audio_opens_at_a_wanted_rate(folder):
    (item,) = read(manifest(folder, {"audio": "ramp.wav", "text": "a"}))
    assert item.open()[0].content[0].rate == 16_000
    assert item.open(rate=8_000)[0].content[0].rate == 8_000


def test_lines_are_read_as_they_are_asked_for_and_empty_ones_are_nothing(folder):
    items = read(manifest(folder, {"audio": "a.wav", "text": "one"}, "", "nonsense"))
    assert next(items).id == "1"
    with pytest.raises(DataError, match=r"set.jsonl, line 3: not JSON"):
        next(items)


USER = {"role": "user", "content": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "a line is one JSON object"),
        ({"audio": "a.wav"}, 'a line needs "messages", or "audio" and "text"'),
        ({"audio": "a.wav", "text": 3}, "text is a string"),
        ({"audio": 3, "text": "a"}, "the path of the audio is a string"),
        ({"audio": "", "text": "a"}, "the path of the audio is a string"),
        (
            {"audio": "a.wav", "text": "a", "lang": "en"},
            "unknown lang; allowed are audio, end_s, id, language, start_s, text",
        ),
        ({"messages": [USER], "audio": "a.wav"}, "unknown audio; allowed are id, language, messages, task, truth"),
        ({"audio": "a.wav", "text": "a", "start_s": -1}, "start_s and end_s are seconds from 0 on"),
        ({"audio": "a.wav", "text": "a", "start_s": True}, "start_s and end_s are seconds from 0 on"),
        ({"audio": "a.wav", "text": "a", "end_s": "2"}, "start_s and end_s are seconds from 0 on"),
        (
            {"audio": "a.wav", "text": "a", "start_s": 2, "end_s": 2},
            "the audio ends at 2 s, not after its start at 2 s",
        ),
        ({"messages": []}, "messages is a list of at least one message"),
        ({"messages": "hello"}, "messages is a list of at least one message"),
        ({"messages": [{"role": "user"}]}, "a message has role and content"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "role is 'robot', allowed are system, user, assistant"),
        ({"messages": [{"role": "user", "content": []}]}, "content is a string or a list of parts"),
        ({"messages": [{"role": "user", "content": 3}]}, "content is a string or a list of parts"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "a part's type is None, allowed are audio, text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "path": "a"}]}]},
            "a part's type is 'image', allowed are audio, text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]},
            "a text part has a text string",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "audio", "path": "a", "url": "b"}]}]},
            "unknown url in an audio part; allowed are path, start_s, end_s",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "audio", "path": "a.wav"}]}]},
            "audio stands in a turn of the user, not of the assistant",
        ),
        ({"messages": [USER], "truth": 3}, "truth is a JSON object"),
        ({"messages": [USER], "language": 3}, "language is a string"),
        ({"messages": [USER], "task": 3}, "task is a string"),
        ({"audio": "a.wav", "text": "a", "start_s": 10**400}, "start_s and end_s are seconds from 0 on"),
        ({"audio": "a.wav", "text": "\ud800"}, "a text holds half of a surrogate pair, which is no Unicode"),
        ("[" * 100_000, "not JSON of a manifest: too many brackets inside each other"),
        ({"id": "x", "audio": "a.wav", "text": "a"}, "the id 'x' stands in an earlier line"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(folder, line, message):
    good = {"id": "x", "audio": "ramp.wav", "text": "a"}
    with pytest.raises(DataError) as caught:
        list(read(manifest(folder, good, line)))
    assert str(caught.value) == f"set.jsonl, line 2: {message}"
    assert caught.value.code == "bad_item"


def test_a_byte_that_is_no_text_is_a_fault_of_its_line(folder):
    good = {"audio": "ramp.wav", "text": "caf\u00e9"}
    path = manifest(folder, good, "?", good)
    path.write_bytes(path.read_bytes().replace(b"?", b'{"audio": "ramp.wav", "text": "caf\xe9"}'))
    found = dict(scan(path))
    assert str(found[2]) == "set.jsonl, line 2: not UTF-8 text"
    assert [found[n].turns[1].content for n in (1, 3)] == [("caf\u00e9",)] * 2


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line(folder):
    path = manifest(folder, {"audio": "ramp.wav", "text": "a"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [item.line for item in read(path)] == [1]


def test_line_numbers_and_ids_that_are_given_are_two_things(folder):
    line = {"audio": "ramp.wav", "text": "a"}
    path = manifest(folder, {"id": "2", **line}, line, {"id": None, **line}, {"id": None, **line}, {"id": 4, **line})
    items = list(read(path))
    assert [(item.id, item.named) for item in items] == [
        ("2", True),
        ("2", False),
        ("3", False),
        ("4", False),
        ("4", True),
    ]
    write(folder / "again.jsonl", items)  # as the items that a run held out are written
    assert [(item.id, item.named) for item in read(folder / "again.jsonl")] == [(i.id, i.named) for i in items]


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no manifest .*none.jsonl"):
        next(read(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        next(read(tmp_path))


def test_audio_that_cannot_be_read_is_named_with_its_line(folder):
    (folder / "bad.wav").write_bytes(b"not audio at all, but long enough to look at")
    lines = [{"audio": "none.wav", "text": "a"}, {"audio": "bad.wav", "text": "a"}]
    lines.append({"audio": "ramp.wav", "text": "a", "start_s": 0.5, "end_s": 1.5})
    items = list(read(manifest(folder, *lines)))
    for item, message in zip(
        items, ("line 1: none.wav: ", "line 2: bad.wav: ", "line 3: ramp.wav: the part"), strict=True
    ):
        with pytest.raises(DataError, match=f"set.jsonl, {message}"):
            item.open()


def test_written_items_are_read_back(folder):
    items = [
        Item(
            "a",
            (
                Turn("user", (AudioPart(folder / "audio" / "x.flac", 0.5, 2.0), "What?")),
                Turn("assistant", ("It is “this”.",)),
            ),
            "said",
            "en",
            {"slices": ["accents"]},
        ),
        Item("b", (Turn("user", (AudioPart(folder.parent / "elsewhere.wav"),)), Turn("assistant", ("",)))),
    ]
    path = folder / "new" / "set.jsonl"
    assert write(path, items) == 2
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert "“this”" in first and json.loads(second)["messages"][0]["content"][0]["path"] == str(
        folder.parent / "elsewhere.wav"
    )
    found = list(read(path))
    assert [(item.turns[1:], item.task, item.language, dict(item.truth)) for item in found] == [
        (item.turns[1:], item.task, item.language, dict(item.truth)) for item in items
    ]
    assert [item.turns[0].content[0].path for item in found] == [item.turns[0].content[0].path for item in items]
    assert list((folder / "new").iterdir()) == [path]


def test_paths_in_the_manifests_folder_are_relative(folder):
    path = folder / "set.jsonl"
    write(path, [Item("a", (Turn("user", (AudioPart(folder / "audio" / "x.wav"),)),))])
    assert json.loads(path.read_text())["messages"][0]["content"] == [{"type": "audio", "path": "audio/x.wav"}]


def test_a_manifest_is_written_whole_or_not_at_all(folder):
    path = folder / "set.jsonl"

    def items():
        yield Item("a", (Turn("user", ("hm",)),))
        raise DataError("the second item is bad")

    with pytest.raises(DataError, match="the second item is bad"):
        write(path, items())
    assert not path.exists() and not list(folder.glob("*.partial"))
    with pytest.raises(StorageError, match=r"set.jsonl cannot be written: (Not a directory|File exists)"):
        write(folder / "ramp.wav" / "set.jsonl", [])


@given(st.text(), st.floats(0, 1000), st.floats(0.001, 1000))
def test_any_text_and_any_times_survive(tmp_path_factory, text, start_s, length_s):
    path = tmp_path_factory.mktemp("m") / "set.jsonl"
    part = AudioPart(Path(path.parent / "x.wav"), start_s, start_s + length_s)
    text = text.encode("utf-8", "replace").decode()
    turns = (Turn("user", (part, text)),)
    write(path, [Item("a", turns)])
    assert next(read(path)).turns == turns


def test_a_scan_goes_on_behind_a_line_that_is_no_item(folder):
    good = {"id": "x", "audio": "ramp.wav", "text": "a"}
    path = manifest(folder, good, "nonsense", "", good, {"audio": "ramp.wav", "text": "b"})
    found = dict(scan(path))
    assert list(found) == [1, 2, 4, 5] and [found[n].line for n in (1, 5)] == [1, 5]
    assert str(found[2]).startswith("set.jsonl, line 2: not JSON")
    assert str(found[4]) == "set.jsonl, line 4: the id 'x' stands in an earlier line"
    with pytest.raises(DataError, match=r"there is no manifest .*none\.jsonl"):
        next(scan(folder / "none.jsonl"))


def test_lines_may_be_passed_over_unread(folder):
    good = {"id": "x", "audio": "ramp.wav", "text": "a"}
    path = manifest(folder, good, "nonsense", good)
    assert [item.line for item in read(path, without={2, 3})] == [1]
    assert [item.line for item in read(path, without={1, 2})] == [3]  # whose id is then the first of its name


def test_a_part_reads_its_own_audio(folder):
    part = AudioPart(folder / "ramp.wav", 0.25, 0.5)
    assert not part.whole and part.read(rate=8_000).n_samples == 2_000
    assert AudioPart(folder / "ramp.wav").whole and AudioPart(folder / "ramp.wav").read().n_samples == 16_000
