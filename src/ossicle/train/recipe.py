"""A recipe: the parts of a model and the stages that train it, read from YAML and checked before anything loads.

Knows names and numbers; does not know how anything is trained. Unknown keys are refused with the place where they
stand. A recipe is one file without inheritance; `--set stage.key=value` changes single values and is recorded with
the result.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from ossicle.encoders.w2v_bert import W2vBertSizes
from ossicle.encoders.whisper import WhisperSettings
from ossicle.errors import ConfigError, FetchError
from ossicle.hub.own import is_own
from ossicle.train.pretraining import PretrainSettings
from ossicle.train.vocoding import Vocoding
from ossicle.translate.sizes import TranslatorSizes
from ossicle.world.parts import Voice

NAME = re.compile(r"[\w-]+")
TRANSLATOR_OBJECTIVES = ("pretrain", "recognise", "read", "interpret", "align", "utter", "vocode")
SPEAKS = {"align": "aligner", "utter": "unit_decoder", "vocode": "vocoder"}
"""The one part that each of these objectives trains."""
TRANSLATOR_PARTS = ("speech_encoder", "text_encoder", "text_decoder", "aligner", "unit_decoder", "vocoder")
Shape = TypeVar("Shape")
MELS = (80, 128)
FORMS = {None: "(whisper)", "w2v_bert": "(w2v_bert)"}
"""Names under which pydantic tells the forms of ``parts.encoder`` apart, by their kind."""


READS = {"ctc": ("mode", "keep_blanks", "own_weight"), "cif": ("own_weight",), "merging": (), "matryoshka": ("hidden",)}
"""What bridges with more than a run's settings read beside k and output_norm."""
READ_BY_SOME = ("mode", "keep_blanks", "own_weight")


def _form(said: Any) -> str | None:
    return FORMS.get(said.get("kind") if isinstance(said, dict) else getattr(said, "kind", None))


NewEncoder = Annotated[
    Annotated[WhisperSettings, Tag(FORMS[None])] | Annotated[W2vBertSizes, Tag(FORMS["w2v_bert"])],
    Discriminator(
        _form,
        custom_error_type="encoder_kind",
        custom_error_message="the kind of a new encoder is w2v_bert; without a kind it is a Whisper encoder",
    ),
]


@dataclass(frozen=True)
class BridgePart:
    """Which bridge, and how many frames it makes one token of.

    A ``tail`` of "pool" keeps the last frames in the way that the kind has: repeated, beside zeros, or read alone.
    ``queries`` (tokens of a window or a clip), ``layers`` and ``heads`` (8 by default) are of the kinds that attend.
    ``ctc`` has the frames per token only to be expected, and finds tokens by its ``mode``; ``matryoshka`` serves other
    rates too. ``own_weight`` is that of what ``ctc`` and ``cif`` learn beside the answers.
    """

    kind: Literal[
        "mean_pool",
        "stack_mlp",
        "stack_swiglu",
        "conv",
        "attention_pool",
        "qformer",
        "window_qformer",
        "ctc",
        "cif",
        "merging",
        "matryoshka",
    ] = "mean_pool"
    k: int = 2
    tail: Literal["pool", "duplicate", "drop", "zero"] = "pool"
    hidden: int = 512
    norm_in: bool = True
    output_norm: Literal["none", "rms"] = "none"
    queries: int | None = None
    layers: int | None = None
    heads: int | None = None
    mode: Literal["runs", "drop"] = "runs"
    keep_blanks: bool = False
    own_weight: float = 1.0


@dataclass(frozen=True)
class FormPart:
    """A published bridge by its name, with all its numbers (see `ossicle.bridge.forms`)."""

    form: Literal["qwen_audio", "slam", "ultravox", "voxtral", "salmonn", "granite"]


TAKES = {
    "queries": ("attention_pool", "qformer", "window_qformer"),
    "layers": ("qformer", "window_qformer"),
    "heads": ("attention_pool", "qformer", "window_qformer"),
}
"""Which kinds of bridge an option is of; the other options are of all, or have no effect."""
TAILLESS = ("attention_pool", "qformer")
BY_KIND, BY_FORM = "(kind)", "(form)"
"""Names under which pydantic tells the two ways to name a bridge apart."""


def _way(said: Any) -> str:
    formed = "form" in said if isinstance(said, dict) else isinstance(said, FormPart)
    return BY_FORM if formed else BY_KIND


