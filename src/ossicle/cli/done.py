"""What the results in a folder were made of, so that none is taken for that of something else.

Knows inputs, names of results and ``done.jsonl`` beside them; does not know how a result is made. Before the files of a
result are written, those that stood there are removed and one line says what the new ones are made of: its name, the
path, part, size and time of its source, of a text its hash. So files of a name are always those of its newest line,
whenever the program is killed. A line that was cut off counts for nothing.

Of results without a line, as earlier versions left them, it is not known what they are made of: they count as done
where they are no older than their source, and from then on as made of what it is now.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ossicle.cli.inputs import Input
from ossicle.cli.output import as_line
from ossicle.errors import StorageError

Origin = Mapping[str, Any]
"""What a result is made of, as JSON holds it; ``size`` and ``mtime_ns`` are None where the source is out of reach."""

EMPTY = (".txt", ".srt")
"""What a result without a word is written as no byte in."""


class Done:
    """The results of a folder by their names.

    Args:
        notes: the file ``done.jsonl``; where it is not there, no result is known.

    Raises:
        StorageError: it cannot be read.
    """

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        self.read()

    def read(self) -> None:
        """Read what is there now.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            lines = self.notes.read_bytes()
        except FileNotFoundError:
            lines = b""
        except OSError as error:
            raise StorageError(f"{self.notes} cannot be read: {error.strerror}") from error
        self.torn = not lines.endswith(b"\n") and lines != b""
        whole = [one for one in map(_line, lines.split(b"\n")) if one is not None]
        self.made: dict[str, Origin] = {one["name"]: one for one in whole}

    def named(self, inputs: Sequence[Input], taken: Sequence[str] = ()) -> list[Input]:
        """The same inputs, each with the name of its result.

        That is the name which a result of it has already; else its short name, where no other input could have that;
        else the one with the suffix of its file. So a name does not change when other inputs join later.

        Args:
            inputs: with short names.
            taken: names that no result can have.
        """
        wanted = Counter([*taken, *(name for given in inputs for name in _names(given))])

        def name(given: Input) -> str:
            has = [one for one in _names(given) if one not in taken and self._is_of(given, one)]
            return [*has, given.name if wanted[given.name] == 1 else _names(given)[-1]][0]

        return [replace(given, name=name(given)) for given in inputs]

    def there(self, inputs: Sequence[Input], targets: Sequence[Sequence[Path]]) -> list[bool]:
        """Of each input whether its result is there; what was not known is written down.

        Args:
            inputs: with the names of their results.
            targets: the files of each.

        Raises:
            StorageError: it cannot be written down.
        """
        found, learnt = [], []
        for given, paths in zip(inputs, targets, strict=True):
            origin = origin_of(given)
            reached = given.path is None or origin["size"] is not None
            there = given.fault is None and reached and all(map(_holds, paths))
            found.append(there and not self._differs(given, origin, paths))
            if found[-1] and given.name not in self.made:
                learnt.append({"name": given.name, **origin})
        self._append(learnt)
        return found

    def is_stale(self, given: Input, paths: Sequence[Path]) -> bool:
        """Whether files that stand there are of something else than an input is now; one out of reach leaves them."""
        origin = origin_of(given)
        return origin["size"] is not None and self._differs(given, origin, paths)

    def begin(self, given: Input, origin: Origin, paths: Sequence[Path], *, cut: bool) -> None:
        """Make room for a result that is written next, and say what it is made of.

        Args:
            given: with the name of its result.
            origin: what it was before it was read.
            paths: where the result goes.
            cut: whether a text was cut off.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            paths[0].parent.mkdir(parents=True, exist_ok=True)
            for path in paths:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{paths[0]} cannot be written: {error.strerror}") from error
        self._append([{"name": given.name, **origin, **({"cut": True} if cut else {})}])

    def is_cut(self, given: Input) -> bool:
        """Whether a text of a result was cut off."""
        return self.made.get(given.name, {}).get("cut") is True

    def _is_of(self, given: Input, name: str) -> bool:
        """Whether a result of this name is of an input's sound, or of an earlier state of it."""
        if name not in self.made:
            return False
        made, now = self.made[name], origin_of(given)
        return all(made.get(key) == now[key] for key in ("path", "start_s", "end_s"))

    def _differs(self, given: Input, origin: Origin, paths: Sequence[Path]) -> bool:
        made = self.made.get(given.name)
        if made is not None:
            return any(made.get(key) != value for key, value in origin.items())
        return any(path.stat().st_mtime_ns < (origin["mtime_ns"] or 0) for path in paths if os.path.exists(path))

    def _append(self, lines: Sequence[Origin]) -> None:
        """Add lines, whole ones, that last."""
        if not lines:
            return
        text = ("\n" if self.torn else "") + "".join(f"{as_line(one)}\n" for one in lines)
        try:
            with self.notes.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"{self.notes} cannot be written: {error.strerror}") from error
        self.torn = False
        self.made |= {one["name"]: one for one in lines}


def origin_of(given: Input) -> Origin:
    """What a result of an input would be made of now."""
    path, size, mtime_ns = given.path, None, None
    if path is not None:
        with suppress(OSError, ValueError):  # out of reach, or no name of a file
            path = os.path.realpath(path)
            now = os.stat(path)
            size, mtime_ns = now.st_size, now.st_mtime_ns
    origin = {"path": path, "start_s": given.start_s, "end_s": given.end_s, "size": size, "mtime_ns": mtime_ns}
    if given.text is not None:  # which was read some time ago
        origin["text"] = hashlib.sha256(given.text.encode()).hexdigest()
    return origin


def _names(given: Input) -> list[str]:
    """That a result of an input may have."""
    return [given.name, *([given.full_name] if given.full_name is not None else [])]


def _line(line: bytes) -> Origin | None:
    """What a line says; None where it was cut off."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("name"), str) else None


def _holds(path: Path) -> bool:
    """Whether a result is there; one of no byte that has always some was emptied by something else."""
    try:
        return path.stat().st_size > 0 or path.suffix in EMPTY
    except OSError:
        return False
