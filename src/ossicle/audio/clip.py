"""A clip: audio in memory, and the arithmetic between seconds and samples.

Knows samples and rates; does not know files, frames or models. Every conversion from seconds to samples in the package
goes through here, so that two places never round differently.
"""

from dataclasses import dataclass

import numpy as np
import soxr

from ossicle.audio.lengths import resampled_samples
from ossicle.errors import AudioInputError, RequestError

SAMPLE_RATE = 16_000
MIN_RATE, MAX_RATE = 4_000, 192_000


def seconds_to_samples(seconds: float, rate: int) -> int:
    """Nearest sample to a time, halves away from zero."""
    return int(np.floor(seconds * rate + 0.5))


def part_of(n_samples: int, rate: int, start_s: float, end_s: float | None) -> tuple[int, int]:
    """First sample, and the one behind the last, of the part between two times; None is the end.

    Raises:
        RequestError: the part is empty or lies outside the ``n_samples``.
    """
    duration_s = n_samples / rate
    end_s = duration_s if end_s is None else end_s
    first, last = seconds_to_samples(start_s, rate), seconds_to_samples(end_s, rate)
    if not 0 <= first < last <= n_samples:
        raise RequestError(
            f"the part from {start_s:g} s to {end_s:g} s is empty or outside the clip of {duration_s:g} s"
        )
    return first, last


def _kind(samples: object) -> str:
    if isinstance(samples, np.ndarray):
        return f"shape {samples.shape} of {samples.dtype}"
    return f"a {type(samples).__name__}"


@dataclass(frozen=True, eq=False)
class Clip:
    """Mono audio in memory.

    Args:
        samples: shape (S,), float32, nominally within [-1, 1].
        rate: samples per second, 4,000-192,000.
        start_s: where the first sample lies in the source that the clip was cut from, seconds.

    Raises:
        AudioInputError: ``bad_sample_rate``; ``audio_undecodable`` for samples that are not one axis of float32.
    """

    samples: np.ndarray
    rate: int
    start_s: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.samples, np.ndarray) or self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise AudioInputError(
                f"a clip holds one axis of float32 samples, got {_kind(self.samples)}: "
                "use read_clip to make one from an array"
            )
        if not isinstance(self.rate, int | np.integer) or not MIN_RATE <= self.rate <= MAX_RATE:
            raise AudioInputError(
                f"the sample rate is {self.rate!r} Hz, allowed are {MIN_RATE}-{MAX_RATE} Hz", code="bad_sample_rate"
            )

    @property
    def n_samples(self) -> int:
        """Number of samples S."""
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate

    @property
    def end_s(self) -> float:
        """Where the clip ends in its source, seconds."""
        return self.start_s + self.duration_s

    def at(self, rate: int) -> "Clip":
        """The same clip at another rate (soxr HQ; `lengths.resampled_samples` tells the length)."""
        if rate == self.rate:
            return self
        want = resampled_samples(self.n_samples, self.rate, rate)
        got = soxr.resample(self.samples, self.rate, rate).astype(np.float32, copy=False)
        samples = got[:want] if len(got) >= want else np.pad(got, (0, want - len(got)))
        return Clip(samples, rate, self.start_s)

    def cut(self, start_s: float, end_s: float | None = None) -> "Clip":
        """The part between two times of this clip, seconds from its own first sample.

        Raises:
            RequestError: the part is empty or lies outside the clip.
        """
        first, last = part_of(self.n_samples, self.rate, start_s, end_s)
        return Clip(self.samples[first:last], self.rate, self.start_s + first / self.rate)
