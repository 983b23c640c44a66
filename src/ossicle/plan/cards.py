"""The rate cards: what each published family pays for a clip, in tokens of its LLM.

A card says who (name, year, pattern), how much (an exact integer rule of the samples), how it pads, what it hears at
most, what becomes of the rest, and whether the rule was run against the release's own code or only read. Does not know
tokenizers, models or tensors; text around the audio is not counted. The rules stand in `plan.families`.
Source: the classes of transformers 5.23, run with random weights, and else the public code that each card names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ossicle.errors import ConfigError
from ossicle.plan import families


@dataclass(frozen=True)
class Card:
    """What one family pays for audio.

    Args:
        name: "qwen2-audio".
        title: "Qwen2-Audio".
        year: of the first release.
        pattern: 1 frozen LLM, 2 tuned LLM (LoRA counts), 3 native audio tokens.
        rate: samples a second that ``tokens`` counts.
        nominal_hz: audio tokens a second of audio, without padding and cap.
        padding: in words, up to what a clip is padded, and whether that costs tokens.
        cap_s: seconds heard at most; None without.
        past_cap: what becomes of longer audio: "cut", "error"; without a cap "windows" (encoded in pieces that do
            not see each other) or "none".
        checked: "run" against the release's own processor and module, or only "read".
        source: where the rule stands.
        tokens: samples of one clip to tokens of the audio itself; the rule's docstring says which marks are left out.
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

    def effective_hz(self, n_samples: int) -> float:
        """Tokens that a second of this clip costs, padding and cap included; ``n_samples`` is at least 1."""
        return self.tokens(n_samples) * self.rate / n_samples


