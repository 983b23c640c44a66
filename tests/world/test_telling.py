"""Tellings: marks lie over their events, letters come in their order, slots are 40 ms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.world.parts import Event, Music, Pause, Scene, Sound, Speech, Voice
from ossicle.world.scenes import render
from ossicle.world.telling import HEIGHTS, LETTERS, MARKS, TELL_HZ, height, marks, pitch_known, sketch, tell

LOW = Voice("espeak", "en-us", "m3", rate_wpm=100, pitch=10, warp=1.0)
HIGH = Voice("espeak", "en-us", "f3", rate_wpm=280, pitch=70, warp=1.0)
PLAIN = Voice("espeak", "en-us", "klatt", rate_wpm=160, pitch=50, warp=1.0)
MELODY = Music("flute", (48, 60, 90), (1.0, 1.0, 1.0), 120.0, "major", 1)
SCENE = Scene((Pause(0.2), Speech("a dog barks", LOW), Sound("rain", 1, 0.5), Speech("two", HIGH), MELODY))
TEXT = st.text(LETTERS, min_size=1, max_size=40).filter(lambda text: text.strip() == text)


def spoken(text: str, voice: Voice = PLAIN, *, start_s: float = 0.5, letter_s: float = 0.1) -> tuple[Scene, Event]:
    """A scene of one speech that takes ``letter_s`` a letter, and its event."""
    scene = Scene((Pause(start_s), Speech(text, voice)))
    return scene, Event(start_s, start_s + letter_s * len(text), "speech", text)


def test_every_event_has_its_marks_for_as_long_as_it_lasts() -> None:
    events = render(SCENE, speak=sketch).events
    found = [(mark.word, mark.start_s, mark.end_s) for mark in marks(SCENE, events)]
    first, second = (event for event in events if event.kind == "speech")
    assert [m for m in found if m[1:] == (first.start_s, first.end_s)] == [
        (word, first.start_s, first.end_s) for word in ("speech", "low", "slow")
    ]
    assert [m[0] for m in found if m[1:] == (second.start_s, second.end_s)] == ["speech", "high", "fast"]
    (rain,) = (event for event in events if event.kind == "sound")
    assert ("rain", rain.start_s, rain.end_s) in found
    notes = [event for event in events if event.kind == "note"]
    assert len(notes) == 3
    for note, digit in zip(notes, "049", strict=True):
        assert (digit, note.start_s, note.end_s) in found
    onsets = [event.start_s for event in events if event.kind in ("sound", "music", "note")]
    assert sorted(start for word, start, _ in found if word == "onset") == sorted(onsets)
    assert all(0 < end - start <= 0.06 + 1e-9 for word, start, end in found if word == "onset")
    assert {word for word, _, _ in found} <= set(MARKS)


def test_a_background_voice_is_marked_as_itself() -> None:
    scene = Scene((Pause(0.3), Speech("two", HIGH)), background=Speech("a dog barks again", LOW))
    events = render(scene, speak=sketch).events
    by_text = {event.label: event for event in events if event.kind == "speech"}
    words = {
        text: {mark.word for mark in marks(scene, events) if mark.start_s == event.start_s}
        for text, event in by_text.items()
    }
    assert words == {"two": {"speech", "high", "fast"}, "a dog barks again": {"speech", "low", "slow"}}


def test_heights_are_digits_by_three_half_tones() -> None:
    assert [height(midi) for midi in (0, 48, 50, 51, 60, 77, 127)] == ["0", "0", "0", "1", "4", "9", "9"]
    assert {height(midi) for midi in range(128)} == set(HEIGHTS)


def test_pitch_is_known_only_where_each_voice_has_a_name_for_it() -> None:
    assert pitch_known(SCENE)
    assert pitch_known(Scene((Pause(1.0),)))
    assert not pitch_known(Scene((Speech("two", LOW), Speech("two", PLAIN))))
    assert not pitch_known(Scene((Speech("two", LOW),), background=Speech("two", PLAIN)))


@settings(deadline=None, max_examples=100)
@given(duration_s=st.floats(0.001, 20.0), slips=st.sampled_from([0.0, 0.15, 1.0]), seed=st.integers(0, 99))
def test_a_slot_lasts_40_ms(duration_s: float, slips: float, seed: int) -> None:
    scene, event = spoken("two dogs")
    told = tell(scene, (event,), duration_s, np.random.default_rng(seed), slips=slips)
    assert len(told) == max(1, int(np.ceil(duration_s * TELL_HZ)))
    assert {word for bag in told for word in bag} <= {*MARKS, *LETTERS}


@settings(deadline=None, max_examples=200)
@given(text=TEXT, seed=st.integers(0, 999))
def test_without_slips_the_letters_come_in_their_order(text: str, seed: int) -> None:
    scene, event = spoken(text)
    told = tell(scene, (event,), event.end_s + 1.0, np.random.default_rng(seed), slips=0.0)
    letters = [word for bag in told for word in bag if len(word) == 1]
    wanted = iter(letters)
    assert all(letter in wanted for letter in text)  # a subsequence: what is over are letters held for another slot
    assert set(letters) == set(text)
    slots = [place for place, bag in enumerate(told) if any(len(word) == 1 for word in bag)]
    assert min(slots) >= int(event.start_s * TELL_HZ) and max(slots) <= event.end_s * TELL_HZ + 4


def test_slips_leave_letters_out_and_change_some() -> None:
    text = "abcdefgh " * 40
    scene, event = spoken(text.strip())
    tellings = {}
    for slips in (0.0, 0.3):
        told = tell(scene, (event,), event.end_s + 1.0, np.random.default_rng(1), slips=slips)
        tellings[slips] = [word for bag in told for word in bag if len(word) == 1]
    assert not set(tellings[0.0]) & set("xyz") and set(tellings[0.3]) & set("xyz")
    assert len(tellings[0.3]) < len(tellings[0.0])


def test_most_slips_sound_alike() -> None:
    scene, event = spoken("b" * 400)
    told = tell(scene, (event,), event.end_s + 1.0, np.random.default_rng(1), slips=0.5)
    wrong = [word for bag in told for word in bag if len(word) == 1 and word != "b"]
    assert len(wrong) > 80 and 0.65 < wrong.count("p") / len(wrong) < 0.95


def test_marks_are_told_in_most_slots_of_their_events_and_in_no_other() -> None:
    scene = Scene((Pause(1.0), Sound("rain", 1, 4.0), Pause(1.0)))
    told = tell(scene, render(scene).events, 6.0, np.random.default_rng(0), slips=0.0)
    slots = [place for place, bag in enumerate(told) if "rain" in bag]
    assert min(slots) >= TELL_HZ and max(slots) < 5 * TELL_HZ + 1
    assert 70 <= len(slots) < 4 * TELL_HZ  # about 85 of 100: a bridge will not mark every one
    assert not any(told[: TELL_HZ - 1])


@pytest.mark.parametrize("wpm", [100, 150, 300])
def test_a_sketch_is_as_long_as_speech_would_be(wpm: int) -> None:
    voice = Voice("espeak", "en-us", "", rate_wpm=wpm, pitch=50, warp=1.0)
    made = sketch("the quick dog barks at the old garden gate", voice)
    words_s = 9 * 60 / wpm
    assert 0.6 * words_s < len(made.samples) / SAMPLE_RATE < 1.6 * words_s
    assert made.phones == () and made.samples.dtype == np.float32
