"""Items of the world and of manifests, and what stands in for their audio."""

import json

import numpy as np
import pytest

from ossicle.audio.clip import Clip
from ossicle.data.manifest import read
from ossicle.errors import ConfigError, DataError, DependencyError, StorageError
from ossicle.evaluate.items import (
    N_ITEMS,
    N_SLICE,
    Item,
    item_of,
    manifest_items,
    silence,
    taken_from,
    with_audio,
    world_items,
    write_world,
)
from ossicle.infer.requests import clips_in
from ossicle.prompt.chat import Message
from ossicle.world.parts import Scene, Speech, Voice
from ossicle.world.tasks import SLICES, TASKS, Example

RAMP = Clip(np.linspace(-1, 1, 4000, dtype=np.float32), 16_000)


def asked(*clips, question="What?"):
    return Item((Message("user", (*clips, question)),), "x")


def test_a_task_of_the_world_is_drawn_from_the_test_split_and_repeats():
    ((name, metric, items, missing),) = world_items(["melody"], 3, seed=0)
    assert (name, metric, missing, len(items)) == ("melody", "accuracy", [], 3)
    assert all(item.headline and item.answer and item.messages[0].content[1] for item in items)
    ((_, _, again, _),) = world_items(["melody"], 2, seed=0)
    for one, other in zip(items, again, strict=False):
        assert one.answer == other.answer
        np.testing.assert_array_equal(clips_in(one.messages)[0].samples, clips_in(other.messages)[0].samples)
    ((_, _, others, _),) = world_items(["melody"], 3, seed=1)
    assert clips_in(others[0].messages)[0].n_samples != clips_in(items[0].messages)[0].n_samples


def test_slices_stand_beside_the_headline_and_never_in_it():
    ((_, _, items, missing),) = world_items(["transcribe"], 2, seed=0)
    drawn = [name for name in SLICES if name not in missing]
    assert [item.slices for item in items] == [(name,) for name in drawn for _ in range(2)]
    assert [item.headline for item in items] == [True] * 2 + [False] * 2 * (len(drawn) - 1)
    assert set(missing) <= {"festival"}


def test_voice_chat_items_are_audio_alone():
    ((_, _, items, _),) = world_items(["arithmetic"], 1, seed=0)
    assert len(items[0].messages[0].content) == 1


def test_all_tasks_are_drawn_by_default():
    assert [group[0] for group in world_items((), 1, seed=0)] == list(TASKS)
    assert N_SLICE <= N_ITEMS


def test_a_voice_that_is_not_installed_cannot_be_heard(monkeypatch):
    monkeypatch.setenv("PATH", "")
    voice = Voice("festival", "en-us", "kal_diphone", 160, 50, 1.0)
    example = Example("transcribe", Scene((Speech("hello", voice),)), "what is said?", "hello", ("festival",), "wer")
    ((_, _, items, missing),) = world_items(["said"], 1, seed=0)
    assert missing == ["festival"] and {item.slices for item in items} == {("accents",), ("unseen_accent",)}
    with pytest.raises(DependencyError, match="festival is not installed"):
        item_of(example)


def test_silence_is_as_long_as_what_it_stands_for():
    (clip,) = clips_in(with_audio(asked(RAMP), silence).messages)
    assert (clip.n_samples, clip.rate, float(np.abs(clip.samples).max())) == (4000, 16_000, 0.0)


def test_only_the_audio_is_changed():
    item = Item((Message("system", ("Be brief.",)), Message("user", ("Before", RAMP, "after"))), "x", ("a",))
    changed = with_audio(item, silence)
    assert changed.messages[0] == item.messages[0]
    assert [part for part in changed.messages[1].content if isinstance(part, str)] == ["Before", "after"]
    assert (changed.answer, changed.slices) == ("x", ("a",))


