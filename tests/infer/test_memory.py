"""A memory: the same answers, with less to hear and to read; one model, bounded, nothing taken for anything else."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from models.tiny import noise, tiny_model
from torch import nn

from ossicle.audio.clip import Clip
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import RequestError
from ossicle.infer.ask import ask, stream
from ossicle.infer.generate import Sampling
from ossicle.infer.memory import Memory
from ossicle.infer.requests import Request, ask_batch, conversation
from ossicle.models.audio_lm import AudioLM, Heard, State
from ossicle.prompt.chat import Message, Prompt

MODEL = tiny_model()


class Counting(AudioLM):
    """Counts what is heard and read."""

    n_heard = n_read = 0

    def hear(self, clips: Sequence[Clip]) -> list[Heard]:
        self.n_heard += len(clips)
        return super().hear(clips)

    def prefill(
        self, prompts: Sequence[Prompt], heard: Sequence[Sequence[Heard]], **more: object
    ) -> tuple[State, torch.Tensor]:
        begun = more.get("begun")
        self.n_read += sum(len(prompt.ids) for prompt in prompts) - (0 if begun is None else begun.length)
        return super().prefill(prompts, heard, **more)


def counting(**parts: nn.Module) -> Counting:
    plain = tiny_model(**parts)
    return Counting(plain.encoder, plain.bridge, plain.llm, plain.tokenizer, context=400, name="counting").eval()


def test_the_same_audio_asked_again_is_neither_heard_nor_read_again() -> None:
    model = counting()
    memory = Memory(model)
    first = ask(model, noise(1.0), "What is said?", max_tokens=12, memory=memory)
    heard, read = model.n_heard, model.n_read
    again = ask(model, noise(1.0), "What is said?", max_tokens=12, memory=memory)
    assert (model.n_heard, model.n_read) == (heard, read + 1)
    other = ask(model, noise(1.0), "Who speaks?", max_tokens=12, memory=memory)
    assert model.n_heard == heard and model.n_read < read + 1 + len("Who speaks?") + 12
    assert again.text == first.text == ask(MODEL, noise(1.0), "What is said?", max_tokens=12).text
    assert other.text == ask(MODEL, noise(1.0), "Who speaks?", max_tokens=12).text
    assert again.ledger.audio_tokens == first.ledger.audio_tokens == 25
    assert again.ledger.seconds_heard == pytest.approx(1.0)


def test_a_second_turn_reads_only_what_is_new() -> None:
    model = counting()
    memory, clip = Memory(model), noise(0.8)
    first = ask(model, clip, "One?", max_tokens=6, memory=memory)
    history = (Message("user", (clip, "One?")), Message("assistant", (first.text,)))
    read = model.n_read
    second = ask(model, [], "And two?", history=history, max_tokens=6, memory=memory)
    assert second.text == ask(MODEL, [], "And two?", history=history, max_tokens=6).text
    assert model.n_read - read < read


@pytest.mark.parametrize("same", ["samples", "rate"])
def test_clips_that_share_something_are_still_two(same: str) -> None:
    memory = Memory(MODEL)
    one = noise(1.0)
    other = Clip(one.samples, 8_000) if same == "samples" else noise(1.0, seed=5)
    for clip in (one, other):
        told = ask(MODEL, clip, "What is said?", max_tokens=12, memory=memory)
        assert told.text == ask(MODEL, clip, "What is said?", max_tokens=12).text
    assert len(memory.heard) == 2


def test_a_batch_takes_the_clips_and_streams_take_both() -> None:
    model = counting()
    memory, clips = Memory(model), [noise(0.5), noise(0.9, seed=1), noise(0.5)]
    requests = [Request(conversation([clip], "What is said?"), Sampling(8)) for clip in clips]
    answers = ask_batch(model, requests, memory=memory)
    assert [one.text for one in answers] == [one.text for one in ask_batch(MODEL, requests)]
    assert model.n_heard == 2 and not memory.read
    for _ in range(2):
        (*_, last) = stream(model, clips[1], "What is said?", max_tokens=8, memory=memory)
        assert last.answer is not None and last.answer.text == answers[1].text
    assert model.n_heard == 2 and len(memory.read) == 2


def test_an_llm_that_goes_its_own_way_reuses_the_clips() -> None:
    model = counting()
    model.llm.half()
    model.llm.float().config.hidden_act = "gelu"  # what the blocks do stays; the lean way no longer vouches for it
    memory = Memory(model)
    texts = {ask(model, noise(0.6), "What is said?", max_tokens=6, memory=memory).text for _ in range(2)}
    assert len(texts) == 1 and model.n_heard == 1 and not memory.read


def test_the_oldest_is_forgotten_first() -> None:
    memory = Memory(MODEL, max_entries=2)
    clips = [noise(0.4, seed=seed) for seed in range(3)]
    for clip in (clips[0], clips[1], clips[0], clips[2]):
        ask(MODEL, clip, max_tokens=1, memory=memory)
    assert len(memory.heard) == len(memory.read) == 2
    kept = set(memory.heard)
    ask(MODEL, clips[0], max_tokens=1, memory=memory)
    assert set(memory.heard) == kept


def test_bytes_are_bounded_prompts_first() -> None:
    free = Memory(MODEL)
    ask(MODEL, noise(0.4), max_tokens=1, memory=free)
    tokens = next(iter(free.heard.values()))[1].values.nbytes
    assert free.n_bytes > tokens
    tight = Memory(MODEL, max_bytes=tokens)
    ask(MODEL, noise(0.4), max_tokens=1, memory=tight)
    assert not tight.read and len(tight.heard) == 1 and tight.n_bytes <= tight.max_bytes
    none = Memory(MODEL, max_bytes=tokens - 1)
    assert ask(MODEL, noise(0.4), max_tokens=3, memory=none).text == ask(MODEL, noise(0.4), max_tokens=3).text
    assert none.n_bytes == 0


def test_a_clip_that_was_forgotten_meanwhile_is_read_as_new() -> None:
    memory = Memory(MODEL)
    (heard,) = memory.hear([noise(0.4)])
    memory.heard.clear()
    prompt = Prompt([1] * len(heard.values), [])
    assert memory.prefill([prompt], [[heard]])[1].shape[0] == 1 and len(memory.read) == 1


def test_another_model_and_bad_limits_are_refused() -> None:
    with pytest.raises(RequestError, match="the memory is of another model than tiny"):
        ask(MODEL, noise(0.4), memory=Memory(counting()))
    with pytest.raises(RequestError, match="the memory is of another model"):
        stream(MODEL, noise(0.4), memory=Memory(counting()))
    with pytest.raises(RequestError, match="at least 1 byte and 1 entry"):
        Memory(MODEL, max_bytes=0)
    with pytest.raises(RequestError, match="got 1 and 0"):
        Memory(MODEL, max_bytes=1, max_entries=0)


def test_a_clip_in_windows_is_remembered_whole() -> None:
    model = counting(encoder=WhisperEncoder(WhisperSettings(width=32, layers=1, heads=2, ffn=64, max_frames=100)))
    memory, clip = Memory(model), noise(5.0)
    texts = {ask(model, clip, "What is said?", max_tokens=6, memory=memory).text for _ in range(2)}
    assert len(texts) == 1 and model.n_heard == 1
    assert np.isclose(next(iter(memory.heard.values()))[1].seconds_heard, 5.0)
