"""Parallel sentences as scenes: phones where the sound is, in every language; the target voice alone and clean."""

import shutil

import numpy as np
import pytest

from ossicle.errors import ConfigError
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parallel_speech import said
from ossicle.world.parts import Speech, Voice
from ossicle.world.scenes import render
from ossicle.world.speech import ACCENTS_OF, PHONES, PHONES_3, TARGET_VOICES, speak


@pytest.mark.parametrize("language", ["fr", "de"])
def test_a_sentence_is_heard_with_its_phones(language):
    rng = np.random.default_rng(1)
    for _ in range(10):
        text = parallel(rng).texts[language]
        rendered = render(said(rng, "train", language, text))
        assert [event.label for event in rendered.events if event.kind == "speech"] == [text]
        phones = [event for event in rendered.events if event.kind == "phone"]
        assert len(phones) > len(text) / 3 and {event.label for event in phones} <= set(PHONES_3)
        starts = [event.start_s for event in phones]
        assert starts == sorted(starts) and starts[0] > 0.05
        assert phones[-1].end_s <= len(rendered.samples) / 16000


def phones_of(text: str, voice: Voice) -> set[str]:
    return {label for label, _, _ in speak(text, voice).phones}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_inventory_holds_every_phone(language):
    rng, found = np.random.default_rng(2), set()
    for i in range(150):
        accent = ACCENTS_OF[language][i % len(ACCENTS_OF[language])]
        found |= phones_of(parallel(rng).texts[language], Voice("espeak", accent, "", 300, 50, 1.0))
    assert found <= set(PHONES_3), found - set(PHONES_3)
    assert len(found) > 30


def test_the_inventory_begins_with_the_english_one():
    assert PHONES_3[: len(PHONES)] == PHONES
    assert len(set(PHONES_3)) == len(PHONES_3)


def test_french_questions_are_said_without_their_mark():
    asked, told = (
        phones_of(text, TARGET_VOICES["fr"]) for text in ("Où est-ce que tu manges ?", "où est-ce que tu manges")
    )
    assert asked == told


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_target_voice_says_it_alone_and_clean(language):
    one, two = (said(np.random.default_rng(seed), "train", language, "Bonjour.", target=True) for seed in (1, 2))
    assert one == two and one.noise is None and one.room == 0
    assert one.parts == (Speech("Bonjour.", TARGET_VOICES[language]),)


@pytest.mark.parametrize("language", ["fr", "de"])
def test_the_target_voice_is_heard(language):
    rendered = render(said(np.random.default_rng(0), "train", language, "Paul, Anna.", target=True))
    assert 0.5 < len(rendered.samples) / 16000 < 3


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")
def test_the_english_target_voice_is_heard():
    rendered = render(said(np.random.default_rng(0), "train", "en", "The dog sleeps.", target=True))
    assert 0.5 < len(rendered.samples) / 16000 < 3


def test_only_training_is_noisy():
    rng = np.random.default_rng(3)

    def noisy(split: str, clean: bool) -> int:
        scenes = [said(rng, split, "de", "Hallo.", clean=clean) for _ in range(40)]
        return sum(scene.noise is not None or scene.room > 0 for scene in scenes)

    assert noisy("test", False) == noisy("train", True) == 0
    assert 8 < noisy("train", False) < 34


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match="unknown language 'it', allowed are en, fr, de"):
        said(np.random.default_rng(0), "train", "it", "Ciao.")
    with pytest.raises(ConfigError, match="unknown language 'it', allowed are en, fr, de"):
        said(np.random.default_rng(0), "train", "it", "Ciao.", target=True)


def test_speech_may_begin_and_end_without_a_pause():
    scenes = [said(np.random.default_rng(i), "train", "fr", "Bonjour.", abrupt=0.5) for i in range(40)]
    n = sum(len(scene.parts) == 1 for scene in scenes)
    assert 8 < n < 32 and all(isinstance(scene.parts[0], Speech) == (len(scene.parts) == 1) for scene in scenes)
    assert all(len(said(np.random.default_rng(i), "train", "fr", "Oui.").parts) == 3 for i in range(20))
