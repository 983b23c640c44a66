"""What a recipe says of one stage of training, and what must hold of it.

Knows names and numbers; does not know how anything is trained.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ossicle.train.pretraining import PretrainSettings
from ossicle.train.timing import Timing
from ossicle.train.vocoding import Vocoding

NAME = re.compile(r"[\w-]+")
TRANSLATOR_OBJECTIVES = ("pretrain", "recognise", "read", "interpret", "simultaneous", "align", "utter", "vocode")
SPEAKS = {"align": "aligner", "utter": "unit_decoder", "vocode": "vocoder"}
"""The one part that each of these objectives trains."""
TRANSLATOR_PARTS = ("speech_encoder", "text_encoder", "text_decoder", "choices", "aligner", "unit_decoder", "vocoder")


@dataclass(frozen=True)
class Data:
    """Where a stage's examples come from: the world, made as it goes, a manifest, or a folder ``kept`` of clips with
    their frames, as `ossicle sweep` makes it.

    ``clean`` takes noise, rooms and equalisers out of the world's scenes. ``cache`` keeps what a frozen encoder makes
    of a manifest's clips, so that each is heard once: true in the run's folder, else in the folder that it names, up
    to ``cache_gb`` (10^9 bytes). ``also_read`` sentences are read, and not heard, for each that a translator hears;
    a share ``own_voice`` of what it hears is said in the voices that it learns to speak in, and of the rest a share
    ``abrupt`` begins and ends without a pause. Sentences are joined until saying them takes a time drawn from 0 to
    ``joined_s``.
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
    own_voice: float = 0.0
    abrupt: float = 0.0
    joined_s: float = 0.0


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
    "choices",
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
    ``vocoding`` is for a stage that vocodes, ``pretraining`` for one that pretrains, ``timing`` for a simultaneous one.
    """

    name: str
    objective: Literal[
        "hear",
        "tell",
        "answer",
        "pretrain",
        "recognise",
        "read",
        "interpret",
        "simultaneous",
        "align",
        "utter",
        "vocode",
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
    timing: Timing | None = None


def said_of_stage(stage: Stage) -> dict[str, Any]:
    """A stage without options that are younger than the first recipes, where they are not used, as of the parts; and
    without where frames are kept, which changes nothing."""
    younger = {
        one.name: one.default
        for one in fields(Stage)
        if one.name in ("lora_targets", "checkpointing", "prompts", "vocoding", "pretraining", "timing")
    }
    said = {key: value for key, value in asdict(stage).items() if key not in younger or value != younger[key]}
    for key in ("cache", "cache_gb", *(("kept",) if stage.data.kept is None else ())):
        del said["data"][key]
    for key in ("also_read", "own_voice", "abrupt", "joined_s"):
        if said["data"][key] == 0:
            del said["data"][key]
    return said


def stage_demands(stage: Stage, *, translates: bool) -> Iterator[tuple[bool, str]]:
    """Each demand on one stage, and the words for one that is not met.

    Args:
        stage: of a recipe.
        translates: whether the recipe teaches a translator.
    """
    data = stage.data
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
    yield (
        stage.timing is None or stage.objective == "simultaneous",
        f"{stage.name}: timing is for a stage that is simultaneous (got {stage.objective})",
    )
    yield (
        ("choices" in stage.trains) == (stage.objective == "simultaneous"),
        f"{stage.name}: a simultaneous stage, and no other, trains choices (got {stage.objective}, "
        f"[{', '.join(stage.trains)}])",
    )
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
    yield from _number_demands(stage)


def _number_demands(stage: Stage) -> Iterator[tuple[bool, str]]:
    data, optimizer = stage.data, stage.optimizer
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
        ("data.joined_s", data.joined_s),
        ("optimizer.weight_decay", optimizer.weight_decay),
        ("hear_weight", stage.hear_weight),
    ):
        yield value >= 0, f"{stage.name}: {place} must be at least 0 (got {value:g})"
    for place, share in (("data.own_voice", data.own_voice), ("data.abrupt", data.abrupt)):
        yield 0 <= share <= 1, f"{stage.name}: {place} is a share from 0 to 1 (got {share:g})"
        yield (
            share == 0 or stage.objective in ("recognise", "interpret", "simultaneous"),
            f"{stage.name}: {place} is for a stage that recognises or interprets (got {stage.objective})",
        )
    yield (
        data.joined_s == 0 or stage.objective in ("interpret", "simultaneous"),
        f"{stage.name}: data.joined_s is for a stage that interprets, simultaneously or not (got {stage.objective})",
    )
    final = optimizer.final
    yield 0 <= final <= 1, f"{stage.name}: optimizer.final is a share from 0 to 1 (got {final:g})"
    yield 0 <= optimizer.beta2 < 1, f"{stage.name}: optimizer.beta2 is from 0 to below 1 (got {optimizer.beta2:g})"
    yield (
        optimizer.warmup >= 0 and optimizer.hold >= 0 and optimizer.warmup + optimizer.hold < 1,
        f"{stage.name}: optimizer.warmup and hold are shares, together below 1 "
        f"(got {optimizer.warmup:g} and {optimizer.hold:g})",
    )
