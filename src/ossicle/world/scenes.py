"""From a scene as data to sound: parts in order at one loudness, in a room, in noise, through a microphone.

Knows when everything is heard, to the sample; does not know what is asked about it. Everything random comes from the
seeds in the scene, so that a scene always sounds the same. A room is noise that decays exponentially behind the direct
sound (Polack 1988); it never moves an event.
"""

import zlib
from collections.abc import Callable
from typing import Protocol, TypedDict

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.errors import ConfigError
from ossicle.world import speech
from ossicle.world.music import make_music
from ossicle.world.parts import Event, Music, Part, Pause, Rendered, Scene, Sound, Speech, Voice
from ossicle.world.sounds import make_sound, make_strokes
from ossicle.world.waves import Points, Wave, convolved, decay, filtered, noise, slow_random, tone, wave

LEVEL = 0.08
"""Root mean square of the loud moments of every part."""
LOUDEST = 0.99
_MOMENT = 320

COLOURS: dict[str, Points] = {
    "white": ((20, 0), (8000, 0)),
    "pink": ((31.25, 0), (8000, -24.1)),
    "brown": ((31.25, 0), (8000, -48.2)),
}
"""Noises that are steady, with their spectra."""
NOISES: tuple[str, ...] = (*COLOURS, "hum", "babble", "traffic")


class SpokenLike(Protocol):
    """What a synthesiser returns: samples at 16 kHz, and (label, start, end in seconds) of each phone."""

    @property
    def samples(self) -> np.ndarray: ...

    @property
    def phones(self) -> tuple[tuple[str, float, float], ...]: ...


Speak = Callable[[str, Voice], SpokenLike]


class Conditions(TypedDict):
    """The fields of a `Scene` that say where and how it was recorded."""

    noise: str | None
    snr_db: float
    room: float
    gain_db: float
    tilt_db: float


def render(scene: Scene, *, speak: Speak = speech.speak) -> Rendered:
    """Make a scene heard.

    Args:
        scene: what is in it.
        speak: the speech synthesiser.

    Returns:
        Samples within [-1, 1], as long as the parts together, and the events: "speech" (the text) and "phone" for each
        `Speech`, "sound" (the kind) for each `Sound` or each of its strokes, "music" (the timbre) and "note" (the MIDI
        number) for each `Music`; of the background too.

    Raises:
        ConfigError: no part, an unknown noise, a number out of range, or a part that cannot be made.
    """
    _check(scene)
    pieces: list[Wave] = []
    active: list[tuple[int, int]] = []
    events: list[Event] = []
    at = 0
    for part in scene.parts:
        samples, heard = make_part(part, speak)
        events.extend(_moved(heard, at / SAMPLE_RATE))
        if not isinstance(part, Pause):
            active.append((at, at + len(samples)))
        pieces.append(samples)
        at += len(samples)
    signal = np.concatenate(pieces)
    if scene.background is not None:
        samples, heard = make_part(scene.background, speak)
        under = samples[: len(signal)] * np.float32(10 ** (scene.background_db / 20))
        signal[: len(under)] += under
        events.extend(_clipped(heard, len(signal) / SAMPLE_RATE))
    signal = _recorded(signal, active, scene)
    events.sort(key=lambda event: (event.start_s, -event.end_s))
    return Rendered(signal, tuple(events))


def random_conditions(rng: np.random.Generator) -> Conditions:
    """Where and how a training scene was recorded: half clean and dry, the rest in noise, a room or both.

    Args:
        rng: every choice.

    Returns:
        Fields for `Scene`: ``Scene(parts, seed=seed, **random_conditions(rng))``.
    """
    gain_db = float(rng.uniform(-12.0, 6.0))
    if rng.uniform() < 0.5:
        return Conditions(noise=None, snr_db=30.0, room=0.0, gain_db=gain_db, tilt_db=0.0)
    noisy, roomy = ((True, False), (False, True), (True, True))[rng.choice(3, p=(0.5, 0.2, 0.3))]
    return Conditions(
        noise=NOISES[rng.integers(len(NOISES))] if noisy else None,
        snr_db=float(rng.uniform(8.0, 30.0)),
        room=float(rng.beta(1.5, 3.5)) if roomy else 0.0,
        gain_db=gain_db,
        tilt_db=float(rng.uniform(-6.0, 6.0)) if rng.uniform() < 0.6 else 0.0,
    )


