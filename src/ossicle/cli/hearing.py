"""Commands that use a model or only count: ask, transcribe, info, plan; one function a command.

Each calls the rooms below for what it does. Nothing heavy is imported before a command needs it, so that help and
mistakes answer at once.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from ossicle.cli.inputs import Input, expand
from ossicle.cli.options import (
    STANDARD_INPUT,
    AsJson,
    Debug,
    Device,
    MaxTokens,
    Model,
    OwnParts,
    Rate,
    Seed,
    Temperature,
    Threads,
    each,
    opener,
    own_parts,
    seconds_of,
    source_of,
    split_arguments,
)
from ossicle.cli.output import print_json, print_ledger, print_note, print_pairs
from ossicle.cli.program import app
from ossicle.cli.results import Also, Made, Out, Srt, Vtt, write_each
from ossicle.errors import RequestError


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
    opened = opener(model, device, threads, parts, rate)
    settings: dict[str, Any] = {"long": long, "about": about, "passages": passages}
    settings |= {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}

    def one(file: str) -> None:
        from ossicle.audio.io import probe

        if file != STANDARD_INPUT:
            probe(file)  # what is no audio is refused before a model is loaded
        from ossicle.infer.ask import stream

        answer = None
        for delta in stream(opened(), source_of(file), question, **settings):
            answer = delta.answer
            if not as_json:
                print(delta.text, end="", flush=True)
        assert answer is not None
        if as_json:
            ledger = answer.ledger.as_dict()
            shown = {"file": file, "text": answer.text, "finish": answer.finish, "ledger": ledger}
            told = {"note": answer.note, "passages": [list(span) for span in answer.passages]} if answer.note else {}
            print_json({**shown, **told})
        else:
            print(flush=True)
            print_note(answer.note, answer.passages)
            print_ledger(answer.ledger.as_dict(), cut=answer.finish == "length")

    each(files, one, headed=not as_json)


@app.command()
def transcribe(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", show_default=False)],
    model: Model = "mini",
    language: Annotated[str | None, typer.Option(help="Language of the speech, where the model knows several.")] = None,
    speech_only: Annotated[
        bool, typer.Option("--speech-only", help="Ask of each piece whether it is speech; write nothing for the rest.")
    ] = False,
    srt: Srt = None,
    vtt: Vtt = None,
    out: Out = None,
    also: Also = None,
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
    """Write down what is said in sound files of any length.

    FILE is also a folder of sound files, or a manifest F.jsonl; "-" is standard input. --max-tokens is for each piece.
    """
    opened = opener(model, device, threads, parts, rate)
    settings: dict[str, Any] = {"language": language, "speech_only": speech_only, "max_tokens": max_tokens}
    settings |= {"temperature": temperature, "seed": seed}

    def make(given: Input) -> Made:
        from ossicle.infer.transcribe import transcribe as write_down

        result = write_down(opened(), given.source(), **settings)
        segments = [dataclasses.asdict(segment) for segment in result.segments]
        shown = {"text": result.text, "ledger": result.ledger.as_dict(), "segments": segments}
        cut = any(segment.finish == "length" for segment in result.segments)
        return Made(result.text, result.segments, result.ledger, shown, cut)

    write_each(
        expand(files, without=out),
        make,
        as_json=as_json,
        out=out,
        also=also or (),
        named={".srt": srt, ".vtt": vtt},
        run={"command": "transcribe", **settings, "rate": rate, "parts": own_parts(parts)},
        model=model,
    )


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
    """Show a model's parts, rates, parameters and calibration, and check this installation.

    Of a translator: languages, parts, rates, units and speakers.
    """
    from ossicle.audio.io import read_clip

    clip = None
    if audio is not None:  # what is no audio is refused before a model is loaded
        clip = read_clip(source_of(audio))
    from ossicle.hub import folder, translator
    from ossicle.infer.describe import describe, describe_translator, environment

    found: dict[str, Any] = {"environment": environment()}
    if not as_json:
        print_pairs(found)
    translates = translator.holds_translator(model)
    if translates and (clip is not None or parts):
        raise RequestError(f"{model} holds a translator, which has no bridge: leave out --audio and --part")
    if verify:
        (translator.verify_translator if translates else folder.verify)(model)
    if translates:
        told = describe_translator(translator.load_translator(model, device="cpu"))
    else:
        told = describe(folder.load(model, device="cpu", parts=own_parts(parts)), clip)
    described = {"model": told, **({"verified": True} if verify else {})}
    if as_json:
        print_json(found | described)
    else:
        print_pairs(described)


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
        length_s = seconds_of(file) if file is not None else seconds or 0.0
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
            print_json(shown)
        else:
            print(text, flush=True)

    if files:
        each(files, one, headed=not as_json)
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
