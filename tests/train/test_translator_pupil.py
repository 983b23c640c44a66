"""A translator goes through the one training loop: stages, checkpoints, a folder at the end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ossicle.codec.units import Codebook
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub.translator import load_translator
from ossicle.simul.hearing import choices_of, hearing_of
from ossicle.train.loop import Run, run
from ossicle.train.recipe import read_recipe
from ossicle.train.timing import Timing
from ossicle.train.translator_parts import characters_of, world_tokens
from ossicle.train.translator_pupil import TranslatorPupil, pairs_of
from ossicle.train.utter import Utter, told
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.speaking import speak_ids
from ossicle.translate.speech_encoder import Chunks

TINY = Path(__file__).with_name("tiny-translator.yaml")
STAGES = [one.name for one in read_recipe(TINY).stages]
GAN = STAGES.index("vocode-gan")
"""The stage with discriminators."""
SIMUL = Path(__file__).parents[2] / "recipes" / "mini-simul.yaml"
NEW_VOICE = Path(__file__).parents[2] / "recipes" / "new-voice.yaml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run(TINY, out=out, device="cpu")


def test_a_run_ends_in_a_translator(trained: Path) -> None:
    model = load_translator(trained, device="cpu")
    origin = json.loads((trained / "origin.json").read_text())
    assert model.name == "tiny-translator" and model.languages == ("en", "fr", "de")
    assert origin["recipe_hash"] == read_recipe(TINY).hash and origin["data_hours"] >= 0.008
    assert [*dict.fromkeys(one["stage"] for one in origin["log"])] == STAGES
    speaks = ("unit_decoder", "vocoder", "codebook", "aligner")
    assert all(getattr(model, one) is not None for one in speaks)
    dropped = {name: part.p for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout) and part.p}
    assert dropped == {}
    with torch.no_grad():
        encoded = model.read([model.text.encode("Le chien.", "fr")])
        ids = model.text.tokens("Der Hund.")
        said = speak_ids(model, encoded, [ids], ["de"])
    assert said.samples.abs().max() > 0 and int(said.lengths[0]) == 320 * int(said.units.lengths[0])


def test_a_stage_that_translates_leaves_a_model_without_speech(trained: Path) -> None:
    model = load_translator(trained.parent / "stages" / "interpret", device="cpu")
    assert model.unit_decoder is None and model.vocoder is None and model.codebook is None and model.aligner is None
    assert not (trained.parent / "stages" / "hear").exists()  # which neither translates nor speaks


def test_the_ear_stays_as_it_was_while_speech_is_learned(trained: Path) -> None:
    before = dict(load_translator(trained.parent / "stages" / "simultaneous", device="cpu").named_parameters())
    after = dict(load_translator(trained, device="cpu").named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_simultaneous_stage_makes_what_it_needs_and_leaves_the_ear(trained: Path) -> None:
    before, after = (
        load_translator(trained.parent / "stages" / one, device="cpu") for one in ("interpret", "simultaneous")
    )
    assert before.hearing is None and before.choices is None
    hearing, choices = hearing_of(after), choices_of(after)
    assert hearing.chunks == Chunks(16, 7) and choices.ratio == 1 and torch.isfinite(hearing.variance).all()
    heard = [pairs_of(read_recipe(TINY), STAGES.index("simultaneous"), None).sample(i).samples for i in range(2)]
    banks = np.concatenate([after.banks.banks(one) for one in heard])
    assert np.allclose(hearing.mean.numpy(), banks.mean(0), atol=0.3)  # engines say a sentence a little otherwise again
    assert np.allclose(hearing.variance.numpy(), banks.var(0), rtol=0.1)
    moved = {
        name.split(".")[0]
        for name, value in before.named_parameters()
        if not torch.equal(value, dict(after.named_parameters())[name])
    }
    assert moved <= {"text_decoder", "shared"} and "text_decoder" in moved
    last = load_translator(trained, device="cpu")
    assert torch.equal(hearing_of(last).mean, hearing.mean)


def test_one_more_voice_moves_the_vocoder_alone(trained: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(NEW_VOICE.read_text())
    raw["parts"]["base"] = str(trained)
    raw["parts"]["speaker"]["sentences"] = 3
    raw["stages"][0] |= {"budget": {"audio_hours": 0.002, "share": 1}, "data": {"batch_s": 8, "pool_items": 4}}
    recipe = tmp_path / "voice.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    model = load_translator(run(recipe, out=tmp_path / "out", device="cpu"), device="cpu")
    base = load_translator(trained, device="cpu")
    assert isinstance(model.vocoder, QuickVocoder) and isinstance(base.vocoder, QuickVocoder)
    assert [*model.vocoder.speakers] == [*base.vocoder.speakers, "linda"]
    old = dict(base.named_parameters())
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not same(value, old[name])}
    assert moved == {"vocoder"}
    raw["parts"]["base"] = str(trained.parent / "stages" / "interpret")
    recipe.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="has no vocoder that takes one more speaker"):
        run(recipe, out=tmp_path / "mute", device="cpu")
    del raw["parts"]["speaker"]
    recipe.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=r"stage voice: .* has no codebook and no vocoder"):
        run(recipe, out=tmp_path / "mute", device="cpu")
    recipe.write_text(
        yaml.safe_dump({**raw, "parts": {"speaker": yaml.safe_load(NEW_VOICE.read_text())["parts"]["speaker"]}})
    )
    with pytest.raises(ConfigError, match=r"parts\.speaker is one more speaker"):
        run(recipe, out=tmp_path / "mute", device="cpu")


def test_a_model_whose_ear_changes_goes_on_to_speak_in_the_units_that_it_had(trained: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(SIMUL.read_text())
    raw["parts"]["base"] = str(trained)
    for stage in raw["stages"]:
        stage["budget"]["audio_hours"] = 0.003
        stage["data"] |= {"batch_s": 8, "pool_items": 4, "workers": 1}
        if "joined_s" in stage["data"]:
            stage["data"]["joined_s"] = 3
    recipe = tmp_path / "simul.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    folder = run(recipe, out=tmp_path / "out", device="cpu")
    model, base = (load_translator(one, device="cpu") for one in (folder, trained))
    assert model.codebook is None and model.aligner is None and model.vocoder is not None
    old = dict(base.named_parameters())
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not same(value, old.get(name, value))}
    assert moved == {"speech_encoder", "text_decoder", "shared", "lm_head", "unit_decoder", "choices"} - {"lm_head"}
    log = json.loads((folder / "origin.json").read_text())["log"]
    assert [*dict.fromkeys(one["stage"] for one in log)] == ["listen", "when", "utter"]

    pupil = TranslatorPupil(read_recipe(recipe))
    pupil.to(torch.device("cpu"))
    said = pairs_of(pupil.recipe, 2, None)
    pupil._attach_ears(Timing())
    hearing_of(pupil.model).learn(pupil.model, [said.sample(0).samples])
    objective = pupil.objective(2)
    assert isinstance(objective, Utter)
    batch = objective.collate([objective.item(said.sample(i), np.random.default_rng(0)) for i in range(2)])
    assert batch.heard and batch.coming is not None and not torch.equal(batch.coming.values, batch.features.values)
    with torch.no_grad():
        units = told(objective.ears[0], batch)[0]
        torch.nn.init.zeros_(pupil.model.speech_encoder.feature_projection.projection.weight)  # type: ignore[union-attr]
        assert torch.equal(told(objective.ears[0], batch)[0], units)  # another ear, which stays
    raw["stages"].append({**raw["stages"][-1], "name": "vocode", "objective": "vocode", "trains": ["vocoder"]})
    recipe.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=r"stage vocode: this recipe changes the ear of .*: only `utter` can be"):
        TranslatorPupil(read_recipe(recipe)).objective(3)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal, or grown by rows."""
    return torch.equal(one[: len(other)] if other.ndim else one, other)


