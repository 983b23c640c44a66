"""A meeting of the world heard and written: several speakers, pauses, sounds, and facts said once at known minutes.

Knows a planned meeting's sound, of any length: it is rendered piece by piece and never in memory as a whole; what
happens in it is drawn in ``meeting_plan.py``. Every utterance sounds alike to the sample however often it is rendered
(`speech.speak_afresh`). Under everything lies pink noise of one power, as of a room.
"""

import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip, seconds_to_samples
from ossicle.audio.io import write_wav
from ossicle.errors import ConfigError, StorageError
from ossicle.world.grammar import Split
from ossicle.world.meeting_plan import Fact, Interlude, Meeting, Utterance, plan_meeting
from ossicle.world.parts import Speech
from ossicle.world.scenes import COLOURS, LEVEL, LOUDEST, Speak, make_part
from ossicle.world.speech import speak_afresh
from ossicle.world.waves import Wave, noise

__all__ = [
    "Fact",
    "Interlude",
    "Meeting",
    "Utterance",
    "describe",
    "plan_meeting",
    "render_meeting",
    "utterances_alone",
    "write_meeting",
]

SNR_DB = 30.0
"""Speech of the common level over the noise."""
ALONE_S = 0.25
_FLOOR, _FADE = 32_768, 2_048


def render_meeting(meeting: Meeting, *, block_s: float = 1.0, speak: Speak = speak_afresh) -> Iterator[np.ndarray]:
    """Make a meeting heard, piece by piece.

    Args:
        meeting: what is in it.
        block_s: length of a piece, 0.01-60 s; the samples do not depend on it.
        speak: the synthesiser that the meeting was planned with.

    Returns:
        Blocks that follow each other, each (S,) float32 at 16 kHz within [-1, 1]; only the last may be shorter.
        Together they are ``meeting.n_samples``. In memory is a block, and what sounds in it.

    Raises:
        ConfigError: ``block_s`` out of range; a text that ``speak`` now says in another length than was planned.
    """
    if not 0.01 <= block_s <= 60.0:
        raise ConfigError(f"blocks of {block_s:g} s cannot be rendered, allowed are 0.01-60 s")
    return _blocks(meeting, _n(block_s), speak)


def utterances_alone(meeting: Meeting, *, speak: Speak = speak_afresh) -> Iterator[Clip]:
    """Each utterance as a clip of its own: the meeting's samples from 0.25 s before it to 0.25 s behind it."""
    floor = _Floor(meeting.seed)
    margin = _n(ALONE_S)
    for utterance in meeting.utterances:
        first, last = _n(utterance.start_s) - margin, _n(utterance.end_s) + margin
        samples = floor.between(first, last)
        samples[margin:-margin] += _sound(meeting, utterance, speak)
        yield Clip(samples, SAMPLE_RATE, first / SAMPLE_RATE)


def _blocks(meeting: Meeting, n_block: int, speak: Speak) -> Iterator[Wave]:
    floor = _Floor(meeting.seed)
    heard: list[Utterance | Interlude] = [*meeting.utterances, *meeting.interludes]
    to_come = deque(sorted(heard, key=lambda one: one.start_s))
    now: list[tuple[int, Wave]] = []  # first sample, samples
    for begin in range(0, meeting.n_samples, n_block):
        end = min(begin + n_block, meeting.n_samples)
        while to_come and _n(to_come[0].start_s) < end:
            one = to_come.popleft()
            now.append((_n(one.start_s), _sound(meeting, one, speak)))
        block = floor.between(begin, end)
        for first, samples in now:
            at, until = max(first, begin), min(first + len(samples), end)
            block[at - begin : until - begin] += samples[at - first : until - first]
        now = [(first, samples) for first, samples in now if first + len(samples) > end]
        yield block


