"""A strided convolution: k neighbouring frames become one, then a two-layer perceptron makes it an audio token.

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them.
Source: the convolutional projector of SLAM-LLM (Ma et al. 2024; k = 5, hidden 2048, ReLU), which drops the tail; here
zeros fill the last run.
"""

from typing import Any, ClassVar

from torch import nn
from torch.nn import functional

from ossicle.bridge.output import Output
from ossicle.bridge.runs import Runs, check_runs, zero_filled_runs
from ossicle.tensors import AudioTokens, Frames

TAILS = ("zero", "drop")


class ConvMLP(Runs, nn.Module):
    """Convolve each run of ``k`` frames (kernel and stride ``k``), then ReLU, Linear, ReLU, Linear to the LLM's width.

    Args:
        width_in: encoder width D, also what the convolution gives.
        width_out: LLM width E.
        k: frames per audio token, >= 1.
        hidden: width between the two Linears.
        tail: what becomes of the last ``T % k`` frames: "zero" fills the run with zeros, "drop" loses them (``tail_s``
            then tells the loss). A clip shorter than ``k`` frames is filled either way.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: ``k`` < 1, an unknown ``tail`` or ``output_norm``, a width < 1.
    """

    kind: ClassVar[str] = "conv"

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        k: int = 5,
        hidden: int = 2048,
        tail: str = "zero",
        output_norm: str = "rms",
    ) -> None:
        super().__init__()
        check_runs("ConvMLP", widths=(width_in, width_out, hidden), k=k, tail=tail, tails=TAILS)
        self.width_in, self.width_out, self.k, self.hidden, self.tail = width_in, width_out, k, hidden, tail
        self.conv = nn.Conv1d(width_in, width_in, k, stride=k)
        self.inner = nn.Sequential(nn.ReLU(), nn.Linear(width_in, hidden), nn.ReLU())
        self.output = Output(hidden, width_out, norm=output_norm)
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
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        runs = zero_filled_runs(frames.values, frames.lengths, self.k)[:, :n]  # (B, T, D) -> (B, N, k * D)
        kernel = self.conv.weight.transpose(1, 2).flatten(1)  # (D, D, k) -> (D, k * D): it covers one run exactly
        values = functional.linear(runs, kernel, self.conv.bias)  # (B, N, k * D) -> (B, N, D), also for N = 0
        return self.tokens(self.output(self.inner(values)), frames, lengths)  # (B, N, D) -> (B, N, E)
