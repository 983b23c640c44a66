"""Models into the Ultravox layout: names and shapes as published, bits as they were, or nothing at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models.tiny import ENCODER, asked, noise, tiny_llm, tiny_model
from models.ultravox import TOKENIZER, Published
from prompt.families import family_tokenizer
from prompt.vocabularies import byte_level
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, WhisperFeatureExtractor

from ossicle.bridge.gated import StackSwiGLU
from ossicle.cli import run
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub import ultravox_export
from ossicle.hub.folder import load, save
from ossicle.hub.ultravox import around, load_ultravox
from ossicle.hub.ultravox_export import export_ultravox, named
from ossicle.infer.requests import prepare
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora
from ossicle.prompt.chat import ClipText, Message

CHUNKS = replace(ENCODER, max_frames=1500, chunks=True)
TALK = [(Message("user", (noise(2.345), "what is said?")),)]


def own_model(**arguments: Any) -> AudioLM:
    """A model of our own parts that fits the layout; its tokenizer has the marks of our prompts."""
    torch.manual_seed(1)
    bridge = StackSwiGLU(32, 32, k=4, hidden=24)
    return tiny_model("qwen3", encoder=WhisperEncoder(CHUNKS), bridge=bridge, **arguments)


def logits(model: AudioLM) -> torch.Tensor:
    return model.prefill(*prepare(model, TALK))[1]


@pytest.mark.parametrize("ln_mid", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_there_and_back_again_is_the_same_folder(tmp_path: Path, ln_mid: bool, tied: bool) -> None:
    theirs = Published(ln_mid=ln_mid, tied=tied)
    ours = load_ultravox(theirs.write(tmp_path / "published"))
    folder = export_ultravox(ours, tmp_path / "out")
    written, published = load_file(folder / "model.safetensors"), theirs.tensors()
    assert written.keys() == published.keys()
    assert all(torch.equal(written[name], published[name]) for name in published)
    said, before = (json.loads((one / "config.json").read_text()) for one in (folder, tmp_path / "published"))
    for key in ("architectures", "model_type", "hidden_size"):
        assert said[key] == before[key]
    assert (said["projector_ln_mid"], said["stack_factor"], said["norm_init"]) == (ln_mid, 8, 0.4)
    assert (said["projector_act"], said["audio_latency_block_size"]) == ("swiglu", None)
    assert (said["audio_model_id"], said["text_model_id"]) == (None, None)
    again = load_ultravox(folder)
    assert said["audio_token_index"] == again.tokenizer.convert_tokens_to_ids("<|audio|>") == len(TOKENIZER)
    assert again.tokenizer.encode("<|audio|>", add_special_tokens=False) == [said["audio_token_index"]]
    assert torch.equal(logits(again), logits(ours))
    assert WhisperFeatureExtractor.from_pretrained(folder).feature_size == 80
    assert json.loads((folder / "preprocessor_config.json").read_text())["processor_class"] == "UltravoxProcessor"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_stored_in_a_dtype(tmp_path: Path, dtype: torch.dtype) -> None:
    model = own_model()
    folder = export_ultravox(model, tmp_path / "out", dtype=dtype)
    written = load_file(folder / "model.safetensors")
    assert all(torch.equal(written[name], value.to(dtype)) for name, value in named(model).items())
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == str(dtype).removeprefix("torch.")


def test_the_released_eight_billion_are_named_and_shaped_as_published() -> None:
    text = LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192, tie_word_embeddings=False,
    )  # fmt: skip
    sizes = WhisperSettings(width=1280, layers=32, heads=20, ffn=5120, n_mels=128, chunks=True)
    with torch.device("meta"):
        encoder, bridge = WhisperEncoder(sizes), StackSwiGLU(1280, 4096)
        llm = AutoModelForCausalLM.from_config(text)
    shapes = {
        name: tuple(value.shape) for name, value in named(AudioLM(encoder, bridge, llm, TOKENIZER, context=99)).items()
    }
    assert {name: shape for name, shape in shapes.items() if name.startswith("multi_modal")} == {
        "multi_modal_projector.ln_pre.weight": (10_240,),
        "multi_modal_projector.linear_1.weight": (4096, 10_240),
        "multi_modal_projector.ln_mid.weight": (2048,),
        "multi_modal_projector.linear_2.weight": (4096, 2048),
    }
    tower = [name.removeprefix("audio_tower.") for name in shapes if name.startswith("audio_tower.")]
    assert len(tower) == 4 + 1 + 32 * 15 + 2 and "layers.31.self_attn.k_proj.bias" not in tower
    assert {"conv1.weight", "embed_positions.weight", "layers.0.fc1.bias", "layer_norm.weight"} <= set(tower)
    heads = [name for name in shapes if name.startswith("language_model.") and "layers" not in name]
    assert heads == [
        "language_model.model.embed_tokens.weight",
        "language_model.model.norm.weight",
        "language_model.lm_head.weight",
    ]
    assert len(shapes) == 4 + len(tower) + 3 + 32 * 9


def test_what_our_prompts_write_around_a_clip_goes_into_the_template(tmp_path: Path) -> None:
    model = own_model(clip_text=ClipText('Sound "x":\n', " ."))
    folder = export_ultravox(model, tmp_path / "out")
    again = load(folder, device="cpu")
    assert again.clip_text == model.clip_text
    assert around(again.tokenizer) == ('Sound "x":\n<|audio_bos|>', "<|audio_eos|> .")
    assert torch.equal(logits(again), logits(model))
    twice = load(export_ultravox(again, tmp_path / "twice"), device="cpu")
    assert twice.tokenizer.chat_template == again.tokenizer.chat_template


def test_a_model_of_our_own_folder_is_exported_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = own_model()
    own, out = save(model, tmp_path / "own"), tmp_path / "out"
    assert run(["export", str(own), str(out), "--format", "ultravox", "--dtype", "float16"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: read back as ultravox, the same answers; llama.cpp hears whole")
    torch.testing.assert_close(logits(load(out, device="cpu")), logits(model), atol=5e-2, rtol=0)
    assert run(["export", str(own), str(out), "--format", "ultravox"]) == 5
    assert "exists: choose another name" in capsys.readouterr().err
    assert run(["export", "mini", str(tmp_path / "mini"), "--format", "ultravox"]) == 2
    assert "the Ultravox layout holds a model only if its encoder is" in capsys.readouterr().err
    assert not (tmp_path / "mini").exists()


def test_what_thinks_first_and_has_several_templates_comes_back_as_it_was(tmp_path: Path) -> None:
    thinking = family_tokenizer("qwen3")
    thinking.chat_template = {"default": thinking.chat_template, "tool_use": "tools"}
    model = own_model(tokenizer=thinking)
    folder = export_ultravox(model, tmp_path / "out")
    again = load(folder, device="cpu")
    assert torch.equal(logits(again), logits(model)) and again.context == model.context == 400
    told = [{"role": "user", "content": "Why?"}]
    asked = again.tokenizer.apply_chat_template(told, add_generation_prompt=True, tokenize=False, enable_thinking=True)
    assert asked.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    twice = load(export_ultravox(again, tmp_path / "twice"), device="cpu")
    assert twice.tokenizer.chat_template == again.tokenizer.chat_template


def test_every_reason_against_an_export_is_told(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = tiny_model(clip_text=ClipText("Audio {n}: "))
    add_lora(model, 2, alpha=4)
    with pytest.raises(ConfigError) as caught:
        export_ultravox(model, tmp_path / "out")
    assert str(caught.value) == (
        "the Ultravox layout holds a model only if its encoder is a Whisper encoder with final_norm and chunks and "
        "1500 max_frames; its bridge is stack_swiglu; its LoRA is merged; its prompts do not number clips"
    )
    for change in ({"chunks": False}, {"final_norm": False}, {"max_frames": 100}):
        model = own_model()
        model.encoder = WhisperEncoder(replace(CHUNKS, **change))
        with pytest.raises(ConfigError, match="only if its encoder is a Whisper encoder with final_norm and chunks"):
            export_ultravox(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_llm_without_a_row_for_the_placeholder_is_refused(tmp_path: Path) -> None:
    model = own_model()
    model.llm.resize_token_embeddings(len(model.tokenizer))
    with pytest.raises(ConfigError, match=r"the LLM has \d+ embeddings, none for the audio token \d+: add rows to it"):
        export_ultravox(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def damaged(name: str) -> Callable[..., Any]:
    """A writer whose result is not the model."""
    write = getattr(ultravox_export, name)

    def tensors(*arguments: Any) -> Any:
        made = write(*arguments)
        made["multi_modal_projector.linear_1.weight"] += 1
        return made

    def heads(*arguments: Any) -> Any:
        made = write(*arguments)
        made["audio_config"]["encoder_attention_heads"] = 4
        return made

    def template(*_: Any) -> str:
        return "{{ messages[0]['content'] }}"

    return {"_tensors": tensors, "_config": heads, "_template": template}[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("_tensors", r"the exported weights are others than ours: multi_modal_projector\.linear_1\.weight"),
        ("_config", "the exported settings are others than ours: .*heads=4"),
        ("_template", "the exported prompt is another than ours"),
    ],
)
def test_a_comparison_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    plain = byte_level(special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    model = own_model(tokenizer=plain)
    monkeypatch.setattr(ultravox_export, name, damaged(name))
    with pytest.raises(CheckpointError, match=message) as caught:
        export_ultravox(model, tmp_path / "out")
    assert caught.value.code == "key_mismatch" and list(tmp_path.iterdir()) == []


def test_other_logits_leave_nothing(tmp_path: Path) -> None:
    """An LLM whose class holds more than its config says: the same weights are then another model."""
    model = own_model()
    with torch.no_grad():
        model.llm.model.rotary_emb.inv_freq.mul_(0.5)
    with pytest.raises(CheckpointError, match=r"the exported model gives logits that are .* off"):
        export_ultravox(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tied_head_of_another_family_is_stored_once(tmp_path: Path) -> None:
    model = own_model()
    assert model.llm.get_output_embeddings().weight is model.table.weight
    folder = export_ultravox(model, tmp_path / "out")
    assert "language_model.lm_head.weight" not in load_file(folder / "model.safetensors")
    assert json.loads((folder / "config.json").read_text())["text_config"]["tie_word_embeddings"] is True
    again = load_ultravox(folder)
    assert again.llm.get_output_embeddings().weight is again.table.weight
    assert type(again.llm) is type(tiny_llm("qwen3"))
    prompt, heard = asked(again, [0.7])
    assert torch.isfinite(again.prefill([prompt], [heard])[1]).all()
