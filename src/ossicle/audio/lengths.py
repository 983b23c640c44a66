"""Every length rule, from samples to frames to tokens, as integer functions.

Knows arithmetic only; modules, collators, planners and servers all call these, so that no two of them can disagree.
Integers throughout: a float32 ceiling is wrong on long audio.
Source: fact tables 1.2 and 1.4 of the project's projection notes; Radford et al. 2022 for the Whisper front end.
"""

MEL_HOP = 160
"""Samples per log-mel frame at 16 kHz (10 ms)."""


def ceil_div(a: int, b: int) -> int:
    """The smallest integer >= a / b, for a >= 0 and b > 0."""
    return -(-a // b)


def resampled_samples(n_samples: int, rate_in: int, rate_out: int) -> int:
    """Samples after resampling: ceil(n * out / in), so that no clip becomes empty."""
    return ceil_div(n_samples * rate_out, rate_in)


def mel_frames(n_samples: int) -> int:
    """Log-mel frames that hold any of ``n_samples`` at 16 kHz: ceil(n / 160)."""
    return ceil_div(n_samples, MEL_HOP)


def whisper_frames(n_samples: int) -> int:
    """Frames of a Whisper encoder for ``n_samples`` at 16 kHz: two convolutions, the second of stride 2."""
    return ceil_div(mel_frames(n_samples), 2)


def grouped(n_frames: int, k: int, tail: str) -> int:
    """Tokens when ``k`` neighbouring frames become one.

    ``tail`` says what becomes of the last ``n_frames % k``: "pool" and "duplicate" keep them in a token of their own,
    "drop" loses them, except that a clip of fewer than ``k`` frames still gives one token.
    """
    if n_frames == 0:
        return 0
    return max(1, n_frames // k) if tail == "drop" else ceil_div(n_frames, k)
