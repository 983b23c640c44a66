"""Another ear under an LLM that is there: a new encoder and a new bridge learn, the LLM stays; the table that tells."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.encoders.w2v_bert import W2vBertEncoder, W2vBertSizes
from ossicle.errors import ConfigError
from ossicle.hub.folder import load, save
from ossicle.infer.ask import ask
from ossicle.train.checkpoint import newest
from ossicle.train.loop import run
from ossicle.train.onward import take_up
from ossicle.train.recipe import read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
SIZES = {"width": 16, "layers": 1, "heads": 2, "ffn": 16, "kernel": 3, "left": 4, "right": 2}
STAGES = ("hear-clean", "hear", "connect")


def tiny(*stages: str) -> tuple[str, ...]:
    """Overrides that make a shipped recipe a matter of seconds."""
    said = ("budget.audio_hours=0.004", "data.pool_items=6", "data.batch_s=10", "data.workers=1")
    return ("checkpoint_minutes=0.0", "precision=float32", *(f"{stage}.{one}" for stage in stages for one in said))


SWAP = (
    f"parts.encoder={json.dumps({'kind': 'w2v_bert', **SIZES})}",
    *tiny(*STAGES),
    *(f"{stage}.data.tasks={{sound: 1.0}}" for stage in STAGES),
)


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("swap") / "out"
    run(RECIPES / "swap-encoder.yaml", out=out, overrides=SWAP, device="cpu")
    return out


def unequal(one: torch.nn.Module, two: torch.nn.Module) -> set[str]:
    ours, theirs = one.state_dict(), two.state_dict()
    assert ours.keys() == theirs.keys()
    return {name for name in ours if not torch.equal(ours[name], theirs[name])}


def test_a_new_ear_is_trained_and_the_llm_stays_as_it_was_to_the_bit(swapped: Path) -> None:
    made, mini = load(swapped / "model", dtype="float32"), load("mini", dtype="float32")
    assert isinstance(made.encoder, W2vBertEncoder) and (made.name, made.pattern) == ("swap", "frozen")
    assert unequal(made.llm, mini.llm) == set() and made.context == mini.context
    assert (made.encoder.rate_hz, made.bridge.expected_hz(made.encoder.rate_hz)) == (50.0, 25.0)
    clip = Clip(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    assert ask(made, [clip], "what is said?", max_tokens=3).ledger.audio_tokens == 25


def test_every_stage_of_a_swap_learns_what_it_is_for(swapped: Path) -> None:
    lines = [json.loads(line) for line in (swapped / "log.jsonl").read_text().splitlines()]
    ends = [line for line in lines if line["share"] >= 1]
    assert [line["stage"] for line in ends] == list(STAGES)
    assert all(np.isfinite(line["loss"]) and line["norm"] > 0 and line["minutes"] > 0 for line in ends)
    found = newest(swapped / "checkpoints")
    assert found is not None and {name.split(".", 1)[0] for name in found.tensors["model"]} == {"encoder", "bridge"}
    assert {name.split(".", 1)[0] for name in found.tensors["heads"]} == {"norm", "letter", "phone", "mark"}


def test_a_swapped_model_is_read_again_and_taken_up_by_a_recipe_that_has_grown(swapped: Path, tmp_path: Path) -> None:
    made = load(swapped / "model", dtype="float32")
    assert made.encoder.settings()["config"] == W2vBertSizes(**SIZES).config()
    stored = newest(swapped / "checkpoints").tensors["model"]
    for name, value in made.named_parameters():
        if name in stored:
            assert torch.equal(value, stored[name].half().float()), name
    grown = (RECIPES / "swap-encoder.yaml").read_text()
    more = "  - {name: more, objective: answer, trains: [bridge], budget: {audio_hours: 1, share: 1}}\n"
    (tmp_path / "grown.yaml").write_text(grown + more)
    taken = take_up(str(swapped / "model"), read_recipe(tmp_path / "grown.yaml", SWAP))
    assert taken.stages == 3 and set(stored) < set(taken.weights)


def test_both_recipes_connect_with_the_same_lessons() -> None:
    swap, same = read_recipe(RECIPES / "swap-encoder.yaml"), read_recipe(RECIPES / "same-ear.yaml")
    ours, theirs = swap.stages[-1], same.stages[-1]
    assert (ours.data, ours.optimizer, ours.trains) == (theirs.data, theirs.optimizer, theirs.trains)
    assert ours.budget.audio_hours == theirs.budget.audio_hours and swap.parts.bridge == same.parts.bridge


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("swap_benchmark", ROOT / "benchmarks" / "swap.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def test_the_table_of_a_swap(swapped: Path, benchmark: Any, tmp_path: Path) -> None:
    same = tmp_path / "same"
    run(
        RECIPES / "same-ear.yaml",
        out=same,
        overrides=(*tiny("connect"), "connect.data.tasks={sound: 1.0}"),
        device="cpu",
    )
    out = tmp_path / "swap.md"
    arguments = ["--limit", "1", "--task", "sound", "--out", str(out)]
    benchmark.main([str(swapped), str(same), *arguments])
    text, told = out.read_text(), rows(out.read_text())
    assert f"python benchmarks/swap.py {swapped} {same} --limit 1 --task sound`" in text
    assert told["encoder"] == ["WhisperEncoder", "WhisperEncoder", "W2vBertEncoder"]
    assert told["LLM is mini's, bit by bit"] == ["yes"] * 3 and told["audio tokens a second"] == ["25"] * 3
    origin = json.loads((swapped / "model" / "origin.json").read_text())
    connect = next(one for one in reversed(origin["log"]) if one["stage"] == "connect")
    assert told["audio hours, stages that answer"][2] == f"{connect['audio_h']:.2f}"
    assert told["minutes, stages that answer"][2] == f"{connect['minutes']:.1f}"
    own = sum([one for one in origin["log"] if one["stage"] == name][-1]["audio_h"] for name in STAGES[:2])
    assert told["audio hours, its encoder's own stages"][1:] == ["-", f"{own:.2f}"]
    assert len(told["sound"]) == 2 + 3 + 3 + 1 and told["sound"][:2] == ["accuracy", "1"]
    assert "slice of transcribe" not in text and "Mean accuracy: mini as shipped" in text
    benchmark.main([str(swapped), str(tmp_path / "none"), *arguments])
    assert len(rows(out.read_text())["sound"]) == 2 + 2 + 3


def test_a_table_without_a_run_or_of_another_llm_is_refused(
    swapped: Path, benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main([str(tmp_path), "--out", str(tmp_path / "x.md")])
    assert "there is no finished run in" in capsys.readouterr().out and not (tmp_path / "x.md").exists()
    model = load(swapped / "model", dtype="float32")
    with torch.no_grad():
        model.table.weight[0] += 1.0
    (tmp_path / "other").mkdir()
    origin = json.loads((swapped / "model" / "origin.json").read_text())
    save(model, tmp_path / "other" / "model", origin=origin)
    with pytest.raises(ConfigError, match=r"the LLM of .* is not mini's: it was trained, or mini has changed since"):
        benchmark.main([str(tmp_path / "other"), str(tmp_path / "none")])
