"""What the pages, boxes and elements of Ogg, MP4 and WebM files say: codec, length, and whether the file is whole.

Knows containers; decodes nothing. An Ogg file may hold several streams one after another, of which libsndfile reads
only the first, so each is told to the decoder by itself. MP4 and WebM are walked for completeness only: the rest is
PyAV's.
Source: RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), the Vorbis I specification, ISO 14496-12 (boxes), RFC 8794 (EBML).
"""

from dataclasses import dataclass
from functools import lru_cache

from ossicle.audio.guards import check_rate_and_channels, undecodable, unsupported
from ossicle.audio.headers import Header, Piece
from ossicle.audio.layouts import vorbis_layout
from ossicle.audio.sources import ByteFile

OPUS_RATE = 48_000
_OPUS_FILE_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)

_BEGINS, _ENDS = 2, 4
"""Flags of an Ogg page: the first and the last of its stream."""


@dataclass
class _Link:
    """One logical stream of an Ogg file while its pages are walked."""

    first: int
    serial: int
    sequence: int
    codec: str
    rate: int
    channels: int
    skip: int = 0
    discrete: bool = False
    n_packets: int = 0
    granule: int = 0
    ended: bool = False
    end: int = 0

    @property
    def n_frames(self) -> int:
        return max(self.granule - self.skip, 0) * self.rate // (OPUS_RATE if self.codec == "opus" else self.rate)


def read_ogg(file: ByteFile, size: int) -> Header:
    """Walk all pages of an Ogg file.

    Raises:
        AudioInputError: ``audio_undecodable`` when it ends within its headers; ``unsupported_media_type`` for codecs
            other than Vorbis and Opus and for several tracks at once; or a guard's.
    """
    links: list[_Link] = []
    at, cut, tail = 0, False, b""
    while at < size:
        file.seek(at)
        head = file.read(27)
        table = file.read(head[26]) if len(head) == 27 else b""
        if head[:4] != b"OggS"[: len(head)]:
            cut = not (links and links[-1].ended)
            break
        if len(head) < 27 or len(table) < head[26] or at + 27 + len(table) + sum(table) > size:
            cut = True
            tail = _mended_page(head, table, file.read(sum(table)), links)
            break
        if head[5] & _BEGINS:
            if links and not links[-1].ended:
                raise unsupported("Ogg with several tracks at once")
            links.append(_link(at, head, file.read(sum(table))))
        link = links[-1] if links else None
        if link is None or int.from_bytes(head[14:18], "little") != link.serial:
            raise undecodable("its first Ogg page is missing")
        cut = cut or int.from_bytes(head[18:22], "little") != link.sequence
        link.sequence += 1
        at += 27 + len(table) + sum(table)
        _account(link, head, table, at)
    if not links or links[0].n_packets < (3 if links[0].codec == "vorbis" else 2):
        raise undecodable("it ends before its sound begins")
    return _ogg_header(links, cut or not links[-1].ended, tail)


def _account(link: _Link, head: bytes, table: bytes, end: int) -> None:
    link.n_packets += sum(1 for length in table if length < 255)
    granule = int.from_bytes(head[6:14], "little", signed=True)
    link.granule = granule if granule >= 0 else link.granule
    link.ended = bool(head[5] & _ENDS)
    link.end = end


def _ogg_header(links: list[_Link], cut: bool, tail: bytes) -> Header:
    first = links[0]
    for link in links:
        check_rate_and_channels(link.rate, link.channels)
        if (link.codec, link.rate, link.channels) != (first.codec, first.rate, first.channels):
            raise unsupported("Ogg whose codec, sample rate or channels change on the way")
    streams: list[tuple[Piece, ...]] = [((link.first, link.end),) for link in links]
    if tail:
        streams[-1] = (*streams[-1], tail)
    n_frames = sum(link.n_frames for link in links)
    layout = ("",) * first.channels if first.discrete else vorbis_layout(first.channels)
    return Header("ogg", first.codec, first.rate, layout, n_frames, False, cut, tuple(streams))