def test_swapped_audio_comes_from_the_other_item_over_again_where_it_has_less():
    other = Clip(np.full(800, 0.5, np.float32), 16_000)
    changed = with_audio(asked(RAMP, RAMP), taken_from(asked(other)))
    assert clips_in(changed.messages) == [other, other]
    (clip,) = clips_in(with_audio(asked(RAMP), taken_from(asked())).messages)
    assert float(np.abs(clip.samples).max()) == 0.0


@pytest.fixture
def folder(tmp_path):
    write_world(tmp_path, "sound", 2, split="test", seed=1)
    return tmp_path


def manifest(folder, *lines):
    path = folder / "other.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def audio(folder):
    return str(next((folder / "audio").glob("*.flac")).relative_to(folder))


def test_written_examples_are_scored_as_the_world_would(folder):
    items = list(read(folder / "manifest.jsonl"))
    assert [item.id for item in items] == ["sound-00000", "sound-00001"]
    assert items[0].truth["metric"] == "accuracy" and items[0].truth["events"][0]["kind"] == "sound"
    ((name, metric, scored, missing),) = manifest_items(folder / "manifest.jsonl", None)
    assert (name, metric, missing) == ("sound", "accuracy", [])
    assert [item.answer for item in scored] == [item.turns[-1].content[0] for item in items]
    assert all(clips_in(item.messages)[0].rate == 16_000 for item in scored)


def test_voice_chat_is_written_without_a_question(tmp_path):
    path = write_world(tmp_path, "arithmetic", 1)
    (item,) = read(path)
    assert len(item.turns[0].content) == 1


def test_manifest_items_are_grouped_by_task_and_capped(folder):
    path = audio(folder)
    turns = [
        {"role": "user", "content": [{"type": "audio", "path": path}]},
        {"role": "assistant", "content": "a dog"},
    ]
    lines = [{"audio": path, "text": "hello"}] * 3
    lines += [{"messages": turns}, {"messages": turns, "task": "melody", "truth": {"slices": ["up"]}}]
    lines += [{"messages": turns, "task": "own", "truth": {"metric": "accuracy"}}]
    groups = {name: (metric, items) for name, metric, items, _ in manifest_items(manifest(folder, *lines), 2)}
    assert {name: metric for name, (metric, _) in groups.items()} == {
        "transcribe": "wer",
        "answer": "wer",
        "melody": "accuracy",
        "own": "accuracy",
    }
    assert [len(items) for _, items in groups.values()] == [2, 1, 1, 1]
    assert groups["melody"][1][0].slices == ("up",)


def test_a_manifest_that_cannot_be_scored_says_why(folder):
    path = audio(folder)
    question = {"role": "user", "content": [{"type": "audio", "path": path}]}
    with pytest.raises(DataError, match=r"other.jsonl has no item to score"):
        list(manifest_items(manifest(folder), None))
    with pytest.raises(DataError, match="line 1: an item to score ends with a turn of the assistant"):
        list(manifest_items(manifest(folder, {"messages": [question]}), None))
    line = {"audio": path, "text": "a"}
    with pytest.raises(DataError, match="line 2: an item to score ends"):
        list(manifest_items(manifest(folder, line, {"messages": [question], "task": "transcribe"}), None))
    turns = [question, {"role": "assistant", "content": "a"}]
    for slices in (5, [["a"]], "abc"):
        with pytest.raises(DataError, match=r"line 1: truth\.slices is a list of names"):
            list(manifest_items(manifest(folder, {"messages": turns, "truth": {"slices": slices}}), None))
    with pytest.raises(DataError, match="line 1: there is no metric 'bleu', known are wer, accuracy"):
        list(manifest_items(manifest(folder, {"messages": turns, "truth": {"metric": "bleu"}}), None))


def test_a_folder_that_holds_examples_keeps_them(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(StorageError, match="holds examples already"):
        write_world(folder, "melody", 1)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_made_and_unknown_names_are_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"the folder .*file/audio cannot be made"):
        write_world(tmp_path / "file", "sound", 1)
    with pytest.raises(ConfigError, match="unknown task 'smell'"):
        write_world(tmp_path, "smell", 1)
