"""Audio in and out: the only door through which bytes become clips, so every guard stands here.

Knows sources, rates and rules; the headers, decoders and layouts beside it know the formats. Audio is decoded in small
blocks, mixed to one channel and resampled as it comes, however long it is; a header's claims allocate nothing.
The checks run in this order: bytes, magic, header (channels, rate), decoding, completeness, finite, range, length.
"""

import errno
import os
import secrets
import warnings
import wave
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from ossicle.audio.clip import Clip
from ossicle.audio.decoders import Stream, open_stream
from ossicle.audio.guards import (
    LOUDEST,
    check_finite,
    check_length,
    check_peak,
    check_rate_and_channels,
    undecodable,
)
from ossicle.audio.headers import Header
from ossicle.audio.layouts import downmix, wav_layout
from ossicle.audio.lengths import resampled_samples
from ossicle.audio.pcm import SAMPLE_BYTES, scale
from ossicle.audio.sniff import read_header, sniff
from ossicle.audio.sources import ByteFile, Source, open_source, size_of
from ossicle.errors import AudioInputError, RequestError, StorageError

HEADER_BYTES = 100
"""A file that was cut within so many bytes has kept its header at most, and no sound worth the name."""
LATE_S = 0.5
"""How much shorter than declared a file may decode whose declaration is not exact."""

__all__ = ["Info", "Source", "probe", "read_blocks", "read_clip", "write_clip", "write_wav"]


@dataclass(frozen=True)
class Info:
    """What a file says of itself, before anything is decoded.

    Args:
        container: "wav", "flac", "ogg", "mp3", "mp4", "webm", "raw" or "array".
        codec: such as "pcm_s16le", "flac", "vorbis", "opus", "mp3", "aac".
        rate: samples per second.
        channels: channels in the file; a clip has one.
        n_frames: samples per channel as declared, None where nothing is.
        n_bytes: encoded size.
        cut: whether bytes are missing, as far as that shows without decoding; `read_clip` then refuses the file.
    """

    container: str
    codec: str
    rate: int
    channels: int
    n_frames: int | None
    n_bytes: int
    cut: bool = False

    @property
    def duration_s(self) -> float | None:
        """Length in seconds as declared."""
        return None if self.n_frames is None else self.n_frames / self.rate


def probe(source: Source, *, format: str | None = None, rate: int | None = None, channels: int | None = None) -> Info:
    """Read the header only.

    Args:
        source: as in ``read_clip``.
        format, channels: as in ``read_clip``.
        rate: the rate of an array or of raw PCM; ignored otherwise.

    Raises:
        AudioInputError, FetchError, RequestError: as ``read_clip`` does for what shows without decoding.
    """
    if isinstance(source, np.ndarray):
        samples, rate = _array_frames(source, rate)
        return Info("array", str(source.dtype), rate, samples.shape[1], len(samples), source.nbytes)
    with open_source(source) as file:
        header, size = _header(file, format, rate, channels)
        with open_stream(header, file) as stream:
            channels, n_frames = len(stream.layout), stream.n_frames
            return Info(header.container, stream.codec, stream.rate, channels, n_frames, size, header.cut)


