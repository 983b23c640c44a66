"""Does a part keep its promise? Length, coverage and batch invariance, tried on random clips and frames.

Knows what encoders and bridges promise (ARCHITECTURE.md, "The five contracts"); does not know any class. For those who
bring a part of their own: each broken promise is one line that says what was wanted and what came.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle.audio.clip import Clip
from ossicle.audio.lengths import resampled_samples
from ossicle.bridge.own import Letters, OwnLesson
from ossicle.tensors import AudioTokens, Frames, sample_of

TOLERANCE = 1e-3
ROUNDINGS = 16
"""How many roundings of a part's own numbers two ways of computing the same may lie apart, where that is more."""
EXAMPLES = 24
RATES = (8_000, 16_000, 22_050, 44_100)
LONGEST_S = 2.0
MOST_S = 60.0
"""A clip as long as an encoder says it can read is tried up to so many seconds."""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        part: the class that was checked.
        faults: one line for each promise that is broken; empty if all are kept.
    """

    part: str
    faults: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether every promise is kept."""
        return not self.faults

    def __str__(self) -> str:
        if self.kept:
            return f"{self.part}: every promise is kept"
        return "\n".join([f"{self.part}: {len(self.faults)} broken", *(f"- {fault}" for fault in self.faults)])


def check_encoder(encoder: Any, *, seed: int = 0, examples: int = EXAMPLES) -> Checked:
    """Try the contracts of an encoder on random clips of two samples to 2 s, of several rates, alone and in batches,
    and on one as long as it says it can read.

    Args:
        encoder: any object, on any device and of any dtype; it is tried in evaluation mode, and left as it was.
        seed: of the clips.
        examples: batches of three clips for each promise; a few find most faults.

    Returns:
        What is broken, nothing if all is kept. Nothing is raised: what the encoder raises is a fault.
    """
    return _checked(encoder, _encoder_checks(encoder, seed, examples))


def check_bridge(bridge: Any, *, rate_hz: float = 50.0, seed: int = 0, examples: int = EXAMPLES) -> Checked:
    """Try the contracts of a bridge on random frames of clips of 1 to 60 frames, alone and in batches.

    Args:
        bridge: as the encoder.
        rate_hz: frames a second of the encoder that it is meant for.
        seed: of the frames.
        examples: batches of three clips for each promise.

    Returns:
        As `check_encoder`.
    """
    return _checked(bridge, _bridge_checks(bridge, rate_hz, seed, examples))


Check = tuple[str, Callable[[], str | None]]
"""The name of a promise, and what finds the first fault in it, None if there is none."""


def _checked(part: Any, checks: Iterator[Check]) -> Checked:
    if isinstance(part, type):
        return Checked(part.__name__, (f"promise: this is the class, not a part: make one, {part.__name__}(...)",))
    faults = []
    with _evaluating(part):
        for name, check in checks:
            try:
                fault = check()
            except Exception as error:  # a part that is not ours may raise anything; that it does is what we tell
                fault = f"raised {type(error).__name__}: {error}"
            if fault is not None:
                faults.append(f"{name}: {fault}")
                if name == "promise":  # nothing else can be tried
                    break
    return Checked(type(part).__name__, tuple(faults))


@contextmanager
def _evaluating(part: Any) -> Iterator[None]:
    """Evaluation mode for as long as it takes, if a part has modes."""
    modules = part.modules() if isinstance(part, nn.Module) else [part] if hasattr(part, "training") else []
    before = [(one, one.training) for one in modules]
    if callable(getattr(part, "eval", None)):
        part.eval()
    try:
        yield
    finally:
        for one, training in before:
            one.training = training


def _near(part: Any, one: torch.Tensor, other: torch.Tensor) -> float | None:
    """How far apart two ways to the same values are, if that is too far."""
    roundings = ROUNDINGS * torch.finfo(sample_of(part, torch.zeros(())).dtype).eps
    apart = float((one.float() - other.float()).abs().max())
    near = apart <= max(TOLERANCE, roundings) * max(1.0, float(other.abs().max()))
    return None if near else apart


def _missing(part: Any, values: tuple[str, ...], methods: tuple[str, ...]) -> str | None:
    lacking = [name for name in values if not hasattr(part, name)]
    lacking += [f"{name}()" for name in methods if not callable(getattr(part, name, None))]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    return None if callable(part) else "it cannot be called"


# Encoders


def _encoder_checks(encoder: Any, seed: int, n: int) -> Iterator[Check]:
    values = ("width", "rate_hz", "sample_rate", "max_samples")
    yield "promise", lambda: _missing(encoder, values, ("features", "n_frames", "parameters"))
    yield "length", lambda: _first(_encoder_length(encoder, clips) for clips in _batches(encoder, seed, n))
    yield "coverage", lambda: _first(_encoder_coverage(encoder, clips[0]) for clips in _batches(encoder, seed + 1, n))
    yield "batch", lambda: _first(_encoder_batch(encoder, clips) for clips in _batches(encoder, seed + 2, n))
    yield "longest", lambda: _encoder_longest(encoder, seed + 3)


