"""Where training samples come from: the world, made as it goes and never twice, or a manifest, shuffled anew each
epoch.

Knows examples and audio; does not know features, tokens or models. A sample is a function of (seed, stage, index)
alone, so workers need no state and a resumed run goes on with the very next sample.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.data.check import shape_fault
from ossicle.data.manifest import Item, read
from ossicle.errors import ConfigError, DataError
from ossicle.prompt.tags import Tags
from ossicle.train.frozen import Sound
from ossicle.world.grammar import Split
from ossicle.world.parts import Event, Scene
from ossicle.world.scenes import render
from ossicle.world.tagging import tagged
from ossicle.world.tasks import TASKS, Example, mixture, sample
from ossicle.world.telling import sketch

Question = str | Tags | tuple[str | None, ...] | None
"""What is asked about a clip, behind it; None where the audio is the question. Where texts stand around the clip: all
of them in their order, and None in its place."""


@dataclass(frozen=True)
class Pair:
    """A sentence in two languages, which may be the same."""

    source: str
    target: str
    source_text: str
    target_text: str


@dataclass(frozen=True)
class Sentence:
    """One of several sentences that are said in a row, and when, seconds."""

    start_s: float
    end_s: float
    target_text: str


@dataclass(frozen=True, eq=False)
class Sample:
    """One training example with its sound.

    Args:
        samples: (S,) float32 at 16 kHz.
        question: None where the audio is the question; tags where the world is asked by them; all parts of the user's
            turn where it comes from a manifest.
        answer: what the model should say.
        task: a name for logs.
        scene, events: the ground truth, where the sample comes from the world.
        more: further questions about the same sound, with their answers.
        where: file and line of a manifest, for messages.
        said: the words spoken, where the world knows them.
        sound: of a clip that is kept with its frames; then ``samples`` has the clip's length and no sound in it.
        pair: what is said and what it is in another language, where the sample is for a translator.
        also: further sentences, which nobody says.
        sentences: of the pair, where it has been said.
        words: (place, second): of words that are said, the place of the first letter in the sentence, and when it
            begins; empty where the engine does not tell.
    """

    samples: np.ndarray
    question: Question
    answer: str
    task: str
    scene: Scene | None = None
    events: tuple[Event, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    where: str = ""
    said: str | None = None
    sound: Sound | None = None
    pair: Pair | None = None
    also: tuple[Pair, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    words: tuple[tuple[int, float], ...] = ()


def said_in(events: Sequence[Event]) -> str:
    """The words spoken in a scene, in their order."""
    return " ".join(event.label for event in events if event.kind == "speech")


class Source(Protocol):
    """Samples by index."""

    def sample(self, index: int) -> Sample:
        """The sample of an index.

        Raises:
            DataError: it cannot be used; the message says why (the feed counts it and tells).
        """


class World:
    """Samples of the world.

    Args:
        seed: of the run.
        stage: number of the stage, so that stages never hear the same scene.
        split: "train" or "validation".
        tasks: weights of tasks, or of "task:slice"; None is the world's own mixture.
        clean: scenes without noise, room or equaliser, to begin with.
        dry: no sound is made: silence of the right length with its events, for tellings.
        tags: tasks are asked by tags, one question about a scene.

    Raises:
        ConfigError: a task or a slice that the world does not have, or weights that are not positive.
    """

    def __init__(
        self,
        seed: int,
        stage: int,
        split: Split,
        tasks: dict[str, float] | None = None,
        *,
        dry: bool = False,
        clean: bool = False,
        tags: bool = False,
    ):
        for key, weight in (tasks or {}).items():
            name, _, part = key.partition(":")
            if name not in TASKS:
                raise ConfigError(f"unknown task {name!r}, allowed are {', '.join(TASKS)}")
            slices = TASKS[name].slices
            if part and part not in slices:
                raise ConfigError(f"the task {name} has no slice {part!r}, it has {', '.join(slices) or 'none'}")
            if not weight > 0:
                raise ConfigError(f"the task {key} has the weight {weight:g}: leave it out, or give it one above 0")
        self.key, self.split, self.tasks = (seed, stage), split, tasks or None
        self.dry, self.clean, self.tags = dry, clean, tags

    def example(self, index: int) -> Example:
        """The example of an index, before it is rendered."""
        rng = np.random.default_rng([*self.key, index])
        if self.tasks is None:
            return mixture(rng, self.split)
        names = tuple(self.tasks)
        weights = np.array([self.tasks[name] for name in names])
        name, _, part = names[int(rng.choice(len(names), p=weights / weights.sum()))].partition(":")
        return sample(name, rng, self.split, slice=part or None)

    def sample(self, index: int) -> Sample:
        """The sample of an index."""
        example = self.example(index)
        scene = example.scene
        if self.clean or self.dry:
            scene = replace(scene, noise=None, room=0.0, tilt_db=0.0)
        rendered = render(scene, speak=sketch) if self.dry else render(scene)
        events = tuple(rendered.events)
        question = tagged(example) if self.tags else example.question
        more = () if self.tags else example.more
        said = said_in(events)
        return Sample(rendered.samples, question, example.answer, example.task, scene, events, more, said=said)


def divided(path: str | Path, holdout: float, without: Collection[int] = ()) -> tuple[list[Item], list[Item]]:
    """The items of a manifest to train on, and those held out: by a hash of each id, so that an item never changes
    sides as long as it keeps its id (without one, as long as it keeps its line). ``without`` are lines that count to
    neither.

    Raises:
        DataError: a line that cannot be read.
    """
    sides: tuple[list[Item], list[Item]] = ([], [])
    for item in read(path, without=without):
        sides[is_held_out(item.id, holdout)].append(item)
    return sides


def is_held_out(key: str, holdout: float) -> bool:
    """Whether the item of an id is held out."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32 < holdout


class Manifest:
    """Samples of a manifest, in an order that is drawn anew for each epoch.

    Args:
        path: a JSONL manifest whose items hold one user turn with one clip and, at the end, the answer.
        seed: of the run.
        holdout: share of the items that is left out; `divided` gives those.
        without: numbers of lines that are left out because they cannot be used.

    Raises:
        DataError: no item to train on, or a line that cannot be read.
    """

    def __init__(self, path: str | Path, seed: int, *, holdout: float = 0.0, without: Collection[int] = ()) -> None:
        self.items: Sequence[Item]
        self.items, held_out = divided(path, holdout, without)
        self.seed = seed
        if not self.items and held_out:
            raise DataError(
                f"the manifest {path} holds no item to train on: all {len(held_out)} that can be used are held out "
                f"(holdout: {holdout:g}); lower holdout, or add items"
            )
        if not self.items:
            raise DataError(f"the manifest {path} holds no item")

    def sample(self, index: int) -> Sample:
        """The sample of an index.

        Raises:
            DataError: its audio cannot be read, or it is not one user turn with one clip and an answer.
        """
        epoch, place = divmod(index, len(self.items))
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.items))
        return sample_of(self.items[int(order[place])])


def sample_of(item: Item) -> Sample:
    """A line of a manifest with its sound.

    Raises:
        DataError: its audio cannot be read, or it is not one user turn with one clip and an answer.
    """
    fault = shape_fault(item)
    if fault is not None:
        raise DataError(f"{item.where}: {fault}")
    user, assistant = item.open(rate=SAMPLE_RATE)
    (clip,) = (part for part in user.content if isinstance(part, Clip))
    (answer,) = assistant.content
    question = tuple(part if isinstance(part, str) else None for part in user.content)
    return Sample(clip.samples, question, str(answer), item.task or "own", where=item.where)
