"""A speech encoder that hears as it goes: each frame computed once, at the same cost for every second of sound.

Time is cut into chunks; a frame sees its own chunk and so many before it, convolutions look back alone, a filter bank
is normed by what has come until the end of its chunk. So there is nothing that a later sound could change, and what
comes out piece by piece is what a run over everything with the same masks computes, however the sound was handed in.
The layers are those of a `Translator`; the way through them is ours. Knows samples, filter banks and layers; does not
know decoders or policies. Source: Seamless Communication 2023 (SeamlessM4T v2), whose chunks these are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2SpeechEncoder

from ossicle.audio.lengths import MEL_HOP, WAVE_FIELD, ceil_div, whole_frames
from ossicle.encoders.banks import EPSILON, Banks
from ossicle.errors import RequestError
from ossicle.simul.choice import split
from ossicle.tensors import Features, stacked
from ossicle.translate import speech_encoder
from ossicle.translate.speech_encoder import Chunks
from ossicle.translate.translator import Encoded, Translator


@dataclass(frozen=True, eq=False)
class Usual:
    """What filter banks are like before anything is heard, and how much that counts.

    Args:
        mean, variance: (bins,) float64.
        weight: as so many filter banks.
        memory: after so many filter banks what was heard counts e times less.
    """

    mean: np.ndarray
    variance: np.ndarray
    weight: float = 100.0
    memory: float = 3000.0


class Norm:
    """Filter banks normed by what has come: block by block, each by all until its own end.

    Args:
        usual: before anything was heard.
    """

    def __init__(self, usual: Usual) -> None:
        self.memory = usual.memory
        self.n = float(usual.weight)
        self.sums = self.n * usual.mean.astype(np.float64)
        self.squares = self.n * (usual.variance + np.square(usual.mean)).astype(np.float64)

    def block(self, banks: np.ndarray, n_inside: int) -> np.ndarray:
        """A block (n, bins) as float32, normed; its first ``n_inside`` lie wholly in the sound and are remembered."""
        inside = banks[:n_inside].astype(np.float64)
        keep = np.exp(-len(inside) / self.memory)
        self.n = keep * self.n + len(inside)
        self.sums = keep * self.sums + inside.sum(0)
        self.squares = keep * self.squares + np.square(inside).sum(0)
        mean = self.sums / self.n
        variance = np.maximum(self.squares / self.n - np.square(mean), 0.0)
        normed: np.ndarray = ((banks - mean) / np.sqrt(variance + EPSILON)).astype(np.float32)
        return normed


class Listening:
    """A speech encoder at work on one sound.

    Args:
        model: whose encoder, in evaluation mode.
        chunks: what a frame may look at.
        usual: what filter banks are like.

    Raises:
        RequestError: the model hears no speech, or hears by the published rule that leaves out the end.
        EncoderError: a chunk that holds no whole number of outputs.
    """

    def __init__(self, model: Translator, chunks: Chunks, usual: Usual) -> None:
        self.model, self.chunks = model, chunks
        self.encoder = ear_of(model)
        self.banks = model.banks
        self.norm = Norm(usual)
        self.samples = np.zeros(0, np.float32)
        """Those that a filter bank to come will read."""
        self.waiting = np.zeros((0, self.banks.width // self.banks.stack), np.float32)
        """Filter banks of the chunk that is not whole yet."""
        self.n_samples = 0
        self.ended = False
        self.layers = [_Layer(one, chunks) for one in self.encoder.encoder.layers]
        self.adaptor: list[_Adaptor] = []
        for one in self.encoder.adapter.layers if self.encoder.adapter is not None else ():
            fewer = speech_encoder.fewer(chunks, one.stride)
            assert fewer is not None
            chunks = fewer
            self.adaptor.append(_Adaptor(one, chunks))

    def hear(self, samples: np.ndarray) -> torch.Tensor:
        """More sound.

        Args:
            samples: (S,) float32 at 16 kHz, which follow all given before; any number.

        Returns:
            (1, n, D), what the decoder attends to, of all chunks that are whole now; often nothing.

        Raises:
            RequestError: the sound had ended; samples that are none.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new ear")
        if samples.ndim != 1 or samples.dtype != np.float32 or not np.isfinite(samples).all():
            raise RequestError(f"samples are (S,) float32 and finite: got {samples.dtype} {samples.shape}")
        self.n_samples += len(samples)
        self.samples = np.concatenate([self.samples, samples])
        n = whole_frames(len(self.samples), WAVE_FIELD)
        if n:
            made = self.banks.banks(self.samples[: WAVE_FIELD + MEL_HOP * (n - 1)])
            self.waiting = np.concatenate([self.waiting, made])
            self.samples = self.samples[MEL_HOP * n :]
        return self._chunks()

    def finish(self) -> torch.Tensor:
        """The sound has ended: the rest, (1, n, D), with the last frame filled up by silence.

        Raises:
            RequestError: it had ended before.
        """
        if self.ended:
            raise RequestError("the sound has ended: a new one needs a new ear")
        self.ended = True
        inside = len(self.waiting)
        n = self.banks.n_frames(self.n_samples) * self.banks.stack - whole_frames(self.n_samples, WAVE_FIELD)
        if n > 0:
            lacking = WAVE_FIELD + MEL_HOP * (n - 1) - len(self.samples)
            made = self.banks.banks(np.pad(self.samples, (0, max(lacking, 0))))[:n]
            self.waiting = np.concatenate([self.waiting, made])
        return self._chunks(last=True, n_inside=inside)

    @property
    def heard_s(self) -> float:
        """Seconds of the sound in what has come out."""
        return (self.n_samples - len(self.samples) - MEL_HOP * len(self.waiting)) / self.model.sample_rate

    def _chunks(self, *, last: bool = False, n_inside: int = 0) -> torch.Tensor:
        found: list[torch.Tensor] = []
        size = self.chunks.frames * self.banks.stack
        while len(self.waiting) >= size or (last and len(self.waiting)):
            block, self.waiting = self.waiting[:size], self.waiting[size:]
            inside = min(len(block), n_inside) if last else len(block)
            n_inside -= inside
            whole = len(block) // self.banks.stack * self.banks.stack
            normed = self.norm.block(block, inside)[:whole]
            found.append(self._chunk(normed.reshape(-1, self.banks.width), last=last and not len(self.waiting)))
        if last and not found and self.n_samples:  # the outputs that only the end makes
            found.append(self._chunk(np.zeros((0, self.banks.width), np.float32), last=True))
        return torch.cat([torch.zeros(1, 0, self.model.width, device=self.model.device), *found], 1)

    @torch.no_grad()
    def _chunk(self, stacks: np.ndarray, *, last: bool) -> torch.Tensor:
        """One chunk (T, F) through all layers."""
        encoder = self.encoder
        values = torch.from_numpy(stacks)[None].to(device=self.model.device, dtype=self.model.dtype)
        hidden = encoder.feature_projection(values) if len(stacks) else values.new_zeros(1, 0, self.model.width)
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = encoder.encoder.layer_norm(hidden)
        hidden = hidden + 0.5 * encoder.intermediate_ffn(hidden)
        for one in self.adaptor:
            hidden = one(hidden, last=last)
        out: torch.Tensor = encoder.inner_layer_norm(hidden)
        return out


