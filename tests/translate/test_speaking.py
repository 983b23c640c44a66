"""Speech from tokens: it says what is given, in the language and voice that are asked for."""

from typing import Any

import pytest
import torch

from ossicle.errors import RequestError
from ossicle.translate.speaking import speak_ids
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Encoded, Translator
from ossicle.translate.unit_decoder import UnitDecoder
from ossicle.translate.vocoder import UNIT_SAMPLES, HifiGan
from translate.tiny import CHAR_TO_ID, LANGUAGES, SIZES, VOICES, published, tokenizer

IDS = [[40, 7, 31, 65], [], [12]]
SPOKEN = ["fra", "eng", "eng"]


def made(**parts: Any) -> Translator:
    theirs = published()
    text = TextTokens(tokenizer().backend_tokenizer, LANGUAGES)
    model = Translator(SIZES, text, hears=False, name="tiny")
    model.text_encoder, model.text_decoder = theirs.text_encoder, theirs.text_decoder
    model.unit_decoder = UnitDecoder(theirs.t2u_model, letters=CHAR_TO_ID)
    model.vocoder = HifiGan(theirs.vocoder, {"eng": 1, "fra": 2}, speakers={"eng": 7, "fra": 11})
    for name, part in parts.items():
        setattr(model, name, part)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Translator:
    return made()


@pytest.fixture(scope="module")
def encoded(model: Translator) -> Encoded:
    with torch.no_grad():
        return model.read([[90, 40, 3], [90, 41, 42, 3], [90, 50, 3]])


def test_every_character_is_spoken_and_nothing_else(model, encoded):
    speech = speak_ids(model, encoded, IDS, SPOKEN)
    written = ["".join(model.text.pieces(ids)) for ids in IDS]
    assert [(row > 0).sum().item() for row in speech.units.durations] == [len(one) for one in written]
    assert speech.lengths.tolist() == [UNIT_SAMPLES * n for n in speech.units.durations.sum(1).tolist()]
    assert speech.samples.shape == (3, int(speech.lengths.max())) and not speech.samples[1].any()


def test_speech_follows_its_tokens_source_voice_and_pace(model, encoded):
    def said(ids: list[list[int]] = IDS, **how: Any) -> torch.Tensor:
        return speak_ids(model, encoded, ids, SPOKEN, **how).samples

    assert torch.equal(said(), said(speakers=[11, "eng", None]))
    usual = said()
    for other in (
        said([[40, 7, 31, 66], [], [12]]),
        said(speakers=[7, None, None]),
        said(pace=2.0),
        said(stretch=True),
    ):
        assert other.shape != usual.shape or not torch.allclose(other, usual, atol=1e-3)
    rows = Encoded(encoded.values.flip(0), encoded.lengths.flip(0))
    other = speak_ids(model, rows, IDS, SPOKEN).samples
    assert other.shape != usual.shape or not torch.allclose(other, usual, atol=1e-3)


def test_nothing_to_say_is_silence_of_no_length(model, encoded):
    speech = speak_ids(model, encoded, [[], [], []], SPOKEN)
    assert speech.samples.shape == (3, 0) and speech.lengths.tolist() == [0, 0, 0]


def test_what_cannot_be_spoken_is_refused(model, encoded):
    with pytest.raises(RequestError, match="3 items, 2 translations, 3 languages"):
        speak_ids(model, encoded, IDS[:2], SPOKEN)
    with pytest.raises(RequestError, match="3 translations need as many speakers, got 1"):
        speak_ids(model, encoded, IDS, SPOKEN, speakers=[7])
    assert "arb" in VOICES
    with pytest.raises(RequestError, match="tiny does not speak 'arb': it speaks eng, fra") as found:
        speak_ids(model, encoded, IDS, ["fra", "arb", "eng"])
    assert found.value.code == "unsupported_language"
    with pytest.raises(RequestError, match="no speaker 'deu'"):
        speak_ids(model, encoded, IDS, SPOKEN, speakers=["deu", None, None])
    with pytest.raises(RequestError, match="tiny writes, but does not speak"):
        speak_ids(made(vocoder=None), encoded, IDS, SPOKEN)
    with pytest.raises(RequestError, match="its unit decoder has no table of characters"):
        speak_ids(made(unit_decoder=UnitDecoder(published().t2u_model)), encoded, IDS, SPOKEN)
    with pytest.raises(RequestError, match="the vocoder of tiny has no durations of its own: leave stretch out"):
        speak_ids(made(vocoder=torch.nn.Identity()), encoded, IDS, SPOKEN, stretch=True)