_CARDS = (
    Card(
        "qwen-audio", "Qwen-Audio", 2023, 1, 16_000, 25, "mel to 30 s, masked: free", 30, "cut", "read",
        "QwenLM/Qwen-Audio: modeling_qwen.py and audio.py of the checkpoint", families.qwen_audio,
    ),
    Card(
        "salmonn", "SALMONN", 2023, 2, 16_000, 50 / 17, "30 s, unmasked: every clip pays for them", 30, "cut", "read",
        "bytedance/SALMONN, branch salmonn: models/salmonn.py", families.salmonn,
    ),
    Card(
        "ltu", "LTU", 2023, 2, 16_000, 3.125, "10.24 s: every clip pays for them", 10.24, "cut", "read",
        "YuanGongND/ltu: audio encoder and pooling", families.ltu,
    ),
    Card(
        "ltu-as", "LTU-AS", 2023, 2, 16_000, 2.5, "10 s: every clip pays for them", 10, "cut", "read",
        "YuanGongND/ltu: Whisper features pooled by 20", families.ltu_as,
    ),
    Card(
        "qwen2-audio", "Qwen2-Audio", 2024, 2, 16_000, 25, "mel to 30 s, masked: free", 30, "cut", "run",
        "transformers: Qwen2AudioProcessor, Qwen2AudioForConditionalGeneration", families.qwen2_audio,
    ),
    Card(
        "ultravox", "Ultravox", 2024, 1, 16_000, 6.25, "to whole stacks of 8 frames in each 30 s", None, "windows",
        "read", "fixie-ai/ultravox: ultravox_processing.py, and vLLM", families.ultravox,
    ),
    Card(
        "slam-asr", "SLAM-ASR (WavLM, HuBERT)", 2024, 1, 16_000, 10, "none: the tail of up to 80 ms is lost", None,
        "none", "read", "X-LANCE/SLAM-LLM: speech_dataset.py, input_type raw", families.slam_asr,
    ),
    Card(
        "llama-omni", "LLaMA-Omni", 2024, 2, 16_000, 10, "30 s: every clip pays for them", 30, "cut", "read",
        "ictnlp/LLaMA-Omni: speech_projector.py, Whisper's pad_or_trim before it", families.llama_omni,
    ),
    Card(
        "glm-4-voice", "GLM-4-Voice", 2024, 3, 16_000, 12.5, "to whole codes of 80 ms in each 30 s", None, "windows",
        "read", "THUDM/GLM-4-Voice: speech_tokenizer/utils.py", families.glm4_voice,
    ),
    Card(
        "moshi", "Moshi", 2024, 3, 24_000, 12.5, "to whole frames of 80 ms", None, "none", "run",
        "transformers: MimiModel, one position a frame", families.mimi,
    ),
    Card(
        "voxtral", "Voxtral", 2025, 2, 16_000, 12.5, "to whole 30 s, unmasked: every clip pays for them", None,
        "windows", "run", "transformers: VoxtralProcessor, VoxtralForConditionalGeneration", families.voxtral,
    ),
    Card(
        "granite-speech", "Granite Speech 3.3", 2025, 2, 16_000, 10, "to whole windows of 15 frames (0.3 s)", None,
        "none", "run",
        "transformers: count of GraniteSpeechFeatureExtractor, encoder, projector; its log-mel (torchaudio) was read",
        families.granite_speech,
    ),
    Card(
        "audio-flamingo-3", "Audio Flamingo 3", 2025, 2, 16_000, 25, "each window to 30 s, masked: free", 600, "cut",
        "run", "transformers: AudioFlamingo3Processor, AudioFlamingo3ForConditionalGeneration",
        partial(families.audio_flamingo, cap=20 * families.WINDOW),
    ),
    Card(
        "music-flamingo", "Music Flamingo", 2025, 2, 16_000, 25, "each window to 30 s, masked: free", 1_200, "cut",
        "run", "transformers: MusicFlamingoProcessor, MusicFlamingoForConditionalGeneration",
        partial(families.audio_flamingo, cap=40 * families.WINDOW),
    ),
    Card(
        "glm-asr", "GLM-ASR", 2025, 2, 16_000, 12.5, "each window to 30 s: free", 630, "cut", "run",
        "transformers: GlmAsrProcessor (names 655 s, keeps 21 windows), GlmAsrForConditionalGeneration",
        families.glm_asr,
    ),
    Card(
        "gemma-3n", "Gemma 3n", 2025, 2, 16_000, 6.25, "to 188 tokens (30 s): every clip pays for them", 30, "cut",
        "run", "transformers: Gemma3nProcessor, Gemma3nAudioEncoder", families.gemma3n,
    ),
    Card(
        "phi-4-multimodal", "Phi-4-multimodal", 2025, 2, 16_000, 12.5, "none", None, "windows", "run",
        "transformers: Phi4MultimodalFeatureExtractor, Phi4MultimodalAudioModel (blocks of 40 s)",
        families.phi4_multimodal,
    ),
    Card(
        "qwen2.5-omni", "Qwen2.5-Omni", 2025, 2, 16_000, 25, "mel to 300 s, masked: free", 300, "cut", "run",
        "transformers: Qwen2_5OmniProcessor, Qwen2_5OmniAudioEncoder; 300 s as in the released preprocessor",
        families.qwen2_5_omni,
    ),
    Card(
        "qwen3-omni", "Qwen3-Omni", 2025, 2, 16_000, 13, "none", None,
        "none", "run", "transformers: Qwen3OmniMoeProcessor, Qwen3OmniMoeAudioEncoder", families.qwen3_omni,
    ),
    Card(
        "kimi-audio", "Kimi-Audio", 2025, 3, 16_000, 12.5, "to whole codes of 80 ms in each 30 s", None, "windows",
        "read", "MoonshotAI/Kimi-Audio: the audio tokenizer of GLM-4-Voice", families.glm4_voice,
    ),
    Card(
        "csm", "CSM", 2025, 3, 24_000, 12.5, "to whole frames of 80 ms", None, "none", "run",
        "transformers: CsmProcessor, MimiModel", families.mimi,
    ),
    Card(
        "gemma-4", "Gemma 4", 2026, 2, 16_000, 25, "to 128 samples, masked: free", 30, "cut", "run",
        "transformers: Gemma4Processor, Gemma4AudioModel", families.gemma4,
    ),
    Card(
        "qwen3-asr", "Qwen3-ASR", 2026, 2, 16_000, 13, "to half a second", None, "none", "run",
        "transformers: Qwen3ASRProcessor, Qwen3ASREncoder", families.qwen3_asr,
    ),
    Card(
        "vibevoice-asr", "VibeVoice-ASR", 2026, 2, 24_000, 7.5, "to whole hops of 133 ms", None, "none", "run",
        "transformers: VibeVoiceAsrProcessor, VibeVoiceAcousticTokenizerEncoderModel", families.vibevoice_asr,
    ),
    Card(
        "moss-transcribe-diarize", "MOSS-Transcribe-Diarize", 2026, 2, 16_000, 12.5, "each window to 30 s: free", None,
        "windows", "run",
        "transformers: MossTranscribeDiarizeProcessor, MossTranscribeDiarizeForConditionalGeneration", families.moss,
    ),
    Card(
        "nemotron-omni", "Nemotron 3 Nano Omni", 2026, 2, 16_000, 12.5, "none", None, "none", "run",
        "transformers: the count of NemotronH_OmniProcessor, ParakeetFeatureExtractor, ParakeetEncoder",
        families.nemotron_omni,
    ),
    Card(
        "inkling", "Inkling", 2026, 3, 16_000, 20, "to whole hops of 50 ms", None, "none", "run",
        "transformers: InklingProcessor, no encoder", families.inkling,
    ),
)  # fmt: skip

CARDS: Mapping[str, Card] = MappingProxyType(
    {one.name: one for one in sorted(_CARDS, key=lambda one: (one.year, one.name))}
)
"""Every card by name, in order of year, then name."""


def card(name: str) -> Card:
    """The card of that name.

    Raises:
        ConfigError: there is none; the message names those that there are.
    """
    if name not in CARDS:
        raise ConfigError(f"there is no rate card {name!r}; known are {', '.join(CARDS)}")
    return CARDS[name]
