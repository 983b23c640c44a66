"""Every length rule, from samples to frames to tokens, as integer functions.

Knows arithmetic only; modules, collators, planners and servers all call these, so that no two of them can disagree.
Integers throughout: a float32 ceiling is wrong on long audio.
Source: fact tables 1.2 and 1.4 of the project's projection notes; Radford et al. 2022 for the Whisper front end;
Baevski et al. 2020 for that of wav2vec 2.0; the released Ultravox processor, and the servers' own code.
"""

MEL_HOP = 160
"""Samples per log-mel frame at 16 kHz (10 ms)."""


def ceil_div(a: int, b: int) -> int:
    """The smallest integer >= a / b, for a >= 0 and b > 0."""
    return -(-a // b)


def parts(n: int, size: int) -> list[int]:
    """``n`` cut at every ``size``: all parts are full but the last; no parts of nothing."""
    return [min(size, n - first) for first in range(0, n, size)]


def strided(n_frames: int, times: int) -> int:
    """Frames after ``times`` convolutions of stride 2, kernel 3 and padding 1: ceil(n / 2 ** times)."""
    return ceil_div(n_frames, 2**times)


def resampled_samples(n_samples: int, rate_in: int, rate_out: int) -> int:
    """Samples after resampling: ceil(n * out / in), so that no clip becomes empty."""
    return ceil_div(n_samples * rate_out, rate_in)


def mel_frames(n_samples: int) -> int:
    """Log-mel frames that hold any of ``n_samples`` at 16 kHz: ceil(n / 160)."""
    return ceil_div(n_samples, MEL_HOP)


def whole_frames(n_samples: int, field: int, hop: int = MEL_HOP) -> int:
    """Frames of ``field`` samples, one every ``hop``, that lie wholly in the clip; none where it is shorter."""
    return max(0, (n_samples - field) // hop + 1)


def whisper_frames(n_samples: int) -> int:
    """Frames of a Whisper encoder for ``n_samples`` at 16 kHz: two convolutions, the second of stride 2."""
    return strided(mel_frames(n_samples), 1)


CHUNK_FRAMES = 3_000
"""Log-mel frames that the Ultravox layout gives its encoder at once (30 s)."""


def chunk_frames(n_samples: int, chunk: int = CHUNK_FRAMES) -> list[int]:
    """Log-mel frames of each chunk that the Ultravox layout makes of ``n_samples`` at 16 kHz, at least two in all."""
    return parts(max(2, mel_frames(n_samples)), chunk)


def ultravox_tokens(n_samples: int, k: int = 8) -> int:
    """Tokens for ``n_samples`` at 16 kHz in the Ultravox layout, as its own processor and vLLM count them."""
    return sum(ceil_div(strided(n, 1), k) for n in chunk_frames(n_samples))


def llama_cpp_windows(n_samples: int) -> int:
    """Windows of 30 s that llama.cpp (as of 2026) hears: silence fills them, and 30 s are followed by one of silence.

    Some earlier builds pad every clip under 31 s to 31 s, and so hear two windows of it.
    """
    return (n_samples // MEL_HOP + CHUNK_FRAMES + 1) // CHUNK_FRAMES


def llama_cpp_tokens(n_samples: int, k: int = 8) -> int:
    """Tokens for the same clip and layout in llama.cpp (as of 2026), which drops the last stack of every window."""
    return llama_cpp_windows(n_samples) * (ceil_div(CHUNK_FRAMES, k) // 2)


WAVE_HOP = 320
"""Samples at 16 kHz from one frame of the wav2vec family to the next (20 ms)."""
WAVE_FIELD, BANK_FIELD = 400, 560
"""Samples that one frame sees: of wav2vec 2.0 (25 ms); of w2v-BERT, which stacks two filter banks of 25 ms."""


def stack_field(stack: int) -> int:
    """Samples that ``stack`` neighbouring filter banks of 25 ms see."""
    return WAVE_FIELD + MEL_HOP * (stack - 1)


def wave_frames(n_samples: int, field: int, tail: str, hop: int = WAVE_HOP) -> int:
    """Frames of an encoder of the wav2vec family for ``n_samples`` at 16 kHz, at least one.

    Args:
        n_samples: at 16 kHz.
        field: samples that a frame sees, `WAVE_FIELD` or `BANK_FIELD`.
        tail: "pad": ceil(n / hop), every sample lies in a frame; "drop": as published, only whole frames, so that up
            to ``field - 1`` samples at the end lie in none.
        hop: samples from one frame to the next.
    """
    return max(1, whole_frames(n_samples, field, hop)) if tail == "drop" else ceil_div(n_samples, hop)


def wave_samples(n_frames: int, field: int, hop: int = WAVE_HOP) -> int:
    """Samples at 16 kHz that exactly ``n_frames`` frames of the wav2vec family see."""
    return field + hop * (n_frames - 1)


def grouped(n_frames: int, k: int, tail: str) -> int:
    """Tokens when ``k`` neighbouring frames become one.

    ``tail`` says what becomes of the last ``n_frames % k``: "pool", "duplicate" and "zero" keep them in a token of
    their own, "drop" loses them, except that a clip of fewer than ``k`` frames still gives one token.
    """
    if n_frames == 0:
        return 0
    return max(1, n_frames // k) if tail == "drop" else ceil_div(n_frames, k)


def windowed(n_frames: int, window: int, queries: int, tail: str) -> int:
    """Tokens when each window of ``window`` frames gives ``queries``; ``tail`` as in `grouped`."""
    return queries * grouped(n_frames, window, tail)


def whole_clip(n_frames: int, queries: int) -> int:
    """Tokens when a clip of any length gives ``queries``, and one of no frames none."""
    return queries if n_frames > 0 else 0
