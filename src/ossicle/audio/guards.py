"""What every piece of audio must satisfy, whatever it came from, and the words in which it is refused.

Knows numbers; does not know files. Messages are made of our own words and numbers only.
"""

import numpy as np

from ossicle.audio.clip import MAX_RATE, MIN_RATE
from ossicle.audio.layouts import MAX_CHANNELS
from ossicle.errors import AudioInputError

SHORTEST_MS = 80
LOUDEST = 1_000.0
"""A peak beyond this is no sound in [-1, 1] with some excess, but numbers of another scale."""


def undecodable(what: str) -> AudioInputError:
    """The error for bytes that are no audio, or damaged audio."""
    return AudioInputError(f"the bytes cannot be read as audio: {what}")


def unsupported(what: str) -> AudioInputError:
    """The error for audio of a kind that is not read."""
    return AudioInputError(
        f"{what} is not read: give WAV (PCM 8, 16, 24 or 32 bit, float, A-law, mu-law), FLAC, Ogg Vorbis or Opus, "
        "MP3, or with the extra 'media' M4A and WebM",
        code="unsupported_media_type",
    )


def check_rate_and_channels(rate: int, channels: int) -> None:
    """Every header, array and raw stream passes here before anything is decoded or allocated."""
    if channels < 1:
        raise undecodable(f"it says {channels} channels")
    if channels > MAX_CHANNELS:
        raise AudioInputError(
            f"the audio has {channels} channels, allowed are 1-{MAX_CHANNELS}", code="too_many_channels"
        )
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioInputError(
            f"the sample rate is {rate} Hz, allowed are {MIN_RATE}-{MAX_RATE} Hz", code="bad_sample_rate"
        )


def check_finite(block: np.ndarray) -> None:
    """No sample is NaN or infinite: one would spoil the features of the whole clip."""
    if not np.isfinite(block).all():
        raise AudioInputError("a sample is not a finite number", code="audio_not_finite")


def check_peak(peak: float) -> None:
    """Samples are of the scale of [-1, 1]."""
    if peak > LOUDEST:
        raise AudioInputError(
            f"the loudest sample is {peak:g}, allowed is {LOUDEST:g}: samples lie within [-1, 1], so divide integers "
            "by their full scale",
            code="audio_out_of_range",
        )


def check_length(n_frames: int, rate: int) -> None:
    """There are at least 80 ms."""
    if n_frames * 1_000 < SHORTEST_MS * rate:
        raise AudioInputError(
            f"the audio is {n_frames / rate * 1_000:.1f} ms long, at least {SHORTEST_MS} ms are needed",
            code="audio_too_short",
        )
