"""Sample formats against numbers worked out by hand, and G.711 against libsndfile."""

import io

import numpy as np
import pytest
import soundfile

from ossicle.audio.pcm import SAMPLE_BYTES, pcm_to_float, scale

from .made import wav


@pytest.mark.parametrize(
    ("codec", "data", "want"),
    [
        ("pcm_u8", "0080ff", [-1.0, 0.0, 127 / 128]),
        ("pcm_s16le", "0080 0000 ff7f", [-1.0, 0.0, 32_767 / 32_768]),
        ("pcm_s24le", "000080 000000 010000 ffffff", [-1.0, 0.0, 2**-23, -(2**-23)]),
        ("pcm_s32le", "00000080 00000000 00000040", [-1.0, 0.0, 0.5]),
        ("pcm_f32le", "0000803f 000000c0", [1.0, -2.0]),
        ("pcm_f64le", "000000000000f03f 00000000000000c0", [1.0, -2.0]),
    ],
)
def test_known_samples(codec, data, want):
    got = pcm_to_float(bytes.fromhex(data), codec)
    assert got.dtype == np.float32 and got.tolist() == want
    assert len(bytes.fromhex(data)) == SAMPLE_BYTES[codec] * len(want)


@pytest.mark.parametrize(("codec", "tag"), [("pcm_alaw", 6), ("pcm_mulaw", 7)])
def test_g711(codec, tag):
    every = bytes(range(256))
    golden, _ = soundfile.read(io.BytesIO(wav(every, tag=tag, bits=8)), dtype="float32")
    np.testing.assert_array_equal(pcm_to_float(every, codec), golden)


def test_large_and_infinite_floats_stay_what_they_are():
    got = scale(np.array([1e300, -1e300, np.inf, np.nan]))
    assert got[0] > 1e29 and got[1] < -1e29 and np.isfinite(got[:2]).all()
    assert np.isinf(got[2]) and np.isnan(got[3])


def test_half_precision():
    assert scale(np.array([0.5, -1.0], np.float16)).tolist() == [0.5, -1.0]
