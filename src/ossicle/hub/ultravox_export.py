"""Models into the Ultravox layout, read back strictly and compared before a folder stands.

Knows how the released checkpoints name their weights, settings and placeholder; does not know how such a folder is read
(`ultravox`). llama.cpp converts such a folder only with the norm in the middle; counts of tokens differ between the
servers (`audio.lengths`).
Source: the released checkpoints from 0.5 on.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperFeatureExtractor

from ossicle.audio.lengths import CHUNK_FRAMES
from ossicle.bridge.gated import GAIN, StackSwiGLU
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub.description import CONFIG
from ossicle.hub.exported import (
    audio_config,
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
from ossicle.hub.quiet import quiet
from ossicle.hub.strict import Tensors
from ossicle.hub.ultravox import AUDIO, LLM, MODEL_TYPE, TOWER, around, bridge_tensors, load_ultravox
from ossicle.hub.whole import whole_folder
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import has_lora
from ossicle.prompt.chat import Message, clip_marks, render, template_of


def export_ultravox(model: AudioLM, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model in the Ultravox layout, read it back strictly, and compare; else nothing stays.

    The folder holds no code: a server that asks for the processor's takes it from a released checkpoint.

    Args:
        model: a Whisper encoder with its closing norm and ``chunks``, the bridge stack_swiglu, an LLM whose LoRA, if
            any, is merged.
        folder: must not exist, or be empty.
        dtype: of the weights on disk.

    Returns:
        The folder.

    Raises:
        ConfigError: the layout cannot hold the model.
        RequestError: ``dtype`` has no room for a weight.
        StorageError: the folder cannot be written.
        CheckpointError: what was read back is not the model.
    """
    _check_exportable(model)
    tokenizer, token = with_audio_token(model, AUDIO)
    tokenizer.chat_template = _template(model)
    target = Path(folder)
    with whole_folder(target) as draft:
        config = _config(model, token, dtype)
        (draft / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tensors = _tensors(model, dtype)
        write_tensors(tensors, draft)
        extractor = WhisperFeatureExtractor(feature_size=config["audio_config"]["num_mel_bins"])
        write_settings(model, extractor, draft, processor="UltravoxProcessor")
        with quiet():
            tokenizer.save_pretrained(draft)
        _compare(model, draft, token, dtype)
    return target


def _check_exportable(model: AudioLM) -> None:
    encoder = model.encoder
    settings = encoder.settings if isinstance(encoder, WhisperEncoder) else None
    faults = []
    if settings is None or not (settings.final_norm and settings.chunks) or 2 * settings.max_frames != CHUNK_FRAMES:
        faults.append(f"its encoder is a Whisper encoder with final_norm and chunks and {CHUNK_FRAMES // 2} max_frames")
    if not isinstance(model.bridge, StackSwiGLU):
        faults.append("its bridge is stack_swiglu")
    if has_lora(model.llm):
        faults.append("its LoRA is merged")
    if "{n}" in model.clip_text.before:
        faults.append("its prompts do not number clips")
    if faults:
        raise ConfigError(f"the Ultravox layout holds a model only if {'; '.join(faults)}")


def _template(model: AudioLM) -> str:
    """The LLM's own template, behind a first part that puts around a placeholder what our prompts write there."""
    template = unthinking(template_of(model.tokenizer))
    begin, end = clip_marks(model.tokenizer)
    before, after = model.clip_text.before + begin, end + model.clip_text.after
    if around(model.tokenizer) == (before, after):
        return template
    return (
        "{%- set told = namespace(turns=[]) -%}{%- for message in messages -%}{%- set told.turns = told.turns + "
        "[{'role': message['role'], 'content': message['content'] | replace("
        f"{json.dumps(AUDIO)}, {json.dumps(before + AUDIO + after)})}}] -%}}{{%- endfor -%}}"
        "{%- set messages = told.turns -%}"
    ) + template


def _config(model: AudioLM, token: int, dtype: torch.dtype) -> dict[str, Any]:
    assert isinstance(model.encoder, WhisperEncoder) and isinstance(model.bridge, StackSwiGLU)
    sizes = model.encoder.settings
    return {
        "architectures": ["UltravoxModel"],
        "model_type": MODEL_TYPE,
        "audio_model_id": None,
        "text_model_id": None,
        "audio_token_index": token,
        "audio_latency_block_size": None,
        "hidden_size": model.bridge.hidden,
        "stack_factor": model.bridge.k,
        "norm_init": GAIN,
        "projector_act": "swiglu",
        "projector_ln_mid": model.bridge.norm_mid is not None,
        "ignore_index": -100,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "audio_config": audio_config(sizes, "whisper"),
        "text_config": llm_config(model.llm, tied=_tied(model.llm)),
    }


def _tied(llm: Any) -> bool:
    return llm.get_output_embeddings().weight is llm.get_input_embeddings().weight


def named(model: AudioLM) -> Tensors:
    """Every weight of a model that the layout holds, under its name on disk; a tied head once, as the embedding."""
    assert isinstance(model.encoder, WhisperEncoder) and isinstance(model.bridge, StackSwiGLU)
    head = model.llm.get_output_embeddings()
    once = {f"{name}.weight" for name, part in model.llm.named_modules() if part is head and _tied(model.llm)}
    return {
        **{TOWER + name: value for name, value in model.encoder.tower.state_dict().items()},
        **bridge_tensors(model.bridge),
        **{LLM + name: value for name, value in model.llm.state_dict().items() if name not in once},
    }


def _tensors(model: AudioLM, dtype: torch.dtype) -> Tensors:
    """The same as tensors of their own, cast."""
    return cast(named(model), dtype)


def _compare(model: AudioLM, folder: Path, token: int, dtype: torch.dtype) -> None:
    """Ask the exported folder and the model the same.

    Raises:
        CheckpointError: the folder holds other weights or settings, gives another prompt or other logits.
    """
    again = load_ultravox(folder)
    check_weights(named(model), named(again), dtype)
    if _settings(again) != _settings(model):
        raise CheckpointError(f"the exported settings are others than ours: {_settings(again)}", code="key_mismatch")
    for clip in trial_clips(model.encoder.sample_rate):
        logits = []
        for one in (model, again):
            (heard,) = one.hear([clip])
            messages, n = [Message("user", (clip, "what?"))], len(heard.values)
            prompt = render(messages, [n], one.tokenizer, pad_id=token, clip_text=one.clip_text)
            if prompt.ids != _published_prompt(again.tokenizer, token, n):
                raise CheckpointError("the exported prompt is another than ours", code="key_mismatch")
            logits.append(one.prefill([prompt], [[heard]])[1])
        check_logits(logits[0], logits[1], dtype)


def _settings(model: AudioLM) -> tuple[Any, ...]:
    """What must be read back as it was written."""
    assert isinstance(model.encoder, WhisperEncoder) and isinstance(model.bridge, StackSwiGLU)
    return replace(model.encoder.settings, dropout=0.0), model.bridge.settings(), model.clip_text, model.context


def _published_prompt(tokenizer: Any, token: int, n: int) -> list[int]:
    """Ids of a question about a clip as the published processor makes them: the text is split at the placeholder."""
    told = [{"role": "user", "content": f"{AUDIO}what?"}]
    before, _, after = tokenizer.apply_chat_template(told, add_generation_prompt=True, tokenize=False).partition(AUDIO)
    first, last = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, after))
    return [*first, *[token] * n, *last]