# ---- parts ----------------------------------------------------------------------------------------------------------


def make_part(part: Part, speak: Speak) -> tuple[Wave, list[Event]]:
    """One part as sound, at the common level (`LEVEL`).

    Returns:
        Samples, shape (S,), float32 at 16 kHz; and its events as `render` tells them, from the part's first sample.

    Raises:
        ConfigError: a part that cannot be made.
    """
    match part:
        case Speech():
            spoken = speak(part.text, part.voice)
            samples = wave(spoken.samples)
            heard = [Event(0.0, len(samples) / SAMPLE_RATE, "speech", part.text)]
            heard += [Event(start_s, end_s, "phone", label) for label, start_s, end_s in spoken.phones]
        case Sound(strokes=0):
            samples = make_sound(part.kind, part.duration_s, _source(part.kind, part.seed))
            heard = [Event(0.0, len(samples) / SAMPLE_RATE, "sound", part.kind)]
        case Sound():
            samples, spans = make_strokes(part.kind, part.strokes, part.duration_s, _source(part.kind, part.seed))
            heard = [Event(start_s, end_s, "sound", part.kind) for start_s, end_s in spans]
        case Music():
            samples, notes = make_music(part)
            heard = [Event(0.0, len(samples) / SAMPLE_RATE, "music", part.timbre)]
            heard += [Event(start_s, end_s, "note", str(midi)) for midi, start_s, end_s in notes]
        case Pause():
            if not 0 <= part.duration_s <= 3600:
                raise ConfigError(f"a pause of {part.duration_s:g} s cannot be made: 0-3600 s can be")
            return np.zeros(seconds_to_samples(part.duration_s, SAMPLE_RATE), np.float32), []
    return _levelled(samples), heard


def _source(kind: str, seed: int) -> np.random.Generator:
    """One seed gives unrelated draws in two kinds of sound."""
    return np.random.default_rng((seed, zlib.crc32(kind.encode())))


def _levelled(samples: Wave) -> Wave:
    """At the common level: the root mean square over moments of 20 ms within 20 dB of the loudest, the peak below 1."""
    n = len(samples) // _MOMENT * _MOMENT
    rows = samples[:n].reshape(-1, _MOMENT) if n else samples[None]  # (moments, 320)
    powers = np.einsum("ij,ij->i", rows, rows) / max(rows.shape[1], 1)
    loudest = float(powers.max(initial=0.0))
    if loudest == 0.0:
        return samples
    level = float(np.sqrt(powers[powers >= loudest / 100].mean()))
    peak = float(np.max(np.abs(samples)))
    return samples * np.float32(min(LEVEL / level, LOUDEST / peak))


def _moved(heard: list[Event], by_s: float) -> list[Event]:
    return [Event(event.start_s + by_s, event.end_s + by_s, event.kind, event.label) for event in heard]


def _clipped(heard: list[Event], at_s: float) -> list[Event]:
    return [
        Event(event.start_s, min(event.end_s, at_s), event.kind, event.label) for event in heard if event.start_s < at_s
    ]


# ---- the recording --------------------------------------------------------------------------------------------------


