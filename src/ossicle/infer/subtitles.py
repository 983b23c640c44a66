"""Subtitles: what is said from one second to another as cues of at most two short lines, in SRT or WebVTT.

Knows texts and times; does not know models or files. A text that is too long for one cue becomes several, cut behind a
sentence or a clause where that leaves no crumbs; they share its seconds by their characters. Cues follow each other:
where segments overlap, the later one begins when the earlier one ends. No character but white space is lost.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

LINE = 42
"""Most characters of a line; a word that is longer is cut."""
LINES = 2
SENTENCE_ENDS, CLAUSE_ENDS = ".!?\u2026\u3002\uff01\uff1f", ",;:\u2013\u2014\u3001\uff0c\uff1b\uff1a"
CLOSING = "\"')]\u2019\u201c\u201d\u00bb\u00ab"
AFTER_CLAUSE, AFTER_WORD = 0.25, 0.75
"""What a cue costs more that ends inside a sentence; an empty one would cost 1 more than a full one."""
AWAY = 12
"""A line may be so many characters further from the middle for ending behind a sentence or a clause."""


class Timed(Protocol):
    """What has a text from one second to another, such as a `Segment` of a transcript."""

    @property
    def start_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...

    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Cue:
    """What is shown at once: from one millisecond to another, its lines."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(segments: Iterable[Timed]) -> list[Cue]:
    """Cues of segments in their order; a segment without text has none.

    Returns:
        Cues that begin at 0 or later, each at least a millisecond long, none before the end of the one before it.
    """
    found: list[Cue] = []
    free_ms = 0
    for segment in segments:
        blocks = list(_blocks(_words(segment.text)))
        sizes = [sum(map(len, words)) for words in blocks]
        start_s, length_s, done = segment.start_s, segment.end_s - segment.start_s, 0
        for words, size in zip(blocks, sizes, strict=True):
            starts = round(1000 * (start_s + length_s * done / sum(sizes)))
            done += size
            ends = round(1000 * (start_s + length_s * done / sum(sizes)))
            start_ms = max(starts, free_ms)
            free_ms = max(ends, start_ms + 1)
            found.append(Cue(start_ms, free_ms, _lines(words)))
    return found


def srt(found: Iterable[Cue]) -> str:
    """Cues as the text of an SRT file: numbered from 1, a comma before the milliseconds."""
    return "\n".join(
        f"{number}\n{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}\n{_joined(cue.lines)}"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: Iterable[Cue]) -> str:
    """Cues as the text of a WebVTT file, in which ``&``, ``<`` and ``>`` are written as names."""
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    shown = (
        f"\n{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}\n"
        f"{_joined(''.join(names.get(one, one) for one in line) for line in cue.lines)}"
        for cue in found
    )
    return "WEBVTT\n" + "".join(shown)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _clock(ms: int, point: str) -> str:
    """``01:02:03,004``; hours take more digits where they need them."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{ms:03d}"


def _words(text: str) -> list[str]:
    """The words of a text, none longer than a line."""
    return [word[at : at + LINE] for word in text.split() for at in range(0, len(word), LINE)]


def _blocks(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Words by cues: of all ways to part them the one that costs least, by how empty cues are and where they end."""
    costs: list[float] = [0.0]  # of the words before each place
    begins = [0]  # of the last cue before each place
    for end in range(1, len(words) + 1):
        best, begin = float("inf"), end
        for first in range(end - 1, -1, -1):
            if not _lines(words[first:end]):
                break
            cost = costs[first] + _cost(words[first:end], last=end == len(words))
            if cost < best:
                best, begin = cost, first
        costs.append(best)
        begins.append(begin)
    ends = [len(words)] if words else []
    while ends and begins[ends[-1]] > 0:
        ends.append(begins[ends[-1]])
    first = 0
    for end in reversed(ends):
        yield words[first:end]
        first = end


def _cost(words: Sequence[str], *, last: bool) -> float:
    """One cue, and more the emptier it is, and for ending where nobody pauses."""
    empty = 1 - len(" ".join(words)) / (LINES * LINE)
    stop = words[-1].rstrip(CLOSING)[-1:]
    ending = 0.0 if last or stop in SENTENCE_ENDS else AFTER_CLAUSE if stop in CLAUSE_ENDS else AFTER_WORD
    return 1 + empty**2 + ending


def _lines(words: Sequence[str]) -> tuple[str, ...]:
    """Words on one line where they fit, else on two of like length; empty where two do not hold them."""
    whole = " ".join(words)
    if len(whole) <= LINE:
        return (whole,)
    best: tuple[float, str, str] | None = None
    if len(whole) <= LINES * LINE + 1:
        for place in range(1, len(words)):
            first, second = " ".join(words[:place]), " ".join(words[place:])
            if max(len(first), len(second)) <= LINE:
                marked = words[place - 1][-1] in SENTENCE_ENDS + CLAUSE_ENDS
                away = abs(len(first) - len(second)) - (AWAY if marked else 0)
                if best is None or away < best[0]:
                    best = (away, first, second)
    return () if best is None else best[1:]
