"""Sound in: what is read, what is refused and in which words; sound out."""

import io
import os
import subprocess
import sys
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import Clip
from ossicle.audio.headers import mpeg_frame
from ossicle.audio.io import probe, read_blocks, read_clip, write_clip, write_wav
from ossicle.errors import AudioInputError, FetchError, OssicleError, RequestError, StorageError

from .made import KINDS, encoded, muxed, pcm16, tone, wav

RATES = (8_000, 12_000, 16_000, 24_000, 48_000)


def refused(source, code: str, match: str, **arguments) -> OssicleError:
    """Assert that reading fails with this code and these words, in one line that quotes nobody."""
    with pytest.raises(OssicleError, match=match) as caught:
        read_clip(source, **arguments)
    assert caught.value.code == code
    message = str(caught.value)
    assert "\n" not in message and "0x" not in message and "site-packages" not in message
    return caught.value


# What is read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_all_that_was_given_is_heard(tmp_path, kind, rate, channels):
    path = tmp_path / "sound.bin"
    path.write_bytes(encoded(kind, tone(1.3, rate, channels), rate))
    clip = read_clip(path)
    assert clip.rate == rate and clip.samples.dtype == np.float32
    assert abs(clip.duration_s - 1.3) <= 0.05
    spectrum = np.abs(np.fft.rfft(clip.samples))
    assert abs(np.argmax(spectrum) / clip.duration_s - 440.0) < 3.0
    info = probe(path)
    assert (info.rate, info.channels, info.n_bytes) == (rate, channels, path.stat().st_size)
    assert abs(info.duration_s - 1.3) <= 0.05
    at_16k = read_clip(path, rate=16_000)
    assert at_16k.rate == 16_000 and abs(at_16k.duration_s - 1.3) <= 0.05


