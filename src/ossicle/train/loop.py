"""The one training loop: stages of a recipe, in order, resumable at any step.

Knows recipes, objectives and checkpoints; does not know what an objective computes. A run is a folder: ``checkpoints``,
``log.jsonl``, ``stages/<name>`` (a model folder after each stage) and, at its end, ``model``. Killed at any moment and
started again with the same command, it goes on from its newest checkpoint.
"""

import dataclasses
import importlib.metadata
import math
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle.bridge.calibrate import calibrate
from ossicle.errors import CheckpointError, ConfigError, TrainingError
from ossicle.hub.folder import save as save_model
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora, merge_lora
from ossicle.train.checkpoint import Checkpoint, newest
from ossicle.train.checkpoint import save as save_checkpoint
from ossicle.train.feed import Pools, feed
from ossicle.train.objectives import Answer, Batch, Hear, Loss, Objective, Tell
from ossicle.train.parts import build
from ossicle.train.recipe import Recipe, Stage, read_recipe
from ossicle.train.report import Progress
from ossicle.train.sources import Manifest, Source, World

MAX_BAD_STEPS = 10
VERSIONS = ("ossicle", "torch", "transformers", "tokenizers", "numpy", "espeakng-loader")


class Step(nn.Module):
    """A model and what trains it, as one module, so that a loss is one forward (and any wrapper works)."""

    def __init__(self, model: AudioLM, objective: Objective) -> None:
        super().__init__()
        self.model, self.heads = model, objective.heads
        self.objective = objective

    def forward(self, batch: Batch) -> Loss:
        """The objective's loss."""
        return self.objective.loss(self.model, batch)


