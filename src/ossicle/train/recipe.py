"""A recipe: the parts of a model and the stages that train it, read from YAML and checked before anything loads.

Knows names and numbers; does not know how anything is trained. Unknown keys are refused with the place where they
stand. A recipe is one file without inheritance; `--set stage.key=value` changes single values and is recorded with
the result.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from ossicle.errors import ConfigError, FetchError
from ossicle.train.recipe_parts import BY_FORM, BY_KIND, FORMS, Parts, part_demands, said_of_parts
from ossicle.train.recipe_stages import SPEAKS, TRANSLATOR_OBJECTIVES, Stage, said_of_stage, stage_demands

Shape = TypeVar("Shape")

SPEAKING = {"units", "vocoder"}
"""Sizes of a translator that say how it speaks."""


@dataclass(frozen=True)
class Recipe:
    """A model's parts and the stages that train it, in order."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    parts: Parts
    stages: tuple[Stage, ...]
    seed: int = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_minutes: float = 5.0
    summary: str = ""
    holdout: float = 0.0
    """Share of a manifest's items that is never trained on, and scored at the end."""

    @property
    def teaches_translator(self) -> bool:
        """Whether the model is a translator: a new one, or a base that learns as translators do."""
        learns = any(stage.objective in TRANSLATOR_OBJECTIVES for stage in self.stages)
        return self.parts.translator is not None or (self.parts.base is not None and learns)

    @property
    def hash(self) -> str:
        """Twelve hex digits of everything that the recipe says."""
        return digest_of(asdict(self))

    def stage_hash(self, index: int) -> str:
        """Digest of the parts, the seed and one stage: what a resumed stage must share with the run that it goes on.
        Sizes of parts that speak are no concern of a stage that comes before any of them is made."""
        stage = self.stages[index]
        same = replace(stage, data=replace(stage.data, workers=1))  # how many make the data changes nothing in it
        parts = said_of_parts(self.parts)
        if self.parts.translator is not None and all(one.objective not in SPEAKS for one in self.stages[: index + 1]):
            parts["translator"] = {key: parts["translator"][key] for key in parts["translator"].keys() - SPEAKING}
        return digest_of([parts, self.seed, said_of_stage(same)])


def digest_of(value: Any) -> str:
    """Twelve hex digits of a value of JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: ``"stage.key=value"`` (a stage by its name) or ``"key=value"``; keys may be dotted, values are YAML.

    Raises:
        FetchError: no such file.
        ConfigError: not YAML, an unknown key, a value of the wrong kind, an override that names nothing.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold a mapping with name, parts and stages")
    for override in overrides:
        _override(raw, override)
    return recipe_of(raw, str(path))


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds.

    Raises:
        FetchError: no such file.
        ConfigError: not YAML.
    """
    path = Path(path)
    if not path.is_file():
        raise FetchError(f"there is no recipe file {path}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FetchError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"{path} is not YAML{f', line {mark.line + 1}' if mark else ''}") from error
    return raw


def valid(of: type[Shape], raw: dict[str, Any], where: str) -> Shape:
    """What a file says as a dataclass.

    Raises:
        ConfigError: an unknown key or a value of the wrong kind, with its place.
    """
    try:
        return TypeAdapter(of).validate_python(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_fault(e) for e in error.errors()[:5]), code=_code(error)) from error


def recipe_of(raw: dict[str, Any], where: str) -> Recipe:
    """A recipe from what a file says.

    Raises:
        ConfigError: as `read_recipe`; ``where`` is what the message begins with.
    """
    recipe = valid(Recipe, raw, where)
    for holds, fault in _demands(recipe):
        if not holds:
            raise ConfigError(f"{where}: {fault}")
    return recipe


def _demands(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    """What no type says: each demand on the numbers of a recipe, and the words for one that is not met."""
    for where, part in (("", replace(recipe, stages=())), *((f"{one.name}: ", one) for one in recipe.stages)):
        for place, value in _floats(part):
            yield math.isfinite(value), f"{where}{place} must be a finite number (got {value:g})"
    names = [stage.name for stage in recipe.stages]
    yield len(names) > 0, "a recipe needs at least one stage"
    yield len(set(names)) == len(names), f"two stages have the same name: {', '.join(names)}"
    yield 0 <= recipe.holdout < 1, f"holdout is a share from 0 to below 1 (got {recipe.holdout:g})"
    yield 0 <= recipe.seed < 2**64, f"seed must be at least 0 and fit into 64 bits (got {recipe.seed})"
    yield recipe.checkpoint_minutes >= 0, f"checkpoint_minutes must be at least 0 (got {recipe.checkpoint_minutes:g})"
    yield from part_demands(recipe.parts)
    speaker = recipe.parts.speaker
    yield (
        speaker is None or (recipe.teaches_translator and recipe.parts.base is not None and speaker.sentences > 0),
        "parts.speaker is one more speaker, with at least one sentence, of a translator that parts.base names",
    )
    yield (
        speaker is None or 0 <= speaker.others < 1,
        f"parts.speaker.others is a share from 0 to below 1 (got {0 if speaker is None else speaker.others:g})",
    )
    if recipe.parts.llm_bits is not None:
        yield recipe.parts.llm_from is not None, "parts.llm_bits is of the LLM that llm_from names"
        for stage in recipe.stages:
            yield (
                "llm" not in stage.trains,
                f"{stage.name}: an LLM in 4 bits (parts.llm_bits) cannot be trained in full: train lora, or leave it",
            )
            yield (
                "lora" not in stage.trains or stage is recipe.stages[-1],
                f"{stage.name}: a LoRA on an LLM in 4 bits is never merged, so only the last stage can train it",
            )
    for stage in recipe.stages:
        yield from stage_demands(stage, translates=recipe.teaches_translator)


def _floats(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number that may be no number, and where it stands; arguments of parts of one's own are theirs to judge."""
    if isinstance(value, float):
        yield place, value
    named = {one.name: getattr(value, one.name) for one in fields(value)} if is_dataclass(value) else value
    if isinstance(named, dict):
        for key, one in named.items():
            if key not in ("encoder_config", "bridge_config"):
                yield from _floats(one, f"{place}.{key}" if place else key)


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part not in (*FORMS.values(), BY_KIND, BY_FORM))
    if error["type"] == "extra_forbidden" or error["type"] == "unexpected_keyword_argument":
        return f"unknown key {place}"
    return f"{place}: {error['msg']} (got {error.get('input')!r})"


def _code(error: ValidationError) -> str:
    unknown = {"extra_forbidden", "unexpected_keyword_argument"}
    return "unknown_key" if any(e["type"] in unknown for e in error.errors()) else "bad_value"


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"an override reads stage.key=value, got {override!r}")
    path = key.split(".")
    target: Any = raw
    listed = raw.get("stages")
    named = [stage for stage in listed if isinstance(stage, dict)] if isinstance(listed, list) else []
    stages = {str(stage.get("name")): stage for stage in named}
    if path[0] in stages and len(path) > 1:
        target, path = stages[path[0]], path[1:]
    elif len(path) > 1 and path[0] not in raw:
        raise ConfigError(
            f"{override!r} names no stage and no part of the recipe; stages are {', '.join(map(str, stages))}"
        )
    for part in path[:-1]:
        inner = target.get(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{override!r}: {part} holds a value, not a mapping")
        target[part] = dict(inner)  # a copy: by a YAML alias several stages may share one mapping
        target = target[part]
    try:
        target[path[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML") from error