def _first(found: Iterator[str | None]) -> str | None:
    return next((fault for fault in found if fault is not None), None)


def _batches(encoder: Any, seed: int, n: int) -> Iterator[list[Clip]]:
    longest_s = min(LONGEST_S, encoder.max_samples / encoder.sample_rate)
    rng = np.random.default_rng(seed)
    for i in range(n):
        made = []
        for _ in range(3):
            rate = int(rng.choice(RATES))
            most = max(int(longest_s * rate), 3)
            n_samples = int(rng.integers(2, min(700, most) if i % 3 == 0 else most))
            made.append(Clip(rng.normal(0, 0.1, n_samples).astype(np.float32), rate))
        yield made


def _listen(encoder: Any, clips: list[Clip]) -> Frames:
    weight = sample_of(encoder, torch.zeros(()))
    with torch.no_grad():
        frames: Frames = encoder(encoder.features(clips).to(weight.device, weight.dtype))
    return frames


def _say(clip: Clip) -> str:
    return f"a clip of {clip.n_samples} samples at {clip.rate} Hz"


def _encoder_length(encoder: Any, clips: list[Clip]) -> str | None:
    frames = _listen(encoder, clips)
    wanted = [encoder.n_frames(resampled_samples(c.n_samples, c.rate, encoder.sample_rate)) for c in clips]
    got = frames.lengths.tolist()
    for clip, n, there in zip(clips, wanted, got, strict=True):
        if n != there:
            return f"{_say(clip)} gives {there} frames, n_frames says {n}"
        if there < 1:
            return f"{_say(clip)} gives no frame"
    shape = (len(clips), max(got), encoder.width)
    if tuple(frames.values.shape) != shape:
        return f"values have the shape {tuple(frames.values.shape)}, wanted {shape} (B, T, width)"
    if frames.lengths.dtype != torch.int64 or frames.lengths.device.type != "cpu":
        return f"lengths are {frames.lengths.dtype} on {frames.lengths.device}, wanted int64 on the CPU"
    if abs(frames.rate_hz - encoder.rate_hz) > 1e-6 * encoder.rate_hz:
        return f"its frames come at {frames.rate_hz:g} Hz, its rate_hz says {encoder.rate_hz:g}"
    for clip, seconds in zip(clips, frames.durations_s.tolist(), strict=True):
        if seconds > clip.duration_s + 1e-6:
            return f"{_say(clip)} lasts {clip.duration_s:.6f} s, durations_s says {seconds:.6f}"
        if clip.duration_s - seconds >= 2 / encoder.rate_hz:
            dropped = clip.duration_s - seconds
            return f"{_say(clip)}: durations_s leaves out its last {dropped:.4f} s, allowed are less than two frames"
    return None


