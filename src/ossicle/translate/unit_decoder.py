"""From the states of a text decoder to units of speech, all at once: characters, their durations, units (UnitY2).

Knows `transformers`' SeamlessM4Tv2 text-to-unit modules, characters and durations; does not know text, tokens, nor what
speaks the units. The forward around the modules is ours, so that durations can be given and learned, the unit that is
chosen is always one, and a row of a batch is what it is alone. Source: Barrault et al. 2023 (Seamless), section 3.3.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)

from ossicle.errors import ConfigError, RequestError

IGNORED = -100


@dataclass(frozen=True, eq=False)
class Characters:
    """What a batch of texts is written with.

    Args:
        ids: (B, C) int64, zero beyond each text.
        counts: (B, L) int64, characters of each position of the text decoder [end, language, t1..tn]: those of a token
            stand at the position that predicts it, so the first and the last are 0.
        lengths: (B,) int64, characters of each text: the sum of its counts.
    """

    ids: torch.Tensor
    counts: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, eq=False)
class Units:
    """Units of speech, 50 a second.

    Args:
        ids: (B, U) int64 in 0..K-1, zero beyond each row.
        lengths: (B,) int64, valid units.
        durations: (B, C) int64, units of each character.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    durations: torch.Tensor


def repeated(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Each position as often as it counts.

    Args:
        values: (B, N, D).
        counts: (B, N) int64, >= 0.

    Returns:
        (B, M, D), M the largest sum of counts of a row; zero beyond each.
    """
    ends = counts.cumsum(1)
    totals = ends[:, -1]
    places = torch.arange(int(totals.max()), device=values.device).expand(len(values), -1)  # (B, M)
    index = torch.searchsorted(ends, places.contiguous(), right=True).clamp(max=values.shape[1] - 1)
    found = values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))
    return found.masked_fill((places >= totals[:, None])[..., None], 0.0)


class UnitDecoder(nn.Module):
    """States of a text decoder to units.

    Args:
        t2u: encoder, duration predictor and decoder, with the embedding of units as its output.
        letters: ids of the characters that texts are spelled with (see `spelling`).

    Raises:
        ConfigError: fewer rows of units than the special tokens before them, a character without a row.
    """

    def __init__(
        self, t2u: SeamlessM4Tv2TextToUnitForConditionalGeneration, *, letters: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.t2u, self.letters = t2u, dict(letters or {})
        config = t2u.config
        self.offset: int = config.vocoder_offset
        self.n_units: int = min(config.unit_hifi_gan_vocab_size, config.t2u_vocab_size - self.offset)
        if self.n_units < 1:
            raise ConfigError(
                f"a unit decoder says units after {self.offset} special tokens: t2u_vocab_size is "
                f"{config.t2u_vocab_size}, unit_hifi_gan_vocab_size {config.unit_hifi_gan_vocab_size}"
            )
        if self.letters and not 0 <= min(self.letters.values()) <= max(self.letters.values()) < config.char_vocab_size:
            raise ConfigError(
                f"ids of characters are 0..{config.char_vocab_size - 1}, as char_vocab_size says; got "
                f"{min(self.letters.values())}..{max(self.letters.values())}"
            )

    def forward(
        self,
        states: torch.Tensor,
        lengths: torch.Tensor,
        characters: Characters,
        *,
        durations: torch.Tensor | None = None,
        pace: float = 1.0,
    ) -> Units:
        """Say a batch of texts.

        Args:
            states: (B, L, D) of the text decoder, for the positions [end, language, t1..tn].
            lengths: (B,) int64, valid positions of each row: n + 2.
            characters: of the same texts.
            durations: (B, C) int64, units of each character; predicted where not given.
            pace: how many times as fast as predicted; each character keeps one unit at least.

        Raises:
            RequestError: shapes or counts that do not fit each other, a pace that is not positive.
        """
        if not (math.isfinite(pace) and pace > 0):
            raise RequestError(f"the pace is {pace:g}: it is a positive number, 1 as the model would speak")
        if not characters.ids.shape[1]:
            none = torch.zeros(len(states), 0, dtype=torch.long, device=states.device)
            return Units(none, none.sum(1), none)
        spelled, valid = self._spelled(states, lengths, characters)
        if durations is None:
            log_durations = self.t2u.model.decoder.duration_predictor(spelled, padding_mask=valid)
            predicted = torch.round(torch.expm1(log_durations.float()) / pace).long()
            durations = predicted.clamp(min=1)
        durations = self._durations(durations, valid)
        ids = self._logits(self._decoded(spelled, durations)).argmax(-1)
        n = durations.sum(1)
        return Units(ids.masked_fill(~_mask(n, ids.shape[1]), 0), n, durations)

    def loss(
        self,
        states: torch.Tensor,
        lengths: torch.Tensor,
        characters: Characters,
        durations: torch.Tensor,
        units: torch.Tensor,
        *,
        label_smoothing: float = 0.0,
    ) -> tuple[torch.Tensor, int, torch.Tensor, int]:
        """How far the units and durations of known speech are from what would be said.

        Args:
            states, lengths, characters: as `forward` takes them.
            durations: (B, C) int64, units of each character, from an aligner.
            units: (B, U) int64 in 0..K-1, U the largest sum of durations of a row; anything beyond each.
            label_smoothing: share of the target that is spread over all units.

        Returns:
            the sum of the units' cross entropies and their number; the sum of the squared errors of log(1 + duration)
            and the number of characters.

        Raises:
            RequestError: shapes or counts that do not fit each other, a unit that there is not.
        """
        spelled, valid = self._spelled(states, lengths, characters)
        durations = self._durations(durations, valid)
        n = durations.sum(1)
        if units.shape != (len(n), int(n.max())):
            raise RequestError(f"units of shape {tuple(units.shape)} for durations of {n.tolist()} units")
        inside = _mask(n, units.shape[1])
        if bool(((units < 0) | (units >= self.n_units))[inside].any()):
            raise RequestError(f"units are 0..{self.n_units - 1}, got {sorted(set(units[inside].tolist()))[::-1][:4]}")
        log_durations = self.t2u.model.decoder.duration_predictor(spelled, padding_mask=valid)
        error = (torch.log1p(durations.to(log_durations.dtype)) - log_durations).square().masked_fill(~valid, 0.0)
        logits = self._logits(self._decoded(spelled, durations))
        entropy = nn.functional.cross_entropy(
            logits.flatten(0, 1).float(),
            units.masked_fill(~inside, IGNORED).flatten(),
            reduction="sum",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )
        return entropy, int(n.sum()), error.sum(), int(valid.sum())

    def _spelled(
        self, states: torch.Tensor, lengths: torch.Tensor, characters: Characters
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the characters (B, C, D), and which of them there are (B, C)."""
        decoder, device = self.t2u.model.decoder, states.device
        counts, ids = characters.counts.to(device), characters.ids.to(device)
        if counts.shape != states.shape[:2] or not torch.equal(counts.sum(1), characters.lengths.to(device)):
            raise RequestError(
                f"counts of shape {tuple(counts.shape)}, {counts.sum(1).tolist()} characters in all: they count the "
                f"characters of states of shape {tuple(states.shape)}, {characters.lengths.tolist()}"
            )
        if ids.shape != (len(states), int(characters.lengths.max())) or not ids.shape[1]:
            raise RequestError(f"ids of shape {tuple(ids.shape)} for {characters.lengths.tolist()} characters")
        encoded = self.t2u.model.encoder(
            inputs_embeds=states, attention_mask=_mask(lengths.to(device), states.shape[1])
        ).last_hidden_state
        upsampled = repeated(encoded, counts)  # (B, C, D)
        places = decoder.pos_emb_alpha_char * decoder.embed_char_positions(inputs_embeds=upsampled)
        spelled = decoder.embed_char(ids) * decoder.embed_scale + places + upsampled
        return spelled, _mask(counts.sum(1), ids.shape[1])

    def _durations(self, durations: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        if durations.shape != valid.shape:
            raise RequestError(
                f"durations of shape {tuple(durations.shape)} for characters of shape {tuple(valid.shape)}"
            )
        durations = durations.to(valid.device).masked_fill(~valid, 0)
        if bool((durations < 0).any()):
            raise RequestError(f"durations are not negative, the least is {int(durations.min())}")
        return durations

    def _decoded(self, spelled: torch.Tensor, durations: torch.Tensor) -> torch.Tensor:
        """Vectors of the characters (B, C, D), each for as long as it lasts, through the decoder: (B, U, D)."""
        decoder = self.t2u.model.decoder
        hidden = repeated(spelled, durations)  # (B, U, D)
        if not hidden.shape[1]:
            return hidden
        hidden = hidden + decoder.pos_emb_alpha * decoder.embed_positions(inputs_embeds=hidden)
        hidden = nn.functional.dropout(hidden, p=decoder.dropout, training=self.training)
        valid = _mask(durations.sum(1), hidden.shape[1])
        seen = valid | (
            torch.arange(hidden.shape[1], device=hidden.device) == 0
        )  # a row of nothing attends to one zero
        attention_mask = create_bidirectional_mask(config=decoder.config, inputs_embeds=hidden, attention_mask=seen)
        for layer in decoder.layers:
            if self.training and decoder.layerdrop and float(torch.rand([])) < decoder.layerdrop:
                continue
            hidden = layer(hidden, attention_mask=attention_mask, padding_mask=valid)
        normed: torch.Tensor = decoder.layer_norm(hidden)
        return normed

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, U, D) to (B, U, K): only units are told apart, not the tokens before and behind them."""
        weight = self.t2u.lm_head.weight[self.offset : self.offset + self.n_units]
        return nn.functional.linear(hidden, weight)


def _mask(lengths: torch.Tensor, n: int) -> torch.Tensor:
    """(B, n) bool on the device of ``lengths``, True where a position is valid."""
    return torch.arange(n, device=lengths.device)[None, :] < lengths[:, None]
