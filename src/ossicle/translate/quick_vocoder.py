"""A quick vocoder: units become speech by convolutions at their own rate and one inverse Fourier transform.

Knows units, languages and speakers by name; does not know which codebook made the units, nor how it is trained. Blocks
at 50 Hz read units, blocks at 100 Hz read frames, a head gives every frame's log-magnitudes and phases. All that is
costly runs at 100 Hz and not at 16 kHz, so that a processor's one core is many times faster than real time.
Source: Siuzdak 2023, "Vocos" (arXiv 2306.00814), section 3, for the head and the inverse transform; Liu et al. 2022,
"A ConvNet for the 2020s" (arXiv 2201.03545), figure 4, for the block; the embeddings of unit, language and speaker are
those of SeamlessM4T v2's vocoder, added up in place of side by side; Takamichi et al. 2016, "Postfilters to modify the
modulation spectrum", for what a spectrum regains in use, here by a moving mean.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.errors import ConfigError, RequestError
from ossicle.tensors import length_mask
from ossicle.translate.vocoder import UNIT_SAMPLES

FRAMES = 2
"""Spectral frames of one unit."""
HOP = UNIT_SAMPLES // FRAMES
OVERLAP = 4
N_FFT = OVERLAP * HOP
N_BINS = N_FFT // 2 + 1
CLARITY, CLEAR_FRAMES = 0.3, 4
"""What is learned from spectra alone moves too little: when the vocoder speaks, every log-magnitude goes so much
farther from its mean over so many frames on either side."""
LOUDEST = 100.0
"""No magnitude is larger: the exponential of a new network must not run away."""


class Block(nn.Module):
    """A ConvNeXt block: each channel along time, then each moment across channels, added to what came in.

    Args:
        width: channels C.
        ffn: channels between the two linear maps.
        kernel: moments that the convolution reads, odd.
        scale: what the block's own part begins with, a weight per channel.
    """

    def __init__(self, width: int, ffn: int, kernel: int, scale: float) -> None:
        super().__init__()
        # of height 1, because on a processor the backward pass of a two-dimensional one is three times as quick
        self.along = nn.Conv2d(width, width, (1, kernel), padding=(0, kernel // 2), groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, ffn)
        self.narrow = nn.Linear(ffn, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Values (B, T, C), of which those are read where ``valid`` (B, T, 1) is 1."""
        read = (values * valid).transpose(1, 2)[:, :, None]  # (B, T, C) -> (B, C, 1, T)
        seen = self.along(read)[:, :, 0].transpose(1, 2)  # (B, C, 1, T) -> (B, T, C)
        own: torch.Tensor = self.narrow(functional.gelu(self.wide(self.norm(seen))))
        return values + self.scale * own


