"""Tiny random audio language models, and noise for them to hear."""

from typing import Any

import numpy as np
import torch
from prompt.vocabularies import byte_level
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ossicle.audio.clip import Clip
from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import Message, Prompt, render

FAMILIES = ("qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "gemma3")
WINDOW = 8
"""Tokens that a layer with a sliding window looks back: every prompt of the tests is longer."""
ENCODER = WhisperSettings(width=32, layers=1, heads=2, ffn=64, max_frames=100)
TOKENIZER = byte_level()


def tiny_llm(family: str = "qwen2", *, tied: bool = True) -> Any:
    sizes = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": tied,
        "initializer_range": 0.2,
        "eos_token_id": 2,
    }
    match family:
        case "qwen2":
            return Qwen2ForCausalLM(Qwen2Config(**sizes))
        case "qwen3":
            return Qwen3ForCausalLM(Qwen3Config(head_dim=8, **sizes))
        case "mistral":
            return MistralForCausalLM(MistralConfig(sliding_window=WINDOW, **sizes))
        case "gemma":
            return GemmaForCausalLM(GemmaConfig(head_dim=8, **sizes))
        case "gemma2":
            return Gemma2ForCausalLM(Gemma2Config(head_dim=8, sliding_window=WINDOW, **sizes))
        case "gemma3":
            layers = ["sliding_attention", "full_attention"]
            return Gemma3ForCausalLM(Gemma3TextConfig(head_dim=8, sliding_window=WINDOW, layer_types=layers, **sizes))
        case _:
            return LlamaForCausalLM(LlamaConfig(**sizes))


def tiny_model(
    family: str = "qwen2",
    *,
    encoder: nn.Module | None = None,
    bridge: nn.Module | None = None,
    tokenizer: PreTrainedTokenizerFast = TOKENIZER,
    tied: bool = True,
    **arguments: Any,
) -> AudioLM:
    torch.manual_seed(0)
    arguments = {"context": 400, "name": "tiny", **arguments}
    bridge = MeanPool(32, 32, output_norm="rms") if bridge is None else bridge
    encoder = WhisperEncoder(ENCODER) if encoder is None else encoder
    return AudioLM(encoder, bridge, tiny_llm(family, tied=tied), tokenizer, **arguments).eval()


def noise(seconds: float, *, seed: int = 0, rate: int = 16_000) -> Clip:
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    return Clip(samples.astype(np.float32), rate)


def asked(model: AudioLM, seconds: list[float], question: str = "What is said?") -> tuple[Prompt, list[Any]]:
    """A question about clips of some lengths, rendered, and the clips as they were heard."""
    clips = [noise(s, seed=i) for i, s in enumerate(seconds)]
    heard = model.hear(clips) if clips else []
    messages = [Message("user", (*clips, question))]
    return render(messages, [len(one.values) for one in heard], model.tokenizer, pad_id=model.pad_id), heard
