"""BLEU and chrF: sacrebleu's values and signatures, and counts that add up to them."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from ossicle.errors import RequestError
from ossicle.evaluate.likeness import chrf, chrf_counts, likeness

REFERENCES = [
    "The doctor's wife reads a book.",
    "We will travel to Paris on Monday, because it is warm there.",
    "Où est la clé ?",
    "Zwei große Hunde schlafen vor der Tür.",
    "ok",
]
HYPOTHESES = [
    "The doctor's wife reads the book.",
    "We travel to Paris Monday, since it is warm.",
    "Où est la clef ?",
    "",
    "not ok at all",
]


def test_values_and_signatures_are_sacrebleus() -> None:
    for metric, scorer in (("bleu", BLEU()), ("chrf", CHRF())):
        found = likeness(metric, REFERENCES, HYPOTHESES)
        assert found.value == scorer.corpus_score(HYPOTHESES, [REFERENCES]).score
        assert found.n == 5 and found.low < found.value < found.high
    assert likeness("bleu", REFERENCES, HYPOTHESES).signature.startswith(
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|"
    )
    assert likeness("chrf", REFERENCES, HYPOTHESES).signature.startswith(
        "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|"
    )


@pytest.mark.parametrize("rows", [[0], [3], [4], [0, 1], [2, 3, 4], [0, 1, 2, 3, 4], [1, 1, 2]])
def test_counts_of_items_add_up_to_sacrebleus_chrf(rows: list[int]) -> None:
    sums = sum(chrf_counts(REFERENCES[i], HYPOTHESES[i]) for i in rows)
    wanted = CHRF().corpus_score([HYPOTHESES[i] for i in rows], [[REFERENCES[i] for i in rows]]).score
    assert isinstance(sums, np.ndarray) and chrf(sums) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_an_interval_of_equal_items_is_the_value_itself(metric: str) -> None:
    found = likeness(metric, REFERENCES[:1] * 4, HYPOTHESES[:1] * 4)
    assert found.low == pytest.approx(found.value, abs=1e-9) and found.high == pytest.approx(found.value, abs=1e-9)
    assert likeness(metric, REFERENCES, REFERENCES).as_dict()["low"] == 100


def test_the_same_seed_gives_the_same_interval() -> None:
    one, same, other = (likeness("bleu", REFERENCES, HYPOTHESES, seed=seed) for seed in (0, 0, 1))
    assert (one.low, one.high) == (same.low, same.high) != (other.low, other.high)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(RequestError, match="no metric 'ter', known are bleu, chrf"):
        likeness("ter", REFERENCES, HYPOTHESES)
    for references, hypotheses in ((REFERENCES, HYPOTHESES[:2]), ([], [])):
        with pytest.raises(RequestError, match=f"got {len(references)} and {len(hypotheses)}"):
            likeness("bleu", references, hypotheses)
