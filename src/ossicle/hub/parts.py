"""Parts by name: the one place where a kind becomes an encoder or a bridge, and back.

Knows every class that a model folder may name; does not know files.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from torch import nn

from ossicle.bridge.attention import AttentionPool
from ossicle.bridge.cif import Cif
from ossicle.bridge.conv import ConvMLP
from ossicle.bridge.ctc import Ctc
from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.bridge.merging import Merging
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer, WindowQFormer
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import ConfigError
from ossicle.hub.own import OWN, Own

ENCODERS = ("whisper", "wav2vec2", "w2v_bert")
BRIDGES = (
    *("mean_pool", "stack_mlp", "stack_swiglu"),
    *("conv", "attention_pool", "qformer", "window_qformer"),
    *("ctc", "cif", "merging", "matryoshka"),
)
Runs = MeanPool | StackMLP | StackSwiGLU | ConvMLP | AttentionPool | QFormer | WindowQFormer
AnyBridge = Runs | Ctc | Cif | Merging | Matryoshka


def build_encoder(kind: str, config: Mapping[str, Any]) -> WhisperEncoder | Wav2Vec2Encoder | W2vBertEncoder:
    """An encoder with random weights.

    Raises:
        ConfigError: an unknown kind, or settings that it does not have.
    """
    try:
        match kind:
            case "whisper":
                return WhisperEncoder(WhisperSettings(**config))
            case "wav2vec2":
                return Wav2Vec2Encoder(**config)
            case "w2v_bert":
                return W2vBertEncoder(**config)
    except TypeError as error:
        raise ConfigError(f"an encoder of kind {kind!r} cannot be built from {sorted(config)}") from error
    raise ConfigError(f"the encoder {kind!r} is not known: choose one of {', '.join(ENCODERS)}")


def build_bridge(kind: str, config: Mapping[str, Any]) -> AnyBridge:
    """A bridge with random weights.

    Raises:
        ConfigError: an unknown kind, or settings that it does not have.
    """
    try:
        match kind:
            case "mean_pool":
                return MeanPool(**config)
            case "stack_mlp":
                return StackMLP(**config)
            case "stack_swiglu":
                return StackSwiGLU(**config)
            case "conv":
                return ConvMLP(**config)
            case "attention_pool":
                return AttentionPool(**config)
            case "qformer":
                return QFormer(**config)
            case "window_qformer":
                return WindowQFormer(**config)
            case "ctc":
                return Ctc(**config)
            case "cif":
                return Cif(**config)
            case "merging":
                return Merging(**config)
            case "matryoshka":
                return Matryoshka(**config)
    except TypeError as error:
        raise ConfigError(f"a bridge of kind {kind!r} cannot be built from {sorted(config)}") from error
    raise ConfigError(f"the bridge {kind!r} is not known: choose one of {', '.join(BRIDGES)}")


def describe(part: nn.Module) -> tuple[str, dict[str, Any]]:
    """Kind and settings from which a part can be built again.

    Raises:
        ConfigError: a class of which files know nothing.
    """
    own = getattr(part, "ossicle_own", None)
    if isinstance(own, Own):
        return OWN, asdict(own)
    ours = type(part) in (WhisperEncoder, Wav2Vec2Encoder, W2vBertEncoder, *get_args(AnyBridge))
    match part:  # what is derived from one of ours may compute something else
        case WhisperEncoder() if ours:
            return "whisper", asdict(part.settings)
        case Wav2Vec2Encoder() if ours:
            return "wav2vec2", part.settings()
        case W2vBertEncoder() if ours:
            return "w2v_bert", part.settings()
        case MeanPool() | StackMLP() | StackSwiGLU() | Ctc() | Cif() | Merging() | Matryoshka() if ours:
            return part.kind, part.settings()
        case ConvMLP() | AttentionPool() | QFormer() | WindowQFormer() if ours:
            return part.kind, part.settings()
    raise ConfigError(
        f"a {type(part).__name__} cannot be saved: files know the encoders {', '.join(ENCODERS)}, the bridges "
        f"{', '.join(BRIDGES)}, and parts that ossicle.hub.own.build_own('FILE.py:CLASS') built"
    )
