"""Commands that make and measure models: train, sweep, evaluate, probe, world, export; one function a command.

Each calls the rooms below for what it does. Nothing heavy is imported before a command needs it.
"""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ossicle.cli.options import (
    DONE_IN_PART,
    INTERRUPTED,
    AsJson,
    Debug,
    Device,
    DrawSeed,
    Model,
    OwnParts,
    Threads,
    few_threads,
    opener,
    own_parts,
    set_threads,
    translator_opener,
)
from ossicle.cli.output import print_json
from ossicle.cli.program import app
from ossicle.errors import RequestError


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", show_default=False)],
    data: Annotated[
        str | None, typer.Option(metavar="F.jsonl", help="A manifest in place of the recipe's data.")
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="For checkpoints and model; runs/RECIPE.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for all stages together.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Published: Whisper, wav2vec 2.0, w2v-BERT 2.0; or FILE.py:CLASS."),
    ] = None,
    llm: Annotated[str | None, typer.Option(metavar="FOLDER", help="A published LLM with its tokenizer.")] = None,
    begun: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="A model that the recipe's first stages made.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="stage.key=value", help="Change one value of the recipe.")
    ] = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Show an example, the data, memory and time; train and write nothing.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Train a model by a recipe. A run that was killed goes on where its last checkpoint stands.

    Interrupted (Ctrl-C, or the signal TERM), it writes a checkpoint after the step under way and ends with 130.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads would take the trainer's cores
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits must not spin on another batch's core
    from ossicle.train import loop

    set_threads(threads)
    folder = out or Path("runs") / Path(recipe).stem
    named = [
        f"parts.{key}_from={json.dumps(one)}" for key, one in (("encoder", encoder), ("llm", llm)) if one is not None
    ]
    changes = (*named, *(settings or ()))
    if preflight:
        _preflight(recipe, data=data, minutes=minutes, overrides=changes, device=device, begun=begun)
        return
    done = loop.run(recipe, out=folder, data=data, minutes=minutes, overrides=changes, device=device, begun=begun)
    if Path(done) == Path(folder):
        kept = "a checkpoint is in" if (Path(folder) / "checkpoints").is_dir() else "before the first step of"
        print(f"interrupted: {kept} {folder}, the same command goes on", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    print(done)


def _preflight(recipe: str, **arguments: Any) -> None:
    from rich.console import Console

    from ossicle.train.estimate import show
    from ossicle.train.preflight import preflight

    report = preflight(recipe, **arguments)
    show(report, Console())
    report.refuse()


@app.command()
def sweep(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", show_default=False)],
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="For clips, cells and report; runs/RECIPE.")] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this bridge of the sweep.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no cell after so many.")] = None,
    double: Annotated[
        bool, typer.Option("--double", help="Also train what a ranking rests on for twice as long.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Make cells that failed anew.")] = False,
    report: Annotated[
        str | None, typer.Option(metavar="F.md", help="Where the page goes, F.json and F.svg beside it.")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Also keep each cell's result in a small file here, and go on from those."),
    ] = None,
    take: Annotated[
        str | None,
        typer.Option(metavar="CELL", help="Make nothing: write this cell, mean-k4-seed1, as FOLDER/models/CELL."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    debug: Debug = False,
) -> None:
    """Compare bridges at equal rates: each learns alone between a frozen encoder and a frozen LLM.

    A sweep that was killed or interrupted goes on with the same command; what is done is not done again. The same
    command started twice shares the cells between two processes. Ends with 7 where cells failed or are left.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `train`
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from ossicle.train import sweep as sweeps

    set_threads(threads)
    folder = out or Path("runs") / Path(recipe).stem
    if take is not None:
        if only or minutes is not None or double or retry or report or results:
            raise RequestError(
                "--take makes nothing: leave out --only, --minutes, --double, --retry, --report and --results"
            )
        print(sweeps.take(recipe, take, out=folder))
        return
    done = sweeps.run(
        recipe,
        out=folder,
        only=only or (),
        minutes=minutes,
        double=double,
        retry=retry,
        report=report,
        results=results,
        device=device,
        command=shlex.join(["ossicle", *context.obj]),
    )
    print(done.report)
    if done.stopped:
        print("interrupted: the same command goes on", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if done.failed or done.left:
        print(f"{len(done.failed)} cells failed, {done.left} are left", file=sys.stderr)
        raise typer.Exit(DONE_IN_PART)


@app.command()
def evaluate(
    context: typer.Context,
    model: Model = "mini",
    suite: Annotated[str, typer.Option(help="The built-in tests: world; of a translator also simul.")] = "world",
    data: Annotated[str | None, typer.Option(metavar="F.jsonl", help="A manifest in place of the suite.")] = None,
    compare: Annotated[str | None, typer.Option(metavar="FOLDER", help="Another model, on the same items.")] = None,
    compare_parts: Annotated[
        list[str] | None,
        typer.Option("--compare-part", metavar="encoder=FILE.py:CLASS", help="As --part, of the model to compare."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Items of each task and slice, or of a translator.")] = None,
    read_back: Annotated[
        list[str] | None,
        typer.Option(
            "--read-back",
            metavar="WHO",
            help="Who reads a translator's speech: itself, pocketsphinx; of simul another one.",
        ),
    ] = None,
    report: Annotated[str | None, typer.Option(metavar="F.md", help="Also write the tables to this file.")] = None,
    seed: DrawSeed = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Score a model: error rate or accuracy with 95 % intervals, beside silence and another clip's audio.

    A translator: BLEU and chrF for each pair of languages, from speech and text to both, direct and as a cascade; with
    --suite simul BLEU against latency of four policies, English to French and German.
    """
    from ossicle.evaluate import report as reports
    from ossicle.evaluate.score import evaluate as score
    from ossicle.hub.description import fingerprint
    from ossicle.hub.folder import find
    from ossicle.hub.translator import holds_translator

    which = {"fingerprint": fingerprint(find(model))} if as_json else {}  # before anything can change there
    if holds_translator(model):
        if data is not None or compare is not None or suite not in ("world", "simul"):
            raise RequestError(
                f"a translator is scored on the parallel world: --suite world or simul (got {suite!r}), and neither "
                "--data nor --compare"
            )
        loaded = translator_opener(model, device, threads)()
        if suite == "simul":
            few_threads(loaded, threads)
        found, told = _translator_scores(loaded, suite, limit=limit, read_back=read_back, seed=seed)
        _show_scores(context, found, told, which, as_json=as_json, page=report)
        return
    if read_back:
        raise RequestError(f"{model} does not speak: --read-back is for translators")
    loaded = opener(model, device, threads, parts)()
    result = score(
        loaded,
        suite=suite,
        manifest=data,
        limit=limit,
        seed=seed,
        compare=None if compare is None else opener(compare, device, threads, compare_parts)(),
        show=partial(print, file=sys.stderr, flush=True),
    )
    _show_scores(context, result, reports, which, as_json=as_json, page=report)


def _show_scores(
    context: typer.Context, found: Any, told: Any, which: dict[str, Any], *, as_json: bool, page: str | None
) -> None:
    """Scores on standard output, and in a file if one is named; ``told`` is the module that makes tables of them."""
    if as_json:
        print_json({**found.as_dict(), **which})
    else:
        print(told.tables(found), flush=True)
    if page is not None:
        told.write(page, found, command=shlex.join(["ossicle", *context.obj]))


def _translator_scores(
    model: Any, suite: str, *, limit: int | None, read_back: Sequence[str] | None, seed: int
) -> tuple[Any, Any]:
    """What was found of a translator, and the module that makes tables of it."""
    show = partial(print, file=sys.stderr, flush=True)
    if suite == "simul":
        from ossicle.evaluate import simultaneous, simultaneous_report
        from ossicle.evaluate.simultaneous_speech import reader, score_spoken
        from ossicle.simul.named import best_policy

        n = limit or simultaneous.N_ITEMS
        readers = [reader(name) for name in read_back or ()]
        scores = simultaneous.score_simultaneous(model, n=n, seed=seed, show=show)
        policy = best_policy(model)
        spoken = [row for one in readers for row in score_spoken(model, policy, one, n=n, seed=seed, show=show)]
        return replace(scores, spoken=tuple(spoken)), simultaneous_report
    from ossicle.evaluate import parallel, translation_report

    n = limit or parallel.N_ITEMS
    wanted = read_back or ("itself",)
    return parallel.score_translator(model, n=n, read_back=wanted, seed=seed, show=show), translation_report


@app.command()
def probe(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False)] = "mini",
    items: Annotated[int, typer.Option(help="Clips that each probe is scored on; fitted on twice as many.")] = 150,
    answers: Annotated[
        bool, typer.Option("--answers", help="Also what the LLM itself answers in the nearest task.")
    ] = False,
    report: Annotated[str | None, typer.Option(metavar="F.md", help="Also write the table to this file.")] = None,
    seed: DrawSeed = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Tell what frames and audio tokens hold: linear probes for content, speaker, pitch, event and order, with chance.

    What is there before the bridge and gone behind it was lost at the bridge; what is there and unused, by the LLM.
    """
    from ossicle.evaluate import probe_report
    from ossicle.evaluate.probes import N_ANSWERS
    from ossicle.evaluate.probes import probe as find

    found = find(
        opener(model, device, threads, parts)(),
        items=items,
        answers=N_ANSWERS if answers else 0,
        seed=seed,
        show=partial(print, file=sys.stderr, flush=True),
    )
    if as_json:
        print_json(found.as_dict())
    else:
        print(probe_report.tables(found), flush=True)
    if report is not None:
        probe_report.write(report, found, command=shlex.join(["ossicle", *context.obj]))


@app.command()
def world(
    task: Annotated[str, typer.Argument(metavar="TASK", show_default=False)],
    count: Annotated[int, typer.Option(min=1, help="How many examples.")] = 10,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where sound files and manifest.jsonl go.")] = "world",
    split: Annotated[
        Literal["train", "validation", "test"], typer.Option(help="Which sentences and voices.")
    ] = "train",
    slice_: Annotated[
        str | None, typer.Option("--slice", help="Voices or texts of one kind, as in `evaluate`.")
    ] = None,
    seed: DrawSeed = 0,
    debug: Debug = False,
) -> None:
    """Write examples of one task of the synthetic world: sound files, and a manifest with the truth about them."""
    from ossicle.evaluate.items import write_world

    manifest = write_world(out, task, count, split=split, slice=slice_, seed=seed)
    print(f"{count} examples in {manifest}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False)],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", show_default=False)],
    layout: Annotated[
        Literal["qwen2-audio", "ultravox"], typer.Option("--format", help="The published layout.")
    ] = "qwen2-audio",
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the weights.")] = "float32",
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Write a model in a published layout; the folder is read back and compared before this says done."""
    from ossicle.hub.folder import DTYPES, load
    from ossicle.hub.qwen2_audio import export_qwen2_audio
    from ossicle.hub.ultravox_export import export_ultravox

    loaded = load(model, device="cpu", dtype="float32", parts=own_parts(parts))
    match layout:
        case "qwen2-audio":
            done = export_qwen2_audio(loaded, folder, dtype=DTYPES[dtype])
            differs = "an odd last frame (up to 20 ms) is dropped there"
        case "ultravox":
            done = export_ultravox(loaded, folder, dtype=DTYPES[dtype])
            differs = "llama.cpp hears whole windows of 30 s, silence included"
    print(f"{done}: read back as {layout}, the same answers; {differs}")
