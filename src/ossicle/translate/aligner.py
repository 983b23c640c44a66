"""How long each character of a text lasts in its speech: characters laid beside units, in order.

Knows ids of characters and of units; does not know texts, sound or time. Characters and units become vectors, a unit
speaks for the characters that lie near it, and of all ways through in order the most probable one is the alignment:
every unit belongs to one character, every character has a unit at least. It learns from pairs alone, nobody tells it
times. Layout of the published aligner of SeamlessM4T v2 (Barrault et al. 2023); losses of Badlani et al. 2021 (one TTS
alignment to rule them all), search of Kim et al. 2020 (Glow-TTS).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ossicle.errors import ConfigError, RequestError
from ossicle.tensors import length_mask

FAR = -1e4
"""Log-probability of what is beyond a text's end: e to it is 0, and unlike infinity it has a gradient."""
BLANK = -1.0
"""Log-probability of no character, among those of the characters, while the aligner learns."""
EXACT = "donot_use_mm_for_euclid_dist"
"""Distances that follow neither from how many there are nor from how far all is from zero."""
PUBLISHED = {
    "embed_text": "alignment_frontend.embed_text",
    "embed_unit": "alignment_frontend.embed_unit",
    "t_conv": "alignment_encoder.t_conv",
    "f_conv": "alignment_encoder.f_conv",
}
"""Names of our parts in the published aligner, whose units are tokens: unit + 4."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """Which character each unit speaks for, softly.

    Args:
        log_probs: (B, U, C) float, over characters; `FAR` beyond a text's end, anything beyond the units' end. Where
            the aligner has a silence, the first and the last character of each text are silence.
        lengths: (B,) int64 on the CPU, characters, silences among them.
        unit_lengths: (B,) int64 on the CPU.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    unit_lengths: torch.Tensor


@dataclass(frozen=True, eq=False)
class Durations:
    """Units of each character.

    Args:
        characters: (B, C) int64, 1 or more within a text, 0 beyond its end.
        before, after: (B,) int64, units of silence before the first character and after the last; 0 without silences.
    """

    characters: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor

    def folded(self, lengths: torch.Tensor) -> torch.Tensor:
        """(B, C) int64 with the silences in the first and the last of ``lengths`` (B,) characters: all units in all."""
        whole, last = self.characters.clone(), lengths.to(self.characters.device)[:, None] - 1
        whole[:, 0] += self.before
        return whole.scatter_add(1, last, self.after[:, None])