NewBridge = Annotated[
    Annotated[BridgePart, Tag(BY_KIND)] | Annotated[FormPart, Tag(BY_FORM)],
    Discriminator(_way),
]


@dataclass(frozen=True)
class LlmPart:
    """Sizes of a Qwen2-shaped LLM that starts from random weights."""

    width: int = 192
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 512
    context: int = 640
    dropout: float = 0.0


@dataclass(frozen=True)
class NewSpeaker:
    """One more speaker for a base that speaks: a name, the language that is the speaker's own, and the voice of the
    world who says so many ``sentences`` to learn from."""

    name: str
    language: str
    voice: Voice
    sentences: int = 200


@dataclass(frozen=True)
class Parts:
    """What the model is made of.

    ``base`` (a model folder or a shipped name) replaces all that is not said; a part of its maker's own stays in it,
    and ``encoder_from`` or ``bridge_from`` names its file. ``encoder`` and ``llm`` are sizes of new parts with random
    weights; ``encoder_from`` and ``llm_from`` name published ones, a folder or a hub id, and
    ``context`` the most tokens of prompt and answer for such an LLM (by default all its positions, at most 4,096).
    ``llm_bits`` of 4 holds it in 4 bits on a GPU: it stays frozen, or gets a LoRA in the last stage that is not merged,
    and the model's folder refers to its weights.

    A part of one's own is a class in a file, ``encoder_from`` or ``bridge_from`` as ``FILE.py:CLASS``; it is built with
    the arguments ``encoder_config`` or ``bridge_config``, a bridge also with ``width_in`` and ``width_out``.

    ``translator`` is sizes of a new translator, which is a model by itself and takes no other part; ``speaker`` is one
    more for the vocoder of a translator that is the base.
    """

    base: str | None = None
    encoder: NewEncoder | None = None
    encoder_from: str | None = None
    bridge: NewBridge | None = None
    llm: LlmPart | None = None
    llm_from: str | None = None
    context: int | None = None
    llm_bits: Literal[4] | None = None
    encoder_config: dict[str, Any] | None = None
    bridge_from: str | None = None
    bridge_config: dict[str, Any] | None = None
    translator: TranslatorSizes | None = None
    speaker: NewSpeaker | None = None

    @property
    def own(self) -> dict[str, str]:
        """The parts of one's own: "encoder" and "bridge" to ``FILE.py:CLASS``."""
        named = {"encoder": self.encoder_from, "bridge": self.bridge_from}
        return {key: one for key, one in named.items() if one is not None and is_own(one)}


@dataclass(frozen=True)
class Data:
    """Where a stage's examples come from: the world, made as it goes, a manifest, or a folder ``kept`` of clips with
    their frames, as `ossicle sweep` makes it.

    ``clean`` takes noise, rooms and equalisers out of the world's scenes. ``cache`` keeps what a frozen encoder makes
    of a manifest's clips, so that each is heard once: true in the run's folder, else in the folder that it names, up
    to ``cache_gb`` (10^9 bytes). ``also_read`` sentences are read, and not heard, for each that a translator hears.
    """

    source: Literal["world", "manifest", "kept"] = "world"
    split: Literal["train", "validation"] = "train"
    tasks: dict[str, float] | None = None
    clean: bool = False
    manifest: str | None = None
    pool_items: int = 192
    batch_s: float = 64.0
    max_clip_s: float = 16.0
    workers: int = 1
    cache: bool | str = True
    cache_gb: float = 20.0
    kept: str | None = None
    also_read: int = 0


@dataclass(frozen=True)
class Budget:
    """How long a stage runs: hours of audio, or the ``share`` of the minutes that the command line gives."""

    audio_hours: float
    share: float


