"""A few rows times a weight that lies in memory, not in the cache: the Linear, and the same weights in blocks.

python benchmarks/products.py      writes docs/results/products.md
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.infer.describe import physical_cores
from ossicle.models.products import product

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "products.md"
SHAPES = ((384, 384), (1024, 384), (384, 1024), (4096, 384))
ROWS, REPEATS, BYTES = (1, 2, 4, 8), 7, 80_000_000


def speed(call: Callable[[nn.Linear], object], maps: list[nn.Linear]) -> float:
    """Median gigabytes of weights a second over the repeats, each through all maps."""
    n_bytes = sum(one.weight.nbytes for one in maps)
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        for one in maps:
            call(one)
        times.append(time.perf_counter() - began)
    return n_bytes / float(np.median(times[1:])) / 1e9


@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(physical_cores())
    lines = [
        "# A few rows times a weight in memory",
        "",
        f"Made by `python benchmarks/products.py`: gigabytes of weights read a second, median of {REPEATS} rounds "
        f"through {BYTES // 10**6} MB of weights;",
        f"{physical_cores()} threads, torch {torch.__version__}, float32.",
        "",
        "| weight | rows | Linear | blocks | times as fast |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n_out, n_in in SHAPES:
        maps = [nn.Linear(n_in, n_out, bias=False) for _ in range(BYTES // (4 * n_in * n_out))]
        for n in ROWS:
            rows = torch.randn(n, n_in)
            plain = speed(lambda one, rows=rows: functional.linear(rows, one.weight), maps)
            ours = speed(lambda one, rows=rows: product(one, rows), maps)
            lines.append(f"| {n_out} x {n_in} | {n} | {plain:.1f} | {ours:.1f} | {ours / plain:.2f} |")
            print(lines[-1], flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


main()
