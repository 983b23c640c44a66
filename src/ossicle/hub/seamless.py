"""Folders in the published SeamlessM4T-v2 layout: read strictly, they become a Translator with the same answers.

Knows the names of the released weights, the tables of its generation settings and its tokenizer; does not know how a
translator computes. What a folder was published without (a speech encoder, speech output) its translator refuses to do.
Source: Barrault et al. 2023 (Seamless); `transformers`' SeamlessM4Tv2 classes.
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import SeamlessM4TTokenizer
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2CodeHifiGan,
    SeamlessM4Tv2SinusoidalPositionalEmbedding,
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)

from ossicle.errors import CheckpointError, DependencyError
from ossicle.hub.description import CONFIG, inside
from ossicle.hub.licence import licence_of
from ossicle.hub.published import LOCAL_CODE, made_of
from ossicle.hub.quiet import quiet
from ossicle.hub.strict import Tensors, check_keys, read_tensors, refuse, weight_files
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Translator
from ossicle.translate.unit_decoder import UnitDecoder
from ossicle.translate.vocoder import HifiGan

MODEL_TYPE = "seamless_m4t_v2"
FIRST_VERSION = "seamless_m4t"
GENERATION = "generation_config.json"
EXTRACTOR = "preprocessor_config.json"
TOKENIZER, PIECES = "tokenizer.json", "sentencepiece.bpe.model"
LICENCES = {"facebook/seamless-m4t-v2-large": "CC-BY-NC 4.0"}
"""Of the release, as its publisher states it."""
RENAMED = {"unit_decoder.t2u.": "t2u_model.", "vocoder.vocoder.": "vocoder."}
"""What our names begin with, and what the published ones do; the others are the same."""
TIED = {
    "lm_head.weight": "shared.weight",
    "text_encoder.embed_tokens.weight": "shared.weight",
    "text_decoder.embed_tokens.weight": "shared.weight",
    "t2u_model.lm_head.weight": "t2u_model.model.decoder.embed_tokens.weight",
}
"""Published names of one weight: a folder holds at least one of them."""
NOT_SIZES = ("architectures", "transformers_version", "dtype", "torch_dtype", "model_type", "_name_or_path")


@dataclass(frozen=True)
class Does:
    """What a published class can do."""

    hears: bool
    reads: bool
    speaks: bool


CLASSES = {
    "SeamlessM4Tv2Model": Does(hears=True, reads=True, speaks=True),
    "SeamlessM4Tv2ForTextToText": Does(hears=False, reads=True, speaks=False),
    "SeamlessM4Tv2ForSpeechToText": Does(hears=True, reads=False, speaks=False),
    "SeamlessM4Tv2ForTextToSpeech": Does(hears=False, reads=True, speaks=True),
    "SeamlessM4Tv2ForSpeechToSpeech": Does(hears=True, reads=False, speaks=True),
}


def load_seamless(
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    speakers: Mapping[str, int] | None = None,
) -> Translator:
    """A folder in the SeamlessM4T-v2 layout. The licence of its weights is told on standard error.

    Args:
        folder: with config, generation settings, safetensors weights (one file or sharded) and tokenizer.
        device, dtype: of the weights.
        attention: "sdpa" or "eager".
        speakers: names of speakers with their numbers; a language's name stands for its first speaker.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: a folder of another kind, settings of which no model is made, a weight that is missing, left
            over, of another shape, or not tied as it is here.
        DependencyError: the only tokenizer is a SentencePiece model, and that package is not installed.
    """
    folder = Path(folder)
    said = _json(folder / CONFIG)
    does = _class_of(folder, said)
    settings = {key: value for key, value in said.items() if key not in NOT_SIZES}
    told = _json(folder / GENERATION)
    _check_features(folder, settings)
    text = _text(folder, settings, told)

    def make() -> Translator:
        with torch.device("meta"):
            model = Translator(
                {**settings, "attn_implementation": attention},
                text,
                tail="drop",
                hears=does.hears,
                reads=does.reads,
                name=folder.name,
            )
            if does.speaks:
                t2u = SeamlessM4Tv2TextToUnitForConditionalGeneration(model.settings)
                model.unit_decoder = UnitDecoder(t2u, letters=_table(told, "char_to_id", int))
                voices = _table(told, "vocoder_lang_code_to_id", int)
                model.vocoder = HifiGan(SeamlessM4Tv2CodeHifiGan(model.settings), voices, speakers=speakers)
        return model

    model = made_of(folder, make)
    _fill(model, _weights(folder), folder, device, dtype)
    licence = licence_of(folder, origin=said.get("_name_or_path"), published=LICENCES)
    print(f"{folder.name}: licence of the weights: {licence}", file=sys.stderr)
    return model.eval()


def is_seamless(folder: Path) -> bool:
    """Whether a folder calls itself one of SeamlessM4T, of either version."""
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("model_type") in (MODEL_TYPE, FIRST_VERSION)


def published_names(model: Translator) -> dict[str, str]:
    """The published name of each of a translator's weights, to ours."""
    found = {}
    for name in model.state_dict():
        ours = next((one for one in RENAMED if name.startswith(one)), "")
        found[RENAMED.get(ours, "") + name.removeprefix(ours)] = name
    return found


