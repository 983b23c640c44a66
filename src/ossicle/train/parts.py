"""The parts of a model before training: built from random weights, or taken from a model that is there.

Knows recipes and models; does not know training. The tokenizer of a new LLM writes letter by letter: a small LLM then
learns one way of copying for all words, and spells those that it never saw. Every byte is in its vocabulary, so that
any text can be read and written.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from ossicle.bridge.forms import build_form
from ossicle.encoders.w2v_bert import W2vBertEncoder, W2vBertSizes
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import BridgeError, ConfigError, EncoderError
from ossicle.evaluate.contracts import check_bridge, check_encoder
from ossicle.hub.description import Reference, read_description
from ossicle.hub.folder import find, layout_of, load, refer
from ossicle.hub.own import OWN, build_own
from ossicle.hub.parts import AnyBridge, build_bridge
from ossicle.hub.published import published_encoder, published_llm
from ossicle.models.audio_lm import AudioLM
from ossicle.train.recipe_parts import TAKES, BridgePart, FormPart, LlmPart, Parts
from ossicle.train.recipe_stages import Stage
from ossicle.world.tagging import tokens_of
from ossicle.world.tasks import TASKS
from ossicle.world.telling import LETTERS as SAID

ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIALS = ("<|endoftext|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", *ROLES)
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""One token opens a turn and one closes it: a small LLM that writes letters spends none on words like "assistant"."""
LONGEST = 4096
"""Context of a published LLM where the recipe says none, if it has as many positions."""
TRIALS = 2
"""Batches with which each promise of a part of one's own is tried before training; `check_encoder` tries more."""
POSITION_SCALE, CONVOLUTION_SCALE = 0.1, 2.0
HEADS = 8
"""Attention heads of a new bridge where the recipe says none: its width, the encoder's or ``hidden``, mostly has 64 a
head."""
KEEPS = {"stack_mlp": "duplicate", "conv": "zero", "window_qformer": "mask"}
"""What the tail "pool" of a recipe is called by the kinds that pool nothing."""
BLANK = "\u2581"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-:;()\n"


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that writes letter by letter: lower case, a sign for the blank, digits, punctuation, and every
    byte."""
    tokens = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), BLANK, *LETTERS]
    vocabulary = {token: key for key, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|AUDIO|>", extra_special_tokens=list(SPECIALS)
    )
    fast.chat_template = TEMPLATE
    return fast


def new_llm(part: LlmPart, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """A Qwen2-shaped LLM with random weights and tied embeddings."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=part.width,
        intermediate_size=part.ffn,
        num_hidden_layers=part.layers,
        num_attention_heads=part.heads,
        num_key_value_heads=part.kv_heads,
        max_position_embeddings=part.context,
        attention_dropout=part.dropout,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def new_encoder(settings: WhisperSettings | W2vBertSizes) -> WhisperEncoder | W2vBertEncoder:
    """An encoder with random weights that starts to learn at once.

    As published, the sinusoids of Whisper are ten times as large as what the untrained convolutions give, and the
    first thousands of steps are spent on outgrowing them; here the positions begin small and the convolutions large.
    """
    if isinstance(settings, W2vBertSizes):
        return W2vBertEncoder(settings.config())
    encoder = WhisperEncoder(settings)
    with torch.no_grad():
        encoder.tower.embed_positions.weight.mul_(POSITION_SCALE)
        for conv in (encoder.tower.conv1, encoder.tower.conv2):
            conv.weight.mul_(CONVOLUTION_SCALE)
    return encoder


