"""What a model heard and read before, so that the same audio asked again costs only the words that are new.

Knows clips, prompts and a model; does not know requests or sampling. Two things are kept: the audio tokens of a clip,
and the keys and values of a prompt, of which the longest beginning that a new prompt shares is taken over (a system
turn, a clip, earlier turns). A clip is known by its samples and their rate, never by a name that somebody gave.
A memory is of one model and of one user: what one tenant asked is never seen, nor timed, by another.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.models.audio_lm import AudioLM, Heard, State
from ossicle.models.decoder import ROOM, Buffers
from ossicle.prompt.chat import Prompt

MAX_BYTES = 256 * 2**20
MAX_ENTRIES = 64
_STRIDE = 2**20
"""More than the audio tokens of any clip: places of different clips never share a number."""


@dataclass(frozen=True, eq=False)
class _Read:
    """A prompt that was read: what stood at each place, and the keys and values (of more places, where it went on)."""

    places: np.ndarray
    cache: Buffers


class Memory:
    """Audio tokens and prompts of one model, the least recently used forgotten first.

    Weights that change make it wrong: begin a new one after training.

    Args:
        model: whose.
        max_bytes: of audio tokens, keys and values together.
        max_entries: of clips, and of prompts.

    Raises:
        RequestError: a limit below 1.
    """

    def __init__(self, model: AudioLM, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        if max_bytes < 1 or max_entries < 1:
            raise RequestError(f"a memory holds at least 1 byte and 1 entry (got {max_bytes} and {max_entries})")
        self.model, self.max_bytes, self.max_entries = model, max_bytes, max_entries
        self.heard: OrderedDict[bytes, tuple[int, Heard]] = OrderedDict()
        self.read: OrderedDict[int, _Read] = OrderedDict()
        self.n_clips = self.n_prompts = 0

    @property
    def n_bytes(self) -> int:
        """Bytes that are kept now."""
        tokens = sum(one.values.numel() * one.values.element_size() for _, one in self.heard.values())
        return tokens + sum(one.cache.n_bytes for one in self.read.values())

    def hear(self, clips: Sequence[Clip]) -> list[Heard]:
        """Audio tokens of clips; only those that are new go through the encoder.

        Raises:
            As `AudioLM.hear`.
        """
        keys = [_key(clip) for clip in clips]
        new = {key: clip for key, clip in zip(keys, clips, strict=True) if key not in self.heard}
        for key, one in zip(new, self.model.hear(list(new.values())) if new else [], strict=True):
            self.n_clips += 1
            self.heard[key] = (self.n_clips, one)
        found = []
        for key in keys:
            self.heard.move_to_end(key)
            found.append(self.heard[key][1])
        return found

    def prefill(
        self, prompts: Sequence[Prompt], heard: Sequence[Sequence[Heard]], *, room: int = ROOM
    ) -> tuple[State, torch.Tensor]:
        """As `AudioLM.prefill`; of a single prompt only what follows the longest beginning that was read before."""
        places = self._places(prompts[0], heard[0]) if len(prompts) == 1 else None
        if places is None:
            return self._kept(self.model.prefill(prompts, heard, room=room), None)
        shared, key = max(((_shared(one.places, places), key) for key, one in self.read.items()), default=(0, 0))
        shared = min(shared, len(places) - 1)  # the last place is read, for its logits
        begun = None
        if shared > 0:
            self.read.move_to_end(key)
            begun = self.read[key].cache.prefix(shared, room=len(places) - shared + room)
        return self._kept(self.model.prefill(prompts, heard, room=room, begun=begun), places)

    def _kept(self, done: tuple[State, torch.Tensor], places: np.ndarray | None) -> tuple[State, torch.Tensor]:
        cache = done[0].cache
        if places is not None and isinstance(cache, Buffers):
            self.n_prompts += 1
            self.read[self.n_prompts] = _Read(places, cache)
        while len(self.read) > self.max_entries or (self.read and self.n_bytes > self.max_bytes):
            self.read.popitem(last=False)
        while len(self.heard) > self.max_entries or (self.heard and self.n_bytes > self.max_bytes):
            self.heard.popitem(last=False)
        return done

    def _places(self, prompt: Prompt, heard: Sequence[Heard]) -> np.ndarray | None:
        """What stands at each place of a prompt: an id, or below zero a place of a clip; None if a clip is unknown."""
        numbers = {id(one): number for number, one in self.heard.values()}
        places = np.array(prompt.ids, np.int64)
        for slot in prompt.slots:
            number = numbers.get(id(heard[slot.clip]))
            if number is None:
                return None
            places[slot.start : slot.start + slot.length] = -number * _STRIDE - np.arange(slot.length)
        return places


def _key(clip: Clip) -> bytes:
    told = hashlib.sha256(f"{clip.rate} {clip.n_samples} {clip.samples.dtype} ".encode())
    told.update(np.ascontiguousarray(clip.samples).tobytes())
    return told.digest()


def _shared(one: np.ndarray, other: np.ndarray) -> int:
    """Places from the beginning at which both are the same."""
    n = min(len(one), len(other))
    apart = np.flatnonzero(one[:n] != other[:n])
    return int(apart[0]) if len(apart) else n
