"""The lean way through an LLM: the logits of its own forward, and None where that is not certain."""

from typing import Any

import pytest
import torch
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ossicle.models.decoder import Buffers, Decoder
from ossicle.models.lora import add_lora, merge_lora

from .tiny import tiny_model

SIZES = {
    "vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096, "initializer_range": 0.2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def llm(kind: str) -> Any:
    torch.manual_seed(0)
    match kind:
        case "qwen2":
            made: Any = Qwen2ForCausalLM(Qwen2Config(**SIZES))
        case "qwen2, every head its own keys":
            made = Qwen2ForCausalLM(Qwen2Config(**{**SIZES, "num_key_value_heads": 4}))
        case "qwen2, sliding":
            settings = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
            made = Qwen2ForCausalLM(Qwen2Config(**SIZES, **settings))
        case "qwen3":
            made = Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=12, attention_bias=True))
        case "llama":
            made = LlamaForCausalLM(LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True))
        case "llama, positions of llama 3":
            made = LlamaForCausalLM(LlamaConfig(**SIZES, rope_parameters=LLAMA3))
        case "llama, positions that grow":
            made = LlamaForCausalLM(
                LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
            )
        case "llama, gelu":
            made = LlamaForCausalLM(LlamaConfig(**SIZES, hidden_act="gelu"))
        case "mistral":
            made = MistralForCausalLM(MistralConfig(**SIZES, head_dim=8, sliding_window=None))
        case "mistral, sliding":
            made = MistralForCausalLM(MistralConfig(**SIZES, head_dim=8, sliding_window=8))
        case "gemma":
            made = GemmaForCausalLM(GemmaConfig(**SIZES, head_dim=8))
    with torch.no_grad():  # biases begin at zero, norms at one: mistakes in them shall show
        for value in made.parameters():
            if value.ndim == 1:
                value.add_(0.3 * torch.randn_like(value))
    return made.eval()


SAME = (
    "qwen2",
    "qwen2, every head its own keys",
    "qwen3",
    "llama",
    "llama, positions of llama 3",
    "mistral",
)


@pytest.mark.parametrize("kind", SAME)
@torch.no_grad()
def test_a_prompt_and_steps_give_the_logits_of_the_llm_itself(kind: str) -> None:
    theirs = llm(kind)
    ours, cache = Decoder.of(theirs), Buffers(2, room=2)
    assert ours is not None
    ids = torch.randint(0, 101, (2, 23))
    whole = theirs(ids).logits
    values = theirs.get_input_embeddings()(ids)
    at, told = 0, []
    for n in (9, 1, 1, 1, 4, 7):  # beyond the room: the buffers double
        places = torch.arange(at, at + n)[None]
        told.append(ours(values[:, at : at + n], places, None, cache))
        at += n
        torch.testing.assert_close(told[-1], whole[:, at - 1], **CLOSE)
    assert cache.length == 23


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
@torch.no_grad()
def test_padding_on_the_left_changes_nothing(kind: str) -> None:
    theirs = llm(kind)
    ours, cache = Decoder.of(theirs), Buffers(2)
    assert ours is not None
    ids = torch.randint(0, 101, (2, 12))
    short = ids[1:, 5:10]
    mask = torch.ones(2, 10, dtype=torch.int64)
    mask[1, :5] = 0
    places = torch.stack([torch.arange(10), torch.arange(10) - 5]).clamp(min=0)
    values = theirs.get_input_embeddings()(ids)
    first = ours(values[:, :10], places, mask, cache)
    torch.testing.assert_close(first[1], theirs(short).logits[0, -1], **CLOSE)
    mask = torch.cat([mask, mask.new_ones(2, 2)], dim=1)
    two = ours(values[:, 10:], torch.tensor([[10, 11], [5, 6]]), mask, cache)  # two at once
    torch.testing.assert_close(two[1], theirs(ids[1:, 5:]).logits[0, -1], **CLOSE)
    torch.testing.assert_close(two[0], theirs(ids[:1]).logits[0, -1], **CLOSE)
    mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
    one = ours(values[:, :1], torch.tensor([[12], [7]]), mask, cache)
    torch.testing.assert_close(one[1], theirs(torch.cat([ids[1:, 5:], ids[1:, :1]], dim=1)).logits[0, -1], **CLOSE)


@torch.no_grad()
def test_a_prefix_is_a_copy_that_goes_on_by_itself() -> None:
    theirs = llm("qwen2")
    ours, cache = Decoder.of(theirs), Buffers(2)
    assert ours is not None
    ids = torch.randint(0, 101, (1, 14))
    values = theirs.get_input_embeddings()(ids)
    ours(values[:, :10], torch.arange(10)[None], None, cache)
    begun = cache.prefix(6)
    assert (begun.length, cache.length) == (6, 10) and 0 < begun.n_bytes < cache.n_bytes
    other = torch.cat([values[:, :6], values[:, 10:]], dim=1)
    told = ours(other[:, 6:], torch.arange(6, 10)[None], None, begun)
    torch.testing.assert_close(told, theirs(inputs_embeds=other).logits[:, -1], **CLOSE)
    told = ours(values[:, 10:], torch.arange(10, 14)[None], None, cache)
    torch.testing.assert_close(told, theirs(ids).logits[:, -1], **CLOSE)


@torch.no_grad()
def test_more_at_once_than_the_buffers_double_to() -> None:
    theirs = llm("qwen2")
    ours, cache = Decoder.of(theirs), Buffers(2, room=1)
    assert ours is not None
    ids = torch.randint(0, 101, (1, 30))
    values = theirs.get_input_embeddings()(ids)
    ours(values[:, :2], torch.arange(2)[None], None, cache)
    told = ours(values[:, 2:], torch.arange(2, 30)[None], None, cache)
    torch.testing.assert_close(told, theirs(ids).logits[:, -1], **CLOSE)


@torch.no_grad()
def test_what_is_cropped_was_never_read() -> None:
    theirs = llm("llama")
    ours, cache = Decoder.of(theirs), Buffers(2)
    assert ours is not None
    values = theirs.get_input_embeddings()(torch.randint(0, 101, (1, 9)))
    ours(values, torch.arange(9)[None], None, cache)
    cache.crop(-4)
    told = ours(values[:, 7:], torch.arange(5, 7)[None], None, cache)
    wanted = theirs(inputs_embeds=torch.cat([values[:, :5], values[:, 7:]], dim=1)).logits[:, -1]
    torch.testing.assert_close(told, wanted, **CLOSE)


@pytest.mark.parametrize(
    "kind", ["qwen2, sliding", "mistral, sliding", "llama, positions that grow", "llama, gelu", "gemma"]
)
def test_an_llm_that_may_differ_goes_its_own_way(kind: str) -> None:
    assert Decoder.of(llm(kind)) is None


def test_half_precision_and_training_go_their_own_way() -> None:
    assert Decoder.of(llm("qwen2").half()) is None
    assert Decoder.of(llm("qwen2").train()) is None


def test_a_lora_goes_its_own_way_until_it_is_merged() -> None:
    model = tiny_model()
    assert Decoder.of(model.llm) is not None
    add_lora(model, 2)
    assert Decoder.of(model.llm.eval()) is None
    merge_lora(model)
    assert Decoder.of(model.llm.eval()) is not None
