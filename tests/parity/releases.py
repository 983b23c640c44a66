"""The published processors and modules behind the rate cards: tiny, random, without eyes.

A release counts (`places`: ids of audio in the prompt that its processor writes) and hears (`vectors`: what its module
makes of the same inputs). Processors that also need images or video, which need torchvision, are built for sound only.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers as published
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nAudioEncoder
from transformers.models.gemma4.modeling_gemma4 import Gemma4AudioModel
from transformers.models.granite_speech.feature_extraction_granite_speech import GraniteSpeechFeatureExtractor
from transformers.models.inkling.configuration_inkling import InklingAudioConfig
from transformers.models.inkling.modeling_inkling import InklingAudioModel
from transformers.models.moss_transcribe_diarize.feature_extraction_moss_transcribe_diarize import (
    MossTranscribeDiarizeFeatureExtractor,
)
from transformers.models.nemotron_h_omni.processing_nemotron_h_omni import NemotronH_Omni_Reasoning_V3Processor
from transformers.models.phi4_multimodal.configuration_phi4_multimodal import Phi4MultimodalAudioConfig
from transformers.models.phi4_multimodal.modeling_phi4_multimodal import Phi4MultimodalAudioModel
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniAudioEncoderConfig
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder
from transformers.models.qwen3_asr.configuration_qwen3_asr import Qwen3ASREncoderConfig
from transformers.models.qwen3_asr.modeling_qwen3_asr import Qwen3ASREncoder
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeAudioEncoderConfig
from transformers.models.qwen3_omni_moe.modeling_qwen3_omni_moe import Qwen3OmniMoeAudioEncoder
from transformers.models.vibevoice_acoustic_tokenizer.configuration_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerEncoderConfig,
)
from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerEncoderModel,
)
from transformers.processing_utils import ProcessorMixin

SOUND = "<audio_token>"
NAMES = ("audio", "image", "video", "boa", "eoa", "boi", "eoi", "audio_bos", "audio_eos")


def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte a token, and a special one for each kind of place that the processors ask for."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={one: i for i, one in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {f"{name}_token": f"<{name}_token>" for name in NAMES}
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in (*special.values(), "<pad>")])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", extra_special_tokens=special)


TOKENIZER = tokenizer()
ID = TOKENIZER.convert_tokens_to_ids(SOUND)


def silence(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


@dataclass(frozen=True)
class Release:
    """Args:
    inputs: samples of a clip to what the processor gives the model.
    places: how many of its ids stand for audio.
    vectors: how many vectors the module makes of it.
    """

    inputs: Callable[[int], Any]
    places: Callable[[Any], int]
    vectors: Callable[[Any], int]


def called(processor: Any, rate: int = 16_000) -> Callable[[int], Any]:
    def inputs(n: int) -> Any:
        return processor(text=SOUND, audio=[silence(n)], sampling_rate=rate, return_tensors="pt")

    return inputs


def ids(inputs: Any) -> int:
    return int((inputs["input_ids"] == ID).sum())


class _Mute:
    """Before a published extractor: no spectrum; it pads, cuts and masks as ever, for many or long clips."""

    def _torch_extract_fbank_features(self, waveform: np.ndarray, device: str = "cpu") -> np.ndarray:
        return np.zeros((len(waveform), self.feature_size, waveform.shape[-1] // self.hop_length), np.float32)


class MuteWhisper(_Mute, WhisperFeatureExtractor): ...


class MuteQwen3ASR(_Mute, published.Qwen3ASRFeatureExtractor): ...


class MuteMoss(_Mute, MossTranscribeDiarizeFeatureExtractor): ...


def whisper(mute: bool = False, **settings: Any) -> WhisperFeatureExtractor:
    return (MuteWhisper if mute else WhisperFeatureExtractor)(feature_size=80, **settings)


class _Ears:
    """Stands before a published processor: only its tokenizer and its extractor of sound."""

    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        self.audio_token, self.audio_token_id = tokenizer.audio_token, tokenizer.audio_token_id
        self.boa_token, self.eoa_token = tokenizer.boa_token, tokenizer.eoa_token
        self.image_token = self.video_token = None
        ProcessorMixin.__init__(self, feature_extractor, tokenizer)


class Qwen25OmniEars(_Ears, published.Qwen2_5OmniProcessor): ...


class Qwen3OmniEars(_Ears, published.Qwen3OmniMoeProcessor): ...


class Gemma4Ears(_Ears, published.Gemma4Processor): ...


class Phi4Ears(published.Phi4MultimodalProcessor):
    def __init__(self, audio_processor: Any, tokenizer: Any) -> None:
        self.audio_token, self.audio_token_id = tokenizer.audio_token, tokenizer.audio_token_id
        ProcessorMixin.__init__(self, audio_processor, tokenizer)


class InklingEars(published.InklingProcessor):
    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        self.audio_token, self.audio_token_id, self.image_token = tokenizer.audio_token, tokenizer.audio_token_id, None
        self.dmel_min_value, self.dmel_max_value = -7.0, 2.0
        self.bin_centers = torch.linspace(self.dmel_min_value, self.dmel_max_value, 16)
        ProcessorMixin.__init__(self, feature_extractor, tokenizer)


class NemotronEars(NemotronH_Omni_Reasoning_V3Processor):
    def __init__(self, tokenizer: Any, feature_extractor: Any) -> None:
        self.audio_sampling_rate, self.audio_subsampling_factor, self.audio_hop_length = 16_000, 8, 160
        ProcessorMixin.__init__(self, tokenizer, feature_extractor)


class GraniteCount(GraniteSpeechFeatureExtractor):
    """The published count without the log-mel before it, which needs torchaudio."""

    def __init__(self) -> None:
        self.melspec_kwargs = {"hop_length": 160}
        self.projector_window_size, self.projector_downsample_rate = 15, 5


TEXT = {
    "vocab_size": len(TOKENIZER), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 4096,
}  # fmt: skip
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
ENCODER = {**SIZES, "num_mel_bins": 80}
OLD = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "num_mel_bins": 80}


def asked(model: Any) -> Callable[[Any], int]:
    """Vectors by the model's own ``get_audio_features``, with those of the inputs that it names."""
    model.eval()
    wanted = inspect.signature(model.model.get_audio_features).parameters

    def vectors(inputs: Any) -> int:
        return len(model.get_audio_features(**{key: inputs[key] for key in wanted if key in inputs}).pooler_output)

    return vectors


