"""A lean way through the blocks of a Llama-shaped LLM: the same weights and sums, without what `generate` does around
them.

Knows weights, positions and keys; does not know audio, prompts or sampling. Keys and values lie in buffers that are
made once, with room to grow, so that a step copies one row and not all that came before. Only what is certain to be
the same is done here: `Decoder.of` returns None for any other LLM, and its own forward is used. Source: Touvron et al.
2023 (Llama) for the block; Su et al. 2021 for rotary positions; Ainslie et al. 2023 for grouped queries; equality with
`transformers` is tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from ossicle.models.products import product

SHAPES = (Qwen2ForCausalLM, Qwen3ForCausalLM, LlamaForCausalLM, MistralForCausalLM)
FULL = "full_attention"
STEADY = ("default", "linear", "llama3")
"""Rotary positions that do not depend on how much is read."""
ROOM = 64
"""Positions that a buffer has beyond what is read first, where nobody says how many will come."""


class Buffers:
    """Keys and values of every layer for a batch, in place.

    Args:
        n_layers: layers of the LLM.
        room: positions beyond the first that are taken; when they are used up, the buffers double.
    """

    def __init__(self, n_layers: int, *, room: int = ROOM) -> None:
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.n_layers, self.room, self.length = n_layers, room, 0

    def take(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values (B, H, n, D) of one layer; returns all of them (B, H, length + n, D).

        ``length`` itself moves on by `done`, once every layer took the same positions.
        """
        end = self.length + keys.shape[2]
        if layer == len(self.keys):
            sizes = (*keys.shape[:2], end + self.room, keys.shape[3])
            self.keys.append(keys.new_empty(sizes))
            self.values.append(values.new_empty(sizes))
        elif end > self.keys[layer].shape[2]:
            sizes = (*keys.shape[:2], max(self.keys[layer].shape[2], keys.shape[2]), keys.shape[3])
            self.keys[layer], self.values[layer] = (
                torch.cat([one[:, :, : self.length], one.new_empty(sizes)], dim=2)
                for one in (self.keys[layer], self.values[layer])
            )
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def part(self, rows: slice, first: int) -> "Buffers":
        """Some rows from a position on, as if nothing had been taken yet; what these take lies in this."""
        part = Buffers(self.n_layers)
        part.keys, part.values = ([one[rows, :, first:] for one in many] for many in (self.keys, self.values))
        return part

    def done(self, n: int) -> None:
        """Every layer took ``n`` more positions."""
        self.length += n

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the newest ``-tokens_to_remove`` positions, as the caches of `transformers` count them."""
        self.length += tokens_to_remove

    def prefix(self, n: int, *, room: int = ROOM) -> "Buffers":
        """A copy of the first ``n`` positions with room to go on."""
        copy = Buffers(self.n_layers, room=room)
        for layer in range(self.n_layers):
            copy.take(layer, self.keys[layer][:, :, :n], self.values[layer][:, :, :n])
        copy.length = n
        return copy

    @property
    def n_bytes(self) -> int:
        """Bytes that the buffers take, room included."""
        return sum(one.numel() * one.element_size() for one in (*self.keys, *self.values))


@dataclass(frozen=True, eq=False)
class _Layer:
    """One block's modules."""

    norm_in: Any
    q: nn.Linear
    k: nn.Linear
    v: nn.Linear
    q_norm: Any
    k_norm: Any
    o: nn.Linear
    norm_mid: Any
    gate: nn.Linear
    up: nn.Linear
    down: nn.Linear

    @property
    def maps(self) -> tuple[nn.Linear, ...]:
        """Its matrices."""
        return (self.q, self.k, self.v, self.o, self.gate, self.up, self.down)