def test_a_run_goes_on_from_the_folder_of_a_stage_with_other_sizes_of_what_speaks(
    trained: Path, tmp_path: Path
) -> None:
    raw = yaml.safe_load(TINY.read_text())
    raw["parts"]["translator"]["units"]["count"] += 4
    recipe = tmp_path / "more-units.yaml"
    recipe.write_text(yaml.safe_dump(raw))
    folder = trained.parent / "stages" / "simultaneous"
    again = run(recipe, out=tmp_path / "run", device="cpu", begun=str(folder))
    before, model = load_translator(folder, device="cpu"), load_translator(again, device="cpu")
    assert (
        isinstance(model.codebook, Codebook)
        and len(model.codebook.centroids) == raw["parts"]["translator"]["units"]["count"]
    )
    after = dict(model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.named_parameters())
    origin = json.loads((again / "origin.json").read_text())
    assert [*dict.fromkeys(one["stage"] for one in origin["log"])] == STAGES
    with pytest.raises(CheckpointError, match=r"differ") as refused:  # units are what it has learned
        run(recipe, out=tmp_path / "late", device="cpu", begun=str(trained.parent / "stages" / "utter"))
    assert refused.value.code == "key_mismatch"


def test_a_run_goes_on_from_a_stage_that_speaks(trained: Path, tmp_path: Path) -> None:
    folder = trained.parent / "stages" / "utter"
    again = load_translator(run(TINY, out=tmp_path / "run", device="cpu", begun=str(folder)), device="cpu")
    before = load_translator(folder, device="cpu")
    assert isinstance(again.codebook, Codebook) and isinstance(before.codebook, Codebook)
    assert torch.equal(again.codebook.centroids, before.codebook.centroids)
    after = dict(again.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.named_parameters())


