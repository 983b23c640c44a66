"""Sentences in English, French and German that mean the same, and whose translation is the only right one.

Knows chance and what can be meant; does not know voices. A meaning is drawn (parallel_meaning.py) and each language
says it in its own way (say_english.py, say_french.py, say_german.py), so that word order, cases, genders and tenses
differ as they do among people. Within this world a sentence of one language has one translation into another: "you" is
always one friend, "he" and "she" are people, what means two things is left out. A sentence belongs to one split for
ever, by a hash of its English.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ossicle.world import parallel_words as w
from ossicle.world.grammar import Split, split_of
from ossicle.world.parallel_draw import Draw
from ossicle.world.parallel_meaning import (
    Clause,
    Fixed,
    Joined,
    Meaning,
    Near,
    Pronoun,
    Quality,
    Question,
    Request,
    Statement,
    Tense,
    There,
    Thing,
    TimeIs,
    Who,
)
from ossicle.world.say_english import english
from ossicle.world.say_english import number as english_number
from ossicle.world.say_french import french
from ossicle.world.say_french import number as french_number
from ossicle.world.say_german import german
from ossicle.world.say_german import number as german_number

LANGUAGES = ("en", "fr", "de")
MIN_WORDS, MAX_WORDS = 4, 14
MANY = 2000  # draws before we conclude that a split holds nothing
MARKS = re.compile(r"[^\w' ]|_")


@dataclass(frozen=True)
class Parallel:
    """A sentence in every language.

    Args:
        texts: language to sentence, written as people write: capitals, accents, a mark at the end.
        kind: one of `KINDS`.
        facts: what can be checked of it: "number", "clock" (h:mm), "question" (what is asked), "join", and of
            the first clause "tense", "negative" and "verb" (in English).
    """

    texts: dict[str, str]
    kind: str
    facts: dict[str, str]


def parallel(rng: np.random.Generator, split: Split = "train", *, kind: str | None = None) -> Parallel:
    """A sentence of 4 to 14 words in three languages; ``kind`` None draws one of `KINDS`, all alike often."""
    for _ in range(MANY):
        name = kind if kind is not None else str(rng.choice(KINDS))
        draw = Draw(rng)
        meaning = _KINDS[name](draw)
        if any(clause.subject in (clause.object, clause.receiver) for clause in _clauses(meaning)):
            continue  # "Anna calls Anna"
        texts = {"en": english(meaning), "fr": french(meaning), "de": german(meaning)}
        lengths = [len(spoken_form(text).split()) for text in texts.values()]
        if min(lengths) >= MIN_WORDS and max(lengths) <= MAX_WORDS and split_of(texts["en"]) == split:
            return Parallel(texts, name, _facts(meaning))
    raise AssertionError(f"nothing fits after {MANY} draws: the set is too small for the split {split}")


def spoken_form(text: str) -> str:
    """What is heard of a text: lower case, no marks; apostrophes inside words stay ("l'homme"), hyphens part words."""
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'").replace("-", " ")
    return " ".join(word.strip("'") for word in MARKS.sub(" ", text).split() if word.strip("'"))


# ---- kinds ----------------------------------------------------------------------------------------------------------


def _action(draw: Draw) -> Meaning:
    clause = draw.doing()
    if clause.tense == "present" and draw.maybe(0.35):
        often = draw.word("often sometimes never" if draw.deniable(clause.object) else "often sometimes")
        return Statement(replace(clause, often=often))
    clause = draw.when(clause)
    return Statement(draw.negated(clause))


def _count(draw: Draw) -> Meaning:
    verb = draw.one((w.HAVE, *w.COUNTING))
    classes = tuple(name for name in verb.takes if name not in w.UNCOUNTED and name not in w.HUMAN)
    clause = Clause(draw.somebody(), verb, draw.tense(verb), object=draw.counted(*classes))
    if verb is w.HAVE:
        return Statement(clause)
    return Statement(draw.when(clause, share=0.5))


def _going(draw: Draw) -> Meaning:
    tense: Tense = draw.one(("present", "past", "future"))
    subject = draw.somebody() if tense != "past" else draw.gendered()
    chance = draw.rng.random()
    if chance < 0.4:
        clause = Clause(subject, w.GO, tense, place=draw.one(w.GOALS), motion=True)
    elif chance < 0.6:
        city = draw.one(w.CITIES)
        to = Fixed(f"to {city.en}", f"à {city.fr}", f"nach {city.de}")
        clause = Clause(subject, w.TRAVEL, tense, place=to, motion=True)
    elif chance < 0.75:
        clause = Clause(subject, w.STAY, tense, place=draw.one((*w.PLACES[:12], w.HOME, w.HOME, w.HOME)))
    else:
        clause = Clause(subject, draw.one(w.COMING), tense)
    timed = draw.when(clause, share=0.85, clock=0.5)
    while clause.verb.fr.reflexive and timed.time is not None and not draw.exact(timed.time):
        timed = draw.when(clause, share=1.0, clock=0.6)  # nobody went to bed last year
    return Statement(replace(timed, negative=draw.maybe(0.12)))


def _where_is(draw: Draw) -> Meaning:
    subject = (
        draw.owned("animal", "tool", "vehicle", "garment", "holder")
        if draw.maybe(0.35)
        else draw.known("animal", "tool", "machine", "food", "garment", "pair", "vehicle", plural=0.3)
    )
    tense: Tense = draw.one(("present", "present", "past"))
    return Statement(Clause(subject, w.BE, tense, place=draw.near(subject.noun), negative=draw.maybe(0.15)))


def _there(draw: Draw) -> Meaning:
    chance = draw.rng.random()
    if chance < 0.5:
        thing = draw.counted("animal", "tool", "food", "garment", "person")
    elif chance < 0.75:
        thing = Thing(draw.noun(("animal", "tool", "food", "person"))[1], "many", True)
    else:
        thing = draw.thing("animal", "tool", "machine", "vehicle", dets="a", plural=0.0)
    if thing.noun.human or thing.noun in w.NOUNS["vehicle"]:
        return There(
            thing, draw.one(w.PLACES) if thing.noun.human else Near("in front of", draw.known("building", plural=0.0))
        )
    return There(thing, draw.near(thing.noun))


def _wish(draw: Draw) -> Meaning:
    modal = draw.word("want want can must like like")
    if draw.maybe(0.3):
        verb = draw.one((w.GO, w.STAY))
        place = draw.one(w.GOALS) if verb is w.GO else w.HOME
        clause = Clause(draw.somebody(), verb, modal=modal, place=place, motion=verb is w.GO)
    else:
        clause = replace(draw.doing(tenses=False), modal=modal)
        if isinstance(clause.subject, Thing) and not clause.subject.noun.human:
            clause = replace(clause, subject=draw.somebody())
    if draw.maybe(0.35):
        time = draw.one(w.TIMES["future"])
        clause = replace(clause, time=time, fronted=draw.maybe(0.3))
    if modal == "like":
        return Statement(clause)
    return Statement(draw.negated(clause))


def _question(draw: Draw) -> Meaning:
    asked = draw.one(("yes", "yes", "who", "what", "where", "when", "how many", "how old"))
    subject = draw.asked_of()
    match asked:
        case "who":
            clause = draw.doing()
            return Question("who", draw.when(replace(clause, subject=w.WHO), share=0.4))
        case "what":
            verb = draw.one(w.WHAT)
            return Question("what", draw.unfronted(Clause(subject, verb, draw.tense(verb), place=draw.place()), 0.5))
        case "where":
            verb = draw.one((*w.ACTING[:3], w.ACTING[6], w.GO, w.STAY))
            tense: Tense = draw.tense(verb)
            if tense == "past" and verb in (w.GO, w.STAY) and isinstance(subject, Pronoun):
                tense = "future"
            clause = Clause(subject, verb, tense, motion=verb is w.GO)
            return Question("where", draw.unfronted(clause, 0.5))
        case "when":
            verb = draw.one((*w.COMING, *w.ACTING[:3]))
            subject = draw.gendered()
            tense = draw.tense(verb)
            return Question("when", Clause(subject, verb, tense, place=draw.place() if verb in w.ACTING else None))
        case "how many":
            verb = draw.one((w.HAVE, *w.COUNTING))
            classes = tuple(name for name in verb.takes if name not in w.UNCOUNTED and name not in w.HUMAN)
            things = Thing(draw.noun(classes)[1], "many", True)
            clause = Clause(subject, verb, draw.tense(verb), object=things)
            return Question("how many", clause if verb is w.HAVE else draw.unfronted(clause, 0.4))
        case "how old":
            who: Who = draw.owned("animal", "building", "vehicle") if draw.maybe(0.5) else draw.of_age()
            return Question("how old", Clause(who, w.BE))
        case _:
            clause = draw.doing()
            if draw.maybe(0.3):
                clause = Clause(
                    subject, w.HAVE, object=draw.thing("animal", "vehicle", "machine", dets="a", plural=0.0)
                )
            if isinstance(clause.subject, Pronoun) and clause.subject.word == "I":
                clause = replace(clause, subject=w.PRONOUNS["you"])
            return Question("yes", draw.unfronted(clause, 0.4))


def _that(draw: Draw) -> Meaning:
    verb = draw.one((w.KNOW_THAT, w.THINK, w.SAY, w.HOPE))
    return Joined("that", Clause(draw.somebody(plural=0.1), verb), draw.inner())


def _because(draw: Draw) -> Meaning:
    first = draw.state() if draw.maybe(0.5) else draw.doing()
    if first.quality is None and first.idiom is None and draw.maybe(0.4):
        first = draw.negated(first, 0.7)
    return Joined("because", first, draw.inner())


def _when(draw: Draw) -> Meaning:
    second = draw.weather("present", now=False) if draw.maybe(0.4) else draw.habit()
    return Joined("when", draw.habit(), second)


def _both(draw: Draw) -> Meaning:
    first, second = draw.inner(), draw.inner()
    return Joined(draw.word("and but"), first, replace(second, fronted=False))


def _compare(draw: Draw) -> Meaning:
    name = draw.one(("kin", "animal", "wild", "vehicle", "building", "garment", "holder", "kin"))
    allowed = tuple(one for one in w.PREDICATES[name].split() if one not in w.UNCOMPARED.split())
    adjective = w.ADJECTIVES[draw.one(allowed)]
    subject: Who = draw.one(w.NAMES) if name == "kin" and draw.maybe(0.3) else draw.compared(name)
    other = draw.compared(name)
    if isinstance(subject, Thing) and subject.noun == other.noun and subject.of == other.of:
        subject = draw.one(w.NAMES) if name == "kin" else draw.known(name, plural=0.0)
    degree = draw.one(("more", "more", "as"))
    tense: Tense = draw.one(("present", "present", "past"))
    quality = Quality(adjective, degree="as" if degree == "as" else "more", other=other)
    return Statement(Clause(subject, w.BE, tense, quality=quality))


def _describe(draw: Draw) -> Meaning:
    return Statement(draw.described(negative=0.2, timed=True))


def _weather(draw: Draw) -> Meaning:
    tense: Tense = draw.one(("present", "past", "future"))
    clause = draw.weather(tense, now=True)
    place = draw.in_city() if draw.maybe(0.7) else draw.one(w.PLACES[9:12])
    time = draw.one(w.TODAY) if tense == "present" else draw.time(tense)
    return Statement(
        replace(clause, place=place, time=time, fronted=draw.maybe(0.5), negative=draw.maybe(0.25)),
    )


def _clock(draw: Draw) -> Meaning:
    if draw.maybe(0.2):
        return TimeIs(draw.clock(), draw.in_city() if draw.maybe(0.85) else None)
    chance = draw.rng.random()
    tense: Tense = draw.one(("present", "present", "past", "future"))
    if chance < 0.4:
        noun = draw.one(w.NOUNS["transport"])
        leaving = w.FLY_OFF if noun.en == "plane" else w.LEAVE
        verb = draw.one((leaving, w.ARRIVE))
        place = None
        if verb is w.ARRIVE and draw.maybe(0.7):
            place = w.AIRPORT if noun.en == "plane" else w.STATION if draw.maybe(0.5) else draw.in_city()
        clause = Clause(Thing(noun, draw.word("the the our")), verb, tense, place=place)
    elif chance < 0.7:
        noun = draw.one(w.NOUNS["event"])
        clause = Clause(Thing(noun, "the", adjectives=draw.attributes("event")), draw.one((w.BEGIN, w.END)), tense)
    else:
        noun = draw.one(w.NOUNS["shop"])
        clause = Clause(Thing(noun, "the", adjectives=draw.attributes("shop")), draw.one((w.OPENS, w.CLOSES)), tense)
    time = draw.one(w.TIMES[tense][4:] if tense == "present" else w.ON_DAYS) if draw.maybe(0.6) else None
    return Statement(replace(clause, time=time, clock=draw.clock(), fronted=draw.maybe(0.3)))


def _give(draw: Draw) -> Meaning:
    verb = draw.one(w.GIVING)
    clause = Clause(draw.somebody(), verb, draw.tense(verb), object=draw.object(verb), receiver=draw.other())
    clause = draw.when(clause, share=0.4, clock=0.0)
    return Statement(draw.negated(clause, 0.12))


def _feeling(draw: Draw) -> Meaning:
    idiom = draw.one(w.IDIOMS)
    tense: Tense = draw.one(("present", "present", "past"))
    clause = Clause(draw.somebody(), idiom.verb, tense, idiom=idiom, negative=draw.maybe(0.25))
    if tense == "past":
        return Statement(draw.when(clause, share=1.0, clock=0.3))
    if draw.maybe(0.5):
        return Joined("because", clause, draw.inner())
    return Joined(draw.word("and but"), clause, draw.state())


def _price(draw: Draw) -> Meaning:
    value = int(draw.rng.integers(2, 100))
    subject: Who
    if draw.maybe(0.5):
        subject = draw.owned("vehicle", "animal") if draw.maybe(0.3) else draw.of_age()
        if isinstance(subject, Thing) and (subject.noun.en in w.CHILDREN or subject.noun in w.NOUNS["animal"]):
            value = int(draw.rng.integers(2, 17))
        years = f"{english_number(value)} years old", f"{french_number(value)} ans", f"{german_number(value)} Jahre alt"
        return Statement(Clause(subject, w.AGED, amount=Fixed(*years)))
    subject = draw.known("tool", "garment", "furniture", "machine", "holder", "pair", "vehicle")
    price = f"{english_number(value)} euros", f"{french_number(value)} euros", f"{german_number(value)} Euro"
    tense: Tense = draw.one(("present", "present", "future"))
    return Statement(Clause(subject, w.COST, tense, amount=Fixed(*price)))


def _liking(draw: Draw) -> Meaning:
    name, noun = draw.noun(w.LIKE.takes)
    things = Thing(noun, "all", name not in w.UNCOUNTED, draw.attributes(name)[:1] if draw.maybe(0.6) else ())
    clause = Clause(draw.somebody(), w.LIKE, object=things, negative=draw.maybe(0.3))
    if draw.maybe(0.6):
        return Joined(draw.word("but and because"), clause, draw.state())
    return Statement(clause)


def _request(draw: Draw) -> Meaning:
    verb = draw.one(w.ASKED_FOR)
    receiver = draw.other() if verb in w.GIVING else None
    return Request(verb, draw.object(verb), receiver)


_KINDS: dict[str, Callable[[Draw], Meaning]] = {
    "action": _action,
    "count": _count,
    "going": _going,
    "where is": _where_is,
    "there is": _there,
    "wish": _wish,
    "question": _question,
    "that": _that,
    "because": _because,
    "when": _when,
    "both": _both,
    "compare": _compare,
    "describe": _describe,
    "weather": _weather,
    "clock": _clock,
    "give": _give,
    "feeling": _feeling,
    "price": _price,
    "liking": _liking,
    "request": _request,
}
KINDS: tuple[str, ...] = tuple(_KINDS)


# ---- facts ----------------------------------------------------------------------------------------------------------


def _clauses(meaning: Meaning) -> tuple[Clause, ...]:
    match meaning:
        case Statement() | Question():
            return (meaning.clause,)
        case Joined():
            return meaning.first, meaning.second
        case _:
            return ()


def _facts(meaning: Meaning) -> dict[str, str]:
    facts: dict[str, str] = {}
    match meaning:
        case Question():
            facts["question"] = meaning.asked
        case Joined():
            facts["join"] = meaning.word
        case There() if meaning.thing.number:
            facts["number"] = str(meaning.thing.number)
        case Request():
            facts["verb"] = meaning.verb.en[0]
        case TimeIs():
            facts["clock"] = f"{meaning.clock.hour}:{meaning.clock.minute:02d}"
    for clause in _clauses(meaning)[:1]:
        facts["tense"], facts["verb"] = clause.tense, clause.verb.en[0]
        if clause.negative:
            facts["negative"] = "yes"
        if clause.object is not None and clause.object.number:
            facts["number"] = str(clause.object.number)
        if clause.clock is not None:
            facts["clock"] = f"{clause.clock.hour}:{clause.clock.minute:02d}"
    return facts
