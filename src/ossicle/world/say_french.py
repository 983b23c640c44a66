"""French of a meaning: agreement, elision, contractions, "ne ... pas", "est-ce que", the passé composé.

Knows French; does not know the other languages, nor what can be meant.
"""

import re

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
from ossicle.world.parallel_words import BE, HAVE, RELATIONS

_SMALL = (
    "zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
    "treize", "quatorze", "quinze", "seize", "dix-sept", "dix-huit", "dix-neuf",
)  # fmt: skip
_TENS = {20: "vingt", 30: "trente", 40: "quarante", 50: "cinquante", 60: "soixante", 80: "quatre-vingt"}
_PRONOUNS = {"I": "je", "you": "tu", "he": "il", "she": "elle", "we": "nous", "it": "il", "who": "qui"}
_OFTEN = {"often": "souvent", "sometimes": "parfois", "never": "jamais"}
_MODALS = {
    "want": ["veux", "veux", "veut", "voulons", "veulent"],
    "can": ["peux", "peux", "peut", "pouvons", "peuvent"],
    "must": ["dois", "dois", "doit", "devons", "doivent"],
    "like": ["voudrais", "voudrais", "voudrait", "voudrions", "voudraient"],
}
_IMPERFECT = {
    "être": ["étais", "étais", "était", "étions", "étaient"],
    "avoir": ["avais", "avais", "avait", "avions", "avaient"],
}
_FUTURE = ["ai", "as", "a", "ons", "ont"]
_SELF = ("me", "te", "se", "nous", "se")
_ASKED = {"where": "où", "when": "quand", "what": "qu'"}
_JOINS = {"that": "que", "because": "parce que", "and": "et", "but": "mais", "when": "quand"}
_VOWEL = "aeiouyhâàéèêîôûœ"
_ELIDED = re.compile(rf"\b(le|la|de|que|ne|je|me|te|se) (?=(?!huit|onze)[{_VOWEL}])", re.IGNORECASE)
_CONTRACTED = (("de les ", "des "), ("de le ", "du "), ("à les ", "aux "), ("à le ", "au "))


def french(meaning: Meaning) -> str:
    """The sentence."""
    match meaning:
        case Statement():
            words, end = _clause(meaning.clause), "."
        case Joined():
            words, end = _joined(meaning), "."
        case Question():
            words, end = _question(meaning), " ?"
        case There():
            words, end = ["il y a", thing(meaning.thing), _place(meaning.place)], "."
        case Request():
            words, end = [*_request(meaning), "s'il te plaît"], "."
            words[-2] += ","
        case TimeIs():
            words, end = ["il est", time_of_day(meaning.clock), meaning.place.fr if meaning.place else ""], "."
    text = spelled(" ".join(word for word in words if word))
    return text[0].upper() + text[1:] + end


def spelled(text: str) -> str:
    """Elisions and contractions of a string of words."""
    text = _ELIDED.sub(lambda match: match[1][:-1] + "'", text)
    for apart, joined in _CONTRACTED:
        text = re.sub(rf"\b{apart}", joined, text)
    return text


def number(value: int, *, feminine: bool = False) -> str:
    """A number from 0 to 99 in words."""
    one = "une" if feminine else "un"
    if value == 1:
        return one
    if value < 20:
        return _SMALL[value]
    if value == 80:
        return "quatre-vingts"
    base = value // 10 * 10 if value < 60 else 60 if value < 80 else 80
    rest = value - base
    if rest == 0:
        return _TENS[base]
    if base != 80 and rest in (1, 11):
        return f"{_TENS[base]} et {one if rest == 1 else 'onze'}"
    return f"{_TENS[base]}-{one if rest == 1 else _SMALL[rest]}"


