"""Accents that nobody set down: one of eSpeak NG's English accents with some of its phones shifted.

Knows names of accents and phones; does not know eSpeak NG's library. A model that hears six accents learns those six;
one that hears a new mixture in every other clip learns to understand from the rest of the sentence. A made accent is
written as its base and its shifts, ``"en-gb:h>NULL,eI>aI"``, so that a voice says by itself all that it is.
Source: Wells 1982 (Accents of English) for which sounds shift and where to; the choice is ours.
"""

from collections.abc import Sequence

import numpy as np

from ossicle.errors import ConfigError

VOICE_FILES = {
    "en-us": "en-US",
    "en-gb": "en",
    "en-gb-x-rp": "en-GB-x-rp",
    "en-gb-scotland": "en-GB-scotland",
    "en-029": "en-029",
    "en-gb-x-gbclan": "en-GB-x-gbclan",
}
"""Accents that can be a base, and the file of eSpeak NG that sets each down."""
SILENT = "NULL"
SHIFTS = {
    "h": (SILENT,),
    "T": ("f", "t", "s"),
    "D": ("d", "v", "z"),
    "N": ("n",),
    "r": ("w", "R"),
    "w": ("v",),
    "z": ("s",),
    "dZ": ("tS",),
    "tS": ("S",),
    "@L": ("U", "E"),
    "V": ("U", "@", "a", "0"),
    "U": ("u:", "V"),
    "a": ("aa", "E", "A:", "V"),
    "aa": ("a", "A:"),
    "E": ("I", "a", "eI"),
    "I": ("i", "@", "E"),
    "0": ("A:", "O", "a", "O:"),
    "eI": ("aI", "E", "i:"),
    "oU": ("aU", "O", "O:", "3:"),
    "aI": ("OI", "A:", "a", "eI"),
    "aU": ("A:", "oU", "a", "u:"),
    "OI": ("aI",),
    "i": ("i:", "I", "eI"),
    "i:": ("eI", "i@", "I"),
    "u:": ("U", "i:", "oU"),
    "O:": ("oU", "0", "A:"),
    "3:": ("e@", "E", "O:"),
    "3": ("a#", "V", "O"),
    "@": ("V", "I", "a"),
    "I2": ("@", "E"),
    "i@": ("i:", "e@"),
    "e@": ("3:", "E", "i@"),
    "A:": ("a", "O:"),
    "A@": ("a", "O:"),
    "O@": ("oU", "A:", "O:"),
    "o@": ("oU", "O:", "U@"),
}
"""Phones, and what an accent may make of each."""
MAX_SHIFTS = 8


def made_accent(rng: np.random.Generator, bases: Sequence[str]) -> str:
    """An accent with one to eight shifts on one of the bases."""
    phones = [str(phone) for phone in rng.permutation(list(SHIFTS))[: int(rng.integers(1, MAX_SHIFTS + 1))]]
    shifts = ",".join(f"{phone}>{rng.choice(SHIFTS[phone])}" for phone in phones)
    return f"{rng.choice(list(bases))}:{shifts}"


def is_made(accent: str) -> bool:
    """Whether an accent is one of these."""
    return ">" in accent


def base_and_rules(accent: str) -> tuple[str, str]:
    """The file of the base, and the lines that a voice file of eSpeak NG needs besides.

    Raises:
        ConfigError: a base that is not in `VOICE_FILES`, or a shift that is not in `SHIFTS`.
    """
    base, _, listed = accent.partition(":")
    if base not in VOICE_FILES:
        raise ConfigError(f"a made accent has no base {base!r}, allowed are {', '.join(VOICE_FILES)}")
    lines = []
    for shift in listed.split(","):
        phone, _, other = shift.partition(">")
        if other not in SHIFTS.get(phone, ()):
            raise ConfigError(f"accent {accent!r}: no shift {shift!r}, {phone!r} may become {SHIFTS.get(phone, ())}")
        lines.append(f"replace 00 {phone} {other}\n")
    return VOICE_FILES[base], "".join(lines)
