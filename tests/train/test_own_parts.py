"""Published parts, one's own data: a recipe that names none of them trains, scores, is read again and answers."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from models.tiny import TOKENIZER, tiny_llm
from models.tiny import tiny_model as tiny_audio_lm
from safetensors.torch import load_file
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from ossicle.bridge.pooling import MeanPool
from ossicle.cli import run as ossicle
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.errors import BridgeError, CheckpointError, ConfigError, DependencyError, EncoderError, RequestError
from ossicle.hub.description import Reference, digest
from ossicle.hub.folder import load, save
from ossicle.hub.own import build_own, file_of
from ossicle.infer.ask import ask
from ossicle.train.checkpoint import newest
from ossicle.train.loop import run
from ossicle.train.parts import build, llm_reference
from ossicle.train.recipe import Recipe, read_recipe
from ossicle.train.recipe_parts import BridgePart, Parts
from ossicle.train.stage import _bridge_is_new

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "own-parts.yaml"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of an encoder and an LLM, as the published classes write them."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL)).save_pretrained(folder / "encoder")
    llm = tiny_llm("llama").bfloat16()
    with torch.no_grad():
        llm.model.embed_tokens.weight[7] *= 1e-9  # which bfloat16 holds, float16 does not
    llm.save_pretrained(folder / "llm")
    TOKENIZER.save_pretrained(folder / "llm")
    return folder / "encoder", folder / "llm"


def manifest(folder: Path, n: int) -> str:
    lines = []
    for i in range(n):
        samples = np.random.default_rng(i).normal(0, 0.1, 6_000 + 500 * i).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", samples, 16_000)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": "some words"}) + "\n")
    (folder / "own.jsonl").write_text("".join(lines))
    return str(folder / "own.jsonl")


def test_a_bridge_between_published_parts(published: tuple[Path, Path], tmp_path: Path) -> None:
    encoder, llm = published
    overrides = (
        f"parts.encoder_from={encoder}",
        f"parts.llm_from={llm}",
        "parts.context=300",
        "holdout=0.3",
        "connect.budget.audio_hours=0.003",
        "connect.data.pool_items=12",
        "connect.data.batch_s=2",
    )
    folder = run(RECIPE, out=tmp_path / "out", data=manifest(tmp_path, 12), overrides=overrides, device="cpu")
    made = load(str(folder), dtype="float32")
    assert isinstance(made.encoder, W2vBertEncoder) and (made.pattern, made.context) == ("frozen", 300)
    scores = json.loads((tmp_path / "out" / "score.json").read_text())["tasks"]["transcribe"]
    assert scores["n"] > 0 and {"value", "silence", "swapped"} <= scores.keys()
    assert ask(made, str(tmp_path / "3.wav"), max_tokens=4).ledger.frames == -(-7_500 // 320)
    theirs = Wav2Vec2BertModel.from_pretrained(encoder).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in made.encoder.tower.state_dict().items())
    stored, theirs = (load_file(one / "model.safetensors") for one in (folder / "llm", llm))
    assert stored.keys() == theirs.keys() and {value.dtype for value in stored.values()} == {torch.bfloat16}
    assert all(torch.equal(value, theirs[name]) for name, value in stored.items())
    assert {value.dtype for value in load_file(folder / "bridge.safetensors").values()} == {torch.float16}


@pytest.mark.slow
def test_killed_half_way_the_same_command_goes_on_is_read_again_and_answers(
    published: tuple[Path, Path], tmp_path: Path
) -> None:
    encoder, llm = published
    out, data = tmp_path / "out", manifest(tmp_path, 12)
    changes = ("parts.context=300", "holdout=0.3", "checkpoint_minutes=0", "connect.budget.audio_hours=0.01")
    changes += ("connect.data.pool_items=6", "connect.data.batch_s=2")
    named = ("--encoder", encoder, "--llm", llm, "--data", data, "--out", out, "--device", "cpu")
    command = [sys.executable, "-c", "from ossicle.cli import main; main()", "train", RECIPE, *named]
    command += [word for change in changes for word in ("--set", change)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as first:
        end = time.monotonic() + 300
        while len(list((out / "checkpoints").glob("0*/state.json"))) < 2 and first.poll() is None:
            assert time.monotonic() < end, "nothing came"
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        told = first.communicate()[1]
    assert first.returncode == -signal.SIGKILL, told
    kept = len(list((out / "cache").glob("*/*.safetensors")))
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == str(out / "model") and 0 < kept <= 12
    made = load(str(out / "model"), dtype="float32")
    origin = json.loads((out / "model" / "origin.json").read_text())
    assert len(origin["segments"]) == 2 and 0 < origin["segments"][1]["from_step"] < origin["steps"]
    assert json.loads((out / "score.json").read_text())["tasks"]["transcribe"]["n"] > 0
    answer = ask(made, str(tmp_path / "3.wav"), max_tokens=4)
    assert answer.ledger.frames == -(-7_500 // 320) and answer.ledger.seconds_heard == answer.ledger.seconds_given


def test_the_lines_of_the_readme_lead_from_nothing_to_an_answer(
    published: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data")[1].split("\n## ")[0]
    (block,) = (one for one in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if "pip install" in one)
    made, installed, *lines = block.splitlines()
    torch_version = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert torch_version is not None and len(block.splitlines()) < 10
    assert made.startswith("python3 -m venv ") and "activate" in made
    assert installed == f'pip install {torch_version[0]} && pip install -c constraints.txt -e ".[all]"'
    monkeypatch.chdir(tmp_path)
    manifest(tmp_path, 12)
    soundfile.write("speech.wav", np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32), 16_000)
    few = yaml.safe_load(RECIPE.read_text())  # the shipped recipe, with seconds of audio in place of hours
    few["stages"][0]["budget"]["audio_hours"] = 0.002
    few["stages"][0]["data"]["pool_items"] = 12
    Path("recipes").mkdir()
    Path("recipes/own-parts.yaml").write_text(yaml.safe_dump(few))
    folders = {"ENCODER": str(published[0]), "LLM": str(published[1])}
    told = []
    for line in lines:
        command, *arguments = (folders.get(word, word) for word in shlex.split(line))
        assert command == "ossicle" and ossicle(arguments) == 0, line
        told.append(capsys.readouterr().out)
        assert Path("runs").exists() == (len(told) > 1)  # the preflight wrote nothing
    preflight, folder, answer = told
    assert "{+some words" in preflight and "audio-hours an hour" in preflight
    assert folder == "runs/own/model\n" and answer.endswith("\n")
    assert json.loads(Path("runs/own/score.json").read_text())["tasks"]


def test_a_base_takes_another_encoder_with_a_new_bridge_only(published: tuple[Path, Path], tmp_path: Path) -> None:
    parts = Parts(base="mini", encoder_from=str(published[0]))
    with pytest.raises(ConfigError, match="needs a new bridge"):
        build(parts, name="x", seed=1)
    made = build(Parts(base="mini", encoder_from=str(published[0]), bridge=BridgePart()), name="x", seed=1)
    assert isinstance(made.encoder, W2vBertEncoder) and made.bridge.width_in == 32
    with pytest.raises(ConfigError, match="its LLM is the base's"):
        build(Parts(base="mini", llm_from=str(published[1])), name="x", seed=1)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("parts.encoder={width: 32}", "both encoder and encoder_from"),
        ("parts.llm={width: 32}", "both llm and llm_from"),
        ("parts.context=0", r"parts\.context must be above 0"),
    ],
)
def test_a_part_is_new_or_published(published: tuple[Path, Path], tmp_path: Path, override: str, fault: str) -> None:
    named = (f"parts.encoder_from={published[0]}", f"parts.llm_from={published[1]}")
    with pytest.raises(ConfigError, match=fault):
        run(RECIPE, out=tmp_path, data=manifest(tmp_path, 2), overrides=(*named, override), device="cpu")


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (("parts.llm_bits=8",), r"parts\.llm_bits: Input should be 4"),
        (("connect.trains=[bridge, llm]",), r"connect: an LLM in 4 bits \(parts\.llm_bits\) cannot be trained in full"),
        (("parts.llm_from=null",), r"parts\.llm_bits is of the LLM that llm_from names"),
        (
            ("stages=[{name: a, objective: answer, trains: [lora], budget: &b {audio_hours: 1, share: 1}}, "
             "{name: b, objective: answer, trains: [bridge], budget: *b}]",),
            "a: a LoRA on an LLM in 4 bits is never merged, so only the last stage can train it",
        ),
    ],
)  # fmt: skip
def test_an_llm_in_4_bits_can_only_be_read(overrides: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_recipe(RECIPE, ("parts.encoder_from=e", "parts.llm_from=l", "parts.llm_bits=4", *overrides))


def test_an_llm_in_4_bits_needs_what_is_not_here(published: tuple[Path, Path], tmp_path: Path) -> None:
    if torch.cuda.is_available() and find_spec("bitsandbytes"):
        pytest.skip("there is a GPU and bitsandbytes: nothing is lacking")
    named = (f"parts.encoder_from={published[0]}", f"parts.llm_from={published[1]}", "parts.llm_bits=4")
    with pytest.raises(DependencyError, match=r"an LLM in 4 bits needs .*(CUDA|ossicle\[quant\]).*: not found here"):
        run(RECIPE, out=tmp_path / "out", data=manifest(tmp_path, 2), overrides=named, device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="an LLM in 4 bits needs a GPU with CUDA")
def test_a_lora_on_an_llm_in_4_bits_trains_and_its_folder_refers_to_the_llm(
    published: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    overrides = (
        f"parts.encoder_from={published[0]}",
        f"parts.llm_from={published[1]}",
        "parts.llm_bits=4",
        "parts.context=300",
        "connect.trains=[bridge, lora]",
        "connect.budget.audio_hours=0.003",
        "connect.data.pool_items=12",
        "connect.data.batch_s=2",
    )
    for _ in range(2):  # the second time it is finished: its LoRA is found again
        folder = run(RECIPE, out=tmp_path / "out", data=manifest(tmp_path, 12), overrides=overrides, device="cuda")
    made = load(str(folder))
    assert (made.pattern, made.quantized) == ("lora", False) and not (folder / "llm").exists()
    assert ask(made, str(tmp_path / "3.wav"), max_tokens=4).ledger.audio_tokens > 0


def test_where_an_llm_lies_that_is_referred_to(published: tuple[Path, Path]) -> None:
    llm = published[1]
    assert llm_reference(Parts(llm_from=str(llm))) is None
    assert llm_reference(Parts(llm_from="a/b", llm_bits=4)) == Reference("a/b")
    assert llm_reference(Parts(llm_from=str(llm), llm_bits=4)) == Reference(
        str(llm.resolve()), sha256=digest(llm / "model.safetensors")
    )


# Parts of one's own

EXAMPLES = Path(__file__).parents[2] / "examples"
WAVLM, LOUDEST = f"{EXAMPLES / 'own_encoder.py'}:WavLM", f"{EXAMPLES / 'own_bridge.py'}:Loudest"
SHORT = ("connect.budget.audio_hours=0.003", "connect.data.pool_items=12", "connect.data.batch_s=2")
OWN = (f"parts.encoder_from={WAVLM}", "parts.bridge=null", f"parts.bridge_from={LOUDEST}", "parts.bridge_config={k: 4}")


def test_parts_of_ones_own_train_and_are_given_again_to_load(published: tuple[Path, Path], tmp_path: Path) -> None:
    overrides = (*OWN, f"parts.llm_from={published[1]}", "parts.context=300", "holdout=0.3", *SHORT)
    own = manifest(tmp_path, 12)
    folder = run(RECIPE, out=tmp_path / "out", data=own, overrides=overrides, device="cpu")
    assert json.loads((tmp_path / "out" / "score.json").read_text())["tasks"]["transcribe"]["n"] > 0
    with pytest.raises(RequestError, match=r"own_encoder\.py:WavLM, and a model folder never brings code"):
        load(folder)
    made = load(folder, parts={"encoder": WAVLM, "bridge": LOUDEST})
    assert (type(made.encoder).__name__, type(made.bridge).__name__, made.bridge.k) == ("WavLM", "Loudest", 4)
    assert ask(made, str(tmp_path / "3.wav"), max_tokens=4).ledger.audio_tokens == 6  # of 24 frames
    identity = newest(tmp_path / "out" / "checkpoints").state["stages"][0]
    for source in (WAVLM, LOUDEST):
        assert digest(file_of(source))[:12] in identity


def test_a_base_takes_parts_of_ones_own() -> None:
    parts = Parts(base="mini", bridge_from=LOUDEST, bridge_config={"k": 2})
    made = build(parts, name="x", seed=1)
    assert type(made.bridge).__name__ == "Loudest" and made.bridge.width_in == made.encoder.width
    stage = read_recipe(RECIPE, ("parts={base: mini}",)).stages[0]
    for one, new in ((Parts(base="mini"), False), (parts, True)):
        assert _bridge_is_new(Recipe("x", one, (stage,)), 0) == new


BROKEN = """
from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings

