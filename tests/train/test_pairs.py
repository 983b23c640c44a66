"""Sentences of the parallel world as a stage hears them."""

from pathlib import Path

import pytest

from ossicle.errors import ConfigError
from ossicle.train.pairs import Pairs
from ossicle.train.recipe import read_recipe
from ossicle.train.translator_pupil import by_speaker, pairs_of
from ossicle.world.parallel import LANGUAGES
from ossicle.world.speech import TARGET_VOICES

NEW_VOICE = Path(__file__).parents[2] / "recipes" / "new-voice.yaml"


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


def test_sentences_are_joined_until_they_last_as_long_as_was_drawn():
    seconds, joined = [], 0
    for i in range(40):
        long, short = (Pairs(3, 1, "train", {"de-en": 1.0}, dry=True, joined_s=one).sample(i) for one in (8.0, 0.0))
        assert long.pair.source_text.startswith(short.pair.source_text)
        assert long.pair.target_text.startswith(short.pair.target_text) and long.answer == long.pair.target_text
        marks = [sum(text.count(mark) for mark in ".?!") for text in (long.pair.source_text, long.pair.target_text)]
        assert marks[0] == marks[1] >= 1
        seconds.append(len(long.samples) / 16000)
        joined += marks[0] > 1
    assert min(seconds) < 3 and 7 < max(seconds) < 12 and 20 <= joined < 40


def test_options_that_are_not_used_change_no_sample():
    plain, spelled = (
        Pairs(3, 1, "train", {"fr-en": 1.0}, **one).sample(5) for one in ({}, {"own_voice": 0.0, "abrupt": 0.0})
    )
    assert plain.scene == spelled.scene and plain.pair == spelled.pair


def test_voices_that_are_there_are_said_beside_the_new_one():
    recipe = read_recipe(NEW_VOICE)
    speaker = recipe.parts.speaker
    assert speaker is not None and speaker.others == 0.5
    samples = [pairs_of(recipe, 0, None).sample(i) for i in range(40)]
    new = [sample for sample in samples if sample.scene.parts[0].voice == speaker.voice]
    assert 10 < len(new) < 30 and len({sample.pair.source_text for sample in new}) > 5
    assert {by_speaker(speaker)(sample) for sample in samples} == {("en", "linda"), *((one, None) for one in LANGUAGES)}
    for sample in samples:
        if sample not in new:
            assert sample.scene.parts[0].voice == TARGET_VOICES[sample.pair.source]
    alone = read_recipe(NEW_VOICE, ("parts.speaker.others=0",))
    assert {pairs_of(alone, 0, None).sample(i).scene.parts[0].voice for i in range(12)} == {speaker.voice}
    assert alone.stage_hash(0) == "841266321b60"  # runs that were begun before the option go on
    with pytest.raises(ConfigError, match=r"parts\.speaker\.others is a share from 0 to below 1 \(got 1\)"):
        read_recipe(NEW_VOICE, ("parts.speaker.others=1",))
