"""German of a meaning: the verb second or last, cases, endings of articles and adjectives, parted verbs.

Knows German; does not know the other languages, nor what can be meant.
"""

import re
from typing import Literal

from ossicle.world.parallel_meaning import (
    PERSONS,
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
from ossicle.world.parallel_words import IT, RELATIONS

Case = Literal["nom", "acc", "dat", "gen"]
_SMALL = (
    "null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf",
    "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)  # fmt: skip
_TENS = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
_PRONOUNS = {"I": "ich", "you": "du", "he": "er", "she": "sie", "we": "wir", "it": "es", "who": "wer"}
_OFTEN = {"often": "oft", "sometimes": "manchmal", "never": "nie"}
_MODALS = {
    "want": ["will", "willst", "will", "wollen", "wollen"],
    "can": ["kann", "kannst", "kann", "können", "können"],
    "must": ["muss", "musst", "muss", "müssen", "müssen"],
    "like": ["möchte", "möchtest", "möchte", "möchten", "möchten"],
}
_WILL = ["werde", "wirst", "wird", "werden", "werden"]
_HAVE = ["habe", "hast", "hat", "haben", "haben"]
_AM = ["bin", "bist", "ist", "sind", "sind"]
_PAST = {"sein": ["war", "warst", "war", "waren", "waren"], "haben": ["hatte", "hattest", "hatte", "hatten", "hatten"]}
_JOINS = {"that": "dass", "because": "weil", "and": "und", "but": "aber", "when": "wenn"}
_ASKED = {"who": "wer", "what": "was", "when": "wann", "how old": "wie alt"}
# Endings by case: masculine, feminine, neuter, plural.
_DER = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den", "gen": "des der des der"}
_DIESER = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "es er es er"}
_EIN = {"nom": " e  e", "acc": "en e  e", "dat": "em er em en", "gen": "es er es er"}
_STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "en er en er"}
_WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en", "gen": "en en en en"}
_EIN_WORDS = {"a": "ein", "my": "mein", "your": "dein", "our": "unser", "no": "kein"}
_MERGED = re.compile(r"\b(in dem|an dem|zu dem|von dem|in das|zu der)\b")
_MERGING = {"in dem": "im", "an dem": "am", "zu dem": "zum", "von dem": "vom", "in das": "ins", "zu der": "zur"}


def german(meaning: Meaning) -> str:
    """The sentence."""
    match meaning:
        case Statement():
            words, end = _main(meaning.clause), "."
        case Joined():
            words, end = _joined(meaning), "."
        case Question():
            words, end = _question(meaning), "?"
        case There():
            be = "sind" if meaning.thing.plural else "ist"
            words, end = [_place(meaning.place), be, thing(meaning.thing, "nom")], "."
        case Request():
            words, end = _request(meaning), "."
        case TimeIs():
            place = f"{meaning.place.de} ist es" if meaning.place else "es ist"
            words, end = [place, time_of_day(meaning.clock)], "."
    text = " ".join(word for word in words if word)
    text = _MERGED.sub(lambda match: _MERGING[match[1]], text)
    return text[0].upper() + text[1:] + end


