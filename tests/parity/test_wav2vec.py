"""wav2vec 2.0 and w2v-BERT 2.0: with the published tail, ours equal the published extractor and class."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny import tiny_model
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from ossicle.audio.clip import Clip
from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.errors import EncoderError

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
LENGTHS = [719, 720, 721, 5000, 16_001, 30_100, 48_000]


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32)


def ours(encoder: Any, *waves: np.ndarray) -> Any:
    with torch.no_grad():
        return encoder.eval()(encoder.features([Clip(wave, 16_000) for wave in waves]))


@pytest.mark.parametrize("n", [400, *LENGTHS])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("form", [{}, LARGE], ids=["base", "large"])
def test_wav2vec2_equals_the_published_run(form: dict[str, Any], normalize: bool, n: int) -> None:
    torch.manual_seed(0)
    encoder = Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS, **form}, normalize=normalize, tail="drop")
    wave = noise(n)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_values
    got = ours(encoder, wave).values
    with torch.no_grad():
        torch.testing.assert_close(got, encoder.tower(values).last_hidden_state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n", LENGTHS)
def test_w2v_bert_equals_the_published_run(n: int) -> None:
    torch.manual_seed(0)
    encoder, wave = W2vBertEncoder(SMALL, tail="drop"), noise(n)
    made = SeamlessM4TFeatureExtractor()(wave, sampling_rate=16_000, padding=False, return_tensors="pt")
    got = ours(encoder, wave).values
    with torch.no_grad():
        wanted = encoder.tower(made["input_features"]).last_hidden_state
    torch.testing.assert_close(got, wanted, atol=2e-4, rtol=1e-4)


def test_w2v_bert_in_a_batch_equals_the_published_batch() -> None:
    torch.manual_seed(0)
    encoder, waves = W2vBertEncoder(SMALL, tail="drop"), [noise(n) for n in (16_000, 9_040, 30_000)]
    made = SeamlessM4TFeatureExtractor()(waves, sampling_rate=16_000, return_tensors="pt")
    got = ours(encoder, *waves)
    with torch.no_grad():
        wanted = encoder.tower(**made).last_hidden_state
    assert made["attention_mask"].sum(1).tolist() == got.lengths.tolist()
    for row, n in enumerate(got.lengths.tolist()):
        torch.testing.assert_close(got.values[row, :n], wanted[row, :n], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 399, 719, 16_001])
@pytest.mark.parametrize("make", [lambda: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}), lambda: W2vBertEncoder(SMALL)])
def test_the_padded_tail_gives_one_frame_for_each_20_ms_begun(make: Any, n: int) -> None:
    assert ours(make(), noise(n)).lengths.tolist() == [-(-n // 320)]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: W2vBertEncoder(SMALL, tail="cut"), "does not know the tail 'cut': choose one of pad, drop"),
        (lambda: W2vBertEncoder({**SMALL, "num_attention_heads": 5}), "width 32 is not a multiple of 5 heads"),
        (lambda: W2vBertEncoder({**SMALL, "add_adapter": True}), "add_adapter is not supported"),
        (lambda: W2vBertEncoder({**SMALL, "feature_projection_input_dim": 81}), "cannot be 81 wide"),
        (
            lambda: Wav2Vec2Encoder({**CONVOLUTIONS, **SMALL, "conv_stride": (5, 2, 2, 2, 2, 2, 1)}),
            "every 160, supported",
        ),
    ],
)
def test_sizes_that_give_no_encoder(make: Any, fault: str) -> None:
    with pytest.raises(EncoderError, match=fault):
        make()


def test_no_clip_and_one_that_is_too_long_are_refused() -> None:
    encoder = W2vBertEncoder(SMALL, max_s=1.0)
    with pytest.raises(EncoderError, match="at least one clip"):
        encoder.features([])
    with pytest.raises(EncoderError, match=r"1\.50 s is longer than the 1 s"):
        encoder.features([Clip(noise(24_000), 16_000)])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 6_000) | st.sampled_from([399, 400, 719, 720, 16_319]))
def test_a_dropped_tail_is_what_no_frame_sees(n: int) -> None:
    torch.manual_seed(0)
    encoder = Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS, **LARGE}, normalize=False, tail="drop")
    heard = ours(encoder, noise(n))
    n_heard = round(16_000 * heard.durations_s.item())
    assert n_heard == min(n, 400 + 320 * (heard.lengths.item() - 1)) and n - n_heard < 320
    for at in {n_heard - 1, n_heard, n - 1} - {n}:
        other = noise(n)
        other[at] += 1
        assert torch.equal(heard.values, ours(encoder, other).values) == (at >= n_heard)


@pytest.mark.parametrize(
    ("make", "whole_s"),
    [
        (lambda tail: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}, tail=tail), 1.005),
        (lambda tail: W2vBertEncoder(SMALL, tail=tail), 1.015),
    ],
)
def test_the_ledger_tells_what_the_encoder_dropped(make: Any, whole_s: float) -> None:
    for tail, heard_s in (("pad", 16_319 / 16_000), ("drop", whole_s)):
        model = tiny_model(encoder=make(tail).eval(), bridge=MeanPool(32, 32, k=2))
        (heard,) = model.hear([Clip(noise(16_319), 16_000)])
        assert heard.seconds_given == 16_319 / 16_000
        assert heard.seconds_heard == pytest.approx(heard_s) == float(heard.spans_s[-1, 1])
        assert heard.tail_s == pytest.approx(heard.seconds_given - heard_s)
