"""Integer length rules against plain counting."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.lengths import (
    ceil_div,
    chunk_frames,
    grouped,
    llama_cpp_tokens,
    llama_cpp_windows,
    mel_frames,
    parts,
    resampled_samples,
    strided,
    ultravox_tokens,
    whisper_frames,
    whole_clip,
    whole_frames,
    windowed,
)

counts = st.integers(0, 10**12)
rates = st.integers(4_000, 192_000)


@settings(deadline=None)
@given(a=counts, b=st.integers(1, 10**6))
def test_ceil_div(a, b):
    assert ceil_div(a, b) == ceil(Fraction(a, b))


@settings(deadline=None)
@given(n=counts, rate_in=rates, rate_out=rates)
def test_resampling_rounds_up_and_empties_no_clip(n, rate_in, rate_out):
    assert resampled_samples(n, rate_in, rate_out) == ceil(Fraction(n) * rate_out / rate_in)
    assert resampled_samples(n, rate_in, rate_in) == n


@settings(deadline=None)
@given(n=st.integers(0, 10**5))
def test_mel_and_whisper_frames_are_counted_by_their_strides(n):
    assert mel_frames(n) == len(range(0, n, 160))
    assert whisper_frames(n) == len(range(0, mel_frames(n), 2))


@settings(deadline=None)
@given(n=st.integers(0, 10**4), size=st.integers(1, 10**4))
def test_parts_are_full_but_the_last(n, size):
    found = parts(n, size)
    assert sum(found) == n and set(found[:-1]) <= {size} and all(0 < one <= size for one in found)


@settings(deadline=None)
@given(n=st.integers(0, 10**5), times=st.integers(0, 5))
def test_strides_are_taken_one_after_the_other(n, times):
    frames = range(n)
    for _ in range(times):
        frames = frames[::2]
    assert strided(n, times) == len(frames)


@settings(deadline=None)
@given(n=st.integers(0, 10**5), field=st.integers(1, 1_000), hop=st.integers(1, 1_000))
def test_whole_frames_end_within_the_clip(n, field, hop):
    assert whole_frames(n, field, hop) == len([first for first in range(0, n, hop) if first + field <= n])


@settings(deadline=None)
@given(n=st.integers(0, 10**4), k=st.integers(1, 12), tail=st.sampled_from(["pool", "duplicate", "zero", "drop"]))
def test_grouping(n, k, tail):
    groups = [min(k, n - first) for first in range(0, n, k)]
    if tail == "drop" and len(groups) > 1 and groups[-1] < k:
        groups.pop()
    assert grouped(n, k, tail) == len(groups)
    assert windowed(n, k, 3, tail) == sum(3 for _ in groups)
    assert whole_clip(n, k) == len(groups[:1]) * k


@settings(deadline=None)
@given(n=st.integers(0, 10**6), chunk=st.integers(2, 3_000), k=st.integers(1, 12))
def test_chunks_hold_every_log_mel_frame_once(n, chunk, k):
    chunks = chunk_frames(n, chunk)
    assert sum(chunks) == max(2, mel_frames(n)) and set(chunks[:-1]) <= {chunk} and 0 < chunks[-1] <= chunk
    frames = [len(range(0, size, 2)) for size in chunk_frames(n)]
    assert ultravox_tokens(n, k) == sum(len(range(0, size, k)) for size in frames)


@pytest.mark.parametrize(
    ("seconds", "published", "windows"),
    [
        *[(0.02, 1, 1), (0.1, 1, 1), (0.5, 4, 1), (1, 7, 1), (5, 32, 1), (10, 63, 1)],
        *[(30, 188, 2), (31, 195, 2), (60, 376, 3), (600, 3_760, 21)],
    ],
)
def test_one_clip_is_not_the_same_prompt_on_every_server(seconds, published, windows):
    n = round(seconds * 16_000)
    assert (ultravox_tokens(n), llama_cpp_windows(n), llama_cpp_tokens(n)) == (published, windows, 187 * windows)


@pytest.mark.parametrize(
    ("rule", "arguments", "want"),
    [
        (mel_frames, (480_000,), 3_000),
        (whisper_frames, (480_000,), 1_500),
        (mel_frames, (1,), 1),
        (whisper_frames, (1,), 1),
        (grouped, (1_500, 2, "pool"), 750),
        (grouped, (1, 5, "drop"), 1),
        (grouped, (9, 5, "drop"), 1),
        (grouped, (9, 5, "duplicate"), 2),
        (windowed, (1_500, 15, 3, "mask"), 300),
        (windowed, (1_500, 17, 1, "zero"), 89),
        (windowed, (370, 15, 3, "zero"), 75),
        (whole_clip, (1, 64), 64),
        (whole_clip, (1_500, 64), 64),
        (resampled_samples, (1, 48_000, 16_000), 1),
    ],
)
def test_known_values(rule, arguments, want):
    assert rule(*arguments) == want


@settings(deadline=None)
@given(n=st.integers(0, 10**4), window=st.integers(1, 40), queries=st.integers(1, 9))
def test_windows_give_their_queries_and_a_clip_its_own(n, window, queries):
    whole = len(range(0, n, window))
    assert windowed(n, window, queries, "mask") == whole * queries
    assert windowed(n, window, queries, "drop") == max(n // window, min(n, 1)) * queries
    assert whole_clip(n, queries) == (queries if n else 0)
