"""How a translator hears piece by piece, as a part of it: its chunks, and what filter banks are usually like.

Knows numbers that are kept with the weights; does not know how they were found. What begins to listen, the sound that
is learned from and the masked run all take them from here, so that they agree.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle.encoders.banks import Banks
from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.encoder import Listening, Usual, heard, normed, usual_of
from ossicle.tensors import Features
from ossicle.translate.speech_encoder import Chunks
from ossicle.translate.translator import Encoded, Translator


class Hearing(nn.Module):
    """Chunks and the usual filter bank.

    Args:
        bins: of a filter bank.
        frames: of the conformer in a chunk.
        left: chunks before its own that a frame sees, -1 for all.
        weight: of the usual against what is heard, as so many filter banks.
        memory: after so many filter banks what was heard counts e times less.

    Raises:
        ConfigError: a number out of its range.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(
        self, bins: int, *, frames: int, left: int = -1, weight: float = 100.0, memory: float = 3000.0
    ) -> None:
        super().__init__()
        if bins < 1 or frames < 1 or left < -1 or not weight > 0 or not memory > 0:
            raise ConfigError(
                "hearing has bins and frames of 1 or more, left of -1 or more, weight and memory above 0: got "
                f"{bins}, {frames}, {left}, {weight:g}, {memory:g}"
            )
        self.chunks, self.weight, self.memory = Chunks(frames, left), float(weight), float(memory)
        self.register_buffer("mean", torch.zeros(bins))
        self.register_buffer("variance", torch.ones(bins))

    def settings(self) -> dict[str, Any]:
        """The arguments that build this part again."""
        return {
            "bins": len(self.mean),
            "frames": self.chunks.frames,
            "left": self.chunks.left,
            "weight": self.weight,
            "memory": self.memory,
        }

    @property
    def usual(self) -> Usual:
        """What filter banks are like before anything is heard."""
        mean, variance = (one.double().cpu().numpy() for one in (self.mean, self.variance))
        return Usual(mean, variance, self.weight, self.memory)

    def learn(self, model: Translator, waves: Sequence[np.ndarray]) -> None:
        """Take the usual from sounds, (S,) float32 at 16 kHz each.

        Raises:
            RequestError: fewer than two filter banks in all.
        """
        found = usual_of(model, list(waves))
        self.mean.copy_(torch.from_numpy(found.mean))
        self.variance.copy_(torch.from_numpy(found.variance))

    def begin(self, model: Translator) -> Listening:
        """Ears for a new sound.

        Raises:
            RequestError, EncoderError: as `Listening`.
        """
        return Listening(model, self.chunks, self.usual)

    def normed(self, banks: Banks, wave: np.ndarray) -> np.ndarray:
        """Stacked filter banks (T, F) of a whole sound, as they are when it comes piece by piece."""
        return normed(banks, wave, self.chunks, self.usual)

    def heard(self, model: Translator, features: Features) -> Encoded:
        """Such filter banks, (B, F, T), seen in chunks.

        Raises:
            RequestError, EncoderError: as `Listening`.
        """
        return heard(model, features, self.chunks)


def hearing_of(model: Translator) -> Hearing:
    """How a model hears piece by piece.

    Raises:
        RequestError: it was not taught to.
    """
    if not isinstance(model.hearing, Hearing):
        raise RequestError(f"{model.name} does not hear piece by piece: teach it first, by a stage `simultaneous`")
    return model.hearing


def choices_of(model: Translator) -> Choices:
    """When a model would write.

    Raises:
        RequestError: it was not taught to choose.
    """
    if not isinstance(model.choices, Choices):
        raise RequestError(f"{model.name} does not choose when to write: teach it first, by a stage `simultaneous`")
    return model.choices
