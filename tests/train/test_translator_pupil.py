"""A translator goes through the one training loop: stages, checkpoints, a folder at the end."""

import json
from pathlib import Path

import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.hub.translator import load_translator
from ossicle.train.loop import Run, run
from ossicle.train.recipe import read_recipe
from ossicle.train.translator_parts import characters_of, world_tokens

TINY = Path(__file__).with_name("tiny-translator.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    return run(TINY, out=out, device="cpu")


def test_a_run_ends_in_a_translator(trained: Path) -> None:
    model = load_translator(trained, device="cpu")
    origin = json.loads((trained / "origin.json").read_text())
    assert model.name == "tiny-translator" and model.languages == ("en", "fr", "de")
    assert origin["recipe_hash"] == read_recipe(TINY).hash and origin["data_hours"] >= 0.008
    assert {one["stage"] for one in origin["log"]} == {"hear", "interpret"}


def test_a_stage_moves_what_it_trains_and_nothing_else(tmp_path: Path) -> None:
    training = Run(read_recipe(TINY), tmp_path, minutes=None, data=None, device="cpu")
    before = {name: value.detach().clone() for name, value in training.model.named_parameters()}
    stage = training.recipe.stages[0]
    objective = training.pupil.objective(0)
    moved = {id(one) for one in training.pupil.trained(stage, objective)}
    named = {name for name, value in training.model.named_parameters() if id(value) in moved}
    assert named == {name for name in before if name.startswith("speech_encoder.")}
    assert moved > {id(one) for one in training.model.speech_encoder.parameters()}  # and the lesson's own heads
    assert {name.split(".")[0] for name in training.pupil.named()} == {
        *("speech_encoder", "text_encoder", "text_decoder", "shared")
    }


def test_stopped_and_gone_on_with_a_run_ends_as_one_that_was_not(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    first = Run(read_recipe(TINY), out, minutes=None, data=None, device="cpu")
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        first.stopping = steps >= 4  # inside the second stage

    count = first._count

    def counted(group):  # type: ignore[no-untyped-def]
        count(group)
        stop()

    first._count = counted  # type: ignore[method-assign]
    assert first.go() == out and first.place.stage == 1
    held = {name: value.detach().clone() for name, value in first.model.named_parameters()}
    second = Run(read_recipe(TINY), out, minutes=None, data=None, device="cpu")
    second._resume()
    assert all(torch.equal(value, held[name]) for name, value in second.model.named_parameters())
    assert second.place.stage == 1 and second.place.stage_steps == 2 and second.restored is not None
    origins = [
        json.loads((run(TINY, out=one, device="cpu") / "origin.json").read_text()) for one in (out, trained.parent)
    ]
    assert origins[0]["steps"] == origins[1]["steps"] and [len(one["segments"]) for one in origins] == [2, 1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hear.objective=answer", "with parts.translator, and only then"),
        ("hear.trains=[encoder]", "with parts.translator, and only then"),
        ("interpret.objective=recognise", "the objective recognise trains"),
        ("hear.data.tasks={fr-it: 1}", "a pair of languages reads en-fr, of en, fr, de"),
        ("hear.data.tasks={fr: 1}", "a pair of languages reads en-fr, of en, fr, de"),
        ("hear.data.tasks={fr-fr: 0}", "the pair fr-fr has the weight 0"),
        ("hear.data.source=manifest", "a translator learns from the world, it takes no manifest"),
        ("parts.translator.heads=3", "heads must divide the width"),
        ("parts.translator.text.vocabulary=20", "text.vocabulary of 20 is too small"),
        ("parts.translator.languages=[en, it]", "the world speaks en, fr, de, not it"),
        ("hear.checkpointing=true", "a translator has no gradient checkpointing"),
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
