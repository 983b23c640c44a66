"""Recordings: long audio that was heard once, passage by passage, so that questions can look up where to read.

Knows passages and their words; does not know how they were cut or written down. Of each passage its text and its audio
tokens are kept, so that an answer is read from the sound, and the transcript only says where.
Source: Robertson et al. 1995 (BM25) for the score of a passage; here over the letters of words too, because a
transcript has errors.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ossicle.errors import RequestError
from ossicle.infer.generate import Sampling
from ossicle.infer.ledger import Ledger, summed
from ossicle.infer.reading import Sound
from ossicle.infer.transcribe import groups, written
from ossicle.models.audio_lm import AudioLM, Heard

K1, B = 1.2, 0.75
LETTERS = 3
"""Beside whole words so many letters in a row are compared, each run at half the weight of a word."""
LEAST_SHARE = 0.3
"""A passage that fits less than this share of how well the best one fits is not read beside it."""
WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Passage:
    """A part of a recording in which something is said: seconds from the beginning, words, audio tokens."""

    start_s: float
    end_s: float
    text: str
    heard: Heard


@dataclass(frozen=True, eq=False)
class Recording:
    """Long audio that a model has heard.

    Args:
        passages: those in which something is said, in order.
        ledger: of hearing and writing down all of it.
        model: whose; its LLM alone can read the audio tokens.
    """

    passages: tuple[Passage, ...]
    ledger: Ledger
    model: AudioLM


def listen(model: AudioLM, source: Sound, *, speech_only: bool = False, max_tokens: int = 256) -> Recording:
    """Hear a source of any length and write it down passage by passage, for questions to come.

    Memory holds the audio tokens of the passages, and of the samples no more than a group of them.

    Args:
        model: from `load`.
        source: a clip, a path or encoded bytes.
        speech_only, max_tokens: as of `transcribe`.

    Raises:
        As `transcribe`.
    """
    began = time.perf_counter()
    passages: list[Passage] = []
    ledgers: list[Ledger] = []
    for group in groups(source, rate=model.encoder.sample_rate):
        for one in written(model, group, Sampling(max_tokens), speech_only=speech_only):
            ledgers.append(one.ledger)
            if one.segment.text:
                passages.append(Passage(one.segment.start_s, one.segment.end_s, one.segment.text, one.heard))
    spent = time.perf_counter() - began
    n = sum(ledger.text_tokens for ledger in ledgers)
    ledger = summed(ledgers, time_to_first_token_s=spent, tokens_per_s=n / spent)
    return Recording(tuple(passages), ledger, model)


def find(recording: Recording, about: str, n: int) -> list[Passage]:
    """The passages whose words fit best, the best first; none that fits far less than the best.

    Args:
        recording: what `listen` heard.
        about: words to look for.
        n: how many at most.

    Raises:
        RequestError: no passage has anything of these words.
    """
    scores = _scores([one.text for one in recording.passages], about)
    least = LEAST_SHARE * max(scores, default=0.0)
    fit = (i for i, score in enumerate(scores) if score > 0 and score >= least)
    best = sorted(fit, key=lambda i: (-scores[i], i))[:n]
    if not best:
        raise RequestError(
            f"none of the {len(recording.passages)} passages has a word of {about!r}: say in `about` what is spoken of "
            "where the answer is"
        )
    return [recording.passages[i] for i in best]


def _terms(text: str) -> Counter[str]:
    """Words, and runs of letters inside them, with their weights in halves."""
    found: Counter[str] = Counter()
    for word in WORD.findall(text.lower()):
        found[f"={word}"] += 2
        padded = f" {word} "
        found.update(padded[i : i + LETTERS] for i in range(len(padded) - LETTERS + 1))
    return found


def _scores(texts: Sequence[str], about: str) -> list[float]:
    """BM25 of each text."""
    documents = [_terms(text) for text in texts]
    sizes = [sum(one.values()) for one in documents]
    mean = max(sum(sizes) / max(len(sizes), 1), 1.0)  # texts may be marks without a letter
    wanted = _terms(about)
    holding = {term: sum(term in one for one in documents) for term in wanted}
    rare = {term: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for term, n in holding.items()}

    def score(document: Counter[str], size: int) -> float:
        length = K1 * (1 - B + B * size / mean)
        return sum(
            rare[term] * weight * document[term] * (K1 + 1) / (document[term] + length)
            for term, weight in wanted.items()
            if document[term]
        )

    return [score(document, size) for document, size in zip(documents, sizes, strict=True)]
