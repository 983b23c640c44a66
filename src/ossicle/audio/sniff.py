"""Which kind of file some bytes are, by their first bytes and never by a name.

Knows magic numbers; an allowlist: only what is named here reaches a parser, and only what a parser accepts reaches a
decoder. Playlists are refused here, for a decoder that followed one would open other files and hosts.
"""

from dataclasses import replace

from ossicle.audio.containers import read_mp4, read_ogg, read_webm
from ossicle.audio.guards import undecodable, unsupported
from ossicle.audio.headers import Header, Piece, after_id3, read_flac, read_mp3, read_wav, starts_mp3
from ossicle.audio.sources import ByteFile, Pieces
from ossicle.errors import AudioInputError

_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp")

_REFUSED = (
    (0, b"#EXTM3U", "a playlist"),
    (0, b"ffconcat", "a list of files"),
    (0, b"file ", "a list of files"),
    (0, b"[playlist]", "a playlist"),
    (2, b"iamf", "IAMF"),
    (0, b"MThd", "MIDI"),
    (8, b"AVI ", "AVI"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b".snd", "AU"),
    (0, b"caff", "CAF"),
    (0, b"#!AMR", "AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"DSD ", "DSD"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"ADIF", "AAC without a container"),
    (0, b"\x00\x00\x01\xba", "an MPEG program stream"),
)


def sniff(file: ByteFile, size: int) -> str | None:
    """The container's name, or None for bytes of no known kind.

    Raises:
        AudioInputError: ``unsupported_media_type`` for a known kind that is not read.
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[4:8] in _MP4_BOXES:
        return "mp4"
    text = head.removeprefix(b"\xef\xbb\xbf")
    for at, magic, what in _REFUSED:
        if text[at : at + len(magic)] == magic:
            raise unsupported(what)
    if starts_mp3(file, 0):
        return "mp3"
    if _starts_aac(file):
        raise unsupported("AAC without a container")
    return None


def read_header(file: ByteFile, size: int) -> Header:
    """What kind of audio a file of ``size`` bytes holds and what it says of itself.

    Raises:
        AudioInputError: ``audio_empty`` for no bytes; ``audio_undecodable``; ``unsupported_media_type``; or a guard's.
    """
    if size == 0:
        raise AudioInputError("there are no bytes: the audio is empty", code="audio_empty")
    first = after_id3(file, 0, size)
    if first == size:
        raise undecodable("it ends within its tags")
    if first:
        rest = Pieces(file, ((first, size),))
        header = _read(rest, rest.size)
        return replace(header, streams=tuple(_shifted(pieces, first) for pieces in header.streams))
    return _read(file, size)


def _read(file: ByteFile, size: int) -> Header:
    match sniff(file, size):
        case "wav":
            return read_wav(file, size)
        case "flac":
            return read_flac(file, size)
        case "ogg":
            return read_ogg(file, size)
        case "mp3":
            return read_mp3(file, 0, size)
        case "mp4":
            return read_mp4(file, size)
        case "webm":
            return read_webm(file, size)
    raise undecodable("they begin like no audio file that is known")


def _shifted(pieces: tuple[Piece, ...], by: int) -> tuple[Piece, ...]:
    return tuple(piece if isinstance(piece, bytes) else (piece[0] + by, piece[1] + by) for piece in pieces)


def _starts_aac(file: ByteFile) -> bool:
    """Whether two AAC frames (ADTS) follow each other from the start."""
    file.seek(0)
    head = file.read(7)
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    file.seek((head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5)
    return file.read(2) == head[:2]