def _recorded(signal: Wave, active: list[tuple[int, int]], scene: Scene) -> Wave:
    """Room, noise, equaliser, gain; a peak over full scale scales everything down."""
    rng = np.random.default_rng(scene.seed)
    n = len(signal)
    if scene.room > 0:
        signal = convolved(signal, _room(scene.room, rng))
    if scene.noise is not None:
        under = _noise(scene.noise, n, rng)
        heard = np.zeros(n, bool)
        for begin, end in active:
            heard[begin:end] = True
        loud = float(np.mean(np.square(signal[heard]))) if heard.any() else 0.0
        noise_power = (loud or LEVEL**2) / 10 ** (scene.snr_db / 10)
        signal = signal + under * np.float32(np.sqrt(noise_power / max(float(np.mean(np.square(under))), 1e-12)))
    if scene.tilt_db != 0:
        signal = filtered(signal, ((125.0, -scene.tilt_db / 2), (8000.0, scene.tilt_db / 2)))
    signal = signal * np.float32(10 ** (scene.gain_db / 20))
    peak = float(np.max(np.abs(signal)))
    return wave(signal * np.float32(LOUDEST / peak)) if peak > LOUDEST else wave(signal)


def _room(size: float, rng: np.random.Generator) -> Wave:
    """An impulse response: the direct sound, then after 2-8 ms a tail that falls by 60 dB in 0.1-0.5 s."""
    rt_s = 0.1 + 0.4 * size
    n = int(rt_s * SAMPLE_RATE)
    tail = noise(n, rng, ((100, -6), (400, 0), (2000, -2), (8000, -12))) * decay(n, rt_s / 6.91)
    tail[: int(rng.uniform(0.002, 0.008) * SAMPLE_RATE)] = 0
    direct_over_tail_db = 14.0 - 14.0 * size
    tail *= np.float32(np.sqrt(10 ** (-direct_over_tail_db / 10) / float(np.sum(np.square(tail)))))
    tail[0] = 1.0
    return tail


def _noise(name: str, n: int, rng: np.random.Generator) -> Wave:
    """Noise of some level, shape (n,)."""
    if name in COLOURS:
        return noise(n, rng, COLOURS[name])
    match name:
        case "hum":
            hz = float(rng.choice((50.0, 60.0)))
            hum = tone(np.full(n, hz, np.float32), rng.uniform(0.1, 1.0, 12) / np.arange(1, 13), rng)
            return wave(hum + np.float32(0.1) * noise(n, rng, COLOURS["pink"]))
        case "babble":
            return _babble(n, rng)
        case _:
            slow = np.float32(0.35) + slow_random(n, 0.4, rng)
            return wave(noise(n, rng, ((30, -6), (100, 0), (300, -8), (1500, -20), (8000, -45))) * slow)


def _babble(n: int, rng: np.random.Generator) -> Wave:
    """Several far voices that say nothing: noise and gliding tones with the spectrum and the beat of syllables."""
    out = np.zeros(n, np.float32)
    harmonics = np.arange(1, 31)
    for _ in range(3):
        hz = np.float32(rng.uniform(95, 220)) * (np.float32(0.8) + np.float32(0.4) * slow_random(n, 2.5, rng))
        throat = rng.uniform(0.4, 1.0, 30) / (harmonics * (1 + (harmonics / 14) ** 2)) ** 0.5
        out += tone(hz, throat, rng) * np.square(slow_random(n, rng.uniform(5, 9), rng))
    rms = np.sqrt(np.mean(np.square(out))) + np.float32(1e-9)
    return wave(out / rms + np.float32(0.7) * noise(n, rng, ((80, -10), (500, 0), (2500, -10), (8000, -25))))


def _check(scene: Scene) -> None:
    if not any(not isinstance(part, Pause) or part.duration_s > 0 for part in scene.parts):
        raise ConfigError("a scene needs at least one part that takes time")
    if scene.noise is not None and scene.noise not in NOISES:
        raise ConfigError(f"no noise is called {scene.noise!r}: the known ones are {', '.join(NOISES)}")
    if not 0.0 <= scene.room <= 1.0:
        raise ConfigError(f"the room is {scene.room:g}, allowed is 0 (dry) to 1 (a large bare room)")
    for name in ("snr_db", "gain_db", "tilt_db", "background_db"):
        value = getattr(scene, name)
        if not -60.0 <= value <= 60.0:
            raise ConfigError(f"{name} is {value:g}, allowed is -60 to 60")
