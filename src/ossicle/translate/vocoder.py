"""From units to a waveform: what every vocoder of units promises, and the published HiFi-GAN (SeamlessM4T-v2).

Knows units, languages and speakers; does not know text, nor what chose the units. The forward around `transformers`'
modules is ours: every unit is 320 samples, and a row of a batch is what it is alone, because what lies beyond it is
silenced before each convolution reads it. Source: Polyak et al. 2021; Kong et al. 2020; Barrault et al. 2023.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import HifiGanResidualBlock, SeamlessM4Tv2CodeHifiGan

from ossicle.errors import ConfigError, RequestError
from ossicle.translate.unit_decoder import repeated

UNIT_SAMPLES = 320
"""Samples of a unit: 20 ms at 16 kHz."""
FIRST_SPEAKERS = {"arb": 0, "cmn": 4, "deu": 9, "eng": 10, "fra": 15, "jpn": 30, "kor": 31, "spa": 45}
"""The first speaker of a language in the released vocoder's table, for the languages where it is known."""
RELEASED_SPEAKERS = 200
"""Rows of that table; in a table of another size the numbers mean nothing."""


class UnitVocoder(Protocol):
    """What every vocoder of units promises.

    ``languages`` that it speaks; ``speakers``, names of voices with their numbers; ``n_units``, the number of units;
    ``reach``, how many units on either side a unit's samples depend on.
    """

    languages: tuple[str, ...]
    speakers: Mapping[str, int]
    n_units: int

    @property
    def reach(self) -> int:
        """How many units on either side a unit's samples depend on."""
        ...

    def __call__(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        *,
        languages: Sequence[str],
        speakers: Sequence[str | int | None],
    ) -> torch.Tensor:
        """Units (B, U) int64 of ``lengths`` (B,), each row in its language and voice, to samples (B, 320 * U) float32
        at 16 kHz, zero past 320 * lengths. A speaker is a name, a number, or None: the language's own first one."""
        ...

    def default_speaker(self, language: str) -> int:
        """The first speaker of a language."""
        ...

    def speaker_row(self, who: str | int | None, language: str) -> int:
        """The number of a speaker; None is the language's own first one. Raises RequestError for none that is there."""
        ...


