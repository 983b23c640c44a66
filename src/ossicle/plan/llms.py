"""Sizes of LLMs: of common ones by name, of any other from its config.json; what their tokens cost.

Knows shapes of gated decoders (Llama's) and arithmetic; does not know weights. A parameter here is an entry of a
matrix: norms and biases, under one in a thousand, are left out. Sliding windows are not looked at: costs are the most.
Source: the config.json of each, whose published numbers of parameters agree (tests/plan/test_llms.py); section 7.2 of
the project's notes on projection for the formulas.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ossicle.errors import CheckpointError, NotFoundError

GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
"""Values of ``model_type`` whose layers are four attention matrices and three of a gated feed-forward part."""
TIED = ("gemma", "gemma2", "gemma3_text")
"""Of these, where embedding and head are one matrix unless the config says otherwise."""


@dataclass(frozen=True)
class LLMSizes:
    """The shape of one LLM.

    Args:
        name: what it is called.
        layers: L.
        width: E.
        heads: query heads.
        kv_heads: heads of keys and values.
        head: width of one head.
        ffn: width of the feed-forward part.
        vocab: rows of the embedding.
        tied: the head is the embedding.
        context: tokens that it was trained to read.
    """

    name: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    ffn: int
    vocab: int
    tied: bool
    context: int

    @property
    def parameters(self) -> int:
        """Entries of all matrices, P."""
        attention = 2 * self.width * self.head * (self.heads + self.kv_heads)
        layer = attention + 3 * self.width * self.ffn
        return self.layers * layer + self.vocab * self.width * (1 if self.tied else 2)

    def kv_bytes(self, tokens: int, bytes_each: int) -> int:
        """Keys and values of ``tokens`` positions: 2 * L * kv_heads * head * bytes each."""
        return 2 * self.layers * self.kv_heads * self.head * bytes_each * tokens

    def linear_flops(self, tokens: int) -> int:
        """Products with weights for N tokens: 2 * P * N, embedding and head counted with every token."""
        return 2 * self.parameters * tokens

    def attention_flops(self, tokens: int) -> int:
        """Causal attention among N tokens: 2 * L * d * N ** 2, d = heads * head; half of all pairs, two products."""
        return 2 * self.layers * self.heads * self.head * tokens**2

    def prefill_flops(self, tokens: int) -> int:
        """Reading N tokens: 2 * P * N + 2 * L * d * N ** 2."""
        return self.linear_flops(tokens) + self.attention_flops(tokens)

    def decode_flops(self, before: int, tokens: int = 1) -> int:
        """Writing ``tokens`` after ``before`` others: each 2 * P + 4 * L * d * n, n the tokens before it."""
        seen = tokens * before + tokens * (tokens - 1) // 2
        return self.linear_flops(tokens) + 4 * self.layers * self.heads * self.head * seen


LLMS: Mapping[str, LLMSizes] = {
    one.name: one
    for one in (
        #        name             L   width heads kv head ffn    vocab    tied   context
        LLMSizes("mini", 4, 192, 4, 2, 48, 640, 312, True, 640),
        LLMSizes("qwen2.5-0.5b", 24, 896, 14, 2, 64, 4_864, 151_936, True, 32_768),
        LLMSizes("qwen2.5-1.5b", 28, 1_536, 12, 2, 128, 8_960, 151_936, True, 32_768),
        LLMSizes("qwen2.5-3b", 36, 2_048, 16, 2, 128, 11_008, 151_936, True, 32_768),
        LLMSizes("qwen2.5-7b", 28, 3_584, 28, 4, 128, 18_944, 152_064, False, 32_768),
        LLMSizes("qwen3-0.6b", 28, 1_024, 16, 8, 128, 3_072, 151_936, True, 40_960),
        LLMSizes("qwen3-1.7b", 28, 2_048, 16, 8, 128, 6_144, 151_936, True, 40_960),
        LLMSizes("qwen3-4b", 36, 2_560, 32, 8, 128, 9_728, 151_936, True, 40_960),
        LLMSizes("qwen3-8b", 36, 4_096, 32, 8, 128, 12_288, 151_936, False, 40_960),
        LLMSizes("llama-3.2-1b", 16, 2_048, 32, 8, 64, 8_192, 128_256, True, 131_072),
        LLMSizes("llama-3.2-3b", 28, 3_072, 24, 8, 128, 8_192, 128_256, True, 131_072),
        LLMSizes("llama-3.1-8b", 32, 4_096, 32, 8, 128, 14_336, 128_256, False, 131_072),
        LLMSizes("llama-3.1-70b", 80, 8_192, 64, 8, 128, 28_672, 128_256, False, 131_072),
        LLMSizes("mistral-7b-v0.3", 32, 4_096, 32, 8, 128, 14_336, 32_768, False, 32_768),
        LLMSizes("vicuna-7b-v1.5", 32, 4_096, 32, 32, 128, 11_008, 32_000, False, 4_096),
        LLMSizes("qwen2-audio-7b", 32, 4_096, 32, 32, 128, 11_008, 156_032, False, 8_192),
    )
}


def llm_sizes(source: str | Path) -> LLMSizes:
    """An LLM's sizes.

    Args:
        source: a name of `LLMS`, a config.json, or the folder that holds one.

    Raises:
        NotFoundError: neither a known name nor a file.
        CheckpointError: ``bad_format``, a config that is no gated decoder's or lacks a size.
    """
    if str(source) in LLMS:
        return LLMS[str(source)]
    path = Path(source)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise NotFoundError(
            f"no LLM of the name {str(source)!r} is known: give a config.json, or one of {', '.join(LLMS)}"
        )
    return read_config(path)


def read_config(path: Path) -> LLMSizes:
    """The sizes that a config.json says, of the text part where it has several.

    Raises:
        CheckpointError: ``bad_format``.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON", code="bad_format") from error
    said = said.get("text_config", said) if isinstance(said, dict) else said
    kind = said.get("model_type") if isinstance(said, dict) else None
    if kind not in GATED:
        raise CheckpointError(
            f"{path} is of the model type {kind!r}, whose costs are not counted: supported are {', '.join(GATED)}",
            code="bad_format",
        )
    heads = _count(path, said, "num_attention_heads")
    width = _count(path, said, "hidden_size")
    return LLMSizes(
        name=path.parent.name or path.name,
        layers=_count(path, said, "num_hidden_layers"),
        width=width,
        heads=heads,
        kv_heads=_count(path, said, "num_key_value_heads", heads),
        head=_count(path, said, "head_dim", width // heads),
        ffn=_count(path, said, "intermediate_size"),
        vocab=_count(path, said, "vocab_size"),
        tied=bool(said.get("tie_word_embeddings", kind in TIED)),
        context=_count(path, said, "max_position_embeddings"),
    )


def _count(path: Path, said: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = default if said.get(key) is None else said[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{path} says {key} = {value!r}: a whole number from 1 is needed", code="bad_format")
    return value