class Miscounts(WhisperEncoder):
    def __init__(self, layers):
        super().__init__(WhisperSettings(width=16, layers=layers, heads=2, ffn=32, max_frames=100))

    def n_frames(self, n_samples):
        return n_samples // 320 + 2

class Greedy(MeanPool):
    def max_tokens(self, n_frames):
        return 0
"""


def test_a_promise_that_is_broken_is_told_before_training(published: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    named = (f"parts.encoder_from={published[0]}", f"parts.llm_from={published[1]}")
    broken = (f"parts.encoder_from={tmp_path / 'mine.py'}:Miscounts", "parts.encoder_config={layers: 1}")
    arguments = {"out": tmp_path / "out", "data": manifest(tmp_path, 2), "device": "cpu"}
    with pytest.raises(EncoderError, match=r"does not keep what an encoder promises: length: .* n_frames says"):
        run(RECIPE, overrides=(*named, *broken), **arguments)
    broken = ("parts.bridge=null", f"parts.bridge_from={tmp_path / 'mine.py'}:Greedy")
    with pytest.raises(
        BridgeError, match=r"does not keep what a bridge promises: length: .* max_tokens says at most 0"
    ):
        run(RECIPE, overrides=(*named, *broken), **arguments)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        ((f"parts.bridge_from={LOUDEST}",), "parts names both bridge and bridge_from"),
        (
            ("parts.bridge=null", "parts.bridge_from=runs/x"),
            r"bridge_from is a class of your own, FILE.py:CLASS \(got 'ru",
        ),
        (
            ("parts.encoder_config={k: 4}",),
            "parts.encoder_config is for a class of your own: encoder_from: FILE.py:CLASS",
        ),
        (("parts.bridge_config={k: 4}",), "parts.bridge_config is for a class of your own: bridge_from: FILE.py:CLASS"),
    ],
)
def test_recipes_of_parts_of_ones_own_are_checked(overrides: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_recipe(RECIPE, ("parts.encoder_from=e", "parts.llm_from=l", *overrides))


MINE = """
import os, signal
import torch
from torch import nn
from ossicle.bridge.runs import Runs, run_lengths, run_spans
from ossicle.tensors import AudioTokens, Frames, length_mask, stacked


