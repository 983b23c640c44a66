"""A folder of a hundred files, three of them broken, translated by one command; and again by one that is killed.

python benchmarks/folder.py [--model MODEL] [--from en] [--to fr] [--seed N] [--files N] [--after N] [--folder DIR]
    [--out FILE]
    writes docs/results/folder.md

Test sentences of the parallel world in test voices, one a file; one file is no audio, one stops in the middle, one
holds no byte. `ossicle translate FOLDER --to LANGUAGE --out OUT` goes through them once in peace. Into another folder
it is killed (SIGKILL) as soon as some results are there, started anew, and started once more when nothing is left to
do. What was there keeps its time and its bytes, to the nanosecond and the hash: nothing is done twice. Where a demand
is not met the benchmark ends with 1.
"""

import hashlib
import json
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from aligner import MODEL, between, is_there

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.io import write_clip
from ossicle.evaluate.report import table, write_page
from ossicle.train.origin import segment
from ossicle.world.parallel import parallel
from ossicle.world.parallel_speech import said
from ossicle.world.scenes import render
from ossicle.world.speech import speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "folder.md"
COMMAND = Path(sys.executable).with_name("ossicle")
BROKEN = {"audio_empty": "holds no byte", "audio_truncated": "stops in the middle", "audio_undecodable": "is no audio"}
DONE_IN_PART, KILLED = 7, -9
Files = dict[str, tuple[int, str]]
"""Names of results, when each was written (nanoseconds) and the hash of its bytes."""


@dataclass(frozen=True)
class Run:
    """How a command ended, what it told, its seconds, and the results that stand there then."""

    code: int
    told: list[str]
    seconds: float
    results: Files


