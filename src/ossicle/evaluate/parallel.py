"""Items of the parallel world, and a translator as what is scored on them.

Knows sentences, voices and translators; does not know scores. Test sentences are said by test voices, clean, once in
every language, so that all pairs of languages are asked the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import RequestError
from ossicle.evaluate.recognisers import Itself, recogniser
from ossicle.evaluate.translation import Engine, ParallelItem, Show, TranslationScores, score_translation
from ossicle.infer.translate import Translation, translate
from ossicle.translate.translator import Translator
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parallel_speech import said
from ossicle.world.scenes import render
from ossicle.world.speech import speak_afresh

N_ITEMS = 50
CODES = {"en": ("en", "eng"), "fr": ("fr", "fra"), "de": ("de", "deu")}
"""How models call the world's languages."""


def parallel_items(n: int = N_ITEMS, *, seed: int = 0, languages: Sequence[str] = LANGUAGES) -> list[ParallelItem]:
    """Test sentences; the first ones are the same for any ``n``, those of a language for any ``languages``.

    Raises:
        DependencyError: eSpeak NG is not installed.
    """
    found = []
    for number in range(n):
        texts = parallel(np.random.default_rng([seed, number]), "test").texts
        speech = {}
        for language in languages:
            rng = np.random.default_rng([seed, number, 1 + LANGUAGES.index(language)])
            scene = said(rng, "test", language, texts[language], clean=True)
            speech[language] = Clip(render(scene, speak=speak_afresh).samples, SAMPLE_RATE)
        found.append(ParallelItem({language: texts[language] for language in languages}, speech))
    return found


def engine_of(model: Translator) -> Engine:
    """A translator, greedy; of its languages those of the parallel world, by the world's codes.

    Raises:
        RequestError: it knows fewer than two of them, or has a voice, but none of its own for one of them.
    """
    codes = {language: code for language, several in CODES.items() for code in several if code in model.languages}
    if len(codes) < 2:
        known = ", ".join(model.languages)
        raise RequestError(
            f"the parallel world is in {', '.join(LANGUAGES)}; {model.name} knows {known}", code="unsupported_language"
        )

    def made(given: Clip | str, source: str, to: str, *, speak: bool) -> Translation:
        written = None if isinstance(given, Clip) else codes[source]
        return translate(model, given, to=codes[to], source_language=written, speak=speak)

    def text(given: Clip | str, source: str, to: str) -> str:
        return made(given, source, to, speak=False).text

    def speech(given: Clip | str, source: str, to: str) -> Clip:
        audio = made(given, source, to, speak=True).audio
        assert audio is not None
        return audio

    n_parameters = sum(value.numel() for value in model.parameters())
    vocoder: Any = model.vocoder
    voiced = model.unit_decoder is not None and vocoder is not None
    for code in codes.values() if voiced else ():
        vocoder.default_speaker(code)  # refused now, and not after minutes
    return Engine(model.name, tuple(codes), n_parameters, text, speech if voiced else None)


def score_translator(
    model: Translator,
    *,
    n: int = N_ITEMS,
    read_back: Sequence[str] = ("itself",),
    seed: int = 0,
    show: Show = lambda line: None,
) -> TranslationScores:
    """Score a translator on the parallel world: every pair of its languages, every direction that it has.

    Args:
        model: what is scored.
        n: items, the same for all pairs.
        read_back: names of recognisers that read its speech.
        seed: of the items and of the bootstrap.
        show: takes a line of progress for each row.

    Raises:
        RequestError: an unknown recogniser, one that reads nothing of what the model speaks, or a model that knows
            fewer than two languages of the world.
        DependencyError: eSpeak NG, sacrebleu or a recogniser is not installed.
    """
    engine = engine_of(model)
    itself = Itself(engine.name, engine.languages, lambda clip, language: engine.translate(clip, language, language))
    recognisers = [recogniser(name, itself) for name in read_back]
    items = parallel_items(n, seed=seed, languages=engine.languages)
    return score_translation(engine, items, recognisers=recognisers, seed=seed, show=show)
