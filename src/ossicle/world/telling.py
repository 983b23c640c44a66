"""A scene told in words on a time line: what an encoder should mark in its frames, and what an LLM reads in place of
audio.

Knows scenes and events; does not know frames, tokens or models. A *mark* is a word that holds from one second to
another ("dog", "piano", "low", a digit for the height of a note). A *telling* is the same with the letters of what is
said, one bag of words for each 40 ms, with the blanks, repeats and slips that a trained bridge will make: an LLM that
learned to read tellings understands audio as soon as a bridge learns to tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ossicle.world.music import TIMBRES
from ossicle.world.parts import Event, Scene, Speech, Voice
from ossicle.world.sounds import KINDS
from ossicle.world.speech import Spoken, pace_of, pitch_of

HEIGHTS = tuple("0123456789")
"""Height of a note in steps of three half-tones from MIDI 48 up, one digit each."""
MARKS = ("speech", "low", "high", "slow", "fast", "onset", *KINDS, *TIMBRES, *HEIGHTS)
TELL_HZ = 25
LETTERS = " abcdefghijklmnopqrstuvwxyz"
ALIKE = ("aeiouy", "bp", "ckgq", "dt", "fv", "szx", "mn", "lrw", "hj")
"""Letters that an ear takes for each other."""
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Mark:
    """A word of `MARKS` that holds over a time."""

    word: str
    start_s: float
    end_s: float


def height(midi: int) -> str:
    """The digit that stands for a note's height."""
    return HEIGHTS[min(max((midi - 48) // 3, 0), 9)]


def marks(scene: Scene, events: Sequence[Event]) -> list[Mark]:
    """Every mark of a rendered scene; a voice's pitch is marked only where it is known to be low or high."""
    found = []
    voices = [part.voice for part in _speeches(scene)]
    spoken = 0
    for event in events:
        span = (event.start_s, event.end_s)
        match event.kind:
            case "speech":
                voice = voices[spoken]
                spoken += 1
                found += [Mark(w, *span) for w in ("speech", pitch_of(voice), pace_of(voice)) if w is not None]
            case "sound" | "music":
                found += [
                    Mark(event.label, *span),
                    Mark("onset", event.start_s, min(event.start_s + 0.06, event.end_s)),
                ]
            case "note":
                onset = Mark("onset", event.start_s, min(event.start_s + 0.06, event.end_s))
                found += [Mark(height(int(event.label)), *span), onset]
            case _:
                pass
    return found


def pitch_known(scene: Scene) -> bool:
    """Whether each voice of the scene is one that can be called low or high (then silence about it is a fact)."""
    return all(pitch_of(part.voice) is not None for part in _speeches(scene))


def _speeches(scene: Scene) -> list[Speech]:
    parts = scene.parts if scene.background is None else (scene.background, *scene.parts)
    return [part for part in parts if isinstance(part, Speech)]


def sketch(text: str, voice: Voice) -> Spoken:
    """A stand-in for `speech.speak` that makes silence of about the right length: tellings need no sound."""
    letters = sum(0.075 if letter != " " else 0.03 for letter in text)
    return Spoken(np.full(int(SAMPLE_RATE * (0.1 + letters * 150 / voice.rate_wpm)), 1e-3, np.float32), ())


def tell(
    scene: Scene, events: Sequence[Event], duration_s: float, rng: np.random.Generator, *, slips: float
) -> list[tuple[str, ...]]:
    """One bag of words for each 40 ms of a scene.

    Args:
        scene: what was rendered (or sketched).
        events: its events.
        duration_s: its length.
        rng: draws blanks, repeats and slips.
        slips: share of letters that come out missing or as another, mostly one that sounds alike.

    Returns:
        ceil(duration * 25) bags; an empty one is a blank.
    """
    n = max(1, int(np.ceil(duration_s * TELL_HZ)))
    bags: list[list[str]] = [[] for _ in range(n)]
    for event in events:
        if event.kind == "speech":
            for slot, letter in _spell(event, rng, slips):
                if 0 <= slot < n:
                    bags[slot].append(letter)
    for mark in marks(scene, events):
        first, last = int(mark.start_s * TELL_HZ), int(np.ceil(mark.end_s * TELL_HZ))
        for slot in range(max(first, 0), min(last, n)):
            if rng.random() < 0.85:
                bags[slot].append(mark.word)
    return [tuple(bag) for bag in bags]


def _spell(event: Event, rng: np.random.Generator, slips: float) -> list[tuple[int, str]]:
    """Slots and letters of a spoken text: evenly laid out with jitter, some held for a second slot, some wrong."""
    text = event.label
    span = event.end_s - event.start_s
    out: list[tuple[int, str]] = []
    taken = -1
    for i, letter in enumerate(text):
        place = event.start_s + span * (i + 0.5 + rng.uniform(-0.4, 0.4)) / len(text)
        slot = max(int(place * TELL_HZ), taken if letter == " " else taken + (1 if rng.random() < 0.75 else 0))
        draw = rng.random()
        if draw < slips * 0.3:
            continue
        if draw < slips:
            letter = _misheard(letter, rng)
        out.append((slot, letter))
        taken = slot
        if rng.random() < 0.2:
            out.append((slot + 1, letter))
    return out


def _misheard(letter: str, rng: np.random.Generator) -> str:
    """Another letter: four times in five one that sounds alike."""
    alike = next((group for group in ALIKE if letter in group), "")
    others = alike.replace(letter, "") if rng.random() < 0.8 else ""
    others = others or LETTERS[1:].replace(letter, "")
    return others[int(rng.integers(len(others)))]
