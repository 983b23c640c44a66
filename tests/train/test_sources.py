"""Samples: a function of (seed, stage, index), and a manifest in a new order each epoch."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.errors import ConfigError, DataError
from ossicle.prompt.tags import Tags
from ossicle.train.sources import Manifest, Sample, World, divided, is_held_out

QUIET = {"sound": 1.0, "count": 2.0, "instrument": 1.0}
"""Tasks without a voice."""


def same(one: Sample, two: Sample) -> bool:
    facts = ("question", "answer", "task", "scene", "events")
    return all(getattr(one, fact) == getattr(two, fact) for fact in facts) and np.array_equal(one.samples, two.samples)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 9), stage=st.integers(0, 3), index=st.integers(0, 10**9))
def test_a_sample_follows_from_seed_stage_and_index(seed: int, stage: int, index: int) -> None:
    for tasks in (None, QUIET):
        sample = World(seed, stage, "train", tasks, dry=True).sample(index)
        assert same(sample, World(seed, stage, "train", tasks, dry=True).sample(index))
        others = ((seed + 1, stage, index), (seed, stage + 1, index), (seed, stage, index + 1))
        assert all(World(a, b, "train", tasks, dry=True).sample(i).scene != sample.scene for a, b, i in others)
        assert sample.samples.dtype == np.float32 and sample.answer and sample.scene is not None


def test_sound_follows_from_them_too() -> None:
    for index in range(4):
        sample = World(1, 0, "train", QUIET).sample(index)
        assert same(sample, World(1, 0, "train", QUIET).sample(index))
        assert np.abs(sample.samples).max() > 0.01


def test_only_the_tasks_that_are_named_and_as_often_as_they_weigh() -> None:
    world = World(1, 0, "train", QUIET)
    drawn = [world.example(i).task for i in range(400)]
    assert set(drawn) == set(QUIET)
    assert 150 < drawn.count("count") < 250
    everything = {World(1, 0, "train", {}).example(i).task for i in range(300)}
    assert everything > set(QUIET) and "transcribe" in everything


def test_a_slice_of_a_task_may_be_named() -> None:
    world = World(1, 0, "train", {"transcribe:random_words": 1.0, "transcribe": 1.0}, dry=True)
    slices = [world.example(i).slices for i in range(40)]
    assert 8 < slices.count(("random_words",)) < 32


def test_a_dry_sample_is_silence_with_the_events_of_its_scene() -> None:
    dry = World(1, 0, "train", {"count": 1.0}, dry=True).sample(3)
    wet = World(1, 0, "train", {"count": 1.0}).sample(3)
    assert dry.events == wet.events and dry.scene == wet.scene and len(dry.samples) == len(wet.samples)
    spoken = World(1, 0, "train", {"transcribe": 1.0}, dry=True).sample(0)
    assert [event.label for event in spoken.events if event.kind == "speech"]
    assert not [event for event in spoken.events if event.kind == "phone"]


def test_tasks_that_cannot_be_drawn_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match="unknown task 'juggle', allowed are transcribe, "):
        World(1, 0, "train", {"juggle": 1.0})
    with pytest.raises(ConfigError, match=r"the task transcribe has no slice 'martian', it has .*random_words"):
        World(1, 0, "train", {"transcribe:martian": 1.0})
    with pytest.raises(ConfigError, match="the task sound has no slice 'martian', it has none"):
        World(1, 0, "train", {"sound:martian": 1.0})
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match=f"the task sound has the weight {weight:g}: leave it out"):
            World(1, 0, "train", {"sound": weight})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(7):
        soundfile.write(tmp_path / f"{i}.wav", np.full(2_000 + i, 0.1, np.float32), 8_000)
    return tmp_path


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def shorthand(n: int) -> list[dict[str, str]]:
    return [{"audio": f"{i}.wav", "text": f"text {i}"} for i in range(n)]


def test_each_epoch_is_a_new_permutation_of_the_manifest(folder: Path) -> None:
    path = manifest(folder, *shorthand(7))
    source, twin, other = Manifest(path, 1), Manifest(path, 1), Manifest(path, 2)
    epochs = [[source.sample(epoch * 7 + i).answer for i in range(7)] for epoch in range(4)]
    for epoch in epochs:
        assert sorted(epoch) == [f"text {i}" for i in range(7)]
    assert len(set(map(tuple, epochs))) == 4
    assert [twin.sample(i).answer for i in range(7)] == epochs[0]
    assert [other.sample(i).answer for i in range(7)] != epochs[0]


def test_a_sample_of_a_manifest_is_at_16_khz_with_its_question(folder: Path) -> None:
    audio = {"type": "audio", "path": "3.wav"}
    chat = {
        "messages": [{"role": "user", "content": [audio]}, {"role": "assistant", "content": "yes"}],
        "task": "chat",
    }
    voice_chat = Manifest(manifest(folder, chat), 1).sample(0)
    assert (voice_chat.question, voice_chat.answer, voice_chat.task) == ((None,), "yes", "chat")
    said = Manifest(manifest(folder, shorthand(1)[0]), 1).sample(5)
    assert (said.question, said.answer, said.task) == ((None, "what is said?"), "text 0", "transcribe")
    assert len(said.samples) == 4_000 and said.scene is None and said.events == ()


def turn(role: str, *content: object) -> dict[str, object]:
    return {"role": role, "content": list(content)}


AUDIO, WORDS = {"type": "audio", "path": "0.wav"}, {"type": "text", "text": "hm"}


@pytest.mark.parametrize(
    "line",
    [
        {"audio": "none.wav", "text": "a"},
        {"messages": [turn("user", AUDIO, WORDS)]},
        {"messages": [turn("user", AUDIO), turn("user", WORDS)]},
        {"messages": [turn("user", WORDS), turn("assistant", WORDS)]},
        {"messages": [turn("user", AUDIO, AUDIO), turn("assistant", WORDS)]},
        {"messages": [turn("user", AUDIO), turn("assistant", WORDS, WORDS)]},
        {"messages": [turn("system", WORDS), turn("user", AUDIO), turn("assistant", WORDS)]},
    ],
)
def test_an_item_that_is_not_one_clip_and_one_answer_says_so(folder: Path, line: dict[str, object]) -> None:
    wanted = "none.wav: there is no file" if "audio" in line else "training takes one user turn with one clip"
    with pytest.raises(DataError, match=f"own.jsonl, line 1: {wanted}"):
        Manifest(manifest(folder, line), 1).sample(0)


def test_an_empty_manifest_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"the manifest .*own\.jsonl holds no item"):
        Manifest(manifest(folder), 1)


def test_a_manifest_of_which_all_is_held_out_says_so(folder: Path) -> None:
    key = next(str(i) for i in range(99) if is_held_out(str(i), 0.1))
    path = manifest(folder, {"id": key, "audio": "0.wav", "text": "a"}, {"id": "0", "audio": "0.wav", "text": "a"})
    with pytest.raises(DataError, match=r"no item to train on: all 1 that can be used are held out \(holdout: 0\.1\)"):
        Manifest(path, 1, holdout=0.1, without={2})
    assert len(Manifest(path, 1, holdout=0.1).items) == 1


def test_held_out_items_are_never_sampled_and_never_change_sides(folder: Path) -> None:
    lines = [{"id": f"x{i}", "audio": "0.wav", "text": f"text {i}"} for i in range(60)]
    path = manifest(folder, *lines)
    train, held_out = divided(path, 0.25)
    assert len(train) + len(held_out) == 60 and 5 < len(held_out) < 25
    source = Manifest(path, 1, holdout=0.25)
    answers = {source.sample(i).answer for i in range(len(train))}
    assert answers == {item.turns[1].content[0] for item in train}
    fewer = divided(manifest(folder, *reversed(lines[:30])), 0.25)[1]
    assert {item.id for item in fewer} == {item.id for item in held_out if int(item.id[1:]) < 30}
    assert divided(path, 0.0)[1] == []


def test_clean_scenes_are_the_same_without_noise_and_rooms():
    tasks = {"transcribe": 1.0}
    world, clean = World(1, 0, "train", tasks), World(1, 0, "train", tasks, clean=True)
    scenes = [(world.example(i).scene, clean.sample(i).scene) for i in range(6)]
    assert any(as_drawn.noise is not None or as_drawn.room > 0 for as_drawn, _ in scenes)
    for as_drawn, cleaned in scenes:
        assert (cleaned.noise, cleaned.room, cleaned.tilt_db) == (None, 0.0, 0.0)
        assert cleaned.parts == as_drawn.parts


def test_the_world_is_asked_by_tags() -> None:
    plain, asked = (World(1, 0, "train", {"count": 1.0, "said": 1.0}, dry=True, tags=tags) for tags in (False, True))
    for i in range(6):
        one, other = plain.sample(i), asked.sample(i)
        assert isinstance(one.question, str) and isinstance(other.question, Tags)
        assert (one.answer, one.task) == (other.answer, other.task) and other.more == ()
        assert other.question.question == (one.question if one.task == "said" else None)
