"""Sizes of a new translator, and what they are called in the published layout.

Knows numbers; does not know how anything is built or trained. Nothing is dropped out and no layer skipped: a model of a
few layers that never hears a clip twice has none to spare.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SpeechSizes:
    """Of the speech encoder: conformer layers that read ``stack`` filter banks of 10 ms a frame (2: 50 frames a second,
    as published), then an adaptor that keeps one frame in ``shorten``.

    ``kernel`` is what a block's convolution sees, in frames, its own the last; ``left`` and ``right`` how many
    distances attention tells apart.
    """

    layers: int = 5
    ffn: int = 384
    kernel: int = 15
    left: int = 64
    right: int = 8
    shorten: int = 4
    stack: int = 2
    bins: int = 80


@dataclass(frozen=True)
class TextSizes:
    """Of the text encoder and the text decoder; ``vocabulary`` counts all tokens, ``context`` is the longest text."""

    vocabulary: int = 1000
    encoder_layers: int = 2
    decoder_layers: int = 2
    ffn: int = 320
    context: int = 256


@dataclass(frozen=True)
class UnitSizes:
    """Of the units, of the unit decoder, and of the aligner that teaches it: ``count`` units are the clusters of what
    comes out of the speech encoder's layer ``layer``, counted from 1, found among ``clips`` clips. ``aligner`` and
    ``durations`` are the widths of the aligner and of what predicts durations."""

    count: int = 500
    layer: int = 3
    encoder_layers: int = 1
    decoder_layers: int = 1
    ffn: int = 320
    aligner: int = 64
    durations: int = 64
    clips: int = 1000


@dataclass(frozen=True)
class VocoderSizes:
    """Of the vocoder with an inverse Fourier transform: blocks at the rate of units, and at twice that."""

    width: int = 144
    ffn: int = 432
    unit_blocks: int = 2
    frame_blocks: int = 4


@dataclass(frozen=True)
class TranslatorSizes:
    """A translator that starts from random weights; the parts that speak are made when a stage first trains them."""

    languages: tuple[str, ...] = ("en", "fr", "de")
    width: int = 160
    heads: int = 4
    speech: SpeechSizes = field(default_factory=SpeechSizes)
    text: TextSizes = field(default_factory=TextSizes)
    units: UnitSizes = field(default_factory=UnitSizes)
    vocoder: VocoderSizes = field(default_factory=VocoderSizes)

    def config(self, *, vocabulary: int, characters: int) -> dict[str, Any]:
        """The same as a ``SeamlessM4Tv2Config`` names it.

        Args:
            vocabulary: tokens that there are.
            characters: that the unit decoder knows.
        """
        speech, text, units = self.speech, self.text, self.units
        never = ("dropout", "attention_dropout", "activation_dropout", "speech_encoder_dropout", "adaptor_dropout")
        late = ("t2u_variance_pred_dropout", "var_pred_dropout")
        skip = ("encoder_layerdrop", "decoder_layerdrop", "speech_encoder_layerdrop")
        return {
            "vocab_size": vocabulary,
            "char_vocab_size": characters,
            "t2u_vocab_size": units.count + 4,
            "unit_hifi_gan_vocab_size": units.count,
            "hidden_size": self.width,
            "max_position_embeddings": text.context,
            "encoder_layers": text.encoder_layers,
            "decoder_layers": text.decoder_layers,
            "encoder_ffn_dim": text.ffn,
            "decoder_ffn_dim": text.ffn,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "feature_projection_input_dim": speech.stack * speech.bins,
            "speech_encoder_layers": speech.layers,
            "speech_encoder_attention_heads": self.heads,
            "speech_encoder_intermediate_size": speech.ffn,
            "conv_depthwise_kernel_size": speech.kernel,
            "left_max_position_embeddings": speech.left,
            "right_max_position_embeddings": speech.right,
            "adaptor_kernel_size": speech.shorten,
            "adaptor_stride": speech.shorten,
            "t2u_encoder_layers": units.encoder_layers,
            "t2u_decoder_layers": units.decoder_layers,
            "t2u_encoder_ffn_dim": units.ffn,
            "t2u_decoder_ffn_dim": units.ffn,
            "t2u_encoder_attention_heads": self.heads,
            "t2u_decoder_attention_heads": self.heads,
            "t2u_variance_predictor_embed_dim": self.width,
            "t2u_variance_predictor_hidden_dim": units.durations,
            "vocoder_num_langs": len(self.languages),
            **dict.fromkeys((*never, *late, *skip), 0.0),
        }
