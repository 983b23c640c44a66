"""Samples as they stand in a WAV file or a raw stream, to float32 in [-1, 1).

Knows sample formats; does not know files. Integers are divided by their full scale, as libsndfile does.
Source: ITU-T G.711 for A-law and mu-law.
"""

import numpy as np

SAMPLE_BYTES = {
    "pcm_u8": 1,
    "pcm_s16le": 2,
    "pcm_s24le": 3,
    "pcm_s32le": 4,
    "pcm_f32le": 4,
    "pcm_f64le": 8,
    "pcm_alaw": 1,
    "pcm_mulaw": 1,
}
"""Bytes a sample of each format that is read."""

_FLOAT_MAX = 1e30
"""A 64-bit sample beyond this would become infinite in 32 bits: it shall be refused as too large, not as infinite."""


def _alaw_table() -> np.ndarray:
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    size = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, size, -size) / 32_768).astype(np.float32)


def _mulaw_table() -> np.ndarray:
    code = ~np.arange(256) & 0xFF
    size = (((code & 15) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -size, size) / 32_768).astype(np.float32)


_ALAW, _MULAW = _alaw_table(), _mulaw_table()


def pcm_to_float(data: bytes, codec: str) -> np.ndarray:
    """Whole samples of one format: shape (n,), float32.

    Args:
        data: a whole number of samples.
        codec: a key of ``SAMPLE_BYTES``.
    """
    match codec:
        case "pcm_u8":
            return (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / 128.0
        case "pcm_s16le":
            return scale(np.frombuffer(data, "<i2"))
        case "pcm_s24le":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return scale(wide.view("<i4")[:, 0])
        case "pcm_s32le":
            return scale(np.frombuffer(data, "<i4"))
        case "pcm_f32le":
            return np.frombuffer(data, "<f4").astype(np.float32)
        case "pcm_f64le":
            return scale(np.frombuffer(data, "<f8"))
        case "pcm_alaw":
            return _ALAW[np.frombuffer(data, np.uint8)]
        case _:
            assert codec == "pcm_mulaw", codec
            return _MULAW[np.frombuffer(data, np.uint8)]


def scale(values: np.ndarray) -> np.ndarray:
    """Signed integers by their full scale, floats as they are, of any shape: float32."""
    if np.issubdtype(values.dtype, np.signedinteger):
        return values.astype(np.float32) / np.float32(-float(np.iinfo(values.dtype).min))
    if values.dtype.itemsize > 4:
        values = np.where(np.isfinite(values), np.clip(values, -_FLOAT_MAX, _FLOAT_MAX), values)
    return values.astype(np.float32)
