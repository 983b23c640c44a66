"""Ask a model about clips, files and recordings of any length, whole or piece by piece.

Knows what can be asked about and what to do with audio that is longer than the model reads at once; does not know how
an answer is made. Nothing is cut in silence: audio that does not fit is an error that names the ways out, or one of
them was asked for, and the answer tells what was done.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from numbers import Integral

import numpy as np

from ossicle.audio.clip import MIN_RATE, Clip
from ossicle.errors import RequestError
from ossicle.infer.generate import Sampling
from ossicle.infer.ledger import Ledger
from ossicle.infer.lower import lowered, n_native
from ossicle.infer.memory import Memory
from ossicle.infer.reading import Sound, read
from ossicle.infer.recording import Recording, find, listen
from ossicle.infer.requests import (
    Answer,
    Delta,
    Request,
    check_memory,
    clips_in,
    conversation,
    run_batch,
    text_tokens,
)
from ossicle.models.audio_lm import AudioLM, Heard
from ossicle.plan.budget import check
from ossicle.prompt.chat import Message
from ossicle.prompt.tags import Tags

WAYS = ("refuse", "lower", "retrieve")
PASSAGES = 3


def ask(
    model: AudioLM,
    clips: Sound | Recording | Sequence[Sound],
    question: str | Tags | None = None,
    *,
    history: Sequence[Message] = (),
    long: str = "refuse",
    about: str | None = None,
    passages: int = PASSAGES,
    max_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
    seed: int = 0,
    memory: Memory | None = None,
) -> Answer:
    """Ask about one or more clips.

    Args:
        model: from `load`.
        clips: a clip, a path or encoded bytes, or several of them; or a recording that `listen` heard.
        question: None means voice chat: what is said in the audio is the question; `Tags` ask a model that was trained
            with them.
        history: earlier turns.
        long: what to do with a source that is longer than the model reads at once: "refuse" it; "lower" the rate of its
            audio tokens until all of it fits, down to `ossicle.infer.lower.LEAST_HZ`; "retrieve" the passages whose
            words fit the question, and read these alone. A recording is always retrieved from.
        about: of "retrieve": the words to look for; by default the question.
        passages: of "retrieve": how many are read at most.
        max_tokens: most tokens to write; with the prompt they have to fit the model's context.
        temperature: 0 is greedy, up to 2.
        top_p: nucleus, in (0, 1].
        stop: strings that end the answer.
        seed: of this answer alone.
        memory: of this model; audio that it holds is not heard again, nor a beginning of the prompt read again.

    Raises:
        ContextError: audio, text and ``max_tokens`` together need more than the model reads; nothing is cut.
        RequestError: an argument is out of range, a recording is another model's, there is neither clip nor question,
            or no passage has a word of what is looked for.
        AudioInputError: a clip cannot be read.
    """
    sampling = Sampling(max_tokens, temperature, top_p, stop, seed)
    told = _Long(long, about, passages)
    *_, last = _deltas(model, clips, question, history, sampling, told, memory)
    assert last.answer is not None
    return last.answer


def stream(
    model: AudioLM,
    clips: Sound | Recording | Sequence[Sound],
    question: str | Tags | None = None,
    *,
    history: Sequence[Message] = (),
    long: str = "refuse",
    about: str | None = None,
    passages: int = PASSAGES,
    max_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
    seed: int = 0,
    memory: Memory | None = None,
) -> Iterator[Delta]:
    """The same as `ask`, piece by piece; the last delta holds the whole answer.

    Bad arguments and unreadable clips raise at once, a prompt over the context when the first piece is asked for.
    """
    sampling = Sampling(max_tokens, temperature, top_p, stop, seed)
    return _deltas(model, clips, question, history, sampling, _Long(long, about, passages), memory)


@dataclass(frozen=True)
class _Long:
    """What was asked for where the audio is long."""

    way: str
    about: str | None
    passages: int

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise RequestError(f"long is {self.way!r}, allowed are {', '.join(WAYS)}")
        about: object = self.about
        passages: object = self.passages
        if about is not None and not (isinstance(about, str) and about.strip()):
            raise RequestError(f"about is {about!r}, wanted are words to look for")
        if not isinstance(passages, Integral):
            raise RequestError(f"passages is {passages!r}, wanted is a whole number")
        if self.passages < 1:
            raise RequestError(f"passages is {self.passages}, allowed is 1 or more")


@dataclass(frozen=True, eq=False)
class _Ready:
    """A request, what was already heard for it, and what its answer has to tell.

    Args:
        request, known: as of `run_batch`.
        passages, note: of the answer.
        lowered: a source that is read at a lower rate.
        whole: the ledger of a recording of which only some is read.
        read: what of it is read.
        before: what else is read: clips of the history.
    """

    request: Request
    known: Mapping[int, Heard]
    passages: tuple[tuple[float, float], ...] = ()
    note: str = ""
    lowered: Heard | None = None
    whole: Ledger | None = None
    read: Sequence[Heard] = ()
    before: Sequence[Heard] = ()


def _deltas(
    model: AudioLM,
    clips: Sound | Recording | Sequence[Sound],
    question: str | Tags | None,
    history: Sequence[Message],
    sampling: Sampling,
    told: _Long,
    memory: Memory | None,
) -> Iterator[Delta]:
    began = time.perf_counter()
    check_memory(model, memory)
    ready = _ready(model, clips, question, history, sampling, told, memory)
    before_s = time.perf_counter() - began

    def deltas() -> Iterator[Delta]:
        for (delta,) in run_batch(model, [ready.request], memory, ready.known):
            if delta.answer is not None:
                yield Delta(delta.text, _told(delta.answer, ready, before_s))
            elif delta.text:
                yield delta

    return deltas()


def _told(answer: Answer, ready: _Ready, before_s: float) -> Answer:
    """The answer with what was heard for it beforehand."""
    ledger = answer.ledger
    ledger = replace(ledger, time_to_first_token_s=ledger.time_to_first_token_s + before_s)
    if ready.whole is not None:
        whole, before = ready.whole, ready.before
        ledger = replace(
            ledger,
            seconds_given=fsum([whole.seconds_given, *(one.seconds_given for one in before)]),
            seconds_heard=fsum([whole.seconds_heard, *(one.seconds_heard for one in before)]),
            tail_s=fsum([whole.tail_s, *(one.tail_s for one in before)]),
            frames=whole.frames + sum(one.n_frames for one in before),
            seconds_dropped=max(whole.seconds_heard - fsum(one.seconds_heard for one in ready.read), 0.0),
        )
    if ready.lowered is not None:
        ledger = replace(ledger, seconds_merged=ready.lowered.seconds_heard)
    return replace(answer, ledger=ledger, passages=ready.passages, note=ready.note)


def _ready(
    model: AudioLM,
    clips: Sound | Recording | Sequence[Sound],
    question: str | Tags | None,
    history: Sequence[Message],
    sampling: Sampling,
    told: _Long,
    memory: Memory | None,
) -> _Ready:
    """Whatever was handed in, read, heard where it is long, and put into words."""
    if isinstance(clips, Recording):
        return _retrieved(model, clips, question, history, sampling, told, memory)
    if told.about is not None and told.way != "retrieve":
        raise RequestError(f"about is for long='retrieve' and for recordings, got long={told.way!r}")
    bytes_like = str | bytes | bytearray | memoryview
    several = list(clips) if isinstance(clips, Sequence) and not isinstance(clips, bytes_like) else [clips]
    probe = Request(conversation([_instant() for _ in several], question, history), sampling)
    if told.way == "refuse":
        read_clips = [one if isinstance(one, Clip) else read(model, one, probe) for one in several]
        return _Ready(Request(conversation(read_clips, question, history), sampling), {})
    if len(several) != 1:
        raise RequestError(f"long={told.way!r} is for one source, got {len(several)}")
    (source,) = several
    if hasattr(source, "read") and not hasattr(source, "encoding"):  # an open file: it is read twice
        source = source.read()
    before = _before(model, history, memory)
    n_before = sum(len(before[id(clip)].values) for clip in clips_in(history))
    n_other = text_tokens(model, probe.messages) + n_before
    check(n_other, 0, 0.0, sampling.max_tokens, model.context, model.name)  # no lower rate makes room for these
    room = model.context - sampling.max_tokens - n_other
    if n_native(model, source) <= room:
        clip = source if isinstance(source, Clip) else read(model, source, probe)
        (heard,) = _hear(model, [clip], memory)
        if len(heard.values) <= room:
            return _Ready(Request(conversation([clip], question, history), sampling), {**before, id(clip): heard})
    if told.way == "retrieve":
        _words(question, told)  # before an hour is listened to
        return _retrieved(model, listen(model, source), question, history, sampling, told, memory)
    heard, note = lowered(model, source, room)
    known = {**before, id(probe.messages[-1].content[0]): heard}
    return _Ready(probe, known, note=note, lowered=heard if note else None)


def _hear(model: AudioLM, clips: Sequence[Clip], memory: Memory | None) -> list[Heard]:
    return model.hear(clips) if memory is None else memory.hear(clips)


def _before(model: AudioLM, history: Sequence[Message], memory: Memory | None) -> dict[int, Heard]:
    """The clips of earlier turns as they are heard, by their ``id``."""
    clips = clips_in(history)
    return dict(zip(map(id, clips), _hear(model, clips, memory), strict=True)) if clips else {}


def _words(question: str | Tags | None, told: _Long) -> str:
    """What a recording is looked through for.

    Raises:
        RequestError: nothing.
    """
    about = told.about or (question if isinstance(question, str) else None)
    if not about:
        raise RequestError("a long recording is looked through for words: give a question or `about`")
    return about


def _retrieved(
    model: AudioLM,
    recording: Recording,
    question: str | Tags | None,
    history: Sequence[Message],
    sampling: Sampling,
    told: _Long,
    memory: Memory | None,
) -> _Ready:
    """The passages of a recording that fit what is asked, as many as the context holds, in the order of time."""
    about = _words(question, told)
    if recording.model.llm is not model.llm:
        raise RequestError(f"the recording was heard by another model than {model.name}: let this one listen to it")
    conversation([_instant()], question, history)  # what is wrong with these shows before anything is heard
    earlier = _before(model, history, memory)
    before = [earlier[id(clip)] for clip in clips_in(history)]
    best = find(recording, about, told.passages)
    while True:
        clips = [_instant() for _ in best]
        request = Request(conversation(clips, question, history), sampling)
        n_audio = sum(len(one.values) for one in (*before, *(one.heard for one in best)))
        if len(best) == 1 or text_tokens(model, request.messages) + n_audio + sampling.max_tokens <= model.context:
            break
        best = best[:-1]  # the one that fits the words least
    best = sorted(best, key=lambda one: one.start_s)
    spans = tuple((one.start_s, one.end_s) for one in best)
    note = f"read {len(best)} of {len(recording.passages)} passages, those that fit {about!r} best"
    heard = [one.heard for one in best]
    known = {**earlier, **{id(clip): one for clip, one in zip(clips, heard, strict=True)}}
    return _Ready(request, known, spans, note, whole=recording.ledger, read=heard, before=before)


def _instant() -> Clip:
    """A stand-in for a clip, which is known by its identity."""
    return Clip(np.zeros(1, np.float32), MIN_RATE)
