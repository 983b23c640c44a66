"""What the tasks with speech draw: the parts of a scene, the phrasings that fit it, and the answer.

Knows sentences and voices; does not know noise, rooms or scores. Used by ``tasks.py`` only, whose table names each.
"""

from dataclasses import dataclass

import numpy as np

from ossicle.world import questions as q
from ossicle.world.grammar import (
    INTENTS,
    Command,
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
from ossicle.world.speech import pace_of, pitch_of, sample_voice

TEXT_SLICES = ("random_words", "unheard_words", "two_sentences")
Rng = np.random.Generator


Asked = tuple[tuple[str, ...], str]
"""Phrasings of a question, and its answer."""


@dataclass(frozen=True)
class Drawn:
    """What a task draws: the parts between the outer pauses, the phrasings that fit, and the answer.

    ``more`` is what else can be asked about the same scene, a transcript last: each as phrasings and answer.
    """

    parts: tuple[Part, ...]
    phrasings: tuple[str, ...]
    answer: str
    choices: tuple[str, ...] = ()
    background: Part | None = None
    more: tuple[Asked, ...] = ()


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
        case _ if rng.random() < 0.875:
            one = sentence(rng, split)
            return Drawn(_speech(one.text, rng, split, slice), q.TRANSCRIBE, one.text, more=_facts(one))
        case _:
            text = phrase(rng, split)
    return Drawn(_speech(text, rng, split, slice), q.TRANSCRIBE, text)


def fact_questions(kind: str) -> tuple[str, ...]:
    return asked(q.FACT, q.FACT_OWN, q.FACT_NOUN[kind], kind)


def slot_questions(key: str) -> tuple[str, ...]:
    return asked(q.SLOT, q.SLOT_OWN, q.SLOT_NOUN[key], key)


def _facts(sentence: Said, besides: str = "") -> tuple[Asked, ...]:
    """What can be asked about a sentence, but one kind."""
    known = {kind: fact for kind, fact in sentence.facts.items() if kind in q.FACT_NOUN and kind != besides}
    return tuple((fact_questions(kind), fact) for kind, fact in known.items())


def _slots(order: Command, besides: str = "") -> tuple[Asked, ...]:
    """What an order is done with, but one of it, and its words."""
    slots = tuple((slot_questions(key), value) for key, value in order.slots.items() if key != besides)
    return (*slots, (q.TRANSCRIBE, order.text))


def said(rng: Rng, split: Split, slice: str | None) -> Drawn:
    kinds: tuple[str, ...] = ()
    said = Said("", {})
    while not kinds:
        said = sentence(rng, split)
        kinds = tuple(kind for kind in said.facts if kind in q.FACT_NOUN)
    kind = pick(kinds, rng)
    more = (*_facts(said, kind), (q.TRANSCRIBE, said.text))
    return Drawn(_speech(said.text, rng, split, slice), fact_questions(kind), said.facts[kind], more=more)


def intent(rng: Rng, split: Split, slice: str | None) -> Drawn:
    order = command(rng, split)
    return Drawn(_speech(order.text, rng, split, slice), q.INTENT, order.intent, INTENTS, more=_slots(order))


def slot(rng: Rng, split: Split, slice: str | None) -> Drawn:
    order = command(rng, split)
    while not order.slots:
        order = command(rng, split)
    key = pick(tuple(order.slots), rng)
    more = ((q.INTENT, order.intent), *_slots(order, key))
    return Drawn(_speech(order.text, rng, split, slice), slot_questions(key), order.slots[key], more=more)


def arithmetic(rng: Rng, split: Split, slice: str | None) -> Drawn:
    asked, answer = sum_question(rng, split)
    return Drawn(_speech(asked, rng, split, slice), (), answer, more=((q.TRANSCRIBE, asked),))


def of_voice(parts: tuple[Part, ...]) -> tuple[Asked, ...]:
    """What can be asked about the voice of a scene in which one person speaks, where it is clear."""
    voices = {part.voice for part in parts if isinstance(part, Speech)}
    if len(voices) != 1:
        return ()
    (voice,) = voices
    found = ((q.PITCH, pitch_of(voice)), (q.PACE, pace_of(voice)))
    return tuple((phrasings, answer) for phrasings, answer in found if answer is not None)


def pitch(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("low", "high"), rng)
    voice = sample_voice(rng, split, pitch=answer)
    text = short_sentence(rng, split)
    return Drawn((Speech(text, voice),), q.PITCH, answer, ("low", "high"), more=((q.TRANSCRIBE, text),))


def pace(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("slow", "fast"), rng)
    voice = sample_voice(rng, split, pace=answer)
    text = short_sentence(rng, split)
    return Drawn((Speech(text, voice),), q.PACE, answer, ("slow", "fast"), more=((q.TRANSCRIBE, text),))
