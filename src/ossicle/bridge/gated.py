"""Gated stacking: k neighbouring frames, side by side, become one audio token through norms and a SwiGLU.

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them. The SECOND half of what
comes out of the first Linear is the gate, other than in the SwiGLU of most LLMs: with the halves swapped everything
loads and nothing makes sense.
Source: the released Ultravox checkpoints (k = 8, hidden 4096; a norm in the middle from version 0.5 on, at the end
before); Shazeer 2020 for SwiGLU.
"""

from typing import Any, ClassVar

from torch import nn
from torch.nn import functional

from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_runs, zero_filled_runs
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames

EPS = 1e-6
GAIN = 0.4
"""What the gain of every norm begins with."""


class StackSwiGLU(Runs, nn.Module):
    """Concatenate each run of ``k`` frames, then RMS norm, Linear, SwiGLU and Linear to the LLM's width.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token, >= 1; the last run is filled with zeros.
        hidden: width after the first Linear, even; the gate halves it.
        output_norm: where the second RMS norm stands: "none" puts it before the last Linear, "rms" on the tokens.

    Raises:
        BridgeError: ``k`` < 1, an odd ``hidden``, an unknown ``output_norm``, a width < 1.
    """

    kind: ClassVar[str] = "stack_swiglu"
    tail = "zero"

    def __init__(
        self, width_in: int, width_out: int, *, k: int = 8, hidden: int = 4096, output_norm: str = "none"
    ) -> None:
        super().__init__()
        check_runs("StackSwiGLU", widths=(width_in, width_out, hidden), k=k, tail=self.tail, tails=(self.tail,))
        if hidden % 2:
            raise BridgeError(f"StackSwiGLU needs an even hidden width, which the gate halves, got {hidden}")
        self.width_in, self.width_out, self.k, self.hidden = width_in, width_out, k, hidden
        self.output_norm = output_norm
        self.norm_in = nn.RMSNorm(k * width_in, eps=EPS)
        self.inner = nn.Linear(k * width_in, hidden, bias=False)
        self.norm_mid = nn.RMSNorm(hidden // 2, eps=EPS) if output_norm == "none" else None
        self.output = Output(hidden // 2, width_out, norm=output_norm, bias=False)
        for norm in (self.norm_in, self.norm_mid, self.output.norm):
            if norm is not None:
                nn.init.constant_(norm.weight, GAIN)

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "hidden": self.hidden,
            "output_norm": self.output_norm,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        values = zero_filled_runs(frames.values, frames.lengths, self.k)[:, :n]  # (B, T, D) -> (B, N, k * D)
        plain, gate = self.inner(self.norm_in(values)).chunk(2, dim=-1)  # (B, N, hidden) -> two of half the width
        values = plain * functional.silu(gate)
        if self.norm_mid is not None:
            values = self.norm_mid(values)
        return self.tokens(self.output(values), frames, lengths)  # (B, N, hidden / 2) -> (B, N, E)
