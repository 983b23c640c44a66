"""What a conformer learns from sound alone: spans of frames are hidden, and it must tell what was there.

Knows features, hidden frames and codes; does not know labels, bridges or LLMs. Projected frames are replaced in spans
by one learned vector. With ``targets="learned"`` a middle layer tells the code vector of a hidden place from those of
other hidden places of the clip, and the last layer the code itself (Chung et al. 2021, w2v-BERT; the contrast as in
Baevski et al. 2020, wav2vec 2.0). With ``targets="random_projection"`` the last layer guesses codes that a frozen
random quantiser gave the features (Chiu et al. 2022, BEST-RQ).
Unlike published: codes are taken from the projected frames without a gradient into the projection, so that it cannot
make the task easier by making frames alike; and codes to guess are the likeliest, not drawn ones.
The one way by which something of a hidden frame stays: features are normed over the whole clip, bin by bin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import ConfigError
from ossicle.tensors import Features, stacked
from ossicle.train.conformer import Conformer, conformer_of
from ossicle.train.objectives import Loss
from ossicle.train.pretraining import PretrainSettings, Targets
from ossicle.train.quantiser import ProductQuantiser, RandomProjection, perplexity
from ossicle.train.sources import Sample

SHARPNESS = 0.1
"""Temperature of the contrast's cosines."""
NONE = -1


@dataclass(frozen=True, eq=False)
class PretrainItem:
    """One clip: features (F, T), its samples as the encoder counts them, hidden frames (T,) bool, and for each hidden
    frame which others it is told from: (H, K) int64 among the hidden ones, -1 where there is no other."""

    features: np.ndarray
    n_samples: int
    hidden: np.ndarray
    negatives: np.ndarray
    seconds: float

    @property
    def size(self) -> float:
        """What padding costs by: seconds."""
        return self.seconds


@dataclass(frozen=True, eq=False)
class PretrainBatch:
    """Clips side by side: features, valid frames (B,), hidden frames (B, T) bool, and ``negatives`` (H, K) int64 among
    all hidden frames of the batch, clip by clip, -1 for none."""

    seconds: float
    features: Features
    lengths: torch.Tensor
    hidden: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: torch.device) -> "PretrainBatch":
        """The same with its features on a device; the loss moves the small rest itself."""
        return replace(self, features=self.features.to(device))


def hidden_spans(n_frames: int, rng: np.random.Generator, *, probability: float, span: int) -> np.ndarray:
    """Which frames are hidden, (n_frames,) bool: at least one."""
    starts = rng.random(n_frames) < probability
    if not starts.any():
        starts[int(rng.integers(n_frames))] = True
    return np.convolve(starts, np.ones(span, np.int64))[:n_frames] > 0


