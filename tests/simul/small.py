"""A small random translator and its choices, loud enough that its answers differ from source to source."""

import numpy as np
import torch
from tokenizers import Tokenizer, models
from torch import nn
from translate.small import LETTERS, SPECIALS, tiny

from ossicle.simul.choice import Choices
from ossicle.simul.hearing import Hearing
from ossicle.train.translator_parts import characters_of, new_translator, new_unit_decoder
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.sizes import SpeechSizes, TextSizes, TranslatorSizes
from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.translator import Encoded, Translator

SIZES = TranslatorSizes(
    width=32,
    heads=4,
    speech=SpeechSizes(layers=1, ffn=32, kernel=3, left=4, right=2),
    text=TextSizes(vocabulary=300, encoder_layers=1, decoder_layers=3, ffn=32, context=64),
)
RATIO = 3


def small_model() -> Translator:
    """Three layers of four heads, context 64."""
    made = new_translator(SIZES, name="tiny", seed=1).eval()
    louden(made.text_decoder)
    return made


def louden(part: nn.Module) -> None:
    """Larger weights than those of initialisation: small mistakes shall show."""
    torch.manual_seed(2)
    with torch.no_grad():
        for value in part.parameters():
            value.add_((0.15 if value.ndim > 1 else 0.02) * torch.randn(value.shape))


def small_choices(bias: float = -0.4) -> Choices:
    """Probabilities of all sizes."""
    torch.manual_seed(3)
    made = Choices(32, 4, 3, ratio=RATIO)
    for one in made.each():
        for value in one.parameters():
            if value.ndim > 1:
                torch.nn.init.normal_(value, std=0.2)
            elif value.ndim == 1:
                torch.nn.init.constant_(value, 0.1)
        torch.nn.init.constant_(one.bias, bias)
    return made


def heard(model: Translator, *lengths: int, seed: int = 0) -> Encoded:
    """Random encoder outputs."""
    torch.manual_seed(len(lengths) + 100 * seed)
    values = torch.randn(len(lengths), max(lengths), model.width)
    for row, n in enumerate(lengths):
        values[row, n:] = 0
    return Encoded(values, torch.tensor(lengths))


def listening(**changes: int) -> Translator:
    """A translator of letters, so that words have several tokens; ``changes`` are of its config."""
    model = tiny(stack=4, adaptor_kernel_size=2, adaptor_stride=2, **changes)
    louden(model.text_decoder)
    with torch.no_grad():  # a blank now and then: words
        blank = model.text.tokens("a")[0]
        model.shared.weight[blank] *= 3
    model.hearing = Hearing(80, frames=8, left=4)
    model.hearing.learn(model, [sound(16000)])
    return model


def sound(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=n)).astype(np.float32)


def speaking(**changes: int) -> Translator:
    """The same, whose every token is a letter or a stop, with choices, units and a voice: it says what it writes."""
    model = listening(**changes)
    letters = characters_of(model.text)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model.choices = Choices(32, 4, 2, bias=0.3)
        model.unit_decoder = new_unit_decoder(model).eval()
        assert len(letters) <= 40
        model.vocoder = QuickVocoder(20, ("en", "fr", "de"), {"ann": "fr", "bea": "de"}, width=16, ffn=16).eval()
        louden(model.unit_decoder)
        louden(model.vocoder)
        louden(model.choices)
    return model


def wordy(**changes: int) -> Translator:
    """The same, but that each token is a word of one letter, so that words come soon; it does not end by itself."""
    model = speaking(**changes)
    with torch.no_grad():
        model.shared.weight[: len(SPECIALS) + 1] = 0  # never the likeliest
    pieces = [*SPECIALS, BLANK, *(one if one in ".?" else BLANK + one for one in LETTERS)]
    tokenizer = Tokenizer(models.WordLevel({one: i for i, one in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.pre_tokenizer = model.text.tokenizer.pre_tokenizer
    tokenizer.decoder = model.text.tokenizer.decoder
    model.text = TextTokens(tokenizer, model.text.ids)
    return model
