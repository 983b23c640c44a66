"""The Qwen2-Audio layout, both ways: published folders become an AudioLM with the same logits, and back.

Knows the names, sizes and prompt of the published class; does not know other layouts. The published class runs its
encoder over 30 s with the padding masked; ours computes only the frames that hold audio, which is equal. Clips under
20 ms, of which the published processor makes no token and says nothing, give one token here. Source: Chu et al. 2024;
`transformers`' Qwen2AudioForConditionalGeneration.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from ossicle.audio.clip import Clip
from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import CheckpointError, ConfigError
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
from ossicle.hub.published import config_of, context_of, made_of, tokenizer_of, weights_of, whisper_settings
from ossicle.hub.quiet import quiet
from ossicle.hub.whole import whole_folder
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import has_lora
from ossicle.prompt.chat import ClipText, Message, clip_marks, render, template_of

MODEL_TYPE = "qwen2_audio"
AUDIO = "<|AUDIO|>"
TEMPLATE = (
    "{%- set count = namespace(clips=0) -%}{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if 'audio' in part or 'audio_url' in part or part['type'] == 'audio' -%}"
    "{%- set count.clips = count.clips + 1 -%}"
    "{{ 'Audio ' ~ count.clips ~ ': <|audio_bos|><|AUDIO|><|audio_eos|>\\n' }}"
    "{%- else -%}{{ part['text'] }}{%- endif -%}{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""What the released checkpoints are prompted with: for folders that bring no template of their own."""
HEAD = "lm_head.weight"
LOST = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")
"""What LLMs do to the logits behind their head, which the published class does not; Gemma 2, Cohere, Granite."""


def load_qwen2_audio(folder: str | Path) -> AudioLM:
    """A folder (or hub id) in the Qwen2-Audio layout, in float32.

    Args:
        folder: with config, safetensors weights (one file or sharded), tokenizer.

    Returns:
        The model, in evaluation mode, pattern "full": its LLM was tuned.

    Raises:
        CheckpointError: no such checkpoint, settings of which no model is made, a weight that is missing, an audio
            token that the tokenizer lacks.
    """
    config = config_of(folder)
    may_tie = bool(getattr(config.text_config, "tie_word_embeddings", False))
    heads = (HEAD, f"language_model.{HEAD}")
    theirs, lacks = weights_of(Qwen2AudioForConditionalGeneration, folder, config, may_lack=heads if may_tie else ())
    tokenizer = tokenizer_of(folder)
    if AUDIO not in {token.content for token in tokenizer.added_tokens_decoder.values()}:
        raise CheckpointError(f"{folder}: the tokenizer lacks {AUDIO}", code="bad_format")
    tokenizer.chat_template = _own_template(folder) or tokenizer.chat_template or TEMPLATE
    tied = not lacks.isdisjoint(heads)
    return made_of(folder, lambda: _model(theirs, config, tokenizer, tied=tied, name=Path(folder).name)).eval()


def _model(theirs: Any, config: Any, tokenizer: Any, *, tied: bool, name: str) -> AudioLM:
    llm = _llm(theirs, config, tied=tied)
    return AudioLM(
        _encoder(theirs.model.audio_tower, config.audio_config),
        _bridge(theirs.model, config.audio_config.d_model, llm.get_input_embeddings().weight.shape[1]),
        llm,
        tokenizer,
        context=context_of(llm, tokenizer),
        pattern="full",
        name=name,
        clip_text=_clip_text(tokenizer),
    )


def _own_template(folder: str | Path) -> str | None:
    """The processor's chat template, if the checkpoint brings one."""
    try:
        with quiet():
            template: str | None = Qwen2AudioProcessor.from_pretrained(folder).chat_template
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: its processor cannot be read: {error}", code="bad_format") from error
    return template


def _clip_text(tokenizer: Any) -> ClipText:
    """What a template writes around a clip, found by rendering one with two clips.

    Raises:
        CheckpointError: the template does not write for a clip what every prompt of ours does.
    """
    clip, mark = {"type": "audio", "audio_url": "clip"}, "ossiclemark"

    def rendered(content: Any) -> str:
        turns, template = [{"role": "user", "content": content}], template_of(tokenizer)
        return str(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False))

    head = rendered(mark).partition(mark)[0]
    told = rendered([clip, clip, {"type": "text", "text": mark}]).removeprefix(head).partition(mark)[0]
    begin, end = clip_marks(tokenizer)
    pieces = told.split(begin + AUDIO + end)
    if len(pieces) != 3:
        raise CheckpointError(
            f"the chat template writes {begin + AUDIO + end} {len(pieces) - 1} times for 2 clips", code="bad_format"
        )
    first, between, after = pieces
    second = between.removeprefix(after)
    before = first.replace("1", "{n}", 1) if second == first.replace("1", "2", 1) else first
    return ClipText(before, after)


