"""Where a model comes from: commit, versions, device and precision of each stretch of a run.

Knows this process and its repository; does not know models. What is found here goes into ``origin.json``.
"""

import importlib.metadata
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

VERSIONS = ("ossicle", "torch", "transformers", "tokenizers", "numpy", "espeakng-loader")


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


def segment(device: torch.device, precision: str, minutes: float | None) -> dict[str, Any]:
    """Who trains from here on: commit, versions, device, time, and the minutes that the command line gave."""
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
        "minutes": minutes,
        "versions": versions,
        "from_step": 0,
    }


def commit() -> str:
    """The commit of the working tree, "+" behind it if files differ; "unknown" where this file is in no commit."""
    if shutil.which("git") is None:
        return "unknown"
    here = Path(__file__).parent
    ours = ["git", "-C", str(here), "rev-parse", "HEAD", "HEAD:./origin.py"]
    asked = subprocess.run(ours, capture_output=True, text=True, check=False)
    if asked.returncode:
        return "unknown"
    changed = subprocess.run(
        ["git", "-C", here, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:12] + ("+" if changed.stdout.strip() else "")
