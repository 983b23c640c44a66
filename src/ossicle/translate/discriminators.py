"""Discriminators that tell true speech from made speech, small ones, and the losses of both sides.

Knows waveforms at 16 kHz; does not know what made them. They serve training only and are thrown away after it.
Source: Kong et al. 2020, "HiFi-GAN" (arXiv 2010.05646), section 2.3 for the periods and equations 1, 2 and 6 for the
losses; Jang et al. 2021, "UnivNet" (arXiv 2106.07889), section 2.2 for the spectra; Mao et al. 2017, "Least squares
generative adversarial networks" (arXiv 1611.04076).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from ossicle.errors import ConfigError
from ossicle.translate.spectral_loss import magnitudes

PERIODS = (2, 3, 5, 7, 11)
SPECTRA = (256, 512, 1024)
"""Window lengths of the discriminators of spectra; each moves by a quarter of itself."""
SLOPE = 0.1
FLOOR = 1e-5


@dataclass(frozen=True, eq=False)
class Judged:
    """What one discriminator says of waveforms.

    Args:
        scores: (B, N) float, 1 for true and 0 for made.
        features: what its layers found on the way, any shapes.
    """

    scores: torch.Tensor
    features: tuple[torch.Tensor, ...]


class OfPeriod(nn.Module):
    """Judges every ``period``-th sample beside its likes, so that what repeats stands in columns.

    Args:
        period: samples from one row to the next.
        width: channels of the first layer; the following have 2, 4 and 4 times as many.
    """

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), stride=(3, 1), padding=(2, 0))) for a, b in pairwise(widths)
        )
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, samples: torch.Tensor) -> Judged:
        """Samples (B, S), mirrored at the end to a multiple of the period."""
        short = -samples.shape[1] % self.period
        whole = functional.pad(samples[:, None], (0, short), mode="reflect")
        rows = whole.view(len(samples), 1, -1, self.period)  # (B, 1, S) -> (B, 1, S / period, period)
        return _judged(self, rows)


class OfSpectra(nn.Module):
    """Judges magnitudes of short-time spectra.

    Args:
        n_fft: length of the window; it moves by a quarter of itself.
        width: channels.
    """

    def __init__(self, n_fft: int, width: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(1 if i == 0 else width, width, (7, 3), stride=(2, 1), padding=(3, 1)))
            for i in range(4)
        )
        self.last = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, samples: torch.Tensor) -> Judged:
        """Samples (B, S)."""
        return _judged(self, magnitudes(samples, self.n_fft, self.n_fft // 4, FLOOR)[:, None])  # (B, 1, F, T)


def _judged(one: OfPeriod | OfSpectra, hidden: torch.Tensor) -> Judged:
    features = []
    for layer in one.layers:
        hidden = functional.leaky_relu(layer(hidden), SLOPE)
        features.append(hidden)
    return Judged(one.last(hidden).flatten(1), tuple(features))


class Discriminators(nn.Module):
    """Five discriminators of periods and three of spectra.

    Args:
        width: channels of their first layers.

    Raises:
        ConfigError: ``width`` < 1.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"discriminators of width {width} do not exist: it must be at least 1")
        of_periods = [OfPeriod(period, 2 * width) for period in PERIODS]
        self.each = nn.ModuleList([*of_periods, *(OfSpectra(n_fft, width) for n_fft in SPECTRA)])

    def forward(self, samples: torch.Tensor) -> list[Judged]:
        """What each says of samples (B, S)."""
        return [one(samples) for one in self.each]


def judged_by_frozen(discriminators: nn.Module, samples: torch.Tensor) -> list[Judged]:
    """What discriminators say of samples (B, S), with gradients to the samples and none to their own weights."""
    held = {name: value.detach() for name, value in discriminators.named_parameters()}
    said: list[Judged] = functional_call(discriminators, held, (samples,))
    return said


def discriminator_loss(true: Sequence[Judged], made: Sequence[Judged]) -> torch.Tensor:
    """How wrongly true waveforms and made ones were told apart: the sum over the discriminators of
    mean((1 - true)^2) + mean(made^2)."""
    pairs = zip(true, made, strict=True)
    return torch.stack([(1 - a.scores).square().mean() + b.scores.square().mean() for a, b in pairs]).sum()


def deception_loss(made: Sequence[Judged]) -> torch.Tensor:
    """How well made waveforms were told for what they are: the sum over the discriminators of mean((1 - made)^2)."""
    return torch.stack([(1 - one.scores).square().mean() for one in made]).sum()


def feature_distance(true: Sequence[Judged], made: Sequence[Judged]) -> torch.Tensor:
    """Mean absolute difference of what the layers found, summed over layers and discriminators; the true ones' side
    takes no gradient."""
    pairs = [
        (a, b) for one, other in zip(true, made, strict=True) for a, b in zip(one.features, other.features, strict=True)
    ]
    return torch.stack([functional.l1_loss(b, a.detach()) for a, b in pairs]).sum()
