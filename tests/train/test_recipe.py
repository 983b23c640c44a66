"""Recipes: read from YAML, checked to the last key, changed by single overrides."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ossicle.encoders.w2v_bert import W2vBertSizes
from ossicle.encoders.whisper import WhisperSettings
from ossicle.errors import ConfigError, FetchError
from ossicle.train.recipe import Recipe, read_recipe
from ossicle.train.recipe_parts import BridgePart, FormPart, LlmPart, Parts, said_of_parts
from ossicle.train.recipe_stages import Data, Gate, Optimizer

TINY = Path(__file__).with_name("tiny.yaml")
RECIPES = [path for path in sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml")) if "sweep" not in path.stem]
STAGE = {"name": "a", "objective": "answer", "trains": ["bridge"], "budget": {"audio_hours": 1, "share": 1}}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "parts": {"base": "mini"}, "stages": [STAGE], **changes}))
    return path


def staged(folder: Path, **changes: object) -> Path:
    return written(folder, stages=[{**STAGE, **changes}])


def test_a_recipe_becomes_settings_with_defaults() -> None:
    recipe = read_recipe(TINY)
    assert (recipe.name, recipe.seed, recipe.precision, recipe.checkpoint_minutes) == ("tiny", 3, "float32", 0.0)
    assert recipe.parts.encoder == WhisperSettings(16, 1, 2, 32, max_frames=300, final_norm=False)
    assert recipe.parts.bridge == BridgePart() and recipe.parts.base is None
    assert recipe.parts.llm == LlmPart(width=16, layers=1, heads=2, kv_heads=1, ffn=32, context=400)
    assert [stage.name for stage in recipe.stages] == ["hear", "tell", "connect", "tune"]
    tune = recipe.stages[3]
    assert tune.trains == ("encoder", "bridge", "lora") and (tune.hear_weight, tune.lora_rank) == (0.5, 2)
    assert tune.optimizer == Optimizer(accumulate=2) and tune.gate == Gate()
    assert tune.data == Data(pool_items=6, batch_s=10)


def test_a_kind_makes_the_encoder_another_than_whisper() -> None:
    recipe = read_recipe(TINY, ("parts.encoder={kind: w2v_bert, width: 24, heads: 3}",))
    assert recipe.parts.encoder == W2vBertSizes(width=24, heads=3)
    assert read_recipe(TINY, ("parts.encoder={width: 24}",)).parts.encoder == WhisperSettings(width=24)
    assert TypeAdapter(Recipe).validate_python(asdict(recipe)) == recipe  # as origin.json tells it
    told = said_of_parts(recipe.parts)["encoder"]
    assert told["kind"] == "w2v_bert" and told["ffn"] == 512


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_shipped_recipes_are_read(path: Path) -> None:
    assert read_recipe(path).stages


def test_hashes_follow_what_is_said() -> None:
    plain, same = read_recipe(TINY), read_recipe(TINY)
    assert plain.hash == same.hash and len(plain.hash) == 12
    other = read_recipe(TINY, ("tune.lora_rank=4",))
    assert other.hash != plain.hash
    assert [other.stage_hash(i) == plain.stage_hash(i) for i in range(4)] == [True, True, True, False]
    for change in ("seed=4", "parts.llm.ffn=48"):
        assert read_recipe(TINY, (change,)).stage_hash(0) != plain.stage_hash(0)
    assert read_recipe(TINY, ("summary=words",)).stage_hash(0) == plain.stage_hash(0)


def test_overrides_change_single_values_of_one_stage() -> None:
    recipe = read_recipe(TINY, ("hear.data.batch_s=7", "seed=9", "parts.encoder.layers=2", "tune.gate.loss=1.5"))
    assert [stage.data.batch_s for stage in recipe.stages] == [7, 10, 10, 10]  # one YAML mapping serves all four
    assert (recipe.seed, recipe.parts.encoder.layers, recipe.stages[3].gate.loss) == (9, 2, 1.5)
    assert read_recipe(TINY, ("tell.data.tasks={count: 1.0}",)).stages[1].data.tasks == {"count": 1.0}


@settings(deadline=None, max_examples=50)
@given(value=st.one_of(st.integers(1, 10**6), st.floats(1e-6, 1e6)), stage=st.sampled_from(["hear", "tune"]))
def test_any_number_arrives_as_it_was_given(value: float, stage: str) -> None:
    recipe = read_recipe(TINY, (f"{stage}.budget.audio_hours={value!r}",))
    assert [one.budget.audio_hours == float(value) for one in recipe.stages if one.name == stage] == [True]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "an override reads stage.key=value, got 'seed'"),
        ("speech.k=1", r"'speech.k=1' names no stage and no part of the recipe; stages are hear, tell, connect, tune"),
        ("tune.objective.deep=1", "'tune.objective.deep=1': objective holds a value, not a mapping"),
        ("seed=[1", r"'seed=\[1': the value is not YAML"),
        ("tune=5", "unknown key tune"),
        ("colour=red", "unknown key colour"),
        ("tune.colour=red", "unknown key stages.3.colour"),
        ("seed=many", "seed: .*valid integer.* \\(got 'many'\\)"),
    ],
)
def test_an_override_that_names_nothing_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(TINY, (override,))
    assert caught.value.code == ("unknown_key" if "unknown key" in message else "bad_value")


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("colour", {"colour": 1}),
        ("parts.colour", {"parts": {"colour": 1}}),
        ("parts.encoder.colour", {"parts": {"encoder": {"colour": 1}}}),
        ("parts.encoder.n_mels", {"parts": {"encoder": {"kind": "w2v_bert", "n_mels": 80}}}),
        ("parts.encoder.kernel", {"parts": {"encoder": {"kernel": 3}}}),
        ("parts.bridge.colour", {"parts": {"bridge": {"colour": 1}}}),
        ("parts.llm.colour", {"parts": {"llm": {"colour": 1}}}),
        *(
            (f"stages.0.{part}.colour", {"stages": [{**STAGE, part: {**inner, "colour": 1}}]})
            for part, inner in (("data", {}), ("budget", STAGE["budget"]), ("optimizer", {}), ("gate", {}))
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_place(tmp_path: Path, place: str, changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"r\.yaml: unknown key {place}") as caught:
        read_recipe(written(tmp_path, **changes))
    assert caught.value.code == "unknown_key"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"objective": "sing"},
            r"stages\.0\.objective: Input should be 'hear', 'tell', 'answer', 'pretrain', .* \(got 'sing'\)",
        ),
        (
            {"trains": ["tail"]},
            r"stages\.0\.trains\.0: Input should be 'encoder', 'bridge', 'llm', 'lora', 'speech_encoder'",
        ),
        ({"budget": None}, r"stages\.0\.budget"),
        ({"trains": []}, "a: trains names nothing"),
        ({"trains": ["llm", "lora"]}, "a: trains names both llm and lora"),
        ({"name": "a/b"}, "a stage's name is letters, digits, - and _ .got 'a/b'"),
        ({"budget": {"audio_hours": 0, "share": 1}}, r"a: budget\.audio_hours must be above 0 \(got 0\)"),
        ({"budget": {"audio_hours": 1, "share": -1}}, r"a: budget\.share must be above 0 \(got -1\)"),
        ({"data": {"pool_items": 0}}, r"a: data\.pool_items must be above 0"),
        ({"data": {"batch_s": 0.0}}, r"a: data\.batch_s must be above 0"),
        ({"data": {"max_clip_s": -1.0}}, r"a: data\.max_clip_s must be above 0"),
        ({"data": {"cache_gb": 0}}, r"a: data\.cache_gb must be above 0"),
        ({"data": {"cache": 3}}, r"stages\.0\.data\.cache"),
        ({"data": {"source": "kept"}}, r"a: data\.kept names a folder of clips with their frames, for source: kept"),
        ({"data": {"kept": "x"}}, r"a: data\.kept names a folder of clips with their frames, for source: kept"),
        (
            {"objective": "answer", "trains": ["encoder"], "data": {"source": "kept", "kept": "x"}},
            "a: clips that are kept with their frames are for a stage that answers and leaves the encoder as it is",
        ),
        ({"data": {"workers": -1}}, r"a: data\.workers must be at least 0 \(got -1\)"),
        ({"optimizer": {"accumulate": 0}}, r"a: optimizer\.accumulate must be above 0"),
        ({"optimizer": {"lr": 0.0}}, r"a: optimizer\.lr must be above 0"),
        ({"optimizer": {"lr": float("inf")}}, r"a: optimizer\.lr must be a finite number \(got inf\)"),
        ({"optimizer": {"final": -5}}, r"a: optimizer\.final is a share from 0 to 1 \(got -5\)"),
        ({"optimizer": {"final": 1.5}}, r"a: optimizer\.final is a share from 0 to 1 \(got 1\.5\)"),
        ({"gate": {"loss": float("nan")}}, r"a: gate\.loss must be a finite number \(got nan\)"),
        ({"encoder_lr": -1}, r"a: encoder_lr must be above 0 \(got -1\)"),
        ({"encoder_lr": float("nan")}, r"a: encoder_lr must be a finite number \(got nan\)"),
        ({"data": {"tasks": {"sound": float("inf")}}}, r"a: data\.tasks\.sound must be a finite number \(got inf\)"),
        ({"optimizer": {"warmup": 1.0}}, r"a: optimizer\.warmup and hold are shares, together below 1 \(got 1 and 0\)"),
        ({"optimizer": {"warmup": 0.5, "hold": 0.5}}, r"a: optimizer\.warmup and hold .*\(got 0\.5 and 0\.5\)"),
    ],
)
def test_a_bad_value_of_a_stage_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_recipe(staged(tmp_path, **changes))
    assert caught.value.code == "bad_value"


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"there is no recipe file .*none\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nparts: [\n")
    with pytest.raises(ConfigError, match=r"r\.yaml is not YAML, line 3"):
        read_recipe(path)
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"r\.yaml is not UTF-8 text"):
        read_recipe(path)
    path.write_text("just words")
    with pytest.raises(ConfigError, match=r"r\.yaml must hold a mapping with name, parts and stages"):
        read_recipe(path)
    with pytest.raises(ConfigError, match="a recipe needs at least one stage"):
        read_recipe(written(tmp_path, stages=[]))
    with pytest.raises(ConfigError, match="two stages have the same name: a, a"):
        read_recipe(written(tmp_path, stages=[STAGE, STAGE]))
    with pytest.raises(ConfigError, match=r"holdout is a share from 0 to below 1 \(got 1\)"):
        read_recipe(written(tmp_path, holdout=1.0))
    with pytest.raises(ConfigError, match="unknown key b"):
        read_recipe(written(tmp_path, stages=None), ("b=1",))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "seed must be at least 0"),
        (f"seed={2**64}", "seed must be at least 0 and fit into 64 bits"),
        ("checkpoint_minutes=.inf", r"checkpoint_minutes must be a finite number \(got inf\)"),
        ("parts.llm.dropout=.nan", r"parts\.llm\.dropout must be a finite number"),
        ("checkpoint_minutes=-1", "checkpoint_minutes must be at least 0"),
        ("parts.llm.layers=0", "parts.llm.layers must be above 0"),
        ("parts.llm.kv_heads=3", "parts.llm: kv_heads must divide heads"),
        ("parts.llm.width=18", "parts.llm: kv_heads must divide heads, and twice the heads the width"),
        ("parts.encoder.ffn=0", "parts.encoder.ffn must be above 0"),
        ("parts.encoder.n_mels=5", "parts.encoder.n_mels is one of 80, 128"),
        ("parts.encoder.heads=3", "parts.encoder: the width is even and heads divide it"),
        ("parts.encoder.max_frames=0", "parts.encoder.max_frames must be above 0"),
        (
            "parts.encoder={kind: wav2vec2}",
            "parts.encoder: the kind of a new encoder is w2v_bert; without a kind it is",
        ),
        ("parts.encoder={kind: w2v_bert, width: wide}", "parts.encoder.width: .*valid integer"),
        ("parts.encoder={kind: w2v_bert, kernel: 4}", r"parts.encoder.kernel must be odd \(got 4\)"),
        ("parts.encoder={kind: w2v_bert, kernel: 0}", "parts.encoder.kernel must be above 0"),
        ("parts.encoder={kind: w2v_bert, left: 0}", "parts.encoder.left must be above 0"),
        ("parts.encoder={kind: w2v_bert, right: 0}", "parts.encoder.right must be above 0"),
        ("parts.encoder={kind: w2v_bert, heads: 5}", "parts.encoder: the width is even and heads divide it"),
        ("parts.bridge.k=0", "parts.bridge: k and hidden must be above 0"),
        ("parts.bridge={kind: stack_swiglu, tail: drop}", r"stack_swiglu fills its tail with zeros.*'drop' and 512"),
        ("parts.bridge={kind: stack_swiglu, hidden: 7}", r"stack_swiglu .* halves hidden, which is even .*and 7\)"),
        ("parts.bridge={kind: attention_pool, tail: drop}", "attention_pool reads .* names no tail .*got 'drop'"),
        ("parts.bridge={kind: qformer, tail: zero}", "qformer reads the frames that are there, so it names no tail"),
        ("parts.bridge={kind: qformer, k: 3}", r"qformer reads the whole clip, so it names no k \(got 3\)"),
        ("parts.bridge={queries: 2}", "queries is of attention_pool, qformer, window_qformer, not of mean_pool"),
        ("parts.bridge={kind: conv, heads: 2}", "parts.bridge: heads is of attention_pool, qformer, .*, not of conv"),
        ("parts.bridge={kind: attention_pool, layers: 2}", "layers is of qformer, .*, not of attention_pool"),
        ("parts.bridge={kind: qformer, layers: 0}", r"parts.bridge.layers must be above 0 \(got 0\)"),
        ("parts.bridge={kind: cochlea}", "parts.bridge.kind: Input should be 'mean_pool', .*got 'cochlea'"),
        ("parts.bridge={kind: conv, kernel: 3}", "unknown key parts.bridge.kernel"),
        ("parts.bridge={form: granit}", "parts.bridge.form: Input should be 'qwen_audio', .*got 'granit'"),
        ("parts.bridge={form: granite, k: 15}", "unknown key parts.bridge.k"),
        ("parts.bridge=granite", "parts.bridge: .*got 'granite'"),
        ("parts.bridge={kind: ctc, tail: drop}", r"parts.bridge: ctc does not read tail \(got 'drop'\)"),
        ("parts.bridge={kind: cif, mode: drop}", r"parts.bridge: cif does not read mode \(got 'drop'\)"),
        ("parts.bridge={kind: merging, hidden: 8}", r"parts.bridge: merging does not read hidden \(got 8\)"),
        ("parts.bridge={kind: merging, own_weight: 2}", r"parts.bridge: merging does not read own_weight \(got 2.0\)"),
        ("parts.bridge={kind: matryoshka, norm_in: false}", r"matryoshka does not read norm_in \(got False\)"),
        ("parts.bridge.keep_blanks=true", r"parts.bridge: mean_pool does not read keep_blanks \(got True\)"),
        ("parts.bridge={kind: q_former}", "parts.bridge.kind: Input should be 'mean_pool'"),
        ("parts.bridge.theta=0.5", "unknown key parts.bridge.theta"),
        ("hear.trains=[llm]", r"hear: the objective hear trains \[encoder\] \(got \[llm\]\)"),
        ("tell.trains=[encoder]", r"tell: the objective tell trains \[llm\]"),
        ("hear.prompts=tags", "hear: prompts: tags ask the tasks of the world, in a stage that tells or answers"),
        ("connect.lora_targets=q_proj", "connect: lora_targets is for a stage that trains lora"),
        ("tune.lora_rank=0", "tune: lora_rank must be above 0"),
        ("tune.optimizer.clip_norm=0", "tune: optimizer.clip_norm must be above 0"),
        ("tune.optimizer.weight_decay=-1", "tune: optimizer.weight_decay must be at least 0"),
        ("tune.optimizer.beta2=2", "tune: optimizer.beta2 is from 0 to below 1"),
        ("tune.hear_weight=-1", "tune: hear_weight must be at least 0"),
    ],
)
def test_numbers_that_nothing_can_be_made_of_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_recipe(TINY, (override,))


def test_a_bridge_is_named_by_its_kind_or_as_a_published_form() -> None:
    assert read_recipe(TINY, ("parts.bridge={form: granite}",)).parts.bridge == FormPart("granite")
    said = "parts.bridge={kind: window_qformer, k: 15, queries: 3, tail: zero, layers: 2, heads: 4, hidden: 64}"
    wanted = BridgePart("window_qformer", 15, "zero", 64, queries=3, layers=2, heads=4)
    assert read_recipe(TINY, (said,)).parts.bridge == wanted


@pytest.mark.parametrize("stages", [5, [{"name": ["a"]}]])
def test_an_override_bears_stages_that_are_none(tmp_path: Path, stages: object) -> None:
    with pytest.raises(ConfigError):
        read_recipe(written(tmp_path, stages=stages), ("a.data.workers=1",))


def test_a_recipe_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(FetchError, match=r"the recipe .*tiny\.yaml cannot be read: Permission denied"):
        read_recipe(TINY)


def test_tags_do_not_ask_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a: prompts: tags ask the tasks of the world"):
        read_recipe(staged(tmp_path, prompts="tags", data={"source": "manifest", "manifest": "m.jsonl"}))


def test_an_option_that_is_not_used_leaves_a_runs_identity_as_it_was() -> None:
    plain = Parts(encoder=WhisperSettings(), bridge=BridgePart(), llm=LlmPart())
    said = said_of_parts(plain)
    assert set(said) == {"base", "encoder", "bridge", "llm"} and not {"window", "chunks"} & set(said["encoder"])
    assert not {"queries", "layers", "heads"} & set(said["bridge"])
    attends = replace(plain, bridge=BridgePart("attention_pool", queries=2))
    assert said_of_parts(attends)["bridge"]["queries"] == 2 and "heads" not in said_of_parts(attends)["bridge"]
    assert said_of_parts(replace(plain, bridge=FormPart("slam")))["bridge"] == {"form": "slam"}
    assert said_of_parts(replace(plain, bridge=None))["bridge"] is None
    for option in ("window", "chunks"):
        assert said_of_parts(replace(plain, encoder=WhisperSettings(**{option: True})))["encoder"][option]
    assert said_of_parts(replace(plain, context=99)) != said
    assert set(said["bridge"]) == {"kind", "k", "tail", "hidden", "norm_in", "output_norm"}
    for option in ({"mode": "drop"}, {"keep_blanks": True}, {"own_weight": 0.5}):
        assert said_of_parts(replace(plain, bridge=BridgePart("ctc", **option)))["bridge"].items() >= option.items()


def test_where_frames_are_kept_is_no_part_of_a_runs_identity(tmp_path: Path) -> None:
    plain = read_recipe(staged(tmp_path))
    assert (plain.stages[0].data.cache, plain.stages[0].data.cache_gb) == (True, 20.0)
    for override, cache in (("false", False), ("some/folder", "some/folder"), ("true", True)):
        other = read_recipe(staged(tmp_path), (f"a.data.cache={override}", "a.data.cache_gb=3"))
        assert other.stages[0].data.cache == cache and other.stage_hash(0) == plain.stage_hash(0)


def test_the_stages_of_the_shipped_model_keep_their_identity() -> None:
    """Runs of it that were begun go on: a new option must leave these as they are."""
    recipe = read_recipe(next(path for path in RECIPES if path.stem == "mini"))
    hashes = [recipe.stage_hash(i) for i in range(len(recipe.stages))]
    assert hashes[:4] == ["2a4d0548704b", "1a18fd5eb3d0", "f2519c00c7aa", "fea14a2fd27e"]
    assert hashes[4:8] == ["50983f03182c", "204963a2b730", "4c9670f6563b", "efb19b8c6465"]


@pytest.mark.parametrize("override", ["tune.lora_targets=q_proj", "tune.checkpointing=true", "tune.prompts=tags"])
def test_an_option_of_a_stage_that_is_used_is_part_of_its_identity(override: str) -> None:
    hashes = [read_recipe(TINY, change).stage_hash(3) for change in ((), (override,))]
    assert hashes[0] == "7c5e20a1f64c" != hashes[1]


def test_a_frame_of_a_translator_holds_an_even_number_of_filter_banks() -> None:
    path = Path(__file__).parents[2] / "recipes" / "mini-translate.yaml"
    assert read_recipe(path).parts.translator is not None
    with pytest.raises(ConfigError, match=r"speech\.stack must be even, .* \(got 3\)"):
        read_recipe(path, ("parts.translator.speech.stack=3",))