class Ear(nn.Module):
    width, rate_hz, sample_rate, max_samples = 16, 50.0, 8_000, 48_000

    def __init__(self, hop=160):
        super().__init__()
        self.map, self.twin = nn.Linear(hop, 16), nn.Linear(hop, 16, bias=False)
        self.twin.weight = self.map.weight

    def n_frames(self, n):
        return -(-n // 160)

    def features(self, clips):
        waves = [torch.from_numpy(clip.at(8_000).samples) for clip in clips]
        rows = [nn.functional.pad(one, (0, 160 * self.n_frames(len(one)) - len(one)))[None].numpy() for one in waves]
        return stacked(rows, [len(one) for one in waves], [clip.duration_s for clip in clips])

    def forward(self, features):
        lengths = torch.tensor([self.n_frames(n) for n in features.n_samples.tolist()])
        values = self.map(features.values.reshape(len(lengths), -1, 160))[:, : int(lengths.max())]
        return Frames(values, lengths, 50.0, features.durations_s)


class Fussy(Ear):
    def features(self, clips):
        if max(clip.samples.min() for clip in clips) > 0.5:
            raise ValueError("too loud")
        return super().features(clips)


class Plain(Runs, nn.Module):
    tail, k = "pool", 1

    def __init__(self, width_in, width_out):
        super().__init__()
        self.width_in, self.width_out = width_in, width_out
        self.output = nn.Linear(width_in, width_out)

    def forward(self, frames):
        there = length_mask(frames.lengths, frames.values.shape[1])[..., None]
        values = self.output(frames.values.masked_fill(~there, 0)).masked_fill(~there, 0)
        lengths = run_lengths(frames.lengths, 1, "pool")
        return AudioTokens(values, lengths, *run_spans(frames, lengths, 1, "pool"))


class Breaks(Plain):
    def forward(self, frames):
        if len(frames.lengths) > 3:
            raise KeyError("many")
        return super().forward(frames)


class Full(Plain):
    def forward(self, frames):
        if len(frames.lengths) > 3:
            raise torch.OutOfMemoryError("no room")
        return super().forward(frames)


class Stops(Plain):
    sent = False

    def max_tokens(self, n_frames):
        if callable(signal.getsignal(signal.SIGTERM)) and not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGTERM)
        return super().max_tokens(n_frames)
