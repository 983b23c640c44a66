"""A sweep as a file: one base model, fixed data, and a grid of bridges, rates and seeds; checked before anything loads.

Knows names and numbers; does not know how a cell is trained or scored. A cell is one bridge at one rate with one seed.
Rates are told as ``k``, the frames of one audio token: at 50 frames a second 4, 8 and 16 are 12.5, 6.25 and 3.1 tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from ossicle.errors import ConfigError
from ossicle.hub.description import CONFIG, digest
from ossicle.hub.folder import find
from ossicle.hub.own import file_of
from ossicle.train.ranking import GROUPS
from ossicle.train.recipe import Recipe, digest_of, read_yaml, recipe_of, valid
from ossicle.train.recipe_stages import NAME, Optimizer
from ossicle.train.sources import World
from ossicle.world.tasks import TASKS

STAGE = "connect"
OTHERS = "others"


@dataclass(frozen=True)
class Arm:
    """One bridge of a sweep, at several rates.

    Args:
        name: of its cells, letters, digits, - and _.
        bridge: kind and settings as in a recipe's ``parts.bridge``, without ``k``.
        bridge_from, bridge_config: a class of one's own in place of it, built also with ``k``.
        k: the rates it is trained for; those of the sweep by default.
        seeds: those of the sweep by default.
        at: for a bridge that is not told its rate by ``k``: the settings for each k, in place of it.
        also_at: rates at which each of its cells is scored too, without being trained again.
    """

    name: str
    bridge: dict[str, Any] | None = None
    bridge_from: str | None = None
    bridge_config: dict[str, Any] | None = None
    k: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    at: dict[int, dict[str, Any]] | None = None
    also_at: tuple[int, ...] = ()


@dataclass(frozen=True)
class SweepData:
    """What all cells learn from and are scored on.

    Args:
        tasks: weights of the world's tasks to learn from, as in a recipe; None is the world's own mixture.
        manifest: a manifest in place of the world; ``holdout`` of it are the test items, unless ``test`` names others.
        hours: of audio in the pool, which is made once.
        test_tasks: those of the world that are scored; all that are learned by default.
        test_items, silent_items: of each task; the second again with silence. ``test_items`` may name tasks, with
            "others" for the rest.
        seed: of the pool and of the test items, the same for all cells.
        pool_items, batch_s, max_clip_s, workers: as in a recipe's data.
    """

    tasks: dict[str, float] | None = None
    manifest: str | None = None
    test: str | None = None
    holdout: float = 0.1
    hours: float = 3.0
    test_tasks: tuple[str, ...] | None = None
    test_items: int | dict[str, int] = 100
    silent_items: int = 20
    seed: int = 1
    pool_items: int = 192
    batch_s: float = 24.0
    max_clip_s: float = 16.0
    workers: int = 1

    def n_test(self, task: str) -> int:
        """Test items of a task."""
        several = self.test_items if isinstance(self.test_items, dict) else {OTHERS: self.test_items}
        return several.get(task, several[OTHERS])


@dataclass(frozen=True)
class Finalists:
    """The best arms get more cells once the grid is done.

    Args:
        n: how many; the mean over the sweep's rates decides.
        by: of this group, by its word error rate where it has one.
        k: further rates, with all seeds.
        seeds: further seeds, at all rates.
    """

    n: int = 2
    by: str = "content"
    k: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Double:
    """What twice the hours are spent on, where they are asked for.

    Args:
        groups: only differences in these groups of tasks; all by default.
        seeds: only cells of these seeds; all by default.
    """

    groups: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Args:
        base: a shipped name or a model folder; its encoder and its LLM stay as they are.
        arms: the bridges; one of them is a mean pool at every rate of the sweep, which the others are seen against.
        k: the rates that all arms share.
        seeds: of a cell's random weights and of the order of its data.
        audio_hours: what a cell learns from, counted with repetition; the same for all.
        double: what twice the hours are for.
        reference_k: the rate that lower ones are held against.
        precision: of the products in training; not left to this machine's speed, so that a cell made again is the same.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    base: str
    arms: tuple[Arm, ...]
    k: tuple[int, ...]
    seeds: tuple[int, ...]
    audio_hours: float
    data: SweepData = field(default_factory=SweepData)
    optimizer: Optimizer = field(default_factory=Optimizer)
    finalists: Finalists | None = None
    double: Double = field(default_factory=Double)
    reference_k: int = 4
    precision: Literal["float32", "bfloat16"] = "float32"
    summary: str = ""


@dataclass(frozen=True)
class Cell:
    """One training: an arm at a rate with a seed; with ``double`` for twice the hours."""

    arm: Arm
    k: int
    seed: int
    double: bool = False

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.arm.name}-k{self.k}-seed{self.seed}{'-double' if self.double else ''}"


def read_sweep(path: str | Path) -> Sweep:
    """Read and check a sweep.

    Raises:
        FetchError: no such file.
        ConfigError: not YAML, an unknown key, a value of the wrong kind, an arm that no recipe could have.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold a mapping with name, base, arms, k, seeds and audio_hours")
    sweep = valid(Sweep, raw, str(path))
    for holds, fault in _demands(sweep):
        if not holds:
            raise ConfigError(f"{path}: {fault}")
    for cell in cells_of(sweep):
        for k in (cell.k, *cell.arm.also_at):
            recipe_of(_recipe(sweep, cell, k, "pool"), f"{path}, arm {cell.arm.name} at k {k}")
    if sweep.data.manifest is None:
        World(sweep.data.seed, 0, "train", sweep.data.tasks)  # refuses tasks that the world does not have
    return sweep


