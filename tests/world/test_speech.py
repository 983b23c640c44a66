"""Speech: phones where the audio is, voices that are what they are called, splits that share none."""

import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import ConfigError, DependencyError
from ossicle.world.grammar import VOCABULARY
from ossicle.world.parts import Voice
from ossicle.world.speech import (
    ACCENTS,
    ACCENTS_OF,
    FESTIVAL_VOICES,
    FLITE_VOICES,
    PACE_WPM,
    PHONES,
    PITCH_SETTINGS,
    PITCHED,
    UNSEEN_ACCENT,
    USUAL_WPM,
    VARIANTS,
    _Espeak,
    engines,
    pace_of,
    pitch_of,
    sample_voice,
    speak,
    speak_afresh,
)

PLAIN = Voice("espeak", "en-us", "", rate_wpm=160, pitch=50, warp=1.0)
SENTENCE = "the small dog sleeps under a green table"
SPLITS = ("train", "validation", "test")


def needs(program: str, engine: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{engine} is not installed ({program})")


def hertz(samples: np.ndarray) -> float:
    """The median pitch of the loud moments, by the highest peak of each autocorrelation from 50 to 450 Hz."""
    found = []
    size = SAMPLE_RATE // 25
    frames = [samples[i : i + size] for i in range(0, len(samples) - size, size // 2)]
    loud = np.median([np.square(frame).mean() for frame in frames])
    for frame in frames:
        if np.square(frame).mean() >= loud:
            frame = frame - frame.mean()
            spectrum = np.fft.rfft(frame, 2 * size)
            lags = np.fft.irfft(np.square(np.abs(spectrum)))[:size] / np.arange(size, 0, -1)
            first, last = SAMPLE_RATE // 450, SAMPLE_RATE // 50
            peak = lags[first:last].max()
            # the first lag that is nearly as high: later ones are its multiples
            found.append(SAMPLE_RATE / (first + int(np.argmax(lags[first:last] > 0.85 * peak))))
    return float(np.median(found))


@pytest.mark.parametrize("accent", [*ACCENTS, UNSEEN_ACCENT])
def test_phones_lie_inside_the_audio_in_order_and_are_known(accent: str) -> None:
    words = np.random.default_rng(len(accent)).permutation(VOCABULARY)[:120]
    for start in range(0, len(words), 12):
        text = " ".join(words[start : start + 12])
        made = speak(text, replace(PLAIN, accent=accent))
        assert made.samples.dtype == np.float32 and 0.1 < np.abs(made.samples).max() < 1.05
        assert {label for label, _, _ in made.phones} <= set(PHONES), text
        assert len(made.phones) > 2 * 12
        times = [time for _, start_s, end_s in made.phones for time in (start_s, end_s)]
        assert times == sorted(times)
        assert times[0] >= 0 and times[-1] <= len(made.samples) / SAMPLE_RATE
        assert all(start_s < end_s for _, start_s, end_s in made.phones)


def test_phones_are_where_they_sound() -> None:
    """The two hisses of "six" are where their phones are said to be, and the vowel between them has none."""
    made = speak("six", PLAIN)
    assert [label for label, _, _ in made.phones] == ["s", "I", "k", "s"]

    def hiss(start_s: float, end_s: float) -> float:
        """Share of the power above 3 kHz in the middle half of a phone."""
        quarter_s = (end_s - start_s) / 4
        samples = made.samples[int((start_s + quarter_s) * SAMPLE_RATE) : int((end_s - quarter_s) * SAMPLE_RATE)]
        power = np.square(np.abs(np.fft.rfft(samples)))
        return float(power[len(power) * 3 // 8 :].sum() / power.sum())

    first, vowel, _, last = (hiss(start_s, end_s) for _, start_s, end_s in made.phones)
    assert min(first, last) > 0.5 > 0.1 > vowel


def test_words_begin_between_the_last_phone_of_one_and_the_first_of_the_next() -> None:
    for warp in (1.0, 1.15):
        spoken = speak("red green blue", Voice("espeak", "en-us", "m3", rate_wpm=130, pitch=50, warp=warp))
        assert [place for place, _ in spoken.words] == [0, 4, 10]
        before = [[label for label, phone_s, _ in spoken.phones if phone_s < start_s] for _, start_s in spoken.words]
        assert [len(one) for one in before] == [0, 3, 7] and before[-1] == ["r", "E", "d", "g", "r", "i", "n"]


@pytest.mark.skipif("flite" not in engines(), reason="flite is not installed")
def test_an_engine_that_tells_no_phones_tells_no_words() -> None:
    assert speak("red", Voice("flite", "en-us", "kal16", rate_wpm=130, pitch=50, warp=1.0)).words == ()


def test_splits_share_no_variant() -> None:
    everyone = [variant for variants in VARIANTS.values() for variant in variants]
    assert len(set(everyone)) == len(everyone)
    for split in SPLITS:
        low, high = PITCHED[split]
        assert set(low) | set(high) <= set(VARIANTS[split]) and not set(low) & set(high)
    assert UNSEEN_ACCENT not in ACCENTS


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 9999),
    split=st.sampled_from(SPLITS),
    pitch=st.sampled_from([None, *PITCH_SETTINGS]),
    pace=st.sampled_from([None, *PACE_WPM]),
)
def test_a_voice_is_what_was_asked_for(seed: int, split: str, pitch: str | None, pace: str | None) -> None:
    voice = sample_voice(np.random.default_rng(seed), split, pitch=pitch, pace=pace)
    assert voice == sample_voice(np.random.default_rng(seed), split, pitch=pitch, pace=pace)
    assert pace_of(voice) == pace
    if pitch is not None:
        assert pitch_of(voice) == pitch
    if voice.engine == "espeak":
        assert voice.variant in VARIANTS[split] and voice.accent.partition(":")[0] in ACCENTS
    else:
        assert (voice.engine, split, pitch, pace) == ("flite", "train", None, None)
    if pace is None:
        assert USUAL_WPM[0] <= voice.rate_wpm < USUAL_WPM[1]


def test_slices_of_the_test_split() -> None:
    rng = np.random.default_rng(0)
    unseen = sample_voice(rng, "test", slice="unseen_accent")
    assert (unseen.engine, unseen.accent) == ("espeak", UNSEEN_ACCENT) and unseen.variant in VARIANTS["test"]
    assert sample_voice(rng, "test", slice="seen_accents").accent in ACCENTS
    festival = sample_voice(rng, "test", slice="festival")
    assert festival.engine == "festival" and festival.variant in FESTIVAL_VOICES


@pytest.mark.parametrize("language", ["fr", "de"])
@pytest.mark.parametrize("split", SPLITS)
def test_other_languages_have_the_same_speakers_and_accents_of_their_own(language, split):
    voices = [sample_voice(np.random.default_rng(seed), split, language=language) for seed in range(60)]
    assert {voice.engine for voice in voices} == {"espeak"}
    assert {voice.accent for voice in voices} == set(ACCENTS_OF[language])
    assert {voice.variant for voice in voices} <= set(VARIANTS[split])
    assert len({voice.rate_wpm for voice in voices}) > 20


def test_english_voices_are_drawn_as_they_were_before_there_were_languages():
    drawn = (
        sample_voice(np.random.default_rng(7), "test"),
        sample_voice(np.random.default_rng(7), "test", language="en"),
    )
    assert drawn[0] == drawn[1] and drawn[0].accent in ACCENTS


def test_warped_and_foreign_voices_have_no_name_for_their_pitch() -> None:
    low = Voice("espeak", "en-us", "m3", rate_wpm=160, pitch=10, warp=1.0)
    assert pitch_of(low) == "low"
    assert pitch_of(replace(low, variant="f3", pitch=60)) == "high"
    for other in ({"warp": 1.1}, {"engine": "flite"}, {"variant": "klatt"}, {"pitch": 45}, {"variant": "f3"}):
        assert pitch_of(replace(low, **other)) is None
    assert [pace_of(replace(low, rate_wpm=wpm)) for wpm in (100, 160, 280)] == ["slow", None, "fast"]


@pytest.mark.parametrize("split", SPLITS)
def test_low_voices_are_measured_below_high_ones(split: str) -> None:
    rng = np.random.default_rng(5)
    measured: dict[str, list[float]] = {"low": [], "high": []}
    for pitch, found in measured.items():
        for _ in range(6):
            voice = sample_voice(rng, split, pitch=pitch)
            found.append(hertz(speak("we are all in the new garden now", voice).samples))
    assert max(measured["low"]) < 130 < 150 < min(measured["high"]), measured


def test_slow_speech_takes_longer_than_fast() -> None:
    slow, usual, fast = (len(speak(SENTENCE, replace(PLAIN, rate_wpm=wpm)).samples) for wpm in (100, 160, 290))
    assert slow > 1.3 * usual > 1.3 * 1.3 * fast


@pytest.mark.parametrize("warp", [0.87, 0.95, 1.08, 1.15])
def test_a_formant_shift_keeps_pace_and_phones(warp: float) -> None:
    plain, warped = speak(SENTENCE, PLAIN), speak(SENTENCE, replace(PLAIN, warp=warp))
    assert len(warped.samples) == pytest.approx(len(plain.samples), rel=0.15)
    assert [label for label, _, _ in warped.phones] == [label for label, _, _ in plain.phones]
    assert warped.phones[-1][2] <= len(warped.samples) / SAMPLE_RATE

    def centre(samples: np.ndarray) -> float:
        power = np.square(np.abs(np.fft.rfft(samples)))
        return float((np.arange(len(power)) * power).sum() / power.sum() / len(power))

    assert (centre(warped.samples) > centre(plain.samples)) == (warp > 1)


def test_a_sentence_is_said_again_within_a_few_milliseconds() -> None:
    one, two = speak(SENTENCE, PLAIN), speak(SENTENCE, PLAIN)
    assert [label for label, _, _ in one.phones] == [label for label, _, _ in two.phones]
    assert abs(len(one.samples) - len(two.samples)) < 0.01 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        (replace(PLAIN, engine="gramophone"), "unknown engine 'gramophone', allowed are espeak, flite, festival"),
        (replace(PLAIN, accent="en-atlantis"), r"eSpeak NG has no voice 'en-atlantis'"),
        (replace(PLAIN, variant="nobody"), "eSpeak NG has no variant 'nobody'"),
        (replace(PLAIN, engine="flite", variant="nobody"), "flite has no voice 'nobody', allowed are kal16, awb"),
        (replace(PLAIN, engine="festival", variant="nobody"), "festival has no voice 'nobody', allowed are kal_dip"),
    ],
)
def test_an_unknown_voice_is_refused_by_name(voice: Voice, message: str) -> None:
    before = speak(SENTENCE, PLAIN)
    with pytest.raises(ConfigError, match=message):
        speak(SENTENCE, voice)
    after = speak(SENTENCE, PLAIN)
    assert [label for label, _, _ in after.phones] == [label for label, _, _ in before.phones]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev', allowed are train, validation, test"),
        ({"split": "test", "pitch": "medium"}, "unknown pitch 'medium', allowed are low, high"),
        ({"split": "test", "pace": "brisk"}, "unknown pace 'brisk', allowed are slow, fast"),
        ({"split": "test", "language": "it"}, "unknown language 'it', allowed are en, fr, de"),
        ({"split": "test", "language": "fr", "slice": "festival"}, "'festival' is of English voices, language is 'fr'"),
    ],
)
def test_an_unknown_kind_of_voice_is_refused(asked: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sample_voice(np.random.default_rng(0), **asked)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A search path of programs that this test makes."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "variant", "program"),
    [("flite", FLITE_VOICES[0], "flite"), ("festival", FESTIVAL_VOICES[0], "text2wave")],
)
def test_an_engine_that_is_missing_or_lacks_its_voice_is_named(programs, engine, variant, program) -> None:
    voice = replace(PLAIN, engine=engine, variant=variant)
    assert engines() == ("espeak",)
    with pytest.raises(DependencyError, match=rf"the engine {engine} is not installed \(program {program} is not on"):
        speak("hello", voice)
    (programs / program).write_text("#!/bin/sh\nexit 0\n")
    (programs / program).chmod(0o755)
    assert engines() == ("espeak", engine)
    with pytest.raises(
        DependencyError, match=f"the engine {engine} made no sound: is the voice of {program} .*{variant}"
    ):
        speak("hello", voice)