"""


@pytest.fixture
def mine(published: tuple[Path, Path], tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """The command that trains parts of one file with the published LLM, on 12 short clips."""
    (tmp_path / "mine.py").write_text(MINE)
    data = manifest(tmp_path, 12)

    def command(encoder: str, bridge: str, *changes: str, out: str = "out") -> tuple[str, ...]:
        own = ("parts.bridge=null", f"parts.bridge_from={tmp_path / 'mine.py'}:{bridge}", "parts.context=150")
        sets = [word for one in (*own, "holdout=0.3", *SHORT, *changes) for word in ("--set", one)]
        named = ("--encoder", f"{tmp_path / 'mine.py'}:{encoder}", "--llm", published[1])
        where = ("--data", data, "--out", tmp_path / out, "--device", "cpu", "--threads", 1)
        return tuple(map(str, ("train", RECIPE, *named, *where, *sets)))

    return command


def failed(capsys: pytest.CaptureFixture[str], command: tuple[str, ...], exit_code: int) -> str:
    assert ossicle(command) == exit_code
    return capsys.readouterr().err.splitlines()[-1]


def test_parts_at_another_rate_with_tied_weights_and_an_output_of_their_own(
    mine: Callable[..., tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the look before training to a score, in a context that has no room for the longest answer."""
    command = mine("Ear", "Plain")
    assert ossicle((*command, "--preflight")) == 0
    assert ossicle(command) == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "out" / "score.json").read_text())["tasks"]["transcribe"]
    assert scores["n"] == scores["n_swapped"] > 1
    parts = {"encoder": f"{tmp_path / 'mine.py'}:Ear", "bridge": f"{tmp_path / 'mine.py'}:Plain"}
    made = load(tmp_path / "out" / "model", parts=parts)
    assert made.encoder.map.weight is made.encoder.twin.weight


