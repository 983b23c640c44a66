"""Rate cards as arithmetic: worked numbers, no surprise between neighbours, what happens at the ends."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.errors import ConfigError
from ossicle.plan.cards import CARDS, Card, card

BY_SECONDS: dict[str, dict[float, int]] = {
    "qwen-audio": {0.02: 0, 0.1: 2, 0.5: 12, 1: 25, 5: 125, 10: 250, 30: 750, 31: 750, 60: 750},
    "qwen2-audio": {0.02: 0, 0.1: 2, 0.5: 12, 1: 25, 2: 50, 7.4: 185, 10: 250, 30: 750, 31: 750, 600: 750},
    "qwen2.5-omni": {0.02: 0, 0.1: 2, 1: 25, 30: 750, 31: 775, 60: 1_500, 300: 7_500, 600: 7_500},
    "audio-flamingo-3": {0.02: 0, 0.5: 12, 30: 750, 31: 775, 60: 1_500, 600: 15_000, 601: 15_000},
    "music-flamingo": {600: 15_000, 1_200: 30_000, 1_300: 30_000},
    "gemma-4": {0.02: 1, 0.1: 3, 0.5: 13, 1: 25, 2: 50, 7.4: 185, 30: 750, 31: 750},
    "qwen3-omni": {0.02: 1, 0.1: 2, 0.5: 7, 1: 13, 5: 65, 7.4: 96, 10: 130, 30: 390, 31: 403, 60: 780, 600: 7_800},
    "qwen3-asr": {0.02: 7, 0.5: 7, 1: 13, 30: 390},
    "phi-4-multimodal": {0.02: 0, 0.1: 1, 0.5: 6, 1: 13, 5: 63, 7.4: 93, 10: 125, 30: 375, 31: 388, 60: 750},
    "glm-asr": {0.02: 0, 0.1: 1, 0.5: 6, 1: 12, 5: 62, 7.4: 92, 30: 375, 31: 387, 60: 750, 630: 7_875, 655: 7_875},
    "voxtral": {0.02: 375, 1: 375, 30: 375, 30.01: 750, 31: 750, 60: 750, 600: 7_500},
    "granite-speech": {0.02: 3, 0.1: 3, 0.5: 6, 1: 12, 2: 21, 5: 51, 7.4: 75, 10: 102, 30: 300, 31: 312, 60: 600},
    "vibevoice-asr": {0.02: 1, 0.5: 4, 1: 8, 2: 15, 5: 38, 7.4: 56, 10: 75, 30: 225, 31: 233, 60: 450, 600: 4_500},
    "ultravox": {0.02: 1, 0.1: 1, 0.5: 4, 1: 7, 2: 13, 7.4: 47, 10: 63, 30: 188, 31: 195, 60: 376, 600: 3_760},
    "gemma-3n": {0.02: 0, 0.1: 188, 1: 188, 30: 188, 31: 188},
    "salmonn": {0.02: 88, 1: 88, 30: 88, 60: 88},
    "ltu": {1: 32, 10.24: 32, 60: 32},
    "ltu-as": {1: 25, 10: 25, 60: 25},
    "slam-asr": {0.5: 5, 2: 20, 7.4: 74, 30: 300},
    "llama-omni": {0.5: 300, 30: 300, 60: 300},
    "moss-transcribe-diarize": {0.5: 7, 2: 25, 7.4: 93, 30: 375},
    "moshi": {0.5: 7, 2: 25, 7.4: 93, 30: 375},
    "csm": {0.5: 7, 30: 375},
    "glm-4-voice": {0.5: 7, 1: 13, 30: 375, 30.01: 376, 60: 750},
    "kimi-audio": {0.5: 7, 1: 13, 30: 375, 60: 750},
    "nemotron-omni": {0.5: 7, 1: 13, 30: 376, 60: 751},
    "inkling": {0.02: 1, 0.5: 10, 1: 20, 60: 1_200},
}
PAST_CAP = ("cut", "windows", "error", "none")
ALL = pytest.mark.parametrize("one", CARDS.values(), ids=CARDS)


@pytest.mark.parametrize(("name", "worked"), BY_SECONDS.items(), ids=BY_SECONDS)
def test_worked_numbers(name: str, worked: dict[float, int]) -> None:
    one = card(name)
    assert {s: one.tokens(round(s * one.rate)) for s in worked} == worked


def test_every_card_has_worked_numbers_and_its_place() -> None:
    assert set(BY_SECONDS) == set(CARDS) and len(CARDS) >= 15
    assert [(one.year, one.name) for one in CARDS.values()] == sorted((one.year, one.name) for one in CARDS.values())
    assert sum(one.checked == "run" for one in CARDS.values()) >= 10


@ALL
def test_a_card_says_what_is_allowed(one: Card) -> None:
    assert CARDS[one.name] is one and one.title and one.padding and one.source
    assert 2023 <= one.year <= 2026 and one.pattern in (1, 2, 3) and one.checked in ("run", "read")
    assert one.past_cap in PAST_CAP and (one.cap_s is None) == (one.past_cap in ("windows", "none"))
    assert one.rate in (16_000, 24_000)


@ALL
def test_no_samples_are_no_tokens_and_one_sample_no_more_than_a_window(one: Card) -> None:
    assert one.tokens(0) == 0
    assert 0 <= one.tokens(1) <= one.tokens(30 * one.rate)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(0, 3_000 * 24_000), more=st.integers(0, 48_000))
@ALL
def test_more_audio_is_never_cheaper(one: Card, n: int, more: int) -> None:
    assert one.tokens(n) <= one.tokens(n + more)


@settings(deadline=None, max_examples=20)
@given(more=st.integers(1, 10**7))
@ALL
def test_past_a_cap_it_costs_no_more_and_without_one_always(one: Card, more: int) -> None:
    if one.cap_s is None:
        assert one.tokens(more) < one.tokens(more + 30 * one.rate)
    else:
        end = round(one.cap_s * one.rate)
        assert one.tokens(end) == one.tokens(end + more)


@ALL
def test_long_audio_costs_the_nominal_rate_and_more_where_it_is_padded(one: Card) -> None:
    long = one.rate * 30 * (20 if one.cap_s is None or one.cap_s >= 600 else 1)
    if one.cap_s is not None and one.cap_s < 30:
        long = int(one.cap_s * one.rate)
    assert one.effective_hz(long) == pytest.approx(one.nominal_hz, rel=0.05)
    padded = one.name in ("salmonn", "ltu", "ltu-as", "llama-omni", "voxtral", "gemma-3n")
    assert (one.effective_hz(one.rate // 2) > 2 * one.nominal_hz) == padded == ("every clip pays" in one.padding)


@pytest.mark.parametrize(("name", "hz"), [("voxtral", 750.0), ("qwen2-audio", 24.0), ("gemma-3n", 376.0)])
def test_what_half_a_second_costs(name: str, hz: float) -> None:
    assert card(name).effective_hz(card(name).rate // 2) == hz


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"there is no rate card 'whisper'; known are ltu, ltu-as, qwen-audio, .*ult"):
        card("whisper")
    shown: Any = CARDS
    with pytest.raises(TypeError, match="does not support item assignment"):
        shown["whisper"] = card("moshi")
