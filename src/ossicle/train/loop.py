"""The one training loop: stages of a recipe, in order, resumable at any step.

Knows recipes, objectives and checkpoints; does not know what an objective computes. A run is a folder:
``checkpoints``, ``log.jsonl``, ``stages/<name>`` (a model folder after each stage that answers) and, at its end,
``model``. Killed at any moment and started again with the same command, it goes on from its newest checkpoint.
"""

import dataclasses
import hashlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from ossicle.data.check import Checked, Fault
from ossicle.data.manifest import scan
from ossicle.errors import CheckpointError, RequestError, TrainingError
from ossicle.hub.description import digest
from ossicle.hub.folder import place_of
from ossicle.hub.own import faults_told, file_of
from ossicle.train.audio_pupil import AudioPupil
from ossicle.train.checkpoint import Checkpoint, newest
from ossicle.train.checkpoint import save as save_checkpoint
from ossicle.train.feed import Pools, feed, workers_told
from ossicle.train.objectives import BatchLike, Loss, Objective
from ossicle.train.onward import Taken, take_up
from ossicle.train.origin import choose_precision, segment
from ossicle.train.process import Counted, RunAll, lanes, locked, stop_on_signal
from ossicle.train.pupil import Pupil
from ossicle.train.recipe import Recipe, read_recipe
from ossicle.train.recipe_stages import Stage
from ossicle.train.rejected import Rejected
from ossicle.train.report import Progress, forget_after, readings
from ossicle.train.stage import learning_rate, manifest_of, memory_told, source_of
from ossicle.train.translator_pupil import TranslatorPupil, pairs_of
from ossicle.train.weights import dump_optimizer, load_named, load_optimizer

MAX_BAD_STEPS = 10


def pupil_of(recipe: Recipe) -> Pupil:
    """The model that a recipe teaches, of whichever kind.

    Raises:
        ConfigError: it cannot be built.
    """
    return TranslatorPupil(recipe) if recipe.teaches_translator else AudioPupil(recipe)


class Step(nn.Module):
    """A model and what trains it, as one module, so that a loss is one forward and any wrapper works."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.heads, self.objective = model, objective.heads, objective

    def forward(self, batch: BatchLike) -> Loss:
        """The objective's loss."""
        return self.objective.loss(self.model, batch)


@dataclasses.dataclass
class Place:
    """How far a run is; all of it stands in a checkpoint. ``cpu_s`` counts the seconds of all processors that it took,
    those of the processes that make data too; None where a part of the run was not counted."""

    stage: int = 0
    step: int = 0
    pool: int = 0
    batch: int = 0
    stage_s: float = 0.0
    stage_audio_s: float = 0.0
    stage_steps: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float | None = None
    bad_steps: int = 0
    started_stage: bool = False


