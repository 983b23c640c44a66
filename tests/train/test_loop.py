"""The loop: four stages to a model that answers, and every way in which a run may stop and go on."""

import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file

from ossicle.audio.clip import Clip
from ossicle.errors import CheckpointError, ConfigError, DataError, RequestError, StorageError, TrainingError
from ossicle.hub.folder import load, save
from ossicle.infer.ask import ask
from ossicle.train import audio_pupil
from ossicle.train.checkpoint import Checkpoint, newest, read
from ossicle.train.checkpoint import save as save_checkpoint
from ossicle.train.loop import MAX_BAD_STEPS, Run, run
from ossicle.train.process import stop_on_signal
from ossicle.train.recipe import Recipe, read_recipe
from ossicle.train.sources import World
from ossicle.train.stage import enter, new_optimizer, set_trainable

from .support import TINY, tiny_model, tiny_recipe

CHAIN = ("hear.gate.loss=1000000", "tune.budget.audio_hours=0.015")
"""What every run of the one folder that most tests look at has in common."""
LONG = "hear.budget.audio_hours=9"


def train(out: Path, *overrides: str, recipe: Path = TINY, **arguments: object) -> Path:
    return run(recipe, out=out, overrides=overrides, device="cpu", **arguments)


def steps(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "checkpoints").glob("*"))


def last_step(out: Path) -> int:
    return max((int(name) for name in steps(out) if name.isdigit()), default=0)


