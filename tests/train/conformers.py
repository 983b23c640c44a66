"""Tiny models with a conformer: a w2v-BERT encoder, and the speech encoder of a SeamlessM4T v2."""

from types import SimpleNamespace

import torch
from transformers import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2SpeechEncoder

from ossicle.encoders.w2v_bert import W2vBertEncoder, W2vBertSizes

TOWERS = ("w2v_bert", "seamless")


def tiny_encoder(*, width: int = 16, positions: str = "relative_key") -> W2vBertEncoder:
    torch.manual_seed(0)
    sizes = W2vBertSizes(width=width, layers=2, heads=2, ffn=2 * width, kernel=3, left=8, right=4)
    return W2vBertEncoder({**sizes.config(), "position_embeddings_type": positions}).eval()


def model_of(kind: str, positions: str = "relative_key") -> SimpleNamespace:
    """A model as an objective knows it: something with an encoder; "eager" is the other with another attention."""
    if kind == "w2v_bert":
        return SimpleNamespace(encoder=tiny_encoder(positions=positions))
    torch.manual_seed(0)
    config = SeamlessM4Tv2Config(
        hidden_size=16,
        speech_encoder_layers=2,
        speech_encoder_attention_heads=2,
        speech_encoder_intermediate_size=32,
        conv_depthwise_kernel_size=3,
        left_max_position_embeddings=8,
        right_max_position_embeddings=4,
    )
    config._attn_implementation = "eager" if kind == "eager" else "sdpa"
    return SimpleNamespace(speech_encoder=SeamlessM4Tv2SpeechEncoder(config).eval())
