"""Long audio in windows: cut where it is quietest, every sample in exactly one window.

Knows samples; does not know what a model does with a window. The same cuts come out whether the audio is in memory or
arrives as a stream, for a cut looks at most a quarter of a window ahead.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError

SEARCH_SHARE = 0.25
"""The cut lies in the last quarter of a window; earlier only where else the rest would be shorter than a quarter."""
STEP_S = 0.01
SPAN_S = 0.1
"""Loudness of a place: mean square of this much audio around it, looked at every ``STEP_S``."""


def split(clip: Clip, window_s: float) -> list[Clip]:
    """Cut a clip into windows that follow each other.

    Args:
        clip: of any length.
        window_s: longest window, seconds; at least one sample.

    Returns:
        One or more clips, each at most ``window_s`` long, with ``start_s`` set; the clip itself where it fits.

    Raises:
        RequestError: ``window_s`` is shorter than a sample.
    """
    return list(split_blocks([clip], window_s))


def split_blocks(blocks: Iterable[Clip], window_s: float) -> Iterator[Clip]:
    """Cut a stream of clips that follow each other (`io.read_blocks`) into the same windows as ``split``.

    At most one and a quarter windows (more of very short ones) and one block are kept in memory.
    """
    kept: list[np.ndarray] = []
    n_kept, rate, start_s, done = 0, 0, 0.0, 0
    for block in blocks:
        if rate == 0:
            rate, start_s = block.rate, block.start_s
        window = check_window(window_s, rate)
        kept.append(block.samples)
        n_kept += block.n_samples
        if n_kept <= window + _ahead(window, rate):
            continue
        samples = kept[0] if len(kept) == 1 else np.concatenate(kept)
        first = 0
        while n_kept - first > window + _ahead(window, rate):
            cut = first + _quietest(samples[first:], window, rate)
            yield Clip(samples[first:cut], rate, start_s + (done + first) / rate)
            first = cut
        kept, n_kept, done = [samples[first:]], n_kept - first, done + first
    if rate:
        yield from _last_windows(np.concatenate(kept) if len(kept) > 1 else kept[0], window_s, rate, start_s, done)


def _last_windows(samples: np.ndarray, window_s: float, rate: int, start_s: float, done: int) -> Iterator[Clip]:
    window = check_window(window_s, rate)
    first = 0
    while len(samples) - first > window:
        cut = first + _quietest(samples[first:], window, rate)
        yield Clip(samples[first:cut], rate, start_s + (done + first) / rate)
        first = cut
    yield Clip(samples[first:], rate, start_s + (done + first) / rate)


def check_window(window_s: float, rate: int) -> int:
    """Samples of a window.

    Raises:
        RequestError: ``window_s`` is shorter than a sample.
    """
    window = int(np.floor(window_s * rate + 1e-6)) if np.isfinite(window_s) else 0
    if window < 1:
        raise RequestError(f"a window of {window_s:g} s holds no sample at {rate} Hz: give a longer one")
    return window


def _least_rest(window: int) -> int:
    return int(window * SEARCH_SHARE)


def _ahead(window: int, rate: int) -> int:
    """Samples behind a window that its cut depends on: with these, what follows changes nothing."""
    return max(_least_rest(window), _half(rate))


def _half(rate: int) -> int:
    """Samples on either side of a place that tell how loud it is."""
    return max(int(rate * SPAN_S / 2), 1)


def _quietest(samples: np.ndarray, window: int, rate: int) -> int:
    """Where to cut, 1 <= cut <= window; ``samples`` are more than a window. Of equally quiet places the last."""
    last = min(window, len(samples) - _least_rest(window))
    first = max(min(window - int(window * SEARCH_SHARE), last - int(window * SEARCH_SHARE)), 1)
    step, half = max(int(rate * STEP_S), 1), _half(rate)
    places = np.arange(last, first - 1, -step)
    begin = max(first - half, 0)
    around = samples[begin : last + half].astype(np.float64)
    energy = np.concatenate([[0.0], np.cumsum(around * around)])
    low, high = np.maximum(places - half - begin, 0), np.minimum(places + half - begin, len(around))
    return int(places[np.argmin((energy[high] - energy[low]) / (high - low))])
