"""Where is it lost: linear probes of the vectors before and after the bridge, on clips whose truth is known.

Knows encoders, bridges and classes; does not know how a page looks. All parts stay as they are; only linear classifiers
are fitted, on the world's train split, and scored on its test split. Frames come faster than tokens, so that comparing
both at their own rates would be unfair: "pooled" is the mean of the frames over each token's span, and the loss of the
bridge is pooled minus after, on the same spans with the same labels. A bridge that orders the frames inside a token,
rather than averaging them, may come out above its baseline.
Queries that read a whole clip have no place in it: probes by place ask of them what they never promised.
Source: Alain and Bengio 2016 for the method; Hewitt and Liang 2019 for why a probe is set beside chance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ossicle.audio.clip import Clip
from ossicle.errors import BridgeError, EncoderError, LimitError, RequestError
from ossicle.evaluate.items import drawn, item_of
from ossicle.evaluate.labelled import PROBES, Labelled, Probe, label_at, labelled, scenes
from ossicle.evaluate.linear import Rows, fitted
from ossicle.evaluate.metrics import Counts, Difference, interval, paired
from ossicle.evaluate.score import answered, percent
from ossicle.models.audio_lm import AudioLM
from ossicle.tensors import sample_of
from ossicle.world.tasks import TASKS

ITEMS, LEAST_ITEMS, N_ANSWERS = 150, 4, 40
FIT_TIMES, HELD_OUT = 2, 5
"""A probe is fitted on so many times the clips that it is scored on; one in `HELD_OUT` of them chooses its strength."""
SMALL = 0.02
"""A loss whose whole interval lies below this counts as none."""
VIEWS = ("frames", "pooled", "after")
Show = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Sides:
    """A clip on both sides of the bridge, on the CPU in float32.

    Args:
        frames: (T, D).
        frame_spans_s: (T, 2) float64.
        tokens: (N, E).
        token_spans_s: (N, 2) float64.
        duration_s: seconds that lie in the frames.
    """

    frames: torch.Tensor
    frame_spans_s: torch.Tensor
    tokens: torch.Tensor
    token_spans_s: torch.Tensor
    duration_s: float

    def view(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors and their spans: "frames", "pooled" (frames over the tokens' spans) or "after"."""
        match name:
            case "frames":
                return self.frames, self.frame_spans_s
            case "pooled":
                return mean_over(self.frames, self.frame_spans_s, self.token_spans_s), self.token_spans_s
            case _:
                return self.tokens, self.token_spans_s


