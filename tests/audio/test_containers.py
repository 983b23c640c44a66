"""Ogg, MP4 and WebM as they are walked: links, lost and cut pages, boxes and elements."""

import io

import numpy as np
import pytest
import soundfile

from ossicle.audio.containers import read_mp4, read_ogg, read_webm
from ossicle.audio.io import probe, read_clip
from ossicle.errors import AudioInputError

from .made import encoded, muxed, tone


def parsed(read, data: bytes):
    return read(io.BytesIO(data), len(data))


def refused(read, data: bytes, code: str, match: str) -> None:
    with pytest.raises(AudioInputError, match=match) as caught:
        parsed(read, data)
    assert caught.value.code == code


def pages(data: bytes) -> list[bytes]:
    starts = [i for i in range(len(data)) if data[i : i + 5] == b"OggS\0"]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


@pytest.mark.parametrize(("kind", "rate"), [("vorbis", 22_050), ("opus", 24_000)])
def test_an_ogg_header(kind, rate):
    header = parsed(read_ogg, encoded(kind, tone(1.0, rate, 2), rate))
    assert (header.codec, header.rate, header.layout) == (kind, rate, ("FL", "FR"))
    assert (header.n_frames, header.cut) == (rate, False)


def test_opus_of_a_rate_that_its_decoder_lacks_comes_at_48_khz():
    data = bytearray(encoded("opus", tone(1.0, 16_000), 16_000))
    at = data.index(b"OpusHead")
    data[at + 12 : at + 16] = (44_100).to_bytes(4, "little")
    assert parsed(read_ogg, bytes(data)).rate == 48_000


def test_every_cut_of_an_ogg_file_shows():
    data = encoded("vorbis", tone(3.0, 8_000), 8_000)
    edges = np.cumsum([len(page) for page in pages(data)])
    for cut in (*edges[2:-1], *(edges[2:-1] + 10), *(edges[2:-1] + 40), len(data) - 1):
        assert parsed(read_ogg, data[:cut]).cut, cut
    refused(read_ogg, data[: edges[0]], "audio_undecodable", "ends before its sound begins")


def test_the_whole_packets_of_a_page_that_is_cut_are_kept():
    data = encoded("opus", tone(1.5, 16_000), 16_000)
    cut = data[: len(data) - 2_000]
    header = parsed(read_ogg, cut)
    *_, tail = header.streams[0]
    assert isinstance(tail, bytes) and tail[:4] == b"OggS"
    first, end = header.streams[0][0]
    mended, _ = soundfile.read(io.BytesIO(cut[first:end] + tail), dtype="float32")  # its checksum is right
    whole, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    assert 0.5 * len(whole) < len(mended) < len(whole)
    np.testing.assert_allclose(mended[:8_000], whole[:8_000], atol=1e-6)


def test_a_page_cut_before_its_first_packet_ends_gives_nothing():
    data = encoded("opus", tone(0.5, 16_000), 16_000)
    last = pages(data)[-1]
    begin = len(data) - len(last)
    for kept in (10, 27, 28, 27 + last[26] + 1):
        header = parsed(read_ogg, data[: begin + kept])
        assert header.cut and header.streams == (((0, begin),),)
        with pytest.raises(AudioInputError, match="stops before its first whole sample") as caught:
            read_clip(data[: begin + kept], allow_truncated=True)
        assert caught.value.code == "audio_truncated"


def test_a_last_page_without_a_position_is_left_out():
    data = encoded("opus", tone(1.5, 16_000), 16_000)
    last = pages(data)[-1]
    begin = len(data) - len(last)
    page = last[:6] + b"\xff" * 8 + last[14:]
    header = parsed(read_ogg, data[:begin] + page[:-100])
    assert header.cut and header.streams == (((0, begin),),)


def test_other_bytes_after_the_end_do_not_matter_before_it_they_do():
    data = encoded("vorbis", tone(3.0, 8_000), 8_000)
    assert not parsed(read_ogg, data + b"TAG" + bytes(125)).cut
    first, *_, last = pages(data)
    assert parsed(read_ogg, data[: -len(last)] + b"junk" + last).cut
    refused(read_ogg, data[len(first) :], "audio_undecodable", "first Ogg page is missing")


