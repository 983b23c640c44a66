"""Log-mel on its own: shapes, halo, floor and refusals; the numbers are compared in tests/parity/test_features.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.features import log_mel, mel_filters, mel_to_hz
from ossicle.audio.lengths import mel_frames
from ossicle.errors import AudioInputError, RequestError


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(n_samples).standard_normal(n_samples).astype(np.float32)


@settings(deadline=None, max_examples=50)
@given(n_samples=st.integers(1, 20_000), n_mels=st.sampled_from([1, 40, 80, 128]), halo=st.integers(0, 5))
def test_the_shape_follows_the_length_rule(n_samples, n_mels, halo):
    features = log_mel(noise(n_samples), n_mels=n_mels, halo=halo)
    assert features.shape == (n_mels, mel_frames(n_samples) + halo) and features.dtype == np.float32
    assert features.max() - features.min() <= 2.0 + 1e-6  # eight decades over four


@settings(deadline=None, max_examples=50)
@given(n_samples=st.integers(1, 8_000), halo=st.integers(2, 6))
def test_two_halo_frames_hold_all_that_zeros_can_hold(n_samples, halo):
    samples = noise(n_samples)
    two, more = log_mel(samples), log_mel(samples, halo=halo)
    np.testing.assert_allclose(two, more[:, : two.shape[1]], atol=1e-6)
    after = more[:, two.shape[1] :]
    np.testing.assert_array_equal(after, np.full((80, halo - 2), more.min()))


def test_zeros_after_the_clip_change_nothing():
    samples = noise(5_000)
    padded = np.concatenate([samples, np.zeros(11_000, np.float32)])
    features = log_mel(samples)
    np.testing.assert_allclose(log_mel(padded)[:, : features.shape[1]], features, atol=1e-6)


def test_blocks_of_frames_do_not_show():
    features = log_mel(noise(16_000 * 4))  # several blocks
    parts = log_mel(noise(16_000 * 4)[: 16_000 * 2])
    floor = max(features.min(), parts.min())
    np.testing.assert_allclose(np.maximum(features[:, :198], floor), np.maximum(parts[:, :198], floor), atol=1e-5)


def test_a_tone_peaks_in_its_own_bin():
    tone = np.sin(2 * np.pi * 1000.0 * np.arange(16_000) / 16_000).astype(np.float32)
    centres = mel_to_hz(np.linspace(0.0, 15.0 + 27.0 * np.log(8.0) / np.log(6.4), 82))[1:-1]
    loudest = int(log_mel(tone)[:, 50].argmax())
    assert abs(centres[loudest] - 1000.0) < 50.0


def test_filters_are_made_once_and_cannot_be_spoilt():
    assert mel_filters(80) is mel_filters(80)
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(80)[0, 0] = 1.0


def test_the_argument_is_not_changed():
    samples = noise(1_000)
    before = samples.copy()
    log_mel(samples)
    np.testing.assert_array_equal(samples, before)


def test_no_samples_are_refused():
    with pytest.raises(AudioInputError, match="no samples") as caught:
        log_mel(np.zeros(0, np.float32))
    assert caught.value.code == "audio_empty"


@pytest.mark.parametrize(("n_mels", "halo"), [(0, 2), (80, -1)])
def test_impossible_settings_are_refused(n_mels, halo):
    with pytest.raises(RequestError, match="n_mels must be at least 1, halo at least 0"):
        log_mel(noise(100), n_mels=n_mels, halo=halo)
