"""Melodies: notes at their times and pitches, timbres told apart, and a composer that does what it is asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.features import log_mel
from ossicle.errors import ConfigError
from ossicle.world.music import DIRECTIONS, HIGHEST, LOWEST, SCALES, TEMPOS, TIMBRES, compose, make_music
from ossicle.world.parts import Music

SCALE = Music(timbre="piano", notes=(60, 62, 64), beats=(1.0, 0.5, 2.0), tempo_bpm=120.0, mode="major", seed=3)


@pytest.mark.parametrize("timbre", TIMBRES)
def test_notes_are_where_the_beats_put_them(timbre: str) -> None:
    samples, notes = make_music(replace(SCALE, timbre=timbre))
    assert notes == ((60, 0.0, 0.5), (62, 0.5, 0.75), (64, 0.75, 1.75))
    assert samples.shape == (28_000,) and samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.5, rel=1e-4)
    for _, start_s, end_s in notes:
        one = samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
        assert np.abs(one).max() > 0.3 and abs(one[0]) < 1e-3 and abs(one[-1]) < 1e-3


def comb(samples: np.ndarray, midi: float) -> float:
    """Share of the power within 1.5 % of the first harmonics of a note."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    times = hz / (440 * 2 ** ((midi - 69) / 12))
    near = (np.abs(times - np.round(times)) < 0.015 * np.round(times)) & (np.round(times) <= 4)
    return float(power[near].sum() / power[times < 4.5].sum())


@pytest.mark.parametrize("timbre", TIMBRES)
@pytest.mark.parametrize("midi", [52, 64, 79])
def test_a_note_has_its_pitch(timbre: str, midi: int) -> None:
    samples, _ = make_music(replace(SCALE, timbre=timbre, notes=(midi,), beats=(2.0,)))
    right = comb(samples, midi)
    assert right > 0.6
    assert right > 2 * max(comb(samples, midi + shift) for shift in (-2, -1, 1, 2))


@pytest.mark.parametrize("timbre", TIMBRES)
@pytest.mark.parametrize("midi", [LOWEST, HIGHEST])
def test_the_outermost_notes_can_be_played_shortest_and_long(timbre: str, midi: int) -> None:
    music = replace(SCALE, timbre=timbre, notes=(midi, midi), beats=(0.25, 4.0), tempo_bpm=400.0)
    samples, notes = make_music(music)
    assert np.isfinite(samples).all() and notes[-1][2] * SAMPLE_RATE == len(samples)


def test_timbres_are_told_apart_by_the_nearest_mean() -> None:
    rng = np.random.default_rng(0)

    def summary(timbre: str) -> np.ndarray:
        mel = log_mel(make_music(compose(rng, timbre=timbre))[0])
        return np.concatenate([mel.mean(axis=1), mel.std(axis=1), np.abs(np.diff(mel, axis=1)).mean(axis=1)])

    seen, unseen = (np.array([[summary(timbre) for _ in range(n)] for timbre in TIMBRES]) for n in (12, 8))
    spread = seen.std(axis=1).mean(axis=0) + 1e-3
    distance = (((unseen[:, :, None] - seen.mean(axis=1)) / spread) ** 2).sum(axis=-1)  # (timbres, n, timbres)
    assert (distance.argmin(axis=-1) == np.arange(len(TIMBRES))[:, None]).mean() >= 0.9


