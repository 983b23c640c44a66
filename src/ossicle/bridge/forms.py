"""Published bridges by name, each with the numbers of its source.

Knows numbers only; the classes know what is done with them. The widths are the user's: a form is a shape, not weights.
Source: the released code and checkpoints that each function names.
"""

from torch import nn

from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import WindowQFormer
from ossicle.bridge.stacking import StackMLP
from ossicle.errors import BridgeError

FORMS = ("qwen_audio", "slam", "ultravox", "voxtral", "salmonn", "granite")
DROPOUT = 0.1
"""In the blocks of every published Q-Former."""


def qwen_audio(width_in: int, width_out: int) -> MeanPool:
    """Qwen-Audio and Qwen2-Audio: the mean of 2 frames, LayerNorm, Linear; an odd last frame is lost.

    25 tokens a second over Whisper, 5.25 M parameters for 1280 to 4096.
    Source: Chu et al. 2023, section 3.1; the released Qwen2-Audio checkpoint.
    """
    return MeanPool(width_in, width_out, k=2, tail="drop")


def slam(width_in: int, width_out: int) -> StackMLP:
    """SLAM-ASR: 5 frames side by side, Linear to 2048, ReLU, Linear; up to 4 last frames are lost.

    10 tokens a second over an encoder of 50 Hz, 18.88 M parameters for 1024 to 4096.
    Source: Ma et al. 2024; X-LANCE/SLAM-LLM.
    """
    return StackMLP(width_in, width_out, k=5, hidden=2048, tail="drop", output_norm="none")


def ultravox(width_in: int, width_out: int) -> StackSwiGLU:
    """Ultravox from 0.5 on: 8 frames side by side, RMS norm, Linear to 4096, SwiGLU, RMS norm, Linear, no biases.

    6.25 tokens a second over Whisper, 50.34 M parameters for 1280 to 4096.
    Source: the released Ultravox checkpoints.
    """
    return StackSwiGLU(width_in, width_out, k=8, hidden=4096)


def voxtral(width_in: int, width_out: int) -> StackMLP:
    """Voxtral: 4 frames side by side, Linear to the LLM's width, GELU, Linear, no biases.

    12.5 tokens a second over Whisper, 25.17 M parameters for 1280 to 3072. As published every clip is padded to whole
    windows of 30 s, which 4 divides; here the last frame is repeated.
    Source: `transformers`' VoxtralMultiModalProjector.
    """
    return StackMLP(
        width_in, width_out, k=4, hidden=width_out, tail="duplicate", output_norm="none", activation="gelu", bias=False
    )


def salmonn(width_in: int, width_out: int) -> WindowQFormer:
    """SALMONN: 1 query reads each window of 17 frames through 2 blocks of width 768, then Linear.

    2.94 tokens a second over encoders of 50 Hz; 22.8 M parameters in the blocks for frames of 2048, Whisper's and
    BEATs' side by side, each after a LayerNorm that is no part of the bridge. As published every clip is padded to
    windows of 30 s and silence is read; here zeros are. There the last 4 frames of 1,500 are lost (88 tokens), here
    they are kept (89).
    Source: Tang et al. 2023; bytedance/SALMONN.
    """
    bridge = WindowQFormer(
        width_in, width_out, k=17, queries=1, hidden=768, layers=2, heads=12, tail="zero", dropout=DROPOUT
    )
    nn.init.normal_(bridge.former.query, std=0.02)
    return bridge


def granite(width_in: int, width_out: int) -> WindowQFormer:
    """Granite speech: 3 queries read each window of 15 frames through 2 blocks of width 1024, then Linear.

    10 tokens a second over its own encoder of 50 Hz, 33.6 M parameters in the blocks for frames of 1024. Zeros fill the
    last window and are read.
    Source: `transformers`' GraniteSpeechEncoderProjector.
    """
    return WindowQFormer(
        width_in, width_out, k=15, queries=3, hidden=1024, layers=2, heads=16, tail="zero", dropout=DROPOUT
    )


def build_form(name: str, width_in: int, width_out: int) -> MeanPool | StackMLP | StackSwiGLU | WindowQFormer:
    """The published bridge of a name, with random weights.

    Raises:
        BridgeError: an unknown name, or widths that its class refuses.
    """
    match name:
        case "qwen_audio":
            return qwen_audio(width_in, width_out)
        case "slam":
            return slam(width_in, width_out)
        case "ultravox":
            return ultravox(width_in, width_out)
        case "voxtral":
            return voxtral(width_in, width_out)
        case "salmonn":
            return salmonn(width_in, width_out)
        case "granite":
            return granite(width_in, width_out)
    raise BridgeError(f"there is no published bridge {name!r}: choose one of {', '.join(FORMS)}")
