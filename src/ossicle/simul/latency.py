"""How late a translation comes, as the field measures it: from the moments at which its tokens were written.

Knows moments and lengths; does not know models or policies. All times are milliseconds. A token's delay is the source
that had been read when it was written; its elapsed time is what a clock showed, with all that was computed until then.
Every measure takes either, which is its computation-aware twin. Conventions are those of SimulEval (Ma et al. 2020,
arXiv 2007.16193) where papers leave them open: what counts as the end, which length paces, what units speech has.
Sources: AL Ma et al. 2019 (STACL), AP Cho and Esipova 2016, DAL Cherry and Foster 2019, LAAL Papi et al. 2022, ATD Kano
et al. 2023, StreamLAAL Papi et al. 2024 with the segmentation of Matusov et al. 2005.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ossicle.errors import RequestError

UNIT_MS = 300.0
"""What the average token delay cuts speech into."""
TokenUnit = Literal["word", "char"]


def tokens(text: str, unit: TokenUnit = "word") -> list[str]:
    """What delays are counted of: words between blanks, or characters without blanks.

    Raises:
        RequestError: another unit.
    """
    match unit:
        case "word":
            return text.split()
        case "char":
            return [one for one in text if not one.isspace()]
        case _:
            raise RequestError(f"latency is counted in word or char, not {unit!r}")


def average_lagging(delays: Sequence[float], source: float, n_reference: int) -> float:
    """AL: the mean lag behind a writer who spreads the reference evenly, up to the first token after the source's end.

    Args:
        delays: of each token, ascending.
        source: how long the source lasts.
        n_reference: tokens of the reference; `laal` takes the longer of both texts.

    Raises:
        RequestError: no token, a source or a reference of no length.
    """
    _check(delays, source, n_reference)
    if delays[0] > source:
        return delays[0]
    lags: list[float] = []
    for i, delay in enumerate(delays):
        lags.append(delay - i * source / n_reference)
        if delay >= source:
            break
    return sum(lags) / len(lags)


def laal(delays: Sequence[float], source: float, n_reference: int) -> float:
    """LAAL: AL paced by the longer of hypothesis and reference, so that writing too much does not pay.

    Raises:
        RequestError: as `average_lagging`.
    """
    return average_lagging(delays, source, max(len(delays), n_reference))


def average_proportion(delays: Sequence[float], source: float, n_reference: int) -> float:
    """AP: the mean share of the source that was read; over 1 where more is written than the reference has.

    Raises:
        RequestError: as `average_lagging`.
    """
    _check(delays, source, n_reference)
    return sum(delays) / (source * n_reference)


def differentiable_average_lagging(delays: Sequence[float], source: float) -> float:
    """DAL: a token comes no sooner after the one before than its share of the source, paced by the hypothesis.

    Raises:
        RequestError: as `average_lagging`.
    """
    _check(delays, source, 1)
    pace = source / len(delays)
    even = pace * np.arange(len(delays))
    return float(np.maximum.accumulate(np.asarray(delays) - even).mean())


def average_token_delay(
    delays: Sequence[float],
    source: float,
    *,
    ends: Sequence[float] | None = None,
    durations: Sequence[float] | None = None,
) -> float:
    """ATD: the mean time from the end of a piece of the source to that of the piece of the target in its place.

    Speech is pieces of 300 ms, a token of text is a piece of no length. Pieces are written in chunks, all that has the
    same delay; the place of a piece is its number, less what the target was ahead in number before its chunk.

    Args:
        delays: of each token, or of each piece of speech that was handed out.
        source: how long the source lasts.
        ends: when each is written by the clock; None is at its delay.
        durations: of each piece of speech; None is of text.

    Raises:
        RequestError: as `average_lagging`; not as many ``ends`` or ``durations`` as delays.
    """
    _check(delays, source, 1)
    for name, several in (("ends", ends), ("durations", durations)):
        if several is not None and len(several) != len(delays):
            raise RequestError(f"{len(delays)} delays need as many {name}: got {len(several)}")
    said = [0.0] * len(delays) if durations is None else durations
    when = delays if ends is None else ends
    source_ends: list[float] = []
    read = written = last = 0.0
    n_source = n_target = 0  # of the chunks before this
    lags: list[float] = []
    for delay, end, duration in zip(delays, when, said, strict=True):
        if delay > read:
            n_source, n_target = len(source_ends), len(lags)
            source_ends += [read + min(at, delay - read) for at in _cuts(delay - read)]
            read = delay
        written = max(end, last)
        for at in _cuts(duration) or [0.0]:
            last = written + min(at, duration)
            place = min(len(lags) + 1 - max(0, n_target - n_source), len(source_ends))
            lags.append(last - (source_ends[place - 1] if place else 0.0))
    return sum(lags) / len(lags)


def start_offset(delays: Sequence[float]) -> float:
    """When the first token was written.

    Raises:
        RequestError: no token.
    """
    _check(delays, 1.0, 1)
    return delays[0]


def end_offset(delays: Sequence[float], source: float, *, durations: Sequence[float] | None = None) -> float:
    """How long after the source the last token was written, or the last piece of speech was played to its end.

    Raises:
        RequestError: as `average_token_delay`.
    """
    _check(delays, source, 1)
    if durations is None:
        return delays[-1] - source
    if len(durations) != len(delays):
        raise RequestError(f"{len(delays)} delays need as many durations: got {len(durations)}")
    end = 0.0
    for delay, duration in zip(delays, durations, strict=True):
        end = max(end, delay) + duration  # what is not played yet is waited for
    return end - source


@dataclass(frozen=True)
class Sentence:
    """A sentence of a long recording: its translation's reference, and where it lies in the source, ms."""

    reference: str
    start: float
    end: float