class HifiGan(nn.Module):
    """The published vocoder.

    Args:
        vocoder: embeddings of units, languages and speakers, duration predictor, generator.
        languages: the row of each language in its table.
        speakers: names of speakers with their rows. A language's name stands for its own first speaker; where none is
            said, what is known of the released table counts.

    Raises:
        ConfigError: a unit that is not 320 samples, a row that a table does not have.
    """

    def __init__(
        self,
        vocoder: SeamlessM4Tv2CodeHifiGan,
        languages: Mapping[str, int],
        *,
        speakers: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.vocoder = vocoder
        rates, kernels = vocoder.config.upsample_rates, vocoder.config.upsample_kernel_sizes
        odd = any((kernel - rate) % 2 for rate, kernel in zip(rates, kernels, strict=True))
        if math.prod(rates) != UNIT_SAMPLES or odd:
            raise ConfigError(
                f"a vocoder makes {UNIT_SAMPLES} samples of a unit: upsample_rates are {list(rates)}, their product is "
                f"{math.prod(rates)}; upsample_kernel_sizes {list(kernels)}, each odd or even as its rate"
            )
        self.n_units: int = vocoder.unit_embedding.num_embeddings
        self.n_speakers: int = vocoder.speaker_embedding.num_embeddings
        known = FIRST_SPEAKERS if self.n_speakers == RELEASED_SPEAKERS else {}
        self.speakers = {**{name: row for name, row in known.items() if name in languages}, **(speakers or {})}
        self.language_rows = dict(languages)
        self.languages = tuple(self.language_rows)
        for what, rows, n in (
            ("language", self.language_rows, vocoder.language_embedding.num_embeddings),
            ("speaker", self.speakers, self.n_speakers),
        ):
            wrong = {name: row for name, row in rows.items() if not 0 <= row < n}
            if wrong:
                raise ConfigError(f"the vocoder's table of {what}s has rows 0..{n - 1}, got {wrong}")

    @property
    def reach(self) -> int:
        """How many units on either side a unit's samples depend on: its 320 followed back through every layer."""
        gan = self.vocoder.hifi_gan
        first, last = 0, UNIT_SAMPLES - 1

        def wide(first: int, last: int, *sides: int) -> tuple[int, int]:
            return first - sum(sides), last + sum(sides)

        first, last = wide(first, last, _side(gan.conv_post))
        for i in reversed(range(len(gan.upsampler))):
            blocks = gan.resblocks[i * gan.num_kernels : (i + 1) * gan.num_kernels]
            first, last = wide(first, last, max(sum(_side(c) for c in [*b.convs1, *b.convs2]) for b in blocks))
            up = gan.upsampler[i]
            kernel, stride, padding = up.kernel_size[0], up.stride[0], up.padding[0]
            first, last = -((kernel - 1 - padding - first) // stride), (last + padding) // stride
        first, last = wide(first, last, _side(gan.conv_pre))
        return max(-first, last)

    def default_speaker(self, language: str) -> int:
        """The first speaker of a language.

        Raises:
            RequestError: the language is not spoken, or its first speaker is not known.
        """
        self._language(language)
        if language not in self.speakers:
            raise RequestError(
                f"the first speaker of {language!r} is not known: give a speaker, a number 0..{self.n_speakers - 1}"
                f"{f' or one of {sorted(self.speakers)}' if self.speakers else ''}"
            )
        return self.speakers[language]

    def forward(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        *,
        languages: Sequence[str],
        speakers: Sequence[str | int | None],
    ) -> torch.Tensor:
        """Speak a batch of units.

        Args:
            units: (B, U) int64 in 0..K-1; anything beyond each row.
            lengths: (B,) int64, valid units of each row.
            languages, speakers: one for each row.

        Returns:
            samples (B, 320 * U) float32 at 16 kHz, zero past 320 * lengths.

        Raises:
            RequestError: an unknown language, speaker or unit; not one language and speaker for each row.
        """
        valid = self._valid(units, lengths)
        if len(languages) != len(units) or len(speakers) != len(units):
            raise RequestError(
                f"{len(units)} rows of units need as many languages and speakers: {len(languages)} and {len(speakers)} "
                "were given"
            )
        spoken = [self._language(language) for language in languages]
        voices = [self.speaker_row(who, language) for who, language in zip(speakers, languages, strict=True)]
        if not units.shape[1]:
            return torch.zeros(len(units), 0, device=units.device)
        hidden = torch.cat(
            [
                part.expand(-1, units.shape[1], -1)
                for part in (
                    self.vocoder.language_embedding(torch.tensor(spoken, device=units.device)[:, None]),
                    self.vocoder.unit_embedding(units.masked_fill(~valid, 0)),
                    self.vocoder.speaker_embedding(torch.tensor(voices, device=units.device)[:, None]),
                )
            ],
            dim=2,
        )  # (B, U, language + unit + speaker)
        return self._generated(hidden.transpose(1, 2), valid)

    def stretched(self, units: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Units as often as the vocoder's own duration predictor says, which was made for units without repetitions.

        The published model of this version does not use it, `transformers` does.

        Args:
            units: (B, U) int64.
            lengths: (B,) int64.

        Returns:
            units (B, U') and lengths (B,).
        """
        valid = self._valid(units, lengths)
        if not units.shape[1]:
            return units, lengths
        embedded = self.vocoder.unit_embedding(units.masked_fill(~valid, 0))
        log_durations = self.vocoder.dur_predictor(embedded, padding_mask=valid)
        durations = torch.round(torch.expm1(log_durations.float())).long().clamp(min=1).masked_fill(~valid, 0)
        return repeated(units[..., None], durations)[..., 0], durations.sum(1)

    def norm_weights(self) -> None:
        """Split each convolution's weight into size and direction, for training; the output stays."""
        self.vocoder.apply_weight_norm()

    def plain_weights(self) -> None:
        """Join what `norm_weights` split; names are those of the published files again, the output stays."""
        for part in self.vocoder.hifi_gan.modules():
            if parametrize.is_parametrized(part, "weight"):
                parametrize.remove_parametrizations(part, "weight")

    def _generated(self, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(B, C, U) to samples (B, 320 * U); ``valid`` (B, U) says what is silenced."""
        gan = self.vocoder.hifi_gan
        mask = None if bool(valid.all()) else valid[:, None].to(hidden.dtype)  # (B, 1, U)
        hidden = gan.conv_pre(_within(hidden, mask))
        for i, upsampler in enumerate(gan.upsampler):
            hidden = upsampler(_within(nn.functional.leaky_relu(hidden, gan.leaky_relu_slope), mask))
            if mask is not None:
                mask = mask.repeat_interleave(upsampler.stride[0], dim=2)
            hidden = _within(hidden, mask)
            blocks = gan.resblocks[i * gan.num_kernels : (i + 1) * gan.num_kernels]
            total = _through(blocks[0], hidden, mask)
            for block in blocks[1:]:
                total = total + _through(block, hidden, mask)
            hidden = total / gan.num_kernels
        hidden = gan.conv_post(_within(nn.functional.leaky_relu(hidden), mask))
        return _within(torch.tanh(hidden), mask).squeeze(1).float()

    def _valid(self, units: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, U) bool: where there is a unit."""
        valid = torch.arange(units.shape[1], device=units.device)[None, :] < lengths.to(units.device)[:, None]
        inside = units[valid]
        if len(inside) and not 0 <= int(inside.min()) <= int(inside.max()) < self.n_units:
            raise RequestError(f"units are 0..{self.n_units - 1}, got {int(inside.min())}..{int(inside.max())}")
        return valid

    def _language(self, language: str) -> int:
        if language not in self.language_rows:
            raise RequestError(
                f"no voice speaks {language!r}: the vocoder speaks {', '.join(sorted(self.languages))}",
                code="unsupported_language",
            )
        return self.language_rows[language]

    def speaker_row(self, who: str | int | None, language: str) -> int:
        """The number of a speaker; None is the language's own first one.

        Raises:
            RequestError: there is no such speaker.
        """
        if who is None:
            return self.default_speaker(language)
        if isinstance(who, str) and who in self.speakers:
            return self.speakers[who]
        if isinstance(who, str) or not 0 <= who < self.n_speakers:
            raise RequestError(
                f"no speaker {who!r}: a speaker is a number 0..{self.n_speakers - 1}"
                f"{f' or one of {sorted(self.speakers)}' if self.speakers else ''}"
            )
        return who


def _side(conv: nn.Conv1d) -> int:
    """How far a convolution reads on either side."""
    return int(conv.dilation[0]) * (int(conv.kernel_size[0]) - 1) // 2


def _within(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return values if mask is None else values * mask


def _through(block: HifiGanResidualBlock, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """A residual block over (B, C, N), of which it reads and gives nothing beyond ``mask``."""
    slope = block.leaky_relu_slope
    for dilated, plain in zip(block.convs1, block.convs2, strict=True):
        inner = dilated(nn.functional.leaky_relu(hidden, slope))
        hidden = _within(hidden + plain(_within(nn.functional.leaky_relu(inner, slope), mask)), mask)
    return hidden