def others(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """For each of n places k of the others, with replacement: (n, k) int64; -1 where there is no other."""
    if n < 2:
        return np.full((n, k), NONE, np.int64)
    drawn = rng.integers(0, n - 1, (n, k))
    return drawn + (drawn >= np.arange(n)[:, None])


class Pretrain(nn.Module):
    """Masked frames told apart and guessed.

    Args:
        ear: whose ``features`` and ``n_frames``; its conformer is taken from the model at each loss.
        conformer: for its sizes.
        settings: see there.

    Raises:
        ConfigError: a setting that allows no training; the message names it.
    """

    def __init__(self, ear: Any, conformer: Conformer, settings: PretrainSettings | None = None) -> None:
        super().__init__()
        self.settings = settings = settings or PretrainSettings()
        check_settings(settings, conformer.n_layers)
        self.read, self.n_frames = ear.features, ear.n_frames  # not its weights
        self.layer = settings.layer or max(1, conformer.n_layers // 2)
        linear = conformer.projection.projection
        assert isinstance(linear, nn.Linear)
        width, n_targets = linear.out_features, settings.groups * settings.n_codes
        self.mask = nn.Parameter(torch.empty(width).uniform_())
        self.norm = nn.LayerNorm(width)
        self.guess = nn.Linear(width, n_targets)
        # a weight, since checkpoints hold those: how far the temperature has come
        self.steps = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.quantiser: ProductQuantiser | None = None
        self.random: RandomProjection | None = None
        match settings.targets:
            case "learned":
                sizes = {"groups": settings.groups, "n_codes": settings.n_codes}
                self.quantiser = ProductQuantiser(width, settings.code_width, **sizes)
                self.contrast = nn.Linear(width, settings.code_width)
            case "random_projection":
                self.random = RandomProjection(linear.in_features, groups=settings.groups, n_codes=settings.n_codes)

    @property
    def heads(self) -> nn.Module:
        """What is trained beside the model and thrown away with the objective."""
        return self

    def item(self, sample: Sample, rng: np.random.Generator) -> PretrainItem:
        """Features of a clip, and what of it is hidden."""
        read = self.read([Clip(sample.samples, SAMPLE_RATE)])
        return self.hide(read.values[0].numpy(), int(read.n_samples[0]), len(sample.samples) / SAMPLE_RATE, rng)

    def hide(self, features: np.ndarray, n_samples: int, seconds: float, rng: np.random.Generator) -> PretrainItem:
        """The item of features (F, T) that are there already."""
        settings = self.settings
        n = self.n_frames(n_samples)
        assert features.shape[1] == n, "features that are as long as the encoder counts them"
        hidden = hidden_spans(n, rng, probability=settings.probability, span=settings.span)
        negatives = others(int(hidden.sum()), settings.n_negatives, rng)
        return PretrainItem(features, n_samples, hidden, negatives, seconds)

    def collate(self, items: Sequence[PretrainItem]) -> PretrainBatch:
        """Items side by side, frames padded to the longest; padding is never hidden."""
        lengths = [len(item.hidden) for item in items]
        hidden = np.zeros((len(items), max(lengths)), bool)
        for row, item in zip(hidden, items, strict=True):
            row[: len(item.hidden)] = item.hidden
        first = np.cumsum([0, *(len(item.negatives) for item in items)])
        negatives = [
            np.where(item.negatives == NONE, NONE, item.negatives + at)
            for item, at in zip(items, first[:-1], strict=True)
        ]
        seconds = [item.seconds for item in items]
        return PretrainBatch(
            seconds=sum(seconds),
            features=stacked([item.features for item in items], [item.n_samples for item in items], seconds),
            lengths=torch.tensor(lengths),
            hidden=torch.from_numpy(hidden),
            negatives=torch.from_numpy(np.concatenate(negatives)),
        )

    def loss(self, model: Any, batch: PretrainBatch) -> Loss:
        """Summed over hidden frames; the part for unused codes belongs to a whole batch, and is counted as often."""
        return self.conformer_loss(conformer_of(model), batch)

    def conformer_loss(self, conformer: Conformer, batch: PretrainBatch) -> Loss:
        """Loss of a conformer; in training it counts a step."""
        device = self.mask.device
        values, hidden = batch.features.values.to(device), batch.hidden.to(device)
        projected = conformer.project(values)
        covered = torch.where(hidden[..., None], self.mask.to(projected.dtype), projected)
        middle, last = conformer.hidden(covered, batch.lengths, self.layer)
        logits = self.guess(self.norm(last[hidden])).float().unflatten(1, (self.settings.groups, -1))  # (H, G, V)
        if self.random is not None:
            codes = self.random(values.transpose(1, 2)[hidden])
            total, parts = logits.new_zeros(()), dict[str, float]()
        else:
            codes, total, parts = self._contrasted(projected, middle, batch, hidden)
        guessed = functional.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="sum")
        total = total + self.settings.guess_weight / self.settings.groups * guessed
        if self.training and torch.is_grad_enabled():
            with torch.no_grad():
                self.steps.add_(1)
        return total, len(codes), {"guess": guessed.item() / codes.numel(), **told(logits, codes), **parts}

    def _contrasted(
        self, projected: torch.Tensor, middle: torch.Tensor, batch: PretrainBatch, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, float]]:
        """Codes of the hidden frames (H, G), the loss without the guesses, and parts for the log."""
        assert self.quantiser is not None
        settings = self.settings
        valid = torch.arange(hidden.shape[1]) < batch.lengths[:, None]
        places = valid.to(hidden.device)
        found = self.quantiser(projected.detach()[places], temperature=settings.temperature(self.steps.item()))
        of_hidden = hidden[places]  # which of the valid frames are hidden, in the order of `hidden`'s own
        vectors, codes = found.vectors[of_hidden].float(), found.codes[of_hidden]
        sums, right, asked, chance = contrast(
            self.contrast(middle[hidden]).float(), vectors, codes, batch.negatives.to(hidden.device)
        )
        total = settings.contrast_weight * sums + settings.unused_weight * len(codes) * found.unused
        parts = {
            "contrast": sums.item() / len(codes),
            "contrast_right": right / max(asked, 1),
            "contrast_chance": chance / max(asked, 1),
            "unused": found.unused.item(),
        }
        return codes, total, parts


