"""Log-mel = transformers' WhisperFeatureExtractor on the clip's own frames and the two after them."""

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from ossicle.audio.features import log_mel, mel_filters

RATE = 16_000
WINDOW = 30 * RATE


@pytest.fixture(scope="module", params=[80, 128])
def published(request):
    return WhisperFeatureExtractor(feature_size=request.param)


def sound(n_samples: int) -> np.ndarray:
    """Noise that swells and falls silent over a steady tone: both the floor and the peak matter."""
    rng = np.random.default_rng(n_samples)
    t = np.arange(n_samples) / RATE
    noise = rng.standard_normal(n_samples) * np.maximum(np.sin(2 * np.pi * 0.7 * t), 0.0)
    return (0.1 * noise + 0.3 * np.sin(2 * np.pi * 440.0 * t + 0.5)).astype(np.float32)


def extract(published: WhisperFeatureExtractor, samples: np.ndarray) -> np.ndarray:
    features = published(samples, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    assert features.shape == (published.feature_size, 3000)
    return features


def test_the_filters_are_the_published_ones(published):
    np.testing.assert_allclose(mel_filters(published.feature_size).T, published.mel_filters, atol=1e-8)


@pytest.mark.parametrize(
    "n_samples", [1, 2, 40, 159, 160, 161, 200, 201, 400, 1279, 16_000, 16_037, 160_000, 333_333, WINDOW - 480]
)
def test_valid_and_halo_frames_are_the_published_ones(published, n_samples):
    samples = sound(n_samples)
    ours = log_mel(samples, n_mels=published.feature_size)
    assert ours.shape == (published.feature_size, -(-n_samples // 160) + 2) and ours.dtype == np.float32
    theirs = extract(published, samples)
    np.testing.assert_allclose(ours, theirs[:, : ours.shape[1]], atol=1e-4)
    np.testing.assert_array_equal(np.ptp(theirs[:, ours.shape[1] :], axis=1), 0.0)  # silence is all that we leave out


@pytest.mark.parametrize("n_samples", [WINDOW - 319, WINDOW - 160])
def test_a_clip_with_room_for_one_halo_frame(published, n_samples):
    samples = sound(n_samples)
    ours = log_mel(samples, n_mels=published.feature_size, halo=1)
    np.testing.assert_allclose(ours, extract(published, samples), atol=1e-4)


@pytest.mark.parametrize("n_samples", [WINDOW - 159, WINDOW - 39, WINDOW - 1, WINDOW])
def test_a_clip_that_fills_the_published_window(published, n_samples):
    samples = sound(n_samples)
    ours = log_mel(samples, n_mels=published.feature_size, halo=0)
    np.testing.assert_allclose(ours, extract(published, samples), atol=1e-4)


def test_at_exactly_thirty_seconds_only_the_mirrored_last_frame_differs(published):
    samples = sound(WINDOW)
    ours = log_mel(samples, n_mels=published.feature_size)
    theirs = extract(published, samples)
    np.testing.assert_allclose(ours[:, :2999], theirs[:, :2999], atol=1e-4)
    assert np.abs(ours[:, 2999] - theirs[:, 2999]).max() > 1e-2


def test_silence(published):
    ours = log_mel(np.zeros(4000, np.float32), n_mels=published.feature_size)
    np.testing.assert_allclose(ours, extract(published, np.zeros(4000, np.float32))[:, :27], atol=1e-6)