def new_bridge(part: BridgePart | FormPart, width_in: int, width_out: int) -> AnyBridge:
    """A bridge of a recipe with random weights."""
    if isinstance(part, FormPart):
        return build_form(part.form, width_in, width_out)
    settings: dict[str, Any] = {
        "width_in": width_in,
        "width_out": width_out,
        "k": part.k,
        "output_norm": part.output_norm,
    }
    tail = KEEPS.get(part.kind, part.tail) if part.tail == "pool" else part.tail
    attends = {name: getattr(part, name) for name in TAKES if getattr(part, name) is not None}
    match part.kind:
        case "mean_pool":
            settings |= {"tail": tail, "norm_in": part.norm_in}
        case "stack_mlp" | "conv":
            settings |= {"tail": tail, "hidden": part.hidden}
        case "stack_swiglu" | "matryoshka":
            settings |= {"hidden": part.hidden}
        case "attention_pool":
            settings |= {"norm_in": part.norm_in, "heads": HEADS, **attends}
        case "qformer":
            settings |= {"hidden": part.hidden, "heads": HEADS, **attends}
            del settings["k"]
        case "window_qformer":
            settings |= {"tail": tail, "hidden": part.hidden, "heads": HEADS, **attends}
        case "ctc":
            settings |= {"letters": len(SAID), "mode": part.mode, "keep_blanks": part.keep_blanks}
            settings |= {"own_weight": part.own_weight}
        case "cif":
            settings |= {"own_weight": part.own_weight}
    return build_bridge(part.kind, settings)


def _encoder(parts: Parts) -> Any:
    """The encoder that a recipe names, None if it names none.

    Raises:
        EncoderError: one of one's own that breaks a promise.
    """
    if "encoder" in parts.own:
        source = parts.own["encoder"]
        encoder = build_own(source, parts.encoder_config)
        found = check_encoder(encoder, examples=TRIALS)
        if not found.kept:
            raise EncoderError(f"{source} does not keep what an encoder promises: {'; '.join(found.faults)}")
        return encoder
    if parts.encoder_from is not None:
        return published_encoder(parts.encoder_from)
    return None if parts.encoder is None else new_encoder(parts.encoder)


def _bridge(parts: Parts, encoder: Any, width_out: int) -> Any:
    """The bridge that a recipe names, None if it names none.

    Raises:
        BridgeError: one of one's own that breaks a promise.
    """
    if "bridge" not in parts.own:
        return None if parts.bridge is None else new_bridge(parts.bridge, encoder.width, width_out)
    source = parts.own["bridge"]
    widths = {"width_in": encoder.width, "width_out": width_out}
    bridge = build_own(source, {**widths, **(parts.bridge_config or {})})
    found = check_bridge(bridge, rate_hz=encoder.rate_hz, examples=TRIALS)
    if not found.kept:
        raise BridgeError(f"{source} does not keep what a bridge promises: {'; '.join(found.faults)}")
    return bridge


def build(parts: Parts, *, name: str, seed: int, stages: tuple[Stage, ...] = ()) -> AudioLM:
    """The model of a recipe before its first step.

    Args:
        parts: what it is made of; with ``base`` a model that is there, in which the encoder may be a new or a
            published one and the bridge new; parts of its maker's own stay in it, and must be named.
        name: what messages call it.
        seed: of the random weights.
        stages: those of the recipe; the tags with which they ask become special tokens, and rows of the embeddings.

    Raises:
        ConfigError: neither a base nor all three parts, or a new encoder without a new bridge; a part of one's own that
            cannot be built, or breaks a promise (EncoderError, BridgeError); tags that no stage learns.
        CheckpointError: a published part that cannot be read.
        DependencyError: an LLM in 4 bits without a GPU or without bitsandbytes.
    """
    torch.manual_seed(seed)
    if parts.base is not None:
        kept = base_owns(parts)
        base = load(parts.base, device="cpu", dtype="float32", parts=kept)
        model = _changed(base, replace(parts, **dict.fromkeys(_named(kept))), name)
        add_tags(model.tokenizer, model.llm, stages)
        return model
    encoder = _encoder(parts)
    bridged = parts.bridge is not None or parts.bridge_from is not None
    if encoder is None or not bridged or (parts.llm is None and parts.llm_from is None):
        raise ConfigError(
            "a recipe without a base must name encoder (or encoder_from), bridge (or bridge_from) and llm (or llm_from)"
        )
    if parts.llm is not None:
        tokenizer = letter_tokenizer()
        add_tags(tokenizer, None, stages)
        bridge = _bridge(parts, encoder, parts.llm.width)
        llm: Any = new_llm(parts.llm, tokenizer)
        context = parts.llm.context
    else:
        llm, tokenizer = published_llm(str(parts.llm_from), bits=parts.llm_bits)
        add_tags(tokenizer, llm, stages)
        bridge = _bridge(parts, encoder, llm.get_input_embeddings().weight.shape[1])
        context = parts.context or min(getattr(llm.config, "max_position_embeddings", LONGEST), LONGEST)
    pattern = "full" if parts.llm_bits is None else "frozen"
    return AudioLM(encoder, bridge, llm, tokenizer, context=context, pattern=pattern, name=name)


