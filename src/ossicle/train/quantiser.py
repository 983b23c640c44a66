"""Frames to codes that masked prediction must guess: a product quantiser that learns, or a random one that never does.

Knows vectors and codes; does not know masks or encoders. The learned one chooses by Gumbel softmax, hard forward and
soft backward, and must use all its codes (Baevski et al. 2020, wav2vec 2.0, section 2). The random one projects and
takes the nearest of random directions, and needs no training (Chiu et al. 2022, BEST-RQ, section 3.1).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ossicle.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Quantised:
    """Vectors as codes.

    Args:
        codes: (N, G) int64, the code of each group.
        vectors: (N, E) float, what the chosen codes stand for.
        unused: scalar, 0 where all codes are as likely on average, toward 1 where one takes all.
    """

    codes: torch.Tensor
    vectors: torch.Tensor
    unused: torch.Tensor


class ProductQuantiser(nn.Module):
    """``groups`` codebooks of ``n_codes`` vectors, one of each chosen for a frame, side by side.

    Args:
        width: D of what is quantised.
        out: E of what comes out.

    Raises:
        ConfigError: a width that the groups do not divide, or fewer than 2 codes.
    """

    def __init__(self, width: int, out: int, *, groups: int, n_codes: int) -> None:
        super().__init__()
        check_codes(groups, n_codes)
        if out % groups:
            raise ConfigError(f"a quantiser's vectors of width {out} cannot be shared by {groups} groups")
        self.groups, self.n_codes = groups, n_codes
        self.norm = nn.LayerNorm(width)
        self.choose = nn.Linear(width, groups * n_codes)
        nn.init.normal_(self.choose.weight)  # choices that differ from the first step on, and not by noise alone
        nn.init.zeros_(self.choose.bias)
        self.vectors = nn.Parameter(torch.empty(groups, n_codes, out // groups).uniform_())
        self.project = nn.Linear(out, out)

    def forward(self, values: torch.Tensor, *, temperature: float) -> Quantised:
        """Codes of vectors (N, D).

        In training each choice is drawn (Gumbel noise, soft by ``temperature`` in the backward pass); in evaluation it
        is the likeliest. ``codes`` are the likeliest in both, so that what is to be guessed holds no noise.
        """
        logits = self.choose(self.norm(values)).float().unflatten(1, (self.groups, self.n_codes))  # (N, G, V)
        codes = logits.argmax(-1)
        if self.training:
            chosen = functional.gumbel_softmax(logits, tau=temperature, hard=True)
        else:
            chosen = functional.one_hot(codes, self.n_codes).to(logits.dtype)
        picked = torch.einsum("ngv,gve->nge", chosen, self.vectors.float())
        shares = logits.softmax(-1).mean(0)  # (G, V)
        unused = 1 - perplexity(shares).mean() / self.n_codes
        return Quantised(codes, self.project(picked.flatten(1)), unused)


class RandomProjection(nn.Module):
    """The nearest of random unit vectors to a random projection: codes that never change.

    Args:
        width: D of what is quantised.
        seed: of projections and codebooks; the same seed gives the same codes, so that nothing has to be saved.

    Raises:
        ConfigError: no group, or fewer than 2 codes.
    """

    projections: torch.Tensor
    directions: torch.Tensor

    def __init__(self, width: int, *, groups: int, n_codes: int, inner: int = 16, seed: int = 0) -> None:
        super().__init__()
        check_codes(groups, n_codes)
        drawn = torch.Generator().manual_seed(seed)
        projections = torch.randn(groups, width, inner, generator=drawn) * width**-0.5
        directions = functional.normalize(torch.randn(groups, n_codes, inner, generator=drawn), dim=-1)
        self.register_buffer("projections", projections, persistent=False)
        self.register_buffer("directions", directions, persistent=False)

    @torch.no_grad()
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Codes (N, G) of vectors (N, D), each normed first: loudness alone chooses nothing."""
        normed = functional.layer_norm(values.float(), values.shape[-1:])
        inner = torch.einsum("nd,gde->nge", normed, self.projections)
        near: torch.Tensor = torch.einsum("nge,gve->ngv", inner, self.directions)
        return near.argmax(-1)  # the nearest: all directions are of length 1


def perplexity(shares: torch.Tensor) -> torch.Tensor:
    """How many of the codes (..., V) are in use, (...): e to the entropy of their shares."""
    entropy: torch.Tensor = torch.special.entr(shares).sum(-1)
    return entropy.exp()


def check_codes(groups: int, n_codes: int) -> None:
    """Refuse codebooks in which there is nothing to choose.

    Raises:
        ConfigError: no group, or fewer than 2 codes.
    """
    if groups < 1 or n_codes < 2:
        raise ConfigError(f"a quantiser needs at least 1 group of at least 2 codes, got {groups} of {n_codes}")
