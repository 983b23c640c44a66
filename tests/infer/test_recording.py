"""Recordings: what is kept of long audio, which passages fit a question, and answers from these alone."""

import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from models.tiny import noise, tiny_model

from ossicle.audio.clip import Clip
from ossicle.errors import ContextError, RequestError
from ossicle.infer.ask import ask, stream
from ossicle.infer.ledger import heard_only
from ossicle.infer.memory import Memory
from ossicle.infer.recording import Passage, Recording, find, listen
from ossicle.infer.transcribe import transcribe
from ossicle.prompt.chat import Message

MODEL = tiny_model()
TEXTS = (
    "the sky was grey in the morning",
    "move the interview to tuesday",
    "remind me about the interview at half past two",
    "switch the library light off",
    "translate cup into italian",
)


def recording(texts=TEXTS, seconds=1.0, model=MODEL) -> Recording:
    heard = MODEL.hear([noise(seconds, seed=i) for i in range(len(texts))])
    passages = [
        Passage(3.0 * i, 3.0 * i + seconds, text, one) for i, (text, one) in enumerate(zip(texts, heard, strict=True))
    ]
    ledgers = [heard_only(one) for one in heard]
    ledger = ledgers[0]
    for one in ledgers[1:]:
        ledger = type(ledger)(*(a + b for a, b in zip(ledger.as_dict().values(), one.as_dict().values(), strict=True)))
    return Recording(tuple(passages), ledger, model)


@pytest.mark.parametrize(
    ("about", "first"),
    [
        ("move the interview to", 1),
        ("remind me about the at half past two", 2),
        ("the light in the library", 3),
        ("what is cup in italian?", 4),
        ("LIBRARY", 3),
        ("the libary ligth", 3),  # misspelt, as a transcript may be
        ("grey sky", 0),
    ],
)
def test_the_passage_with_the_words_is_found_first(about, first):
    assert find(recording(), about, 1)[0].text == TEXTS[first]


def test_rare_words_weigh_more_than_common_ones_and_the_best_come_first():
    found = find(recording(), "the interview on tuesday", 3)
    assert [one.text for one in found[:2]] == [TEXTS[1], TEXTS[2]]


def test_a_recording_of_another_model_is_refused():
    other = tiny_model("llama", name="other")
    with pytest.raises(RequestError, match="was heard by another model than other: let this one listen"):
        ask(other, recording(), "interview", max_tokens=2)


def test_words_that_nobody_said_are_an_error():
    with pytest.raises(RequestError, match=r"none of the 5 passages has a word of 'xyzzyq'"):
        find(recording(), "xyzzyq", 1)
    with pytest.raises(RequestError, match=r"none of the 0 passages"):
        find(Recording((), recording().ledger, MODEL), "interview", 1)
    with pytest.raises(RequestError, match=r"none of the 2 passages"):
        find(recording(("?", "...")), "interview", 1)


def test_an_answer_reads_the_best_passages_in_the_order_of_time_and_the_ledger_says_what_was_not_read():
    rec = recording()
    answer = ask(MODEL, rec, "tuesday interview at half past", passages=2, max_tokens=5)
    assert answer.passages == ((3.0, 4.0), (6.0, 7.0)) and answer.note.startswith("read 2 of 5 passages")
    ledger = answer.ledger
    assert (ledger.seconds_given, ledger.seconds_heard) == (pytest.approx(5.0), pytest.approx(5.0))
    assert ledger.seconds_dropped == pytest.approx(3.0) and ledger.audio_tokens == 50 and ledger.frames == 250
    same = ask(MODEL, [noise(1.0, seed=1), noise(1.0, seed=2)], "tuesday interview at half past", max_tokens=5)
    assert answer.text == same.text


def test_about_says_where_to_look_and_the_question_what_to_ask():
    rec = recording()
    answer = ask(MODEL, rec, "Which place?", about="the light off", passages=1, max_tokens=5)
    assert answer.passages == ((9.0, 10.0),)
    assert answer.text == ask(MODEL, noise(1.0, seed=3), "Which place?", max_tokens=5).text
    pieces = list(stream(MODEL, rec, "Which place?", about="the light off", passages=1, max_tokens=5))
    assert "".join(one.text for one in pieces) == answer.text and pieces[-1].answer.passages == answer.passages


def test_passages_that_do_not_fit_together_are_left_out_worst_first_and_one_that_does_not_fit_is_an_error():
    rec = recording(seconds=1.9)  # 48 tokens each
    model = tiny_model(context=190)
    rec = replace(rec, model=model)
    answer = ask(model, rec, "interview", passages=5, max_tokens=20)
    assert answer.passages == ((3.0, 4.9), (6.0, 7.9)) and answer.ledger.audio_tokens == 96
    model = tiny_model(context=120)
    one = ask(model, replace(rec, model=model), "interview", passages=5, max_tokens=20)
    assert len(one.passages) == 1 and one.passages[0] in answer.passages
    with pytest.raises(ContextError, match="but tiny reads 60"):
        model = tiny_model(context=60)
        ask(model, replace(rec, model=model), "interview", max_tokens=20)


