"""How a vocoder is trained: what a recipe may say of it.

Knows numbers; does not know vocoders.
"""

from dataclasses import dataclass

from ossicle.errors import ConfigError
from ossicle.translate.spectral_loss import SHORTEST
from ossicle.translate.vocoder import UNIT_SAMPLES


@dataclass(frozen=True)
class Vocoding:
    """How a vocoder is trained.

    ``crop_units`` long crops are judged, at most ``crops`` of a clip, and ``context_units`` on either side of each are
    read as well. The weights are of the parts of the loss; ``feature_weight`` and ``deception_weight`` count only with
    ``gan``, whose discriminators have ``discriminator_width`` channels in their first layers.
    """

    gan: bool = False
    crop_units: int = 64
    crops: int = 2
    context_units: int = 13
    mel_weight: float = 45.0
    stft_weight: float = 45.0
    feature_weight: float = 2.0
    deception_weight: float = 1.0
    discriminator_width: int = 8

    def __post_init__(self) -> None:
        least = -(-SHORTEST // UNIT_SAMPLES)
        for name, value, lowest in (
            ("crop_units", self.crop_units, least),
            ("crops", self.crops, 1),
            ("context_units", self.context_units, 0),
            ("discriminator_width", self.discriminator_width, 1),
        ):
            if value < lowest:
                raise ConfigError(f"vocoding: {name} is {value}, it must be at least {lowest}")
        for name in ("mel_weight", "stft_weight", "feature_weight", "deception_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"vocoding: {name} is {value:g}, it must be a number of at least 0")
