"""At a low rate, who loses the words: the bridge, or an LLM that never read so few tokens?

python benchmarks/low_rate.py [SWEEP FOLDER] [--cell CELL]... [--tune CELL]... [--out FILE]

Writes docs/results/low_rate.md. For each cell, whose bridge lies in the folder of a sweep (`ossicle sweep SWEEP --out
FOLDER`), linear probes tell what its tokens hold. Those of --tune learn anew for as many hours, on the same clips in
the same order, with a LoRA of the LLM beside the bridge, and are scored on the same items. Killed and started again, it
goes on.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ossicle.evaluate.metrics import Counts, interval
from ossicle.evaluate.probes import Found, Rate, probe
from ossicle.evaluate.report import table
from ossicle.evaluate.score import percent
from ossicle.hub.folder import load
from ossicle.train.cell import model_of, result_of
from ossicle.train.grid import Cell, Sweep, cell_identity, possible_cells, read_sweep, recipe_at
from ossicle.train.loop import Run
from ossicle.train.origin import segment
from ossicle.train.pools import pools
from ossicle.train.process import locked, stop_on_signal
from ossicle.train.recipe import digest_of
from ossicle.train.results import RESULT, Result, Results
from ossicle.train.sweep import BRIDGE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "low_rate.md"
PROBES = ("content", "order")
TASKS = ("transcribe", "said", "order", "count", "sound")
CELLS = ("mean-k4-seed1", "mean-k8-seed1", "stack-k8-seed1", "cif-k8-seed1", "mean-k16-seed1")
TUNED = ("mean-k8-seed1",)
HEAD = ("cell", "probe", "chance", "frames", "pooled", "after the bridge", "loss", "verdict")
RANK, LR = 64, 1e-3


def shown(rate: Rate) -> str:
    return f"{percent(rate.value)} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def told(result: Result, k: int, task: str) -> str:
    found = result["rates"][str(k)]["tasks"][task]
    counts = Counts(*(np.asarray(found[side], np.float64) for side in ("numerators", "denominators")))
    ends = interval(counts)
    assert ends is not None and counts.rate is not None
    return shown(Rate(counts.rate, *ends))


def tuned(sweep: Sweep, cell: Cell, folder: Path) -> Result:
    """The cell's result where the LLM learns too."""
    here = folder / "tuned" / f"{cell.name}-{digest_of([cell_identity(sweep, cell), RANK, LR])}"
    if (here / RESULT).is_file():
        found: Result = json.loads((here / RESULT).read_text(encoding="utf-8"))
        return found
    train, test = pools(sweep, load(sweep.base, device="cpu", dtype="float32").eval(), folder / "clips")
    recipe = recipe_at(sweep, cell, train)
    stage = replace(recipe.stages[0], trains=("bridge", "lora"), lora_rank=RANK)
    stage = replace(stage, optimizer=replace(stage.optimizer, lr=LR))
    training = Run(replace(recipe, stages=(stage,)), here / "run", minutes=None, data=None, device="cpu")
    with locked(here), stop_on_signal(training):
        training.go()
    if training.stopping:
        sys.exit("interrupted: the same command goes on")
    result = result_of(sweep, cell, training, test)
    (here / "partial").write_text(json.dumps(result) + "\n", encoding="utf-8")
    (here / "partial").replace(here / RESULT)
    return result


def line_of(name: str, row: Found) -> tuple[str, ...]:
    loss = f"{100 * row.loss.value:+.1f} ({100 * row.loss.low:+.1f} to {100 * row.loss.high:+.1f})"
    views = (shown(row.frames), shown(row.pooled), shown(row.after))
    return (name, row.probe, percent(row.chance), *views, loss, row.verdict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", nargs="?", default=str(ROOT / "recipes" / "sweep.yaml"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/sweep"))
    parser.add_argument("--cell", action="append", default=[])
    parser.add_argument("--tune", action="append", default=[])
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not given.folder.is_dir():
        print(f"there is no sweep in {given.folder}: ossicle sweep {given.sweep} --out {given.folder}")
        return
    torch.set_num_threads(1)
    sweep = read_sweep(given.sweep)
    cells = {cell.name: cell for cell in possible_cells(sweep)}
    kept = Results(sweep, given.folder / "cells", None)
    given.cell, given.tune = given.cell or CELLS, given.tune or TUNED
    results: dict[str, Result] = {}
    for name in (*given.cell, *given.tune):
        result, weights = kept.of(cells[name]), given.folder / "cells" / name / BRIDGE
        if result is None or "failed" in result or not weights.is_file() or not (given.folder / "clips").is_dir():
            sys.exit(f"{given.folder} holds no {name}: `ossicle sweep {given.sweep} --out {given.folder}` makes it")
        results[name] = result
    probed, scores = [], []
    for name in given.cell:
        model = model_of(sweep, cells[name], given.folder / "cells" / name / BRIDGE)
        found = probe(model, items=given.items, probes=PROBES, show=lambda line: print(line, flush=True))
        words = told(results[name], cells[name].k, "transcribe")
        probed += [(*line_of(name, row), words if row.probe == "content" else "") for row in found.found.values()]
    for name in given.tune:
        cell, more = cells[name], tuned(sweep, cells[name], given.folder)
        for who, one in (("the bridge", results[name]), ("the bridge and a LoRA", more)):
            rate, hours = one["rates"][str(cell.k)], f"{one['trained_audio_h']:.2f}"
            values = (told(one, cell.k, task) for task in TASKS if task in rate["tasks"])
            scores.append((name, f"{rate['tokens_per_s']:.3g}", who, hours, *values))
    about = segment(torch.device("cpu"), "float32", None)
    tasks = [task for task in TASKS if task in rate["tasks"]]
    lines = [
        "# At a low rate, who loses the words?",
        "",
        f"Made by `python benchmarks/low_rate.py{''.join(' ' + one for one in sys.argv[1:])}`",
        f"at commit {about['commit']}, torch {torch.__version__}, 1 thread. Figures of a small world, of one seed.",
        "",
        "## What the tokens hold",
        "",
        table((*HEAD, "the frozen LLM's word errors"), probed),
        "",
        "Probes as in [probes.md](probes.md): linear classifiers of the frames at their own rate, of the frames",
        f"averaged over each audio token's span, and of the tokens, on {given.items} test clips; 95 % intervals over",
        "clips. A token is asked which phone lies in its middle: the longer it is, the more others in it go unasked.",
        "",
        "## What the LLM reads of them, frozen and learning",
        "",
        table(("cell", "tokens/s", "learns", "hours", *tasks), scores),
        "",
        "Both learn from nothing on the same clips in the same order for as many hours, and are scored on the same",
        "items; word error rates of `transcribe`, accuracies of the rest, 95 % intervals over items. The LoRA has",
        f"rank {RANK}, on all linear layers of the LLM, and with it the rate of learning is {LR:g}.",
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
