"""Q-Formers: learned queries read frames through transformer blocks, over the whole clip or window by window.

Knows frames and lengths; does not know which encoder made them, nor which LLM will read them. Blocks and weight names
of `transformers`' Blip2QFormerModel. Nothing in them tells where a frame stands: order reaches the queries only through
what the encoder has put into its frames.
Source: Li et al. 2023 (BLIP-2; over the whole clip); Tang et al. 2023 (SALMONN) and the released Granite speech
checkpoints for windows.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from ossicle.audio.lengths import whole_clip
from ossicle.bridge.output import Output
from ossicle.bridge.runs import (
    Runs,
    check_heads,
    check_runs,
    check_width,
    longest,
    run_spans,
    zero_filled,
    zero_filled_runs,
)
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask

TAILS = ("mask", "zero")
HALVES = (torch.float16, torch.bfloat16)
NOMINAL_S = 30.0
"""Clip for which the rate of a bridge that reads whole clips is told: the window of Whisper, as published rates are."""


class Queries(nn.Module):
    """Learned queries that read sets of frames through Q-Former blocks, in float32 whatever surrounds them.

    A block is self-attention among the queries, attention to the frames (in every ``cross_every``-th block, the first
    among them) and a perceptron of four times the width, each followed by a LayerNorm. `to` moves these weights but
    leaves them float32, and autocast is off inside: BLIP-2 keeps its Q-Former so.

    Args:
        width_in: encoder width D.
        queries: how many, Q.
        hidden: width of the blocks, H.
        layers: blocks.
        heads: attention heads, a divisor of ``hidden``.
        cross_every: blocks from one attention to the frames to the next.
        dropout: in the blocks, in training.
    """

    def __init__(
        self, width_in: int, *, queries: int, hidden: int, layers: int, heads: int, cross_every: int, dropout: float
    ) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, hidden))
        self.blocks = Blip2QFormerModel(
            Blip2QFormerConfig(
                hidden_size=hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=4 * hidden,
                encoder_hidden_size=width_in,
                cross_attention_frequency=cross_every,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
            )
        )

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "Queries":
        def moved(value: torch.Tensor) -> torch.Tensor:
            other = fn(value)
            return value.to(other.device) if other.dtype in HALVES else other

        made: Queries = super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return made

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """What the queries read in each of n sets of frames.

        Args:
            values: (n, X, D) float; no garbage, also where the mask is False.
            mask: (n, X) bool, True where a frame may be read, at least once in each set; None for everywhere.

        Returns:
            (n, Q, H) float32.
        """
        query = self.query.expand(len(values), -1, -1)
        if len(values) == 0:
            return query
        with torch.autocast(values.device.type, enabled=False):
            read: torch.Tensor = self.blocks(
                query,
                encoder_hidden_states=values.to(query.dtype),
                encoder_attention_mask=None if mask is None else mask.to(values.device),
            ).last_hidden_state
        return read


def _project(output: Output, read: torch.Tensor) -> torch.Tensor:
    """(n, Q, H) float32 -> (n, Q, E) in the dtype of the bridge."""
    made: torch.Tensor = output(read.to(output.linear.weight.dtype))
    return made


def _check_blocks(name: str, *, layers: int, cross_every: int, dropout: float) -> None:
    if layers < 1 or cross_every < 1:
        raise BridgeError(f"{name} needs layers and cross_every of at least 1, got {layers} and {cross_every}")
    if not 0 <= dropout < 1:
        raise BridgeError(f"{name} needs a dropout from 0 to below 1, got {dropout:g}")


class QFormer(nn.Module):
    """``queries`` audio tokens from a clip of any length, each of which has read all of it.

    The number of tokens is fixed, the rate is not: 64 for a clip of 2 s are 32 a second, for one of 30 s they are 2.1.
    ``fixed_rate`` is true because the number is known from that of the frames. The tokens have no order in time and
    no place in it; as spans they get equal shares of the clip, which say no more than that all of it was read.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        queries: audio tokens of a clip, >= 1.
        hidden: width of the blocks.
        layers: blocks, >= 1.
        heads: attention heads, a divisor of ``hidden``.
        cross_every: blocks from one attention to the frames to the next, >= 1; the first has one.
        dropout: in the blocks, in training; 0.1 as published.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: a number below 1, heads that do not divide, a dropout outside 0-1, an unknown ``output_norm``.
    """

    kind: ClassVar[str] = "qformer"
    fixed_rate: ClassVar[bool] = True
    streamable: ClassVar[bool] = False

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        queries: int = 32,
        hidden: int = 768,
        layers: int = 12,
        heads: int = 12,
        cross_every: int = 2,
        dropout: float = 0.0,
        output_norm: str = "none",
    ) -> None:
        super().__init__()
        check_runs("QFormer", widths=(width_in, width_out, hidden), k=1, tail="mask", tails=TAILS)
        check_heads("QFormer", queries=queries, width=hidden, heads=heads)
        _check_blocks("QFormer", layers=layers, cross_every=cross_every, dropout=dropout)
        self.width_in, self.width_out, self.queries = width_in, width_out, queries
        self.sizes = {"hidden": hidden, "layers": layers, "heads": heads, "cross_every": cross_every}
        self.dropout, self.output_norm = dropout, output_norm
        self.former = Queries(width_in, queries=queries, dropout=dropout, **self.sizes)
        self.output = Output(hidden, width_out, norm=output_norm)

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "queries": self.queries,
            **self.sizes,
            "dropout": self.dropout,
            "output_norm": self.output_norm,
        }

    def n_tokens(self, n_frames: int) -> int:
        """Audio tokens for ``n_frames`` frames: the same for any clip that has one."""
        return whole_clip(n_frames, self.queries)

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give; here exactly `n_tokens`."""
        return self.n_tokens(n_frames)

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second of a clip of 30 s, whatever the encoder's rate; shorter clips have more."""
        return self.queries / NOMINAL_S

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E), N = ``queries`` unless every clip is empty.

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width("QFormer", frames, self.width_in)
        lengths = torch.tensor([self.n_tokens(n) for n in frames.lengths.tolist()], dtype=torch.int64)
        there, n_frames = lengths > 0, frames.values.shape[1]
        values = zero_filled(frames.values, frames.lengths)[there]  # (B, T, D) -> (n, T, D)
        read = _project(self.output, self.former(values, length_mask(frames.lengths, n_frames)[there]))
        tokens = read.new_zeros(len(lengths), self.queries, self.width_out)
        tokens[there] = read  # (n, Q, E) -> (B, Q, E)
        return AudioTokens(
            tokens[:, : longest(lengths)], lengths, *run_spans(frames, lengths, max(n_frames, 1), "mask", self.queries)
        )


