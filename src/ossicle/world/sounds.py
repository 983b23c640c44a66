"""Everyday sounds from arithmetic: animals, things that are struck, signals, engines, weather.

Knows kinds and their random variation (pitch, rate, timbre, decay); does not know scenes or loudness there. Kinds made
of separate strokes can be counted: `make_strokes` says when each is heard. Recipes are our own, by ear and by the
textbook physics of each source (damped modes, formants over a harmonic source, coloured noise).
"""

from collections.abc import Callable, Mapping

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.errors import ConfigError
from ossicle.world.waves import (
    Wave,
    curve,
    decay,
    faded,
    filtered,
    formants,
    noise,
    seconds,
    slow_random,
    struck,
    tone,
    wave,
)

PEAK = 0.5
MIN_SLOT_S = 0.15
"""Shortest time from one countable stroke to the next."""
SHORTEST_S, LONGEST_S = 0.01, 3600.0

Rng = np.random.Generator


def _n(rng: Rng, low_s: float, high_s: float) -> int:
    return int(rng.uniform(low_s, high_s) * SAMPLE_RATE)


# ---- single strokes -------------------------------------------------------------------------------------------------


def _dog(rng: Rng) -> Wave:
    n = _n(rng, 0.14, 0.24)
    hz = curve(n, ((0, 0.75), (0.25, 1.0), (1, 0.55))) * np.float32(rng.uniform(260, 620))
    peaks = [(np.array([rng.uniform(700, 1000)]), 250.0, 2.0), (np.array([rng.uniform(1500, 2100)]), 350.0, 1.2)]
    voice = tone(hz, formants(hz[:: n // 3][:3], 24, peaks), rng)
    rough = noise(n, rng, ((200, -20), (800, 0), (2000, 0), (5000, -25)))
    body = voice / np.std(voice) + np.float32(rng.uniform(0.4, 0.8)) * rough
    return wave(body * curve(n, ((0, 0), (0.08, 1), (0.4, 0.8), (1, 0))))


def _cat(rng: Rng) -> Wave:
    n = _n(rng, 0.4, 0.5)
    hz = curve(n, ((0, 0.8), (0.35, 1.0), (1, 0.72))) * np.float32(rng.uniform(520, 850))
    hz *= 1 + np.float32(0.015) * np.sin(np.float32(2 * np.pi * rng.uniform(5, 8)) * seconds(n))
    mouth = np.array([0.6, 1.0, 1.15, 0.95, 0.6]) * rng.uniform(1500, 2100)
    at = hz[np.linspace(0, n - 1, 5).astype(int)]
    voice = tone(hz, formants(at, 12, [(mouth, 350.0, 2.5), (mouth * 2.1, 500.0, 0.8)]), rng)
    return voice * curve(n, ((0, 0), (0.2, 0.9), (0.6, 1), (1, 0)))


def _cow(rng: Rng) -> Wave:
    n = _n(rng, 0.44, 0.5)
    hz = curve(n, ((0, 0.8), (0.3, 1.0), (0.75, 0.98), (1, 0.8))) * np.float32(rng.uniform(110, 190))
    at = hz[np.linspace(0, n - 1, 4).astype(int)]
    opening = np.array([0.7, 1.0, 1.1, 0.8]) * rng.uniform(380, 480)
    voice = tone(hz, formants(at, 16, [(opening, 120.0, 3.0), (opening * 2.0, 150.0, 0.7)]), rng)
    return voice * curve(n, ((0, 0), (0.25, 1), (0.7, 1), (1, 0)))


def _bird(rng: Rng) -> Wave:
    n = _n(rng, 0.1, 0.2)
    shapes = (((0, 0.75), (1, 1.25)), ((0, 1.3), (1, 0.75)), ((0, 0.8), (0.5, 1.3), (1, 0.85)))
    hz = curve(n, shapes[rng.integers(3)]) * np.float32(rng.uniform(2700, 4300))
    trill = np.sin(np.float32(2 * np.pi * rng.uniform(25, 50)) * seconds(n))
    hz *= 1 + np.float32(rng.uniform(0.0, 0.06)) * trill
    return tone(hz, np.array([1.0, 0.08]), rng) * curve(n, ((0, 0), (0.2, 1), (0.7, 0.8), (1, 0)))


def _frog(rng: Rng) -> Wave:
    n = _n(rng, 0.22, 0.34)
    hz = curve(n, ((0, 0.9), (1, 1.15))) * np.float32(rng.uniform(38, 65))
    low = rng.uniform(550, 800)
    amplitudes = formants(hz[:1], 70, [(np.array([low]), 60.0, 3.0), (np.array([low * 2.4]), 150.0, 2.0)])
    croak = tone(hz, amplitudes[0] * np.sqrt(np.arange(1, 71)), np.random.default_rng(0))
    split = rng.uniform(0.35, 0.5)
    return croak * curve(n, ((0, 0), (0.1, 0.8), (split - 0.1, 0.6), (split, 0.1), (split + 0.1, 1), (1, 0)))


def _bell(rng: Rng) -> Wave:
    base, tau = rng.uniform(520, 1000), rng.uniform(0.2, 0.5)
    ratios = (0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 3.01, 4.17)
    levels = (0.4, 1.0, 0.6, 0.4, 0.7, 0.35, 0.3, 0.25)
    modes = [
        (base * r * rng.uniform(0.99, 1.01), a * rng.uniform(0.7, 1.3), tau / r**0.5)
        for r, a in zip(ratios, levels, strict=True)
    ]
    return faded(struck(SAMPLE_RATE // 2, modes, rng), 0.001, 0.1)


def _knock(rng: Rng) -> Wave:
    n = _n(rng, 0.1, 0.14)
    base, tau = rng.uniform(210, 420), rng.uniform(0.012, 0.025)
    wood = struck(n, [(base * r, 1 / r, tau / r**0.5) for r in (1.0, 1.63, 2.31, 3.4)], rng)
    click = noise(n, rng, ((300, 0), (1500, 0), (4000, -30))) * decay(n, 0.003)
    return wood + np.float32(0.3) * click


def _clap(rng: Rng) -> Wave:
    n = _n(rng, 0.12, 0.2)
    t = seconds(n)
    gap, tau = rng.uniform(0.007, 0.012), rng.uniform(0.018, 0.035)
    hands = sum((np.where(t >= i * gap, np.exp(-(t - i * gap) / 0.003), 0) for i in range(3)), np.zeros(n, np.float32))
    hands += np.where(t >= 3 * gap, np.exp(-(t - 3 * gap) / tau), 0)
    centre = rng.uniform(1000, 1900)
    points = ((centre / 4, -30), (centre / 1.5, 0), (centre * 1.6, 0), (centre * 4, -22))
    return noise(n, rng, points) * hands.astype(np.float32)


def _drop(rng: Rng) -> Wave:
    n = _n(rng, 0.12, 0.18)
    start, tau = rng.uniform(550, 1000), rng.uniform(0.025, 0.045)
    hz = np.float32(start) * np.exp(seconds(n) * np.float32(rng.uniform(6, 12)))
    return tone(np.minimum(hz, 4000), np.ones(1), rng) * decay(n, tau) * curve(n, ((0, 0), (0.03, 1), (1, 1)))


def _whistle(rng: Rng) -> Wave:
    n = _n(rng, 0.34, 0.5)
    turn = np.sin(np.float32(2 * np.pi * rng.uniform(24, 42)) * seconds(n))
    hz = np.float32(rng.uniform(2100, 3100)) * (1 + np.float32(rng.uniform(0.03, 0.06)) * turn)
    breath = noise(n, rng, ((1000, -20), (2500, 0), (5000, -10)))
    blow = tone(hz, np.array([1.0, 0.15]), rng) * (1 + np.float32(0.5) * turn) + np.float32(0.12) * breath
    return wave(blow * curve(n, ((0, 0), (0.08, 1), (0.9, 1), (1, 0))))


def _horn(rng: Rng) -> Wave:
    n = _n(rng, 0.32, 0.5)
    low = rng.uniform(330, 460)
    centre = np.array([rng.uniform(1500, 2400)])
    out = np.zeros(n, np.float32)
    for hz in (low, low * rng.uniform(1.19, 1.27)):
        amplitudes = formants(np.array([hz]), 18, [(centre, 700.0, 1.5), (np.array([hz]), 300.0, 0.8)])
        out += tone(np.full(n, hz, np.float32), amplitudes[0], rng)
    return out * curve(n, ((0, 0), (0.04, 1), (0.92, 1), (1, 0)))


def _drum(rng: Rng) -> Wave:
    n = _n(rng, 0.25, 0.4)
    low = rng.uniform(60, 105)
    hz = np.float32(low) * (1 + np.float32(rng.uniform(0.8, 1.6)) * decay(n, 0.03))
    skin = tone(hz, np.array([1.0, 0.2, 0.1]), np.random.default_rng(0)) * decay(n, rng.uniform(0.08, 0.14))
    return skin + np.float32(0.15) * noise(n, rng, ((500, 0), (3000, 0), (7000, -12))) * decay(n, 0.008)


def _beep(rng: Rng) -> Wave:
    n = _n(rng, 0.14, 0.3)
    return tone(np.full(n, rng.uniform(700, 1500), np.float32), np.array([1.0, 0.0, rng.uniform(0, 0.15)]), rng)


def _phone(rng: Rng) -> Wave:
    n = _n(rng, 0.36, 0.5)
    low, high = rng.uniform(850, 1250), rng.uniform(1.2, 1.34)
    turn = np.sin(np.float32(2 * np.pi * rng.uniform(14, 24)) * seconds(n)) > 0
    hz = np.where(turn, np.float32(low * high), np.float32(low))
    return tone(hz, np.array([1.0, 0.25, 0.5, 0.1, 0.25]), rng)


_Stroke = Callable[[Rng], Wave]
_STROKES: Mapping[str, tuple[_Stroke, float, float]] = {  # with the least and largest time from one to the next
    "dog": (_dog, 0.35, 0.8),
    "cat": (_cat, 0.8, 1.4),
    "cow": (_cow, 0.8, 1.4),
    "bird": (_bird, 0.22, 0.5),
    "frog": (_frog, 0.45, 0.9),
    "bell": (_bell, 0.6, 1.1),
    "knock": (_knock, 0.2, 0.45),
    "clap": (_clap, 0.25, 0.6),
    "drop": (_drop, 0.3, 0.8),
    "whistle": (_whistle, 0.6, 1.1),
    "horn": (_horn, 0.55, 1.0),
    "drum": (_drum, 0.35, 0.8),
    "beep": (_beep, 0.4, 0.8),
    "phone": (_phone, 0.6, 1.0),
}


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

COUNTABLE: tuple[str, ...] = tuple(_STROKES)
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
    if kind not in _STROKES:
        raise ConfigError(f"a {kind!r} has no single strokes: the kinds that can be counted are {', '.join(COUNTABLE)}")
    return _at_peak(faded(_STROKES[kind][0](rng), 0.001, 0.008))


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
    _, low_s, high_s = _STROKES[kind]
    n_strokes = max(1, int(duration_s / rng.uniform(low_s, high_s)))
    return _placed(stroke(kind, rng), n_strokes, n, rng)[0]


def _placed(
    first: Wave, n_strokes: int, n: int, rng: Rng
) -> tuple[Wave, tuple[tuple[float, float], ...]]:
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
