"""Results on disk: those of this sweep and no other, and what is kept of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ossicle.errors import CheckpointError, StorageError
from ossicle.train.grid import Cell, Sweep, cell_identity, cells_of
from ossicle.train.results import Results

from .sweeps import arm, sweep_of


def swept(folder: Path) -> tuple[Sweep, Cell]:
    sweep = sweep_of(folder, arms=[arm("mean", "mean_pool")])
    return sweep, cells_of(sweep)[0]


def put(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return told


def test_what_did_not_fail_stands_before_what_did_and_what_is_here_before_what_is_kept(tmp_path: Path) -> None:
    sweep, cell = swept(tmp_path)
    results, identity = Results(sweep, tmp_path / "cells", tmp_path / "kept"), cell_identity(sweep, cell)
    here, kept = tmp_path / "cells" / cell.name / "result.json", tmp_path / "kept" / f"{cell.name}.json"
    assert results.of(cell) is None
    good = put(kept, {"identity": identity, "n": 1})
    assert results.of(cell) == good
    put(here, {"identity": identity, "failed": "x"})
    assert results.of(cell) == good
    other = put(here, {"identity": identity, "n": 2})
    assert results.of(cell) == other
    put(kept, {"identity": identity, "failed": "x"})
    results.keep_all([cell])
    assert json.loads(kept.read_text()) == other and len(list(kept.parent.iterdir())) == 1


def test_what_is_kept_of_another_sweep_is_refused_unless_it_failed(tmp_path: Path) -> None:
    sweep, cell = swept(tmp_path)
    results, kept = Results(sweep, tmp_path / "cells", tmp_path / "kept"), tmp_path / "kept" / f"{cell.name}.json"
    put(kept, {"identity": "other", "failed": "x"})
    assert results.of(cell) is None
    put(kept, {"identity": "other"})
    with pytest.raises(CheckpointError, match=rf"the cell {cell.name} in .*kept was made by another sweep"):
        results.of(cell)
    kept.write_text("{")
    with pytest.raises(CheckpointError, match=r"json is no result of a cell: take it away"):
        results.of(cell)


def test_counts_are_kept_as_whole_numbers_and_nothing_else_is_changed(tmp_path: Path) -> None:
    sweep, cell = swept(tmp_path)
    task = {"metric": "own", "numerators": [1.0, 0.5], "denominators": [2.0, 1.0], "silence": 1.0}
    told = {"identity": cell_identity(sweep, cell), "rates": {"8": {"tokens_per_s": 6.0, "tasks": {"own": task}}}}
    results = Results(sweep, tmp_path / "cells", tmp_path / "kept")
    results.keep(cell, told)
    text = (tmp_path / "kept" / f"{cell.name}.json").read_text()
    assert '"numerators":[1,0.5],"denominators":[2,1],"silence":1.0' in text and '"tokens_per_s":6.0' in text
    assert results.of(cell) == told and task["numerators"] == [1.0, 0.5]


def test_without_a_folder_nothing_is_kept_and_one_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    sweep, cell = swept(tmp_path)
    before = set(tmp_path.rglob("*"))
    nothing = Results(sweep, tmp_path / "cells", None)
    nothing.keep(cell, {})
    nothing.keep_all([cell])
    assert set(tmp_path.rglob("*")) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/kept cannot be written"):
        Results(sweep, tmp_path / "cells", tmp_path / "file" / "kept")
    results = Results(sweep, tmp_path / "cells", tmp_path / "kept")
    (tmp_path / "kept" / f"{cell.name}.json").mkdir()
    with pytest.raises(StorageError, match=rf"{cell.name}.json cannot be written"):
        results.keep(cell, {})
    assert not list((tmp_path / "kept").glob("*.partial"))
