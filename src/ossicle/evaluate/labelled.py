"""What the probes ask: clips of the world whose every moment has a name, one kind of clip for each probe.

Knows scenes, sentences and voices; does not know vectors or models. Everything is clean and dry, so that what a probe
misses was lost by a part, not by a microphone. Sentences come from the split that is asked for. Sounds and melodies
are drawn from seeds, other ones for each split.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.world.grammar import Split, sentence
from ossicle.world.music import compose
from ossicle.world.parts import Event, Part, Pause, Scene, Sound, Speech, Voice
from ossicle.world.scenes import render
from ossicle.world.sounds import KINDS
from ossicle.world.speech import TEST_VARIANTS, sample_voice

Reading = Literal["places", "clip", "halves"]
Rng = np.random.Generator
VOICES: tuple[Voice, ...] = tuple(Voice("espeak", "en-us", variant, 170, 50, 1.0) for variant in TEST_VARIANTS)
"""The fixed speakers: the same in both splits, of one accent, pace and pitch number, none of them a training voice."""
QUIET_S, SOUND_S, GAP_S = 0.1, 1.0, 0.2


@dataclass(frozen=True)
class Asked:
    """A scene and the class that is right for it.

    Args:
        scene: what sounds.
        label: the class of the whole clip; "" where its events name each place.
        choices: the only classes that may be answered; empty means all.
    """

    scene: Scene
    label: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """What a linear classifier is to find.

    Args:
        name: its key in `PROBES`.
        asks: the question, for a report.
        reading: the vectors that are read: "places" each by itself, "clip" their mean, "halves" the means of the first
            and of the second half side by side.
        kind: of the events that name places; "" for the others.
        task: the world's task in which an LLM shows that it uses this.
        draw: (rng, split) to scenes without end.
    """

    name: str
    asks: str
    reading: Reading
    kind: str
    task: str
    draw: Callable[[Rng, Split], Iterator[Asked]]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A clip and the truth about it: ``label`` and ``choices`` as in `Asked`, ``events`` as `render` returns them."""

    clip: Clip
    events: tuple[Event, ...]
    label: str
    choices: tuple[str, ...]


def scenes(probe: Probe, split: Split, n: int, seed: int) -> list[Asked]:
    """The first ``n`` scenes of a probe in a split; the same seed gives the same."""
    rng = np.random.default_rng([seed, zlib.crc32(f"probe/{probe.name}/{split}".encode())])
    return list(islice(probe.draw(rng, split), n))


def labelled(asked: Asked) -> Labelled:
    """A scene as sound.

    Raises:
        DependencyError: eSpeak NG is not installed.
    """
    heard = render(asked.scene)
    return Labelled(Clip(heard.samples, SAMPLE_RATE), heard.events, asked.label, asked.choices)


def label_at(events: tuple[Event, ...], kind: str, time_s: float) -> str | None:
    """The label of the event of a kind that covers a moment; None where there is none."""
    return next((one.label for one in events if one.kind == kind and one.start_s <= time_s < one.end_s), None)


def _around(*parts: Part) -> Scene:
    return Scene((Pause(QUIET_S), *parts, Pause(QUIET_S)))


def _content(rng: Rng, split: Split) -> Iterator[Asked]:
    """Sentences in voices of the split; of eSpeak NG, which tells its phones."""
    while True:
        voice = sample_voice(rng, split)
        if voice.engine == "espeak":
            yield Asked(_around(Speech(sentence(rng, split).text, voice)))


def _speaker(rng: Rng, split: Split) -> Iterator[Asked]:
    """Each of the fixed speakers in turn, always with another sentence."""
    while True:
        for voice in VOICES:
            yield Asked(_around(Speech(sentence(rng, split).text, voice)), voice.variant)


def _pitch(rng: Rng, split: Split) -> Iterator[Asked]:
    while True:
        yield Asked(_around(compose(rng)))


def _sound(kind: str, rng: Rng) -> Sound:
    return Sound(kind, int(rng.integers(2**31)), SOUND_S)


def _event(rng: Rng, split: Split) -> Iterator[Asked]:
    while True:
        for kind in KINDS:
            yield Asked(_around(_sound(kind, rng)), kind)


def _order(rng: Rng, split: Split) -> Iterator[Asked]:
    """Two sounds of equal length, then the very same two the other way round: whoever hears which sounds there are but
    not their order is right half the time."""
    while True:
        for i, kind in enumerate(KINDS):
            other = KINDS[(i + int(rng.integers(1, len(KINDS)))) % len(KINDS)]
            choices = tuple(sorted((kind, other)))
            first, second = _sound(kind, rng), _sound(other, rng)
            yield Asked(_around(first, Pause(GAP_S), second), kind, choices)
            yield Asked(_around(second, Pause(GAP_S), first), other, choices)


PROBES: dict[str, Probe] = {
    probe.name: probe
    for probe in (
        Probe("content", "which phone is spoken here", "places", "phone", "transcribe", _content),
        Probe("speaker", "which of the fixed voices speaks", "clip", "", "speaker_pitch", _speaker),
        Probe("pitch", "which note sounds here, to the semitone", "places", "note", "melody", _pitch),
        Probe("event", "which kind of sound it is", "clip", "", "sound", _event),
        Probe("order", "which of two sounds came first", "halves", "", "order", _order),
    )
}
