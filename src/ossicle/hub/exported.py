"""What the exports into published layouts share: the audio token, the weights, the small files beside them.

Knows a model's tokenizer and how `transformers` names its files; does not know any layout.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import save_torch_state_dict
from tokenizers import AddedToken

from ossicle.audio.clip import Clip
from ossicle.encoders.whisper import WhisperSettings
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub.strict import as_stored, check_keys
from ossicle.models.audio_lm import AudioLM

NOT_THINKING = "{% set enable_thinking = false %}"


def with_audio_token(model: AudioLM, audio: str) -> tuple[Any, int]:
    """The tokenizer with the special token ``audio``, and its id, for which the LLM has a row.

    It also keeps the context that the model was trained for, for which the layouts have no other place: an LLM may have
    more positions.

    Raises:
        ConfigError: the LLM has no row for it.
    """
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.model_max_length = model.context
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


def audio_config(sizes: WhisperSettings, model_type: str) -> dict[str, Any]:
    """What a Whisper-shaped encoder's config says, under the names of `transformers`."""
    return {
        "model_type": model_type,
        "num_mel_bins": sizes.n_mels,
        "encoder_layers": sizes.layers,
        "encoder_attention_heads": sizes.heads,
        "encoder_ffn_dim": sizes.ffn,
        "d_model": sizes.width,
        "max_source_positions": sizes.max_frames,
        "activation_function": "gelu",
        "scale_embedding": False,
    }


def cast(tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Tensors of their own on the CPU, in a dtype.

    Raises:
        RequestError: as `strict.as_stored`.
    """
    return {name: as_stored(name, value, dtype).clone() for name, value in tensors.items()}


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


def trial_clips(rate: int) -> tuple[Clip, Clip]:
    """What an exported model is asked about: a second of noise, and less, which ends inside a frame, the odd one of a
    pair."""
    samples = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    return Clip(samples, rate), Clip(samples[: rate - 377], rate)


def unthinking(template: str) -> str:
    """A chat template that never lets the LLM think first: our prompts ask it not to, a server says nothing."""
    if "enable_thinking" not in template or NOT_THINKING in template:
        return template
    return NOT_THINKING + template


def check_weights(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
    """Refuse an exported model whose weights, as they were read back, are not ours in ``dtype``.

    Raises:
        CheckpointError: with their names.
    """
    check_keys(ours, theirs, "the exported folder")
    other = [name for name in ours if not torch.equal(theirs[name].to(dtype), ours[name].detach().to("cpu", dtype))]
    if other:
        raise CheckpointError(f"the exported weights are others than ours: {', '.join(other)}", code="key_mismatch")


def check_logits(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> None:
    """Refuse an exported model whose logits, on what `trial_clips` gives, are not ours.

    Raises:
        CheckpointError: they are off by more than ``dtype`` of the weights on disk explains.
    """
    apart = float((ours.float().cpu() - theirs.float().cpu()).abs().max())
    if not apart <= (1e-3 if dtype == torch.float32 else 5e-2):
        raise CheckpointError(f"the exported model gives logits that are {apart:.2g} off", code="key_mismatch")