def base_owns(parts: Parts) -> dict[str, str]:
    """The parts of its maker's own that a base has: "encoder" and "bridge" to ``FILE.py:CLASS``, as the recipe names
    them. They stay in it with their weights.

    Raises:
        ConfigError: the recipe does not name one, or gives it other arguments.
    """
    folder = None if parts.base is None else find(parts.base)
    if folder is None or layout_of(folder) is not None:
        return {}
    about, found = read_description(folder), {}
    for name, said in (("encoder", about.encoder), ("bridge", about.bridge)):
        if said.kind != OWN:
            continue
        what = f"{said.config.get('file')}:{said.config.get('name')}"
        if name not in parts.own:
            raise ConfigError(
                f"the {name} of {parts.base} is a class of its maker's own, {what}, and a model folder never brings "
                f"code: name its file, parts.{name}_from: {what}; it then stays as it is, another cannot take its place"
            )
        config = parts.encoder_config if name == "encoder" else parts.bridge_config
        if config not in (None, said.config.get("arguments")):
            raise ConfigError(f"the {name} of {parts.base} stays as it is: leave out parts.{name}_config")
        found[name] = parts.own[name]
    return found


def _named(kept: Iterable[str]) -> Iterator[str]:
    """Where a recipe names parts."""
    for name in kept:
        yield from (f"{name}_from", f"{name}_config")


def add_tags(tokenizer: Any, llm: Any, stages: tuple[Stage, ...]) -> None:
    """Make the tags with which stages ask special tokens, in place, and give the LLM rows for them.

    Args:
        tokenizer: gets what it lacks.
        llm: gets rows where it has too few; None for one that is still to be made.
        stages: in their order.

    Raises:
        ConfigError: a stage asks with tags that are new, and neither it nor one before it trains the LLM with them.
    """
    learned = set(tokenizer.get_added_vocab())
    new: list[str] = []
    for stage in stages:
        if stage.prompts == "plain":
            continue
        wanted = tokens_of(tuple(key.partition(":")[0] for key in stage.data.tasks or TASKS))
        lacking = [one for one in wanted if one not in learned]
        if lacking and "llm" not in stage.trains:
            raise ConfigError(
                f"stage {stage.name} asks by tags such as {lacking[0]}, which are new rows of the LLM's embeddings: a "
                "frozen LLM never learns them, so this stage, or one before it with prompts: tags, must train llm"
            )
        learned |= set(lacking)
        new += lacking
    tokenizer.add_tokens([AddedToken(one, special=True, normalized=False) for one in new], special_tokens=True)
    if llm is not None and len(tokenizer) > llm.get_input_embeddings().weight.shape[0]:
        llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)


def llm_reference(parts: Parts) -> Reference | None:
    """Where the weights of an LLM lie that a model's folder cannot hold, because it is held in few bits."""
    if parts.llm_bits is None or parts.llm_from is None:
        return None
    return refer(parts.llm_from)


def _changed(model: AudioLM, parts: Parts, name: str) -> AudioLM:
    """A model that is there with the parts that a recipe changes."""
    if parts.llm is not None or parts.llm_from is not None:
        raise ConfigError("a recipe with a base may name another encoder and a new bridge; its LLM is the base's")
    another = parts.encoder is not None or parts.encoder_from is not None
    if another and parts.bridge is None:
        raise ConfigError("another encoder needs a new bridge: name parts.bridge beside encoder or encoder_from")
    if parts.encoder is not None:
        model.encoder = new_encoder(parts.encoder)
    if parts.encoder_from is not None:
        model.encoder = _encoder(parts)
    bridge = _bridge(parts, model.encoder, model.table.weight.shape[1])
    model.bridge = model.bridge if bridge is None else bridge
    model.name = name
    return model
