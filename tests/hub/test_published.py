"""Published checkpoints, as the published classes write them, become parts with the same outputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.tiny import TOKENIZER, tiny_llm
from safetensors.torch import load_file, save_file
from transformers import (
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from ossicle.audio.clip import Clip
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub.published import published_encoder, published_llm

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
WAVE = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)


def whisper(folder: Path) -> Any:
    config = WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=64, num_mel_bins=80, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    return model


def test_whisper_pads_to_30_s_as_published(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, ours = whisper(tmp_path), published_encoder(tmp_path)
    made = WhisperFeatureExtractor()(WAVE, sampling_rate=16_000, return_tensors="pt").input_features
    with torch.no_grad():
        wanted = theirs.model.encoder(made).last_hidden_state
        got = ours(ours.features([Clip(WAVE, 16_000)]))
    assert got.lengths.tolist() == [63]
    torch.testing.assert_close(got.values, wanted[:, :63], atol=1e-4, rtol=1e-4)


def test_wav2vec2_with_a_head_gives_its_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, **CONVOLUTIONS, vocab_size=32)).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    ours = published_encoder(tmp_path)
    n = 400 + 320 * 62
    with torch.no_grad():
        wanted = theirs.wav2vec2(torch.from_numpy(np.pad(WAVE, (0, n - len(WAVE))))[None]).last_hidden_state
        got = ours(ours.features([Clip(WAVE, 16_000)]))
    torch.testing.assert_close(got.values, wanted, atol=1e-4, rtol=1e-4)


def test_w2v_bert(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL)).eval()
    theirs.save_pretrained(tmp_path)
    ours = published_encoder(tmp_path)
    with torch.no_grad():
        features = ours.features([Clip(WAVE, 16_000)])
        wanted = theirs(features.values.transpose(1, 2)).last_hidden_state
        torch.testing.assert_close(ours(features).values, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_an_llm_comes_with_its_tokenizer(tmp_path: Path, family: str) -> None:
    theirs = tiny_llm(family).eval()
    theirs.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    ours, tokenizer = published_llm(tmp_path)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits)
    assert tokenizer("what is said?")["input_ids"] == TOKENIZER("what is said?")["input_ids"]


def test_what_is_missing_or_no_encoder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no config that transformers can read"):
        published_encoder(tmp_path / "nothing")
    tiny_llm("llama").save_pretrained(tmp_path / "llm")
    with pytest.raises(ConfigError, match="'llama', from which no encoder is made"):
        published_encoder(tmp_path / "llm")
    whisper(tmp_path / "whisper")
    path = tmp_path / "whisper" / "model.safetensors"
    weights = {key: value for key, value in load_file(path).items() if "encoder.layers.1.fc1" not in key}
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 2 weights, such as .*encoder\.layers\.1\.fc1"):
        published_encoder(tmp_path / "whisper")
    save_file(
        {key: value[:1].clone() if key.endswith("conv1.weight") else value for key, value in weights.items()}, path
    )
    with pytest.raises(CheckpointError, match="of another shape"):
        published_encoder(tmp_path / "whisper")
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="damaged"):
        published_encoder(tmp_path / "whisper")


def test_a_preprocessor_config_that_is_no_json_is_told(tmp_path: Path) -> None:
    Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, **CONVOLUTIONS, vocab_size=32)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[")
    with pytest.raises(CheckpointError, match="is it a JSON object"):
        published_encoder(tmp_path)


def test_an_llm_without_its_head_or_tokenizer_is_told(tmp_path: Path) -> None:
    tiny_llm("llama", tied=False).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="the tokenizer of"):
        published_llm(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file({key: value for key, value in load_file(path).items() if key != "lm_head.weight"}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, such as lm_head\.weight"):
        published_llm(tmp_path)


@pytest.mark.parametrize("family", ["qwen2", "llama"])
def test_an_llm_without_a_tokenizer_is_told_and_not_given_an_empty_one(tmp_path: Path, family: str) -> None:
    tiny_llm(family).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no tokenizer, or one without a word|the tokenizer of .* cannot"):
        published_llm(tmp_path)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


UNMADE = "no model can be made as config.json says|a config that transformers cannot use|no safetensors weights that"


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": 0},
        {"hidden_size": "abc"},
        {"layer_types": ["x", "y"]},
        {"num_hidden_layers": -1},
        {"hidden_act": "nope"},
    ],
)
def test_an_llm_of_which_nothing_is_made_is_told(tmp_path: Path, changes: dict[str, Any]) -> None:
    tiny_llm("qwen2").save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=f"{UNMADE}|of another shape than its config says|lacks"):
        published_llm(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_attention_heads": 0}, "no model can be made as config.json says: .*modulo"),
        ({"encoder_attention_heads": 3}, "width 32 is not a multiple of 3 heads"),
        ({"d_model": "abc"}, UNMADE),
        ({"activation_function": "relu"}, "the activation is 'relu', that of a Whisper encoder is 'gelu'"),
    ],
)
def test_an_encoder_of_which_nothing_of_ours_is_made_is_told(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    whisper(tmp_path)
    edit(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        published_encoder(tmp_path)


def test_a_wave_encoder_without_heads_is_told(tmp_path: Path) -> None:
    for model in (
        Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL)),
        Wav2Vec2Model(Wav2Vec2Config(**SMALL, **CONVOLUTIONS)),
    ):
        model.save_pretrained(tmp_path)
        edit(tmp_path, num_attention_heads=0)
        with pytest.raises(CheckpointError, match=r"no model can be made as config\.json says: .*modulo"):
            published_encoder(tmp_path)


def test_a_config_that_is_no_object_is_told(tmp_path: Path) -> None:
    for text in ("[]", "{", "3"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(
            CheckpointError, match=r"no config that transformers can read|a config that transformers cannot"
        ):
            published_encoder(tmp_path)


def test_the_extractor_of_a_hub_id_counts_as_that_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models--some--ear" / "snapshots" / ("0" * 40)
    (tmp_path / "models--some--ear" / "refs").mkdir(parents=True)
    (tmp_path / "models--some--ear" / "refs" / "main").write_text("0" * 40)
    Wav2Vec2Model(Wav2Vec2Config(**SMALL, **CONVOLUTIONS)).save_pretrained(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for said, normalizes in ((None, True), ({"do_normalize": False}, False), ({}, True)):
        if said is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(said))
        assert published_encoder("some/ear").normalize == normalizes
