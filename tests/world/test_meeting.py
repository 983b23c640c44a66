"""Meetings: what is planned is what is heard, to the sample; facts stand once, and can be told apart."""

import json
import re
import tracemalloc
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.io import probe, read_clip
from ossicle.errors import ConfigError, OssicleError, StorageError
from ossicle.world.grammar import split_of
from ossicle.world.meeting import (
    _FADE,
    _FLOOR,
    ALONE_S,
    SNR_DB,
    Fact,
    Meeting,
    describe,
    plan_meeting,
    render_meeting,
    utterances_alone,
    write_meeting,
)
from ossicle.world.meeting_plan import BREATH_S, GAIN_DB, MOST_FACTS, SHARE_S, _draw_facts
from ossicle.world.parts import Sound, Voice
from ossicle.world.scenes import LEVEL
from ossicle.world.speech import VARIANTS
from ossicle.world.tasks_spoken import slot_questions

NOISE = LEVEL * 10 ** (-SNR_DB / 20)


@dataclass(frozen=True)
class FakeSpoken:
    samples: np.ndarray
    phones: tuple[tuple[str, float, float], ...] = ()


def beep(text: str, voice: Voice) -> FakeSpoken:
    """A tone of 0.08 s a character and a sample for each word a minute."""
    n = 1280 * len(text) + voice.rate_wpm
    return FakeSpoken(np.sin(np.arange(n, dtype=np.float32) * np.float32(0.2)))


def slow_beep(text: str, voice: Voice) -> FakeSpoken:
    return FakeSpoken(np.tile(beep(text, voice).samples, 3))


def whole(meeting: Meeting, **arguments) -> np.ndarray:
    return np.concatenate(list(render_meeting(meeting, **arguments)))


def index(seconds: float) -> int:
    """The sample at a time that lies on a sample."""
    assert abs(seconds * SAMPLE_RATE - round(seconds * SAMPLE_RATE)) < 1e-4
    return round(seconds * SAMPLE_RATE)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def words(text: str) -> set[str]:
    return set(text.split())


@pytest.fixture(scope="module")
def spoken() -> Meeting:
    """Half a minute with the real synthesiser."""
    return plan_meeting(3, duration_s=36.0, n_facts=2, n_speakers=3)


@pytest.fixture(scope="module")
def sound(spoken: Meeting) -> np.ndarray:
    return whole(spoken)


@pytest.fixture(scope="module")
def busy() -> Meeting:
    """Five minutes of beeps with twenty facts."""
    return plan_meeting(15, duration_s=300.0, n_facts=20, speak=beep)


# ---- the plan


def test_one_seed_is_one_meeting_and_another_is_another(busy):
    assert plan_meeting(15, duration_s=300.0, n_facts=20, speak=beep) == busy
    other = plan_meeting(6, duration_s=300.0, n_facts=20, speak=beep)
    assert other.voices != busy.voices
    assert [fact.text for fact in other.facts] != [fact.text for fact in busy.facts]


def test_utterances_follow_each_other_with_pauses_from_begin_to_end(busy):
    spans = [(one.start_s, one.end_s) for one in busy.utterances]
    assert all(end_s > start_s for start_s, end_s in spans)
    assert all(later[0] - earlier[1] >= BREATH_S - 1e-9 for earlier, later in pairwise(spans))
    assert BREATH_S <= spans[0][0] < 22.0 and BREATH_S <= busy.duration_s - spans[-1][1] < 12.0
    pauses = [later[0] - earlier[1] for earlier, later in pairwise(spans)]
    assert np.mean([pause <= 1.5 for pause in pauses]) > 0.6 and any(2.0 <= pause <= 6.0 for pause in pauses)
    texts = [one.text for one in busy.utterances]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_word_and_no_voice_is_of_another_split(split):
    meeting = plan_meeting(0, duration_s=48.0, n_facts=4, split=split, n_speakers=4, speak=beep)
    assert {split_of(one.text) for one in meeting.utterances} == {split}
    assert {voice.variant for voice in meeting.voices} <= set(VARIANTS[split])


