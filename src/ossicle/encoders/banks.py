"""Kaldi filter banks of clips, neighbours stacked: what the w2v-BERT family reads, two at a time, 50 times a second.

Knows clips, filter banks and lengths; does not know layers. Features are those of `transformers`'
SeamlessM4TFeatureExtractor, made of all frames of a clip at once; the statistics are those of the frames that lie
wholly inside a clip. Source: Barrault et al. 2023 (SeamlessM4T), section 3.
"""

from collections.abc import Sequence

import numpy as np
from transformers import SeamlessM4TFeatureExtractor

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import MEL_HOP, WAVE_FIELD, ceil_div, stack_field, wave_frames, wave_samples
from ossicle.encoders.waves import Tail, at_16k, check_tail, fitted
from ossicle.errors import EncoderError
from ossicle.tensors import Features, stacked

STACKED = 2
"""Filter banks in one frame, as published."""
EPSILON = 1e-7
FFT, SCALE, PREEMPHASIS, FLOOR = 512, 2**15, 0.97, 1.192092955078125e-07


class Banks:
    """Filter banks, each bin normed over its clip.

    Args:
        width: of a frame: the bins of all its filter banks.
        stack: filter banks in one frame.
        tail: "pad" hears every sample, "drop" is the published rule.
        max_s: longest clip in seconds.

    ``fine`` is how many moments of the published length, 20 ms, lie in a frame.

    Raises:
        EncoderError: a ``width`` that ``stack`` does not divide, or an unknown tail.
    """

    def __init__(self, width: int, *, stack: int = STACKED, tail: Tail = "pad", max_s: float = 30.0) -> None:
        check_tail(tail)
        if stack < 1 or width % stack:
            raise EncoderError(f"w2v-BERT: {stack} stacked filter banks cannot be {width} wide")
        self.width, self.stack, self.tail, self.max_s = width, stack, tail, max_s
        self.hop, self.field = stack * MEL_HOP, stack_field(stack)
        self.rate_hz = SAMPLE_RATE / self.hop
        self.fine = ceil_div(stack, STACKED)
        self.max_samples = int(max_s * SAMPLE_RATE)
        extractor = SeamlessM4TFeatureExtractor(num_mel_bins=width // stack, feature_size=width // stack, stride=1)
        self.window, self.filters = extractor.window, extractor.mel_filters

    def n_frames(self, n_samples: int) -> int:
        """Frames for ``n_samples`` at 16 kHz."""
        return wave_frames(n_samples, self.field, self.tail, self.hop)

    def n_moments(self, n_samples: int) -> int:
        """Moments of the published length, 20 ms, in the frames of ``n_samples`` at 16 kHz."""
        return self.fine * self.n_frames(n_samples)

    def features(self, clips: Sequence[Clip]) -> Features:
        """Filter banks of clips of any rate, zero-padded to the longest.

        Args:
            clips: at least one, none longer than ``max_s``.

        Returns:
            values (B, width, T), T = the longest clip's frames.

        Raises:
            EncoderError: no clip, or one that is too long.
        """
        waves = at_16k(clips, self.max_samples)
        return stacked(
            [self._stacks(wave) for wave in waves], [len(one) for one in waves], [clip.duration_s for clip in clips]
        )

    def _stacks(self, wave: np.ndarray) -> np.ndarray:
        """(S,) -> (width, T); mean and variance of a bin are those of the frames that lie wholly inside the clip."""
        n_frames = self.n_frames(len(wave))
        bank = self.banks(fitted(wave, max(wave_samples(n_frames, self.field, self.hop), len(wave))))  # (M, bins)
        inside = bank[: max((len(wave) - WAVE_FIELD) // MEL_HOP + 1, 2)]
        normed = (bank - inside.mean(0)) / np.sqrt(inside.var(0, ddof=1) + EPSILON)
        return np.ascontiguousarray(normed[: n_frames * self.stack].reshape(n_frames, -1).T)

    def banks(self, wave: np.ndarray) -> np.ndarray:
        """The natural logarithms of the filter banks that lie wholly in a wave (S,): (M, bins) float32.

        Each frame of 25 ms loses its mean, then its low tones (pre-emphasis), then its edges (Povey's window).
        """
        frames = np.lib.stride_tricks.sliding_window_view(wave * np.float64(SCALE), WAVE_FIELD)[::MEL_HOP]  # (M, 400)
        frames = frames - frames.mean(1, keepdims=True)
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectra = np.fft.rfft((frames - PREEMPHASIS * before) * self.window, FFT).astype(np.complex64)
        powers = np.square(np.abs(spectra, dtype=np.float64))  # (M, 257)
        logs: np.ndarray = np.log(np.maximum(powers @ self.filters, FLOOR))
        return logs.astype(np.float32)