def test_a_stage_moves_what_it_trains_and_nothing_else(tmp_path: Path) -> None:
    training = Run(read_recipe(TINY), tmp_path, minutes=None, data=None, device="cpu")
    before = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    stage = training.recipe.stages[1]
    assert isinstance(training.pupil, TranslatorPupil)
    objective = training.pupil.objective(1)
    moved = {id(one) for one in training.pupil.trained(stage, objective)}
    named = {name for name, value in training.model.named_parameters() if id(value) in moved}
    assert named == {name for name in before if name.startswith("speech_encoder.")}
    assert moved > {id(one) for one in training.model.speech_encoder.parameters()}  # and the lesson's own heads
    assert {name.split(".")[0] for name in training.pupil.named()} == {
        *("speech_encoder", "text_encoder", "text_decoder", "shared")
    }  # of what speaks nothing is there yet


def with_pretraining(tmp_path: Path, **pretraining: int | str) -> Path:
    """A recipe of two stages: sound alone, then what is said."""
    raw = yaml.safe_load(TINY.read_text())
    hear = raw["stages"][STAGES.index("hear")]
    raw["stages"] = [{**hear, "name": "listen", "objective": "pretrain", "pretraining": pretraining}, hear]
    path = tmp_path / "pretrained.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize("targets", ["learned", "random_projection"])
def test_a_stage_without_labels_moves_the_conformer_alone_and_goes_on_where_it_was(
    tmp_path: Path, targets: str
) -> None:
    recipe = read_recipe(with_pretraining(tmp_path, targets=targets, span=4, n_codes=8, code_width=8, n_negatives=6))
    out = tmp_path / "out"
    first = Run(recipe, out, minutes=None, data=None, device="cpu")
    before = {name: value.detach().clone() for name, value in first.model.named_parameters()}
    count = first._count

    def counted(group):  # type: ignore[no-untyped-def]
        count(group)
        first.stopping = True

    first._count = counted  # type: ignore[method-assign]
    first.go()
    after = dict(first.model.named_parameters())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved and all(name.startswith("speech_encoder.") for name in moved)
    assert any("feature_projection" in name for name in moved) and not any("adapter" in name for name in moved)
    assert first.heads["steps"] == 1 and any(name.startswith("guess.") for name in first.heads)
    second = Run(recipe, out, minutes=None, data=None, device="cpu")
    second.go()
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [*dict.fromkeys(one["stage"] for one in log)] == ["listen", "hear"]
    assert {"guess", "guess_right", "codes_used"} <= log[0].keys() and ("contrast" in log[0]) == (targets == "learned")
    assert load_translator(out / "model", device="cpu").speech_encoder is not None
    assert not (out / "stages").exists()  # neither stage translates or speaks


