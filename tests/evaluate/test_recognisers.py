"""Recognisers: what they are called, what they read, what they refuse."""

import numpy as np
import pytest

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.evaluate.recognisers import Itself, PocketSphinx, recogniser
from ossicle.world.parts import Voice
from ossicle.world.speech import speak


def test_the_model_itself_reads_its_own_languages_under_its_own_name() -> None:
    asked: list[tuple[int, str]] = []

    def hear(clip: Clip, language: str) -> str:
        asked.append((len(clip.samples), language))
        return "words"

    one = Itself("mini-translate", ("en", "fr"), hear)
    assert one.read(Clip(np.zeros(7, np.float32), 16_000), "fr") == "words" and asked == [(7, "fr")]
    assert one.name == "mini-translate"
    with pytest.raises(RequestError, match="mini-translate does not understand 'de', but en, fr"):
        one.read(Clip(np.zeros(7, np.float32), 16_000), "de")
    assert len(asked) == 1


def test_pocketsphinx_reads_english_and_the_same_whatever_it_read_before() -> None:
    pytest.importorskip("pocketsphinx")
    one = recogniser("pocketsphinx", Itself("mini-translate", (), lambda clip, language: ""))
    assert isinstance(one, PocketSphinx)
    assert one.name.startswith("PocketSphinx 5.") and one.languages == ("en",)
    voice = Voice("espeak", "en-us", "m3", rate_wpm=130, pitch=40, warp=1.0)
    spoken = Clip(speak("where is the doctor going this morning", voice).samples, 16_000)
    first = one.read(spoken, "en")
    assert len({"where", "is", "the", "doctor", "going", "this", "morning"} & set(first.split())) >= 3
    assert one.read(Clip(np.zeros(8_000, np.float32), 16_000), "en") == ""
    assert one.read(spoken, "en") == first
    with pytest.raises(RequestError, match="does not understand 'fr', but en"):
        one.read(spoken, "fr")


def test_recognisers_are_found_by_name() -> None:
    one = Itself("mini-translate", ("en",), lambda clip, language: "")
    assert recogniser("itself", one) is one
    with pytest.raises(RequestError, match="no recogniser 'whisper', known are itself, pocketsphinx"):
        recogniser("whisper", one)