def time_of_day(clock: Clock) -> str:
    """ "quatre heures et demie", "cinq heures moins le quart", "six heures dix", "midi"."""
    minute, hour = clock.minute, clock.hour
    if minute > 30:
        hour = hour % 12 + 1
    hours = f"{number(hour, feminine=True)} heure{'s' if hour > 1 else ''}"
    match minute:
        case 0:
            return hours
        case 15:
            return f"{hours} et quart"
        case 30:
            return f"{hours} et demie"
        case 45:
            return f"{hours} moins le quart"
        case _:
            return f"{hours} {number(minute)}" if minute < 30 else f"{hours} moins {number(60 - minute)}"


def who(subject: Who) -> str:
    """Somebody or something."""
    match subject:
        case Thing():
            return thing(subject)
        case Name():
            return subject.text
        case Pronoun():
            return _PRONOUNS[subject.word]


def thing(said: Thing, *, negated: bool = False) -> str:
    """A noun with what goes before and after it; of ``negated`` things that are not "the" or "my" there are none."""
    noun = said.noun.fr_plural if said.plural else said.noun.fr
    before = [one for one in said.adjectives if one.fr_before]
    after = [one for one in said.adjectives if not one.fr_before]
    words = [noun]
    for adjective in before:
        words.insert(0, _agreeing(adjective.fr, said, words[0]))
    words.insert(0, _determiner(said, words[0], negated))
    words += [_agreeing(adjective.fr, said, "") for adjective in after]
    if said.of is not None:
        words += ["de", who(said.of)]
    return " ".join(words)


def _agreeing(forms: tuple[str, ...], said: Thing, following: str) -> str:
    masculine, vowel, feminine, masculines, feminines = forms
    if said.noun.fr_gender == "f":
        return feminines if said.plural else feminine
    if said.plural:
        return masculines
    return vowel if _vowel(following) else masculine


def _vowel(word: str) -> bool:
    return word[:1] in _VOWEL and word != ""


def _determiner(said: Thing, following: str, negated: bool) -> str:
    feminine, vowel = said.noun.fr_gender == "f", _vowel(following)
    if said.det == "number":
        return number(said.number, feminine=feminine)
    if said.det == "many":
        return "beaucoup de"
    if negated and said.det in ("a", "bare"):
        return "de"
    if said.det == "bare":
        return "des" if said.plural else "de la" if feminine else "de le"
    if said.det == "a":
        return "une" if feminine else "un"
    if said.plural:
        return {"the": "les", "all": "les", "my": "mes", "your": "tes", "our": "nos", "this": "ces"}[said.det]
    if said.det in ("the", "all"):
        return "la" if feminine else "le"
    if said.det == "our":
        return "notre"
    if said.det == "this":
        return "cette" if feminine else "cet" if vowel else "ce"
    letter = {"my": "m", "your": "t"}[said.det]
    return letter + ("a" if feminine and not vowel else "on")


def _clause(clause: Clause) -> list[str]:
    times = _times(clause)
    if not clause.fronted:
        return [who(clause.subject), *_predicate(clause), *times]
    return [" ".join(times) + ",", who(clause.subject), *_predicate(clause)]


def _predicate(clause: Clause) -> list[str]:
    """Verb and what follows it, without times."""
    person = PERSONS.index(person_of(clause.subject))
    verb = clause.verb.fr
    no, not_ = ("ne", "pas") if clause.negative else ("", "")
    if clause.often:
        no, not_ = "ne" if clause.often == "never" else "", _OFTEN[clause.often]
    self = _SELF[person] if verb.reflexive else ""
    if clause.modal:
        words = [no, _MODALS[clause.modal][person], not_, self, verb.infinitive]
    elif clause.tense == "present":
        finite, *rest = verb.present[person].split("_")
        words = [no, self, finite, not_, *rest]
    elif clause.tense == "future":
        stem, *rest = verb.future, *verb.infinitive.split("_")[1:]
        words = [no, self, stem + _FUTURE[person], not_, *rest]
    elif verb.infinitive in _IMPERFECT:
        words = [no, _IMPERFECT[verb.infinitive][person], not_]
    else:
        helper = (BE if verb.etre else HAVE).fr.present[person]
        words = [no, self, helper, not_, _participle(clause)]
    return [word.replace("_", " ") for word in [*words, *_tail(clause)]]