def test_a_melody_sounds_the_same_again_and_another_seed_another_way() -> None:
    one, same, other = (make_music(replace(SCALE, seed=seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@given(
    seed=st.integers(0, 10**6),
    timbre=st.sampled_from((None, *TIMBRES)),
    direction=st.sampled_from(DIRECTIONS),
    tempo=st.sampled_from((None, *TEMPOS)),
    n_notes=st.sampled_from((None, *range(4, 13))),
)
@settings(deadline=None, max_examples=200)
def test_a_melody_goes_where_it_is_sent(
    seed: int, timbre: str | None, direction: str, tempo: str | None, n_notes: int | None
) -> None:
    music = compose(np.random.default_rng(seed), timbre=timbre, direction=direction, tempo=tempo, n_notes=n_notes)
    steps = np.diff(music.notes) * (1 if direction == "up" else -1)
    assert steps.sum() >= 5 and (steps < 0).sum() <= 1 and 0 not in steps
    assert len(music.notes) == len(music.beats) == (n_notes or len(music.notes))
    assert LOWEST <= min(music.notes) <= max(music.notes) <= HIGHEST
    assert timbre in (None, music.timbre) and music.timbre in TIMBRES


@given(seed=st.integers(0, 10**6), tempo=st.sampled_from(tuple(TEMPOS)), direction=st.sampled_from((None, *DIRECTIONS)))
@settings(deadline=None, max_examples=100)
def test_the_tempo_is_the_one_asked_for_in_plain_beats(seed: int, tempo: str, direction: str | None) -> None:
    music = compose(np.random.default_rng(seed), tempo=tempo, direction=direction)
    low, high = TEMPOS[tempo]
    assert low <= music.tempo_bpm <= high
    assert set(music.beats[:-1]) <= ({0.5, 1.0} if tempo == "fast" else {1.0})
    assert 1.2 < sum(music.beats) * 60 / music.tempo_bpm < 8.0


def test_slow_and_fast_are_far_apart() -> None:
    assert 60 <= TEMPOS["slow"][0] < TEMPOS["slow"][1] <= 80 and 150 <= TEMPOS["fast"][0] < TEMPOS["fast"][1] <= 190


@given(seed=st.integers(0, 10**6), mode=st.sampled_from(tuple(SCALES)), n_notes=st.integers(4, 12))
@settings(deadline=None, max_examples=100)
def test_a_figure_is_the_triad_of_its_mode(seed: int, mode: str, n_notes: int) -> None:
    music = compose(np.random.default_rng(seed), mode=mode, n_notes=n_notes)
    third = {"major": 4, "minor": 3}[mode]
    classes = {note % 12 for note in music.notes}
    assert any({root % 12, (root + third) % 12, (root + 7) % 12} == classes for root in range(12))
    assert music.notes[0] == music.notes[-1] and music.mode == mode


@given(seed=st.integers(0, 10**6), mode=st.sampled_from(tuple(SCALES)), direction=st.sampled_from(DIRECTIONS))
@settings(deadline=None, max_examples=100)
def test_a_climb_keeps_to_its_scale_and_has_the_third(seed: int, mode: str, direction: str) -> None:
    music = compose(np.random.default_rng(seed), mode=mode, direction=direction)
    degrees = {(note - min(music.notes)) % 12 for note in music.notes}
    assert degrees <= set(SCALES[mode]) and {"major": 4, "minor": 3}[mode] in degrees


def test_a_composer_repeats_itself_from_one_seed() -> None:
    assert compose(np.random.default_rng(5)) == compose(np.random.default_rng(5))


@pytest.mark.parametrize("what", ["timbre", "tempo", "mode", "direction"])
def test_the_composer_refuses_unknown_names(what: str) -> None:
    with pytest.raises(ConfigError, match=f"no {what} is called 'sideways': the known ones are "):
        compose(np.random.default_rng(0), **{what: "sideways"})


@pytest.mark.parametrize("n_notes", [3, 13])
def test_the_composer_refuses_too_few_and_too_many_notes(n_notes: int) -> None:
    with pytest.raises(ConfigError, match=f"a melody of {n_notes} notes cannot be composed: give 4-12"):
        compose(np.random.default_rng(0), n_notes=n_notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timbre": "kazoo"}, "no timbre is called 'kazoo': the known ones are piano, "),
        ({"notes": ()}, "one beat for each: got 0 notes and 3 beats"),
        ({"beats": (1.0,)}, "one beat for each: got 3 notes and 1 beats"),
        ({"notes": (60, 62, 97)}, "the note 97 cannot be played: MIDI numbers 36-96 can"),
        ({"tempo_bpm": 10.0}, "10 beats a minute with notes of 0.5-2 beats cannot be played"),
        ({"tempo_bpm": float("nan")}, "nan beats a minute with notes of 0.5-2 beats cannot be played"),
        ({"beats": (1.0, 0.1, 1.0)}, "120 beats a minute with notes of 0.1-1 beats cannot be played"),
    ],
)
def test_music_that_cannot_be_played_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_music(replace(SCALE, **change))
