"""What an answer can be asked about, read at the model's rate.

Knows sources and a model's promises; does not know prompts beside how many tokens they take.
"""

import os
from typing import BinaryIO

import numpy as np

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_blocks
from ossicle.errors import RequestError
from ossicle.infer.requests import Request, text_tokens
from ossicle.models.audio_lm import AudioLM, Counts
from ossicle.plan.budget import check

Sound = Clip | str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A clip, or anything with its own sample rate that `audio.io` reads."""


def refuse_array(source: object) -> None:
    """An array says nothing of its rate, and no other argument of a call does.

    Raises:
        RequestError: ``missing_parameter``.
    """
    if isinstance(source, np.ndarray):
        raise RequestError(
            "an array says nothing of its sample rate: give a clip, as read_clip(array, rate=...) makes it",
            code="missing_parameter",
        )


def read(model: AudioLM, source: Sound, asked: Request) -> Clip:
    """A source at the model's rate; reading stops where it is certain that the model cannot hear it whole.

    Args:
        asked: the request with stand-ins for its clips.

    Raises:
        ContextError: so much audio alone is over the context.
    """
    assert not isinstance(source, Clip)
    refuse_array(source)
    parts, seconds, n_samples, bridge = [], 0.0, 0, model.bridge
    for block in read_blocks(source, rate=model.encoder.sample_rate):
        parts.append(block.samples)
        seconds += block.duration_s
        n_samples += block.n_samples
        if not (isinstance(bridge, Counts) and bridge.fixed_rate):
            continue
        n_audio = bridge.n_tokens(model.encoder.n_frames(n_samples))
        if n_audio > model.context:
            need = n_audio + text_tokens(model, asked.messages)
            n_answer = asked.sampling.max_tokens
            check(need, n_audio, seconds, n_answer, model.context, model.name, more_audio=True)
    return Clip(np.concatenate(parts), model.encoder.sample_rate)
