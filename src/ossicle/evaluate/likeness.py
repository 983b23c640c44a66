"""BLEU and chrF of translations, as sacrebleu counts them, with intervals over items.

Knows texts; does not know languages, models or audio. The value and its signature are sacrebleu's own. For the interval
each item's counts are taken once and resampled: n-grams that were right, n-grams in all, lengths.
Source: Papineni et al. 2002 and Post 2018 (BLEU); Popovic 2015 (chrF); Koehn 2004 for the bootstrap over items.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ossicle.errors import DependencyError, RequestError
from ossicle.evaluate.metrics import N_RESAMPLES

METRICS = ("bleu", "chrf")
CHRF_ORDER, CHRF_BETA = 6, 2.0


@dataclass(frozen=True)
class Likeness:
    """How like their references some texts are.

    Args:
        value: 0 to 100.
        low: lower end of the 95 % interval.
        high: upper end.
        n: items.
        signature: how it was counted, as sacrebleu writes it.
    """

    value: float
    low: float
    high: float
    n: int
    signature: str

    def as_dict(self) -> dict[str, Any]:
        """The keys of the JSON report."""
        ends = {key: round(getattr(self, key), 3) for key in ("value", "low", "high")}
        return {**ends, "n": self.n, "signature": self.signature}


def likeness(metric: str, references: Sequence[str], hypotheses: Sequence[str], *, seed: int = 0) -> Likeness:
    """Score a corpus.

    Args:
        metric: "bleu" or "chrf".
        references: n right translations, one for each item.
        hypotheses: n given ones.
        seed: of the bootstrap.

    Raises:
        RequestError: an unknown metric, no item, or not one reference for each.
        DependencyError: sacrebleu is not installed (extra ``eval``).
    """
    if not references or len(references) != len(hypotheses):
        raise RequestError(
            f"a corpus needs as many references as hypotheses and at least one, got {len(references)} and "
            f"{len(hypotheses)}"
        )
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise DependencyError("BLEU and chrF need the package sacrebleu: pip install 'ossicle[eval]'") from error
    pairs = list(zip(references, hypotheses, strict=True))
    scorer: Any
    match metric:
        case "bleu":
            scorer = BLEU()
            rows = [_bleu_counts(scorer, *pair) for pair in pairs]
            rates = [_bleu(scorer, sums) for sums in _resampled(np.array(rows), seed)]
        case "chrf":
            scorer = CHRF(char_order=CHRF_ORDER, word_order=0, beta=int(CHRF_BETA))
            rates = [chrf(sums) for sums in _resampled(np.array([chrf_counts(*pair) for pair in pairs]), seed)]
        case _:
            raise RequestError(f"there is no metric {metric!r}, known are {', '.join(METRICS)}")
    value = scorer.corpus_score(list(hypotheses), [list(references)]).score
    low, high = np.quantile(rates, [0.025, 0.975])
    return Likeness(float(value), float(low), float(high), len(pairs), str(scorer.get_signature()))


def chrf_counts(reference: str, hypothesis: str) -> np.ndarray:
    """Character n-grams (3 * orders,) of one item: written, wanted and right for each order; spaces do not count."""
    wanted, got = ("".join(text.split()) for text in (reference, hypothesis))
    found = []
    for n in range(1, CHRF_ORDER + 1):
        right, ours = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (wanted, got))
        found += [ours.total() if right else 0, right.total(), (ours & right).total()]  # as sacrebleu has it
    return np.array(found, np.int64)


def chrf(counts: np.ndarray) -> float:
    """chrF of summed counts, 0 to 100: the F score of mean precision and mean recall over the orders that occur."""
    written, wanted, right = counts.reshape(-1, 3).T.astype(np.float64)
    kept = (written > 0) & (wanted > 0)
    if not kept.any():
        return 0.0
    precision, recall = (right[kept] / written[kept]).mean(), (right[kept] / wanted[kept]).mean()
    weighed = CHRF_BETA**2 * precision + recall
    return float(100 * (1 + CHRF_BETA**2) * precision * recall / weighed) if weighed > 0 else 0.0


def _bleu_counts(scorer: Any, reference: str, hypothesis: str) -> list[int]:
    one = scorer.corpus_score([hypothesis], [[reference]])
    return [*one.counts, *one.totals, one.sys_len, one.ref_len]


def _bleu(scorer: Any, sums: np.ndarray) -> float:
    """BLEU of summed counts: right and all n-grams of four orders, both lengths."""
    right, whole, (ours, theirs) = sums[:4].tolist(), sums[4:8].tolist(), sums[8:].tolist()
    found = scorer.compute_bleu(right, whole, ours, theirs, smooth_method=scorer.smooth_method)
    return float(found.score)


def _resampled(rows: np.ndarray, seed: int) -> np.ndarray:
    """Sums (N_RESAMPLES, K) of n rows (n, K) drawn with replacement."""
    draws = np.random.default_rng(seed).integers(0, len(rows), (N_RESAMPLES, len(rows)))
    return np.stack([rows[draw].sum(axis=0) for draw in draws])
