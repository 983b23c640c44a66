"""A text decoder over a source that grows: what has been computed of it stays, each token sees what there was.

The layers are those of a `Translator`; the way through them is ours, because theirs takes a source that is whole. A
position sees the source that had come when the token after it was written, and is never computed again: so what is
reused is what a run over everything, with that limit for each position, computes. Training has no moments but their
probabilities: there each head attends as `infinite_lookback` says. Knows states, keys and values; does not know what
writes or reads. Source: Ma et al. 2023 (EMMA), and the released model's order of computation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ossicle.errors import RequestError
from ossicle.simul.choice import Choices, pooled, split, spread, steps_each
from ossicle.simul.emma import expected_alignment, infinite_lookback, with_residual
from ossicle.translate.translator import Encoded, Translator

PREFIX = 2
"""Ids before the first token of a translation: the end and the language. The state at the second predicts the first
token; that at the first predicts nothing, and sees what there is when it is first read."""
KeysValues = tuple[torch.Tensor, torch.Tensor]
"""Of one attention, (B, H, L, D / H) each."""


@dataclass(frozen=True, eq=False)
class Step:
    """What a decoder says after its newest token.

    Args:
        log_probs: (V,) float32 of the token to come.
        p_steps: (L, H, N) float32, how probable it is that it is written at each step of the source until now, by layer
            and head; None without choices.
        attention: (L, H, X) float32, where each layer and head looked.
        state: (D,), of which the token to come is predicted.
    """

    log_probs: torch.Tensor
    p_steps: torch.Tensor | None
    attention: torch.Tensor
    state: torch.Tensor

    @property
    def p_write(self) -> torch.Tensor | None:
        """(L, H), how probable it is that it is written now."""
        return None if self.p_steps is None else self.p_steps[..., -1]


class Reading:
    """A decoder that reads on while it writes; one source.

    Args:
        model: whose text decoder, in evaluation mode.
        choices: when it would write; None asks nobody.
    """

    def __init__(self, model: Translator, choices: Choices | None = None) -> None:
        self.model, self.choices = model, choices
        layers = model.text_decoder.layers
        self.source: list[KeysValues] = []
        self.past: list[KeysValues] = []
        self.keys: list[torch.Tensor] = []
        self.n_layers = len(layers)
        self.n_heard = self.n_written = 0
        self.states = torch.zeros(1, 0, model.width, device=model.device, dtype=model.dtype)
        """Of all that was written, (1, n, D), normed."""
        self.looked: list[int] = []
        """Of each, the output that the last layer's heads together looked at most."""
        self.open = torch.zeros(1, 0, model.width, device=model.device, dtype=model.dtype)

    @torch.no_grad()
    def hear(self, values: torch.Tensor) -> None:
        """More of the source.

        Args:
            values: (1, n, D) of the encoder, which follow all given before; none changes nothing.
        """
        if not values.shape[1]:
            return
        new = [source_of(layer, values) for layer in self.model.text_decoder.layers]
        self.source = [_joined(old, one) for old, one in zip(self.source, new, strict=True)] if self.source else new
        self.n_heard += values.shape[1]
        if self.choices is None:
            return
        ratio, whole = self.choices.ratio, self.keys[0].shape[2] if self.keys else 0
        kept = (self.n_heard - values.shape[1]) // ratio  # steps that were whole before
        self.keys = [one[:, :, : min(whole, kept)] for one in self.keys]
        waiting = torch.cat([self.open, values], dim=1)
        steps, _ = pooled(waiting, torch.tensor([waiting.shape[1]]), ratio)
        made = [one.keys(steps) for one in self.choices.each()]
        self.keys = [torch.cat(two, 2) for two in zip(self.keys, made, strict=True)] if self.keys else made
        self.open = waiting[:, waiting.shape[1] - self.n_heard % ratio :]

    @torch.no_grad()
    def write(self, ids: Sequence[int]) -> Step:
        """Tokens that follow all that were given before, each with what has been heard until now.

        Raises:
            RequestError: nothing was heard, no token, or more than the model has positions for.
        """
        most = self.model.settings.max_position_embeddings
        if not self.source or not ids or self.n_written + len(ids) > most:
            raise RequestError(
                f"{self.model.name} writes when it has heard something, up to {most} tokens: {self.n_heard} outputs "
                f"were heard, {self.n_written} tokens written, {len(ids)} to come"
            )
        given = torch.tensor([list(ids)], device=self.model.device)
        made = through(self.model, given, self.source, past=self.past, choices=self.choices, keys=self.keys)
        self.past, self.n_written = made.past, self.n_written + len(ids)
        self.states = torch.cat([self.states, made.states], 1)
        self.looked += made.attention[-1][0].mean(0).argmax(-1).tolist()
        scores = self.model.logits(made.states[:, -1:])[0, 0].float().log_softmax(-1)
        p_steps = None if not made.p_write else torch.stack([one[0, :, -1] for one in made.p_write])
        looked = torch.stack([one[0, :, -1] for one in made.attention]).float()
        return Step(scores, p_steps, looked, made.states[0, -1])

    def forget(self, n: int) -> None:
        """The newest ``n`` tokens were not written.

        Raises:
            RequestError: more than there are.
        """
        if not 0 <= n <= self.n_written:
            raise RequestError(f"{self.n_written} tokens were given, {n} cannot be forgotten")
        self.n_written -= n
        self.states, self.looked = self.states[:, : self.n_written], self.looked[: self.n_written]
        self.past = [(k[:, :, : self.n_written], v[:, :, : self.n_written]) for k, v in self.past]


