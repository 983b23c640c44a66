"""Translation while somebody speaks or types: text as it comes, files at the end.

Knows events and files; does not know how anything is translated. What was heard until an interrupt is
translated to its end, and what files were asked for are written whole; a second interrupt ends at once. Nothing heavy
is imported before it is needed.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ossicle.cli.live_sources import RATE, Stop, microphone, samples_of, stopping, text_of
from ossicle.cli.options import INTERRUPTED, few_threads
from ossicle.cli.output import as_line, print_note
from ossicle.errors import RequestError, StorageError


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        to: language to write.
        policy: by name, or a class of one's own, FILE.py:CLASS; None is the model's best.
        rate: of the samples on standard input, Hz.
        microphone: in place of standard input.
        source_language: of text, which comes in place of samples; None is sound.
        speak: a WAV file for the speech, each phrase where it would be heard.
        speaker, pace: of speech.
        transcript: a text file, a line for each utterance.
        srt, vtt: subtitles.
        trace: an HTML page.
        max_tokens: of a sentence.
        as_json: one event a line.
        threads: of the processor; None is one for a small model.
    """

    to: str
    policy: str | None
    rate: int = RATE
    microphone: bool = False
    source_language: str | None = None
    speak: str | None = None
    speaker: str | int | None = None
    pace: float = 1.0
    transcript: str | None = None
    srt: str | None = None
    vtt: str | None = None
    trace: str | None = None
    max_tokens: int | None = None
    as_json: bool = False
    threads: int | None = None

    def files(self) -> dict[str, str]:
        """Options and the files that they name."""
        named = {
            "--speak": self.speak,
            "--transcript": self.transcript,
            "--srt": self.srt,
            "--vtt": self.vtt,
            "--trace": self.trace,
        }
        return {option: file for option, file in named.items() if file is not None}


@dataclass(frozen=True)
class Line:
    """What was written of one utterance."""

    text: str
    start_s: float
    end_s: float


@dataclass
class Kept:
    """What the files at the end are made of."""

    lines: list[Line] = field(default_factory=list)
    text: str = ""
    start_s: float | None = None
    """Where what is to be a line begins: its first words' part of the sound, then the utterance itself."""
    utterances: list[Any] = field(default_factory=list)
    speech_s: float = 0.0
    """Where the speech that was made ends, in the time of the sound."""


def live(opened: Callable[[], Any], wanted: Wanted) -> int:
    """Translate what comes until it ends or somebody interrupts.

    Args:
        opened: gives the model.
        wanted: see there.

    Returns:
        The exit code: 0, or 130 after an interrupt.

    Raises:
        RequestError: a model that does not hear piece by piece, an unknown policy, a rate out of range, files that are
            not named as what they hold.
        StorageError: a file's folder is not there, or cannot be written to.
        DependencyError: a microphone without the package sounddevice.
    """
    _check(wanted)
    model = opened()
    few_threads(model, wanted.threads)
    with stopping() as stop:
        code = _Live(model, wanted, stop).run()
    if stop.fault is not None:
        raise stop.fault
    return code


