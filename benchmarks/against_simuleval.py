"""Our measures of delay and quality against SimulEval's, which runs as a process of its own on the same recordings.

python benchmarks/against_simuleval.py [--model MODEL] [--policy NAME] [--items N] [--to fr] [--speech-items M]
    [--folder DIR] [--out FILE]
    writes docs/results/simuleval.md

SimulEval drives the agents of agents/: it feeds pieces of 0.32 s and keeps what comes out and when. Beside it stands
our own run over the very same files in the same pieces, with our own scores. Texts must be the same word for word, and
the delays; every figure may differ by 0.001 of its unit at most (SimulEval prints three digits). For speech the same
holds for its offsets. It needs SimulEval 1.1.4: `pip install --no-deps simuleval==1.1.4`, `pip install -e
'.[simuleval]'`.
"""

import csv
import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.io import read_clip, write_clip
from ossicle.errors import OssicleError
from ossicle.evaluate.likeness import likeness
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.simultaneous import hardware
from ossicle.evaluate.simultaneous_runs import interpreted, long_items, ms_of, recorded
from ossicle.hub.translator import load_translator
from ossicle.simul.latency import MEASURES, end_offset, start_offset, tokens
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting
from ossicle.translate.translator import Translator

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "simuleval.md"
CLOSE = 1e-3
PIECE_MS = 320
NAMES = {
    "al": "AL",
    "laal": "LAAL",
    "ap": "AP",
    "dal": "DAL",
    "atd": "ATD",
    "start_offset": "StartOffset",
    "end_offset": "EndOffset",
}


def write_items(folder: Path, n: int, to: str) -> tuple[list[Path], list[str]]:
    """Recordings of 16 bit and a reference for each, and SimulEval's lists of them."""
    folder.mkdir(parents=True, exist_ok=True)
    items = long_items(n, "en")
    paths = [folder / f"{i}.wav" for i in range(n)]
    for path, item in zip(paths, items, strict=True):
        if not path.exists():
            write_clip(item.speech, path)
    references = [item.texts[to] for item in items]
    (folder / "wavs.txt").write_text("".join(f"{path.resolve()}\n" for path in paths))
    (folder / "references.txt").write_text("".join(f"{text}\n" for text in references))
    return paths, references


def external(agent: str, folder: Path, out: Path, measures: Sequence[str], *options: str) -> list[dict]:  # type: ignore[type-arg]
    """One run of SimulEval: what it keeps of each recording; its scores lie in ``out``."""
    command = [
        *(sys.executable, "-c", "from simuleval.cli import main; main()"),
        *("--agent", str(ROOT / "agents" / agent), "--source", str(folder / "wavs.txt")),
        *("--target", str(folder / "references.txt"), "--output", str(out), "--source-segment-size", str(PIECE_MS)),
        *("--latency-metrics", *measures, *options),
    ]
    print(shlex.join(command[3:]), flush=True)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in (out / "instances.log").read_text().splitlines()]


def scores_of(out: Path) -> dict[str, float]:
    """What SimulEval found."""
    with open(out / "scores.tsv", newline="") as file:
        return {name: float(value) for name, value in next(csv.DictReader(file, delimiter="\t")).items()}


def text_rows(
    model: Translator, policy: str, to: str, paths: Sequence[Path], references: Sequence[str], work: Path
) -> tuple[list[tuple[str, float, float]], int, int]:
    """Of every measure SimulEval's value and ours; how many texts, and how many delays, are not the same."""
    options = ["--quality-metrics", "BLEU", "--to", to, "--model", str(model.name), "--policy", policy]
    theirs = external("speech_to_text.py", work, work / "text", tuple(NAMES.values()), *options)
    made = []
    for path in paths:
        samples = read_clip(path, rate=SAMPLE_RATE).samples
        made.append(interpreted(model, policy, to, samples, recorded(model, samples, PIECE_MS / 1000)))
    pairs = list(zip(made, theirs, strict=True))
    other = sum(" ".join(tokens(one.text)) != it["prediction"] for one, it in pairs)
    late = sum(not np.allclose(one.delays, it["delays"], atol=CLOSE) for one, it in pairs if len(one.delays))
    found = scores_of(work / "text")
    rows = [("BLEU", found["BLEU"], likeness("bleu", references, [one.text for one in made]).value)]
    for ours, name in NAMES.items():
        values = [
            MEASURES[ours](one.delays, one.source, len(tokens(reference)))
            for one, reference in zip(made, references, strict=True)
        ]
        rows.append((name, found[name], float(np.mean(values))))
    return rows, other, late


