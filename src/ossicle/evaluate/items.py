"""What is asked in an evaluation: items of the world or of a manifest, and the same items with other audio.

Knows questions, right answers and clips; does not know models or rates. Every task and slice of the world has a random
generator of its own, so that a limit or a missing engine changes no other item.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.io import write_clip
from ossicle.data import manifest as manifests
from ossicle.errors import DataError, DependencyError, StorageError
from ossicle.evaluate.metrics import METRICS
from ossicle.infer.requests import clips_in
from ossicle.prompt.chat import Message
from ossicle.world.grammar import Split
from ossicle.world.scenes import render
from ossicle.world.tasks import TASKS, Example, sample

N_ITEMS, N_SLICE = 80, 60
"""Items of a task and of each further slice; a limit lowers them."""


@dataclass(frozen=True, eq=False)
class Item:
    """One question with its right answer.

    Args:
        messages: the conversation up to the question, audio read.
        answer: the right one.
        slices: the groups that it counts in.
        headline: whether it enters the task's own figure; items of a slice that is drawn besides do not.
        where: file and line of a manifest that it comes from; empty for the world's.
    """

    messages: tuple[Message, ...]
    answer: str
    slices: tuple[str, ...] = ()
    headline: bool = True
    where: str = ""


def with_audio(item: Item, change: Callable[[Clip], Clip]) -> Item:
    """The same question about other audio."""
    messages = (
        Message(one.role, tuple(change(part) if isinstance(part, Clip) else part for part in one.content))
        for one in item.messages
    )
    return replace(item, messages=tuple(messages))


def silence(clip: Clip) -> Clip:
    """Zeros of the same length."""
    return Clip(np.zeros_like(clip.samples), clip.rate)


def taken_from(other: Item) -> Callable[[Clip], Clip]:
    """A change that hands out another item's clips, over again where it has fewer; silence where it has none."""
    clips = clips_in(other.messages)
    position = iter(range(10**9))
    return lambda clip: clips[next(position) % len(clips)] if clips else silence(clip)


Group = tuple[str, str, list[Item], list[str]]


def world_items(tasks: Sequence[str], limit: int | None, seed: int) -> Iterator[Group]:
    """Name, metric, items and missing slices of each task of the world, one task at a time."""
    for name in tasks or TASKS:
        task = TASKS[name]
        first, *further = task.slices or (None,)
        items = [item_of(example) for example in drawn(name, first, _capped(N_ITEMS, limit), seed)]
        missing = []
        for part in further:
            try:
                examples = drawn(name, part, _capped(N_SLICE, limit), seed)
                items += [replace(item_of(example), headline=False) for example in examples]
            except DependencyError:  # the engine of this slice is not installed
                missing.append(str(part))
        yield name, task.metric, items, missing


def drawn(task: str, part: str | None, n: int, seed: int) -> list[Example]:
    """The first ``n`` test examples of one slice of a task."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{task}/{part}".encode())])
    return [sample(task, rng, "test", slice=part) for _ in range(n)]


def item_of(example: Example) -> Item:
    """An example of the world as sound.

    Raises:
        DependencyError: its voice needs an engine that is not installed.
    """
    clip = Clip(render(example.scene).samples, SAMPLE_RATE)
    content = (clip,) if example.question is None else (clip, example.question)
    return Item((Message("user", content),), example.answer, example.slices)


def write_world(
    out: str | os.PathLike[str], task: str, n: int, *, split: Split = "test", slice: str | None = None, seed: int = 0
) -> Path:
    """Write examples of a task to a folder: sound files, and a manifest with answers and what is heard when.

    Returns:
        The manifest.

    Raises:
        ConfigError: an unknown task, split or slice.
        DependencyError: a voice needs an engine that is not installed.
        StorageError: the folder cannot be written, or holds examples already.
    """
    folder = Path(out)
    rng = np.random.default_rng([seed, zlib.crc32(f"{task}/{slice}".encode())])
    sample(task, np.random.default_rng(seed), split, slice=slice)  # refuses before anything is written
    manifest = folder / "manifest.jsonl"
    if manifest.exists():
        raise StorageError(f"{folder} holds examples already: choose another folder, or take {manifest.name} away")
    _folder(folder / "audio")

    def line(i: int) -> manifests.Item:
        example = sample(task, rng, split, slice=slice)
        heard = render(example.scene)
        path = folder / "audio" / f"{task}-{i:05d}.flac"
        write_clip(Clip(heard.samples, SAMPLE_RATE), path)
        content = (manifests.AudioPart(path), *((example.question,) if example.question is not None else ()))
        turns = (manifests.Turn("user", content), manifests.Turn("assistant", (example.answer,)))
        truth = {
            "metric": example.metric,
            "slices": example.slices,
            "events": [asdict(event) for event in heard.events],
        }
        return manifests.Item(f"{task}-{i:05d}", turns, task, "en", truth)

    manifests.write(manifest, map(line, range(n)))
    return manifest


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {path} cannot be made: {error.strerror}") from error


def manifest_items(path: str | os.PathLike[str], limit: int | None) -> Iterator[Group]:
    """Name, metric and items of each task of a manifest; an item without a task counts under "answer".

    The metric is ``truth.metric`` where the line says so, else the world's for a task of that name, else the word error
    rate. Slices are ``truth.slices``.

    Raises:
        DataError: there is no item; an item has no answer, an unknown metric, or audio that cannot be read.
    """
    groups: dict[str, list[manifests.Item]] = {}
    for item in manifests.read(path):
        same = groups.setdefault(item.task or "answer", [])
        if limit is None or len(same) < limit:
            same.append(item)
    if not groups:
        raise DataError(f"{os.fspath(path)} has no item to score")
    for name, lines in groups.items():
        default = TASKS[name].metric if name in TASKS else "wer"
        yield name, metric_of(lines[0], default), [_opened(line) for line in lines], []


def metric_of(item: manifests.Item, default: str) -> str:
    """The metric that an item names, else the default.

    Raises:
        DataError: there is no such metric.
    """
    metric = str(item.truth.get("metric", default))
    if metric not in METRICS:
        raise DataError(f"{item.where}: there is no metric {metric!r}, known are {', '.join(METRICS)}")
    return metric


def _opened(item: manifests.Item) -> Item:
    messages = item.open()
    answer = messages[-1].content if messages[-1].role == "assistant" else ()
    if len(messages) < 2 or len(answer) != 1 or not isinstance(answer[0], str):
        raise DataError(
            f"{item.where}: an item to score ends with a turn of the assistant: the right answer as one text"
        )
    slices = item.truth.get("slices", [])
    if not isinstance(slices, list) or not all(isinstance(one, str) for one in slices):
        raise DataError(f"{item.where}: truth.slices is a list of names")
    return Item(messages[:-1], answer[0], tuple(slices), where=item.where)


def _capped(n: int, limit: int | None) -> int:
    return n if limit is None else min(n, limit)
