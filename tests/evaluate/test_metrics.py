"""Error rates and intervals, against numbers worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossicle.errors import RequestError
from ossicle.evaluate.metrics import (
    Counts,
    count,
    interval,
    normalise,
    paired,
    pooled,
    pooled_difference,
    word_edits,
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Hello,  World!", "hello world"),
        ("Don't — it\u2019s O\u02bcClock", "dont its oclock"),
        ("ice-cream\n at\t7 p.m.", "ice cream at 7 p m"),
        ("Cafe\u0301 Ñandú", "café ñandú"),
        ("  ...  ", ""),
    ],
)
def test_the_normaliser_is_what_its_header_says(text, want):
    assert normalise(text) == want


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits", "words"),
    [
        ("the cat sat", "The cat, sat.", 0, 3),
        ("the cat sat", "the dog sat down", 2, 3),
        ("the cat sat", "", 3, 3),
        ("", "two words", 2, 0),
        ("", "", 0, 0),
        ("one", "two three four", 3, 1),
    ],
)
def test_word_edits(reference, hypothesis, edits, words):
    assert word_edits(reference, hypothesis) == (edits, words)


def test_the_word_error_rate_is_of_the_corpus_not_the_mean_of_the_items():
    counts = count("wer", ["a b c d e f g h", "a b"], ["a b c d e f g h", "x y"])
    assert counts.rate == pytest.approx(0.2)


def test_accuracy_compares_what_is_left_after_normalising():
    assert count("accuracy", ["Two.", "three", "four"], ["two", "three", "five"]).rate == pytest.approx(2 / 3)


def test_an_unknown_metric_lists_the_known():
    with pytest.raises(RequestError, match="there is no metric 'bleu', known are wer, accuracy"):
        count("bleu", ["a"], ["a"])


def test_as_many_answers_as_references():
    with pytest.raises(ValueError, match="argument 2 is"):
        count("wer", ["a", "b"], ["a"])


def test_nothing_to_divide_by_has_no_rate_and_no_interval():
    nothing = count("wer", [], [])
    assert nothing.rate is None and interval(nothing) is None and paired(nothing, nothing) is None
    assert interval(count("wer", [""], ["hm"])) is None


def test_the_interval_holds_the_rate_narrows_with_n_and_repeats():
    rng = np.random.default_rng(0)

    def sample(n):
        return Counts((rng.random(n) < 0.3).astype(float), np.ones(n))

    widths = []
    for n in (50, 5000):
        counts = sample(n)
        low, high = interval(counts, seed=3)
        assert low < counts.rate < high
        assert (low, high) == interval(counts, seed=3)
        widths.append(high - low)
    # a binomial interval of 95 % is about 2 * 1.96 * sqrt(0.3 * 0.7 / n) wide
    assert widths == pytest.approx([2 * 1.96 * np.sqrt(0.21 / n) for n in (50, 5000)], rel=0.2)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(100):
        low, high = interval(Counts((rng.random(80) < 0.4).astype(float), np.ones(80)), seed=seed)
        covered += low <= 0.4 <= high
    assert 88 <= covered <= 100


def test_a_paired_difference_is_clearer_than_two_intervals():
    rng = np.random.default_rng(2)
    hard = rng.random(200) < 0.5
    this, other = (
        Counts(hard.astype(float), np.ones(200)),
        Counts((hard & (rng.random(200) < 0.8)).astype(float), np.ones(200)),
    )
    found = paired(this, other)
    assert found.value == pytest.approx(other.rate - this.rate)
    assert found.low <= found.value <= found.high < 0 and found.clear
    assert interval(this)[0] < interval(other)[1]  # the separate intervals overlap
    same = paired(this, this)
    assert (same.value, same.low, same.high, same.clear) == (0, 0, 0, False)


def test_a_paired_comparison_needs_the_same_items():
    with pytest.raises(RequestError, match="both models scored on the same items"):
        paired(count("wer", ["a b"], ["a"]), count("wer", ["a"], ["a"]))


def test_without_jiwer_the_extra_is_named():
    code = (
        "import sys; sys.modules['jiwer'] = None\n"
        "from ossicle.errors import DependencyError\n"
        "from ossicle.evaluate.metrics import word_edits\n"
        "try:\n    word_edits('a', 'b')\nexcept DependencyError as error:\n    print(error.code, error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "missing_dependency word error rates need the package jiwer: pip install 'ossicle[eval]'\n"


def hits(*shares, n=400):
    return [Counts((np.arange(n) < share * n).astype(float), np.ones(n)) for share in shares]


def test_one_seed_is_pooled_as_it_is_alone():
    (one,) = hits(0.7)
    value, low, high = pooled([one])
    alone = interval(one)
    assert value == one.rate and low == pytest.approx(alone[0], abs=0.01) and high == pytest.approx(alone[1], abs=0.01)


def test_seeds_that_differ_widen_the_interval_and_seeds_that_agree_do_not():
    same, apart = pooled(hits(0.7, 0.7)), pooled(hits(0.5, 0.9))
    assert same[0] == apart[0] == pytest.approx(0.7)
    assert 0.07 < same[2] - same[1] < 0.11 and apart[1] < 0.52 and apart[2] > 0.88


def test_a_difference_of_seeds_is_paired_by_seed_and_item():
    difference = pooled_difference(hits(0.5, 0.9), hits(0.51, 0.91))
    assert difference.value == pytest.approx(0.01) and difference.clear and difference.high < 0.025
    assert not pooled_difference(hits(0.5, 0.9), hits(0.9, 0.5)).clear


def test_what_was_not_scored_on_the_same_items_is_not_pooled():
    with pytest.raises(RequestError, match="pooled only over the same items"):
        pooled([*hits(0.5), *hits(0.5, n=10)])
    with pytest.raises(RequestError, match="pooled only over the same items"):
        pooled([])
    for other in (hits(0.5, n=10), hits(0.5, 0.5)):
        with pytest.raises(RequestError, match="trained with the same seeds, scored on the same items"):
            pooled_difference(hits(0.5), other)
    nothing = Counts(np.zeros(2), np.zeros(2))
    assert pooled([nothing]) is None and pooled_difference([nothing], [nothing]) is None