class WindowQFormer(Runs, nn.Module):
    """``queries`` audio tokens from each window of ``k`` frames, by blocks that see no other window.

    The tokens of a window have each read all of it; as spans they get equal shares of its seconds.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        k: frames in a window, >= 1 (SALMONN 17, Granite 15).
        queries: audio tokens of a window, >= 1 (SALMONN 1, Granite 3).
        hidden: width of the blocks.
        layers: blocks, >= 1.
        heads: attention heads, a divisor of ``hidden``.
        cross_every: blocks from one attention to the frames to the next, >= 1; the first has one.
        tail: what fills the last window of a clip: "mask" nothing, the queries read the frames that are there; "zero"
            zeros, which they read too, as published. What an encoder leaves past a clip's end is read by neither.
        dropout: in the blocks, in training; 0.1 as published.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: a number below 1, heads that do not divide, a dropout outside 0-1, an unknown ``tail`` or
            ``output_norm``.
    """

    kind: ClassVar[str] = "window_qformer"

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        k: int = 15,
        queries: int = 3,
        hidden: int = 1024,
        layers: int = 2,
        heads: int = 16,
        cross_every: int = 1,
        tail: str = "mask",
        dropout: float = 0.0,
        output_norm: str = "none",
    ) -> None:
        super().__init__()
        check_runs("WindowQFormer", widths=(width_in, width_out, hidden), k=k, tail=tail, tails=TAILS)
        check_heads("WindowQFormer", queries=queries, width=hidden, heads=heads)
        _check_blocks("WindowQFormer", layers=layers, cross_every=cross_every, dropout=dropout)
        self.width_in, self.width_out, self.k, self.queries, self.tail = width_in, width_out, k, queries, tail
        self.sizes = {"hidden": hidden, "layers": layers, "heads": heads, "cross_every": cross_every}
        self.dropout, self.output_norm = dropout, output_norm
        self.former = Queries(width_in, queries=queries, dropout=dropout, **self.sizes)
        self.output = Output(hidden, width_out, norm=output_norm)

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "k": self.k,
            "queries": self.queries,
            **self.sizes,
            "tail": self.tail,
            "dropout": self.dropout,
            "output_norm": self.output_norm,
        }

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        lengths, n = self.count(frames)
        n_windows = n // self.queries
        runs = zero_filled_runs(frames.values, frames.lengths, self.k)[:, :n_windows]  # (B, T, D) -> (B, W, k * D)
        valid = length_mask(frames.lengths, n_windows * self.k).view(len(runs), n_windows, self.k)
        there = valid.any(dim=2)  # (B, W): windows past a clip's end are not computed
        windows = runs[there].view(-1, self.k, self.width_in)  # (n, k, D)
        read = _project(self.output, self.former(windows, valid[there] if self.tail == "mask" else None))
        tokens = read.new_zeros(len(runs), n_windows, self.queries, self.width_out)
        tokens[there] = read  # (n, Q, E) -> (B, W, Q, E)
        return self.tokens(tokens.flatten(1, 2), frames, lengths)  # -> (B, N, E)