def _sound(meeting: Meeting, one: Utterance | Interlude, speak: Speak) -> Wave:
    """An utterance at its speaker's level or an interlude at the common one, with room for the noise."""
    part = Speech(one.text, one.voice) if isinstance(one, Utterance) else one.part
    samples, _ = make_part(part, speak)
    planned = _n(one.end_s) - _n(one.start_s)
    if len(samples) != planned:
        what = repr(one.text) if isinstance(one, Utterance) else "a sound"
        raise ConfigError(
            f"{what} at {one.start_s:.2f} s takes {len(samples)} samples, planned were {planned}: render a meeting "
            "with the synthesiser that it was planned with"
        )
    gain = 10 ** (meeting.gains_db[one.speaker] / 20) if isinstance(one, Utterance) else 1.0
    room = LOUDEST - 10 * LEVEL * 10 ** (-SNR_DB / 20)
    return samples * np.float32(min(gain, room / max(float(np.max(np.abs(samples))), 1e-9)))


class _Floor:
    """Pink noise without end, any part of it at any time: stretches of their own seeds, faded into each other at one
    power."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.made: dict[int, Wave] = {}
        turn = (np.arange(_FADE, dtype=np.float32) + np.float32(0.5)) * np.float32(np.pi / 2 / _FADE)
        self.shape = np.full(_FLOOR, LEVEL * 10 ** (-SNR_DB / 20), np.float32)
        self.shape[:_FADE] *= np.sin(turn)
        self.shape[-_FADE:] *= np.cos(turn)

    def between(self, begin: int, end: int) -> Wave:
        """Samples from ``begin`` to before ``end``."""
        out = np.zeros(end - begin, np.float32)
        hop = _FLOOR - _FADE
        reached = range(begin // hop, (end - 1 + _FADE) // hop + 1)
        self.made = {k: samples for k, samples in self.made.items() if k in reached}
        for k in reached:
            if k not in self.made:
                self.made[k] = noise(_FLOOR, np.random.default_rng((self.seed, k)), COLOURS["pink"]) * self.shape
            first = k * hop - _FADE
            at, until = max(first, begin), min(first + _FLOOR, end)
            out[at - begin : until - begin] += self.made[k][at - first : until - first]
        return out


def write_meeting(
    folder: str | os.PathLike[str],
    seed: int,
    *,
    duration_s: float = 1800.0,
    n_facts: int = 20,
    n_speakers: int = 5,
    split: Split = "test",
    speak: Speak = speak_afresh,
) -> Meeting:
    """Write a meeting to a new folder, whole or not at all: ``meeting.wav`` (16 bit) and ``meeting.json``.

    Args:
        folder: must not exist or be empty.
        seed, duration_s, n_facts, n_speakers, split, speak: as in `plan_meeting`.

    Returns:
        The meeting that was written.

    Raises:
        ConfigError: as `plan_meeting` does.
        StorageError: something stands in the folder, or it cannot be written.
    """
    place = Path(os.path.abspath(folder))
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise StorageError(f"{folder} exists: choose another name for the meeting's folder")
    meeting = plan_meeting(
        seed, duration_s=duration_s, n_facts=n_facts, n_speakers=n_speakers, split=split, speak=speak
    )
    draft: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{place.name}.draft-", dir=place.parent))
        write_wav(render_meeting(meeting, speak=speak), SAMPLE_RATE, draft / "meeting.wav")
        told = json.dumps(describe(meeting), ensure_ascii=False, indent=1)
        (draft / "meeting.json").write_text(told + "\n", encoding="utf-8")
        draft.chmod(0o755)
        draft.replace(place)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return meeting


def describe(meeting: Meeting) -> dict[str, object]:
    """A meeting as JSON: what is true of its sound."""
    return {
        "seed": meeting.seed,
        "split": meeting.split,
        "duration_s": meeting.duration_s,
        "sample_rate": SAMPLE_RATE,
        "speakers": [asdict(voice) for voice in meeting.voices],
        "utterances": [
            {"start_s": one.start_s, "end_s": one.end_s, "text": one.text, "speaker": one.speaker}
            for one in meeting.utterances
        ],
        "sounds": [asdict(event) for event in meeting.sounds],
        "facts": [asdict(fact) for fact in meeting.facts],
    }


def _n(seconds: float) -> int:
    return seconds_to_samples(seconds, SAMPLE_RATE)
