"""From the tokens of a translation to speech that says these tokens: states, units, waveform.

Knows the order of the parts; does not know how the tokens were found. The states are those of the decoder over exactly
the tokens that are given, so that what is heard is what is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ossicle.errors import RequestError
from ossicle.translate.spelling import spelled
from ossicle.translate.translator import Encoded, Translator
from ossicle.translate.unit_decoder import UnitDecoder, Units
from ossicle.translate.vocoder import UNIT_SAMPLES


@dataclass(frozen=True, eq=False)
class Speech:
    """What was said.

    Args:
        samples: (B, S) float32 at 16 kHz, zero past ``lengths``.
        lengths: (B,) int64 on the CPU, samples of each item.
        units: that were spoken, with the durations of the characters.
    """

    samples: torch.Tensor
    lengths: torch.Tensor
    units: Units


@torch.no_grad()
def speak_ids(
    model: Translator,
    encoded: Encoded,
    ids: Sequence[Sequence[int]],
    languages: Sequence[str],
    *,
    speakers: Sequence[str | int | None] | None = None,
    pace: float = 1.0,
    stretch: bool = False,
) -> Speech:
    """Speak translations.

    Args:
        model: in evaluation mode.
        encoded: what was translated, B items.
        ids: the tokens t1..tn of each translation, as `search` gives them.
        languages: that they are in.
        speakers: a name, a number or None for each; None is the language's own first speaker.
        pace: how many times as fast as the model would speak.
        stretch: repeat units once more, as the vocoder's own durations say. `transformers` does, the release does not.

    Raises:
        RequestError: the model does not speak, or not this language or speaker; a pace that is not positive.
    """
    decoder, vocoder = _parts(model, stretch)
    if not len(ids) == len(languages) == len(encoded.values):
        raise RequestError(f"{len(encoded.values)} items, {len(ids)} translations, {len(languages)} languages")
    for language in languages:
        if language not in vocoder.languages:
            raise RequestError(
                f"{model.name} does not speak {language!r}: it speaks {', '.join(sorted(vocoder.languages))}",
                code="unsupported_language",
            )
    who = [None] * len(ids) if speakers is None else list(speakers)
    if len(who) != len(ids):
        raise RequestError(f"{len(ids)} translations need as many speakers, got {len(who)}")
    voices = [vocoder.default_speaker(name) if one is None else one for one, name in zip(who, languages, strict=True)]
    read = [[*model.text.prefix(language), *one] for one, language in zip(ids, languages, strict=True)]
    characters = spelled(model.text, ids, decoder.letters)
    units = decoder(model.states(encoded, read), torch.tensor([len(one) for one in read]), characters, pace=pace)
    said = vocoder.stretched(units.ids, units.lengths) if stretch else (units.ids, units.lengths)
    samples = vocoder(*said, languages=languages, speakers=voices)
    return Speech(samples, said[1].cpu() * UNIT_SAMPLES, units)


def _parts(model: Translator, stretch: bool) -> tuple[UnitDecoder, Any]:
    """Unit decoder and vocoder of a model that speaks."""
    decoder, vocoder = model.unit_decoder, model.vocoder
    if not isinstance(decoder, UnitDecoder) or vocoder is None:
        raise RequestError(f"{model.name} writes, but does not speak: it was made without unit decoder and vocoder")
    if not decoder.letters:
        raise RequestError(f"{model.name} does not speak: its unit decoder has no table of characters")
    if stretch and not hasattr(vocoder, "stretched"):
        raise RequestError(f"the vocoder of {model.name} has no durations of its own: leave stretch out")
    return decoder, vocoder
