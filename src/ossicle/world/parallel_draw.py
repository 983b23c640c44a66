"""The pieces of parallel sentences: who, what, where, when, and whole clauses, drawn so that they make sense.

Knows chance and the words' classes; does not know any language's grammar, nor which kinds of sentences there are. What
one language could not tell from another is never drawn: in the past, French tells "I went" of a man from that of a
woman by a letter that nobody hears.
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from ossicle.world import parallel_words as w
from ossicle.world.parallel_meaning import (
    Adjective,
    Clause,
    Clock,
    Fixed,
    Name,
    Near,
    Noun,
    Pronoun,
    Quality,
    Tense,
    Thing,
    Verb,
    Who,
    person_of,
)
from ossicle.world.say_english import number as english_number
from ossicle.world.say_french import number as french_number
from ossicle.world.say_german import number as german_number

T = TypeVar("T")
MINUTES = (0, 0, 5, 10, 15, 20, 30, 30, 40, 45, 50, 55)


class Draw:
    """Chance, and what is drawn with it.

    Args:
        rng: draws everything.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def maybe(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def one(self, options: tuple[T, ...]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def word(self, options: str) -> str:
        return self.one(tuple(options.split()))

    def noun(self, classes: tuple[str, ...]) -> tuple[str, Noun]:
        name = self.one(classes)
        return name, self.one(w.NOUNS[name])

    def attributes(self, name: str) -> tuple[Adjective, ...]:
        """None, one or (one before and one after the French noun) two adjectives."""
        allowed = [w.ADJECTIVES[word] for word in w.ATTRIBUTES[name].split()]
        if not allowed or self.maybe(0.45):
            return ()
        first = self.one(tuple(allowed))
        after = tuple(one for one in allowed if not one.fr_before and one.en in w.COLOURS)
        if first.fr_before and after and self.maybe(0.25):
            return first, self.one(after)
        return (first,)

    def thing(self, *classes: str, dets: str = "the the a my your this our", plural: float = 0.25) -> Thing:
        """A noun of one of the classes, of people only such as can be anybody's."""
        name, noun = self.noun(classes)
        if name == "kin":
            many = self.maybe(plural) and noun.en in w.SEVERAL
            return Thing(noun, self.word("my my your our"), many)
        if name in w.UNCOUNTED:
            det = "bare" if "a" in dets.split() and self.maybe(0.6) else "the"
            return Thing(noun, det, adjectives=self.attributes(name) if self.maybe(0.4) else ())
        many = self.maybe(plural)
        det = self.word(dets)
        if name == "person" and det in ("my", "your", "our"):
            det = "the"
        if name == "pair":
            many, det = True, "the" if det == "a" else det
        if name == "wild" and det in ("my", "your", "our"):
            det = "this"
        if name == "building" and det in ("my", "your", "our") and noun.en not in w.OWNABLE:
            det = "the"
        if many and det == "a":
            return Thing(noun, "bare", True)
        return Thing(noun, det, many, self.attributes(name))

    def known(self, *classes: str, plural: float = 0.2) -> Thing:
        return self.thing(*classes, dets="the the the my your this our", plural=plural)

    def owned(self, *classes: str) -> Thing:
        """Something of somebody: "my uncle's dog", "Anna's hat"."""
        name, noun = self.noun(classes)
        while name == "building" and noun.en not in w.OWNABLE:
            noun = self.one(w.NOUNS[name])
        owner: Thing | Name = self.one(w.NAMES)
        if self.maybe(0.65):
            owner = Thing(self.one(w.NOUNS["kin"]), self.word("my your our"))
        return Thing(noun, "the", of=owner)

    def counted(self, *classes: str, most: int = 99) -> Thing:
        name, noun = self.noun(classes)
        value = int(self.rng.integers(2, 13 if self.maybe(0.5) else most + 1))
        adjectives = self.attributes(name) if self.maybe(0.4) else ()
        return Thing(noun, "number", True, adjectives[:1], value)

    def somebody(self, *, plural: float = 0.2) -> Who:
        """Any person who does something."""
        chance = self.rng.random()
        if chance < 0.3:
            return w.PRONOUNS[self.word("I I I you you he she we we")]
        if chance < 0.45:
            return self.one(w.NAMES)
        found = self.thing("person", "kin", dets="the the the a this", plural=plural)
        return replace(found, det="the") if found.det == "bare" else found

    def other(self) -> Thing | Name:
        """A person as an object."""
        if self.maybe(0.25):
            return self.one(w.NAMES)
        return self.thing("person", "kin", dets="the the a this", plural=0.15)

    def gendered(self) -> Who:
        """A person whose gender is told, so that a French participle can agree."""
        while True:
            found = self.somebody()
            if not isinstance(found, Pronoun) or found.word in ("he", "she"):
                return found

    def clock(self) -> Clock:
        """A time; the hour that French says is never twelve, which people call noon or midnight there."""
        while True:
            clock = Clock(int(self.rng.integers(1, 13)), self.one(MINUTES))
            if (clock.hour if clock.minute <= 30 else clock.hour % 12 + 1) != 12:
                return clock

    def time(self, tense: Tense) -> Fixed:
        if tense != "present" and self.maybe(0.3):
            return self.far(tense)
        return self.one(w.TIMES[tense])

    def far(self, tense: Tense) -> Fixed:
        """So many days ago, in so many weeks."""
        shape = self.one(w.AGO)[tense == "future"]
        value = int(self.rng.integers(2, 32))
        return Fixed(
            shape.en.format(english_number(value)),
            shape.fr.format(french_number(value)),
            shape.de.format(german_number(value)),
        )

    def when(self, clause: Clause, *, share: float = 0.6, clock: float = 0.25) -> Clause:
        """The clause with a time that fits its tense, perhaps a time of day; perhaps both come first."""
        time = self.time(clause.tense) if self.maybe(share) and not clause.often else None
        with_clock = self.clock() if time is not None and self.exact(time) and self.maybe(clock) else None
        return replace(clause, time=time, clock=with_clock, fronted=time is not None and self.maybe(0.4))

    def exact(self, time: Fixed) -> bool:
        """Whether a time of day can follow."""
        return time.en in w.EXACT or time.en.partition(" ")[2] in w.DAY_NAMES

    def tense(self, verb: Verb) -> Tense:
        tenses: tuple[Tense, ...] = ("present", "past", "future") if verb.has_past else ("present", "future")
        return self.one(tenses)

    def object(self, verb: Verb) -> Thing:
        """An object that fits the verb."""
        name = self.one(verb.takes)
        if name in w.HUMAN:
            return self.thing(name, dets="the the a this", plural=0.15)
        if name not in (*w.UNCOUNTED, "wild") and self.maybe(0.15):
            return self.owned(name) if name not in ("pair", "food") else self.thing(name)
        return self.thing(name)

    def doing(self, *, tenses: bool = True) -> Clause:
        """Somebody (or an animal) does something."""
        if self.maybe(0.12):
            subject, verb = self.known("animal", "wild", plural=0.3), self.one(w.ANIMAL_ACTING)
            tense = self.tense(verb) if tenses else "present"
            return Clause(subject, verb, tense, place=self.place())
        if self.maybe(0.25):
            verb = self.one(w.ACTING)
            tense = self.tense(verb) if tenses else "present"
            return Clause(self.somebody(), verb, tense, place=self.place())
        verb = self.one(w.TRANSITIVE)
        tense = self.tense(verb) if tenses else "present"
        someone = self.somebody()
        while not verb.has_past and tense == "present" and person_of(someone) != "3s":
            someone = self.somebody()  # "we read" could be now or then
        return Clause(someone, verb, tense, object=self.object(verb))

    def place(self) -> Fixed | Near | None:
        if self.maybe(0.4):
            return None
        return self.one(w.PLACES) if self.maybe(0.8) else self.in_city()

    def in_city(self) -> Fixed:
        city = self.one(w.CITIES)
        return Fixed(f"in {city.en}", f"à {city.fr}", f"in {city.de}")

    def near(self, noun: Noun) -> Near:
        """Where a thing can be: small ones in and on others, big ones beside."""
        sizes = [name for name in ("tool", "food", "garment", "pair", "animal", "machine") if noun in w.NOUNS[name]]
        relations: tuple[str, ...] = ("behind", "in front of", "next to")
        if sizes:
            relations += ("on", "under")
        if sizes and sizes[0] in ("tool", "food", "garment", "pair"):
            relations += ("in", "on", "in")
        relation = self.one(relations)
        if not sizes:
            return Near(relation, self.known("building", plural=0.0))
        if relation == "in":
            return Near("in", self.known("holder", plural=0.0))
        if relation in ("on", "under"):
            return Near(relation, self.known("furniture", plural=0.0))
        return Near(relation, self.known("furniture", "furniture", "building", plural=0.0))

    def weather(self, tense: Tense, *, now: bool) -> Clause:
        if self.maybe(0.5):
            verb = self.one(w.RAINING)
            return Clause(w.IT, verb, tense, now=now and tense == "present")
        idiom = self.one(w.BEING_WEATHER)
        return Clause(w.IT, idiom.verb, tense, idiom=idiom)

    def negated(self, clause: Clause, share: float = 0.2) -> Clause:
        """Perhaps the clause's contrary, where that is said alike and clearly in every language."""
        if clause.often or clause.modal == "must" or clause.place is not None or not self.deniable(clause.object):
            return clause
        return replace(clause, negative=True) if self.maybe(share) else clause

    def deniable(self, thing: Thing | None) -> bool:
        """Whether "no such thing" is heard alike and clearly: "pas de pomme" and "pas de pommes" are not told apart."""
        if thing is None or thing.det in ("the", "my", "your", "our", "this"):
            return True
        return thing.det in ("a", "bare") and not thing.plural and not thing.noun.human

    def unfronted(self, clause: Clause, share: float) -> Clause:
        """The clause with a time, if with any, at its end."""
        return replace(self.when(clause, share=share, clock=0.2), fronted=False)

    def asked_of(self) -> Who:
        """Whom one asks about; nobody asks about oneself."""
        while True:
            found = self.somebody()
            if not isinstance(found, Pronoun) or found.word != "I":
                return found

    def of_age(self) -> Who:
        """One person who has an age."""
        while True:
            found = self.asked_of()
            if not isinstance(found, Thing) or not found.plural:
                return found

    def compared(self, name: str) -> Thing:
        """One or several of a class, as people compare them."""
        if name not in ("kin", "wild") and self.maybe(0.5):
            return self.owned(name)
        found = self.known(name, plural=0.2)
        return replace(found, adjectives=()) if self.maybe(0.5) else found

    def described(self, *, negative: float, timed: bool) -> Clause:
        """Somebody or something is so."""
        tense: Tense = self.one(("present", "present", "past"))
        if self.maybe(0.25):
            pronoun = self.word("I you we he she")
            subject: Who = w.PRONOUNS[pronoun]
            words = w.PREDICATES["kin"] if pronoun in ("he", "she") else w.EITHER
        else:
            name = self.one(
                ("person", "kin", "kin", "animal", "wild", "tool", "vehicle", "building", "garment", "furniture")
            )
            thing = self.known(name)
            subject, words = replace(thing, adjectives=()), w.PREDICATES[name]
            if name == "kin" and self.maybe(0.25):
                subject = self.one(w.NAMES)
            elif name not in ("kin", "wild", "person") and self.maybe(0.3):
                subject = self.owned(name)
        adjective = w.ADJECTIVES[self.word(words)]
        very = self.maybe(0.35) and adjective.en not in w.COLOURS
        is_not = self.maybe(negative) and not very
        clause = Clause(subject, w.BE, tense, quality=Quality(adjective, very=very), negative=is_not)
        return self.when(clause, clock=0.1) if timed and tense == "past" and adjective.en in w.PASSING else clause

    def state(self) -> Clause:
        """Somebody is so, or feels so."""
        if self.maybe(0.45):
            idiom = self.one(w.IDIOMS)
            return Clause(self.somebody(), idiom.verb, idiom=idiom, negative=self.maybe(0.15))
        return self.described(negative=0.15, timed=False)

    def inner(self) -> Clause:
        """A short clause for a sentence of two."""
        chance = self.rng.random()
        if chance < 0.15:
            return self.weather(self.one(("present", "past", "future")), now=True)
        if chance < 0.3:
            tense: Tense = self.one(("present", "future"))
            return Clause(self.somebody(), w.GO, tense, place=self.one(w.GOALS), motion=True)
        if chance < 0.4:
            return self.state()
        if chance < 0.45:
            known = self.thing("person", "kin", dets="the this", plural=0.15)
            return Clause(self.somebody(), w.KNOW, object=known, negative=self.maybe(0.3))
        clause = self.doing()
        return self.negated(clause, 0.15) if self.maybe(0.6) else self.unfronted(clause, 0.5)

    def habit(self) -> Clause:
        """What somebody does whenever something else is so."""
        chance = self.rng.random()
        if chance < 0.25:
            return Clause(self.somebody(), w.STAY, place=w.HOME)
        if chance < 0.45:
            return Clause(self.somebody(), w.GO, place=self.one(w.GOALS), motion=True)
        if chance < 0.6:
            idiom = self.one(w.IDIOMS[:3])
            return Clause(self.somebody(), idiom.verb, idiom=idiom)
        if chance < 0.75:
            return Clause(self.somebody(), self.one(w.COMING))
        return self.doing(tenses=False)
