"""Parts of one's own: a class of a file that the user names, and nothing else, is run; a folder tells which it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from models.tiny import asked, tiny_model
from safetensors.torch import load_file

from ossicle.bridge.pooling import MeanPool
from ossicle.errors import CheckpointError, ConfigError, RequestError
from ossicle.hub.description import digest
from ossicle.hub.folder import load, save
from ossicle.hub.own import OWN, Own, build_own, faults_told, file_of, is_own
from ossicle.hub.parts import describe
from ossicle.models.audio_lm import AudioLM

BRIDGE = """
import torch
from pathlib import Path
from ossicle.bridge.pooling import MeanPool
{more}

class Twice(MeanPool):
    def forward(self, frames):
        return super().forward(frames)

class Raises(MeanPool):
    def __init__(self):
        raise OSError("no disk")

class Tied(MeanPool):
    def __init__(self, tied=True):
        super().__init__(32, 32)
        self.again = torch.nn.Linear(32, 32)
        self.register_buffer("table", torch.arange(6.0))
        self.register_buffer("piece", self.table[2:4])
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("void", torch.zeros(0))
        if tied:
            self.again.weight = self.output.linear.weight

class Leaves(MeanPool):
    def __init__(self):
        raise SystemExit(0)

class Used(MeanPool):
    def forward(self, frames):
        return self.inner()

    def inner(self):
        return 1 / 0

    def leave(self):
        raise SystemExit(0)

    def call(self, other):
        return other()

class NoModule:
    pass
"""


class Other(MeanPool):
    """Computes something else than what it is derived from."""


def written(folder: Path, more: str = "", *, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(BRIDGE.format(more=more))
    return path


def leave() -> None:
    raise SystemExit(143)


def answers(model: AudioLM) -> torch.Tensor:
    prompt, heard = asked(model, [0.7])
    return model.prefill([prompt], [heard])[1]


@pytest.fixture
def made(tmp_path: Path) -> tuple[AudioLM, Path, str]:
    """A model with a bridge of one's own, its folder, and what the bridge is called."""
    source = f"{written(tmp_path)}:Twice"
    torch.manual_seed(1)
    bridge = build_own(source, {"width_in": 32, "width_out": 32, "k": 3})
    model = tiny_model(bridge=bridge)
    return model, save(model, tmp_path / "m"), source


def test_a_class_is_named_by_its_file() -> None:
    assert is_own("a/b.py:C") and is_own("/x y/b.py:_C1")
    assert not any(map(is_own, ("mini", "a/b", "b.py", "b.py:", "b.py:C.d", "b.txt:C", ":C", "https://x/b:C")))


