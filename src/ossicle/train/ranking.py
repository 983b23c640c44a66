"""What a sweep shows: each task group with intervals over items and seeds, rankings, the lowest rate that will do.

Knows the results of cells; does not know how they were made, nor what a page looks like. A ranking at a rate is stated
only where the interval of the difference between the first and the second bridge leaves zero out, and still does so,
with the same sign, after both have learned for twice as long; a difference that does not last says that they are
under-trained. What is no better than the same with silence is never first, and has no lowest rate. Bridges are equal in
rate where they spend as many tokens as the mean pool does, or fewer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ossicle.evaluate.metrics import Counts, Difference, pooled, pooled_difference

GROUPS = {
    **dict.fromkeys(("transcribe", "said", "intent", "slot", "arithmetic"), "content"),
    **dict.fromkeys(("sound", "speech_or_not", "caption"), "sounds"),
    **dict.fromkeys(("instrument", "tempo", "melody"), "music"),
    **dict.fromkeys(("speaker_pitch", "speaker_pace"), "speaker"),
    **dict.fromkeys(("order", "when", "count"), "time and order"),
}
"""Task to group; a task that is not here is a group of its own."""
TOLERANCE = {"wer": 0.01, "accuracy": 0.02}
SLACK = 1.1
"""A bridge that spends more tokens than this times the mean pool's is not of equal rate."""
Key = tuple[str, str]
"""Group and metric."""
Scored = tuple[dict[str, Any], dict[str, Any]]
"""A cell's result, and what of it belongs to one rate."""
Place = tuple[str, int, bool]
"""Name of an arm, k, and whether it learned for twice as long."""


