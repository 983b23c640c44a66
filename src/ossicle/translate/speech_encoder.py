"""Filter banks to what a text decoder attends to: conformer layers, then an adaptor that shortens time.

The layers are those of `transformers`' SeamlessM4Tv2SpeechEncoder; the way through them is ours, because theirs lets
padding speak: with eager attention the masks of the conformer do not mask, and the adaptor's convolutions read what
stands behind the end of a clip. Here an item in a batch is what it is alone, whatever attention computes it. Knows
layers and lengths; does not know clips or decoders. Source: Barrault et al. 2023 (SeamlessM4T), section 3.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2SpeechEncoder

from ossicle.errors import EncoderError
from ossicle.tensors import length_mask


@dataclass(frozen=True)
class Chunks:
    """What may be looked at: a chunk of so many ``frames`` of its own, and ``left`` chunks before it, -1 for all."""

    frames: int
    left: int = -1


def shortened(n: int, config: Any) -> int:
    """Frames that the adaptor makes of ``n``."""
    for _ in range(config.num_adapter_layers if config.add_adapter else 0):
        n = (n + 2 * (config.adaptor_stride // 2) - config.adaptor_kernel_size) // config.adaptor_stride + 1
    return n


def shortening(config: Any) -> int:
    """How many times fewer frames there are behind the adaptor, of a long clip."""
    return int(config.adaptor_stride ** (config.num_adapter_layers if config.add_adapter else 0))


def published_chunks(config: Any) -> Chunks | None:
    """Those that a model was made with."""
    size = config.speech_encoder_chunk_size
    return None if size is None else Chunks(size, config.speech_encoder_left_chunk_num)


def chunked(n: int, chunks: Chunks | None) -> torch.Tensor | None:
    """(n, n) bool, True where a frame may look: its own chunk and some before it; None where that is everywhere."""
    if chunks is None or n <= chunks.frames:
        return None
    chunk = torch.arange(n) // chunks.frames
    first = (chunk - chunks.left).clamp(min=0) * chunks.frames if chunks.left >= 0 else torch.zeros_like(chunk)
    at = torch.arange(n)[None]
    seen: torch.Tensor = (at >= first[:, None]) & (at < ((chunk + 1) * chunks.frames)[:, None])
    return seen


def hidden_states(
    encoder: SeamlessM4Tv2SpeechEncoder,
    values: torch.Tensor,
    lengths: torch.Tensor,
    *,
    layer: int | None = None,
    chunks: Chunks | None = None,
) -> torch.Tensor:
    """What comes out of the conformer.

    Args:
        encoder: whose layers.
        values: (B, F, T) filter banks.
        lengths: (B,) int64 on the CPU, valid frames.
        layer: the output of this layer, counted from 1, before any norm behind it; None is the conformer's own output.
        chunks: what a frame may look at; None is as the model was made.

    Returns:
        (B, T, D); what stands past ``lengths`` means nothing.

    Raises:
        EncoderError: there is no such layer.
    """
    tower = encoder.encoder
    if layer is not None and not 1 <= layer <= len(tower.layers):
        raise EncoderError(f"the speech encoder has layers 1 to {len(tower.layers)}, got {layer}")
    hidden: torch.Tensor = encoder.feature_projection(values.transpose(1, 2))  # (B, F, T) -> (B, T, D)
    mask = valid(lengths, hidden.shape[1], hidden.device)
    if mask is not None:
        hidden = hidden.masked_fill(~mask[..., None], 0.0)
    seen = additive(mask, chunked(hidden.shape[1], chunks or published_chunks(encoder.config)), hidden)
    hidden = tower.dropout(hidden)
    for one in tower.layers[:layer]:
        hidden = one(hidden, attention_mask=seen, conv_attention_mask=mask)
    return hidden if layer is not None else tower.layer_norm(hidden)


def forward(
    encoder: SeamlessM4Tv2SpeechEncoder, values: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The whole way through the speech encoder.

    Args:
        encoder: whose layers.
        values: (B, F, T) filter banks.
        lengths: (B,) int64 on the CPU, valid frames.

    Returns:
        (B, N, D), zero past the lengths, and those, (B,) int64 on the CPU.

    Raises:
        EncoderError: a clip of so few frames that the adaptor makes none of them.
    """
    return adapted(encoder, hidden_states(encoder, values, lengths), lengths)


