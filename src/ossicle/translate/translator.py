"""Translator: speech or text in, text out, and from that text speech.

One text decoder attends to what a speech encoder heard or a text encoder read; a unit decoder makes units of its states
and a vocoder a waveform of those. Knows its parts and how they fit; does not know files, searches or training. All
parts are `transformers`' own modules, so that a folder in the published layout is this very model.
Source: Barrault et al. 2023 (SeamlessM4T), and its second version (Seamless Communication 2023, section 3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers.models.seamless_m4t_v2.configuration_seamless_m4t_v2 import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2Decoder,
    SeamlessM4Tv2Encoder,
    SeamlessM4Tv2SpeechEncoder,
)

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.encoders.banks import STACKED, Banks
from ossicle.encoders.waves import Tail, heard_s
from ossicle.errors import RequestError
from ossicle.tensors import Features, Frames, between
from ossicle.translate import speech_encoder
from ossicle.translate.text import TextTokens


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the text decoder attends to.

    Args:
        values: (B, N, D) float, zero past ``lengths``.
        lengths: (B,) int64 on the CPU.
        heard_s: (B,) float64 on the CPU, seconds of each clip that lie in its frames; None of text.
    """

    values: torch.Tensor
    lengths: torch.Tensor
    heard_s: torch.Tensor | None = None

    def rows(self, which: Sequence[int]) -> "Encoded":
        """Some items, in this order, as one batch."""
        at = torch.tensor(list(which), dtype=torch.int64)
        lengths = self.lengths[at]
        values = self.values[at.to(self.values.device), : int(lengths.max())]
        return Encoded(values, lengths, None if self.heard_s is None else self.heard_s[at])


