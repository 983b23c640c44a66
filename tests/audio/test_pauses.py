"""Cutting in pauses: every sample once, the same cuts for every block size, what is said stays together."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import Clip
from ossicle.audio.pauses import AROUND_S, PAUSE_S, STRETCH_S, edges_s, pieces
from ossicle.errors import AudioInputError, RequestError
from ossicle.world import grammar
from ossicle.world.parts import Event, Pause, Scene, Speech
from ossicle.world.scenes import COLOURS, LEVEL, render
from ossicle.world.speech import sample_voice
from ossicle.world.waves import noise

RATE = 16_000


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades as syllables do, five a second."""
    n = round(seconds * RATE)
    swell = 0.55 + 0.45 * np.cos(2 * np.pi * 5 * np.arange(n) / RATE + np.pi)
    return (0.1 * swell * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def room(seconds: float, seed: int = 99, level: float = 1e-3) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def take(*parts: np.ndarray) -> Clip:
    return Clip(np.concatenate(parts), RATE)


def found(clip: Clip, window_s: float = 8.0) -> list[tuple[float, float, bool]]:
    return [(one.clip.start_s, one.clip.end_s, one.quiet) for one in pieces([clip], window_s)]


def test_a_short_pause_is_shared_by_both_sides():
    clip = take(speech(2.0), room(0.4), speech(1.5, seed=1))
    (a, b, first), (c, d, second) = found(clip)
    assert (a, first, second) == (0.0, False, False) and d == pytest.approx(clip.duration_s)
    assert b == c == pytest.approx(2.2, abs=0.05)


def test_less_than_a_pause_cuts_nothing():
    assert found(take(speech(2.0), room(PAUSE_S - 0.1), speech(1.0))) == [(0.0, 3.2, False)]


def test_the_middle_of_a_long_pause_is_quiet_and_speech_keeps_its_margins():
    clip = take(room(2.0), speech(1.5), room(3.0), speech(1.0, seed=1), room(2.0))
    got = found(clip)
    assert [quiet for *_, quiet in got] == [True, False, True, False, True]
    assert [start for start, *_ in got] == pytest.approx([0, 1.65, 3.85, 6.15, 7.85], abs=0.06)
    for start, end, _ in (got[1], got[3]):
        assert end - start == pytest.approx(2 * AROUND_S + (1.5 if start < 3 else 1.0), abs=0.1)


def test_many_sentences_over_several_stretches_are_each_one_piece():
    parts: list[np.ndarray] = []
    edges = []
    rng = np.random.default_rng(4)
    at = 0.0
    for i in range(25):
        said, rest = float(rng.uniform(0.8, 4)), float(rng.uniform(0.5, 3))
        parts += [speech(said, seed=i), room(rest, seed=100 + i)]
        edges.append((at, at + said))
        at += said + rest
    clip = take(*parts)
    assert clip.duration_s > 3 * STRETCH_S
    loud = [(start, end) for start, end, quiet in found(clip) if not quiet]
    assert len(loud) == len(edges)
    for (start, end), (a, b) in zip(loud, edges, strict=True):
        assert a - 0.7 <= start <= a + 0.01 and b - 0.01 <= end <= b + 0.7


def test_speech_without_a_pause_is_cut_at_the_window():
    got = found(take(speech(40.0)), window_s=8.0)
    assert max(end - start for start, end, _ in got) <= 8.0 and not any(quiet for *_, quiet in got)


def test_what_is_loud_all_the_time_is_no_pause_and_digital_silence_is_one():
    assert not any(quiet for *_, quiet in found(take(room(20.0, level=0.1))))
    assert all(quiet for *_, quiet in found(Clip(np.zeros(20 * RATE, np.float32), RATE)))
    assert all(quiet for *_, quiet in found(take(room(20.0, level=1e-4))))


def test_after_speech_steady_noise_far_below_it_is_a_pause_however_loud_the_recording_is():
    clip = take(3 * speech(3.0), room(20.0, level=0.01))  # -40 dB, some 25 below the speech
    assert [quiet for *_, quiet in found(clip)][-1] is True


def talk(seed: int) -> tuple[np.ndarray, list[Event], list[Event]]:
    """Sentences with pauses of up to 5 s; phones and sentences."""
    rng = np.random.default_rng(seed)
    parts: list[Speech | Pause] = []
    for _ in range(6):
        parts.append(Speech(grammar.sentence(rng, "test").text, sample_voice(rng, "test")))
        parts.append(Pause(float(rng.choice([0.4, 1.0, 3.0, 5.0]))))
    made = render(Scene(tuple(parts), seed=seed))
    return made.samples, *([one for one in made.events if one.kind == kind] for kind in ("phone", "speech"))


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize(("under_db", "softer_db"), [(8.0, 0.0), (25.0, 20.0), (40.0, 20.0)])
@pytest.mark.parametrize("gain_db", [0.0, -30.0])
def test_nothing_that_is_said_is_called_quiet_however_soft_it_is_in_noise(name, under_db, softer_db, gain_db):
    still_s = 0.0
    for seed in (1, 4, 5):
        samples, phones, sentences = talk(seed)
        samples = samples.copy()
        for one in sentences[1::2]:  # these are 5 dB over noise that lies 25 dB under the others
            samples[round(one.start_s * RATE) : round(one.end_s * RATE)] *= 10 ** (-softer_db / 20)
        under = noise(len(samples), np.random.default_rng(seed), COLOURS[name])
        under *= LEVEL * 10 ** (-under_db / 20) / np.sqrt(np.mean(np.square(under)))
        clip = Clip((10 ** (gain_db / 20) * (samples + under)).astype(np.float32), RATE)
        quiet = [(start, end) for start, end, still in found(clip) if still]
        still_s += sum(end - start for start, end in quiet)
        lost = [min(one.end_s, b) - max(one.start_s, a) for one in phones for a, b in quiet]
        assert max(lost, default=0.0) < 0.03
    assert still_s > 3.0 or name == "brown"  # which changes most: little of it is called quiet when it is loud


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.floats(0.05, 9), st.floats(0.0, 9)), min_size=1, max_size=6),
    st.lists(st.integers(1, 120_000), min_size=1, max_size=8),
    st.sampled_from([1.0, 8.0, 30.0]),
    st.integers(0, 5),
)
def test_every_sample_is_in_one_piece_and_blocks_change_nothing(turns, sizes, window_s, seed):
    parts = [part for i, (said, rest) in enumerate(turns) for part in (speech(said, seed + i), room(rest, seed + i))]
    clip = Clip(np.concatenate(parts), RATE, start_s=2.5)
    whole = list(pieces([clip], window_s))
    assert np.array_equal(np.concatenate([one.clip.samples for one in whole]), clip.samples)
    assert all(before.clip.end_s == pytest.approx(after.clip.start_s) for before, after in pairwise(whole))
    assert whole[0].clip.start_s == 2.5 and max(one.clip.duration_s for one in whole) <= window_s
    blocks, at, i = [], 0, 0
    while at < clip.n_samples:
        n = sizes[i % len(sizes)]
        blocks.append(Clip(clip.samples[at : at + n], RATE, 2.5 + at / RATE))
        at, i = at + n, i + 1
    streamed = list(pieces(blocks, window_s))
    assert [(one.clip.n_samples, one.quiet) for one in streamed] == [(one.clip.n_samples, one.quiet) for one in whole]


