"""Latency against golden values, plain definitions and brute force."""

from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossicle.errors import RequestError
from ossicle.simul import latency
from ossicle.simul.latency import MEASURES, Sentence, segmented, stream_laal, tokens

SOURCE = 3000.0
GOLDEN = [
    ([1000, 1500, 2000, 3000, 3000], 5, (975, 975, 0.700, 1080, 1280)),
    ([1000, 1000, 1500, 1500, 2000, 2000, 3000, 3000], 4, (-535.714, 589.286, 1.25, 1000, 700)),
    ([2000, 3000], 4, (2125, 2125, 0.417, 2000, 2050)),
    ([3000] * 4, 4, (3000, 3000, 1.0, 3000, 2250)),
    ([500] * 4, 4, (-625, -625, 0.167, 500, 50)),
]
"""Delays and reference length, and what SimulEval 1.1.4 makes of them: AL, LAAL, AP, DAL, ATD."""


@pytest.mark.parametrize(("delays", "n_reference", "golden"), GOLDEN)
def test_golden_values(delays: list[float], n_reference: int, golden: tuple[float, ...]) -> None:
    names = ("al", "laal", "ap", "dal", "atd")
    found = [MEASURES[name](delays, SOURCE, n_reference) for name in names]
    assert found == pytest.approx(golden, abs=1e-3)
    assert MEASURES["start_offset"](delays, SOURCE, n_reference) == delays[0]
    assert MEASURES["end_offset"](delays, SOURCE, n_reference) == delays[-1] - SOURCE


def test_more_golden_values() -> None:
    delays = [1000.0, 1000, 2000, 3000, 3000, 4000]
    found = [MEASURES[name](delays, 4000.0, 6) for name in ("al", "laal", "ap", "dal")]
    assert found == pytest.approx([666.667, 666.667, 0.5833, 1000], abs=1e-3)
    assert MEASURES["al"]([4200.0, 4300], 4000.0, 6) == 4200


@given(
    steps=st.lists(st.integers(0, 900), min_size=1, max_size=12),
    waits=st.lists(st.integers(0, 400), min_size=12, max_size=12),
    n_reference=st.integers(1, 15),
)
def test_what_is_computed_costs_time_in_every_measure(steps: list[int], waits: list[int], n_reference: int) -> None:
    delays = [float(sum(steps[: i + 1])) for i in range(len(steps))]
    source = delays[-1] + 1
    elapsed = [delay + sum(waits[: i + 1]) for i, delay in enumerate(delays)]
    for name in ("ap", "dal", "start_offset", "end_offset"):
        measure = MEASURES[name]
        assert measure(elapsed, source, n_reference) >= measure(delays, source, n_reference) - 1e-9
    aware = latency.average_token_delay(delays, source, ends=elapsed)
    assert aware >= latency.average_token_delay(delays, source) - 1e-9


def test_speech_is_cut_into_pieces_of_300_ms() -> None:
    # 1000 ms are read: 4 pieces; 500 ms are spoken, two pieces that end at 1300 and 1500; then 300 ms, played at 2000
    found = latency.average_token_delay([1000.0, 2000], 2000.0, durations=[500.0, 300])
    assert found == pytest.approx(((1300 - 300) + (1500 - 600) + (2300 - 900)) / 3)
    assert latency.end_offset([1000.0, 1200], 1500.0, durations=[500.0, 300]) == pytest.approx(1800 - 1500)
    assert latency.end_offset([1000.0, 2000], 1500.0, durations=[500.0, 300]) == pytest.approx(2300 - 1500)


def errors(some: list[str], others: list[str]) -> int:
    """Edit distance, row by row."""
    row = list(range(len(others) + 1))
    for i, one in enumerate(some):
        new = [i + 1]
        for j, other in enumerate(others):
            new.append(min(row[j] + (one != other), row[j + 1] + 1, new[-1] + 1))
        row = new
    return row[-1]


WORDS = st.lists(st.sampled_from("abc"), max_size=6)


@given(
    words=WORDS, references=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3), min_size=1, max_size=3)
)
def test_no_other_cut_has_fewer_word_errors(words: list[str], references: list[list[str]]) -> None:
    def whole(cuts: list[tuple[int, int]]) -> int:
        return sum(errors(words[a:b], reference) for (a, b), reference in zip(cuts, references, strict=True))

    found = segmented(words, references)
    assert found[0][0] == 0 and found[-1][1] == len(words)
    assert all(one[1] == other[0] and one[0] <= one[1] for one, other in pairwise(found))
    places = combinations_with_replacement(range(len(words) + 1), len(references) - 1)
    every = [list(zip((0, *some), (*some, len(words)), strict=True)) for some in places]
    assert whole(found) == min(map(whole, every))


def test_a_recording_is_measured_sentence_by_sentence() -> None:
    words = ["the", "dog", "barks", "loud", "she", "sleeps"]
    delays = [1500.0, 1500, 2000, 2500, 5000, 6000]
    sentences = [
        Sentence("the dog barks", 500, 2000),
        Sentence("nobody said this", 2000, 3000),
        Sentence("she sleeps", 4000, 6000),
    ]
    found = stream_laal(words, delays, sentences)
    first = latency.laal([1000, 1000, 1500], 1500, 3)
    assert found.each[0] == pytest.approx(first) and found.each[2] == pytest.approx(latency.laal([1000, 2000], 2000, 2))
    there = [one for one in found.each if one is not None]
    assert found.value == pytest.approx(sum(there) / len(there))
    empty = stream_laal(["she"], [5000.0], [sentences[0], sentences[2]])
    assert empty.each[0] is None and empty.value == empty.each[1] == 1000


def test_tokens() -> None:
    assert tokens("Il a  froid.") == ["Il", "a", "froid."]
    assert tokens("a b", "char") == ["a", "b"]
    with pytest.raises(RequestError, match="latency is counted in word or char, not 'spm'"):
        tokens("a", "spm")  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_refused() -> None:
    for name, measure in MEASURES.items():
        with pytest.raises(RequestError, match="nothing was written"):
            measure([], 1.0, 1)
        if name != "start_offset":
            with pytest.raises(RequestError, match="must have a length: got 0 ms and 1 tokens"):
                measure([1.0], 0.0, 1)
    with pytest.raises(RequestError, match="must have a length: got 1 ms and 0 tokens"):
        MEASURES["ap"]([1.0], 1.0, 0)
    with pytest.raises(RequestError, match="2 delays need as many ends: got 1"):
        latency.average_token_delay([1.0, 2.0], 3.0, ends=[1.0])
    with pytest.raises(RequestError, match="1 delays need as many durations: got 2"):
        latency.end_offset([1.0], 3.0, durations=[1.0, 2.0])
    with pytest.raises(RequestError, match="2 words need as many delays: got 1"):
        stream_laal(["a", "b"], [1.0], [Sentence("a", 0, 1)])
    for words, sentences in ((["a"], []), ([], [Sentence("a", 0, 1)])):
        with pytest.raises(RequestError, match="there must be sentences and words"):
            stream_laal(words, [1.0] * len(words), sentences)
    for wrong in (Sentence(" ", 0, 1), Sentence("a", 1, 1)):
        with pytest.raises(RequestError, match="sentence 0 must have words and a length"):
            stream_laal(["a"], [1.0], [wrong])
