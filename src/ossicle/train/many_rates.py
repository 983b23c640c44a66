"""One checkpoint at many rates, beside bridges that learned for one rate each with the same hours.

Knows what a sweep found; does not know bridges, nor what a page looks like. A checkpoint is an arm whose cells are
scored at several rates, from the k that it was trained for. The goal: an error rate within 20 % of that of a
dedicated bridge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ossicle.evaluate.metrics import Difference
from ossicle.train.ranking import Found, Key, Row, compared, worse

GOAL = 0.2
"""Relative change of the error rate that is within the goal."""


@dataclass(frozen=True)
class Beside:
    """What a checkpoint gives up at a rate against one other bridge.

    Args:
        row: the other's.
        difference: the checkpoint's value minus the other's, over the seeds that both have.
        relative: change of the error rate as a share of the other's, over the same seeds; None where that is 0.
    """

    row: Row
    difference: Difference
    relative: float | None

    @property
    def within(self) -> bool | None:
        """Whether the goal is reached; None where nothing can be said: the other is no better than with silence, or
        has no errors."""
        return None if self.relative is None or not self.row.hears else self.relative <= GOAL

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        ends = {name: round(getattr(self.difference, name), 6) for name in ("value", "low", "high")}
        relative = None if self.relative is None else round(self.relative, 6)
        value = round(self.row.value, 6)
        return {
            "bridge": self.row.place[0],
            "value": value,
            "difference": ends,
            "relative": relative,
            "within": self.within,
        }


@dataclass(frozen=True)
class AtRate:
    """One checkpoint at one rate in one group.

    Args:
        row: the checkpoint's.
        trained_k: what it was trained for.
        best: beside the best bridge that was trained for this rate; None: there is none.
        reference: beside the mean pool that was.
    """

    row: Row
    trained_k: int
    best: Beside | None
    reference: Beside | None

    def as_dict(self, tokens_per_s: float) -> dict[str, Any]:
        """For the JSON report."""
        sides = {"best": self.best, "reference": self.reference}
        return {
            "bridge": self.row.place[0],
            "trained_k": self.trained_k,
            "k": self.row.place[1],
            "tokens_per_s": round(tokens_per_s, 4),
            **{"group": self.row.key[0], "metric": self.row.key[1]},
            **{name: round(getattr(self.row, name), 6) for name in ("value", "low", "high")},
            **{name: None if one is None else one.as_dict() for name, one in sides.items()},
        }


def one_checkpoint(found: Found) -> list[AtRate]:
    """Every checkpoint that is scored at several rates, in each group at each of them."""
    return [
        AtRate(row, trained_k, *_sides(found, row.key, row))
        for trained_k, rows in found.many_rates
        for key in found.keys
        for row in sorted((row for row in rows if row.key == key), key=lambda row: row.place[1])
    ]


def _sides(found: Found, key: Key, row: Row) -> tuple[Beside | None, Beside | None]:
    """Beside the best bridge that learned for this rate, and beside the mean pool that did."""
    name, k, _ = row.place
    others = [
        other
        for other in found.rows
        if other.key == key
        and other.place[0] != name
        and other.place[1:] == (k, False)
        and found.costs[other.place].trained_k == k
        and found.kept_rate(other.place)
    ]
    best = min(others, key=lambda other: worse(key, other.value), default=None)
    mean = next((other for other in others if other.place[0] == found.reference), None)
    return _beside(row, best), _beside(row, mean)


def _beside(row: Row, other: Row | None) -> Beside | None:
    if other is None:
        return None
    seeds = [seed for seed in row.counts if seed in other.counts]
    before, after = (_error(one, seeds) for one in (other, row))
    return Beside(other, compared(other, row), (after - before) / before if before > 0 else None)


def _error(row: Row, seeds: Sequence[int]) -> float:
    """Errors as a share, over some seeds; over all that there are where there are none."""
    counts = [row.counts[seed] for seed in seeds or row.counts]
    value = float(sum(one.numerators.sum() for one in counts) / sum(one.denominators.sum() for one in counts))
    return value if row.key[1] == "wer" else 1 - value
