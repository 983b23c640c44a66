"""The sweep: cells that are made once, the same again, resumed inside, and shown where they failed."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ossicle.cli import run
from ossicle.errors import CheckpointError, RequestError, StorageError
from ossicle.hub.folder import load
from ossicle.train import sweep
from ossicle.train.grid import cell_identity, possible_cells, read_sweep
from ossicle.train.sweep import Done

from .sweeps import DATA, arm, written

OWN = """
import os, signal
import torch
from ossicle.bridge.pooling import MeanPool

class Own(MeanPool):
    def __init__(self, width_in, width_out, k):
        super().__init__(width_in, width_out, k=k)
        self.before = self.output.linear.weight.detach().clone()

    def forward(self, frames):
        moved = not torch.equal(self.before, self.output.linear.weight)
        {act}
        return super().forward(frames)
"""
HOLD = """
import fcntl, os, shutil, signal, sys, time
claim, awaited, finished, cell = sys.argv[1:]
held = open(claim, "w")
fcntl.lockf(held, fcntl.LOCK_EX)
print("held", flush=True)
while not os.path.exists(awaited):
    time.sleep(0.05)
if os.path.exists(cell):
    sys.exit("somebody else made the cell")
if finished:
    shutil.copytree(finished, cell)
os.kill(os.getpid(), signal.SIGKILL)
"""
STOP = "if moved and self.training and not os.path.exists(MARK): os.mkdir(MARK), os.kill(os.getpid(), signal.SIGTERM)"
RAISE = "if moved and self.training: raise KeyError('tail')"


def own(folder: Path, act: str) -> dict[str, Any]:
    path = folder / "own.py"
    path.write_text(OWN.replace("{act}", act))
    return {"name": "own", "bridge_from": f"{path}:Own"}


def cells(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("cells/*/result.json"))}


def go(path: Path, out: Path, **more: Any) -> Done:
    return sweep.run(path, out=out, device="cpu", **more)


@pytest.mark.slow
def test_cells_are_made_once_and_a_cell_that_is_made_again_is_the_same(tmp_path: Path) -> None:
    at = {k: {"k": k, "hidden": 32} for k in (4, 8)}
    arms = [arm("mean", "mean_pool", also_at=[16]), arm("stack", "stack_mlp", at=at)]
    more = {"arms": arms, "seeds": [1, 2], "finalists": {"n": 1, "k": [4], "by": "music"}}
    path, out = written(tmp_path, **more), tmp_path / "run"
    done = go(path, out, command="ossicle sweep x")
    found = cells(out)
    first = ["mean-k8-seed1", "mean-k8-seed2", "stack-k8-seed1", "stack-k8-seed2"]
    assert set(first) < set(found) and len(found) == 6  # the best one at another rate, with both seeds
    assert (done.failed, done.left, done.stopped) == ((), 0, False) and done.report == out / "sweep.md"
    assert "Made by `ossicle sweep x`" in done.report.read_text() and (out / "sweep.svg").is_file()
    one = found["mean-k8-seed1"]
    assert set(one["rates"]) == {"8", "16"} and one["parameters"] == 16 * 2 + 16 * 16 + 16
    assert len({each["steps"] for each in found.values()}) == 1 and one["trained_audio_h"] >= 0.006
    assert not list((out / "cells").glob(".*"))
    kept = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/*")}
    assert {path.name for path in kept} == {"result.json", "bridge.safetensors", "log.jsonl"}
    weights = load_file(out / "cells" / "stack-k8-seed2" / "bridge.safetensors")
    for file in (out / "cells" / "stack-k8-seed2").iterdir():
        file.unlink()
    (out / "cells" / "stack-k8-seed2").rmdir()
    go(path, out)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items() if path.parent.name != "stack-k8-seed2")
    again = cells(out)["stack-k8-seed2"]
    for key in ("flops_per_audio_s", "tasks", "tokens_per_s"):
        assert again["rates"]["8"][key] == found["stack-k8-seed2"]["rates"]["8"][key]
    other = load_file(out / "cells" / "stack-k8-seed2" / "bridge.safetensors")
    assert all((value == other[name]).all() for name, value in weights.items())
    with pytest.raises(CheckpointError, match=r"the cell mean-k8-seed1 in .* was made by another sweep"):
        go(written(tmp_path, arms=[arm("mean", "mean_pool")]), out)
    (out / "cells" / "mean-k8-seed1" / "result.json").write_text("{")
    with pytest.raises(CheckpointError, match="is no result of a cell: take its folder away"):
        go(path, out)


def test_a_sweep_that_is_interrupted_goes_on_inside_its_cell(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")
    arms = [arm("mean", "mean_pool"), own(tmp_path, STOP.replace("MARK", repr(mark)))]
    path = written(tmp_path, arms=arms, audio_hours=0.02)
    before = signal.getsignal(signal.SIGTERM)
    stopped = go(path, tmp_path / "a")
    assert stopped.stopped and stopped.left == 1 and signal.getsignal(signal.SIGTERM) is before
    assert set(cells(tmp_path / "a")) == {"mean-k8-seed1"}
    assert "1 cells of the grid are still to be done" in stopped.report.read_text()
    (draft,) = (tmp_path / "a" / "cells").glob(".own*")
    assert list((draft / "checkpoints").iterdir())
    done = go(path, tmp_path / "a")
    assert not done.stopped and done.left == 0
    whole = go(path, tmp_path / "b")
    assert not whole.stopped
    ones, others = cells(tmp_path / "a"), cells(tmp_path / "b")
    assert ones["own-k8-seed1"]["rates"]["8"]["tasks"] == others["own-k8-seed1"]["rates"]["8"]["tasks"]
    assert ones["own-k8-seed1"]["steps"] == others["own-k8-seed1"]["steps"]


def test_a_cell_that_fails_is_shown_failed_and_made_anew_when_asked(tmp_path: Path) -> None:
    arms = [arm("mean", "mean_pool"), own(tmp_path, RAISE), arm("stack", "stack_mlp", also_at=[4])]
    path, out = written(tmp_path, arms=arms), tmp_path / "run"
    done = go(path, out)
    assert done.failed == ("own-k8-seed1", "stack-k8-seed1") and done.left == 0
    text = done.report.read_text()
    assert "- own-k8-seed1: KeyError: 'tail'" in text and "- stack-k8-seed1: bad_value: stack: also_at is for" in text
    failed = cells(out)["own-k8-seed1"]
    assert "raise KeyError('tail')" in failed["traceback"] and "rates" not in failed
    times = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    assert go(path, out).failed == done.failed
    assert {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")} == times
    go(path, out, retry=True)
    changed = {path.parent.name for path, then in times.items() if path.stat().st_mtime_ns != then}
    assert changed == {"own-k8-seed1", "stack-k8-seed1"}
    own(tmp_path, "pass")  # a bridge that was mended is another one, so its cell is made without being asked
    assert go(path, out).failed == ("stack-k8-seed1",)


def test_only_some_and_not_for_longer(tmp_path: Path) -> None:
    path = written(tmp_path, arms=[arm("mean", "mean_pool"), arm("stack", "stack_mlp")])
    assert go(path, tmp_path / "run", minutes=1e-9).left == 2 and not cells(tmp_path / "run")
    done = go(path, tmp_path / "run", only=["stack"], report=tmp_path / "page.md")
    assert set(cells(tmp_path / "run")) == {"stack-k8-seed1"} and done.left == 1 and done.report == tmp_path / "page.md"
    with pytest.raises(RequestError, match="the sweep has no bridge 'conv', it has mean, stack"):
        go(path, tmp_path / "run", only=["conv"])
    with pytest.raises(RequestError, match="minutes must be above 0"):
        go(path, tmp_path / "run", minutes=0)


def test_twice_the_hours_are_for_what_differs_clearly(tmp_path: Path) -> None:
    data = {**DATA, "test_items": 20, "tasks": {"instrument": 1}, "silent_items": 0}
    arms, out = [arm("mean", "mean_pool"), arm("stack", "stack_mlp")], tmp_path / "run"
    path = written(tmp_path, arms=arms, data=data, double={"groups": ["content"]})
    assert set(cells(out)) == set() and not go(path, out, double=True).failed
    for name, share in (("mean", 1), ("stack", 0)):  # what an hour of training would show
        file = out / "cells" / f"{name}-k8-seed1" / "result.json"
        result = json.loads(file.read_text())
        result["rates"]["8"]["tasks"]["instrument"]["numerators"] = [float(share)] * 20
        file.write_text(json.dumps(result))
    go(path, out, double=True)
    assert len(cells(out)) == 2  # the difference is in another group
    path = written(tmp_path, arms=arms, data=data, double={"groups": ["music"], "seeds": [1]})
    go(path, out, double=True)
    found = cells(out)
    assert set(found) == {f"{name}-k8-seed1{end}" for name in ("mean", "stack") for end in ("", "-double")}
    assert found["mean-k8-seed1-double"]["trained_audio_h"] >= 0.012
    assert "under-trained" in (out / "sweep.md").read_text()


@pytest.mark.parametrize("finishes", [True, False])
def test_processes_share_a_folder_and_what_one_that_died_left_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], finishes: bool
) -> None:
    path = written(tmp_path, arms=[arm("mean", "mean_pool"), arm("stack", "stack_mlp")])
    out, before = tmp_path / "run", tmp_path / "before"
    go(path, before, only=["mean"])
    shutil.copytree(before / "clips", out / "clips")
    draft, claim = out / "cells" / ".mean-k8-seed1", out / "claims" / "mean-k8-seed1"
    for folder in (draft, claim.parent):
        folder.mkdir(parents=True)
    (draft / "identity").write_text("of another sweep")
    there = [out / "cells" / name for name in ("stack-k8-seed1/result.json", "mean-k8-seed1")]
    finished = str(before / "cells" / "mean-k8-seed1") if finishes else ""
    command = [sys.executable, "-c", HOLD, str(claim), str(there[0]), finished, str(there[1])]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    capsys.readouterr()
    assert go(path, out, minutes=60).left == 0
    other.communicate()
    assert other.returncode == -signal.SIGKILL and set(cells(out)) == {"mean-k8-seed1", "stack-k8-seed1"}
    told = capsys.readouterr().err
    assert "cell 2 of 2: stack-k8-seed1" in told and ("cell 1 of 2: mean-k8-seed1" in told) is not finishes
    assert draft.exists() is finishes  # what another process holds is left alone, what nobody holds is not
    kept, made = (cells(folder)["mean-k8-seed1"] for folder in (before, out))
    assert made["rates"]["8"]["tasks"] == kept["rates"]["8"]["tasks"]


def test_a_folder_that_a_process_has_for_itself_is_refused(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "run"
    out.mkdir()
    command = [sys.executable, "-c", HOLD, str(out / "lock"), str(tmp_path / "go"), "", str(tmp_path / "cell")]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    with pytest.raises(StorageError, match=r"another process has .* for itself"):
        go(path, out, minutes=1e-9)
    (tmp_path / "go").touch()
    other.communicate()
    assert go(path, out, minutes=1e-9).left == 1


def test_a_cell_is_taken_as_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path, arms=[arm("mean", "mean_pool"), own(tmp_path, RAISE)]), tmp_path / "run"
    with pytest.raises(RequestError, match=r"run holds no bridge of mean-k8-seed1$"):
        sweep.take(path, "mean-k8-seed1", out=out)
    go(path, out)
    command = ["sweep", str(path), "--out", str(out), "--take", "mean-k8-seed1"]
    for _again in range(2):
        capsys.readouterr()
        assert run(command) == 0 and capsys.readouterr().out == f"{out / 'models' / 'mean-k8-seed1'}\n"
    for more in ("--only=mean", "--minutes=1", "--double", "--retry", "--report=x.md", "--results=x"):
        assert run([*command, more]) == 2 and "--take makes nothing: leave out" in capsys.readouterr().err
    model = load(out / "models" / "mean-k8-seed1", dtype="float32")
    bridge: Any = model.bridge
    weights = load_file(out / "cells" / "mean-k8-seed1" / "bridge.safetensors")
    assert bridge.k == 8 and all(torch.equal(weights[name], one) for name, one in bridge.state_dict().items())
    origin = json.loads((out / "models" / "mean-k8-seed1" / "origin.json").read_text())
    made = cells(out)["mean-k8-seed1"]
    assert origin["cell"] == "mean-k8-seed1" and origin["made"] == made["made"] and origin["steps"] == made["steps"]
    assert model.pattern == "frozen"
    with pytest.raises(RequestError, match="holds no bridge of own-k8-seed1: it failed, KeyError: 'tail'"):
        sweep.take(path, "own-k8-seed1", out=out)
    with pytest.raises(RequestError, match="the sweep has no cell 'mean-k4-seed1', it has mean-k8-seed1, own-k8-seed1"):
        sweep.take(path, "mean-k4-seed1", out=out)
    own(tmp_path, "pass")
    go(path, out)
    mended = load(sweep.take(path, "own-k8-seed1", out=out), parts={"bridge": f"{tmp_path / 'own.py'}:Own"})
    assert type(mended.bridge).__name__ == "Own"
    for damage, fault in ((b"x", "bridge.safetensors is damaged"), (None, "does not match its description: missing")):
        file = out / "cells" / "mean-k8-seed1" / "bridge.safetensors"
        save_file({}, file) if damage is None else file.write_bytes(damage)
        with pytest.raises(CheckpointError, match=fault):
            sweep.take(path, "mean-k8-seed1", out=out)
    path = written(tmp_path, audio_hours=0.007)
    with pytest.raises(CheckpointError, match="was made by another sweep"):
        sweep.take(path, "mean-k8-seed1", out=out)


def test_drafts_stay_only_where_they_may_be_resumed(tmp_path: Path) -> None:
    path, out = written(tmp_path, arms=[arm("mean", "mean_pool"), arm("stack", "stack_mlp")]), tmp_path / "run"
    identities = {one.name: cell_identity(read_sweep(path), one) for one in possible_cells(read_sweep(path))}
    for name in (*identities, "stack-k8-seed2"):
        (out / "cells" / f".{name}").mkdir(parents=True)
        (out / "cells" / f".{name}" / "identity").write_text(identities.get(name, "other"))
    (out / "cells" / ".mean-k8-seed1-double" / "identity").write_text("of other hours")
    (out / "cells" / ".own").mkdir()  # no draft of a cell
    go(path, out, only=["mean"])
    assert set(cells(out)) == {"mean-k8-seed1"}
    left = {".stack-k8-seed1", ".stack-k8-seed1-double", ".own"}
    assert {one.name for one in (out / "cells").glob(".*")} == left
    (out / "cells" / ".mean-k8-seed1").mkdir()  # as a kill leaves it after the cell was written
    (out / "cells" / ".mean-k8-seed1" / "identity").write_text(identities["mean-k8-seed1"])
    go(path, out, only=["mean"])
    assert {one.name for one in (out / "cells").glob(".*")} == left


def test_what_another_sweep_made_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path, out = written(tmp_path, arms=[arm("mean", "mean_pool"), arm("stack", "stack_mlp")]), tmp_path / "run"
    for name in ("stack-k8-seed1", "stack-k8-seed1-double"):
        (out / "cells" / name).mkdir(parents=True)
        (out / "cells" / name / "result.json").write_text('{"identity": "other"}')
        with pytest.raises(CheckpointError, match=f"the cell {name} in .* was made by another sweep"):
            go(path, out)
        assert not (out / "clips").exists() and set(cells(out)) == {name}
        (out / "cells" / name / "result.json").write_text('{"identity": "other", "failed": "x"}')  # is made anew
        assert go(path, out, minutes=1e-9).left == 2 and not (out / "clips").exists()
        (out / "cells" / name / "result.json").unlink()


def test_results_that_are_kept_stand_for_their_cells(tmp_path: Path) -> None:
    arms = [arm("mean", "mean_pool", also_at=[4]), arm("stack", "stack_mlp", also_at=[4])]
    path, out, kept = written(tmp_path, arms=arms), tmp_path / "run", tmp_path / "kept"
    done = go(path, out, results=kept)
    assert done.failed == ("stack-k8-seed1",) and {file.name for file in kept.iterdir()} == {
        *("mean-k8-seed1.json", "stack-k8-seed1.json")
    }
    assert {file.stem: json.loads(file.read_text()) for file in kept.iterdir()} == cells(out)
    text = (kept / "mean-k8-seed1.json").read_text()
    assert '"denominators":[1,1,1]' in text and ", " not in text.partition('"made"')[0]
    pages = {end: done.report.with_suffix(end).read_text() for end in (".md", ".json", ".svg")}
    times = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    shutil.rmtree(out)
    again = go(path, out, results=kept)
    assert (again.failed, again.left) == (done.failed, 0) and not cells(out) and not (out / "clips").exists()
    assert {end: again.report.with_suffix(end).read_text() for end in pages} == pages
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == times


def test_a_folder_that_cannot_be_written_ends_the_sweep(tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "run"
    go(path, out, minutes=1e-9)
    (out / "cells").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        go(path, out)
