"""Scores of translation as tables in Markdown, with the command that made them.

Knows numbers and words; does not know how anything was measured.
"""

import os

from ossicle.evaluate.likeness import Likeness
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.score import percent
from ossicle.evaluate.translation import TranslationScores

NAMES = {"s2t": "speech to text", "t2t": "text to text", "s2s": "speech to speech", "t2s": "text to speech"}
HEARD = ("language", "voice", "read by", "word error rate", "95 % interval", "n")
VOICES = {"people": "the items' voices", "engine": "its own"}


def tables(scores: TranslationScores) -> str:
    """The tables of one evaluation as Markdown: every pair and direction, who reads what how well, signatures."""
    head = (
        "pair",
        "direction",
        "way",
        "BLEU",
        "95 % interval",
        "chrF",
        "95 % interval",
        "read back by",
        "s an item",
        "n",
    )
    rows = [
        (
            f"{one.source} to {one.to}",
            NAMES[one.direction],
            one.way,
            *_cells(one.bleu),
            *_cells(one.chrf),
            one.recogniser or "",
            f"{one.seconds:.2f}",
            str(one.bleu.n),
        )
        for one in scores.rows
    ]
    heard = [
        (
            one.language,
            VOICES[one.voice],
            one.recogniser,
            percent(one.wer),
            f"{percent(one.low)} to {percent(one.high)}",
            str(one.n),
        )
        for one in scores.heard
    ]
    signatures = dict.fromkeys(
        f"{name} {score.signature}" for one in scores.rows for name, score in (("BLEU", one.bleu), ("chrF", one.chrf))
    )
    words = (
        f"{scores.n_parameters / 1e6:.1f} million parameters. Speech is scored by what the named recogniser reads "
        "back, both sides in lower case without marks; a cascade recognises, translates the text, and says it."
    )
    return "\n\n".join([table(head, rows), table(HEARD, heard), words, "\n".join(f"- `{one}`" for one in signatures)])


def write(path: str | os.PathLike[str], scores: TranslationScores, *, command: str) -> None:
    """Write the tables to a file, under the command that made them; whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    text = f"# {scores.model}: translation\n\nMade by `{command}` (seed {scores.seed}).\n\n{tables(scores)}\n"
    write_page(path, text)


def _cells(score: Likeness) -> tuple[str, str]:
    return f"{score.value:.1f}", f"{score.low:.1f} to {score.high:.1f}"
