"""Downmix: ITU weights, no LFE, and the right speaker for every channel of every container."""

import numpy as np
import pytest

from ossicle.audio.io import read_clip
from ossicle.audio.layouts import downmix, vorbis_layout, wav_layout, weights

from .made import encoded, muxed, pcm16, tone, wav

SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")
SHARES = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0, "BL": 0.5, "BR": 0.5}


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("layout", [wav_layout, vorbis_layout])
def test_shares_sum_to_one(channels, layout):
    names = layout(channels)
    assert len(names) == channels == len(set(names))
    assert weights(names).sum() == pytest.approx(1.0)


def test_known_weights():
    assert weights(("FC",)).tolist() == [1.0]
    assert weights(("FL", "FR")).tolist() == [0.5, 0.5]
    total = 2 * 0.7071 + 1.0 + 2 * 0.5
    assert weights(SURROUND) == pytest.approx([0.7071 / total, 0.7071 / total, 1 / total, 0, 0.5 / total, 0.5 / total])
    assert weights(("", "", "")) == pytest.approx([1 / 3] * 3)
    assert weights(("LFE",)).tolist() == [0.0]


def test_a_mask_names_the_speakers():
    assert wav_layout(2, 0b1100) == ("FC", "LFE")
    assert wav_layout(2, 0b111) == ("FL", "FR")  # a mask of three speakers for two channels


def test_downmix():
    block = np.array([[1.0, 3.0]], np.float32)
    assert downmix(block, ("FL", "FR")).tolist() == [2.0]
    assert downmix(block[:, :1], ("FC",)).tolist() == [1.0]


def surround(place: int) -> np.ndarray:
    """5.1, 48 kHz: a low tone in one channel only, for an LFE keeps nothing else."""
    samples = np.zeros((48_000, 6), np.float32)
    samples[:, place] = tone(1.0, 48_000, hz=60.0)[:, 0]
    return samples


def as_wav(samples: np.ndarray) -> bytes:
    return encoded("WAV/PCM_16", samples, 48_000)


def as_opus(samples: np.ndarray) -> bytes:
    return muxed("ogg", "libopus", samples, 48_000, "5.1", mapping_family="1")


def as_flac(samples: np.ndarray) -> bytes:
    return muxed("flac", "flac", samples, 48_000, "5.1")


def as_aac(samples: np.ndarray) -> bytes:
    return muxed("ipod", "aac", samples, 48_000, "5.1")


@pytest.mark.parametrize("make", [as_wav, as_flac, as_opus, as_aac])
@pytest.mark.parametrize("place", range(6))
def test_every_speaker_has_its_share_in_every_container(make, place):
    samples = surround(place)
    level = np.sqrt(np.mean(read_clip(make(samples)).samples[12_000:36_000] ** 2))
    share = level / np.sqrt(np.mean(samples[12_000:36_000, place] ** 2))
    assert share == pytest.approx(SHARES[SURROUND[place]] / sum(SHARES.values()), abs=0.02)


def test_wav_with_its_own_channel_mask():
    samples = np.stack([tone(0.5, 16_000)[:, 0], tone(0.5, 16_000, hz=900.0)[:, 0]], axis=1)
    extension = (22).to_bytes(2, "little") + (16).to_bytes(2, "little") + (0b1100).to_bytes(4, "little")
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    clip = read_clip(wav(pcm16(samples), tag=0xFFFE, channels=2, extension=extension + guid))
    np.testing.assert_allclose(clip.samples, samples[:, 0], atol=2e-4)  # the second channel is the LFE


def test_opus_of_separate_channels_is_averaged():
    samples = np.repeat(tone(1.0, 48_000)[:, :1], 3, axis=1)
    data = bytearray(muxed("ogg", "libopus", samples, 48_000, "3.0", mapping_family="255"))
    clip = read_clip(bytes(data))
    assert np.sqrt(np.mean(clip.samples[12_000:36_000] ** 2)) == pytest.approx(0.28, abs=0.03)
