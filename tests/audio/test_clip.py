"""A clip: what it accepts, its times, its parts and its other rates."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE, Clip, seconds_to_samples
from ossicle.audio.lengths import resampled_samples
from ossicle.errors import AudioInputError, RequestError

from .made import tone


def clip(n_samples: int = 16_000, rate: int = SAMPLE_RATE, start_s: float = 0.0) -> Clip:
    return Clip(np.linspace(-1.0, 1.0, n_samples, dtype=np.float32), rate, start_s)


def test_times():
    part = clip(8_000, 16_000, 2.0)
    assert (part.n_samples, part.duration_s, part.end_s) == (8_000, 0.5, 2.5)


@pytest.mark.parametrize("samples", [np.zeros((4, 2), np.float32), np.zeros(4), np.zeros(4, np.int16), np.float32(1.0)])
def test_samples_of_another_shape_or_type_are_refused(samples):
    with pytest.raises(AudioInputError, match=r"one axis of float32 samples, .*use read_clip") as caught:
        Clip(np.asarray(samples), 16_000)
    assert caught.value.code == "audio_undecodable"


def test_samples_that_are_no_array_are_refused():
    with pytest.raises(AudioInputError, match="one axis of float32 samples, got a list: use read_clip"):
        Clip([0.0] * 16_000, 16_000)


@pytest.mark.parametrize("rate", [-1, 0, 3_999, 192_001, 16_000.5, "16000"])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(AudioInputError, match=f"{rate!r} Hz, allowed are 4000-192000 Hz") as caught:
        Clip(np.zeros(1, np.float32), rate)
    assert caught.value.code == "bad_sample_rate"


@settings(deadline=None)
@given(seconds=st.integers(0, 10**9), rate=st.integers(4_000, 192_000))
def test_whole_seconds_are_exact(seconds, rate):
    assert seconds_to_samples(seconds, rate) == seconds * rate


@pytest.mark.parametrize(("seconds", "n"), [(0.0, 0), (0.5 / 16_000, 1), (0.49 / 16_000, 0), (1.5 / 16_000, 2)])
def test_seconds_go_to_the_nearest_sample(seconds, n):
    assert seconds_to_samples(seconds, 16_000) == n


def test_cutting():
    whole = clip(start_s=10.0)
    part = whole.cut(0.25, 0.75)
    np.testing.assert_array_equal(part.samples, whole.samples[4_000:12_000])
    assert (part.start_s, part.rate) == (10.25, 16_000)
    np.testing.assert_array_equal(whole.cut(0.5).samples, whole.samples[8_000:])
    assert whole.cut(0.0, 1.0).n_samples == 16_000


@pytest.mark.parametrize(("start_s", "end_s"), [(0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0.5, 1.1), (1.0, None)])
def test_parts_that_are_empty_or_outside_are_refused(start_s, end_s):
    with pytest.raises(RequestError, match=f"from {start_s:g} s to .* is empty or outside the clip of 1 s") as caught:
        clip().cut(start_s, end_s)
    assert caught.value.code == "invalid_value"


def test_the_same_rate_is_the_same_clip():
    whole = clip()
    assert whole.at(16_000) is whole


@settings(deadline=None, max_examples=60)
@given(n_samples=st.integers(1, 20_000), rate=st.sampled_from([8_000, 11_025, 16_001, 44_100, 48_000]))
def test_the_length_at_another_rate_follows_the_rule(n_samples, rate):
    resampled = clip(n_samples, rate, 1.5).at(16_000)
    assert resampled.n_samples == resampled_samples(n_samples, rate, 16_000) >= 1
    assert (resampled.rate, resampled.start_s, resampled.samples.dtype) == (16_000, 1.5, np.float32)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_another_rate_is_what_soxr_makes(rate):
    wave = tone(1.0, rate)[:, 0]
    np.testing.assert_array_equal(Clip(wave, rate).at(16_000).samples, soxr.resample(wave, rate, 16_000))


def test_what_lies_above_the_new_band_is_gone():
    wave = tone(1.0, 48_000, hz=11_000.0)[:, 0] - tone(1.0, 48_000, hz=1e-9)[:, 0]  # the same noise twice
    assert np.abs(Clip(wave, 48_000).at(16_000).samples[1_000:-1_000]).max() < 1e-3
