"""Mean pooling: k neighbouring frames become one audio token (Qwen-Audio, k = 2: 50 Hz to 25 Hz).

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them.
Source: Chu et al. 2023, section 3.1; order (pool, LayerNorm, Linear) as released in the Qwen2-Audio checkpoint.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.lengths import ceil_div
from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_runs
from ossicle.tensors import AudioTokens, Frames, length_mask

TAILS = ("pool", "drop")


def mean_runs(values: torch.Tensor, lengths: torch.Tensor, k: int) -> torch.Tensor:
    """Average each run of ``k`` frames over the valid ones: (B, T, D) -> (B, ceil(T / k), D); empty runs give zero."""
    n_batch, n_frames, width = values.shape
    valid = length_mask(lengths, n_frames).to(values.device)
    values = values.masked_fill(~valid[..., None], 0)
    n, short = ceil_div(n_frames, k), -n_frames % k
    values = functional.pad(values, (0, 0, 0, short)).view(n_batch, n, k, width)  # (B, T, D) -> (B, N, k, D)
    counts = functional.pad(valid, (0, short)).view(n_batch, n, k).sum(dim=2)  # (B, T) -> (B, N)
    means: torch.Tensor = values.sum(dim=2) / counts.clamp(min=1)[..., None].to(values.dtype)
    return means


class MeanPool(Runs, nn.Module):
    """Average each run of ``k`` frames, then project to the LLM's width.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token, >= 1.
        tail: what becomes of the last ``T % k`` frames: "pool" averages what is there, "drop" loses them
            (as Qwen-Audio does; ``tail_s`` then tells the loss). A clip shorter than ``k`` frames is pooled either way.
        norm_in: a LayerNorm between pooling and projection, as Qwen2-Audio has.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k`` < 1, an unknown ``tail`` or ``output_norm``, a width < 1.
    """

    kind: ClassVar[str] = "mean_pool"

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        k: int = 2,
        tail: str = "pool",
        norm_in: bool = True,
        output_norm: str = "none",
    ) -> None:
        super().__init__()
        check_runs("MeanPool", widths=(width_in, width_out), k=k, tail=tail, tails=TAILS)
        self.width_in, self.width_out, self.k, self.tail = width_in, width_out, k, tail
        self.norm_in = nn.LayerNorm(width_in) if norm_in else None
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "tail": self.tail,
            "norm_in": self.norm_in is not None,
            "output_norm": self.output_norm,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        values = mean_runs(frames.values, frames.lengths, self.k)[:, :n]  # (B, T, D) -> (B, N, D)
        if self.norm_in is not None:
            values = self.norm_in(values)
        return self.tokens(self.output(values), frames, lengths)  # (B, N, D) -> (B, N, E)