def test_a_model_that_cannot_be_scored_stands_and_is_done_in_part(
    mine: Callable[..., tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, score = mine("Ear", "Plain"), tmp_path / "out" / "score.json"
    score.mkdir(parents=True)
    told = failed(capsys, command, 7)
    assert told.startswith(
        f"error: bad_item: the model is whole in {tmp_path / 'out' / 'model'}, but was not scored: Is"
    )
    steps = newest(tmp_path / "out" / "checkpoints").state["place"]["step"]
    score.rmdir()
    assert ossicle(command) == 0 and score.is_file()  # the same command scores it
    assert newest(tmp_path / "out" / "checkpoints").state["place"]["step"] == steps


@pytest.mark.parametrize(
    ("encoder", "bridge", "exit_code", "message"),
    [
        ("Fussy", "Plain", 2, r"error: bad_value: .*mine\.py: Fussy\.features raised ValueError: too loud"),
        ("Ear", "Breaks", 2, r"error: bad_value: .*mine\.py: Breaks\.forward raised KeyError: 'many'"),
        ("Ear", "Full", 1, r"error: out_of_memory: stage connect: a batch of 2 s of audio does not fit .* lower data"),
    ],
)
def test_what_a_part_raises_in_training_is_told_with_its_place(
    mine: Callable[..., tuple[str, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    encoder: str,
    bridge: str,
    exit_code: int,
    message: str,
) -> None:
    command = mine(encoder, bridge)
    for i in range(12):
        samples = np.full(6_000 + 500 * i, 0.95, np.float32)
        soundfile.write(tmp_path / f"{i}.wav", samples, 16_000)
    for more in ((), ("--preflight",)):
        assert re.match(message, failed(capsys, (*command, *more), exit_code))


def test_a_run_that_is_stopped_before_its_first_step_names_no_checkpoint(
    mine: Callable[..., tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = failed(capsys, mine("Ear", "Stops"), 130)
    assert told == f"interrupted: before the first step of {tmp_path / 'out'}, the same command goes on"
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_base_keeps_its_makers_parts_if_they_are_named(
    mine: Callable[..., tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    built = {"encoder": build_own(f"{tmp_path / 'mine.py'}:Ear"), "bridge": MeanPool(16, 32)}
    base = save(tiny_audio_lm(**built), tmp_path / "base")
    ear = f"encoder_from: {tmp_path / 'mine.py'}:Ear"
    for parts, message in (
        (
            "",
            r"the encoder of .*base is a class of its maker's own, mine\.py:Ear, .* parts\.encoder_from: mine\.py:Ear",
        ),
        (f", {ear}, encoder_config: {{hop: 80}}", r"the encoder of .* stays as it is: leave out parts\.encoder_config"),
    ):
        with pytest.raises(ConfigError, match=message):
            build(read_recipe(RECIPE, (f"parts={{base: {base}{parts}}}",)).parts, name="x", seed=1)
    with pytest.raises(CheckpointError, match="is not the file that the encoder was made with"):
        build(Parts(base=str(base), encoder_from=WAVLM), name="x", seed=1)
    for bridge, new in (("", False), (f", bridge_from: {tmp_path / 'mine.py'}:Plain", True)):
        recipe = read_recipe(RECIPE, (f"parts={{base: {base}, {ear}{bridge}}}",))
        made = build(recipe.parts, name="x", seed=2)
        assert torch.equal(made.encoder.map.weight, built["encoder"].map.weight)
        assert isinstance(made.bridge, MeanPool) != new and _bridge_is_new(recipe, 0) == new
    both = save(tiny_audio_lm(encoder=built["encoder"], bridge=made.bridge), tmp_path / "both")
    plain = f"bridge_from: {tmp_path / 'mine.py'}:Plain"
    recipe = read_recipe(RECIPE, (f"parts={{base: {both}, {ear}, {plain}}}",))
    again = build(recipe.parts, name="x", seed=3)
    assert torch.equal(again.bridge.output.weight, made.bridge.output.weight) and not _bridge_is_new(recipe, 0)