@dataclass(frozen=True)
class Rate:
    """An accuracy, and the ends of its 95 % interval over clips."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Answers:
    """What the LLM itself does with it: a task of the world, its metric ("accuracy" or "wer") and how it went."""

    task: str
    metric: str
    n: int
    rate: Rate


@dataclass(frozen=True)
class Found:
    """What one probe found.

    Args:
        probe: its name.
        asks: its question.
        n_fit: clips that it was fitted on.
        n_test: clips that it was scored on.
        n_vectors: tokens (or clips) of the test that it was asked about.
        n_classes: different right answers.
        chance: the rate of always answering the test's most frequent class; one half for the order of two.
        frames: before the bridge, at the frames' own rate.
        pooled: before the bridge, frames averaged over each token's span.
        after: behind the bridge.
        loss: pooled minus after, from pairs of the same clips.
        verdict: "kept", "lost at the bridge", "lost to the token rate" or "not in the encoder"; see `verdict`.
        answers: the LLM's own, where it was asked.
    """

    probe: str
    asks: str
    n_fit: int
    n_test: int
    n_vectors: int
    n_classes: int
    chance: float
    frames: Rate
    pooled: Rate
    after: Rate
    loss: Difference
    verdict: str
    answers: Answers | None = None


@dataclass(frozen=True)
class Probed:
    """Everything that the probes of a model found."""

    model: str
    seed: int
    found: dict[str, Found]

    def as_dict(self) -> dict[str, Any]:
        """The JSON report."""
        return {
            "model": self.model,
            "seed": self.seed,
            "probes": {name: {key: _plain(one) for key, one in vars(row).items()} for name, row in self.found.items()},
        }


def probe(
    model: AudioLM,
    *,
    items: int = ITEMS,
    probes: Sequence[str] = tuple(PROBES),
    answers: int = 0,
    seed: int = 0,
    show: Show = lambda line: None,
) -> Probed:
    """Ask frames and audio tokens of a model what they hold.

    Args:
        model: in evaluation mode.
        items: clips that each probe is scored on; it is fitted on twice as many others.
        probes: names in `PROBES`.
        answers: items of the matching task that the LLM itself is asked; 0 asks it nothing.
        seed: of the clips and of the bootstrap.
        show: takes a line of progress for each probe.

    Raises:
        RequestError: an unknown probe, or too few items.
        LimitError: a clip is longer than the encoder reads at once.
        EncoderError, BridgeError: vectors that are not finite, or a clip without a token.
        DependencyError: eSpeak NG is not installed.
    """
    unknown = [name for name in probes if name not in PROBES]
    if unknown or not probes:
        wrong = f"there is no probe {unknown[0]!r}" if unknown else "there is nothing to probe"
        raise RequestError(f"{wrong}, known are {', '.join(PROBES)}")
    if items < LEAST_ITEMS:
        raise RequestError(f"a probe needs at least {LEAST_ITEMS} items to be scored on, got {items}")
    found = {}
    for name in probes:
        one = PROBES[name]
        fit, test = ([labelled(asked) for asked in scenes(one, *part, seed)] for part in _parts(items))
        sides = [[sides_of(model, item.clip) for item in part] for part in (fit, test)]
        own = _answers(model, one, answers, seed) if answers else None
        found[name] = row = judged(one, (fit, sides[0]), (test, sides[1]), seed=seed, answers=own)
        show(
            f"{name}: before {percent(row.frames.value)}, pooled {percent(row.pooled.value)}, "
            f"after {percent(row.after.value)}, {row.verdict}"
        )
    return Probed(model.name, seed, found)


def _parts(items: int) -> tuple[tuple[Any, int], ...]:
    return ("train", FIT_TIMES * items), ("test", items)


@torch.no_grad()
def sides_of(model: AudioLM, clip: Clip) -> Sides:
    """Frames and audio tokens of one clip, heard alone.

    Raises:
        LimitError: the clip is longer than the encoder reads at once.
        EncoderError, BridgeError: vectors that are not finite, or no token.
    """
    limit_s = model.encoder.max_samples / model.encoder.sample_rate
    if clip.duration_s > limit_s:
        raise LimitError(f"a clip of the probes lasts {clip.duration_s:.2f} s, the encoder reads {limit_s:g} s at once")
    weight = sample_of(model.encoder, model.table.weight)
    heard = model.encoder(model.encoder.features([clip]).to(weight.device, weight.dtype))
    tokens = model.bridge(heard)
    n_frames, n, duration_s = int(heard.lengths[0]), int(tokens.lengths[0]), float(heard.durations_s[0])
    if n == 0:
        raise BridgeError(f"the bridge gives no token for a clip of {clip.duration_s:.2f} s: check_bridge tells more")
    before, after = heard.values[0, :n_frames].float().cpu(), tokens.values[0, :n].float().cpu()
    if not before.isfinite().all():
        raise EncoderError("the encoder gives frames that are not finite numbers: nothing can be probed")
    if not after.isfinite().all():
        raise BridgeError("the bridge gives tokens that are not finite numbers: nothing can be probed")
    edges = torch.arange(n_frames + 1, dtype=torch.float64) / heard.rate_hz
    edges[-1] = max(duration_s, float(edges[-2]))  # the last frame ends with the clip
    return Sides(before, torch.stack([edges[:-1], edges[1:]], dim=1), after, tokens.spans_s[0, :n], duration_s)


def mean_over(values: torch.Tensor, spans_s: torch.Tensor, wanted_s: torch.Tensor) -> torch.Tensor:
    """Means of vectors over other spans, each vector weighted by the seconds that it shares with them.

    Args:
        values: (n, D).
        spans_s: (n, 2), their own.
        wanted_s: (m, 2).

    Returns:
        (m, D); where a wanted span shares nothing with any, the vector whose middle is nearest.
    """
    starts, ends = torch.stack([spans_s[:, i].expand(len(wanted_s), -1) for i in (0, 1)])  # (m, n) each
    shared = (torch.minimum(ends, wanted_s[:, 1:]) - torch.maximum(starts, wanted_s[:, :1])).clamp(min=0)  # (m, n)
    nearest = (starts + ends - wanted_s.sum(dim=1, keepdim=True)).abs().argmin(dim=1)
    alone = torch.nn.functional.one_hot(nearest, len(values)).to(shared)
    weights = torch.where(shared.sum(dim=1, keepdim=True) > 1e-9, shared, alone)
    return (weights / weights.sum(dim=1, keepdim=True)).to(values.dtype) @ values


def judged(
    one: Probe,
    fit: tuple[Sequence[Labelled], Sequence[Sides]],
    test: tuple[Sequence[Labelled], Sequence[Sides]],
    *,
    seed: int = 0,
    answers: Answers | None = None,
) -> Found:
    """Fit a probe on each view of some clips and score it on others.

    Args:
        one: what is asked.
        fit: clips and both their sides; the last ones choose the ridge's strength.
        test: other clips and theirs.
        seed: of the bootstrap.
        answers: passed on.

    Raises:
        RequestError: too few clips to learn from, or nothing in the test to ask about.
    """
    n_fit, n_test = len(fit[0]), len(test[0])
    first = (n_fit - max(2, n_fit // HELD_OUT)) // 2 * 2  # both orders of two sounds on the same side
    names = _classes(one, (*fit[0], *test[0]))
    counts, chances, asked = {}, {}, {}
    for view in VIEWS:
        asked[view] = rows = _rows(one, view, *test, names)
        if not len(rows.labels):
            raise RequestError(f"no vector of the probe {one.name} has a label: give it more items")
        classifier = fitted(_rows(one, view, *fit, names), len(names), first_held_out=first)
        counts[view] = _counts(classifier.hits(rows), rows, n_test)
        chances[view] = _counts(_guess(rows) == rows.labels, rows, n_test)
    loss = paired(counts["after"], counts["pooled"], seed=seed)
    in_frames, in_pooled = (_above(chances[view], counts[view], seed) for view in ("frames", "pooled"))
    assert loss is not None and chances["after"].rate is not None
    return Found(
        probe=one.name,
        asks=one.asks,
        n_fit=n_fit,
        n_test=n_test,
        n_vectors=len(asked["after"].labels),
        n_classes=len(torch.unique(asked["after"].labels)),
        chance=chances["after"].rate,
        **{view: _rate(counts[view], seed) for view in VIEWS},
        loss=loss,
        verdict=verdict(in_frames, in_pooled, loss),
        answers=answers,
    )


def verdict(frames_clear: bool, pooled_clear: bool, loss: Difference) -> str:
    """A probe's finding in words.

    Args:
        frames_clear: whether the frames are clearly above chance.
        pooled_clear: whether they still are, averaged over the tokens' spans.
        loss: pooled minus after.

    Returns:
        "not in the encoder", "lost to the token rate" (no vector of such spans could tell, whatever the bridge), "kept"
        (the interval of the loss holds zero, or lies below two points) or "lost at the bridge".
    """
    if not frames_clear:
        return "not in the encoder"
    if not pooled_clear:
        return "lost to the token rate"
    return "kept" if loss.low <= 0 or loss.high < SMALL else "lost at the bridge"


def _classes(one: Probe, items: Sequence[Labelled]) -> dict[str, int]:
    """The number of every class that is in some clip, in alphabetical order."""
    if one.reading != "places":
        return {
            name: i for i, name in enumerate(sorted({name for item in items for name in (item.label, *item.choices)}))
        }
    found = {event.label for item in items for event in item.events if event.kind == one.kind}
    return {name: i for i, name in enumerate(sorted(found))}


def _rows(one: Probe, view: str, items: Sequence[Labelled], sides: Sequence[Sides], names: dict[str, int]) -> Rows:
    """The vectors of one view that a probe reads, with their classes."""
    values, labels, clips, allowed = [], [], [], []
    for clip, (item, side) in enumerate(zip(items, sides, strict=True)):
        for vector, label in _read(one, item, side, view):
            values.append(vector)
            labels.append(names[label])
            clips.append(clip)
            allowed.append([name in (item.choices or names) for name in names] if item.choices else [])
    width = sides[0].view(view)[0].shape[1]
    return Rows(
        torch.stack(values) if values else torch.zeros(0, width),
        torch.tensor(labels, dtype=torch.int64),
        torch.tensor(clips, dtype=torch.int64),
        torch.tensor(allowed) if allowed and allowed[0] else None,
    )


def _read(one: Probe, item: Labelled, side: Sides, view: str) -> Iterator[tuple[torch.Tensor, str]]:
    """Vectors and labels of one clip; places without an event of the probe's kind are left out."""
    values, spans_s = side.view(view)
    match one.reading:
        case "places":
            for vector, middle_s in zip(values, spans_s.mean(dim=1).tolist(), strict=True):
                label = label_at(item.events, one.kind, middle_s)
                if label is not None:
                    yield vector, label
        case "clip":
            whole = torch.tensor([[0.0, side.duration_s]], dtype=torch.float64)
            yield mean_over(values, spans_s, whole)[0], item.label
        case "halves":
            edges = torch.linspace(0.0, side.duration_s, 3, dtype=torch.float64)
            yield mean_over(values, spans_s, torch.stack([edges[:-1], edges[1:]], dim=1)).flatten(), item.label