def test_memory_holds_a_stretch_and_not_the_recording():
    asked = []

    def blocks():
        for i in range(200):
            asked.append(i)
            yield Clip(speech(0.6, seed=i), RATE, i * 1.0)
            yield Clip(room(0.4, seed=i), RATE, i * 1.0 + 0.6)

    stream = pieces(blocks(), 8.0)
    first = next(stream)
    assert first.clip.start_s == 0 and len(asked) <= STRETCH_S + 2


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(RequestError, match=r"a window of 0 s holds no sample at 16000 Hz"):
        found(take(speech(1.0)), window_s=0.0)
    with pytest.raises(AudioInputError) as caught:
        found(Clip(np.full(RATE, np.nan, np.float32), RATE))
    assert caught.value.code == "audio_not_finite"
    assert list(pieces([], 8.0)) == []


@pytest.mark.parametrize("noisy", [0.0, 0.001])
def test_the_quiet_edges_of_a_clip_are_told(noisy):
    still = np.zeros(RATE, np.float32)
    samples = np.concatenate([still[: RATE // 2], speech(2.0), still[: RATE // 4]])
    samples = samples + noisy * np.random.default_rng(0).normal(size=len(samples))
    lead_s, tail_s = edges_s(Clip(samples.astype(np.float32), RATE))
    assert lead_s == pytest.approx(0.5, abs=0.06) and tail_s == pytest.approx(0.25, abs=0.06)


def test_what_is_loud_or_quiet_throughout_has_no_two_edges():
    loud = np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32)
    assert edges_s(Clip(loud, RATE)) == (0.0, 0.0)
    assert edges_s(Clip(np.zeros(RATE, np.float32), RATE)) == (1.0, 0.0)
    assert edges_s(Clip(np.zeros(0, np.float32), RATE)) == (0.0, 0.0)
