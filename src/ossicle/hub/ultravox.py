"""The Ultravox layout: a published folder becomes an AudioLM with the same logits.

Knows the keys, names and prompt of the released checkpoints; does not know how a folder is written (`ultravox_export`),
nor runs the code that such folders bring. Each clip is heard as it is alone: the published processor pads the clips of
one prompt to the longest, so that they change each other, and fills the last audio token of a clip over 30 s with what
its encoder makes of padding; here that is zeros, as for any shorter clip.
Source: the released checkpoints (0.4.1: a norm at the end of the bridge, 0.5 on: in its middle) and their processor.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    WhisperModel,
)

from ossicle.audio.lengths import CHUNK_FRAMES
from ossicle.bridge.gated import StackSwiGLU
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import CheckpointError, ConfigError, EncoderError
from ossicle.hub.description import CONFIG, inside
from ossicle.hub.published import BESIDE, config_of, context_of, made_of, tokenizer_of, weights_of, whisper_settings
from ossicle.hub.quiet import quiet
from ossicle.hub.strict import Tensors, check_keys, read_tensors, refuse, weight_files
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import ClipText, clip_marks, template_of

MODEL_TYPE = "ultravox"
AUDIO = "<|audio|>"
TOWER, BRIDGE, LLM = "audio_tower.", "multi_modal_projector.", "language_model."
WHOLE_WHISPER = "model.encoder."
"""What stands before the tower's names in folders that were filled from a whole Whisper."""
MARK = "ossiclemark"


@dataclass(frozen=True)
class Said:
    """What a folder's ``config.json`` says, with the layout's own values where it says nothing."""

    audio_config: dict[str, Any] | None = None
    audio_model_id: str | None = None
    text_config: dict[str, Any] | None = None
    text_model_id: str | None = None
    hidden_size: int = 4096
    stack_factor: int = 8
    projector_act: str = "swiglu"
    projector_ln_mid: bool = False
    num_projector_layers: int | None = None
    audio_latency_block_size: int | None = None


def load_ultravox(folder: str | Path) -> AudioLM:
    """A folder in the Ultravox layout, in float32.

    Args:
        folder: with config, safetensors weights (one file or sharded) and tokenizer. Weights that it does not hold come
            from the checkpoints that it names (``audio_model_id``, ``text_model_id``: a folder or a hub id).

    Returns:
        The model, in evaluation mode; pattern "frozen" if the LLM's weights are those of another checkpoint.

    Raises:
        CheckpointError: no such folder or checkpoint, settings of which no model is made, a weight that is missing or
            left over.
    """
    folder = Path(folder)
    said, tensors = _said(folder), _weights(folder)
    refuse(str(folder), [], [name for name in tensors if not name.startswith((TOWER, BRIDGE, LLM))], [])
    encoder = made_of(folder, lambda: _encoder(said, tensors))
    llm = made_of(folder, lambda: _llm(said, tensors))
    bridge = made_of(folder, lambda: _bridge(said, tensors, encoder.width, llm.get_input_embeddings().weight.shape[1]))
    if (folder / "generation_config.json").is_file():
        llm.generation_config = made_of(folder, lambda: GenerationConfig.from_pretrained(folder))
    tokenizer = tokenizer_of(folder)
    return made_of(
        folder,
        lambda: AudioLM(
            encoder,
            bridge,
            llm,
            tokenizer,
            context=context_of(llm, tokenizer),
            pattern="full" if any(name.startswith(LLM) for name in tensors) else "frozen",
            name=folder.name,
            clip_text=_clip_text(tokenizer),
        ),
    ).eval()


def _said(folder: Path) -> Said:
    try:
        raw = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        said = TypeAdapter(Said).validate_python(raw)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise CheckpointError(f"{CONFIG} of {folder} cannot be used: {faults}", code="bad_format") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{CONFIG} of {folder} cannot be read: is it JSON?", code="bad_format") from error
    for name, value, known in (
        ("projector_act", said.projector_act, ("swiglu",)),
        ("num_projector_layers", said.num_projector_layers, (None, 0)),
        ("audio_latency_block_size", said.audio_latency_block_size, (None,)),
    ):
        if value not in known:
            allowed = " or ".join(json.dumps(one) for one in known)
            raise CheckpointError(f"{folder}: {name} is {value!r}, supported is {allowed}", code="bad_format")
    return said


def _weights(folder: Path) -> Tensors:
    """Every tensor of a folder, from one file or several."""
    names = weight_files(folder)
    return {key: value for name in names for key, value in read_tensors(inside(folder, name)).items()}


