"""A translator before training: a tokenizer of the world's sentences, and parts with random weights.

Knows sizes and the parallel world; does not know training. The tokenizer is that of the published layout: byte pairs
of words that begin with a sign for the blank before them.
"""

import functools

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)

from ossicle.errors import ConfigError
from ossicle.hub.quiet import quiet
from ossicle.translate.aligner import Aligner
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.sizes import TranslatorSizes, UnitSizes
from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import UnitDecoder
from ossicle.world.parallel import LANGUAGES, parallel

SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
SENTENCES = 4000
"""From which the tokenizer learns its pieces, in each language."""


def language_token(language: str) -> str:
    """The token of a language."""
    return f"__{language}__"


@functools.cache
def world_tokens(languages: tuple[str, ...], size: int, *, sentences: int = SENTENCES) -> TextTokens:
    """A tokenizer of ``size`` tokens for the training sentences of the parallel world.

    Raises:
        ConfigError: a language that the world does not speak, or so few tokens that the letters alone need more.
    """
    unknown = [one for one in languages if one not in LANGUAGES]
    if unknown:
        raise ConfigError(f"the world speaks {', '.join(LANGUAGES)}, not {', '.join(unknown)}")
    specials = [*SPECIALS, *(language_token(one) for one in languages)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(left=False, right=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(replacement=BLANK, prepend_scheme="always", split=True)
    rng = np.random.default_rng(0)
    drawn = [parallel(rng, "train").texts for _ in range(sentences)]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(one, special=True, normalized=False) for one in specials],
        show_progress=False,
    )
    tokenizer.train_from_iterator((texts[one] for texts in drawn for one in languages), trainer)
    n = tokenizer.get_vocab_size()
    if n > size:
        raise ConfigError(f"text.vocabulary of {size} is too small: the letters and special tokens alone are {n}")
    return TextTokens(tokenizer, {one: specials.index(language_token(one)) for one in languages})


def new_translator(sizes: TranslatorSizes, *, name: str, seed: int) -> Translator:
    """A translator with random weights.

    Raises:
        ConfigError: sizes that give none.
    """
    if sizes.width % sizes.heads:
        raise ConfigError(f"parts.translator: heads must divide the width (got {sizes.heads} and {sizes.width})")
    text = world_tokens(sizes.languages, sizes.text.vocabulary)
    torch.manual_seed(seed)
    config = sizes.config(vocabulary=text.tokenizer.get_vocab_size(), characters=len(characters_of(text)))
    return Translator(config, text, stack=sizes.speech.stack, name=name)


def new_unit_decoder(model: Translator) -> UnitDecoder:
    """A unit decoder of random weights for a model's text."""
    with quiet():
        t2u = SeamlessM4Tv2TextToUnitForConditionalGeneration(model.settings)
    return UnitDecoder(t2u, letters=characters_of(model.text))


def new_aligner(model: Translator, sizes: UnitSizes) -> Aligner:
    """An aligner of random weights; the padding of characters is its silence."""
    return Aligner(len(characters_of(model.text)), sizes.count, sizes.aligner, silence=0)


def new_vocoder(sizes: TranslatorSizes) -> QuickVocoder:
    """A vocoder of random weights, with one speaker a language who has its name."""
    own = sizes.vocoder
    return QuickVocoder(
        sizes.units.count,
        sizes.languages,
        {language: language for language in sizes.languages},
        width=own.width,
        ffn=own.ffn,
        unit_blocks=own.unit_blocks,
        frame_blocks=own.frame_blocks,
    )


def characters_of(text: TextTokens) -> dict[str, int]:
    """The characters of all tokens with their ids, behind those of padding and of the unknown."""
    pieces = text.pieces(range(text.tokenizer.get_vocab_size()))
    silent = {*SPECIALS, *(language_token(one) for one in text.languages)}
    letters = sorted({letter for piece in pieces if piece not in silent for letter in piece})
    return {"<pad>": 0, "<unk>": 1, **{letter: 2 + i for i, letter in enumerate(letters)}}
