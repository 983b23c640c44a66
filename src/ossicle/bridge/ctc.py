"""CTC: a head reads letters from the frames, and what it reads says which frames become one audio token.

Knows frames and numbers of letters; does not know which letters they are. The choice has no gradient: the head learns
by its own loss, the rest by what the LLM makes of the tokens. An untrained head is almost sure of blanks, so that each
clip begins as few tokens, never as more than the LLM reads.
Source: Gaido et al. 2021 (arXiv 2102.01578) for averaged runs; CJST (arXiv 2411.07607) for dropped blanks and its
threshold of 0.95; Graves et al. 2006 for the loss.
"""

import math
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from ossicle.bridge.output import Output
from ossicle.bridge.own import BLANK, Letters, check_weight
from ossicle.bridge.runs import check_runs, check_width
from ossicle.bridge.segments import segment_means, segment_spans
from ossicle.errors import BridgeError
from ossicle.tensors import AudioTokens, Frames, length_mask

MODES = ("runs", "drop")
SURE = 5.0
"""How far, in nats, an untrained head prefers the blank to all letters together: 99.3 %."""


class Ctc(nn.Module):
    """Audio tokens where letters are, as many as the clip asks for: their rate is not fixed.

    A clip in which nothing but blanks is heard gives one token, its mean.

    Args:
        width_in: encoder width D.
        width_out: LLM width E.
        letters: classes beside the blank, V.
        k: frames per audio token that are to be expected, for `expected_hz`; nothing holds the bridge to them.
        mode: "runs" averages neighbouring frames in which the same class is likeliest; "drop" keeps each frame whose
            blank is not more likely than ``theta`` as a token.
        keep_blanks: of "runs": a run of blanks is a token too, so that pauses are read.
        theta: of "drop".
        own_weight: of `own_loss` beside the loss of the answers.
        output_norm: "none", or "rms" for an RMS norm with a trainable gain on the tokens.

    Raises:
        BridgeError: an unknown ``mode`` or ``output_norm``, kept blanks where they are dropped, a ``theta`` outside 0
            to 1, a negative weight, a width, ``letters`` or ``k`` < 1.
    """

    kind: ClassVar[str] = "ctc"
    fixed_rate: ClassVar[bool] = False
    streamable: ClassVar[bool] = False

    def __init__(
        self,
        width_in: int,
        width_out: int,
        *,
        letters: int,
        k: int = 4,
        mode: str = "runs",
        keep_blanks: bool = False,
        theta: float = 0.95,
        own_weight: float = 1.0,
        output_norm: str = "rms",
    ) -> None:
        super().__init__()
        check_runs("Ctc", widths=(width_in, width_out, letters), k=k)
        check_weight("Ctc", own_weight)
        if mode not in MODES:
            raise BridgeError(f"Ctc does not know the mode {mode!r}: choose one of {', '.join(MODES)}")
        if keep_blanks and mode == "drop":
            raise BridgeError("Ctc keeps runs of blanks in the mode 'runs' only: 'drop' drops them by their threshold")
        if not 0 <= theta <= 1:
            raise BridgeError(f"Ctc needs a theta from 0 to 1, a probability of the blank, got {theta:g}")
        self.width_in, self.width_out, self.letters, self.k = width_in, width_out, letters, k
        self.mode, self.keep_blanks, self.theta, self.own_weight = mode, keep_blanks, theta, own_weight
        read = nn.Linear(width_in, 1 + letters)
        nn.init.constant_(read.bias[BLANK : BLANK + 1], SURE + math.log(letters))
        self.head = nn.Sequential(nn.LayerNorm(width_in), read)
        self.norm_in = nn.LayerNorm(width_in)
        self.output = Output(width_in, width_out, norm=output_norm)
        self.output_norm = output_norm

    def settings(self) -> dict[str, Any]:
        """The arguments that build this bridge again, as plain values."""
        return {
            "width_in": self.width_in,
            "width_out": self.width_out,
            "letters": self.letters,
            "k": self.k,
            "mode": self.mode,
            "keep_blanks": self.keep_blanks,
            "theta": self.theta,
            "own_weight": self.own_weight,
            "output_norm": self.output_norm,
        }

    def max_tokens(self, n_frames: int) -> int:
        """The most audio tokens that ``n_frames`` frames can give: each may be one."""
        return n_frames

    def expected_hz(self, rate_hz: float) -> float:
        """Audio tokens per second that one should expect for an encoder of ``rate_hz`` frames per second."""
        return rate_hz / self.k

    def log_probs(self, frames: Frames) -> torch.Tensor:
        """What is heard in each frame: (B, T, D) -> (B, T, 1 + V) float32, of frames that are not padding."""
        valid = length_mask(frames.lengths, frames.values.shape[1]).to(frames.values.device)
        read: torch.Tensor = self.head(frames.values.masked_fill(~valid[..., None], 0))
        return read.float().log_softmax(-1)

    def _begins(self, frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames that are part of a token, and those with which one begins, both (B, T) bool on the CPU."""
        read = self.log_probs(frames)
        valid = length_mask(frames.lengths, frames.values.shape[1])
        if self.mode == "drop":
            inside = (read[..., BLANK].exp() <= self.theta).cpu() & valid
            begins = inside.clone()
        else:
            likeliest = read.argmax(-1).cpu()  # (B, T)
            inside = valid if self.keep_blanks else valid & (likeliest != BLANK)
            begins = inside & (likeliest != functional.pad(likeliest[:, :-1], (1, 0), value=-1))
        silent = ~inside.any(dim=1)
        begins[silent, :1] = valid[silent, :1]
        return torch.where(silent[:, None], valid, inside), begins

    def forward(self, frames: Frames) -> AudioTokens:
        """Frames (B, T, D) to audio tokens (B, N, E).

        Where blanks are no tokens, a run lasts until the next begins, the first from 0; a frame that was kept lasts
        from the end of the one before, the last to the clip's end.

        Raises:
            BridgeError: frames of another width than ``width_in``.
        """
        check_width("Ctc", frames, self.width_in)
        with torch.no_grad():
            inside, begins = self._begins(frames)
        lengths = begins.sum(dim=1)
        n = int(lengths.max()) if len(lengths) else 0
        ids = (begins.cumsum(dim=1) - 1).masked_fill(~inside, -1)
        values = self.norm_in(segment_means(frames.values, ids, n))  # (B, T, D) -> (B, N, D)
        valid = length_mask(lengths, n).to(values.device)
        values = self.output(values).masked_fill(~valid[..., None], 0)  # (B, N, D) -> (B, N, E)
        at = [row.nonzero().squeeze(1) for row in begins]
        cuts = [one[:-1] + 1 if self.mode == "drop" else one[1:] for one in at]
        return AudioTokens(values, lengths, *segment_spans(frames, cuts, n))

    def own_loss(self, frames: Frames, letters: Letters | None) -> torch.Tensor:
        """The CTC loss of what is said, per frame; zero if nobody knows.

        A clip without speech teaches blanks; one with more letters than frames can hold counts as zero.

        Raises:
            BridgeError: letters of another number of clips, or a letter that the head does not have.
        """
        if letters is None:
            return torch.zeros((), device=frames.values.device)
        if len(letters.n) != len(frames.lengths):
            raise BridgeError(f"Ctc got the letters of {len(letters.n)} clips for {len(frames.lengths)} clips")
        if len(letters.ids) and not 1 <= int(letters.ids.min()) <= int(letters.ids.max()) <= self.letters:
            raise BridgeError(
                f"Ctc has letters from 1 to {self.letters}, got {int(letters.ids.min())} to {int(letters.ids.max())}"
            )
        read = self.log_probs(frames).transpose(0, 1)  # (B, T, 1 + V) -> (T, B, 1 + V)
        total = functional.ctc_loss(
            read,
            letters.ids.to(read.device),
            frames.lengths,
            letters.n,
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,
        )
        return total / max(int(frames.lengths.sum()), 1)
