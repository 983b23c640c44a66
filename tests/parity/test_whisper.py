"""Our encoder = transformers' own layers on the whole padded window, with padding masked as keys."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ossicle.audio.clip import Clip
from ossicle.audio.features import log_mel
from ossicle.audio.lengths import mel_frames
from ossicle.encoders.whisper import HALO, WhisperEncoder, WhisperSettings
from ossicle.tensors import Features

MAX_FRAMES = 60
MAX_SAMPLES = MAX_FRAMES * 320
N_SAMPLES = (1, 160, 161, 320, 321, 639, 3_200, 3_361, 9_999, MAX_SAMPLES - 481, MAX_SAMPLES - 320, MAX_SAMPLES)
CLOSE = {"atol": 1e-5, "rtol": 0}


def build(*, final_norm: bool) -> WhisperEncoder:
    torch.manual_seed(1)
    settings = WhisperSettings(
        width=24, layers=2, heads=3, ffn=48, n_mels=80, max_frames=MAX_FRAMES, final_norm=final_norm
    )
    encoder = WhisperEncoder(settings).eval()
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if "embed_positions" not in name:
                value.normal_(1.0 if "norm.weight" in name else 0.0, 0.2)
    return encoder


@pytest.fixture(scope="module", params=[True, False], ids=["norm", "no norm"])
def encoder(request: pytest.FixtureRequest) -> WhisperEncoder:
    return build(final_norm=request.param)


def sound(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    return (0.2 * np.sin(np.arange(n) * 0.17) + rng.normal(0, 0.1, n)).astype(np.float32)


def padded(samples: np.ndarray) -> torch.Tensor:
    """(80, 2 * MAX_FRAMES): the clip's log-mel and what fits of its halo, zeros up to the whole window."""
    mel = log_mel(samples, halo=HALO)[:, : 2 * MAX_FRAMES]
    if mel_frames(len(samples)) == 2 * MAX_FRAMES:
        mel = log_mel(samples, halo=0)
    whole = np.zeros((80, 2 * MAX_FRAMES), np.float32)
    whole[:, : mel.shape[1]] = mel
    return torch.from_numpy(whole)


def reference(encoder: WhisperEncoder, samples: np.ndarray) -> torch.Tensor:
    """(T, D): convolutions on the whole padded window, all positions, every layer with a mask of the valid keys."""
    tower = encoder.tower
    hidden = functional.gelu(tower.conv2(functional.gelu(tower.conv1(padded(samples)[None]))))
    hidden = hidden[:, :, :MAX_FRAMES].transpose(1, 2) + tower.embed_positions.weight
    n = (mel_frames(len(samples)) + 1) // 2
    mask = torch.zeros(1, 1, MAX_FRAMES, MAX_FRAMES)
    mask[..., n:] = float("-inf")
    for layer in tower.layers:
        hidden = layer(hidden, mask)
    return tower.layer_norm(hidden)[0, :n]


@torch.no_grad()
@pytest.mark.parametrize("n", N_SAMPLES)
def test_valid_frames_are_those_of_the_padded_masked_run(encoder: WhisperEncoder, n: int) -> None:
    ours = encoder(encoder.features([Clip(sound(n), 16_000)]))
    theirs = reference(encoder, sound(n))
    assert ours.lengths.tolist() == [len(theirs)]
    torch.testing.assert_close(ours.values[0], theirs, **CLOSE)


@torch.no_grad()
def test_a_batch_of_all_lengths_is_that_too(encoder: WhisperEncoder) -> None:
    ours = encoder(encoder.features([Clip(sound(n), 16_000) for n in N_SAMPLES]))
    for row, length, n in zip(ours.values, ours.lengths.tolist(), N_SAMPLES, strict=True):
        torch.testing.assert_close(row[:length], reference(encoder, sound(n)), **CLOSE)


@torch.no_grad()
def test_a_clip_that_fills_all_positions_is_the_published_forward() -> None:
    """The published extractor has no frame after a full window, so neither has the log-mel here."""
    encoder = build(final_norm=True)
    for n_samples, halo in ((MAX_SAMPLES, 0), (MAX_SAMPLES - 161, 1), (MAX_SAMPLES - 321, 2)):
        assert encoder.halo(n_samples) == halo
    features = encoder.features([Clip(sound(MAX_SAMPLES), 16_000)])
    mel = torch.from_numpy(log_mel(sound(MAX_SAMPLES), halo=0))[None]
    assert features.values.shape[-1] == 2 * MAX_FRAMES
    torch.testing.assert_close(features.values, mel)
    torch.testing.assert_close(encoder(features).values, encoder.tower(mel).last_hidden_state, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("halo", [0, 1])
def test_both_halo_frames_are_needed(halo: int) -> None:
    """Fewer than two frames beyond the clip, and its last frame differs from the padded run's."""
    encoder, n = build(final_norm=True), 3_300  # 21 log-mel frames: the last of 11 frames reaches over to the 23rd
    mel = torch.from_numpy(log_mel(sound(n), halo=halo))[None]
    short = encoder(Features(mel, torch.tensor([n]), torch.tensor([n / 16_000])))
    assert (short.values[0] - reference(encoder, sound(n))).abs().max() > 1e-3