@pytest.mark.parametrize("rate", [11_025, 22_050, 32_000, 44_100])
@pytest.mark.parametrize("kind", ["wav", "flac", "vorbis", "mp3"])
def test_other_rates(kind, rate):
    clip = read_clip(encoded(kind, tone(0.7, rate), rate))
    assert clip.rate == rate and abs(clip.duration_s - 0.7) <= 0.05


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("ipod", "aac", 8_000),
        ("ipod", "aac", 16_000),
        ("mp4", "aac", 44_100),
        ("mov", "pcm_s16le", 16_000),
        ("webm", "libopus", 48_000),
        ("matroska", "flac", 16_000),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_phones_and_browsers(container, codec, rate, channels):
    data = muxed(container, codec, tone(1.3, rate, channels), rate, "stereo" if channels == 2 else "mono")
    clip = read_clip(data)
    assert clip.rate == rate and abs(clip.duration_s - 1.3) <= 0.05
    assert abs(np.abs(clip.samples[rate // 4 : rate]).max() - 0.45) < 0.1
    info = probe(data)
    assert info.container == ("webm" if container in ("webm", "matroska") else "mp4")
    assert (info.rate, info.channels, info.n_bytes) == (rate, channels, len(data))
    assert abs(info.duration_s - 1.3) <= 0.05


@pytest.mark.parametrize(
    ("subtype", "codec", "lsb"),
    [
        ("PCM_U8", "pcm_u8", 2**-7),
        ("PCM_16", "pcm_s16le", 2**-15),
        ("PCM_24", "pcm_s24le", 2**-23),
        ("PCM_32", "pcm_s32le", 2**-23),
        ("FLOAT", "pcm_f32le", 0.0),
        ("DOUBLE", "pcm_f64le", 2**-24),
        ("ALAW", "pcm_alaw", 2**-15),
        ("ULAW", "pcm_mulaw", 2**-15),
    ],
)
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_wav_formats_equal_the_golden_reader(subtype, codec, lsb, container):
    if container == "RF64" and subtype not in ("PCM_16", "FLOAT"):
        pytest.skip("one of each family is enough")
    data = encoded(f"{container}/{subtype}", tone(0.2, 16_000, 2), 16_000)
    golden, _ = soundfile.read(io.BytesIO(data), dtype="float64")
    np.testing.assert_allclose(read_clip(data).samples, golden.mean(axis=1), atol=lsb + 1e-7)
    assert probe(data).codec == codec


@pytest.mark.parametrize("kind", ["flac", "vorbis", "opus", "mp3"])
def test_compressed_formats_equal_the_golden_reader(kind):
    data = encoded(kind, tone(2.0, 16_000), 16_000)
    golden, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(read_clip(data).samples, golden, atol=1e-6)


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_every_kind_of_source(tmp_path, kind):
    data = encoded(kind, tone(0.5, 16_000), 16_000)
    path = tmp_path / 'it\'s a "name"; with €.txt'
    path.write_bytes(data)
    link = tmp_path / "link"
    link.symlink_to(path)
    want = read_clip(data).samples
    shifted = io.BytesIO(b"junk" + data)
    shifted.seek(4)

    class Pipe:  # cannot seek
        def __init__(self):
            self.rest = io.BytesIO(data)

        def read(self, n=-1):
            return self.rest.read(n)

    with open(path, "rb") as file:
        for source in (
            str(path),
            path,
            link,
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
            shifted,
            file,
            Pipe(),
        ):
            np.testing.assert_array_equal(read_clip(source).samples, want)
        assert not file.closed


def test_id3_tags_are_passed_over():
    data = encoded("mp3", tone(0.5, 16_000), 16_000)
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    np.testing.assert_array_equal(read_clip(tag + tag + data).samples, read_clip(data).samples)
    flac = encoded("flac", tone(0.5, 16_000), 16_000)
    np.testing.assert_array_equal(read_clip(tag + flac).samples, read_clip(flac).samples)
    refused(tag[:40], "audio_undecodable", "within its tags")


@pytest.mark.parametrize("format", ["mp3", "wav", "flac", "anything"])
def test_magic_bytes_win_over_names_and_formats(tmp_path, format):
    path = tmp_path / "sound.mp3"
    path.write_bytes(encoded("wav", tone(0.5, 16_000), 16_000))
    assert read_clip(path, format=format).n_samples == 8_000


@pytest.mark.parametrize(("first", "last"), [(1.0, 1.0), (1.5, 1.5), (1_000.0, 1_000.0)])
def test_loud_samples_are_kept(first, last):
    samples = np.full((4_000, 1), first, np.float32)
    assert read_clip(encoded("WAV/FLOAT", samples, 16_000)).samples.max() == last


def test_silence_is_audio():
    assert not read_clip(encoded("wav", np.zeros((4_000, 1)), 16_000)).samples.any()


# Arrays


def test_arrays_in_any_shape_and_type():
    wave = tone(0.5, 16_000)[:, 0]
    stereo = np.stack([wave, -0.5 * wave])
    for array in (wave, wave.astype(np.float64), wave[:, None], wave[None]):
        np.testing.assert_allclose(read_clip(array, rate=16_000).samples, wave, atol=1e-7)
    for array in (stereo, stereo.T):
        np.testing.assert_allclose(read_clip(array, rate=16_000).samples, wave / 4, atol=1e-6)
    for dtype in (np.int8, np.int16, np.int32):
        scaled = np.round(wave * -float(np.iinfo(dtype).min)).astype(dtype)
        np.testing.assert_allclose(read_clip(scaled, rate=16_000).samples, wave, atol=2 / np.iinfo(dtype).max)
    unsigned = np.round(wave * 128 + 128).astype(np.uint8)
    np.testing.assert_allclose(read_clip(unsigned, rate=16_000).samples, wave, atol=1 / 128)
    info = probe(stereo, rate=8_000)
    assert (info.container, info.codec, info.channels, info.duration_s) == ("array", "float32", 2, 1.0)


def test_an_array_is_copied():
    array = np.zeros(4_000, np.float32)
    clip = read_clip(array, rate=16_000)
    array[:] = 1.0
    assert not clip.samples.any()
    (block,) = read_blocks(array, rate=16_000)
    assert block.n_samples == 4_000


def test_arrays_that_are_refused():
    wave = np.zeros(4_000, np.float32)
    refused(wave, "missing_parameter", "says nothing of its sample rate")
    refused(wave[:0], "audio_empty", "no samples", rate=16_000)
    refused(wave.reshape(10, 20, 20), "audio_undecodable", "one or two axes", rate=16_000)
    refused(wave.astype(complex), "audio_undecodable", "complex128", rate=16_000)
    refused(wave.astype(np.int64), "audio_undecodable", "int64", rate=16_000)
    refused(np.zeros((4_000, 9)), "too_many_channels", "9 channels", rate=16_000)
    refused(wave, "bad_sample_rate", "3999 Hz", rate=3_999)
    refused(wave[:100], "audio_too_short", "6.2 ms", rate=16_000)
    refused(np.full(4_000, np.nan), "audio_not_finite", "not a finite number", rate=16_000)
    refused(np.full(4_000, 1e300), "audio_out_of_range", "divide integers", rate=16_000)


# Raw samples


@pytest.mark.parametrize(
    ("format", "dtype", "full"), [("pcm_s16le", "<i2", 32_768), ("pcm_s32le", "<i4", 2**31), ("pcm_f32le", "<f4", 1)]
)
def test_raw_samples(format, dtype, full):
    wave = tone(0.5, 8_000)[:, 0]
    data = (np.stack([wave, wave], 1) * full).astype(dtype).tobytes()
    clip = read_clip(data, format=format.upper(), rate=8_000, channels=2)
    assert clip.rate == 8_000
    np.testing.assert_allclose(clip.samples, wave, atol=1 / 32_768)
    assert probe(data, format=format, rate=8_000, channels=2).duration_s == 0.5


def test_raw_samples_that_are_refused():
    data = bytes(8_000)
    for arguments in ({"rate": 8_000}, {"channels": 1}, {}):
        refused(data, "missing_parameter", "needs both rate and channels", format="pcm_s16le", **arguments)
    refused(data, "missing_parameter", "must be one of pcm_u8", format="pcm", rate=8_000, channels=1)
    refused(data, "invalid_value", "must be one of pcm_u8", format="pcm_s12le", rate=8_000, channels=1)
    refused(data[1:], "bad_pcm_length", "7999 bytes", format="pcm_s16le", rate=8_000, channels=1)
    refused(data, "bad_pcm_length", "9 bytes each", format="pcm_s24le", rate=8_000, channels=3)
    refused(data, "bad_sample_rate", "0 Hz", format="pcm_s16le", rate=0, channels=1)
    refused(data, "audio_undecodable", "0 channels", format="pcm_s16le", rate=8_000, channels=0)
    refused(b"", "audio_empty", "no bytes", format="pcm_s16le", rate=8_000, channels=1)
    refused(data[:1_000], "audio_too_short", "62.5 ms", format="pcm_s16le", rate=8_000, channels=1)


@pytest.mark.parametrize("kind", KINDS)
def test_raw_samples_that_are_a_file(kind):
    data = encoded(kind, tone(0.5, 16_000), 16_000)
    refused(data, "format_mismatch", "leave the format out", format="pcm_s16le", rate=16_000, channels=1)


# What is refused: sources


def test_sources_that_are_no_regular_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    secret = tmp_path / "secret"
    secret.write_bytes(b"RIFF")
    refused(tmp_path / "none.wav", "file_not_found", "there is no file .*none.wav")
    refused(loop, "file_not_found", "there is no file")
    refused("nul\0byte", "file_not_found", "there is no file")
    refused("x" * 5_000, "file_not_found", "there is no file")
    refused(tmp_path, "path_not_allowed", "is a folder")
    for path in (fifo, "/dev/zero"):
        refused(path, "path_not_allowed", "regular files only")
    for address in (
        "http://host/a.wav",
        "https://host/a.wav",
        f"file:{secret}",
        f"FILE://{secret}",
        "data:audio/wav,x",
    ):
        refused(address, "path_not_allowed", "local files only")
    refused(3, "invalid_value", "got int")
    refused(io.StringIO("RIFF"), "invalid_value", "binary mode")
    with pytest.raises(FetchError, match="there is no file") as caught:
        probe("none.wav")
    assert caught.value.exit_code == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "closed.wav"
    path.write_bytes(b"RIFF")
    path.chmod(0)
    refused(path, "path_not_allowed", "no permission")


# What is refused: bytes


def test_nothing_and_almost_nothing():
    refused(b"", "audio_empty", "no bytes")
    refused(wav(b""), "audio_too_short", "0.0 ms")
    flac = encoded("flac", tone(0.5, 16_000), 16_000)
    refused(flac_with(flac[:86], total=0), "audio_too_short", "0.0 ms")
    for kind in ("wav", "flac", "vorbis", "opus"):
        refused(encoded(kind, tone(0.079, 16_000), 16_000), "audio_too_short", "79.0 ms")
        assert read_clip(encoded(kind, tone(0.080, 16_000), 16_000)).n_samples == 1_280
    assert read_clip(encoded("mp3", tone(0.080, 16_000), 16_000)).n_samples == 1_280


@pytest.mark.parametrize(
    "data",
    [
        np.random.default_rng(1).bytes(5_000),
        b"<!DOCTYPE html><html><body>404</body></html>" * 20,
        b"%PDF-1.7\n" + bytes(2_000),
        b"\x89PNG\r\n\x1a\n" + bytes(2_000),
        b"\xff",
        b"RIFF",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"fLaC\x00\x00\x00",
        b"OggS\x00",
        b"\xff\xfb\x90\x64" + bytes(50),
    ],
    ids=lambda data: repr(data[:8]),
)
def test_bytes_that_are_no_audio(data):
    refused(data, "audio_undecodable", "cannot be read as audio")


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_cut_at_100_bytes(kind):
    data = encoded(kind, tone(1.0, 16_000), 16_000)[:100]
    for allow in (False, True):
        refused(data, "audio_undecodable", "cannot be read as audio", allow_truncated=allow)


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\nhttp://10.0.0.1/secret\n",
        b"\xef\xbb\xbf#EXTM3U\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"file '/etc/passwd'\n",
        b"[playlist]\nFile1=/etc/passwd\n",
        b"\xf8\x06iamf\x00\x00" + bytes(100),
        b"\x00\x00\x00\x18ftypiamf\x00\x00\x00\x00iamfmp42" + bytes(100),
        b"MThd\x00\x00\x00\x06" + bytes(100),
        b"RIFF\x00\x01\x00\x00AVI LIST" + bytes(100),
        b"FORM\x00\x01\x00\x00AIFFCOMM" + bytes(100),
        b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9) + b"\xff\xf1" + bytes(20),
        wav(bytes(512), tag=2, bits=4, align=256),
        wav(bytes(512), tag=0x11, bits=4, align=256),
        wav(bytes(512), tag=0x55, bits=16),
        wav(bytes(512), bits=12, align=2),
        wav(bytes(512), tag=3, bits=16),
    ],
    ids=lambda data: repr(data[:22]),
)
def test_kinds_that_are_known_but_not_read(data):
    refused(data, "unsupported_media_type", "is not read: give WAV")


