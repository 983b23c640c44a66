"""Log-mel features of the Whisper family, of the clip as long as it is: nothing is padded to 30 s.

Knows one axis of samples at 16 kHz; does not know clips, batches or encoders.
The published extractor pads with zeros to 30 s. After the clip's last sample the zeros reach into two more frames
(half an analysis window is 200 samples, a hop 160), so these two "halo" frames are made as well: with them an encoder
that reads only valid frames sees the same numbers as one that reads all 30 s.
Source: Radford et al. 2022 for the front end; Slaney 1998, Auditory Toolbox, for the mel scale and its area norm.
"""

from functools import lru_cache

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.lengths import MEL_HOP, mel_frames
from ossicle.errors import AudioInputError, RequestError

N_FFT = 400
N_BINS = N_FFT // 2 + 1
BLOCK_FRAMES = 128
"""Frames transformed at a time: their spectrum stays in the processor's cache."""

POWER_FLOOR = 1e-10
RANGE_DECADES = 8.0

_LINEAR_HZ = 200.0 / 3.0
"""Width of one mel below 1 kHz, where Slaney's scale is linear."""
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_MELS_PER_E = 27.0 / np.log(6.4)
"""Mels per factor e above the knee."""


def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale: linear to 1 kHz, logarithmic above."""
    return hz / _LINEAR_HZ if hz < _KNEE_HZ else _KNEE_MEL + float(np.log(hz / _KNEE_HZ)) * _MELS_PER_E


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """The inverse of ``hz_to_mel``, for an array of mels."""
    above = _KNEE_HZ * np.exp((np.maximum(mel, _KNEE_MEL) - _KNEE_MEL) / _MELS_PER_E)
    return np.asarray(np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, above))


@lru_cache(maxsize=8)
def mel_filters(n_mels: int, *, n_fft: int = N_FFT) -> np.ndarray:
    """Triangular filters from 0 Hz to 8 kHz, each of unit area in hertz: (n_mels, n_fft / 2 + 1) float32, read-only."""
    edges = mel_to_hz(np.linspace(0.0, hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, n_fft // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangle = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    filters: np.ndarray = (np.maximum(triangle, 0.0) * 2.0 / (high - low)).astype(np.float32)
    filters.flags.writeable = False
    return filters


@lru_cache(maxsize=8)
def _weights(n_mels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The filters without their zeros, band after band: the bins (W,), their weights (W, 1), where each band begins."""
    filters = mel_filters(n_mels)
    held = filters > 0
    held[:, 0] |= ~held.any(axis=1)  # a band between two bins holds none: it gets one of weight 0
    bands, bins = held.nonzero()
    return bins, filters[bands, bins][:, None], np.searchsorted(bands, np.arange(n_mels))


_WINDOW = (0.5 - 0.5 * np.cos(2.0 * np.pi / N_FFT * np.arange(N_FFT))).astype(np.float32)


def log_mel(samples: np.ndarray, *, n_mels: int = 80, halo: int = 2) -> np.ndarray:
    """Log-mel features as the published extractor gives them for the clip followed by zeros.

    Args:
        samples: shape (S,), float32, 16 kHz, S >= 1.
        n_mels: mel bins; 80 and 128 are the published ones.
        halo: frames of zero-extended audio after the last valid one. 0 stands for a clip that fills the published
            window (30 s): there the published extractor has no further frame and mirrors the clip at its end too.

    Returns:
        Shape (n_mels, ceil(S / 160) + halo), float32. The floor, 8 decades under the peak, counts the halo's frames.

    Raises:
        AudioInputError: ``audio_empty``.
        RequestError: ``n_mels`` < 1 or ``halo`` < 0.
    """
    if n_mels < 1 or halo < 0:
        raise RequestError(f"n_mels is {n_mels} and halo is {halo}: n_mels must be at least 1, halo at least 0")
    if len(samples) == 0:
        raise AudioInputError("the clip has no samples: features need at least one", code="audio_empty")
    valid = mel_frames(len(samples))
    half = N_FFT // 2
    extended = np.zeros((valid + halo + 3) * MEL_HOP, np.float32)
    extended[half : half + len(samples)] = samples
    extended[:half] = extended[2 * half : half : -1]  # mirrored at the start, after the zeros were laid
    if halo == 0:
        end = half + valid * MEL_HOP
        extended[end : end + half] = extended[end - 1 - half : end - 1][::-1]
    mel = _mel_powers(extended, valid + halo, n_mels)
    np.log(np.maximum(mel, np.float32(POWER_FLOOR), out=mel), out=mel)
    np.maximum(mel, mel.max() - np.float32(RANGE_DECADES * np.log(10.0)), out=mel)
    mel *= np.float32(0.25 / np.log(10.0))  # (log10 + 4) / 4, from the natural logarithm, which is faster
    mel += np.float32(1.0)
    return mel


def _mel_powers(extended: np.ndarray, n_frames: int, n_mels: int) -> np.ndarray:
    """Mel energies of the frames that start at each hop of ``extended``: shape (n_mels, n_frames), float32.

    No matrix product: numpy's threads would go on spinning after it, beside those of the encoder that comes next.
    """
    frames = np.lib.stride_tricks.sliding_window_view(extended, N_FFT)[::MEL_HOP]  # (>= n_frames, 400), no copy
    bins, weights, starts = _weights(n_mels)
    mel = np.empty((n_mels, n_frames), np.float32)
    for first in range(0, n_frames, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, n_frames)
        spectrum = np.fft.rfft(frames[first:last] * _WINDOW)  # (t, 201) complex64
        power = (np.square(spectrum.real) + np.square(spectrum.imag)).T[bins]  # (t, 201) -> (W, t)
        power *= weights
        np.add.reduceat(power, starts, axis=0, out=mel[:, first:last])
    return mel
