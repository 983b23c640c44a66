"""Results of a sweep's cells on disk: beside their bridges in the run's folder, and as small files that can be kept.

Knows cells, identities and two folders; does not know how a result is made, nor what it shows. A file that is kept,
``CELL.json``, says what the cell's ``result.json`` says, with whole numbers for what each item counts, so that a
repository may hold it and another machine goes on from it: there the clips are made anew, see `ossicle.train.pools`.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ossicle.errors import CheckpointError, StorageError
from ossicle.train.grid import Cell, Sweep, cell_identity

RESULT = "result.json"
Result = dict[str, Any]


class Results:
    """What is there of each cell.

    Args:
        sweep: whose cells.
        cells: the folder with a folder for each cell.
        kept: the folder with a file for each cell; None: there is none.

    Raises:
        StorageError: ``kept`` cannot be made.
    """

    def __init__(self, sweep: Sweep, cells: Path, kept: Path | None) -> None:
        self.sweep, self.cells, self.kept = sweep, cells, kept
        if kept is not None:
            try:
                kept.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"{kept} cannot be written: {error.strerror}") from error

    def of(self, cell: Cell) -> Result | None:
        """The result of a cell; what was made here before what is kept, but nothing that failed before what did not.

        Raises:
            CheckpointError: it cannot be read, or was made by another sweep.
        """
        several = [one for one in (self._here(cell), self._kept(cell)) if one is not None]
        return min(several, key=lambda one: "failed" in one, default=None)

    def keep(self, cell: Cell, result: Result) -> None:
        """Write what is kept of a cell, whole or not at all; nothing where nothing is kept.

        Raises:
            StorageError: the file cannot be written.
        """
        if self.kept is None:
            return
        path = self.kept / f"{cell.name}.json"
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # another process may write the same
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(json.dumps(_whole(result), separators=(",", ":")) + "\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)

    def keep_all(self, cells: Iterable[Cell]) -> None:
        """Write what is kept of the cells that are there already."""
        if self.kept is None:
            return
        for cell in cells:
            found = self.of(cell)
            if found is not None and found != self._kept(cell):
                self.keep(cell, found)

    def _here(self, cell: Cell) -> Result | None:
        return self._read(cell, self.cells / cell.name / RESULT, self.cells.parent, "its folder")

    def _kept(self, cell: Cell) -> Result | None:
        return None if self.kept is None else self._read(cell, self.kept / f"{cell.name}.json", self.kept, "it")

    def _read(self, cell: Cell, path: Path, folder: Path, what: str) -> Result | None:
        try:
            found: Result = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise CheckpointError(f"{path} is no result of a cell: take {what} away") from error
        if found.get("identity") == cell_identity(self.sweep, cell):
            return found
        if "failed" in found:  # of another bridge or budget: what failed then says nothing now
            return None
        raise CheckpointError(
            f"the cell {cell.name} in {folder} was made by another sweep: its bridge, data or budget differ; "
            "take another folder, or take the cell's away",
            code="key_mismatch",
        )


def _whole(result: Result) -> Result:
    """The same result, with each item's counts as whole numbers where they are."""
    rates = {
        k: {**rate, "tasks": {name: {**task, **_counts(task)} for name, task in rate["tasks"].items()}}
        for k, rate in result.get("rates", {}).items()
    }
    return {**result, "rates": rates} if rates else result


def _counts(task: dict[str, Any]) -> dict[str, list[float]]:
    return {side: [int(n) if n == int(n) else n for n in task[side]] for side in ("numerators", "denominators")}
