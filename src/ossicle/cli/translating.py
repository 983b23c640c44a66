"""Commands that translate: translate, speak; one function a command.

Each calls the rooms below for what it does. Nothing heavy is imported before a command needs it, so that help and
mistakes answer at once.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ossicle.cli.inputs import Input, expand_with_texts, is_sound, is_text_file
from ossicle.cli.options import STANDARD_INPUT, AsJson, Debug, Device, Threads, standard_input, translator_opener
from ossicle.cli.output import print_json, print_note
from ossicle.cli.program import app
from ossicle.cli.results import Made, Out, Srt, Vtt, write_each
from ossicle.errors import RequestError, StorageError

TranslatorModel = Annotated[str, typer.Option("--model", help="A shipped name, or a translator's folder.")]
Voice = Annotated[str | None, typer.Option(metavar="NAME", help="Who speaks, by name or number; the language's own.")]
Pace = Annotated[float, typer.Option(help="Of speech: how many times as fast as the model would speak.")]


@app.command()
def translate(
    to: Annotated[str, typer.Option(metavar="LANGUAGE", help="What it becomes.", show_default=False)],
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE...", show_default=False)] = None,
    source_language: Annotated[
        str | None, typer.Option("--from", metavar="LANGUAGE", help="Of a text, which needs it; speech does not.")
    ] = None,
    speak: Annotated[
        str | None, typer.Option(metavar="OUT.wav", help="Also make speech of what the one source becomes.")
    ] = None,
    voice: Voice = None,
    pace: Pace = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="1 is greedy; more keep so many beginnings.")] = 1,
    srt: Srt = None,
    vtt: Vtt = None,
    out: Out = None,
    also: Annotated[
        list[str] | None, typer.Option(metavar="srt|vtt|wav", help="Of --out: this file as well, for each input.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="While somebody speaks: raw samples come on standard input, text goes out.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:N]",
            help="Of --live: alignatt:8,layer=2 (the default for sound), agreement:2 (for text), emma:0.6, wait-k:6, "
            "FILE.py:CLASS.",
        ),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(metavar="HZ", help="Of --live: of the samples, 16 bit, little-endian, mono; 16000.")
    ] = None,
    mic: Annotated[bool, typer.Option("--mic", help="Of --live: the microphone in place of standard input.")] = False,
    transcript: Annotated[
        str | None, typer.Option(metavar="F.txt", help="Of --live: the text also goes here, a line an utterance.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option(metavar="F.html", help="Of --live: a page that shows when it read and wrote, and why.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A shipped name, or a translator's folder; mini-translate, or mini-simul --live."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of a piece or sentence; the model's own.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Translate sound files or texts, of any length; into the language that is spoken, write it down.

    SOURCE is a sound file, a folder of them, a manifest F.jsonl, a text file F.txt, or else the text itself; "-" is
    sound from standard input. With --live there is none: sound comes as raw samples on standard input, and is
    translated as it comes; or text does, with --from.
    """
    if live:
        given: dict[str, Any] = {"SOURCE": sources, "--out": out, "--also": also, "--beams": beams != 1}
        if source_language is not None:  # text comes in place of sound
            given |= {"--rate": rate, "--mic": mic, "--trace": trace, "--srt": srt, "--vtt": vtt}
        if unfit := [name for name, value in given.items() if value]:
            what = "sound" if source_language is None else "text"
            raise RequestError(f"--live takes {what} as it comes, on standard input: leave out {', '.join(unfit)}")
        _check_of_speech(voice, pace, "--speak OUT.wav", speaks=speak is not None)
        if mic and rate is not None:
            raise RequestError("--rate is of samples on standard input: leave it out with --mic")
        from ossicle.cli.live import Wanted
        from ossicle.cli.live import live as run
        from ossicle.cli.live_sources import RATE

        asked = Wanted(
            to=to,
            policy=policy,
            rate=RATE if rate is None else rate,
            microphone=mic,
            source_language=source_language,
            speak=speak,
            speaker=_speaker(voice),
            pace=pace,
            transcript=transcript,
            srt=srt,
            vtt=vtt,
            trace=trace,
            max_tokens=max_tokens,
            as_json=as_json,
            threads=threads,
        )
        usual = "mini-simul" if source_language is None else "mini-translate"
        code = run(translator_opener(model or usual, device, threads), asked)
        if code:
            raise typer.Exit(code)
        return
    of_live = {"--policy": policy, "--rate": rate, "--mic": mic, "--transcript": transcript, "--trace": trace}
    if lost := [name for name, value in of_live.items() if value]:
        raise RequestError(f"{', '.join(lost)} is of --live, which is not given")
    if not sources:
        raise RequestError("there is nothing to translate: name a sound, a text, or --live", code="missing_parameter")
    model = model or "mini-translate"
    inputs = expand_with_texts(sources, without=out)
    speaks = speak is not None or "wav" in (also or ())
    texts = [given for given in inputs if given.text is not None]
    if texts and source_language is None:
        kind = "a text file" if texts[0].path else "a text, for there is no file of that name"
        raise RequestError(
            f"{_short(texts[0])} is {kind}: say its language, --from LANGUAGE",
            code="missing_parameter",
        )
    if texts and not speaks and (srt or vtt or {*(also or ())} & {"srt", "vtt"}):
        raise RequestError(f"{_short(texts[0])} is a text, which has no times for subtitles: speak it, --speak OUT.wav")
    _check_of_speech(voice, pace, "--speak OUT.wav, or --out F --also wav", speaks=speaks)
    opened = translator_opener(model, device, threads)
    settings: dict[str, Any] = {"to": to, "source_language": source_language, "beams": beams, "max_tokens": max_tokens}
    settings |= {"speak": speaks, "speaker": _speaker(voice), "pace": pace}

    def make(given: Input) -> Made:
        from ossicle.infer.translate import translate as put

        source = given.source()
        sound = Path(source) if isinstance(source, str) and given.text is None else source
        result = put(opened(), sound, **settings)
        segments = [dataclasses.asdict(segment) for segment in result.segments]
        shown = {"text": result.text, "ledger": result.ledger.as_dict(), "segments": segments}
        cut = any(segment.finish == "length" for segment in result.segments)
        return Made(result.text, result.segments, result.ledger, shown, cut, result.audio, _left_out(result.unread))

    write_each(
        inputs,
        make,
        as_json=as_json,
        out=out,
        also=also or (),
        named={".srt": srt, ".vtt": vtt, ".wav": speak},
        run={"command": "translate", **settings},
        model=model,
    )


