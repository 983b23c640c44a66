"""Error rates with intervals: word error rate, accuracy, bootstrap over items, paired comparison.

Knows texts and counts; does not know models or audio. Everything is a rate of sums: each item gives a numerator and a
denominator (edits and reference words; hits and 1), so one bootstrap serves all.
The normaliser, in full: lower case; apostrophes removed; every other character that is neither letter, digit nor
combining mark becomes a space; runs of space become one.
A model that was trained several times, with other seeds, is resampled in both: seeds, then items.
Source: Bisani and Ney 2004 for the bootstrap over items; word alignment by the package jiwer.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ossicle.errors import DependencyError, RequestError

METRICS = ("wer", "accuracy")
N_RESAMPLES = 1000
APOSTROPHES = "'\u2019\u02bc"


def normalise(text: str) -> str:
    """Text as it is compared; the rule stands in the module's header."""
    kept = (c for c in unicodedata.normalize("NFC", text).lower() if c not in APOSTROPHES)
    return " ".join("".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in kept).split())


def word_edits(reference: str, hypothesis: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions together, and the number of reference words, after `normalise`.

    Raises:
        DependencyError: jiwer is not installed (extra ``eval``).
    """
    wanted, got = normalise(reference), normalise(hypothesis)
    if not wanted:  # nothing to align with: every word that was written is an insertion
        return len(got.split()), 0
    try:
        import jiwer
    except ImportError as error:
        raise DependencyError("word error rates need the package jiwer: pip install 'ossicle[eval]'") from error
    found = jiwer.process_words(wanted, got)
    return found.substitutions + found.deletions + found.insertions, len(wanted.split())


@dataclass(frozen=True, eq=False)
class Counts:
    """Numerator and denominator of every item: what a rate is made of.

    Args:
        numerators: (n,) float64, word edits or hits.
        denominators: (n,) float64, reference words or ones.
    """

    numerators: np.ndarray
    denominators: np.ndarray

    @property
    def rate(self) -> float | None:
        """The sum of the numerators over that of the denominators; None where there is nothing to divide by."""
        whole = self.denominators.sum()
        return float(self.numerators.sum() / whole) if whole > 0 else None

    def subset(self, rows: np.ndarray) -> "Counts":
        """The same for some items (indices, or a mask)."""
        return Counts(self.numerators[rows], self.denominators[rows])


def count(metric: str, references: Sequence[str], hypotheses: Sequence[str]) -> Counts:
    """Score each item.

    Args:
        metric: "wer", or "accuracy" (equal after `normalise`).
        references: n right answers.
        hypotheses: n given answers.

    Raises:
        RequestError: an unknown metric.
    """
    pairs = list(zip(references, hypotheses, strict=True))
    match metric:
        case "wer":
            rows = [word_edits(*pair) for pair in pairs]
        case "accuracy":
            rows = [(int(normalise(wanted) == normalise(got)), 1) for wanted, got in pairs]
        case _:
            raise RequestError(f"there is no metric {metric!r}, known are {', '.join(METRICS)}")
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 2)
    return Counts(table[:, 0], table[:, 1])


def interval(counts: Counts, *, seed: int = 0, level: float = 0.95) -> tuple[float, float] | None:
    """Bootstrap interval of a rate, by resampling items; None where there is no rate."""
    if counts.rate is None:
        return None
    numerators, denominators = _resampled(counts, seed)
    rates = numerators[denominators > 0] / denominators[denominators > 0]
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """How much a rate changes from one model to another on the same items.

    Args:
        value: other minus this, as a fraction.
        low: lower end of the interval of the paired bootstrap.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """The interval does not hold zero."""
        return self.low > 0 or self.high < 0


def paired(this: Counts, other: Counts, *, seed: int = 0, level: float = 0.95) -> Difference | None:
    """Other minus this with a bootstrap that draws the same items for both; None where there is no rate.

    Raises:
        RequestError: the two were not scored on the same items.
    """
    if not np.array_equal(this.denominators, other.denominators):
        raise RequestError("a paired comparison needs both models scored on the same items in the same order")
    if this.rate is None or other.rate is None:
        return None
    first, whole = _resampled(this, seed)
    second, _ = _resampled(other, seed)
    changes = ((second - first) / np.where(whole > 0, whole, 1))[whole > 0]
    low, high = np.quantile(changes, [(1 - level) / 2, (1 + level) / 2])
    return Difference(other.rate - this.rate, float(low), float(high))


def pooled(several: Sequence[Counts], *, seed: int = 0, level: float = 0.95) -> tuple[float, float, float] | None:
    """Rate of a model that was trained several times and scored on the same items each time, with its interval.

    Seeds are drawn first, then items, the same for all seeds. Two or three seeds tell little of how far seeds differ:
    the interval is then rather too narrow.

    Returns:
        The rate over all, the lower and the upper end; None where there is no rate.

    Raises:
        RequestError: the counts are not of the same items.
    """
    numerators, denominators = _crossed(several, seed)
    kept = denominators > 0
    whole = sum(one.denominators.sum() for one in several)
    if not kept.any() or whole == 0:
        return None
    low, high = np.quantile(numerators[kept] / denominators[kept], [(1 - level) / 2, (1 + level) / 2])
    return float(sum(one.numerators.sum() for one in several) / whole), float(low), float(high)


def pooled_difference(
    these: Sequence[Counts], others: Sequence[Counts], *, seed: int = 0, level: float = 0.95
) -> Difference | None:
    """Others minus these, both trained with the same seeds in the same order, with a bootstrap that draws the same
    seeds and items for both; None where there is no rate.

    Raises:
        RequestError: other numbers of seeds, or other items.
    """
    if len(these) != len(others) or not np.array_equal(these[0].denominators, others[0].denominators):
        raise RequestError(
            "a paired comparison needs both models trained with the same seeds, scored on the same items"
        )
    first, whole = _crossed(these, seed)
    second, _ = _crossed(others, seed)
    kept = whole > 0
    total = sum(one.denominators.sum() for one in these)
    if not kept.any() or total == 0:
        return None
    low, high = np.quantile((second - first)[kept] / whole[kept], [(1 - level) / 2, (1 + level) / 2])
    sums = [sum(one.numerators.sum() for one in side) for side in (these, others)]
    return Difference(float((sums[1] - sums[0]) / total), float(low), float(high))


def _crossed(several: Sequence[Counts], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over ``N_RESAMPLES`` draws of the seeds and of the items; the same draws for the same numbers of both."""
    if not several or any(not np.array_equal(one.denominators, several[0].denominators) for one in several):
        raise RequestError("scores of several seeds are pooled only over the same items in the same order")
    n = len(several[0].numerators)
    rng = np.random.default_rng(seed)
    seeds, items = rng.integers(0, len(several), (N_RESAMPLES, len(several))), rng.integers(0, n, (N_RESAMPLES, n))
    sums = np.stack([one.numerators[items].sum(axis=1) for one in several], axis=1)  # (R, seeds)
    whole = several[0].denominators[items].sum(axis=1) * len(several)
    return np.take_along_axis(sums, seeds, axis=1).sum(axis=1), whole


def _resampled(counts: Counts, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over ``N_RESAMPLES`` draws of n items with replacement; the same draws for the same seed and n."""
    n = len(counts.numerators)
    draws = np.random.default_rng(seed).integers(0, n, (N_RESAMPLES, n))
    return counts.numerators[draws].sum(axis=1), counts.denominators[draws].sum(axis=1)
