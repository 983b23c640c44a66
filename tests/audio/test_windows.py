"""Windows: every sample once, none too long, cut where it is quiet, the same from memory and from a stream."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_blocks, read_clip
from ossicle.audio.windows import split, split_blocks
from ossicle.errors import RequestError

from .made import encoded, tone

RATE = 4_000


def noise(n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(n_samples=st.integers(1, 30_000), window_s=st.floats(0.002, 10.0), start_s=st.floats(0.0, 100.0))
def test_every_sample_is_in_exactly_one_window(n_samples, window_s, start_s):
    clip = Clip(noise(n_samples), RATE, start_s)
    windows = split(clip, window_s)
    np.testing.assert_array_equal(np.concatenate([window.samples for window in windows]), clip.samples)
    assert all(0 < window.n_samples <= window_s * RATE + 1e-3 for window in windows)
    assert windows[0].start_s == start_s
    for before, after in pairwise(windows):
        assert after.start_s == pytest.approx(before.end_s)
    assert windows[-1].end_s == pytest.approx(clip.end_s)
    least = int(int(window_s * RATE) * 0.25)
    assert len(windows) == 1 or windows[-1].n_samples >= least  # no crumbs
    assert all(window.n_samples >= 2 * least for window in windows[:-1])


@settings(deadline=None, max_examples=60)
@given(
    n_samples=st.integers(1, 40_000),
    window_s=st.floats(0.01, 4.0),
    sizes=st.lists(st.integers(1, 9_000), min_size=1, max_size=20),
)
def test_a_stream_is_cut_as_the_whole_is(n_samples, window_s, sizes):
    samples = noise(n_samples, 1)
    bounds = [0, *[b for b in np.cumsum(sizes) if b < n_samples], n_samples]
    blocks = [Clip(samples[a:b], RATE, 3.0 + a / RATE) for a, b in pairwise(bounds)]
    whole = split(Clip(samples, RATE, 3.0), window_s)
    streamed = list(split_blocks(iter(blocks), window_s))
    assert [w.n_samples for w in streamed] == [w.n_samples for w in whole]
    assert [w.start_s for w in streamed] == pytest.approx([w.start_s for w in whole])


@pytest.mark.parametrize("n_block", [900, 1_319, 2_975])
def test_a_stream_of_windows_shorter_than_the_loudness_of_a_place_is_cut_as_the_whole_is(n_block):
    for seed in range(8):
        samples = noise(22_801, seed)
        blocks = [Clip(samples[a : a + n_block], RATE, a / RATE) for a in range(0, len(samples), n_block)]
        streamed = [w.n_samples for w in split_blocks(iter(blocks), 0.04)]
        assert streamed == [w.n_samples for w in split(Clip(samples, RATE), 0.04)]


def test_cuts_fall_into_pauses():
    samples = noise(RATE * 30)
    for pause_s in (8.5, 17.0, 24.8):
        samples[int(pause_s * RATE) : int((pause_s + 0.3) * RATE)] = 0.0
    starts = [window.start_s for window in split(Clip(samples, RATE), 10.0)]
    assert starts == pytest.approx([0.0, 8.65, 17.15, 24.95], abs=0.16)


def test_silence_gives_the_longest_windows():
    assert [w.n_samples for w in split(Clip(np.zeros(RATE * 30, np.float32), RATE), 10.0)] == [40_000] * 3


def test_a_clip_that_fits_stays_whole():
    clip = Clip(noise(RATE * 10), RATE)
    (window,) = split(clip, 10.0)
    assert np.shares_memory(window.samples, clip.samples)


def test_from_a_file():
    data = encoded("flac", tone(7.0, 8_000), 8_000)
    streamed = list(split_blocks(read_blocks(data), 2.0))
    assert [w.n_samples for w in streamed] == [w.n_samples for w in split(read_clip(data), 2.0)]


def test_nothing_gives_nothing():
    assert list(split_blocks([], 1.0)) == []


@pytest.mark.parametrize("window_s", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_windows_without_a_sample_are_refused(window_s):
    with pytest.raises(RequestError, match="holds no sample at 4000 Hz"):
        split(Clip(noise(100), RATE), window_s)