def _participle(clause: Clause) -> str:
    participle = clause.verb.fr.participle
    if not clause.verb.fr.etre:
        return participle
    feminine, plural = _nature(clause.subject)
    return participle + ("e" if feminine else "") + ("s" if plural else "")


def _nature(subject: Who) -> tuple[bool, bool]:
    """Whether it is feminine, whether it is many."""
    if isinstance(subject, Thing):
        return subject.noun.fr_gender == "f", subject.plural
    if isinstance(subject, Pronoun):
        return subject.gender == "f", subject.person == "1p"
    return subject.gender == "f", False


def _tail(clause: Clause) -> list[str]:
    negated = clause.negative or clause.often == "never"
    words = []
    if clause.idiom is not None:
        idiom = clause.idiom.fr
        words.append(re.sub(r"^(de la|du) ", "de ", idiom) if negated else idiom)
    if clause.quality is not None:
        words.append(_quality(clause.quality, clause.subject))
    if clause.amount is not None:
        words.append(clause.amount.fr)
    if clause.object is not None:
        words += [clause.verb.fr.preposition, thing(clause.object, negated=negated)]
    if clause.receiver is not None:
        words += ["à", who(clause.receiver)]
    if clause.place is not None:
        words.append(_place(clause.place))
    return words


def _quality(quality: Quality, subject: Who) -> str:
    feminine, plural = _nature(subject)
    masculine, _, feminine_form, masculines, feminines = quality.adjective.fr
    word = (feminines if plural else feminine_form) if feminine else masculines if plural else masculine
    if quality.other is None:
        return f"très {word}" if quality.very else word
    if quality.degree == "as":
        return f"aussi {word} que {who(quality.other)}"
    if word.startswith("bon"):
        return f"{word.replace('bonne', 'meilleure').replace('bon', 'meilleur')} que {who(quality.other)}"
    return f"plus {word} que {who(quality.other)}"


def _place(place: Fixed | Near) -> str:
    return place.fr if isinstance(place, Fixed) else f"{RELATIONS[place.relation].fr} {thing(place.thing)}"


def _times(clause: Clause) -> list[str]:
    times = [clause.time.fr] if clause.time is not None else []
    return [*times, f"à {time_of_day(clause.clock)}"] if clause.clock is not None else times


def _joined(joined: Joined) -> list[str]:
    first, second = ([word for word in _clause(clause) if word] for clause in (joined.first, joined.second))
    if joined.word == "when":
        return ["quand", " ".join(second) + ",", *first]
    if joined.word == "but":
        first[-1] += ","
    return [*first, _JOINS[joined.word], *second]


def _question(question: Question) -> list[str]:
    clause = question.clause
    subject, times = who(clause.subject), _times(clause)
    match question.asked:
        case "who":
            return _clause(clause)
        case "yes":
            return ["est-ce que", subject, *_predicate(clause), *times]
        case "what":
            return ["qu'est-ce que", subject, *_predicate(clause), *times]
        case "how old":
            person = person_of(clause.subject)
            if isinstance(clause.subject, Pronoun):
                return [
                    "quel âge",
                    HAVE.fr.present[PERSONS.index(person)] + ("-t-" if person == "3s" else "-") + subject,
                ]
            return ["quel âge a", subject]
        case "how many":
            assert clause.object is not None
            counted = thing(clause.object)
            rest = [word for word in _predicate(clause) if word != counted]
            return [f"combien de {clause.object.noun.fr_plural} est-ce que", subject, *rest, *times]
        case asked:
            return [f"{_ASKED[asked]} est-ce que", subject, *_predicate(clause), *times]


def _request(request: Request) -> list[str]:
    verb = request.verb.fr
    tu = verb.present[1].replace("_", " ")
    order = tu.removesuffix("s") if tu.endswith("es") else tu
    receiver = ["à", who(request.receiver)] if request.receiver else []
    return [order, verb.preposition, thing(request.object), *receiver]
