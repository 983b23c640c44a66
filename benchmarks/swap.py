"""Another ear under the LLM of mini: what it cost to connect, and what is answered with it, beside mini's own ear.

python benchmarks/swap.py [RUN] [SAME] [--limit N] [--task NAME]... [--out FILE]      writes docs/results/swap.md

RUN is the folder of a run of recipes/swap-encoder.yaml, SAME that of recipes/same-ear.yaml, the fair opponent: mini's
own encoder with a bridge that begins anew. Every number comes from the models and from what their origin.json says.
"""

import argparse
import json
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ossicle.errors import ConfigError
from ossicle.evaluate.metrics import paired
from ossicle.evaluate.score import Scores, TaskScore, evaluate, percent
from ossicle.hub.folder import find, load
from ossicle.infer.describe import describe, physical_cores
from ossicle.models.audio_lm import AudioLM
from ossicle.train.origin import segment

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "swap.md"
RUNS = ("runs/swap", "runs/same-ear")
SHIPPED, SAME, SWAP = "mini as shipped", "mini's ear, new bridge", "new ear, new bridge"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table(*rows: Sequence[str]) -> list[str]:
    head, *further = rows
    return [row(*head), row(*["---"] * len(head)), *(row(*one) for one in further), ""]


def spent(origin: dict[str, Any], objectives: tuple[str, ...]) -> tuple[str, str]:
    """Audio hours and minutes of the stages with these objectives, by each one's last reading; "-" where none is."""
    names = {stage["name"] for stage in origin["recipe"]["stages"] if stage["objective"] in objectives}
    last = {one["stage"]: one for one in origin["log"] if one["stage"] in names}
    if not last:
        return "-", "-"
    minutes = [one.get("minutes") for one in last.values()]
    told = "not recorded" if None in minutes else f"{sum(minutes):.1f}"
    return f"{sum(one['audio_h'] for one in last.values()):.2f}", told


def same_llm(model: AudioLM, other: AudioLM) -> bool:
    """Whether two models have one LLM, bit by bit."""
    ours, theirs = model.llm.state_dict(), other.llm.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def costs(models: dict[str, AudioLM], origins: dict[str, dict[str, Any]]) -> list[str]:
    """Parts and training of each model, as a table."""
    columns = []
    for name, model in models.items():
        about, origin = describe(model), origins[name]
        columns.append(
            [
                name,
                about["encoder"]["kind"],
                f"{about['encoder']['parameters']:,}",
                f"{about['bridge']['kind']}",
                f"{about['bridge']['parameters']:,}",
                f"{about['bridge']['tokens_per_s']:g}",
                about["pattern"],
                "yes" if same_llm(model, models[SHIPPED]) else "no",
                f"{origin['data_hours']:.2f}",
                f"{60 * origin['training_hours']:.1f}",
                *spent(origin, ("hear",)),
                *spent(origin, ("answer",)),
            ]
        )
    words = (
        "",
        "encoder",
        "encoder, parameters",
        "bridge",
        "bridge, parameters",
        "audio tokens a second",
        "pattern",
        "LLM is mini's, bit by bit",
        "audio hours of its run",
        "minutes of its run",
        "audio hours, its encoder's own stages",
        "minutes, its encoder's own stages",
        "audio hours, stages that answer",
        "minutes, stages that answer",
    )
    return table(*zip(words, *columns, strict=True))


def tasks(scores: dict[str, Scores]) -> list[str]:
    """Each task's figure for each model, the new ear's controls, and its difference to the opponent where there is
    one."""
    swap, same = scores[SWAP].tasks, scores[SAME].tasks if SAME in scores else {}
    head = ["task", "metric", "n", *scores, "95 % interval", "new ear, silence", "new ear, another clip"]
    rows = []
    for name, one in swap.items():
        figures = [percent(each.tasks[name].value) for each in scores.values()]
        span = f"{percent(one.low)} to {percent(one.high)}"
        cells = [name, one.metric, str(one.n), *figures, span, percent(one.silence), percent(one.swapped)]
        rows.append([*cells, *([difference(same[name], one)] if same else [])])
    means = [mean_accuracy(each) for each in scores.values()]
    lines = table([*head, *(["new ear - mini's ear, points"] if same else [])], *rows)
    if None not in means:
        lines += [f"Mean accuracy: {'; '.join(f'{n} {percent(m)}' for n, m in zip(scores, means, strict=True))}.", ""]
    return lines


