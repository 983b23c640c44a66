"""Tensors to files and from them: what does not match, or does not fit, is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ossicle.errors import CheckpointError, RequestError
from ossicle.hub.strict import as_stored, check_keys, exact_dtype, read_tensors, refuse


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


def test_a_number_for_which_the_dtype_has_no_room_is_named() -> None:
    large = torch.tensor([1.0, -1e5, float("nan")])
    with pytest.raises(
        RequestError, match=r"it\.weight holds 100000, the most that float16 holds is 65504: store it as"
    ):
        as_stored("it.weight", large, torch.float16)
    assert torch.equal(as_stored("it", large[:2], torch.bfloat16), large[:2].bfloat16())
    assert as_stored("it", torch.tensor([float("inf")]), torch.float16).isinf().all()  # it was none before
    assert as_stored("it", torch.arange(70_000), torch.float16).dtype == torch.int64
    assert as_stored("it", large, None).dtype == torch.float32


def test_a_part_that_must_stay_takes_the_smallest_dtype_that_changes_no_number() -> None:
    for value, dtype in ((0.5, torch.float16), (2.0**-40, torch.bfloat16), (1e5, None), (0.1, None)):
        assert exact_dtype([torch.tensor([1.0, value]), torch.arange(9)], torch.float16) == dtype
    assert exact_dtype([torch.tensor([0.1])], None) is None