def _class_of(folder: Path, said: Mapping[str, Any]) -> Does:
    kind, names = said.get("model_type"), said.get("architectures") or ["SeamlessM4Tv2Model"]
    if kind == FIRST_VERSION:
        raise CheckpointError(
            f"{folder} is SeamlessM4T of the first version, whose units are written one after the other: read is "
            f"version 2, model_type {MODEL_TYPE!r}",
            code="bad_format",
        )
    if kind != MODEL_TYPE:
        raise CheckpointError(f"{folder} is a {kind!r}: read is model_type {MODEL_TYPE!r}", code="bad_format")
    if names[0] not in CLASSES:
        raise CheckpointError(f"{folder} is a {names[0]}: read are {', '.join(CLASSES)}", code="bad_format")
    return CLASSES[names[0]]


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: is it there?") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON", code="bad_format") from error
    if not isinstance(said, dict):
        raise CheckpointError(f"{path} is no JSON object", code="bad_format")
    return said


def _table(told: Mapping[str, Any], key: str, kind: type) -> dict[str, Any]:
    """A table of the generation settings."""
    table = told.get(key)
    if not isinstance(table, dict) or not table or not all(type(one) is kind for one in table.values()):
        raise CheckpointError(f"{GENERATION} has no table {key} of names to {kind.__name__}", code="bad_format")
    return table


def _check_features(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse features of another kind than those that are made here."""
    if not (folder / EXTRACTOR).is_file():
        return
    said = _json(folder / EXTRACTOR)
    bins, stride, rate = (said.get(key) for key in ("num_mel_bins", "stride", "sampling_rate"))
    width = settings.get("feature_projection_input_dim", 160)
    if (stride, rate) != (2, 16_000) or bins != width // 2:
        raise CheckpointError(
            f"{EXTRACTOR} of {folder}: {bins} bins, {stride} frames stacked, {rate} Hz; made are {width // 2} bins, 2 "
            "frames stacked, 16000 Hz",
            code="bad_format",
        )


def _text(folder: Path, settings: Mapping[str, Any], told: Mapping[str, Any]) -> TextTokens:
    """Tokens and languages, checked against each other."""
    languages = _table(told, "text_decoder_lang_to_code_id", int)
    names = _table(told, "id_to_text", str) if "id_to_text" in told else None
    tokenizer = _tokenizer(folder)
    pad, bos, eos = (settings.get(f"{key}_token_id", usual) for key, usual in (("pad", 0), ("bos", 2), ("eos", 3)))
    start = settings.get("decoder_start_token_id", 3)
    if start != eos:
        raise CheckpointError(f"{folder}: decoder_start_token_id is {start}, read is that of the end, {eos}")
    wrong = {name: i for name, i in languages.items() if tokenizer.token_to_id(f"__{name}__") not in (None, i)}
    if wrong:
        raise CheckpointError(f"{folder}: the tokenizer has other ids for the languages {wrong}", code="bad_format")
    try:
        by_id = None if names is None else {int(i): piece for i, piece in names.items()}
    except ValueError as error:
        raise CheckpointError(f"{GENERATION}: id_to_text has a key that is no id", code="bad_format") from error
    return TextTokens(tokenizer, languages, pad=pad, bos=bos, eos=eos, names=by_id)


def _tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, from its own file or from a SentencePiece model."""
    lacks_package = importlib.util.find_spec("sentencepiece") is None
    if not (folder / TOKENIZER).is_file():
        if not (folder / PIECES).is_file():
            raise CheckpointError(f"{folder} holds no tokenizer: looked for {TOKENIZER} and {PIECES}")
        if lacks_package:  # `transformers` would go on, with another kind of tokenizer
            raise DependencyError(
                f"{folder} brings its tokenizer as {PIECES} only, which needs sentencepiece (pip install sentencepiece)"
            )
    try:
        if (folder / TOKENIZER).is_file():
            return Tokenizer.from_file(str(folder / TOKENIZER))
        with quiet():
            made: Tokenizer = SeamlessM4TTokenizer.from_pretrained(folder, **LOCAL_CODE).backend_tokenizer
            return made
    except Exception as error:  # `tokenizers` raises nothing more special
        raise CheckpointError(f"the tokenizer of {folder} cannot be read: {error}", code="bad_format") from error


def _weights(folder: Path) -> Tensors:
    """Every weight of a folder under one of its names: of several that are tied, the one that `TIED` names.

    Raises:
        CheckpointError: weights that are tied here and not the same there.
    """
    tensors: Tensors = {}
    for name in weight_files(folder):
        tensors.update(read_tensors(inside(folder, name)))
    apart = []
    for alias, name in TIED.items():
        if alias in tensors and not torch.equal(tensors[alias], tensors.setdefault(name, tensors[alias])):
            apart.append(f"{alias} and {name}")
        tensors.pop(alias, None)
    if apart:
        raise CheckpointError(f"{folder}: one weight here, two there: {', '.join(apart)}", code="key_mismatch")
    return tensors


def _fill(model: Translator, got: Tensors, folder: Path, device: torch.device | str, dtype: torch.dtype) -> None:
    """Give a model without weights its own, and the tables that are computed."""
    names, empty = published_names(model), model.state_dict()
    check_keys({name: empty[ours] for name, ours in names.items() if name not in TIED}, got, str(folder))
    whole = [name for name, value in got.items() if not value.is_floating_point()]
    refuse(str(folder), [], whole, [])
    filled = {
        names[name]: nn.Parameter(value.to(device=device, dtype=dtype, copy=True), requires_grad=True)
        for name, value in got.items()
    }
    filled |= {names[alias]: filled[names[name]] for alias, name in TIED.items() if alias in names}
    model.load_state_dict(filled, assign=True)
    for part in model.modules():
        if isinstance(part, SeamlessM4Tv2SinusoidalPositionalEmbedding):
            table = part.get_embedding(part.num_positions + part.offset, part.embedding_dim, part.padding_idx)
            part.weights = nn.Buffer(table.to(device=device, dtype=dtype), persistent=False)
    assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))
