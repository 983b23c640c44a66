"""Policies by name, as they are written on a command line: ``emma:0.7``, ``wait-k:5``, ``alignatt:6,layer=2``.

Knows names and numbers; does not know models but for the steps of their choices.
"""

import inspect
from collections.abc import Callable
from typing import Any

from ossicle.errors import RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.policies import AlignAtt, Emma, LocalAgreement, Policy, WaitK
from ossicle.translate.translator import Translator

NAMES: dict[str, tuple[Callable[..., Policy], str]] = {
    "emma": (Emma, "threshold"),
    "wait-k": (WaitK, "k"),
    "agreement": (LocalAgreement, "n"),
    "alignatt": (AlignAtt, "frames"),
}
"""What makes each, and what a number without a name is."""
BEST, CLOSEST = "alignatt:8,layer=2", "agreement:2"
"""What mini-simul is best with within two seconds (docs/results/mini-simul.md), and what asks nothing of a decoder."""
TEXT_POLICY = "agreement:2"
"""Of texts, for which no choices are learned."""


def policy_named(text: str, model: Translator) -> Policy:
    """A policy for a model.

    Args:
        text: ``NAME``, ``NAME:NUMBER`` or ``NAME:NUMBER,KEY=VALUE,..``, keys being the arguments of the policy.
        model: whose choices tell how long a step is; a model without them has steps of two encoder outputs.

    Raises:
        RequestError: an unknown name or key, a value of another kind; EMMA for a model that has no choices.
        ConfigError: a number out of its range.
    """
    name, _, rest = text.partition(":")
    if name not in NAMES:
        raise RequestError(
            f"there is no policy {name!r}, known are {', '.join(NAMES)}, each with a number of its own: emma:0.6"
        )
    make, first = NAMES[name]
    known = {key: one.default for key, one in inspect.signature(make).parameters.items()}
    given: dict[str, Any] = {}
    for i, one in enumerate(rest.split(",") if rest else ()):
        key, equals, value = one.partition("=")
        key, value = (key, value) if equals else (first, key)
        if key not in known or key in given or (not equals and i):
            raise RequestError(f"{text!r}: {name} takes each of {', '.join(known)} once, by name, {first} first")
        try:
            given[key] = type(known[key])(value)
        except ValueError:
            raise RequestError(f"{text!r}: {key} is a number like {known[key]}, got {value!r}") from None
    choices = model.choices if isinstance(model.choices, Choices) else None
    if make is Emma and choices is None:
        raise RequestError(f"{model.name} has not learned when to write, which emma asks it: take wait-k or agreement")
    if given.get("layer", 1) > (layers := model.settings.decoder_layers):
        raise RequestError(f"{text!r}: {model.name}'s decoder has {layers} layers, counted from 1")
    if "ratio" in known and choices is not None:
        given.setdefault("ratio", choices.ratio)
    return make(**given)


def best_policy(model: Translator) -> str:
    """The policy that is best as far as we know, by name; agreement where a decoder has too few layers for it."""
    return BEST if model.settings.decoder_layers > 1 else CLOSEST