class Translator(nn.Module):
    """Speech and text to text, and to speech.

    Args:
        config: arguments of a ``SeamlessM4Tv2Config``; what is not said has that class's value.
        text: tokens and languages.
        stack: filter banks of 10 ms in one frame of the speech encoder, two as published.
        tail: "pad" hears every sample, "drop" is the published rule.
        max_s: longest clip in seconds that is heard at once.
        speaks: whether there are a unit decoder and a vocoder to come.
        hears, reads: whether there are a speech encoder and a text encoder; a published folder may lack one.
        name: for messages.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        config: Mapping[str, Any],
        text: TextTokens,
        *,
        stack: int = STACKED,
        tail: Tail = "pad",
        max_s: float = 30.0,
        hears: bool = True,
        reads: bool = True,
        name: str = "own",
    ) -> None:
        super().__init__()
        self.config, self.text, self.tail, self.max_s, self.name = dict(config), text, tail, max_s, name
        made = SeamlessM4Tv2Config(**self.config)
        self.settings = made
        self.width = made.hidden_size
        self.banks = Banks(made.feature_projection_input_dim, stack=stack, tail=tail, max_s=max_s)
        self.shared = nn.Embedding(made.vocab_size, made.hidden_size, made.pad_token_id)
        self.speech_encoder = SeamlessM4Tv2SpeechEncoder(made) if hears else None
        self.text_encoder = SeamlessM4Tv2Encoder(made) if reads else None
        self.text_decoder = SeamlessM4Tv2Decoder(made)
        self.lm_head = nn.Linear(made.hidden_size, made.vocab_size, bias=False)
        nn.init.normal_(self.shared.weight, std=made.initializer_range)
        self.unit_decoder: nn.Module | None = None
        self.vocoder: nn.Module | None = None
        self.codebook: nn.Module | None = None
        self.aligner: nn.Module | None = None
        self.hearing: nn.Module | None = None
        self.choices: nn.Module | None = None
        self.tie()

    def tie(self) -> None:
        """One table for all tokens: read by both encoders of text, and written by the head."""
        for part in (self.text_encoder, self.text_decoder):
            if part is not None:
                part.embed_tokens.weight = self.shared.weight
        self.lm_head.weight = self.shared.weight

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that text may be in."""
        return self.text.languages

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shared.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.shared.weight.dtype

    @property
    def encoded_hz(self) -> float:
        """What the text decoder attends to, a second of speech."""
        return self.banks.rate_hz / speech_encoder.shortening(self.settings)

    def n_frames(self, n_samples: int) -> int:
        """Frames of the conformer for ``n_samples`` at 16 kHz."""
        return self.banks.n_frames(n_samples)

    def n_units(self, n_samples: int) -> int:
        """Units, one every 20 ms, that a codebook makes of ``n_samples`` at 16 kHz."""
        return self.banks.n_moments(n_samples)

    def n_encoded(self, n_samples: int) -> int:
        """What the text decoder attends to for ``n_samples`` at 16 kHz."""
        return speech_encoder.shortened(self.n_frames(n_samples), self.settings)

    def features(self, clips: Sequence[Clip]) -> Features:
        """What the speech encoder reads: (B, F, T).

        Raises:
            EncoderError: no clip, or one longer than ``max_s``.
        """
        return self.banks.features(clips)

    def frames(self, features: Features, *, layer: int | None = None) -> Frames:
        """Frames of the conformer, 50 a second as published, before the adaptor.

        Args:
            features: of clips.
            layer: whose output, counted from 1; None is the last with its norm.

        Returns:
            values (B, T, D).

        Raises:
            RequestError: the model hears no speech.
            EncoderError: no such layer.
        """
        encoder, lengths = self._ear(), self._lengths(features)
        values = features.values.to(device=self.device, dtype=self.dtype)
        hidden = speech_encoder.hidden_states(encoder, values, lengths, layer=layer)
        return Frames(hidden, lengths, self.banks.rate_hz, heard_s(self, features, self.banks.field, self.banks.hop))

    def moments(self, features: Features, layer: int) -> Frames:
        """What a codebook makes units of: a layer's frames, 50 a second; where it has fewer, with others between them.

        Args:
            features: of clips.
            layer: whose output, counted from 1.

        Returns:
            values (B, U, D).

        Raises:
            RequestError, EncoderError: as `frames`.
        """
        found, fine = self.frames(features, layer=layer), self.banks.fine
        values = between(found.values, found.lengths, fine)
        return Frames(values, fine * found.lengths, fine * found.rate_hz, found.durations_s)

    def hear(self, features: Features) -> Encoded:
        """Speech, as the text decoder attends to it.

        Raises:
            RequestError: the model hears no speech.
            EncoderError: a clip is too short.
        """
        return self.adapted(self.frames(features))

    def adapted(self, frames: Frames) -> Encoded:
        """The conformer's own output, as the text decoder attends to it.

        Raises:
            RequestError: the model hears no speech.
            EncoderError: a clip is too short.
        """
        values, n = speech_encoder.adapted(self._ear(), frames.values, frames.lengths)
        return Encoded(values, n, frames.durations_s)

    def read(self, ids: Sequence[Sequence[int]]) -> Encoded:
        """Text, as the text decoder attends to it.

        Args:
            ids: of each source, as `TextTokens.encode` makes them.

        Raises:
            RequestError: the model reads no text, or a text is longer than it reads.
        """
        if self.text_encoder is None:
            raise RequestError(f"{self.name} reads no text: it was made without a text encoder")
        padded, lengths = self.padded(ids)
        mask = speech_encoder.valid(lengths, padded.shape[1], self.device)
        values = self.text_encoder(input_ids=padded, attention_mask=mask).last_hidden_state
        return Encoded(values if mask is None else values * mask[..., None], lengths)

    def states(self, encoded: Encoded, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        """The text decoder's states over given ids, (B, L, D); those past the end of an item mean nothing.

        Args:
            encoded: what is attended to.
            ids: what the decoder reads, ``[eos, language, t1, .., tn]``: the state at ``language`` predicts ``t1``.

        Raises:
            RequestError: more ids than the model has positions for.
        """
        padded, _ = self.padded(ids)
        seen = speech_encoder.valid(encoded.lengths, encoded.values.shape[1], self.device)
        made = self.text_decoder(
            input_ids=padded, encoder_hidden_states=encoded.values, encoder_attention_mask=seen, use_cache=False
        )
        hidden: torch.Tensor = made.last_hidden_state
        return hidden

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Scores of all tokens, (B, L, V)."""
        scores: torch.Tensor = self.lm_head(states)
        return scores

    def padded(self, ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids side by side, (B, L) int64 on the model's device, and how many each item has, (B,) on the CPU.

        Raises:
            RequestError: more than the model has positions for.
        """
        lengths = torch.tensor([len(one) for one in ids], dtype=torch.int64)
        most = self.settings.max_position_embeddings
        if int(lengths.max()) > most:
            raise RequestError(
                f"a text of {int(lengths.max())} tokens is longer than the {most} that {self.name} reads"
            )
        rows = [torch.tensor(list(one), dtype=torch.int64) for one in ids]
        return pad_sequence(rows, batch_first=True, padding_value=self.text.pad).to(self.device), lengths

    def _lengths(self, features: Features) -> torch.Tensor:
        return torch.tensor([self.n_frames(n) for n in features.n_samples.tolist()], dtype=torch.int64)

    def _ear(self) -> SeamlessM4Tv2SpeechEncoder:
        if self.speech_encoder is None:
            raise RequestError(f"{self.name} hears no speech: it was made without a speech encoder")
        return self.speech_encoder
