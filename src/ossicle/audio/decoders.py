"""Bytes to blocks of samples: PCM by ourselves, FLAC, Ogg and MP3 by libsndfile, MP4 and WebM by PyAV.

Knows decoders; the header has been read and judged before. A block is (n, C) float32 and small, so that memory stays
bounded however long the audio is. A decoder's own words never leave this file: they carry addresses and paths.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from ossicle.audio.guards import check_rate_and_channels, undecodable, unsupported
from ossicle.audio.headers import Header
from ossicle.audio.pcm import SAMPLE_BYTES, pcm_to_float
from ossicle.audio.sources import ByteFile, Pieces
from ossicle.errors import AudioInputError

BLOCK_FRAMES = 16_384
FLAC_BLOCK_FRAMES = 1_024
"""Small, for a block in which a damaged file stops is lost whole."""

AAC_PADDING = 2_048

_AV_FORMATS = {"mp4": "mov", "webm": "matroska"}
_AV_CODECS = ("aac", "alac", "mp3", "mp3float", "opus", "vorbis", "flac", "ac3", "eac3")


@dataclass(frozen=True)
class Stream:
    """An open decoder.

    Args:
        codec: what it decodes.
        rate: samples per second.
        layout: the speaker of each of the C channels.
        n_frames: samples per channel as declared; None where nothing is.
        blocks: (n, C) float32 each, n >= 1; raises ``audio_undecodable`` where the bytes cannot be decoded further.
    """

    codec: str
    rate: int
    layout: tuple[str, ...]
    n_frames: int | None
    blocks: Iterator[np.ndarray]


@contextmanager
def open_stream(header: Header, file: ByteFile) -> Iterator[Stream]:
    """Open the decoder that fits a header.

    Raises:
        AudioInputError: ``audio_undecodable``; ``unsupported_media_type`` without the extra that a container needs, and
            for codecs that are not read; a guard's.
    """
    if header.container in _AV_FORMATS:
        with _open_av(header, Pieces(file, header.streams[0])) as stream:
            yield stream
        return
    blocks = _pcm_blocks(header, file) if header.codec in SAMPLE_BYTES else _soundfile_blocks(header, file)
    yield Stream(header.codec, header.rate, header.layout, header.n_frames, blocks)


def _pcm_blocks(header: Header, file: ByteFile) -> Iterator[np.ndarray]:
    channels = len(header.layout)
    sound = Pieces(file, header.streams[0])
    while data := sound.read(BLOCK_FRAMES * channels * SAMPLE_BYTES[header.codec]):
        yield pcm_to_float(data, header.codec).reshape(-1, channels)


def _soundfile_blocks(header: Header, file: ByteFile) -> Iterator[np.ndarray]:
    channels = len(header.layout)
    n_block = FLAC_BLOCK_FRAMES if header.codec == "flac" else BLOCK_FRAMES
    n_left = header.n_frames if header.exact else None  # behind the last one there may be a tag to stumble over
    for pieces in header.streams:
        try:
            with soundfile.SoundFile(Pieces(file, pieces)) as sound:
                sound.seekable = lambda: False  # else it seeks after every read, and fails in a file that is cut
                if (sound.samplerate, sound.channels) != (header.rate, channels):
                    raise unsupported("audio whose sample rate or channels are not those of its header")
                while n_left != 0:
                    block = np.empty((n_block if n_left is None else min(n_block, n_left), channels), np.float32)
                    n = sound.buffer_read_into(block, dtype="float32")
                    if n == 0:
                        break
                    yield block[:n]
                    n_left = None if n_left is None else n_left - n
        except soundfile.SoundFileError:
            raise undecodable("the decoder stopped") from None


@contextmanager
def _open_av(header: Header, file: ByteFile) -> Iterator[Stream]:
    try:
        import av
    except ImportError:
        raise AudioInputError(
            "M4A, WebM and video need another decoder: pip install 'ossicle[media]', or give WAV, FLAC, Ogg or MP3",
            code="unsupported_media_type",
        ) from None
    try:
        # The demuxer is named and gets bytes, not a name: nothing in the file can make it open another file or host.
        container = av.open(file, format=_AV_FORMATS[header.container], metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError):
        raise undecodable("its index is damaged or missing") from None
    with container:
        if not container.streams.audio:
            raise undecodable("it holds no audio track")
        track = container.streams.audio[0]
        codec = track.codec_context.name
        if codec not in _AV_CODECS and not codec.startswith("pcm_"):
            raise unsupported(f"{header.container.upper()} with audio of this codec")
        check_rate_and_channels(track.rate or 0, track.channels)
        layout = tuple(channel.name for channel in track.layout.channels)
        seconds = None if container.duration is None else container.duration / 1e6
        if track.duration is not None and track.time_base is not None:
            seconds = float(track.duration * track.time_base)
        n_frames = None if seconds is None else round(seconds * track.rate) or None
        resampler = av.AudioResampler(format="fltp")  # only to one sample format: rate and layout stay
        blocks = _av_blocks(container.decode(track), resampler, (track.rate, len(layout)), av.error.FFmpegError)
        if header.container == "mp4" and n_frames:
            blocks = _without_padding(blocks, n_frames)
        yield Stream(codec, track.rate, layout, n_frames, blocks)


def _av_blocks(
    frames: Iterator[Any], resampler: Any, shape: tuple[int, int], error: type[Exception]
) -> Iterator[np.ndarray]:
    try:
        for frame in frames:
            for part in resampler.resample(frame):
                block = part.to_ndarray().T
                if (part.sample_rate, block.shape[1]) != shape:
                    raise unsupported("audio whose sample rate or channels change on the way")
                yield np.ascontiguousarray(block)
    except (error, ValueError):
        raise undecodable("the decoder stopped") from None


def _without_padding(blocks: Iterator[np.ndarray], n_frames: int) -> Iterator[np.ndarray]:
    """Leave out what an encoder added to fill its last frame; more than that beyond the declared length is sound."""
    n, rest, n_rest = 0, [], 0
    for block in blocks:
        inside = block[: max(n_frames - n, 0)]
        if len(inside):
            yield inside
        n += len(block)
        if len(inside) < len(block):
            rest.append(block[len(inside) :])
            n_rest += len(rest[-1])
        if n_rest > AAC_PADDING:
            yield from rest
            rest = []