class Aligner(nn.Module):
    """Characters beside units.

    Args:
        n_characters, n_units: rows of the two tables.
        width: of all vectors.
        silence: the character that stands before and after every text, so that pauses at the ends of the speech have a
            place; None for no such character.
        temperature: factor of distances.
        dropout: while it learns.

    Raises:
        ConfigError: a silence that the table of characters does not have.
    """

    def __init__(
        self,
        n_characters: int,
        n_units: int,
        width: int,
        *,
        silence: int | None = None,
        temperature: float = 1.0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if silence is not None and not 0 <= silence < n_characters:
            raise ConfigError(f"silence is one of the characters 0 to {n_characters - 1}: got {silence}")
        self.silence, self.temperature, self.dropout = silence, temperature, dropout
        self.embed_text = nn.Embedding(n_characters, width)
        self.embed_unit = nn.Embedding(n_units, width)
        self.t_conv = nn.ModuleDict({"1": _wide(width), "4": nn.Conv1d(width, width, 1)})
        self.f_conv = nn.ModuleDict({"1": _wide(width), "4": _wide(width), "7": nn.Conv1d(width, width, 1)})

    def settings(self) -> dict[str, Any]:
        """What builds this aligner again."""
        return {
            "n_characters": self.embed_text.num_embeddings,
            "n_units": self.embed_unit.num_embeddings,
            "width": self.embed_text.embedding_dim,
            "silence": self.silence,
            "temperature": self.temperature,
            "dropout": self.dropout,
        }

    def forward(
        self, characters: torch.Tensor, lengths: torch.Tensor, units: torch.Tensor, unit_lengths: torch.Tensor
    ) -> Aligned:
        """How probable each character is for each unit.

        Args:
            characters: (B, C) int64; what is beyond a text's end is not read.
            lengths: (B,) int64, at least 1.
            units: (B, U) int64; what is beyond their end is not read.
            unit_lengths: (B,) int64.

        Raises:
            RequestError: a text has no character, or with its silences more than its speech has units.
        """
        return self._aligned(characters, lengths, units, unit_lengths, self.dropout if self.training else 0.0)

    @torch.no_grad()
    def durations(
        self, characters: torch.Tensor, lengths: torch.Tensor, units: torch.Tensor, unit_lengths: torch.Tensor
    ) -> Durations:
        """The most probable durations; what it takes and raises as `forward`, nothing dropped out."""
        aligned = self._aligned(characters, lengths, units, unit_lengths, 0.0)
        path = search(aligned.log_probs, aligned.lengths, aligned.unit_lengths)
        lasting = counted(path, aligned.log_probs.shape[2]).to(characters.device)
        none = torch.zeros_like(lasting[:, 0])
        if self.silence is None:
            return Durations(lasting, none, none)
        end = aligned.lengths.to(lasting.device)[:, None] - 1
        after = lasting.gather(1, end)
        return Durations(lasting.scatter(1, end, 0)[:, 1:-1], lasting[:, 0], after[:, 0])

    def _aligned(
        self,
        characters: torch.Tensor,
        lengths: torch.Tensor,
        units: torch.Tensor,
        unit_lengths: torch.Tensor,
        dropout: float,
    ) -> Aligned:
        lengths, unit_lengths = lengths.cpu(), unit_lengths.cpu()
        if int(lengths.min()) < 1:
            raise RequestError(f"every text needs at least 1 character to be aligned: got {lengths.tolist()}")
        if self.silence is not None:
            characters, lengths = between(characters, lengths, self.silence), lengths + 2
        for i, (n, n_units) in enumerate(zip(lengths.tolist(), unit_lengths.tolist(), strict=True)):
            if n_units < n:
                silences = "" if self.silence is None else ", 2 of them silence,"
                raise RequestError(
                    f"{n} characters{silences} need at least as many units: text {i} has {n_units}; is it the right "
                    "text, is its speech cut?"
                )
        spoken = length_mask(unit_lengths, units.shape[1]).to(units.device)
        written = length_mask(lengths, characters.shape[1]).to(characters.device)
        with torch.autocast(units.device.type, enabled=False):  # the same durations in training and in use
            letters = _through(self.t_conv, self.embed_text(characters * written), written, dropout)  # (B, C, D)
            sounds = _through(self.f_conv, self.embed_unit(units * spoken), spoken, dropout)  # (B, U, D)
            far = torch.cdist(sounds.float(), letters.float(), compute_mode=EXACT)  # (B, U, C)
            scores = (-self.temperature * far).masked_fill(~written[:, None], FAR)
            return Aligned(scores.log_softmax(-1), lengths, unit_lengths)


def _wide(width: int) -> nn.Conv1d:
    """A convolution that begins with its own place alone: with neighbours from the start, an alignment that is shifted
    by some units would be as good as the right one."""
    conv = nn.Conv1d(width, width, 3, padding=1)
    with torch.no_grad():
        conv.weight[:, :, ::2] = 0.0
    return conv


def _through(convs: nn.ModuleDict, values: torch.Tensor, mask: torch.Tensor, dropout: float) -> torch.Tensor:
    """Values (B, N, D) through convolutions that meet nothing but zeros beyond the end, as they do alone."""
    *inner, last = convs.values()
    keep = mask[:, None].to(values.dtype)
    values = values.transpose(1, 2)  # (B, N, D) -> (B, D, N)
    for conv in inner:
        values = functional.dropout(functional.relu(conv(values * keep)), dropout, dropout > 0)
    return functional.dropout(last(values * keep), dropout, dropout > 0).transpose(1, 2)


def between(characters: torch.Tensor, lengths: torch.Tensor, silence: int) -> torch.Tensor:
    """Characters (B, C + 2) with a silence before the first and after the last."""
    wide = functional.pad(characters, (1, 1), value=silence)
    return wide.scatter(1, lengths.to(wide.device)[:, None] + 1, silence)


def search(log_probs: torch.Tensor, lengths: torch.Tensor, unit_lengths: torch.Tensor) -> torch.Tensor:
    """The most probable way through characters in order: each unit stays with a character or goes on to the next.

    All texts and characters at once, unit by unit, on the CPU. Where both are as probable it goes on late.

    Args:
        log_probs: (B, U, C) float.
        lengths, unit_lengths: (B,) int64, characters and units; at least as many units.

    Returns:
        (B, U) int64 on the CPU, the character of each unit, -1 beyond the units' end.
    """
    values = log_probs.detach().double().cpu().numpy()
    n_texts, n_units, n_characters = values.shape
    ends = unit_lengths.cpu().numpy()
    went = np.zeros((n_units, n_texts, n_characters), bool)
    best = np.full((n_texts, n_characters), -np.inf)
    best[:, 0] = values[:, 0, 0]
    for at in range(1, n_units):
        onward = np.pad(best[:, :-1], ((0, 0), (1, 0)), constant_values=-np.inf)
        went[at] = onward >= best
        best = np.maximum(onward, best) + values[:, at]
    path = np.full((n_texts, n_units), -1, np.int64)
    here, rows = lengths.cpu().numpy() - 1, np.arange(n_texts)
    for at in range(n_units - 1, -1, -1):
        inside = at < ends
        path[inside, at] = here[inside]
        here = here - (went[at, rows, here] & inside)
    return torch.from_numpy(path)


def counted(path: torch.Tensor, n_characters: int) -> torch.Tensor:
    """Units of each character, (B, C) int64, of a path (B, U) with -1 beyond its end."""
    return functional.one_hot(path + 1, n_characters + 1).sum(1)[:, 1:]


def forward_sum(aligned: Aligned, *, prior: float = 0.0, blank: float = BLANK) -> torch.Tensor:
    """Minus the log-probability that all characters come in order, over all ways through: CTC.

    Args:
        aligned: of a batch.
        prior: weight of `beta_binomial`.
        blank: log-probability of no character beside the characters'; with `FAR` the sum is over alignments alone, and
            0 where one is sure.

    Returns:
        The sum over the batch.
    """
    values = believed(aligned, prior)
    beside = functional.pad(values, (1, 0), value=blank).log_softmax(-1).transpose(0, 1)  # (U, B, 1 + C)
    wanted = torch.arange(1, values.shape[2] + 1, device=values.device).expand(len(values), -1)
    return functional.ctc_loss(beside, wanted, aligned.unit_lengths, aligned.lengths, reduction="sum")


def believed(aligned: Aligned, prior: float) -> torch.Tensor:
    """Log-probabilities (B, U, C) with the belief of `beta_binomial`, weighed, not normed again."""
    values = aligned.log_probs.float()
    if prior == 0:
        return values
    return values + prior * beta_binomial(aligned.lengths, aligned.unit_lengths).to(values.device)


def binarisation(aligned: Aligned, path: torch.Tensor) -> torch.Tensor:
    """Minus the log-probabilities of a path (B, U), summed: what it takes for the soft alignment to be the hard one."""
    path = path.to(aligned.log_probs.device)
    along = aligned.log_probs.gather(2, path.clamp(min=0)[:, :, None])[:, :, 0]
    return -(along * (path >= 0)).sum()


def beta_binomial(lengths: torch.Tensor, unit_lengths: torch.Tensor) -> torch.Tensor:
    """Log-probability of each character for each unit if all that is known is that speech goes evenly through a text.

    Args:
        lengths, unit_lengths: (B,) int64 on the CPU.

    Returns:
        (B, U, C) float32; `FAR` beyond a text's end, 0 beyond the units' end. Source: Shih et al. 2021 (RAD-TTS).
    """
    n, n_units = lengths[:, None, None].double() - 1, unit_lengths[:, None, None].double()
    at = torch.arange(int(lengths.max()), dtype=torch.float64)
    one = torch.arange(1, int(unit_lengths.max()) + 1, dtype=torch.float64)[:, None]
    x, rest = at.minimum(n), (n - at).clamp(min=0)
    a, b = one, (n_units + 1 - one).clamp(min=1)
    ways = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(rest + 1)
    met = torch.lgamma(x + a) + torch.lgamma(rest + b) - torch.lgamma(n + a + b)
    made = ways + met - torch.lgamma(a) - torch.lgamma(b) + torch.lgamma(a + b)  # (B, U, C)
    return made.masked_fill(at > n, FAR).masked_fill(one > n_units, 0.0).float()


def starts(durations: torch.Tensor) -> torch.Tensor:
    """The first unit of each character, (B, C), of their durations (B, C)."""
    return durations.cumsum(1) - durations


def published_name(name: str) -> str:
    """What the published aligner calls one of our weights."""
    part, _, rest = name.partition(".")
    return f"{PUBLISHED[part]}.{rest}"