def adapted(
    encoder: SeamlessM4Tv2SpeechEncoder, hidden: torch.Tensor, lengths: torch.Tensor, *, chunks: Chunks | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The way behind the conformer.

    Args:
        encoder: whose layers.
        hidden: (B, T, D), the conformer's own output.
        lengths: (B,) int64 on the CPU, valid frames.
        chunks: of frames of ``hidden``, what an output may look at; None is everything, as published.

    Returns:
        As `forward`.

    Raises:
        EncoderError: as `forward`; a chunk that holds no whole number of outputs.
    """
    hidden = hidden + 0.5 * encoder.intermediate_ffn(hidden)
    for layer in encoder.adapter.layers if encoder.adapter is not None else ():
        chunks = fewer(chunks, layer.stride)
        hidden, lengths = _adapted(layer, hidden, lengths, chunks)
    hidden = encoder.inner_layer_norm(hidden)
    mask = valid(lengths, hidden.shape[1], hidden.device)
    return hidden if mask is None else hidden * mask[..., None], lengths


def fewer(chunks: Chunks | None, stride: int) -> Chunks | None:
    """Chunks of outputs, of those of frames.

    Raises:
        EncoderError: a chunk that holds no whole number of outputs.
    """
    if chunks is None:
        return None
    if chunks.frames % stride:
        raise EncoderError(f"a chunk of {chunks.frames} frames holds no whole number of the adaptor's {stride}")
    return Chunks(chunks.frames // stride, chunks.left)


def _adapted(
    layer: Any, hidden: torch.Tensor, lengths: torch.Tensor, chunks: Chunks | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One layer of the adaptor; what its convolutions read behind the end of a clip is zero, as in a clip alone."""
    inside = valid(lengths, hidden.shape[1], hidden.device)
    after = (lengths + 2 * (layer.stride // 2) - layer.kernel_size) // layer.stride + 1
    if int(after.min()) < 1:
        raise EncoderError(f"a clip of {int(lengths.min())} frames is too short for the speech encoder's adaptor")

    def pooled(norm: nn.Module, conv: nn.Module) -> torch.Tensor:
        normed = norm(hidden)
        if inside is not None:
            normed = normed * inside[..., None]
        made: torch.Tensor = layer.activation(conv(normed.transpose(1, 2)))
        return made.transpose(1, 2)  # (B, N, D)

    residual = pooled(layer.residual_layer_norm, layer.residual_conv)
    queries = pooled(layer.self_attn_layer_norm, layer.self_attn_conv)
    mask = valid(after, queries.shape[1], queries.device)
    attended, _ = layer.self_attn(queries, attention_mask=additive(mask, chunked(queries.shape[1], chunks), queries))
    hidden = layer.self_attn_dropout(attended) + residual
    return layer.ffn(layer.ffn_layer_norm(hidden)) + hidden, after


def valid(lengths: torch.Tensor, n: int, device: torch.device) -> torch.Tensor | None:
    """(B, n) bool with the valid places; None where all are."""
    return None if int(lengths.min()) >= n else length_mask(lengths, n).to(device)


def additive(mask: torch.Tensor | None, chunks: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor | None:
    """(B or 1, 1, n or 1, n): what is added to attention scores, zero where a place may be looked at."""
    if mask is None and chunks is None:
        return None
    seen = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=like.device)
    if mask is not None:
        seen = seen & mask[:, None, None, :]
    if chunks is not None:
        seen = seen & chunks.to(like.device)[None, None]
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, torch.finfo(like.dtype).min)