@app.command()
def speak(
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False)],
    out: Annotated[str, typer.Argument(metavar="OUT.wav", show_default=False)],
    language: Annotated[str, typer.Option(help="That the text is in.", show_default=False)],
    voice: Voice = None,
    pace: Pace = 1.0,
    model: TranslatorModel = "mini-translate",
    device: Device = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make speech that says a text of any length.

    TEXT is a text file F.txt, "-" for standard input, or else the text itself.
    """
    said = _text(text)
    if Path(out).suffix.lower() != ".wav":
        raise RequestError(f"speech goes into a file that ends in .wav, got {out!r}")
    if not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise StorageError(f"the folder of {out!r} is not there: make it first")
    if os.path.isdir(out):
        raise StorageError(f"{out!r} is a folder: name a file")
    opened = translator_opener(model, device, threads)
    from ossicle.audio.io import write_clip
    from ossicle.infer.translate import translate as put

    settings: dict[str, Any] = {"to": language, "source_language": language, "speaker": _speaker(voice), "pace": pace}
    result = put(opened(), said, speak=True, **settings)
    clip = result.audio
    assert clip is not None
    write_clip(clip, out)
    if as_json:
        print_json({"file": out, "text": said, "unread": result.unread, "seconds": round(clip.duration_s, 6)})
    else:
        print(f"  {clip.duration_s:.2f} s in {out}", file=sys.stderr, flush=True)
        print_note(_left_out(result.unread), [])


def _check_of_speech(voice: str | None, pace: float, how: str, *, speaks: bool) -> None:
    """Refuse what is said of speech where none is asked for."""
    for option, is_given in (("--voice", voice is not None), ("--pace", pace != 1.0)):
        if is_given and not speaks:
            raise RequestError(f"{option} is of speech, and none is asked for: {how}")


def _text(argument: str) -> str:
    """The text that an argument stands for.

    Raises:
        DataError: a file that holds none.
        FetchError: there is no such file.
        RequestError: standard input that is no text, the name of a sound or of a folder.
    """
    if argument == STANDARD_INPUT:
        try:
            return standard_input().read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RequestError(f"standard input (-) is no text in UTF-8: {error}") from error
    if is_text_file(argument):
        (given,) = expand_with_texts([argument])
        given.check()
        return str(given.text)
    if is_sound(argument):
        raise RequestError(f"{argument!r} names a sound or a folder, and speak takes a text: translate takes sounds")
    return argument


def _left_out(unread: str) -> str:
    """What is told of characters that the model has no token for."""
    return f"left out, for the model has no token for it: {' '.join(unread)}" if unread else ""


def _speaker(voice: str | None) -> str | int | None:
    """A voice that is a number is one."""
    return int(voice) if voice is not None and voice.isdecimal() else voice


def _short(given: Input) -> str:
    shown = str(given)
    return repr(shown if len(shown) <= 40 else f"{shown[:37]}...")
