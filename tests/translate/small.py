"""A tiny random translator for tests, and sounds for it."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.translate.sizes import SpeechSizes, TextSizes, TranslatorSizes, UnitSizes
from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.translator import Translator

LETTERS = "abcdefghijklmnopqrstuvwxyz.?"
SPECIALS = ("<pad>", "<unk>", "<s>", "</s>", "__en__", "__fr__", "__de__")


def letters() -> TextTokens:
    """Letter by letter."""
    vocabulary = {one: i for i, one in enumerate((*SPECIALS, BLANK, *LETTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement=BLANK, prepend_scheme="always", split=True)
    return TextTokens(tokenizer, {"en": 4, "fr": 5, "de": 6})


SIZES = TranslatorSizes(
    width=32,
    heads=4,
    speech=SpeechSizes(layers=2, ffn=48, kernel=5, shorten=4),
    text=TextSizes(encoder_layers=1, decoder_layers=2, ffn=48, context=64),
    units=UnitSizes(count=20, layer=1, ffn=48),
)


def tiny(seed: int = 0, *, stack: int = 2, **changes: object) -> Translator:
    """A translator of random weights, in evaluation mode; ``changes`` are of its config."""
    torch.manual_seed(seed)
    text = letters()
    config = SIZES.config(vocabulary=len(SPECIALS) + 1 + len(LETTERS), characters=40)
    wide = {"feature_projection_input_dim": 80 * stack}
    return Translator({**config, **wide, **changes}, text, stack=stack, name="tiny").eval()


def noise(*n_samples: int) -> list[Clip]:
    """Clips of noise of so many samples."""
    rng = np.random.default_rng(7)
    return [Clip(rng.normal(scale=0.1, size=n).astype(np.float32), SAMPLE_RATE) for n in n_samples]