def test_without_the_package_of_espeak_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(DependencyError, match=r"eSpeak NG: install the extra `world` \(package espeakng-loader\)"):
        _Espeak()


@needs("flite", "flite")
@pytest.mark.parametrize("variant", FLITE_VOICES)
def test_flite_speaks_at_the_pace_that_is_asked(variant: str) -> None:
    voice = Voice("flite", "en-us", variant, rate_wpm=130, pitch=50, warp=1.0)
    slow, fast = speak(SENTENCE, voice), speak(SENTENCE, replace(voice, rate_wpm=230))
    assert slow.phones == () and slow.samples.dtype == np.float32
    assert len(slow.samples) > 1.4 * len(fast.samples)
    assert np.abs(slow.samples).max() > 0.05


@needs("flite", "flite")
def test_the_plain_voice_of_flite_moves_its_pitch() -> None:
    voice = Voice("flite", "en-us", "kal16", rate_wpm=150, pitch=20, warp=1.0)
    assert 1.3 * hertz(speak(SENTENCE, voice).samples) < hertz(speak(SENTENCE, replace(voice, pitch=80)).samples)


@needs("text2wave", "festival")
def test_festival_speaks_at_the_pace_that_is_asked() -> None:
    voice = Voice("festival", "en-us", FESTIVAL_VOICES[0], rate_wpm=130, pitch=50, warp=1.0)
    try:
        slow = speak(SENTENCE, voice)
    except DependencyError as error:
        pytest.skip(str(error))
    assert len(slow.samples) > 1.4 * len(speak(SENTENCE, replace(voice, rate_wpm=230)).samples)
    assert slow.phones == ()


