"""How far are the durations that an aligner finds from the truth?

python benchmarks/aligner.py [MODEL] [--items N] [--out FILE]

Writes docs/results/aligner.md. MODEL is the folder of a translator with a codebook and an aligner. Sentences of the
test split are said in the voices that the model speaks with. The truth is where each word begins: eSpeak NG tells it,
flite tells its phones and how many each word has. A word begins at the mark of the blank before it, as its token does.
Inside a word there is a truth only where it has as many letters as phones, and then each letter begins with its phone.
A language whose engine is not installed is left out, and the page says so.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.codec.units import UNIT_HZ, Phone
from ossicle.evaluate.report import table, write_page
from ossicle.hub.folder import shipped
from ossicle.hub.translator import load_translator
from ossicle.train.origin import segment
from ossicle.train.spoken import aligner_of, codebook_of, units_of
from ossicle.train.utter import unit_decoder_of
from ossicle.translate.aligner import starts
from ossicle.translate.spelling import spelled
from ossicle.translate.text import BLANK
from ossicle.translate.translator import Translator
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parts import Voice
from ossicle.world.speech import TARGET_VOICES, engines, speak, speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "aligner.md"
MODEL = "mini-translate"
AIM_MS, RESAMPLES = 40, 1000
HEAD = ("language", "what begins", "how many", "sentences", "median", "90 %", "within 40 ms", "late by", "even spread")
PAUSE_LETTERS = ("pau", "")
Sentences = list[np.ndarray]
"""Of each sentence, (things, 2): seconds by which what the aligner finds is late, and by which an even spread is."""


def is_there(model: str) -> bool:
    """Whether the model that is taken where none is named comes with the package; of any other, loading tells."""
    if model != MODEL or MODEL in shipped():
        return True
    print(f"{MODEL} does not come with this package: ossicle train recipes/{MODEL}.yaml, and name the model's folder")
    return False


def between(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark from one language to another is asked with."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--from", dest="source", choices=LANGUAGES, default="en")
    parser.add_argument("--to", choices=LANGUAGES, default="fr")
    parser.add_argument("--seed", type=int, default=1)
    return parser


@dataclass(frozen=True)
class Truth:
    """Where things begin, (place in the text, second): words behind a blank, words behind a mark, letters in words."""

    words: list[tuple[int, float]]
    marked: list[tuple[int, float]]
    letters: list[tuple[int, float]]


def words_of(text: str) -> list[tuple[int, str]]:
    """(place, word) of what stands between blanks, marks cut off at its ends."""
    found, place = [], 0
    for one in text.split(" "):
        found.append((place, one.strip('.,;:!?\u00ab\u00bb\u00a0\u202f"')))
        place += len(one) + 1
    return found


def truth_of(text: str, begins: dict[int, float], phones: Sequence[tuple[float, int]]) -> Truth:
    """The truth about a sentence.

    Args:
        text: as it was said.
        begins: second at which the word at a place begins, where that is known.
        phones: (start second, place of the word that it belongs to) of each phone.
    """
    words = [(place, word) for place, word in words_of(text) if word]
    known = [(place, begins[place]) for place, _ in words if place in begins]
    after_mark = {place for place, _ in words if place and not (text[place - 2].isalnum() or text[place - 2] == "'")}
    letters = []
    for place, word in words:
        inside = [start_s for start_s, owner in phones if owner == place]
        if word.isalpha() and len(inside) == len(word):
            letters += [(place + i, start_s) for i, start_s in enumerate(inside) if i]
    return Truth(
        [one for one in known if one[0] not in after_mark], [one for one in known if one[0] in after_mark], letters
    )


def said_by_espeak(text: str, voice: Voice) -> tuple[np.ndarray, Truth]:
    """Samples and truth; a word that is said in one with the one before has none, and neither have letters of both."""
    spoken = speak_afresh(text, voice)
    places = {place for place, _ in words_of(text)}
    begins = {place: start_s for place, start_s in spoken.words if place in places}
    order = sorted(begins)
    ends = {place: nxt for (place, _), (nxt, _) in zip(words_of(text), words_of(text)[1:], strict=False)}
    phones = []
    for _, start_s, _ in spoken.phones:
        owners = [place for place in order if begins[place] <= start_s + 1e-6]
        if owners and (ends.get(owners[-1]) in begins or owners[-1] not in ends):
            phones.append((start_s, owners[-1]))
    return spoken.samples, truth_of(text, begins, phones)


def flite_phones(text: str, voice: Voice) -> list[Phone]:
    """Each phone that flite says, with its start and end second; pauses are none."""
    command = ["flite", "-psdur", "-voice", voice.variant, "--setf", f"duration_stretch={165 / voice.rate_wpm:.3f}"]
    told = subprocess.run([*command, "-t", text, "-o", "none"], text=True, check=True, capture_output=True).stdout
    found, before = [], 0.0
    for one in told.split():
        name, _, end = one.rpartition(":")
        if name not in PAUSE_LETTERS:
            found.append((name, before, float(end)))
        before = float(end)
    return found


def said_by_flite(text: str, voice: Voice) -> tuple[np.ndarray, Truth] | None:
    """Samples and truth; None where the words said alone have other phones than the sentence."""
    phones, words = flite_phones(text, voice), [(place, word) for place, word in words_of(text) if word]
    counts = [len(flite_phones(word, voice)) for _, word in words]
    if sum(counts) != len(phones):
        return None
    firsts = np.cumsum([0, *counts[:-1]])
    begins = {place: phones[first][1] for (place, _), first in zip(words, firsts, strict=True)}
    owners = [place for (place, _), count in zip(words, counts, strict=True) for _ in range(count)]
    placed = [(start_s, owner) for (_, start_s, _), owner in zip(phones, owners, strict=True)]
    return speak(text, voice).samples, truth_of(text, begins, placed)


@torch.no_grad()
def found_by(model: Translator, samples: np.ndarray, text: str) -> np.ndarray | None:
    """Second at which each character begins, the blank before the first word among them; None where the tokens do not
    spell the text letter by letter."""
    tokens = model.text.tokens(text)
    if "".join(model.text.pieces(tokens)) != BLANK + text.replace(" ", BLANK):
        return None
    written = spelled(model.text, [tokens], unit_decoder_of(model).letters)
    units, n_units = units_of(model, model.features([Clip(samples, SAMPLE_RATE)]))
    lasting = aligner_of(model).durations(written.ids.to(model.device), written.lengths, units, n_units)
    begin = starts(lasting.characters) + lasting.before[:, None]
    made: np.ndarray = begin[0].cpu().numpy() / UNIT_HZ
    return made


def compared(model: Translator, language: str, n: int, rng: np.random.Generator) -> tuple[dict[str, Sentences], int]:
    """How late things are, for each kind of thing; and how many sentences had no truth."""
    late: dict[str, Sentences] = {"a word": [], "a word behind a mark": [], "a letter in a word": []}
    left_out = 0
    voice = TARGET_VOICES[language]
    for _ in range(n):
        text = parallel(rng, "test").texts[language]
        heard = said_by_flite(text, voice) if voice.engine == "flite" else said_by_espeak(text, voice)
        found = None if heard is None else found_by(model, heard[0], text)
        if heard is None or found is None:
            left_out += 1
            continue
        samples, truth = heard
        even = np.arange(len(found)) / len(found) * len(samples) / SAMPLE_RATE
        for name, things, behind in (
            ("a word", truth.words, 0),
            ("a word behind a mark", truth.marked, 0),
            ("a letter in a word", truth.letters, 1),
        ):
            rows = [(found[at + behind] - start_s, even[at + behind] - start_s) for at, start_s in things]
            late[name].append(np.array(rows).reshape(-1, 2))
    return late, left_out


def together(late: dict[str, Sentences]) -> Sentences:
    """Things of all kinds, by the sentence that they belong to."""
    return [np.concatenate(several) for several in zip(*late.values(), strict=True)]


def median_interval(sentences: Sequence[np.ndarray]) -> tuple[float, float]:
    """95 % interval of the median of all that sentences hold, by resampling sentences: what stands in one sentence errs
    together."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(sentences), (RESAMPLES, len(sentences)))
    low, high = np.quantile([np.median(np.concatenate([sentences[i] for i in draw])) for draw in draws], (0.025, 0.975))
    return float(low), float(high)


