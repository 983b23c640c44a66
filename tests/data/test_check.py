"""A manifest gone through: every fault with its line, and lengths as training counts them."""

import json
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import soundfile
from models.tiny import tiny_model

from ossicle.data.check import Fault, Longest, Reader, check
from ossicle.errors import DataError
from ossicle.models.audio_lm import AudioLM
from ossicle.train.answers import Answer
from ossicle.train.sources import Manifest
from ossicle.train.stage import reader_of


@pytest.fixture(scope="module")
def model() -> AudioLM:
    return tiny_model()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds, rate in (("a", 0.5, 16_000), ("b", 0.7, 44_100), ("long", 1.9, 16_000), ("short", 0.05, 16_000)):
        samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
    soundfile.write(tmp_path / "nan.wav", np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    (tmp_path / "noise.wav").write_bytes(b"no sound at all" * 20)
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


def said(audio: str = "a.wav", text: str = "words", **more: Any) -> dict[str, Any]:
    return {"audio": audio, "text": text, **more}


def turns(*messages: tuple[str, list[object]]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


AUDIO, WORDS, BLANK = {"type": "audio", "path": "a.wav"}, {"type": "text", "text": "hm"}, {"type": "text", "text": " "}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON"),
        (said("none.wav"), "none.wav: there is no file"),
        (said("noise.wav"), "noise.wav: the bytes cannot be read as audio"),
        (said("empty.wav"), "empty.wav: there are no bytes"),
        (said("short.wav"), "short.wav: the audio is 50.0 ms long"),
        (said(start_s=0.4, end_s=0.6), "a.wav: the part from 0.4 s to 0.6 s is empty or outside the clip of 0.5 s"),
        (said(text=""), "the answer is empty"),
        (said(text=" \n"), "the answer is empty"),
        (said(text="so <|im_end|> it is"), r"a text spells the model's control tokens <\|im_end\|>: take them out"),
        (said(text="hm" * 300), "audio, question and answer are 6.. tokens, the model reads 400"),
        (said("long.wav"), r"1.9 s are longer than 1.8 s \(data.max_clip_s\)"),
        (turns(("user", [AUDIO, WORDS])), r"one user turn with one clip, .* \(got 1 clip in turns of user\)"),
        (turns(("user", [AUDIO, AUDIO]), ("assistant", [WORDS])), r"\(got 2 clips in turns of user, assistant\)"),
        (turns(("user", [WORDS]), ("assistant", [WORDS])), r"\(got 0 clips in turns of user, assistant\)"),
        (turns(("user", [AUDIO]), ("assistant", [WORDS, WORDS])), "and one answer as one text"),
        (turns(("system", [WORDS]), ("user", [AUDIO]), ("assistant", [WORDS])), "in turns of system, user, assistant"),
    ],
)
def test_each_fault_is_told_with_its_line(folder: Path, model: AudioLM, line: object, reason: str) -> None:
    checked = check(manifest(folder, said(), "", line, said(id="z")), reader=reader_of(model, Longest(1.8)))
    assert (checked.n_items, checked.bad, set(checked.lengths)) == (3, {3}, {1, 4})
    (fault,) = checked.faults
    assert (fault.file, fault.line) == (str(folder / "own.jsonl"), 3)
    told = f"1 of 3 items of the manifest cannot be used .at most 1% may be so., such as own.jsonl, line 3: .*{reason}"
    with pytest.raises(DataError, match=told) as caught:
        checked.refuse()
    assert caught.value.code == "too_many_bad_items"


def test_a_manifest_is_told_whole(folder: Path, model: AudioLM) -> None:
    checked = check(
        manifest(
            folder,
            said("none.wav", ""),
            turns(("user", [{**AUDIO, "path": "x.wav"}, {**AUDIO, "path": "y.wav"}]), ("assistant", [BLANK])),
            said(id="same"),
            said(id="same"),
        ),
        reader=reader_of(model, Longest(1.8)),
    )
    assert [(fault.line, str(fault).split(": ")[1]) for fault in checked.faults] == [
        (1, "none.wav"),
        (1, "the answer is empty"),
        (2, "x.wav"),
        (2, "y.wav"),
        (
            2,
            "training takes one user turn with one clip, and one answer as one text (got 2 clips in turns of user, "
            "assistant)",
        ),
        (2, "the answer is empty"),
        (4, "the id 'same' stands in an earlier line"),
    ]


