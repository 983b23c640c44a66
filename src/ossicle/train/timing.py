"""How a translator learns when to write: what a recipe may say of it.

Knows numbers; does not know translators.
"""

from dataclasses import dataclass
from typing import Literal

from ossicle.errors import ConfigError


@dataclass(frozen=True)
class Timing:
    """How a translator learns when to write.

    ``latency_weight`` is of the mean lateness in seconds and ``variance_weight`` of its variance in seconds squared,
    beside the mean loss of a token; lateness is the differentiable average lagging ("dal") or the mean delay ("delay"),
    of which heads are gathered by "mean", "max" or "weighted". A share ``paced`` of the batches is written at a pace in
    place of the model's own choices, so late behind the speaker as was drawn, or when all was heard: what has only
    learned to write early cannot use what it hears by waiting, nor serve another policy.

    A model that has not learned to hear piece by piece gets chunks of ``chunk_s`` seconds that see ``left_s`` before
    them (all by default), its usual filter banks from ``clips`` clips, and choices of ``layers`` layers over steps of
    ``ratio`` outputs of its encoder; one that has keeps its own.
    """

    latency_weight: float = 0.1
    variance_weight: float = 0.1
    form: Literal["dal", "delay"] = "dal"
    heads: Literal["mean", "max", "weighted"] = "mean"
    paced: float = 0.4
    chunk_s: float = 0.32
    left_s: float | None = None
    ratio: int = 2
    layers: int = 2
    clips: int = 200

    def __post_init__(self) -> None:
        for name in ("latency_weight", "variance_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"timing: {name} is {value:g}, it must be a number of at least 0")
        if not 0 <= self.paced < 1:
            raise ConfigError(f"timing: paced is {self.paced:g}, it is a share from 0 to below 1")
        for name in ("ratio", "layers", "clips"):
            if getattr(self, name) < 1:
                raise ConfigError(f"timing: {name} is {getattr(self, name)}, it must be at least 1")
        if not self.chunk_s > 0 or (self.left_s is not None and not self.left_s >= 0):
            raise ConfigError(
                f"timing: chunk_s is above 0, left_s 0 or more (got {self.chunk_s:g} and {self.left_s or 0:g})"
            )
