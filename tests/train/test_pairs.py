"""Sentences of the parallel world as a stage hears them."""

import pytest

from ossicle.train.pairs import Pairs
from ossicle.world.speech import TARGET_VOICES


def voices(**settings):
    found = [Pairs(3, 1, "train", {"de-en": 1.0}, clean=True, **settings).sample(i).scene for i in range(24)]
    return [next(part.voice for part in scene.parts if hasattr(part, "voice")) for scene in found]


def test_a_share_is_said_in_the_voice_that_is_learned():
    assert TARGET_VOICES["de"] not in voices()
    assert 4 < voices(own_voice=0.5).count(TARGET_VOICES["de"]) < 20
    assert voices(own_voice=1.0) == voices(target=True) == [TARGET_VOICES["de"]] * 24


@pytest.mark.parametrize(("abrupt", "parts"), [(0.0, 3), (1.0, 1)])
def test_what_is_abrupt_has_no_pauses(abrupt, parts):
    pairs = Pairs(3, 1, "train", {"fr-en": 1.0}, abrupt=abrupt)
    assert {len(pairs.sample(i).scene.parts) for i in range(6)} == {parts}


def test_options_that_are_not_used_change_no_sample():
    plain, spelled = (
        Pairs(3, 1, "train", {"fr-en": 1.0}, **one).sample(5) for one in ({}, {"own_voice": 0.0, "abrupt": 0.0})
    )
    assert plain.scene == spelled.scene and plain.pair == spelled.pair
