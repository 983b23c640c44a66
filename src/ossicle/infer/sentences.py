"""A text in its sentences, and in shorter parts where a model reads no longer ones.

Knows marks and blanks; does not know languages beyond a few abbreviations, nor models. No character but white space is
lost.
"""

import re
from collections.abc import Callable

ENDS = ".!?\u2026"
WIDE_ENDS = "\u3002\uff01\uff1f"
"""After these no blank is needed."""
CLAUSE_ENDS = ",;:\u2013\u2014\u3001\uff0c\uff1b\uff1a"
CLOSING = "\"')\\]\u2019\u201d\u00bb"
PLACES = re.compile(f"(?<=[{ENDS}])[{CLOSING}]*\\s+|[{WIDE_ENDS}][{CLOSING}\u300d\u300f]*\\s*")
SHORT = frozenset(
    "Mr Mrs Ms Dr Prof St No vs e.g i.e M MM Mme Mlle p.ex Hr Fr Nr bzw ca z.B d.h u.a usw".lower().split()
)
"""What a full stop stands behind inside a sentence."""


def paragraphs(text: str) -> list[list[str]]:
    """The sentences of each line of a text, from the first line with any to the last; a blank line between has none."""
    lines = [_sentences(line) for line in text.splitlines()]
    full = [i for i, line in enumerate(lines) if line]
    return lines[full[0] : full[-1] + 1] if full else []


def _sentences(line: str) -> list[str]:
    found, begin = [], 0
    for place in PLACES.finditer(line):
        before, after = line[begin : place.end()].strip(), line[place.end() : place.end() + 1]
        word = before.split()[-1] if before else ""
        if word.endswith(".") and (after.islower() or _is_short(word[:-1])):
            continue
        if before:
            found.append(before)
        begin = place.end()
    rest = line[begin:].strip()
    return [*found, rest] if rest else found


def _is_short(word: str) -> bool:
    """An abbreviation, an initial, or the number of a day ("am 3. Mai")."""
    return word.lower() in SHORT or (len(word) == 1 and word.isalpha()) or word.isdecimal()


def fitted(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """A sentence in parts that fit, cut as near to the middle as a clause ends, else a word, else a character.

    A single character is a part whether it fits or not.
    """
    if len(sentence) < 2 or fits(sentence):
        return [sentence]
    middle = len(sentence) / 2
    blanks = [at for at in range(1, len(sentence)) if sentence[at].isspace()]
    clauses = [at for at in blanks if sentence[at - 1] in CLAUSE_ENDS]
    inside = [at for at in clauses if len(sentence) / 4 <= at <= 3 * len(sentence) / 4]
    at = min(inside or blanks or [len(sentence) // 2], key=lambda at: abs(at - middle))
    first, second = sentence[:at].strip(), sentence[at:].strip()
    return [*fitted(first, fits), *fitted(second, fits)]