def wait_for(holds: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


@dataclasses.dataclass
class Trained:
    out: Path
    model: Path
    before: Checkpoint
    """When encoder and LLM were trained, before the bridge was."""
    middle: Checkpoint
    """When the bridge was trained, before all were tuned."""
    tuning: Checkpoint
    """In the middle of the last stage, with a LoRA on the LLM."""
    end: Checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One run in three pieces: a stage that cannot begin stops it, and the same command goes on."""
    out = tmp_path_factory.mktemp("run") / "out"
    found = []
    for stage in ("connect", "tune"):

        def enter_but(recipe: Recipe, index: int, *rest: Any, never: str = stage) -> None:
            if recipe.stages[index].name == never:
                raise DataError(f"{never} cannot begin")
            enter(recipe, index, *rest)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(audio_pupil, "enter", enter_but)
            with pytest.raises(DataError, match=f"{stage} cannot begin"):
                train(out, *CHAIN)
        found.append(newest(out / "checkpoints"))
    model = train(out, *CHAIN)
    tuning, end = (read(out / "checkpoints" / name) for name in steps(out))
    return Trained(out, model, *found, tuning, end)


def parts(checkpoint: Checkpoint, *names: str) -> dict[str, torch.Tensor]:
    tensors = checkpoint.tensors["model"]
    found = {name: value for name, value in tensors.items() if name.split(".", 1)[0] in names}
    assert found
    return found


def unequal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> set[str]:
    assert one.keys() == two.keys()
    return {name for name in one if not torch.equal(one[name], two[name])}


def test_a_run_ends_in_a_model_that_answers(trained: Trained) -> None:
    assert trained.model == trained.out / "model"
    model = load(str(trained.model))
    clip = Clip(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    answer = ask(model, [clip], "what is said?", max_tokens=4)
    assert isinstance(answer.text, str)
    assert answer.ledger.seconds_given == 1.0 and answer.ledger.audio_tokens == 25
    assert (model.name, model.pattern) == ("tiny", "lora")
    assert load(str(trained.out / "stages" / "connect")).pattern == "frozen"
    assert load(str(trained.out / "stages" / "tune")).pattern == "lora"


def test_a_run_tells_where_its_model_comes_from(trained: Trained) -> None:
    origin = json.loads((trained.model / "origin.json").read_text())
    recipe = tiny_recipe(*CHAIN)
    assert (origin["recipe_hash"], origin["seed"], origin["steps"]) == (recipe.hash, 3, last_step(trained.out))
    assert origin["recipe"]["stages"][3]["name"] == "tune"
    assert origin["data_hours"] == pytest.approx(0.008 * 3 + 0.015, abs=0.02)
    assert 0 < origin["cpu_hours"] < 1
    assert [one["from_step"] for one in origin["segments"]][1:] == [
        trained.before.state["place"]["step"],
        trained.middle.state["place"]["step"],
    ]
    lines = [json.loads(line) for line in (trained.out / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines if line["share"] >= 1] == ["hear", "tell", "connect", "tune"]
    assert all(math.isfinite(line["loss"]) and line["norm"] > 0 and line["lr"] > 0 for line in lines)


def test_connect_leaves_encoder_and_llm_as_they_were_to_the_bit(trained: Trained) -> None:
    assert unequal(parts(trained.before, "encoder", "llm"), parts(trained.middle, "encoder", "llm")) == set()
    assert len(unequal(parts(trained.before, "bridge"), parts(trained.middle, "bridge"))) >= 2
    assert unequal(dict(trained.before.tensors["heads"]), dict(trained.middle.tensors["heads"])) == set()
    stored = dict(load(str(trained.out / "stages" / "connect"), dtype="float32").named_parameters())
    frozen = parts(trained.before, "encoder", "llm")
    assert frozen.keys() < stored.keys()
    assert all(torch.equal(stored[name], value.half().float()) for name, value in frozen.items())


def test_tune_changes_the_encoder_the_bridge_and_what_lora_is_for(trained: Trained) -> None:
    llm = unequal(parts(trained.middle, "llm"), parts(trained.end, "llm"))
    assert llm == {name for name in parts(trained.middle, "llm") if name.endswith("_proj.weight")}
    assert len(unequal(parts(trained.middle, "bridge"), parts(trained.end, "bridge"))) >= 2
    encoder = unequal(parts(trained.middle, "encoder"), parts(trained.end, "encoder"))
    assert "encoder.tower.conv1.weight" in encoder and "encoder.tower.embed_positions.weight" not in encoder
    assert unequal(dict(trained.middle.tensors["heads"]), dict(trained.end.tensors["heads"]))


def test_under_a_lora_the_llm_itself_is_as_it_was_to_the_bit(trained: Trained) -> None:
    wrapped = parts(trained.tuning, "llm")
    lora = {name for name in wrapped if "lora_" in name}
    assert any("lora_B" in name and wrapped[name].abs().sum() > 0 for name in lora)
    own = {
        name.replace("base_model.model.", "", 1).replace(".base_layer", ""): value
        for name, value in wrapped.items()
        if name not in lora
    }
    assert unequal(own, parts(trained.middle, "llm")) == set()


def test_a_finished_run_is_not_trained_again(trained: Trained) -> None:
    log, names = (trained.out / "log.jsonl").read_text(), steps(trained.out)
    assert train(trained.out, *CHAIN) == trained.model
    assert (trained.out / "log.jsonl").read_text() == log and steps(trained.out) == names


@pytest.mark.parametrize(
    ("change", "stage"),
    [("hear.optimizer.lr=0.1", 1), ("tune.lora_rank=4", 4), ("seed=4", 1), ("parts.llm.ffn=48", 1)],
)
def test_a_run_of_another_recipe_is_refused(trained: Trained, change: str, stage: int) -> None:
    with pytest.raises(
        CheckpointError, match=f"made by another recipe: parts, seed, stage {stage} or its data differ"
    ) as caught:
        train(trained.out, *CHAIN, change)
    assert caught.value.code == "key_mismatch"


def test_frozen_weights_that_changed_are_told(tmp_path: Path) -> None:
    """No checkpoint holds them, so a run knows by what it was begun with."""
    base = save(tiny_model(), tmp_path / "base")
    recipe, named, out = only_connect(tmp_path), f"parts={{base: {base}}}", tmp_path / "out"
    assert train(out, named, recipe=recipe) == train(out, named, recipe=recipe)
    for part, told in (("llm/model", "llm"), ("encoder", "encoder and the llm")):
        file = base / f"{part}.safetensors"
        save_file({name: 3 * value for name, value in load_file(file).items()}, file, {"format": "pt"})
        with pytest.raises(CheckpointError, match=f"the weights of the {told} are not those that the run in") as caught:
            train(out, named, recipe=recipe)
        assert caught.value.code == "key_mismatch"


def only_connect(folder: Path, **stage: object) -> Path:
    """The tiny recipe with one stage, the bridge's."""
    raw = yaml.safe_load(TINY.read_text())
    raw["stages"] = [{**raw["stages"][2], **stage}]
    path = folder / "connect.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_a_recipe_with_fewer_stages_than_the_run_is_refused(trained: Trained, tmp_path: Path) -> None:
    raw = yaml.safe_load(TINY.read_text())
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump({**raw, "stages": raw["stages"][:3]}))
    with pytest.raises(CheckpointError, match="parts, seed, stage 4 or its data differ"):
        train(trained.out, CHAIN[0], recipe=path)


