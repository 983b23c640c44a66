"""Frames of clips on disk: what a frozen encoder made of a clip is kept, so that no later epoch computes it again.

Knows samples, tensors and a folder; does not know encoders: who asks says in ``identity`` everything that the frames
depend on besides the samples. An entry is one safetensors file, written beside and renamed, with the SHA-256 of its
values inside; one that is damaged, or is another's, is as if it were not there. The folder is bounded: what does not
fit is not kept, which is said once.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

SUFFIX = ".safetensors"
NAME = "frames"
HEADER_BYTES = 512
"""More than the header of an entry takes."""


class FrameCache:
    """Frames by key, in a folder.

    Args:
        folder: made when the first entry is written.
        identity: digest of all that frames depend on besides the samples: weights, settings, precision, versions.
        limit_bytes: most bytes of all entries in the folder together, whoever wrote them.
    """

    def __init__(self, folder: Path, identity: str, *, limit_bytes: int) -> None:
        self.folder, self.identity, self.limit_bytes = folder, identity, limit_bytes
        self.n_bytes = sum(_size(path) for place in _inside(folder) for path in _inside(place))
        self.closed = False
        self._lock = Lock()

    def key(self, samples: np.ndarray, rate: int) -> str:
        """Digest of the identity, the samples (S,) float32 and their rate."""
        found = hashlib.sha256(f"{self.identity} {rate} {len(samples)} ".encode())
        found.update(np.ascontiguousarray(samples, np.float32).data)
        return found.hexdigest()

    def holds(self, key: str) -> bool:
        """Whether there is an entry, whole or not."""
        return self._path(key).is_file()

    def get(self, key: str) -> torch.Tensor | None:
        """The frames (T, D) of a key; None where there is no entry, or one that is not to be trusted."""
        try:
            with safe_open(self._path(key), framework="pt") as entry:
                told, values = entry.metadata() or {}, entry.get_tensor(NAME)
        except (OSError, SafetensorError):
            return None
        if told != {"key": key, "sha256": _digest(values)} or values.ndim != 2:
            return None
        frames: torch.Tensor = values
        return frames

    def put(self, key: str, frames: torch.Tensor) -> None:
        """Keep frames (T, D), if they are finite and there is room; several threads may do so at once."""
        values = frames.detach().cpu().contiguous()
        if self.closed or not bool(torch.isfinite(values).all()):
            return
        path, size = self._path(key), values.numel() * values.element_size() + HEADER_BYTES
        with self._lock:
            if self.n_bytes + size > self.limit_bytes:
                self._close(f"is full ({self.limit_bytes / 1e9:g} GB): data.cache_gb of the recipe makes it larger")
                return
            before = _size(path)
            try:
                written = _write(path, values, key)
            except (OSError, SafetensorError) as error:
                self._close(f"cannot be written ({error})")
                return
            self.n_bytes += written - before

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / (key + SUFFIX)

    def _close(self, why: str) -> None:
        self.closed = True
        print(f"the cache {self.folder} {why}; frames that are not in it are computed each time", file=sys.stderr)


def _inside(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it is none. Other runs share a cache, so anything may vanish meanwhile."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(path: Path) -> int:
    """Bytes of a file; 0 if it is not there."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _write(path: Path, values: torch.Tensor, key: str) -> int:
    """Write an entry beside its place and rename it; returns its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    os.close(handle)
    try:
        save_file({NAME: values}, draft, {"key": key, "sha256": _digest(values)})
        size = os.stat(draft).st_size
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return size


def _digest(values: torch.Tensor) -> str:
    """Of type, shape and bytes."""
    plain = values.contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(f"{values.dtype} {tuple(values.shape)} ".encode() + plain.tobytes()).hexdigest()