def _encoder_coverage(encoder: Any, clip: Clip) -> str | None:
    frames = _listen(encoder, [clip])
    heard_s = float(frames.durations_s[0])  # less than the clip lasts where a published tail is dropped
    over = int(frames.lengths[0]) / frames.rate_hz - heard_s
    if not abs(over) < 1 / frames.rate_hz + 1e-9:
        return f"{_say(clip)}: its frames end {over:+.4f} s from its end, wanted is less than {1 / frames.rate_hz:g} s"
    last = max(0, min(clip.n_samples, round(heard_s * clip.rate)) - 1)
    for at in (0, last // 2, last):
        other = clip.samples.copy()
        other[at] += 1.0
        if torch.equal(frames.values, _listen(encoder, [Clip(other, clip.rate)]).values):
            return f"{_say(clip)}: sample {at} changes no frame, so it is not heard"
    return None


def _encoder_batch(encoder: Any, clips: list[Clip]) -> str | None:
    together = _listen(encoder, clips)
    for row, clip in enumerate(clips):
        alone, n = _listen(encoder, [clip]), int(together.lengths[row])
        if int(alone.lengths[0]) != n:
            return f"{_say(clip)} gives {int(alone.lengths[0])} frames alone, {n} in a batch"
        apart = _near(encoder, together.values[row, :n], alone.values[0, :n])
        if apart is not None:
            return f"{_say(clip)}: its frames differ by {apart:.2g} alone and in a batch"
    return None


def _encoder_longest(encoder: Any, seed: int) -> str | None:
    if encoder.max_samples > MOST_S * encoder.sample_rate:
        return None
    samples = np.random.default_rng(seed).normal(0, 0.1, encoder.max_samples).astype(np.float32)
    return _encoder_length(encoder, [Clip(samples, encoder.sample_rate)])


# Bridges


def _bridge_checks(bridge: Any, rate_hz: float, seed: int, n: int) -> Iterator[Check]:
    values = ("width_in", "width_out", "fixed_rate")
    yield "promise", lambda: _missing(bridge, values, ("expected_hz", "max_tokens"))
    yield "length", lambda: _first(_bridge_length(bridge, frames) for frames in _frames(bridge, rate_hz, seed, n))
    yield "coverage", lambda: _first(_bridge_spans(bridge, frames) for frames in _frames(bridge, rate_hz, seed + 1, n))
    yield "batch", lambda: _first(_bridge_batch(bridge, frames) for frames in _frames(bridge, rate_hz, seed + 2, n))
    yield "gradient", lambda: _bridge_gradient(bridge, next(_frames(bridge, rate_hz, seed + 3, n)))


def _frames(bridge: Any, rate_hz: float, seed: int, n: int) -> Iterator[Frames]:
    """Random frames; what lies past a clip's own is not a number."""
    rng, weight = np.random.default_rng(seed), sample_of(bridge, torch.zeros(()))
    for _ in range(n):
        lengths = torch.from_numpy(rng.integers(1, 61, 3))
        values = torch.from_numpy(rng.normal(0, 1, (3, int(lengths.max()), bridge.width_in)).astype(np.float32))
        for row, length in enumerate(lengths.tolist()):
            values[row, length:] = float("nan")
        durations = (lengths.double() - torch.from_numpy(rng.uniform(0, 0.99, 3))) / rate_hz
        yield Frames(values.to(weight), lengths, rate_hz, durations)


def _row(frames: Frames, row: int) -> Frames:
    n = int(frames.lengths[row])
    values, one = frames.values[row : row + 1, :n], slice(row, row + 1)
    return Frames(values, frames.lengths[one], frames.rate_hz, frames.durations_s[one])


def _bridged(bridge: Any, frames: Frames) -> AudioTokens:
    with torch.no_grad():
        tokens: AudioTokens = bridge(frames)
    return tokens


def _bridge_length(bridge: Any, frames: Frames) -> str | None:
    tokens = _bridged(bridge, frames)
    for n_frames, n in zip(frames.lengths.tolist(), tokens.lengths.tolist(), strict=True):
        most = bridge.max_tokens(n_frames)
        if n < 1:
            return f"{n_frames} frames give no token"
        if n > most:
            return f"{n_frames} frames give {n} tokens, max_tokens says at most {most}"
        if bridge.fixed_rate and n != bridge.n_tokens(n_frames):
            return f"{n_frames} frames give {n} tokens, n_tokens says {bridge.n_tokens(n_frames)}"
    shape = (len(frames.lengths), int(tokens.lengths.max()), bridge.width_out)
    if tuple(tokens.values.shape) != shape:
        return f"values have the shape {tuple(tokens.values.shape)}, wanted {shape} (B, N, width_out)"
    if tuple(tokens.spans_s.shape) != (*shape[:2], 2):
        return f"spans_s has the shape {tuple(tokens.spans_s.shape)}, wanted {(*shape[:2], 2)} (B, N, 2)"
    return None


def _bridge_spans(bridge: Any, frames: Frames) -> str | None:
    tokens = _bridged(bridge, frames)
    for row, seconds in enumerate(frames.durations_s.tolist()):
        spans = tokens.spans_s[row, : int(tokens.lengths[row])]
        if float(spans[0, 0]) != 0:
            return f"the first span begins at {float(spans[0, 0]):g} s, wanted 0"
        if not torch.equal(spans[1:, 0], spans[:-1, 1]):
            return "the spans have a hole, or overlap"
        end = float(spans[-1, 1]) + float(tokens.tail_s[row])
        if abs(end - seconds) > 1e-6:
            return f"spans and tail_s end at {end:.4f} s of a clip of {seconds:.4f} s"
    return None


def _bridge_batch(bridge: Any, frames: Frames) -> str | None:
    together = _bridged(bridge, frames)
    for row, n in enumerate(together.lengths.tolist()):
        alone = _bridged(bridge, _row(frames, row))
        n_frames = int(frames.lengths[row])
        if int(alone.lengths[0]) != n:
            return f"{n_frames} frames give {int(alone.lengths[0])} tokens alone, {n} in a batch"
        apart = _near(bridge, together.values[row, :n], alone.values[0, :n])
        if apart is not None:
            return f"the tokens of {n_frames} frames differ by {apart:.2g} alone and in a batch"
        if bool(together.values[row, n:].ne(0).any()):
            return f"places past the {n} tokens of a clip are not zero"
    return None


def _bridge_gradient(bridge: Any, frames: Frames) -> str | None:
    weights = [value for value in getattr(bridge, "parameters", tuple)() if value.requires_grad]
    if not weights:
        return None
    tokens = bridge(replace(frames, values=frames.values.nan_to_num()))
    loss = tokens.values.square().sum()
    if isinstance(bridge, OwnLesson):  # what the tokens have no gradient for is learned by it
        n = len(frames.lengths)
        own = bridge.own_loss(frames, Letters(torch.ones(n, dtype=torch.int64), torch.ones(n, dtype=torch.int64)))
        if own.dim() or not torch.isfinite(own):
            return f"own_loss gives {own.tolist()}, wanted one finite number"
        loss = loss + own
    loss.backward()
    bad = [value for value in weights if value.grad is None or not torch.isfinite(value.grad).all()]
    for value in weights:
        value.grad = None
    return f"{len(bad)} of {len(weights)} weights get no finite gradient" if bad else None