def speech_rows(
    model: Translator, policy: str, to: str, paths: Sequence[Path], work: Path
) -> tuple[list[tuple[str, float, float]], int]:
    """The same of speech; how many recordings were not said in phrases of the same lengths."""
    names = ("StartOffset", "EndOffset")
    options = ["--to", to, "--model", str(model.name), "--policy", policy]
    theirs = external("speech_to_speech.py", work, work / "speech", names, *options)
    starts, ends, other = [], [], 0
    for path, it in zip(paths, theirs, strict=True):
        samples = read_clip(path, rate=SAMPLE_RATE).samples
        session = Interpreting(model, policy_named(policy, model), to, voice=Uttering(model, to))
        size = PIECE_MS * SAMPLE_RATE // 1000
        turns = [session.hear(samples[at : at + size]) for at in range(0, len(samples), size)]
        turns[-1] += session.finish()
        said = [[one for one in turn if isinstance(one, Uttered)] for turn in turns]
        spoken = [(ms_of(turn[-1].at_s), sum(len(one.samples) for one in turn) / SAMPLE_RATE) for turn in said if turn]
        delays, durations = [delay for delay, _ in spoken], [1000 * seconds for _, seconds in spoken]
        same = len(durations) == len(it["durations"])
        other += not (same and np.allclose(durations, it["durations"], atol=CLOSE))
        starts.append(start_offset(delays))
        ends.append(end_offset(delays, 1000 * len(samples) / SAMPLE_RATE, durations=durations))
    found = scores_of(work / "speech")
    ours = {"StartOffset": float(np.mean(starts)), "EndOffset": float(np.mean(ends))}
    return [(name, found[name], ours[name]) for name in names], other


def shown(rows: Sequence[tuple[str, float, float]]) -> str:
    """A table of measures side by side."""
    unit = {"BLEU": "", "AP": ""}
    head = ("measure", "SimulEval", "ossicle", "difference")
    cells = [
        (name + unit.get(name, ", ms"), f"{theirs:.3f}", f"{ours:.3f}", f"{abs(theirs - ours):.4f}")
        for name, theirs, ours in rows
    ]
    return table(head, cells)


def main(
    model: str = "mini-simul",
    policy: str | None = None,
    items: Annotated[int, typer.Option(min=1)] = 100,
    speech_items: Annotated[int, typer.Option(min=0)] = 20,
    to: str = "fr",
    folder: Path = Path("runs/simuleval"),
    out: Path = RESULTS,
) -> None:
    """Compare, and write the page; fails where anything differs."""
    if importlib.util.find_spec("simuleval") is None:
        print("this needs SimulEval: pip install --no-deps simuleval==1.1.4, and pip install -e '.[simuleval]'")
        return
    torch.set_num_threads(1)
    loaded = load_translator(model, device="cpu")
    loaded.name = model  # as the agent is told
    name = policy or best_policy(loaded)
    paths, references = write_items(folder, items, to)
    rows, other, late = text_rows(loaded, name, to, paths, references, folder)
    parts = [
        "# Our measures against SimulEval",
        f"Made by `{shlex.join(['python', 'benchmarks/against_simuleval.py', *sys.argv[1:]])}` with SimulEval 1.1.4, "
        f"policy `{name}`, English to {to}, pieces of {PIECE_MS} ms, on {hardware()}.",
        f"Text, {items} recordings: {other} texts and the delays of {late} differ.",
        shown(rows),
    ]
    wrong = [one for one in rows if abs(one[1] - one[2]) > CLOSE]
    if speech_items:
        few = folder / "speech-items"
        paths, _ = write_items(few, speech_items, to)
        spoken, odd = speech_rows(loaded, name, to, paths, few)
        parts += [f"Speech, {speech_items} recordings: the phrases of {odd} differ.", shown(spoken)]
        wrong += [one for one in spoken if abs(one[1] - one[2]) > CLOSE]
        other += odd
    page = "\n\n".join(parts) + "\n"
    print(page)
    write_page(out, page)
    if wrong or other or late:
        raise typer.Exit(1)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OssicleError as error:
        sys.exit(f"error: {error.code}: {error}")
