"""Frames on disk: what was put comes back to the bit, or not at all."""

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ossicle.data.cache import HEADER_BYTES, FrameCache


def cache(folder: Path, identity: str = "one", limit_bytes: int = 10**6) -> FrameCache:
    return FrameCache(folder, identity, limit_bytes=limit_bytes)


def wave(seed: int, n: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_put_comes_back_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    ours, frames = cache(tmp_path), torch.randn(7, 5).to(dtype)
    key = ours.key(wave(0), 16_000)
    assert not ours.holds(key) and ours.get(key) is None
    ours.put(key, frames.T.contiguous().T)
    for one in (ours, cache(tmp_path)):
        got = one.get(key)
        assert one.holds(key) and got is not None and got.dtype == dtype and torch.equal(got, frames)


def test_what_vanishes_while_it_is_counted_counts_nothing(tmp_path: Path) -> None:
    """Runs that share a cache replace entries: one is listed, and gone when it is looked at."""
    assert cache(tmp_path / "none").n_bytes == 0
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "whole.safetensors").write_bytes(b"12345")
    (tmp_path / "ab" / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    (tmp_path / "cd").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"no folder of entries")
    assert cache(tmp_path).n_bytes == 5


def test_a_key_follows_from_identity_samples_and_rate(tmp_path: Path) -> None:
    keys = [
        cache(tmp_path).key(wave(0), 16_000),
        cache(tmp_path, "other").key(wave(0), 16_000),
        cache(tmp_path).key(wave(1), 16_000),
        cache(tmp_path).key(wave(0), 8_000),
        cache(tmp_path).key(wave(0)[:-1], 16_000),
    ]
    assert len(set(keys)) == 5 and keys[0] == cache(tmp_path).key(wave(0), 16_000)
    assert cache(tmp_path).key(wave(0)[::2], 16_000) == cache(tmp_path).key(wave(0)[::2].copy(), 16_000)


def entry(folder: Path) -> Path:
    (found,) = folder.glob("*/*.safetensors")
    return found


def test_a_damaged_or_foreign_entry_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    ours, frames = cache(tmp_path), torch.randn(7, 5)
    key = ours.key(wave(0), 16_000)
    ours.put(key, frames)
    path = entry(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for damaged in (b"", whole[:40], whole[:-1], bytes(flipped), b"x" * len(whole)):
        path.write_bytes(damaged)
        assert ours.get(key) is None
    save_file({"frames": frames}, path, {"key": key})  # nobody says what its values are
    assert ours.get(key) is None
    other = ours.key(wave(1), 16_000)
    (tmp_path / other[:2]).mkdir(exist_ok=True)
    (tmp_path / other[:2] / f"{other}.safetensors").write_bytes(whole)  # another clip's frames
    assert ours.get(other) is None
    ours.put(key, frames)
    assert torch.equal(ours.get(key), frames)


def test_it_is_bounded_and_says_once_that_it_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, size = torch.zeros(10, 100), 4_000 + HEADER_BYTES
    ours = cache(tmp_path, limit_bytes=3 * size)
    keys = [ours.key(wave(i), 16_000) for i in range(6)]
    for key in keys:
        ours.put(key, frames)
    kept = [key for key in keys if ours.holds(key)]
    on_disk = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    assert kept == keys[:3] and ours.n_bytes == on_disk <= 3 * size
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "is full (1.3536e-05 GB): data.cache_gb of the recipe makes it larger" in told
    again = cache(tmp_path, limit_bytes=3 * size)  # what lies there counts
    again.put(keys[5], frames)
    assert again.closed and not again.holds(keys[5])


def test_an_entry_that_is_replaced_counts_once(tmp_path: Path) -> None:
    ours = cache(tmp_path)
    key = ours.key(wave(0), 16_000)
    for _ in range(3):
        ours.put(key, torch.zeros(10, 100))
    assert ours.n_bytes == entry(tmp_path).stat().st_size


def test_frames_that_are_not_finite_are_not_kept(tmp_path: Path) -> None:
    ours = cache(tmp_path)
    ours.put("ab", torch.full((2, 2), float("nan")))
    assert not ours.holds("ab") and not ours.closed


def test_a_folder_that_cannot_be_written_is_told_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    ours = cache(tmp_path / "file")
    ours.put("ab", torch.zeros(2, 2))
    ours.put("cd", torch.zeros(2, 2))
    told = capsys.readouterr().err
    assert ours.closed and told.count("\n") == 1
    assert "cannot be written" in told and f"[Errno {errno.ENOTDIR}]" in told


def test_threads_may_put_the_same_clip(tmp_path: Path) -> None:
    ours, frames = cache(tmp_path), torch.randn(50, 40)
    key = ours.key(wave(0), 16_000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ours.put(key, frames), range(40)))
    assert torch.equal(ours.get(key), frames) and ours.n_bytes == entry(tmp_path).stat().st_size
    assert [path.name for path in tmp_path.glob("*/*")] == [f"{key}.safetensors"]