def test_ogg_with_other_codecs_or_several_tracks():
    flac = muxed("ogg", "flac", tone(0.5, 16_000), 16_000)
    refused(read_ogg, flac, "unsupported_media_type", "another codec than Vorbis and Opus")
    one, two = (pages(encoded("vorbis", tone(s, 8_000), 8_000)) for s in (0.5, 0.6))
    refused(
        read_ogg, b"".join([one[0], two[0], *one[1:], *two[1:]]), "unsupported_media_type", "several tracks at once"
    )
    mixed = b"".join(one[:-1] + two[1:])
    refused(read_ogg, mixed, "audio_undecodable", "first Ogg page is missing")


def test_links_that_differ_are_refused():
    one = encoded("vorbis", tone(0.5, 8_000), 8_000)
    for other in (encoded("vorbis", tone(0.5, 16_000), 16_000), encoded("vorbis", tone(0.5, 8_000, 2), 8_000)):
        refused(read_ogg, one + other, "unsupported_media_type", "change on the way")
    assert probe(one + one).duration_s == 1.0


def test_ogg_rates_and_channels_pass_the_guards():
    data = encoded("vorbis", tone(0.5, 8_000), 8_000)
    at = data.index(b"\x01vorbis")
    fast = data[: at + 12] + (200_000).to_bytes(4, "little") + data[at + 16 :]
    refused(read_ogg, fast, "bad_sample_rate", "200000 Hz")
    refused(read_ogg, data[: at + 11] + b"\xff" + data[at + 12 :], "too_many_channels", "255 channels")


def box(name: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return (8 + len(body) if length is None else length).to_bytes(4, "big") + name + body


def test_mp4_boxes():
    ftyp, moov, mdat = box(b"ftyp", b"M4A \0\0\0\0"), box(b"moov", bytes(20)), box(b"mdat", bytes(50))
    assert not parsed(read_mp4, ftyp + moov + mdat).cut
    assert not parsed(read_mp4, ftyp + moov + box(b"mdat", bytes(50), length=0)).cut  # to the end
    large = (1).to_bytes(4, "big") + b"mdat" + (66).to_bytes(8, "big") + bytes(50)
    assert not parsed(read_mp4, ftyp + moov + large).cut
    for cut in (ftyp + moov + mdat[:-1], ftyp + mdat, ftyp + moov, ftyp + moov + mdat + b"\0\0\0", large[:-1] + moov):
        assert parsed(read_mp4, cut).cut
    assert parsed(read_mp4, ftyp + moov + mdat + box(b"free", length=3)).cut
    assert parsed(read_mp4, ftyp + moov + mdat + box(b"\xff\xff\xff\xff")).cut
    refused(read_mp4, ftyp, "audio_undecodable", "ends before its sound begins")
    refused(read_mp4, box(b"ftyp", b"iamf\0\0\0\0") + moov + mdat, "unsupported_media_type", "IAMF is not read")


def element(name: str, body: bytes, *, size: bytes | None = None) -> bytes:
    return bytes.fromhex(name) + ((len(body) | 0x4000).to_bytes(2, "big") if size is None else size) + body


def test_webm_elements():
    head, cluster = element("1a45dfa3", bytes(20)), element("1f43b675", bytes(100))
    unknown = b"\x01" + b"\xff" * 7
    whole = head + element("18538067", cluster + cluster)
    live = head + element("18538067", cluster + cluster, size=unknown)
    assert not parsed(read_webm, whole).cut and not parsed(read_webm, live).cut
    assert not parsed(
        read_webm, head + element("18538067", element("1f43b675", bytes(9), size=unknown), size=unknown)
    ).cut
    for data in (whole, live):
        assert parsed(read_webm, data[:-1]).cut
        assert parsed(read_webm, data[: len(head) + 12 + 103 + 2]).cut  # within the next element's name
    assert parsed(read_webm, live + b"\0").cut
    refused(read_webm, head, "audio_undecodable", "ends before its sound begins")
    refused(read_webm, b"\x1a\x45", "audio_undecodable", "ends before its sound begins")