class Run:
    """One training run in its folder.

    Args:
        recipe: what to train.
        out: the run's folder.
        minutes: if given, stages share these by their ``share``, in place of their hours of audio.
        data: a manifest that replaces every stage's data.
        device: "auto", "cpu" or "cuda".
        taken: a finished model that the recipe's first stages made, where the run has no checkpoint yet.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        *,
        minutes: float | None,
        data: str | None,
        device: str,
        taken: Taken | None = None,
    ) -> None:
        self.recipe, self.out, self.minutes, self.data = recipe, out, minutes, data
        cpu = place_of(device).type == "cpu"
        self.precision = precision = choose_precision(recipe.precision, torch.device("cpu" if cpu else "cuda"))
        AcceleratorState._reset_state(reset_partial_state=True)  # else the precision of this process's first run stays
        self.accelerator = Accelerator(
            cpu=cpu,
            mixed_precision="bf16" if precision == "bfloat16" else "no",
            log_with="tensorboard" if importlib.util.find_spec("tensorboard") else None,
            project_dir=out,
        )
        self.accelerator.init_trackers("tensorboard")
        self.pupil = pupil_of(recipe)
        self.frozen = self.pupil.fingerprints()
        self.pupil.to(self.accelerator.device)
        self.place, self.stopping, self.taken = Place(cpu_s=0.0), False, taken
        self.cpu_s = cpu_s()
        self.identities = [self._identity(i) for i in range(len(recipe.stages))]  # now: a manifest may be edited later
        self.segments = [segment(self.accelerator.device, precision, minutes)]
        self.optimizer: torch.optim.Optimizer | None = None
        self.restored: dict[str, torch.Tensor] | None = None
        self.heads: dict[str, torch.Tensor] = {}
        self.checked: list[Checked | None] = [None] * len(recipe.stages)
        self.rejected = Rejected()
        self.clock = time.monotonic()

    @property
    def model(self) -> Any:
        """What is trained."""
        return self.pupil.model

    def go(self) -> Path:
        """Train what is left; returns the model's folder, or the run's if it was asked to stop."""
        self._resume()
        for index in range(self.place.stage, len(self.recipe.stages)):  # a mistake in the last must not cost the first
            self.pupil.look_at(index)
        self._check()
        self.clock = time.monotonic()
        while self.place.stage < len(self.recipe.stages) and not self.stopping:
            self._stage(self.place.stage)
        self.accelerator.end_training()
        if self.stopping:
            return self.out
        folder = self._save_folder(self.out / "model")
        self.pupil.score(folder, self.out, self.data, self._left_out(len(self.recipe.stages) - 1))
        return folder

    def _check(self) -> None:
        """Go through all manifests before the first step; tell and list what is left out of them.

        Raises:
            DataError: over 1 % of a manifest that is still to be trained on cannot be used.
        """
        self.checked = self.pupil.check(self.data)
        known = [fault for one in self.checked if one is not None for fault in one.faults]
        self.rejected = Rejected(self.out / "rejected.jsonl", known=known, met=self.rejected.met)
        self.rejected.tell()
        for one in self.checked[self.place.stage :]:
            if one is not None:
                one.refuse()

    def _left_out(self, index: int) -> frozenset[int]:
        checked = self.checked[index]
        return frozenset() if checked is None else checked.bad

    def _stage(self, index: int) -> None:
        stage = self.recipe.stages[index]
        source = self.pupil.source(index, self.data, without=self._left_out(index))
        self.rejected.begin(self.checked[index])
        objective = self.pupil.prepared(
            index, source, begun=self.place.started_stage, folder=self.out, precision=self.precision
        )
        self.clock = time.monotonic()  # what was prepared is no time of the stage's steps
        self.place.started_stage = True
        if self.pupil.lasting is None or objective.heads is not self.pupil.lasting:
            if self.place.stage_steps and self.restored is not None:
                load_named(dict(objective.heads.named_parameters()), self.heads)
            self.heads = dict(objective.heads.named_parameters())
        trained = self.pupil.trained(stage, objective)
        self.optimizer = self.pupil.optimizer(stage, objective, trained)
        if self.place.stage_steps and self.restored is not None:
            load_optimizer(self.optimizer, self.restored)
        step, optimizer = self.accelerator.prepare(Step(self.model, objective), self.optimizer)
        longest, key = self.pupil.longest(stage.data), (self.recipe.seed, index)
        pools = Pools(source, objective, stage.data, key, self.place.pool, longest=longest)
        progress = Progress(stage.name, self.out / "log.jsonl")
        saved = time.monotonic()
        n = stage.optimizer.accumulate
        n_lanes = 1 if stage.checkpointing else n  # side by side would take the memory that checkpointing spares
        with (
            self.pupil.recomputed(stage),
            workers_told(),
            lanes(n_lanes, self.accelerator.device) as run_all,
            closing(feed(pools, skip=self.place.batch, rejected=self.rejected)) as batches,
        ):
            for group in zip(*[batches] * n, strict=False):
                several = [batch for _, _, batch in group]
                with memory_told(stage, max(batch.seconds for batch in several), self.accelerator.device):
                    parts = self._backward(step, several, run_all)
                    parts |= self._update(stage, optimizer, trained, parts)
                self._count(group)
                share = self._share_done(stage)
                shown = progress.show(self.place.step, share, self.place.stage_audio_s, self.place.stage_s, parts)
                if shown:
                    self.accelerator.log({f"{stage.name}/{key}": x for key, x in shown.items()}, self.place.step)
                if share >= 1 or self.stopping:
                    break
                if time.monotonic() - saved > self._checkpoint_s():
                    self._save()
                    saved = time.monotonic()
        if not self.stopping:
            self._leave(stage, progress.mean_loss)
        self._save()
        if not self.stopping:
            self._save_stage(again=True)

    def _backward(self, step: nn.Module, batches: list[BatchLike], run_all: RunAll) -> dict[str, float]:
        """Gradients of the mean loss over all that the batches count, and the means for the log."""

        def one(batch: BatchLike) -> Counted:
            total, n, parts = step(batch.to(self.accelerator.device))
            self.accelerator.backward(total)
            return total.item(), n, parts

        done = run_all(one, batches)
        count = sum(n for _, n, _ in done)
        gradients = [value.grad for value in step.parameters() if value.grad is not None]
        torch._foreach_div_(gradients, float(count))
        means = {key: sum(n * parts[key] for _, n, parts in done) / count for key in done[0][2]}
        return {"loss": sum(total for total, _, _ in done) / count, **means}

    def _update(
        self,
        stage: Stage,
        optimizer: torch.optim.Optimizer,
        trained: list[nn.Parameter],
        parts: dict[str, float],
    ) -> dict[str, float]:
        rate = learning_rate(stage, self._share_done(stage))
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        norm = nn.utils.clip_grad_norm_(trained, stage.optimizer.clip_norm).item()
        if math.isfinite(norm) and math.isfinite(parts["loss"]):
            self.place.bad_steps = 0
            optimizer.step()
        else:
            self.place.bad_steps += 1
            if self.place.bad_steps >= MAX_BAD_STEPS:
                raise TrainingError(f"{MAX_BAD_STEPS} steps in a row gave no finite loss; the last checkpoint stays")
        optimizer.zero_grad()
        return {"norm": norm, "lr": rate, **({"skipped": 1.0} if self.place.bad_steps else {})}

    def _count(self, group: tuple[tuple[int, int, BatchLike], ...]) -> None:
        now = time.monotonic()
        spent, self.clock = now - self.clock, now
        place = self.place
        pool, number, _ = group[-1]
        place.pool, place.batch = pool, number + 1
        place.step, place.stage_steps = place.step + len(group), place.stage_steps + len(group)
        place.stage_s, place.wall_s = place.stage_s + spent, place.wall_s + spent
        seconds = sum(batch.seconds for _, _, batch in group)
        place.stage_audio_s, place.audio_s = place.stage_audio_s + seconds, place.audio_s + seconds

    def _count_cpu(self) -> None:
        now = cpu_s()
        if self.place.cpu_s is not None:
            self.place.cpu_s += now - self.cpu_s
        self.cpu_s = now

    def _share_done(self, stage: Stage) -> float:
        if self.minutes is None:
            return self.place.stage_audio_s / (3600 * stage.budget.audio_hours)
        shares = sum(one.budget.share for one in self.recipe.stages)
        return self.place.stage_s / (60 * self.minutes * stage.budget.share / shares)

    def _checkpoint_s(self) -> float:
        """Seconds between checkpoints: the recipe's, and at most a twentieth of a short run."""
        minutes = self.recipe.checkpoint_minutes
        return 60 * (minutes if self.minutes is None else min(minutes, self.minutes / 20))

    def _leave(self, stage: Stage, loss: float) -> None:
        if self.place.bad_steps:
            raise TrainingError(
                f"stage {stage.name} ends with a step that gave no finite loss ({self.place.bad_steps} in a row): it "
                "is not done, the last checkpoint stays; lower optimizer.lr, and look for weights that are not finite"
            )
        if stage.gate.loss is not None and not loss <= stage.gate.loss:
            raise TrainingError(f"stage {stage.name} ends with loss {loss:.3f}, its gate is {stage.gate.loss:g}")
        self.pupil.left(stage)
        place = dataclasses.asdict(self.place)
        fresh = {key: place[key] for key in ("step", "audio_s", "wall_s", "cpu_s")}
        self.place = Place(stage=self.place.stage + 1, **fresh)
        self.optimizer = self.restored = None
        self.heads = {}

    def _save_stage(self, *, again: bool) -> None:
        """The folder of the stage that was left last, if it is worth one; its checkpoint comes first."""
        stage = self.recipe.stages[self.place.stage - 1]
        folder = self.out / "stages" / stage.name
        if self.pupil.kept_after(stage) and (again or not folder.exists()):
            self._save_folder(folder)

    def _save(self) -> None:
        self._count_cpu()
        groups: dict[str, dict[str, torch.Tensor]] = {
            "model": self.pupil.named(),
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.pupil.lasting is not None:
            groups["heads"] = dict(self.pupil.lasting.named_parameters())
        if self.heads:  # of the stage alone, such as discriminators
            groups["stage_heads"] = self.heads
        if self.optimizer is not None:
            groups["optimizer"] = dump_optimizer(self.optimizer)
        for name, values in groups.items():
            _check_finite(name, values)
        begun = self.place.stage + self.place.started_stage
        state = {
            "recipe": self.recipe.hash,
            "stages": [self.identities[i] for i in range(begun)],
            "place": dataclasses.asdict(self.place),
            "segments": self.segments,
            "rejected": [fault.as_dict() for fault in self.rejected.met],
            "frozen": self.frozen,
        }
        save_checkpoint(self.out / "checkpoints", self.place.step, Checkpoint(groups, state))

    def _identity(self, index: int) -> str:
        """What a resumed stage must share: its part of the recipe, the files of parts of one's own, and the manifest
        that it reads with what is held out of it."""
        manifest = self.data or self.recipe.stages[index].data.manifest
        files = self.recipe.parts.own.values()
        own = "-".join([self.recipe.stage_hash(index), *(digest(file_of(one))[:12] for one in files)])
        if manifest is None:
            return own
        read = hashlib.sha256(Path(manifest).read_bytes()).hexdigest()[:12]
        return f"{own}-{read}-{self.recipe.holdout:g}"

    def _check_frozen(self, theirs: Mapping[str, str]) -> None:
        """Refuse to go on with frozen weights that are others than those the run was begun with.

        Raises:
            CheckpointError: ``key_mismatch``, with the names of the parts.
        """
        other = [name for name, found in self.frozen.items() if theirs.get(name, found) != found]
        if other:
            raise CheckpointError(
                f"the weights of the {' and the '.join(other)} are not those that the run in {self.out} was begun "
                "with: what the recipe names was changed since; put it back, or take another folder",
                code="key_mismatch",
            )

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one that this recipe may go on from."""
        found = newest(self.out / "checkpoints")
        forget_after(self.out / "log.jsonl", 0 if found is None else found.state["place"]["step"])
        if found is None:
            if self.taken is not None:
                self._take_up(self.taken)
            return
        ours = self.identities
        for i, theirs in enumerate(found.state["stages"]):
            if i >= len(ours) or ours[i] != theirs:
                raise CheckpointError(
                    f"the run in {self.out} was made by another recipe: parts, seed, stage {i + 1} or its data differ; "
                    "take its own recipe and data, or another folder",
                    code="key_mismatch",
                )
        self._check_frozen(found.state.get("frozen", {}))
        self.place = Place(**found.state["place"])
        self.segments = [*found.state["segments"], {**self.segments[0], "from_step": self.place.step}]
        self.rejected = Rejected(met=[Fault(**one) for one in found.state.get("rejected", [])])
        done = self.place.stage == len(self.recipe.stages)
        stage = self.recipe.stages[self.place.stage - done]
        self.pupil.resumed(stage, begun=self.place.started_stage, done=done)
        load_named(self.pupil.named(), found.tensors["model"])
        if self.pupil.lasting is not None:
            load_named(dict(self.pupil.lasting.named_parameters()), found.tensors["heads"])
        torch.set_rng_state(found.tensors["random"]["cpu"])
        self.restored = dict(found.tensors["optimizer"]) if "optimizer" in found.tensors else None
        self.heads = dict(found.tensors.get("stage_heads", {}))
        if self.place.stage and not self.place.started_stage:  # a kill may have come between checkpoint and folder
            self._save_stage(again=False)

    def _take_up(self, taken: Taken) -> None:
        """Stand where the finished model's last stage ended."""
        self.pupil.resumed(self.recipe.stages[taken.stages], begun=False, done=False)
        ours = self.pupil.named()
        load_named(ours, {name: value for name, value in taken.weights.items() if name in ours})
        origin = taken.origin
        audio_s, wall_s = 3600 * origin["data_hours"], 3600 * origin["training_hours"]
        counted = origin.get("cpu_hours")
        cpu = None if counted is None else 3600 * counted
        self.place = Place(stage=taken.stages, step=origin["steps"], audio_s=audio_s, wall_s=wall_s, cpu_s=cpu)
        self.segments = [
            *origin["segments"],
            {**self.segments[0], "from_step": self.place.step, "from_model": taken.model},
        ]
        (self.out / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in origin["log"]), encoding="utf-8")

    def _save_folder(self, folder: Path) -> Path:
        _check_finite("model", dict(self.model.named_parameters()))  # frozen ones too, which no checkpoint holds
        origin = {
            "recipe": dataclasses.asdict(self.recipe),
            "recipe_hash": self.recipe.hash,
            "seed": self.recipe.seed,
            "data_hours": round(self.place.audio_s / 3600, 3),
            "training_hours": round(self.place.wall_s / 3600, 3),
            "cpu_hours": None if self.place.cpu_s is None else round(self.place.cpu_s / 3600, 4),
            "steps": self.place.step,
            "segments": self.segments,
            "log": readings(self.out / "log.jsonl"),
        }
        self.pupil.save(folder, self.recipe.stages[: self.place.stage], origin)
        return folder


