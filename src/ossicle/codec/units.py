"""Frames to units: k-means that learns from a stream of frames, the codebook it gives, and what units say of phones.

Knows rows of numbers and phones with their times; does not know which encoder made the frames, nor who reads the units.
A unit is the centroid that is nearest to a frame: 50 a second, none merged with its neighbour, so that a unit's run is
its duration. Source: Sculley 2010 for the stream, Arthur and Vassilvitskii 2007 for the first centroids; Hsu et al.
2021 (HuBERT) for purity and information.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ossicle.errors import RequestError
from ossicle.tensors import length_mask

UNIT_HZ = 50.0
BEYOND = -1
"""In place of a unit, past the end of a clip."""
FIRST_ROWS, FIRST_ROUNDS, BATCH_ROWS = 20, 10, 8
"""Rows for each centroid that the first centroids are found among, how often they are moved among them, and rows for
each centroid in a mini-batch."""
FADING, DEAD = 0.8, 0.01
"""What a mini-batch leaves of a centroid's share in those before it, and the share, with 1 the mean of all, below which
a centroid is dead."""
AT_ONCE = 2**24
"""Distances that are held at once."""

Phone = tuple[str, float, float]
"""Label, start and end second."""


def nearest(rows: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest centroid of each row, and how far it is.

    Args:
        rows: (n, D) float.
        centroids: (K, D) float.

    Returns:
        (n,) int64, and squared L2 distances (n,), never below 0.
    """
    size = centroids.square().sum(1)
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for some in torch.split(rows, max(1, AT_ONCE // len(centroids))):
        least, which = (size - 2 * some @ centroids.T).min(1)
        found.append((which, (least + some.square().sum(1)).clamp(min=0)))
    return torch.cat([which for which, _ in found]), torch.cat([far for _, far in found])


class Codebook(nn.Module):
    """Centroids, and the unit of any frame.

    Args:
        centroids: (K, D) float.
        layer: of the encoder whose hidden states are the frames, counted from 1.

    Raises:
        RequestError: centroids that are no matrix, or a layer below 1.
    """

    centroids: torch.Tensor

    def __init__(self, centroids: torch.Tensor, *, layer: int) -> None:
        super().__init__()
        if centroids.ndim != 2 or 0 in centroids.shape:
            raise RequestError(f"centroids are (K, D), at least (1, 1): got {tuple(centroids.shape)}")
        if layer < 1:
            raise RequestError(f"layers are counted from 1: got the layer {layer}")
        self.layer = layer
        self.register_buffer("centroids", centroids.detach().clone())

    @property
    def n_units(self) -> int:
        """K: units are 0 to K - 1."""
        return len(self.centroids)

    @property
    def width(self) -> int:
        """D, of the frames."""
        return self.centroids.shape[1]

    @torch.no_grad()
    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The unit of each frame.

        Args:
            frames: (B, T, D) float.
            lengths: (B,) int64, frames of each clip.

        Returns:
            (B, T) int64, `BEYOND` past each clip's end.

        Raises:
            RequestError: frames of another width.
        """
        if frames.ndim != 3 or frames.shape[2] != self.width:
            raise RequestError(f"the codebook reads frames (B, T, {self.width}): got {tuple(frames.shape)}")
        n_clips, n_frames, _ = frames.shape
        with torch.autocast(frames.device.type, enabled=False):
            which, _ = nearest(frames.flatten(0, 1).float(), self.centroids.float())  # (B, T, D) -> (B T,)
        inside = length_mask(lengths.cpu(), n_frames).to(frames.device)
        return which.view(n_clips, n_frames).masked_fill(~inside, BEYOND)


class KMeans:
    """K-means over a stream of rows, in mini-batches.

    The first rows give the first centroids (k-means++, then moved until they hardly move among those rows); from then
    on each mini-batch pulls every centroid to the mean of all rows that were ever nearest to it. One that hardly any
    row is nearest to begins anew at a row that is far from all others. Mini-batches are cut from the stream itself, so
    that the result depends on the rows and their order alone, not on how many were added at a time.

    Args:
        k: centroids.
        width: of the rows.
        seed: of what is drawn.

    Raises:
        RequestError: less than one centroid or column.
    """

    def __init__(self, k: int, width: int, *, seed: int) -> None:
        if k < 1 or width < 1:
            raise RequestError(f"k-means needs at least 1 centroid and 1 column: got k {k}, width {width}")
        self.k, self.width, self.seed = k, width, seed
        self.n_batches = 0
        self.centroids = torch.zeros(0, width)
        self.counts, self.shares = torch.zeros(0), torch.zeros(0)
        self.waiting = torch.zeros(0, width)

    def add(self, rows: np.ndarray | torch.Tensor) -> None:
        """Learn from rows (n, D); those that do not fill a mini-batch yet wait for the next ones.

        It computes where the first rows lie, in float32.

        Raises:
            RequestError: rows of another width, or that are not finite.
        """
        rows = torch.as_tensor(rows).detach().float()
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise RequestError(f"k-means reads rows (n, {self.width}): got {tuple(rows.shape)}")
        if not rows.isfinite().all():
            raise RequestError("k-means reads finite rows: got some that are not")
        self.waiting = torch.cat([self.waiting.to(rows.device), rows])
        if not len(self.centroids):
            if len(self.waiting) < FIRST_ROWS * self.k:
                return
            first, self.waiting = self.waiting.tensor_split([FIRST_ROWS * self.k])
            self._begin(first)
        n = BATCH_ROWS * self.k
        while len(self.waiting) >= n:
            batch, self.waiting = self.waiting[:n].clone(), self.waiting[n:]
            self._learn(batch)  # a copy: the last bits of a product follow where in memory its rows begin
        self.waiting = self.waiting.clone()

    def codebook(self, layer: int) -> Codebook:
        """The centroids as they are after all rows, those that wait among them; learning may go on.

        Args:
            layer: of the encoder whose hidden states the rows are, counted from 1.

        Raises:
            RequestError: fewer rows than centroids were added.
        """
        last = KMeans.of(self.state())
        if len(last.centroids):
            if len(last.waiting):
                last._learn(last.waiting)
        elif len(last.waiting) < self.k:
            raise RequestError(f"{self.k} centroids need at least as many rows: got {len(last.waiting)}")
        else:
            last._begin(last.waiting)
        return Codebook(last.centroids, layer=layer)

    def state(self) -> dict[str, torch.Tensor]:
        """All that the next row meets, as named tensors on the CPU: what `of` takes."""
        numbers = torch.tensor([self.k, self.width, self.seed, self.n_batches])
        named = {"centroids": self.centroids, "counts": self.counts, "shares": self.shares, "waiting": self.waiting}
        return {"numbers": numbers, **{name: value.cpu().clone() for name, value in named.items()}}

    @classmethod
    def of(cls, state: Mapping[str, torch.Tensor]) -> "KMeans":
        """K-means that goes on from what `state` gave."""
        k, width, seed, n_batches = state["numbers"].tolist()
        made = cls(k, width, seed=seed)
        made.n_batches = n_batches
        made.centroids, made.counts = state["centroids"].clone(), state["counts"].clone()
        made.shares, made.waiting = state["shares"].clone(), state["waiting"].clone()
        return made

    def _begin(self, rows: torch.Tensor) -> None:
        """The first centroids: each a row drawn by its squared distance from those before it, then moved among all."""
        rng = np.random.default_rng([self.seed, 0])
        self.centroids = rows[int(rng.integers(len(rows)))][None].clone()
        far = torch.full((len(rows),), torch.inf, device=rows.device)
        for _ in range(self.k - 1):
            far = torch.minimum(far, nearest(rows, self.centroids[-1:])[1])
            self.centroids = torch.cat([self.centroids, rows[drawn(far, 1, rng)]])
        for _ in range(FIRST_ROUNDS):
            which, far = nearest(rows, self.centroids)
            sums, self.counts = self._gathered(rows, which)
            self.centroids = sums / self.counts.clamp(min=1)[:, None]
            self._renew(self.counts == 0, rows, far, rng)
        self.counts = self.counts.clamp(min=1)
        self.shares = torch.ones_like(self.counts)

    def _learn(self, rows: torch.Tensor) -> None:
        """One mini-batch."""
        self.n_batches += 1
        self.centroids, self.counts, self.shares = (
            one.to(rows.device) for one in (self.centroids, self.counts, self.shares)
        )
        which, far = nearest(rows, self.centroids)
        sums, counts = self._gathered(rows, which)
        self.counts = self.counts + counts
        self.centroids = self.centroids + (sums - counts[:, None] * self.centroids) / self.counts[:, None]
        self.shares = FADING * self.shares + (1 - FADING) * counts * self.k / len(rows)
        self._renew(self.shares < DEAD, rows, far, np.random.default_rng([self.seed, self.n_batches]))

    def _gathered(self, rows: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum (K, D) and number (K,) of the rows of each centroid."""
        sums = torch.zeros(self.k, self.width, device=rows.device).index_add_(0, which, rows)
        return sums, torch.bincount(which, minlength=self.k).float()

    def _renew(self, dead: torch.Tensor, rows: torch.Tensor, far: torch.Tensor, rng: np.random.Generator) -> None:
        """Dead centroids (K,) begin anew, each at a row, as if one row had ever been nearest to it."""
        places = dead.nonzero()[:, 0]
        places = places[: int((far > 0).sum())]  # rows that lie on a centroid need no other
        if not len(places):
            return
        self.centroids[places] = rows[drawn(far, len(places), rng)]
        self.counts[places] = 1.0
        if len(self.shares):
            self.shares[places] = 1.0


def drawn(weights: torch.Tensor, n: int, rng: np.random.Generator) -> torch.Tensor:
    """Places (n,) of different weights, each drawn in proportion to its own; any, where none is known."""
    share = weights.double().cpu().numpy()
    share = np.where(np.isfinite(share), share, 1.0)
    if not share.any():
        share = np.ones(len(share))
    return torch.from_numpy(rng.choice(len(share), n, replace=False, p=share / share.sum())).to(weights.device)


@dataclass(frozen=True)
class Statistics:
    """What units do.

    Args:
        n: units that were looked at.
        used: how many different ones.
        perplexity: as if so many were used equally often.
        run_s: mean seconds until another unit comes.
        purity: share of the units inside phones whose phone is the one that their unit meets most often.
        information: what a unit tells of its phone, as a share of all that there is to tell, 0 to 1.
    """

    n: int
    used: int
    perplexity: float
    run_s: float
    purity: float
    information: float


def phones_at(phones: Sequence[Phone], n: int, *, rate_hz: float = UNIT_HZ) -> list[str | None]:
    """The phone that sounds in the middle of each of ``n`` units; None where none does."""
    found: list[str | None] = [None] * n
    for label, start_s, end_s in phones:
        first, end = (max(0, int(np.ceil(at * rate_hz - 0.5))) for at in (start_s, end_s))
        found[first:end] = [label] * (min(end, n) - first)
    return found


def counted(units: Sequence[np.ndarray | torch.Tensor], phones: Sequence[Sequence[Phone]]) -> np.ndarray:
    """How often each unit and each phone meet, (units, phones), over several clips.

    Args:
        units: of each clip, (T,) integers; those below 0 are no units.
        phones: of each clip.

    Raises:
        RequestError: not as many clips of units as of phones, or no unit inside a phone.
    """
    if len(units) != len(phones):
        raise RequestError(f"units of {len(units)} clips need phones of as many: got {len(phones)}")
    pairs = [
        (int(unit), label)
        for some, spoken in zip(units, phones, strict=True)
        for unit, label in zip(some.tolist(), phones_at(spoken, len(some)), strict=True)
        if unit >= 0 and label is not None
    ]
    if not pairs:
        raise RequestError("no unit lies inside a phone: there is nothing to count")
    names = {label: i for i, label in enumerate(sorted({label for _, label in pairs}))}
    met = np.zeros((1 + max(unit for unit, _ in pairs), len(names)), np.int64)
    np.add.at(met, ([unit for unit, _ in pairs], [names[label] for _, label in pairs]), 1)
    return met


def purity(units: Sequence[np.ndarray | torch.Tensor], phones: Sequence[Sequence[Phone]]) -> float:
    """Share of the units inside phones whose phone is the one that their unit meets most often, over several clips.

    Args:
        units: of each clip, (T,) integers at 50 Hz; those below 0 are no units.
        phones: of each clip, (label, start_s, end_s).

    Raises:
        RequestError: not as many clips of units as of phones, or no unit inside a phone.
    """
    met = counted(units, phones)
    return float(met.max(1).sum() / met.sum())


def statistics(units: Sequence[np.ndarray | torch.Tensor], phones: Sequence[Sequence[Phone]]) -> Statistics:
    """What units do, over several clips.

    Args:
        units, phones: as `purity` takes them.

    Raises:
        RequestError: as `purity` does.
    """
    met = counted(units, phones)
    told = entropy(met.sum(0)) + entropy(met.sum(1)) - entropy(met.ravel())
    some = [np.asarray(one.tolist(), np.int64) for one in units]
    some = [one[one >= 0] for one in some]
    heard = np.bincount(np.concatenate(some))
    runs = sum(1 + int((one[1:] != one[:-1]).sum()) for one in some if len(one))
    n = int(heard.sum())
    return Statistics(
        n=n,
        used=int((heard > 0).sum()),
        perplexity=float(np.exp(entropy(heard))),
        run_s=n / UNIT_HZ / runs,
        purity=float(met.max(1).sum() / met.sum()),
        information=told / entropy(met.sum(0)) if met.shape[1] > 1 else 1.0,
    )


def entropy(counts: np.ndarray) -> float:
    """Of what was counted (n,), in nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