def test_kinds_that_soundfile_would_read_and_we_do_not():
    for kind in ("AIFF/PCM_16", "AU/PCM_16", "CAF/PCM_16", "W64/PCM_16", "WAV/IMA_ADPCM", "WAV/GSM610"):
        refused(encoded(kind, tone(0.5, 16_000), 16_000), "unsupported_media_type", "is not read")


def test_wav_headers_that_cannot_be_true():
    data = bytes(4_000)
    refused(wav(data, align=0), "audio_undecodable", "0 bytes a frame")
    refused(wav(data, bits=0), "audio_undecodable", "0 bits a sample")
    refused(wav(data, align=3), "audio_undecodable", "cannot take 3 bytes")
    refused(wav(data + b"\0"), "audio_undecodable", "4001 bytes of sound are not whole frames")
    refused(wav(data, channels=0, align=2), "audio_undecodable", "0 channels")
    refused(wav(data, channels=65_535), "too_many_channels", "65535 channels")
    refused(wav(data, channels=9), "too_many_channels", "9 channels")
    for rate in (0, 1, 3_999, 192_001, 10_000_000):
        refused(wav(data, rate=rate), "bad_sample_rate", f"{rate} Hz, allowed are 4000-192000")
    for rate in (4_000, 192_000):
        assert read_clip(wav(bytes(40_000), rate=rate)).rate == rate