def test_pretraining_that_no_conformer_allows_is_refused_before_the_first_step(tmp_path: Path) -> None:
    for settings, message in (
        ({"layer": 2}, "there is no layer 2 to contrast"),
        ({"span": 0}, "at least 1, got span 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(with_pretraining(tmp_path, **settings), out=tmp_path / "out", device="cpu")
    with pytest.raises(ConfigError, match="the objective pretrain trains"):
        run(TINY, out=tmp_path / "out", device="cpu", overrides=("read.objective=pretrain",))
    with pytest.raises(ConfigError, match=r"pretraining\.targets"):
        run(with_pretraining(tmp_path, targets="guessed"), out=tmp_path / "out", device="cpu")


@pytest.mark.parametrize("stage", [*(pytest.param(one, marks=pytest.mark.slow) for one in (0, 2, 3)), GAN])
def test_stopped_and_gone_on_with_a_run_ends_as_one_that_was_not(trained: Path, tmp_path: Path, stage: int) -> None:
    out = tmp_path / "again"
    first = Run(read_recipe(TINY), out, minutes=None, data=None, device="cpu")

    def stop() -> None:
        first.stopping = first.place.stage == stage and first.place.stage_steps >= 1

    count = first._count

    def counted(group):  # type: ignore[no-untyped-def]
        count(group)
        stop()

    first._count = counted  # type: ignore[method-assign]
    assert first.go() == out and first.place.stage == stage
    held = {name: value.detach().clone() for name, value in first.model.state_dict().items()}
    second = Run(read_recipe(TINY), out, minutes=None, data=None, device="cpu")
    second._resume()
    assert all(torch.equal(value, held[name]) for name, value in second.model.state_dict().items())
    assert second.model.state_dict().keys() == held.keys() and (
        stage < STAGES.index("align") or "codebook.centroids" in held
    )
    assert second.place == first.place and second.place.stage_steps > 0 and second.restored is not None
    assert second.heads.keys() == first.heads.keys() and bool(first.heads) == (stage == GAN)
    assert all(torch.equal(value, first.heads[name]) for name, value in second.heads.items())
    made = run(TINY, out=out, device="cpu")
    origins = [json.loads((one / "origin.json").read_text()) for one in (made, trained)]
    assert [len(one["segments"]) for one in origins] == [2, 1]
    assert [[*dict.fromkeys(line["stage"] for line in one["log"])] for one in origins] == [STAGES] * 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hear.objective=answer", "of a translator, and only of one"),
        ("hear.trains=[encoder]", "of a translator, and only of one"),
        ("read.hear_weight=0.5", "hear_weight is for a stage that answers or interprets"),
        ("hear.trains=[text_encoder]", "the objective recognise trains"),
        ("hear.data.tasks={fr-it: 1}", "a pair of languages reads en-fr, of en, fr, de"),
        ("hear.data.tasks={fr: 1}", "a pair of languages reads en-fr, of en, fr, de"),
        ("hear.data.tasks={fr-fr: 0}", "the pair fr-fr has the weight 0"),
        ("hear.data.source=manifest", "a translator learns from the world, it takes no manifest"),
        ("parts.translator.heads=3", "heads must divide the width"),
        ("parts.translator.text.vocabulary=20", "text.vocabulary of 20 is too small"),
        ("parts.translator.languages=[en, it]", "the world speaks en, fr, de, not it"),
        ("hear.checkpointing=true", "a translator has no gradient checkpointing"),
        ("hear.vocoding={gan: true}", "vocoding is for a stage that vocodes"),
        ("hear.data.own_voice=1.5", r"hear: data\.own_voice is a share from 0 to 1 \(got 1\.5\)"),
        ("hear.data.abrupt=-1", r"hear: data\.abrupt is a share from 0 to 1 \(got -1\)"),
        ("align.data.own_voice=0.5", "align: data.own_voice is for a stage that recognises or interprets"),
        ("read.data.abrupt=0.5", "read: data.abrupt is for a stage that recognises or interprets"),
        ("hear.pretraining={span: 4}", "pretraining is for a stage that pretrains"),
        ("interpret.timing={ratio: 1}", r"timing is for a stage that is simultaneous \(got interpret\)"),
        ("interpret.trains=[choices]", "interpret: a simultaneous stage, and no other, trains choices"),
        ("simultaneous.trains=[text_decoder]", "simultaneous: a simultaneous stage, and no other, trains choices"),
        ("hear.data.joined_s=3", r"hear: data\.joined_s is for a stage that interprets, simultaneously or not"),
        ("interpret.data.joined_s=-1", r"interpret: data\.joined_s must be at least 0 \(got -1\)"),
        ("align.trains=[vocoder]", "the objective align trains"),
    ],
)
def test_what_a_translator_cannot_be_or_learn_is_said(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(TINY, out=tmp_path / "out", device="cpu", overrides=(override,))
    assert not (tmp_path / "out" / "model").exists()


def test_the_worlds_tokens_write_what_the_world_says() -> None:
    text = world_tokens(("en", "fr", "de"), 300, sentences=500)
    for sentence in ("The dog is here.", "L'âne est là ?", "Wo ist die Tür?"):
        assert text.decode(text.tokens(sentence)).replace(" ", "") == sentence.replace(" ", "")
    letters = characters_of(text)
    assert letters["<pad>"] == 0 and letters["<unk>"] == 1 and {"▁", "a", "é", "ß"} <= letters.keys()
    assert sorted(letters.values()) == list(range(len(letters)))
    assert world_tokens(("en", "fr", "de"), 300, sentences=500).tokenizer.to_str() == text.tokenizer.to_str()
