"""The equal-rate sweep: bridge by rate by seed, each cell trained alone between a frozen encoder and a frozen LLM.

Knows grids, cells and folders; does not know bridges. A run is a folder: ``clips`` (frames, made once), ``cells`` (a
folder each with ``result.json``, ``bridge.safetensors`` and ``log.jsonl``, written whole or not at all) and the report.
Killed at any moment and started again with the same command, it goes on inside the cell that it was in; a cell that is
there is not made again, and one that failed stands there as failed. Several processes may share a folder: each cell is
claimed by one of them, the others make the rest and wait for it where they need it. Cells of another sweep are refused
before anything is made.
"""

import json
import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ossicle.errors import OssicleError, RequestError, StorageError
from ossicle.hub.folder import load, place_of, save
from ossicle.hub.whole import whole_folder
from ossicle.models.audio_lm import AudioLM
from ossicle.train import sweep_report
from ossicle.train.cell import model_of, result_of, train_cell
from ossicle.train.grid import (
    Cell,
    Sweep,
    cell_identity,
    cells_of,
    doubled_cells,
    final_cells,
    possible_cells,
    read_sweep,
)
from ossicle.train.kept import Kept
from ossicle.train.loop import check_minutes
from ossicle.train.origin import segment
from ossicle.train.pools import pools
from ossicle.train.process import claimed
from ossicle.train.ranking import Found
from ossicle.train.results import RESULT, Results

BRIDGE, LOG = "bridge.safetensors", "log.jsonl"
MARK = "identity"
"""In a cell's draft: what it is a draft of."""
CLAIMS = "claims"
"""In the run's folder: a file for each cell, for the clips and for the page, held by the process that makes them."""
WAIT_S = 2.0
"""How often to look for what another process makes."""


@dataclass(frozen=True)
class Done:
    """How far a sweep is.

    Args:
        report: the page.
        failed: names of the cells that failed.
        left: how many cells are still to be done.
        stopped: whether a signal ended it.
    """

    report: Path
    failed: tuple[str, ...]
    left: int
    stopped: bool


def run(
    recipe: str | Path,
    *,
    out: str | Path,
    only: Sequence[str] = (),
    minutes: float | None = None,
    double: bool = False,
    retry: bool = False,
    report: str | Path | None = None,
    results: str | Path | None = None,
    device: str = "auto",
    command: str = "",
) -> Done:
    """Make the cells of a sweep that are not there yet, and write its report.

    Args:
        recipe: a YAML file.
        out: the run's folder; one that holds cells of the same sweep goes on. Other processes may work in it.
        only: names of arms; none means all.
        minutes: no cell is begun after so many, the making of the clips aside.
        double: then also train the first and the second of each group and rate whose difference is clear for twice as
            long; of the groups and seeds that the recipe names.
        retry: make the cells that failed anew.
        report: where the page goes; ``sweep.md`` in the folder by default.
        results: a folder for a small file of each cell's result, also of those that failed; cells whose file is there
            are not made again. Where every cell is there, no clips are made and no model is read.
        device: "auto", "cpu" or "cuda".
        command: what the page says that it was made by.

    Raises:
        ConfigError, FetchError: the recipe.
        RequestError: ``only`` names no arm; minutes that are not above 0.
        CheckpointError: the folder holds clips or cells of another sweep.
        StorageError: the folder cannot be written, or a process has it for itself.
        DataError, DependencyError: the clips cannot be made.
    """
    check_minutes(minutes)
    place_of(device)
    sweep, folder = read_sweep(recipe), Path(out)
    unknown = sorted(set(only) - {arm.name for arm in sweep.arms})
    if unknown:
        raise RequestError(f"the sweep has no bridge {unknown[0]!r}, it has {', '.join(a.name for a in sweep.arms)}")
    with claimed(folder / "lock", shared=True) as mine:
        if not mine:
            raise StorageError(f"another process has {folder} for itself")
        kept = Results(sweep, folder / "cells", None if results is None else Path(results))
        work = _Work(sweep, folder, kept, device, None if minutes is None else 60 * minutes, retry)
        work.check()
        work.tidy()
        wanted = cells_of(sweep)
        work.make([cell for cell in wanted if not only or cell.arm.name in only])
        if not only:
            more = final_cells(sweep, work.best())
            work.make(more)
            wanted += more
        if double:
            pairs = set(work.to_double())
            twice = doubled_cells(sweep, [cell for cell in wanted if (cell.arm.name, cell.k) in pairs])
            work.make([cell for cell in twice if not only or cell.arm.name in only])
            wanted += twice
        return work.report(wanted, Path(report) if report is not None else folder / "sweep.md", command)