def flac_with(data: bytes, *, rate: int | None = None, channels: int | None = None, total: int | None = None) -> bytes:
    """FLAC bytes whose stream info claims something else."""
    bits = int.from_bytes(data[18:26], "big")
    rate = bits >> 44 if rate is None else rate
    count = bits >> 41 & 7 if channels is None else channels - 1
    total = bits & (1 << 36) - 1 if total is None else total
    bits = rate << 44 | count << 41 | bits & 0x1F << 36 | total
    return data[:18] + bits.to_bytes(8, "big") + data[26:]


def test_flac_headers_that_cannot_be_true():
    data = encoded("flac", tone(0.5, 16_000), 16_000)
    refused(flac_with(data, rate=655_350, channels=8), "bad_sample_rate", "655350 Hz")
    refused(flac_with(data, rate=0), "bad_sample_rate", "0 Hz")
    refused(flac_with(data, total=(1 << 36) - 1), "audio_truncated", "0.50 s decoded, 4294967.30 s declared")
    refused(flac_with(data, channels=2), "audio_truncated", "the audio stops early")
    assert read_clip(flac_with(data, total=0)).n_samples == 8_000
    assert read_clip(data + b"TAG" + bytes(125)).n_samples == 8_000


def test_samples_that_are_no_numbers_or_far_too_large():
    for bad, code, match in (
        (np.nan, "audio_not_finite", "not a finite number"),
        (np.inf, "audio_not_finite", "not a finite number"),
        (-1_001.0, "audio_out_of_range", "loudest sample is 1001"),
    ):
        for subtype in ("FLOAT", "DOUBLE"):
            for place in (0, 39_999):
                samples = np.zeros((40_000, 1))
                samples[place] = bad
                refused(encoded(f"WAV/{subtype}", samples, 16_000), code, match)
                refused(encoded(f"WAV/{subtype}", samples, 16_000), code, match, rate=8_000)


