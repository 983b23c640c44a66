"""Long speech in pieces: cut in the pauses, so that what is said in one breath stays together.

Knows samples and how loud they are; does not know words. A moment is quiet where it is near the floor, the level that
a tenth of the moments around it do not reach; a pause is a run of quiet moments. What lies between two pauses is one
piece, with some of the pause on either side; of a long pause, the middle is a piece of its own, marked as quiet.
Every sample is in exactly one piece, and the same cuts come out whether the audio is in memory or arrives as a stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ossicle.audio.clip import Clip
from ossicle.audio.guards import check_finite
from ossicle.audio.windows import check_window, split

STEP_S = 0.01
SPAN_S = 0.05
"""Loudness of a moment: mean square of this much audio around it, every ``STEP_S``."""
PAUSE_S = 0.3
"""The shortest pause that ends a piece."""
AROUND_S, REST_S = 0.35, 0.5
"""Of a long pause so much stays with the speech on either side; a rest shorter than the second is shared by both."""
STRETCH_S = 15.0
"""So much audio is looked at together; at least one and a half windows."""
FLOOR_SHARE, LOUD_SHARE = 0.10, 0.95
OVER_DB, LEAST_OVER_DB = 6.0, 3.0
"""So much over the floor a moment is no longer quiet: noise that changes stays below the first, the steadiest below the
second; the less there is between, the fewer soft sounds are taken for it."""
BELOW_SHARE, SPREADS = 0.02, 7.0
"""How much noise changes shows under the floor: from the level that this share does not reach, so many times as far."""
UNDER_DB, FAINT_DB = 12.0, -70.0
"""The floor lies so much under the loud moments heard so far, or below the second, over full scale: what is loud all
the time is no pause."""
LEAST_DB = -100.0


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a long recording: ``clip`` with its ``start_s``, and whether all of it is ``quiet``."""

    clip: Clip
    quiet: bool


def pieces(blocks: Iterable[Clip], window_s: float) -> Iterator[Piece]:
    """Cut a stream of clips that follow each other (`io.read_blocks`) in its pauses.

    A piece that would be longer than ``window_s`` is cut where it is quietest. A stretch of audio and one block are
    kept in memory.

    Args:
        blocks: of any lengths.
        window_s: longest piece, seconds.

    Raises:
        RequestError: ``window_s`` is shorter than a sample.
        AudioInputError: ``audio_not_finite``.
    """
    loud_db = LEAST_DB
    waiting: list[Clip] = []  # joined no sooner than a stretch is there: blocks may be short
    n_waiting = 0
    for block in blocks:
        check_finite(block.samples)
        check_window(window_s, block.rate)
        waiting.append(block)
        n_waiting += block.n_samples
        n = round(max(STRETCH_S, 1.5 * window_s) * block.rate)
        if n_waiting <= n:
            continue
        kept = _followed(waiting)
        while kept.n_samples > n:  # the last stretch waits for the end
            stretch = Clip(kept.samples[:n], kept.rate, kept.start_s)
            moments, loud_db = _quiet(_levels(stretch), loud_db)
            done = 0
            for first, end, quiet in _begun(moments, stretch, window_s):
                yield from _windows(stretch, first, end, quiet, window_s)
                done = end
            kept = Clip(kept.samples[done:], kept.rate, kept.start_s + done / kept.rate)
        waiting, n_waiting = [kept], kept.n_samples
    if n_waiting:
        kept = _followed(waiting)
        moments, _ = _quiet(_levels(kept), loud_db)
        for first, end, quiet in _parts(moments, kept, last=True):
            yield from _windows(kept, first, end, quiet, window_s)


def edges_s(clip: Clip) -> tuple[float, float]:
    """Seconds at the start and at the end of a clip that are quiet; of one that is quiet throughout, all and none."""
    if clip.n_samples == 0:
        return 0.0, 0.0
    quiet, _ = _quiet(_levels(clip), LEAST_DB)
    loud = np.flatnonzero(~quiet)
    if not len(loud):
        return clip.duration_s, 0.0
    step_s = _step(clip.rate) / clip.rate
    return float(loud[0]) * step_s, max(clip.duration_s - float(loud[-1] + 1) * step_s, 0.0)


def _followed(clips: list[Clip]) -> Clip:
    """Clips that follow each other as one."""
    first = clips[0]
    return first if len(clips) == 1 else Clip(np.concatenate([one.samples for one in clips]), first.rate, first.start_s)


def _levels(clip: Clip) -> np.ndarray:
    """Level over full scale of each moment of a clip: (M,), dB."""
    step, half = _step(clip.rate), max(round(clip.rate * SPAN_S / 2), 1)
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip.samples, dtype=np.float64))])
    at = np.arange(0, clip.n_samples, step)
    low, high = np.maximum(at - half, 0), np.minimum(at + half, clip.n_samples)
    found: np.ndarray = 10 * np.log10((energy[high] - energy[low]) / (high - low) + 10 ** (LEAST_DB / 10))
    return found


def _step(rate: int) -> int:
    return max(round(rate * STEP_S), 1)


def _quiet(levels_db: np.ndarray, loud_db: float) -> tuple[np.ndarray, float]:
    """Which moments are quiet, (M,) bool, and the level of the loud ones by now, ``loud_db`` being that before."""
    least_db, low_db, high_db = np.quantile(levels_db, (BELOW_SHARE, FLOOR_SHARE, LOUD_SHARE)).tolist()
    loud_db = max(loud_db, high_db)
    floor_db = min(low_db, max(loud_db - UNDER_DB, FAINT_DB))
    over_db = min(max(SPREADS * (low_db - least_db), LEAST_OVER_DB), OVER_DB)
    return levels_db < floor_db + over_db, loud_db


def _begun(quiet: np.ndarray, stretch: Clip, window_s: float) -> list[tuple[int, int, bool]]:
    """The parts of a stretch that goes on: those that nothing behind it can change, at least one."""
    found = _parts(quiet, stretch, last=False)
    return found or [(0, split(stretch, window_s)[0].n_samples, False)]


def _parts(quiet: np.ndarray, clip: Clip, *, last: bool) -> list[tuple[int, int, bool]]:
    """First and end sample of each part, and whether it is quiet; with ``last`` up to the end of the clip."""
    n, step = len(quiet), _step(clip.rate)
    around, rest, pause = (round(seconds / STEP_S) for seconds in (AROUND_S, REST_S, PAUSE_S))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    found: list[tuple[int, int, bool]] = []  # in moments
    at = 0
    for a, b in zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True):
        begins, ends = a == 0, b == n
        inner_a = 0 if begins else a + around
        inner_b = n if ends and last else b - around
        if inner_b - inner_a >= rest:
            found += [] if begins else [(at, inner_a, False)]
            found.append((inner_a, inner_b, True))
            at = inner_b
        elif not begins and not ends and b - a >= pause:
            found.append((at, (a + b) // 2, False))
            at = (a + b) // 2
    if last and at < n:
        found.append((at, n, bool(quiet[at:].all()) if not found else False))
    return [(a * step, clip.n_samples if b == n else b * step, silent) for a, b, silent in found]


def _windows(clip: Clip, first: int, end: int, quiet: bool, window_s: float) -> Iterator[Piece]:
    part = Clip(clip.samples[first:end], clip.rate, clip.start_s + first / clip.rate)
    return (Piece(window, quiet) for window in split(part, window_s))
