"""Long audio at a lower rate: fewer audio tokens a second, until all of them fit the context.

Knows windows, tokens and rates; does not know prompts. A bridge that serves many rates (Matryoshka) is told another
one; of any other, neighbouring tokens that are alike become one (`ossicle.bridge.merging`, without training). Audio is
read twice, first for its length, and heard window by window, so that memory holds the tokens and never the samples.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeGuard

import torch

from ossicle.audio.clip import Clip
from ossicle.audio.io import read_blocks
from ossicle.audio.lengths import resampled_samples
from ossicle.audio.windows import split_blocks
from ossicle.bridge.matryoshka import COARSEST, FINEST, Matryoshka
from ossicle.bridge.merging import begins
from ossicle.bridge.segments import segment_means
from ossicle.errors import ContextError, RequestError
from ossicle.infer.reading import Sound, refuse_array
from ossicle.models.audio_lm import AudioLM, Counts, Heard, OwnWindows, joined

LEAST_HZ = 2.0
"""Below so many audio tokens a second little is left to be understood: no audio is lowered further."""
GROUP = 8
WHOLE_S = 1e6


def at_rate(model: AudioLM, tokens_per_s: float) -> AudioLM:
    """The same model with its Matryoshka bridge at another rate; the weights are shared.

    Args:
        model: from `load`.
        tokens_per_s: audio tokens a second; the nearest whole number of frames per token is taken.

    Raises:
        RequestError: the bridge serves one rate only, or not this one.
    """
    bridge = model.bridge
    if not isinstance(bridge, Matryoshka):
        raise RequestError(
            f"the bridge of {model.name} is a {type(bridge).__name__}, which serves one rate: only a Matryoshka bridge "
            "serves several"
        )
    fastest, slowest = model.encoder.rate_hz / FINEST, model.encoder.rate_hz / COARSEST
    if not slowest <= tokens_per_s <= fastest:
        raise RequestError(
            f"{tokens_per_s:g} audio tokens a second are not served: {model.name} serves {slowest:g} to {fastest:g}"
        )
    return _with_bridge(model, bridge.at(round(model.encoder.rate_hz / tokens_per_s)))


def n_native(model: AudioLM, source: Sound) -> int:
    """Audio tokens of a source at the bridge's own rate; those to be expected, where the rate is not fixed.

    Raises:
        AudioInputError: it cannot be read.
    """
    return sum(_tokens(model, n) for n in _frames(model, source)[0])


def lowered(model: AudioLM, source: Sound, room: int) -> tuple[Heard, str]:
    """Hear a source so that its audio tokens fit.

    Args:
        model: from `load`.
        source: a clip, a path or encoded bytes.
        room: most audio tokens.

    Returns:
        What was heard, and what was done to its rate in words; no words where nothing was.

    Raises:
        ContextError: it would have to be lowered below `LEAST_HZ`, or the text leaves no room at all.
        AudioInputError: the source cannot be read.
    """
    n_frames, seconds = _frames(model, source)
    native, bridge = sum(_tokens(model, n) for n in n_frames), model.bridge
    lower = "read at {:.3g} audio tokens a second instead of {:.3g} ({})"
    if isinstance(bridge, Matryoshka):
        for k in range(bridge.k, COARSEST + 1):
            if _at(n_frames, k) > room:
                continue
            heard = _joined(_heard(_with_bridge(model, bridge.at(k)), source))
            if len(heard.values) <= room:  # an encoder that cuts for itself may give more
                rate_hz = model.encoder.rate_hz / k
                return heard, "" if k == bridge.k else lower.format(rate_hz, native / seconds, "Matryoshka")
    else:
        windows: Iterable[tuple[float, Heard]] = _heard(model, source)
        if not _counted(bridge):  # nobody knows before
            windows = list(windows)
            native = sum(len(one.values) for _, one in windows)
        enough = room >= LEAST_HZ * seconds and room >= 2 * len(n_frames)
        if native <= room or enough:
            heard = _joined(windows, 1.0 if native <= room else (room - 1) / native)
            if native <= room and len(heard.values) <= room:
                return heard, ""
            if enough:
                heard = heard if len(heard.values) <= room else merged(heard, room)
                how = "neighbours that are alike were merged"
                return heard, lower.format(len(heard.values) / seconds, native / seconds, how)
    raise ContextError(
        f"{seconds:.1f} s of audio cannot be lowered to the {max(room, 0)} tokens that {model.name} has room for: that "
        f"is below {LEAST_HZ:g} a second; give at most {max(room, 0) / LEAST_HZ:.0f} s, or retrieve passages of it"
    )


def _with_bridge(model: AudioLM, bridge: Matryoshka) -> AudioLM:
    return AudioLM(
        model.encoder,
        bridge,
        model.llm,
        model.tokenizer,
        context=model.context,
        pattern=model.pattern,
        name=model.name,
        clip_text=model.clip_text,
    ).train(model.training)


def _tokens(model: AudioLM, n_frames: int) -> int:
    bridge = model.bridge
    if _counted(bridge):
        return bridge.n_tokens(n_frames)
    return math.ceil(n_frames * bridge.expected_hz(model.encoder.rate_hz) / model.encoder.rate_hz)


def _counted(bridge: object) -> TypeGuard[Counts]:
    """Whether tokens can be told before anything is heard."""
    return isinstance(bridge, Counts) and bridge.fixed_rate


def _at(n_frames: list[int], k: int) -> int:
    return sum(math.ceil(n / k) for n in n_frames)


def _windows(model: AudioLM, source: Sound) -> Iterator[Clip]:
    """A source in the windows in which `AudioLM.hear` would cut it; whole where the encoder cuts for itself."""
    refuse_array(source)
    rate = model.encoder.sample_rate
    blocks = iter([source]) if isinstance(source, Clip) else read_blocks(source, rate=rate)
    if isinstance(model.encoder, OwnWindows) and model.encoder.chunks:
        return split_blocks(blocks, WHOLE_S)
    return split_blocks(blocks, model.encoder.max_samples / rate)


def _frames(model: AudioLM, source: Sound) -> tuple[list[int], float]:
    """Encoder frames of each window, and the seconds of all."""
    rate = model.encoder.sample_rate
    lengths = [(one.n_samples, one.rate) for one in _windows(model, source)]
    n_frames = [model.encoder.n_frames(resampled_samples(n, had, rate)) for n, had in lengths]
    return n_frames, sum(n / had for n, had in lengths)


def _heard(model: AudioLM, source: Sound) -> Iterator[tuple[float, Heard]]:
    """Each window as it is heard, and the second at which it begins."""
    windows = _windows(model, source)
    while group := list(islice(windows, GROUP)):
        yield from zip([one.start_s for one in group], model.hear(group), strict=True)


def _joined(windows: Iterable[tuple[float, Heard]], share: float = 1.0) -> Heard:
    """All of a source as one, with a share of its tokens."""
    starts_s: list[float] = []
    parts: list[Heard] = []
    owed = 0.0
    for start_s, one in windows:
        owed += len(one.values) * share
        n = max(int(owed), 1)
        owed -= n
        parts.append(one if share == 1 else merged(one, n))
        starts_s.append(start_s)
    return joined(sum(one.seconds_given for one in parts), [at - starts_s[0] for at in starts_s], parts)


def merged(heard: Heard, n: int) -> Heard:
    """Neighbouring tokens that are alike become one, their mean.

    Args:
        heard: N tokens of a clip.
        n: how many stay, 1 to N.
    """
    n_tokens = len(heard.values)
    lengths = torch.tensor([n_tokens])
    first = begins(heard.values[None], lengths, torch.tensor([n]))[0]  # (N,)
    ids = (first.cumsum(0) - 1)[None]
    values = segment_means(heard.values[None], ids, n)[0]  # (N, E) -> (n, E)
    at = first.nonzero().squeeze(1)
    ends = torch.cat([at[1:], at.new_tensor([n_tokens])]) - 1
    spans = torch.stack([heard.spans_s[at, 0], heard.spans_s[ends, 1]], dim=-1)  # (n, 2)
    return Heard(values, spans, heard.n_frames, heard.seconds_given, heard.seconds_heard, heard.tail_s)
