"""Kaldi filter banks of clips, two frames stacked, to 50 frames a second: what the w2v-BERT family reads.

Knows clips, filter banks and lengths; does not know layers. Features of `transformers`' SeamlessM4TFeatureExtractor,
whose statistics are those of the frames that lie wholly inside a clip. Source: Barrault et al. 2023 (SeamlessM4T),
section 3.
"""

from collections.abc import Sequence

import numpy as np
from transformers import SeamlessM4TFeatureExtractor

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import BANK_FIELD, MEL_HOP, WAVE_FIELD, WAVE_HOP, wave_frames, wave_samples
from ossicle.encoders.waves import Tail, at_16k, check_tail, fitted
from ossicle.errors import EncoderError
from ossicle.tensors import Features, stacked

STACKED = 2
EPSILON = 1e-7


class Banks:
    """Filter banks, each bin normed over its clip.

    Args:
        width: of two stacked frames, twice the bins.
        tail: "pad" hears every sample, "drop" is the published rule.
        max_s: longest clip in seconds.

    Raises:
        EncoderError: an odd ``width``, or an unknown tail.
    """

    rate_hz = SAMPLE_RATE / WAVE_HOP

    def __init__(self, width: int, *, tail: Tail = "pad", max_s: float = 30.0) -> None:
        check_tail(tail)
        if width % STACKED:
            raise EncoderError(f"w2v-BERT: two stacked frames cannot be {width} wide")
        self.width, self.tail, self.max_s = width, tail, max_s
        self.max_samples = int(max_s * SAMPLE_RATE)
        bins = width // STACKED
        self.extractor = SeamlessM4TFeatureExtractor(num_mel_bins=bins, feature_size=bins, stride=1)

    def n_frames(self, n_samples: int) -> int:
        """Frames for ``n_samples`` at 16 kHz."""
        return wave_frames(n_samples, BANK_FIELD, self.tail)

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
            [self._banks(wave) for wave in waves], [len(one) for one in waves], [clip.duration_s for clip in clips]
        )

    def _banks(self, wave: np.ndarray) -> np.ndarray:
        """(S,) -> (width, T); mean and variance of a bin are those of the frames that lie wholly inside the clip."""
        n = wave_samples(self.n_frames(len(wave)), BANK_FIELD)
        made = self.extractor(
            fitted(wave, max(n, len(wave))),
            sampling_rate=SAMPLE_RATE,
            padding=False,
            pad_to_multiple_of=None,
            do_normalize_per_mel_bins=False,
            return_tensors="np",
        )
        bank = made["input_features"][0]  # (M, bins)
        inside = bank[: max((len(wave) - WAVE_FIELD) // MEL_HOP + 1, STACKED)]
        normed = (bank - inside.mean(0)) / np.sqrt(inside.var(0, ddof=1) + EPSILON)
        n_frames = self.n_frames(len(wave))
        return np.ascontiguousarray(normed[: n_frames * STACKED].reshape(n_frames, -1).T)
