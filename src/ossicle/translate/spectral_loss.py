"""How far a made waveform is from a true one, by their spectra: in log-mel, and in windows of three sizes.

Knows waveforms at 16 kHz; does not know vocoders or discriminators.
Source: Kong et al. 2020, "HiFi-GAN" (arXiv 2010.05646), equation 4, for the log-mel distance, with the numbers of the
released trainer (80 bands to 8 kHz, window 1024, hop 256, mirrored by 384 samples, floor 1e-5); Yamamoto et al. 2020,
"Parallel WaveGAN" (arXiv 1910.11480), equations 3-6, for the other.
"""

from functools import lru_cache

import torch
from torch.nn import functional

from ossicle.audio.features import mel_filters

N_MELS, MEL_FFT, MEL_HOP, MEL_FLOOR = 80, 1024, 256, 1e-5
STFT_SIZES = (256, 512, 1024)
"""Window lengths; each moves by a quarter of itself."""
STFT_FLOOR = 1e-5
SHORTEST = MEL_FFT // 2
"""Samples that both losses need at least: they mirror a waveform at its ends."""


def magnitudes(samples: torch.Tensor, n_fft: int, hop: int, floor: float) -> torch.Tensor:
    """Magnitudes of short-time spectra under a Hann window.

    Args:
        samples: (B, S) float, S above (n_fft - hop) / 2, by which it is mirrored at both ends.
        n_fft: length of the window and of the transform.
        hop: samples from one spectrum to the next.
        floor: no magnitude is smaller; it keeps the root's slope finite.

    Returns:
        (B, n_fft / 2 + 1, T) float32, T = S / hop rounded down.
    """
    edge = (n_fft - hop) // 2
    mirrored = functional.pad(samples.float()[:, None], (edge, edge), mode="reflect")[:, 0]
    window = _window(n_fft, str(samples.device))
    spectrum = torch.stft(mirrored, n_fft, hop, window=window, center=False, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=floor**2).sqrt()


def log_mels(samples: torch.Tensor) -> torch.Tensor:
    """Natural logarithms of mel energies: samples (B, S) to (B, 80, T)."""
    spectra = magnitudes(samples, MEL_FFT, MEL_HOP, MEL_FLOOR)
    return (_filters(str(samples.device)) @ spectra).clamp(min=MEL_FLOOR).log()


def mel_distance(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the log-mels of waveforms (B, S): a scalar."""
    return functional.l1_loss(log_mels(made), log_mels(true))


def stft_distance(made: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Spectral convergence plus mean absolute difference of log-magnitudes, the mean over three sizes of window: a
    scalar, of waveforms (B, S)."""
    found = []
    for size in STFT_SIZES:
        ours, theirs = (magnitudes(one, size, size // 4, STFT_FLOOR) for one in (made, true))
        apart = torch.linalg.vector_norm(theirs - ours, dim=(1, 2))
        converged = apart / torch.linalg.vector_norm(theirs, dim=(1, 2))
        found.append(converged.mean() + functional.l1_loss(ours.log(), theirs.log()))
    return torch.stack(found).mean()


@lru_cache(maxsize=16)
def _window(n_fft: int, device: str) -> torch.Tensor:
    return torch.hann_window(n_fft, device=device)


@lru_cache(maxsize=4)
def _filters(device: str) -> torch.Tensor:
    return torch.tensor(mel_filters(N_MELS, n_fft=MEL_FFT), device=device)