@dataclass(frozen=True, eq=False)
class Row:
    """One arm at one rate on one group of tasks."""

    place: Place
    key: Key
    counts: dict[int, Counts]
    value: float
    low: float
    high: float
    silence: float | None
    n: int

    @property
    def hears(self) -> bool:
        """Whether the whole interval is better than with silence; True where silence was not tried."""
        if self.silence is None:
            return True
        return self.high < self.silence if self.key[1] == "wer" else self.low > self.silence

    def as_dict(self, cost: "Cost") -> dict[str, Any]:
        """For the JSON report."""
        return {
            "bridge": self.place[0],
            "k": self.place[1],
            "tokens_per_s": round(cost.tokens_per_s, 4),
            "group": self.key[0],
            "metric": self.key[1],
            "value": round(self.value, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "silence": None if self.silence is None else round(self.silence, 6),
            "n": self.n,
            "seeds": sorted(self.counts),
            "parameters": cost.parameters,
            "flops_per_audio_s": round(cost.flops_per_audio_s),
            "seconds": round(cost.seconds, 1),
            "trained_audio_h": cost.trained_audio_h,
            "tokens_per_text_token": cost.tokens_per_text_token,
            "tokens_per_word": cost.tokens_per_word,
        }


@dataclass(frozen=True)
class Cost:
    """What an arm at a rate is and spends; means over its seeds."""

    tokens_per_s: float
    tokens_per_text_token: float | None
    tokens_per_word: float | None
    parameters: int
    flops_per_audio_s: float
    seconds: float
    trained_audio_h: float
    trained_k: int


@dataclass(frozen=True)
class Rank:
    """The first and the second at a rate in a group.

    Args:
        verdict: "holds", "open" (the interval holds zero), "silence" (the first is no better than with silence),
            "not doubled" or "under-trained".
        difference: second minus first.
        doubled: the same after twice the hours.
    """

    key: Key
    k: int
    first: Row
    second: Row
    verdict: str
    difference: Difference
    doubled: Difference | None


@dataclass(frozen=True)
class Lowest:
    """The lowest rate of an arm that loses no more than the tolerance against the reference rate.

    Args:
        row: at that rate; None: none below.
        difference: to the reference rate.
        hears: False where the arm is no better than with silence at the reference rate, so that no rate is named.
    """

    name: str
    key: Key
    row: Row | None
    difference: Difference | None
    hears: bool = True


class Found:
    """Everything that can be said of a sweep's cells.

    Args:
        results: of the cells that did not fail, as `ossicle.train.cell.result_of` makes them.
        reference: name of the mean pool.
        reference_k: the rate that lower ones are held against.

    ``many_rates`` holds the k that a cell was trained for, and its rows at all rates at which it is scored.
    """

    def __init__(self, results: Sequence[dict[str, Any]], *, reference: str, reference_k: int) -> None:
        self.reference, self.reference_k = reference, reference_k
        scored: dict[Place, dict[int, list[Scored]]] = {}  # and by the k that it was trained for
        for one in results:
            for k, rate in one["rates"].items():
                place = (one["arm"], int(k), one["double"])
                scored.setdefault(place, {}).setdefault(one["k"], []).append((one, rate))
        self.costs: dict[Place, Cost] = {}
        self.rows: list[Row] = []
        self.many_rates = _many_rates(scored)
        for place, by_k in scored.items():
            trained_k = place[1] if place[1] in by_k else min(by_k)
            self.costs[place] = _cost(by_k[trained_k], trained_k)
            self.rows += _rows(place, by_k[trained_k])

    def row(self, place: Place, key: Key) -> Row | None:
        """The row of an arm at a rate in a group."""
        return next((row for row in self.rows if row.place == place and row.key == key), None)

    @property
    def keys(self) -> list[Key]:
        """Groups with their metrics, in the order of `GROUPS`."""
        order = list(dict.fromkeys(GROUPS.values()))
        found = dict.fromkeys(row.key for row in self.rows)
        return sorted(found, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key[1] != "wer"))

    @property
    def ks(self) -> list[int]:
        """All rates, from many tokens to few."""
        return sorted({row.place[1] for row in self.rows})

    def kept_rate(self, place: Place) -> bool:
        """Whether an arm spends about as few tokens as the mean pool at that k."""
        mean = self.costs.get((self.reference, place[1], False))
        return mean is None or self.costs[place].tokens_per_s <= SLACK * mean.tokens_per_s

    def ranks(self) -> Iterator[Rank]:
        """First and second of each group at each rate where two arms of equal rate stand."""
        for key in self.keys:
            for k in self.ks:
                same = [row for row in self.rows if row.key == key and row.place[1:] == (k, False)]
                same = sorted((row for row in same if self.kept_rate(row.place)), key=lambda row: worse(key, row.value))
                if len(same) > 1:
                    yield self._rank(key, k, same[0], same[1])

    def _rank(self, key: Key, k: int, first: Row, second: Row) -> Rank:
        difference = compared(first, second)
        sides = [self.row((row.place[0], k, True), key) for row in (first, second)]
        doubled = compared(sides[0], sides[1]) if sides[0] is not None and sides[1] is not None else None
        if not difference.clear:
            verdict = "open"
        elif not first.hears:
            verdict = "silence"
        elif doubled is None:
            verdict = "not doubled"
        elif doubled.clear and (doubled.value > 0) == (difference.value > 0):
            verdict = "holds"
        else:
            verdict = "under-trained"
        return Rank(key, k, first, second, verdict, difference, doubled)

    def lowest(self) -> Iterator[Lowest]:
        """For each arm and group the lowest rate that loses no more than the tolerance, going down from the reference
        rate until one loses more, by the upper end of its interval."""
        for key in self.keys:
            for name in dict.fromkeys(row.place[0] for row in self.rows):
                start = self.row((name, self.reference_k, False), key)
                if start is None:
                    continue
                if not start.hears:
                    yield Lowest(name, key, None, None, hears=False)
                    continue
                best: tuple[Row | None, Difference | None] = (None, None)
                for k in (k for k in self.ks if k > self.reference_k):
                    row = self.row((name, k, False), key)
                    if row is None:
                        continue
                    difference = compared(start, row)
                    lost = difference.high if key[1] == "wer" else -difference.low
                    if lost > TOLERANCE[key[1]]:
                        best = best if best[0] is not None else (None, difference)
                        break
                    best = (row, difference)
                yield Lowest(name, key, *best)

    def to_double(self, groups: Sequence[str] | None = None) -> list[tuple[str, int]]:
        """Arms, and the k that they are trained for, to train for twice as long before a ranking can be stated; of some
        groups, or of all."""
        found = [
            (row.place[0], self.costs[row.place].trained_k)
            for rank in self.ranks()
            if rank.difference.clear and rank.first.hears and (groups is None or rank.key[0] in groups)
            for row in (rank.first, rank.second)
        ]
        return list(dict.fromkeys(found))

    def best(self, group: str, n: int, ks: Sequence[int]) -> tuple[str, ...]:
        """The ``n`` arms that do best in a group on the mean over some rates, by word error rate where it has one; only
        such as stand at all of the rates."""
        keys = [key for key in self.keys if key[0] == group][:1]
        means: dict[str, float] = {}
        for name in dict.fromkeys(row.place[0] for row in self.rows):
            rows = [self.row((name, k, False), key) for k in ks for key in keys]
            values = [worse(row.key, row.value) for row in rows if row is not None]
            if values and len(values) == len(rows):
                means[name] = float(np.mean(values))
        return tuple(sorted(means, key=means.__getitem__)[:n])