def _demands(sweep: Sweep) -> Iterator[tuple[bool, str]]:
    names = [arm.name for arm in sweep.arms]
    yield len(set(names)) == len(names), f"two arms have the same name: {', '.join(names)}"
    yield len(sweep.k) > 0 and len(sweep.seeds) > 0, "a sweep needs at least one k and one seed"
    yield min((*sweep.k, *sweep.seeds), default=1) > 0, "k and seeds are at least 1"
    yield sweep.audio_hours > 0, f"audio_hours must be above 0 (got {sweep.audio_hours:g})"
    yield (
        any(
            (arm.bridge or {}).get("kind") == "mean_pool" and set(sweep.k) <= set(_ks(sweep, arm)) for arm in sweep.arms
        ),
        "one arm is a mean_pool at every k of the sweep: the others are seen against it",
    )
    for arm in sweep.arms:
        yield NAME.fullmatch(arm.name) is not None, f"an arm's name is letters, digits, - and _ (got {arm.name!r})"
        yield (
            (arm.bridge is None) != (arm.bridge_from is None),
            f"{arm.name}: an arm names either bridge or bridge_from",
        )
        yield "k" not in (arm.bridge or {}), f"{arm.name}: k is the sweep's, not the bridge's: write arms.k beside it"
        for k in (*_ks(sweep, arm), *arm.also_at):
            yield k > 0, f"{arm.name}: k is at least 1 (got {k})"
            yield arm.at is None or k in arm.at, f"{arm.name}: at has no settings for k {k}"
    data = sweep.data
    for task, n in (data.test_items if isinstance(data.test_items, dict) else {OTHERS: data.test_items}).items():
        yield n > 0, f"data.test_items must be above 0 (got {n} of {task})"
    yield (
        not isinstance(data.test_items, dict) or OTHERS in data.test_items,
        f"data.test_items needs a number for {OTHERS!r}, the tasks that it does not name",
    )
    for name in ("hours", "pool_items", "batch_s", "max_clip_s"):
        yield getattr(data, name) > 0, f"data.{name} must be above 0 (got {getattr(data, name):g})"
    yield data.silent_items >= 0, f"data.silent_items must be at least 0 (got {data.silent_items})"
    yield 0 <= data.holdout < 1, f"data.holdout is a share from 0 to below 1 (got {data.holdout:g})"
    yield (
        data.manifest is None or data.test is not None or data.holdout > 0,
        "data.manifest needs items to score: a holdout above 0, or data.test",
    )
    yield data.test is None or data.manifest is not None, "data.test is a manifest beside data.manifest"
    for task in data.test_tasks or ():
        yield task in TASKS, f"unknown task {task!r}, allowed are {', '.join(TASKS)}"
    if sweep.finalists is not None:
        yield (
            0 < sweep.finalists.n <= len(names),
            f"finalists.n is from 1 to the number of arms (got {sweep.finalists.n})",
        )
    double, seeds = sweep.double, {*sweep.seeds, *(seed for arm in sweep.arms for seed in arm.seeds or ())}
    if sweep.finalists is not None:
        seeds |= set(sweep.finalists.seeds)
    yield (
        double.seeds is None or (len(double.seeds) > 0 and set(double.seeds) <= seeds),
        f"double.seeds are some of the sweep's, {', '.join(map(str, sorted(seeds)))} (got {_told(double.seeds)})",
    )
    groups = sorted(set(GROUPS.values()))
    yield (
        double.groups is None
        or (len(double.groups) > 0 and (data.manifest is not None or set(double.groups) <= set(groups))),
        f"double.groups are some of {', '.join(groups)} (got {_told(double.groups)})",
    )


def _told(several: Sequence[object] | None) -> str:
    return ", ".join(map(str, several or ())) or "none"


def _ks(sweep: Sweep, arm: Arm) -> tuple[int, ...]:
    return sweep.k if arm.k is None else arm.k


