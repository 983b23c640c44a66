"""What a stage needs before its first step."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ossicle.data.check import Longest
from ossicle.errors import ConfigError, DataError
from ossicle.models.lora import has_lora
from ossicle.train.answers import Answer, Tell
from ossicle.train.hear import Hear
from ossicle.train.kept import Asked, Kept, write_kept
from ossicle.train.recipe import Recipe
from ossicle.train.recipe_stages import Data, Stage
from ossicle.train.sources import Manifest, World
from ossicle.train.stage import (
    check_stages,
    enter,
    frozen_of,
    learning_rate,
    longest_of,
    manifest_of,
    new_optimizer,
    objective_of,
    pattern_after,
    set_trainable,
    source_of,
)

from .support import tiny_model, tiny_recipe

RECIPE = tiny_recipe()
HEAR, TELL, CONNECT, TUNE = RECIPE.stages
QUIET = tiny_recipe("connect.data.tasks={sound: 1.0}")


def changed(index: int, **changes: object) -> Recipe:
    stages = list(RECIPE.stages)
    stages[index] = replace(stages[index], **changes)
    return replace(RECIPE, stages=tuple(stages))


def manifest(folder: Path, *seconds: float) -> str:
    lines = []
    for i, length in enumerate(seconds):
        soundfile.write(folder / f"{i}.wav", np.full(round(16_000 * length), 0.1, np.float32), 16_000)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": "a"}) + "\n")
    (folder / "own.jsonl").write_text("".join(lines))
    return str(folder / "own.jsonl")


def test_each_stage_has_its_own_source(tmp_path: Path) -> None:
    hear, tell = source_of(RECIPE, 0, None), source_of(RECIPE, 1, None)
    assert isinstance(hear, World) and isinstance(tell, World)
    assert (hear.key, hear.dry, tell.key, tell.dry) == ((3, 0), False, (3, 1), True)
    own = manifest(tmp_path, 0.1)
    replaced, named = source_of(RECIPE, 2, own), source_of(changed(2, data=Data("manifest", manifest=own)), 2, None)
    assert isinstance(replaced, Manifest) and isinstance(named, Manifest)
    assert len(replaced.items) == len(named.items) == 1


def test_sources_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stage connect trains on a manifest: name it in the recipe or with --data"):
        source_of(changed(2, data=Data("manifest")), 2, None)
    with pytest.raises(DataError, match=r"there is no manifest .*none\.jsonl"):
        source_of(RECIPE, 2, str(tmp_path / "none.jsonl"))
    own = manifest(tmp_path, 0.1)
    for index, what in ((0, "hear"), (1, "tell"), (3, "hear_weight")):
        message = rf"stage \w+ learns from the world's own truth \({what}\), which a manifest does not hold"
        with pytest.raises(ConfigError, match=message):
            source_of(RECIPE, index, own)


def test_a_stage_that_asks_by_tags_asks_the_world(tmp_path: Path) -> None:
    recipe = changed(2, prompts="tags")
    assert source_of(recipe, 2, None).tags and not source_of(RECIPE, 2, None).tags
    with pytest.raises(ConfigError, match="stage connect asks by tags, which the items of a manifest do not have"):
        source_of(recipe, 2, manifest(tmp_path, 0.1))


def test_each_stage_has_its_objective() -> None:
    model = tiny_model()
    hear = Hear(model.encoder)
    assert objective_of(HEAR, model, hear) is hear
    assert isinstance(objective_of(TELL, model, hear), Tell)
    plain, both = objective_of(CONNECT, model, hear), objective_of(TUNE, model, hear)
    assert isinstance(plain, Answer) and plain.hear is None
    assert isinstance(both, Answer) and (both.hear, both.hear_weight) == (hear, 0.5)


def test_clips_must_fit_the_encoder() -> None:
    model = tiny_model()  # 300 frames: 6 s
    assert longest_of(Data(max_clip_s=16.0), model) == Longest(6.0, "all that the encoder reads at once")
    assert longest_of(Data(max_clip_s=5.0), model) == Longest(5.0, "data.max_clip_s")


@pytest.mark.parametrize(
    ("stage", "moves"),
    [(HEAR, {"encoder"}), (TELL, {"llm"}), (CONNECT, {"bridge"}), (TUNE, {"encoder", "bridge", "lora"})],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_stage_moves_what_it_names_and_nothing_else(stage: Stage, moves: set[str]) -> None:
    model = tiny_model()
    hear = Hear(model.encoder)
    objective = objective_of(stage, model, hear)
    for value in model.parameters():
        value.grad = torch.ones_like(value)
    if "lora" in moves:
        enter(RECIPE, 3, model, objective, source_of(RECIPE, 3, None))
        assert has_lora(model.llm)
    trained = set_trainable(stage, model, objective)
    assert all(value.grad is None for value in [*model.parameters(), *trained])  # nothing is left of a stage before
    found = set()
    for name, value in model.named_parameters():
        part = "lora" if "lora_" in name else name.split(".", 1)[0]
        wanted = part in moves and "embed_positions" not in name
        assert value.requires_grad == wanted, name
        assert wanted == any(value is one for one in trained)
        found |= {part} if wanted else set()
    assert found == moves and model.training
    heads = [value for value in hear.parameters() if any(value is one for one in trained)]
    assert len(heads) == (len(list(hear.parameters())) if stage in (HEAR, TUNE) else 0)


def test_a_lora_goes_where_the_recipe_says_and_only_there() -> None:
    recipe, model = changed(3, lora_targets="q_proj"), tiny_model()
    enter(recipe, 3, model, objective_of(CONNECT, model, None), source_of(recipe, 3, None))
    found = {name.rpartition(".lora_")[0] for name, _ in model.named_parameters() if ".lora_" in name}
    assert found == {"llm.base_model.model.model.layers.0.self_attn.q_proj"}


def test_matrices_decay_and_the_encoder_has_its_own_rate() -> None:
    model = tiny_model()
    hear = Hear(model.encoder)
    objective = objective_of(TUNE, model, hear)
    trained = set_trainable(TUNE, model, objective)
    optimizer = new_optimizer(TUNE, model, objective, trained)
    ears = {id(value) for value in [*model.encoder.parameters(), *hear.parameters()]}
    seen = 0
    for group in optimizer.param_groups:
        for value in group["params"]:
            seen += 1
            assert group["weight_decay"] == (0.01 if value.ndim >= 2 else 0.0)
            assert group["scale"] == pytest.approx(0.1 if id(value) in ears else 1.0)
        assert group["betas"] == (0.9, 0.98) and group["lr"] == 1e-3
    assert seen == len(trained)
    scales = {
        group["scale"] for group in new_optimizer(HEAR, model, hear, set_trainable(HEAR, model, hear)).param_groups
    }
    assert scales == {1.0}


def test_a_stage_has_something_to_train() -> None:
    with pytest.raises(ConfigError, match=r"stage connect trains \[bridge\], which holds no weight"):
        new_optimizer(CONNECT, tiny_model(), Answer(tiny_model()), [])


def test_the_rate_warms_up_and_follows_a_cosine() -> None:
    stage = replace(HEAR, optimizer=replace(HEAR.optimizer, lr=2.0, warmup=0.1, final=0.25))
    shares = [0.0, 0.0005, 0.05, 0.1, 0.55, 1.0, 1.3]
    rates = [learning_rate(stage, share) for share in shares]
    assert rates == pytest.approx([0.02, 0.02, 1.0, 2.0, 2.0 * (0.25 + 0.75 / 2), 0.5, 0.5])
    steady = replace(HEAR, optimizer=replace(HEAR.optimizer, warmup=0.0, final=1.0))
    assert {learning_rate(steady, share) for share in (0.0, 0.3, 1.0)} == {1e-3}


def test_the_rate_is_held_before_it_falls() -> None:
    stage = replace(HEAR, optimizer=replace(HEAR.optimizer, lr=2.0, warmup=0.1, hold=0.4, final=0.0))
    rates = [learning_rate(stage, share) for share in (0.05, 0.1, 0.3, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([1.0, 2.0, 2.0, 2.0, 1.0, 0.0])


def test_muon_moves_the_hidden_matrices_and_nothing_else() -> None:
    model = tiny_model()
    hear = Hear(model.encoder)
    stage = replace(HEAR, trains=("encoder", "llm"), optimizer=replace(HEAR.optimizer, muon=True))
    groups = new_optimizer(stage, model, hear, set_trainable(stage, model, hear)).param_groups
    names = {id(value): name for name, value in model.named_parameters()}
    moved = {names[id(v)]: group["block"] for group in groups if group["block"] is not None for v in group["params"]}
    layers = len(model.encoder.tower.layers), len(model.llm.model.layers)
    assert len(moved) == 6 * layers[0] + 7 * layers[1]
    head = model.encoder.tower.layers[0].self_attn.head_dim
    assert moved["encoder.tower.layers.0.self_attn.q_proj.weight"] == head
    assert moved["encoder.tower.layers.0.self_attn.out_proj.weight"] == -head
    assert moved["encoder.tower.layers.0.fc1.weight"] == moved["llm.model.layers.0.mlp.up_proj.weight"] == 0
    assert not any("embed" in name or "conv" in name for name in moved)


def test_muon_moves_the_maps_of_a_conformer_and_no_tables_of_distances() -> None:
    model = tiny_model("parts.encoder={kind: w2v_bert, width: 16, layers: 2, heads: 4, ffn: 24, kernel: 3}")
    hear = Hear(model.encoder)
    stage = replace(HEAR, optimizer=replace(HEAR.optimizer, muon=True))
    groups = new_optimizer(stage, model, hear, set_trainable(stage, model, hear)).param_groups
    names = {id(value): name.removeprefix("encoder.tower.encoder.layers.") for name, value in model.named_parameters()}
    moved = {names[id(v)]: group["block"] for group in groups if group["block"] is not None for v in group["params"]}
    heads = {"self_attn.linear_q": 4, "self_attn.linear_k": 4, "self_attn.linear_v": 4, "self_attn.linear_out": -4}
    whole = {f"{ffn}.{side}_dense": 0 for ffn in ("ffn1", "ffn2") for side in ("intermediate", "output")}
    assert moved == {f"{i}.{name}.weight": block for i in (0, 1) for name, block in (heads | whole).items()}
    plain = {names[id(v)] for group in groups if group["block"] is None for v in group["params"] if id(v) in names}
    assert {"0.self_attn.distance_embedding.weight", "1.conv_module.pointwise_conv1.weight"} < plain


def test_the_pattern_is_what_moved_while_audio_was_read() -> None:
    assert pattern_after((HEAR, TELL)) == "frozen"
    assert pattern_after((HEAR, TELL, CONNECT)) == "frozen"
    assert pattern_after(RECIPE.stages) == "lora"
    assert pattern_after((replace(CONNECT, trains=("llm",)), TUNE)) == "full"


def median_norms(recipe: Recipe, stage: int) -> tuple[float, float]:
    """Of a model's audio tokens and of its embeddings, after a stage was entered."""
    model = tiny_model()
    objective = objective_of(recipe.stages[stage], model, None)
    source = source_of(recipe, stage, None)
    enter(recipe, stage, model, objective, source)
    items = [objective.item(source.sample(i), np.random.default_rng(i)) for i in range(8)]
    with torch.no_grad():
        tokens = model.bridge(model.encoder(objective.collate(items).features))
    valid = torch.cat([row[:n] for row, n in zip(tokens.values, tokens.lengths.tolist(), strict=True)])
    return valid.norm(dim=-1).median().item(), model.table.weight.norm(dim=-1).median().item()


