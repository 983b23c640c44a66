"""Filter banks are those of the published extractor, and every sample lies in a frame."""

import numpy as np
import pytest
from transformers import SeamlessM4TFeatureExtractor

from ossicle.audio.clip import Clip
from ossicle.encoders.banks import Banks
from ossicle.errors import EncoderError


def noise(n: int) -> np.ndarray:
    wave = np.random.default_rng(n).normal(scale=0.1, size=n).astype(np.float32)
    wave[n // 3 : n // 2] = 0  # a silence, whose filter banks are those of nothing
    return wave


@pytest.mark.parametrize("n", [400, 559, 16_000, 16_001])
def test_filter_banks_are_those_of_the_extractor(n: int) -> None:
    extractor = SeamlessM4TFeatureExtractor(stride=1)
    wanted = extractor(noise(n), sampling_rate=16_000, padding=False, do_normalize_per_mel_bins=False)
    got = Banks(160).banks(noise(n))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.asarray(wanted["input_features"][0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("stack", "tail", "n", "frames"), [
    (2, "pad", 16_000, 50), (2, "pad", 16_001, 51), (2, "drop", 16_000, 49), (1, "pad", 16_001, 101),
    (4, "pad", 16_000, 25), (4, "pad", 16_001, 26), (4, "drop", 16_000, 24), (4, "drop", 16_240, 25),
])  # fmt: skip
def test_a_frame_holds_as_many_filter_banks_as_it_is_told(stack: int, tail: str, n: int, frames: int) -> None:
    banks = Banks(80 * stack, stack=stack, tail=tail)
    made = banks.features([Clip(noise(n), 16_000)])
    assert made.values.shape == (1, 80 * stack, frames) and banks.n_frames(n) == frames
    assert banks.rate_hz == 100 / stack
    single = Banks(80, stack=1, tail=tail).features([Clip(noise(n), 16_000)]).values[0]
    n_both = min(single.shape[1], frames * stack) - 1
    apart = made.values[0].T.reshape(frames * stack, 80).T
    np.testing.assert_allclose(apart[:, :n_both], single[:, :n_both], atol=1e-5)


def test_a_width_that_the_stack_does_not_divide_is_refused() -> None:
    with pytest.raises(EncoderError, match="3 stacked filter banks cannot be 160 wide"):
        Banks(160, stack=3)