def test_the_order_of_the_checks():
    bad = np.full((40_000, 1), 2_000.0, np.float32)
    bad[39_000] = np.nan
    data = encoded("WAV/FLOAT", bad, 16_000)
    refused(data[:-1], "audio_truncated", "stops early")
    refused(data, "audio_not_finite", "finite")
    refused(encoded("WAV/FLOAT", bad[:1_000], 16_000), "audio_out_of_range", "2000")
    refused(encoded("WAV/FLOAT", bad[:0], 16_000), "audio_too_short", "0.0 ms")


# Files that stop early


@pytest.mark.parametrize("kind", ["wav", "flac", "vorbis", "opus", "mp3"])
@pytest.mark.parametrize("share", [0.4, 0.75, 1.0])
def test_a_file_cut_short(kind, share):
    data = encoded(kind, tone(3.0, 16_000), 16_000)
    cut = data[: round(len(data) * share) - 1]
    refused(cut, "audio_truncated", "stops early .*allow truncated audio")
    assert not probe(data).cut and (kind != "wav" or probe(cut).cut)
    with pytest.warns(UserWarning, match=r"audio_truncated: .* s( of 3\.00 s)? were read") as caught:
        clip = read_clip(cut, allow_truncated=True)
    assert f"{clip.duration_s:.2f} s" in str(caught[0].message)
    assert 3.0 * share - 1.0 <= clip.duration_s <= 3.04
    whole = read_clip(data).samples
    if kind in ("wav", "flac"):
        np.testing.assert_array_equal(clip.samples, whole[: clip.n_samples])


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0.0, 1.0), kind=st.sampled_from(["wav", "flac", "vorbis", "opus", "mp3"]))
def test_cut_anywhere_is_truncated_or_no_audio_at_all(share, kind):
    data = CUT_FIXTURES[kind]
    cut = data[: int(share * (len(data) - 1))]
    with pytest.raises(AudioInputError) as caught:
        read_clip(cut)
    allowed = (
        ("audio_truncated",) if len(cut) > len(data) // 2 else ("audio_truncated", "audio_undecodable", "audio_empty")
    )
    assert caught.value.code in allowed