def _encoder(tower: Any, config: Any) -> WhisperEncoder:
    encoder = WhisperEncoder(whisper_settings(config, final_norm=False))
    weights = {name: value for name, value in tower.state_dict().items() if not name.startswith("layer_norm.")}
    encoder.tower.load_state_dict(weights)
    return encoder


def _bridge(theirs: Any, width_in: int, width_out: int) -> MeanPool:
    bridge = MeanPool(width_in, width_out, k=2, tail="drop", norm_in=True)
    assert bridge.norm_in is not None
    bridge.norm_in.load_state_dict(theirs.audio_tower.layer_norm.state_dict())
    bridge.output.linear.load_state_dict(theirs.multi_modal_projector.linear.state_dict())
    return bridge


def _llm(theirs: Any, config: Any, *, tied: bool) -> Any:
    """The published LLM as a causal LM of its own kind.

    The published class never ties its head: where the weights hold one, it counts, whatever the config says; where they
    lack one that the config ties, the class would draw it at random, ours is the embedding.
    """
    with torch.device("meta"):
        llm = AutoModelForCausalLM.from_config(config.text_config, dtype=torch.float32)
    llm.model, llm.lm_head = theirs.model.language_model, theirs.lm_head
    llm.config.tie_word_embeddings = tied
    if tied:
        llm.lm_head.weight = llm.model.embed_tokens.weight
    llm.generation_config = theirs.generation_config
    return llm


