"""What the tasks with speech draw: the parts of a scene, the phrasings that fit it, and the answer.

Knows sentences and voices; does not know noise, rooms or scores. Used by ``tasks.py`` only, whose table names each.
"""

from dataclasses import dataclass

import numpy as np

from ossicle.world import questions as q
from ossicle.world.grammar import (
    INTENTS,
    Said,
    Split,
    command,
    phrase,
    sentence,
    sum_question,
    unheard_string,
    word_string,
)
from ossicle.world.parts import Part, Pause, Speech
from ossicle.world.speech import sample_voice

TEXT_SLICES = ("random_words", "unheard_words", "two_sentences")
Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """What a task draws: the parts between the outer pauses, the phrasings that fit, and the answer."""

    parts: tuple[Part, ...]
    phrasings: tuple[str, ...]
    answer: str
    choices: tuple[str, ...] = ()
    background: Part | None = None


def pick(options: tuple[str, ...], rng: Rng) -> str:
    return options[int(rng.integers(len(options)))]


def asked(general: tuple[str, ...], own: dict[str, tuple[str, ...]], noun: str, kind: str) -> tuple[str, ...]:
    return (*(line.replace("{noun}", noun) for line in general), *own.get(kind, ()))


def _speech(text: str, rng: Rng, split: Split, slice: str | None) -> tuple[Part, ...]:
    voices = None if slice in TEXT_SLICES else slice
    return (Speech(text, sample_voice(rng, split, slice=voices)),)


def short_sentence(rng: Rng, split: Split) -> str:
    """Four to seven words: long enough to hear a voice, short enough to keep scenes short."""
    while True:
        text = sentence(rng, split).text
        if 4 <= len(text.split()) <= 7:
            return text


def short_speech(rng: Rng, split: Split) -> Speech:
    """Two to four words in any voice of the split, for scenes in which the words do not matter."""
    while True:
        text = phrase(rng, split)
        if len(text.split()) >= 2:
            return Speech(text, sample_voice(rng, split))


def transcribe(rng: Rng, split: Split, slice: str | None) -> Drawn:
    match slice:
        case "two_sentences":
            first, second = sentence(rng, split).text, sentence(rng, split).text
            voice = sample_voice(rng, split)
            pause = Pause(float(rng.uniform(0.2, 0.7)))
            parts = (Speech(first, voice), pause, Speech(second, voice))
            return Drawn(parts, q.TRANSCRIBE, f"{first} {second}")
        case "random_words":
            text = word_string(rng, split)
        case "unheard_words":
            text = unheard_string(rng)
        case _:
            text = sentence(rng, split).text if rng.random() < 0.875 else phrase(rng, split)
    return Drawn(_speech(text, rng, split, slice), q.TRANSCRIBE, text)


def fact_questions(kind: str) -> tuple[str, ...]:
    return asked(q.FACT, q.FACT_OWN, q.FACT_NOUN[kind], kind)


def slot_questions(key: str) -> tuple[str, ...]:
    return asked(q.SLOT, q.SLOT_OWN, q.SLOT_NOUN[key], key)


def said(rng: Rng, split: Split, slice: str | None) -> Drawn:
    kinds: tuple[str, ...] = ()
    said = Said("", {})
    while not kinds:
        said = sentence(rng, split)
        kinds = tuple(kind for kind in said.facts if kind in q.FACT_NOUN)
    kind = pick(kinds, rng)
    return Drawn(_speech(said.text, rng, split, slice), fact_questions(kind), said.facts[kind])


def intent(rng: Rng, split: Split, slice: str | None) -> Drawn:
    order = command(rng, split)
    return Drawn(_speech(order.text, rng, split, slice), q.INTENT, order.intent, INTENTS)


def slot(rng: Rng, split: Split, slice: str | None) -> Drawn:
    order = command(rng, split)
    while not order.slots:
        order = command(rng, split)
    key = pick(tuple(order.slots), rng)
    return Drawn(_speech(order.text, rng, split, slice), slot_questions(key), order.slots[key])


def arithmetic(rng: Rng, split: Split, slice: str | None) -> Drawn:
    asked, answer = sum_question(rng, split)
    return Drawn(_speech(asked, rng, split, slice), (), answer)


def pitch(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("low", "high"), rng)
    voice = sample_voice(rng, split, pitch=answer)
    return Drawn((Speech(short_sentence(rng, split), voice),), q.PITCH, answer, ("low", "high"))


def pace(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("slow", "fast"), rng)
    voice = sample_voice(rng, split, pace=answer)
    return Drawn((Speech(short_sentence(rng, split), voice),), q.PACE, answer, ("slow", "fast"))
