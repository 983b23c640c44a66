"""The Whisper encoder: what it promises of lengths, batches and errors (its numbers: tests/parity/test_whisper.py)."""

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.audio.features import log_mel
from ossicle.audio.lengths import whisper_frames
from ossicle.encoders.whisper import HALO, WhisperEncoder, WhisperSettings
from ossicle.errors import EncoderError

SETTINGS = WhisperSettings(width=16, layers=1, heads=2, ffn=32, n_mels=20, max_frames=50)


def tiny(**changes: object) -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(WhisperSettings(**{**vars(SETTINGS), **changes})).eval()


def noise(n: int, rate: int = 16_000) -> Clip:
    return Clip(np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32), rate)


def test_what_it_says_of_itself() -> None:
    encoder = tiny()
    assert (encoder.width, encoder.rate_hz, encoder.sample_rate, encoder.max_samples) == (16, 50.0, 16_000, 16_000)
    assert encoder.settings == SETTINGS
    assert isinstance(tiny(final_norm=False).tower.layer_norm, torch.nn.Identity)
    assert encoder.tower.config.dropout == 0.0 and tiny(dropout=0.25).tower.config.dropout == 0.25


@pytest.mark.parametrize(("rate", "n"), [(8_000, 3_001), (16_000, 1), (44_100, 20_000), (48_000, 44_000)])
def test_features_are_the_clips_log_mel_at_16_khz(rate: int, n: int) -> None:
    encoder, clip = tiny(), noise(n, rate)
    features = encoder.features([clip])
    at_16k = clip.at(16_000)
    np.testing.assert_array_equal(features.values[0].numpy(), log_mel(at_16k.samples, n_mels=20, halo=HALO))
    assert features.n_samples.tolist() == [at_16k.n_samples] == [-(-n * 16_000 // rate)]
    assert features.durations_s.tolist() == pytest.approx([n / rate], abs=1 / 16_000)
    frames = encoder(features)
    assert frames.lengths.tolist() == [encoder.n_frames(at_16k.n_samples)] == [whisper_frames(at_16k.n_samples)]
    assert frames.values.shape == (1, frames.lengths[0], 16) and frames.rate_hz == 50.0


@torch.no_grad()
def test_batched_is_alone() -> None:
    encoder, lengths = tiny(), (1, 159, 160, 161, 5_000, 15_999, 16_000)
    together = encoder(encoder.features([noise(n) for n in lengths]))
    assert together.lengths.tolist() == [whisper_frames(n) for n in lengths]
    for row, n in zip(together.values, lengths, strict=True):
        alone = encoder(encoder.features([noise(n)])).values[0]
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=0)


def test_a_longer_neighbour_gives_no_gradient() -> None:
    encoder = tiny()
    features = encoder.features([noise(3_000), noise(9_000)])
    features.values.requires_grad_(True)
    encoder(features).values[0, : whisper_frames(3_000)].sum().backward()
    grad = features.values.grad
    assert grad[0, :, : whisper_frames(3_000)].abs().sum() > 0
    assert grad[1].abs().sum() == 0
    assert grad[0, :, -(-3_000 // 160) + HALO :].abs().sum() == 0


def test_what_cannot_be_built_or_heard_is_refused() -> None:
    with pytest.raises(EncoderError, match="width 16 is not a multiple of 3 heads"):
        tiny(heads=3)
    encoder = tiny()
    with pytest.raises(EncoderError, match="an encoder needs at least one clip, got none"):
        encoder.features([])
    with pytest.raises(EncoderError, match=r"a clip of 1\.50 s is longer than the 1 s that this encoder has positions"):
        encoder.features([noise(10), noise(24_000)])
    with pytest.raises(EncoderError, match="split it into windows"):
        encoder.features([noise(16_001)])
    assert encoder.features([noise(16_000)]).n_samples.tolist() == [16_000]
