"""Ask a model about clips: hear, render, check the context, generate, and keep the ledger.

Knows the order of one clip's way through the house; does not know how any step works, nor what is inside a file.
One request, a stream and a batch are the same code: a stream is a batch of one that is read as it comes.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from ossicle.audio.clip import MIN_RATE, Clip
from ossicle.audio.io import read_blocks
from ossicle.audio.lengths import resampled_samples
from ossicle.errors import RequestError
from ossicle.infer.generate import Sampling, Step, generate
from ossicle.infer.ledger import Ledger
from ossicle.infer.memory import Memory
from ossicle.models.audio_lm import AudioLM, Counts, Heard
from ossicle.plan.budget import check
from ossicle.prompt.chat import Message, Prompt, render
from ossicle.prompt.tags import Tags

Sound = Clip | str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A clip, or anything with its own sample rate that `audio.io` reads."""


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Args:
        text: the answer, without the end-of-turn token and without a stop string.
        ledger: what was given, heard and spent.
        finish: "end" (the model ended its turn), "stop" (a stop string) or "length" (``max_tokens`` was reached).
    """

    text: str
    ledger: Ledger
    finish: str


@dataclass(frozen=True)
class Delta:
    """A piece of an answer as it is written.

    Args:
        text: whole characters; what the pieces hold together is the answer.
        answer: None until the last piece, which brings the whole answer with its ledger.
    """

    text: str
    answer: Answer | None = None


@dataclass(frozen=True)
class Request:
    """One conversation of a batch.

    Args:
        messages: the turns; the last is the user's.
        sampling: how the answer is drawn.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)


def conversation(
    clips: Sequence[Clip], question: str | Tags | None, history: Sequence[Message] = ()
) -> tuple[Message, ...]:
    """History and one more turn of the user: the clips, then the question; without one it is voice chat.

    Raises:
        RequestError: ``missing_parameter`` where the turn would be empty.
    """
    if not isinstance(history, Sequence) or not all(isinstance(turn, Message) for turn in history):
        raise RequestError("history holds Message objects, such as Message('user', (clip, 'What is it?'))")
    content: tuple[Clip | str | Tags, ...] = (*clips, question) if question else tuple(clips)
    if not content:
        raise RequestError("a turn needs a clip, a question or both", code="missing_parameter")
    return (*history, Message("user", content))


