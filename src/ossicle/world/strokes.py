"""Single strokes of the sounds that can be counted: one bark, one knock, one ring, by our own arithmetic.

Knows how one of each sounds and how it varies (pitch, length, timbre, decay); does not know how many there are, nor
levels. Recipes are ours, by the textbook physics of each source: a throat is harmonics under formants, wood, skin and
metal are decaying modes, hands are bursts of noise.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.world.waves import Wave, curve, decay, faded, formants, noise, seconds, struck, tone, wave

Rng = np.random.Generator


def _n(rng: Rng, low_s: float, high_s: float) -> int:
    return int(rng.uniform(low_s, high_s) * SAMPLE_RATE)


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
    return croak * curve(n, ((0, 0), (0.1, 0.8), (split - 0.1, 0.6), (split, 0.3), (split + 0.1, 1), (1, 0)))


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
STROKES: Mapping[str, tuple[_Stroke, float, float]] = {
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
"""How one stroke sounds, and the least and largest time in seconds from one to the next as it goes on by itself."""
