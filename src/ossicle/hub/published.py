"""Published encoders and LLMs as parts: folders and hub ids in the layouts of `transformers`.

Knows which published layout becomes which part; does not know how parts are joined. What stands in a checkpoint beside
the encoder (decoders, output heads, quantisers) is left out by name; a weight of the encoder that is missing is an
error, because a random layer loads without a sound.
"""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Model,
    WhisperModel,
)
from transformers.utils import cached_file

from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import CheckpointError, ConfigError, DependencyError, EncoderError, RequestError
from ossicle.hub.quiet import quiet

ENCODERS = ("whisper", "wav2vec2", "wav2vec2-bert")
"""``model_type`` of the published configs that become an encoder."""
LOCAL_CODE: dict[str, Any] = {"trust_remote_code": False}
"""A folder that brings code of its own never runs it, nor asks on the terminal."""
BESIDE = ("decoder.", "proj_out.", "lm_head.", "quantizer.", "project_q.", "project_hid.", "classifier.", "projector.")
"""What a checkpoint may hold besides its encoder."""

Kind = TypeVar("Kind", WhisperEncoder, Wav2Vec2Encoder, W2vBertEncoder)
Made = TypeVar("Made")
PROBE = "what is said?"
"""A text that no tokenizer turns into nothing."""
FAULTS = (
    *(OSError, TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, ArithmeticError),
    *(TemplateError, StrictDataclassError),
)
"""What torch, transformers and jinja raise for settings of which nothing can be made."""


def published_encoder(source: str | Path) -> WhisperEncoder | Wav2Vec2Encoder | W2vBertEncoder:
    """The encoder of a published checkpoint.

    Args:
        source: a folder, or a hub id that is on this machine or can be fetched.

    Returns:
        The encoder with its weights, in float32: a Whisper encoder pads to 30 s as published, wav2vec 2.0 and w2v-BERT
        hear every sample (their tails are padded instead of dropped).

    Raises:
        CheckpointError: no such checkpoint, settings of which no encoder is made, weights that are damaged or missing.
        ConfigError: a checkpoint of another kind.
    """
    config = config_of(source)
    match config.model_type:
        case "whisper":
            made = made_of(source, lambda: WhisperEncoder(whisper_settings(config, window=True)))
            return _filled(made, weights_of(WhisperModel, source, config, may_lack=BESIDE)[0].encoder)
        case "wav2vec2":
            normalize = _normalizes(source)
            heard = made_of(source, lambda: Wav2Vec2Encoder(_said(config), normalize=normalize))
            return _filled(heard, weights_of(Wav2Vec2Model, source, config, may_lack=BESIDE)[0])
        case "wav2vec2-bert":
            bert = made_of(source, lambda: W2vBertEncoder(_said(config)))
            return _filled(bert, weights_of(Wav2Vec2BertModel, source, config, may_lack=BESIDE)[0])
    raise ConfigError(
        f"{source} is a {config.model_type!r}, from which no encoder is made: supported are {', '.join(ENCODERS)}"
    )


def published_llm(source: str | Path, *, bits: int | None = None) -> tuple[Any, Any]:
    """A published LLM and its tokenizer.

    Args:
        source: as `published_encoder`.
        bits: None for float32; 4 for weights that can be read but not trained, on a GPU (see `four_bits`).

    Raises:
        CheckpointError: as `published_encoder`.
        DependencyError: 4 bits, and there is no GPU or no bitsandbytes.
    """
    few = None if bits is None else four_bits()
    return weights_of(AutoModelForCausalLM, source, config_of(source), few=few)[0], tokenizer_of(source)


def four_bits() -> BitsAndBytesConfig:
    """How an LLM is held in 4 bits: normal floats, scales of 8 bits, products in bfloat16 (Dettmers et al. 2023).

    Raises:
        DependencyError: there is no GPU with CUDA, or no bitsandbytes.
    """
    lacking = [] if torch.cuda.is_available() else ["a GPU with CUDA"]
    if importlib.util.find_spec("bitsandbytes") is None:
        lacking.append("bitsandbytes (pip install 'ossicle[quant]')")
    if lacking:
        raise DependencyError(f"an LLM in 4 bits needs {' and '.join(lacking)}: not found here")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def whisper_settings(config: Any, *, final_norm: bool = True, window: bool = False) -> WhisperSettings:
    """The sizes that a published config of a Whisper-shaped encoder says.

    Raises:
        EncoderError: another activation than that of Whisper.
    """
    if config.activation_function != "gelu":
        raise EncoderError(f"the activation is {config.activation_function!r}, that of a Whisper encoder is 'gelu'")
    return WhisperSettings(
        width=config.d_model,
        layers=config.encoder_layers,
        heads=config.encoder_attention_heads,
        ffn=config.encoder_ffn_dim,
        n_mels=config.num_mel_bins,
        max_frames=config.max_source_positions,
        final_norm=final_norm,
        window=window,
    )


