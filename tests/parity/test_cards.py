"""Rate cards = what the published processors count and the published modules give, with random weights."""

from functools import cache

import numpy as np
import pytest
import torch

from ossicle.plan.cards import CARDS
from parity.releases import CAN_BE_MUTE, ID, RELEASES, SOUND, TOKENIZER, Qwen3OmniEars, Release, silence, whisper

EDGES = {
    16_000: (160, 320, 640, 800, 960, 1_280, 1_600, 8_000, 8_080, 16_000, 16_080, 160_000, 480_000, 960_000),
    24_000: (240, 1_920, 3_200, 3_840, 6_400, 9_600, 24_000, 48_000, 240_000, 720_000, 1_440_000, 1_464_000 - 1),
}
"""Lengths at which some rule changes: hops, strides, windows, and caps of the releases at that rate."""
LEAST = {
    "qwen3-omni": (201, "Padding size should be less than the corresponding input dimension"),
    "phi-4-multimodal": (400, "maximum size for tensor at dimension 1"),
    "granite-speech": (257, "Padding size should be less than the corresponding input dimension"),
    "gemma-3n": (513, "Kernel size can't be greater than actual input size"),
    "moss-transcribe-diarize": (2, "tuple index out of range"),
}
"""Fewest samples that a release takes, and what it raises at one less."""
WINDOW = 480_000


def breaks(name: str, n: int) -> bool:
    """Is this a clip at which Music Flamingo breaks: its last window gives no token?"""
    return name == "music-flamingo" and 0 < n % WINDOW <= 320


@cache
def release(name: str) -> Release:
    torch.manual_seed(0)
    return RELEASES[name]()


def quick(name: str, **settings: int) -> Release:
    """The release without the spectrum that its count does not need, where it can be left out."""
    return RELEASES[name](mute=True, **settings) if name in CAN_BE_MUTE else release(name)


def lengths(name: str) -> list[int]:
    """About 60: each edge and its neighbours, the shortest clips, and some at random up to 61 s."""
    rate = CARDS[name].rate
    found = {edge + step for edge in EDGES[rate] for step in (-1, 0, 1)} | {1, 2, 201, 257, 400, 401, 512, 513}
    found |= {int(n) for n in np.random.default_rng(len(name)).integers(1, 61 * rate, 62 - len(found))}
    return sorted(n for n in found if n >= LEAST.get(name, (1,))[0])


def test_what_is_said_to_be_run_is_run_here() -> None:
    assert {name for name, one in CARDS.items() if one.checked == "run"} == set(RELEASES)


@pytest.mark.parametrize("name", RELEASES)
def test_the_card_is_what_the_processor_counts(name: str) -> None:
    theirs, tokens = release(name), CARDS[name].tokens
    with torch.inference_mode():
        counted = {n: theirs.places(theirs.inputs(n)) for n in lengths(name)}
    assert counted == {n: tokens(n) for n in counted}


@pytest.mark.parametrize("name", RELEASES)
def test_the_module_gives_a_vector_for_each(name: str) -> None:
    theirs, one = release(name), CARDS[name]
    heard = [n for n in lengths(name) if one.tokens(n)]
    some = [*heard[:2], heard[len(heard) // 3], one.rate + 1, 30 * one.rate + 1, 30 * one.rate + 321, heard[-1]]
    some = [n for n in some if not breaks(name, n)]
    with torch.inference_mode():
        assert {n: theirs.vectors(theirs.inputs(n)) for n in some} == {n: one.tokens(n) for n in some}


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASES)
def test_every_ten_milliseconds_up_to_61_seconds(name: str) -> None:
    """One length in each 10 ms: its end, or some sample within, by turns; one in 25 through the module too.

    A second past the cap, where all is cut, once a second.
    """
    theirs, one = quick(name), CARDS[name]
    hop, least = one.rate // 100, LEAST.get(name, (1,))[0]
    for i in range(1, 6_101):
        n = hop * i - (7 * i % hop if i % 2 else 0)
        if n < least or (one.cap_s is not None and n > (one.cap_s + 1) * one.rate and i % 100):
            continue
        with torch.inference_mode():
            made = theirs.inputs(n)
            assert theirs.places(made) == one.tokens(n), n
            if i % 50 < 2 and one.tokens(n) and not breaks(name, n):
                assert theirs.vectors(made) == one.tokens(n), n


@pytest.mark.parametrize("name", [name for name, one in CARDS.items() if one.checked == "run" and one.cap_s])
def test_past_the_cap_nothing_more_is_heard(name: str) -> None:
    one = CARDS[name]
    theirs = quick(name, **({"chunk_length": 300} if name == "qwen2.5-omni" else {}))
    cap = int(one.cap_s * one.rate)
    assert one.past_cap == "cut"
    around = (cap - 640, cap, cap + 1, cap + one.rate)
    with torch.inference_mode():
        counted = [theirs.places(theirs.inputs(n)) for n in around]
    assert counted == [one.tokens(n) for n in around]
    assert counted[-2] == counted[-1] == one.tokens(cap)


@pytest.mark.parametrize("name", LEAST)
def test_a_clip_that_is_too_short_is_refused(name: str) -> None:
    theirs, (least, message) = release(name), LEAST[name]
    with pytest.raises((RuntimeError, IndexError), match=message):
        theirs.vectors(theirs.inputs(least - 1))
    assert CARDS[name].tokens(least - 1) == 0 < CARDS[name].tokens(least)
    assert theirs.vectors(theirs.inputs(least)) == CARDS[name].tokens(least)


def test_music_flamingo_breaks_where_its_last_window_gives_no_token() -> None:
    theirs, n = release("music-flamingo"), WINDOW + 320
    assert breaks("music-flamingo", n) and not breaks("music-flamingo", n + 1)
    with torch.inference_mode():
        assert theirs.places(theirs.inputs(n)) == 750 and theirs.vectors(theirs.inputs(n + 1)) == 751
        with pytest.raises(IndexError, match="index 1 is out of bounds"):
            theirs.vectors(theirs.inputs(n))


def test_in_a_batch_qwen3_omni_counts_begun_frames() -> None:
    n = 16_160 - 1
    clips = [silence(n), silence(2 * n)]
    processor = Qwen3OmniEars(whisper(), TOKENIZER)
    made = processor(text=[SOUND] * 2, audio=clips, sampling_rate=16_000, return_tensors="pt", padding=True)
    alone = CARDS["qwen3-omni"].tokens
    assert int((made["input_ids"][0] == ID).sum()) == alone(n + 1) == alone(n) + 1
