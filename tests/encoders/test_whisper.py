"""The Whisper encoder: what it promises of lengths, batches and errors (its numbers: tests/parity/test_whisper.py)."""

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.audio.features import log_mel
from ossicle.audio.lengths import chunk_frames, whisper_frames
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
    with pytest.raises(EncoderError, match="window and chunks exclude each other"):
        tiny(window=True, chunks=True)
    with pytest.raises(EncoderError, match="an encoder needs at least one clip, got none"):
        encoder.features([])
    with pytest.raises(EncoderError, match=r"a clip of 1\.50 s is longer than the 1 s that this encoder has positions"):
        encoder.features([noise(10), noise(24_000)])
    with pytest.raises(EncoderError, match="split it into windows"):
        encoder.features([noise(16_001)])
    assert encoder.features([noise(16_000)]).n_samples.tolist() == [16_000]


@torch.no_grad()
@pytest.mark.parametrize("n", [1, 160, 161, 3_000, 15_999, 16_000])
def test_with_chunks_a_clip_ends_with_its_last_frame(n: int) -> None:
    """Its end is mirrored, the convolutions see nothing behind it, and no neighbour in a batch changes that."""
    encoder, clip = tiny(chunks=True), noise(n)
    features = encoder.features([clip])
    at_least = np.pad(clip.samples, (0, max(0, 320 - n)))
    np.testing.assert_array_equal(features.values[0].numpy(), log_mel(at_least, n_mels=20, halo=0))
    tower = encoder.tower
    hidden = torch.nn.functional.gelu(tower.conv2(torch.nn.functional.gelu(tower.conv1(features.values))))
    hidden = hidden.transpose(1, 2) + tower.embed_positions.weight[: hidden.shape[-1]]
    for layer in tower.layers:
        hidden = layer(hidden, None)
    together = encoder(encoder.features([clip, noise(9_000)]))
    assert together.lengths.tolist() == [whisper_frames(n), whisper_frames(9_000)]
    torch.testing.assert_close(together.values[0, : whisper_frames(n)], tower.layer_norm(hidden)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rate", "n"), [(16_000, 1), (16_000, 16_000), (16_000, 40_000), (44_100, 110_251)])
def test_chunks_share_one_peak_and_cover_the_clip(rate: int, n: int) -> None:
    encoder, clip = tiny(chunks=True), Clip(noise(n).samples, rate, start_s=2.0)
    clip.samples[: n // 2] *= 0.001
    at_16k = clip.at(16_000)
    whole = log_mel(np.pad(at_16k.samples, (0, max(0, 320 - n))), n_mels=20, halo=0)
    windows = encoder.windows(clip)
    sizes = chunk_frames(at_16k.n_samples, 100)
    assert len(windows) == len(sizes)
    for i, ((piece, features), size) in enumerate(zip(windows, sizes, strict=True)):
        np.testing.assert_array_equal(features.values[0, :, :size].numpy(), whole[:, 100 * i : 100 * i + size])
        assert features.values[0, :, size:].eq(0).all() and features.values.shape[-1] - size == (size % 2 if i else 0)
        assert piece.start_s == pytest.approx(2.0 + i) and piece.rate == 16_000
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece, _ in windows]), at_16k.samples)
    seconds = [float(features.durations_s[0]) for _, features in windows]
    assert sum(seconds) == pytest.approx(clip.duration_s) and min(seconds) > 0
