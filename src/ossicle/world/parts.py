"""What is in a scene, as data, before any sound exists; and what comes out when it is rendered.

Knows names, numbers and seconds only; does not know how anything sounds (speech.py, sounds.py, music.py make the
parts, scenes.py joins them). Nothing here checks values: who makes the sound does, because only it knows what it can.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Voice:
    """One speaker: a synthesiser and all its settings.

    Args:
        engine: "espeak", "flite" or "festival".
        accent: the engine's accent or language, e.g. "en-us".
        variant: the engine's voice or voice variant.
        rate_wpm: speaking rate, words per minute.
        pitch: 0-99, 50 is the variant's own.
        warp: factor on the formants, 1.0 leaves them.
    """

    engine: str
    accent: str
    variant: str
    rate_wpm: int
    pitch: int
    warp: float


@dataclass(frozen=True)
class Speech:
    """Words that a voice says.

    Args:
        text: lower-case words, numbers spelled out, no punctuation.
        voice: who says it.
    """

    text: str
    voice: Voice


@dataclass(frozen=True)
class Sound:
    """An everyday sound.

    Args:
        kind: one of `sounds.KINDS`.
        seed: fixes pitch, rate, timbre and decay.
        duration_s: length of the whole part.
        strokes: 0 for the sound as it goes on by itself; n for n countable strokes at nearly even gaps.
    """

    kind: str
    seed: int
    duration_s: float
    strokes: int = 0


@dataclass(frozen=True)
class Music:
    """A melody of one instrument.

    Args:
        timbre: one of `music.TIMBRES`.
        notes: MIDI numbers, one after another.
        beats: length of each note in beats.
        tempo_bpm: beats per minute.
        mode: "major" or "minor".
        seed: fixes the small differences between two instruments of one timbre.
    """

    timbre: str
    notes: tuple[int, ...]
    beats: tuple[float, ...]
    tempo_bpm: float
    mode: str
    seed: int


@dataclass(frozen=True)
class Pause:
    """Silence (or only the scene's noise) of a given length."""

    duration_s: float


Part = Speech | Sound | Music | Pause


@dataclass(frozen=True)
class Scene:
    """Parts one after another, and the place where they were recorded.

    Args:
        parts: in order; leading and trailing silence are pauses.
        noise: None, or one of `scenes.NOISES`.
        snr_db: signal over noise, measured over the parts that are not pauses (where all are, over the usual level).
        room: 0 dry to 1 a large bare room.
        gain_db: gain on everything; a peak over full scale is scaled down.
        tilt_db: equaliser: gain at 8 kHz over gain at 125 Hz.
        seed: fixes noise and room.
        background: a part that sounds under all the others, from the first sample on.
        background_db: its level over that of the other parts, usually negative.
    """

    parts: tuple[Part, ...]
    noise: str | None = None
    snr_db: float = 20.0
    room: float = 0.0
    gain_db: float = 0.0
    tilt_db: float = 0.0
    seed: int = 0
    background: Part | None = None
    background_db: float = -10.0


@dataclass(frozen=True)
class Event:
    """Something that is heard, and exactly when.

    Args:
        start_s: first moment, seconds from the scene's first sample.
        end_s: last moment.
        kind: "speech", "sound", "music", "note", "phone" or "word".
        label: the text, the sound's kind, the timbre, the MIDI number, the phone.
    """

    start_s: float
    end_s: float
    kind: str
    label: str


@dataclass(frozen=True, eq=False)
class Rendered:
    """A scene as sound.

    Args:
        samples: shape (S,), float32 at 16 kHz, within [-1, 1].
        events: what is heard, by start time.
    """

    samples: np.ndarray
    events: tuple[Event, ...]