@faults_told()
def run(
    recipe: str | Path,
    *,
    out: str | Path,
    data: str | None = None,
    minutes: float | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "auto",
    begun: str | None = None,
) -> Path:
    """Train a recipe, or go on with it where it stopped.

    Args:
        recipe: a YAML file.
        out: the run's folder; one that holds a run of the same recipe is resumed.
        data: a manifest that replaces every stage's data.
        minutes: total training time, shared by the stages; None takes the recipe's hours of audio.
        overrides: ``stage.key=value``.
        device: "auto", "cpu" or "cuda".
        begun: a finished model that the recipe's first stages made, a shipped name or a folder, to go on from; a run
            that has a checkpoint no longer needs it.

    Returns:
        the folder of the finished model, or the run's folder if a signal stopped it before the end.

    Raises:
        ConfigError, FetchError: the recipe; DataError: the manifest or too many of its items.
        CheckpointError: the folder holds another recipe's run, or another recipe made ``begun``.
        NotFoundError: there is no model ``begun``.
        StorageError: the folder cannot be written, or another process trains in it.
        TrainingError: the loss is not finite, a gate is missed, or a step does not fit the device's memory.
        RequestError: minutes that are not above 0, or a device that is not there.
    """
    check_minutes(minutes)
    place_of(device)
    read, folder = read_recipe(recipe, overrides), Path(out)
    for index in range(len(read.stages)):  # before anything is written
        _look_at_data(read, index, data)
    fresh = begun is not None and not (folder / "checkpoints").is_dir()
    taken = take_up(str(begun), read) if fresh else None
    with locked(folder):
        training = Run(read, folder, minutes=minutes, data=data, device=device, taken=taken)
        with stop_on_signal(training):
            return training.go()


def _look_at_data(recipe: Recipe, index: int, data: str | None) -> None:
    """Refuse a stage's data where that can be told without the model.

    Raises:
        ConfigError, FetchError, DataError: as the source of its samples.
    """
    if recipe.teaches_translator:
        pairs_of(recipe, index, data)
        return
    manifest = manifest_of(recipe, index, data)
    if manifest is None:
        source_of(recipe, index, None)
    else:
        next(scan(manifest), None)  # refuses what is missing


def _check_finite(name: str, values: Mapping[str, torch.Tensor]) -> None:
    """Refuse to save what could not be trained on.

    Raises:
        TrainingError: a number is infinite or none.
    """
    if any(v.is_floating_point() and not torch.isfinite(v).all() for v in values.values()):
        raise TrainingError(f"a weight in {name} is not finite: nothing is saved, the last checkpoint stays")


def cpu_s() -> float:
    """Seconds of processors that this process took until now, and those of its own that have ended."""
    return sum(os.times()[:4])


def check_minutes(minutes: float | None) -> None:
    """Refuse a time in which nothing can be trained.

    Raises:
        RequestError: minutes that are not above 0.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise RequestError(f"minutes must be above 0 (got {minutes:g})")