@dataclass(frozen=True)
class StreamLatency:
    """What `stream_laal` found.

    Args:
        value: mean over the sentences that have a translation.
        each: of every sentence; None where nothing of the hypothesis fell to it.
    """

    value: float
    each: tuple[float | None, ...]


def stream_laal(
    words: Sequence[str], delays: Sequence[float], sentences: Sequence[Sentence], *, unit: TokenUnit = "word"
) -> StreamLatency:
    """StreamLAAL: LAAL of a recording of many sentences, each by itself.

    Args:
        words: the hypothesis, token by token.
        delays: of each, from the begin of the recording.
        sentences: in order.
        unit: what tokens are.

    Raises:
        RequestError: not as many delays as words; no sentence, one without words or of no length; nothing was written.
    """
    if len(words) != len(delays):
        raise RequestError(f"{len(words)} words need as many delays: got {len(delays)}")
    if not sentences or not words:
        raise RequestError(f"there must be sentences and words: got {len(sentences)} and {len(words)}")
    references = [tokens(one.reference, unit) for one in sentences]
    for number, (one, reference) in enumerate(zip(sentences, references, strict=True)):
        if not reference or not one.end > one.start:
            raise RequestError(f"sentence {number} must have words and a length: {one}")
    cuts = segmented(words, references)
    each: list[float | None] = []
    for one, reference, (first, end) in zip(sentences, references, cuts, strict=True):
        own = [delay - one.start for delay in delays[first:end]]
        each.append(laal(own, one.end - one.start, len(reference)) if own else None)
    there = [one for one in each if one is not None]
    return StreamLatency(sum(there) / len(there), tuple(each))


def segmented(words: Sequence[str], references: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """A text cut into as many pieces as there are references, so that word errors over all pieces are fewest.

    Where several cuts are as good, words go to the earlier piece.

    Args:
        words: of the text.
        references: words of each.

    Returns:
        first word and end of each piece, without a hole.
    """
    joined = [word for reference in references for word in reference]
    numbers = {word: i for i, word in enumerate(dict.fromkeys([*joined, *words]))}
    these = np.array([numbers[word] for word in words], np.int64)
    n = len(words)
    at = np.arange(n + 1)
    cost = at.copy()  # errors of the first words, against no word of a reference
    came = np.zeros((len(joined), n + 1), np.int64)  # at which word the row above was left
    for row, word in enumerate(joined):
        missed = cost + 1
        met = np.concatenate([[missed[0]], cost[:-1] + (these != numbers[word])])
        best = np.minimum(missed, met)
        left = np.where(missed <= met, at, at - 1)
        cost = np.minimum.accumulate(best - at) + at  # then words that stand in no reference
        reached = np.where(cost == best, at, 0)
        came[row] = left[np.maximum.accumulate(reached)]
    lengths = [len(reference) for reference in references]
    begins = {sum(lengths[:i]) for i in range(len(lengths))}
    cuts, place = [n], n
    for row in range(len(joined) - 1, -1, -1):
        place = int(came[row, place])
        if row in begins:
            cuts.append(place)
    cuts[-1] = 0
    cuts.reverse()
    return list(itertools.pairwise(cuts))


def _cuts(duration: float) -> list[float]:
    """Where the pieces of some speech end."""
    return [UNIT_MS * (i + 1) for i in range(int(np.ceil(duration / UNIT_MS - 1e-9)))]


def _check(delays: Sequence[float], source: float, n_reference: int) -> None:
    if not len(delays):
        raise RequestError("nothing was written: there is no latency of no token")
    if not source > 0 or n_reference < 1:
        raise RequestError(f"source and reference must have a length: got {source:g} ms and {n_reference} tokens")


MEASURES: dict[str, Callable[[Sequence[float], float, int], float]] = {
    "al": average_lagging,
    "laal": laal,
    "ap": average_proportion,
    "dal": lambda delays, source, _: differentiable_average_lagging(delays, source),
    "atd": lambda delays, source, _: average_token_delay(delays, source),
    "start_offset": lambda delays, _, __: start_offset(delays),
    "end_offset": lambda delays, source, _: end_offset(delays, source),
}
"""Measures of text by delays, the source's length and the reference's tokens."""