def _guess(rows: Rows) -> torch.Tensor:
    """What one would answer without hearing: the most frequent class, or of two the alphabetically first."""
    return rows.labels.mode().values if rows.allowed is None else rows.allowed.int().argmax(dim=1)


def _counts(hits: torch.Tensor, rows: Rows, n_clips: int) -> Counts:
    """Hits and vectors of every clip."""
    clips = rows.clips.numpy()
    whole = np.bincount(clips, minlength=n_clips).astype(np.float64)
    return Counts(np.bincount(clips, weights=hits.numpy(), minlength=n_clips), whole)


def _above(chance: Counts, counts: Counts, seed: int) -> bool:
    gain = paired(chance, counts, seed=seed)
    return gain is not None and gain.low > 0


def _rate(counts: Counts, seed: int) -> Rate:
    ends = interval(counts, seed=seed)
    assert counts.rate is not None and ends is not None
    return Rate(counts.rate, *ends)


def _answers(model: AudioLM, one: Probe, n: int, seed: int) -> Answers:
    """The LLM's own answers to test items of the matching task."""
    task = TASKS[one.task]
    part = task.slices[0] if task.slices else None
    counts = answered(model, [item_of(example) for example in drawn(one.task, part, n, seed)], task.metric)
    return Answers(one.task, task.metric, n, _rate(counts, seed))


def _plain(value: Any) -> Any:
    """Numbers of the JSON report, rounded."""
    if isinstance(value, Rate | Difference | Answers):
        return {key: _plain(one) for key, one in vars(value).items()}
    return round(value, 6) if isinstance(value, float) else value