def number(value: int) -> str:
    """A number from 0 to 99 in words; one is "ein"."""
    if value < 20:
        return _SMALL[value]
    tens = _TENS[value // 10 - 2]
    return tens if value % 10 == 0 else f"{_SMALL[value % 10]}und{tens}"


def time_of_day(clock: Clock) -> str:
    """ "halb fünf", "Viertel vor fünf", "zehn nach sechs", "sieben Uhr"."""

    def hour(value: int) -> str:
        return "eins" if value == 1 else number(value)

    following = hour(clock.hour % 12 + 1)
    match clock.minute:
        case 0:
            return f"{number(clock.hour)} Uhr"
        case 15:
            return f"Viertel nach {hour(clock.hour)}"
        case 30:
            return f"halb {following}"
        case 45:
            return f"Viertel vor {following}"
        case minute if minute < 30:
            return f"{number(minute)} nach {hour(clock.hour)}"
        case minute:
            return f"{number(60 - minute)} vor {following}"


def who(subject: Who, case: Case) -> str:
    """Somebody or something in a case."""
    match subject:
        case Thing():
            return thing(subject, case)
        case Name():
            return subject.text
        case Pronoun():
            return _PRONOUNS[subject.word]


def thing(said: Thing, case: Case, *, negated: bool = False) -> str:
    """A noun with what goes before and after it; of ``negated`` things that are not "the" or "my" there are none."""
    at = 3 if said.plural else "mfn".index(said.noun.de_gender)
    det = "no" if negated and said.det in ("a", "bare", "all") else said.det
    after: list[str] = []
    endings = _STRONG
    if isinstance(said.of, Name):
        article = f"{said.of.text}s"
    elif det in ("the", "this"):
        article = _ending(_DER, case, at) if det == "the" else "dies" + _ending(_DIESER, case, at)
        endings = _WEAK
        if said.of is not None:
            after = [thing(said.of, "gen")]
    elif det in _EIN_WORDS:
        ending = _ending(_EIN, case, at)
        article = _EIN_WORDS[det] + ending
        if ending or at == 3:
            endings = _WEAK
    else:
        many = "vielen" if case == "dat" else "viele"
        article = number(said.number) if det == "number" else many if det == "many" else ""
    adjectives = [one.de_stem + _ending(endings, case, at) for one in said.adjectives]
    return " ".join(word for word in (article, *adjectives, _noun(said, case), *after) if word)


def _ending(table: dict[str, str], case: Case, at: int) -> str:
    return table[case].split(" ")[at]


def _noun(said: Thing, case: Case) -> str:
    noun = said.noun
    if said.plural:
        return noun.de_plural + ("n" if case == "dat" and not noun.de_plural.endswith(("n", "s")) else "")
    if noun.de_weak and case != "nom":
        return noun.de_weak
    if case == "gen" and noun.de_gender != "f":
        long = len(re.findall("[aeiouäöü]+", noun.de.lower())) == 1
        return noun.de + ("es" if long else "s")
    return noun.de


def _parts(clause: Clause) -> tuple[str, list[str], str]:
    """The finite verb, what stands between it and the end, the end."""
    person = PERSONS.index(person_of(clause.subject))
    verb = clause.verb.de
    whole = _together(verb.particle, verb.infinitive)
    middle = _middle(clause)
    if clause.modal:
        return _MODALS[clause.modal][person], middle, whole
    if clause.tense == "future":
        return _WILL[person], middle, whole
    if clause.tense == "present":
        finite = _AM[person] if verb.infinitive == "sein" else verb.present[person]
        return finite, middle, verb.particle
    if verb.infinitive in _PAST:
        return _PAST[verb.infinitive][person], middle, ""
    return (_AM if verb.sein else _HAVE)[person], middle, verb.participle


def _middle(clause: Clause) -> list[str]:
    """What stands between the verb's two ends: times, who gets, the known, places, the new, "nicht", where to."""
    negated = clause.negative or clause.often == "never"
    frame = clause.verb.de.frame
    words = [] if clause.fronted else _times(clause)
    if clause.often and clause.often != "never":
        words.append(_OFTEN[clause.often])
    if clause.receiver is not None:
        words.append(who(clause.receiver, "dat"))
    object_, known = "", False
    if clause.object is not None:
        object_ = thing(clause.object, "dat" if frame == "dat" else "acc", negated=clause.negative)
        known = clause.object.det in ("the", "my", "your", "our", "this")
        if frame == "auf":
            object_, known = f"auf {object_}", False
    place = _place(clause.place) if clause.place is not None else ""
    none = clause.object is not None and clause.object.det in ("a", "bare", "all")
    not_ = "nie" if clause.often == "never" else "nicht" if clause.negative and not none and not clause.idiom else ""
    if known:
        words.append(object_)
    words += [place, not_] if clause.subject == IT else [not_, place]
    if not known:
        words.append(object_)
    if clause.idiom is not None:
        words.append(clause.idiom.de_not if negated else clause.idiom.de)
    if clause.quality is not None:
        words.append(_quality(clause.quality))
    if clause.amount is not None:
        words.append(clause.amount.de)
    return words


def _quality(quality: Quality) -> str:
    word = quality.adjective.de
    if quality.other is None:
        return f"sehr {word}" if quality.very else word
    other = who(quality.other, "nom")
    return f"so {word} wie {other}" if quality.degree == "as" else f"{quality.adjective.de_more} als {other}"


def _place(place: Fixed | Near) -> str:
    if isinstance(place, Fixed):
        return place.de
    return f"{RELATIONS[place.relation].de} {thing(place.thing, 'dat')}"


def _times(clause: Clause) -> list[str]:
    times = [clause.time.de] if clause.time is not None else []
    return [*times, f"um {time_of_day(clause.clock)}"] if clause.clock is not None else times


def _main(clause: Clause) -> list[str]:
    finite, middle, end = _parts(clause)
    subject = who(clause.subject, "nom")
    if clause.fronted:
        return [*_times(clause), finite, subject, *middle, end]
    return [subject, finite, *middle, end]


def _subordinate(clause: Clause) -> list[str]:
    finite, middle, end = _parts(clause)
    times = _times(clause) if clause.fronted else []
    split = clause.tense == "present" and not clause.modal
    return [who(clause.subject, "nom"), *times, *middle, _together(end, finite) if split else f"{end} {finite}".strip()]


def _together(particle: str, verb: str) -> str:
    """ "aufmachen", but "ins Bett gehen"."""
    return f"{particle} {verb}" if " " in particle else particle + verb


def _joined(joined: Joined) -> list[str]:
    word = _JOINS[joined.word]
    if joined.word in ("and", "but"):
        first = " ".join(part for part in _main(joined.first) if part)
        return [first + ("," if joined.word == "but" else ""), word, *_main(joined.second)]
    second = " ".join(part for part in _subordinate(joined.second) if part)
    if joined.word == "when":
        finite, middle, end = _parts(joined.first)
        return [f"wenn {second},", finite, who(joined.first.subject, "nom"), *middle, end]
    first = " ".join(part for part in _main(joined.first) if part)
    return [f"{first},", word, second]


def _question(question: Question) -> list[str]:
    clause = question.clause
    finite, middle, end = _parts(clause)
    subject = who(clause.subject, "nom")
    match question.asked:
        case "who":
            return _main(clause)
        case "yes":
            return [finite, subject, *middle, end]
        case "how many":
            assert clause.object is not None
            counted = thing(clause.object, "acc")
            rest = [word for word in middle if word != counted]
            return [f"wie viele {clause.object.noun.de_plural}", finite, subject, *rest, end]
        case "where":
            return ["wohin" if clause.motion else "wo", finite, subject, *middle, end]
        case asked:
            return [_ASKED[asked], finite, subject, *middle, end]


def _request(request: Request) -> list[str]:
    verb = request.verb.de
    object_ = thing(request.object, "dat" if verb.frame == "dat" else "acc")
    if verb.frame == "auf":
        object_ = f"auf {object_}"
    receiver = who(request.receiver, "dat") if request.receiver else ""
    return [verb.imperative, "bitte", receiver, object_, verb.particle]