class Decoder:
    """The blocks of one LLM.

    Args:
        llm: one that `of` accepts. Its modules are referred to, not copied: training it or loading weights is seen.
    """

    def __init__(self, llm: Any) -> None:
        self.llm, body = llm, llm.model
        self.n_layers = len(body.layers)
        self.head_dim: int = body.layers[0].self_attn.head_dim
        self.n_kv: int = llm.config.num_key_value_heads
        self.groups: int = llm.config.num_attention_heads // self.n_kv
        self.eps: float = llm.config.rms_norm_eps
        self.layers = [_modules(block) for block in body.layers]
        self.tables: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(cls, llm: Any) -> Self | None:
        """The lean way for an LLM, or None where it would not be the same."""
        if type(llm) not in SHAPES or llm.training:
            return None
        config = llm.config
        windowed = getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)
        maps = [one for block in llm.model.layers for one in _modules(block).maps] + [llm.lm_head]
        same = (
            not windowed
            and set(getattr(config, "layer_types", None) or [FULL]) == {FULL}
            and (config.rope_parameters or {}).get("rope_type", "default") in STEADY
            and config.hidden_act == "silu"
            and all(type(one) is nn.Linear and one.weight.dtype == torch.float32 for one in maps)
        )
        return cls(llm) if same else None

    def buffers(self, n_batch: int, n: int, *, room: int) -> Buffers:
        """Zeros for ``n`` positions of a batch, and room for as many more as are said."""
        made, like = Buffers(self.n_layers, room=room), self.llm.lm_head.weight
        sizes = (n_batch, self.n_kv, n + room, self.head_dim)
        made.keys, made.values = ([like.new_zeros(sizes) for _ in range(self.n_layers)] for _ in range(2))
        return made

    def __call__(
        self, values: torch.Tensor, places: torch.Tensor, mask: torch.Tensor | None, cache: Buffers
    ) -> torch.Tensor:
        """Read vectors.

        Args:
            values: (B, n, E) vectors of what is read.
            places: (B, n) or (1, n) int64, their positions.
            mask: (B, length + n) int64, zero at keys that are padding; None if there is none.
            cache: what was read before; takes what is read now.

        Returns:
            Logits (B, V) of what follows the last place.
        """
        n_batch, n, _ = values.shape
        cos, sin = self._rotary(places, values)
        seen, hidden = self._seen(n, cache.length, mask), values
        causal = seen is None and n > 1
        for i, layer in enumerate(self.layers):
            normed = asks = functional.rms_norm(hidden, hidden.shape[-1:], layer.norm_in.weight, self.eps)
            turn = (cos, sin)
            if i == self.n_layers - 1 and n > 1:  # of what the last block gives, only the last place is read
                asks, hidden, turn = normed[:, -1:], hidden[:, -1:], (cos[:, -1:], sin[:, -1:])
                seen, causal = self._seen(1, cache.length, mask), False
            q = _through(layer.q, asks).view(n_batch, asks.shape[1], -1, self.head_dim)
            k = _through(layer.k, normed).view(n_batch, n, -1, self.head_dim)
            if layer.q_norm is not None:
                q = functional.rms_norm(q, q.shape[-1:], layer.q_norm.weight, self.eps)
                k = functional.rms_norm(k, k.shape[-1:], layer.k_norm.weight, self.eps)
            v = _through(layer.v, normed).view(n_batch, n, -1, self.head_dim).transpose(1, 2)
            keys, vals = cache.take(i, _turned(k, cos, sin).transpose(1, 2), v)
            told = self._attend(_turned(q, *turn), keys, vals, seen, causal)
            hidden = hidden + _through(layer.o, told)
            normed = functional.rms_norm(hidden, hidden.shape[-1:], layer.norm_mid.weight, self.eps)
            gated = functional.silu(_through(layer.gate, normed)) * _through(layer.up, normed)
            hidden = hidden + _through(layer.down, gated)
        cache.done(n)
        last = functional.rms_norm(hidden[:, -1], hidden.shape[-1:], self.llm.model.norm.weight, self.eps)
        return product(self.llm.lm_head, last)

    def _attend(
        self, q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, seen: torch.Tensor | None, causal: bool
    ) -> torch.Tensor:
        """(B, n, H, D) queries on (B, K, L, D) keys and values -> (B, n, H D)."""
        n_batch, n = q.shape[:2]
        if n == 1:  # the queries of a group are rows of one product: no key is repeated
            rows = q.view(n_batch, self.n_kv, self.groups, self.head_dim)
            told = functional.scaled_dot_product_attention(rows, keys, values, attn_mask=seen)
            return told.reshape(n_batch, 1, -1)
        told = functional.scaled_dot_product_attention(
            q.transpose(1, 2), keys, values, attn_mask=seen, is_causal=causal, enable_gqa=self.groups > 1
        )
        return told.transpose(1, 2).reshape(n_batch, n, -1)

    def _seen(self, n: int, before: int, mask: torch.Tensor | None) -> torch.Tensor | None:
        """Which keys each query may see: (B, 1, n, before + n) bool; None where plain causality says it all."""
        if n == 1:
            return None if mask is None else mask.bool()[:, None, None, :]
        if mask is None and before == 0:
            return None
        end = before + n
        device = self.llm.lm_head.weight.device
        causal = torch.ones(n, end, dtype=torch.bool, device=device).tril(before)
        if mask is None:
            return causal[None, None]
        # a row of padding sees nothing real; it sees itself, so that no softmax is over nothing
        itself = torch.eye(n, end, dtype=torch.bool, device=device) if before == 0 else torch.zeros_like(causal)
        return ((causal[None] & mask.bool()[:, None, :]) | itself)[:, None]

    def _rotary(self, places: torch.Tensor, like: torch.Tensor) -> Sequence[torch.Tensor]:
        """Cosine and sine (B, n, 1, D) of the places."""
        need = int(places.max()) + 1
        if self.tables is None or len(self.tables[0]) < need or self.tables[0].dtype != like.dtype:
            n = max(512, 1 << (need - 1).bit_length())
            every = torch.arange(n, device=like.device)[None]
            cos, sin = self.llm.model.rotary_emb(like, every)
            half = self.head_dim // 2
            self.tables = (cos[0], torch.cat([-sin[0][:, :half], sin[0][:, half:]], dim=-1))
        return [table[places][:, :, None] for table in self.tables]


def _through(linear: nn.Linear, values: torch.Tensor) -> torch.Tensor:
    """(B, n, I) -> (B, n, O)."""
    if values.shape[1] > 1:
        many: torch.Tensor = linear(values)
        return many
    return product(linear, values[:, 0])[:, None]


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on (B, n, H, D); the sign of the sine's first half is in the table."""
    half = x.shape[-1] // 2
    return torch.addcmul(x * cos, torch.roll(x, half, dims=-1), sin)


def _modules(block: Any) -> _Layer:
    attention, mlp = block.self_attn, block.mlp
    return _Layer(
        norm_in=block.input_layernorm,
        q=attention.q_proj,
        k=attention.k_proj,
        v=attention.v_proj,
        q_norm=getattr(attention, "q_norm", None),
        k_norm=getattr(attention, "k_norm", None),
        o=attention.o_proj,
        norm_mid=block.post_attention_layernorm,
        gate=mlp.gate_proj,
        up=mlp.up_proj,
        down=mlp.down_proj,
    )
