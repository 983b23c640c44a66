"""What the exports into published layouts share: the audio token, the weights, the small files beside them.

Knows a model's tokenizer and how `transformers` names its files; does not know any layout.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from tokenizers import AddedToken

from ossicle.errors import ConfigError
from ossicle.models.audio_lm import AudioLM


def with_audio_token(model: AudioLM, audio: str) -> tuple[Any, int]:
    """The tokenizer with the special token ``audio``, and its id, for which the LLM has a row.

    Raises:
        ConfigError: the LLM has no row for it.
    """
    tokenizer = copy.deepcopy(model.tokenizer)
    if audio not in {token.content for token in tokenizer.added_tokens_decoder.values()}:
        tokenizer.add_tokens([AddedToken(audio, special=True, normalized=False)], special_tokens=True)
    token = int(tokenizer.convert_tokens_to_ids(audio))
    if token >= model.table.weight.shape[0]:
        raise ConfigError(
            f"the LLM has {model.table.weight.shape[0]} embeddings, none for the audio token {token}: add rows to it"
        )
    return tokenizer, token


def llm_config(llm: Any, *, tied: bool) -> dict[str, Any]:
    """All that an LLM's config says, its class named, without the place that it was read from."""
    said: dict[str, Any] = json.loads(llm.config.to_json_string(use_diff=False))
    said.pop("_name_or_path", None)
    return {**said, "architectures": [type(llm).__name__], "tie_word_embeddings": tied}


def cast(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Tensors of their own on the CPU, in a dtype."""
    return {name: value.detach().to("cpu", dtype).clone().contiguous() for name, value in tensors.items()}


def write_tensors(tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Safetensors in one file, or in several with an index where they are large."""
    save_torch_state_dict(tensors, folder, metadata={"format": "pt"})
    for path in folder.iterdir():
        path.chmod(0o644)


def write_settings(model: AudioLM, extractor: Any, folder: Path, *, processor: str) -> None:
    """The settings of the feature extractor, under the processor's name, and those of generation."""
    settings = {**extractor.to_dict(), "processor_class": processor}
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    generation = {"eos_token_id": sorted(model.end_ids), "pad_token_id": model.pad_id, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


def tolerance(dtype: torch.dtype) -> float:
    """How far the logits of an exported model may be off."""
    return 1e-3 if dtype == torch.float32 else 5e-2
