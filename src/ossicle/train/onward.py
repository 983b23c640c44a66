"""A finished model taken up again: a recipe that has grown by stages goes on from what its first stages made.

Knows model folders and recipes; does not know steps or optimisers. A run's folder holds checkpoints and is thrown away
sooner or later; the model it left stays, and its ``origin.json`` tells which stages it went through. What was not in
the model is lost: the heads of the encoder's own lessons begin anew, and weights come as they were stored, in fp16.
"""

import json
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from ossicle.errors import CheckpointError
from ossicle.hub.folder import find, load
from ossicle.hub.translator import load_translator
from ossicle.train.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Taken:
    """What a finished model brings into a run.

    Args:
        model: its name or folder.
        stages: how many of the recipe's stages it went through.
        weights: by name, as `torch.nn.Module.named_parameters` names them.
        origin: what its ``origin.json`` says: steps, hours, segments, log.
    """

    model: str
    stages: int
    weights: dict[str, torch.Tensor]
    origin: dict[str, Any]


def take_up(model: str, recipe: Recipe) -> Taken:
    """Read a finished model as the state of a recipe after its first stages.

    Args:
        model: a shipped name, or a model folder.
        recipe: begins with the very stages that made the model, and has at least one more.

    Raises:
        NotFoundError: there is no such model.
        CheckpointError: ``incomplete`` where its origin tells of no recipe; ``key_mismatch`` where parts, seed or a
            stage differ, or the recipe has no further stage.
    """
    path = find(model) / "origin.json"
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        made = TypeAdapter(Recipe).validate_python(origin["recipe"])
        told = {key: origin[key] for key in ("steps", "data_hours", "training_hours", "segments", "log")}
        told["cpu_hours"] = origin.get("cpu_hours")
        last = told["log"][-1]["stage"]
        done = 1 + [stage.name for stage in made.stages].index(last)  # the folder of a stage has later ones before it
    except (OSError, ValueError, LookupError, TypeError, ValidationError) as error:
        raise CheckpointError(f"the origin.json of {model} does not tell which recipe made it") from error
    for i in range(done):
        if i >= len(recipe.stages) or made.stage_hash(i) != recipe.stage_hash(i):
            raise CheckpointError(
                f"{model} was made by another recipe: parts, seed or stage {i + 1} ({made.stages[i].name}) differ",
                code="key_mismatch",
            )
    if done == len(recipe.stages):
        raise CheckpointError(f"{model} went through all {done} stages of the recipe: add one", code="key_mismatch")
    if recipe.teaches_translator:
        speaks = load_translator(model, device="cpu", dtype="float32")
        return Taken(model, done, dict(speaks.state_dict()), told)
    whole = load(model, device="cpu", dtype="float32", parts=recipe.parts.own)
    return Taken(model, done, dict(whole.named_parameters()), told)
