"""Sizes of encoders: frames as the modules count them, FLOPs as torch counts them."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WhisperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ossicle.audio.lengths import WAVE_FIELD, wave_samples
from ossicle.errors import RequestError
from ossicle.plan.encoders import ENCODERS, EncoderSizes, encoder_sizes


def whisper(sizes, frames):
    config = WhisperConfig(
        **{"d_model": sizes.width, "encoder_layers": sizes.layers, "encoder_attention_heads": 2},
        **{"encoder_ffn_dim": sizes.ffn, "num_mel_bins": sizes.bands, "max_source_positions": frames},
        attn_implementation="eager",
    )
    return WhisperEncoder(config), torch.zeros(1, sizes.bands, 2 * frames)


def wav2vec2(sizes, frames):
    config = Wav2Vec2Config(
        **{"hidden_size": sizes.width, "num_hidden_layers": sizes.layers, "num_attention_heads": 2},
        intermediate_size=sizes.ffn,
        attn_implementation="eager",
    )
    return Wav2Vec2Model(config), torch.zeros(1, wave_samples(frames, WAVE_FIELD))


def w2v_bert(sizes, frames):
    config = Wav2Vec2BertConfig(
        **{"hidden_size": sizes.width, "num_hidden_layers": sizes.layers, "num_attention_heads": 2},
        **{"intermediate_size": sizes.ffn, "conv_depthwise_kernel_size": sizes.kernel},
        feature_projection_input_dim=sizes.bands,
        attn_implementation="eager",
    )
    return Wav2Vec2BertModel(config), torch.zeros(1, frames, sizes.bands)


TINY = {
    "whisper": (EncoderSizes("tiny", "whisper", 32, 2, 48, 80), whisper),
    "wav2vec2": (EncoderSizes("tiny", "wav2vec2", 32, 2, 48, 0), wav2vec2),
    "w2v_bert": (EncoderSizes("tiny", "w2v_bert", 32, 2, 48, 160, kernel=7), w2v_bert),
}


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("frames", [1, 37, 50])
def test_torch_counts_the_same_products(kind, frames):
    sizes, made = TINY[kind]
    model, features = made(sizes, frames)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(features)
    beyond = 2 * 128 * 32 * 32 // 16 if kind == "wav2vec2" else 0  # an even kernel's last position, computed and cut
    assert counter.get_total_flops() == sizes.window_flops(frames) + beyond


@pytest.mark.parametrize("kind", TINY)
def test_parameters_are_all_but_norms_biases_and_positions(kind):
    sizes, made = TINY[kind]
    model, _ = made(sizes, 50)
    tables = ("embed_positions", "distance_embedding", "original0", "masked_spec_embed", "layer_norm.weight")
    entries = sum(
        value.numel()
        for name, value in model.named_parameters()
        if not name.endswith("bias") and value.dim() > 1 and not any(table in name for table in tables)
    )
    assert entries == sizes.parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        *[("whisper-tiny", 8), ("whisper-base", 20), ("whisper-small", 87), ("whisper-medium", 306)],
        *[("whisper-large-v2", 635), ("whisper-large-v3", 635)],
        *[("wav2vec2-base", 94), ("wav2vec2-large", 315), ("w2v-bert-2.0", 580), ("mini", 3.4)],
    ],
)
def test_parameters_of_the_published_ones(name, millions):
    assert encoder_sizes(name).parameters / 1e6 == pytest.approx(millions, rel=0.06)


def test_every_encoder_is_known_by_its_name():
    assert all(encoder_sizes(name).name == name for name in ENCODERS)
    with pytest.raises(RequestError, match=r"the encoder 'ear' is not known: choose one of mini, whisper-tiny, "):
        encoder_sizes("ear")


@settings(deadline=None)
@given(n=st.integers(0, 10**7), kind=st.sampled_from(sorted(TINY)))
def test_windows_hold_every_sample_once(n, kind):
    sizes = TINY[kind][0]
    windows = sizes.windows(n)
    whole = [frames for frames, times in windows for _ in range(times)]
    cut = [min(480_000, n - first) for first in range(0, n, 480_000)]
    assert whole == [sizes.n_frames(one) for one in cut]


def test_what_pads_computes_whole_windows():
    padded = encoder_sizes("whisper-tiny")
    lean = dataclasses.replace(padded, pads=False)
    assert padded.flops(16_000) == padded.flops(480_000) == padded.window_flops(1_500) == lean.flops(480_000)
    assert lean.flops(16_000) == lean.window_flops(50) < padded.flops(16_000) / 30
    assert padded.flops(480_001) == 2 * padded.flops(480_000)
    assert padded.flops(0) == 0


def test_a_whisper_by_hand():
    # one layer: four of 4 x 4, two of 4 x 8; convolutions 3 x 2 x 4 over 6 mel frames and 3 x 4 x 4 over 3 frames
    sizes = EncoderSizes("hand", "whisper", 4, 1, 8, 2)
    assert sizes.window_flops(3) == 2 * (24 * 6 + 48 * 3 + (64 + 64) * 3) + 4 * 4 * 9