def write_files(folder: Path, n: int, seed: int, language: str) -> dict[str, str]:
    """Sentences, one a file, three of them broken.

    Returns:
        Of each broken file its name and the code that it must be refused with.
    """
    folder.mkdir(parents=True)
    places = np.random.default_rng([seed, 0]).choice(n, len(BROKEN), replace=False).tolist()
    broken = dict(zip(places, BROKEN, strict=True))
    for number in range(n):
        rng = np.random.default_rng([seed, 1, number])
        scene = said(rng, "test", language, parallel(rng, "test").texts[language], clean=True)
        path = folder / f"{number:03d}.wav"
        write_clip(Clip(render(scene, speak=speak_afresh).samples, SAMPLE_RATE), path)
        data = path.read_bytes()
        match broken.get(number):
            case "audio_empty":
                path.write_bytes(b"")
            case "audio_truncated":
                path.write_bytes(data[: len(data) // 2])
            case "audio_undecodable":
                path.write_text("Notes of the recording, kept under the name of its sound.\n" * 20, encoding="utf-8")
    return {f"{number:03d}.wav": code for number, code in broken.items()}


def results(out: Path) -> Files:
    """The results in a folder."""
    return {path.name: (path.stat().st_mtime_ns, digest(path)) for path in sorted(out.glob("*.txt"))}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def texts(found: Files) -> set[tuple[str, str]]:
    """Names and hashes."""
    return {(name, value) for name, (_, value) in found.items()}


def run(arguments: list[str], out: Path, *, kill_after: int | None = None) -> Run:
    """Run the command; with ``kill_after`` kill it as soon as so many results are there."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        process = subprocess.Popen([COMMAND, *arguments], stdout=told, stderr=told)
        while kill_after is not None and process.poll() is None:
            if len(list(out.glob("*.txt"))) >= kill_after:
                process.kill()
            time.sleep(0.002)
        code = process.wait()
        seconds = time.perf_counter() - began
        told.seek(0)
        return Run(code, told.read().splitlines(), seconds, results(out))


def errors_of(out: Path) -> dict[str, str]:
    """Names and codes in ``errors.jsonl``; none where a command ended before it wrote that."""
    if not (out / "errors.jsonl").is_file():
        return {}
    lines = (out / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    return {Path(one["file"]).name: one["code"] for one in map(json.loads, lines)}


def demands(
    n: int, broken: dict[str, str], whole: Run, killed: Run, again: Run, once_more: Run, named: list[dict[str, str]]
) -> list[tuple[str, bool]]:
    """What must be so, in words, and whether it is."""
    n_good, n_killed = n - len(broken), len(killed.results)
    in_peace, killed_texts = texts(whole.results), texts(killed.results)
    kept = all(again.results.get(name) == one for name, one in killed.results.items())
    ended = max((at for at, _ in killed.results.values()), default=0)
    new = [at for name, (at, _) in again.results.items() if name not in killed.results]
    return [
        (f"in peace: {len(whole.results)} results, exit {whole.code}", _ended(whole, n_good)),
        (f"in peace: {len(named[0])} errors, each with its file and code", named[0] == broken),
        (f"killed: {n_killed} results", killed.code == KILLED and 0 < n_killed < n_good),
        ("killed: each has the bytes of the run in peace, none is there in part", killed_texts <= in_peace),
        (f"anew: {len(again.results)} results, exit {again.code}", _ended(again, n_good)),
        (f"anew: {len(named[1])} errors, the same", named[1] == broken),
        (f"anew: the {n_killed} results from before the kill have their times and bytes", kept),
        (
            f"anew: the other {len(new)} are younger, and it says that {n_killed} were there",
            bool(new) and min(new) > ended and f"{n_killed} of {n} are there from an earlier run" in again.told,
        ),
        ("anew: every result has the bytes of the run in peace", texts(again.results) == in_peace),
        (f"once more: nothing is written, exit {once_more.code}", once_more.results == again.results),
        (f"once more: {len(named[2])} errors, the same", once_more.code == DONE_IN_PART and named[2] == broken),
    ]


def _ended(one: Run, n_good: int) -> bool:
    return one.code == DONE_IN_PART and len(one.results) == n_good


def main(arguments: Sequence[str] | None = None) -> None:
    parser = between(__doc__)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--after", type=int, default=30, help="results that are there when the command is killed")
    parser.add_argument("--folder", type=Path, default=Path("runs/folder"), help="for files and results, made anew")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if not 0 < given.after < given.files - len(BROKEN):
        parser.error(f"--after lies between 0 and the {given.files - len(BROKEN)} files that are not broken")
    if not is_there(given.model):
        return
    sounds, in_peace, resumed = (given.folder / name for name in ("sounds", "in-peace", "resumed"))
    for one in (sounds, in_peace, resumed):
        shutil.rmtree(one, ignore_errors=True)
    broken = write_files(sounds, given.files, given.seed, given.source)

    def command(out: Path) -> list[str]:
        more = [] if given.model == MODEL else ["--model", given.model]
        return ["translate", str(sounds), "--to", given.to, "--out", str(out), *more]

    whole = run(command(in_peace), in_peace)
    named = [errors_of(in_peace)]
    runs = [whole, run(command(resumed), resumed, kill_after=given.after)]
    for _ in range(2):
        runs.append(run(command(resumed), resumed))
        named.append(errors_of(resumed))
    found = demands(given.files, broken, *runs, named)
    page = report(given, arguments, shlex.join(["ossicle", *command(in_peace)]), broken, runs, found)
    print(page)
    write_page(given.out, page)
    print(given.out)
    if not all(met for _, met in found):
        raise SystemExit("a demand is not met")


def report(
    given: Namespace,
    arguments: list[str],
    command: str,
    broken: dict[str, str],
    runs: list[Run],
    found: list[tuple[str, bool]],
) -> str:
    """The page."""
    about = segment(torch.device("cpu"), "float32", None)
    rows = [
        (name, str(one.code), str(len(one.results)), f"{one.seconds:.1f}")
        for name, one in zip(("in peace", "killed", "anew", "once more"), runs, strict=True)
    ]
    lines = [
        f"# {given.files} files, {len(broken)} of them broken, one command",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/folder.py', *arguments])}`",
        f"at commit {about['commit']}, on {platform.machine()}; Python {platform.python_version()}, "
        f"torch {torch.__version__}. Seed {given.seed}: test sentences in the language {given.source}, test voices.",
        "",
        f"The command is `{command}`.",
        "",
        table(("run", "exit code", "results there", "seconds it took"), rows),
        "",
        table(("demand", "met"), [(what, "yes" if met else "NO") for what, met in found]),
        "",
        "What the command said of files that it could not read, as it went through them in peace:",
        "",
        "```",
        *(line for line in runs[0].told if line.startswith("error")),
        *runs[0].told[-1:],
        "```",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
