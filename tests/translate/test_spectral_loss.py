"""Distances between waveforms by their spectra."""

import numpy as np
import torch

from ossicle.translate.spectral_loss import (
    MEL_FLOOR,
    SHORTEST,
    log_mels,
    magnitudes,
    mel_distance,
    stft_distance,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.1


def tone(hz: float, n: int = 4096) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(n) / 16_000)[None]


def test_magnitudes_are_those_of_the_mirrored_waveform() -> None:
    wave = noise(1, 3000)
    mirrored = np.pad(wave[0].numpy(), 384, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    wanted = [np.abs(np.fft.rfft(mirrored[i : i + 1024] * window)) for i in range(0, len(mirrored) - 1023, 256)]
    found = magnitudes(wave, 1024, 256, 1e-9)[0]
    assert found.shape == (513, 3000 // 256)
    np.testing.assert_allclose(found.T, np.array(wanted), atol=1e-4)


def test_a_tone_stands_in_the_band_of_its_pitch_and_silence_at_the_floor() -> None:
    low, high = (log_mels(tone(hz))[0, :, 4].argmax() for hz in (300.0, 3000.0))
    assert 5 < low < 20 < 50 < high < 65
    assert log_mels(tone(300.0)).shape == (1, 80, 16)
    torch.testing.assert_close(log_mels(torch.zeros(1, 2048)), torch.full((1, 80, 8), float(np.log(MEL_FLOOR))))


def test_distances_are_zero_at_home_and_grow_with_the_difference() -> None:
    wave = noise(2, 4096)
    for distance in (mel_distance, stft_distance):
        assert distance(wave, wave) == 0
        near, far = (float(distance(wave + x * noise(2, 4096, seed=1), wave)) for x in (0.01, 1.0))
        assert 0 < near < far / 5
        assert float(distance(0.5 * wave, wave)) > 0.5  # loudness counts
    torch.testing.assert_close(mel_distance(0.5 * wave, wave), torch.tensor(2.0).log(), atol=1e-3, rtol=0)


def test_slopes_are_finite_where_there_is_silence() -> None:
    made = torch.zeros(1, SHORTEST, requires_grad=True)
    (mel_distance(made, noise(1, SHORTEST)) + stft_distance(made, noise(1, SHORTEST))).backward()
    assert made.grad is not None and made.grad.isfinite().all()
    silent = noise(1, SHORTEST).requires_grad_()
    stft_distance(silent, torch.zeros(1, SHORTEST)).backward()
    assert silent.grad is not None and silent.grad.isfinite().all() and silent.grad.any()