def test_a_part_is_built_once_and_tells_what_it_is(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = written(tmp_path, f"with open({str(ran)!r}, 'a') as file: file.write('x')")
    one, two = (build_own(f"{path}:Twice", {"width_in": 4, "width_out": 2}) for _ in range(2))
    assert type(one) is type(two) and isinstance(one, MeanPool) and ran.read_text() == "x"
    own = Own("mine.py", "Twice", digest(path), {"width_in": 4, "width_out": 2})
    assert one.ossicle_own == own
    assert describe(one) == (OWN, vars(own))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mine.py", "a part of your own is named as FILE.py:CLASS, got 'mine.py'"),
        ("none.py:Twice", r"none\.py:Twice: there is no file none\.py"),
        ("{}/mine.py:Thrice", r"mine\.py holds no class Thrice that is a torch\.nn\.Module"),
        ("{}/mine.py:NoModule", r"mine\.py holds no class NoModule that is a torch\.nn\.Module"),
        ("{}/mine.py:Path", r"mine\.py holds no class Path that is a torch\.nn\.Module"),
        ("{}/mine.py:Raises", r"mine\.py:Raises: Raises\(\) raised OSError: no disk"),
        ("{}/mine.py:Leaves", r"mine\.py:Leaves: Leaves\(\) raised SystemExit: 0"),
        ("{}/exit.py:Twice", r"exit\.py cannot be imported: SystemExit: 0"),
        ("{}/mine.py:Twice", r"mine\.py:Twice: Twice\(\) raised TypeError: .*missing 2 required"),
        ("{}/bad.py:Twice", r"bad\.py cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_built_is_told(tmp_path: Path, source: str, message: str) -> None:
    written(tmp_path)
    written(tmp_path, "1 / 0", name="bad.py")
    written(tmp_path, "import sys; sys.exit(0)", name="exit.py")
    for _ in range(2):  # a file that failed is not taken for one that was run
        with pytest.raises(ConfigError, match=message):
            build_own(source.format(tmp_path))


def test_an_interrupt_while_a_file_is_run_is_none_of_its_faults(tmp_path: Path) -> None:
    path = written(tmp_path, "raise KeyboardInterrupt")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build_own(f"{path}:Twice")


def test_what_a_part_raises_while_it_is_used_is_told_with_file_and_method(tmp_path: Path) -> None:
    path = written(tmp_path)
    bridge = build_own(f"{path}:Used", {"width_in": 4, "width_out": 2})
    with (
        pytest.raises(ConfigError, match=r"mine\.py: Used\.inner raised ZeroDivisionError: division by zero"),
        faults_told(),
    ):
        bridge(None)
    with pytest.raises(ConfigError, match=r"mine\.py: Used\.leave raised SystemExit: 0"), faults_told():
        bridge.leave()
    with pytest.raises(SystemExit), faults_told():  # as by a signal while it is at work
        bridge.call(leave)
    with pytest.raises(ZeroDivisionError), faults_told():
        1 / 0  # noqa: B018
    with pytest.raises(RequestError, match="ours"), faults_told():
        raise RequestError("ours")


def test_arguments_must_be_plain(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder can tell only arguments that JSON can: .*not JSON serializable"):
        build_own(f"{written(tmp_path)}:Twice", {"width_in": 4, "width_out": tmp_path})


def test_a_folder_tells_which_class_it_was_and_gives_it_its_weights_again(made: tuple[AudioLM, Path, str]) -> None:
    model, folder, source = made
    said = json.loads((folder / "config.json").read_text())["bridge"]
    own = {"file": "mine.py", "name": "Twice", "sha256": digest(file_of(source))}
    arguments = {"width_in": 32, "width_out": 32, "k": 3}
    assert said == {"kind": "own", "config": {**own, "arguments": arguments}, "weights": "bridge.safetensors"}
    assert not list(folder.rglob("*.py"))
    again = load(folder, parts={"bridge": source})
    assert torch.equal(answers(again), answers(model))
    torch.manual_seed(7)
    given = load(folder, parts={"bridge": MeanPool(32, 32, k=3)})  # of any class that fits the weights
    assert torch.equal(answers(given), answers(model))
    assert describe(given.bridge)[0] == "mean_pool"  # it is not the class of the description, and is not said to be
    again = load(save(given, folder.parent / "n"))
    assert torch.equal(answers(again), answers(model))
    built = load(folder, parts={"bridge": build_own(source, {"width_in": 32, "width_out": 32, "k": 3})})
    assert describe(built.bridge) == describe(model.bridge)
    with pytest.raises(ConfigError, match="a Other cannot be saved"):
        save(load(folder, parts={"bridge": Other(32, 32, k=3)}), folder.parent / "o")
    with pytest.raises(CheckpointError, match=r"bridge\.safetensors does not match its description"):
        load(folder, parts={"bridge": MeanPool(32, 32, norm_in=False)})


def test_tied_weights_are_written_once_and_tied_again(tmp_path: Path) -> None:
    source = f"{written(tmp_path)}:Tied"
    model = tiny_model(bridge=build_own(source, {}))
    for dtype in (None, "float16"):
        folder = save(model, tmp_path / str(dtype), dtype=dtype)
        held = set(load_file(folder / "bridge.safetensors"))
        assert held == set(model.bridge.state_dict()) - {"again.weight"}
        again = load(folder, parts={"bridge": source}).bridge
        assert again.again.weight is again.output.linear.weight and again.piece.tolist() == [2, 3]
        for name, value in model.bridge.state_dict().items():
            assert torch.equal(again.state_dict()[name], value.half().float() if dtype else value), name
        with pytest.raises(CheckpointError, match=r"bridge\.safetensors does not match .*: missing again\.weight"):
            load(folder, parts={"bridge": build_own(source, {"tied": False})})


def test_nothing_is_run_that_the_caller_does_not_name(made: tuple[AudioLM, Path, str], tmp_path: Path) -> None:
    _, folder, _ = made
    ran = tmp_path / "ran"
    for place in (folder, Path.cwd()):
        assert not (place / "evil.py").exists()
    written(folder, f"open({str(ran)!r}, 'w')", name="evil.py")
    raw = json.loads((folder / "config.json").read_text())
    raw["bridge"]["config"] |= {"file": str(folder / "evil.py"), "sha256": digest(folder / "evil.py")}
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(RequestError, match="a model folder never brings code: give it yourself") as caught:
        load(folder)
    assert caught.value.code == "missing_parameter" and not ran.exists()


def test_a_file_that_changed_is_refused_before_it_is_run(made: tuple[AudioLM, Path, str], tmp_path: Path) -> None:
    _, folder, source = made
    ran = tmp_path / "ran"
    written(tmp_path, f"open({str(ran)!r}, 'w')")
    with pytest.raises(
        CheckpointError, match=r"is not the file that the bridge was made with, mine\.py:Twice"
    ) as caught:
        load(folder, parts={"bridge": source})
    assert caught.value.code == "hash_mismatch" and not ran.exists()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"llm": "a.py:B"}, "parts are encoder and bridge, got 'llm'"),
        ({"encoder": "a.py:B", "bridge": None}, "the encoder of this model is one of ossicle's"),
        ({"bridge": None}, r"mine\.py:Twice, and a model folder never brings code.*--part bridge=mine\.py:Twice"),
        ({"bridge": "what"}, "named as FILE.py:CLASS, got 'what'"),
        (
            {"bridge": MeanPool},
            r"parts\['bridge'\] is the class MeanPool: give FILE\.py:CLASS, or a part that is built",
        ),
        ({"bridge": 7}, r"parts\['bridge'\] is 7: give FILE\.py:CLASS, or a part that is built"),
    ],
)
def test_parts_that_are_not_wanted_or_lack_are_told(
    made: tuple[AudioLM, Path, str], parts: dict[str, Any], message: str
) -> None:
    parts = {**parts, "bridge": made[2]} if "encoder" in parts else parts
    with pytest.raises((RequestError, ConfigError), match=message):
        load(made[1], parts=parts)


def test_a_description_that_tells_no_class_is_a_bad_format(made: tuple[AudioLM, Path, str]) -> None:
    _, folder, source = made
    raw = json.loads((folder / "config.json").read_text())
    del raw["bridge"]["config"]["sha256"]
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="does not tell which class the bridge is") as caught:
        load(folder, parts={"bridge": source})
    assert caught.value.code == "bad_format"
