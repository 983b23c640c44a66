"""A base model and a sweep that takes seconds and learns nothing, for the tests of the sweep's files."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ossicle.hub.folder import save
from ossicle.train.grid import Sweep, read_sweep

from .support import tiny_model

DATA = {
    "tasks": {"transcribe": 1, "instrument": 1},
    "hours": 0.006,
    "test_items": 3,
    "silent_items": 1,
    "batch_s": 12,
    "pool_items": 6,
}
SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "k": [8],
    "seeds": [1],
    "audio_hours": 0.006,
    "precision": "float32",
    "arms": [{"name": "mean", "bridge": {"kind": "mean_pool"}}],
    "data": DATA,
}


@cache
def base(folder: Path) -> str:
    """A saved tiny model."""
    return str(save(tiny_model(), folder / "base"))


def written(folder: Path, **changes: Any) -> Path:
    """A sweep's file with some settings of its own, for a base that is there."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"base": base(folder), **SETTINGS, **changes}, sort_keys=False))
    return path


def sweep_of(folder: Path, **changes: Any) -> Sweep:
    return read_sweep(written(folder, **changes))


def arm(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "bridge": {"kind": kind}, **more}
