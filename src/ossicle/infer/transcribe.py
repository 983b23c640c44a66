"""Speech to text at any length: pieces that together hold every sample once, each asked what is said in it.

Knows pieces and joins texts; does not know where audio is cut, nor how it is heard. A source is read as it goes, so
that memory does not grow with its length; pieces are written in groups, because several cost little more than one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_blocks
from ossicle.audio.pauses import Piece, pieces
from ossicle.data.manifest import TRANSCRIBE
from ossicle.errors import AudioInputError, RequestError
from ossicle.infer.generate import Sampling
from ossicle.infer.ledger import Ledger, heard_only, summed
from ossicle.infer.memory import Memory
from ossicle.infer.reading import Sound, refuse_array
from ossicle.infer.requests import Answer, Request, ask_batch, conversation
from ossicle.models.audio_lm import AudioLM, Heard

WINDOW_S = 8.0
GROUP = 8
LANGUAGES = ("en",)
KIND, SPEECH = "is there speech, music, another sound or silence?", "speech"
KIND_TOKENS = 16


@dataclass(frozen=True)
class Segment:
    """What is said from one second to another.

    Args:
        start_s, end_s: seconds of the source.
        text: empty where nothing is said.
        finish: as in an `Answer`, "length" being a text that was cut off; or why nothing was written: "quiet" (no
            moment is over the floor of the recording) or "no_speech" (the model says so).
    """

    start_s: float
    end_s: float
    text: str
    finish: str = "end"


@dataclass(frozen=True)
class Transcript:
    """What is said in a source.

    Args:
        text: of all segments, joined.
        segments: one a piece, without a hole from the first sample to the last; text may be empty.
        ledger: counts and seconds over all pieces; the times are those of the whole call.
    """

    text: str
    segments: tuple[Segment, ...]
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class Written:
    """A piece that was heard: what is said in it, what that cost, and its audio tokens."""

    segment: Segment
    ledger: Ledger
    heard: Heard


def transcribe(
    model: AudioLM,
    source: Sound,
    *,
    language: str | None = None,
    speech_only: bool = False,
    max_tokens: int = 256,
    temperature: float = 0.0,
    seed: int = 0,
) -> Transcript:
    """Write down what is said.

    The source is cut in its pauses (`ossicle.audio.pauses`); the middle of a long pause is heard, and nothing is
    written for it.

    Args:
        model: from `load`.
        source: a clip, a path or encoded bytes, of any length.
        language: of the speech; None leaves it to the model.
        speech_only: ask the model of each piece whether it is speech, and write nothing for what is not; for models
            that put a word to every sound.
        max_tokens: most tokens to write for one piece.
        temperature: 0 is greedy, up to 2.
        seed: of every piece.

    Raises:
        RequestError: an argument is out of range; ``unsupported_language`` where the model does not know it.
        AudioInputError: the source cannot be read.
        ContextError: one piece and ``max_tokens`` together need more than the model reads.
    """
    if language is not None and language not in LANGUAGES:
        raise RequestError(
            f"the language {language!r} is not supported, allowed are {', '.join(LANGUAGES)}",
            code="unsupported_language",
        )
    sampling = Sampling(max_tokens, temperature, seed=seed)
    began = time.perf_counter()
    found: list[tuple[Segment, Ledger]] = []  # not what was heard: memory would grow
    first_s = 0.0
    for group in groups(source, rate=model.encoder.sample_rate):
        before_s = time.perf_counter() - began
        several = written(model, group, sampling, speech_only=speech_only)
        firsts = [one.ledger.time_to_first_token_s for one in several if one.ledger.text_tokens]
        first_s = first_s or (before_s + min(firsts) if firsts else 0.0)
        found += [(one.segment, one.ledger) for one in several]
    segments, ledgers = tuple(segment for segment, _ in found), [ledger for _, ledger in found]
    n_written = sum(ledger.text_tokens for ledger in ledgers)
    ledger = summed(
        ledgers,
        time_to_first_token_s=first_s,
        tokens_per_s=n_written / (time.perf_counter() - began),
    )
    return Transcript(" ".join(segment.text for segment in segments if segment.text), segments, ledger)


def groups(source: Sound, *, rate: int, window_s: float = WINDOW_S) -> Iterator[list[Piece]]:
    """The pieces of a source as it is read, some at a time.

    Args:
        source: a clip, which keeps its rate, or what is read at ``rate``.
        rate: samples per second.
        window_s: longest piece, seconds.

    Raises:
        RequestError: an array, which says nothing of its rate.
        AudioInputError: the source cannot be read.
    """
    refuse_array(source)
    if isinstance(source, Clip) and source.n_samples == 0:
        raise AudioInputError("the clip holds no samples", code="audio_empty")
    blocks = [source] if isinstance(source, Clip) else read_blocks(source, rate=rate)
    several = pieces(blocks, window_s)
    while group := list(islice(several, GROUP)):
        yield group


def written(model: AudioLM, group: Sequence[Piece], sampling: Sampling, *, speech_only: bool = False) -> list[Written]:
    """Hear each piece of a group once, and write down what is said in it.

    Raises:
        ContextError: one piece and the answer together need more than the model reads.
    """
    began = time.perf_counter()
    memory = Memory(model)
    heard = memory.hear([piece.clip for piece in group])
    heard_s = time.perf_counter() - began
    loud = [i for i, piece in enumerate(group) if not piece.quiet]
    kinds: dict[int, Answer] = {}
    if speech_only:
        asked = [Request(conversation([group[i].clip], KIND), Sampling(KIND_TOKENS)) for i in loud]
        kinds = dict(zip(loud, _later(ask_batch(model, asked, memory=memory), heard_s), strict=True))
    spoken = [i for i in loud if i not in kinds or SPEECH in kinds[i].text.lower()]
    requests = [Request(conversation([group[i].clip], TRANSCRIBE), sampling) for i in spoken]
    before_s = time.perf_counter() - began
    answers = dict(zip(spoken, _later(ask_batch(model, requests, memory=memory), before_s), strict=True))
    found = []
    for i, (piece, one) in enumerate(zip(group, heard, strict=True)):
        span = (piece.clip.start_s, piece.clip.end_s)
        if i in answers:
            ledger, more = answers[i].ledger, kinds[i].ledger.text_tokens if i in kinds else 0
            segment = Segment(*span, answers[i].text.strip(), answers[i].finish)
            found.append(Written(segment, replace(ledger, text_tokens=ledger.text_tokens + more), one))
        elif i in kinds:
            found.append(Written(Segment(*span, "", "no_speech"), kinds[i].ledger, one))
        else:
            found.append(Written(Segment(*span, "", "quiet"), heard_only(one), one))
    return found


def _later(answers: Sequence[Answer], by_s: float) -> list[Answer]:
    """Answers whose call had begun earlier: what came before counts until their first tokens."""
    return [
        replace(one, ledger=replace(one.ledger, time_to_first_token_s=one.ledger.time_to_first_token_s + by_s))
        for one in answers
    ]
