"""Rate cards: how many tokens published families give their LLM, from samples.

Knows counting rules only. Source: fact table 4.1 of the project's notes on audio language models; for Mimi, section 5.2
of those on projection and codecs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ossicle.audio.lengths import ceil_div, mel_frames
from ossicle.errors import RequestError


@dataclass(frozen=True)
class Card:
    """One family's rule.

    Args:
        name: how it is called in commands.
        title: what its authors call it.
        year: of publication.
        pattern: 1 frozen LLM, 2 tuned LLM, 3 native tokens.
        rate: samples a second that ``tokens`` counts.
        nominal_hz: tokens a second as published.
        padding: what is filled up, in words.
        cap_s: seconds that are heard at once, None without a limit.
        past_cap: "cut", "windows", "error", "none".
        checked: "run" or "read".
        source: where the rule stands.
        tokens: samples to tokens.
    """

    name: str
    title: str
    year: int
    pattern: int
    rate: int
    nominal_hz: float
    padding: str
    cap_s: float | None
    past_cap: str
    checked: str
    source: str
    tokens: Callable[[int], int]


def _qwen2_audio(n_samples: int) -> int:
    return (mel_frames(min(n_samples, 480_000)) + 1) // 4


def _qwen3_omni(n_samples: int) -> int:
    whole, rest = divmod(n_samples // 160, 100)
    return 13 * whole + ceil_div(rest, 8)


def _mimi(n_samples: int) -> int:
    return ceil_div(n_samples, 1_920)


CARDS: Mapping[str, Card] = {
    one.name: one
    for one in (
        Card(
            *("qwen2-audio", "Qwen2-Audio", 2024, 2, 16_000, 25.0, "to 30 s, masked", 30.0, "cut", "run"),
            *("transformers, Qwen2AudioProcessor", _qwen2_audio),
        ),
        Card(
            *("qwen3-omni", "Qwen3-Omni", 2025, 2, 16_000, 12.5, "to the longest", None, "none", "run"),
            *("transformers, Qwen3OmniMoeProcessor", _qwen3_omni),
        ),
        Card(
            *("moshi", "Moshi", 2024, 3, 24_000, 12.5, "to 80 ms", None, "none", "run"),
            *("transformers, MimiModel, one position a frame", _mimi),
        ),
    )
}


def card(name: str) -> Card:
    """The card of a family.

    Raises:
        RequestError: no card has this name.
    """
    if name not in CARDS:
        raise RequestError(f"there is no rate card {name!r}: choose one of {', '.join(CARDS)}")
    return CARDS[name]
