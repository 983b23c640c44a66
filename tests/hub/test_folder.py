"""Model folders: bit-equal round trips, strict refusals, nothing half-written, nothing outside."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from models.tiny import FAMILIES, asked, tiny_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ossicle.bridge.stacking import StackMLP
from ossicle.errors import CheckpointError, ConfigError, NotFoundError, RequestError, StorageError
from ossicle.hub.description import Reference, digest
from ossicle.hub.folder import DTYPES, find, load, refer, save, shipped, verify
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora, has_lora, merge_lora


def answers(model: AudioLM) -> torch.Tensor:
    """Logits of a prompt with a clip and of one further step."""
    prompt, heard = asked(model, [0.7])
    state, first = model.prefill([prompt], [heard])
    return torch.cat([first, model.step(torch.tensor([5]), state)])


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; a dotted name goes deeper."""
    raw = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        *above, last = name.split("__")
        target = raw
        for key in above:
            target = target[key]
        target[last] = value
    (folder / "config.json").write_text(json.dumps(raw))


def relist(folder: Path, name: str) -> None:
    """Put the size of a file that was changed on purpose into config.json."""
    raw = json.loads((folder / "config.json").read_text())
    raw["files"][name]["bytes"] = (folder / name).stat().st_size
    (folder / "config.json").write_text(json.dumps(raw))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tiny_model(), tmp_path / "tiny")


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_comes_back_bit_equal(tmp_path: Path, family: str, tied: bool) -> None:
    model = tiny_model(family, tied=tied, bridge=StackMLP(32, 32, k=3, hidden=16))
    again = load(save(model, tmp_path / "m"))
    assert torch.equal(answers(again), answers(model))
    assert (again.name, again.context, again.pattern, again.training) == ("tiny", 400, "frozen", False)
    with safe_open(tmp_path / "m" / "llm" / "model.safetensors", "pt") as file:
        assert ("lm_head.weight" in file.keys()) != tied  # noqa: SIM118
    assert (again.llm.lm_head.weight is again.table.weight) == tied
    assert verify(tmp_path / "m") > 5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_stored_in_a_dtype_comes_back_in_its_values(tmp_path: Path, dtype: str) -> None:
    model = tiny_model()
    save(model, tmp_path / "a", dtype=dtype)
    assert next(model.llm.parameters()).dtype == torch.float32
    first = load(tmp_path / "a")
    assert {weight.dtype for weight in first.parameters()} == {torch.float32}
    second = load(save(first, tmp_path / "b", dtype=dtype))
    assert torch.equal(answers(first), answers(second))
    for name in ("encoder.safetensors", "bridge.safetensors", "llm/model.safetensors"):
        stored = load_file(tmp_path / "a" / name)
        assert {tensor.dtype for tensor in stored.values()} == {DTYPES[dtype]}
        assert digest(tmp_path / "a" / name) == digest(tmp_path / "b" / name)
    assert json.loads((tmp_path / "a" / "llm" / "config.json").read_text())["dtype"] == dtype


