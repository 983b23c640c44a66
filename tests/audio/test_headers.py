"""WAV, FLAC and MP3 headers, whole, damaged and false."""

import io
import struct

import numpy as np
import pytest

from ossicle.audio.headers import mpeg_frame, read_flac, read_mp3, read_wav, starts_mp3
from ossicle.audio.io import probe, read_clip
from ossicle.errors import AudioInputError

from .made import encoded, muxed, pcm16, tone, wav


def parsed(read, data: bytes):
    return read(io.BytesIO(data), len(data))


def refused(read, data: bytes, match: str) -> None:
    with pytest.raises(AudioInputError, match=match) as caught:
        parsed(read, data)
    assert caught.value.code == "audio_undecodable"


def test_a_wav_header():
    header = parsed(read_wav, wav(bytes(400), channels=2, rate=8_000))
    assert (header.codec, header.rate, header.layout) == ("pcm_s16le", 8_000, ("FL", "FR"))
    assert (header.n_frames, header.exact, header.cut, header.streams) == (100, True, False, (((44, 444),),))


def test_chunks_before_the_sound_are_passed_over():
    data = wav(pcm16(tone(0.5, 16_000)))
    listed = data[:12] + b"LIST\x03\x00\x00\x00abc\x00" + data[12:]
    np.testing.assert_array_equal(read_clip(listed).samples, read_clip(data).samples)


def test_wav_without_its_parts():
    data = wav(bytes(400))
    refused(read_wav, data[:40], "ends before its sound begins")
    refused(read_wav, data[:12] + data[36:], "before a format chunk of at least 16 bytes")
    refused(read_wav, data[:12] + b"fmt \x04\x00\x00\x00" + bytes(4) + data[36:], "at least 16 bytes")
    refused(read_wav, data[:12] + b"junk\x00\x00\x00\x00" * 5_000 + data[12:], "within 4096 chunks")


def test_long_wav_in_rf64():
    data = wav(pcm16(tone(0.5, 16_000)), length=0xFFFFFFFF)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, len(data) + 28, 16_000, 8_000, 0)
    header = parsed(read_wav, b"RF64" + data[4:12] + ds64 + data[12:] + b"LIST\x00\x00\x00\x00")
    assert (header.n_frames, header.cut) == (8_000, False)


def test_an_empty_wav_with_many_chunks_behind_is_taken_for_sound():
    chunks = b"junk\x00\x00\x00\x00" * 5_000
    assert parsed(read_wav, wav(b"", after=chunks)).n_frames == len(chunks) // 2
    assert parsed(read_wav, wav(b"", after=b"junk\xff\x00\x00\x00")).n_frames == 4  # its length leads out of the file
    assert parsed(read_wav, wav(b"", after=b"LIST\x00\x00\x00\x00")).n_frames == 0


@pytest.mark.parametrize("length", [0xFFFFFFFE, 401])
def test_a_wav_that_is_cut_knows_it(length):
    align = 2 if length % 2 == 0 else 1
    header = parsed(read_wav, wav(bytes(400), bits=8 * align, length=length))
    assert header.cut and header.n_frames == length // align and header.streams == (((44, 444),),)


def test_a_flac_header():
    data = encoded("flac", tone(0.5, 22_050, 2), 22_050)
    header = parsed(read_flac, data)
    assert (header.rate, header.layout, header.n_frames, header.cut) == (22_050, ("FL", "FR"), 11_025, False)
    refused(read_flac, data[:30], "before its stream info")
    refused(read_flac, data[:4] + b"\x04" + data[5:], "before its stream info")
    refused(read_flac, data[:60], "ends before its sound begins")
    refused(read_flac, data[:43], "ends before its sound begins")
    assert parsed(read_flac, data[:86]).cut


@pytest.mark.parametrize(
    ("head", "want"),
    [
        ("fffb9064", (44_100, 2, 417, 1_152)),
        ("fffb9264", (44_100, 2, 418, 1_152)),
        ("fffbe4c4", (48_000, 1, 960, 1_152)),
        ("fff388c4", (16_000, 1, 288, 576)),
        ("ffe34864", (8_000, 2, 288, 576)),
    ],
)
def test_mpeg_frames(head, want):
    frame = mpeg_frame(bytes.fromhex(head))
    assert (frame.rate, frame.channels, frame.n_bytes, frame.n_samples) == want


@pytest.mark.parametrize(
    "head", ["fffb90", "00fb9064", "ff1b9064", "ffeb9064", "fffd9064", "fff99064", "fffb0064", "fffbf064", "fffb9c64"]
)
def test_what_is_no_layer_three_frame(head):
    assert mpeg_frame(bytes.fromhex(head)) is None


def test_one_frame_header_alone_is_no_mp3():
    data = encoded("mp3", tone(0.5, 16_000), 16_000)
    assert starts_mp3(io.BytesIO(data), 0)
    assert not starts_mp3(io.BytesIO(data[:100]), 0)
    other = data[:288] + bytes.fromhex("ffe34864") + bytes(400)  # the next one has another rate
    assert not starts_mp3(io.BytesIO(other), 0)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_mp3_by_another_encoder(rate):
    data = muxed("mp3", "libmp3lame", tone(1.3, rate), rate)
    assert abs(read_clip(data).duration_s - 1.3) <= 0.05
    assert abs(probe(data).duration_s - 1.3) <= 0.05


def mp3_counting(change: int, *, n_bytes: bool = True) -> bytes:
    """An MP3 whose frame count is off by ``change``, with or without its byte count."""
    data = bytearray(encoded("mp3", tone(1.0, 16_000), 16_000))
    at = data.index(b"Xing")
    data[at + 8 : at + 12] = (int.from_bytes(data[at + 8 : at + 12], "big") + change).to_bytes(4, "big")
    if not n_bytes:
        data[at + 7] &= 0xFD
    return bytes(data)


def test_an_encoder_that_counted_its_own_tag_frame_is_forgiven():
    assert not parsed(lambda file, size: read_mp3(file, 0, size), mp3_counting(1)).cut
    assert parsed(lambda file, size: read_mp3(file, 0, size), mp3_counting(1, n_bytes=False)).cut
    assert parsed(lambda file, size: read_mp3(file, 0, size), mp3_counting(2)).cut
    assert abs(read_clip(mp3_counting(1)).duration_s - 1.0) < 0.1


def test_a_count_that_is_too_low_hides_nothing():
    for n_bytes in (True, False):
        assert 1.0 <= read_clip(mp3_counting(-5, n_bytes=n_bytes)).duration_s < 1.15
    assert read_clip(mp3_counting(-5)).duration_s >= 1.0


def test_a_tag_between_two_files_is_passed_over():
    data = encoded("mp3", tone(1.0, 16_000), 16_000)
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    for between in (tag, b"TAG" + bytes(125)):
        assert read_clip(data + between + data).duration_s > 1.95


def test_an_mp3_with_a_tag_at_its_end_is_whole():
    data = encoded("mp3", tone(1.0, 16_000), 16_000)
    np.testing.assert_array_equal(read_clip(data + b"TAG" + bytes(125)).samples, read_clip(data).samples)


def test_the_decoder_keeps_quiet(capfd):
    data = encoded("mp3", tone(2.0, 16_000), 16_000)
    bare = data[mpeg_frame(data[:4]).n_bytes :]
    read_clip(bare)
    read_clip(bare[: len(bare) // 2])
    with pytest.warns(UserWarning, match="audio_truncated"):
        read_clip(data[: len(data) // 2], allow_truncated=True)
    assert capfd.readouterr() == ("", "")