def cells_of(sweep: Sweep) -> list[Cell]:
    """The cells of the grid, seed by seed and rate by rate, so that whatever is done compares all arms."""
    seeds = dict.fromkeys(seed for arm in sweep.arms for seed in arm.seeds or sweep.seeds)
    ks = dict.fromkeys(k for arm in sweep.arms for k in _ks(sweep, arm))
    return [
        Cell(arm, k, seed)
        for seed in seeds
        for k in ks
        for arm in sweep.arms
        if seed in (arm.seeds or sweep.seeds) and k in _ks(sweep, arm)
    ]


def final_cells(sweep: Sweep, best: tuple[str, ...]) -> list[Cell]:
    """The further cells of the best arms."""
    if sweep.finalists is None:
        return []
    more, found = sweep.finalists, []
    for arm in (arm for arm in sweep.arms if arm.name in best):
        seeds, ks = arm.seeds or sweep.seeds, _ks(sweep, arm)
        if arm.at is not None and not set(more.k) <= set(arm.at):
            raise ConfigError(f"{arm.name} is among the best, and its at has no settings for k {more.k}")
        every = {(k, seed) for k in (*ks, *more.k) for seed in (*seeds, *more.seeds)}
        found += [Cell(arm, k, seed) for k, seed in sorted(every - {(k, seed) for k in ks for seed in seeds})]
    return found


def doubled_cells(sweep: Sweep, cells: Sequence[Cell]) -> list[Cell]:
    """The same cells for twice the hours, of the seeds that get them."""
    seeds = sweep.double.seeds
    return [replace(cell, double=True) for cell in cells if seeds is None or cell.seed in seeds]


def possible_cells(sweep: Sweep) -> list[Cell]:
    """Every cell that a sweep may come to want, whichever arms are best and whatever must be confirmed."""
    more = () if sweep.finalists is None else sweep.finalists.k
    able = tuple(arm.name for arm in sweep.arms if arm.at is None or set(more) <= set(arm.at))
    cells = [*cells_of(sweep), *final_cells(sweep, able)]
    return [*cells, *doubled_cells(sweep, cells)]


def settings_at(arm: Arm, k: int) -> dict[str, Any]:
    """What an arm's bridge is built with at a rate, beside the widths."""
    return {**((arm.bridge if arm.bridge_from is None else arm.bridge_config) or {}), **rate_of(arm, k)}


def rate_of(arm: Arm, k: int) -> dict[str, Any]:
    """The settings that tell an arm's bridge its rate."""
    return {"k": k} if arm.at is None else arm.at[k]


def _recipe(sweep: Sweep, cell: Cell, k: int, pool: str) -> dict[str, Any]:
    settings, own, data = settings_at(cell.arm, k), cell.arm.bridge_from, sweep.data
    bridge = {"bridge": settings} if own is None else {"bridge_from": own, "bridge_config": settings}
    sizes = {key: getattr(data, key) for key in ("pool_items", "batch_s", "max_clip_s", "workers")}
    hours = sweep.audio_hours * (2 if cell.double else 1)
    stage = {
        "name": STAGE,
        "objective": "answer",
        "trains": ("bridge",),
        "budget": {"audio_hours": hours, "share": 1.0},
        "optimizer": asdict(sweep.optimizer),
        "data": {"source": "kept", "kept": pool, **sizes},
    }
    whole = {"name": cell.name, "parts": {"base": sweep.base, **bridge}, "stages": (stage,), "seed": cell.seed}
    return {**whole, "precision": sweep.precision}


def recipe_at(sweep: Sweep, cell: Cell, pool: Path) -> Recipe:
    """The recipe by which a cell is trained, on the clips of a folder."""
    return recipe_of(_recipe(sweep, cell, cell.k, str(pool)), cell.name)


def pool_identity(sweep: Sweep) -> str:
    """Digest of what the pool and the test items depend on."""
    told = {**asdict(sweep.data), "base": _weights(sweep.base)}
    for key in ("pool_items", "batch_s", "workers"):
        del told[key]
    for key in ("manifest", "test"):
        told[key] = None if told[key] is None else digest(Path(told[key]))
    return digest_of(told)


def cell_identity(sweep: Sweep, cell: Cell) -> str:
    """Digest of what a cell's result depends on: nothing of other cells."""
    recipe = _recipe(sweep, cell, cell.k, "")
    del recipe["stages"][0]["data"]["workers"]
    own = None if cell.arm.bridge_from is None else digest(file_of(cell.arm.bridge_from))
    also = {k: settings_at(cell.arm, k) for k in cell.arm.also_at}
    return digest_of([pool_identity(sweep), recipe, own, {str(k): one for k, one in also.items()}])


def _weights(base: str) -> str:
    """Digest of a model's description, which holds the hashes of its weights."""
    return digest(find(base) / CONFIG)
