"""What a run leaves out: counted, told once on standard error, and listed in ``rejected.jsonl``; too much ends the run.

Knows faults and files; does not know why an item is bad. Of a manifest the share of its items counts, and most faults
are known before the first step; of a source without end, the share of what was drawn.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ossicle.data.check import BAD_SHARE, Checked, Fault, refuse
from ossicle.errors import DataError, StorageError

FEW = 100
"""Of a source without end: below this many items one bad one is not yet a share."""
MOST_TOLD = 50
"""Faults that are told on standard error before the first step; the list holds all."""


class Rejected:
    """The bad items of a run.

    Args:
        listed: a file that holds all of them, one JSON object a line; None: they are only told.
        known: what a check found before the first step.
        met: what an earlier stretch of the run met on its way.
    """

    def __init__(self, listed: Path | None = None, *, known: Iterable[Fault] = (), met: Iterable[Fault] = ()) -> None:
        self.listed, self.known, self.met = listed, dict.fromkeys(known), dict.fromkeys(met)
        self.begin(None)

    def tell(self) -> None:
        """Tell what is known before the first step, and begin the list.

        Raises:
            StorageError: the list cannot be written.
        """
        for fault in list(self.known)[:MOST_TOLD]:
            print(f"left out: {fault}", file=sys.stderr)
        if len(self.known) > MOST_TOLD:
            print(f"left out: {len(self.known) - MOST_TOLD} more, all in {self.listed}", file=sys.stderr)
        if self.known or self.met or (self.listed is not None and self.listed.exists()):
            self._write()

    def begin(self, checked: Checked | None) -> None:
        """A stage begins: on a manifest, or on a source without end."""
        self.checked = checked
        self.n_bad = self.n_seen = 0

    def add(self, n_items: int, reasons: Sequence[str], *, none_left: bool) -> None:
        """Take in what is bad among the next ``n_items``, and whether nothing is left of them.

        Raises:
            DataError: ``too_many_bad_items`` for over 1 %, or where nothing is left of a source without end.
        """
        self.n_bad, self.n_seen = self.n_bad + len(reasons), self.n_seen + n_items
        manifest = None if self.checked is None else self.checked.path
        faults = dict.fromkeys(Fault.of(reason, manifest) for reason in reasons)
        new = [fault for fault in faults if fault not in self.known and fault not in self.met]
        for fault in new:
            print(f"left out: {fault}", file=sys.stderr)
            self.met[fault] = None
        if new:
            self._write()
        if self.checked is not None:
            ours = [*self.checked.faults, *(one for one in self.met if one.file == str(manifest))]
            refuse(len({one.line for one in ours}), self.checked.n_items, next(iter(ours), None))
        elif none_left or (self.n_bad > BAD_SHARE * self.n_seen and self.n_seen >= FEW):
            raise DataError(
                f"{self.n_bad} of {self.n_seen} training items cannot be used (at most {BAD_SHARE:.0%} may be so), "
                f"such as {next(iter(self.met))}",
                code="too_many_bad_items",
            )

    def _write(self) -> None:
        if self.listed is None:
            return
        lines = [json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in (*self.known, *self.met)]
        partial = self.listed.with_name(self.listed.name + ".partial")
        try:
            partial.write_text("".join(lines), encoding="utf-8")
            partial.replace(self.listed)
        except OSError as error:
            raise StorageError(f"{self.listed} cannot be written: {error.strerror}") from error