class _Live:
    def __init__(self, model: Any, wanted: Wanted, stop: Stop) -> None:
        from ossicle.hub.own import is_own, own_policy
        from ossicle.simul.continuous import Continuous
        from ossicle.simul.named import TEXT_POLICY, best_policy, policy_named
        from ossicle.simul.speech import Uttering
        from ossicle.simul.text import Lines
        from ossicle.simul.trace import Loudness

        self.model, self.wanted, self.stop, self.kept = model, wanted, stop, Kept()
        usual = best_policy(model) if wanted.source_language is None else TEXT_POLICY
        name = usual if wanted.policy is None else wanted.policy
        self.policy, self.loudness = name, Loudness()

        policy = own_policy(name) if is_own(name) else partial(policy_named, name, model)
        voice = None
        if wanted.speak is not None:

            def voice() -> Uttering:
                return Uttering(model, wanted.to, wanted.speaker, pace=wanted.pace)

        options: dict[str, Any] = {"voice": voice, "max_tokens": wanted.max_tokens}
        self.session: Any
        if wanted.source_language is None:
            self.session = Continuous(model, policy, wanted.to, look=self._look, **options)
        else:
            self.session = Lines(model, policy, wanted.source_language, wanted.to, **options)
        self.n_full = 0
        self.spent = 0.0

    def run(self) -> int:
        from ossicle.hub.own import faults_told

        with tempfile.TemporaryFile() as self.spool:
            with _growing(self.wanted.transcript) as self.growing, faults_told():
                for part in self._source():
                    self._heard(part)
                begun = time.perf_counter()
                events = self.session.finish()
                self.spent += time.perf_counter() - begun
                self._events(events)
                self._line_ends()
            self._write()
        self._tell()
        return INTERRUPTED if self.stop.wanted else 0

    def _source(self) -> Iterator[Any]:
        if self.wanted.source_language is not None:
            return text_of(self.stop)
        return microphone(self.stop) if self.wanted.microphone else samples_of(self.wanted.rate, self.stop)

    def _heard(self, part: Any) -> None:
        if self.wanted.trace is not None:
            self.loudness.hear(part)
        begun = time.perf_counter()
        events = self.session.hear(part)
        self.spent += time.perf_counter() - begun
        self._events(events)

    def _events(self, events: Sequence[Any]) -> None:
        from ossicle.simul.stream import Said

        for one in events:
            if isinstance(one, Said):
                self._text(one)
            else:
                self._speech(one)

    def _text(self, one: Any) -> None:
        kept = self.kept
        new = one.text if kept.text else one.text.lstrip()
        if new and kept.start_s is None:
            kept.start_s = one.span_s[0]
        if self.wanted.as_json:
            span = [round(second, 3) for second in one.span_s]
            told = {"event": "text", "text": one.text, "at_s": round(one.at_s, 3), "span_s": span, "ends": one.last}
            self._print(as_line(told) + "\n")
        elif new:
            self._print(new)
        kept.text += new
        if one.last:
            self._line_ends(one.at_s)

    def _line_ends(self, end_s: float | None = None) -> None:
        """An utterance has ended: its text is a line."""
        kept = self.kept
        if kept.text.strip():
            line = Line(kept.text.strip(), kept.start_s or 0.0, self.session.heard_s if end_s is None else end_s)
            kept.lines.append(line)
            if self.growing is not None:
                with _stored(self.wanted.transcript):
                    self.growing.write((line.text + "\n").encode())
                    self.growing.flush()
            if not self.wanted.as_json:
                self._print("\n")
        kept.text, kept.start_s = "", None

    def _speech(self, one: Any) -> None:
        import numpy as np

        start_s = max(self.kept.speech_s, one.at_s)
        gap = round((start_s - self.kept.speech_s) * RATE)
        self.spool.write(np.zeros(gap, np.float32).tobytes())
        self.spool.write(one.samples.astype("<f4").tobytes())
        self.kept.speech_s += (gap + len(one.samples)) / RATE
        if self.wanted.as_json:
            told = {"event": "speech", "text": one.text, "at_s": round(one.at_s, 3), "start_s": round(start_s, 3)}
            self._print(as_line({**told, "seconds": round(len(one.samples) / RATE, 3)}) + "\n")

    def _print(self, text: str) -> None:
        """On standard output; when nobody reads it any more, that ends the session as an interrupt does, unless there
        are files to write."""
        try:
            print(text, end="", flush=True)
        except BrokenPipeError:
            self.stop.wanted |= not self.wanted.files()
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _look(self, one: Any) -> None:
        self.n_full += one.n_full
        self.kept.start_s = one.start_s
        if self.wanted.trace is not None:
            self.kept.utterances.append(one)

    def _write(self) -> None:
        """The files, each whole or not at all, whatever becomes of the others.

        Raises:
            StorageError: one of them cannot be written, the first of those.
        """
        from ossicle.audio.io import write_wav
        from ossicle.evaluate.report import write_page
        from ossicle.infer.subtitles import cues, srt, vtt
        from ossicle.simul.trace import page

        wanted, kept = self.wanted, self.kept
        jobs: list[Callable[[], Any]] = []
        if (name := wanted.srt) is not None:
            jobs.append(partial(write_page, name, srt(cues(kept.lines))))
        if (name := wanted.vtt) is not None:
            jobs.append(partial(write_page, name, vtt(cues(kept.lines))))
        if (name := wanted.speak) is not None:
            jobs.append(partial(write_wav, _blocks(self.spool), RATE, name))
        if (name := wanted.trace) is not None:
            pieces = [self.model.text.pieces(one.ids) for one in kept.utterances]
            title = f"{self.model.name} to {wanted.to}, {self.policy}"
            shown = page(title, kept.utterances, pieces, self.loudness, self.model.encoded_hz)
            jobs.append(partial(write_page, name, shown))
        faults: list[StorageError] = []
        for job in jobs:
            try:
                job()
            except StorageError as error:
                faults.append(error)
        if faults:
            raise faults[0]

    def _tell(self) -> None:
        heard = self.session.heard_s
        if self.wanted.as_json:
            told = {"event": "end", "heard_s": round(heard, 3), "closed_s": round(self.session.closed_s, 3)}
            more = {"utterances": self.session.n_utterances, "work_s": round(self.spent, 3), "policy": self.policy}
            if self.wanted.source_language is not None:
                more["unread"] = self.session.unread
            self._print(as_line({**told, **more, "interrupted": self.stop.wanted}) + "\n")
            return
        sound = self.wanted.source_language is None
        what = _many(len(self.kept.lines), "line")
        if sound:
            what = f"heard {heard:.2f} s · {_many(self.session.n_utterances, 'utterance')}"
        speed = f" · {heard / self.spent:.1f} times as fast as it was said" if sound and min(self.spent, heard) else ""
        where = f"{what} · {self.policy}{speed}"
        print(f"  {where}{' · interrupted' if self.stop.wanted else ''}", file=sys.stderr, flush=True)
        if n_full := self.n_full if sound else self.session.n_full:
            print_note(f"{n_full} sentences were cut off at so many tokens as may be written (--max-tokens)", [])
        if not sound and (unread := self.session.unread):
            print_note(f"left out, for {self.model.name} has no token for them: {' '.join(unread)}", [])


