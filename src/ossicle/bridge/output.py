"""The last map of a bridge: a Linear to the LLM's width and, if wanted, an RMS norm that fixes the size of a token.

Knows vectors; does not know how they were made. The size matters because a pre-norm LLM keeps it in the residual
stream: tokens 100 times as large as embeddings make the first blocks inert.
Source: Zhang & Sennrich 2019 (RMSNorm); the gain is set by `calibrate` to the median embedding norm over sqrt(E).
"""

import torch
from torch import nn

from ossicle.errors import BridgeError

NORMS = ("none", "rms")


class Output(nn.Module):
    """Linear (D -> E), then an RMS norm with a trainable gain (E,) if ``norm`` is "rms".

    Args:
        width_in: what comes in, D.
        width_out: LLM width E.
        norm: "none" or "rms".
        bias: of the Linear.

    Raises:
        BridgeError: an unknown ``norm``.
    """

    def __init__(self, width_in: int, width_out: int, *, norm: str, bias: bool = True) -> None:
        super().__init__()
        if norm not in NORMS:
            raise BridgeError(f"a bridge does not know the output norm {norm!r}: choose one of {', '.join(NORMS)}")
        self.linear = nn.Linear(width_in, width_out, bias=bias)
        self.norm = nn.RMSNorm(width_out, eps=1e-6) if norm == "rms" else None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., E)."""
        values = self.linear(values)
        return values if self.norm is None else self.norm(values)

    def resize(self, *, now: float, wanted: float) -> None:
        """Make tokens whose median norm is ``now`` have the median norm ``wanted``.

        With an RMS norm the gain becomes ``wanted / sqrt(E)`` in every place, else weight and bias are scaled.

        Raises:
            BridgeError: the tokens are all zero, so that no factor can give them a size.
        """
        with torch.no_grad():
            if self.norm is not None:
                self.norm.weight.fill_(wanted / self.linear.out_features**0.5)
                return
            if now == 0:
                raise BridgeError("the audio tokens are all zero: nothing can be scaled to the size of the embeddings")
            for value in self.linear.parameters():
                value.mul_(wanted / now)
