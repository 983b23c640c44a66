"""A parallel sentence as a scene: said by anybody somewhere, or by the one voice that a model learns to speak in.

Knows voices and scenes; does not know what the sentence means. Sentences are said as they are written, marks and all,
so that questions sound like questions.
"""

from collections.abc import Sequence

import numpy as np

from ossicle.world.grammar import Split
from ossicle.world.parts import Pause, Scene, Speech
from ossicle.world.scenes import random_conditions
from ossicle.world.speech import TARGET_VOICES, sample_voice

GAP_S = (0.05, 0.6)
"""Between two sentences in a row."""


def said(
    rng: np.random.Generator,
    split: Split,
    language: str,
    text: str | Sequence[str],
    *,
    target: bool = False,
    clean: bool = False,
    abrupt: float = 0.0,
) -> Scene:
    """A sentence said in a language.

    Args:
        rng: draws voice, pauses, noise and room.
        split: whose voices; noise and rooms are training's only, what is measured on is clean.
        language: "en", "fr" or "de".
        text: as written; numbers spelled out. Of several sentences each is said by itself, with a pause of `GAP_S`
            between it and the next one, and is an event of its own.
        target: said by the voice of `TARGET_VOICES`, without pause, noise or room; its sound hangs on the text alone.
        clean: without noise and room.
        abrupt: how likely it begins and ends without a pause.

    Returns:
        A scene for `scenes.render`, whose events are the text and its phones.

    Raises:
        ConfigError: an unknown split or language.
    """
    first, *more = [text] if isinstance(text, str) else text
    voice = sample_voice(rng, split, language=language)  # drawn first: it knows which languages and splits there are
    if target:
        voice = TARGET_VOICES[language]
    else:
        before, after = (Pause(float(rng.uniform(0.05, 0.4))) for _ in range(2))
        seed = int(rng.integers(2**31))
    spoken: list[Pause | Speech] = [Speech(first, voice)]
    for one in more:
        spoken += [Pause(float(rng.uniform(*GAP_S))), Speech(one, voice)]
    if target:
        return Scene(tuple(spoken))
    parts: tuple[Pause | Speech, ...] = (before, *spoken, after)
    if abrupt > 0 and rng.random() < abrupt:
        parts = tuple(spoken)
    if clean or split != "train":
        return Scene(parts, seed=seed)
    return Scene(parts, seed=seed, **random_conditions(rng))
