"""Where a live translation takes its source from: raw samples or text on standard input, or a microphone.

Knows standard input and interrupts; does not know what becomes of it. Nothing heavy is imported before it is needed.
"""

import codecs
import os
import queue
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ossicle.cli.options import standard_input
from ossicle.cli.output import print_note
from ossicle.errors import DependencyError, RequestError

RATE = 16_000
BLOCK_S = 0.08
"""So much sound is handed on at once."""
WAIT_S = 0.2
"""How often it is looked whether somebody wants to stop."""
MIC_S = 60.0
"""So much of a microphone's sound waits at most."""
HEAD = 4
FILES = {
    b"RIFF": "a WAV file",
    b"FORM": "an AIFF file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    **{bytes((*b"ID3", version)): "an MP3 file" for version in (2, 3, 4)},
}
"""What begins so is no raw samples."""


class Stop:
    """Whether somebody wants to stop, and what was wrong with the source, to be told when all else is done."""

    def __init__(self) -> None:
        self.wanted = False
        self.fault: RequestError | None = None


@contextmanager
def stopping() -> Iterator[Stop]:
    """The first interrupt asks to stop, the second ends at once."""
    stop = Stop()

    def asked(number: int, frame: FrameType | None) -> None:
        if stop.wanted:
            raise KeyboardInterrupt
        stop.wanted = True

    before = {one: signal.signal(one, asked) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def samples_of(rate: int, stop: Stop) -> Iterator[Any]:
    """Samples of standard input, (S,) float32 at 16 kHz, as soon as they are there.

    An end within a sample is a fault of ``stop``.

    Raises:
        RequestError: it is closed, is a terminal, or begins as the file of a format does.
    """
    import numpy as np
    import soxr

    from ossicle.audio.pcm import pcm_to_float

    number = standard_input().fileno()
    if os.isatty(number):
        raise RequestError(
            "standard input is a terminal, wanted are raw samples: hand them on by a pipe, take --mic, or give --from "
            "for text"
        )
    resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    size, left, begun = 2 * max(1, round(BLOCK_S * rate)), b"", False
    while not stop.wanted:
        if not select.select([number], [], [], WAIT_S)[0]:
            continue
        data = os.read(number, size - len(left))
        left += data
        if not begun and data and len(left) < HEAD:
            continue
        if not begun and left[:HEAD] in FILES:
            raise RequestError(
                f"standard input is {FILES[left[:HEAD]]}, wanted are raw samples of 16 bits, one channel: "
                f"ffmpeg -v error -i FILE -f s16le -ar {rate} -ac 1 - | ossicle translate --live .."
            )
        begun, whole = True, len(left) // 2 * 2
        if whole:
            samples, left = pcm_to_float(left[:whole], "pcm_s16le"), left[whole:]
            yield samples if resampler is None else resampler.resample_chunk(samples)
        if not data:
            break
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if left and not stop.wanted:
        stop.fault = RequestError(
            "standard input ends within a sample of 16 bits: it holds raw samples, pcm_s16le, one channel; all before "
            "that was translated"
        )


def microphone(stop: Stop) -> Iterator[Any]:
    """Samples of the microphone; where the machine is too slow for them, what is lost is told and is silence.

    Raises:
        DependencyError: the package sounddevice is not installed.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise DependencyError("a microphone needs sounddevice and PortAudio: pip install 'ossicle[mic]'") from error
    import numpy as np

    size = round(BLOCK_S * RATE)
    waiting: queue.Queue[Any] = queue.Queue(maxsize=round(MIC_S / BLOCK_S))
    lost = 0

    def come(block: Any, n: int, when: Any, status: Any) -> None:
        nonlocal lost
        try:
            waiting.put_nowait((lost, block[:, 0].copy()))
            lost = 0
        except queue.Full:
            lost += n

    def waited() -> Iterator[Any]:
        """What waits, and what of it was lost."""
        while True:
            try:
                before, block = waiting.get_nowait() if stop.wanted else waiting.get(timeout=WAIT_S)
            except queue.Empty:
                if stop.wanted:
                    return
                continue
            if before:
                print_note(f"{before / RATE:.1f} s of the microphone were lost: this machine is too slow for it", [])
                yield np.zeros(before, np.float32)
            yield block

    with sounddevice.InputStream(RATE, size, channels=1, dtype="float32", callback=come):
        yield from waited()
    yield from waited()  # what came until it was closed


def text_of(stop: Stop) -> Iterator[str]:
    """Text of standard input, as soon as it is there.

    What is not UTF-8 ends it, and is a fault of ``stop``.

    Raises:
        RequestError: it is closed.
    """
    number, decoder, done = standard_input().fileno(), codecs.getincrementaldecoder("utf-8-sig")(), 0
    while not stop.wanted:
        if not select.select([number], [], [], WAIT_S)[0]:
            continue
        data = os.read(number, 4096)
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            at = done + len(data) - len(error.object) + error.start
            stop.fault = RequestError(
                f"standard input is no text in UTF-8 from byte {at} on ({error.reason}); all before that was translated"
            )
            yield error.object[: error.start].decode("utf-8-sig")
            return
        done += len(data)
        yield text
        if not data:
            return