def compared(first: Row, second: Row) -> Difference:
    """Second minus first over the seeds that both have."""
    seeds = [seed for seed in first.counts if seed in second.counts]
    if not seeds:  # other seeds: only the pooled values can be held against each other
        return Difference(second.value - first.value, second.low - first.high, second.high - first.low)
    found = pooled_difference([first.counts[seed] for seed in seeds], [second.counts[seed] for seed in seeds])
    assert found is not None, "a row has a value"
    return found


def worse(key: Key, value: float) -> float:
    """A value that is the higher, the worse a bridge is."""
    return value if key[1] == "wer" else -value


def _cost(found: Sequence[Scored], trained_k: int) -> Cost:
    def mean(values: Sequence[float | None]) -> float | None:
        told = [value for value in values if value is not None]
        return float(np.mean(told)) if told else None

    rates = [rate for _, rate in found]
    return Cost(
        float(np.mean([rate["tokens_per_s"] for rate in rates])),
        mean([rate["tokens_per_text_token"] for rate in rates]),
        mean([rate["tokens_per_word"] for rate in rates]),
        found[0][0]["parameters"],
        float(np.mean([rate["flops_per_audio_s"] for rate in rates])),
        float(np.mean([one["train_s"] for one, _ in found])),
        float(np.mean([one["trained_audio_h"] for one, _ in found])),
        trained_k,
    )


def _rows(place: Place, found: Sequence[Scored]) -> Iterator[Row]:
    tasks = found[0][1]["tasks"]
    for key in dict.fromkeys((GROUPS.get(name, name), task["metric"]) for name, task in tasks.items()):
        names = [name for name, task in tasks.items() if (GROUPS.get(name, name), task["metric"]) == key]
        counts = {one["seed"]: _together([rate["tasks"][name] for name in names]) for one, rate in found}
        told = pooled(list(counts.values()))
        if told is not None:
            silent = [rate["tasks"][name]["silence"] for _, rate in found for name in names]
            silence = None if None in silent else float(np.mean(silent))
            yield Row(place, key, counts, *told, silence, len(next(iter(counts.values())).numerators))


def _many_rates(scored: dict[Place, dict[int, list[Scored]]]) -> list[tuple[int, list[Row]]]:
    """Of each arm that is scored at other rates too, with the k that it was trained for: its rows at all of them."""
    found: dict[tuple[str, int], list[Row]] = {}
    for place, by_k in scored.items():
        for trained_k, cells in by_k.items():
            if not place[2] and any(len(one["rates"]) > 1 for one, _ in cells):
                found.setdefault((place[0], trained_k), []).extend(_rows(place, cells))
    return [(trained_k, rows) for (_, trained_k), rows in found.items()]


def _together(tasks: Sequence[dict[str, Any]]) -> Counts:
    return Counts(
        *(
            np.concatenate([np.array(task[side], np.float64) for task in tasks])
            for side in ("numerators", "denominators")
        )
    )
