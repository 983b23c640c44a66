"""Melodies of one instrument: seven timbres, and a composer whose melodies rise or fall, hurry or walk.

Knows notes, beats and spectra; does not know scenes. Plucked strings are decaying harmonics whose decay grows with the
square of the harmonic (what the loop filter of Karplus and Strong 1983 does); blown and bowed ones are a wave table
whose spectrum opens with the attack.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.errors import ConfigError
from ossicle.world.parts import Music
from ossicle.world.waves import Points, Wave, decay, faded, formants, noise, seconds, struck, tone, wave

PEAK = 0.5
LOWEST, HIGHEST = 36, 96
"""Notes that can be made, MIDI numbers."""

SCALES: Mapping[str, tuple[int, ...]] = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
TEMPOS: Mapping[str, tuple[float, float]] = {"slow": (60.0, 80.0), "medium": (95.0, 125.0), "fast": (150.0, 190.0)}
DIRECTIONS = ("up", "down")

Rng = np.random.Generator
_Note = Callable[[float, int, Rng], Wave]


# ---- instruments: one note of a pitch in hertz and a number of samples ----------------------------------------------


def _piano(hz: float, n: int, rng: Rng) -> Wave:
    k = np.arange(1, 13)
    start = rng.uniform(0.8, 1.2, 12) / k**1.2
    rates = (1.2 + 0.9 * k) * (hz / 260.0) ** 0.5
    body = tone(np.full(n, hz, np.float32), _dying(start, rates, n), rng)
    body = faded(body, 0.003, 0.0)
    _knock(body, rng, 0.12, 0.012, ((150, 0), (900, 0), (3000, -30)))
    return body


def _guitar(hz: float, n: int, rng: Rng) -> Wave:
    k = np.arange(1, 25)
    place = rng.uniform(0.13, 0.22)
    start = np.abs(np.sin(np.pi * k * place)) / k**0.6 + 0.02
    rates = 1.8 + 0.16 * k**2 * (hz / 260.0)
    return faded(tone(np.full(n, hz, np.float32), _dying(start, rates, n), rng), 0.001, 0.0)


def _xylophone(hz: float, n: int, rng: Rng) -> Wave:
    tau = rng.uniform(0.1, 0.16)
    bar = struck(n, [(hz, 1.0, tau), (hz * 3.93, 0.5, tau / 3), (hz * 9.2, 0.25, tau / 8)], rng)
    _knock(bar, rng, 0.15, 0.003, ((800, -10), (3000, 0), (7000, -10)))
    return bar


def _flute(hz: float, n: int, rng: Rng) -> Wave:
    t = seconds(n)
    swing = np.sin(np.float32(2 * np.pi * rng.uniform(4.5, 5.5)) * t) * _late(n, 0.15)
    pipe = tone(wave(hz * (1 + 0.004 * swing)), np.array([1.0, rng.uniform(0.15, 0.3), 0.08, 0.02]), rng)
    breath = np.resize(noise(4000, rng, ((300, -25), (hz, -8), (2500, 0), (6000, -12))), n)
    return wave((pipe * (1 + np.float32(0.15) * swing) + np.float32(0.05) * breath) * _late(n, 0.06))


def _organ(hz: float, n: int, rng: Rng) -> Wave:
    drawbars = np.zeros(16)
    drawbars[[0, 1, 2, 3, 5, 7, 9, 11, 15]] = np.array([0.6, 1, 0.6, 0.9, 0.5, 0.7, 0.3, 0.3, 0.35]) * rng.uniform(
        0.8, 1.2, 9
    )
    return faded(tone(np.full(n, hz / 2, np.float32), drawbars, rng), 0.008, 0.0)


def _violin(hz: float, n: int, rng: Rng) -> Wave:
    swing = np.sin(np.float32(2 * np.pi * rng.uniform(5.3, 6.8)) * seconds(n)) * _late(n, 0.12)
    pitch = wave(hz * (1 + np.float32(rng.uniform(0.009, 0.014)) * swing))
    peaks = [(np.array([500.0]), 150.0, 0.5), (np.array([1200.0]), 300.0, 0.4), (np.array([2900.0]), 900.0, 1.0)]
    k = np.arange(1, 31)
    bowed = tone(pitch, formants(np.array([hz]), 30, peaks)[0] + 0.5 / k, rng)
    _knock(bowed, rng, 0.15, 0.05, ((1000, -20), (3000, 0), (7000, -6)))
    return wave(bowed * _late(n, 0.1))


def _trumpet(hz: float, n: int, rng: Rng) -> Wave:
    k = np.arange(1, 21)
    peaks = [(np.array([rng.uniform(1100, 1400)]), 500.0, 1.6), (np.array([hz]), 200.0, 0.4)]
    bright = formants(np.array([hz]), 20, peaks)[0] * np.sqrt(k)
    n_rows = _rows(n)
    opening = np.minimum(np.arange(n_rows) / 2.0, 1.0)[:, None]  # brass grows bright as it grows loud
    rows = bright * np.exp(-0.35 * (1 - opening) * (k - 1))
    pitch = hz * (1 - 0.03 * decay(n, 0.02))
    return wave(tone(wave(pitch), rows, rng) * _late(n, 0.03))


_INSTRUMENTS: Mapping[str, _Note] = {
    "piano": _piano,
    "guitar": _guitar,
    "xylophone": _xylophone,
    "flute": _flute,
    "organ": _organ,
    "violin": _violin,
    "trumpet": _trumpet,
}

TIMBRES: tuple[str, ...] = tuple(_INSTRUMENTS)


def _knock(samples: Wave, rng: Rng, level: float, tau_s: float, points: Points) -> None:
    """Add the noise of hammer, mallet or bow to the beginning of a note that this module has just made."""
    n = min(len(samples), int(6 * tau_s * SAMPLE_RATE))
    samples[:n] += np.float32(level) * noise(n, rng, points) * decay(n, tau_s)


def _rows(n: int) -> int:
    """Spectra for ``n`` samples, one each 40 ms."""
    return max(2, 1 + n // 640)


def _dying(start: np.ndarray, rates: np.ndarray, n: int) -> np.ndarray:
    """Amplitudes (R, K) of harmonics that begin at ``start`` and fall by ``rates`` a second."""
    at = np.linspace(0.0, n / SAMPLE_RATE, _rows(n))[:, None]
    return np.asarray(start * np.exp(-at * rates))


def _late(n: int, rise_s: float) -> Wave:
    """An envelope that rises in ``rise_s`` seconds, or in half the note where that is shorter, and then stays."""
    out = np.ones(n, np.float32)
    rise = min(n // 2, int(rise_s * SAMPLE_RATE))
    out[:rise] = np.arange(rise, dtype=np.float32) / np.float32(max(rise, 1))
    return out


# ---- the public face ------------------------------------------------------------------------------------------------


def make_music(music: Music) -> tuple[Wave, tuple[tuple[int, float, float], ...]]:
    """A melody as sound.

    Args:
        music: what to play; every note is silent again by its end.

    Returns:
        Samples, shape (S,), float32 at 16 kHz, peak 0.5; and (MIDI number, start, end) of each note, seconds.

    Raises:
        ConfigError: an unknown timbre; notes and beats that do not pair; a note, a length or a tempo out of range.
    """
    _check(music)
    rng = np.random.default_rng(music.seed)
    ends = np.cumsum(music.beats) * (60.0 / music.tempo_bpm)
    edges = [0, *(seconds_to_samples(float(end), SAMPLE_RATE) for end in ends)]
    out = np.zeros(edges[-1], np.float32)
    detune = rng.uniform(0.994, 1.006)
    notes = []
    for midi, begin, end in zip(music.notes, edges[:-1], edges[1:], strict=True):
        hz = 440.0 * 2 ** ((midi - 69) / 12) * detune
        one = _INSTRUMENTS[music.timbre](hz, end - begin, rng)
        top = max(float(np.max(np.abs(one))), 1e-9)
        out[begin:end] = faded(one, 0.001, 0.03) * np.float32(PEAK * rng.uniform(0.85, 1.0) / top)
        notes.append((midi, begin / SAMPLE_RATE, end / SAMPLE_RATE))
    return out * np.float32(PEAK / max(float(np.max(np.abs(out))), 1e-9)), tuple(notes)


def compose(
    rng: Rng,
    *,
    timbre: str | None = None,
    direction: str | None = None,
    tempo: str | None = None,
    mode: str | None = None,
    n_notes: int | None = None,
) -> Music:
    """A melody whose direction, tempo and mode can be heard; what is not given is drawn.

    Args:
        rng: every choice.
        timbre: one of `TIMBRES`.
        direction: "up" or "down": each note, but one small turn back at most, lies further that way. None: a figure on
            the triad that ends where it began, which shows the mode best.
        tempo: "slow" (60-80 beats a minute, only whole beats), "medium", or "fast" (150-190, some half beats).
        mode: "major" or "minor"; the triad's third always sounds.
        n_notes: 4-12; by itself 4-6 slow ones, 5-8, or 7-10 fast ones (about 2-6 s).

    Returns:
        The melody as data.

    Raises:
        ConfigError: an unknown name, or too few or too many notes.
    """
    timbre = _one_of("timbre", timbre, TIMBRES, rng)
    tempo = _one_of("tempo", tempo, tuple(TEMPOS), rng)
    mode = _one_of("mode", mode, tuple(SCALES), rng)
    if direction is not None:
        _one_of("direction", direction, DIRECTIONS, rng)
    if n_notes is None:
        n_notes = int(rng.integers(*{"slow": (4, 7), "medium": (5, 9), "fast": (7, 11)}[tempo]))
    if not 4 <= n_notes <= 12:
        raise ConfigError(f"a melody of {n_notes} notes cannot be composed: give 4-12")
    steps = _climb(n_notes, rng) if direction else _figure(n_notes, rng)
    root = int(rng.integers(50, 66))
    scale = SCALES[mode]
    notes = [root + 12 * (step // 7) + scale[step % 7] for step in steps]
    if direction == "down":
        notes.reverse()
    slow, quick = TEMPOS[tempo]
    return Music(
        timbre=timbre,
        notes=tuple(notes),
        beats=_beats(n_notes, tempo, rng),
        tempo_bpm=round(float(rng.uniform(slow, quick)), 1),
        mode=mode,
        seed=int(rng.integers(2**31)),
    )


def _climb(n_notes: int, rng: Rng) -> list[int]:
    """Scale steps that rise, over the triad first; long ones then walk on, some with one small step back."""
    steps = [0, 2, 4]
    while len(steps) < n_notes:
        most = 3 if n_notes - len(steps) < 5 else 2
        steps.append(steps[-1] + int(rng.integers(1, most)))
    if n_notes >= 6 and rng.uniform() < 0.4:
        at = int(rng.integers(3, n_notes - 2))
        steps[at], steps[at + 1] = steps[at + 1], steps[at]
    return steps


def _figure(n_notes: int, rng: Rng) -> list[int]:
    """Scale steps on the triad, from the root back to the root."""
    figures = ((0, 2, 4, 2), (0, 4, 2, 4), (4, 2, 0, 2), (0, 2, 4, 7, 4, 2), (7, 4, 2, 4), (0, 2, 4, 0, 4, 2))
    figure = figures[rng.integers(len(figures))]
    steps = [figure[i % len(figure)] for i in range(n_notes - 1)]
    return [*steps, figure[0]]


def _beats(n_notes: int, tempo: str, rng: Rng) -> tuple[float, ...]:
    """Whole beats; at a fast tempo pairs of halves among them; the last may be long."""
    beats: list[float] = []
    while len(beats) < n_notes - 1:
        pair = tempo == "fast" and len(beats) < n_notes - 2 and rng.uniform() < 0.25
        beats.extend((0.5, 0.5) if pair else (1.0,))
    return (*beats, float(rng.choice((1.0, 2.0))))


def _one_of(what: str, value: str | None, known: tuple[str, ...], rng: Rng) -> str:
    if value is None:
        return known[rng.integers(len(known))]
    if value not in known:
        raise ConfigError(f"no {what} is called {value!r}: the known ones are {', '.join(known)}")
    return value


def _check(music: Music) -> None:
    if music.timbre not in _INSTRUMENTS:
        raise ConfigError(f"no timbre is called {music.timbre!r}: the known ones are {', '.join(TIMBRES)}")
    if not music.notes or len(music.notes) != len(music.beats):
        raise ConfigError(
            f"a melody needs notes, and one beat for each: got {len(music.notes)} notes and {len(music.beats)} beats"
        )
    for midi in music.notes:
        if not LOWEST <= midi <= HIGHEST:
            raise ConfigError(f"the note {midi} cannot be played: MIDI numbers {LOWEST}-{HIGHEST} can")
    if not 20 <= music.tempo_bpm <= 400 or not all(0.25 <= beat <= 16 for beat in music.beats):
        raise ConfigError(
            f"{music.tempo_bpm:g} beats a minute with notes of {min(music.beats):g}-{max(music.beats):g} beats cannot "
            "be played: 20-400 beats a minute and 0.25-16 beats a note can"
        )
