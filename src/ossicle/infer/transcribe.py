"""Speech to text at any length: windows that together hold every sample once, each asked what is said in it.

Knows windows and joins texts; does not know how audio is cut or heard. A source is read as it goes, so that memory does
not grow with its length; windows are written in groups, because several cost little more than one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_blocks
from ossicle.audio.windows import split_blocks
from ossicle.data.manifest import TRANSCRIBE
from ossicle.errors import RequestError
from ossicle.infer.ask import Answer, Request, Sound, ask_batch, conversation, refuse_array
from ossicle.infer.generate import Sampling
from ossicle.infer.ledger import Ledger, summed
from ossicle.models.audio_lm import AudioLM

WINDOW_S = 8.0
GROUP = 8
LANGUAGES = ("en",)


@dataclass(frozen=True)
class Segment:
    """What is said from one second to another; ``finish`` as in an `Answer`: "length" is a text that was cut off."""

    start_s: float
    end_s: float
    text: str
    finish: str = "end"


@dataclass(frozen=True)
class Transcript:
    """What is said in a source.

    Args:
        text: of all windows, joined.
        segments: one a window, without a hole from the first sample to the last; text may be empty.
        ledger: counts and seconds over all windows; the times are those of the whole call.
    """

    text: str
    segments: tuple[Segment, ...]
    ledger: Ledger


def transcribe(
    model: AudioLM,
    source: Sound,
    *,
    language: str | None = None,
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
) -> Transcript:
    """Write down what is said.

    Args:
        model: from `load`.
        source: a clip, a path or encoded bytes, of any length.
        language: of the speech; None leaves it to the model.
        max_tokens: most tokens to write for one window.
        temperature: 0 is greedy, up to 2.
        seed: of every window.

    Raises:
        RequestError: an argument is out of range; ``unsupported_language`` where the model does not know it.
        AudioInputError: the source cannot be read.
        ContextError: one window and ``max_tokens`` together need more than the model reads.
    """
    if language is not None and language not in LANGUAGES:
        raise RequestError(
            f"the language {language!r} is not supported, allowed are {', '.join(LANGUAGES)}",
            code="unsupported_language",
        )
    sampling = Sampling(max_tokens, temperature, seed=seed)
    began = time.perf_counter()
    segments: list[Segment] = []
    answers: list[Answer] = []
    refuse_array(source)
    blocks = [source] if isinstance(source, Clip) else read_blocks(source, rate=model.encoder.sample_rate)
    for windows in _groups(split_blocks(blocks, WINDOW_S)):
        requests = [Request(conversation([window], TRANSCRIBE), sampling) for window in windows]
        group = ask_batch(model, requests)
        answers += group
        segments += [
            Segment(window.start_s, window.end_s, answer.text.strip(), answer.finish)
            for window, answer in zip(windows, group, strict=True)
        ]
    text = " ".join(segment.text for segment in segments if segment.text)
    n_written = sum(answer.ledger.text_tokens for answer in answers)
    ledger = summed(
        [answer.ledger for answer in answers],
        time_to_first_token_s=answers[0].ledger.time_to_first_token_s,
        tokens_per_s=n_written / (time.perf_counter() - began),
    )
    return Transcript(text, tuple(segments), ledger)


def _groups(windows: Iterator[Clip]) -> Iterator[list[Clip]]:
    while group := list(islice(windows, GROUP)):
        yield group
