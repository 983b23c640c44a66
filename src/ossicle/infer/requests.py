"""Requests and their answers: hear, render, check the context, generate, and keep the ledger.

Knows the order of one clip's way through the house; does not know how any step works, nor what is inside a file.
One request, a stream and a batch are the same code: a stream is a batch of one that is read as it comes.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ossicle.audio.clip import Clip
from ossicle.audio.lengths import resampled_samples
from ossicle.errors import RequestError
from ossicle.infer.generate import Sampling, Step, generate
from ossicle.infer.ledger import Ledger
from ossicle.infer.memory import Memory
from ossicle.models.audio_lm import AudioLM, Counts, Heard
from ossicle.plan.budget import check
from ossicle.prompt.chat import Message, Prompt, render
from ossicle.prompt.tags import Tags


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Args:
        text: the answer, without the end-of-turn token and without a stop string.
        ledger: what was given, heard and spent.
        finish: "end" (the model ended its turn), "stop" (a stop string) or "length" (``max_tokens`` was reached).
        passages: where in a long recording the model read, seconds from its beginning; empty where it read all.
        note: what was done with audio that is longer than the model reads at once; empty where nothing was.
    """

    text: str
    ledger: Ledger
    finish: str
    passages: tuple[tuple[float, float], ...] = ()
    note: str = ""


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


def ask_batch(model: AudioLM, requests: Sequence[Request], *, memory: Memory | None = None) -> list[Answer]:
    """Answer several requests together; each answer is what it would be alone.

    Raises:
        As `ask`; one bad request fails the batch before anything is generated.
    """
    check_memory(model, memory)
    answers: list[Answer | None] = [None] * len(requests)
    for deltas in run_batch(model, requests, memory):
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


def check_memory(model: AudioLM, memory: Memory | None) -> None:
    if memory is not None and memory.model is not model:
        raise RequestError(f"the memory is of another model than {model.name}: each model needs its own")


def text_tokens(model: AudioLM, messages: Sequence[Message]) -> int:
    """Ids of a prompt beside its audio tokens."""
    n_clips = len(clips_in(messages))
    prompt = render(messages, [1] * n_clips, model.tokenizer, pad_id=model.pad_id, clip_text=model.clip_text)
    return len(prompt.ids) - n_clips


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


def run_batch(
    model: AudioLM, requests: Sequence[Request], memory: Memory | None, known: Mapping[int, Heard] | None = None
) -> Iterator[list[Delta]]:
    """Hear, render, check and generate; for every step the deltas of all requests.

    Args:
        model, requests, memory: as of `ask_batch`.
        known: what was heard before of some of the clips, by the clip's ``id``.
    """
    if not requests:
        return
    began = time.perf_counter()
    for request in requests:
        _refuse_hopeless(model, request)
    prompts, heard = prepare(model, [request.messages for request in requests], memory, known)
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
        need = n_audio + text_tokens(model, request.messages)
        check(need, n_audio, seconds, request.sampling.max_tokens, model.context, model.name)


def clips_in(messages: Sequence[Message]) -> list[Clip]:
    """Every clip of a conversation, in the order in which it is read."""
    return [part for message in messages for part in message.content if isinstance(part, Clip)]


def prepare(
    model: AudioLM,
    conversations: Sequence[Sequence[Message]],
    memory: Memory | None = None,
    known: Mapping[int, Heard] | None = None,
) -> tuple[list[Prompt], list[list[Heard]]]:
    """Hear every clip of every conversation in one batch, but those ``known`` by their ``id``; then render each with
    its real token counts."""
    before = known or {}
    clips = [clips_in(turns) for turns in conversations]
    flat = [clip for several in clips for clip in several if id(clip) not in before]
    hear = model.hear if memory is None else memory.hear
    results = iter(hear(flat) if flat else [])
    heard = [[before[id(clip)] if id(clip) in before else next(results) for clip in several] for several in clips]
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
