"""A tiny translator that hears units in the samples themselves, and sentences whose every duration is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)

from ossicle.audio.clip import Clip
from ossicle.codec.units import Codebook
from ossicle.tensors import Features, Frames, stacked
from ossicle.translate.aligner import Aligner
from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import UnitDecoder

LETTERS = {letter: 2 + i for i, letter in enumerate(f"{BLANK}abcdefg.")}
"""Ids of characters, behind those of silence and of the unknown."""
PER_UNIT = 320
N_UNITS = 3 * (2 + len(LETTERS))
WIDTH = 64
SIZES = {
    "hidden_size": WIDTH, "vocab_size": 5 + len(LETTERS), "char_vocab_size": 2 + len(LETTERS),
    "t2u_vocab_size": 4 + N_UNITS, "unit_hifi_gan_vocab_size": N_UNITS, "max_position_embeddings": 64,
    "t2u_max_position_embeddings": 256, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "speech_encoder_layers": 1,
    "speech_encoder_attention_heads": 2, "speech_encoder_intermediate_size": 64, "conv_depthwise_kernel_size": 3,
    "feature_projection_input_dim": WIDTH, "t2u_encoder_layers": 1, "t2u_decoder_layers": 1,
    "t2u_encoder_ffn_dim": 64, "t2u_decoder_ffn_dim": 64, "t2u_encoder_attention_heads": 2,
    "t2u_decoder_attention_heads": 2, "t2u_variance_predictor_embed_dim": 64, "t2u_variance_predictor_hidden_dim": 64,
    "variance_pred_dropout": 0.0, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "t2u_variance_pred_dropout": 0.0, "decoder_layerdrop": 0.0, "encoder_layerdrop": 0.0,
    "speech_encoder_layerdrop": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A sentence in two languages."""

    source: str
    target: str
    source_text: str
    target_text: str


@dataclass(frozen=True, eq=False)
class Sample:
    """A sentence with its sound, of which every 320 samples hold the number of their unit."""

    samples: np.ndarray
    pair: Pair
    task: str = "en-fr"
    where: str = ""


@dataclass(frozen=True, eq=False)
class Said:
    """A sample, the durations of its characters, and the silences before and after them."""

    sample: Sample
    durations: list[int]
    before: int
    after: int


class Ears:
    """Features that are the samples' units, told apart: (WIDTH, T)."""

    rate_hz, fine, field, hop = 50.0, 1, PER_UNIT, PER_UNIT

    def n_frames(self, n_samples: int) -> int:
        return n_samples // PER_UNIT

    n_moments = n_frames

    def features(self, clips: Sequence[Clip]) -> Features:
        rows = [np.eye(WIDTH, dtype=np.float32)[clip.samples[::PER_UNIT].astype(int)].T for clip in clips]
        return stacked(rows, [len(clip.samples) for clip in clips], [clip.duration_s for clip in clips])


class Hearing(Translator):
    """A translator whose frames are its features."""

    def n_frames(self, n_samples: int) -> int:
        return n_samples // PER_UNIT

    def frames(self, features: Features, *, layer: int | None = None) -> Frames:
        if layer is None:
            return super().frames(features)
        assert layer == 1
        return Frames(features.values.mT, features.n_samples // PER_UNIT, 50.0, features.durations_s)


def tokens() -> TextTokens:
    vocabulary = {one: i for i, one in enumerate(("<pad>", "<unk>", "<s>", "</s>", "en", *LETTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always")
    return TextTokens(tokenizer, {"en": 4})


def hearing(*, silence: bool = True, **more: Any) -> Hearing:
    """A translator with all that speaks but a voice, random."""
    torch.manual_seed(0)
    model = Hearing(SIZES, tokens(), **more)
    model.banks = Ears()
    model.codebook = Codebook(torch.eye(WIDTH)[:N_UNITS], layer=1)
    model.aligner = Aligner(2 + len(LETTERS), N_UNITS, 32, silence=0 if silence else None, dropout=0.0)
    t2u = SeamlessM4Tv2TextToUnitForConditionalGeneration(SeamlessM4Tv2Config(**SIZES))
    model.unit_decoder = UnitDecoder(t2u, letters=LETTERS)
    return model


def said(text: str, seed: int, *, silences: bool = True) -> Said:
    """A character's first unit is its own, those that follow are drawn of two more; silence has three as well."""
    rng = np.random.default_rng(seed)
    ids = [LETTERS[letter] for letter in BLANK + text.replace(" ", BLANK)]
    durations = [int(rng.integers(1, 7)) for _ in ids]
    before, after = (int(rng.integers(2, 9)) if silences else 0 for _ in range(2))
    sounds = [
        *([(0, before)] if silences else []),
        *zip(ids, durations, strict=True),
        *([(0, after)] if silences else []),
    ]
    units = [3 * one + (0 if i == 0 else int(rng.integers(1, 3))) for one, n in sounds for i in range(n)]
    samples = np.repeat(np.array(units, np.float32), PER_UNIT)
    return Said(Sample(samples, Pair("en", "en", text, text[::-1])), durations, before, after)


def made_up(seed: int, *, words: int | None = None) -> str:
    """Words of three to five different letters; one to three of them, where it is not said."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4)) if words is None else words
    return " ".join("".join(rng.permutation([*"abcdefg"])[: int(rng.integers(3, 6))]) for _ in range(n)) + "."


def several(n: int, *, silences: bool = True, words: int | None = None) -> list[Said]:
    """Sentences that have nothing in common but their letters."""
    return [said(made_up(seed, words=words), seed, silences=silences) for seed in range(n)]
