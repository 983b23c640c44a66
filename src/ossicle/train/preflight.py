"""What a run would do, before it does anything: an example as it is learned, the data, memory and time.

Knows recipes, stages and batches; writes nothing, and trains only a model of its own, which is thrown away. Numbers are
counted where they can be (weights, gradients, optimiser state, what autograd keeps of a real batch) and measured where
they cannot (steps on this device). The formulas stand at `ossicle.train.memory.Bytes`,
`ossicle.train.estimate.Stage.bytes` and `Stage.seconds`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ossicle.data.check import Checked
from ossicle.errors import DataError
from ossicle.hub.folder import place_of
from ossicle.hub.own import faults_told
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import merge_lora
from ossicle.train import recipe as recipes
from ossicle.train.answers import Answer, AnswerItem, TellItem
from ossicle.train.estimate import Report, Stage
from ossicle.train.example import Example, example_of
from ossicle.train.feed import Pools
from ossicle.train.hear import Hear
from ossicle.train.loop import check_minutes
from ossicle.train.memory import kept_by_part, part_bytes
from ossicle.train.objectives import Batch, Objective
from ossicle.train.onward import take_up
from ossicle.train.origin import choose_precision
from ossicle.train.parts import build
from ossicle.train.process import Counted, RunAll, lanes
from ossicle.train.recompute import recomputed
from ossicle.train.sources import Manifest, Source
from ossicle.train.stage import (
    check_stages,
    enter,
    frozen_of,
    longest_of,
    memory_told,
    new_optimizer,
    objective_of,
    set_trainable,
    source_of,
)

MOST_ITEMS = 64
"""Items that are made to measure a stage, or of a manifest at least read; its own pools may hold more."""
TRIES = 20
"""Items that are tried for an example."""


@faults_told()
def preflight(
    recipe: str | Path,
    *,
    data: str | None = None,
    minutes: float | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "auto",
    begun: str | None = None,
) -> Report:
    """Look at a run without starting it; the arguments are those of `ossicle.train.loop.run`.

    Raises:
        ConfigError, FetchError: the recipe; DataError: no item of a manifest can be used.
        NotFoundError, CheckpointError: ``begun``, or a published part.
        RequestError: a device that is not there, or minutes that are not above 0.
        TrainingError: ``out_of_memory`` where the largest batch does not fit the device.
    """
    place, read = place_of(device), recipes.read_recipe(recipe, overrides)
    first = 0 if begun is None else take_up(begun, read).stages
    check_minutes(minutes)
    model = build(read.parts, name=read.name, seed=read.seed, stages=read.stages).to(place)
    hears = any(stage.objective == "hear" or stage.hear_weight > 0 for stage in read.stages)
    hear = Hear(model.encoder).to(place) if hears else None
    checked = check_stages(read, model, data)
    for one in checked:
        if one is not None and not one.lengths:
            one.refuse()
    precision = choose_precision(read.precision, place)
    stages, example = [], None
    met: dict[int, list[str]] = {id(one): [] for one in checked if one is not None}
    for index in range(first, len(read.stages)):
        look = _Look(read, index, model, hear, checked[index], precision, data)
        example = look.example() if index == first else example
        stages.append(look.estimate(minutes))
        if checked[index] is not None:
            met[id(checked[index])] += look.bad
    known = {id(one): one.joined(met[id(one)]) for one in checked if one is not None}
    return Report(example, tuple(known.values()), read.holdout, tuple(stages), str(place), precision)


class _Look:
    """One stage of a recipe, entered with a model that is thrown away."""

    def __init__(
        self,
        recipe: recipes.Recipe,
        index: int,
        model: AudioLM,
        hear: Hear | None,
        checked: Checked | None,
        precision: str,
        data: str | None,
    ) -> None:
        self.recipe, self.index, self.model, self.checked = recipe, index, model, checked
        self.stage, self.precision = recipe.stages[index], precision
        self.source: Source = source_of(recipe, index, data, without=frozenset() if checked is None else checked.bad)
        self.objective: Objective = objective_of(self.stage, model, hear)
        enter(recipe, index, model, self.objective, self.source)
        frozen = frozen_of(self.stage, self.source, model, folder=None, precision=precision)
        if frozen is not None:
            self.objective = objective_of(self.stage, model, hear, frozen=frozen)
        self.bad: list[str] = []
        self.kept = frozen is not None and self.stage.data.cache is not False

    def example(self) -> Example | None:
        """The first item that can be used, if it learns text."""
        for index in range(TRIES):
            try:
                sample = self.source.sample(index)
                item = self.objective.item(sample, np.random.default_rng([self.recipe.seed, index]))
            except DataError:  # counted and told where the whole manifest is
                continue
            if not isinstance(item, AnswerItem | TellItem):
                return None
            return example_of(
                self.model.tokenizer, item.prompt, item.answers, item.seconds, sample.where or sample.task
            )
        raise DataError(f"stage {self.stage.name}: none of its first {TRIES} items can be used")

    def estimate(self, minutes: float | None) -> Stage:
        """Memory and time of the stage."""
        model, stage = self.model, self.stage
        trained = set_trainable(stage, model, self.objective)
        optimizer = new_optimizer(stage, model, self.objective, trained)
        data, longest, key = stage.data, longest_of(stage.data, model), (self.recipe.seed, self.index)
        began = time.perf_counter()
        few = replace(data, pool_items=min(data.pool_items, MOST_ITEMS))
        pool = Pools(self.source, self.objective, few, key, 0, longest=longest).pool(0)
        made_s = time.perf_counter() - began
        self.bad = [*pool.bad, *self._unreadable(few.pool_items)]
        if not pool.batches:
            raise DataError(f"stage {stage.name}: no item of its first pool can be used, such as {pool.bad[0]}")
        largest = sorted(pool.batches, key=lambda batch: -batch.seconds)
        largest = (largest * stage.optimizer.accumulate)[: stage.optimizer.accumulate]
        on_cpu = model.device.type == "cpu"
        lone = not on_cpu or stage.checkpointing
        beside = 1 if lone else min(stage.optimizer.accumulate, torch.get_num_threads())
        with memory_told(stage, largest[0].seconds, model.device), recomputed(stage, model):
            kept, most = self._keep(largest[0])
            step_s, known_s, measured = self._time(largest, trained, optimizer)
        parts = part_bytes(model, self.objective.heads, optimizer, {key: n * beside for key, n in kept.items()})
        if "lora" in stage.trains and not model.quantized:
            merge_lora(model)
        seconds, cores = sum(batch.seconds for batch in largest), torch.get_num_threads()
        made = made_s / sum(batch.seconds for batch in pool.batches)
        found = Stage(
            name=stage.name,
            parts=parts,
            working=2 * most * beside,
            measured=measured,
            batch_s=largest[0].seconds,
            step_s=step_s / seconds,
            known_s=(known_s if self.kept else step_s) / seconds,
            made_s=made / cores if on_cpu else made,
            workers=0 if on_cpu else max(data.workers, 1),
            epoch_s=self._epoch_s(),
            audio_s=3600 * stage.budget.audio_hours,
        )
        return found if minutes is None else replace(found, audio_s=self._audio_s(found, minutes))

    def _unreadable(self, first: int) -> list[str]:
        """Why items of a manifest from a place on cannot be read, of as many as are tried."""
        n = min(MOST_ITEMS, len(self.source.items)) if isinstance(self.source, Manifest) else 0
        found = []
        for index in range(first, n):
            try:
                self.source.sample(index)
            except DataError as error:
                found.append(str(error))
        return found

    def _epoch_s(self) -> float:
        if not isinstance(self.source, Manifest) or self.checked is None:
            return float("inf")
        return sum(self.checked.lengths[item.line].seconds for item in self.source.items)

    def _audio_s(self, found: Stage, minutes: float) -> float:
        """Seconds of audio that a stage takes in its share of the minutes."""
        shares = sum(one.budget.share for one in self.recipe.stages)
        left = 60 * minutes * self.stage.budget.share / shares
        first = min(left, found.epoch_s * found.pace(found.step_s))
        return first / found.pace(found.step_s) + (left - first) / found.pace(found.known_s)

    def _loss(self, batch: Batch) -> tuple[torch.Tensor, int]:
        device = self.model.device
        if batch.features is not None:
            batch = replace(batch, features=batch.features.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            total, count, _ = self.objective.loss(self.model, batch)
        return total, count

    def _keep(self, batch: Batch) -> tuple[dict[str, int], int]:
        """Bytes that autograd keeps of a batch, by part, and those of the largest tensor among them."""
        with kept_by_part(self.model, self.objective.heads) as kept:
            self._loss(batch)
        sizes: dict[str, int] = {}
        for part, n in kept.values():
            sizes[part] = sizes.get(part, 0) + n
        return sizes, max((n for _, n in kept.values()), default=0)

    def _time(
        self, batches: list[Batch], trained: list[nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> tuple[float, float, int | None]:
        """Seconds of a step, of a step whose frames are kept, and the most bytes on a GPU; the first step warms up."""
        cuda = self.model.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()

        def backward(batch: Batch) -> Counted:
            total, count = self._loss(batch)
            total.backward()  # type: ignore[no-untyped-call]
            return total.item(), count, {}

        def hear(batch: Batch) -> Counted:
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                assert isinstance(self.objective, Answer)
                self.objective.frames(self.model, batch)
            return 0.0, 1, {}

        def step(run_all: RunAll) -> None:
            run_all(backward, batches)
            nn.utils.clip_grad_norm_(trained, self.stage.optimizer.clip_norm)
            optimizer.step()
            optimizer.zero_grad()

        n_lanes = 1 if self.stage.checkpointing else len(batches)
        with lanes(n_lanes, self.model.device) as run_all:
            step(run_all)
            step_s = _timed(lambda: step(run_all), cuda)
            hear_s = _timed(lambda: run_all(hear, batches), cuda) if self.kept else 0.0
        return step_s, max(step_s - hear_s, 0.01 * step_s), torch.cuda.max_memory_allocated() if cuda else None


def _timed(work: Callable[[], object], cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began