def tokenizer_of(source: str | Path) -> Any:
    """A published tokenizer.

    Raises:
        CheckpointError: it cannot be read, or has no vocabulary.
    """
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, **LOCAL_CODE)
            empty = not tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    except Exception as error:  # `tokenizers` raises nothing more special
        raise CheckpointError(f"the tokenizer of {source} cannot be read: {error}", code="bad_format") from error
    if empty:  # where there is no file, `transformers` makes one of nothing
        raise CheckpointError(f"{source} holds no tokenizer, or one without a word: is tokenizer.json there?")
    return tokenizer


def config_of(source: str | Path) -> Any:
    """A published config.

    Raises:
        CheckpointError: there is none that `transformers` can read.
    """
    try:
        with quiet():
            return AutoConfig.from_pretrained(source, **LOCAL_CODE)
    except OSError as error:
        raise CheckpointError(f"{source} has no config that transformers can read: is it there?") from error
    except FAULTS as error:
        raise CheckpointError(
            f"{source} has a config that transformers cannot use: {error}", code="bad_format"
        ) from error


def _said(config: Any) -> Mapping[str, Any]:
    """What a config says that is not the class's own value, without what no encoder needs."""
    said: dict[str, Any] = json.loads(json.dumps(config.to_diff_dict()))
    for key in ("architectures", "transformers_version", "dtype", "torch_dtype", "model_type", "_name_or_path"):
        said.pop(key, None)
    return said


def _normalizes(source: str | Path) -> bool:
    """What a checkpoint's own extractor does to a waveform; without a file of its settings, the usual."""
    name = "preprocessor_config.json"
    path = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    if path is None:
        return True
    try:
        return bool(json.loads(Path(path).read_text(encoding="utf-8")).get("do_normalize", True))
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{name} of {source} cannot be read: is it a JSON object?", code="bad_format") from error


def weights_of(
    kind: Any,
    source: str | Path,
    config: Any,
    *,
    may_lack: tuple[str, ...] = (),
    few: BitsAndBytesConfig | None = None,
) -> tuple[Any, frozenset[str]]:
    """A published model in float32 (or in ``few`` bits, on the first GPU), with every weight that is not beside the
    point; and the weights that it lacks.

    Raises:
        CheckpointError: weights that are not there, damaged, of another shape, or missing; those that begin with one of
            ``may_lack`` may be.
    """
    held: dict[str, Any] = {"dtype": torch.float32}
    if few is not None:
        held = {"dtype": torch.bfloat16, "quantization_config": few, "device_map": {"": 0}}
    try:
        with quiet():
            model, found = kind.from_pretrained(
                source,
                config=config,
                **held,
                use_safetensors=True,
                **LOCAL_CODE,
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise CheckpointError(
            f"the weights of {source} are damaged: they are not safetensors", code="bad_format"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{source} has no safetensors weights that can be read: {error}") from error
    except RuntimeError as error:
        raise CheckpointError(
            f"{source}: weights of another shape than its config says", code="key_mismatch"
        ) from error
    except FAULTS as error:
        raise _unmade(source, error) from error
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(may_lack))
    if missing:
        raise CheckpointError(
            f"{source} lacks {len(missing)} weights, such as {', '.join(missing[:4])}", code="key_mismatch"
        )
    for weight in model.parameters() if few is None else ():
        weight.data = weight.data.clone()  # out of the mapped file into aligned memory, where sums round as before
    return model, frozenset(found["missing_keys"])


def made_of(source: str | Path, make: Callable[[], Made]) -> Made:
    """What is made of a checkpoint's settings.

    Raises:
        CheckpointError: nothing can be.
    """
    try:
        return make()
    except (ConfigError, RequestError, *FAULTS) as error:
        raise _unmade(source, error) from error


def _unmade(source: str | Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{source}: no model can be made as config.json says: {error}", code="bad_format")


def context_of(llm: Any, tokenizer: Any) -> int:
    """Tokens that a published model reads: its positions, or fewer where its tokenizer says so."""
    most = int(tokenizer.model_max_length)
    return min(getattr(llm.config, "max_position_embeddings", most), most)


def _filled(encoder: Kind, published: nn.Module) -> Kind:
    """Copy a published tower's weights into ours, strictly."""
    encoder.tower.load_state_dict(published.state_dict())
    return encoder.eval()
