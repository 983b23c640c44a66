"""Sound files for the audio tests, made on the spot: by soundfile, by PyAV and by hand."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import soundfile

KINDS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


def tone(seconds: float, rate: int, channels: int = 1, hz: float = 440.0) -> np.ndarray:
    """(S, C) float32: a tone of amplitude 0.4 with a little noise, the same in all channels."""
    n = round(seconds * rate)
    noise = np.random.default_rng(n).standard_normal(n) * 0.02
    wave = 0.4 * np.sin(2 * np.pi * hz * np.arange(n) / rate) + noise
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encoded(kind: str, samples: np.ndarray, rate: int) -> bytes:
    """Bytes of one of ``KINDS``, or of "CONTAINER/SUBTYPE" as soundfile names them."""
    container, subtype = KINDS[kind] if kind in KINDS else kind.split("/")
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=container, subtype=subtype)
    return out.getvalue()


def muxed(container: str, codec: str, samples: np.ndarray, rate: int, layout: str = "mono", **options: str) -> bytes:
    """Bytes written by PyAV: (S, C) float32 with ``layout`` in a container of FFmpeg's naming."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as box:
        track = box.add_stream(codec, rate=rate, layout=layout, options=options)
        resampler = av.AudioResampler(format=track.codec_context.format.name, layout=layout, rate=rate)
        for first in range(0, len(samples), 960):
            planes = np.ascontiguousarray(samples[first : first + 960].T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            for part in resampler.resample(frame):
                box.mux(track.encode(part))
        for part in resampler.resample(None):
            box.mux(track.encode(part))
        box.mux(track.encode(None))
    return out.getvalue()


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16_000,
    bits: int = 16,
    align: int | None = None,
    length: int | None = None,
    after: bytes = b"",
    extension: bytes = b"",
) -> bytes:
    """A WAV file whose every header field can be false."""
    align = (channels * bits // 8) & 0xFFFF if align is None else align
    length = len(data) if length is None else length
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits) + extension
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", length) + data + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pcm16(samples: np.ndarray) -> bytes:
    """Interleaved 16-bit samples, little-endian."""
    return np.round(samples * 32_767).astype("<i2").tobytes()