@pytest.mark.parametrize(
    ("minutes", "hours", "message"),
    [
        (0.0, 9, "a weight in model is not finite: nothing is saved, the last checkpoint stays"),
        (5.0, 9, f"{MAX_BAD_STEPS} steps in a row gave no finite loss; the last checkpoint stays"),
        (5.0, 0.008, r"stage connect ends with a step that gave no finite loss \(\d in a row\): it is not done"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_run_and_is_never_saved(
    trained: Trained, tmp_path: Path, minutes: float, hours: float, message: str
) -> None:
    tensors = {group: dict(values) for group, values in trained.before.tensors.items()}
    tensors["model"]["llm.model.norm.weight"] = torch.full((16,), float("nan"))
    step = trained.before.state["place"]["step"]
    save_checkpoint(tmp_path / "checkpoints", step, Checkpoint(tensors, trained.before.state))
    overrides = (*CHAIN, f"connect.budget.audio_hours={hours}", f"checkpoint_minutes={minutes}")
    with pytest.raises(TrainingError, match=message) as caught:
        train(tmp_path, *overrides)
    assert caught.value.code == "diverged"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [f"{step:08d}"]  # and nothing half-written
    assert read(tmp_path / "checkpoints" / f"{step:08d}").state == trained.before.state  # by its hashes unharmed
    assert not (tmp_path / "stages").exists() and not (tmp_path / "model").exists()


def test_a_step_without_a_finite_loss_is_left_out(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    training = Run(recipe, tmp_path, minutes=None, data=None, device="cpu")
    stage, objective = recipe.stages[0], training.pupil.lasting
    moving = set_trainable(stage, training.model, objective)
    optimizer = new_optimizer(stage, training.model, objective, moving)

    def update(value: float, loss: float) -> set[int]:
        """Which weights an update moves."""
        before = [one.detach().clone() for one in moving]
        for one in moving:
            one.grad = torch.full_like(one, value)
        told = training._update(stage, optimizer, moving, {"loss": loss})
        assert all(one.grad is None for one in moving) and told["lr"] > 0
        return {i for i, one in enumerate(moving) if not torch.equal(one, before[i])}

    for bad, (value, loss) in enumerate([(float("nan"), 1.0), (1.0, float("nan")), (float("inf"), 1.0)], 1):
        assert update(value, loss) == set() and training.place.bad_steps == bad
    assert len(update(1.0, 1.0)) == len(moving) and training.place.bad_steps == 0
    for _ in range(MAX_BAD_STEPS - 1):
        update(1.0, float("nan"))
    with pytest.raises(TrainingError, match="10 steps in a row gave no finite loss"):
        update(1.0, float("nan"))


def test_a_model_that_is_not_finite_is_no_folder(tmp_path: Path) -> None:
    """No checkpoint holds what stays frozen, so a folder looks at it."""
    training = Run(read_recipe(only_connect(tmp_path)), tmp_path / "out", minutes=None, data=None, device="cpu")
    with torch.no_grad():
        training.model.llm.model.norm.weight[0] = float("inf")
    with pytest.raises(TrainingError, match="a weight in model is not finite: nothing is saved"):
        training._save_folder(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_stage_is_kept_before_its_folder_is_written(tmp_path: Path) -> None:
    """What stops the folder costs no step: the same command writes it, and goes on."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "stages").write_text("in the way")
    with pytest.raises(StorageError, match="stages/connect cannot be written"):
        train(out, recipe=only_connect(tmp_path))
    kept = newest(out / "checkpoints").state["place"]
    assert kept["stage"] == 1 and not (out / "model").exists()
    (out / "stages").unlink()
    train(out, recipe=only_connect(tmp_path))
    assert load(out / "stages" / "connect").pattern == load(out / "model").pattern == "frozen"
    assert newest(out / "checkpoints").state["place"] == kept


def test_a_gate_that_is_missed_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"stage connect ends with loss \d+\.\d+, its gate is 0\.001"):
        train(
            tmp_path / "out",
            "connect.gate.loss=0.001",
            "connect.data.tasks={sound: 1.0}",
            recipe=only_connect(tmp_path),
        )
    assert not (tmp_path / "out" / "stages").exists() and not (tmp_path / "out" / "model").exists()
    assert newest(tmp_path / "out" / "checkpoints").state["place"]["stage"] == 0


def test_two_batches_of_one_item_are_one_batch_of_two(tmp_path: Path) -> None:
    """An accumulated step weighs tokens, not batches: answers of different lengths give the same gradient."""
    task = {"sound": 1.0}
    seed = next(
        seed
        for seed in range(99)
        if all(
            len({len(World(seed, 0, "train", task).example(i).answer) for i in pair}) == 2 for pair in ((0, 1), (2, 3))
        )
    )
    world = World(seed, 0, "train", task)
    seconds = sum(len(world.sample(i).samples) for i in range(4)) / 16_000
    optimizer = {"warmup": 0.0, "final": 1.0, "clip_norm": 1e9}
    first = []
    for accumulate, batch_s in ((1, 999.0), (2, 0.001)):
        out = tmp_path / str(accumulate)
        path = only_connect(
            tmp_path,
            budget={"audio_hours": seconds * 0.999 / 3600, "share": 1},
            data={"pool_items": 2, "batch_s": batch_s, "tasks": task},
            optimizer={**optimizer, "accumulate": accumulate},
        )
        train(out, f"seed={seed}", recipe=path)
        assert steps(out) == [f"{n * accumulate:08d}" for n in (1, 2)]
        first.append(read(out / "checkpoints" / f"{accumulate:08d}").tensors)
    one, two = first
    assert one["optimizer"].keys() == two["optimizer"].keys() and len(one["optimizer"]) >= 6
    for group in ("optimizer", "model"):
        for name, value in one[group].items():
            size = max(value.abs().max().item(), 1e-12)
            torch.testing.assert_close(two[group][name], value, rtol=1e-3, atol=1e-3 * size, msg=name)


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """A folder with two short sound files."""
    for i in range(2):
        samples = np.random.default_rng(i).normal(0, 0.1, 8_000 + 3_000 * i).astype(np.float32)
        soundfile.write(tmp_path / f"{i}.wav", samples, 16_000)
    return tmp_path


def shorthand(folder: Path, *names: str) -> str:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps({"audio": name, "text": "some words"}) + "\n" for name in names))
    return str(path)


def test_a_manifest_trains_a_bridge(voices: Path) -> None:
    data = shorthand(voices, "0.wav", "1.wav")
    folder = train(voices / "out", recipe=only_connect(voices), data=data)
    assert load(str(folder)).pattern == "frozen"
    (line,) = (json.loads(line) for line in (voices / "out" / "log.jsonl").read_text().splitlines())
    assert line["stage"] == "connect" and line["audio_h"] == pytest.approx(0.008, rel=0.3)


def rejected(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]


def test_a_bad_manifest_is_told_whole_before_the_first_step(voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shorthand(voices, "0.wav", "none.wav", "1.wav", "gone.wav")
    Path(data).write_text(Path(data).read_text() + "nonsense\n")
    with pytest.raises(
        DataError, match=r"3 of 5 items of the manifest cannot be used .*own\.jsonl, line 2: none"
    ) as caught:
        train(voices / "out", recipe=only_connect(voices), data=data)
    assert caught.value.code == "too_many_bad_items"
    assert [(one["file"], one["line"]) for one in rejected(voices / "out")] == [(data, n) for n in (2, 4, 5)]
    told = capsys.readouterr().err
    assert all(f"left out: own.jsonl, line {n}: " in told for n in (2, 4, 5))
    assert steps(voices / "out") == [] and not (voices / "out" / "log.jsonl").exists()


def many(folder: Path, n: int, *bad: int) -> str:
    """A manifest of ``n`` items of which some have a good header and samples that are no numbers."""
    soundfile.write(folder / "nan.wav", np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    return shorthand(folder, *("nan.wav" if i in bad else f"{i % 2}.wav" for i in range(n)))


def test_a_few_bad_items_are_left_out_counted_and_listed(voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, recipe = voices / "out", only_connect(voices, data={"pool_items": 10, "batch_s": 30})
    bad = int(np.random.default_rng([3, 0]).permutation(100)[4])  # in the first pool
    arguments = {"recipe": recipe, "data": many(voices, 100, bad)}
    model = train(out, **arguments)
    listed = [{"file": arguments["data"], "line": bad + 1, "reason": "nan.wav: a sample is not a finite number"}]
    assert rejected(out) == listed and newest(out / "checkpoints").state["rejected"] == listed
    assert capsys.readouterr().err.count(f"own.jsonl, line {bad + 1}: ") == 1
    assert train(out, **arguments) == model and rejected(out) == listed  # what an earlier stretch met is kept


def test_bad_items_that_no_header_shows_end_the_run_with_their_number(voices: Path) -> None:
    data = many(voices, 20, 7)
    recipe = only_connect(voices, data={"pool_items": 10, "batch_s": 30}, budget={"audio_hours": 1, "share": 1})
    with pytest.raises(DataError, match=r"1 of 20 items of the manifest cannot be used .*nan\.wav: a sample") as caught:
        train(voices / "out", recipe=recipe, data=data)
    assert caught.value.code == "too_many_bad_items"
    assert [one["line"] for one in rejected(voices / "out")] == [8]


def test_kept_frames_change_no_bit_of_a_run(voices: Path) -> None:
    """No cache, a new one, one that is full from the start, one that is damaged: the same losses, the same bridge."""
    data = shorthand(voices, "0.wav", "1.wav", "0.wav", "1.wav", "1.wav")
    found = []
    for name, cache in (("off", "false"), ("new", "kept"), ("full", "kept"), ("hurt", "kept"), ("own", "true")):
        if name == "hurt":
            for path in (voices / "kept").glob("*/*"):
                path.write_bytes(path.read_bytes()[:-1] + b"?")
        place = str(voices / "kept") if cache == "kept" else cache
        train(voices / name, f"connect.data.cache={place}", recipe=only_connect(voices), data=data)
        tensors = newest(voices / name / "checkpoints").tensors["model"]
        found.append(((voices / name / "log.jsonl").read_text().replace(name, ""), parts_of(tensors)))
    entries = [
        sorted(path.name for path in folder.glob("*/*")) for folder in (voices / "kept", voices / "own" / "cache")
    ]
    assert len(entries[0]) == 2 and entries[0] == entries[1] and not (voices / "off" / "cache").exists()
    (log, bridge), *others = found
    for other_log, other_bridge in others:
        for one, other in zip(map(json.loads, log.splitlines()), map(json.loads, other_log.splitlines()), strict=True):
            assert (one["loss"], one["norm"], one["step"]) == (other["loss"], other["norm"], other["step"])
        assert unequal(bridge, other_bridge) == set()


def parts_of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tensors.items() if name.startswith("bridge.")}


def test_minutes_are_shared_by_the_stages_and_bfloat16_trains_too(tmp_path: Path) -> None:
    folder = train(tmp_path / "out", "precision=bfloat16", recipe=only_connect(tmp_path), minutes=0.01)
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["segments"][0]["precision"] == "bfloat16"
    (line,) = (json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    assert line["share"] >= 1 and math.isfinite(line["loss"])


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    """Run something in a thread beside a run; its fault, if any, is raised at the end."""
    faults: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not faults, faults


def test_sigterm_ends_a_run_with_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    out, before = tmp_path / "out", signal.getsignal(signal.SIGTERM)
    over = threading.Event()

    def terminate() -> None:
        wait_for(lambda: last_step(out) >= 2 or over.is_set())
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    with in_background(terminate):
        try:
            assert train(out, LONG) == out
        finally:
            over.set()
    assert signal.getsignal(signal.SIGTERM) is before
    stopped = newest(out / "checkpoints").state["place"]
    assert stopped["stage"] == 0 and stopped["step"] >= 2 and stopped["stage_steps"] == stopped["step"]
    assert not (out / "model").exists()

    training = Run(tiny_recipe(LONG), out, minutes=None, data=None, device="cpu")
    training._resume()
    assert dataclasses.asdict(training.place) == stopped
    assert [one["from_step"] for one in training.segments] == [0, stopped["step"]]


@pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_run_at_once(one: signal.Signals) -> None:
    @dataclasses.dataclass
    class Training:
        stopping: bool = False

    training = Training()
    with pytest.raises(SystemExit, match="143"), stop_on_signal(training):
        os.kill(os.getpid(), one)
        assert training.stopping
        os.kill(os.getpid(), one)


def test_killed_half_way_the_same_command_goes_on_and_ends(tmp_path: Path) -> None:
    out, overrides = tmp_path / "out", ("hear.budget.audio_hours=0.03",)
    call = f"run({str(TINY)!r}, out={str(out)!r}, overrides={overrides!r}, device='cpu')"
    command = f"from ossicle.train.loop import run; {call}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", command], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: last_step(out) >= 3 or child.poll() is not None)
        with pytest.raises(StorageError, match="another process trains in"):
            train(out, *overrides)
        child.kill()
    finally:
        child.kill()
        told = child.communicate()[1]
    assert child.returncode == -signal.SIGKILL, told
    at = newest(out / "checkpoints").state["place"]
    assert at["step"] >= 3
    folder = train(out, *overrides)  # at once: the killed run's workers do not keep its lock
    assert load(str(folder)).pattern == "lora"
    origin = json.loads((folder / "origin.json").read_text())
    assert [one["from_step"] for one in origin["segments"]] == [0, at["step"]]
    assert origin["steps"] > at["step"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match=r"the run's folder .*file/out cannot be written: Not a directory"):
        train(tmp_path / "file" / "out")


def test_a_checkpoint_of_another_model_is_refused(trained: Trained, tmp_path: Path) -> None:
    tensors = {group: dict(values) for group, values in trained.before.tensors.items()}
    tensors["model"]["llm.tail"] = tensors["model"].pop("llm.model.norm.weight")
    save_checkpoint(tmp_path / "checkpoints", 1, Checkpoint(tensors, trained.before.state))
    with pytest.raises(CheckpointError, match=r"does not fit the model: llm\.model\.norm\.weight, llm\.tail"):
        train(tmp_path, *CHAIN)


def test_a_damaged_newest_checkpoint_is_passed_over(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.out / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / steps(tmp_path)[-1] / "model.safetensors").write_bytes(b"cut")
    folder = train(tmp_path, *CHAIN)
    assert load(str(folder)).pattern == "lora"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"minutes": 0.0}, r"minutes must be above 0 \(got 0\)"),
        ({"minutes": math.nan}, "minutes must be above 0"),
        ({"device": "banana"}, "there is no device 'banana' here"),
        ({"device": "meta"}, "there is no device 'meta' here"),
    ],
)
def test_what_a_run_cannot_use_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        run(TINY, out=tmp_path / "out", **{"device": "cpu", **arguments})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [("tune.data.source=manifest", "stage tune trains on a manifest"), ("tune.data.tasks={nope: 1}", "unknown task")],
)
def test_a_mistake_in_the_last_stage_is_told_before_the_first(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(tmp_path / "out", override)
    assert not (tmp_path / "out").exists()


def test_a_stage_that_computes_its_layers_twice_ends_as_the_same_stage_without(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    (tmp_path / "own.jsonl").write_text(
        "".join(json.dumps({"audio": "a.wav", "text": f"text {i}"}) + "\n" for i in range(6))
    )
    short = yaml.safe_load(TINY.read_text())
    changes = {"budget": {"audio_hours": 0.002, "share": 1}, "hear_weight": 0.0, "lora_targets": "q_proj|v_proj"}
    short["stages"] = [{**short["stages"][3], **changes}]
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(short))
    made = Run(tiny_recipe(), tmp_path / "new", minutes=None, data=None, device="cpu").model.llm.named_parameters()
    before = {name: value.detach().half().float() for name, value in made}
    arguments = {"recipe": recipe, "data": str(tmp_path / "own.jsonl")}
    plain = load(train(tmp_path / "plain", **arguments))
    twice = load(train(tmp_path / "twice", "tune.checkpointing=true", **arguments))
    for (name, one), other in zip(plain.named_parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2, msg=name)
    moved = {name for name, value in plain.llm.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {f"model.layers.0.self_attn.{one}_proj.weight" for one in "qv"}


def test_a_layer_that_no_lora_can_be_on_is_told_before_the_first_stage(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no linear layer that lora_targets 'query' matches"):
        train(tmp_path / "out", "tune.lora_targets=query")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_run_goes_on_only_with_its_own_data(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    lines = [json.dumps({"id": f"x{i}", "audio": "a.wav", "text": f"text {i}"}) for i in range(12)]
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("\n".join(lines))
    other.write_text("\n".join(lines[:9]))
    short = yaml.safe_load(TINY.read_text())
    short["stages"] = [{**short["stages"][2], "budget": {"audio_hours": 0.001, "share": 1}}]
    recipe = tmp_path / "own.yaml"
    recipe.write_text(yaml.safe_dump(short))
    arguments = {"recipe": recipe, "data": str(one)}
    train(tmp_path / "out", **arguments)
    train(tmp_path / "out", **arguments)
    for overrides, data in (((), other), (("holdout=0.3",), one)):
        with pytest.raises(CheckpointError, match="stage 1 or its data differ"):
            train(tmp_path / "out", *overrides, recipe=recipe, data=str(data))