@dataclass(frozen=True)
class Optimizer:
    """AdamW with a warm-up, a share ``hold`` of the stage at the peak rate, and a cosine to ``final`` of it.

    With ``muon`` the hidden matrices move orthogonally (see `ossicle.train.muon`), at the same rate. A step takes the
    gradients of ``accumulate`` batches; on a processor they are computed side by side.
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.03
    hold: float = 0.0
    final: float = 0.02
    clip_norm: float = 1.0
    accumulate: int = 1
    beta2: float = 0.98
    muon: bool = False


@dataclass(frozen=True)
class Gate:
    """What a stage must show before the next begins: the mean loss of its last steps at most ``loss``."""

    loss: float | None = None


TrainedPart = Literal[
    "encoder",
    "bridge",
    "llm",
    "lora",
    "speech_encoder",
    "text_encoder",
    "text_decoder",
    "aligner",
    "unit_decoder",
    "vocoder",
]


@dataclass(frozen=True)
class Stage:
    """One training phase.

    ``lora_targets`` is a regular expression for the ends of the names of the LLM's linear layers that get a LoRA (all
    but the head by default). With ``checkpointing`` the layers of the LLM, and of the encoder if it is trained, are
    computed again for their gradients instead of being kept: less memory, more time.
    ``prompts`` of "tags" asks the world's tasks by hierarchical tags (`ossicle.world.tagging`) instead of in words.
    ``vocoding`` is for a stage that vocodes, ``pretraining`` for one that pretrains.
    """

    name: str
    objective: Literal[
        "hear", "tell", "answer", "pretrain", "recognise", "read", "interpret", "align", "utter", "vocode"
    ]
    trains: tuple[TrainedPart, ...]
    budget: Budget
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)
    gate: Gate = field(default_factory=Gate)
    encoder_lr: float | None = None
    hear_weight: float = 0.0
    lora_rank: int = 16
    lora_targets: str | None = None
    checkpointing: bool = False
    prompts: Literal["plain", "tags"] = "plain"
    vocoding: Vocoding | None = None
    pretraining: PretrainSettings | None = None


@dataclass(frozen=True)
class Recipe:
    """A model's parts and the stages that train it, in order."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    parts: Parts
    stages: tuple[Stage, ...]
    seed: int = 1
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_minutes: float = 5.0
    summary: str = ""
    holdout: float = 0.0
    """Share of a manifest's items that is never trained on, and scored at the end."""

    @property
    def teaches_translator(self) -> bool:
        """Whether the model is a translator: a new one, or a base that learns as translators do."""
        learns = any(stage.objective in TRANSLATOR_OBJECTIVES for stage in self.stages)
        return self.parts.translator is not None or (self.parts.base is not None and learns)

    @property
    def hash(self) -> str:
        """Twelve hex digits of everything that the recipe says."""
        return digest_of(asdict(self))

    def stage_hash(self, index: int) -> str:
        """Digest of the parts, the seed and one stage: what a resumed stage must share with the run that it goes on."""
        stage = self.stages[index]
        same = replace(stage, data=replace(stage.data, workers=1))  # how many make the data changes nothing in it
        return digest_of([_said(self.parts), self.seed, _said_of(same)])


def _said_of(stage: Stage) -> dict[str, Any]:
    """A stage without options that are younger than the first recipes, where they are not used, as `_said`; and without
    where frames are kept, which changes nothing."""
    younger = {
        one.name: one.default
        for one in fields(Stage)
        if one.name in ("lora_targets", "checkpointing", "prompts", "vocoding", "pretraining")
    }
    said = {key: value for key, value in asdict(stage).items() if key not in younger or value != younger[key]}
    for key in ("cache", "cache_gb", *(("kept",) if stage.data.kept is None else ())):
        del said["data"][key]
    if stage.data.also_read == 0:
        del said["data"]["also_read"]
    return said


def _said(parts: Parts) -> dict[str, Any]:
    """The parts without options that are younger than the first recipes, where they are not used: a run that was begun
    before an option came goes on."""
    said = asdict(parts)
    younger = ("encoder_from", "llm_from", "context", "llm_bits", "encoder_config", "bridge_from", "bridge_config")
    for key in (*younger, "translator", "speaker"):
        if said[key] is None:
            del said[key]
    for key in TAKES:
        if isinstance(parts.bridge, BridgePart) and said["bridge"][key] is None:
            del said["bridge"][key]
    for key in ("mode", "keep_blanks", "own_weight"):
        if said["bridge"] is not None and said["bridge"].get(key) == getattr(BridgePart, key):
            del said["bridge"][key]
    for key in ("window", "chunks"):
        if said["encoder"] is not None and said["encoder"].get(key) is False:
            del said["encoder"][key]
    return said


