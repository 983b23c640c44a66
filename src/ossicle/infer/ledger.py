"""The ledger: what one call was given, what the model heard of it, and what it spent.

Knows counts and seconds; does not know how anything is heard. The same ten keys stand on every answer, in Python and in
JSON, so that "did it hear the whole file?" is one subtraction.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum

from ossicle.models.audio_lm import Heard


@dataclass(frozen=True)
class Ledger:
    """What a call spent and heard.

    Args:
        seconds_given: audio that was handed in, over all clips of the prompt.
        seconds_heard: audio inside some frame's receptive field.
        tail_s: audio at the end of clips that a published layout drops and no token holds.
        seconds_merged: audio that the LLM read at a lower rate than the bridge's own.
        seconds_dropped: audio that was heard, and whose tokens the LLM did not read for this answer.
        frames: encoder frames.
        audio_tokens: vectors that the LLM read for the audio, of this answer: what writing down a long recording took
            stands in the recording's own ledger.
        text_tokens: tokens that the LLM wrote as this answer, the end-of-turn token included.
        time_to_first_token_s: from the call, hearing included, to the first written token.
        tokens_per_s: written tokens after the first per second; over the whole call where only one was written.
    """

    seconds_given: float
    seconds_heard: float
    tail_s: float
    frames: int
    audio_tokens: int
    text_tokens: int
    time_to_first_token_s: float
    tokens_per_s: float
    seconds_merged: float = 0.0
    seconds_dropped: float = 0.0

    def as_dict(self) -> dict[str, float | int]:
        """The ten keys in their order, seconds to the microsecond, for JSON."""
        return {key: round(value, 6) for key, value in asdict(self).items()}


def summed(ledgers: Sequence[Ledger], *, time_to_first_token_s: float, tokens_per_s: float) -> Ledger:
    """One ledger for several parts of a call: counts and seconds of audio add up; the two times are the call's."""
    return Ledger(
        seconds_given=fsum(part.seconds_given for part in ledgers),
        seconds_heard=fsum(part.seconds_heard for part in ledgers),
        tail_s=fsum(part.tail_s for part in ledgers),
        frames=sum(part.frames for part in ledgers),
        audio_tokens=sum(part.audio_tokens for part in ledgers),
        text_tokens=sum(part.text_tokens for part in ledgers),
        time_to_first_token_s=time_to_first_token_s,
        tokens_per_s=tokens_per_s,
        seconds_merged=fsum(part.seconds_merged for part in ledgers),
        seconds_dropped=fsum(part.seconds_dropped for part in ledgers),
    )


def heard_only(heard: Heard) -> Ledger:
    """The ledger of audio that the LLM did not read."""
    return Ledger(
        seconds_given=heard.seconds_given,
        seconds_heard=heard.seconds_heard,
        tail_s=heard.tail_s,
        frames=heard.n_frames,
        audio_tokens=0,
        text_tokens=0,
        time_to_first_token_s=0.0,
        tokens_per_s=0.0,
        seconds_dropped=heard.seconds_heard,
    )
