"""What a stage needs before its first step: its data, its objective, which weights move, and how fast.

Knows recipes and models; does not know steps, checkpoints or folders.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.lengths import resampled_samples
from ossicle.bridge.calibrate import calibratable, calibrate
from ossicle.data.check import Checked, Longest, Reader, check
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import ConfigError, DataError, TrainingError
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora
from ossicle.train.answers import Answer, Tell, tokens_in_prompts
from ossicle.train.feed import Pools
from ossicle.train.frozen import FrozenEncoder, cache_of
from ossicle.train.hear import Hear
from ossicle.train.kept import Kept
from ossicle.train.muon import MuonAdamW
from ossicle.train.objectives import Objective
from ossicle.train.parts import base_owns
from ossicle.train.recipe import Recipe
from ossicle.train.recipe_stages import Data, Stage
from ossicle.train.sources import Manifest, Source, World

CALIBRATION_ITEMS = 16
RELATIVE = ("distance_embedding", "pos_bias_u", "pos_bias_v")
"""Two-axis weights of a conformer that are tables by distance or head, no maps: AdamW moves them."""


def source_of(recipe: Recipe, index: int, data: str | None, *, without: Collection[int] = ()) -> Source:
    """The samples of a stage: ``data`` is a manifest that replaces what the recipe says, ``without`` lines of it that
    are left out.

    Raises:
        ConfigError: the stage trains on a manifest, and none is named; or it learns what a manifest cannot tell.
        DataError: the manifest cannot be used.
    """
    manifest = manifest_of(recipe, index, data)
    if manifest is not None:
        return Manifest(manifest, recipe.seed, holdout=recipe.holdout, without=without)
    stage = recipe.stages[index]
    if stage.data.kept is not None:
        return Kept(stage.data.kept, recipe.seed)
    settings, dry = stage.data, stage.objective == "tell"
    tags = stage.prompts == "tags"
    return World(recipe.seed, index, settings.split, settings.tasks, dry=dry, clean=settings.clean, tags=tags)


def manifest_of(recipe: Recipe, index: int, data: str | None) -> str | None:
    """The manifest that a stage trains on; None for the world.

    Raises:
        ConfigError: as `source_of`.
    """
    stage = recipe.stages[index]
    manifest = data or stage.data.manifest
    if data is None and stage.data.source != "manifest":
        return None
    if manifest is None:
        raise ConfigError(f"stage {stage.name} trains on a manifest: name it in the recipe or with --data")
    if stage.prompts == "tags":
        raise ConfigError(f"stage {stage.name} asks by tags, which the items of a manifest do not have: prompts: plain")
    if stage.objective != "answer" or stage.hear_weight > 0:
        what = stage.objective if stage.objective != "answer" else "hear_weight"
        raise ConfigError(
            f"stage {stage.name} learns from the world's own truth ({what}), which a manifest does not hold: "
            "only stages that answer, without hear_weight, train on one"
        )
    return manifest


def check_stages(recipe: Recipe, model: AudioLM, data: str | None) -> list[Checked | None]:
    """Each stage's manifest gone through for a model; None for a stage of the world.

    Raises:
        ConfigError, DataError: as `manifest_of` and `check`.
    """
    done: dict[tuple[str, Longest], Checked] = {}
    found: list[Checked | None] = []
    for index, stage in enumerate(recipe.stages):
        manifest = manifest_of(recipe, index, data)
        if manifest is None:
            found.append(None)
            continue
        longest = longest_of(stage.data, model)
        if (manifest, longest) not in done:
            done[manifest, longest] = check(manifest, reader=reader_of(model, longest))
        found.append(done[manifest, longest])
    return found


def reader_of(model: AudioLM, longest: Longest) -> Reader:
    """How a model reads the items of a manifest."""

    encoder, places = model.encoder, tokens_in_prompts(model)

    def n_tokens(n_samples: int) -> int:
        own = resampled_samples(n_samples, SAMPLE_RATE, encoder.sample_rate)
        return places(own)

    return Reader(model.tokenizer, model.pad_id, model.context, n_tokens, longest, model.clip_text)


def longest_of(data: Data, model: AudioLM) -> Longest:
    """The longest clip of a stage: what its data say, or what the encoder has positions for."""
    encoder_s = model.encoder.max_samples / model.encoder.sample_rate
    said = Longest(data.max_clip_s)
    return said if said.seconds <= encoder_s else Longest(encoder_s, "all that the encoder reads at once")


def objective_of(
    stage: Stage, model: AudioLM, hear: Hear | None, *, frozen: FrozenEncoder | Kept | None = None
) -> Objective:
    """What a stage trains; ``hear`` is the run's one encoder objective, whose heads live through all stages, ``frozen``
    the model's encoder where the stage leaves it as it is, or the clips that are kept with their frames."""
    match stage.objective:
        case "hear":
            assert hear is not None
            return hear
        case "tell":
            return Tell(model)
        case "answer":
            both = hear if stage.hear_weight > 0 else None
            return Answer(model, hear=both, hear_weight=stage.hear_weight, frozen=frozen)
        case other:
            raise ConfigError(f"stage {stage.name}: an audio language model has no objective {other}")


