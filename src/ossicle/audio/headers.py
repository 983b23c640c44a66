"""What the first bytes of a WAV, FLAC or MP3 file say, before anything is decoded.

Knows bytes; allocates nothing by what a header claims. libsndfile reads a file that stops early
without a word, so what was promised is compared here with what is there.
Source: the RIFF/WAVE and RF64 (EBU Tech 3306) formats, RFC 9639 for FLAC, ISO 11172-3 with the Xing and LAME tags.
"""

import re
from dataclasses import dataclass

from ossicle.audio.guards import check_rate_and_channels, undecodable, unsupported
from ossicle.audio.layouts import wav_layout
from ossicle.audio.sources import ByteFile

Piece = tuple[int, int] | bytes

_LIVE_LENGTHS = (0, 0xFFFFFFFF)
"""Data lengths of a WAV that was written while it sounded: nothing was known yet."""
_LIVE_LENGTH_PIPED = 0x7FFFF000
"""What sox and espeak-ng write into a pipe, rounded down to whole frames."""
_MAX_CHUNKS = 4096
_MAX_TAGS = 16

_PCM_TAG, _FLOAT_TAG, _ALAW_TAG, _MULAW_TAG, _EXTENSIBLE_TAG = 1, 3, 6, 7, 0xFFFE
_WAV_CODECS = {
    (_PCM_TAG, 8): "pcm_u8",
    (_PCM_TAG, 16): "pcm_s16le",
    (_PCM_TAG, 24): "pcm_s24le",
    (_PCM_TAG, 32): "pcm_s32le",
    (_FLOAT_TAG, 32): "pcm_f32le",
    (_FLOAT_TAG, 64): "pcm_f64le",
    (_ALAW_TAG, 8): "pcm_alaw",
    (_MULAW_TAG, 8): "pcm_mulaw",
}


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        container: "wav", "flac", "ogg", "mp3", "mp4", "webm" or "raw".
        codec: for mp4 and webm empty until PyAV has opened the file.
        rate: samples per second; 0 for mp4 and webm.
        layout: the speaker of each channel; empty for mp4 and webm.
        n_frames: samples per channel as declared; None where nothing is.
        exact: whether fewer decoded samples than ``n_frames`` mean that something is missing.
        cut: whether bytes are missing, as far as that shows without decoding.
        streams: what the decoder reads, one after another: normally the whole file.
    """

    container: str
    codec: str
    rate: int
    layout: tuple[str, ...]
    n_frames: int | None
    exact: bool
    cut: bool
    streams: tuple[tuple[Piece, ...], ...]


def _little(data: bytes, at: int, n: int) -> int:
    return int.from_bytes(data[at : at + n], "little")


# WAV


def read_wav(file: ByteFile, size: int) -> Header:
    """The header of a RIFF or RF64 file of type WAVE.

    Raises:
        AudioInputError: ``audio_undecodable``, ``unsupported_media_type``, or a guard's.
    """
    fmt, ds64, at = b"", b"", 12
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            raise undecodable("it ends before its sound begins")
        name, length = head[:4], _little(head, 4, 4)
        if name == b"data":
            return _wav_data(file, size, fmt, at + 8, _little(ds64, 8, 8) if ds64 and length == 0xFFFFFFFF else length)
        if name == b"fmt ":
            fmt = file.read(min(length, 64))
        elif name == b"ds64":
            ds64 = file.read(min(length, 64))
        at += 8 + length + length % 2
    raise undecodable(f"its sound does not begin within {_MAX_CHUNKS} chunks")


def _wav_data(file: ByteFile, size: int, fmt: bytes, first: int, length: int) -> Header:
    if len(fmt) < 16:
        raise undecodable("its sound comes before a format chunk of at least 16 bytes")
    tag, channels, rate = _little(fmt, 0, 2), _little(fmt, 2, 2), _little(fmt, 4, 4)
    align, bits, mask = _little(fmt, 12, 2), _little(fmt, 14, 2), 0
    if tag == _EXTENSIBLE_TAG and len(fmt) >= 40:
        mask, tag = _little(fmt, 20, 4), _little(fmt, 24, 2)
    check_rate_and_channels(rate, channels)
    known = tag in (_PCM_TAG, _FLOAT_TAG, _ALAW_TAG, _MULAW_TAG)
    if known and (bits == 0 or align == 0):
        raise undecodable(f"it says {bits} bits a sample and {align} bytes a frame")
    codec = _WAV_CODECS.get((tag, bits))
    if codec is None:
        raise unsupported(f"WAV with format tag {tag} and {bits} bits a sample")
    if align != channels * bits // 8:
        raise undecodable(f"{channels} channels of {bits} bits cannot take {align} bytes a frame")
    present = size - first
    live = length in _LIVE_LENGTHS or length == _LIVE_LENGTH_PIPED // align * align
    if _only_chunks(file, first, size) if length == 0 else length <= present:
        live = False  # the length is true after all
    if live:
        length = present - present % align
    elif length % align:
        raise undecodable(f"{length} bytes of sound are not whole frames of {align} bytes")
    here = min(length, present)
    sound: Piece = (first, first + here - here % align)
    return Header("wav", codec, rate, wav_layout(channels, mask), length // align, True, length > present, ((sound,),))


def _only_chunks(file: ByteFile, first: int, size: int) -> bool:
    """Whether what follows an empty data chunk is other chunks up to the file's end, and not a live stream's sound."""
    at = first
    for _ in range(_MAX_CHUNKS):
        if at >= size:
            return True
        file.seek(at)
        head = file.read(8)
        if not re.fullmatch(rb"[ -~]{4}[\s\S]{4}", head):
            return False
        at += 8 + _little(head, 4, 4) + head[4] % 2
        if at > size + 1:
            return False
    return False


# FLAC


def read_flac(file: ByteFile, size: int) -> Header:
    """The header of a FLAC file: its stream info, and that the metadata are whole.

    Raises:
        AudioInputError: ``audio_undecodable``, or a guard's.
    """
    file.seek(4)
    head = file.read(4 + 34)
    if len(head) < 38 or head[0] & 0x7F != 0:
        raise undecodable("it ends before its stream info")
    bits = int.from_bytes(head[14:22], "big")
    rate, channels, total = bits >> 44, (bits >> 41 & 7) + 1, bits & (1 << 36) - 1
    check_rate_and_channels(rate, channels)
    at, last = 4, False
    while not last:
        file.seek(at)
        block = file.read(4)
        at += 4 + int.from_bytes(block[1:4], "big")
        if len(block) < 4 or at > size:
            raise undecodable("it ends before its sound begins")
        last = bool(block[0] & 0x80)
    n_frames = total or (0 if at == size else None)
    return Header("flac", "flac", rate, wav_layout(channels), n_frames, True, total > 0 and at == size, (((0, size),),))


# MP3

_MP3_KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


@dataclass(frozen=True)
class MpegFrame:
    """One frame header of MPEG audio, layer III: ``n_bytes`` to the next, ``n_samples`` per channel inside."""

    rate: int
    channels: int
    n_bytes: int
    n_samples: int
    side_bytes: int


def mpeg_frame(head: bytes) -> MpegFrame | None:
    """The frame that four bytes announce, or None if they announce no layer III frame of a stated bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbps_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer != 1 or kbps_index in (0, 15) or rate_index == 3:
        return None
    rate = (44_100, 48_000, 32_000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    channels = 1 if head[3] >> 6 == 3 else 2
    kbps = (_MP3_KBPS_1 if version == 3 else _MP3_KBPS_2)[kbps_index]
    n_samples = 1152 if version == 3 else 576
    side = (32 if channels == 2 else 17) if version == 3 else (17 if channels == 2 else 9)
    return MpegFrame(rate, channels, n_samples // 8 * kbps * 1000 // rate + (head[2] >> 1 & 1), n_samples, side)


def starts_mp3(file: ByteFile, at: int) -> bool:
    """Whether two frames of one rate follow each other from ``at`` on: two bytes alone may stand anywhere."""
    file.seek(at)
    first = mpeg_frame(file.read(4))
    if first is None:
        return False
    file.seek(at + first.n_bytes)
    second = mpeg_frame(file.read(4))
    return second is not None and second.rate == first.rate


def read_mp3(file: ByteFile, first: int, size: int) -> Header:
    """The header of an MP3 stream that begins at ``first``: its first frame, and the frame count if it holds one.

    libsndfile stops at the count, and without one at its own guess. So the decoder is given a count that is true, or
    one that is never reached.
    """
    file.seek(first)
    head = file.read(4)
    frame = mpeg_frame(head)
    assert frame is not None, "starts_mp3 has been asked"
    check_rate_and_channels(frame.rate, frame.channels)
    layout = wav_layout(frame.channels)
    tag_at = 4 + frame.side_bytes + (0 if head[1] & 1 else 2)
    info = head + file.read(frame.n_bytes - 4)
    tag = info[tag_at:]
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 16 or not tag[7] & 1:
        return Header("mp3", "mp3", frame.rate, layout, None, False, False, ((_endless(head), (first, size)),))
    declared = int.from_bytes(tag[8:12], "big")
    present, end = _count_frames(file, first + frame.n_bytes, size)
    all_bytes = bool(tag[7] & 2) and end - first >= int.from_bytes(tag[12:16], "big")
    cut = present < declared and not (all_bytes and present + 1 == declared)  # some encoders count the first one too
    lame, samples = max(tag.find(b"LAME"), tag.find(b"Lav")), declared * frame.n_samples
    if lame >= 0 and len(tag) >= lame + 24:
        gaps = int.from_bytes(tag[lame + 21 : lame + 24], "big")
        samples = max(samples - (gaps >> 12) - (gaps & 0xFFF), 0)
    if present == declared:
        return Header("mp3", "mp3", frame.rate, layout, samples, False, cut, (((first, size),),))
    true = bytearray(info)
    true[tag_at + 8 : tag_at + 12] = present.to_bytes(4, "big")
    if tag[7] & 2:
        true[tag_at + 12 : tag_at + 16] = (end - first).to_bytes(4, "big")
    if lame >= 0 and len(tag) >= lame + 24:  # what was added at the end is not there, or is in the middle
        true[tag_at + lame + 22 : tag_at + lame + 24] = bytes([tag[lame + 22] & 0xF0, 0])
    pieces: tuple[Piece, ...] = (bytes(true), (first + frame.n_bytes, end))
    return Header("mp3", "mp3", frame.rate, layout, samples, False, cut, (pieces,))


def _endless(head: bytes) -> bytes:
    """A frame without sound, of the kind of ``head``, with a count that no file reaches."""
    like = bytes([0xFF, head[1] | 1, 0x90 | head[2] & 0x0C, head[3]])
    frame = mpeg_frame(like)
    assert frame is not None
    tag = like + bytes(frame.side_bytes) + b"Info" + (1).to_bytes(4, "big") + (0x0FFFFFFF).to_bytes(4, "big")
    return tag.ljust(frame.n_bytes, b"\0")


def _count_frames(file: ByteFile, at: int, size: int) -> tuple[int, int]:
    """How many whole frames there are from ``at`` on, and where the last of them ends.

    Up to 4 KiB of something else, or a tag, may lie between two frames: files are joined end to end.
    """
    count, end = 0, at
    while at + 4 <= size:
        file.seek(at)
        frame = mpeg_frame(file.read(4))
        if frame is None:
            at = _next_frame(file, at, size)
        elif at + frame.n_bytes > size:
            break
        else:
            at = end = at + frame.n_bytes
            count += 1
    return count, end


def _next_frame(file: ByteFile, at: int, size: int) -> int:
    at = after_id3(file, at, size)
    file.seek(at)
    for offset, byte in enumerate(file.read(4096)):
        if byte == 0xFF and starts_mp3(file, at + offset):
            return at + offset
    return size


def after_id3(file: ByteFile, at: int, size: int) -> int:
    """Where ID3v2 tags that begin at ``at`` end: ``at`` itself without one, at most ``size``."""
    for _ in range(_MAX_TAGS):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            break
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        at = min(at + 10 + length + (10 if head[5] & 0x10 else 0), size)
    return at
