"""The translator's ways in: batched is alone whatever computes attention, lengths are those that are told, no input is
lost without a word."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.errors import EncoderError, RequestError
from ossicle.translate.speech_encoder import chunked, hidden_states, published_chunks
from ossicle.translate.translator import Translator

from .small import SIZES, letters, noise, tiny


def with_attention(model: Translator, kind: str) -> Translator:
    for part in (model.speech_encoder, model.text_encoder, model.text_decoder):
        assert part is not None
        part.config._attn_implementation = kind
    return model


@pytest.mark.parametrize(("kind", "stack"), [("sdpa", 2), ("eager", 2), ("sdpa", 4), ("sdpa", 3)])
@torch.no_grad()
def test_a_clip_in_a_batch_is_the_clip_alone(kind: str, stack: int) -> None:
    model = with_attention(tiny(stack=stack).double(), kind)
    clips = noise(*(6_400 + 320 * i for i in range(9)), 16_000, 640)
    together = model.hear(model.features(clips))
    for i, clip in enumerate(clips):
        alone = model.hear(model.features([clip]))
        n = int(alone.lengths[0])
        assert n == int(together.lengths[i]) == model.n_encoded(clip.n_samples)
        assert (alone.values[0] - together.values[i, :n]).abs().max() < 1e-12
        assert together.values[i, n:].abs().sum() == 0


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@torch.no_grad()
def test_a_text_in_a_batch_is_the_text_alone(kind: str) -> None:
    model = with_attention(tiny().double(), kind)
    texts = [model.text.encode(one, "en") for one in ("a", "where is it?", "no")]
    together = model.read(texts)
    outs = [[*model.text.prefix("fr"), *model.text.tokens(one)] for one in ("oui", "b", "un deux")]
    states = model.states(together, outs)
    for i, (ids, out) in enumerate(zip(texts, outs, strict=True)):
        alone = model.read([ids])
        assert (alone.values[0] - together.values[i, : len(ids)]).abs().max() < 1e-12
        assert (model.states(alone, [out])[0] - states[i, : len(out)]).abs().max() < 1e-12


@settings(max_examples=20, deadline=None)
@given(n_samples=st.integers(1, 30_000))
@torch.no_grad()
def test_the_length_rule_is_what_comes_out(n_samples: int) -> None:
    model = MODEL
    features = model.features(noise(n_samples))
    assert model.frames(features).values.shape[1] == model.n_frames(n_samples)
    heard = model.hear(features)
    assert heard.values.shape[1] == int(heard.lengths[0]) == model.n_encoded(n_samples) >= 1
    assert float(heard.heard_s[0]) == pytest.approx(n_samples / 16_000) if heard.heard_s is not None else False


MODEL = tiny()


@torch.no_grad()
def test_a_layer_is_a_step_of_the_whole() -> None:
    features = MODEL.features(noise(8_000))
    first, last = (MODEL.frames(features, layer=layer).values for layer in (1, 2))
    assert (first - last).abs().max() > 1e-3
    assert MODEL.speech_encoder is not None
    assert torch.equal(MODEL.speech_encoder.encoder.layer_norm(last), MODEL.frames(features).values)
    for layer in (0, 3):
        with pytest.raises(EncoderError, match=f"layers 1 to 2, got {layer}"):
            MODEL.frames(features, layer=layer)


@torch.no_grad()
def test_chunks_hide_what_comes_after_them() -> None:
    model = tiny(speech_encoder_chunk_size=4, speech_encoder_left_chunk_num=1)
    assert model.speech_encoder is not None
    values = torch.randn(1, 160, 12)
    ahead = values.clone()
    ahead[..., 8:] += 1.0
    n = torch.tensor([12])
    one, other = (hidden_states(model.speech_encoder, x, n) for x in (values, ahead))
    assert torch.equal(one[:, :8], other[:, :8]) and not torch.equal(one[:, 8:], other[:, 8:])
    seen = chunked(12, published_chunks(model.settings))
    assert seen is not None and seen[9].tolist() == [False] * 4 + [True] * 8
    assert chunked(4, published_chunks(model.settings)) is None
    model.settings.speech_encoder_left_chunk_num = -1
    every = chunked(12, published_chunks(model.settings))
    assert every is not None and every[9].tolist() == [True] * 12


@torch.no_grad()
def test_a_clip_too_short_for_the_adaptor_is_refused() -> None:
    model = tiny(adaptor_kernel_size=8, adaptor_stride=2)
    with pytest.raises(EncoderError, match="a clip of 1 frames is too short"):
        model.hear(model.features(noise(200)))


def test_what_a_model_cannot_do_is_said() -> None:
    text = letters()
    config = SIZES.config(vocabulary=36, characters=40)
    deaf = Translator(config, text, hears=False, name="deaf")
    with pytest.raises(RequestError, match="deaf hears no speech"):
        deaf.hear(deaf.features(noise(8_000)))
    blind = Translator(config, text, reads=False, name="blind")
    with pytest.raises(RequestError, match="blind reads no text"):
        blind.read([[4, 9, 3]])
    with pytest.raises(RequestError, match="a text of 65 tokens is longer than the 64 that tiny reads"):
        MODEL.read([[9] * 65])
    with pytest.raises(RequestError, match="the language 'it' is not supported, allowed are en, fr, de"):
        text.encode("a", "it")


def test_text_goes_to_tokens_and_back() -> None:
    text = letters()
    ids = text.encode("where is it?", "fr")
    assert ids[0] == 5 and ids[-1] == text.eos and text.prefix("de") == [3, 6]
    assert text.decode([*text.prefix("de"), *ids, 0]) == "where is it?"
    assert "".join(text.pieces(text.tokens("a b"))) == "▁a▁b"
    assert text.languages == ("en", "fr", "de")


def test_one_table_for_all_tokens() -> None:
    model = tiny()
    assert model.text_encoder is not None
    tables = (model.shared, model.text_encoder.embed_tokens, model.text_decoder.embed_tokens, model.lm_head)
    assert len({one.weight.data_ptr() for one in tables}) == 1


@torch.no_grad()
def test_rows_of_what_was_encoded() -> None:
    both = MODEL.read([MODEL.text.encode("abc", "en"), MODEL.text.encode("a", "en")])
    second = both.rows([1, 1])
    assert second.lengths.tolist() == [4, 4] and second.values.shape == (2, 4, 32)
    assert torch.equal(second.values[0], both.values[1, :4])


@torch.no_grad()
def test_a_slower_conformer_has_moments_between_its_frames() -> None:
    model, clips = tiny(stack=4).double(), noise(6_400, 16_001, 640)
    features = model.features(clips)
    frames, moments = model.frames(features, layer=1), model.moments(features, 1)
    assert (frames.rate_hz, moments.rate_hz) == (25.0, 50.0)
    assert moments.lengths.tolist() == [model.n_units(clip.n_samples) for clip in clips] == [20, 52, 2]
    for i, clip in enumerate(clips):
        n, alone = int(moments.lengths[i]), model.moments(model.features([clip]), 1)
        assert (moments.values[i, :n] - alone.values[0]).abs().max() < 1e-12
    first, second = frames.values[1, 7], frames.values[1, 8]
    torch.testing.assert_close(moments.values[1, 15], 0.75 * first + 0.25 * second)
    torch.testing.assert_close(moments.values[1, 16], 0.25 * first + 0.75 * second)
    torch.testing.assert_close(moments.values[1, 0], frames.values[1, 0])


@torch.no_grad()
def test_at_the_published_rate_moments_are_the_frames() -> None:
    model = tiny()
    features = model.features(noise(6_400))
    assert torch.equal(model.moments(features, 2).values, model.frames(features, layer=2).values)
