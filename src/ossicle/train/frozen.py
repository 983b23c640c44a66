"""Frames of an encoder that a stage leaves as it is: each clip is heard alone, and with a cache only once.

Knows encoders and caches; does not know prompts or losses. Alone, because a clip's frames in a batch differ in their
last bits from batch to batch: so what is kept is to the bit what a run without a cache computes, and both have the same
losses (on the same device, with the same threads). Workers make features only of clips that are not kept yet; of the
others they send the samples, from which the trainer recomputes an entry that turns out to be damaged.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle import __version__
from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.data.cache import FrameCache
from ossicle.hub.parts import describe
from ossicle.models.audio_lm import Encoder
from ossicle.tensors import Features, Frames, sample_of, side_by_side
from ossicle.train.recipe_stages import Data

VERSIONS = ("torch", "transformers", "numpy", "soxr")


@dataclass(frozen=True, eq=False)
class Sound:
    """One clip for the encoder: its features, or where its frames are kept its samples (S,) float32 at 16 kHz."""

    key: str
    features: Features | None = None
    samples: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Sounds:
    """Clips of a batch, in few tensors, as workers send them.

    Args:
        keys: B keys of the cache, empty without one.
        features: of the clips that have any, side by side; None if none has.
        widths: for each clip the columns that are its own features', 0 where it has none.
        samples: those of all the other clips, one behind the other.
        n_samples: for each clip how many of these are its own, 0 where it has features.
    """

    keys: tuple[str, ...]
    features: Features | None
    widths: tuple[int, ...]
    samples: torch.Tensor
    n_samples: tuple[int, ...]


def gather(sounds: Sequence[Sound]) -> Sounds:
    """Clips of a batch together."""
    features = [one.features for one in sounds if one.features is not None]
    samples = [one.samples for one in sounds if one.samples is not None]
    return Sounds(
        tuple(one.key for one in sounds),
        side_by_side(features) if features else None,
        tuple(0 if one.features is None else one.features.values.shape[-1] for one in sounds),
        torch.from_numpy(np.concatenate([*samples, np.zeros(0, np.float32)])),
        tuple(0 if one.samples is None else len(one.samples) for one in sounds),
    )


class FrozenEncoder:
    """An encoder in evaluation mode and what is kept of it.

    Args:
        encoder: whose frames; its weights never change as long as this object is used.
        cache: None keeps nothing.
        device: where it computes.
    """

    def __init__(
        self, encoder: Encoder, cache: FrameCache | None = None, *, device: torch.device | str = "cpu"
    ) -> None:
        self.encoder, self.cache, self.device = encoder, cache, device

    def sound(self, clip: Clip) -> Sound:
        """What a worker sends of a clip at 16 kHz."""
        key = "" if self.cache is None else self.cache.key(clip.samples, clip.rate)
        if self.cache is not None and self.cache.holds(key):
            return Sound(key, samples=clip.samples)
        return Sound(key, self.encoder.features([clip]))

    @torch.no_grad()
    def frames(self, sounds: Sounds) -> Frames:
        """Frames of a batch: values (B, T, D) on the encoder's device, zero past each clip's own."""
        rows, durations = [], []
        for key, features in zip(sounds.keys, _each(self.encoder, sounds), strict=True):
            rows.append(self._one(key, features))
            durations.append(features.duration_s)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        values = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # B of (T, D) -> (B, T, D)
        return Frames(values, lengths, self.encoder.rate_hz, torch.tensor(durations, dtype=torch.float64))

    def _one(self, key: str, features: "_Later") -> torch.Tensor:
        """Frames (T, D) of one clip."""
        kept = None if self.cache is None else self.cache.get(key)
        if kept is not None and kept.shape[1] == self.encoder.width:
            return kept.to(self.device)
        made = self.encoder(features.made().to(self.device))
        frames = made.values[0, : int(made.lengths[0])]
        if self.cache is not None:
            self.cache.put(key, frames)
        return frames


@dataclass(frozen=True, eq=False)
class _Later:
    """Features of one clip, made only if they are asked for."""

    encoder: Encoder
    features: Features | None
    samples: np.ndarray
    duration_s: float

    def made(self) -> Features:
        """As a worker would have made them."""
        return self.encoder.features([Clip(self.samples, SAMPLE_RATE)]) if self.features is None else self.features


def _each(encoder: Encoder, sounds: Sounds) -> list[_Later]:
    """The clips of a batch one by one, each as it was before it lay beside the others."""
    found, row, at = [], 0, 0
    for width, n in zip(sounds.widths, sounds.n_samples, strict=True):
        if width:
            assert sounds.features is not None
            batch = sounds.features
            values = batch.values[row : row + 1, :, :width].contiguous()
            own = Features(values, batch.n_samples[row : row + 1], batch.durations_s[row : row + 1])
            found.append(_Later(encoder, own, np.zeros(0, np.float32), float(own.durations_s[0])))
            row += 1
        else:
            found.append(_Later(encoder, None, sounds.samples[at : at + n].numpy(), n / SAMPLE_RATE))
            at += n
    return found


def cache_of(data: Data, encoder: Any, folder: Path, precision: str) -> FrameCache | None:
    """The cache of a stage; None where its data say that nothing is kept.

    Args:
        data: of the stage.
        encoder: with the weights that it will have throughout the stage.
        folder: of the run, in which the cache lies unless the data name another.
        precision: that the encoder computes in.
    """
    if data.cache is False:
        return None
    place = folder / "cache" if data.cache is True else Path(data.cache)
    return FrameCache(place, identity_of(encoder, precision), limit_bytes=int(data.cache_gb * 1e9))


def identity_of(encoder: Any, precision: str) -> str:
    """Digest of all that frames depend on besides the samples: kind, settings, weights, where they are computed, and by
    which versions."""
    kind, settings = describe(encoder)
    device = sample_of(encoder, torch.zeros(())).device.type
    told = [kind, settings, device, precision, __version__, {name: version(name) for name in VERSIONS}]
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, value in sorted(encoder.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
