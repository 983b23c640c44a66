"""Stacking: k neighbouring frames, side by side, become one audio token through a two-layer perceptron.

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them.
Source: Ma et al. 2024 (SLAM-ASR: k = 5, hidden 2048, ReLU), which drops the tail; here the last frame is repeated. The
released Voxtral checkpoints (k = 4, GELU, no biases).
"""

from typing import Any, ClassVar

import torch
from torch import nn

from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_runs, zero_filled
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames

TAILS = ("duplicate", "drop")
ACTIVATIONS = ("relu", "gelu")


def stack_runs(values: torch.Tensor, lengths: torch.Tensor, k: int, n: int) -> torch.Tensor:
    """Lay ``n`` runs of ``k`` frames side by side: (B, T, D) -> (B, N, k * D).

    Places past a clip's last frame repeat that frame, so that nothing depends on what the batch is padded with.
    """
    n_batch, _, width = values.shape
    last = (lengths - 1).clamp(min=0)
    index = torch.minimum(torch.arange(n * k)[None, :], last[:, None]).to(values.device)  # (B, N * k)
    rows = torch.arange(n_batch, device=values.device)[:, None]
    return values[rows, index].view(n_batch, n, k * width)  # (B, N * k, D) -> (B, N, k * D)


class StackMLP(Runs, nn.Module):
    """Concatenate each run of ``k`` frames, then Linear, activation, Linear to the LLM's width.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames per audio token, >= 1.
        hidden: width between the two Linears.
        tail: what becomes of the last ``T % k`` frames: "duplicate" fills the run by repeating the last frame, "drop"
            loses them (``tail_s`` then tells the loss). A clip shorter than ``k`` frames is filled either way.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.
        activation: "relu" or "gelu" between the two Linears.
        bias: whether the two Linears have one.

    Raises:
        BridgeError: ``k`` < 1, an unknown ``tail``, ``output_norm`` or ``activation``, a width < 1.
    """

    kind: ClassVar[str] = "stack_mlp"

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        k: int = 5,
        hidden: int = 2048,
        tail: str = "duplicate",
        output_norm: str = "rms",
        activation: str = "relu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_runs("StackMLP", widths=(width_in, width_out, hidden), k=k, tail=tail, tails=TAILS)
        if activation not in ACTIVATIONS:
            raise BridgeError(f"StackMLP does not know the activation {activation!r}: choose one of relu, gelu")
        self.width_in, self.width_out, self.k, self.hidden, self.tail = width_in, width_out, k, hidden, tail
        self.activation, self.bias = activation, bias
        between = nn.ReLU() if activation == "relu" else nn.GELU()
        self.inner = nn.Sequential(nn.Linear(k * width_in, hidden, bias=bias), between)
        self.output = Output(hidden, width_out, norm=output_norm, bias=bias)
        self.output_norm = output_norm

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "hidden": self.hidden,
            "tail": self.tail,
            "output_norm": self.output_norm,
            "activation": self.activation,
            "bias": self.bias,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        values = stack_runs(frames.values, frames.lengths, self.k, n)  # (B, T, D) -> (B, N, k * D)
        values = self.inner(zero_filled(values, lengths))  # what a clip of no frames holds is never read
        return self.tokens(self.output(values), frames, lengths)  # (B, N, hidden) -> (B, N, E)