@pytest.mark.parametrize("variant", ["", "f3", "m5", "klatt5"])
def test_speech_afresh_is_alike_whatever_was_said_before(variant: str) -> None:
    voice = replace(PLAIN, variant=variant, warp=1.1)
    first = speak_afresh(SENTENCE, voice)
    speak_afresh("something else", PLAIN)
    speak("a third", PLAIN)
    again = speak_afresh(SENTENCE, voice)
    assert np.array_equal(first.samples, again.samples) and first.phones == again.phones
    usual = speak(SENTENCE, voice)
    assert abs(len(usual.samples) - len(first.samples)) < 0.03 * SAMPLE_RATE
    assert [label for label, _, _ in usual.phones] == [label for label, _, _ in first.phones]


def test_breath_is_alike_in_another_second() -> None:
    breathy = replace(PLAIN, variant="f3")
    first = speak_afresh(SENTENCE, breathy)
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.01)
    assert np.array_equal(first.samples, speak_afresh(SENTENCE, breathy).samples)


def test_speech_afresh_refuses_what_speech_does() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'gramophone'"):
        speak_afresh(SENTENCE, replace(PLAIN, engine="gramophone"))
    with pytest.raises(ConfigError, match="eSpeak NG has no variant 'mumble'"):
        speak_afresh(SENTENCE, replace(PLAIN, variant="mumble"))
    assert speak_afresh(SENTENCE, PLAIN).phones


def _say_and_leave(voice: Voice) -> None:
    os._exit(0 if len(speak(SENTENCE, voice).samples) > SAMPLE_RATE else 3)


def test_a_forked_worker_speaks_after_its_parent_did() -> None:
    speak(SENTENCE, PLAIN)
    for voice in (PLAIN, replace(PLAIN, accent="en-gb", variant="f3")):
        worker = multiprocessing.get_context("fork").Process(target=_say_and_leave, args=(voice,))
        worker.start()
        worker.join(60)
        hung = worker.is_alive()
        worker.kill()
        worker.join()
        assert not hung and worker.exitcode == 0
    assert speak(SENTENCE, PLAIN).phones
