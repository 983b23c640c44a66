"""The signals that the world is made of do what their numbers say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.world import waves


def band_db(samples: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Mean power in a band, decibel."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean()))


@given(n=st.integers(1, 30_000), taps=st.integers(1, 8192), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_block_convolution_is_convolution(n: int, taps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples, response = rng.standard_normal(n).astype(np.float32), rng.standard_normal(taps).astype(np.float32)
    got = waves.convolved(samples, response)
    m = 2 ** int(np.ceil(np.log2(n + taps)))
    want = np.fft.irfft(np.fft.rfft(samples.astype(float), m) * np.fft.rfft(response.astype(float), m), m)[:n]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=2e-3)


@given(n=st.integers(1, 400_000))
@settings(deadline=None)
def test_a_fast_length_is_long_enough_even_and_little_longer(n: int) -> None:
    m = waves.fast_length(n)
    assert m >= n and m % 2 == 0 and m <= 1.34 * n + 2048
    for prime in (2, 3, 5):
        while m % prime == 0:
            m //= prime
    assert m == 1


@pytest.mark.parametrize("n", [1, 700, 16_000, 50_000])
def test_noise_has_the_length_and_the_power(n: int) -> None:
    samples = waves.noise(n, np.random.default_rng(0))
    assert samples.shape == (n,) and samples.dtype == np.float32
    if n > 1000:
        assert np.mean(samples**2) == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize("n", [8_000, 64_000])
def test_noise_follows_its_curve(n: int) -> None:
    samples = waves.noise(n, np.random.default_rng(1), ((200.0, 0.0), (3200.0, -24.0)))
    fall = band_db(samples, 700, 900) - band_db(samples, 1400, 1800)
    assert fall == pytest.approx(6.0, abs=1.5)


def test_a_filter_has_its_gains() -> None:
    white = waves.noise(32_000, np.random.default_rng(2))
    out = waves.filtered(white, ((500.0, 0.0), (4000.0, -30.0)))
    assert band_db(out, 100, 450) - band_db(white, 100, 450) == pytest.approx(0.0, abs=0.5)
    assert band_db(out, 4200, 7800) - band_db(white, 4200, 7800) == pytest.approx(-30.0, abs=0.5)
    click = np.zeros(4000, np.float32)
    click[2000] = 1
    assert int(np.argmax(waves.filtered(click, ((500.0, 0.0), (4000.0, -30.0))))) == 2000


@pytest.mark.parametrize("rows", [1, 5])
def test_a_tone_has_its_harmonics_and_no_others(rows: int) -> None:
    hz = np.full(SAMPLE_RATE, 400.0, np.float32)
    amplitudes = np.tile([1.0, 0.0, 0.5], (rows, 1))
    samples = waves.tone(hz, amplitudes if rows > 1 else amplitudes[0], np.random.default_rng(0))
    size = np.abs(np.fft.rfft(samples)) / (SAMPLE_RATE / 2)
    assert size[[400, 800, 1200]] == pytest.approx([1.0, 0.0, 0.5], abs=0.01)
    size[[400, 1200]] = 0
    assert size.max() < 0.01


def test_a_tone_leaves_out_what_would_fold_back() -> None:
    samples = waves.tone(np.full(SAMPLE_RATE, 3000.0, np.float32), np.ones(4), np.random.default_rng(0))
    size = np.abs(np.fft.rfft(samples)) / (SAMPLE_RATE / 2)
    assert size[[3000, 6000]] == pytest.approx([1.0, 1.0], abs=0.01)
    assert size[[7000, 4000]].max() < 0.01  # 9 and 12 kHz, folded


def test_a_changing_spectrum_changes_evenly() -> None:
    hz = np.full(SAMPLE_RATE, 500.0, np.float32)
    samples = waves.tone(hz, np.array([[0.0], [1.0]]), np.random.default_rng(0))
    quarters = [float(np.abs(part).max()) for part in np.split(samples, 4)]
    assert quarters == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.02)


def test_struck_modes_fall_as_asked_and_those_out_of_range_are_left_out() -> None:
    rng = np.random.default_rng(0)
    samples = waves.struck(8000, [(1000.0, 1.0, 0.1)], rng)
    first, later = np.abs(samples[:160]).max(), np.abs(samples[3200:3360]).max()
    assert first / later == pytest.approx(np.exp(2), rel=0.1)
    assert not waves.struck(800, [(7_700.0, 1.0, 0.1)], rng).any()


def test_fades_begin_and_end_in_silence_and_leave_the_middle() -> None:
    ones = np.ones(1600, np.float32)
    out = waves.faded(ones, 0.01, 0.02)
    assert out[0] == 0 and out[-1] == 0 and (out[160:-320] == 1).all() and (ones == 1).all()
    assert waves.faded(np.ones(1, np.float32), 0.01, 0.01).tolist() == [1.0]


@given(n=st.integers(1, 40_000), per_second=st.floats(0.1, 10))
@settings(deadline=None, max_examples=30)
def test_a_slow_random_curve_is_smooth_and_stays_inside(n: int, per_second: float) -> None:
    out = waves.slow_random(n, per_second, np.random.default_rng(n))
    assert out.shape == (n,) and out.min() >= 0 and out.max() <= 1
    if n > 8000:
        assert np.abs(np.diff(out)).max() < 0.01


def test_a_curve_and_a_decay_pass_through_their_corners() -> None:
    assert waves.curve(5, ((0, 1), (0.5, 3), (1, 0))).tolist() == [1.0, 2.0, 3.0, 1.5, 0.0]
    assert waves.decay(SAMPLE_RATE, 0.5)[8000] == pytest.approx(np.exp(-1))
    assert waves.seconds(3).tolist() == pytest.approx([0.0, 1 / 16000, 2 / 16000])


def test_formants_raise_the_harmonics_near_them() -> None:
    amplitudes = waves.formants(np.array([100.0, 200.0]), 20, [(np.array([1000.0]), 80.0, 3.0)])
    assert amplitudes.shape == (2, 20)
    assert amplitudes[0, 1:].argmax() + 2 == 10 and amplitudes[1, 1:].argmax() + 2 == 5