def _link(at: int, head: bytes, packet: bytes) -> _Link:
    """A new logical stream from its first page."""
    serial, sequence = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    if packet[:7] == b"\x01vorbis" and len(packet) >= 30:
        return _Link(at, serial, sequence, "vorbis", int.from_bytes(packet[12:16], "little"), packet[11])
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        rate = int.from_bytes(packet[12:16], "little")
        rate = rate if rate in _OPUS_FILE_RATES else OPUS_RATE  # Opus itself runs at 48 kHz; this is what was put in
        skip, discrete = int.from_bytes(packet[10:12], "little"), packet[18] > 1
        return _Link(at, serial, sequence, "opus", rate, packet[9], skip, discrete)
    raise unsupported("Ogg with another codec than Vorbis and Opus")


def _mended_page(head: bytes, table: bytes, body: bytes, links: list[_Link]) -> bytes:
    """The whole packets of a page that is cut short, as a page of its own; empty if there is none."""
    if not links or len(head) < 27 or len(table) < head[26]:
        return b""
    kept, kept_bytes, at = 0, 0, 0
    for i, length in enumerate(table):
        at += length
        if at > len(body):
            break
        if length < 255:
            kept, kept_bytes = i + 1, at
    granule = int.from_bytes(head[6:14], "little", signed=True)
    if kept == 0 or granule < 0:
        return b""
    packets = sum(1 for length in table if length < 255)
    share = sum(1 for length in table[:kept] if length < 255) / packets
    granule = links[-1].granule + int((granule - links[-1].granule) * share)
    page = head[:5] + bytes([head[5] & ~_ENDS]) + granule.to_bytes(8, "little") + head[14:22] + bytes(4)
    page += bytes([kept]) + table[:kept] + body[:kept_bytes]
    return page[:22] + _crc(page).to_bytes(4, "little") + page[26:]


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return tuple(table)


def _crc(page: bytes) -> int:
    """Ogg's checksum: CRC-32 with generator 0x04C11DB7, most significant bit first, no inversion."""
    table, value = _crc_table(), 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value


def read_mp4(file: ByteFile, size: int) -> Header:
    """Walk the outermost boxes of an MP4, M4A or QuickTime file.

    Raises:
        AudioInputError: ``audio_undecodable`` when there is neither an index nor sound; ``unsupported_media_type`` for
            IAMF.
    """
    at, cut = 0, False
    names: set[bytes] = set()
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - at
        if len(head) < 8 or length < 8 or not name.isascii():
            cut = True
            break
        if name == b"ftyp" and b"iamf" in head[8:] + file.read(min(length, 256)):
            raise unsupported("IAMF")
        names.add(name)
        at += length
    cut = cut or at > size
    if not names & {b"moov", b"mdat"}:
        raise undecodable("it ends before its sound begins")
    cut = cut or not names >= {b"moov", b"mdat"}
    return Header("mp4", "", 0, (), None, False, cut, (((0, size),),))


_SEGMENT = 0x18538067


def read_webm(file: ByteFile, size: int) -> Header:
    """Walk the elements of a WebM or Matroska file, down to the clusters of its segment.

    Raises:
        AudioInputError: ``audio_undecodable`` when there is no segment.
    """
    at, cut, segment = 0, False, False
    while at < size:
        file.seek(at)
        head = file.read(12)
        name, name_bytes = _vint(head, keep_marker=True)
        length, length_bytes = _vint(head[name_bytes:], keep_marker=False)
        if not name_bytes or not length_bytes:
            cut = True
            break
        at += name_bytes + length_bytes
        unknown = length == (1 << 7 * length_bytes) - 1  # a live stream
        segment = segment or name == _SEGMENT
        if name == _SEGMENT and not unknown and at + length > size:
            cut = True
        if name != _SEGMENT and not unknown:
            at += length
        elif name != _SEGMENT:
            break
    if not segment:
        raise undecodable("it ends before its sound begins")
    return Header("webm", "", 0, (), None, False, cut or at > size, (((0, size),),))


def _vint(data: bytes, *, keep_marker: bool) -> tuple[int, int]:
    """An EBML number of variable length and how many bytes it took; (0, 0) if it is cut or none."""
    if not data or data[0] == 0:
        return 0, 0
    n = 9 - data[0].bit_length()
    if len(data) < n:
        return 0, 0
    value = int.from_bytes(data[:n], "big")
    return (value if keep_marker else value & (1 << 7 * n) - 1), n