def frozen_of(
    stage: Stage, source: Source, model: AudioLM, *, folder: Path | None, precision: str
) -> FrozenEncoder | Kept | None:
    """The encoder of a stage that answers about a manifest and leaves the encoder as it is, or the clips that are kept
    with their frames; None for all other stages.

    Args:
        folder: the run's, for the cache; None: nothing is kept.
        precision: that the encoder computes in.
    """
    if isinstance(source, Kept):
        return source.to(model.device)
    if not isinstance(source, Manifest) or stage.objective != "answer" or "encoder" in stage.trains:
        return None
    cache = None if folder is None else cache_of(stage.data, model.encoder, folder, precision)
    return FrozenEncoder(model.encoder, cache, device=model.device)


def enter(recipe: Recipe, index: int, model: AudioLM, objective: Objective, source: Source) -> None:
    """What happens once, before a stage's first step: a LoRA is put on; a new bridge gets the embeddings' size."""
    stage = recipe.stages[index]
    if "lora" in stage.trains:
        put_lora(stage, model)
    bridge = model.bridge
    new = "bridge" in stage.trains and _bridge_is_new(recipe, index)
    if isinstance(objective, Answer) and new and calibratable(bridge):
        data = replace(stage.data, pool_items=CALIBRATION_ITEMS, batch_s=float("inf"))
        longest = longest_of(stage.data, model)
        pool = Pools(source, objective, data, (recipe.seed, index), 0, longest=longest).pool(0)
        if not pool.batches:
            raise DataError(
                f"stage {stage.name}: none of its first {CALIBRATION_ITEMS} items can be used, such as {pool.bad[0]}",
                code="too_many_bad_items",
            )
        (batch,) = pool.batches
        with torch.no_grad():
            if batch.features is not None:
                frames = model.encoder(batch.features.to(model.device))
            else:
                assert isinstance(source, Kept) and batch.sounds is not None
                frames = source.to(model.device).frames(batch.sounds)
        calibrate(bridge, frames, model.embedding_rows())


@contextmanager
def memory_told(stage: Stage, seconds: float, device: torch.device) -> Iterator[None]:
    """Around a step of batches of at most so many seconds.

    Raises:
        TrainingError: ``out_of_memory`` where it does not fit the device.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"stage {stage.name}: a batch of {seconds:.0f} s of audio does not fit into the memory of {device}: lower "
            "data.batch_s",
            code="out_of_memory",
        ) from error


def put_lora(stage: Stage, model: AudioLM) -> None:
    """Put a stage's LoRA on the LLM, on the device where the model is.

    Raises:
        ConfigError: the LLM has no layer that the stage's ``lora_targets`` match.
    """
    device = model.device
    add_lora(model, stage.lora_rank, targets=stage.lora_targets)
    model.to(device)


def _bridge_is_new(recipe: Recipe, index: int) -> bool:
    parts = recipe.parts
    other = parts.bridge is not None or (parts.bridge_from is not None and "bridge" not in base_owns(parts))
    kept = parts.base is not None and not other
    return not kept and not any("bridge" in stage.trains for stage in recipe.stages[:index])


def set_trainable(stage: Stage, model: AudioLM, objective: Objective) -> list[nn.Parameter]:
    """Let a stage's weights take gradients and no others, with none left of the stage before; returns those that do."""
    model.zero_grad()
    objective.heads.zero_grad()
    for name, value in model.named_parameters():
        part = name.split(".", 1)[0]
        wanted = part in stage.trains and "embed_positions" not in name
        value.requires_grad_(wanted or ("lora" in stage.trains and "lora_" in name))
    objective.heads.requires_grad_(True)
    model.train()
    for part, learns in (("encoder", {"encoder"}), ("llm", {"llm", "lora"})):
        if learns.isdisjoint(stage.trains):  # what does not learn drops nothing out
            model.get_submodule(part).eval()
    return [p for p in [*model.parameters(), *objective.heads.parameters()] if p.requires_grad]


