"""What is said in the world: sentences, phrases, word strings, commands, spoken questions; and what is true of them.

Knows words and chance; does not know voices or sound. The templates and word classes are in ``words.py`` and
``orders.py``. A text belongs to one split for ever, by a hash of its letters, so that training never sees a test
sentence. Two small sets cannot be divided so: single words, and closed answers. There the voice alone separates the
splits. All text is lower case, without digits, apostrophes or punctuation.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from ossicle.world.orders import ANSWERS, COMMANDS, FIXED, SUMS
from ossicle.world.words import (
    CLASSES,
    COUNTABLE,
    HOMOPHONES,
    IRREGULAR,
    PHRASES,
    RULES,
    TEMPLATES,
    UNHEARD,
    VERBS,
)

__all__ = [
    "INTENTS",
    "UNHEARD",
    "VOCABULARY",
    "Command",
    "Said",
    "Split",
    "command",
    "number_word",
    "phrase",
    "sentence",
    "split_of",
    "sum_question",
    "unheard_string",
    "word",
    "word_string",
]

Split = Literal["train", "validation", "test"]
T = TypeVar("T")

MAX_WORDS = 14
SLOT = re.compile(r"\{(\w+)(?:=(\w*))?\}")
TWICE = re.compile(r"\b(\w+) (?:and|or|to|than|of) \1\b")  # "snow and snow" says nothing
AN = re.compile(r"\b(an?) (?=(\w+))")
NOT_AN = ("uni", "use")  # they are written with a vowel and spoken with a consonant
AN_TOO = ("hour", "honest")
MANY = 400  # draws before we conclude that a split holds nothing


@dataclass(frozen=True)
class Said:
    """A sentence and what can be asked about it: fact kind to the words that answer it."""

    text: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Command:
    """A spoken order: what is wanted (``intent``) and with what (``slots``)."""

    text: str
    intent: str
    slots: dict[str, str]


def _plural(noun: str) -> str:
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "sh", "ch", "x")) else "s")


def _lexicon() -> dict[str, tuple[str, ...]]:
    lexicon = {**CLASSES, **COUNTABLE}
    for name, nouns in COUNTABLE.items():
        lexicon[name + "s"] = tuple(_plural(noun) for noun in nouns)
    for name, rows in VERBS.items():
        for suffix, form in zip(("", "_s", "_ed", "_ing"), zip(*rows, strict=True), strict=True):
            lexicon[name + suffix] = form
    return lexicon


LEXICON: dict[str, tuple[str, ...]] = _lexicon()

_FACT_CLASSES: dict[str, str] = {
    "who": "name job family person jobs familys persons",
    "where": "room place city country",
    "when": "day month season daypart soon clock date",
    "colour": "colour",
    "number": "number few",
    "animal": "animal animals",
    "food": "fruit fruits dish dishs food",
    "drink": "drink",
    "clothes": "garment garments",
    "vehicle": "vehicle",
    "what": "thing things furniture",
    "weather": "weather storm",
    "feeling": "feeling",
    "event": "event",
    "material": "material",
    "language": "language",
    "subject": "school",
    "sport": "sport",
    "body": "body",
    "direction": "direction",
    "job": "",
    "verb": " ".join(
        name + suffix
        for name in ("handle", "trade", "eat", "drink_verb", "meet", "go", "rest", "act", "move_animal")
        for suffix in ("", "_s", "_ed", "_ing")
    ),
}
FACT_OF: dict[str, str] = {name: fact for fact, names in _FACT_CLASSES.items() for name in names.split()}
FACTS: tuple[str, ...] = tuple(_FACT_CLASSES)


def _vocabulary() -> tuple[str, ...]:
    templates: Iterable[str] = [
        *TEMPLATES,
        *PHRASES,
        *(line for lines in RULES.values() for line in lines),
        *(line for lines in COMMANDS.values() for line in lines),
        *(line for lines, _ in SUMS.values() for line in lines),
        *(line for lines, _ in FIXED for line in lines),
        *ANSWERS,
    ]
    words = {word for line in templates for word in SLOT.sub(" ", line).replace("{}", " ").split()}
    words |= {word for _, pairs in FIXED for pair in pairs for text in pair for word in text.split()}
    words |= {word for entries in LEXICON.values() for entry in entries for word in entry.split()}
    return tuple(sorted(words | {"an"}))


VOCABULARY: tuple[str, ...] = _vocabulary()
CLEAR: tuple[str, ...] = tuple(word for word in VOCABULARY if word not in HOMOPHONES)
INTENTS: tuple[str, ...] = tuple(COMMANDS)


def split_of(text: str) -> Split:
    """The split that ``text`` belongs to, for ever: 90 % train, 5 % validation, 5 % test."""
    share = int.from_bytes(hashlib.sha1(text.encode()).digest()[:8], "big") % 100
    return "train" if share < 90 else "validation" if share < 95 else "test"


def sentence(rng: np.random.Generator, split: Split = "train") -> Said:
    """A meaningful sentence of 3 to 14 words, with its facts. A fact that two words could answer is left out."""

    def draw() -> tuple[Said, bool]:
        text, found = _expand(_pick(TEMPLATES, rng), rng)
        repeats = len({value for _, value in found}) < len(found)  # "adam called adam"
        return Said(text, _askable(found)), repeats or TWICE.search(text) is not None

    def fits(drawn: tuple[Said, bool]) -> bool:
        said, dull = drawn
        return not dull and 3 <= len(said.text.split()) <= MAX_WORDS and split_of(said.text) == split

    return _redraw(draw, fits)[0]


def phrase(rng: np.random.Generator, split: Split = "train") -> str:
    """A phrase of one to four words; single words are in every split (the voice alone separates those)."""

    def fits(text: str) -> bool:
        n_words = len(text.split())
        return n_words <= 4 and not TWICE.search(text) and (n_words == 1 or split_of(text) == split)

    return _redraw(lambda: _expand(_pick(PHRASES, rng), rng)[0], fits)


def word(rng: np.random.Generator) -> str:
    """One word of the vocabulary, uniformly; never one that sounds like another."""
    return _pick(CLEAR, rng)


def word_string(rng: np.random.Generator, split: Split = "train") -> str:
    """Three to eight words that no grammar predicts, drawn uniformly; words that sound like another are left out."""
    return _redraw(
        lambda: " ".join(word(rng) for _ in range(int(rng.integers(3, 9)))), lambda text: split_of(text) == split
    )


def unheard_string(rng: np.random.Generator) -> str:
    """Two to four ordinary English words that are in no sentence of the world."""
    return " ".join(_pick(UNHEARD, rng) for _ in range(int(rng.integers(2, 5))))


def command(rng: np.random.Generator, split: Split = "train", *, intent: str | None = None) -> Command:
    """An order to a machine, with its intent and slots; ``intent`` None draws one."""

    def draw() -> Command:
        wanted = _pick(INTENTS, rng) if intent is None else intent
        text, found = _expand(_pick(COMMANDS[wanted], rng), rng)
        return Command(text, wanted, _askable(found))

    return _redraw(draw, lambda order: len(order.text.split()) <= MAX_WORDS and split_of(order.text) == split)


def sum_question(rng: np.random.Generator, split: Split = "train") -> tuple[str, str]:
    """A spoken question with one short answer: half of them arithmetic from zero to twenty, half common knowledge."""

    def draw() -> tuple[str, str]:
        if rng.random() < 0.5:
            lines, pairs = FIXED[int(rng.integers(len(FIXED)))]
            asked, answer = pairs[int(rng.integers(len(pairs)))]
            return _an(_pick(lines, rng).replace("{}", asked)), answer
        kind = _pick(tuple(SUMS), rng)
        lines, (low, high) = SUMS[kind]
        a, b = (int(value) for value in rng.integers(low, high + 1, size=2))
        match kind:
            case "plus":
                result = a + b
            case "minus":
                a, b = max(a, b), min(a, b)
                result = a - b
            case _:
                result = a * b
        return _pick(lines, rng).format(a=number_word(a), b=number_word(b)), number_word(result)

    return _redraw(draw, lambda pair: split_of(pair[0]) == split)


def number_word(number: int) -> str:
    """An integer from 0 to 99 in words."""
    assert 0 <= number < 100, number
    if number == 0:
        return "zero"
    if number < 10:
        return CLASSES["ones"][number - 1]
    if number < 20:
        return CLASSES["teens"][number - 10]
    tens = CLASSES["tens"][number // 10 - 2]
    return tens if number % 10 == 0 else f"{tens} {CLASSES['ones'][number % 10 - 1]}"


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _askable(found: list[tuple[str, str]]) -> dict[str, str]:
    """The facts whose kind occurs once: of two, neither could be asked for."""
    kinds = [kind for kind, _ in found]
    return {kind: value for kind, value in found if kinds.count(kind) == 1}


def _redraw(draw: Callable[[], T], fits: Callable[[T], bool]) -> T:
    for _ in range(MANY):
        drawn = draw()
        if fits(drawn):
            return drawn
    raise AssertionError(f"nothing fits after {MANY} draws: the set is too small for this split")


def _expand(template: str, rng: np.random.Generator) -> tuple[str, list[tuple[str, str]]]:
    """Fill a template; a slot that is a fact hides those inside it ("seven thirty" is a time, not two numbers)."""
    text, found = _fill(template, rng)
    return _an(text), found


def _fill(template: str, rng: np.random.Generator) -> tuple[str, list[tuple[str, str]]]:
    pieces: list[str] = []
    found: list[tuple[str, str]] = []
    end = 0
    for slot in SLOT.finditer(template):
        pieces.append(template[end : slot.start()])
        end = slot.end()
        name, key = slot[1], slot[2]
        inner: list[tuple[str, str]] = []
        if name in RULES:
            text, inner = _fill(_pick(RULES[name], rng), rng)
        else:
            text = word(rng) if name == "word" else _pick(LEXICON[name], rng)
        kind = FACT_OF.get(name) if key is None else key
        pieces.append(text)
        found += [(kind, text)] if kind else inner
    return "".join([*pieces, template[end:]]), found


def _an(text: str) -> str:
    def article(match: re.Match[str]) -> str:
        following = match[2]
        vowel = following[0] in "aeiou" and not following.startswith(NOT_AN)
        return "an " if vowel or following.startswith(AN_TOO) else "a "

    return AN.sub(article, text)
