"""An AudioLM that is taught: what its stages need, and how it is saved and scored.

Knows recipes and AudioLMs; does not know steps or checkpoints.
"""

import sys
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ossicle.data.check import Checked, Longest
from ossicle.errors import DataError, OssicleError
from ossicle.evaluate.report import tables
from ossicle.hub.folder import load
from ossicle.hub.folder import save as save_model
from ossicle.models.lora import merge_lora, target_layers
from ossicle.train.guards import score_held_out
from ossicle.train.hear import Hear
from ossicle.train.objectives import Objective
from ossicle.train.parts import build, llm_reference
from ossicle.train.recipe import Recipe
from ossicle.train.recipe_stages import Data, Stage
from ossicle.train.recompute import recomputed, towers
from ossicle.train.sources import Source
from ossicle.train.stage import (
    check_stages,
    enter,
    frozen_of,
    longest_of,
    new_optimizer,
    objective_of,
    pattern_after,
    put_lora,
    set_trainable,
    source_of,
)
from ossicle.train.weights import fingerprint


class AudioPupil:
    """An AudioLM that is taught.

    Args:
        recipe: of the run.

    Raises:
        ConfigError: a part that cannot be built, or that a stage cannot train.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = build(recipe.parts, name=recipe.name, seed=recipe.seed, stages=recipe.stages)
        self.hear: Hear | None = None

    @property
    def lasting(self) -> nn.Module | None:
        """The heads of the encoder's own lessons."""
        return self.hear

    def to(self, device: torch.device) -> None:
        """Move the model, look at what later stages want of it, and make the heads that last."""
        self.model = self.model.to(device)
        for stage in self.recipe.stages:
            if "lora" in stage.trains:  # now: a pattern that matches nothing must not wait for its stage
                target_layers(self.model.llm, stage.lora_targets)
            towers(stage, self.model)
        if any(stage.objective == "hear" or stage.hear_weight > 0 for stage in self.recipe.stages):
            self.hear = Hear(self.model.encoder).to(device)

    def _trained_parts(self) -> set[str]:
        return {"llm" if part == "lora" else part for stage in self.recipe.stages for part in stage.trains}

    def named(self) -> dict[str, torch.Tensor]:
        """Every weight that some stage of the run trains, by name, without the tied twins."""
        parts, held = self._trained_parts(), self.model.quantized  # of an LLM in 4 bits only the LoRA moves
        return {
            name: p
            for name, p in self.model.named_parameters()
            if name.split(".", 1)[0] in parts and not (held and name.startswith("llm.") and "lora_" not in name)
        }

    def fingerprints(self) -> dict[str, str]:
        """Of the parts that no stage trains."""
        trained = self._trained_parts() - ({"llm"} if self.model.quantized else set())
        return {name: fingerprint(part) for name, part in self.model.named_children() if name not in trained}

    def check(self, data: str | None) -> list[Checked | None]:
        """As `check_stages`."""
        return check_stages(self.recipe, self.model, data)

    def source(self, index: int, data: str | None, *, without: Collection[int] = ()) -> Source:
        """As `source_of`."""
        return source_of(self.recipe, index, data, without=without)

    def longest(self, data: Data) -> Longest:
        """As `longest_of`."""
        return longest_of(data, self.model)

    def look_at(self, index: int) -> None:
        """As `objective_of`."""
        objective_of(self.recipe.stages[index], self.model, self.hear)

    def prepared(self, index: int, source: Source, *, begun: bool, folder: Path, precision: str) -> Objective:
        """A new bridge is calibrated, a LoRA put on; an encoder that stays as it is hears each clip once."""
        stage = self.recipe.stages[index]
        objective = objective_of(stage, self.model, self.hear)
        if not begun:
            enter(self.recipe, index, self.model, objective, source)
        frozen = frozen_of(stage, source, self.model, folder=folder, precision=precision)
        if frozen is None:  # after `enter`, which calibrates by another way through the encoder
            return objective
        return objective_of(stage, self.model, self.hear, frozen=frozen)

    def trained(self, stage: Stage, objective: Objective) -> list[nn.Parameter]:
        """As `set_trainable`."""
        return set_trainable(stage, self.model, objective)

    def optimizer(self, stage: Stage, objective: Objective, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
        """As `new_optimizer`."""
        return new_optimizer(stage, self.model, objective, trained)

    def recomputed(self, stage: Stage) -> AbstractContextManager[None]:
        """As `ossicle.train.recompute.recomputed`."""
        return recomputed(stage, self.model)

    def resumed(self, stage: Stage, *, begun: bool, done: bool) -> None:
        """A LoRA that was on, and was not merged, is put on."""
        if "lora" in stage.trains and (begun or (done and self.model.quantized)):
            put_lora(stage, self.model)

    def left(self, stage: Stage) -> None:
        """A LoRA is merged, where its LLM is not held in few bits."""
        if "lora" in stage.trains and not self.model.quantized:
            merge_lora(self.model)

    def kept_after(self, stage: Stage) -> bool:
        """Whether the stage answers."""
        return stage.objective == "answer"

    def save(self, folder: Path, stages: tuple[Stage, ...], origin: Mapping[str, Any]) -> None:
        """What nothing trained stays the part that it was, bit for bit."""
        self.model.pattern = pattern_after(stages)
        trained = {part for stage in stages for part in stage.trains}
        still = {"encoder", "bridge", *(() if "lora" in trained else ("llm",))} - trained
        llm = llm_reference(self.recipe.parts)
        save_model(self.model, folder, origin=origin, dtype="float16", exact=still, llm=llm, overwrite=True)

    def score(self, folder: Path, out: Path, data: str | None, without: Collection[int]) -> None:
        """Score the finished model on what was held out.

        Raises:
            DataError: it cannot be scored; the model stands all the same.
        """
        last = self.recipe.stages[-1]
        manifest = data or last.data.manifest
        if not manifest:
            return
        longest = longest_of(last.data, self.model)
        try:
            made = load(str(folder), parts=self.recipe.parts.own)
            scores = score_held_out(made, manifest, self.recipe.holdout, out, longest, without)
        except Exception as error:  # a part of one's own may raise anything, and hours of training stand in the folder
            what = str(error) if isinstance(error, OssicleError) else f"{type(error).__name__}: {error}"
            raise DataError(f"the model is whole in {folder}, but was not scored: {what}") from error
        if scores is not None:
            print(tables(scores), file=sys.stderr)