def take(recipe: str | Path, name: str, *, out: str | Path) -> Path:
    """Write a cell that was made in a run's folder as a model folder, beside the cells.

    Args:
        recipe: a YAML file.
        name: of the cell, "mean-k4-seed1".
        out: the run's folder.

    Returns:
        The model's folder; one that stood there is replaced.

    Raises:
        ConfigError, FetchError: the recipe.
        RequestError: the sweep has no such cell, or its bridge is not in the folder: not made yet, made elsewhere, or
            failed.
        CheckpointError: the cell was made by another sweep; and as `ossicle.train.cell.model_of`.
        StorageError: the folder cannot be written.
    """
    sweep, folder = read_sweep(recipe), Path(out)
    cells = {cell.name: cell for cell in possible_cells(sweep)}
    if name not in cells:
        raise RequestError(f"the sweep has no cell {name!r}, it has {', '.join(cells)}")
    result, weights = Results(sweep, folder / "cells", None).of(cells[name]), folder / "cells" / name / BRIDGE
    if result is None or not weights.is_file():
        why = "" if result is None else f": it failed, {result['failed']}" if "failed" in result else ""
        raise RequestError(f"{folder} holds no bridge of {name}{why}")
    told = {key: result[key] for key in ("made", "steps", "trained_audio_h", "train_s", "identity")}
    origin = {"cell": name, "sweep": sweep.name, "base": sweep.base, **told}
    return save(model_of(sweep, cells[name], weights), folder / "models" / name, origin=origin, overwrite=True)