def digest_of(value: Any) -> str:
    """Twelve hex digits of a value of JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: ``"stage.key=value"`` (a stage by its name) or ``"key=value"``; keys may be dotted, values are YAML.

    Raises:
        FetchError: no such file.
        ConfigError: not YAML, an unknown key, a value of the wrong kind, an override that names nothing.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold a mapping with name, parts and stages")
    for override in overrides:
        _override(raw, override)
    return recipe_of(raw, str(path))


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds.

    Raises:
        FetchError: no such file.
        ConfigError: not YAML.
    """
    path = Path(path)
    if not path.is_file():
        raise FetchError(f"there is no recipe file {path}")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FetchError(f"the recipe {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"{path} is not YAML{f', line {mark.line + 1}' if mark else ''}") from error
    return raw


def valid(of: type[Shape], raw: dict[str, Any], where: str) -> Shape:
    """What a file says as a dataclass.

    Raises:
        ConfigError: an unknown key or a value of the wrong kind, with its place.
    """
    try:
        return TypeAdapter(of).validate_python(raw)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_fault(e) for e in error.errors()[:5]), code=_code(error)) from error


def recipe_of(raw: dict[str, Any], where: str) -> Recipe:
    """A recipe from what a file says.

    Raises:
        ConfigError: as `read_recipe`; ``where`` is what the message begins with.
    """
    recipe = valid(Recipe, raw, where)
    for holds, fault in _demands(recipe):
        if not holds:
            raise ConfigError(f"{where}: {fault}")
    return recipe


def _demands(recipe: Recipe) -> Iterator[tuple[bool, str]]:
    """What no type says: each demand on the numbers of a recipe, and the words for one that is not met."""
    for where, part in (("", replace(recipe, stages=())), *((f"{one.name}: ", one) for one in recipe.stages)):
        for place, value in _floats(part):
            yield math.isfinite(value), f"{where}{place} must be a finite number (got {value:g})"
    names = [stage.name for stage in recipe.stages]
    yield len(names) > 0, "a recipe needs at least one stage"
    yield len(set(names)) == len(names), f"two stages have the same name: {', '.join(names)}"
    yield 0 <= recipe.holdout < 1, f"holdout is a share from 0 to below 1 (got {recipe.holdout:g})"
    yield 0 <= recipe.seed < 2**64, f"seed must be at least 0 and fit into 64 bits (got {recipe.seed})"
    yield recipe.checkpoint_minutes >= 0, f"checkpoint_minutes must be at least 0 (got {recipe.checkpoint_minutes:g})"
    yield from _part_demands(recipe.parts)
    speaker = recipe.parts.speaker
    yield (
        speaker is None or (recipe.teaches_translator and recipe.parts.base is not None and speaker.sentences > 0),
        "parts.speaker is one more speaker, with at least one sentence, of a translator that parts.base names",
    )
    if recipe.parts.llm_bits is not None:
        yield recipe.parts.llm_from is not None, "parts.llm_bits is of the LLM that llm_from names"
        for stage in recipe.stages:
            yield (
                "llm" not in stage.trains,
                f"{stage.name}: an LLM in 4 bits (parts.llm_bits) cannot be trained in full: train lora, or leave it",
            )
            yield (
                "lora" not in stage.trains or stage is recipe.stages[-1],
                f"{stage.name}: a LoRA on an LLM in 4 bits is never merged, so only the last stage can train it",
            )
    for stage in recipe.stages:
        data, optimizer = stage.data, stage.optimizer
        yield NAME.fullmatch(stage.name) is not None, f"a stage's name is letters, digits, - and _ (got {stage.name!r})"
        yield len(stage.trains) > 0, f"{stage.name}: trains names nothing"
        yield not {"llm", "lora"} <= set(stage.trains), f"{stage.name}: trains names both llm and lora"
        yield (
            stage.prompts == "plain" or (stage.objective != "hear" and data.source == "world"),
            f"{stage.name}: prompts: tags ask the tasks of the world, in a stage that tells or answers",
        )
        yield (
            stage.lora_targets is None or "lora" in stage.trains,
            f"{stage.name}: lora_targets is for a stage that trains lora",
        )
        yield (
            (data.source == "kept") == (data.kept is not None),
            f"{stage.name}: data.kept names a folder of clips with their frames, for source: kept",
        )
        yield (
            data.source != "kept"
            or (stage.objective == "answer" and stage.hear_weight == 0 and "encoder" not in stage.trains),
            f"{stage.name}: clips that are kept with their frames are for a stage that answers and leaves the encoder "
            "as it is",
        )
        yield (
            stage.vocoding is None or stage.objective == "vocode",
            f"{stage.name}: vocoding is for a stage that vocodes (got {stage.objective})",
        )
        yield (
            stage.pretraining is None or stage.objective == "pretrain",
            f"{stage.name}: pretraining is for a stage that pretrains (got {stage.objective})",
        )
        translates = recipe.teaches_translator
        fits = (stage.objective in TRANSLATOR_OBJECTIVES) == translates
        yield (
            fits and all((one in TRANSLATOR_PARTS) == translates for one in stage.trains),
            f"{stage.name}: of a translator, and only of one, objectives are "
            f"{', '.join(TRANSLATOR_OBJECTIVES)} and "
            f"parts {', '.join(TRANSLATOR_PARTS)} (got {stage.objective}, [{', '.join(stage.trains)}])",
        )
        yield (
            stage.hear_weight == 0 or stage.objective in ("answer", "interpret"),
            f"{stage.name}: hear_weight is for a stage that answers or interprets (got {stage.objective})",
        )
        ears = {"hear": "encoder", "pretrain": "speech_encoder", "recognise": "speech_encoder"}
        only = {**ears, "tell": "llm", **SPEAKS}.get(stage.objective)
        yield (
            only is None or stage.trains == (only,),
            f"{stage.name}: the objective {stage.objective} trains [{only}] (got [{', '.join(stage.trains)}])",
        )
        for place, value in (
            ("budget.audio_hours", stage.budget.audio_hours),
            ("budget.share", stage.budget.share),
            ("data.pool_items", data.pool_items),
            ("data.batch_s", data.batch_s),
            ("data.max_clip_s", data.max_clip_s),
            ("data.cache_gb", data.cache_gb),
            ("optimizer.accumulate", optimizer.accumulate),
            ("optimizer.lr", optimizer.lr),
            ("optimizer.clip_norm", optimizer.clip_norm),
            ("lora_rank", stage.lora_rank),
        ):
            yield value > 0, f"{stage.name}: {place} must be above 0 (got {value:g})"
        rate = stage.encoder_lr
        yield rate is None or rate > 0, f"{stage.name}: encoder_lr must be above 0 (got {rate or 0:g})"
        for place, value in (
            ("data.workers", data.workers),
            ("data.also_read", data.also_read),
            ("optimizer.weight_decay", optimizer.weight_decay),
            ("hear_weight", stage.hear_weight),
        ):
            yield value >= 0, f"{stage.name}: {place} must be at least 0 (got {value:g})"
        final = optimizer.final
        yield 0 <= final <= 1, f"{stage.name}: optimizer.final is a share from 0 to 1 (got {final:g})"
        yield 0 <= optimizer.beta2 < 1, f"{stage.name}: optimizer.beta2 is from 0 to below 1 (got {optimizer.beta2:g})"
        yield (
            optimizer.warmup >= 0 and optimizer.hold >= 0 and optimizer.warmup + optimizer.hold < 1,
            f"{stage.name}: optimizer.warmup and hold are shares, together below 1 "
            f"(got {optimizer.warmup:g} and {optimizer.hold:g})",
        )


