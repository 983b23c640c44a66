"""What a recipe may say of how a vocoder is trained."""

from typing import Any

import pytest

from ossicle.errors import ConfigError
from ossicle.train.vocoding import Vocoding


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"crop_units": 1}, "vocoding: crop_units is 1, it must be at least 2"),
        ({"crops": 0}, "crops is 0, it must be at least 1"),
        ({"context_units": -1}, "context_units is -1, it must be at least 0"),
        ({"discriminator_width": 0}, "discriminator_width is 0"),
        ({"mel_weight": -1.0}, "mel_weight is -1, it must be a number of at least 0"),
        ({"stft_weight": float("nan")}, "stft_weight is nan"),
        ({"feature_weight": float("inf")}, "feature_weight is inf"),
        ({"deception_weight": -0.5}, "deception_weight is -0.5"),
    ],
)
def test_numbers_that_train_nothing_are_refused(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Vocoding(**said)
