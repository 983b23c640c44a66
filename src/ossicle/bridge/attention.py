"""Attention pooling: learned queries read each window of k frames, and each answer becomes an audio token.

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them. The queries begin at
zero, so that training starts from the mean of a window; a position vector for each place of the window lets them tell
its frames apart.
Source: Lee et al. 2019 (pooling by learned queries); Vaswani et al. 2017 for the attention.
"""

from typing import Any, ClassVar

import torch
from torch import nn

from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_heads, check_runs, zero_filled_runs
from ossicle.tensors import AudioTokens, Frames, length_mask

POSITION_STD = 0.02


class AttentionPool(Runs, nn.Module):
    """Read each window of ``k`` frames with ``queries`` learned queries, then project to the LLM's width.

    The queries attend to the frames that are there: the last window of a clip may hold fewer than ``k``. Each of the
    tokens of a window sees all of it; their spans are equal shares of its seconds.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames in a window, >= 1.
        queries: audio tokens of a window, >= 1.
        heads: attention heads, a divisor of ``width_in``.
        norm_in: a LayerNorm between attention and projection, as `MeanPool` has.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k``, ``queries``, ``heads`` or a width < 1, heads that do not divide, an unknown ``output_norm``.
    """

    kind: ClassVar[str] = "attention_pool"
    tail = "mask"

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        k: int = 4,
        queries: int = 1,
        heads: int = 8,
        norm_in: bool = True,
        output_norm: str = "none",
    ) -> None:
        super().__init__()
        check_runs("AttentionPool", widths=(width_in, width_out), k=k, tail=self.tail, tails=(self.tail,))
        check_heads("AttentionPool", queries=queries, width=width_in, heads=heads)
        self.width_in, self.width_out, self.k, self.queries, self.heads = width_in, width_out, k, queries, heads
        self.query = nn.Parameter(torch.zeros(queries, width_in))
        self.position = nn.Parameter(torch.randn(k, width_in) * POSITION_STD)
        self.to_query, self.to_key, self.to_value, self.mix = (
            nn.Linear(width_in, width_in, bias=False) for _ in range(4)
        )
        self.norm_in = nn.LayerNorm(width_in) if norm_in else None
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "queries": self.queries,
            "heads": self.heads,
            "norm_in": self.norm_in is not None,
            "output_norm": self.output_norm,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        runs = zero_filled_runs(frames.values, frames.lengths, self.k)[:, : n // self.queries]  # (B, W, k * D)
        n_batch, n_windows, _ = runs.shape
        windows = runs.view(n_batch, n_windows, self.k, self.width_in)
        valid = length_mask(frames.lengths, n_windows * self.k).view(n_batch, n_windows, self.k).to(runs.device)
        valid = valid | ~valid.any(dim=2, keepdim=True)  # a window past the clip holds zeros: its mean is one

        query = self._by_head(self.to_query(self.query))  # (Q, H, D / H)
        key = self._by_head(self.to_key(windows) + self.position)  # (B, W, k, H, D / H)
        value = self._by_head(self.to_value(windows))
        scores = torch.einsum("qhd,bwkhd->bwqhk", query, key) / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~valid[:, :, None, None], float("-inf")).softmax(dim=-1)
        read = torch.einsum("bwqhk,bwkhd->bwqhd", weights, value)
        values = self.mix(read.reshape(n_batch, n, self.width_in))  # (B, W, Q, H, D / H) -> (B, N, D)
        if self.norm_in is not None:
            values = self.norm_in(values)
        return self.tokens(self.output(values), frames, lengths)  # (B, N, D) -> (B, N, E)

    def _by_head(self, values: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., H, D / H)."""
        return values.view(*values.shape[:-1], self.heads, values.shape[-1] // self.heads)
