"""LoRA: where it goes, what it trains, and that merging changes no answer."""

import sys

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import ConfigError, DependencyError
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora, has_lora, merge_lora

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


def test_an_llm_without_the_target_layers_is_refused() -> None:
    llm = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_embd=32, n_layer=1, n_head=2, n_positions=64))
    model = AudioLM(WhisperEncoder(ENCODER), MeanPool(32, 32), llm, TOKENIZER, context=64)
    with pytest.raises(ConfigError, match="no layer of the names that the LoRA is for"):
        add_lora(model, 2)


def test_without_peft_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(DependencyError, match=r"a LoRA needs PEFT: pip install 'ossicle\[train\]'"):
        add_lora(tiny_model(), 2)
