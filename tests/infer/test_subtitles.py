"""Subtitles: what the two formats ask for, by a small parser of each; every text whole, every time in its order."""

import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossicle.infer.subtitles import LINE, cues, srt, vtt
from ossicle.infer.transcribe import Segment

TALK = (
    "The ossicles are three small bones. They carry sound from the eardrum to the inner ear, where it becomes a "
    "wave in a fluid; without them, most of it would be thrown back."
)


@dataclass
class Shown:
    """A cue as a parser reads it, times in milliseconds."""

    start: int
    end: int
    text: str


def clock(text, point):
    hours, minutes, seconds, ms = re.fullmatch(rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(point)}(\d\d\d)", text).groups()
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(ms)


def block(lines, point):
    start, end = lines[0].split(" --> ")
    assert 1 <= len(lines[1:]) <= 2
    return Shown(clock(start, point), clock(end, point), "\n".join(lines[1:]))


def read_srt(text):
    assert text == "" or (text.endswith("\n") and not text.endswith("\n\n"))
    found = [one.split("\n") for one in text.rstrip("\n").split("\n\n")] if text else []
    assert [one[0] for one in found] == [str(number) for number in range(1, len(found) + 1)]
    return [block(one[1:], ",") for one in found]


def read_vtt(text):
    head, *found = text.rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    shown = [block(one.split("\n"), ".") for one in found]
    for one in shown:
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", one.text)
        one.text = one.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return shown


texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=400) | st.lists(
    st.text("abcdefgh.,?&<>'-", min_size=1, max_size=60), max_size=60
).map(" ".join)
segments = st.lists(
    st.builds(Segment, st.floats(-5, 1e5), st.floats(-5, 1e5), texts)
    | st.builds(lambda at, long, text: Segment(at, at + long, text), st.floats(0, 9), st.floats(0, 9), texts),
    max_size=8,
)


@given(segments)
def test_both_formats_are_valid_and_keep_every_text_in_order_of_time(given_segments):
    found = cues(given_segments)
    for shown in (read_srt(srt(found)), read_vtt(vtt(found))):
        assert all(0 <= one.start < one.end for one in shown)
        assert all(before.end <= after.start for before, after in pairwise(shown))
        assert all(len(line) <= LINE for one in shown for line in one.text.split("\n"))
        said = "".join("".join(segment.text.split()) for segment in given_segments)
        assert "".join("".join(one.text.split()) for one in shown) == said


@given(segments)
def test_words_that_fit_a_line_are_never_cut(given_segments):
    words = [word for segment in given_segments for word in segment.text.split()]
    if all(len(word) <= LINE for word in words):
        assert [word for cue in cues(given_segments) for line in cue.lines for word in line.split(" ")] == words


@given(st.floats(0, 100), st.floats(1, 60), st.text("abc ", min_size=1, max_size=600))
def test_the_cues_of_a_segment_fill_its_seconds_by_their_characters(start_s, length_s, text):
    found = cues([Segment(start_s, start_s + length_s, text)])
    n = len("".join(text.split()))
    if n == 0:
        assert not found
        return
    assert found[0].start_ms == round(1000 * start_s) and abs(found[-1].end_ms - 1000 * (start_s + length_s)) <= 1
    assert all(before.end_ms == after.start_ms for before, after in pairwise(found))
    for cue in found:
        share = len("".join("".join(cue.lines).split())) / n
        assert cue.end_ms - cue.start_ms == pytest.approx(1000 * length_s * share, abs=1.5)


def test_a_segment_without_text_has_no_cue():
    assert cues([Segment(0, 1, ""), Segment(1, 2, " \n"), Segment(2, 3, "yes", "end")])[0].start_ms == 2000
    assert srt([]) == "" and vtt([]) == "WEBVTT\n"


def test_the_formats_by_example():
    found = cues([Segment(1.0, 2.5, "Tom & Jerry"), Segment(3723.004, 3724, "a <b>")])
    assert srt(found) == ("1\n00:00:01,000 --> 00:00:02,500\nTom & Jerry\n\n2\n01:02:03,004 --> 01:02:04,000\na <b>\n")
    assert vtt(found) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nTom &amp; Jerry\n\n01:02:03.004 --> 01:02:04.000\na &lt;b&gt;\n"
    )


def test_overlapping_segments_follow_each_other():
    found = cues([Segment(0, 3, "one"), Segment(2, 4, "two"), Segment(1, 2, "three")])
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(0, 3000), (3000, 4000), (4000, 4001)]


def test_a_long_text_is_cut_behind_sentences_and_clauses():
    found = [" / ".join(cue.lines) for cue in cues([Segment(0, 12, TALK)])]
    assert found == [
        "The ossicles are three small bones.",
        "They carry sound from the eardrum / to the inner ear, where it becomes",
        "a wave in a fluid; without them, / most of it would be thrown back.",
    ]