def _check(wanted: Wanted) -> None:
    """Refuse what cannot be before anything is loaded."""
    if not 4_000 <= wanted.rate <= 384_000:
        raise RequestError(f"--rate is that of the samples on standard input, 4000 to 384000 Hz: got {wanted.rate}")
    endings = {
        "--speak": (".wav",),
        "--transcript": (".txt",),
        "--srt": (".srt",),
        "--vtt": (".vtt",),
        "--trace": (".html", ".htm"),
    }
    for option, file in wanted.files().items():
        if Path(file).suffix.lower() not in endings[option]:
            raise RequestError(f"{option} names a file that ends in {' or '.join(endings[option])}, got {file!r}")
        if os.path.isdir(file):
            raise StorageError(f"{file!r} is a folder: name a file")
        if not os.path.isdir(folder := os.path.dirname(os.path.abspath(file))):
            raise StorageError(f"the folder of {file!r} is not there: make it first")
        if not os.access(folder, os.W_OK):
            raise StorageError(f"the folder of {file!r} cannot be written to")
        with _stored(file), suppress(FileNotFoundError):
            os.lstat(file + ".partial")  # of a name that is too long this says so


@contextmanager
def _growing(transcript: str | None) -> Iterator[BinaryIO | None]:
    """A transcript that grows line by line in a file beside its own, which it becomes at the end; what is left of one
    that was killed or failed stays under that name, unless it is nothing.

    Raises:
        StorageError: it cannot be written.
    """
    if transcript is None:
        yield None
        return
    partial = Path(transcript + ".partial")
    with _stored(transcript):
        file = open(partial, "wb")  # noqa: SIM115 - closed below, and what it raises then is told
    try:
        yield file
    except BaseException:
        if not file.tell():
            partial.unlink()
        raise
    finally:
        with _stored(transcript):
            file.close()
    with _stored(transcript):
        partial.replace(transcript)


@contextmanager
def _stored(file: str | None) -> Iterator[None]:
    """What the system says against a file is told with its name.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}") from error


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _blocks(spool: BinaryIO) -> Iterator[Any]:
    import numpy as np

    spool.seek(0)
    while data := spool.read(4 * 65_536):
        yield np.frombuffer(data, "<f4")