@dataclasses.dataclass
class Place:
    """How far a run is; all of it stands in a checkpoint."""

    stage: int = 0
    step: int = 0
    pool: int = 0
    batch: int = 0
    stage_s: float = 0.0
    stage_audio_s: float = 0.0
    stage_steps: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0
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
    """

    def __init__(self, recipe: Recipe, out: Path, *, minutes: float | None, data: str | None, device: str) -> None:
        self.recipe, self.out, self.minutes, self.data = recipe, out, minutes, data
        self.device = torch.device(
            "cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu")
        )
        self.precision = choose_precision(recipe.precision, self.device)
        self.model = build(recipe.parts, name=recipe.name, seed=recipe.seed).to(self.device)
        self.hear = Hear(self.model.encoder).to(self.device) if self._hears() else None
        self.place, self.segments, self.stopping = Place(), [segment(self.device, self.precision)], False
        self.optimizer: torch.optim.Optimizer | None = None
        self.out.mkdir(parents=True, exist_ok=True)

    def _hears(self) -> bool:
        return any(stage.objective == "hear" or stage.hear_weight > 0 for stage in self.recipe.stages)

    def go(self) -> Path:
        """Train what is left; returns the model's folder."""
        self._resume()
        while self.place.stage < len(self.recipe.stages) and not self.stopping:
            self._stage(self.recipe.stages[self.place.stage])
        if self.stopping:
            return self.out
        self.model.pattern = self._pattern()
        return self._save_folder(self.out / "model")

    def _stage(self, stage: Stage) -> None:
        source, objective = self._source(stage), self._objective(stage)
        if not self.place.started_stage:
            self._enter(stage, objective, source)
        step = Step(self.model, objective)
        self._set_trainable(stage, objective)
        self.optimizer = self._new_optimizer(stage, objective)
        if self.place.stage_steps and self.restored is not None:
            load_optimizer(self.optimizer, self.restored)
        pools = Pools(source, objective, stage.data, (self.recipe.seed, self.place.stage), self.place.pool)
        progress = Progress(stage.name, self.out / "log.jsonl")
        saved = time.monotonic()
        for pool, number, batch in feed(pools, skip=self.place.batch):
            began = time.monotonic()
            parts = self._step(stage, step, batch)
            self._count(pool, number, batch, time.monotonic() - began)
            progress.show(self.place.step, self._share_done(stage), self.place.stage_audio_s, self.place.stage_s, parts)
            done = self._share_done(stage) >= 1
            if done or self.stopping:
                break
            if time.monotonic() - saved > self.recipe.checkpoint_minutes * 60:
                self._save()
                saved = time.monotonic()
        if not self.stopping:
            self._leave(stage, progress.mean_loss)
        self._save()

    def _count(self, pool: int, number: int, batch: Batch, _seconds: float) -> None:
        now = time.monotonic()
        spent, self.clock = now - self.clock, now
        place = self.place
        place.pool, place.batch = pool, number + 1
        place.step, place.stage_steps = place.step + 1, place.stage_steps + 1
        place.stage_s, place.wall_s = place.stage_s + spent, place.wall_s + spent
        place.stage_audio_s, place.audio_s = place.stage_audio_s + batch.seconds, place.audio_s + batch.seconds

    def _step(self, stage: Stage, step: Step, batch: Batch) -> dict[str, float]:
        assert self.optimizer is not None
        rate = learning_rate(stage, self._share_done(stage))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        if batch.features is not None:
            batch = dataclasses.replace(batch, features=batch.features.to(self.device))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            total, count, parts = step(batch)
        loss = total / count
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, stage.optimizer.clip_norm)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            self.place.bad_steps += 1
            if self.place.bad_steps >= MAX_BAD_STEPS:
                raise TrainingError(f"{MAX_BAD_STEPS} steps in a row gave no finite loss; the last checkpoint stays")
            return {}
        self.place.bad_steps = 0
        self.optimizer.step()
        return {"loss": loss.item(), "norm": norm.item(), "lr": rate, **parts}

    def _share_done(self, stage: Stage) -> float:
        if self.minutes is None:
            return self.place.stage_audio_s / (3600 * stage.budget.audio_hours)
        shares = sum(one.budget.share for one in self.recipe.stages)
        return self.place.stage_s / (60 * self.minutes * stage.budget.share / shares)

    def _source(self, stage: Stage) -> Source:
        manifest = self.data or stage.data.manifest
        if self.data is not None or stage.data.source == "manifest":
            if manifest is None:
                raise ConfigError(f"stage {stage.name} trains on a manifest: name it in the recipe or with --data")
            return Manifest(manifest, self.recipe.seed)
        dry = stage.objective == "tell"
        return World(self.recipe.seed, self.place.stage, stage.data.split, stage.data.tasks, dry=dry)

    def _objective(self, stage: Stage) -> Objective:
        match stage.objective:
            case "hear":
                assert self.hear is not None
                return self.hear
            case "tell":
                return Tell(self.model)
            case "answer":
                hear = self.hear if stage.hear_weight > 0 else None
                return Answer(self.model, hear=hear, hear_weight=stage.hear_weight)

    def _enter(self, stage: Stage, objective: Objective, source: Source) -> None:
        """What happens once, before a stage's first step: a LoRA is put on, a fresh bridge gets the embeddings' size."""
        if "lora" in stage.trains:
            add_lora(self.model, stage.lora_rank)
            self.model.to(self.device)
        if isinstance(objective, Answer) and "bridge" in stage.trains and self._bridge_is_new():
            samples = [sample for i in range(16) if (sample := source.sample(i)) is not None]
            batch = objective.collate(
                [objective.item(sample, np.random.default_rng(i)) for i, sample in enumerate(samples)]
            )
            assert batch.features is not None
            with torch.no_grad():
                frames = self.model.encoder(batch.features.to(self.device))
            calibrate(self.model.bridge, frames, self.model.table.weight.detach())
        self.place.started_stage = True

    def _bridge_is_new(self) -> bool:
        before = self.recipe.stages[: self.place.stage]
        kept = self.recipe.parts.base is not None and self.recipe.parts.bridge is None
        return not kept and not any("bridge" in stage.trains for stage in before)

    def _leave(self, stage: Stage, loss: float) -> None:
        if stage.gate.loss is not None and not loss <= stage.gate.loss:
            raise TrainingError(f"stage {stage.name} ends with loss {loss:.3f}, its gate is {stage.gate.loss:g}")
        if "lora" in stage.trains:
            merge_lora(self.model)
        if stage.objective == "answer":
            self.model.pattern = self._pattern()
            self._save_folder(self.out / "stages" / stage.name)
        self.place = dataclasses.replace(
            self.place, stage=self.place.stage + 1, pool=0, batch=0, stage_s=0.0, stage_audio_s=0.0, stage_steps=0,
            started_stage=False,
        )  # fmt: skip
        self.optimizer = self.restored = None

    def _pattern(self) -> str:
        trained = {part for stage in self.recipe.stages[: self.place.stage + 1] for part in stage.trains
                   if stage.objective == "answer"}  # fmt: skip
        return "full" if "llm" in trained else "lora" if "lora" in trained else "frozen"

    def _set_trainable(self, stage: Stage, objective: Objective) -> None:
        self.model.requires_grad_(False)
        names = {"encoder": "encoder.", "bridge": "bridge.", "llm": "llm."}
        for name, value in self.model.named_parameters():
            wanted = any(name.startswith(names[part]) for part in stage.trains if part in names)
            value.requires_grad_(
                (wanted and "embed_positions" not in name) or ("lora" in stage.trains and "lora_" in name)
            )
        objective.heads.requires_grad_(True)
        self.model.train()
        self.trained = [p for p in [*self.model.parameters(), *objective.heads.parameters()] if p.requires_grad]

    def _new_optimizer(self, stage: Stage, objective: Objective) -> torch.optim.Optimizer:
        settings = stage.optimizer
        encoder = {id(p) for p in [*self.model.encoder.parameters(), *objective.heads.parameters()]}
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for value in self.trained:
            groups.setdefault((id(value) in encoder, value.ndim >= 2), []).append(value)
        scale = 1.0 if stage.encoder_lr is None else stage.encoder_lr / settings.lr
        return torch.optim.AdamW(
            [
                {
                    "params": values,
                    "scale": scale if of_encoder else 1.0,
                    "weight_decay": settings.weight_decay if matrix else 0.0,
                }
                for (of_encoder, matrix), values in groups.items()
            ],
            lr=settings.lr,
            betas=(0.9, settings.beta2),
            fused=True,
        )

    def _named(self) -> dict[str, torch.Tensor]:
        """Every weight that some stage of the run trains, by name, without the tied twins."""
        parts = {part for stage in self.recipe.stages for part in stage.trains}
        heads = tuple(
            f"{part}." for part in ("encoder", "bridge", "llm") if part in parts or (part, "lora") == ("llm", "lora")
        )
        lora = "lora" in parts
        return {
            n: p for n, p in self.model.named_parameters() if n.startswith(heads) or (lora and n.startswith("llm."))
        }

    def _save(self) -> None:
        groups: dict[str, dict[str, torch.Tensor]] = {"model": self._named(), "random": {"cpu": torch.get_rng_state()}}
        if self.hear is not None:
            groups["heads"] = dict(self.hear.named_parameters())
        if self.optimizer is not None:
            groups["optimizer"] = dump_optimizer(self.optimizer)
        for name, values in groups.items():
            if any(v.is_floating_point() and not torch.isfinite(v).all() for v in values.values()):
                raise TrainingError(f"a weight in {name} is not finite: nothing is saved, the last checkpoint stays")
        state = {
            "recipe": self.recipe.hash,
            "stages": [self.recipe.stage_hash(i) for i in range(min(self.place.stage + 1, len(self.recipe.stages)))],
            "place": dataclasses.asdict(self.place),
            "segments": self.segments,
        }
        save_checkpoint(self.out / "checkpoints", self.place.step, Checkpoint(groups, state))

    def _resume(self) -> None:
        """Take up the newest checkpoint, if there is one that this recipe may go on from."""
        self.clock, self.restored = time.monotonic(), None
        found = newest(self.out / "checkpoints") if (self.out / "checkpoints").is_dir() else None
        if found is None:
            return
        ours = [self.recipe.stage_hash(i) for i in range(len(self.recipe.stages))]
        for i, theirs in enumerate(found.state["stages"]):
            if i >= len(ours) or ours[i] != theirs:
                raise CheckpointError(
                    f"the run in {self.out} was made by another recipe: parts, seed or stage {i + 1} differ. "
                    "Take its own recipe, or another folder",
                    code="key_mismatch",
                )
        self.place = Place(**found.state["place"])
        self.segments = [*found.state["segments"], {**self.segments[0], "from_step": self.place.step}]
        stage = self.recipe.stages[self.place.stage] if self.place.stage < len(self.recipe.stages) else None
        if stage is not None and "lora" in stage.trains and self.place.started_stage:
            add_lora(self.model, stage.lora_rank)
            self.model.to(self.device)
        load_named(self._named(), found.tensors["model"])
        if self.hear is not None:
            load_named(dict(self.hear.named_parameters()), found.tensors["heads"])
        torch.set_rng_state(found.tensors["random"]["cpu"])
        self.restored = dict(found.tensors["optimizer"]) if "optimizer" in found.tensors else None

    def _save_folder(self, folder: Path) -> Path:
        origin = {
            "recipe": self.recipe.name,
            "recipe_hash": self.recipe.hash,
            "seed": self.recipe.seed,
            "data_hours": round(self.place.audio_s / 3600, 3),
            "training_hours": round(self.place.wall_s / 3600, 3),
            "steps": self.place.step,
            "segments": self.segments,
        }
        save_model(self.model, folder, origin=origin, dtype="float16", overwrite=True)
        return folder


