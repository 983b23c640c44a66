"""Clips that are kept with their frames, made once: what many bridges are trained and scored on, behind one encoder.

Knows samples, frames and a folder; does not know bridges, prompts or losses. A folder holds ``clips.jsonl`` (what is
asked about each clip, and where its frames lie), ``frames-*.safetensors`` in float16, and ``kept.json``; it is written
whole or not at all. Each clip went through the encoder alone, so that its frames depend on no other clip.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import DataError
from ossicle.hub.whole import whole_folder
from ossicle.models.audio_lm import Encoder
from ossicle.tensors import Frames
from ossicle.train.frozen import Sound, Sounds
from ossicle.train.sources import Sample

FORMAT = 1
ABOUT, CLIPS, FRAMES = "kept.json", "clips.jsonl", "frames"
SHARD_FRAMES = 400_000
"""Frames of a file, about: 2.2 hours at 50 Hz, 200 MB at a width of 256."""


@dataclass(frozen=True)
class KeptClip:
    """What is asked about a clip, and where its frames lie.

    Args:
        question: None where the audio is the question; of a manifest all parts of the turn, None for the clip.
        answer: the right one.
        task: its name.
        metric: how the answer is scored; empty for clips to train on.
        n_samples: of the clip at 16 kHz.
        shard, first, n_frames: file, first row in it, and rows.
        more: further questions about the clip, with their answers.
        said: the words spoken, where they are known.
        silent: the frames are those of silence of the clip's length.
    """

    question: str | tuple[str | None, ...] | None
    answer: str
    task: str
    metric: str
    n_samples: int
    shard: int
    first: int
    n_frames: int
    more: tuple[tuple[str, str], ...] = ()
    said: str | None = None
    silent: bool = False


@dataclass(frozen=True, eq=False)
class Asked:
    """A sample that is to be kept; with ``silent`` its sound becomes zeros."""

    sample: Sample
    metric: str = ""
    silent: bool = False


def write_kept(
    folder: Path, encoder: Encoder, clips: Iterable[Asked], *, identity: str, show: Callable[[float], None]
) -> None:
    """Send clips through an encoder, and keep what it makes of them.

    Args:
        folder: is not there yet.
        encoder: in evaluation mode.
        clips: in the order in which they are kept.
        identity: of all that the frames and the questions depend on; `Kept` tells it again.
        show: takes the seconds of audio that are done.

    Raises:
        StorageError: the folder cannot be written.
        DataError: there is no clip.
    """
    kept: list[KeptClip] = []
    rows: list[torch.Tensor] = []
    shard, seconds = 0, 0.0
    device = next(encoder.parameters()).device
    with whole_folder(folder) as draft:
        for one in clips:
            sample = one.sample
            samples = np.zeros_like(sample.samples) if one.silent else sample.samples
            with torch.no_grad():
                made = encoder(encoder.features([Clip(samples, SAMPLE_RATE)]).to(device))
            frames = made.values[0, : int(made.lengths[0])].half().cpu()
            first = sum(map(len, rows))
            clip = KeptClip(
                question=sample.question if isinstance(sample.question, tuple | None) else str(sample.question),
                answer=sample.answer,
                task=sample.task,
                metric=one.metric,
                n_samples=len(samples),
                shard=shard,
                first=first,
                n_frames=len(frames),
                more=sample.more,
                said=sample.said,
                silent=one.silent,
            )
            kept.append(clip)
            rows.append(frames)
            if first + len(frames) >= SHARD_FRAMES:
                _write_shard(draft, shard, rows)
                rows, shard = [], shard + 1
            seconds += len(samples) / SAMPLE_RATE
            show(seconds)
        if not kept:
            raise DataError("there is no clip to keep: the data hold none that can be used")
        if rows:
            _write_shard(draft, shard, rows)
        lines = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in kept)
        (draft / CLIPS).write_text(lines, encoding="utf-8")
        about = {"format": FORMAT, "identity": identity, "rate_hz": encoder.rate_hz, "seconds": seconds}
        (draft / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _write_shard(folder: Path, shard: int, rows: Sequence[torch.Tensor]) -> None:
    save_file({FRAMES: torch.cat(list(rows))}, folder / f"{FRAMES}-{shard:03d}.safetensors")


class Kept:
    """The clips of a folder: samples in an order that is drawn anew for each epoch, and their frames.

    Args:
        folder: as `write_kept` leaves it.
        seed: of the order.

    Raises:
        DataError: there is no such folder, or it cannot be read.
    """

    def __init__(self, folder: str | Path, seed: int = 0) -> None:
        self.folder, self.seed = Path(folder), seed
        try:
            about: dict[str, Any] = json.loads((self.folder / ABOUT).read_text(encoding="utf-8"))
            lines = (self.folder / CLIPS).read_text(encoding="utf-8").splitlines()
            self.clips = [_clip(json.loads(line)) for line in lines]
            shards = range(1 + max(clip.shard for clip in self.clips))
            files: list[Any] = [
                safe_open(self.folder / f"{FRAMES}-{shard:03d}.safetensors", framework="pt") for shard in shards
            ]
            self.shards = [file.get_slice(FRAMES) for file in files]
            self.identity, self.rate_hz, self.seconds = about["identity"], about["rate_hz"], about["seconds"]
            readable = about["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no clips with their frames that can be read: {error}") from error
        if not readable:
            raise DataError(f"{folder} is of format {about['format']}, this version reads {FORMAT}: make it anew")
        self.device = torch.device("cpu")
        self._epoch, self._order = -1, np.zeros(0, np.int64)

    def to(self, device: torch.device) -> "Kept":
        """The same clips, whose frames come to a device."""
        other = copy(self)
        other.device = device
        return other

    def sample(self, index: int) -> Sample:
        """The sample of an index; its ``samples`` have the clip's length and no sound."""
        epoch, place = divmod(index, len(self.clips))
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.clips))
            self._epoch, self._order = epoch, order
        row = int(self._order[place])
        clip = self.clips[row]
        return Sample(
            np.broadcast_to(np.float32(0), (clip.n_samples,)),
            *(clip.question, clip.answer, clip.task),
            more=clip.more,
            said=clip.said,
            sound=Sound(str(row)),
        )

    def frames(self, sounds: Sounds) -> Frames:
        """Frames of the clips that a batch names, as `rows`."""
        return self.rows([int(key) for key in sounds.keys])

    def rows(self, rows: Sequence[int]) -> Frames:
        """Frames of clips by their numbers: values (B, T, D) float32, zero past each clip's own."""
        clips = [self.clips[row] for row in rows]
        values = [self.shards[one.shard][one.first : one.first + one.n_frames].float() for one in clips]
        return Frames(
            torch.nn.utils.rnn.pad_sequence(values, batch_first=True).to(self.device),  # B of (T, D) -> (B, T, D)
            torch.tensor([one.n_frames for one in clips], dtype=torch.int64),
            self.rate_hz,
            torch.tensor([one.n_samples / SAMPLE_RATE for one in clips], dtype=torch.float64),
        )


def _clip(said: dict[str, Any]) -> KeptClip:
    question = tuple(said["question"]) if isinstance(said["question"], list) else said["question"]
    return KeptClip(**{**said, "question": question, "more": tuple((asked, told) for asked, told in said["more"])})