def export_qwen2_audio(model: AudioLM, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model in the Qwen2-Audio layout, read it back with the published class, and compare; else nothing stays.

    The layout drops an odd last frame: up to 20 ms at the end of a clip are then not heard, whatever the bridge's tail.

    Args:
        model: a Whisper encoder without its closing norm, mean pooling by 2 with a norm and no output norm, an LLM
            whose LoRA, if any, is merged.
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
        (draft / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        write_tensors(_tensors(model, dtype), draft)
        seconds = model.encoder.max_samples // model.encoder.sample_rate
        extractor = WhisperFeatureExtractor(
            feature_size=config["audio_config"]["num_mel_bins"], chunk_length=seconds, return_attention_mask=True
        )
        processor = Qwen2AudioProcessor(extractor, tokenizer, chat_template=tokenizer.chat_template)
        with quiet():
            processor.save_pretrained(draft)
        write_settings(model, extractor, draft, processor="Qwen2AudioProcessor")
        _compare(model, draft, token, dtype)
    return target


def _check_exportable(model: AudioLM) -> None:
    encoder, bridge = model.encoder, model.bridge
    faults = []
    settings = encoder.settings if isinstance(encoder, WhisperEncoder) else None
    if settings is None or settings.final_norm or settings.window or settings.chunks:
        faults.append("its encoder is a Whisper encoder without final_norm, window and chunks")
    if not isinstance(bridge, MeanPool) or bridge.k != 2 or bridge.norm_in is None or bridge.output_norm != "none":
        faults.append("its bridge is mean_pool with k 2, norm_in true, output_norm none")
    if has_lora(model.llm):
        faults.append("its LoRA is merged")
    changed = [name for name in LOST if getattr(model.llm.config, name, None) not in (None, 1.0)]
    if changed:
        faults.append(f"its LLM leaves logits as its head gives them (without {', '.join(changed)})")
    if encoder.max_samples % encoder.sample_rate:
        faults.append("its encoder reads whole seconds")
    if faults:
        raise ConfigError(f"the Qwen2-Audio layout holds a model only if {'; '.join(faults)}")


def _config(model: AudioLM, token: int, dtype: torch.dtype) -> dict[str, Any]:
    assert isinstance(model.encoder, WhisperEncoder)
    sizes = model.encoder.settings
    name = str(dtype).removeprefix("torch.")
    return {
        "architectures": ["Qwen2AudioForConditionalGeneration"],
        "model_type": MODEL_TYPE,
        "audio_token_index": token,
        "ignore_index": -100,
        "torch_dtype": name,
        "audio_config": audio_config(sizes, "qwen2_audio_encoder"),
        "text_config": llm_config(model.llm, tied=False),  # the class does not tie: the head is written out
    }


def named(model: AudioLM) -> dict[str, torch.Tensor]:
    """Every weight of a model that the layout holds, under its name on disk."""
    assert isinstance(model.encoder, WhisperEncoder) and isinstance(model.bridge, MeanPool)
    assert model.bridge.norm_in is not None
    groups = {
        "audio_tower.": model.encoder.tower.state_dict(),
        "audio_tower.layer_norm.": model.bridge.norm_in.state_dict(),
        "multi_modal_projector.linear.": model.bridge.output.linear.state_dict(),
        "language_model.": {**model.llm.state_dict(), HEAD: model.llm.get_output_embeddings().weight},
    }
    return {prefix + name: value for prefix, values in groups.items() for name, value in values.items()}


def _tensors(model: AudioLM, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The same as tensors of their own, cast."""
    return cast(named(model), dtype)


def _template(model: AudioLM) -> str:
    """The LLM's own template behind a first part that turns lists of parts into text, clips into their tokens."""
    begin, end = clip_marks(model.tokenizer)
    before, number, rest = model.clip_text.before.partition("{n}")
    counted = [json.dumps(before), "count.clips | string", json.dumps(rest)] if number else [json.dumps(before)]
    clip = " ~ ".join([*counted, json.dumps(begin + AUDIO + end + model.clip_text.after)])
    return unthinking(
        "{%- set count = namespace(clips=0, turns=[]) -%}{%- for message in messages -%}"
        "{%- set told = namespace(text='') -%}"
        "{%- if message['content'] is string -%}{%- set told.text = message['content'] -%}{%- else -%}"
        "{%- for part in message['content'] -%}"
        "{%- if 'audio' in part or 'audio_url' in part or part['type'] == 'audio' -%}"
        "{%- set count.clips = count.clips + 1 -%}{%- set told.text = told.text ~ " + clip + " -%}"
        "{%- else -%}{%- set told.text = told.text ~ part['text'] -%}{%- endif -%}{%- endfor -%}{%- endif -%}"
        "{%- set count.turns = count.turns + [{'role': message['role'], 'content': told.text}] -%}{%- endfor -%}"
        "{%- set messages = count.turns -%}" + template_of(model.tokenizer)
    )


def _compare(model: AudioLM, folder: Path, token: int, dtype: torch.dtype) -> None:
    """Ask the published class, the folder as we read it, and the model the same.

    Raises:
        CheckpointError: the folder holds other weights, gives another prompt or other logits.
    """
    theirs = weights_of(Qwen2AudioForConditionalGeneration, folder, config_of(folder))[0].eval()
    processor = Qwen2AudioProcessor.from_pretrained(folder)
    told = [{"role": "user", "content": [{"type": "audio", "audio_url": "clip"}, {"type": "text", "text": "what?"}]}]
    text = processor.apply_chat_template(told, add_generation_prompt=True, tokenize=False)
    rate, asked = model.encoder.sample_rate, []
    for clip in trial_clips(rate):
        inputs = processor(text=[text], audio=[clip.samples], sampling_rate=rate, return_tensors="pt")
        ids, logits = _asked(model, clip, token)
        if ids != inputs["input_ids"][0].tolist():
            raise CheckpointError(f"the exported prompt is another than ours: {text!r}", code="key_mismatch")
        with torch.no_grad():
            check_logits(logits, theirs(**inputs).logits[:, -1], dtype)
        asked.append((clip, ids, logits))
    del theirs  # else three large models lie in memory at once
    again = load_qwen2_audio(folder)
    check_weights(named(model), named(again), dtype)
    for clip, ids, logits in asked:
        same, read = _asked(again, clip, token)
        if (same, again.clip_text, again.context) != (ids, model.clip_text, model.context):
            raise CheckpointError(
                f"the exported prompt is read as another than ours: {again.clip_text}, context {again.context}",
                code="key_mismatch",
            )
        check_logits(logits, read, dtype)


def _asked(model: AudioLM, clip: Clip, token: int) -> tuple[list[int], torch.Tensor]:
    """Ids of a question about a clip, and logits of what follows, without the odd last frame that the layout drops."""
    (heard,) = model.hear([clip])
    n = heard.n_frames // 2
    heard = replace(heard, values=heard.values[:n], spans_s=heard.spans_s[:n])
    told = [Message("user", (clip, "what?"))]
    prompt = render(told, [n], model.tokenizer, pad_id=token, clip_text=model.clip_text)
    return prompt.ids, model.prefill([prompt], [[heard]])[1]