def new_optimizer(
    stage: Stage, model: AudioLM, objective: Objective, trained: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """AdamW, with Muon for hidden matrices if the stage says so; matrices decay, the rest do not; the encoder and its
    heads may have a rate of their own.

    Raises:
        ConfigError: there is nothing to train, as in a bridge of one's own without weights.
    """
    encoder = {id(p) for p in [*model.encoder.parameters(), *objective.heads.parameters()]}
    return optimizer_of(stage, trained, encoder=encoder, blocks=_blocks(model) if stage.optimizer.muon else {})


def optimizer_of(
    stage: Stage, trained: list[nn.Parameter], *, encoder: Collection[int], blocks: Mapping[int, int]
) -> torch.optim.Optimizer:
    """The optimiser that a stage describes.

    Args:
        stage: its settings.
        trained: weights that move.
        encoder: ids of those that may have a rate of their own.
        blocks: ids of those that move orthogonally, and in which blocks, as `hidden_matrices` tells.

    Raises:
        ConfigError: there is nothing to train.
    """
    if not trained:
        raise ConfigError(f"stage {stage.name} trains [{', '.join(stage.trains)}], which holds no weight")
    settings = stage.optimizer
    groups: dict[tuple[bool, bool, int | None], list[nn.Parameter]] = {}
    for value in trained:
        groups.setdefault((id(value) in encoder, value.ndim >= 2, blocks.get(id(value))), []).append(value)
    scale = 1.0 if stage.encoder_lr is None else stage.encoder_lr / settings.lr
    return MuonAdamW(
        [
            {
                "params": values,
                "scale": scale if of_encoder else 1.0,
                "weight_decay": settings.weight_decay if matrix else 0.0,
                "block": block,
            }
            for (of_encoder, matrix, block), values in groups.items()
        ],
        lr=settings.lr,
        betas=(0.9, settings.beta2),
    )


def _blocks(model: AudioLM) -> dict[int, int]:
    """The hidden matrices of an AudioLM, as `hidden_matrices` tells."""
    config = model.llm.config
    own = getattr(config, "head_dim", None)  # not the width's share in Qwen 3 and Gemma
    towers: list[tuple[nn.Module, int]] = [(model.llm, own or config.hidden_size // config.num_attention_heads)]
    match model.encoder:
        case WhisperEncoder(settings=settings):
            towers.append((model.encoder, settings.width // settings.heads))
        case W2vBertEncoder(tower=conformer):
            towers.append((model.encoder, conformer.config.hidden_size // conformer.config.num_attention_heads))
    return hidden_matrices(towers)


def hidden_matrices(towers: Iterable[tuple[nn.Module, int]]) -> dict[int, int]:
    """The hidden matrices by id, and the blocks in which they move: attention head by head, the rest whole.

    Args:
        towers: parts with layers, and the size of their heads.
    """
    found: dict[int, int] = {}
    for tower, head in towers:
        sides = {"q_proj": head, "k_proj": head, "v_proj": head, "out_proj": -head, "o_proj": -head}
        sides |= {"linear_q": head, "linear_k": head, "linear_v": head, "linear_pos": head, "linear_out": -head}
        for name, value in tower.named_parameters():
            if "layers." not in name or value.ndim != 2 or "lora_" in name or any(one in name for one in RELATIVE):
                continue
            found[id(value)] = sides.get(name.split(".")[-2], 0)
    return found


def learning_rate(stage: Stage, share: float) -> float:
    """Warm-up, the peak, then a cosine down to ``final`` of it, by the share of the stage that is done."""
    settings = stage.optimizer
    if share < settings.warmup:
        return settings.lr * max(share / settings.warmup, 0.01)
    begun = settings.warmup + settings.hold
    left = (1 + math.cos(math.pi * min(1.0, max(0.0, share - begun) / (1 - begun)))) / 2
    return settings.lr * (settings.final + (1 - settings.final) * left)


def pattern_after(stages: tuple[Stage, ...]) -> str:
    """The pattern of a model that went through these stages: what of its LLM moved while audio was read."""
    trained = {part for stage in stages for part in stage.trains if stage.objective == "answer"}
    return "full" if "llm" in trained else "lora" if "lora" in trained else "frozen"
