"""Single strokes: short, told apart, and varied from one source to the next."""

import numpy as np
import pytest

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.world.strokes import STROKES


@pytest.mark.parametrize("kind", STROKES)
def test_a_stroke_is_short_and_repeats_no_faster_than_it_can_be_heard(kind: str) -> None:
    make, fastest_s, slowest_s = STROKES[kind]
    lengths = []
    for seed in range(20):
        samples = make(np.random.default_rng(seed))
        assert np.isfinite(samples).all() and samples.dtype == np.float32 and np.abs(samples).max() > 0.1
        lengths.append(len(samples) / SAMPLE_RATE)
    assert min(lengths) >= 0.1 and max(lengths) <= 0.5
    assert 0.2 <= fastest_s < slowest_s <= 1.5


@pytest.mark.parametrize("kind", STROKES)
def test_sources_of_one_kind_differ_and_one_source_is_fixed(kind: str) -> None:
    make, _, _ = STROKES[kind]
    one, same, other = (make(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    n = min(len(one), len(other))
    assert np.corrcoef(one[:n], other[:n])[0, 1] < 0.9


def test_single_strokes_are_told_apart_by_their_spectrum() -> None:
    def spectrum(kind: str, rng: np.random.Generator) -> np.ndarray:
        power = np.abs(np.fft.rfft(STROKES[kind][0](rng), 8192)) ** 2
        edges = np.geomspace(16, 4096, 41).astype(int)  # 40 bands from 31 Hz to 8 kHz
        bands = np.log10(np.add.reduceat(power, edges[:-1]) + 1e-4 * power.sum())
        return bands - bands.mean()

    rng = np.random.default_rng(0)
    seen, unseen = (np.array([[spectrum(kind, rng) for _ in range(n)] for kind in STROKES]) for n in (20, 10))
    spread = seen.std(axis=1).mean(axis=0)
    distance = (((unseen[:, :, None] - seen.mean(axis=1)) / spread) ** 2).sum(axis=-1)  # (kinds, n, kinds)
    assert (distance.argmin(axis=-1) == np.arange(len(STROKES))[:, None]).mean() >= 0.85
