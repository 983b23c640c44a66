"""config.json: what is refused, and by which code."""

import json
from pathlib import Path
from typing import Any

import pytest

from ossicle.errors import CheckpointError
from ossicle.hub.description import (
    Description,
    LanguageModel,
    Part,
    Record,
    fingerprint,
    inside,
    read_description,
    records,
)


def written(folder: Path, **changes: Any) -> Path:
    """A folder whose files are a few bytes each, with keys of config.json changed."""
    for name in ("encoder.safetensors", "bridge.safetensors", "llm/config.json", "tokenizer.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    about = Description(
        format=1,
        kind="audio_lm",
        name="x",
        pattern="frozen",
        context=9,
        encoder=Part("whisper", {}, "encoder.safetensors"),
        bridge=Part("mean_pool", {}, "bridge.safetensors"),
        llm=LanguageModel("causal_lm", {}, "llm"),
        files=records(folder),
    )
    (folder / "config.json").write_text(json.dumps(json.loads(about.text()) | changes))
    return folder


def test_a_description_comes_back(tmp_path: Path) -> None:
    about = read_description(written(tmp_path))
    assert (about.name, about.context, about.encoder.weights) == ("x", 9, "encoder.safetensors")
    assert about.files["tokenizer.json"] == Record(14, records(tmp_path)["tokenizer.json"].sha256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has the format 2, this version of ossicle reads up to 1: install a newer one"),
        ({"format": 0}, "names no format: is it a model of ossicle"),
        ({"format": "1"}, "names no format"),
        ({"kind": "token_lm"}, "holds a 'token_lm', known is 'audio_lm'"),
        ({"context": "many"}, "cannot be used: context: Input should be a valid integer"),
        ({"colour": "red"}, "cannot be used: colour: "),
        ({"encoder": {"kind": "whisper", "config": {}, "weights": "encoder.safetensors", "size": 2}}, "encoder.size: "),
        ({"adapter": "../adapter"}, "names '../adapter', which is not in the folder"),
        ({"adapter": "/etc"}, "names '/etc', which is not in the folder"),
        ({"adapter": ""}, "names '', which is not in the folder"),
        ({"files": {"../secret": {"bytes": 1, "sha256": ""}}}, "names '../secret', which is not in the folder"),
    ],
)
def test_what_is_not_of_this_format_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_description(written(tmp_path, **changes))
    assert caught.value.code == "bad_format"


def test_a_folder_without_a_description_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is not a model folder: it has no config\.json") as caught:
        read_description(tmp_path)
    assert caught.value.code == "incomplete"


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"is not JSON|names no format"):
        read_description(tmp_path)


def test_a_file_that_is_missing_cut_or_not_listed_is_incomplete(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "tokenizer.json").write_text("short")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json has 5 bytes, it was saved with 14") as caught:
        read_description(tmp_path)
    assert caught.value.code == "incomplete"
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"incomplete: tokenizer\.json is missing"):
        read_description(tmp_path)
    with pytest.raises(CheckpointError, match=r"incomplete: config\.json lists no file for adapter"):
        read_description(written(tmp_path, adapter="adapter"))


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "m" / "weights").symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match="names 'weights', which is not in the folder"):
        inside(tmp_path / "m", "weights")
    assert inside(tmp_path / "m", "llm/a") == tmp_path / "m" / "llm" / "a"


def test_the_card_is_free_and_the_rest_is_recorded(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "card.md").write_text("x")
    assert sorted(records(tmp_path)) == [
        "bridge.safetensors",
        "encoder.safetensors",
        "llm/config.json",
        "tokenizer.json",
    ]


@pytest.mark.parametrize("listed", [True, False])
def test_a_fingerprint_is_that_of_what_the_folder_holds(tmp_path: Path, listed: bool) -> None:
    """Of ours and of a published folder, which lists no hashes."""

    def made(name: str, weights: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "encoder.safetensors").write_text(weights)
        (folder / "config.json").write_text("{}")
        if listed:
            (folder / "llm").mkdir()
            written(folder)
            (folder / "encoder.safetensors").write_text(weights)
            about = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(
                json.dumps(about | {"files": {key: vars(one) for key, one in records(folder).items()}})
            )
        return fingerprint(folder)

    first = made("a", "1")
    assert made("b", "1") == first and made("c", "2") != first and len(first) == 64


def test_a_fingerprint_needs_a_config_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        fingerprint(tmp_path)
