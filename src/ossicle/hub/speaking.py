"""The parts with which a translator speaks, as a folder describes them: the one place where a kind becomes a part.

Knows kinds and settings; does not know files.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ossicle.errors import ConfigError
from ossicle.translate.translator import Translator


def build_speaking(name: str, kind: str, config: Mapping[str, Any], model: Translator) -> nn.Module:
    """A part of a translator, with random weights.

    Args:
        name: which part.
        kind, config: as `described_speaking` gave them.
        model: that gets it.

    Raises:
        ConfigError: an unknown kind.
    """
    raise ConfigError(f"unknown kind {kind!r} of a {name}")


def described_speaking(model: Translator, name: str) -> tuple[str, dict[str, Any]]:
    """Kind and settings of a part that a translator has."""
    raise ConfigError(f"the {name} of {model.name} is of a kind that no folder knows")