def read_clip(
    source: Source,
    *,
    rate: int | None = None,
    allow_truncated: bool = False,
    format: str | None = None,
    channels: int | None = None,
) -> Clip:
    """Read audio into one clip, mixed to mono.

    Args:
        source: a path, bytes, an open binary file, or an array of shape (S,), (S, C) or (C, S) with C <= 8 channels:
            the shorter axis is the channels, a square is (S, C). Integers are divided by their full scale.
        rate: samples per second of the clip; None keeps the file's own. An array and raw PCM say nothing of their
            rate: there it is theirs, and required.
        allow_truncated: read what is there of a file that stops early, with a warning that tells how much.
        format: "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_f64le", "pcm_alaw" or "pcm_mulaw"
            for raw samples without a header. Anything else is a hint without effect: the bytes themselves decide.
        channels: channels of raw PCM; ignored otherwise.

    Returns:
        A clip of at least 80 ms; values beyond [-1, 1] are kept.

    Raises:
        AudioInputError: whatever is wrong with the bytes; ``code`` says which.
        FetchError: ``file_not_found``, ``path_not_allowed``.
        RequestError: ``missing_parameter``, ``invalid_value``.
    """
    if isinstance(source, np.ndarray):
        return _read_array(source, rate)
    samples, filled, clip_rate = np.empty(0, np.float32), 0, 0
    blocks = read_blocks(source, rate=rate, allow_truncated=allow_truncated, format=format, channels=channels)
    for block in blocks:
        if filled + block.n_samples > len(samples):
            # Grown in place by a fifth, where a list of blocks would need twice the memory at its end.
            samples.resize((filled + block.n_samples) * 6 // 5, refcheck=False)
        samples[filled : filled + block.n_samples] = block.samples
        filled += block.n_samples
        clip_rate = block.rate
    samples.resize(filled, refcheck=False)
    return Clip(samples, clip_rate)


def read_blocks(
    source: Source,
    *,
    rate: int | None = None,
    allow_truncated: bool = False,
    format: str | None = None,
    channels: int | None = None,
) -> Iterator[Clip]:
    """Read audio as a stream of short clips that follow each other without a gap, in bounded memory.

    Together they are exactly what ``read_clip`` returns for the same arguments (an array is one block); what is wrong
    with the end of the audio is raised only when it is reached.
    """
    if isinstance(source, np.ndarray):
        yield _read_array(source, rate)
        return
    with open_source(source) as file:
        header, size = _header(file, format, rate, channels)
        if rate is not None:
            check_rate_and_channels(rate, 1)
        if header.cut:
            _refuse_cut(size, None, header, allow_truncated)
        with open_stream(header, file) as stream:
            guard = _Guard(header, stream, size, allow_truncated)
            out_rate = stream.rate if rate is None or header.container == "raw" else rate
            done = 0
            for block in _resampled(guard.mono(), stream.rate, out_rate):
                yield Clip(block, out_rate, done / out_rate)
                done += len(block)


def _header(file: ByteFile, format: str | None, rate: int | None, channels: int | None) -> tuple[Header, int]:
    size = size_of(file)
    if format is not None and format.lower().startswith(("pcm", "raw")):
        return _raw_header(file, size, format.lower(), rate, channels), size
    return read_header(file, size), size


def _raw_header(file: ByteFile, size: int, format: str, rate: int | None, channels: int | None) -> Header:
    if format not in SAMPLE_BYTES:
        code = "missing_parameter" if format in ("pcm", "raw") else "invalid_value"
        raise RequestError(f"the format of raw samples must be one of {', '.join(SAMPLE_BYTES)}", code=code)
    if rate is None or channels is None:
        raise RequestError(f"raw {format} needs both rate and channels", code="missing_parameter")
    if size == 0:
        raise AudioInputError("there are no bytes: the audio is empty", code="audio_empty")
    known = sniff(file, size)
    if known is not None:
        raise AudioInputError(
            f"the format is said to be raw {format}, but the bytes are a {known} file: leave the format out",
            code="format_mismatch",
        )
    check_rate_and_channels(rate, channels)
    align = channels * SAMPLE_BYTES[format]
    if size % align:
        raise AudioInputError(
            f"{size} bytes are not a whole number of {format} frames of {channels} channels ({align} bytes each)",
            code="bad_pcm_length",
        )
    return Header("raw", format, rate, wav_layout(channels), size // align, True, False, (((0, size),),))


def _array_frames(array: np.ndarray, rate: int | None) -> tuple[np.ndarray, int]:
    """An array as (S, C) float32 with its rate, guarded as a header is."""
    if rate is None:
        raise RequestError("an array says nothing of its sample rate: give rate", code="missing_parameter")
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf" or array.dtype in (np.int64, np.uint64):
        raise undecodable(
            f"an array has one or two axes of float or of 8 to 32 bit integer samples, got {array.ndim} axes of "
            f"{array.dtype}"
        )
    if array.size == 0:
        raise AudioInputError("the array has no samples: the audio is empty", code="audio_empty")
    frames = array[:, None] if array.ndim == 1 else array if array.shape[0] >= array.shape[1] else array.T
    check_rate_and_channels(rate, frames.shape[1])
    if frames.dtype.kind == "u":
        half = 1 << 8 * frames.dtype.itemsize - 1
        return (frames.astype(np.float64) / half - 1.0).astype(np.float32), rate
    return scale(frames), rate


def _read_array(array: np.ndarray, rate: int | None) -> Clip:
    frames, rate = _array_frames(array, rate)
    check_finite(frames)
    check_peak(float(np.abs(frames).max()))
    check_length(len(frames), rate)
    return Clip(np.ascontiguousarray(downmix(frames, wav_layout(frames.shape[1]))), rate)


class _Guard:
    """Mixes a stream's blocks to one channel and checks what shows only while it is decoded."""

    def __init__(self, header: Header, stream: Stream, size: int, allow_truncated: bool) -> None:
        self.header, self.stream, self.size, self.allow = header, stream, size, allow_truncated

    def mono(self) -> Iterator[np.ndarray]:
        """(n,) float32 blocks; raises at the end, or where nothing further can be right."""
        done, peak, stopped = 0, 0.0, self.header.cut
        try:
            for block in self.stream.blocks:
                check_finite(block)
                peak = max(peak, float(np.abs(block).max()))
                done += len(block)
                if peak <= LOUDEST:
                    yield downmix(block, self.stream.layout)
        except AudioInputError as error:
            if error.code != "audio_undecodable" or (done == 0 and self.header.codec != "flac" and not stopped):
                raise
            stopped = True
        self._check_complete(done, stopped)
        check_peak(peak)
        check_length(done, self.stream.rate)

    def _check_complete(self, done: int, stopped: bool) -> None:
        declared, rate = self.stream.n_frames, self.stream.rate
        short = 0 if declared is None else declared - done
        late = 0 if self.header.exact else round(LATE_S * rate)
        if not stopped and (short <= late or self.header.container == "webm"):
            return
        _refuse_cut(self.size, done / rate, self.header, self.allow)
        if done == 0:
            raise AudioInputError("the audio stops before its first whole sample", code="audio_truncated")
        of = "" if declared is None or short <= 0 else f" of {declared / rate:.2f} s"
        warnings.warn(f"audio_truncated: the audio stops early; {done / rate:.2f} s{of} were read", stacklevel=2)


def _refuse_cut(size: int, decoded_s: float | None, header: Header, allow_truncated: bool) -> None:
    """Raise for a file that stops early, unless that is allowed."""
    if size <= HEADER_BYTES:
        raise undecodable(f"{size} bytes are a header at most, the sound is missing")
    if allow_truncated:
        return
    facts = [f"{size} bytes"]
    if decoded_s is not None:
        facts.append(f"{decoded_s:.2f} s decoded")
    if header.n_frames is not None and header.container != "ogg":  # there it is what is left, not what was
        facts.append(f"{header.n_frames / header.rate:.2f} s declared")
    raise AudioInputError(
        f"the audio stops early ({', '.join(facts)}): get the whole file, or allow truncated audio",
        code="audio_truncated",
    )


def _resampled(blocks: Iterator[np.ndarray], rate_in: int, rate_out: int) -> Iterator[np.ndarray]:
    """Blocks at another rate; together what one call for the whole would give (`lengths.resampled_samples` long)."""
    if rate_in == rate_out:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32")
    given = made = 0
    for block in blocks:
        given += len(block)
        out = resampler.resample_chunk(block)
        if len(out):
            made += len(out)
            yield out
    missing = resampled_samples(given, rate_in, rate_out) - made
    out = resampler.resample_chunk(np.zeros(0, np.float32), last=True)[:missing]
    yield np.concatenate([out, np.zeros(missing - len(out), np.float32)])


_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")} | {
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


def write_clip(clip: Clip, path: str | os.PathLike[str]) -> None:
    """Write a clip to a file, whole or not at all; an older file of that name is replaced.

    Args:
        clip: values beyond [-1, 1] are clipped to it.
        path: its suffix chooses the format: .wav and .flac (16 bit), .ogg (Vorbis), .opus, .mp3.

    Raises:
        RequestError: another suffix, or a rate that the format does not have.
        AudioInputError: ``audio_not_finite``.
        StorageError: ``not_writable``, ``no_space``.
    """
    target = Path(path)
    if target.suffix.lower() not in _FORMATS:
        raise RequestError(f"clips are written as {', '.join(_FORMATS)}, got the suffix {target.suffix!r}")
    container, codec = _FORMATS[target.suffix.lower()]
    check_finite(clip.samples)
    samples: np.ndarray = np.clip(clip.samples, -1.0, 1.0)
    if codec == "PCM_16":
        samples = _pcm16(samples)
    encoded = BytesIO()
    try:
        with soundfile.SoundFile(
            encoded, "w", samplerate=clip.rate, channels=1, format=container, subtype=codec
        ) as out:
            for first in range(0, len(samples), 65_536):  # libsndfile's Vorbis encoder fails on one large block
                out.write(samples[first : first + 65_536])
    except soundfile.SoundFileError:
        raise RequestError(
            f"{target.suffix} cannot hold {clip.rate} Hz: resample the clip, for instance to 16000 or 48000 Hz"
        ) from None
    with _whole(target) as file:
        file.write(encoded.getbuffer())


def write_wav(blocks: Iterable[np.ndarray], rate: int, path: str | os.PathLike[str]) -> int:
    """Write samples as they come to a WAV file of 16 bit, whole or not at all, in the memory of one block.

    Args:
        blocks: each of shape (S,), float32; values beyond [-1, 1] are clipped to it. At most 4 GiB together.
        rate: samples per second.
        path: an older file of that name is replaced.

    Returns:
        The number of samples.

    Raises:
        AudioInputError: ``audio_not_finite``.
        StorageError: ``not_writable``, ``no_space``.
    """
    n_samples = 0
    with _whole(Path(path)) as file, wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        for block in blocks:
            check_finite(block)
            out.writeframesraw(_pcm16(block).astype("<i2").tobytes())
            n_samples += len(block)
    return n_samples


def _pcm16(samples: np.ndarray) -> np.ndarray:
    """16-bit integers of the same shape."""
    return np.clip(np.floor(samples * 32_768.0 + 0.5), -32_768.0, 32_767.0).astype(np.int16)


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """A temporary file of the same folder, put in place of the target when the block ends well."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError("there is no space left for the audio file", code="no_space") from None
        raise StorageError(f"the file {target.name!r} cannot be written in its folder") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
