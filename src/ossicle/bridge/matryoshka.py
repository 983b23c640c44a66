"""Matryoshka: one set of weights for every rate, from 2 to 25 frames per audio token, chosen when it is used.

Knows frames, lengths and the rate; does not know which encoder made them, nor which LLM will read them. A token is the
mean of its run, moved by what the rate says and by the shape of the run: a few cosine moments, in which the order of
its frames survives. Untrained it is mean pooling at every rate. In training every batch gets a rate of its own.
Source: Kusupati et al. 2022 for nested sizes of one representation, Cai et al. 2024 for numbers of tokens; Perez et al.
2018 (FiLM) for how the rate enters; rates, moments and their perceptron are the project's own.
"""

import copy
import math
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.lengths import ceil_div
from ossicle.bridge.output import Output
from ossicle.bridge.pooling import mean_runs
from ossicle.bridge.runs import check_runs, check_width, run_lengths, run_spans
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask

FINEST, COARSEST = 2, 25
"""Frames per audio token at the highest and the lowest rate: 25 and 2 tokens a second at 50 frames a second."""
MOMENTS = 3
WAVES = 4
"""Sines and cosines, each of twice the frequency of the one before, in which the rate is told."""


def moments(values: torch.Tensor, lengths: torch.Tensor, k: int) -> torch.Tensor:
    """How frames change within each run: cosine moments 1 to ``MOMENTS``, the mean being moment 0.

    Args:
        values: (B, T, D) float, numbers in the padding too.
        lengths: (B,) int64, valid frames.
        k: frames in a run; the last of a clip may be shorter, and has its own cosines.

    Returns:
        (B, ceil(T / k), MOMENTS, D); a run of m frames has m - 1 moments, the others are zero.
    """
    n_batch, n_frames, width = values.shape
    n, short = ceil_div(n_frames, k), -n_frames % k
    valid = length_mask(lengths, n_frames)
    counts = functional.pad(valid, (0, short)).view(n_batch, n, k).sum(dim=2)[..., None, None]  # (B, N, 1, 1)
    j = torch.arange(1, MOMENTS + 1)[:, None]
    waves = torch.cos(torch.pi * j * (torch.arange(k) + 0.5) / counts.clamp(min=1))  # (B, N, J, k)
    waves = (waves / counts.clamp(min=1)).masked_fill(j >= counts, 0).to(values)
    values = values.masked_fill(~valid[..., None].to(values.device), 0)
    values = functional.pad(values, (0, 0, 0, short)).view(n_batch, n, k, width)  # (B, T, D) -> (B, N, k, D)
    return waves @ values  # (B, N, J, k) @ (B, N, k, D)


def told(k: int) -> torch.Tensor:
    """A rate as (2 * WAVES,) float32: sines and cosines of where its logarithm lies between finest and coarsest."""
    at = math.log(k / FINEST) / math.log(COARSEST / FINEST)
    phase = torch.pi * at * 2.0 ** torch.arange(WAVES)
    return torch.cat([phase.sin(), phase.cos()])


class Matryoshka(nn.Module):
    """Mean and shape of each run of k frames, for a k that `at` chooses.

    In training mode k is drawn for every batch, from torch's global generator on the CPU and log-uniformly: each
    octave of rates is as likely as the next.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token where nobody asks for another, 2 to 25.
        hidden: width of the perceptron that reads the shape.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k`` below 2 or above 25, an unknown ``output_norm``, a width < 1.
    """

    kind: ClassVar[str] = "matryoshka"
    streamable: ClassVar[bool] = True
    tail = "pool"

    def __init__(
        self, width_in: int, width_out: int, *, k: int = 4, hidden: int = 512, output_norm: str = "rms"
    ) -> None:
        super().__init__()
        check_runs("Matryoshka", widths=(width_in, width_out, hidden), k=k)
        self.width_in, self.width_out, self.k, self.hidden = width_in, width_out, _served(k), hidden
        self.norm_in = nn.LayerNorm(width_in)
        self.rate = nn.Linear(2 * WAVES, 2 * width_in + hidden)
        self.inner = nn.Linear((1 + MOMENTS) * width_in, hidden)
        self.shape = nn.Linear(hidden, width_in)
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm
        for part in (self.rate, self.shape):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "hidden": self.hidden,
            "output_norm": self.output_norm,
        }

    @property
    def fixed_rate(self) -> bool:
        """Whether `n_tokens` is what comes: not in training, where the rate is drawn."""
        return not self.training

    def at(self, k: int) -> "Matryoshka":
        """The same weights at another rate; this bridge stays as it is.

        Raises:
            BridgeError: ``k`` below 2 or above 25.
        """
        view = copy.copy(self)
        view.k = _served(k)
        return view

    def n_tokens(self, n_frames: int) -> int:
        """Audio tokens for ``n_frames`` frames at this rate."""
        return ceil_div(n_frames, self.k)

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give: at the highest rate, which training may draw."""
        return ceil_div(n_frames, FINEST)

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second at this rate, for an encoder of ``rate_hz`` frames per second."""
        return rate_hz / self.k

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width("Matryoshka", frames, self.width_in)
        k = _drawn() if self.training else self.k
        lengths = run_lengths(frames.lengths, k, self.tail)
        n = int(lengths.max()) if len(lengths) else 0
        there = length_mask(frames.lengths, frames.values.shape[1]).to(frames.values.device)[..., None]
        alike = functional.layer_norm(frames.values.masked_fill(~there, 0), (self.width_in,))  # frames of one size
        values = self.norm_in(mean_runs(frames.values, frames.lengths, k)[:, :n])  # (B, T, D) -> (B, N, D)
        shape = moments(alike, frames.lengths, k)[:, :n].flatten(2)  # (B, N, J, D) -> (B, N, J * D)
        rate = self.rate(told(k).to(values))
        scale, shift, lean = rate.split([self.width_in, self.width_in, self.hidden])
        seen = functional.gelu(self.inner(torch.cat([values, shape], dim=-1)) + lean)  # (B, N, hidden)
        values = values * (1 + scale) + shift + self.shape(seen)
        valid = length_mask(lengths, n).to(values.device)
        values = self.output(values).masked_fill(~valid[..., None], 0)  # (B, N, D) -> (B, N, E)
        return AudioTokens(values, lengths, *run_spans(frames, lengths, k, self.tail))


def _served(k: int) -> int:
    if not FINEST <= k <= COARSEST:
        raise BridgeError(f"Matryoshka serves {FINEST} to {COARSEST} frames per audio token, got {k}")
    return k


def _drawn() -> int:
    """A rate whose logarithm is uniform, as the whole number below."""
    low, high = math.log(FINEST), math.log(COARSEST + 1)
    return min(int(math.exp(low + (high - low) * torch.rand(()).item())), COARSEST)
