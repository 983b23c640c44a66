"""Everyday sounds: the right length and level, told apart, and counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.audio.features import log_mel
from ossicle.errors import ConfigError
from ossicle.world.sounds import COUNTABLE, KINDS, MIN_SLOT_S, make_sound, make_strokes, stroke


def summary(samples: np.ndarray) -> np.ndarray:
    """Spectrum of the loud moments, its spread, and how much changes from one to the next: shape (240,)."""
    mel = log_mel(samples)
    loud = mel[:, mel.max(axis=0) > mel.max() - 1.0]
    return np.concatenate([loud.mean(axis=1), loud.std(axis=1), np.abs(np.diff(mel, axis=1)).mean(axis=1)])


def test_there_are_enough_kinds_and_their_names_are_words() -> None:
    assert len(KINDS) == len(set(KINDS)) >= 14
    assert len(COUNTABLE) >= 6 and set(COUNTABLE) < set(KINDS)
    assert all(kind.isalpha() and kind.islower() for kind in KINDS)


@given(kind=st.sampled_from(KINDS), duration_s=st.floats(0.01, 4.0), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_a_sound_has_its_length_and_its_peak(kind: str, duration_s: float, seed: int) -> None:
    samples = make_sound(kind, duration_s, np.random.default_rng(seed))
    assert samples.shape == (seconds_to_samples(duration_s, SAMPLE_RATE),) and samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_fixes_a_sound_and_another_seed_varies_it(kind: str) -> None:
    one, same, other = (make_sound(kind, 1.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_kinds_are_told_apart_by_the_nearest_mean() -> None:
    rng = np.random.default_rng(0)
    seen, unseen = (
        np.array([[summary(make_sound(kind, rng.uniform(1.5, 3.0), rng)) for _ in range(n)] for kind in KINDS])
        for n in (10, 6)
    )  # (kinds, n, 240)
    spread = seen.std(axis=1).mean(axis=0) + 1e-3
    distance = ((unseen[:, :, None] - seen.mean(axis=1)) / spread) ** 2  # (kinds, n, kinds, 240)
    right = distance.sum(axis=-1).argmin(axis=-1) == np.arange(len(KINDS))[:, None]
    assert right.mean() >= 0.9
    assert right.mean(axis=1).min() >= 0.5, dict(zip(KINDS, right.mean(axis=1), strict=True))


@pytest.mark.parametrize("kind", COUNTABLE)
def test_a_stroke_is_short(kind: str) -> None:
    for seed in range(5):
        samples = stroke(kind, np.random.default_rng(seed))
        assert 0.1 * SAMPLE_RATE <= len(samples) <= 0.5 * SAMPLE_RATE and samples.dtype == np.float32
        assert np.abs(samples).max() == pytest.approx(0.5, rel=1e-4)


@given(st.sampled_from(COUNTABLE), st.integers(1, 9), st.floats(MIN_SLOT_S, 1.0), st.integers(0, 999))
@settings(deadline=None, max_examples=100)
def test_strokes_sound_where_they_are_said_to_and_nowhere_else(kind: str, n: int, slot_s: float, seed: int) -> None:
    duration_s = n * slot_s + 1e-6
    samples, spans = make_strokes(kind, n, duration_s, np.random.default_rng(seed))
    assert len(spans) == n and len(samples) == seconds_to_samples(duration_s, SAMPLE_RATE)
    outside = samples.copy()
    before_s = -1.0
    for start_s, end_s in spans:
        assert 0 <= start_s < end_s <= len(samples) / SAMPLE_RATE
        assert start_s - before_s >= 0.02 * min(1, n - 1)
        before_s = end_s
        first, last = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        assert np.abs(samples[first:last]).max() > 0.2
        outside[first:last] = 0
    assert not outside.any()


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no sound is called 'unicorn': the known kinds are dog, cat, .*thunder"):
        make_sound("unicorn", 1.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="a 'rain' has no single strokes: the kinds that can be counted are dog, cat"):
        stroke("rain", np.random.default_rng(0))
    with pytest.raises(ConfigError, match="a 'wind' has no single strokes"):
        make_strokes("wind", 2, 2.0, np.random.default_rng(0))


@pytest.mark.parametrize("duration_s", [0.0, -1.0, float("nan"), 1e9])
def test_a_length_that_no_sound_can_have_is_refused(duration_s: float) -> None:
    with pytest.raises(ConfigError, match=r"a sound of .* s cannot be made: give 0.01-3600 s"):
        make_sound("dog", duration_s, np.random.default_rng(0))


@pytest.mark.parametrize(("n", "duration_s"), [(0, 1.0), (8, 1.0), (1, float("nan")), (1, 1e9)])
def test_strokes_that_do_not_fit_are_refused(n: int, duration_s: float) -> None:
    with pytest.raises(ConfigError, match=rf"{n} strokes in .* s cannot be told apart: give at least 1 stroke and"):
        make_strokes("dog", n, duration_s, np.random.default_rng(0))