def run(
    recipe: str | Path,
    *,
    out: str | Path,
    data: str | None = None,
    minutes: float | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "auto",
) -> Path:
    """Train a recipe, or go on with it where it stopped.

    Args:
        recipe: a YAML file.
        out: the run's folder; one that holds a run of the same recipe is resumed.
        data: a manifest that replaces every stage's data.
        minutes: total training time, shared by the stages; None takes the recipe's hours of audio.
        overrides: ``stage.key=value``.
        device: "auto", "cpu" or "cuda".

    Returns:
        the folder of the finished model, or the run's folder if it was asked to stop before the end.

    Raises:
        ConfigError, FetchError: the recipe; CheckpointError: the folder holds another run; TrainingError: it diverged.
    """
    training = Run(read_recipe(recipe, overrides), Path(out), minutes=minutes, data=data, device=device)
    with stop_on_term(training):
        return training.go()


@contextmanager
def stop_on_term(training: Run) -> Iterator[None]:
    """SIGTERM ends the run after the step that is under way, with a checkpoint."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        training.stopping = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def learning_rate(stage: Stage, share: float) -> float:
    """Warm-up, then a cosine down to ``final`` of the peak, by the share of the stage that is done."""
    settings = stage.optimizer
    if share < settings.warmup:
        return settings.lr * max(share / settings.warmup, 0.01)
    left = (1 + math.cos(math.pi * min(1.0, (share - settings.warmup) / (1 - settings.warmup)))) / 2
    return settings.lr * (settings.final + (1 - settings.final) * left)


def choose_precision(asked: str, device: torch.device) -> str:
    """bfloat16 where it is quicker than float32: on GPUs, and on processors that a short product shows to have it."""
    if asked != "auto":
        return asked
    if device.type != "cpu":
        return "bfloat16"
    times = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(256, 256, dtype=dtype)
        a @ a
        began = time.perf_counter()
        for _ in range(5):
            a @ a
        times[dtype] = time.perf_counter() - began
    return "bfloat16" if times[torch.bfloat16] < times[torch.float32] else "float32"


def segment(device: torch.device, precision: str) -> dict[str, Any]:
    """Who trains from here on: commit, versions, device, time."""
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "versions": versions,
        "from_step": 0,
    }


def commit() -> str:
    """The commit of the working tree, "+" behind it if files differ; "unknown" outside a repository."""
    here = Path(__file__).parent
    asked = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if asked.returncode:
        return "unknown"
    changed = subprocess.run(
        ["git", "-C", here, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")


def dump_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{key}": torch.as_tensor(value) for i, values in state.items() for key, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `dump_optimizer`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def load_named(ours: dict[str, torch.Tensor], theirs: Any) -> None:
    """Copy weights by name, strictly.

    Raises:
        CheckpointError: ``key_mismatch`` with the names that only one side has.
    """
    odd = sorted(set(ours) ^ set(theirs))
    if odd:
        raise CheckpointError(f"the checkpoint does not fit the model: {', '.join(odd[:5])}", code="key_mismatch")
    with torch.no_grad():
        for name, value in ours.items():
            value.copy_(theirs[name])