def test_a_recording_needs_words_to_look_for():
    with pytest.raises(RequestError, match="give a question or `about`"):
        ask(MODEL, recording(), max_tokens=2)
    history = (Message("user", ("Hello",)), Message("assistant", ("Hi",)))
    assert ask(MODEL, recording(), about="cup", history=history, max_tokens=2).passages == ((12.0, 13.0),)
    for wrong, match in (
        ({"passages": 0}, "passages is 0, allowed is 1 or more"),
        ({"passages": 2.5}, r"passages is 2\.5, wanted is a whole number"),
        ({"about": ""}, "about is '', wanted are words to look for"),
        ({"about": 5}, "about is 5, wanted are words to look for"),
        ({"long": "cut"}, "long is 'cut', allowed are refuse, lower, retrieve"),
    ):
        with pytest.raises(RequestError, match=match):
            ask(MODEL, recording(), "cup", **wrong)


def test_listening_keeps_each_passage_as_it_is_heard_alone(tmp_path):
    silence = Clip(np.zeros(24_000, np.float32), 16_000)
    parts = [noise(1.2, seed=1), silence, noise(0.9, seed=2), silence]
    clip = Clip(np.concatenate([one.samples for one in parts]), 16_000)
    path = tmp_path / "long.wav"
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    rec = listen(MODEL, path, max_tokens=4)
    written = transcribe(MODEL, path, max_tokens=4)
    said = [one for one in written.segments if one.text]
    assert [(one.start_s, one.end_s, one.text) for one in rec.passages] == [(s.start_s, s.end_s, s.text) for s in said]
    assert [one.finish for one in written.segments].count("quiet") == 2
    assert rec.ledger.seconds_given == rec.ledger.seconds_heard == pytest.approx(clip.duration_s)
    assert rec.ledger.seconds_dropped == pytest.approx(
        sum(s.end_s - s.start_s for s in written.segments if s.finish == "quiet")
    )
    for one in rec.passages:
        alone = Clip(clip.samples[round(one.start_s * 16_000) : round(one.end_s * 16_000)], 16_000)
        torch.testing.assert_close(one.heard.values, MODEL.hear([alone])[0].values, rtol=0, atol=1e-4)


def test_a_long_source_is_retrieved_from_and_a_short_one_is_read_whole():
    silence = np.zeros(16_000, np.float32)
    clip = Clip(np.concatenate([part for i in range(12) for part in (noise(1.5, seed=i).samples, silence)]), 16_000)
    words = next(one.text for one in listen(MODEL, clip, max_tokens=8).passages if re.search(r"\w", one.text))
    answer = ask(MODEL, clip, "?", long="retrieve", about=words, passages=1, max_tokens=8)
    assert len(answer.passages) == 1 and answer.ledger.seconds_heard == pytest.approx(clip.duration_s)
    assert answer.ledger.seconds_dropped == pytest.approx(
        clip.duration_s - (answer.passages[0][1] - answer.passages[0][0])
    )
    short = ask(MODEL, noise(1.0), "?", long="retrieve", max_tokens=4)
    assert short.text == ask(MODEL, noise(1.0), "?", max_tokens=4).text
    assert short.passages == () and short.note == "" and short.ledger.seconds_dropped == 0


def test_clips_of_the_history_are_heard_beside_the_passages_and_are_not_among_what_was_not_read():
    rec = recording()
    history = (Message("user", (noise(1.5, seed=7), "Hello")), Message("assistant", ("Hi",)))
    answer = ask(MODEL, rec, "switch the library light off", passages=1, history=history, max_tokens=3)
    ledger = answer.ledger
    assert (ledger.seconds_given, ledger.seconds_heard) == (pytest.approx(6.5), pytest.approx(6.5))
    assert ledger.seconds_dropped == pytest.approx(4.0) and ledger.frames == 325
    assert ledger.audio_tokens == 25 + 38
    memory = Memory(MODEL)
    again = ask(MODEL, rec, "switch the library light off", passages=1, history=history, max_tokens=3, memory=memory)
    assert again.text == answer.text and again.ledger.seconds_dropped == ledger.seconds_dropped
    assert memory.n_clips == 1


def test_passages_leave_room_for_the_clips_of_the_history():
    history = (Message("user", (noise(1.9, seed=7),)), Message("assistant", ("Hi",)))
    model = tiny_model(context=150)
    answer = ask(model, recording(model=model), "interview", passages=5, history=history, max_tokens=20)
    assert len(answer.passages) == 1


def test_a_long_source_without_words_to_look_for_is_refused_before_it_is_listened_to():
    model = tiny_model()
    model.hear = None  # would be called
    with pytest.raises(RequestError, match="give a question or `about`"):
        ask(model, noise(30.0), long="retrieve", max_tokens=2)


@pytest.mark.parametrize("long", ["refuse", "lower"])
def test_words_to_look_for_are_no_use_where_nothing_is_looked_for(long):
    with pytest.raises(RequestError, match=f"about is for long='retrieve' and for recordings, got long='{long}'"):
        ask(MODEL, noise(1.0), "What?", long=long, about="the light")