def test_a_new_bridge_gets_the_size_of_the_embeddings_once() -> None:
    tokens, embeddings = median_norms(QUIET, 2)
    assert tokens == pytest.approx(embeddings, rel=0.2)
    twice = replace(QUIET, stages=(*QUIET.stages[:3], replace(QUIET.stages[2], name="again")))
    tokens, embeddings = median_norms(twice, 3)
    assert tokens != pytest.approx(embeddings, rel=0.2)


def test_calibration_passes_over_what_does_not_fit_and_needs_one_item(tmp_path: Path) -> None:
    model = tiny_model()
    objective = objective_of(CONNECT, model, None)
    enter(RECIPE, 2, model, objective, Manifest(manifest(tmp_path, 0.5, 7.0), 1))
    with pytest.raises(DataError, match="stage connect: none of its first 16 items can be used, such as own"):
        enter(RECIPE, 2, model, objective, Manifest(manifest(tmp_path, 7.0), 1))


def test_only_a_stage_that_answers_about_a_manifest_has_an_encoder_that_stays(tmp_path: Path) -> None:
    model, own = tiny_model(), manifest(tmp_path, 0.1)
    source, world = source_of(RECIPE, 2, own), source_of(RECIPE, 2, None)
    kept = frozen_of(CONNECT, source, model, folder=tmp_path, precision="float32")
    assert kept is not None and kept.encoder is model.encoder
    assert kept.cache is not None and kept.cache.folder == tmp_path / "cache"
    plain = frozen_of(CONNECT, source, model, folder=None, precision="float32")
    assert plain is not None and plain.cache is None
    for stage, other in ((CONNECT, world), (replace(CONNECT, trains=("encoder", "bridge")), source), (TELL, source)):
        assert frozen_of(stage, other, model, folder=None, precision="float32") is None
    answer = objective_of(CONNECT, model, None, frozen=plain)
    assert isinstance(answer, Answer) and answer.frozen is plain


