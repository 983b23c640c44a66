"""Continuous integrate-and-fire: every frame has a weight, and an audio token is done when the weights add up to one.

Knows frames and weights; does not know which encoder made them, nor which LLM will read them. In training the weights
are scaled, so that a clip of T frames gives exactly ceil(T / k) tokens, and the bridge's own loss teaches them to add
up to that by themselves; what a token holds is then free to follow the speech.
Source: Dong & Xu 2020 (arXiv 1905.11235); the depthwise predictor as in FunASR's first; closed form, scale and rest as
the project's projection notes have them (2.9).
"""

import math
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.lengths import ceil_div
from ossicle.bridge.output import Output
from ossicle.bridge.own import Letters, check_weight
from ossicle.bridge.runs import check_runs, check_width
from ossicle.bridge.segments import segment_spans
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask

LEAST = 1e-6
"""The least weight of a frame: sums grow with every frame, so that no token is empty and no span without seconds."""
CALM = 0.1
"""Factor on the untrained map to weights: they begin almost equal, and tokens almost evenly spaced."""


def fire(weights: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """What share each frame has in each token; no loop, and a frame may be split over any number of tokens.

    Token u takes what lies between the sums u - 1 and u; the clip's last takes all that is left, less than a half over
    one or at least a half of one.

    Args:
        weights: (B, T) float64, >= 0, zero past a clip's frames.
        n: (B,) int64, tokens of each clip.

    Returns:
        (B, N, T) float64; the shares of a token add up to one, those past a clip's tokens are zero.
    """
    n_tokens = int(n.max()) if len(n) else 0
    after = weights.cumsum(dim=1)[:, None]  # (B, 1, T)
    before = functional.pad(after[..., :-1], (1, 0))
    u = torch.arange(n_tokens, dtype=torch.float64, device=weights.device)[None, :, None]  # (1, N, 1)
    count = n.to(weights.device)[:, None, None]  # (B, 1, 1)
    until = torch.where(u < count - 1, u + 1, float("inf"))
    shares = (torch.minimum(after, until) - torch.maximum(before, u)).clamp(min=0).masked_fill(u >= count, 0)
    return shares / shares.sum(dim=-1, keepdim=True).clamp(min=LEAST)


def crossings(weights: torch.Tensor, n: int) -> torch.Tensor:
    """Where the sums of one clip's weights (T,) cross 1, 2, ... n - 1: (n - 1,) float64, in frames, linear in each."""
    if n < 2:
        return torch.zeros(0, dtype=torch.float64)
    after = weights.cumsum(dim=0)
    u = torch.arange(1, n, dtype=torch.float64)
    at = torch.searchsorted(after, u).clamp(max=len(weights) - 1)
    return at + (1 - (after[at] - u) / weights[at]).clamp(0, 1)


class Cif(nn.Module):
    """Weights from a small predictor, tokens where they add up; in training ``ceil(T / k)`` of them.

    Otherwise the weights alone say how many: their sum, rounded, a half upwards, at least one. So a rest of at least a
    half fires once more, and a smaller one joins the last token; no frame is lost.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token that are aimed at, >= 2.
        own_weight: of `own_loss` beside the loss of the answers.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k`` < 2, an unknown ``output_norm``, a negative weight, a width < 1.
    """

    kind: ClassVar[str] = "cif"
    fixed_rate: ClassVar[bool] = False
    streamable: ClassVar[bool] = False

    def __init__(
        self, width_in: int, width_out: int, *, k: int = 4, own_weight: float = 1.0, output_norm: str = "rms"
    ) -> None:
        super().__init__()
        check_runs("Cif", widths=(width_in, width_out), k=k)
        check_weight("Cif", own_weight)
        if k < 2:
            raise BridgeError(
                f"Cif needs k of at least 2 frames per audio token, got {k}: a weight of 1 for all is none"
            )
        self.width_in, self.width_out, self.k, self.own_weight = width_in, width_out, k, own_weight
        self.norm_frames = nn.LayerNorm(width_in)
        self.near = nn.Conv1d(width_in, width_in, 3, groups=width_in)
        self.weight = nn.Linear(width_in, 1)
        self.norm_in = nn.LayerNorm(width_in)
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm
        with torch.no_grad():
            self.weight.weight.mul_(CALM)
            self.weight.bias.fill_(-math.log(k - 1))  # a sigmoid of 1 / k

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "own_weight": self.own_weight,
            "output_norm": self.output_norm,
        }

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give: in training those aimed at, else one a frame."""
        return ceil_div(n_frames, self.k) if self.training else n_frames

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second that are aimed at, for an encoder of ``rate_hz`` frames per second."""
        return rate_hz / self.k

    def weights(self, frames: Frames) -> torch.Tensor:
        """The weight of each frame: (B, T, D) -> (B, T) float64 from 0 to 1, zero in the padding."""
        valid = length_mask(frames.lengths, frames.values.shape[1]).to(frames.values.device)
        values = self.norm_frames(frames.values.masked_fill(~valid[..., None], 0)).masked_fill(~valid[..., None], 0)
        around = functional.pad(values, (0, 0, 1, 2))  # a place too many, so that no frames at all can be read too
        near = self.near(around.transpose(1, 2)).transpose(1, 2)[:, :-1]  # (B, T + 3, D) -> (B, T, D)
        found: torch.Tensor = self.weight((values + near).relu()).squeeze(-1)  # (B, T)
        return (LEAST + (1 - LEAST) * found.double().sigmoid()).masked_fill(~valid, 0)

    def _aim(self, frames: Frames) -> torch.Tensor:
        """(B,) int64, the tokens that are aimed at."""
        return torch.tensor([ceil_div(n, self.k) for n in frames.lengths.tolist()], dtype=torch.int64)

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E); a token's span ends where the sum of the weights passes it.

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width("Cif", frames, self.width_in)
        weights = self.weights(frames)
        total = weights.sum(dim=1, keepdim=True)
        if self.training:
            lengths = self._aim(frames)
            weights = weights * (lengths.to(weights.device)[:, None] / total.clamp(min=LEAST))
        else:
            lengths = (total.detach().squeeze(1).cpu() + 0.5).long().clamp(min=1).masked_fill(frames.lengths == 0, 0)
        valid = length_mask(frames.lengths, frames.values.shape[1]).to(weights.device)
        values = frames.values.masked_fill(~valid[..., None], 0)
        values = (fire(weights, lengths).float() @ values.float()).to(values.dtype)  # (B, N, T) @ (B, T, D)
        n = values.shape[1]
        there = length_mask(lengths, n).to(values.device)
        values = self.output(self.norm_in(values)).masked_fill(~there[..., None], 0)  # (B, N, D) -> (B, N, E)
        rows = zip(weights.detach().cpu(), frames.lengths.tolist(), lengths.tolist(), strict=True)
        cuts = [crossings(row[:n_frames], count) for row, n_frames, count in rows]
        return AudioTokens(values, lengths, *segment_spans(frames, cuts, n))

    def own_loss(self, frames: Frames, letters: Letters | None) -> torch.Tensor:
        """How far the sums of the weights are from the tokens aimed at, as a share of these; letters are not read."""
        aim = self._aim(frames).to(frames.values.device)
        return ((self.weights(frames).sum(dim=1) - aim).abs().sum() / aim.sum().clamp(min=1)).float()