CUT_FIXTURES = {kind: encoded(kind, tone(2.0, 16_000), 16_000) for kind in ("wav", "flac", "vorbis", "opus", "mp3")}


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_mp4_cut_short(options):
    data = mp4(2.0, options)
    for cut in (data[: len(data) // 2], data[:-1]):
        refused(cut, "audio_truncated", "stops early")


def mp4(seconds: float, options: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder, av.open(io.BytesIO(aac(seconds))) as source:
        path = Path(folder, "sound.mp4")
        with av.open(str(path), "w", options=options) as box:
            track = box.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = track
                    box.mux(packet)
        return path.read_bytes()


def aac(seconds: float) -> bytes:
    return muxed("ipod", "aac", tone(seconds, 16_000), 16_000)


def test_mp4_cut_short_with_its_index_in_front():
    data = mp4(4.0, {"movflags": "faststart"})
    assert data.index(b"moov") < data.index(b"mdat")
    with pytest.warns(UserWarning, match="audio_truncated"):
        clip = read_clip(data[: len(data) * 2 // 3], allow_truncated=True)
    assert 1.0 < clip.duration_s < 4.0
    behind = mp4(4.0, {})
    refused(behind[: len(behind) // 2], "audio_undecodable", "index is damaged or missing", allow_truncated=True)


def test_mp4_in_fragments():
    data = mp4(4.0, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"})
    assert data.count(b"moof") > 2
    assert 4.0 <= read_clip(data).duration_s <= 4.0 + 2_048 / 16_000  # what AAC adds; no index says how much


def test_webm_cut_short():
    data = muxed("matroska", "flac", tone(2.0, 16_000), 16_000)
    refused(data[: len(data) // 2], "audio_truncated", "stops early")
    with pytest.warns(UserWarning, match="audio_truncated"):
        assert 0.5 < read_clip(data[: len(data) // 2], allow_truncated=True).duration_s < 1.5


def test_webm_from_a_browser_says_no_length():
    data = muxed("webm", "libopus", tone(2.0, 48_000), 48_000)
    at = data.index(bytes.fromhex("18538067"))
    live = data[: at + 4] + b"\x01" + b"\xff" * 7 + data[at + 12 :]
    assert abs(read_clip(live).duration_s - 2.0) <= 0.05


def test_mp3_without_a_frame_count_is_read_as_far_as_it_goes():
    data = encoded("mp3", tone(3.0, 16_000), 16_000)
    bare = data[mpeg_frame(data[:4]).n_bytes :]
    whole = read_clip(bare)
    assert 3.0 <= whole.duration_s < 3.2 and probe(bare).n_frames is None and probe(bare).duration_s is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 1.0 < read_clip(bare[: len(bare) // 2]).duration_s < 2.0


def test_two_files_in_a_row_are_both_heard():
    one, two = tone(1.0, 16_000), tone(1.5, 16_000)
    for kind in ("vorbis", "opus", "mp3"):
        both = encoded(kind, one, 16_000) + encoded(kind, two, 16_000)
        assert abs(read_clip(both).duration_s - 2.5) <= (0.2 if kind == "mp3" else 0.05)  # MP3 pads each
        if kind != "mp3":  # there the first count is passed anyway
            refused(both[:-1], "audio_truncated", "stops early")


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_wav_of_a_live_stream(length):
    data = pcm16(tone(0.5, 16_000))
    live = wav(data, length=length)
    np.testing.assert_array_equal(read_clip(live).samples, read_clip(wav(data)).samples)
    assert probe(live).duration_s == 0.5
    assert read_clip(live[:-1]).n_samples == 7_999  # cut in the middle of its last sample


def test_an_empty_wav_with_chunks_behind_is_no_live_stream():
    refused(wav(b"", after=b"LIST\x04\x00\x00\x00abcd"), "audio_too_short", "0.0 ms")
    assert read_clip(wav(pcm16(tone(0.5, 16_000)), after=b"LIST\x04\x00\x00\x00abcd")).n_samples == 8_000


def test_a_length_beyond_the_bytes_allocates_nothing():
    data = wav(bytes(8_000), length=0xFFFFFFFE)
    refused(data, "audio_truncated", "8044 bytes, 134217.73 s declared")


def test_an_ogg_page_lost_on_the_way():
    data = encoded("vorbis", tone(6.0, 16_000), 16_000)
    pages = [i for i in range(len(data)) if data[i : i + 4] == b"OggS"]
    refused(data[: pages[4]] + data[pages[5] :], "audio_truncated", "stops early")


# The extra


def test_without_the_extra_m4a_names_it_and_the_rest_is_read():
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from ossicle.audio.io import read_clip\n"
        "from ossicle.errors import OssicleError\n"
        "assert read_clip(sys.argv[2]).n_samples == 8000\n"
        "try: read_clip(sys.argv[1])\n"
        "except OssicleError as error: print(error.code, error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        m4a, flac = Path(folder, "a.m4a"), Path(folder, "a.flac")
        m4a.write_bytes(muxed("ipod", "aac", tone(0.5, 16_000), 16_000))
        flac.write_bytes(encoded("flac", tone(0.5, 16_000), 16_000))
        done = subprocess.run([sys.executable, "-c", program, m4a, flac], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("unsupported_media_type") and "pip install 'ossicle[media]'" in done.stdout


# Rates


@pytest.mark.parametrize("rate", [11_025, 16_001, 44_099, 47_999, 191_999])
def test_resampling_in_blocks_equals_resampling_at_once(rate):
    data = encoded("WAV/FLOAT", tone(2.0, rate), rate)
    clip = read_clip(data)
    once = soxr.resample(clip.samples, rate, 16_000)
    streamed = read_clip(data, rate=16_000)
    assert streamed.n_samples == clip.at(16_000).n_samples == -(-clip.n_samples * 16_000 // rate)
    n = min(len(once), streamed.n_samples)
    assert abs(len(once) - streamed.n_samples) <= 1
    np.testing.assert_allclose(streamed.samples[:n], once[:n], atol=1e-6)
    np.testing.assert_allclose(streamed.samples, clip.at(16_000).samples, atol=1e-6)


def test_a_rate_that_is_not_allowed():
    refused(encoded("wav", tone(0.5, 16_000), 16_000), "bad_sample_rate", "3999 Hz", rate=3_999)


# Blocks and memory


@pytest.mark.parametrize("rate", [None, 8_000])
def test_blocks_follow_each_other_without_a_gap(rate):
    data = encoded("opus", tone(5.0, 24_000, 2), 24_000)
    blocks = list(read_blocks(data, rate=rate))
    whole = read_clip(data, rate=rate)
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), whole.samples)
    for before, after in pairwise(blocks):
        assert after.start_s == pytest.approx(before.end_s)


MEMORY_PROGRAM = """
import resource, sys
from ossicle.audio.io import read_blocks
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
seconds = [0.0, 0.0]
for i, path in enumerate(sys.argv[1:]):
    for block in read_blocks(path, rate=16_000):
        seconds[i] += block.duration_s
    print(round(seconds[i]), peak())
"""


@pytest.mark.parametrize("kind", ["opus", "flac"])
def test_a_stream_of_any_length_takes_no_more_memory(tmp_path, kind):
    rate, times = 48_000, 12
    silence = np.zeros((rate * 5, 2), np.float32)
    short, long = tmp_path / "short", tmp_path / "long"
    short.write_bytes(encoded(kind, silence, rate))
    with soundfile.SoundFile(long, "w", rate, 2, format=KINDS[kind][0], subtype=KINDS[kind][1]) as out:
        for _ in range(times):
            out.write(silence)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM, short, long], capture_output=True, text=True, check=True
    )
    (short_s, short_mib), (long_s, long_mib) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert (short_s, long_s) == (5, 5 * times)
    decoded_mib = rate * 5 * times * 2 * 4 / 2**20
    assert long_mib - short_mib < decoded_mib / 3


def test_many_channels_are_read_in_blocks_too():
    samples = tone(1.0, 192_000, 8)
    clip = read_clip(encoded("WAVEX/PCM_16", samples, 192_000), rate=16_000)
    assert clip.n_samples == 16_000


# Out


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".WAV"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    clip = Clip(tone(1.0, 16_000)[:, 0], 16_000)
    path = tmp_path / f"sound{suffix}"
    path.write_bytes(b"older")
    write_clip(clip, path)
    back = read_clip(path)
    assert back.rate == 16_000 and abs(back.duration_s - 1.0) < 0.01
    if suffix.lower() in (".wav", ".flac"):
        np.testing.assert_allclose(back.samples, clip.samples, atol=2**-16 + 1e-9)
    assert os.listdir(tmp_path) == [path.name]
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_second_round_trip_changes_nothing(tmp_path):
    samples = (np.arange(-32_768, 32_768) / 32_768).astype(np.float32)
    write_clip(Clip(samples, 16_000), tmp_path / "a.wav")
    np.testing.assert_array_equal(read_clip(tmp_path / "a.wav").samples, samples)


def test_loud_clips_are_clipped_when_written(tmp_path):
    write_clip(Clip(np.full(4_000, 3.0, np.float32), 16_000), tmp_path / "a.wav")
    assert read_clip(tmp_path / "a.wav").samples.max() == 32_767 / 32_768


def test_what_is_not_written(tmp_path):
    clip = Clip(np.zeros(4_000, np.float32), 11_025)
    with pytest.raises(RequestError, match=r"\.wav, \.flac, .*got the suffix '\.aiff'"):
        write_clip(clip, tmp_path / "a.aiff")
    with pytest.raises(RequestError, match="cannot hold 11025 Hz"):
        write_clip(clip, tmp_path / "a.opus")
    with pytest.raises(AudioInputError, match="finite"):
        write_clip(Clip(np.full(4_000, np.nan, np.float32), 16_000), tmp_path / "a.wav")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_clip(clip, tmp_path / "none" / "a.wav")
    assert caught.value.code == "not_writable"
    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        write_clip(clip, tmp_path / "taken.wav")
    assert os.listdir(tmp_path) == ["taken.wav"]


def test_samples_that_come_in_blocks_are_written_as_a_clip_is(tmp_path):
    samples = (np.arange(-33_000, 33_000) / 32_768).astype(np.float32)
    assert write_wav(iter(np.split(samples, [1, 400, 400, 50_000])), 8_000, tmp_path / "blocks.wav") == 66_000
    write_clip(Clip(samples, 8_000), tmp_path / "clip.wav")
    blocks, clip = read_clip(tmp_path / "blocks.wav"), read_clip(tmp_path / "clip.wav")
    assert blocks.rate == 8_000
    np.testing.assert_array_equal(blocks.samples, clip.samples)


def test_blocks_that_fail_leave_the_older_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")

    def blocks(last):
        yield np.zeros(4_000, np.float32)
        if last is None:
            raise RequestError("no more blocks")
        yield np.full(4_000, last, np.float32)

    with pytest.raises(RequestError, match="no more blocks"):
        write_wav(blocks(None), 16_000, path)
    with pytest.raises(AudioInputError, match="finite"):
        write_wav(blocks(np.nan), 16_000, path)
    with pytest.raises(StorageError, match="cannot be written"):
        write_wav(blocks(0.0), 16_000, tmp_path / "none" / "a.wav")
    assert os.listdir(tmp_path) == ["a.wav"] and path.read_bytes() == b"older"


FULL_PROGRAM = """
import resource, sys
import numpy as np
from ossicle.audio.clip import Clip
from ossicle.audio.io import write_clip, write_wav
from ossicle.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
samples = np.zeros(16_000, np.float32)
try:
    if sys.argv[2] == "clip": write_clip(Clip(samples, 16_000), sys.argv[1])
    else: write_wav([samples], 16_000, sys.argv[1])
except StorageError as error: print(error.code, error)
"""


@pytest.mark.parametrize("what", ["clip", "blocks"])
def test_a_full_disk_leaves_the_older_file(tmp_path, what):
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")
    done = subprocess.run([sys.executable, "-c", FULL_PROGRAM, path, what], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no_space there is no space left")
    assert os.listdir(tmp_path) == ["a.wav"] and path.read_bytes() == b"older"
