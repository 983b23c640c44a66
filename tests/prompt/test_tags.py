"""Hierarchical tags: the released ids and prompts, the order of slots, times."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossicle.errors import RequestError
from ossicle.prompt.tags import (
    INSTRUCTIONS,
    LANGUAGES,
    OWN_INSTRUCTIONS,
    SOURCES,
    STARTS,
    TASKS,
    TIMESTAMPS,
    Tags,
    Timed,
    parse,
    parse_words,
    pieces,
    render,
    render_words,
    time_tag,
    vocabulary,
)

RELEASED = {
    "<|endoftext|>": 151_643, "<|im_end|>": 151_645, "<|extra_204|>": 151_850, "[[[AUDIO:modality]]]": 151_851,
    "<|startoftranscript|>": 151_852, "<|keyword|>": 151_857, "<|unknown|>": 151_858, "<|zh_tr|>": 151_867,
    "<|sil|>": 151_869, "<|0.00|>": 151_871, "<|30.00|>": 154_871, "<|caption_audiocaps|>": 154_872,
    "<|wo_itn|>": 154_877, "<|startofentityvalue|>": 154_878, "<|named_entity_recognition|>": 154_882,
    "<|audio_grounding|>": 154_883, "<|emotion_recognition|>": 154_887, "<|pitch|>": 154_890,
    "<|midi_pitch_127|>": 155_018, "<|velocity|>": 155_019, "<|sonic|>": 155_148, "<|question|>": 155_152,
    "<|scene|>": 155_155, "<|entities|>": 155_161, "<|speech_edit|>": 155_162, "<audio>": 155_163, "</audio>": 155_164,
}  # fmt: skip
PROMPTS = {
    "<|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|><|wo_itn|>": Tags(
        "startoftranscript", "en", "transcribe", "en", "notimestamps", "wo_itn"
    ),
    "<|startoftranscript|><|de|><|translate|><|en|><|notimestamps|><|itn|>": Tags(
        "startoftranscript", "de", "translate", "en", "notimestamps", "itn"
    ),
    "<|startofanalysis|><|unknown|><|caption|><|en|><|notimestamps|><|caption_clotho|>": Tags(
        "startofanalysis", "unknown", "caption", "en", "notimestamps", "caption_clotho"
    ),
    "<|startofanalysis|><|unknown|><|keyword|><|en|><|notimestamps|><|scene|>": Tags(
        "startofanalysis", "unknown", "keyword", "en", "notimestamps", "scene"
    ),
    "<|startofanalysis|><|en|><|question|>who speaks?<|answer|>": Tags("startofanalysis", "en", question="who speaks?"),
}


def test_the_released_vocabulary() -> None:
    ids = vocabulary()
    assert len(ids) == 155_165 - 151_643 and list(ids.values()) == list(range(151_643, 155_165))
    assert {token: ids[token] for token in RELEASED} == RELEASED
    assert not any(source in token for token in ids for source in SOURCES)  # ours, and marked so
    assert not any(own in token for token in ids for own in OWN_INSTRUCTIONS)
    assert all(own.startswith("own_") for own in OWN_INSTRUCTIONS)


def test_pieces_tell_tags_from_text() -> None:
    asked = Tags("startofanalysis", "en", question="who?", source="source_speech")
    assert pieces(asked) == [
        (True, "<|startofanalysis|>"),
        (True, "<|en|>"),
        (True, "<|source_speech|>"),
        (True, "<|question|>"),
        (False, "who?"),
        (True, "<|answer|>"),
    ]
    own = Tags("startofanalysis", "unknown", "keyword", "en", "notimestamps", "own_count")
    assert all(special for special, _ in pieces(own)) and parse(render(own)) == (own, "")


@pytest.mark.parametrize("text", PROMPTS)
def test_the_released_prompts(text: str) -> None:
    assert render(PROMPTS[text]) == text
    assert parse(text + "and the rest") == (PROMPTS[text], "and the rest")


def test_times_may_follow_the_request() -> None:
    text = "<|startoftranscript|><|en|><|transcribe|><|en|><|timestamps|>"
    tags, rest = parse(text + "<|0.00|>so<|0.25|>")
    assert render(tags) == text and parse_words(rest) == [Timed("so", 0.0, 0.25)]


@given(
    start=st.sampled_from(STARTS),
    languages=st.tuples(st.sampled_from(LANGUAGES), st.sampled_from(LANGUAGES)),
    task=st.sampled_from(TASKS),
    timestamps=st.sampled_from(TIMESTAMPS),
    instruction=st.sampled_from([None, *INSTRUCTIONS]),
    source=st.sampled_from([None, *SOURCES]),
)
def test_what_is_rendered_is_parsed(languages: tuple[str, str], **slots: Any) -> None:
    tags = Tags(audio_language=languages[0], text_language=languages[1], **slots)
    assert parse(render(tags)) == (tags, "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<|startoftranscription|><|en|>", r"<\|startoftranscription\|> is not a tag that a request can begin with"),
        ("<|startoftranscript|><|transcribe|><|en|><|itn|>", "no audio_language"),
        ("<|startofanalysis|><|en|><|caption|><|en|><|notimestamps|><|keyword|>", "comes too late: the slot task"),
        ("<|startofanalysis|><|en|><|caption|><|en|>", "names task, text_language and timestamps"),
        ("<|startofanalysis|><|en|><|question|>who", "not closed"),
        ("who?", "no start and no audio_language"),
        ("<|question|>who<|answer|>", "no start and no audio_language"),
        (
            "<|startofanalysis|><|en|><|keywrd|><|en|><|notimestamps|>",
            r"<\|keywrd\|> is not a tag that a request knows, and its task is still to come",
        ),
        ("<|startofanalysis|><|0.00|>", r"<\|0\.00\|> is not a tag .* its audio_language is still to come"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(RequestError, match=fault):
        parse(text)


def test_a_slot_refuses_what_it_does_not_know() -> None:
    with pytest.raises(RequestError, match="the slot task has no tag 'sing', it knows translate"):
        Tags("startofanalysis", "en", "sing", "en", "notimestamps")
    with pytest.raises(RequestError, match="the question holds a tag"):
        Tags("startofanalysis", "en", question="who<|answer|>me")
    with pytest.raises(RequestError, match="the question is text, got 3"):
        Tags("startofanalysis", "en", question=3)
    with pytest.raises(RequestError, match="takes the place of"):
        Tags("startofanalysis", "en", "caption", "en", "notimestamps", question="who?")


def test_words_with_times() -> None:
    words = [Timed("so", 0.0, 0.25), Timed("it", 0.25, 0.4), Timed("is", 1.0, 1.1)]
    text = "<|0.00|>so<|0.25|>it<|0.40|><|sil|><|1.00|>is<|1.10|>"
    assert render_words(words) == text and parse_words(text) == words
    assert render_words([]) == "" and parse_words("") == []
    assert time_tag(29.999) == "<|30.00|>"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([Timed("so", 0.5, 0.2)], "before it starts"),
        ([Timed("so", 0.0, 0.5), Timed("it", 0.4, 0.6)], "'it' starts before 'so' ends"),
        ([Timed("so", 29.0, 30.1)], r"from 0\.00 to 30\.00 s \(got 30\.1\)"),
        ([Timed("so", 0.0, float("nan"))], r"from 0\.00 to 30\.00 s \(got nan\)"),
        ([Timed("so", 0.0, 1.0), Timed("it", float("nan"), 2.0)], r"\(got nan\)"),
        ([Timed("so", 0.0, float("inf"))], r"\(got inf\)"),
        ([Timed("a<|1.00|>b", 0, 1)], "no word"),
    ],
)
def test_times_that_cannot_be_written(words: list[Timed], fault: str) -> None:
    with pytest.raises(RequestError, match=fault):
        render_words(words)


@pytest.mark.parametrize(
    "text", ["so", "<|0.00|>so", "<|0.50|>so<|0.20|>", "<|0.00|><|en|><|0.20|>", "<|0.00|>a<|31.00|>"]
)
def test_what_is_no_run_of_timed_words(text: str) -> None:
    with pytest.raises(RequestError):
        parse_words(text)