def _floats(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every number that may be no number, and where it stands; arguments of parts of one's own are theirs to judge."""
    if isinstance(value, float):
        yield place, value
    named = {one.name: getattr(value, one.name) for one in fields(value)} if is_dataclass(value) else value
    if isinstance(named, dict):
        for key, one in named.items():
            if key not in ("encoder_config", "bridge_config"):
                yield from _floats(one, f"{place}.{key}" if place else key)


def _part_demands(parts: Parts) -> Iterator[tuple[bool, str]]:
    if parts.llm is not None:
        llm = parts.llm
        for name in ("width", "layers", "heads", "kv_heads", "ffn", "context"):
            value = getattr(llm, name)
            yield value > 0, f"parts.llm.{name} must be above 0 (got {value})"
        yield (
            llm.heads % llm.kv_heads == 0 and llm.width % (2 * llm.heads) == 0,
            f"parts.llm: kv_heads must divide heads, and twice the heads the width (got {llm.kv_heads}, {llm.heads} "
            f"and {llm.width})",
        )
    if parts.encoder is not None:
        encoder = parts.encoder
        own = ("max_frames",) if isinstance(encoder, WhisperSettings) else ("kernel", "left", "right")
        for name in ("width", "layers", "heads", "ffn", *own):
            value = getattr(encoder, name)
            yield value > 0, f"parts.encoder.{name} must be above 0 (got {value})"
        if isinstance(encoder, WhisperSettings):
            yield (
                encoder.n_mels in MELS,
                f"parts.encoder.n_mels is one of {', '.join(map(str, MELS))} (got {encoder.n_mels})",
            )
        else:
            yield encoder.kernel % 2 == 1, f"parts.encoder.kernel must be odd (got {encoder.kernel})"
        yield (
            encoder.width % encoder.heads == 0 and encoder.width % 2 == 0,
            f"parts.encoder: the width is even and heads divide it (got {encoder.width} and {encoder.heads})",
        )
    for one in ("encoder", "llm"):
        yield (
            getattr(parts, one) is None or getattr(parts, f"{one}_from") is None,
            f"parts names both {one} and {one}_from: a part is new or published, not both",
        )
    yield parts.bridge is None or parts.bridge_from is None, "parts names both bridge and bridge_from"
    yield (
        parts.bridge_from is None or "bridge" in parts.own,
        f"parts.bridge_from is a class of your own, FILE.py:CLASS (got {parts.bridge_from!r})",
    )
    for one in ("encoder", "bridge"):
        yield (
            getattr(parts, f"{one}_config") is None or one in parts.own,
            f"parts.{one}_config is for a class of your own: {one}_from: FILE.py:CLASS",
        )
    yield parts.context is None or parts.llm_from is not None, "parts.context is of the LLM that llm_from names"
    yield parts.context is None or parts.context > 0, f"parts.context must be above 0 (got {parts.context})"
    if isinstance(parts.bridge, BridgePart):
        bridge = parts.bridge
        yield bridge.k > 0 and bridge.hidden > 0, "parts.bridge: k and hidden must be above 0"
        yield (
            bridge.kind != "stack_swiglu" or (bridge.tail == "pool" and bridge.hidden % 2 == 0),
            f"parts.bridge: stack_swiglu fills its tail with zeros, so names none, and halves hidden, which is even "
            f"(got {bridge.tail!r} and {bridge.hidden})",
        )
        yield (
            bridge.kind not in TAILLESS or bridge.tail == "pool",
            f"parts.bridge: {bridge.kind} reads the frames that are there, so it names no tail (got {bridge.tail!r})",
        )
        yield (
            bridge.kind != "qformer" or bridge.k == BridgePart.k,
            f"parts.bridge: qformer reads the whole clip, so it names no k (got {bridge.k})",
        )
        for name, kinds in TAKES.items():
            value = getattr(bridge, name)
            yield (
                value is None or bridge.kind in kinds,
                f"parts.bridge: {name} is of {', '.join(kinds)}, not of {bridge.kind}",
            )
            yield value is None or value > 0, f"parts.bridge.{name} must be above 0 (got {value})"
        yield from _read_demands(bridge)


def _read_demands(bridge: BridgePart) -> Iterator[tuple[bool, str]]:
    """What a bridge does not read must not be said, else somebody would think that it counts."""
    kind, read = bridge.kind, READS.get(bridge.kind)
    for one in fields(BridgePart):
        if one.name in ("kind", "k", "output_norm") or (read is None and one.name not in READ_BY_SOME):
            continue
        value = getattr(bridge, one.name)
        yield (
            value == one.default or (read is not None and one.name in read),
            f"parts.bridge: {kind} does not read {one.name} (got {value!r})",
        )


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part not in (*FORMS.values(), BY_KIND, BY_FORM))
    if error["type"] == "extra_forbidden" or error["type"] == "unexpected_keyword_argument":
        return f"unknown key {place}"
    return f"{place}: {error['msg']} (got {error.get('input')!r})"


def _code(error: ValidationError) -> str:
    unknown = {"extra_forbidden", "unexpected_keyword_argument"}
    return "unknown_key" if any(e["type"] in unknown for e in error.errors()) else "bad_value"


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise ConfigError(f"an override reads stage.key=value, got {override!r}")
    path = key.split(".")
    target: Any = raw
    listed = raw.get("stages")
    named = [stage for stage in listed if isinstance(stage, dict)] if isinstance(listed, list) else []
    stages = {str(stage.get("name")): stage for stage in named}
    if path[0] in stages and len(path) > 1:
        target, path = stages[path[0]], path[1:]
    elif len(path) > 1 and path[0] not in raw:
        raise ConfigError(
            f"{override!r} names no stage and no part of the recipe; stages are {', '.join(map(str, stages))}"
        )
    for part in path[:-1]:
        inner = target.get(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{override!r}: {part} holds a value, not a mapping")
        target[part] = dict(inner)  # a copy: by a YAML alias several stages may share one mapping
        target = target[part]
    try:
        target[path[-1]] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML") from error