def test_speakers_have_voices_of_their_own_and_take_turns(busy):
    assert len({voice.variant for voice in busy.voices}) == len(busy.voices) == len(busy.gains_db) == 5
    assert {voice.engine for voice in busy.voices} == {"espeak"}
    assert {one.speaker for one in busy.utterances} == set(range(5))
    assert all(one.voice == busy.voices[one.speaker] for one in busy.utterances)
    assert np.mean([one.speaker != other.speaker for one, other in pairwise(busy.utterances)]) > 0.7
    assert all(abs(gain_db) <= GAIN_DB for gain_db in busy.gains_db) and len(set(busy.gains_db)) > 1
    lonely = plan_meeting(0, duration_s=24.0, n_facts=1, n_speakers=1, speak=beep)
    assert {one.speaker for one in lonely.utterances} == {0}


def test_sounds_lie_between_utterances_and_away_from_them(busy):
    assert {event.kind for event in busy.sounds} == {"sound", "music"}
    for event, one in zip(busy.sounds, busy.interludes, strict=True):
        assert (event.start_s, event.end_s) == (one.start_s, one.end_s)
        assert event.label == (one.part.kind if isinstance(one.part, Sound) else one.part.timbre)
        assert all(
            said.end_s + BREATH_S <= event.start_s + 1e-9 or event.end_s + BREATH_S <= said.start_s + 1e-9
            for said in busy.utterances
        )