@dataclass(frozen=True, eq=False)
class Through:
    """A way through a decoder.

    Args:
        states: (B, Y, D), normed.
        past: keys and values of each layer, of these positions and of all before.
        attention: (B, H, Y, X) of each layer; while it learns what is expected of it.
        p_write: (B, H, Y, N) of each layer, over steps; none without choices.
        alpha: (B, H, Y, N) of each layer, while it learns: row ``PREFIX - 1`` is of the first token.
    """

    states: torch.Tensor
    past: list[KeysValues]
    attention: list[torch.Tensor]
    p_write: list[torch.Tensor]
    alpha: list[torch.Tensor]


def limited(
    model: Translator, encoded: Encoded, ids: Sequence[Sequence[int]], limits: torch.Tensor, choices: Choices | None
) -> Through:
    """All positions at once, each with the source that it may see.

    Args:
        model: whose decoder.
        encoded: the whole source, B items.
        ids: as `Translator.states` takes them.
        limits: (B, Y) int64, outputs of the encoder that each position sees, 1 or more.
        choices: as `Reading`.
    """
    padded, _ = model.padded(ids)
    seen = torch.arange(encoded.values.shape[1])[None, None] < limits.cpu()[..., None]  # (B, Y, X)
    return through(model, padded, sources_of(model, encoded), seen=seen.to(model.device), **_keys(choices, encoded))


def expected(
    model: Translator,
    encoded: Encoded,
    ids: Sequence[Sequence[int]],
    choices: Choices,
    *,
    ends: torch.Tensor | None = None,
) -> Through:
    """All positions at once, each attending as it is expected to, over all moments at which it may be written.

    Args:
        model: whose decoder.
        encoded: the whole source, B items.
        ids: as `Translator.states` takes them.
        choices: when each is written.
        ends: (B,) bool, whether a source ends where its outputs do, so that all is written then; where it goes on, what
            is not written until there attends to nothing. None where all end.
    """
    padded, _ = model.padded(ids)
    learn = (encoded.lengths, encoded.values.shape[1], ends)
    return through(model, padded, sources_of(model, encoded), learn=learn, **_keys(choices, encoded))