def test_an_encoder_that_does_not_learn_drops_nothing_out() -> None:
    model = tiny_model()
    for stage, learns in ((CONNECT, False), (replace(CONNECT, trains=("encoder",)), True)):
        set_trainable(stage, model, Answer(model))
        assert model.encoder.training == learns and model.bridge.training


def test_every_manifest_is_gone_through_once_for_the_model(tmp_path: Path) -> None:
    own = manifest(tmp_path, 0.5, 7.0)  # the encoder has positions for 6 s
    several = changed(2, data=Data("manifest", manifest=own))
    several = replace(several, stages=(several.stages[2], CONNECT, several.stages[2]))
    first, none, last = check_stages(several, tiny_model(), None)
    assert none is None and first is last and first is not None
    assert [str(fault) for fault in first.faults] == [
        "own.jsonl, line 2: 7.0 s are longer than 6 s (all that the encoder reads at once)"
    ]
    assert [manifest_of(several, i, None) for i in range(3)] == [own, None, own]
    assert len(source_of(several, 0, None, without=first.bad).items) == 1


def test_clips_that_are_kept_with_their_frames_teach_what_the_clips_themselves_teach(tmp_path: Path) -> None:
    model = tiny_model()
    source = World(3, 0, "train", {"instrument": 1.0})
    asked = (Asked(source.sample(i)) for i in range(8))
    write_kept(tmp_path / "kept", model.encoder, asked, identity="", show=lambda _: None)
    recipe = changed(2, data=Data("kept", kept=str(tmp_path / "kept")))
    kept = source_of(recipe, 2, None)
    assert isinstance(kept, Kept) and manifest_of(recipe, 2, None) is None
    frozen = frozen_of(recipe.stages[2], kept, model, folder=tmp_path, precision="float32")
    objective = objective_of(recipe.stages[2], model, None, frozen=frozen)
    sample = kept.sample(0)
    (like,) = (
        one
        for one in map(source.sample, range(8))
        if (one.answer, one.said, len(one.samples)) == (*(sample.answer, sample.said), len(sample.samples))
    )
    losses = []
    for lesson, one in ((objective, sample), (Answer(model), like)):
        batch = lesson.collate([lesson.item(one, np.random.default_rng(0))])
        losses.append(lesson.loss(model, batch)[0].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    before = model.bridge.output.linear.weight.detach().clone()
    enter(recipe, 2, model, objective_of(recipe.stages[2], model, None), kept)  # the bridge is new: it is calibrated
    assert not torch.equal(before, model.bridge.output.linear.weight)