def test_parts_that_must_stay_are_stored_in_a_dtype_that_holds_them(tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        for weight in model.llm.parameters():
            weight.copy_(weight.bfloat16())
        model.table.weight[5] = 2.0**-40
    for exact in (("llm",), ()):
        again = load(save(model, tmp_path / "m", dtype="float16", exact=exact, overwrite=True))
        same = [torch.equal(a, b) for a, b in zip(model.llm.parameters(), again.llm.parameters(), strict=True)]
        assert all(same) == bool(exact)
        assert {t.dtype for t in load_file(tmp_path / "m" / "encoder.safetensors").values()} == {torch.float16}
    assert save(model, tmp_path / "n", dtype="float16", exact=["encoder", "llm"])
    assert json.loads((tmp_path / "n" / "llm" / "config.json").read_text())["dtype"] == "bfloat16"
    assert torch.equal(
        load_file(tmp_path / "n" / "encoder.safetensors")["tower.conv1.bias"], model.encoder.tower.conv1.bias
    )
    with pytest.raises(RequestError, match="exact names of encoder, bridge, llm, got 'lm'"):
        save(model, tmp_path / "o", exact=["lm"])
    with torch.no_grad():
        model.table.weight[5, 5] = 1e5
    with pytest.raises(
        RequestError, match=r"model\.embed_tokens\.weight holds 100000, the most that float16 holds is 65504"
    ):
        save(model, tmp_path / "o", dtype="float16")
    assert not (tmp_path / "o").exists()


def test_half_the_bits_are_half_the_bytes(tmp_path: Path) -> None:
    model = tiny_model()
    sizes = [
        (save(model, tmp_path / d, dtype=d) / "encoder.safetensors").stat().st_size for d in ("float16", "float32")
    ]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_can_be_loaded_in_another_dtype(folder: Path, dtype: str) -> None:
    model = load(folder, device="cpu", dtype=dtype)
    assert {weight.dtype for weight in model.parameters()} == {DTYPES[dtype]}
    if dtype == "bfloat16":
        assert torch.isfinite(answers(model)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unmerged_lora_lies_beside_the_llm_and_comes_back(tmp_path: Path, family: str) -> None:
    pytest.importorskip("peft")
    model, plain = tiny_model(family), tiny_model(family)
    add_lora(model, 2, alpha=8)
    with torch.no_grad():
        for name, weight in model.llm.named_parameters():
            if "lora_" in name:
                weight.normal_(0, 0.1)
    again = load(save(model, tmp_path / "a"))
    assert torch.equal(answers(again), answers(model))
    assert (again.pattern, has_lora(again.llm)) == ("lora", True)
    assert any(weight.requires_grad for weight in again.llm.parameters())
    save(plain, tmp_path / "plain")
    llms = [tmp_path / name / "llm" / "model.safetensors" for name in ("a", "plain")]
    assert digest(llms[0]) == digest(llms[1])  # the LLM's own weights are untouched
    assert str(tmp_path) not in (tmp_path / "a" / "adapter" / "adapter_config.json").read_text()
    merge_lora(again)
    merged = load(save(again, tmp_path / "merged"))
    torch.testing.assert_close(answers(merged), answers(model), atol=1e-4, rtol=1e-4)
    assert not (tmp_path / "merged" / "adapter").exists()
    with pytest.raises(CheckpointError, match="adapter does not match its description: missing"):
        _without_first(tmp_path / "a", "adapter/adapter_model.safetensors")


def test_a_folder_keeps_where_the_lora_is(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    model = tiny_model()
    add_lora(model, 2, targets="q_proj|v_proj")
    again = load(save(model, tmp_path / "a"))
    ours, theirs = (set(dict(one.llm.named_parameters())) for one in (model, again))
    assert ours == theirs and sum("lora_A" in name for name in theirs) == 4
    said = json.loads((tmp_path / "a" / "adapter" / "adapter_config.json").read_text())["target_modules"]
    assert said == [f"model.layers.{i}.self_attn.{one}_proj" for i in (0, 1) for one in "qv"]


def _without_first(folder: Path, name: str) -> None:
    """Take the first weight out of a file, and load."""
    tensors = load_file(folder / name)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, folder / name, {"format": "pt"})
    relist(folder, name)
    load(folder)


def test_a_frozen_llm_can_be_referred_to(tmp_path: Path) -> None:
    model = tiny_model()
    whole = save(model, tmp_path / "whole")
    weights = whole / "llm" / "model.safetensors"
    reference = Reference(str(whole / "llm"), sha256=digest(weights))
    small = save(model, tmp_path / "small", llm=reference)
    assert not (small / "llm").exists()
    assert torch.equal(answers(load(small)), answers(model))
    assert verify(small) == verify(whole) - 2  # without llm/*.json, but with the referred weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    with pytest.raises(CheckpointError, match=r"llm is not the file that was saved: its hash differs") as caught:
        verify(small)
    assert caught.value.code == "hash_mismatch"
    weights.unlink()
    with pytest.raises(CheckpointError, match="is not on this machine, so nothing was compared"):
        verify(small)
    with pytest.raises(CheckpointError, match=r"the LLM referred to as .* cannot be read"):
        load(small)


def test_a_reference_tells_the_hash_of_shards_and_the_revision_of_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, revision = tiny_model(), "0" * 40
    place = tmp_path / "models--some--llm" / "snapshots" / revision
    (tmp_path / "models--some--llm" / "refs").mkdir(parents=True)
    (tmp_path / "models--some--llm" / "refs" / "main").write_text(revision)
    model.llm.save_pretrained(place, max_shard_size="50KB")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub, folder = refer("some/llm"), refer(str(place))
    assert (hub.repo, hub.revision, hub.sha256) == ("some/llm", revision, folder.sha256)
    assert (folder.repo, folder.revision) == (str(place), None) and len(str(folder.sha256)) == 64
    for reference in (hub, folder):
        saved = save(model, tmp_path / "m", llm=reference, overwrite=True)
        assert torch.equal(answers(load(saved)), answers(model))
        assert verify(saved) > 5
        (shard, *_) = sorted(place.glob("model-*.safetensors"))
        before = shard.read_bytes()
        shard.write_bytes(before[:-1] + b"\x07")
        with pytest.raises(CheckpointError, match="is not the file that was saved: its hash differs"):
            verify(saved)
        shard.write_bytes(before)
    (place / "model.safetensors.index.json").unlink()
    assert refer(str(place)) == Reference(str(place))  # nothing that could be hashed
    assert refer("/no/such/place") == Reference("/no/such/place")


def test_a_reference_to_a_repository_that_is_not_here_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no waiting for a network that is not there
    edit(folder, llm__weights={"repo": "nobody/nothing", "revision": "main", "sha256": "00"})
    with pytest.raises(CheckpointError, match="the LLM referred to as 'nobody/nothing' cannot be read"):
        load(folder)
    with pytest.raises(CheckpointError, match="'nobody/nothing' is not on this machine"):
        verify(folder)


def test_a_trained_llm_cannot_be_referred_to(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"the LLM was trained \(pattern 'full'\): its weights must be saved"):
        save(tiny_model(pattern="full"), tmp_path / "m", llm=Reference("x"))


def test_an_llm_in_few_bits_is_referred_to_or_not_saved(tmp_path: Path) -> None:
    model = tiny_model()
    whole = save(model, tmp_path / "whole")
    model.llm.hf_quantizer = object()  # as `transformers` marks it
    with pytest.raises(RequestError, match=r"held in 4 bits, which no folder can hold: refer to its weights"):
        save(model, tmp_path / "a")
    again = load(save(model, tmp_path / "b", llm=Reference(str(whole / "llm"))))
    assert torch.equal(answers(again), answers(model)) and not (tmp_path / "b" / "llm").exists()


def test_the_qwen2_audio_layout_takes_no_parts_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_audio"}')
    with pytest.raises(RequestError, match="the encoder of this model is one of ossicle's: leave it out of parts"):
        load(tmp_path, parts={"encoder": "mine.py:Mine"})


def test_card_and_origin_are_written(tmp_path: Path) -> None:
    folder = save(tiny_model(), tmp_path / "m", card="# A card\n", origin={"seed": 3})
    assert (folder / "card.md").read_text() == "# A card\n"
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["seed"], sorted(origin["versions"])) == (3, ["ossicle", "torch", "transformers"])
    (folder / "card.md").write_text("# Edited by hand\n")
    load(folder)
    assert (save(tiny_model(), tmp_path / "n") / "card.md").read_text().startswith("# tiny\n")


def test_weights_are_missing_or_left_over_or_of_another_shape(folder: Path) -> None:
    path = folder / "bridge.safetensors"
    tensors = load_file(path)
    tensors["extra"] = torch.zeros(1)
    del tensors["output.linear.bias"]
    tensors["norm_in.weight"] = torch.zeros(3)
    save_file(tensors, path)
    relist(folder, "bridge.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert caught.value.code == "key_mismatch"
    assert str(caught.value) == (
        "bridge.safetensors does not match its description: missing output.linear.bias; left over extra; "
        "of another shape norm_in.weight"
    )


def test_many_names_are_counted(folder: Path) -> None:
    path = folder / "encoder.safetensors"
    save_file({f"extra{i}": torch.zeros(1) for i in range(10)} | load_file(path), path)
    relist(folder, "encoder.safetensors")
    with pytest.raises(CheckpointError, match=r"left over extra0, .*, extra7 and 2 more"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "llm does not match its description: missing model.norm.weight"),
        ("left over", "llm does not match its description: left over model.extra"),
        ("shape", "llm does not match: weights of another shape"),
        ("damaged", "the LLM's weights are damaged: they are not safetensors"),
    ],
)
def test_the_llm_is_loaded_strictly_too(
    folder: Path, change: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = "llm/model.safetensors"
    tensors = load_file(folder / name)
    match change:
        case "missing":
            del tensors["model.norm.weight"]
        case "left over":
            tensors["model.extra"] = torch.zeros(1)
        case "shape":
            tensors["model.norm.weight"] = torch.zeros(3)
    save_file(tensors, folder / name, {"format": "pt"})
    if change == "damaged":
        (folder / name).write_bytes(b"\xff" * 999)
    relist(folder, name)
    capfd.readouterr()
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert caught.value.code == ("bad_format" if change == "damaged" else "key_mismatch")
    assert capfd.readouterr() == ("", "")


def test_damaged_weights_of_a_part_are_named(folder: Path) -> None:
    (folder / "bridge.safetensors").write_bytes(b"\xff" * 99)
    relist(folder, "bridge.safetensors")
    with pytest.raises(CheckpointError, match=r"bridge\.safetensors is damaged: it is not safetensors"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "text"), [("tokenizer.json", "{}"), ("tokenizer_config.json", "{"), ("config.json", "[" * 99_999)]
)
def test_files_that_hold_nothing_of_use_are_a_bad_format(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    if name != "config.json":
        relist(folder, name)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert caught.value.code == "bad_format" and caught.value.exit_code == 6


def test_a_changed_bit_is_found_by_its_hash(folder: Path) -> None:
    path = folder / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors is not the file that was saved") as caught:
        verify(folder)
    assert caught.value.code == "hash_mismatch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bridge__kind": "cochlea"}, "the bridge 'cochlea' is not known: choose one of mean_pool, stack_mlp"),
        ({"bridge__config": {"k": 2}}, r"a bridge of kind 'mean_pool' cannot be built from \['k'\]"),
        ({"bridge__config__k": 0}, "MeanPool needs k of at least 1"),
        ({"encoder__kind": "ears"}, "the encoder 'ears' is not known: choose one of whisper"),
        ({"encoder__config": {"size": 2}}, r"an encoder of kind 'whisper' cannot be built from \['size'\]"),
        ({"pattern": "native"}, "the pattern 'native' is not known"),
        ({"encoder__config__n_mels": -5}, "no part can be made as config.json says"),
        ({"context": 100_000}, "a context of 100000 tokens is not possible"),
    ],
)
def test_settings_that_build_nothing_are_a_bad_format(folder: Path, changes: dict[str, Any], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(folder)
    assert caught.value.code == "bad_format"


class Ear(torch.nn.Module):
    """A part that files know nothing of."""

    width_in = width_out = 32


class Loud(StackMLP):
    """Computes something else than what it is derived from."""


def test_an_unknown_part_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"a Ear cannot be saved: files know the encoders whisper, .* and parts that .*build_own\('FILE.py:CLASS",
    ):
        save(tiny_model(bridge=Ear()), tmp_path / "m")
    with pytest.raises(ConfigError, match="a Loud cannot be saved"):  # it would come back as a StackMLP
        save(tiny_model(bridge=Loud(32, 32)), tmp_path / "m")