class _Work:
    """Cells in a folder."""

    def __init__(
        self, sweep: Sweep, folder: Path, results: Results, device: str, seconds: float | None, retry: bool
    ) -> None:
        self.sweep, self.folder, self.results, self.device = sweep, folder, results, device
        self.seconds, self.retry, self.began, self.stopped = seconds, retry, time.monotonic(), False
        self.made, self.failed = segment(place_of(device), sweep.precision, None), dict[str, Any]()

    @cached_property
    def clips(self) -> tuple[Path, Kept]:
        """The folder to learn from and the test items; made, and the base model read, before the first cell. The time
        that this takes does not count among the minutes."""
        began = time.monotonic()
        model = load(self.sweep.base, device=self.device, dtype="float32").eval()
        found = self._pools(model)
        self.began += time.monotonic() - began
        return found

    def _pools(self, model: AudioLM) -> tuple[Path, Kept]:
        folder, claim = self.folder / "clips", self.folder / CLAIMS / "clips"
        with claimed(claim) as mine:
            if mine:
                return pools(self.sweep, model, folder)
        print("another process makes the clips: waiting", file=sys.stderr, flush=True)
        with claimed(claim, wait=True):
            return pools(self.sweep, model, folder)

    def check(self) -> None:
        """Refuse what is there of another sweep before anything is made; keep the results of what is there.

        Raises:
            CheckpointError, StorageError: as `Results`.
        """
        possible = possible_cells(self.sweep)
        every = [*possible, *(replace(cell, double=True) for cell in possible)]
        for cell in every:  # a page shows twice the hours also where none ask for them now
            found = self.results.of(cell)
            if found is not None and "failed" in found:
                self.failed[cell.name] = found
        self.results.keep_all(every)

    def tidy(self) -> None:
        """Throw away drafts of cells that are there, or no longer wanted; what may be resumed stays."""
        cells = {cell.name: cell for cell in possible_cells(self.sweep)}
        for mark in (self.folder / "cells").glob(f".*/{MARK}"):
            with claimed(self.folder / CLAIMS / mark.parent.name[1:]) as mine:
                if not mine or not mark.is_file():
                    continue
                cell = cells.get(mark.parent.name[1:])
                found = None if cell is None else self.results.of(cell)
                done = found is not None and "failed" not in found
                if cell is None or done or mark.read_text(encoding="utf-8") != cell_identity(self.sweep, cell):
                    shutil.rmtree(mark.parent, ignore_errors=True)

    def make(self, cells: Sequence[Cell]) -> None:
        """Make those that are not there, one after the other, and wait for those that other processes make."""
        left, waiting = list(enumerate(cells, 1)), False
        while left := [(number, cell) for number, cell in left if not self._there(cell)]:
            taken = False
            for number, cell in left:
                late = self.seconds is not None and time.monotonic() - self.began > self.seconds
                if self.stopped or late:
                    return
                with claimed(self.folder / CLAIMS / cell.name) as mine:
                    if mine and not self._there(cell):
                        print(f"cell {number} of {len(cells)}: {cell.name}", file=sys.stderr, flush=True)
                        self._make(cell)
                        self.failed.pop(cell.name, None)  # once is enough
                    taken |= mine
            if not taken:
                if not waiting:
                    names = ", ".join(cell.name for _, cell in left)
                    print(f"other processes make {names}: waiting", file=sys.stderr, flush=True)
                waiting = True
                time.sleep(WAIT_S)

    def _there(self, cell: Cell) -> bool:
        """Whether nothing is to be done for a cell."""
        found = self.results.of(cell)
        return found is not None and not (self.retry and found == self.failed.get(cell.name))

    def _make(self, cell: Cell) -> None:
        """Train and score one cell; what it raises becomes its result, but for faults of the machine."""
        (train, test), draft = self.clips, self.folder / "cells" / f".{cell.name}"
        identity = cell_identity(self.sweep, cell)
        state: dict[str, torch.Tensor] | None = None
        try:
            _begin(draft, identity)
            training = train_cell(self.sweep, cell, draft, train, device=self.device)
            if training is None:
                self.stopped = True
                return
            result = result_of(self.sweep, cell, training, test)
            bridge: Any = training.model.bridge
            state = {name: value.cpu().contiguous() for name, value in bridge.state_dict().items()}
        except StorageError:
            raise
        except Exception as error:  # a bridge of one's own may raise anything: the other cells go on
            code = error.code if isinstance(error, OssicleError) else type(error).__name__
            result = {"arm": cell.arm.name, "k": cell.k, "seed": cell.seed, "double": cell.double}
            result |= {"failed": f"{code}: {error}", "traceback": traceback.format_exc()}
            print(f"failed: {cell.name}: {code}: {error}", file=sys.stderr, flush=True)
        whole = {"identity": identity, **result, "made": self.made}
        self._keep(cell, whole, state, draft / LOG)
        self.results.keep(cell, whole)
        shutil.rmtree(draft, ignore_errors=True)

    def _keep(self, cell: Cell, result: dict[str, Any], state: dict[str, torch.Tensor] | None, log: Path) -> None:
        with whole_folder(self.folder / "cells" / cell.name, replaces=lambda path: (path / RESULT).is_file()) as draft:
            if state is not None:
                save_file(state, draft / BRIDGE)
            if log.is_file():
                shutil.copyfile(log, draft / LOG)
            (draft / RESULT).write_text(json.dumps(result) + "\n", encoding="utf-8")

    def found(self, cells: Sequence[Cell]) -> Found:
        """What the cells that are there show."""
        results = [result for result in map(self.results.of, cells) if result is not None and "failed" not in result]
        mean = next(arm.name for arm in self.sweep.arms if (arm.bridge or {}).get("kind") == "mean_pool")
        return Found(results, reference=mean, reference_k=self.sweep.reference_k)

    def best(self) -> tuple[str, ...]:
        """The arms that get more cells; none before the grid is done."""
        more, cells = self.sweep.finalists, cells_of(self.sweep)
        if more is None or any(self.results.of(cell) is None for cell in cells):
            return ()
        return self.found(cells).best(more.by, more.n, self.sweep.k)

    def to_double(self) -> list[tuple[str, int]]:
        """Arms and rates whose ranking twice the hours must confirm."""
        return self.found([*cells_of(self.sweep), *final_cells(self.sweep, self.best())]).to_double(
            self.sweep.double.groups
        )

    def report(self, cells: Sequence[Cell], page: Path, command: str) -> Done:
        """Write the page of all cells that are there, those of twice the hours with them."""
        with claimed(self.folder / CLAIMS / "page", wait=True):  # no older page after a newer one
            every = {cell.name: cell for one in cells for cell in (one, replace(one, double=True))}
            self.results.keep_all(every.values())
            there = {name: self.results.of(cell) for name, cell in every.items()}
            failed = [(name, one["failed"]) for name, one in there.items() if one is not None and "failed" in one]
            left = sum(there[cell.name] is None for cell in cells)
            found = self.found(list(every.values()))
            by = [one["made"] for one in there.values() if one is not None and "made" in one]
            made = max(by, key=lambda one: str(one["started"]), default=self.made)
            sweep_report.write(
                page, self.sweep, found, failed=failed, left=left, made=made, command=command or "ossicle sweep"
            )
            return Done(page, tuple(name for name, _ in failed), left, self.stopped)


def _begin(draft: Path, identity: str) -> None:
    """A cell's own folder while it is made; what another sweep left there is thrown away."""
    mark = draft / MARK
    if mark.is_file() and mark.read_text(encoding="utf-8") == identity:
        return
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        mark.write_text(identity, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{draft} cannot be written: {error.strerror}") from error
