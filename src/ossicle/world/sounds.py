"""Everyday sounds from arithmetic: animals, things that are struck, signals, engines, weather.

Knows kinds and their random variation (pitch, rate, timbre, decay); does not know scenes or loudness there. Kinds made
of separate strokes (strokes.py) can be counted: `make_strokes` says when each is heard. The others go on by themselves
and are made here, by recipes of our own: coloured noise, pulses, gliding tones.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.errors import ConfigError
from ossicle.world.strokes import STROKES, Rng
from ossicle.world.waves import Wave, decay, faded, filtered, noise, seconds, slow_random, struck, tone, wave

PEAK = 0.5
MIN_SLOT_S = 0.15
"""Shortest time from one countable stroke to the next."""
SHORTEST_S, LONGEST_S = 0.01, 3600.0


# ---- sounds that go on ----------------------------------------------------------------------------------------------


def _cricket(n: int, rng: Rng) -> Wave:
    t = seconds(n)
    rate, per_chirp = rng.uniform(28, 45), rng.integers(3, 6)
    pulses = np.maximum(np.sin(np.float32(2 * np.pi * rate) * t), 0)
    period = np.float32(per_chirp / rate + rng.uniform(0.08, 0.3))
    chirps = np.mod(t, period) < np.float32(per_chirp / rate)
    return wave(np.sin(np.float32(2 * np.pi * rng.uniform(4100, 5300)) * t) * pulses * chirps)


def _clock(n: int, rng: Rng) -> Wave:
    length = min(n, 640)
    bright = rng.uniform(2300, 3800)
    sides = [
        struck(length, [(bright * r, 1.0, 0.003), (bright * r * 1.7, 0.6, 0.002), (700 * r, 0.25, 0.006)], rng)
        for r in (1.0, rng.uniform(0.75, 0.9))
    ]
    out = np.zeros(n + length, np.float32)
    for i, at in enumerate(range(0, n, int(SAMPLE_RATE * rng.uniform(0.3, 0.5)))):
        out[at : at + length] += sides[i % 2]
    return out[:n]


def _footsteps(n: int, rng: Rng) -> Wave:
    length = int(0.2 * SAMPLE_RATE)
    low = rng.uniform(90, 160)
    out = np.zeros(n + length, np.float32)
    gap = int(SAMPLE_RATE * rng.uniform(0.42, 0.62))
    toe = int(SAMPLE_RATE * rng.uniform(0.06, 0.1))
    heel_sound = noise(length, rng, ((low / 3, -20), (low, 0), (low * 2, 0), (low * 12, -40))) * decay(length, 0.022)
    toe_sound = noise(length, rng, ((low, -20), (700, 0), (1800, -3), (6000, -25))) * decay(length, 0.03)
    for at in range(0, n, gap):
        out[at : at + length] += np.float32(rng.uniform(0.7, 1.0)) * heel_sound
        out[at + toe : at + length] += np.float32(rng.uniform(0.15, 0.3)) * toe_sound[: length - toe]
    return out[:n]


def _siren(n: int, rng: Rng) -> Wave:
    swing = np.sin(np.float32(2 * np.pi * rng.uniform(0.5, 1.3)) * seconds(n) + np.float32(rng.uniform(0, 6.28)))
    if rng.uniform() < 0.4:
        swing = np.sign(swing) * np.float32(0.35)
    hz = np.float32(rng.uniform(750, 1000)) * np.exp2(swing * np.float32(rng.uniform(0.45, 0.65)))
    return tone(hz, np.array([1.0, 0.45, 0.5, 0.2, 0.2, 0.1, 0.1]), rng)


def _alarm(n: int, rng: Rng) -> Wave:
    t = seconds(n)
    on = np.mod(t * np.float32(rng.uniform(3.5, 7.0)), 1) < np.float32(rng.uniform(0.45, 0.6))
    hz = np.full(n, rng.uniform(1900, 2450), np.float32)
    return wave(tone(hz, np.array([1.0, 0.15, 0.5]), rng) * on)


def _engine(n: int, rng: Rng) -> Wave:
    hz = np.float32(rng.uniform(28, 65)) * (np.float32(0.85) + np.float32(0.3) * slow_random(n, 1.0, rng))
    harmonics = np.arange(1, 41)
    amplitudes = rng.uniform(0.3, 1.0, 40) / harmonics**0.7
    hum = tone(hz, amplitudes, rng)
    air = noise(n, rng, ((60, -6), (300, 0), (1000, -12), (4000, -35)))
    return wave(hum / np.std(hum) + np.float32(rng.uniform(0.25, 0.5)) * air)


def _rain(n: int, rng: Rng) -> Wave:
    drops = np.zeros(n, np.float32)
    count = max(1, int(n / SAMPLE_RATE * rng.uniform(60, 200)))
    drops[rng.integers(0, n, count)] = rng.uniform(2.0, 10.0, count)
    low = rng.uniform(700, 1500)
    hiss = noise(n, rng, ((100, -35), (low, -6), (low * 2.5, 0), (8000, -4)))
    return hiss + filtered(drops, ((300, -40), (1500, 0), (6000, 0), (8000, -6)))


def _wind(n: int, rng: Rng) -> Wave:
    centre = rng.uniform(280, 450)
    out = np.zeros(n, np.float32)
    for factor, level in ((0.75, 1.0), (1.6, 0.8)):
        hz = centre * factor
        band = noise(n, rng, ((hz / 4, -40), (hz / 1.3, -3), (hz, 0), (hz * 1.3, -3), (hz * 4, -40)))
        out += np.float32(level) * (np.float32(0.15) + slow_random(n, rng.uniform(0.8, 1.6), rng)) * band
    return out


def _thunder(n: int, rng: Rng) -> Wave:
    t = seconds(n)
    swell = np.zeros(n, np.float32)
    for _ in range(rng.integers(3, 6)):
        at = np.float32(rng.uniform(0, 0.6) * n / SAMPLE_RATE)
        tau = np.float32(rng.uniform(0.25, 0.7))
        swell += np.float32(rng.uniform(0.4, 1.0)) * np.where(t >= at, np.exp(-np.maximum(t - at, 0) / tau), 0)
    swell = np.maximum(swell, np.float32(0.12))
    rumble = noise(n, rng, ((20, -6), (50, 0), (rng.uniform(90, 160), -3), (500, -25), (2000, -50))) * swell
    crack = noise(n, rng, ((100, 0), (1500, -6), (6000, -24))) * decay(n, rng.uniform(0.06, 0.16))
    return rumble + np.float32(rng.uniform(0.3, 0.9)) * crack


_CONTINUOUS: Mapping[str, Callable[[int, Rng], Wave]] = {
    "cricket": _cricket,
    "clock": _clock,
    "footsteps": _footsteps,
    "siren": _siren,
    "alarm": _alarm,
    "engine": _engine,
    "rain": _rain,
    "wind": _wind,
    "thunder": _thunder,
}

COUNTABLE: tuple[str, ...] = tuple(STROKES)
KINDS: tuple[str, ...] = COUNTABLE + tuple(_CONTINUOUS)


# ---- the public face ------------------------------------------------------------------------------------------------


def stroke(kind: str, rng: Rng) -> Wave:
    """One single stroke of a countable kind: one bark, one knock, one ring.

    Args:
        kind: one of `COUNTABLE`.
        rng: pitch, length, timbre and decay.

    Returns:
        Shape (S,), float32 at 16 kHz, 0.1-0.5 s, peak 0.5.

    Raises:
        ConfigError: ``kind`` is unknown or cannot be counted.
    """
    if kind not in STROKES:
        raise ConfigError(f"a {kind!r} has no single strokes: the kinds that can be counted are {', '.join(COUNTABLE)}")
    return _at_peak(faded(STROKES[kind][0](rng), 0.001, 0.008))


def make_strokes(
    kind: str, n_strokes: int, duration_s: float, rng: Rng
) -> tuple[Wave, tuple[tuple[float, float], ...]]:
    """A number of strokes of one source, at nearly even gaps.

    Args:
        kind: one of `COUNTABLE`.
        n_strokes: at least 1.
        duration_s: length of the whole; at least `MIN_SLOT_S` a stroke. A stroke that does not fit its turn fades out.
        rng: the source, and the small differences between its strokes.

    Returns:
        Samples, shape (S,), float32 at 16 kHz, peak 0.5; and start and end of each stroke in seconds.

    Raises:
        ConfigError: ``kind`` cannot be counted, or the strokes do not fit.
    """
    if not (n_strokes >= 1 and n_strokes * MIN_SLOT_S <= duration_s <= LONGEST_S):
        raise ConfigError(
            f"{n_strokes} strokes in {duration_s:g} s cannot be told apart: give at least 1 stroke and at least "
            f"{MIN_SLOT_S:g} s for each, {LONGEST_S:g} s in all at most"
        )
    return _placed(stroke(kind, rng), n_strokes, seconds_to_samples(duration_s, SAMPLE_RATE), rng)


def make_sound(kind: str, duration_s: float, rng: Rng) -> Wave:
    """A sound as it goes on by itself; a kind that is made of strokes repeats at its own pace.

    Args:
        kind: one of `KINDS`.
        duration_s: 0.01-3600.
        rng: pitch, rate, timbre and decay.

    Returns:
        Shape (S,), float32 at 16 kHz, peak 0.5.

    Raises:
        ConfigError: ``kind`` is unknown, or the duration out of range.
    """
    if kind not in KINDS:
        raise ConfigError(f"no sound is called {kind!r}: the known kinds are {', '.join(KINDS)}")
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise ConfigError(f"a sound of {duration_s:g} s cannot be made: give {SHORTEST_S:g}-{LONGEST_S:g} s")
    n = seconds_to_samples(duration_s, SAMPLE_RATE)
    if kind in _CONTINUOUS:
        return _at_peak(faded(_CONTINUOUS[kind](n, rng), 0.005, 0.02))
    _, low_s, high_s = STROKES[kind]
    n_strokes = max(1, int(duration_s / rng.uniform(low_s, high_s)))
    return _placed(stroke(kind, rng), n_strokes, n, rng)[0]


def _placed(first: Wave, n_strokes: int, n: int, rng: Rng) -> tuple[Wave, tuple[tuple[float, float], ...]]:
    out = np.zeros(n, np.float32)
    spans = []
    for i in range(n_strokes):
        begin, end = i * n // n_strokes, (i + 1) * n // n_strokes
        one = _bent(first, rng.uniform(0.97, 1.03))
        room = end - begin if n_strokes == 1 else int(0.8 * (end - begin))
        if len(one) > room:
            one = faded(one[:room], 0.0, 0.02)
        begin += int(rng.uniform(0, 0.3) * (room - len(one)))
        out[begin : begin + len(one)] = np.float32(rng.uniform(0.84, 1.0)) * one
        spans.append((begin / SAMPLE_RATE, (begin + len(one)) / SAMPLE_RATE))
    return _at_peak(out), tuple(spans)


def _bent(samples: Wave, factor: float) -> Wave:
    """The same stroke a little lower and longer (factor over 1) or higher and shorter."""
    n = int(len(samples) * factor)
    return np.interp(np.arange(n) / factor, np.arange(len(samples)), samples).astype(np.float32)


def _at_peak(samples: Wave) -> Wave:
    top = float(np.max(np.abs(samples)))
    return samples * np.float32(PEAK / top) if top > 0 else samples
