"""The tasks: a scene, a question about it and the short answer that is true of it by construction.

Knows what is in a scene as data; does not know how it sounds (``scenes.render`` makes that) nor what a model is. The
phrasings are in ``questions.py``, the draws in ``tasks_spoken.py`` and ``tasks_heard.py``. Sentences and voices follow
the splits of ``grammar.py`` and ``speech.py``; sounds and melodies are drawn from seeds. Spoken words and answers are
lower case without punctuation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ossicle.errors import ConfigError
from ossicle.world import questions as q
from ossicle.world import tasks_heard as heard
from ossicle.world import tasks_spoken as spoken
from ossicle.world.grammar import Split
from ossicle.world.parts import Pause, Scene
from ossicle.world.scenes import Conditions, random_conditions
from ossicle.world.tasks_heard import CAPTIONS
from ossicle.world.tasks_spoken import TEXT_SLICES, Drawn, Rng, pick

__all__ = ["CAPTIONS", "SLICES", "SPLITS", "TASKS", "Example", "Task", "mixture", "sample"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
VOICES = ("accents", "unseen_accent", "festival")
SLICES = (*VOICES, *TEXT_SLICES)
CLEAR_DB, SILENCE_DB = 8.0, 20.0
MORE = 3
Metric = Literal["wer", "accuracy"]


@dataclass(frozen=True)
class Example:
    """One question about one scene.

    Args:
        task: its name in ``TASKS``.
        scene: what sounds.
        question: None where the audio itself is the question (voice chat).
        answer: lower case, no punctuation.
        slices: the groups of a score that it counts in.
        metric: "wer" for transcripts, "accuracy" (the answer, exactly) for the rest.
        choices: every answer that the question allows, where that is a closed set.
        more: further questions about the same scene with their answers, for a conversation.
    """

    task: str
    scene: Scene
    question: str | None
    answer: str
    slices: tuple[str, ...]
    metric: Metric
    choices: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Task:
    """A kind of question.

    Args:
        name: its key in ``TASKS``.
        phrasings: all ways in which it is asked; empty where the audio is the question.
        draw: (rng, split, slice) to what it asks.
        weight: its share of the training mixture.
        metric: how answers are scored.
        slices: the values of ``slice`` that it knows.
        clear_db: None, or the least signal over noise; the noise is then steady too (no voices, no traffic), so that
            no question can be about it.
    """

    name: str
    phrasings: tuple[str, ...]
    draw: Callable[[Rng, Split, str | None], Drawn]
    weight: float
    metric: Metric = "accuracy"
    slices: tuple[str, ...] = ()
    clear_db: float | None = None


def sample(task: str, rng: Rng, split: Split, *, slice: str | None = None) -> Example:
    """Draw one example of a task.

    Args:
        task: a name in ``TASKS``.
        rng: every choice.
        split: "train", "validation" or "test"; they share no sentence and no voice setting.
        slice: for tasks with speech, the voices: "accents" (those of training, the default), "unseen_accent" or
            "festival"; transcribe also knows the texts "random_words", "unheard_words"
            and "two_sentences".

    Raises:
        ConfigError: an unknown task or split, or a slice that the task does not have.
    """
    if task not in TASKS:
        raise ConfigError(f"unknown task {task!r}, allowed are {', '.join(TASKS)}")
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}, allowed are {', '.join(SPLITS)}")
    one = TASKS[task]
    if slice is not None and slice not in one.slices:
        raise ConfigError(f"the task {task!r} has no slice {slice!r}, it has {', '.join(one.slices) or 'none'}")
    drawn = one.draw(rng, split, slice)
    outer = rng.uniform(0.05, 0.5, size=2).round(3).tolist()
    scene = Scene(
        parts=(Pause(outer[0]), *drawn.parts, Pause(outer[1])),
        seed=int(rng.integers(2**31)),
        background=drawn.background,
        background_db=float(rng.uniform(-10, -3)),
        **_conditions(rng, one, drawn),
    )
    return Example(
        task=task,
        scene=scene,
        question=pick(drawn.phrasings, rng) if drawn.phrasings else None,
        answer=drawn.answer,
        slices=(slice or one.slices[0],) if one.slices else (),
        metric=one.metric,
        choices=drawn.choices,
        more=_more(drawn, rng.spawn(1)[0]),
    )


def _more(drawn: Drawn, rng: Rng) -> tuple[tuple[str, str], ...]:
    """Up to three of the further questions that a scene allows, each in one phrasing; a transcript stays last."""
    voice = spoken.of_voice(drawn.parts) if drawn.background is None else ()
    found = [one for one in (*voice, *drawn.more) if one[0] != drawn.phrasings]
    chosen = np.sort(rng.permutation(len(found))[:MORE])
    return tuple((pick(found[i][0], rng), found[i][1]) for i in chosen)


def mixture(rng: Rng, split: Split) -> Example:
    """An example of a task drawn by its training weight; a fifth of the transcripts are random word strings, a tenth
    two sentences."""
    names = tuple(TASKS)
    weights = np.array([TASKS[name].weight for name in names])
    name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    draw = rng.random() if name == "transcribe" else 1.0
    return sample(name, rng, split, slice="random_words" if draw < 0.2 else "two_sentences" if draw < 0.3 else None)


def _conditions(rng: Rng, task: Task, drawn: Drawn) -> Conditions:
    conditions = random_conditions(rng)
    if task.clear_db is not None:
        conditions["noise"] = "pink" if conditions["noise"] in ("babble", "traffic") else conditions["noise"]
        silent = all(isinstance(part, Pause) for part in drawn.parts)
        conditions["snr_db"] = max(conditions["snr_db"], SILENCE_DB if silent else task.clear_db)
    return conditions


_FACT_QUESTIONS = tuple(line for kind in q.FACT_NOUN for line in spoken.fact_questions(kind))
_SLOT_QUESTIONS = tuple(line for key in q.SLOT_NOUN for line in spoken.slot_questions(key))
_ORDER_QUESTIONS = (
    tuple(line for end in ("first", "last") for line in spoken.asked(q.FIRST_LAST, {}, end, "")) + q.ORDER
)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("transcribe", q.TRANSCRIBE, spoken.transcribe, 0.45, "wer", SLICES),
        Task("said", _FACT_QUESTIONS, spoken.said, 0.08, slices=VOICES),
        Task("intent", q.INTENT, spoken.intent, 0.05, slices=VOICES),
        Task("slot", _SLOT_QUESTIONS, spoken.slot, 0.05, slices=VOICES),
        Task("arithmetic", (), spoken.arithmetic, 0.06, slices=VOICES),
        Task("speaker_pitch", q.PITCH, spoken.pitch, 0.02),
        Task("speaker_pace", q.PACE, spoken.pace, 0.02),
        Task("sound", q.SOUND, heard.which, 0.035, clear_db=CLEAR_DB),
        Task("count", q.COUNT, heard.count, 0.04, clear_db=CLEAR_DB),
        Task("order", _ORDER_QUESTIONS, heard.order, 0.035, clear_db=CLEAR_DB),
        Task("when", q.WHEN, heard.when, 0.025, clear_db=CLEAR_DB),
        Task("instrument", q.INSTRUMENT, heard.instrument, 0.025, clear_db=CLEAR_DB),
        Task("tempo", q.TEMPO, heard.tempo, 0.02, clear_db=CLEAR_DB),
        Task("melody", q.MELODY, heard.melody, 0.025, clear_db=CLEAR_DB),
        Task("speech_or_not", q.KIND, heard.kind, 0.025, clear_db=CLEAR_DB),
        Task("caption", q.CAPTION, heard.caption, 0.04, clear_db=SILENCE_DB),
    )
}
