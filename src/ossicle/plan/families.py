"""How each published family counts: samples of one clip to positions of its LLM, in integers.

Knows the arithmetic of the releases, batch of one, as their processors are called by default; does not know patterns,
years or names (`plan.cards`). What is counted is the audio itself; each docstring names the marks around it that are
not. No samples are no tokens, and 0 tokens of a clip that is there say that the release hears nothing of it: it gives
no token in silence, or refuses it.
Source: the classes of transformers 5.23 and the public code of the releases, as each card of `plan.cards` says.
"""

from ossicle.audio.lengths import MEL_HOP, ceil_div, parts, strided, ultravox_tokens, whisper_frames, whole_frames

WINDOW = 480_000
"""30 s at 16 kHz: what a Whisper encoder hears at once."""


def qwen_audio(n: int) -> int:
    """Whole log-mel frames, pooled by four; without the vectors for `<audio>` and `</audio>`, one each."""
    return strided(min(n, WINDOW) // MEL_HOP, 1) // 2


def qwen2_audio(n: int, cap: int = WINDOW) -> int:
    """Begun log-mel frames, pooled by four; without `<|audio_bos|>` and `<|audio_eos|>`. Nothing up to 20 ms."""
    return whisper_frames(min(n, cap)) // 2


def qwen2_5_omni(n: int) -> int:
    """As Qwen2-Audio, up to the 300 s of the released preprocessor; without the marks of begin and end."""
    return qwen2_audio(n, 10 * WINDOW)


def qwen3_omni(n: int) -> int:
    """13 tokens for each 100 log-mel frames, which go through three strides by themselves; without the marks.

    Whole frames: so the processor counts a clip that is alone. Beside longer clips a begun frame counts too. Up to
    200 samples, half of its spectrum, the extractor raises.
    """
    if n <= 200:
        return 0
    return sum(strided(frames, 3) for frames in parts(n // MEL_HOP, 100))


def qwen3_asr(n: int) -> int:
    """As Qwen3-Omni, after padding to at least half a second; without the marks of begin and end."""
    return qwen3_omni(max(n, 8_000)) if n else 0


def salmonn(n: int) -> int:
    """One query for every 17 of 1500 frames, the last 4 lost, however long the clip; without `<Speech>` marks."""
    return 1_500 // 17 if n else 0


def ltu(n: int) -> int:
    """1024 filter banks are 64 patches in time, averaged in pairs, however long the clip; there are no marks."""
    return 1_024 // 16 // 2 if n else 0


def ltu_as(n: int) -> int:
    """500 Whisper frames, pooled by 20, however long the clip; without the transcript that is read beside them."""
    return 500 // 20 if n else 0


def ultravox(n: int) -> int:
    """Begun stacks of 8 frames in each window of 30 s; there are no marks."""
    return ultravox_tokens(n) if n else 0


def slam_asr(n: int) -> int:
    """Placeholders of the recipes with waveform encoders; where the encoder gives one frame less they are zeros."""
    return n // 320 // 5


def llama_omni(n: int) -> int:
    """1500 frames side by side in fives, however long the clip; there are no marks."""
    return 1_500 // 5 if n else 0


def voxtral(n: int) -> int:
    """375 for each begun 30 s; without `[BEGIN_AUDIO]`."""
    return 375 * ceil_div(n, WINDOW)


def granite_speech(n: int) -> int:
    """Pairs of centred log-mel frames, three queries for each begun 15; there are no marks.

    Up to 256 samples, half of its spectrum, the extractor raises.
    """
    return 3 * ceil_div((n // MEL_HOP + 1) // 2, 15) if n > 256 else 0


def audio_flamingo(n: int, cap: int) -> int:
    """As Qwen2-Audio, in windows of 30 s (750 each, so that they add up to the rule of the whole); without marks.

    Music Flamingo raises where the last window holds up to 20 ms, which give no token: at 30.01 s, say.
    """
    return qwen2_audio(n, cap)


def glm_asr(n: int) -> int:
    """Whole fours of frames in windows of 30 s, of which 21 are kept; without marks. Nothing up to 60 ms."""
    return whisper_frames(min(n, 21 * WINDOW)) // 4


def moss(n: int) -> int:
    """Begun fours of frames in windows of 30 s; without marks and the seconds written among the tokens.

    A clip of a single sample raises.
    """
    return ceil_div(whisper_frames(n), 4) if n > 1 else 0


def phi4_multimodal(n: int) -> int:
    """Whole banks of 25 ms through three strides; there are no marks. Under 400 samples the extractor raises."""
    return strided(whole_frames(n, 400), 3)


def gemma3n(n: int) -> int:
    """188 however long the clip, what it does not fill is one padding vector; without line breaks and two marks.

    Up to 512 samples there is no frame, and the encoder raises although 188 places were made.
    """
    return 188 if n > 512 else 0


def gemma4(n: int) -> int:
    """Frames of 321 samples after 160 of silence, through two strides; without the two marks. Nothing under 161."""
    return strided(whole_frames(min(n, WINDOW), 161), 2)


def nemotron_omni(n: int) -> int:
    """Centred log-mel frames through three strides; without `<so_start>` and `<so_end>`."""
    return strided(n // MEL_HOP + 1, 3) if n else 0


def inkling(n: int) -> int:
    """Begun hops of 50 ms, each a frame of codes; without the mark of the beginning."""
    return ceil_div(n, 800)


def vibevoice_asr(n: int) -> int:
    """Begun hops of 3200 samples at 24 kHz; without the two marks and the duration that is written beside them."""
    return ceil_div(n, 3_200)


def mimi(n: int) -> int:
    """Frames of the codec Mimi, begun hops of 1920 samples at 24 kHz, all codebooks of one in one position.

    Without the begin and end of the stream.
    """
    return ceil_div(n, 1_920)


def glm4_voice(n: int) -> int:
    """Codes of 80 ms in windows of 30 s, a begun one counts; without the two marks."""
    return sum(ceil_div(samples, 8 * MEL_HOP) for samples in parts(n, WINDOW))
