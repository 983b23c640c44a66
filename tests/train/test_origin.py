"""Where a model comes from."""

import shutil
from pathlib import Path

import pytest
import torch

from ossicle.train.origin import VERSIONS, choose_precision, commit, segment

CPU = torch.device("cpu")


def test_a_segment_says_who_trained() -> None:
    told = segment(CPU, "float32", 3.0)
    assert set(told["versions"]) == set(VERSIONS)
    assert (
        told["versions"]["torch"] == torch.__version__.split("+")[0] or told["versions"]["torch"] == torch.__version__
    )
    assert (told["device"], told["precision"], told["minutes"], told["from_step"]) == ("cpu", "float32", 3.0, 0)
    assert told["started"].endswith("+00:00") and told["threads"] == torch.get_num_threads()
    assert told["commit"] == commit()


def test_precision_is_what_was_asked_or_the_quicker_one() -> None:
    assert choose_precision("float32", torch.device("cuda")) == "float32"
    assert choose_precision("bfloat16", CPU) == "bfloat16"
    assert choose_precision("auto", torch.device("cuda")) == "bfloat16"
    assert choose_precision("auto", CPU) in ("bfloat16", "float32")


@pytest.mark.skipif(
    shutil.which("git") is None or not (Path(__file__).parents[2] / ".git").exists(), reason="not a git repository"
)
def test_the_commit_is_twelve_hex_digits_with_a_sign_where_files_differ() -> None:
    told = commit()
    assert len(told.removesuffix("+")) == 12 and int(told.removesuffix("+"), 16) >= 0


def test_without_git_or_outside_a_repository_the_commit_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert commit() == "unknown"
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"