class QuickVocoder(nn.Module):
    """Units to speech, 320 samples at 16 kHz for each.

    Args:
        n_units: units K of the codebook.
        languages: that can be spoken.
        speakers: each speaker's name, and the language that is the speaker's own; of a language the first is its
            default.
        width: channels C.
        ffn: channels between the two linear maps of a block.
        unit_blocks: blocks at 50 Hz.
        frame_blocks: blocks at 100 Hz.
        kernel: moments that a block's convolution reads, odd.

    Raises:
        ConfigError: a size < 1, an even ``kernel``, no or doubled languages, no speakers, or a speaker of a language
            that is not spoken.
    """

    kind: ClassVar[str] = "quick"
    sample_rate: ClassVar[int] = 16_000

    def __init__(
        self,
        n_units: int,
        languages: Sequence[str],
        speakers: Mapping[str, str],
        *,
        width: int = 144,
        ffn: int = 432,
        unit_blocks: int = 2,
        frame_blocks: int = 4,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        self.n_units, self.languages, self.home = n_units, tuple(languages), dict(speakers)
        self.width, self.ffn, self.kernel = width, ffn, kernel
        self.unit_blocks, self.frame_blocks = unit_blocks, frame_blocks
        self._check()
        self.speakers: Mapping[str, int] = {name: i for i, name in enumerate(self.home)}
        self.unit = nn.Embedding(n_units, width)
        self.language = nn.Embedding(len(self.languages), width)
        self.speaker = nn.Embedding(len(self.speakers), width)
        n_blocks = unit_blocks + frame_blocks
        blocks = [Block(width, ffn, kernel, 1 / n_blocks) for _ in range(n_blocks)]
        self.first_norm = nn.LayerNorm(width)
        self.of_units = nn.ModuleList(blocks[:unit_blocks])
        self.split = nn.Linear(width, FRAMES * width)
        self.of_frames = nn.ModuleList(blocks[unit_blocks:])
        self.last_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * N_BINS)

    def _check(self) -> None:
        sizes = {
            **{"n_units": self.n_units, "width": self.width, "ffn": self.ffn, "kernel": self.kernel},
            **{"unit_blocks": self.unit_blocks, "frame_blocks": self.frame_blocks},
        }
        for name, value in sizes.items():
            if value < 1:
                raise ConfigError(f"QuickVocoder: {name} is {value}, it must be at least 1")
        if self.kernel % 2 == 0:
            raise ConfigError(f"QuickVocoder: kernel is {self.kernel}, it must be odd: a block reads as far both ways")
        if not self.languages or len(set(self.languages)) < len(self.languages):
            told = ", ".join(self.languages) or "none"
            raise ConfigError(f"QuickVocoder: languages are {told}: name at least one, each once")
        if not self.home:
            raise ConfigError("QuickVocoder: there are no speakers: name at least one")
        for name, language in self.home.items():
            if language not in self.languages:
                raise ConfigError(
                    f"QuickVocoder: the speaker {name!r} speaks {language!r}, the languages are "
                    f"{', '.join(self.languages)}"
                )

    def settings(self) -> dict[str, Any]:
        """The arguments that build this vocoder again, as plain values."""
        return {
            **{"n_units": self.n_units, "languages": list(self.languages), "speakers": dict(self.home)},
            **{"width": self.width, "ffn": self.ffn, "kernel": self.kernel},
            **{"unit_blocks": self.unit_blocks, "frame_blocks": self.frame_blocks},
        }

    @property
    def reach(self) -> int:
        """How many units on either side a unit's samples depend on: one by the transform's window, and as far as the
        mean of frames and the blocks read."""
        side = self.kernel // 2
        return 1 + -(-(side * self.frame_blocks + CLEAR_FRAMES) // FRAMES) + side * self.unit_blocks

    def default_speaker(self, language: str) -> int:
        """The number of the first speaker of a language.

        Raises:
            RequestError: ``unsupported_language``: it is not spoken, or nobody speaks it.
        """
        self._language(language)
        found = next((name for name, own in self.home.items() if own == language), None)
        if found is None:
            raise RequestError(
                f"no speaker of this vocoder speaks {language!r}: name one of {', '.join(self.speakers)}",
                code="unsupported_language",
            )
        return self.speakers[found]

    def speaker_row(self, who: str | int | None, language: str) -> int:
        """The number of a speaker; None is the language's own first one.

        Raises:
            RequestError: there is no such speaker, or nobody speaks the language.
        """
        if who is None:
            return self.default_speaker(language)
        row = self.speakers.get(who) if isinstance(who, str) else who
        if row is None or not 0 <= row < len(self.speakers):
            raise RequestError(
                f"this vocoder has no speaker {who!r}, its {len(self.speakers)} are {', '.join(self.speakers)}"
            )
        return row

    def with_speaker(self, name: str, language: str) -> "QuickVocoder":
        """This vocoder with one more speaker, who begins as the mean of the others; all else is a copy.

        Raises:
            ConfigError: there is a speaker of that name, or the language is not spoken.
        """
        if name in self.speakers:
            raise ConfigError(f"there is a speaker {name!r} already: speakers are {', '.join(self.speakers)}")
        grown = QuickVocoder(**{**self.settings(), "speakers": {**self.home, name: language}})
        held = dict(self.state_dict())
        known = held["speaker.weight"]
        held["speaker.weight"] = torch.cat([known, known.mean(dim=0, keepdim=True)])
        grown.to(known).load_state_dict(held)
        return grown.train(self.training)

    def forward(
        self,
        units: torch.Tensor,
        lengths: torch.Tensor,
        *,
        languages: Sequence[str],
        speakers: Sequence[str | int | None],
    ) -> torch.Tensor:
        """Speech of a batch; each row as it would be alone.

        Args:
            units: (B, U) int64, 0 to K - 1; past a row's length anything.
            lengths: (B,) int64, units of each row, at least 1.
            languages: B languages to speak.
            speakers: B speakers by name or number; None is the language's default.

        Returns:
            (B, 320 * U) float32, zero past 320 * lengths.

        Raises:
            RequestError: an unknown language or speaker, no language or speaker for each row, a length or a unit out
                of range.
        """
        valid = self._valid(units, lengths).to(units.device)  # (B, U)
        ids = torch.where(valid, units, 0)
        if int(ids.min()) < 0 or int(ids.max()) >= self.n_units:
            wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise RequestError(f"a unit is {wrong}, this vocoder knows 0 to {self.n_units - 1}")
        hidden = self.unit(ids) + self._who(languages, speakers, len(ids))[:, None]  # (B, U, C)
        here = valid[..., None].to(hidden)
        hidden = self.first_norm(hidden)
        for block in self.of_units:
            hidden = block(hidden, here)
        hidden = self.split(hidden).view(len(ids), -1, self.width)  # (B, U, 2 C) -> (B, 2 U, C)
        here = here.repeat_interleave(FRAMES, dim=1)
        for block in self.of_frames:
            hidden = block(hidden, here)
        with torch.autocast(hidden.device.type, enabled=False):  # phases need more than 8 bits
            norm, head = self.last_norm, self.head  # in single precision whatever the weights are held in
            hidden = functional.layer_norm(
                hidden.float(), (self.width,), norm.weight.float(), norm.bias.float(), norm.eps
            )
            heard = functional.linear(hidden, head.weight.float(), head.bias.float())  # (B, 2 U, 2 F)
            if not self.training:
                heard = cleared(heard, here.float())
            waves = self.waves(heard, here.float())
        return waves * valid.repeat_interleave(UNIT_SAMPLES, dim=1)

    def waves(self, spectra: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """The inverse transform: log-magnitudes and phases (B, T, 2 F) to samples (B, 160 * T), from frames that are
        silent where ``valid`` (B, T, 1) is 0.

        Frames overlap fourfold under a Hann window on either way, whose squares add up to 1.5 everywhere but in the
        first and last 240 samples: there speech fades, and no frame needs to know how many others there are.
        """
        logs, phases = spectra.chunk(2, dim=-1)
        sizes = logs.exp().clamp(max=LOUDEST) * valid
        spectrum = torch.complex(sizes * phases.cos(), sizes * phases.sin())
        window = torch.hann_window(N_FFT, device=spectra.device)
        frames = torch.fft.irfft(spectrum, n=N_FFT, dim=-1) * (window / 1.5)  # (B, T, 4 * 160)
        pieces = frames.unflatten(-1, (OVERLAP, HOP)).unbind(dim=2)
        laid = [functional.pad(piece, (0, 0, i, OVERLAP - 1 - i)) for i, piece in enumerate(pieces)]
        added = torch.stack(laid).sum(dim=0).flatten(1)  # (B, T + 3, 160) -> (B, 160 * (T + 3))
        edge = (N_FFT - HOP) // 2
        return added[:, edge:-edge]

    def _valid(self, units: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if len(lengths) != len(units) or int(lengths.min()) < 1 or int(lengths.max()) > units.shape[1]:
            raise RequestError(
                f"units have the shape {tuple(units.shape)}, lengths are {lengths.tolist()}: one for each row, from 1 "
                f"to {units.shape[1]}"
            )
        return length_mask(lengths.cpu(), units.shape[1])

    def _language(self, language: str) -> int:
        if language not in self.languages:
            raise RequestError(
                f"this vocoder does not speak {language!r}, it speaks {', '.join(self.languages)}",
                code="unsupported_language",
            )
        return self.languages.index(language)

    def _who(self, languages: Sequence[str], speakers: Sequence[str | int | None], n: int) -> torch.Tensor:
        """What language and speaker add to every unit: (B, C)."""
        if not len(languages) == len(speakers) == n:
            raise RequestError(
                f"{n} rows of units have {len(languages)} languages and {len(speakers)} speakers: every row needs one "
                "of each"
            )
        rows = [self.speaker_row(who, language) for who, language in zip(speakers, languages, strict=True)]
        device = self.unit.weight.device
        spoken = torch.tensor([self._language(one) for one in languages], device=device)
        who: torch.Tensor = self.language(spoken) + self.speaker(torch.tensor(rows, device=device))
        return who


def cleared(spectra: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Spectra (B, T, 2 F) whose log-magnitudes move more: each is taken `CLARITY` of its way from its mean over
    `CLEAR_FRAMES` on either side farther, of frames where ``valid`` (B, T, 1) is 1."""
    logs, phases = spectra.chunk(2, dim=-1)
    span = 2 * CLEAR_FRAMES + 1

    def means(values: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool1d(values.transpose(1, 2), span, 1, CLEAR_FRAMES).transpose(1, 2)

    usual = means(logs * valid) / means(valid).clamp(min=1 / (2 * span))
    return torch.cat([logs + CLARITY * (logs - usual), phases], dim=-1)