def test_lengths_are_those_that_training_counts(folder: Path, model: AudioLM) -> None:
    path = manifest(
        folder,
        said(),
        said("b.wav", "other words", start_s=0.2),
        said("b.wav", start_s=0.11, end_s=0.63),
        turns(("user", [WORDS, AUDIO, WORDS]), ("assistant", [WORDS])),
        turns(("user", [AUDIO]), ("assistant", [WORDS])),
    )
    checked, source, objective = check(path, reader=reader_of(model, Longest(9.0))), Manifest(path, 1), Answer(model)
    assert checked.faults == () and checked.refuse() is None
    for index in range(5):
        sample = source.sample(index)
        item = objective.item(sample, np.random.default_rng(0))
        length = checked.lengths[int(sample.where.split()[-1])]
        assert length.seconds == len(sample.samples) / 16_000 == item.seconds
        assert length.audio_tokens == item.prompt.slots[0].length
        assert length.audio_tokens + length.text_tokens == len(item.prompt.ids)
        assert length.learned_tokens == item.answers[0][1]


def test_what_lies_behind_the_header_shows_only_when_it_is_decoded(folder: Path) -> None:
    path = manifest(folder, said("nan.wav"), said())
    assert check(path).faults == () and check(path).lengths[1].seconds == 0.5
    (fault,) = check(path, deep=True).faults
    assert (fault.line, fault.reason) == (1, "nan.wav: a sample is not a finite number")


def test_what_shows_only_when_it_is_read_joins_what_is_known(folder: Path) -> None:
    path = manifest(folder, said("nan.wav"), said("none.wav"), said())
    known = check(path)
    joined = known.joined(["own.jsonl, line 1: nan.wav: no number"] * 2 + [str(known.faults[0])])
    assert [(fault.file, fault.line) for fault in joined.faults] == [(str(path), 1), (str(path), 2)]
    assert (joined.n_items, joined.bad, set(joined.lengths)) == (3, {1, 2}, {3}) and known.bad == {2}


@pytest.mark.parametrize("name", ["a.wav", "b.wav"])
def test_a_file_that_is_cut_shows_without_being_decoded(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    for part in ({}, {"end_s": 0.1}):
        (fault,) = check(manifest(folder, said(name, **part), said("long.wav"))).faults
        assert fault.line == 1 and re.match(
            rf"{name}: the audio stops early \(\d+ bytes, 0\.\d+ s declared", fault.reason
        )


def test_one_in_a_hundred_may_be_bad(folder: Path) -> None:
    lines = [said(id=f"x{i}") for i in range(200)]
    check(manifest(folder, *lines[2:], said("none.wav"), said("none.wav"))).refuse()
    with pytest.raises(DataError, match="3 of 200 items of the manifest cannot be used"):
        check(manifest(folder, *lines[3:], *[said("none.wav")] * 3)).refuse()


def test_a_manifest_without_an_item_or_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"the manifest .*own\.jsonl holds no item"):
        check(manifest(folder)).refuse()
    with pytest.raises(DataError, match=r"there is no manifest .*none\.jsonl"):
        check(folder / "none.jsonl")


def test_what_a_template_refuses_is_a_fault(folder: Path) -> None:
    class Refuses:
        """A tokenizer whose template takes no user."""

        chat_template = "{{ raise_exception('no users here') }}"
        added_tokens_decoder = MappingProxyType({})

        def apply_chat_template(self, *_: Any, **__: Any) -> str:
            raise ValueError("no users here")

    reader = Reader(Refuses(), 0, 400, lambda n: n // 640)
    (fault,) = check(manifest(folder, said()), reader=reader).faults
    assert fault.reason == "the LLM's chat template refuses these messages: no users here"


def test_a_fault_is_read_out_of_a_message() -> None:
    assert Fault.of("own.jsonl, line 12: a.wav, line 3: x") == Fault("own.jsonl", 12, "a.wav, line 3: x")
    assert Fault.of("own.jsonl, line 12: x", Path("data/own.jsonl")) == Fault("data/own.jsonl", 12, "x")
    assert str(Fault("data/own.jsonl", 12, "x")) == "own.jsonl, line 12: x"
    world = Fault.of("transcribe: 20.0 s are longer than 16 s")
    assert world == Fault("", 0, "transcribe: 20.0 s are longer than 16 s") and str(world) == world.reason
    assert Fault("a", 1, "b").as_dict() == {"file": "a", "line": 1, "reason": "b"}