def test_an_existing_folder_is_replaced_only_when_asked_and_only_if_it_is_a_model(tmp_path: Path) -> None:
    folder = save(tiny_model(), tmp_path / "m")
    with pytest.raises(StorageError, match="exists: choose another name, or say overwrite=True"):
        save(tiny_model(), folder)
    torch.manual_seed(5)
    other = tiny_model("llama")
    save(other, folder, overwrite=True)
    assert torch.equal(answers(load(folder)), answers(other))
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "monday.txt").write_text("rain")
    with pytest.raises(StorageError, match="is not a model folder, so it is not overwritten"):
        save(tiny_model(), tmp_path / "diary", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary", "m"]


def test_a_file_that_grows_too_large_is_a_storage_error(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        with pytest.raises(StorageError, match="m cannot be written: File too large") as caught:
            save(tiny_model(), tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "no_space" and not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(tiny_model(), tmp_path / "m", origin={"not": object()})
    assert not list(tmp_path.iterdir())


def test_unknown_dtypes_and_devices_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="dtype 'int8' is not known: choose one of float32, bfloat16, float16"):
        save(tiny_model(), tmp_path / "m", dtype="int8")
    with pytest.raises(RequestError, match="dtype 'int8' is not known: choose one of auto, float32"):
        load(folder, dtype="int8")
    with pytest.raises(RequestError, match="there is no device 'toaster' here"):
        load(folder, device="toaster")


def test_a_name_that_is_nothing_lists_what_is_shipped() -> None:
    with pytest.raises(NotFoundError, match="there is no model 'nothing': give a model folder, or one of"):
        load("nothing")


def test_every_shipped_model_is_found() -> None:
    assert all((find(name) / "config.json").is_file() for name in shipped())


def test_loading_imports_no_training_package_of_its_own(folder: Path) -> None:
    code = (
        "import sys, transformers.modeling_utils as m; before = set(sys.modules); import ossicle; "
        f"ossicle.load({str(folder)!r}); print([x for x in ('peft', 'accelerate', 'tensorboard') "
        "if x in sys.modules and x not in before])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("changes", [{"num_attention_heads": 0}, {"hidden_size": "abc"}, {"layer_types": ["x", "y"]}])
def test_settings_of_which_no_llm_is_made_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "llm" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    relist(folder, "llm/config.json")
    with pytest.raises(CheckpointError, match="the LLM in the folder cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    "changes", [{}, {"auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.LLM"}}]
)
def test_an_llm_of_an_unknown_class_is_refused_and_its_code_never_runs(folder: Path, changes: dict[str, Any]) -> None:
    (folder / "llm" / "code.py").write_text("raise SystemExit('this was run')")
    settings = json.loads((folder / "llm" / "config.json").read_text()) | {"model_type": "unheard-of"}
    (folder / "llm" / "config.json").write_text(json.dumps(settings | changes))
    relist(folder, "llm/config.json")
    with pytest.raises(CheckpointError, match="the LLM in the folder cannot be read: is it there, and of a kind that"):
        load(folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "config.json"])
def test_a_file_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    if name == "config.json":
        monkeypatch.setattr(Path, "read_text", denied)
    else:
        monkeypatch.setattr("ossicle.hub.strict.load_file", denied)
        monkeypatch.setattr("ossicle.hub.description.digest", denied)
        with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            verify(folder)
    with pytest.raises(CheckpointError, match=f"{name}.* cannot be read"):
        load(folder)


def test_an_adapter_without_its_settings_is_named(tmp_path: Path) -> None:
    model = tiny_model()
    add_lora(model, 2)
    folder = save(model, tmp_path / "lora")
    raw = json.loads((folder / "config.json").read_text())
    (folder / "adapter" / "adapter_config.json").write_text("{")
    raw["files"]["adapter/adapter_config.json"]["bytes"] = 1
    (folder / "config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match=r"the adapter in .* cannot be read"):
        load(folder)
