"""English of a meaning: do-support, irregular forms, "a" or "an".

Knows English; does not know the other languages, nor what can be meant.
"""

import re

from ossicle.world.parallel_meaning import (
    Clause,
    Clock,
    Fixed,
    Joined,
    Meaning,
    Name,
    Near,
    Pronoun,
    Quality,
    Question,
    Request,
    Statement,
    There,
    Thing,
    TimeIs,
    Who,
    person_of,
)
from ossicle.world.parallel_words import PROGRESSIVE

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_BE = {
    "present": {"1s": "am", "2s": "are", "3s": "is", "1p": "are", "3p": "are"},
    "past": {"1s": "was", "2s": "were", "3s": "was", "1p": "were", "3p": "were"},
}
_AN = re.compile(r"\b([Aa]) (?=[aeiou])")


def english(meaning: Meaning) -> str:
    """The sentence."""
    match meaning:
        case Statement():
            words, end = _clause(meaning.clause), "."
        case Joined():
            words, end = _joined(meaning), "."
        case Question():
            words, end = _question(meaning), "?"
        case There():
            be = "are" if meaning.thing.plural else "is"
            words, end = ["there", be, thing(meaning.thing), _place(meaning.place)], "."
        case Request():
            receiver = who(meaning.receiver) if meaning.receiver else ""
            words = [meaning.verb.en[0], receiver, f"{thing(meaning.object)}, please"]
            end = "."
        case TimeIs():
            words, end = ["it is", time_of_day(meaning.clock), meaning.place.en if meaning.place else ""], "."
    text = _AN.sub(r"\1n ", " ".join(word for word in words if word))
    return text[0].upper() + text[1:] + end


def number(value: int) -> str:
    """A number from 0 to 99 in words."""
    if value < 20:
        return _SMALL[value]
    tens = _TENS[value // 10 - 2]
    return tens if value % 10 == 0 else f"{tens}-{_SMALL[value % 10]}"


def time_of_day(clock: Clock) -> str:
    """ "half past four", "quarter to five", "ten past six", "seven o'clock"."""
    hour, following = _SMALL[clock.hour], _SMALL[clock.hour % 12 + 1]
    match clock.minute:
        case 0:
            return f"{hour} o'clock"
        case 15:
            return f"quarter past {hour}"
        case 30:
            return f"half past {hour}"
        case 45:
            return f"quarter to {following}"
        case minute if minute < 30:
            return f"{number(minute)} past {hour}"
        case minute:
            return f"{number(60 - minute)} to {following}"


def who(subject: Who) -> str:
    """Somebody or something."""
    match subject:
        case Thing():
            return thing(subject)
        case Name():
            return subject.text
        case Pronoun():
            return subject.word


def thing(said: Thing) -> str:
    """A noun with what goes before it."""
    noun = said.noun.en_plural if said.plural else said.noun.en
    if said.of is not None:
        det = f"{who(said.of)}'s"
    elif said.det == "number":
        det = number(said.number)
    elif said.det == "this":
        det = "these" if said.plural else "this"
    else:
        det = "" if said.det in ("bare", "all") else said.det
    adjectives = [one.en_human if said.noun.human else one.en for one in said.adjectives]
    return " ".join(word for word in (det, *adjectives, noun) if word)


def _clause(clause: Clause) -> list[str]:
    finite, rest = _verb(clause, asked=False)
    times = _times(clause)
    front, back = (times, []) if clause.fronted else ([], times)
    return [*front, who(clause.subject), finite, clause.often, *rest, *_tail(clause), *back]


def _verb(clause: Clause, *, asked: bool) -> tuple[str, list[str]]:
    """What stands before an asked subject (after a told one), and the rest."""
    base, third, past = clause.verb.en
    person = person_of(clause.subject)
    negation = ["not"] if clause.negative else []
    if base == "be" and clause.tense != "future" and not clause.modal:
        return _BE[clause.tense][person], negation
    if clause.now:
        return "is", [*negation, PROGRESSIVE[base]]
    if clause.modal == "can":
        return "cannot" if clause.negative else "can", [base]
    if clause.modal == "must":
        return "must", [*negation, base]
    if clause.modal == "like":
        return "would", [*negation, "like to", base]
    if clause.tense == "future":
        return "will", [*negation, base]
    after = []
    if clause.modal:
        base, third, after = "want", "wants", [f"to {base}"]
    if asked or clause.negative:
        do = "did" if clause.tense == "past" else "does" if person == "3s" else "do"
        return do, [*negation, base, *after]
    inflected = past if clause.tense == "past" else third if person == "3s" else base
    return "", [inflected, *after]


def _tail(clause: Clause) -> list[str]:
    """What follows the verb, without times."""
    words = []
    if clause.idiom is not None:
        words.append(clause.idiom.en)
    if clause.quality is not None:
        words.append(_quality(clause.quality, clause.subject))
    if clause.amount is not None:
        words.append(clause.amount.en)
    if clause.receiver is not None:
        words.append(who(clause.receiver))
    if clause.object is not None:
        words.append(thing(clause.object))
    if clause.place is not None:
        words.append(_place(clause.place))
    return words


def _quality(quality: Quality, subject: Who) -> str:
    human = not isinstance(subject, Thing) or subject.noun.human
    adjective = quality.adjective
    word = adjective.en_human if human else adjective.en
    if quality.other is None:
        return f"very {word}" if quality.very else word
    if quality.degree == "as":
        return f"as {word} as {who(quality.other)}"
    bigger, _, taller = adjective.en_more.partition("/")
    return f"{taller if taller and human else bigger} than {who(quality.other)}"


def _place(place: Fixed | Near) -> str:
    return place.en if isinstance(place, Fixed) else f"{place.relation} {thing(place.thing)}"


def _times(clause: Clause) -> list[str]:
    times = [clause.time.en] if clause.time is not None else []
    return [*times, f"at {time_of_day(clause.clock)}"] if clause.clock is not None else times


def _joined(joined: Joined) -> list[str]:
    first, second = ([word for word in _clause(clause) if word] for clause in (joined.first, joined.second))
    if joined.word == "when":
        return ["when", " ".join(second) + ",", *first]
    if joined.word == "but":
        first[-1] += ","
    return [*first, joined.word, *second]


def _question(question: Question) -> list[str]:
    clause = question.clause
    if question.asked == "who":
        return _clause(clause)
    asked, rest = _verb(clause, asked=True)
    tail = [clause.often, *rest, *_tail(clause), *_times(clause)]
    match question.asked:
        case "yes":
            begin = []
        case "how many":
            assert clause.object is not None
            noun = clause.object.noun.en_plural
            begin = [f"how many {noun}"]
            tail = [word for word in tail if word != thing(clause.object)]
        case _:
            begin = [question.asked]
    return [*begin, asked, who(clause.subject), *tail]
