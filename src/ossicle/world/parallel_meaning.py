"""What a sentence means, as data, before any language has words for it.

Knows who does what, when, where and how many; does not know how it is said: each language's own file (say_english.py,
say_french.py, say_german.py) makes a sentence of it. Words are entries of all three languages (parallel_words.py).
"""

from dataclasses import dataclass
from typing import Literal

Gender = Literal["m", "f", "n"]
Tense = Literal["present", "past", "future"]
Frame = Literal["acc", "dat", "auf"]
"""What a German object is put in: a case, or "auf" with the accusative."""
Person = Literal["1s", "2s", "3s", "1p", "3p"]
PERSONS: tuple[Person, ...] = ("1s", "2s", "3s", "1p", "3p")
"""I, you (informal, one), he or she, we, they: the order of all conjugations."""


@dataclass(frozen=True)
class Noun:
    """A noun: singular and plural, gender; ``de_weak`` is what German says in every case but the first."""

    en: str
    en_plural: str
    fr: str
    fr_plural: str
    fr_gender: Gender
    de: str
    de_plural: str
    de_gender: Gender
    de_weak: str | None
    human: bool


@dataclass(frozen=True)
class Adjective:
    """An adjective.

    Args:
        en: English; ``en_human`` of people, where that is another word.
        fr: masculine, masculine before a vowel, feminine, masculine plural, feminine plural; ``fr_before`` its noun.
        de: the form after "is"; ``de_stem`` takes endings.
        en_more, de_more: comparative.
    """

    en: str
    en_human: str
    fr: tuple[str, str, str, str, str]
    fr_before: bool
    de: str
    de_stem: str
    en_more: str
    de_more: str


@dataclass(frozen=True)
class French:
    """A French verb: ``present`` in the order of `PERSONS`, ``etre`` if its past is built with être."""

    infinitive: str
    present: tuple[str, ...]
    participle: str
    future: str
    etre: bool
    reflexive: bool
    preposition: str


@dataclass(frozen=True)
class German:
    """A German verb: ``present`` in the order of `PERSONS` without the ``particle``, which goes to the clause's end."""

    infinitive: str
    present: tuple[str, ...]
    participle: str
    sein: bool
    particle: str
    frame: Frame
    imperative: str


@dataclass(frozen=True)
class Verb:
    """A verb in three languages.

    Args:
        en: base, third person, past; with a preposition, where it has one ("look for").
        takes: classes of nouns that can be its object; none if it takes no object.
        has_past: whether its past is told from its present in English.
    """

    en: tuple[str, str, str]
    fr: French
    de: German
    takes: tuple[str, ...]
    has_past: bool = True


@dataclass(frozen=True)
class Idiom:
    """Words that go with a verb: "be hungry", "avoir faim", "Hunger haben"; ``de_not`` when it is not so."""

    verb: Verb
    en: str
    fr: str
    de: str
    de_not: str


@dataclass(frozen=True)
class Fixed:
    """A phrase that is the same everywhere: a place, a time."""

    en: str
    fr: str
    de: str


@dataclass(frozen=True)
class Clock:
    """A time of day by the twelve-hour clock: hour 1-12, minute 0-55."""

    hour: int
    minute: int


@dataclass(frozen=True)
class Name:
    """Somebody by name."""

    text: str
    gender: Gender


@dataclass(frozen=True)
class Pronoun:
    """ "I", "you", "we", "he", "she" or "who"."""

    word: str
    person: Person
    gender: Gender


@dataclass(frozen=True)
class Thing:
    """A noun with what goes with it.

    Args:
        noun: the noun.
        det: "the", "a", "my", "your", "our", "this", "many", "number", "bare" (bread, apples) or "all" (I like apples).
        plural: whether there are several.
        adjectives: at most one that French puts before and one that it puts after the noun.
        number: 2-99 where ``det`` is "number".
        of: whose it is; then ``det`` is "the".
    """

    noun: Noun
    det: str
    plural: bool = False
    adjectives: tuple[Adjective, ...] = ()
    number: int = 0
    of: "Thing | Name | None" = None


Who = Thing | Name | Pronoun


@dataclass(frozen=True)
class Near:
    """Where something is, by another thing: ``relation`` is "on", "under", "behind", "in front of", ..."""

    relation: str
    thing: Thing


@dataclass(frozen=True)
class Quality:
    """How something is: ``very`` so, or compared: more so ("more") or as much so ("as") as ``other``."""

    adjective: Adjective
    very: bool = False
    degree: Literal["", "more", "as"] = ""
    other: Thing | Name | None = None


@dataclass(frozen=True)
class Clause:
    """One thing said.

    Args:
        subject: who.
        verb: what they do; with ``modal`` ("want", "can", "must", "like") what they want to do.
        tense: when; a modal is always present.
        object, receiver: to what, and who gets it.
        idiom, quality, amount: what follows "be", "have", "cost".
        place, time, clock: where and when; ``fronted`` times come first.
        often: "often", "sometimes", "never" or "".
        negative: whether it is not so.
        motion: whether the place is where somebody goes.
        now: whether English says that it is going on ("it is raining").
    """

    subject: Who
    verb: Verb
    tense: Tense = "present"
    modal: str = ""
    object: Thing | None = None
    receiver: Thing | Name | None = None
    idiom: Idiom | None = None
    quality: Quality | None = None
    amount: Fixed | None = None
    place: Fixed | Near | None = None
    time: Fixed | None = None
    clock: Clock | None = None
    often: str = ""
    negative: bool = False
    fronted: bool = False
    motion: bool = False
    now: bool = False


@dataclass(frozen=True)
class Statement:
    """A clause said as it is."""

    clause: Clause


@dataclass(frozen=True)
class Joined:
    """Two clauses: ``word`` is "that", "because", "when", "and" or "but"; the second is the subordinate one.

    A clause with "when" comes first.
    """

    word: str
    first: Clause
    second: Clause


@dataclass(frozen=True)
class Question:
    """A question for ``asked``: "yes", "who", "what", "where", "when", "how many" or "how old".

    Where ``asked`` is "who", the clause's subject is `WHO`; where it is "how many", its object is counted by "many".
    """

    asked: str
    clause: Clause


@dataclass(frozen=True)
class There:
    """Things that are somewhere."""

    thing: Thing
    place: Near | Fixed


@dataclass(frozen=True)
class Request:
    """Somebody is asked to do something, politely."""

    verb: Verb
    object: Thing
    receiver: Thing | Name | None = None


@dataclass(frozen=True)
class TimeIs:
    """What time it is; with ``place``, there."""

    clock: Clock
    place: Fixed | None = None


Meaning = Statement | Joined | Question | There | Request | TimeIs


def person_of(who: Who) -> Person:
    """The person that a verb takes after ``who``."""
    match who:
        case Pronoun():
            return who.person
        case Thing():
            return "3p" if who.plural else "3s"
        case _:
            return "3s"
