"""LoRA: where it goes, what it trains, and that merging changes no answer."""

import sys

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import ConfigError, DependencyError
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import adapter_settings, add_lora, has_lora, merge_lora, wrap

from .tiny import ENCODER, FAMILIES, TOKENIZER, asked, tiny_model

pytest.importorskip("peft")


def stir(model: AudioLM) -> None:
    """Give the LoRA random weights, since a new one adds nothing."""
    with torch.no_grad():
        for name, weight in model.llm.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_lora_changes_nothing_and_merging_a_trained_one_changes_nothing(family: str) -> None:
    model = tiny_model(family)
    prompt, heard = asked(model, [0.4])
    plain = model.prefill([prompt], [heard])[1]
    add_lora(model, 4)
    assert (model.pattern, has_lora(model.llm)) == ("lora", True)
    torch.testing.assert_close(model.prefill([prompt], [heard])[1], plain)
    stir(model)
    tuned = model.prefill([prompt], [heard])[1]
    assert (tuned - plain).abs().max() > 1e-2
    merge_lora(model)
    assert (model.pattern, has_lora(model.llm)) == ("lora", False)
    torch.testing.assert_close(model.prefill([prompt], [heard])[1], tuned, atol=1e-4, rtol=1e-4)


def test_only_the_lora_of_the_llm_trains() -> None:
    model = tiny_model(pattern="full")
    add_lora(model, 2, alpha=7, dropout=0.25)
    trains = [name for name, weight in model.llm.named_parameters() if weight.requires_grad]
    assert all("lora_" in name for name in trains)
    assert len(trains) == 2 * 7 * 2  # A and B, seven layers in a block, two blocks
    assert not any("lora_" in name for name, _ in model.encoder.named_parameters())
    assert all(weight.requires_grad for weight in model.bridge.parameters())
    settings = model.llm.peft_config["default"]
    assert (settings.r, settings.lora_alpha, settings.lora_dropout) == (2, 7, 0.25)
    assert model.train().llm.training


def test_alpha_is_twice_the_rank_by_default() -> None:
    model = tiny_model()
    add_lora(model, 3)
    assert model.llm.peft_config["default"].lora_alpha == 6


def test_bad_ranks_and_double_or_missing_loras_are_refused() -> None:
    model = tiny_model()
    with pytest.raises(ConfigError, match="a LoRA needs a rank of at least 1, got 0"):
        add_lora(model, 0)
    with pytest.raises(ConfigError, match="the LLM has no LoRA to merge"):
        merge_lora(model)
    add_lora(model, 2)
    with pytest.raises(ConfigError, match="has a LoRA already: merge it before adding another"):
        add_lora(model, 2)


def layers_with_lora(model: AudioLM) -> set[str]:
    return {
        name.split(".lora_")[0].split("base_model.model.")[1]
        for name, _ in model.named_parameters()
        if ".lora_" in name
    }


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        ("q_proj|v_proj", {f"model.layers.{i}.self_attn.{one}_proj" for i in (0, 1) for one in "qv"}),
        (r"layers\.1\.mlp\..*", {f"model.layers.1.mlp.{one}_proj" for one in ("gate", "up", "down")}),
        ("up_proj", {f"model.layers.{i}.mlp.up_proj" for i in (0, 1)}),
    ],
)
def test_a_pattern_chooses_layers_of_the_llm_alone(targets: str, wanted: set[str]) -> None:
    model = tiny_model()
    names = {name.rpartition(".")[2] for name, _ in model.encoder.named_modules()}
    assert {"q_proj", "v_proj"} <= names  # the encoder's layers have these names too
    add_lora(model, 2, targets=targets)
    assert layers_with_lora(model) == wanted
    assert not any("lora_" in name for part in (model.encoder, model.bridge) for name, _ in part.named_parameters())


def test_a_bridge_whose_layers_are_called_as_the_llms_gets_none() -> None:
    model = tiny_model()
    model.bridge.q_proj = torch.nn.Linear(32, 32)
    add_lora(model, 2, targets="q_proj")
    assert layers_with_lora(model) == {f"model.layers.{i}.self_attn.q_proj" for i in (0, 1)}


@pytest.mark.parametrize("tied", [True, False])
def test_all_linear_layers_but_the_head_are_the_default(tied: bool) -> None:
    model = tiny_model(tied=tied)
    add_lora(model, 2)
    kinds = {name.rpartition(".")[2] for name in layers_with_lora(model)}
    assert kinds == {f"{one}_proj" for one in ("q", "k", "v", "o", "gate", "up", "down")}


def test_settings_of_an_adapter_are_written_alike_each_time() -> None:
    model = tiny_model()
    add_lora(model, 2, targets="v_proj|q_proj")
    targets = adapter_settings(model.llm).target_modules
    assert targets == sorted(targets) and len(targets) == 4


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            "query",
            "no linear layer that lora_targets 'query' matches: those of a Qwen2ForCausalLM are down_proj, gate_p",
        ),
        ("lm_head", "no linear layer that lora_targets 'lm_head' matches"),
        ("(", r"lora_targets is no regular expression: '\(' \(missing \)"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is(targets: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        add_lora(tiny_model(), 2, targets=targets)


def test_an_llm_without_linear_layers_is_refused() -> None:
    llm = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=32, n_layer=1, n_head=2, n_positions=64))
    model = AudioLM(WhisperEncoder(ENCODER), MeanPool(32, 32), llm, TOKENIZER, context=64)
    with pytest.raises(
        ConfigError, match="no linear layer to put a LoRA on: those of a GPT2LMHeadModel are none at all"
    ):
        add_lora(model, 2)
    other = tiny_model()
    add_lora(other, 2)
    with pytest.raises(ConfigError, match="no layer of the names that the LoRA is for"):
        wrap(model, adapter_settings(other.llm))


def test_without_peft_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DependencyError, match=r"a LoRA needs PEFT: pip install 'ossicle\[train\]'"):
        add_lora(tiny_model(), 2)