def masked(model: Translator, waves: list[np.ndarray], chunks: Chunks, usual: Usual) -> Encoded:
    """Whole sounds at once, each frame seeing no more than it would if they came piece by piece.

    Args:
        model: whose encoder.
        waves: (S,) float32 at 16 kHz each.
        chunks, usual: as `Listening`.

    Raises:
        RequestError, EncoderError: as `Listening`.
    """
    rows = [normed(model.banks, wave, chunks, usual) for wave in waves]
    seconds = [len(wave) / model.sample_rate for wave in waves]
    return heard(model, stacked([row.T for row in rows], [len(wave) for wave in waves], seconds), chunks)


def heard(model: Translator, features: Features, chunks: Chunks) -> Encoded:
    """Filter banks that are normed already, (B, F, T), seen in chunks.

    Raises:
        RequestError, EncoderError: as `Listening`.
    """
    encoder = ear_of(model)
    lengths = torch.tensor([model.n_frames(n) for n in features.n_samples.tolist()], dtype=torch.int64)
    values = features.values.to(device=model.device, dtype=model.dtype)
    hidden = speech_encoder.hidden_states(encoder, values, lengths, chunks=chunks)
    found, n = speech_encoder.adapted(encoder, hidden, lengths, chunks=chunks)
    return Encoded(found, n, features.durations_s)