def _encoder(said: Said, tensors: Tensors) -> WhisperEncoder:
    """The tower, whose weights in the folder count before those of the checkpoint that it names."""
    source = said.audio_model_id
    if source is None:
        config = AutoConfig.for_model(**{"model_type": "whisper", **(said.audio_config or {})})
    else:
        config = config_of(source)
    settings = replace(whisper_settings(config), chunks=True) if config.model_type == "whisper" else None
    if settings is None or 2 * settings.max_frames != CHUNK_FRAMES:
        raise EncoderError(f"its encoder is no Whisper with {CHUNK_FRAMES // 2} positions")
    encoder = WhisperEncoder(settings)
    want = {TOWER + name: value for name, value in encoder.tower.state_dict().items()}
    own = [name for name in tensors if name.startswith(TOWER)]
    own = [name for name in own if not name.removeprefix(TOWER).removeprefix("model.").startswith(BESIDE)]
    short = {name: TOWER + name.removeprefix(TOWER).removeprefix(WHOLE_WHISPER) for name in own}
    refuse("the encoder", [], [name for name in own if short[name] != name and short[name] in own], [])
    got = {short[name]: tensors[name] for name in own}
    if source is not None and want.keys() - got.keys():
        tower = weights_of(WhisperModel, source, config, may_lack=BESIDE)[0].encoder
        got = {**{TOWER + name: value for name, value in tower.state_dict().items()}, **got}
    check_keys(want, got, "the encoder")
    encoder.tower.load_state_dict({name.removeprefix(TOWER): value for name, value in got.items()})
    return encoder


def _bridge(said: Said, tensors: Tensors, width_in: int, width_out: int) -> StackSwiGLU:
    norm = "none" if said.projector_ln_mid else "rms"
    bridge = StackSwiGLU(width_in, width_out, k=said.stack_factor, hidden=said.hidden_size, output_norm=norm)
    want = bridge_tensors(bridge)
    check_keys(want, {name: value for name, value in tensors.items() if name.startswith(BRIDGE)}, "the bridge")
    for name, weight in want.items():
        weight.data.copy_(tensors[name])
    return bridge


def bridge_tensors(bridge: StackSwiGLU) -> Tensors:
    """A bridge's own weights, under their names on disk."""
    found: dict[str, Any] = {"ln_pre": bridge.norm_in, "linear_1": bridge.inner, "linear_2": bridge.output.linear}
    if bridge.norm_mid is not None:
        found["ln_mid"] = bridge.norm_mid
    if bridge.output.norm is not None:
        found["ln_post"] = bridge.output.norm
    return {f"{BRIDGE}{name}.weight": part.weight for name, part in found.items()}


def _llm(said: Said, tensors: Tensors) -> Any:
    """The LLM, whose weights in the folder count before those of the checkpoint that it names."""
    own = {name.removeprefix(LLM): value for name, value in tensors.items() if name.startswith(LLM)}
    source = said.text_model_id
    if source is not None:
        config = config_of(source)
        theirs = weights_of(AutoModelForCausalLM, source, config)[0]
        if not own:
            return theirs
        own = {**theirs.state_dict(), **own}
    else:
        config = AutoConfig.for_model(**{"model_type": "llama", **(said.text_config or {})})
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(f"no causal LLM is made of a {config.model_type!r}")
    with quiet():
        llm, found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
            None, config=config, state_dict=own, dtype=torch.float32, output_loading_info=True
        )
    missing, over = ([LLM + name for name in sorted(found[f"{which}_keys"])] for which in ("missing", "unexpected"))
    refuse("the LLM", missing, over, [])
    for weight in llm.parameters():
        weight.data = weight.data.clone()  # out of the mapped file into aligned memory, where sums round as before
    return llm


def around(tokenizer: Any) -> tuple[str, str]:
    """What the chat template writes right before and behind the placeholder of a user's clip.

    Raises:
        ConfigError: it drops the placeholder.
    """

    def told(content: str) -> str:
        template = template_of(tokenizer)
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], chat_template=template, tokenize=False
            )
        )

    head, _, tail = told(MARK).partition(MARK)
    before, audio, after = told(AUDIO).removeprefix(head).removesuffix(tail).partition(AUDIO)
    if not audio:
        raise ConfigError(f"its chat template writes no {AUDIO} where a user does")
    return before, after


def _clip_text(tokenizer: Any) -> ClipText:
    """What stands around a clip beside the marks that every prompt of ours writes where the tokenizer knows them."""
    before, after = around(tokenizer)
    begin, end = clip_marks(tokenizer)
    if not (before.endswith(begin) and after.startswith(end)):
        raise ConfigError(f"its tokenizer knows {begin} and {end}, its chat template writes neither around a clip")
    return ClipText(before.removesuffix(begin), after.removeprefix(end))
