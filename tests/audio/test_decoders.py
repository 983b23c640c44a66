"""Decoders: video, codecs and tracks that are not read, bytes that break on the way."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from ossicle.audio.decoders import AAC_PADDING, _av_blocks, _without_padding
from ossicle.audio.io import probe, read_clip
from ossicle.errors import AudioInputError

from .made import encoded, muxed, tone


def film(*, sound: bool) -> bytes:
    """An MP4 with one second of moving pictures, and sound if wanted."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as box:
        pictures = box.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        speech = box.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), i * 20, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            box.mux(pictures.encode(frame))
        box.mux(pictures.encode(None))
        if speech is not None:
            for first in range(0, 16_000, 1_000):
                planes = np.ascontiguousarray(tone(1.0, 16_000)[first : first + 1_000].T)
                frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = 16_000, first, Fraction(1, 16_000)
                box.mux(speech.encode(frame))
            box.mux(speech.encode(None))
    return out.getvalue()


def refused(data: bytes, code: str, match: str) -> None:
    with pytest.raises(AudioInputError, match=match) as caught:
        read_clip(data)
    assert caught.value.code == code


def test_the_sound_of_a_film():
    data = film(sound=True)
    assert abs(read_clip(data).duration_s - 1.0) <= 0.05
    assert probe(data).codec == "aac"


def test_a_silent_film():
    refused(film(sound=False), "audio_undecodable", "holds no audio track")


def test_codecs_that_are_not_read():
    data = muxed("matroska", "mp2", tone(0.5, 16_000), 16_000)
    refused(data, "unsupported_media_type", "WEBM with audio of this codec is not read")


def test_an_index_that_is_damaged():
    data = muxed("ipod", "aac", tone(1.0, 16_000), 16_000)
    at = data.index(b"moov")
    refused(data[: at + 4] + bytes(len(data) - at - 4), "audio_undecodable", "(index is damaged|no audio track)")
    webm = muxed("webm", "libopus", tone(1.0, 48_000), 48_000)
    refused(webm[:4] + b"\xff" * 40 + webm[44:], "audio_undecodable", "cannot be read as audio")


def test_rates_in_mp4_pass_the_guards():
    data = muxed("mov", "pcm_s16le", tone(0.5, 3_000), 3_000)
    refused(data, "bad_sample_rate", "3000 Hz")
    refused(muxed("matroska", "flac", tone(0.1, 200_000), 200_000), "bad_sample_rate", "200000 Hz")


def test_a_header_that_is_not_what_the_sound_is():
    data = bytearray(encoded("opus", tone(0.5, 16_000), 16_000))
    at = data.index(b"OpusHead")
    data[at + 18] = 3  # a mapping family that the decoder does not know
    refused(bytes(data), "audio_undecodable", "the decoder stopped")


def test_a_second_stream_info_that_says_otherwise():
    data = encoded("flac", tone(0.5, 16_000), 16_000)
    again = bytearray(data[4:42])
    bits = int.from_bytes(again[14:22], "big")
    again[14:22] = (bits & (1 << 44) - 1 | 8_000 << 44).to_bytes(8, "big")
    refused(data[:42] + bytes(again) + data[42:], "unsupported_media_type", "not those of its header")


class Part:
    """What a resampler gives back, as far as it is looked at."""

    def __init__(self, rate: int, channels: int) -> None:
        self.sample_rate, self.channels = rate, channels

    def to_ndarray(self) -> np.ndarray:
        return np.zeros((self.channels, 100), np.float32)


class Passing:
    def resample(self, frame: Part) -> list[Part]:
        return [frame]


@pytest.mark.parametrize("change", [Part(8_000, 2), Part(16_000, 1)])
def test_a_rate_or_channels_that_change_on_the_way(change):
    blocks = _av_blocks(iter([Part(16_000, 2), change]), Passing(), (16_000, 2), ArithmeticError)
    assert next(blocks).shape == (100, 2)
    with pytest.raises(AudioInputError, match="change on the way"):
        next(blocks)


def test_damage_in_the_middle_is_told():
    data = bytearray(encoded("flac", tone(3.0, 16_000), 16_000))
    data[len(data) // 2 : len(data) // 2 + 3_000] = bytes(3_000)
    refused(bytes(data), "audio_truncated", "the audio stops early")


def test_an_aac_stream_that_breaks_on_the_way_is_told():
    data = bytearray(muxed("ipod", "aac", tone(4.0, 16_000), 16_000))
    at = data.index(b"mdat") + 2_000
    data[at : at + 8_000] = np.random.default_rng(0).bytes(8_000)
    refused(bytes(data), "audio_truncated", "the audio stops early")


def padded(n_blocks: int, n_frames: int) -> np.ndarray:
    blocks = (np.full((1_024, 1), i, np.float32) for i in range(n_blocks))
    return np.concatenate(list(_without_padding(blocks, n_frames)))


def test_only_what_an_encoder_added_is_left_out():
    assert len(padded(4, 3_500)) == 3_500
    assert len(padded(4, 4_096)) == 4_096
    assert len(padded(4, 4_096 - AAC_PADDING)) == 4_096 - AAC_PADDING
    assert padded(8, 1_000)[::1_024, 0].tolist() == list(range(8))  # the declared length is no length at all
    assert len(padded(8, 1_000)) == 8 * 1_024
    assert len(padded(2, 9_999)) == 2_048
