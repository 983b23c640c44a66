"""The context: do a prompt and its answer fit what the model reads?

Knows counts; does not know tokenizers, models or tensors. The answer is yes, or an error that names the numbers:
nothing is ever cut in silence.
"""

import math

from ossicle.errors import ContextError

SAFE = 0.98
"""Share of the seconds that would fit by their mean rate: windows end in tokens that are not full."""


def check(
    prompt_tokens: int,
    audio_tokens: int,
    seconds: float,
    max_tokens: int,
    context: int,
    name: str,
    *,
    more_audio: bool = False,
) -> int:
    """Refuse a call that needs more tokens than the model reads.

    Args:
        prompt_tokens: ids of the whole prompt, audio tokens among them.
        audio_tokens: how many of these are audio.
        seconds: seconds of audio that they hold.
        max_tokens: most tokens that the answer may have.
        context: tokens that the model was trained to read.
        name: what the model is called.
        more_audio: the audio goes on after what was counted.

    Returns:
        The tokens that the call needs at most.

    Raises:
        ContextError: ``context_length_exceeded``.
    """
    need = prompt_tokens + max_tokens
    if need <= context:
        return need
    text = need - audio_tokens
    room = context - text
    if audio_tokens == 0 or room <= 0:
        raise ContextError(
            f"the text needs {text} tokens ({max_tokens} of them for the answer) but {name} reads {context}: "
            "shorten the text or the history, or ask for fewer tokens"
        )
    rate = audio_tokens / seconds
    at_least = "at least " if more_audio else ""
    slower = math.floor(room / seconds * 10) / 10
    shorter_s = math.floor(SAFE * room / rate * 10) / 10
    bridge = "" if more_audio else f", or choose a bridge of at most {slower:g} tokens per second"
    raise ContextError(
        f"the prompt needs {at_least}{need} tokens ({audio_tokens} of them audio, {seconds:.1f} s at {rate:.3g} per "
        f"second, and {max_tokens} for the answer) but {name} reads {context}: shorten the clip to "
        f"{shorter_s:.1f} s{bridge}, or say what to do with long audio: retrieve passages of it, or lower its rate"
    )