def whole(name: str, *, audio: dict[str, Any], text: str = "qwen2", **more: Any) -> Callable[[Any], int]:
    config = getattr(published, f"{name}Config")(audio_config=audio, text_config={"model_type": text, **TEXT}, **more)
    return asked(getattr(published, f"{name}ForConditionalGeneration")(config))


def qwen2_audio(mute: bool = False) -> Release:
    audio = {"model_type": "qwen2_audio_encoder", **OLD}
    config = published.Qwen2AudioConfig(
        audio_config=audio, text_config={"model_type": "qwen2", **TEXT}, audio_token_index=ID
    )
    model = published.Qwen2AudioForConditionalGeneration(config).eval()

    def vectors(inputs: Any) -> int:
        model(**inputs)  # raises where places and vectors differ
        return int(model.model.audio_tower._get_feat_extract_output_lengths(inputs["feature_attention_mask"].sum())[1])

    return Release(called(published.Qwen2AudioProcessor(whisper(mute), TOKENIZER)), ids, vectors)


def heard(inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Features without padding (F, M) and their length, as the omni models give them to their encoders."""
    mask = inputs["feature_attention_mask"]
    return inputs["input_features"].permute(0, 2, 1)[mask.bool()].permute(1, 0), mask.sum(1)


def qwen2_5_omni(mute: bool = False, chunk_length: int = 62) -> Release:
    """With less room than the 300 s of the released preprocessor, which pads: below it the count is the same."""
    encoder = Qwen2_5OmniAudioEncoder(Qwen2_5OmniAudioEncoderConfig(output_dim=16, **OLD)).eval()

    def vectors(inputs: Any) -> int:
        features, lengths = heard(inputs)
        halved = encoder._get_feat_extract_output_lengths(lengths)[0]
        return len(encoder(features, feature_lens=lengths, aftercnn_lens=halved).last_hidden_state)

    return Release(called(Qwen25OmniEars(whisper(mute, chunk_length=chunk_length), TOKENIZER)), ids, vectors)


def qwen3_omni(mute: bool = False) -> Release:
    config = Qwen3OmniMoeAudioEncoderConfig(output_dim=16, downsample_hidden_size=4, **OLD)
    encoder = Qwen3OmniMoeAudioEncoder(config).eval()

    def vectors(inputs: Any) -> int:
        features, lengths = heard(inputs)
        return len(encoder(features, feature_lens=lengths).last_hidden_state)

    return Release(called(Qwen3OmniEars(whisper(mute), TOKENIZER)), ids, vectors)


def qwen3_asr(mute: bool = False) -> Release:
    config = Qwen3ASREncoderConfig(output_dim=16, downsample_hidden_size=4, **{**OLD, "num_mel_bins": 128})
    encoder = Qwen3ASREncoder(config).eval()

    def vectors(inputs: Any) -> int:
        return encoder(inputs["input_features"], inputs["input_features_mask"]).last_hidden_state.shape[-2]

    processor = published.Qwen3ASRProcessor((MuteQwen3ASR if mute else published.Qwen3ASRFeatureExtractor)(), TOKENIZER)
    return Release(called(processor), ids, vectors)


def voxtral(mute: bool = False) -> Release:
    """The places themselves are written by mistral-common; the windows are the processor's, the rate the module's."""
    processor = published.VoxtralProcessor(whisper(mute), TOKENIZER)
    audio = {**ENCODER, "intermediate_size": 64}
    vectors = whole("Voxtral", audio=audio, text="llama", audio_token_id=24)

    def inputs(n: int) -> Any:
        settings = processor._merge_kwargs()["audio_kwargs"]
        positions = settings.pop("max_source_positions")
        return {"input_features": processor._retrieve_input_features([silence(n)], positions, **settings)}

    return Release(inputs, lambda made: 375 * len(made["input_features"]), vectors)


def granite_speech() -> Release:
    encoder = {"model_type": "granite_speech_encoder", "num_layers": 1, "hidden_dim": 16, "num_heads": 2}
    bridge = {
        "model_type": "blip_2_qformer", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "encoder_hidden_size": 16,
    }  # fmt: skip
    config = published.GraniteSpeechConfig(
        encoder_config={**encoder, "dim_head": 8, "output_dim": 4},
        text_config={"model_type": "granite", **TEXT},
        projector_config=bridge,
        has_lora_adapter=False,
    )
    model = published.GraniteSpeechForConditionalGeneration(config).eval()

    def inputs(n: int) -> Any:
        """Frames of torch's centred spectrum, as torchaudio calls it with the settings of the release, in pairs."""
        window = torch.hann_window(400)
        spectrum = torch.stft(torch.zeros(n), 512, 160, 400, window, center=True, return_complex=True)
        frames = torch.zeros(1, spectrum.shape[-1] // 2, 160)
        return {"input_features": frames, "count": GraniteCount()._get_num_audio_features([n])[0]}

    def vectors(made: Any) -> int:
        return model.get_audio_features(made["input_features"]).pooler_output.shape[1]

    return Release(inputs, lambda made: made["count"], vectors)


def audio_flamingo_3(mute: bool = False) -> Release:
    processor = published.AudioFlamingo3Processor(whisper(mute), TOKENIZER, audio_token=SOUND)
    return Release(called(processor), ids, whole("AudioFlamingo3", audio=ENCODER))


def music_flamingo(mute: bool = False) -> Release:
    processor = published.MusicFlamingoProcessor(whisper(mute), TOKENIZER, audio_token=SOUND)
    audio = {"model_type": "audioflamingo3_encoder", **ENCODER}
    return Release(called(processor), ids, whole("MusicFlamingo", audio=audio, audio_token_id=ID))


def glm_asr(mute: bool = False) -> Release:
    processor = published.GlmAsrProcessor(whisper(mute), TOKENIZER, audio_token=SOUND)
    return Release(called(processor), ids, whole("GlmAsr", audio={**ENCODER, "intermediate_size": 64}))


def moss(mute: bool = False) -> Release:
    extractor = (MuteMoss if mute else MossTranscribeDiarizeFeatureExtractor)()
    processor = published.MossTranscribeDiarizeProcessor(extractor, TOKENIZER, audio_token=SOUND)
    return Release(called(processor), ids, whole("MossTranscribeDiarize", audio=OLD))


def gemma3n() -> Release:
    sizes = {"hidden_size": 32, "conf_num_attention_heads": 2, "conf_num_hidden_layers": 1}
    encoder = Gemma3nAudioEncoder(published.Gemma3nAudioConfig(sscp_conv_channel_size=[8, 4], **sizes)).eval()

    def vectors(inputs: Any) -> int:
        made = encoder(inputs["input_features"], ~inputs["input_features_mask"]).last_hidden_state.shape[1]
        assert 1 <= made <= 188
        return 188  # the model, which needs timm, fills up with one padding vector

    images = published.SiglipImageProcessorPil()
    processor = published.Gemma3nProcessor(published.Gemma3nAudioFeatureExtractor(), images, TOKENIZER)
    return Release(called(processor), ids, vectors)


def gemma4() -> Release:
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "output_proj_dims": 16}
    encoder = Gemma4AudioModel(published.Gemma4AudioConfig(subsampling_conv_channels=[128, 4], **sizes)).eval()

    def vectors(inputs: Any) -> int:
        return int(encoder(inputs["input_features"], inputs["input_features_mask"]).attention_mask.sum())

    return Release(called(Gemma4Ears(published.Gemma4AudioFeatureExtractor(), TOKENIZER)), ids, vectors)


def phi4_multimodal() -> Release:
    widths = dict.fromkeys(("ext_pw_out_channel", "depthwise_separable_out_channel", "nemo_conv_channels"), 16)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_blocks": 1, "num_attention_heads": 2}
    encoder = Phi4MultimodalAudioModel(Phi4MultimodalAudioConfig(**sizes, **widths)).eval()

    def vectors(inputs: Any) -> int:
        return encoder(inputs["audio_input_features"], None).shape[1]

    return Release(called(Phi4Ears(published.Phi4MultimodalFeatureExtractor(), TOKENIZER)), ids, vectors)


def vibevoice_asr() -> Release:
    config = VibeVoiceAcousticTokenizerEncoderConfig(num_filters=1, hidden_size=8, depths=[1] * 7)
    encoder = VibeVoiceAcousticTokenizerEncoderModel(config).eval()
    extractor = published.VibeVoiceAcousticTokenizerFeatureExtractor()
    processor = published.VibeVoiceAsrProcessor(extractor, TOKENIZER, audio_token=SOUND)
    return Release(called(processor, 24_000), ids, lambda made: encoder(made["input_values"]).latents.shape[1])


def codec() -> Any:
    """A tiny Mimi with the strides of the released one."""
    config = published.MimiConfig(
        num_filters=2, hidden_size=16, num_hidden_layers=1, intermediate_size=16, num_attention_heads=2,
        num_key_value_heads=2, codebook_dim=4, vector_quantization_hidden_dimension=4, num_quantizers=2,
        codebook_size=8, upsample_groups=16,
    )  # fmt: skip
    return published.MimiModel(config).eval()


def codes(model: Any) -> Callable[[Any], int]:
    return lambda made: model.encode(made["input_values"]).audio_codes.shape[-1]


def moshi() -> Release:
    """There is no processor: the model encodes the samples itself, and reads a position for each frame."""
    model = codec()

    def places(made: Any) -> int:
        return int(model.get_encoded_length(torch.tensor(made["input_values"].shape[-1])))

    return Release(lambda n: {"input_values": torch.zeros(1, 1, n)}, places, codes(model))


def csm() -> Release:
    processor = published.CsmProcessor(published.EncodecFeatureExtractor(sampling_rate=24_000), TOKENIZER)
    return Release(called(processor, 24_000), ids, codes(codec()))


def inkling() -> Release:
    table = InklingAudioModel(InklingAudioConfig(text_hidden_size=16)).eval()

    def vectors(inputs: Any) -> int:
        return len(table(inputs["audio_input_ids"][inputs["audio_input_ids_mask"]]).last_hidden_state)

    return Release(called(InklingEars(published.InklingFeatureExtractor(), TOKENIZER)), ids, vectors)


def nemotron_omni() -> Release:
    encoder = published.ParakeetEncoder(published.ParakeetEncoderConfig(subsampling_conv_channels=4, **ENCODER)).eval()
    processor = NemotronEars(TOKENIZER, published.ParakeetFeatureExtractor())

    def inputs(n: int) -> Any:
        features, mask, places = processor._process_audio([silence(n)], {})
        return {"input_features": features, "attention_mask": mask, "places": places[0]}

    def vectors(made: Any) -> int:
        return encoder(made["input_features"], attention_mask=made["attention_mask"]).last_hidden_state.shape[1]

    return Release(inputs, lambda made: made["places"], vectors)


RELEASES: dict[str, Callable[..., Release]] = {
    "qwen2-audio": qwen2_audio,
    "moshi": moshi,
    "audio-flamingo-3": audio_flamingo_3,
    "csm": csm,
    "gemma-3n": gemma3n,
    "glm-asr": glm_asr,
    "granite-speech": granite_speech,
    "music-flamingo": music_flamingo,
    "phi-4-multimodal": phi4_multimodal,
    "qwen2.5-omni": qwen2_5_omni,
    "qwen3-omni": qwen3_omni,
    "voxtral": voxtral,
    "gemma-4": gemma4,
    "inkling": inkling,
    "moss-transcribe-diarize": moss,
    "nemotron-omni": nemotron_omni,
    "qwen3-asr": qwen3_asr,
    "vibevoice-asr": vibevoice_asr,
}
CAN_BE_MUTE = frozenset(name for name, made in RELEASES.items() if "mute" in inspect.signature(made).parameters)
