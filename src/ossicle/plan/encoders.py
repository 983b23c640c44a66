"""Sizes of encoders: how many frames they make of samples, in windows of 30 s, and what that costs.

Knows shapes and arithmetic; does not know weights. A product of N positions with a matrix of P entries is 2 * P * N
FLOPs, attention among the T frames of a window 4 * width * T ** 2; norms, activations and the mel filters are left out.
Source: Radford et al. 2022, table 1, and the released large-v3; Baevski et al. 2020 and the released wav2vec 2.0
configs; Barrault et al. 2023 for w2v-BERT 2.0; torch counts the same (tests/plan/test_encoders.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ossicle.audio.lengths import BANK_FIELD, WAVE_FIELD, wave_frames, wave_samples, whisper_frames
from ossicle.errors import RequestError

CONVS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Kernel and stride of each convolution of wav2vec 2.0's front end."""
CONV_WIDTH = 512
POSITIONS, GROUPS = 128, 16
"""Kernel and groups of the convolution that gives wav2vec 2.0 its positions."""


@dataclass(frozen=True)
class EncoderSizes:
    """The shape of one encoder of sound at 16 kHz, 50 frames a second.

    Args:
        name: what it is called.
        kind: "whisper", "wav2vec2" or "w2v_bert".
        width: D.
        layers: blocks.
        ffn: width of a feed-forward part.
        bands: values of one input frame (mel bins; 160 of two stacked filter banks; 0 for waveforms).
        kernel: frames that a block's own convolution sees, 0 without one.
        pads: computes every window whole, silence included, as the published Whisper does.
        window_s: seconds that it hears at once; longer audio is windows.
    """

    name: str
    kind: str
    width: int
    layers: int
    ffn: int
    bands: int
    kernel: int = 0
    pads: bool = False
    window_s: int = 30
    rate: int = 16_000
    rate_hz: float = 50.0

    def n_frames(self, n_samples: int) -> int:
        """Frames of one window of ``n_samples``."""
        match self.kind:
            case "whisper":
                return whisper_frames(n_samples)
            case "wav2vec2":
                return wave_frames(n_samples, WAVE_FIELD, "pad")
        return wave_frames(n_samples, BANK_FIELD, "pad")

    def windows(self, n_samples: int) -> list[tuple[int, int]]:
        """Frames of a window and how many such windows there are, in order: the whole ones, then the rest."""
        whole, rest = divmod(n_samples, self.window_s * self.rate)
        found = [(self.n_frames(self.window_s * self.rate), whole), (self.n_frames(rest) if rest else 0, int(rest > 0))]
        return [(frames, times) for frames, times in found if times]

    @property
    def parameters(self) -> int:
        """Entries of all matrices and kernels."""
        return sum(entries for entries, _ in self._products(1))

    def flops(self, n_samples: int) -> int:
        """All windows of a clip."""
        longest = self.n_frames(self.window_s * self.rate)
        return sum(
            times * self.window_flops(longest if self.pads else frames) for frames, times in self.windows(n_samples)
        )

    def window_flops(self, frames: int) -> int:
        """One window of T frames: 2 * entries * positions of every product, and attention.

        Attention is 4 * width * T ** 2 a layer; w2v-BERT's table of distances is a third product, 2 * width * T ** 2.
        """
        pairs = (6 if self.kind == "w2v_bert" else 4) * self.layers * self.width * frames**2
        return 2 * sum(entries * positions for entries, positions in self._products(frames)) + pairs

    def _products(self, frames: int) -> list[tuple[int, int]]:
        """Entries of each group of matrices, and the positions that each of them is applied to."""
        d, attention, ffn = self.width, 4 * self.width**2, 2 * self.width * self.ffn
        match self.kind:
            case "whisper":
                front = [(3 * self.bands * d, 2 * frames), (3 * d * d, frames)]
                return [*front, (self.layers * (attention + ffn), frames)]
            case "wav2vec2":
                front, n, wide = [], wave_samples(frames, WAVE_FIELD), 1
                for kernel, stride in CONVS:
                    n = (n - kernel) // stride + 1
                    front.append((kernel * wide * CONV_WIDTH, n))
                    wide = CONV_WIDTH
                entry = CONV_WIDTH * d + POSITIONS * d * d // GROUPS
                return [*front, (entry + self.layers * (attention + ffn), frames)]
        convolution = 3 * d * d + self.kernel * d  # to two halves, depthwise, and out
        return [(self.bands * d + self.layers * (attention + 2 * ffn + convolution), frames)]


ENCODERS: Mapping[str, EncoderSizes] = {
    one.name: one
    for one in (
        EncoderSizes("mini", "whisper", 256, 4, 1_024, 80),
        EncoderSizes("whisper-tiny", "whisper", 384, 4, 1_536, 80, pads=True),
        EncoderSizes("whisper-base", "whisper", 512, 6, 2_048, 80, pads=True),
        EncoderSizes("whisper-small", "whisper", 768, 12, 3_072, 80, pads=True),
        EncoderSizes("whisper-medium", "whisper", 1_024, 24, 4_096, 80, pads=True),
        EncoderSizes("whisper-large-v2", "whisper", 1_280, 32, 5_120, 80, pads=True),
        EncoderSizes("whisper-large-v3", "whisper", 1_280, 32, 5_120, 128, pads=True),
        EncoderSizes("wav2vec2-base", "wav2vec2", 768, 12, 3_072, 0),
        EncoderSizes("wav2vec2-large", "wav2vec2", 1_024, 24, 4_096, 0),
        EncoderSizes("w2v-bert-2.0", "w2v_bert", 1_024, 24, 4_096, 160, kernel=31),
    )
}


def encoder_sizes(name: str) -> EncoderSizes:
    """The sizes of an encoder.

    Raises:
        RequestError: no encoder has this name.
    """
    if name not in ENCODERS:
        raise RequestError(f"the encoder {name!r} is not known: choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name]
