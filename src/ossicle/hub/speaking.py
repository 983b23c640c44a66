"""The parts with which a translator speaks and listens as it goes, as a folder describes them: the one place where a
kind becomes a part.

Knows kinds and settings; does not know files.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2CodeHifiGan,
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)

from ossicle.codec.units import Codebook
from ossicle.errors import ConfigError
from ossicle.hub.quiet import quiet
from ossicle.simul.choice import Choices
from ossicle.simul.hearing import Hearing
from ossicle.translate.aligner import Aligner
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import UnitDecoder
from ossicle.translate.vocoder import HifiGan


def build_speaking(name: str, kind: str, config: Mapping[str, Any], model: Translator) -> nn.Module:
    """A part of a translator, with random weights.

    Args:
        name: which part.
        kind, config: as `described_speaking` gave them.
        model: that gets it.

    Raises:
        ConfigError: an unknown kind, or settings that give no part.
    """
    match kind:
        case "unity2":
            with quiet():
                t2u = SeamlessM4Tv2TextToUnitForConditionalGeneration(model.settings)
            return UnitDecoder(t2u, **config)
        case "hifigan":
            return HifiGan(SeamlessM4Tv2CodeHifiGan(model.settings), config["languages"], speakers=config["speakers"])
        case "quick":
            return QuickVocoder(**config)
        case "k_means":
            return Codebook(torch.zeros(config["count"], config["width"]), layer=config["layer"])
        case "radtts":
            return Aligner(**config)
        case "chunked":
            return Hearing(**config)
        case "emma":
            return Choices(**config)
        case _:
            raise ConfigError(f"unknown kind {kind!r} of a {name}")


def described_speaking(model: Translator, name: str) -> tuple[str, dict[str, Any]]:
    """Kind and settings of a part that a translator has.

    Raises:
        ConfigError: it is of a kind that no folder knows.
    """
    part = getattr(model, name)
    match part:
        case UnitDecoder():
            return "unity2", {"letters": part.letters}
        case HifiGan():
            return "hifigan", {"languages": part.language_rows, "speakers": dict(part.speakers)}
        case QuickVocoder():
            return "quick", part.settings()
        case Codebook():
            return "k_means", {"count": part.n_units, "width": part.width, "layer": part.layer}
        case Aligner():
            return "radtts", part.settings()
        case Hearing():
            return "chunked", part.settings()
        case Choices():
            return "emma", part.settings()
        case _:
            raise ConfigError(f"the {name} of {model.name} is of a kind that no folder knows: {type(part).__name__}")