def contrast(
    said: torch.Tensor, vectors: torch.Tensor, codes: torch.Tensor, negatives: torch.Tensor
) -> tuple[torch.Tensor, int, int, float]:
    """Each hidden place told from others by the cosine of what is said about it.

    Args:
        said: (H, E) from the middle layer.
        vectors: (H, E) of the codes.
        codes: (H, G) int64; a negative with the same codes as the place itself does not count.
        negatives: (H, K) int64 into H, -1 for none.

    Returns:
        The summed loss, places told right, places that had anything to be told from, and the sum of their chances.
    """
    other = negatives.clamp(min=0)
    usable = (negatives != NONE) & (codes[other] != codes[:, None]).any(-1)  # (H, K)
    said, vectors = functional.normalize(said, dim=-1), functional.normalize(vectors, dim=-1)
    near = torch.einsum("he,he->h", said, vectors)
    far = torch.einsum("he,hke->hk", said, vectors[other]).masked_fill(~usable, -torch.inf)
    scores = torch.cat([near[:, None], far], 1) / SHARPNESS
    asked = usable.any(1)
    right = ((near[:, None] > far).all(1) & asked).sum()
    chance = (asked / (1 + usable.sum(1))).sum()
    return -scores.log_softmax(1)[:, 0].sum(), int(right), int(asked.sum()), float(chance)


def told(logits: torch.Tensor, codes: torch.Tensor) -> dict[str, float]:
    """How well codes (H, G) are guessed from logits (H, G, V): the share of right ones, that of the most frequent code
    (what a guesser would get that hears nothing), and how many codes are in use; means over the groups."""
    shares = functional.one_hot(codes, logits.shape[-1]).double().mean(0)  # (G, V)
    return {
        "guess_right": (logits.argmax(-1) == codes).double().mean().item(),
        "guess_chance": shares.amax(-1).mean().item(),
        "codes_used": perplexity(shares).mean().item(),
    }


def check_settings(settings: PretrainSettings, n_layers: int) -> None:
    """Refuse settings that allow no training.

    Raises:
        ConfigError: see the messages.
    """
    if settings.targets not in get_args(Targets):
        raise ConfigError(f"unknown targets {settings.targets!r}, allowed are {', '.join(get_args(Targets))}")
    if not 0 < settings.probability < 1:
        raise ConfigError(f"the probability of a hidden span must be above 0 and below 1, got {settings.probability:g}")
    if settings.span < 1 or settings.n_negatives < 1:
        raise ConfigError(
            f"spans and negatives must be at least 1, got span {settings.span} and n_negatives {settings.n_negatives}"
        )
    if not 0 <= settings.layer <= n_layers:
        raise ConfigError(f"there is no layer {settings.layer} to contrast, the encoder has {n_layers}")
    if not 0 < settings.cold <= settings.hot:
        raise ConfigError(f"a temperature falls to one above 0, got {settings.hot:g} to {settings.cold:g}")