def test_facts_are_spread_evenly(busy):
    share_s = busy.duration_s / len(busy.facts)
    for k, fact in enumerate(busy.facts):
        said = busy.utterances[fact.utterance]
        assert k * share_s <= said.start_s < said.end_s <= (k + 1) * share_s
        assert fact.text == said.text
        assert fact.minute == int(said.start_s // 60) and fact.depth == said.start_s / busy.duration_s


def test_a_fact_is_found_by_its_words_and_answered_by_others(busy):
    for fact in busy.facts:
        answer, about = words(fact.answer), words(fact.about)
        assert re.search(rf"\b{fact.answer}\b", fact.text) and answer and not answer & about
        assert sorted([*fact.about.split(), *fact.answer.split()]) == sorted(fact.text.split())
    firsts = {slot_questions(key)[0] for key in ("time", "number", "who", "where", "day", "music", "colour", "what")}
    firsts |= {slot_questions(key)[0] for key in ("event", "language", "feeling")}
    assert {fact.question for fact in busy.facts} <= firsts
    assert len({fact.question for fact in busy.facts}) > 3


def few_words(fact: Fact) -> set[str]:
    """Content words, by a list of the test's own."""
    little = "a an the my me i is are am do does how what will to in on at of for from into by with about it that"
    return words(fact.about) - words(f"{little} this you when where and or please not so some")


def test_nothing_else_that_is_said_could_be_taken_for_a_fact(busy):
    for fact in busy.facts:
        wanted = few_words(fact)
        assert len(wanted) >= 2
        for i, one in enumerate(busy.utterances):
            assert i == fact.utterance or 2 * len(wanted & words(one.text)) < len(wanted), (fact, one)


def test_facts_differ_in_more_than_the_answer():
    for seed in range(5):
        told = _draw_facts(np.random.default_rng(seed), "test", MOST_FACTS)
        assert len({one.others for one in told}) == MOST_FACTS


def test_a_long_meeting_has_a_long_pause_and_is_never_in_memory():
    meeting = plan_meeting(1, duration_s=960.0, n_facts=2, speak=slow_beep)
    longest = max(later.start_s - earlier.end_s for earlier, later in pairwise(meeting.utterances))
    assert 8.0 <= longest <= 20.0
    blocks = render_meeting(meeting, speak=slow_beep)
    tracemalloc.start()
    try:
        assert sum(len(block) for block in blocks) == meeting.n_samples == 960 * SAMPLE_RATE
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60 * SAMPLE_RATE * 4 < meeting.n_samples * 4 / 10


# ---- the sound


def test_the_samples_are_as_many_as_planned_and_within_full_scale(spoken, sound):
    assert len(sound) == spoken.n_samples == 36 * SAMPLE_RATE
    assert sound.dtype == np.float32 and np.abs(sound).max() < 1.0
    uneven = plan_meeting(0, duration_s=24.12345, n_facts=1, speak=beep)
    assert len(whole(uneven, speak=beep)) == round(24.12345 * SAMPLE_RATE)


def test_the_samples_do_not_depend_on_the_blocks_nor_on_what_was_said_before(spoken, sound):
    blocks = list(render_meeting(spoken, block_s=0.37))
    assert {len(block) for block in blocks[:-1]} == {5920} and len(blocks[-1]) <= 5920
    assert np.array_equal(np.concatenate(blocks), sound)
    assert np.array_equal(np.concatenate(list(render_meeting(spoken, block_s=60.0))), sound)
    again = plan_meeting(3, duration_s=36.0, n_facts=2, n_speakers=3)
    assert again == spoken


def test_every_utterance_is_heard_where_it_is_said_to_be(spoken, sound):
    quiet = np.ones(len(sound), bool)
    for one in (*spoken.utterances, *spoken.interludes):
        quiet[index(one.start_s) : index(one.end_s)] = False
    assert rms(sound[quiet]) == pytest.approx(NOISE, rel=0.1)
    for one in spoken.utterances:
        first, last = index(one.start_s), index(one.end_s)
        assert rms(sound[first:last]) > 8 * NOISE
        for edge in (sound[first : first + 1600], sound[last - 1600 : last]):
            assert rms(edge) > 1.5 * rms(sound[first - 1600 : first])


def test_beeps_begin_and_end_on_their_samples_at_their_speakers_level(busy):
    samples = whole(busy, speak=beep)
    for one in busy.utterances:
        first, last = index(one.start_s), index(one.end_s)
        level = LEVEL * 10 ** (busy.gains_db[one.speaker] / 20)
        assert rms(samples[first:last]) == pytest.approx(level, rel=0.02)
        assert np.abs(samples[first - 6400 : first]).max() < 8 * NOISE < np.abs(samples[first : first + 20]).max()
        assert np.abs(samples[last : last + 6400]).max() < 8 * NOISE < np.abs(samples[last - 20 : last]).max()


def test_loud_peaks_leave_room_for_the_noise(busy):
    def click(text: str, voice: Voice) -> FakeSpoken:
        samples = np.full(1280 * len(text) + voice.rate_wpm, 1e-3, np.float32)
        samples[100] = 1.0
        return FakeSpoken(samples)

    loud = replace(busy, gains_db=(GAIN_DB,) * 5)
    assert 0.9 < np.abs(whole(loud, speak=click)).max() < 1.0


def test_the_noise_is_steady_and_has_no_joints():
    still = Meeting(9, "test", 120.0, (), (), (), (), ())
    samples = whole(still)
    seconds = [rms(second) for second in samples.reshape(120, -1)]
    assert max(seconds) / min(seconds) < 1.7 and rms(samples) == pytest.approx(NOISE, rel=0.05)
    joints = np.arange(1, len(samples) // (_FLOOR - _FADE)) * (_FLOOR - _FADE)
    faded = np.concatenate([samples[joint - _FADE : joint] for joint in joints])
    assert rms(faded) == pytest.approx(NOISE, rel=0.1)
    steps = np.diff(samples)
    assert rms(np.concatenate([steps[joints - i] for i in (1, 2, _FADE, _FADE + 1)])) < 1.15 * rms(steps)
    ear = np.corrcoef(samples[:400_000], samples[400_000:800_000])[0, 1]
    assert abs(ear) < 0.1
    assert not np.array_equal(samples, whole(replace(still, seed=10)))


def test_utterances_alone_are_pieces_of_the_meeting(spoken, sound):
    clips = list(utterances_alone(spoken))
    assert len(clips) == len(spoken.utterances)
    for clip, one in zip(clips, spoken.utterances, strict=True):
        assert clip.rate == SAMPLE_RATE and clip.start_s == pytest.approx(one.start_s - ALONE_S)
        assert clip.end_s == pytest.approx(one.end_s + ALONE_S)
        first = index(clip.start_s)
        assert np.array_equal(clip.samples, sound[first : first + clip.n_samples])


# ---- files


def test_what_is_written_is_what_was_planned(tmp_path):
    meeting = write_meeting(tmp_path / "new" / "one", 2, duration_s=26.0, n_facts=2, n_speakers=2, speak=beep)
    folder = tmp_path / "new" / "one"
    assert sorted(path.name for path in folder.iterdir()) == ["meeting.json", "meeting.wav"]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]
    told = json.loads((folder / "meeting.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(describe(meeting)))
    assert told["duration_s"] == 26.0 and len(told["speakers"]) == 2 and told["split"] == "test"
    assert [fact["answer"] for fact in told["facts"]] == [fact.answer for fact in meeting.facts]
    assert all(told["utterances"][fact["utterance"]]["text"] == fact["text"] for fact in told["facts"])
    info = probe(folder / "meeting.wav")
    assert (info.codec, info.rate, info.channels, info.n_frames) == ("pcm_s16le", SAMPLE_RATE, 1, 26 * SAMPLE_RATE)
    heard = read_clip(folder / "meeting.wav").samples
    assert np.abs(heard - whole(meeting, speak=beep)).max() <= 0.51 / 32_768
    for said in told["utterances"]:
        assert rms(heard[index(said["start_s"]) : index(said["end_s"])]) > 10 * NOISE


def test_nothing_stays_of_a_meeting_that_fails(tmp_path):
    said: list[str] = []

    def faints(text: str, voice: Voice) -> FakeSpoken:
        said.append(text)
        if said.count(text) > 1 and len(set(said)) < len(said) - 2:
            raise OssicleError("fainted")
        return beep(text, voice)

    with pytest.raises(OssicleError, match="fainted"):
        write_meeting(tmp_path / "one", 2, duration_s=26.0, n_facts=2, speak=faints)
    assert not list(tmp_path.iterdir())


def test_no_folder_is_written_over_and_no_file_is_a_folder(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis").write_text("mine")
    with pytest.raises(StorageError, match="taken exists: choose another name"):
        write_meeting(taken, 0, duration_s=24.0, n_facts=1, speak=beep)
    assert [path.name for path in taken.iterdir()] == ["thesis"]
    with pytest.raises(StorageError, match=r"below cannot be written: (Not a directory|File exists)"):
        write_meeting(taken / "thesis" / "below", 0, duration_s=24.0, n_facts=1, speak=beep)
    (tmp_path / "empty").mkdir()
    write_meeting(tmp_path / "empty", 0, duration_s=12.0, n_facts=1, speak=beep)
    assert (tmp_path / "empty" / "meeting.wav").is_file()


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"duration_s": 100.0, "n_facts": 9}, r"100 s with 9 facts .* allowed are 108 s \(12 s a fact\) to 10800 s"),
        ({"duration_s": 11_000.0}, "a meeting of 11000 s"),
        ({"duration_s": float("nan")}, "a meeting of nan s"),
        ({"n_facts": 0}, "a meeting of 0 facts cannot be planned, allowed are 1-40"),
        ({"n_facts": 41}, "a meeting of 41 facts"),
        ({"n_speakers": 0}, "a meeting of 0 speakers"),
        ({"n_speakers": 7, "split": "validation"}, "7 speakers cannot be planned: the split 'validation' has 1-6"),
        ({"split": "tset"}, "unknown split 'tset', allowed are train, validation, test"),
        ({"seed": -1}, "the seed of a meeting is -1, allowed is 0 or more"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, match):
    with pytest.raises(ConfigError, match=match):
        plan_meeting(**{"seed": 0, **arguments})


def test_a_fact_longer_than_its_share_is_said():
    with pytest.raises(ConfigError, match=r"takes \d+\.\d s, its share of the meeting is 12\.0 s: give a longer"):
        plan_meeting(0, duration_s=SHARE_S, n_facts=1, speak=lambda text, voice: slow_beep(text * 3, voice))


@pytest.mark.parametrize("block_s", [0.0, -1.0, 61.0])
def test_blocks_that_cannot_be_are_said_at_once(busy, block_s):
    with pytest.raises(ConfigError, match=rf"blocks of {block_s:g} s cannot be rendered, allowed are 0.01-60 s"):
        render_meeting(busy, block_s=block_s)


def test_another_synthesiser_than_the_planned_one_is_said(busy):
    with pytest.raises(ConfigError, match=r"samples, planned were \d+: render a meeting with the synthesiser"):
        whole(busy, speak=slow_beep)
