"""Batched decoding: greedy and sampling, stop strings, text as it comes.

Knows ids, logits and a tokenizer; does not know audio, messages or files. Every sequence has its own random generator,
its own text and its own end, so that what stands beside it in a batch never changes it.
Source: Holtzman et al. 2020 for nucleus (top-p) sampling.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch

from ossicle.errors import CheckpointError, RequestError
from ossicle.models.audio_lm import AudioLM, Heard, State
from ossicle.prompt.chat import Prompt

MAX_STOPS, MAX_STOP_LENGTH = 4, 256
UNFINISHED = "\ufffd"
"""What a byte-level tokenizer decodes an incomplete UTF-8 sequence to."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn.

    Args:
        max_tokens: most tokens to write, >= 1.
        temperature: 0 is greedy; up to 2.
        top_p: only the likeliest tokens that together hold this probability, in (0, 1].
        stop: strings that end the answer and are not part of it; at most 4 of at most 256 characters.
        seed: signed 64-bit; the same seed gives the same answer, alone or in a batch.

    Raises:
        RequestError: ``invalid_value``.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind, wanted in (
            ("max_tokens", Integral, "a whole number"),
            ("temperature", Real, "a number"),
            ("top_p", Real, "a number"),
            ("seed", Integral, "a whole number"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise RequestError(f"{name} is {getattr(self, name)!r}, wanted is {wanted}")
        several = isinstance(self.stop, Sequence) and not isinstance(self.stop, str)  # else one is read as its letters
        if not several or not all(isinstance(text, str) for text in self.stop):
            raise RequestError(f"stop is {self.stop!r}, wanted are strings in a list, such as ['.']")
        if self.max_tokens < 1:
            raise RequestError(f"max_tokens is {self.max_tokens}, allowed is 1 or more")
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 2):
            raise RequestError(f"temperature is {self.temperature:g}, allowed is 0 (greedy) to 2")
        if not 0 < self.top_p <= 1:
            raise RequestError(f"top_p is {self.top_p:g}, allowed is above 0 up to 1")
        if len(self.stop) > MAX_STOPS or not all(0 < len(text) <= MAX_STOP_LENGTH for text in self.stop):
            raise RequestError(f"stop holds at most {MAX_STOPS} strings of 1 to {MAX_STOP_LENGTH} characters each")
        if not -(2**63) <= self.seed < 2**63:
            raise RequestError(f"seed is {self.seed}, allowed are signed 64-bit integers")


@dataclass(frozen=True)
class Step:
    """What one sequence gained in one step.

    Args:
        ids: the new token, or nothing once the sequence is done.
        text: text that can be shown now; empty while a character or a stop string may still be under way.
        done: the sequence is complete.
        finish: None while it goes on, then "end" (end of turn), "stop" (a stop string) or "length" (max_tokens).
    """

    ids: tuple[int, ...]
    text: str
    done: bool
    finish: str | None = None


class TextStream:
    """Turns ids into text piece by piece: whole characters only, and nothing that may belong to a stop string.

    Args:
        tokenizer: anything with ``decode(ids, skip_special_tokens=True)``.
        stop: strings that end the text.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stop = tuple(stop)
        self.ids: list[int] = []
        self.context = 0  # first id that is decoded again, because a token's text can depend on the ones before it
        self.shown = 0  # ids whose text was already taken
        self.held = ""  # text that was taken but may be the beginning of a stop string
        self.stopped = False

    def push(self, token: int) -> str:
        """Take one more id; returns the text that is certain by now."""
        self.ids.append(token)
        return self._release(self._fresh(final=False), final=False)

    def finish(self) -> str:
        """The end: returns what was held back."""
        return "" if self.stopped else self._release(self._fresh(final=True), final=True)

    def _decode(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _fresh(self, *, final: bool) -> str:
        before = self._decode(self.ids[self.context : self.shown])
        now = self._decode(self.ids[self.context :])
        if now.endswith(UNFINISHED) and not final:
            return ""
        self.context, self.shown = self.shown, len(self.ids)
        return now[len(before) :]

    def _release(self, fresh: str, *, final: bool) -> str:
        text = self.held + fresh
        cut = min((at for at in map(text.find, self.stop) if at >= 0), default=None)
        if cut is not None:
            self.held, self.stopped = "", True
            return text[:cut]
        keep = 0 if final else max((_overlap(text, stop) for stop in self.stop), default=0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if stop.startswith(text[-n:])), 0)


def choose(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next id from one row of logits.

    Args:
        logits: (V,) float on the CPU.
        sampling: temperature 0 takes the likeliest, the lowest id among equals.
        generator: the sequence's own.

    Raises:
        CheckpointError: logits that are no numbers.
    """
    likeliest = int(logits.argmax())  # NaN counts as the largest
    if not math.isfinite(logits[likeliest]):
        raise CheckpointError(
            "the model gives logits that are no finite numbers: its weights are damaged, or too large for the dtype "
            "that it computes in",
            code="bad_format",
        )
    if sampling.temperature == 0:
        return likeliest
    chances, ids = torch.softmax(logits.double() / sampling.temperature, dim=-1).sort(descending=True, stable=True)
    before = chances.cumsum(0) - chances
    kept = torch.zeros_like(chances).scatter(0, ids, torch.where(before < sampling.top_p, chances, 0.0))
    # drawn in the order of ids: rounding, which differs from batch to batch, swaps ids that are almost equally likely
    return int(torch.multinomial(kept, 1, generator=generator))


class _Sequence:
    """One answer under way."""

    def __init__(self, tokenizer: Any, sampling: Sampling, end_ids: frozenset[int]) -> None:
        self.sampling, self.end_ids = sampling, end_ids
        self.generator = torch.Generator().manual_seed(sampling.seed)
        self.text = TextStream(tokenizer, sampling.stop)
        self.n_ids = 0
        self.finish: str | None = None

    def step(self, logits: torch.Tensor) -> Step:
        if self.finish is not None:
            return Step((), "", True, self.finish)
        token = choose(logits, self.sampling, self.generator)
        self.n_ids += 1
        if token in self.end_ids:
            self.finish, text = "end", self.text.finish()
        else:
            text = self.text.push(token)
            if not self.text.stopped and self.n_ids == self.sampling.max_tokens:
                self.finish = "length"
                text += self.text.finish()
        if self.text.stopped:  # also where the last piece completed the stop string
            self.finish = "stop"
        return Step((token,), text, self.finish is not None, self.finish)


def generate(
    model: AudioLM,
    prompts: Sequence[Prompt],
    heard: Sequence[Sequence[Heard]],
    sampling: Sampling | Sequence[Sampling],
    *,
    prefill: Callable[..., tuple[State, torch.Tensor]] | None = None,
) -> Iterator[list[Step]]:
    """Write answers to a batch of prompts, one token of each at a time.

    Args:
        model: its ``prefill``, ``step``, ``tokenizer``, ``end_ids`` and ``pad_id`` are used.
        prompts: B rendered prompts.
        heard: for each prompt its clips, in the order of its slots.
        sampling: one for all, or one for each prompt.
        prefill: reads the prompts in place of the model's own ``prefill``, such as a memory's.

    Yields:
        B steps, until every sequence is done.
    """
    each = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
    assert len(each) == len(prompts) == len(heard)
    if not prompts:
        return
    end_ids = model.end_ids
    rows = [_Sequence(model.tokenizer, one, end_ids) for one in each]
    room = min(max(one.max_tokens for one in each), model.context)
    state, logits = (prefill or model.prefill)(prompts, heard, room=room)
    while True:
        table = logits.float().cpu()  # (B, V)
        steps = [row.step(table[b]) for b, row in enumerate(rows)]
        yield steps
        if all(step.done for step in steps):
            return
        # a finished row is fed padding, and nobody reads what comes of it
        ids = torch.tensor([step.ids[0] if step.ids else model.pad_id for step in steps])
        logits = model.step(ids, state)
