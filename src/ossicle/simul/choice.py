"""When a token is to be written: for each layer and head of a decoder, how probable it is at each step of the source.

Knows states of a decoder and what an encoder has made so far; does not know alignments, decisions or policies. Steps
are runs of encoder outputs, as many as a decision is made for. The probability leans to reading until it has learned
otherwise. Source: Ma et al. 2023 (EMMA, arXiv 2312.04515), and the layout of the released model.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ossicle.errors import ConfigError
from ossicle.tensors import length_mask

BIAS, TEMPERATURE, LAYERS = -0.5, 0.2, 4
"""As released: at the start the probability is 0.08 where nothing speaks for writing."""


class Choice(nn.Module):
    """The probabilities of one decoder layer.

    Args:
        width: of states and of encoder outputs.
        heads: as many as the layer has.
        layers: of each of the two networks, for the state and for the source.
        bias: of the energy, learned.
        temperature: of the energy.

    Raises:
        ConfigError: heads that do not divide the width, no layer, a temperature that is not above 0.
    """

    def __init__(
        self, width: int, heads: int, *, layers: int = LAYERS, bias: float = BIAS, temperature: float = TEMPERATURE
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads or layers < 1 or not temperature > 0:
            raise ConfigError(
                f"a choice has heads that divide its width, a layer at least and a temperature above 0: got width "
                f"{width}, {heads} heads, {layers} layers, temperature {temperature:g}"
            )
        self.heads, self.temperature = heads, temperature
        self.state = _network(width, layers)
        self.source = _network(width, layers)
        self.bias = nn.Parameter(torch.tensor(bias))

    def keys(self, steps: torch.Tensor) -> torch.Tensor:
        """Steps of the source (B, N, D) as this layer sees them, (B, H, N, D / H); each by itself."""
        return split(self.source(steps), self.heads)

    def forward(self, states: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Probabilities of writing.

        Args:
            states: (B, Y, D), normed as the layer's cross-attention reads them.
            keys: (B, H, N, D / H).

        Returns:
            (B, H, Y, N) float32 whatever the autocast, from 0 to 1.
        """
        queries = split(self.state(states), self.heads)
        with torch.autocast(states.device.type, enabled=False):
            energy = queries.float() @ keys.float().transpose(-1, -2) / queries.shape[-1] ** 0.5
            return torch.sigmoid((energy + self.bias) / self.temperature)


class Choices(nn.Module):
    """A choice for each layer of a decoder.

    Args:
        width, heads, n_layers: of the decoder.
        ratio: encoder outputs in a step.
        layers, bias: as `Choice`.

    Raises:
        ConfigError: as `Choice`; no output in a step.
    """

    def __init__(
        self, width: int, heads: int, n_layers: int, *, ratio: int = 2, layers: int = LAYERS, bias: float = BIAS
    ) -> None:
        super().__init__()
        if ratio < 1:
            raise ConfigError(f"a step holds at least one output of the encoder: got {ratio}")
        self.width, self.heads, self.n_layers = width, heads, n_layers
        self.ratio, self.deep = ratio, layers
        self.layers = nn.ModuleList(Choice(width, heads, layers=layers, bias=bias) for _ in range(n_layers))

    def settings(self) -> dict[str, Any]:
        """The arguments that build these choices again; biases are weights."""
        return {
            "width": self.width,
            "heads": self.heads,
            "n_layers": self.n_layers,
            "ratio": self.ratio,
            "layers": self.deep,
        }

    def each(self) -> Iterable[Choice]:
        """The choices, first layer first."""
        for one in self.layers:
            assert isinstance(one, Choice)
            yield one


def n_steps(n: int, ratio: int) -> int:
    """Steps of ``n`` encoder outputs; the last may hold fewer."""
    return -(-n // ratio)


def steps_each(lengths: torch.Tensor, ratio: int) -> torch.Tensor:
    """Steps of each item's encoder outputs, (B,) int64."""
    return torch.tensor([n_steps(one, ratio) for one in lengths.tolist()], dtype=torch.int64)


def pooled(values: torch.Tensor, lengths: torch.Tensor, ratio: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of runs of encoder outputs, the last over what there is.

    Args:
        values: (B, X, D); what stands past the lengths is not read.
        lengths: (B,) int64 on the CPU.
        ratio: outputs in a run.

    Returns:
        (B, ceil(X / ratio), D), zero past an item's end, and how many runs each has, (B,) int64 on the CPU.
    """
    n = n_steps(values.shape[1], ratio)
    inside = length_mask(lengths, values.shape[1]).to(values.device, values.dtype)[..., None]
    wide = nn.functional.pad(torch.cat([values * inside, inside], -1), (0, 0, 0, n * ratio - values.shape[1]))
    sums = wide.view(len(wide), n, ratio, wide.shape[-1]).sum(2)  # (B, n, ratio, D + 1) -> (B, n, D + 1)
    return sums[..., :-1] / sums[..., -1:].clamp(min=1), steps_each(lengths, ratio)


def spread(steps: torch.Tensor, lengths: torch.Tensor, ratio: int, n: int) -> torch.Tensor:
    """What is said of steps, (.., Y, N), said of the last encoder output of each: (.., Y, n), zero elsewhere.

    Args:
        steps: (B, .., Y, N), zero past an item's end.
        lengths: (B,) int64 on the CPU, encoder outputs of each item.
        ratio: outputs in a step.
        n: encoder outputs of the longest.
    """
    at = torch.arange(1, steps.shape[-1] + 1)[None] * ratio - 1
    last = at.minimum(lengths[:, None] - 1).clamp(min=0).to(steps.device)  # (B, N)
    where = last.view(len(last), *[1] * (steps.ndim - 2), -1).expand(steps.shape)
    return torch.zeros(*steps.shape[:-1], n, dtype=steps.dtype, device=steps.device).scatter_add(-1, where, steps)


def split(values: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, L, D) as (B, H, L, D / H)."""
    return values.view(*values.shape[:2], heads, -1).transpose(1, 2)


def _network(width: int, layers: int) -> nn.Sequential:
    return nn.Sequential(*[part for _ in range(layers) for part in (nn.Linear(width, width), nn.ReLU())])
