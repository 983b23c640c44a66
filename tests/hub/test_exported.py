"""What the exports share."""

import json
from pathlib import Path

import pytest
import torch
from models.tiny import tiny_llm, tiny_model
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, WhisperFeatureExtractor

from ossicle.audio.lengths import whisper_frames
from ossicle.errors import CheckpointError, ConfigError, RequestError
from ossicle.hub.exported import (
    cast,
    check_logits,
    check_weights,
    llm_config,
    trial_clips,
    unthinking,
    with_audio_token,
    write_settings,
    write_tensors,
)


def test_the_audio_token_is_added_once_and_needs_a_row() -> None:
    model = tiny_model()
    n = len(model.tokenizer)
    tokenizer, token = with_audio_token(model, "<|sound|>")
    assert (token, len(tokenizer), len(model.tokenizer)) == (n, n + 1, n)
    assert tokenizer.encode("a<|sound|>", add_special_tokens=False)[-1] == token
    assert with_audio_token(model, "<|audio_bos|>")[1] == model.tokenizer.convert_tokens_to_ids("<|audio_bos|>")
    model.llm.resize_token_embeddings(n)
    with pytest.raises(ConfigError, match=rf"the LLM has {n} embeddings, none for the audio token {n}: add rows to it"):
        with_audio_token(model, "<|sound|>")


def test_tensors_of_their_own_in_one_file(tmp_path: Path) -> None:
    one = torch.arange(6.0).view(2, 3)
    made = cast({"a": one, "b": one.T}, torch.float16)
    assert made["a"].data_ptr() != one.data_ptr() and made["b"].is_contiguous()
    with pytest.raises(RequestError, match="b holds 500000, the most that float16 holds is 65504"):
        cast({"b": 1e5 * one}, torch.float16)
    write_tensors(made, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o644
    assert torch.equal(load_file(path)["b"], one.T.half())


def test_logits_may_be_off_by_what_the_dtype_explains() -> None:
    ours = torch.zeros(1, 4)
    for dtype, near, far in ((torch.float32, 5e-4, 2e-3), (torch.float16, 2e-2, 0.1), (torch.bfloat16, 2e-2, 0.1)):
        check_logits(ours, ours + near, dtype)
        with pytest.raises(CheckpointError, match=r"the exported model gives logits that are .* off"):
            check_logits(ours, ours + far, dtype)
    with pytest.raises(CheckpointError, match="logits that are nan off"):
        check_logits(ours, ours + float("nan"), torch.float32)


def test_a_config_names_the_class_and_no_place(tmp_path: Path) -> None:
    tiny_llm("llama").save_pretrained(tmp_path)
    said = llm_config(LlamaForCausalLM.from_pretrained(tmp_path), tied=False)
    assert (said["architectures"], said["model_type"], said["hidden_size"]) == (["LlamaForCausalLM"], "llama", 32)
    assert said["tie_word_embeddings"] is False and str(tmp_path) not in json.dumps(said)


def test_settings_beside_the_weights(tmp_path: Path) -> None:
    model = tiny_model()
    write_settings(model, WhisperFeatureExtractor(feature_size=128), tmp_path, processor="SomeProcessor")
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert (said["feature_size"], said["processor_class"]) == (128, "SomeProcessor")
    ends = json.loads((tmp_path / "generation_config.json").read_text())
    assert ends == {"eos_token_id": sorted(model.end_ids), "pad_token_id": model.pad_id, "do_sample": False}


def test_a_template_is_told_once_not_to_let_the_llm_think() -> None:
    plain, thinking = "{{ messages }}", "{% if enable_thinking is false %}no{% endif %}"
    assert unthinking(plain) == plain
    assert unthinking(thinking) == "{% set enable_thinking = false %}" + thinking == unthinking(unthinking(thinking))


def test_weights_are_compared_in_the_dtype_on_disk() -> None:
    ours, theirs = {"a": torch.tensor([0.1, 1.0])}, {"a": torch.tensor([0.1, 1.0]).half().float()}
    check_weights(ours, theirs, torch.float16)
    with pytest.raises(CheckpointError, match="the exported weights are others than ours: a"):
        check_weights(ours, theirs, torch.float32)
    with pytest.raises(CheckpointError, match="the exported folder does not match its description: missing a"):
        check_weights(ours, {}, torch.float32)


def test_a_model_is_tried_on_whole_and_on_broken_frames() -> None:
    whole, broken = trial_clips(16_000)
    assert (whole.n_samples, whisper_frames(whole.n_samples) % 2) == (16_000, 0)
    assert broken.n_samples % 160 and whisper_frames(broken.n_samples) % 2 == 1


def test_the_tokenizer_keeps_the_context() -> None:
    model = tiny_model()
    assert with_audio_token(model, "<|sound|>")[0].model_max_length == model.context == 400
    assert model.tokenizer.model_max_length > 10**6