def normed(banks: Banks, wave: np.ndarray, chunks: Chunks, usual: Usual) -> np.ndarray:
    """Stacked filter banks (T, F) of a whole sound, each block of a chunk normed by what had come until its end."""
    norm = Norm(usual)
    n, size = banks.n_frames(len(wave)) * banks.stack, chunks.frames * banks.stack
    lacking = WAVE_FIELD + MEL_HOP * (n - 1) - len(wave)
    made = banks.banks(np.pad(wave, (0, max(lacking, 0))))[:n]
    inside = whole_frames(len(wave), WAVE_FIELD)
    blocks = [norm.block(made[at : at + size], min(max(inside - at, 0), size)) for at in range(0, n, size)]
    return np.concatenate(blocks).reshape(-1, banks.width)


def ear_of(model: Translator) -> SeamlessM4Tv2SpeechEncoder:
    """The speech encoder of a model that hears every sample.

    Raises:
        RequestError: it has none, or leaves out the end.
    """
    if model.speech_encoder is None:
        raise RequestError(f"{model.name} hears no speech: it was made without a speech encoder")
    if model.banks.tail != "pad":
        raise RequestError(f"{model.name} leaves out the end of a clip, as published: load it with tail pad to stream")
    return model.speech_encoder


class _Kept:
    """Keys and values of the chunks that may still be looked at."""

    def __init__(self, attention: Any, chunks: Chunks) -> None:
        self.attention = attention
        self.size, self.most = chunks.frames, None if chunks.left < 0 else chunks.left * chunks.frames
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self.n = 0

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Rows (1, n, D), each attending to its chunk, which comes in one call, and to what is kept before that."""
        rest = self.size - self.n % self.size
        parts = [self._chunk(one) for one in (hidden[:, :rest], hidden[:, rest:]) if one.shape[1]]
        self.n += hidden.shape[1]
        return torch.cat(parts, 1)

    def _chunk(self, hidden: torch.Tensor) -> torch.Tensor:
        attention, heads = self.attention, self.attention.num_heads
        queries = split(attention.linear_q(hidden), heads)
        keys, values = split(attention.linear_k(hidden), heads), split(attention.linear_v(hidden), heads)
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        scores = queries @ keys.transpose(-1, -2)
        if attention.position_embeddings_type == "relative_key":
            left, right = attention.left_max_position_embeddings, attention.right_max_position_embeddings
            place = torch.arange(keys.shape[2], device=hidden.device)
            far = (place[None] - place[-hidden.shape[1] :, None]).clamp(-left, right) + left  # (n, kept + n)
            scores = scores + torch.einsum("bhld,lrd->bhlr", queries, attention.distance_embedding(far))
        mixed = (scores * attention.scaling).softmax(-1) @ values
        first = 0 if self.most is None else max(0, keys.shape[2] - self.most)
        self.keys, self.values = keys[:, :, first:], values[:, :, first:]
        out: torch.Tensor = attention.linear_out(mixed.transpose(1, 2).flatten(2))
        return out


class _Layer:
    """A conformer layer at work."""

    def __init__(self, layer: Any, chunks: Chunks) -> None:
        self.layer, self.kept = layer, _Kept(layer.self_attn, chunks)
        conv = layer.conv_module.depthwise_conv
        self.before = torch.zeros(1, conv.in_channels, conv.kernel_size[0] - 1, device=conv.weight.device)
        self.before = self.before.to(conv.weight.dtype)

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """A chunk (1, n, D)."""
        layer = self.layer
        if not hidden.shape[1]:
            return hidden
        hidden = 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden)) + hidden
        hidden = self.kept(layer.self_attn_layer_norm(hidden)) + hidden
        hidden = hidden + self._convolved(hidden)
        hidden = 0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden)) + hidden
        out: torch.Tensor = layer.final_layer_norm(hidden)
        return out

    def _convolved(self, hidden: torch.Tensor) -> torch.Tensor:
        module = self.layer.conv_module
        gated = module.glu(module.pointwise_conv1(module.layer_norm(hidden).transpose(1, 2)))
        wide = torch.cat([self.before, gated], 2)
        self.before = wide[:, :, wide.shape[2] - self.before.shape[2] :]
        deep = module.depthwise_layer_norm(module.depthwise_conv(wide).transpose(1, 2)).transpose(1, 2)
        out: torch.Tensor = module.pointwise_conv2(module.activation(deep)).transpose(1, 2)
        return out


class _Adaptor:
    """A layer of the adaptor at work: frames that its next outputs read are kept, in both their norms."""

    def __init__(self, layer: Any, chunks: Chunks) -> None:
        self.layer, self.kept = layer, _Kept(layer.self_attn, chunks)
        weight = layer.residual_conv.weight
        pad = torch.zeros(1, layer.stride // 2, weight.shape[1], device=weight.device, dtype=weight.dtype)
        self.residual = self.queries = pad

    def __call__(self, hidden: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Frames (1, n, D) of a chunk to the outputs that they complete; at the end to all that are left."""
        layer = self.layer
        residual = torch.cat([self.residual, layer.residual_layer_norm(hidden)], 1)
        queries = torch.cat([self.queries, layer.self_attn_layer_norm(hidden)], 1)
        if last:
            end = (0, 0, 0, layer.stride // 2)
            residual, queries = functional.pad(residual, end), functional.pad(queries, end)
        n = (residual.shape[1] - layer.kernel_size) // layer.stride + 1
        if n < 1:
            self.residual, self.queries = residual, queries
            return residual[:, :0]
        used = layer.stride * n
        self.residual, self.queries = residual[:, used:], queries[:, used:]
        span = layer.stride * (n - 1) + layer.kernel_size
        both = ((layer.residual_conv, residual), (layer.self_attn_conv, queries))
        pooled = [self._pooled(conv, values[:, :span]) for conv, values in both]
        out = self.kept(pooled[1]) + pooled[0]
        whole: torch.Tensor = layer.ffn(layer.ffn_layer_norm(out)) + out
        return whole

    def _pooled(self, conv: Any, values: torch.Tensor) -> torch.Tensor:
        """Without the zeros that the convolution puts at both ends: those of the sound are here already."""
        made = functional.conv1d(values.transpose(1, 2), conv.weight, conv.bias, conv.stride)
        gated: torch.Tensor = self.layer.activation(made).transpose(1, 2)
        return gated


def usual_of(model: Translator, waves: list[np.ndarray], *, weight: float = 100.0, memory: float = 3000.0) -> Usual:
    """Mean and variance of the filter banks of some sounds.

    Raises:
        RequestError: fewer than two filter banks in all.
    """
    made = [model.banks.banks(wave) for wave in waves if len(wave) >= WAVE_FIELD]
    if sum(map(len, made)) < 2:
        raise RequestError("what filter banks are usually like needs two of them at least: give more sound")
    whole = np.concatenate(made).astype(np.float64)
    return Usual(whole.mean(0), whole.var(0), weight, memory)


def chunks_of(seconds: float, model: Translator, *, left_s: float | None = None) -> Chunks:
    """Chunks of about so many seconds that hold a whole number of outputs; ``left_s`` before them, None for all."""
    stride = speech_encoder.shortening(model.settings)
    frames = max(1, round(seconds * model.banks.rate_hz / stride)) * stride
    left = -1 if left_s is None else ceil_div(round(left_s * model.banks.rate_hz), frames)
    return Chunks(frames, left)