def ask(
    model: AudioLM,
    clips: Sound | Sequence[Sound],
    question: str | Tags | None = None,
    *,
    history: Sequence[Message] = (),
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
        clips: a clip, a path or encoded bytes, or several of them.
        question: None means voice chat: what is said in the audio is the question; `Tags` ask a model that was trained
            with them.
        history: earlier turns.
        max_tokens: most tokens to write; with the prompt they have to fit the model's context.
        temperature: 0 is greedy, up to 2.
        top_p: nucleus, in (0, 1].
        stop: strings that end the answer.
        seed: of this answer alone.
        memory: of this model; audio that it holds is not heard again, nor a beginning of the prompt read again.

    Raises:
        ContextError: audio, text and ``max_tokens`` together need more than the model reads; nothing is cut.
        RequestError: an argument is out of range, or there is neither clip nor question.
        AudioInputError: a clip cannot be read.
    """
    sampling = Sampling(max_tokens, temperature, top_p, stop, seed)
    return ask_batch(model, [_request(model, clips, question, history, sampling)], memory=memory)[0]


def stream(
    model: AudioLM,
    clips: Sound | Sequence[Sound],
    question: str | Tags | None = None,
    *,
    history: Sequence[Message] = (),
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
    request = _request(model, clips, question, history, sampling)
    _check_memory(model, memory)
    return (deltas[0] for deltas in _run(model, [request], memory) if deltas[0].text or deltas[0].answer)


def ask_batch(model: AudioLM, requests: Sequence[Request], *, memory: Memory | None = None) -> list[Answer]:
    """Answer several requests together; each answer is what it would be alone.

    Raises:
        As `ask`; one bad request fails the batch before anything is generated.
    """
    _check_memory(model, memory)
    answers: list[Answer | None] = [None] * len(requests)
    for deltas in _run(model, requests, memory):
        for i, delta in enumerate(deltas):
            answers[i] = answers[i] or delta.answer
    return [answer for answer in answers if answer is not None]


def ask_all(model: AudioLM, requests: Sequence[Request], *, batch: int = 8) -> list[Answer]:
    """Answer any number of requests, in batches of like length, so that little of a batch is padding.

    Args:
        requests: in any order; the answers come in the same.
        batch: requests that are answered together.

    Raises:
        RequestError: ``batch`` below 1; otherwise as `ask_batch`.
    """
    if batch < 1:
        raise RequestError(f"batch is {batch}, allowed is 1 or more")
    seconds = [sum(clip.duration_s for clip in clips_in(request.messages)) for request in requests]
    order = sorted(range(len(requests)), key=seconds.__getitem__)
    answers: dict[int, Answer] = {}
    for at in range(0, len(order), batch):
        group = order[at : at + batch]
        answers.update(zip(group, ask_batch(model, [requests[i] for i in group]), strict=True))
    return [answers[i] for i in range(len(requests))]


def _check_memory(model: AudioLM, memory: Memory | None) -> None:
    if memory is not None and memory.model is not model:
        raise RequestError(f"the memory is of another model than {model.name}: each model needs its own")


def _request(
    model: AudioLM,
    clips: Sound | Sequence[Sound],
    question: str | Tags | None,
    history: Sequence[Message],
    sampling: Sampling,
) -> Request:
    """Whatever was handed in, read and put into words."""
    bytes_like = str | bytes | bytearray | memoryview
    several = clips if isinstance(clips, Sequence) and not isinstance(clips, bytes_like) else [clips]
    probe = Request(conversation([_INSTANT for _ in several], question, history), sampling)
    read = [one if isinstance(one, Clip) else _read(model, one, probe) for one in several]
    return Request(conversation(read, question, history), sampling)


_INSTANT = Clip(np.zeros(1, np.float32), MIN_RATE)


def _text_tokens(model: AudioLM, messages: Sequence[Message]) -> int:
    """Ids of a prompt beside its audio tokens."""
    n_clips = len(clips_in(messages))
    prompt = render(messages, [1] * n_clips, model.tokenizer, pad_id=model.pad_id, clip_text=model.clip_text)
    return len(prompt.ids) - n_clips


def refuse_array(source: object) -> None:
    """An array says nothing of its rate, and no other argument of a call does.

    Raises:
        RequestError: ``missing_parameter``.
    """
    if isinstance(source, np.ndarray):
        raise RequestError(
            "an array says nothing of its sample rate: give a clip, as read_clip(array, rate=...) makes it",
            code="missing_parameter",
        )


def _read(model: AudioLM, source: Sound, asked: Request) -> Clip:
    """A source at the model's rate; reading stops where it is certain that the model cannot hear it whole.

    Args:
        asked: the request with stand-ins for its clips.

    Raises:
        ContextError: so much audio alone is over the context.
    """
    assert not isinstance(source, Clip)
    refuse_array(source)
    parts, seconds, n_samples, bridge = [], 0.0, 0, model.bridge
    for block in read_blocks(source, rate=model.encoder.sample_rate):
        parts.append(block.samples)
        seconds += block.duration_s
        n_samples += block.n_samples
        if not (isinstance(bridge, Counts) and bridge.fixed_rate):
            continue
        n_audio = bridge.n_tokens(model.encoder.n_frames(n_samples))
        if n_audio > model.context:
            need = n_audio + _text_tokens(model, asked.messages)
            n_answer = asked.sampling.max_tokens
            check(need, n_audio, seconds, n_answer, model.context, model.name, more_audio=True)
    return Clip(np.concatenate(parts), model.encoder.sample_rate)


class _Account:
    """What one request of a batch has written so far, and when."""

    def __init__(self, heard: Sequence[Heard], began: float) -> None:
        self.heard, self.began = heard, began
        self.text = ""
        self.n_ids = 0
        self.first = self.last = began

    def enter(self, step: Step, now: float) -> Delta:
        """Book one step; the step that ends the sequence yields the answer."""
        if not step.ids:
            return Delta("")
        self.first = now if self.n_ids == 0 else self.first
        self.last = now
        self.n_ids += len(step.ids)
        self.text += step.text
        finish = step.finish
        return Delta(step.text, None if finish is None else Answer(self.text, self.ledger(), finish))

    def ledger(self) -> Ledger:
        writing_s, n = (
            (self.last - self.first, self.n_ids - 1) if self.n_ids > 1 else (self.last - self.began, self.n_ids)
        )
        return Ledger(
            seconds_given=sum(one.seconds_given for one in self.heard),
            seconds_heard=sum(one.seconds_heard for one in self.heard),
            tail_s=sum(one.tail_s for one in self.heard),
            frames=sum(one.n_frames for one in self.heard),
            audio_tokens=sum(len(one.values) for one in self.heard),
            text_tokens=self.n_ids,
            time_to_first_token_s=self.first - self.began,
            tokens_per_s=n / writing_s if writing_s > 0 else 0.0,
        )


def _run(model: AudioLM, requests: Sequence[Request], memory: Memory | None) -> Iterator[list[Delta]]:
    """Hear, render, check and generate; for every step the deltas of all requests."""
    if not requests:
        return
    began = time.perf_counter()
    for request in requests:
        _refuse_hopeless(model, request)
    prompts, heard = prepare(model, [request.messages for request in requests], memory)
    for request, prompt, clips in zip(requests, prompts, heard, strict=True):
        n_audio, seconds = sum(slot.length for slot in prompt.slots), sum(clip.seconds_given for clip in clips)
        check(len(prompt.ids), n_audio, seconds, request.sampling.max_tokens, model.context, model.name)
    accounts = [_Account(one, began) for one in heard]
    prefill = None if memory is None else memory.prefill
    for steps in generate(model, prompts, heard, [request.sampling for request in requests], prefill=prefill):
        now = time.perf_counter()
        yield [account.enter(step, now) for account, step in zip(accounts, steps, strict=True)]


def _refuse_hopeless(model: AudioLM, request: Request) -> None:
    """Refuse clips whose audio alone is over the context before any of it is computed, where the bridge can tell."""
    bridge = model.bridge
    if not (isinstance(bridge, Counts) and bridge.fixed_rate):
        return
    clips = clips_in(request.messages)
    rate = model.encoder.sample_rate
    frames = (model.encoder.n_frames(resampled_samples(clip.n_samples, clip.rate, rate)) for clip in clips)
    n_audio = sum(bridge.n_tokens(n) for n in frames)
    if n_audio > model.context:
        seconds = sum(clip.duration_s for clip in clips)
        need = n_audio + _text_tokens(model, request.messages)
        check(need, n_audio, seconds, request.sampling.max_tokens, model.context, model.name)


def clips_in(messages: Sequence[Message]) -> list[Clip]:
    """Every clip of a conversation, in the order in which it is read."""
    return [part for message in messages for part in message.content if isinstance(part, Clip)]


def prepare(
    model: AudioLM, conversations: Sequence[Sequence[Message]], memory: Memory | None = None
) -> tuple[list[Prompt], list[list[Heard]]]:
    """Hear every clip of every conversation in one batch, then render each with its real token counts."""
    clips = [clips_in(turns) for turns in conversations]
    flat = [clip for several in clips for clip in several]
    hear = model.hear if memory is None else memory.hear
    results = iter(hear(flat) if flat else [])
    heard = [[next(results) for _ in several] for several in clips]
    prompts = [
        render(
            turns,
            [len(one.values) for one in group],
            model.tokenizer,
            pad_id=model.pad_id,
            clip_text=model.clip_text,
        )
        for turns, group in zip(conversations, heard, strict=True)
    ]
    return prompts, heard
