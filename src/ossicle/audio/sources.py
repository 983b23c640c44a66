"""Where bytes come from: a path, bytes in memory or an open file becomes one seekable binary file, or is refused.

Knows files; does not know what is inside them. Only a regular file of this machine is opened by name: no folder,
device, pipe or address. Nothing else in the package opens a name that a user gave for audio.
"""

import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, TypeAlias

import numpy as np

from ossicle.errors import FetchError, RequestError

ByteSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
Source: TypeAlias = ByteSource | np.ndarray

SPOOL_BYTES = 16 * 1024 * 1024
"""A stream that cannot seek is kept in memory up to this size, on disk above it."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:|data:", re.IGNORECASE)


class ByteFile(Protocol):
    """What the parsers and decoders need of a file: it reads, seeks and tells."""

    def read(self, n: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Pieces:
    """A read-only file put together from stretches of another file and from bytes.

    Args:
        file: where the stretches lie.
        pieces: in order, ``(first, end)`` offsets in ``file``, or bytes that stand in for what is not there.
    """

    def __init__(self, file: ByteFile, pieces: tuple[tuple[int, int] | bytes, ...]) -> None:
        self._file, self._pieces, self._at = file, pieces, 0
        self._lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces]
        self.size = sum(self._lengths)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def read(self, n: int = -1, /) -> bytes:
        want = max(self.size - self._at, 0) if n < 0 else n
        parts, start = [], 0
        for piece, length in zip(self._pieces, self._lengths, strict=True):
            offset = self._at - start
            start += length
            take = min(length - offset, want)
            if offset < 0 or take <= 0:
                continue
            if isinstance(piece, bytes):
                part = piece[offset : offset + take]
            else:
                self._file.seek(piece[0] + offset)
                part = self._file.read(take)
            parts.append(part)
            self._at += len(part)
            want -= len(part)
            if len(part) < take:
                break
        return b"".join(parts)


def size_of(file: ByteFile) -> int:
    """Bytes in a file; the position goes back to its start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


@contextmanager
def open_source(source: ByteSource) -> Iterator[ByteFile]:
    """The bytes of a source as a file at position 0.

    An open file is read from where it stands; one that cannot seek is first read to its end. The caller's file stays
    open.

    Raises:
        FetchError: ``file_not_found``; ``path_not_allowed`` for anything that is not a regular file of this machine.
        RequestError: ``invalid_value`` for a source of another kind.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        with _open_path(source) as file:
            yield file
    elif not hasattr(source, "read") or hasattr(source, "encoding"):
        raise RequestError(
            f"audio comes from a path, bytes, a binary file or an array, got {type(source).__name__}: "
            "open a text file in binary mode"
        )
    elif hasattr(source, "seekable") and source.seekable():
        start = source.tell()
        end = source.seek(0, os.SEEK_END)
        source.seek(start)
        yield Pieces(source, ((start, end),))
    else:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            while block := source.read(1024 * 1024):
                spool.write(block)
            spool.seek(0)
            yield spool


def _open_path(path: str | os.PathLike[str]) -> BinaryIO:
    name = os.fspath(path)
    if isinstance(path, str) and _ADDRESS.match(path):
        raise FetchError(
            "audio is read from local files only, got an address: download it first and give the file's path",
            code="path_not_allowed",
        )
    shown = repr(name if len(name) <= 80 else "..." + name[-77:])
    try:
        # Looked at before it is opened, for opening a device may do something; again after, for it may have changed.
        _refuse_unless_regular(os.stat(name).st_mode, shown)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(name, flags), "rb")
    except PermissionError:
        raise FetchError(f"no permission to read {shown}", code="path_not_allowed") from None
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        raise FetchError(f"there is no file {shown}: check the path", code="file_not_found") from None
    _refuse_unless_regular(os.fstat(file.fileno()).st_mode, shown)
    return file


def _refuse_unless_regular(mode: int, shown: str) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise FetchError(f"{shown} is {kind}: audio is read from regular files only", code="path_not_allowed")