def through(
    model: Translator,
    ids: torch.Tensor,
    sources: Sequence[KeysValues],
    *,
    past: Sequence[KeysValues] = (),
    seen: torch.Tensor | None = None,
    choices: Choices | None = None,
    keys: Sequence[torch.Tensor] = (),
    learn: tuple[torch.Tensor, int, torch.Tensor | None] | None = None,
) -> Through:
    """The layers of a text decoder, one after another.

    Args:
        model: whose decoder.
        ids: (B, Y) int64, which follow those of ``past``.
        sources: keys and values of the source, of each layer.
        past: of each layer; none at the beginning.
        seen: (B, Y, X) bool, what of the source each position may look at; None is all.
        choices, keys: when tokens are written, and the source's steps as each layer's choice sees them.
        learn: lengths of the sources (B,), the longest, and which of them end; given, attention is what is expected of
            it.
    """
    decoder, before = model.text_decoder, past[0][0].shape[2] if past else 0
    hidden = decoder.embed_tokens(ids) + decoder.embed_positions(ids, past_key_values_length=before)
    hidden = torch.nn.functional.dropout(hidden, decoder.dropout, decoder.training)
    causal = torch.ones(ids.shape[1], before + ids.shape[1], dtype=torch.bool, device=ids.device).tril(before)
    chosen = [None] * len(decoder.layers) if choices is None else list(choices.each())
    made = Through(hidden, [], [], [], [])
    for i, (layer, choice) in enumerate(zip(decoder.layers, chosen, strict=True)):
        normed = layer.self_attn_layer_norm(hidden)
        own = _keys_values(layer.self_attn, normed)
        own = _joined(past[i], own) if past else own
        made.past.append(own)
        weights = _energies(layer.self_attn, normed, own[0]).masked_fill(~causal, float("-inf")).softmax(-1)
        hidden = hidden + layer.attn_dropout(_mixed(layer.self_attn, weights, own[1]))
        normed = layer.cross_attention_layer_norm(hidden)
        energies = _energies(layer.cross_attention, normed, sources[i][0])  # (B, H, Y, X)
        if choice is not None:
            made.p_write.append(choice(normed, keys[i]))
        if learn is not None and choices is not None:
            weights = _expected(made, energies, *learn, ratio=choices.ratio)
        else:
            far = energies if seen is None else energies.masked_fill(~seen[:, None], float("-inf"))
            weights = far.softmax(-1)
        made.attention.append(weights)
        hidden = hidden + layer.attn_dropout(_mixed(layer.cross_attention, weights, sources[i][1]))
        hidden = hidden + layer.ffn_dropout(layer.ffn(layer.ffn_layer_norm(hidden)))
    return Through(decoder.layer_norm(hidden), made.past, made.attention, made.p_write, made.alpha)


def _expected(
    made: Through, energies: torch.Tensor, lengths: torch.Tensor, n: int, ends: torch.Tensor | None, *, ratio: int
) -> torch.Tensor:
    """What a layer attends to while it learns, (B, H, Y, X); its alignment, all written at the end, is kept."""
    p = made.p_write[-1]
    p = torch.cat([torch.ones_like(p[:, :, : PREFIX - 1]), p[:, :, PREFIX - 1 :]], 2)  # the prefix waits for nothing
    steps = steps_each(lengths, ratio)
    written = expected_alignment(p, steps)
    alpha = with_residual(written, steps)
    made.alpha.append(alpha)
    if ends is not None:
        alpha = torch.where(ends.to(alpha.device)[:, None, None, None], alpha, written)
    return infinite_lookback(spread(alpha, lengths, ratio, n), energies).to(energies.dtype)


def sources_of(model: Translator, encoded: Encoded) -> list[KeysValues]:
    """Keys and values of a source, of each layer."""
    return [source_of(layer, encoded.values) for layer in model.text_decoder.layers]


def source_of(layer: Any, values: torch.Tensor) -> KeysValues:
    """Keys and values of encoder outputs (B, n, D) for one layer; each output by itself."""
    return _keys_values(layer.cross_attention, values)


def _keys(choices: Choices | None, encoded: Encoded) -> dict[str, Any]:
    if choices is None:
        return {}
    steps, _ = pooled(encoded.values, encoded.lengths, choices.ratio)
    return {"choices": choices, "keys": [one.keys(steps) for one in choices.each()]}


def _keys_values(attention: Any, values: torch.Tensor) -> KeysValues:
    heads = attention.num_heads
    return split(attention.k_proj(values), heads), split(attention.v_proj(values), heads)


def _joined(old: KeysValues, new: KeysValues) -> KeysValues:
    return torch.cat([old[0], new[0]], 2), torch.cat([old[1], new[1]], 2)


def _energies(attention: Any, states: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Scores (B, H, Y, X) before any softmax."""
    return split(attention.q_proj(states) * attention.scaling, attention.num_heads) @ keys.transpose(-1, -2)


def _mixed(attention: Any, weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Values by weights, (B, Y, D)."""
    mixed: torch.Tensor = attention.out_proj((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))
    return mixed
