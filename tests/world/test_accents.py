"""Made accents: what they are called, what eSpeak NG makes of them, and that only training hears them."""

import numpy as np
import pytest

from ossicle.errors import ConfigError
from ossicle.world.accents import MAX_SHIFTS, SHIFTS, SILENT, VOICE_FILES, base_and_rules, is_made, made_accent
from ossicle.world.parts import Voice
from ossicle.world.speech import ACCENTS, UNSEEN_ACCENT, sample_voice, speak

# a word for each lexical set of Wells 1982, and some consonants
WORDS = (
    "the trap bath dress kit lot strut foot cloth nurse fleece face palm thought goat goose price choice mouth near "
    "square start north force cure happy letter comma hot thin this singing rabbit bottle which judge vase"
)


def phones(accent: str) -> list[str]:
    """The phones of `WORDS` in an accent."""
    return [name for name, _, _ in speak(WORDS, Voice("espeak", accent, "", rate_wpm=170, pitch=50, warp=1.0)).phones]


def test_each_accent_of_training_can_be_a_base_and_the_unseen_one_cannot() -> None:
    assert set(VOICE_FILES) == set(ACCENTS) and UNSEEN_ACCENT not in VOICE_FILES
    with pytest.raises(ConfigError, match="no base 'en-gb-x-gbcwmd'"):
        base_and_rules(f"{UNSEEN_ACCENT}:h>NULL")


def test_made_accents_are_many_and_stay_inside_what_may_shift() -> None:
    drawn = [made_accent(np.random.default_rng(seed), ACCENTS) for seed in range(400)]
    assert len(set(drawn)) > 390 and all(is_made(accent) for accent in drawn)
    assert not any(is_made(accent) for accent in (*ACCENTS, UNSEEN_ACCENT))
    for accent in drawn:
        file, rules = base_and_rules(accent)
        assert file in VOICE_FILES.values()
        assert rules.count("\n") == rules.count("replace 00 ") and 1 <= rules.count("\n") <= MAX_SHIFTS


@pytest.mark.parametrize("phone", ["h", "T", "V", "a", "eI", "oU", "aI", "@L"])
def test_a_shifted_phone_is_gone_and_the_other_is_there(phone: str) -> None:
    plain = phones("en-gb")
    for other in SHIFTS[phone]:
        shifted = phones(f"en-gb:{phone}>{other}")
        here, there = phone.rstrip(":"), other.rstrip(":")
        assert plain.count(here) > 0 and shifted.count(here) == 0, other
        if other != SILENT:
            assert shifted.count(there) == plain.count(there) + plain.count(here), other


def test_the_base_and_the_variant_stay() -> None:
    assert "R" not in phones("en-us:T>f") and phones("en-us:T>f") != phones("en-gb-scotland:T>f")
    low, high = (
        speak(WORDS, Voice("espeak", "en-gb:T>f", variant, rate_wpm=170, pitch=50, warp=1.0)) for variant in ("", "f3")
    )
    assert [name for name, _, _ in low.phones].count("f") == [name for name, _, _ in high.phones].count("f")
    assert len(low.samples) != len(high.samples)


def test_only_training_hears_made_accents() -> None:
    def share(split: str, **asked: str) -> float:
        rng = np.random.default_rng(0)
        return float(np.mean([is_made(sample_voice(rng, split, **asked).accent) for _ in range(400)]))

    assert 0.4 < share("train") < 0.65 and 0.4 < share("train", pitch="low") < 0.65
    assert share("validation") == share("test") == share("test", slice="unseen_accent") == 0


@pytest.mark.parametrize("accent", ["en-gb:h>k", "en-gb:x>y", "en-gb:>"])
def test_a_shift_that_is_not_known_is_named(accent: str) -> None:
    with pytest.raises(ConfigError, match="no shift"):
        speak(WORDS, Voice("espeak", accent, "", rate_wpm=170, pitch=50, warp=1.0))
