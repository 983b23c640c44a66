"""The guards at their edges."""

import numpy as np
import pytest

from ossicle.audio.guards import (
    check_finite,
    check_length,
    check_peak,
    check_rate_and_channels,
    undecodable,
    unsupported,
)
from ossicle.errors import AudioInputError


def test_what_passes():
    check_rate_and_channels(4_000, 1)
    check_rate_and_channels(192_000, 8)
    check_finite(np.zeros(0, np.float32))
    check_peak(1_000.0)
    check_length(1_280, 16_000)
    check_length(3_528, 44_100)


@pytest.mark.parametrize(
    ("check", "arguments", "code", "match"),
    [
        (check_rate_and_channels, (16_000, 0), "audio_undecodable", "0 channels"),
        (check_rate_and_channels, (16_000, 9), "too_many_channels", "9 channels, allowed are 1-8"),
        (check_rate_and_channels, (655_350, 9), "too_many_channels", "9 channels"),
        (check_rate_and_channels, (3_999, 1), "bad_sample_rate", "3999 Hz, allowed are 4000-192000 Hz"),
        (check_rate_and_channels, (192_001, 1), "bad_sample_rate", "192001 Hz"),
        (check_finite, (np.array([0.0, np.nan]),), "audio_not_finite", "not a finite number"),
        (check_peak, (1_000.5,), "audio_out_of_range", "1000.5, allowed is 1000"),
        (check_length, (1_279, 16_000), "audio_too_short", "79.9 ms long, at least 80 ms"),
        (check_length, (3_527, 44_100), "audio_too_short", "80.0 ms long, at least 80 ms"),
    ],
)
def test_what_does_not(check, arguments, code, match):
    with pytest.raises(AudioInputError, match=match) as caught:
        check(*arguments)
    assert caught.value.code == code


def test_the_words():
    assert undecodable("why").code == "audio_undecodable" and "why" in str(undecodable("why"))
    assert unsupported("MIDI").code == "unsupported_media_type" and str(unsupported("MIDI")).startswith(
        "MIDI is not read"
    )