def difference(same: TaskScore, swap: TaskScore) -> str:
    found = paired(same.counts, swap.counts)
    if found is None:
        return "none"
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def mean_accuracy(scores: Scores) -> float | None:
    closed = [one.value for one in scores.tasks.values() if one.metric == "accuracy" and one.value is not None]
    return sum(closed) / len(closed) if closed else None


def slices(scores: dict[str, Scores]) -> list[str]:
    """Word error rates of the slices of transcribe."""
    if "transcribe" not in scores[SWAP].tasks:
        return []
    found = [each.tasks["transcribe"].slices for each in scores.values()]
    names = [(name, n) for name, (_, n) in found[-1].items()]
    rows = ([name, str(n), *(percent(each[name][0]) for each in found)] for name, n in names)
    return table(["slice of transcribe, wer", "n", *scores], *rows)


def processor() -> str:
    """What the machine calls its processor."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read(run: str) -> tuple[AudioLM, dict[str, Any]]:
    """A model in float32 and what its origin says; of a run's folder, the model that it left."""
    name = run if run == "mini" else str(Path(run) / "model")
    return load(name, device="cpu", dtype="float32"), json.loads((find(name) / "origin.json").read_text())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", default=RUNS[0])
    parser.add_argument("same", nargs="?", default=RUNS[1])
    parser.add_argument("--limit", type=int, default=None, help="most items of each task, slice and control")
    parser.add_argument("--task", action="append", default=[], help="only this one; may be given several times")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    if not (Path(asked.run) / "model").is_dir():
        print(f"there is no finished run in {asked.run}: ossicle train recipes/swap-encoder.yaml --out {asked.run}")
        return
    torch.set_num_threads(physical_cores())
    folders = {SHIPPED: "mini", SAME: asked.same, SWAP: asked.run}
    if not (Path(asked.same) / "model").is_dir():
        print(f"no finished run in {asked.same}: the new ear is compared with mini as shipped only")
        del folders[SAME]
    found = {name: read(folder) for name, folder in folders.items()}
    models, origins = {name: one[0] for name, one in found.items()}, {name: one[1] for name, one in found.items()}
    if not same_llm(models[SWAP], models[SHIPPED]):
        raise ConfigError(f"the LLM of {asked.run} is not mini's: it was trained, or mini has changed since")
    scores = {}
    for name, model in models.items():
        print(f"{name}:", flush=True)
        scores[name] = evaluate(model, tasks=asked.task, limit=asked.limit, show=lambda line: print(f"  {line}"))
    here = segment(torch.device("cpu"), "float32", None)
    limit = [] if asked.limit is None else ["--limit", str(asked.limit)]
    chosen = [part for task in asked.task for part in ("--task", task)]
    command = shlex.join(["python", "benchmarks/swap.py", *list(folders.values())[:0:-1], *limit, *chosen])
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    lines = [
        "# Another ear",
        "",
        f"Made by `{command}`",
        f"at commit {here['commit']}, {here['started']},",
        f"on {processor()}, {physical_cores()} physical cores; {versions}.",
        "How the two runs are made stands in `recipes/swap-encoder.yaml` and `recipes/same-ear.yaml`: mini's LLM is",
        "frozen in both, and each counts its own hours, not mini's. A low word error rate (wer) is good, and a high",
        "accuracy; test items of the world, seed 0. Small-world figures: no other model's can be held against them.",
        "",
        *costs(models, origins),
        *tasks(scores),
        *slices(scores),
    ]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"written to {asked.out}")


if __name__ == "__main__":
    main()