def line_of(language: str, name: str, late: Sentences) -> tuple[str, ...]:
    """A line of the table, in milliseconds."""
    some = [rows for rows in late if len(rows)]
    if not some:
        return (language, name, "0", "0", *[""] * (len(HEAD) - 4))
    every = np.concatenate(some)
    off = 1000 * np.abs(every)
    low, high = median_interval([1000 * np.abs(rows[:, 0]) for rows in some])
    return (
        language,
        name,
        str(len(off)),
        str(len(some)),
        f"{np.median(off[:, 0]):.0f} ({low:.0f} to {high:.0f})",
        f"{np.quantile(off[:, 0], 0.9):.0f}",
        f"{100 * np.mean(off[:, 0] <= AIM_MS):.0f} %",
        f"{1000 * np.median(every[:, 0]):+.0f}",
        f"{np.median(off[:, 1]):.0f}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if not is_there(given.model):
        return
    torch.set_num_threads(1)
    model = load_translator(given.model, device="cpu", dtype="float32")
    codebook_of(model), aligner_of(model)  # raise where it has none
    rows, told, silent = [], [], []
    for language in model.languages:
        if TARGET_VOICES[language].engine not in engines():
            silent.append(f"{language}: {TARGET_VOICES[language].engine}, which says it, is not installed.")
            continue
        late, left_out = compared(model, language, given.items, np.random.default_rng(7))
        several = {"all that begins": together(late), **late}
        rows += [line_of(language, name, found) for name, found in several.items()]
        told.append(f"{left_out} of {language}")
    about = segment(torch.device("cpu"), "float32", None)
    lines = [
        "# The aligner beside the truth",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/aligner.py', *arguments])}`",
        f"at commit {about['commit']}, torch {torch.__version__}, 1 thread.",
        "",
        table(HEAD, rows),
        "",
        "Milliseconds between where the aligner lets something begin and where it does, in the voice that the model",
        f"speaks with, {given.items} sentences of the test split in each language; aimed at: a median of {AIM_MS}. The",
        "median over all things with its 95 % interval, for which whole sentences are drawn anew, of those with such a",
        "thing; nine in ten are nearer than the next column; late by: the median with its sign; even spread: the",
        "median if every character lasted as long as any other. Sentences left out for want of a truth:",
        f"{', '.join(told) or 'none'}.",
        *silent,
        "",
        "A word begins at the mark of the blank before it; behind a comma nothing says how much of the pause is the",
        "comma's. Of letters inside words only those count whose word has as many letters as phones.",
    ]
    write_page(given.out, "\n".join(lines) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
