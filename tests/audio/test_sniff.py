"""Magic bytes: what each begins with, whatever it is called; the refused kinds are in test_io.py."""

import io

import numpy as np
import pytest

from ossicle.audio.sniff import read_header, sniff
from ossicle.errors import AudioInputError

from .made import KINDS, encoded, muxed, tone


@pytest.mark.parametrize("kind", KINDS)
def test_what_soundfile_writes(kind):
    data = encoded(kind, tone(0.5, 16_000), 16_000)
    assert sniff(io.BytesIO(data), len(data)) == {"vorbis": "ogg", "opus": "ogg"}.get(kind, kind)


@pytest.mark.parametrize(
    ("container", "codec", "want"), [("ipod", "aac", "mp4"), ("mov", "aac", "mp4"), ("webm", "libopus", "webm")]
)
def test_what_phones_and_browsers_write(container, codec, want):
    data = muxed(container, codec, tone(0.5, 48_000), 48_000)
    assert sniff(io.BytesIO(data), len(data)) == want


def test_unknown_bytes():
    for data in (b"\xff\xf1\x50\x80", b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(60), np.random.default_rng(0).bytes(99)):
        assert sniff(io.BytesIO(data), len(data)) is None
        with pytest.raises(AudioInputError, match="like no audio file that is known"):
            read_header(io.BytesIO(data), len(data))


def test_tags_in_front_shift_what_the_decoder_reads():
    data = encoded("vorbis", tone(0.5, 16_000), 16_000)
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5)
    plain, tagged = read_header(io.BytesIO(data), len(data)), read_header(io.BytesIO(tag + data), len(tag + data))
    assert plain.streams == (((0, len(data)),),) and tagged.streams == (((15, 15 + len(data)),),)
    footer = b"ID3\x04\x00\x10\x00\x00\x00\x05" + bytes(15)
    assert read_header(io.BytesIO(footer + data), len(footer + data)).streams[0][0][0] == 25


def test_a_thousand_tags_are_too_many():
    data = b"ID3\x04\x00\x00\x00\x00\x00\x00" * 1_000
    with pytest.raises(AudioInputError, match="like no audio file that is known"):
        read_header(io.BytesIO(data + encoded("wav", tone(0.5, 16_000), 16_000)), len(data) + 16_044)
