"""Signals that everything in the world is made of: changing tones, struck modes, coloured noise, filters, envelopes.

Knows samples at 16 kHz and hertz; does not know dogs, violins or rooms. All of it is whole-array arithmetic in float32.
A tone is a wave table that is read at the tone's phase (one table for each moment, two neighbours mixed), so that a
spectrum of any number of harmonics costs the same; noise is drawn in the frequency domain, already coloured.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ossicle.audio.clip import SAMPLE_RATE

_TABLE = 1024
_TOP_HZ = 7_600.0
_COARSE = 16_384
_FAST: list[int] = sorted(2**a * 3**b * 5**c for a in range(1, 31) for b in range(4) for c in range(3))

Wave = npt.NDArray[np.float32]
"""Samples at 16 kHz, or one value a sample."""

Floats = npt.NDArray[np.floating]

Points = Sequence[tuple[float, float]]
"""A curve by its corners: (hertz, decibel) for a filter, (place 0-1, value) for an envelope."""


def fast_length(n: int) -> int:
    """A length >= ``n`` whose Fourier transform is quick: even, no prime factor over 5; long ones in steps of 2,048."""
    if n < _COARSE:
        return _FAST[bisect_left(_FAST, n)]
    return 2048 * _FAST[bisect_left(_FAST, -(-n // 2048))]


def wave(values: npt.ArrayLike) -> Wave:
    """Any numbers as float32; no copy where they are."""
    return np.asarray(values, np.float32)


def seconds(n: int) -> Wave:
    """The time of each of ``n`` samples, shape (n,), float32."""
    return wave(np.arange(n, dtype=np.float32) / np.float32(SAMPLE_RATE))


def curve(n: int, points: Points) -> Wave:
    """Straight lines between corners.

    Args:
        n: number of values.
        points: (place, value); place 0 is the first value and 1 the last.

    Returns:
        Shape (n,), float32.
    """
    places, values = zip(*points, strict=True)
    return wave(np.interp(np.linspace(0.0, 1.0, n), places, values))


def decay(n: int, tau_s: float) -> Wave:
    """An envelope that falls by 1/e each ``tau_s`` seconds, shape (n,), float32."""
    return wave(np.exp(seconds(n) * np.float32(-1.0 / tau_s)))


def faded(samples: Wave, fade_in_s: float, fade_out_s: float) -> Wave:
    """A copy that rises from and returns to silence along half cosines (shorter ones in a short sound)."""
    out = samples.astype(np.float32, copy=True)
    for fade_s, part in ((fade_in_s, out), (fade_out_s, out[::-1])):
        n = min(int(fade_s * SAMPLE_RATE), len(out) // 2)
        part[:n] *= (0.5 - 0.5 * np.cos(np.pi * np.arange(n, dtype=np.float32) / max(n, 1))).astype(np.float32)
    return out


def gains(n: int, points: Points) -> Wave:
    """Linear gain of each bin of a real Fourier transform of ``n`` samples (`fast_length`), shape (n / 2 + 1,).

    Corners are (hertz, decibel), straight over the logarithm of frequency. A long sound's gains are worked out at 1,025
    frequencies and straight between them: the logarithms would cost more than the transform.
    """
    n_coarse = n // 2 if n < _COARSE else 1024
    each = n // 2 // n_coarse
    corners, decibels = zip(*points, strict=True)
    hz = np.maximum(np.linspace(0.0, SAMPLE_RATE / 2, n_coarse + 1), 10.0)
    gain = (10.0 ** (np.interp(np.log(hz), np.log(corners), decibels) / 20.0)).astype(np.float32)
    between = np.arange(each, dtype=np.float32) / np.float32(each)
    fine = gain[:-1, None] + np.diff(gain)[:, None] * between  # (n_coarse, each)
    return np.append(fine.ravel(), gain[-1])


def noise(n: int, rng: np.random.Generator, points: Points = ((10.0, 0.0),)) -> Wave:
    """Gaussian noise of mean square 1 with a spectrum along ``points``, shape (n,), float32."""
    m = fast_length(max(n, 256))
    spectrum = rng.standard_normal(m + 2, dtype=np.float32).view(np.complex64)  # (m / 2 + 1,)
    spectrum *= gains(m, points)
    spectrum[0] = 0.0
    power = float(np.vdot(spectrum, spectrum).real)
    spectrum *= np.float32(m / np.sqrt(2.0 * power))
    return np.fft.irfft(spectrum, m)[:n].astype(np.float32, copy=False)


def filtered(samples: Wave, points: Points) -> Wave:
    """A signal through a zero-phase filter of 1,024 taps with gains along ``points``, same shape."""
    taps = np.roll(np.fft.irfft(gains(1024, points), 1024), 512).astype(np.float32)
    return convolved(np.append(samples, np.zeros(512, np.float32)), taps)[512:]


def convolved(samples: Wave, response: Wave) -> Wave:
    """A signal through an impulse response of at most 8,192 samples, cut to the signal's own length.

    Blocks that overlap in the response's tail: their transforms stay in the processor's cache.
    """
    assert len(response) <= 8192, "an impulse response of at most 8,192 samples"
    size = 4096 if len(response) <= 1024 else 16_384
    hop = size // 2 if len(response) > 1024 else 3072
    n_blocks = -(-len(samples) // hop)
    blocks = np.zeros(n_blocks * hop, np.float32)
    blocks[: len(samples)] = samples
    spectra = np.fft.rfft(blocks.reshape(n_blocks, hop), size) * np.fft.rfft(response, size)  # (blocks, size / 2 + 1)
    wet = np.fft.irfft(spectra, size)  # (blocks, size)
    wet[1:, : size - hop] += wet[:-1, hop:]
    return wave(wet[:, :hop].ravel()[: len(samples)])


def struck(n: int, modes: Sequence[tuple[float, float, float]], rng: np.random.Generator) -> Wave:
    """Decaying sines that begin together.

    Args:
        n: number of samples.
        modes: (hertz, amplitude, decay time in seconds); a mode over 7.6 kHz is left out.
        rng: the phases.
    """
    t = seconds(n)
    out = np.zeros(n, np.float32)
    for hz, amplitude, tau_s in modes:
        if hz < _TOP_HZ:
            turn = np.float32(2 * np.pi * hz)
            out += np.float32(amplitude) * np.exp(t * np.float32(-1 / tau_s)) * np.sin(turn * t + rng.uniform(0, 0.6))
    return out


def tone(hz: Wave, amplitudes: Floats, rng: np.random.Generator) -> Wave:
    """A harmonic tone whose pitch and spectrum change.

    Args:
        hz: fundamental at each sample, shape (S,).
        amplitudes: shape (K,) for one spectrum, or (R, K) for R >= 1 spectra at even places from first to last sample;
            K <= 512 harmonics from the fundamental up. What would lie over 7.6 kHz is left out.
        rng: the phases of the harmonics.

    Returns:
        Shape (S,), float32.
    """
    n = len(hz)
    rows = np.atleast_2d(amplitudes)
    n_rows, n_harmonics = rows.shape
    at = hz[np.linspace(0, n - 1, n_rows).astype(int)] if n_rows > 1 else np.max(hz, keepdims=True)
    harmonics = np.arange(1, n_harmonics + 1)
    rows = np.where(at[:, None] * harmonics < _TOP_HZ, rows, 0.0)  # (R, K)
    spectrum = np.zeros((n_rows, _TABLE // 2 + 1), np.complex64)
    spectrum[:, 1 : n_harmonics + 1] = rows * np.exp(2j * np.pi * rng.uniform(size=n_harmonics))
    tables = np.fft.irfft(spectrum * np.float32(_TABLE / 2), _TABLE).astype(np.float32)  # (R, table)
    turns = np.cumsum(hz, dtype=np.float64) * (_TABLE / SAMPLE_RATE)
    place = turns.astype(np.int64) & (_TABLE - 1)
    if n_rows == 1:
        return np.take(tables[0], place)
    where = np.arange(n, dtype=np.float32) * np.float32((n_rows - 1) / max(n - 1, 1))
    row = np.minimum(where.astype(np.int64), n_rows - 2)
    mix = where - row.astype(np.float32)
    place += row * _TABLE
    flat = tables.ravel()
    first = np.take(flat, place)
    place += _TABLE
    return wave(first + mix * (np.take(flat, place) - first))


def formants(hz: Floats, n_harmonics: int, peaks: Sequence[tuple[Floats, float, float]]) -> Floats:
    """Amplitudes of harmonics under resonances, as of a throat or the body of an instrument.

    Args:
        hz: fundamental at R moments, shape (R,).
        n_harmonics: K.
        peaks: (centre in hertz at the R moments, shape (R,) or (1,); half width in hertz; height).

    Returns:
        Shape (R, K); 1 / harmonic for a flat throat, plus the peaks.
    """
    harmonics = np.arange(1, n_harmonics + 1)
    where = hz[:, None] * harmonics  # (R, K)
    shape = np.full(where.shape, 0.05)
    for centre, width, height in peaks:
        shape += height / (1.0 + ((where - np.asarray(centre).reshape(-1, 1)) / width) ** 2)
    shape /= np.sqrt(harmonics)
    return shape


def slow_random(n: int, per_second: float, rng: np.random.Generator) -> Wave:
    """A smooth random walk between 0 and 1 with about ``per_second`` turns a second, shape (n,), float32."""
    n_turns = max(1, int(np.ceil(n / SAMPLE_RATE * per_second)))
    corners = rng.uniform(size=n_turns + 1).astype(np.float32)
    each = -(-n // n_turns)
    part = np.arange(each, dtype=np.float32) / np.float32(each)
    part = part * part * (3 - 2 * part)
    return wave((corners[:-1, None] + np.diff(corners)[:, None] * part).ravel()[:n])  # (turns, each) -> (n,)
