"""The command line: one function a command, and one way to fail.

Knows arguments, exit codes and how results are printed; every command calls the rooms below for what it does. Nothing
heavy is imported before a command needs it, so that help and mistakes answer at once.
Exit codes: 0 done, 1 training that cannot go on, or internal, 2 arguments, 3 a file that is missing or no audio,
4 limits, 5 machine, 6 model, 7 data or in part, 130 interrupted.
"""

import dataclasses
import errno
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer

from ossicle import __version__
from ossicle.errors import AudioInputError, FetchError, LimitError, OssicleError, RequestError, StorageError

DONE_IN_PART, INTERRUPTED = 7, 130
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"),
    *(".m4a", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".mka", ".aac", ".amr", ".wma", ".3gp"),
)
STANDARD_INPUT = "-"

app = typer.Typer(
    name="ossicle",
    help="Gives a language model ears: ask about a sound file, transcribe it, train, evaluate.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Option(help="A shipped name, or a model folder.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, help="CPU threads; OMP_NUM_THREADS, or the physical cores.")
]
MaxTokens = Annotated[int, typer.Option(help="Most tokens to write for one answer.")]
Rate = Annotated[
    float | None,
    typer.Option(metavar="HZ", help="Audio tokens a second, for a model whose bridge serves several rates."),
]
Temperature = Annotated[float, typer.Option(help="0 is greedy, up to 2.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
DrawSeed = Annotated[int, typer.Option(min=0, help="Of every random choice.")]
OwnParts = Annotated[
    list[str] | None,
    typer.Option("--part", metavar="encoder=FILE.py:CLASS", help="The model's encoder or bridge of your own; is run."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """The program ``ossicle``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. What goes wrong is one line on standard error."""
    try:
        given = list(arguments)
        return int(app(given or ["--help"], prog_name="ossicle", standalone_mode=False, obj=tuple(given)) or 0)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        code, exit_code, message = _explain(error)
        if "--debug" in arguments:
            traceback.print_exc()
        print(_line(code, message), file=sys.stderr)
        return exit_code


def _explain(error: Exception) -> tuple[str, int, str]:
    """Code, exit code and text of anything that went wrong."""
    match error:
        case OssicleError():
            return error.code, error.exit_code, str(error)
        case typer.TyperException():
            codes = {"NoSuchOption": "unknown_parameter", "MissingParameter": "missing_parameter"}
            return codes.get(type(error).__name__, "invalid_value"), RequestError.exit_code, error.format_message()
        case OSError(errno=errno.ENOSPC):
            _drop_output()
            return "no_space", StorageError.exit_code, "there is no space left where the output goes"
        case _:
            text = f"{type(error).__name__}: {error} (this is a mistake in ossicle; --debug shows where)"
            return "internal_error", OssicleError.exit_code, text


def _drop_output() -> None:
    """What is still in the buffer of standard output goes nowhere: flushing it at exit would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(code: str, message: str) -> str:
    return f"error: {code}: {' '.join(message.split())}"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ossicle {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Gives a language model ears: ask about a sound file, transcribe it, train, evaluate."""


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Files and question of ``FILE... [QUESTION]``.

    The first is a file; a later one is a file if it is one, is "-" or ends as an audio file does, else the question.

    Raises:
        RequestError: two questions, or standard input twice.
    """
    files, question = [arguments[0]], None
    for one in arguments[1:]:
        is_file = os.path.exists(one) and not os.path.isdir(one)  # or a pipe
        if one == STANDARD_INPUT or is_file or Path(one).suffix.lower() in AUDIO_SUFFIXES:
            files.append(one)
        elif question is None:
            question = one
        else:
            raise RequestError(f"one question at most, got {question!r} and {one!r}: put a question in quotes")
    if files.count(STANDARD_INPUT) > 1:
        raise RequestError("standard input (-) can be read once only")
    return files, question


@app.command()
def ask(
    arguments: Annotated[list[str], typer.Argument(metavar="FILE... [QUESTION]", show_default=False)],
    model: Model = "mini",
    long: Annotated[
        Literal["refuse", "lower", "retrieve"],
        typer.Option(
            help="Audio that is longer than the model reads: an error, a lower rate, or the passages that fit."
        ),
    ] = "refuse",
    about: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of retrieve: words to look for; the question by default.")
    ] = None,
    passages: Annotated[int, typer.Option(min=1, help="Of retrieve: how many are read at most.")] = 3,
    rate: Rate = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Ask about sound files, each by itself; without a question, what is said in the file is the question.

    The first argument is a file; a later one is a file if it is one or ends as an audio file does, else the question.
    "-" is standard input.
    """
    files, question = split_arguments(arguments)
    opened = _opener(model, device, threads, parts, rate)
    settings: dict[str, Any] = {"long": long, "about": about, "passages": passages}
    settings |= {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}

    def one(file: str) -> None:
        from ossicle.audio.io import probe

        if file != STANDARD_INPUT:
            probe(file)  # what is no audio is refused before a model is loaded
        from ossicle.infer.ask import stream

        answer = None
        for delta in stream(opened(), _source(file), question, **settings):
            answer = delta.answer
            if not as_json:
                print(delta.text, end="", flush=True)
        assert answer is not None
        if as_json:
            ledger = answer.ledger.as_dict()
            shown = {"file": file, "text": answer.text, "finish": answer.finish, "ledger": ledger}
            told = {"note": answer.note, "passages": [list(span) for span in answer.passages]} if answer.note else {}
            _print_json({**shown, **told})
        else:
            print(flush=True)
            _print_note(answer.note, answer.passages)
            _print_ledger(answer.ledger.as_dict(), cut=answer.finish == "length")

    _each(files, one, headed=not as_json)


@app.command()
def transcribe(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", show_default=False)],
    model: Model = "mini",
    language: Annotated[str | None, typer.Option(help="Language of the speech, where the model knows several.")] = None,
    speech_only: Annotated[
        bool, typer.Option("--speech-only", help="Ask of each piece whether it is speech; write nothing for the rest.")
    ] = False,
    rate: Rate = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Write down what is said in sound files of any length; "-" is standard input. --max-tokens is for each piece."""
    if files.count(STANDARD_INPUT) > 1:
        raise RequestError("standard input (-) can be read once only")
    opened = _opener(model, device, threads, parts, rate)
    settings: dict[str, Any] = {"language": language, "speech_only": speech_only, "max_tokens": max_tokens}
    settings |= {"temperature": temperature, "seed": seed}

    def one(file: str) -> None:
        from ossicle.audio.io import probe

        if file != STANDARD_INPUT:
            probe(file)  # what is no audio is refused before a model is loaded
        from ossicle.infer.transcribe import transcribe as write_down

        result = write_down(opened(), _source(file), **settings)
        if as_json:
            segments = [dataclasses.asdict(segment) for segment in result.segments]
            _print_json({"file": file, "text": result.text, "ledger": result.ledger.as_dict(), "segments": segments})
        else:
            print(result.text, flush=True)
            _print_ledger(result.ledger.as_dict(), cut=any(s.finish == "length" for s in result.segments))

    _each(files, one, headed=not as_json)


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

    _set_threads(threads)
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

    _set_threads(threads)
    folder = out or Path("runs") / Path(recipe).stem
    if take is not None:
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
    suite: Annotated[str, typer.Option(help="The built-in tests: world.")] = "world",
    data: Annotated[str | None, typer.Option(metavar="F.jsonl", help="A manifest in place of the suite.")] = None,
    compare: Annotated[str | None, typer.Option(metavar="FOLDER", help="Another model, on the same items.")] = None,
    compare_parts: Annotated[
        list[str] | None,
        typer.Option("--compare-part", metavar="encoder=FILE.py:CLASS", help="As --part, of the model to compare."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Items of each task and slice.")] = None,
    report: Annotated[str | None, typer.Option(metavar="F.md", help="Also write the tables to this file.")] = None,
    seed: DrawSeed = 0,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    parts: OwnParts = None,
    debug: Debug = False,
) -> None:
    """Score a model: error rate or accuracy with 95 % intervals, beside silence and another clip's audio."""
    from ossicle.evaluate import report as reports
    from ossicle.evaluate.score import evaluate as score

    result = score(
        _opener(model, device, threads, parts)(),
        suite=suite,
        manifest=data,
        limit=limit,
        seed=seed,
        compare=None if compare is None else _opener(compare, device, threads, compare_parts)(),
        show=partial(print, file=sys.stderr, flush=True),
    )
    if as_json:
        _print_json(result.as_dict())
    else:
        print(reports.tables(result), flush=True)
    if report is not None:
        reports.write(report, result, command=shlex.join(["ossicle", *context.obj]))


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
        _opener(model, device, threads, parts)(),
        items=items,
        answers=N_ANSWERS if answers else 0,
        seed=seed,
        show=partial(print, file=sys.stderr, flush=True),
    )
    if as_json:
        _print_json(found.as_dict())
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
def info(
    model: Model = "mini",
    verify: Annotated[bool, typer.Option("--verify", help="Read the model's files and compare their hashes.")] = False,
    audio: Annotated[
        str | None, typer.Option(metavar="FILE", help="Sound to measure calibration with; noise from a fixed seed.")
    ] = None,
    parts: OwnParts = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a model's parts, rates, parameters and calibration, and check this installation."""
    from ossicle.audio.io import read_clip

    clip = None if audio is None else read_clip(_source(audio))  # what is no audio is refused before a model is loaded
    from ossicle.hub import folder
    from ossicle.infer.describe import describe, environment

    found: dict[str, Any] = {"environment": environment()}
    if not as_json:
        _print_pairs(found)
    if verify:
        folder.verify(model)
    described = {
        "model": describe(folder.load(model, device="cpu", parts=_own(parts)), clip),
        **({"verified": True} if verify else {}),
    }
    if as_json:
        _print_json(found | described)
    else:
        _print_pairs(described)


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

    loaded = load(model, device="cpu", dtype="float32", parts=_own(parts))
    match layout:
        case "qwen2-audio":
            done = export_qwen2_audio(loaded, folder, dtype=DTYPES[dtype])
            differs = "an odd last frame (up to 20 ms) is dropped there"
        case "ultravox":
            done = export_ultravox(loaded, folder, dtype=DTYPES[dtype])
            differs = "llama.cpp hears whole windows of 30 s, silence included"
    print(f"{done}: read back as {layout}, the same answers; {differs}")


@app.command()
def plan(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE...", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(help="Of audio, in place of files.")] = None,
    encoder: Annotated[str, typer.Option(help="An encoder, or a published family.")] = "whisper-large-v3",
    bridge: Annotated[str | None, typer.Option(help="A kind; mean_pool. A family has its own.")] = None,
    k: Annotated[int | None, typer.Option(help="Frames that make a token, or the tokens of a window.")] = None,
    queries: Annotated[int | None, typer.Option(help="Tokens of a window, or of a clip.")] = None,
    tail: Annotated[str | None, typer.Option(help="What becomes of frames that fill no token.")] = None,
    llm: Annotated[str, typer.Option(help="A known LLM, or a config.json.")] = "llama-3.1-8b",
    context: Annotated[int | None, typer.Option(help="Tokens that the LLM may read; its own.")] = None,
    batch: Annotated[int, typer.Option(help="Clips at once.")] = 1,
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of weights and keys.")] = "bfloat16",
    memory: Annotated[float | None, typer.Option(metavar="GB", help="For weights, keys and values.")] = None,
    words_per_minute: Annotated[float, typer.Option(help="Speaking rate.")] = 150.0,
    tokens_per_word: Annotated[float, typer.Option(help="Of the LLM's tokenizer.")] = 1.33,
    everything: Annotated[bool, typer.Option("--all", help="Every rate of a mean pool, and every family.")] = False,
    task: Annotated[
        Literal["speech", "sound", "music", "speaker", "dialogue"] | None,
        typer.Option(help="Also what is known of the quality, and how it is known."),
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """What audio costs an LLM that hears it, and whether it fits: counted, nothing is loaded."""
    from ossicle.plan import planner, render
    from ossicle.plan.bridges import bridge_rule

    if files and files.count(STANDARD_INPUT) > 1:
        raise RequestError("standard input (-) can be read once only")
    if (seconds is None) == (not files):
        raise RequestError("give files or --seconds, one of the two", code=None if files else "missing_parameter")
    own = any(value is not None for value in (bridge, k, queries, tail))
    if own and everything:
        raise RequestError("--all shows every rate of a mean pool: leave out what tells a bridge")
    rule = bridge_rule(bridge or "mean_pool", k=k, queries=queries, tail=tail) if own else None
    speech = {"words_per_minute": words_per_minute, "tokens_per_word": tokens_per_word}
    common: dict[str, Any] = {"encoder": encoder, "llm": llm, "context": context, "batch": batch, "dtype": dtype}
    common |= {"memory_gb": memory, **speech}

    def one(file: str | None) -> None:
        length_s = _seconds(file) if file is not None else seconds or 0.0
        shown: dict[str, Any] = {} if file is None else {"file": file}
        if everything:
            rates, families = planner.plan_all(seconds=length_s, **common)
            shown["rates"] = [dataclasses.asdict(row) for row in rates]
            shown["families"] = [dataclasses.asdict(row) for row in families]
            text = render.table(rates, families)
        else:
            rates = [planner.make_plan(seconds=length_s, bridge=rule, **common)]
            shown |= dataclasses.asdict(rates[0])
            text = render.lines(rates[0], **speech)
        if task is not None:
            text += "\n" + _add_quality(shown, task, [row.nominal_hz for row in rates])
        if as_json:
            _print_json(shown)
        else:
            print(text, flush=True)

    if files:
        _each(files, one, headed=not as_json)
    else:
        one(None)


def _add_quality(shown: dict[str, Any], task: str, rates_hz: Sequence[float]) -> str:
    """What is known of the quality at these rates: into the object for ``--json``, and as text."""
    from ossicle.plan import quality, render

    sweep = quality.sweep_file()
    figures = quality.figures(task, rates_hz, [] if sweep is None else quality.read_sweep(sweep))
    winners = quality.winners(figures)
    shown |= {"task": task, "figures": [dataclasses.asdict(one) for one in figures], "winners": winners}
    return render.quality(task, figures, winners)


def _seconds(file: str) -> float:
    """Length of a file as its header declares it; only where that is silent, it is decoded."""
    from ossicle.audio.io import probe, read_blocks

    source: str | bytes = file if file != STANDARD_INPUT else _stream().read()  # it is looked at twice
    declared = probe(source)
    if declared.duration_s is not None:
        return declared.duration_s
    return sum(block.n_samples for block in read_blocks(source)) / declared.rate


def _each(files: Sequence[str], one: Callable[[str], None], *, headed: bool) -> None:
    """Run a command on every file; a bad file among good ones is told, and the others are still done.

    Raises:
        OssicleError: of a single file.
        typer.Exit: 7 where some files failed, the first one's exit code where all did.
    """
    failed = []
    for file in files:
        if headed and len(files) > 1:
            print(f"== {file}", flush=True)
        try:
            one(file)
        except (AudioInputError, FetchError, LimitError) as error:
            if len(files) == 1:
                raise
            failed.append(error)
            print(_line(error.code, f"{file}: {error}"), file=sys.stderr)
    if failed:
        raise typer.Exit(failed[0].exit_code if len(failed) == len(files) else DONE_IN_PART)


def _source(file: str) -> str | BinaryIO:
    """What `audio.io` reads."""
    return _stream() if file == STANDARD_INPUT else file


def _stream() -> BinaryIO:
    """Standard input.

    Raises:
        RequestError: it is closed.
    """
    if sys.stdin is None:
        raise RequestError("standard input (-) is closed")
    return sys.stdin.buffer


def _own(parts: Sequence[str] | None) -> dict[str, str]:
    """What `load` wants of ``encoder=FILE.py:CLASS``.

    Raises:
        RequestError: something else.
    """
    pairs = [one.partition("=") for one in parts or ()]
    wrong = [name + equals + source for name, equals, source in pairs if not equals]
    if wrong:
        raise RequestError(f"--part reads encoder=FILE.py:CLASS or bridge=FILE.py:CLASS, got {wrong[0]!r}")
    return {name: source for name, _, source in pairs}


def _opener(
    model: str, device: str, threads: int | None, parts: Sequence[str] | None, rate: float | None = None
) -> Callable[[], Any]:
    """A function that loads the model when it is first called, so that bad audio is refused before."""
    own = _own(parts)

    @cache
    def opened() -> Any:
        from ossicle.hub.folder import load
        from ossicle.infer.lower import at_rate

        _set_threads(threads)
        loaded = load(model, device=device, parts=own)
        return loaded if rate is None else at_rate(loaded, rate)

    return opened


def _set_threads(threads: int | None) -> None:
    import torch

    from ossicle.infer.describe import physical_cores

    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # OpenMP's list is one number a level
    torch.set_num_threads(threads or (int(said) if said.isdecimal() and int(said) > 0 else physical_cores()))


def _print_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)  # of a file name that is no Unicode: \udcff


def _print_note(note: str, passages: Sequence[tuple[float, float]]) -> None:
    """What was done with long audio, on standard error."""
    if note:
        spans = ", ".join(f"{start_s:.1f}-{end_s:.1f} s" for start_s, end_s in passages)
        print(f"  {note}{': ' if spans else ''}{spans}", file=sys.stderr, flush=True)


def _print_ledger(ledger: dict[str, Any], *, cut: bool) -> None:
    """The ledger as one line on standard error, so that standard output holds the text alone."""
    tail = f" ({ledger['tail_s']:.2f} s dropped at the end)" if ledger["tail_s"] else ""
    tail += f" ({ledger['seconds_merged']:.2f} s merged)" if ledger["seconds_merged"] else ""
    tail += f" ({ledger['seconds_dropped']:.2f} s not read)" if ledger["seconds_dropped"] else ""
    print(
        f"  heard {ledger['seconds_heard']:.2f} of {ledger['seconds_given']:.2f} s{tail} · {ledger['frames']} frames · "
        f"{ledger['audio_tokens']} audio tokens · {ledger['text_tokens']} text tokens"
        f"{' (cut off at --max-tokens)' if cut else ''} · first after {ledger['time_to_first_token_s']:.2f} s · "
        f"{ledger['tokens_per_s']:.0f} a second",
        file=sys.stderr,
        flush=True,
    )


def _print_pairs(value: dict[str, Any], indent: str = "") -> None:
    """Nested names and values, one a line."""
    for key, one in value.items():
        if isinstance(one, dict):
            print(f"{indent}{key}")
            _print_pairs(one, indent + "  ")
        else:
            print(f"{indent}{key}: {one}")
