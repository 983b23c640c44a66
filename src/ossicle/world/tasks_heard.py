"""What the tasks with sounds, music and whole scenes draw: the parts, the phrasings that fit, and the answer.

Knows kinds, strokes and melodies as data; does not know noise, rooms or scores. Used by ``tasks.py`` only, whose table
names each.
"""

from dataclasses import replace
from itertools import permutations

from ossicle.world import questions as q
from ossicle.world.grammar import Split, number_word
from ossicle.world.music import TIMBRES, compose
from ossicle.world.parts import Music, Part, Pause, Sound, Speech
from ossicle.world.sounds import COUNTABLE, KINDS
from ossicle.world.speech import sample_voice
from ossicle.world.tasks_spoken import Drawn, Rng, asked, pick, short_sentence, short_speech

MUCH = 5  # strokes that are still counted


def _sound(kind: str, rng: Rng, low_s: float, high_s: float) -> Sound:
    return Sound(kind, int(rng.integers(2**31)), round(float(rng.uniform(low_s, high_s)), 3))


def _strokes(kind: str, n_strokes: int, rng: Rng) -> Sound:
    """Countable strokes with half a second or more for each."""
    return replace(_sound(kind, rng, 0.5 * n_strokes, 0.75 * n_strokes), strokes=n_strokes)


def _once(kind: str, rng: Rng) -> Sound:
    """A sound as an event: one stroke of what has strokes, about a second of what goes on."""
    return _strokes(kind, 1, rng) if kind in COUNTABLE else _sound(kind, rng, 0.8, 1.4)


def _pause(rng: Rng, low_s: float, high_s: float) -> Pause:
    return Pause(round(float(rng.uniform(low_s, high_s)), 3))


def _tune(rng: Rng, *, timbre: str | None = None, direction: str | None = None, tempo: str | None = None) -> Music:
    """A melody of two to five seconds."""
    tempo = tempo or pick(("medium", "fast"), rng)
    return compose(rng, timbre=timbre, direction=direction, tempo=tempo, n_notes=4 if tempo == "slow" else None)


def which(rng: Rng, split: Split, slice: str | None) -> Drawn:
    kind = pick(KINDS, rng)
    return Drawn((_sound(kind, rng, 1.2, 2.6),), q.SOUND, kind, KINDS, more=((q.KIND, "sound"),))


def count(rng: Rng, split: Split, slice: str | None) -> Drawn:
    n_strokes = int(rng.integers(1, MUCH + 1))
    numbers = tuple(number_word(number) for number in range(1, MUCH + 1))
    kind = pick(COUNTABLE, rng)
    parts, more = (_strokes(kind, n_strokes, rng),), ((q.SOUND, kind), (q.KIND, "sound"))
    return Drawn(parts, q.COUNT, numbers[n_strokes - 1], numbers, more=more)


def order(rng: Rng, split: Split, slice: str | None) -> Drawn:
    n_sounds = int(rng.integers(2, 4))
    kinds = [KINDS[i] for i in rng.choice(len(KINDS), size=n_sounds, replace=False)]
    parts: list[Part] = []
    for kind in kinds:
        parts += [_once(kind, rng), _pause(rng, 0.1, 0.35)]
    every = tuple(" then ".join(some) for some in permutations(sorted(kinds)))
    ways = {
        "first": (asked(q.FIRST_LAST, {}, "first", ""), kinds[0], KINDS),
        "last": (asked(q.FIRST_LAST, {}, "last", ""), kinds[-1], KINDS),
        "order": (q.ORDER, " then ".join(kinds), every),
    }
    phrasings, answer, choices = ways.pop(pick(tuple(ways), rng))
    more = tuple((phrasings, answer) for phrasings, answer, _ in ways.values())
    return Drawn(tuple(parts[:-1]), phrasings, answer, choices, more=more)


def when(rng: Rng, split: Split, slice: str | None) -> Drawn:
    places = ("beginning", "middle", "end")
    place = pick(places, rng)
    sound = _once(pick(KINDS, rng), rng)
    if rng.random() < 0.5:
        before, after = {"beginning": (0, 2), "middle": (1, 1), "end": (2, 0)}[place]
        spans = [_pause(rng, 0.8 * n, 1.1 * n) if n else None for n in (before, after)]
        parts: list[Part | None] = [spans[0], sound, spans[1]]
    else:
        gap = _pause(rng, 0.1, 0.3)
        first: list[Part] = [short_speech(rng, split), gap] if place != "beginning" else []
        last: list[Part] = [gap, short_speech(rng, split)] if place != "end" else []
        parts = [*first, sound, *last]
    return Drawn(tuple(part for part in parts if part is not None), q.WHEN, place, places)


