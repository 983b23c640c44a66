"""What a sweep learns from and is scored on: clips of the world or of a manifest, sent through the encoder once.

Knows tasks, manifests and the encoder; does not know bridges. Questions and scenes follow from the sweep's data alone;
the sound of a synthetic voice may differ by some samples when it is made anew, so that only cells of one folder are to
be compared.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from torch.utils.data import DataLoader, Dataset

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.data.manifest import Item, read
from ossicle.errors import CheckpointError, DataError, DependencyError
from ossicle.evaluate.items import drawn, metric_of
from ossicle.models.audio_lm import AudioLM
from ossicle.train.grid import Sweep, SweepData, pool_identity
from ossicle.train.kept import Asked, Kept, write_kept
from ossicle.train.sources import Manifest, Sample, Source, World, divided, said_in, sample_of
from ossicle.world.scenes import render
from ossicle.world.tasks import TASKS, Example

LINE_S, HOPELESS, ENDLESS = 15.0, 20, 2**31
Found = list[Asked] | DataError | DependencyError
"""Of one item: with its silent twin where it has one; or why there is none."""


def pools(sweep: Sweep, model: AudioLM, folder: Path) -> tuple[Path, Kept]:
    """The folder to learn from and the test items, made where they are not there yet.

    Raises:
        CheckpointError: what is there was made for another sweep.
        DataError, StorageError, DependencyError: it cannot be made.
    """
    identity, longest_s = pool_identity(sweep), longest(sweep, model)
    for name in ("train", "test"):
        if not (folder / name).is_dir():
            clips = _train(sweep.data, longest_s) if name == "train" else _test(sweep.data, longest_s)
            write_kept(folder / name, model.encoder, clips, identity=identity, show=_Line(name))
    train, test = Kept(folder / "train"), Kept(folder / "test")
    if {train.identity, test.identity} != {identity}:
        raise CheckpointError(
            f"the clips in {folder} were made for other data or another base model: take another folder",
            code="key_mismatch",
        )
    return folder / "train", test


def longest(sweep: Sweep, model: AudioLM) -> float:
    """Seconds of the longest clip that can be used."""
    return min(sweep.data.max_clip_s, model.encoder.max_samples / model.encoder.sample_rate)


class _Line:
    """A line now and then of what is made."""

    def __init__(self, name: str) -> None:
        self.name, self.began, self.shown = name, time.monotonic(), time.monotonic()

    def __call__(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self.shown >= LINE_S:
            told = f"{seconds / 3600:.2f} audio-h  {seconds / (now - self.began):.0f} audio-s/s"
            print(f"frames to {self.name} on  {told}", file=sys.stderr, flush=True)
            self.shown = now


class _Clips(Dataset[Found]):
    """What a worker process makes of each number, of clips that are not too long."""

    def __init__(self, made: Callable[[int], list[Asked]], n: int, longest_s: float) -> None:
        self.made, self.n, self.longest_s = made, n, longest_s

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Found:
        try:
            found = self.made(index)
        except (DataError, DependencyError) as error:  # across processes a traceback would come with it
            return error
        sample = found[0].sample
        seconds = len(sample.samples) / SAMPLE_RATE
        if seconds > self.longest_s:
            return DataError(f"{sample.where or sample.task}: {seconds:.1f} s are longer than {self.longest_s:g} s")
        return found


def _each(clips: _Clips, workers: int) -> Iterator[Asked]:
    """Clips in the order of their items; what is left out is told, and ends it all where a voice is missing."""
    loader = DataLoader(clips, batch_size=None, num_workers=max(workers, 1), multiprocessing_context="fork")
    n, bad = 0, 0
    for found in loader:
        n += 1
        if isinstance(found, DependencyError):
            raise found
        if isinstance(found, DataError):
            print(f"left out: {found}", file=sys.stderr)
            bad += 1
            if bad == n and n >= HOPELESS:
                raise DataError(f"none of the first {n} items can be used, such as: {found}")
            continue
        yield from found


def _train(data: SweepData, longest_s: float) -> Iterator[Asked]:
    """Clips to learn from, ``data.hours`` of them; of a manifest at most all."""
    source: Source
    if data.manifest is None:
        source, n = World(data.seed, 0, "train", data.tasks), ENDLESS
    else:
        source = Manifest(data.manifest, data.seed, holdout=0.0 if data.test else data.holdout)
        n = len(source.items)
    seconds = 0.0
    for one in _each(_Clips(lambda i: [Asked(source.sample(i))], n, longest_s), data.workers):
        yield one
        seconds += len(one.sample.samples) / SAMPLE_RATE
        if seconds >= 3600 * data.hours:
            return


def _test(data: SweepData, longest_s: float) -> Iterator[Asked]:
    """Test items, task by task; the first of each also as silence."""
    groups: dict[str, list[tuple[Example | Item, str]]] = {}
    if data.manifest is None:
        learned = dict.fromkeys(key.partition(":")[0] for key in data.tasks or TASKS)
        for name in data.test_tasks or learned:
            examples = drawn(name, (TASKS[name].slices or (None,))[0], data.n_test(name), data.seed)
            groups[name] = [(one, TASKS[name].metric) for one in examples]
    else:
        lines = list(read(data.test)) if data.test else divided(data.manifest, data.holdout)[1]
        for line in lines:
            same = groups.setdefault(line.task, [])
            if len(same) < data.n_test(line.task):
                default = TASKS[line.task].metric if line.task in TASKS else "wer"
                same.append((line, metric_of(line, default)))
    items = [(one, metric, i < data.silent_items) for group in groups.values() for i, (one, metric) in enumerate(group)]

    def made(index: int) -> list[Asked]:
        one, metric, silent = items[index]
        sample = _sample_of_world(one) if isinstance(one, Example) else sample_of(one)
        return [Asked(sample, metric), *([Asked(sample, metric, silent=True)] if silent else [])]

    return _each(_Clips(made, len(items), longest_s), data.workers)


def _sample_of_world(example: Example) -> Sample:
    rendered = render(example.scene)
    said = said_in(rendered.events)
    return Sample(rendered.samples, example.question, example.answer, example.task, where=example.task, said=said)
