"""Items of the parallel world, and a translator as what is scored on them."""

import numpy as np
import pytest
import torch
from translate.small import SIZES, SPECIALS, letters, tiny

from ossicle.errors import RequestError
from ossicle.evaluate.parallel import engine_of, parallel_items, score_translator
from ossicle.evaluate.translation import score_translation
from ossicle.infer.translate import translate
from ossicle.train.translator_parts import new_unit_decoder
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Translator
from ossicle.world.parallel import parallel


def renamed(**languages: int) -> Translator:
    """The tiny translator with other names of its languages."""
    torch.manual_seed(0)
    text = TextTokens(letters().tokenizer, languages)
    return Translator(SIZES.config(vocabulary=len(SPECIALS) + 29, characters=40), text, name="tiny").eval()


def test_items_are_test_sentences_said_in_every_language_the_same_for_any_number() -> None:
    one, two = parallel_items(2, seed=3)
    (again,) = parallel_items(1, seed=3, languages=("de", "en"))
    assert one.texts == parallel(np.random.default_rng([3, 0]), "test").texts and one.texts != two.texts
    assert again.texts == {language: one.texts[language] for language in ("de", "en")}
    assert set(one.speech) == {"en", "fr", "de"} and set(again.speech) == {"de", "en"}
    for language in ("de", "en"):
        assert np.array_equal(again.speech[language].samples, one.speech[language].samples)
        assert one.speech[language].rate == 16_000 and len(one.speech[language].samples) > 8_000
    assert parallel_items(1, seed=4)[0].texts != one.texts


def test_a_translator_is_scored_by_what_it_translates() -> None:
    model, (item,) = tiny(), parallel_items(1)
    engine = engine_of(model)
    assert (engine.name, engine.languages, engine.speak) == ("tiny", ("en", "fr", "de"), None)
    assert engine.n_parameters == sum(value.numel() for value in model.parameters())
    spoken, written = item.speech["de"], item.texts["de"].lower()
    assert engine.translate(spoken, "de", "fr") == translate(model, spoken, to="fr").text
    assert engine.translate(written, "de", "fr") == translate(model, written, to="fr", source_language="de").text
    found = score_translation(engine, [item], pairs=[("de", "fr")])
    assert [(row.direction, row.way) for row in found.rows] == [
        ("s2t", "direct"),
        ("s2t", "cascade"),
        ("t2t", "direct"),
    ]


def test_languages_are_known_by_the_models_own_names() -> None:
    model = renamed(eng=4, deu=5, xyz=6)
    engine, text = engine_of(model), "ab cd?"
    assert engine.languages == ("en", "de")
    wanted = translate(model, text, to="deu", source_language="eng").text
    assert engine.translate(text, "en", "de") == wanted
    with pytest.raises(RequestError, match="the parallel world is in en, fr, de; tiny knows eng, xyz"):
        engine_of(renamed(eng=4, xyz=6))


def test_a_voice_that_no_language_calls_its_own_is_missed_before_anything_is_scored() -> None:
    model = tiny()
    model.unit_decoder = new_unit_decoder(model)
    model.vocoder = QuickVocoder(20, ("en", "fr", "de"), {"ann": "en", "cleo": "fr"}, width=8, ffn=8)
    with pytest.raises(RequestError, match="no speaker of this vocoder speaks 'de'"):
        engine_of(model)


def test_a_translator_is_scored_on_every_pair() -> None:
    shown: list[str] = []
    model = renamed(eng=4, deu=5)
    found = score_translator(model, n=1, seed=2, show=shown.append)
    assert [(row.source, row.to) for row in found.rows] == [("en", "de")] * 3 + [("de", "en")] * 3
    assert (found.model, found.seed, len(shown)) == ("tiny", 2, 6)
    assert [(one.language, one.recogniser) for one in found.heard] == [("en", "tiny"), ("de", "tiny")]
    with pytest.raises(RequestError, match="no recogniser 'nobody'"):
        score_translator(model, n=1, read_back=("nobody",))