def instrument(rng: Rng, split: Split, slice: str | None) -> Drawn:
    timbre = pick(TIMBRES, rng)
    return Drawn((_tune(rng, timbre=timbre),), q.INSTRUMENT, timbre, TIMBRES, more=((q.KIND, "music"),))


def tempo(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("slow", "fast"), rng)
    tune = _tune(rng, tempo=answer)
    return Drawn((tune,), q.TEMPO, answer, ("slow", "fast"), more=((q.INSTRUMENT, tune.timbre),))


def melody(rng: Rng, split: Split, slice: str | None) -> Drawn:
    answer = pick(("up", "down"), rng)
    tune = _tune(rng, direction=answer)
    return Drawn((tune,), q.MELODY, answer, ("up", "down"), more=((q.INSTRUMENT, tune.timbre),))


def kind(rng: Rng, split: Split, slice: str | None) -> Drawn:
    kinds = ("speech", "music", "sound", "silence")
    answer = pick(kinds, rng)
    part: Part
    match answer:
        case "speech":
            part = Speech(short_sentence(rng, split), sample_voice(rng, split))
        case "music":
            part = _tune(rng)
        case "sound":
            part = _sound(pick(KINDS, rng), rng, 1.2, 2.6)
        case _:
            part = _pause(rng, 0.8, 2.5)
    return Drawn((part,), q.KIND, answer, kinds)


SPEAKS = "a person speaks"
TIMES = ("one time", "two times", "three times")


def _plays(timbre: str) -> str:
    return f"{'an' if timbre[0] in 'aeiou' else 'a'} {timbre} plays"


CAPTIONS: tuple[str, ...] = (
    *(f"{clause} {times}" for clause in q.CLAUSES.values() for times in TIMES),
    *(f"{loud} over {under}" for loud in (SPEAKS, *map(_plays, TIMBRES)) for under in q.UNDER.values()),
    *(f"{one} then {SPEAKS}" for one in (*q.CLAUSES.values(), *map(_plays, TIMBRES))),
    *(f"{SPEAKS} then {one}" for one in (*q.CLAUSES.values(), *map(_plays, TIMBRES))),
    SPEAKS,
    *map(_plays, TIMBRES),
)


def caption(rng: Rng, split: Split, slice: str | None) -> Drawn:
    def spoken_or_played() -> tuple[Part, str]:
        if rng.random() < 0.5:
            return Speech(short_sentence(rng, split), sample_voice(rng, split)), SPEAKS
        timbre = pick(TIMBRES, rng)
        return _tune(rng, timbre=timbre, tempo="fast"), _plays(timbre)

    background: Part | None = None
    parts: tuple[Part, ...]
    match pick(("alone", "strokes", "over", "then"), rng):
        case "alone":
            part, caption = spoken_or_played()
            parts = (part,)
        case "strokes":
            kind, n_strokes = pick(tuple(q.CLAUSES), rng), int(rng.integers(1, len(TIMES) + 1))
            parts, caption = (_strokes(kind, n_strokes, rng),), f"{q.CLAUSES[kind]} {TIMES[n_strokes - 1]}"
        case "over":
            part, loud = spoken_or_played()
            under = pick(tuple(q.UNDER), rng)
            background = _sound(under, rng, 8.0, 8.0)
            parts, caption = (part,), f"{loud} over {q.UNDER[under]}"
        case _:
            kind = pick(tuple(q.CLAUSES), rng)
            other: tuple[Part, str] = (_once(kind, rng), q.CLAUSES[kind])
            if rng.random() < 0.3:
                timbre = pick(TIMBRES, rng)
                other = _tune(rng, timbre=timbre, tempo="fast"), _plays(timbre)
            pair = [(short_speech(rng, split), SPEAKS), other]
            if rng.random() < 0.5:
                pair.reverse()
            parts = (pair[0][0], _pause(rng, 0.15, 0.35), pair[1][0])
            caption = f"{pair[0][1]} then {pair[1][1]}"
    return Drawn(parts, q.CAPTION, caption, CAPTIONS, background)
