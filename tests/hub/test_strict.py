"""Tensors from files: what does not match is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ossicle.errors import CheckpointError
from ossicle.hub.strict import check_keys, read_tensors, refuse


def zeros(*names: str, n: int = 2) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(n) for name in names}


def test_a_file_is_read_or_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(zeros("x"), path)
    assert torch.equal(read_tensors(path)["x"], torch.zeros(2))
    path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"a\.safetensors is damaged: it is not safetensors") as caught:
        read_tensors(path)
    assert caught.value.code == "bad_format"
    with pytest.raises(CheckpointError, match=r"b\.safetensors cannot be read: is it there"):
        read_tensors(tmp_path / "b.safetensors")


def test_every_kind_of_mismatch_is_named() -> None:
    check_keys(zeros("a", "b"), zeros("b", "a"), "it")
    with pytest.raises(CheckpointError) as caught:
        check_keys(zeros("a", "b") | zeros("c", n=3), zeros("b", "c", "d"), "it")
    assert str(caught.value) == "it does not match its description: missing a; left over d; of another shape c"
    assert caught.value.code == "key_mismatch"


def test_of_many_names_eight_are_told() -> None:
    with pytest.raises(CheckpointError, match=r"missing 0, 1, 2, 3, 4, 5, 6, 7 and 2 more$"):
        refuse("it", [str(i) for i in range(10)], [], [])
