"""Folders of translators: bit-equal round trips, strict refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from translate.small import SIZES, letters, noise, tiny

from ossicle.errors import CheckpointError, NotFoundError, RequestError, StorageError
from ossicle.hub.folder import load
from ossicle.hub.translator import is_translator_folder, load_translator, save_translator, verify_translator
from ossicle.translate.translator import Translator


def outputs(model: Translator) -> torch.Tensor:
    with torch.no_grad():
        heard = model.hear(model.features(noise(8_000)))
        return model.logits(model.states(heard, [[3, 5, 9, 10]]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_translator(tiny(), tmp_path / "tiny")


def change(folder: Path, **values: Any) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**raw, **values}))


def test_a_translator_comes_back_bit_equal(folder: Path) -> None:
    model = load_translator(folder, device="cpu")
    assert torch.equal(outputs(model), outputs(tiny()))
    assert not model.training and model.languages == ("en", "fr", "de") and model.name == "tiny"
    assert model.text.encode("ab?", "de") == tiny().text.encode("ab?", "de")
    again = save_translator(model, folder.parent / "again")
    assert (again / "config.json").read_text() == (folder / "config.json").read_text()


def test_how_many_filter_banks_a_frame_reads_comes_back(tmp_path: Path) -> None:
    model = load_translator(save_translator(tiny(stack=4), tmp_path / "slow"), device="cpu")
    assert model.n_frames(16_000) == 25 and torch.equal(outputs(model), outputs(tiny(stack=4)))


def test_the_table_of_tokens_is_stored_once(folder: Path) -> None:
    held = [key for file in folder.glob("*.safetensors") for key in load_file(file) if "embed_tokens" in key]
    assert held == ["embed_tokens.weight"]
    model = load_translator(folder, device="cpu")
    assert model.lm_head.weight is model.shared.weight is model.text_decoder.embed_tokens.weight


def test_a_model_without_ears_or_eyes_comes_back_without(tmp_path: Path) -> None:
    config = SIZES.config(vocabulary=36, characters=40)
    for has in ({"hears": False}, {"reads": False}):
        made = save_translator(Translator(config, letters(), **has), tmp_path / next(iter(has)))
        model = load_translator(made, device="cpu")
        assert (model.speech_encoder is None, model.text_encoder is None) == ("hears" in has, "reads" in has)


def test_half_the_bytes_in_float16(tmp_path: Path) -> None:
    size = {
        kind: sum(
            one.stat().st_size for one in save_translator(tiny(), tmp_path / kind, dtype=kind).glob("*.safetensors")
        )
        for kind in ("float32", "float16")
    }
    assert 0.45 < size["float16"] / size["float32"] < 0.6
    with pytest.raises(RequestError, match="dtype 'int8' is not known"):
        save_translator(tiny(), tmp_path / "int8", dtype="int8")
    with pytest.raises(RequestError, match="dtype 'int8' is not known"):
        load_translator(tmp_path / "float16", dtype="int8")


def test_what_stands_there_is_replaced_only_when_told(folder: Path) -> None:
    with pytest.raises(StorageError, match="overwrite=True"):
        save_translator(tiny(1), folder)
    assert torch.equal(outputs(load_translator(folder, device="cpu")), outputs(tiny()))
    save_translator(tiny(1), folder, overwrite=True)
    assert torch.equal(outputs(load_translator(folder, device="cpu")), outputs(tiny(1)))


def test_folders_that_do_not_match_are_refused(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "text_encoder.safetensors")
    tensors["layer_norm.extra"] = tensors.pop("layer_norm.bias")
    save_file(tensors, folder / "text_encoder.safetensors")
    size = (folder / "text_encoder.safetensors").stat().st_size
    raw = json.loads((folder / "config.json").read_text())
    raw["files"]["text_encoder.safetensors"]["bytes"] = size
    change(folder, files=raw["files"])
    with pytest.raises(CheckpointError, match=r"missing layer_norm.bias; left over layer_norm.extra"):
        load_translator(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 2}, "has the format 2, this version of ossicle reads up to 1"),
        ({"kind": "audio_lm"}, "holds no translator but 'audio_lm'"),
        ({"format": None}, "names no format"),
        ({"more": 1}, "cannot be used: more"),
        ({"parts": {}}, "cannot be used: no text_decoder"),
        ({"config": {"hidden_size": "wide"}}, "no part can be made"),
        ({"files": {}}, "lists no file for tokenizer.json"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder, **values)
    with pytest.raises(CheckpointError, match=message):
        load_translator(folder)


def test_unknown_and_missing_parts_are_told(folder: Path) -> None:
    raw = json.loads((folder / "config.json").read_text())
    change(folder, parts={**raw["parts"], "nose": raw["parts"]["text_decoder"]})
    with pytest.raises(CheckpointError, match="unknown parts nose"):
        load_translator(folder)
    change(folder, parts={**raw["parts"], "vocoder": {"kind": "kazoo", "config": {}, "weights": "tokenizer.json"}})
    with pytest.raises(CheckpointError, match="unknown kind 'kazoo' of a vocoder"):
        load_translator(folder)


def test_damaged_folders_are_told(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{" + " " * ((folder / "tokenizer.json").stat().st_size - 1))
    with pytest.raises(CheckpointError, match=r"the tokenizer of .* cannot be read"):
        load_translator(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json has 2 bytes, it was saved with"):
        load_translator(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"is incomplete: tokenizer\.json is missing"):
        load_translator(folder)
    (folder / "config.json").write_text("no")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_translator(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="is not a model folder"):
        load_translator(folder)
    with pytest.raises(NotFoundError, match="there is no model 'nowhere'"):
        load_translator("nowhere")


def test_files_that_changed_are_told_when_they_are_verified(folder: Path) -> None:
    assert verify_translator(folder) == len(list(folder.iterdir())) - 2  # without config.json and the card
    (folder / "card.md").write_text("edited by hand")
    assert verify_translator(str(folder)) > 4
    with (folder / "text_encoder.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\2\3\4")
    with pytest.raises(CheckpointError, match=r"text_encoder\.safetensors is not the file that was saved") as caught:
        verify_translator(folder)
    assert caught.value.code == "hash_mismatch"
    with pytest.raises(CheckpointError, match="holds no translator but 'audio_lm'"):
        verify_translator("mini")


def test_each_kind_of_folder_names_the_other(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a 'translator'"):
        load(folder)
    with pytest.raises(CheckpointError, match="holds no translator but 'audio_lm'"):
        load_translator("mini")
    assert is_translator_folder(folder) and not is_translator_folder(folder.parent)
