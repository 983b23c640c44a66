"""Ultravox folders: the same token counts, logits and greedy answers as the published computation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import save_torch_state_dict
from models.tiny import noise
from models.ultravox import TOKENIZER, K, Published
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration

import ossicle
from ossicle.audio.clip import Clip
from ossicle.audio.lengths import ultravox_tokens
from ossicle.cli import run
from ossicle.errors import CheckpointError
from ossicle.hub.folder import layout_of, load, save
from ossicle.hub.ultravox import load_ultravox
from ossicle.infer.generate import Sampling, generate
from ossicle.infer.requests import prepare
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import ClipText, Message

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
QUESTION = "what is said?"
Pair = tuple[AudioLM, Published]


@pytest.fixture(scope="module", params=[True, False], ids=["ln_mid", "ln_post"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    theirs = Published(ln_mid=request.param)
    return load_ultravox(theirs.write(tmp_path_factory.mktemp("ultravox"))), theirs


@pytest.fixture(scope="module")
def theirs() -> Published:
    return Published()


@pytest.fixture(scope="module")
def mid(theirs: Published, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return load_ultravox(theirs.write(tmp_path_factory.mktemp("ultravox"))), theirs


def user(*parts: Any) -> tuple[Message, ...]:
    return (Message("user", parts),)


def told(turns: tuple[Message, ...]) -> tuple[str, list[np.ndarray]]:
    """A conversation as the published processor gets it: text with placeholders, and the clips."""
    said = [
        {"role": turn.role, "content": "".join("<|audio|>" if isinstance(p, Clip) else p for p in turn.content)}
        for turn in turns
    ]
    clips = [part.samples for turn in turns for part in turn.content if isinstance(part, Clip)]
    return TOKENIZER.apply_chat_template(said, add_generation_prompt=True, tokenize=False), clips


TALKS: dict[str, tuple[Message, ...]] = {
    "voice chat": user(noise(1.0)),
    "analysis": user(noise(2.345), QUESTION),
    "a hundredth of a second": user(noise(0.01), QUESTION),
    "three clips": user(noise(1.0), noise(0.73, seed=1), "and", noise(3.21, seed=2), QUESTION),
    "two turns": (*user(noise(1.0), QUESTION), Message("assistant", ("a dog",)), *user(noise(0.5, seed=1), "here?")),
    "system": (Message("system", ("be short",)), *user(noise(1.0), QUESTION)),
    "31 s": user(noise(31.0), QUESTION),
}


def same(ours: AudioLM, theirs: Published, turns: tuple[Message, ...]) -> None:
    torch.testing.assert_close(ours.prefill(*prepare(ours, [turns]))[1][0], theirs.logits(*told(turns)), **CLOSE)


@pytest.mark.parametrize("name", TALKS)
def test_the_same_logits(pair: Pair, name: str) -> None:
    same(*pair, TALKS[name])


def test_the_same_greedy_ids(pair: Pair) -> None:
    ours, theirs = pair
    for name in ("analysis", "three clips"):
        prompts, heard = prepare(ours, [TALKS[name]])
        steps = list(generate(ours, prompts, heard, [Sampling(8)]))
        assert [key for (step,) in steps for key in step.ids] == theirs.greedy(*told(TALKS[name]), 8)


def test_a_mixed_batch_is_each_alone(mid: Pair) -> None:
    ours, theirs = mid
    talks = [TALKS[name] for name in ("analysis", "a hundredth of a second", "31 s", "three clips")]
    logits = ours.prefill(*prepare(ours, talks))[1]
    for row, turns in zip(logits, talks, strict=True):
        torch.testing.assert_close(row, theirs.logits(*told(turns)), **CLOSE)


@pytest.mark.parametrize("n", [1, 160, 161, 320, 321, 16_000, 20_001, 480_000, 480_001, 480_161, 496_000, 960_001])
def test_any_length_gives_the_published_tokens(mid: Pair, n: int) -> None:
    ours, theirs = mid
    clip = Clip(np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32), 16_000)
    clip.samples[: n // 2] *= 0.01  # one peak for all chunks: the quiet half shows it
    (heard,) = ours.hear([clip])
    assert len(heard.values) == ultravox_tokens(n, K)
    torch.testing.assert_close(heard.values, theirs.heard(clip.samples), **CLOSE)
    padded = theirs.heard(clip.samples, fill=True)  # what the module's header says differs: one token, past 30 s
    torch.testing.assert_close(heard.values[:-1], padded[:-1], **CLOSE)
    assert torch.allclose(heard.values[-1], padded[-1], **CLOSE) == (n <= 480_000)
    assert heard.spans_s[0, 0] == 0 and torch.equal(heard.spans_s[1:, 0], heard.spans_s[:-1, 1])
    assert float(heard.spans_s[-1, 1]) == pytest.approx(clip.duration_s, abs=1e-9)
    assert heard.seconds_heard == pytest.approx(heard.seconds_given)


def test_swapped_halves_of_the_gate_show(tmp_path: Path, theirs: Published) -> None:
    tensors = theirs.tensors()
    name = "multi_modal_projector.linear_1.weight"
    tensors[name] = torch.cat(tensors[name].chunk(2)[::-1])
    swapped = load_ultravox(theirs.write(tmp_path, tensors))
    turns = TALKS["analysis"]
    apart = swapped.prefill(*prepare(swapped, [turns]))[1][0] - theirs.logits(*told(turns))
    assert apart.abs().max() > 1e-2


def whole_whisper(theirs: Published, folder: Path) -> None:
    """The tower as a whole published Whisper, beside a random decoder."""
    config = WhisperConfig(
        **{**theirs.config["audio_config"], "decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64}
    )
    model = WhisperForConditionalGeneration(config)
    model.model.encoder.load_state_dict(theirs.tower.state_dict())
    model.save_pretrained(folder)


def test_towers_may_be_referred_to(tmp_path: Path, theirs: Published) -> None:
    whole_whisper(theirs, tmp_path / "whisper")
    theirs.llm.save_pretrained(tmp_path / "llm")
    ids = {"audio_model_id": str(tmp_path / "whisper"), "text_model_id": str(tmp_path / "llm")}
    inside = {"audio_config": None, "text_config": None, **ids}
    ours = load_ultravox(theirs.write(tmp_path / "small", theirs.bridge, **inside))
    assert ours.pattern == "frozen"
    same(ours, theirs, TALKS["analysis"])
    with torch.no_grad():  # what the folder holds itself counts, for the rest there is the reference
        theirs = Published()
        theirs.tower.conv1.bias += 1
        theirs.llm.model.norm.weight *= 2
    changed = ("audio_tower.conv1.bias", "language_model.model.norm.weight")
    tensors = {name: value for name, value in theirs.tensors().items() if name in (*changed, *theirs.bridge)}
    ours = load_ultravox(theirs.write(tmp_path / "part", tensors, **inside))
    assert ours.pattern == "full"
    same(ours, theirs, TALKS["analysis"])


@pytest.mark.parametrize("tied", [False, True])
def test_names_of_a_whole_whisper_shards_and_tied_heads(tmp_path: Path, tied: bool) -> None:
    theirs = Published(tied=tied)
    tensors = theirs.tensors("audio_tower.model.encoder.")
    tensors |= {
        "audio_tower.model.decoder.layer_norm.weight": torch.zeros(3),
        "audio_tower.proj_out.weight": torch.ones(2),
    }
    (theirs.write(tmp_path) / "model.safetensors").unlink()
    save_torch_state_dict(tensors, tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    ours = load_ultravox(tmp_path)
    assert {2, 7} <= ours.end_ids and ours.clip_text == ClipText()
    assert (ours.llm.get_output_embeddings().weight is ours.table.weight) == tied
    same(ours, theirs, TALKS["analysis"])


def test_a_folder_is_a_model_like_any_other(
    tmp_path: Path, theirs: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = theirs.write(tmp_path / "published")
    assert layout_of(folder) == "ultravox"
    ours = ossicle.load(folder, device="cpu")
    again = load(save(ours, tmp_path / "own"), device="cpu")
    turns = TALKS["31 s"]
    assert torch.equal(again.prefill(*prepare(again, [turns]))[1], ours.prefill(*prepare(ours, [turns]))[1])
    ossicle.write_clip(noise(1.0), tmp_path / "a.wav")
    line = ["ask", str(tmp_path / "a.wav"), QUESTION, "--model", str(folder), "--device", "cpu", "--max-tokens", "3"]
    assert run([*line, "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["ledger"]["audio_tokens"] == 7 and got["ledger"]["tail_s"] == 0
    assert got["text"] == ossicle.ask(ours, tmp_path / "a.wav", QUESTION, max_tokens=3).text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("audio_tower.conv1.bias", r"the encoder does not match its description: missing audio_tower\.conv1\.bias"),
        ("multi_modal_projector.ln_mid.weight", r"the bridge does .*: missing multi_modal_projector\.ln_mid\.weight"),
        ("language_model.model.norm.weight", r"the LLM does not .*: missing language_model\.model\.norm\.weight"),
    ],
)
def test_a_weight_that_is_missing_is_named(tmp_path: Path, theirs: Published, name: str, message: str) -> None:
    tensors = {key: value for key, value in theirs.tensors().items() if key != name}
    with pytest.raises(CheckpointError, match=message) as caught:
        load_ultravox(theirs.write(tmp_path, tensors))
    assert caught.value.code == "key_mismatch"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("audio_tower.layers.7.fc1.bias", r"the encoder does .*: left over audio_tower\.layers\.7\.fc1\.bias"),
        ("audio_tower.model.encoder.conv1.bias", r"the encoder .*: left over audio_tower\.model\.encoder\.conv1\.bias"),
        ("multi_modal_projector.ln_post.weight", r"the bridge .*: left over multi_modal_projector\.ln_post\.weight"),
        ("language_model.model.more.weight", r"the LLM does .*: left over language_model\.model\.more\.weight"),
        ("vision_tower.weight", r"left over vision_tower\.weight"),
    ],
)
def test_a_weight_that_is_left_over_is_named(tmp_path: Path, theirs: Published, name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_ultravox(theirs.write(tmp_path, {**theirs.tensors(), name: torch.zeros(5)}))
    assert caught.value.code == "key_mismatch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"projector_act": "gelu"}, "projector_act is 'gelu', supported is \"swiglu\""),
        ({"num_projector_layers": 2}, "num_projector_layers is 2, supported is null or 0"),
        ({"audio_latency_block_size": 100}, "audio_latency_block_size is 100, supported is null"),
        ({"stack_factor": "many"}, r"config\.json of .* cannot be used: .*stack_factor"),
        ({"stack_factor": 0}, "no model can be made as config.json says: StackSwiGLU needs k of at least 1"),
        ({"hidden_size": 47}, "StackSwiGLU needs an even hidden width"),
        ({"hidden_size": 50}, r"of another shape multi_modal_projector\.linear_1\.weight"),
        ({"audio_config": {"model_type": "wav2vec2"}}, "its encoder is no Whisper with 1500 positions"),
        ({"audio_config": {"max_source_positions": 100}}, "its encoder is no Whisper with 1500 positions"),
        (
            {"audio_config": {"activation_function": "relu"}},
            "the activation is 'relu', that of a Whisper encoder is 'gelu'",
        ),
        ({"audio_config": {"d_model": "wide"}}, "no model can be made as config.json says: .*d_model"),
        ({"text_config": {"model_type": "nothing"}}, "no model can be made as config.json says: .*nothing"),
        ({"text_config": {"model_type": "wav2vec2"}}, "no causal LLM is made of a 'wav2vec2'"),
        ({"audio_model_id": "no/where/at/all"}, "no/where/at/all has no config that transformers can read"),
    ],
)
def test_settings_of_which_no_model_is_made_are_refused(
    tmp_path: Path, theirs: Published, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_ultravox(theirs.write(tmp_path, **changes))


def test_files_that_cannot_be_read_are_told(tmp_path: Path, theirs: Published) -> None:
    folder = theirs.write(tmp_path / "m")
    (folder / "generation_config.json").write_text("[")
    with pytest.raises(CheckpointError, match="no model can be made"):
        load_ultravox(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text("[]")
    with pytest.raises(CheckpointError, match="does it map names to files"):
        load_ultravox(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../other.safetensors"}}))
    with pytest.raises(CheckpointError, match="not in the folder"):
        load_ultravox(folder)
    index.unlink()
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        load_ultravox(folder)
    (folder / "config.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"config\.json of .* cannot be read: is it JSON"):
        load_ultravox(folder)


@pytest.mark.parametrize(
    ("template", "special", "message"),
    [
        ("{{ messages[0]['role'] }}", (), r"its chat template writes no <\|audio\|> where a user does"),
        ("{{ nothing.at.all }}", (), "no model can be made as config.json says: .*undefined"),
        (None, ("<|audio_bos|>", "<|audio_eos|>"), r"its tokenizer knows <\|audio_bos\|> and <\|audio_eos\|>"),
    ],
)
def test_prompts_that_would_be_others_are_refused(
    tmp_path: Path, theirs: Published, template: str | None, special: tuple[str, ...], message: str
) -> None:
    folder = theirs.write(tmp_path)
    tokenizer = type(TOKENIZER).from_pretrained(folder)
    tokenizer.chat_template = template or tokenizer.chat_template
    tokenizer.add_tokens(list(special), special_tokens=True)
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=message):
        load_ultravox(folder)


def test_half_precision_on_disk_is_read_in_float32(tmp_path: Path, theirs: Published) -> None:
    folder = theirs.write(tmp_path)
    path = folder / "model.safetensors"
    save_file({name: value.bfloat16() for name, value in load_file(path).items()}, path, {"format": "pt"})
    ours = load_ultravox(folder)
    assert {weight.dtype for weight in ours.parameters()} == {torch.float32}
    assert torch.equal(
        ours.bridge.inner.weight, theirs.bridge["multi_modal_projector.linear_1.weight"].bfloat16().float()
    )
