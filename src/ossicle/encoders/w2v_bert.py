"""A w2v-BERT 2.0 encoder: Kaldi filter banks, two frames stacked, to 50 frames a second.

Knows clips, filter banks and frames; does not know bridges or LLMs. Layers and weight names of `transformers`'
Wav2Vec2BertModel, features of its SeamlessM4TFeatureExtractor. Source: Barrault et al. 2023 (SeamlessM4T), section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.lengths import BANK_FIELD, WAVE_HOP
from ossicle.encoders.banks import STACKED as STACKED
from ossicle.encoders.banks import Banks
from ossicle.encoders.waves import Tail, check_sizes, heard_s, lengths_and_mask
from ossicle.tensors import Features, Frames


@dataclass(frozen=True)
class W2vBertSizes:
    """Sizes of a new w2v-BERT encoder.

    ``kernel`` is what the convolution of a block sees, in frames, its own the last; ``left`` and ``right`` how many
    distances before and after its own frame attention tells apart (further ones count as the furthest). Nothing is
    dropped out and no layer skipped: an encoder of a few layers that never hears a clip twice has none to spare.
    """

    kind: Literal["w2v_bert"] = "w2v_bert"
    width: int = 192
    layers: int = 4
    heads: int = 4
    ffn: int = 512
    kernel: int = 15
    left: int = 64
    right: int = 8

    def config(self) -> dict[str, Any]:
        """The same as a ``Wav2Vec2BertConfig`` names it."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.ffn,
            "conv_depthwise_kernel_size": self.kernel,
            "left_max_position_embeddings": self.left,
            "right_max_position_embeddings": self.right,
            "conformer_conv_dropout": 0.0,
            "layerdrop": 0.0,
        }


class W2vBertEncoder(nn.Module):
    """Filter banks to 50 frames a second.

    Args:
        config: of a ``Wav2Vec2BertConfig``; what is not said has that class's value.
        tail: "pad" hears every sample, "drop" is the published rule.
        max_s: longest clip in seconds; what is longer goes through in windows.

    Raises:
        EncoderError: sizes that give no encoder.
    """

    rate_hz = SAMPLE_RATE / WAVE_HOP
    sample_rate = SAMPLE_RATE

    def __init__(self, config: Mapping[str, Any], *, tail: Tail = "pad", max_s: float = 30.0) -> None:
        super().__init__()
        self.config, self.tail, self.max_s = dict(config), tail, max_s
        made = Wav2Vec2BertConfig(**self.config)
        check_sizes("w2v-BERT", made)
        self.width = made.hidden_size
        self.banks = Banks(made.feature_projection_input_dim, tail=tail, max_s=max_s)
        self.max_samples = self.banks.max_samples
        self.tower = Wav2Vec2BertModel(made)

    def settings(self) -> dict[str, Any]:
        """What builds this encoder again."""
        return {"config": self.config, "tail": self.tail, "max_s": self.max_s}

    def n_frames(self, n_samples: int) -> int:
        """Frames for ``n_samples`` at 16 kHz."""
        return self.banks.n_frames(n_samples)

    def features(self, clips: Sequence[Clip]) -> Features:
        """Filter banks of clips of any rate, each bin normed over the clip, zero-padded to the longest.

        Args:
            clips: at least one, none longer than ``max_s``.

        Returns:
            values (B, 160, T) for bins of 80, T = the longest clip's frames.

        Raises:
            EncoderError: no clip, or one that is too long.
        """
        return self.banks.features(clips)

    def forward(self, features: Features) -> Frames:
        """Frames of a batch.

        Args:
            features: values (B, 160, T) as `features` makes them.

        Returns:
            values (B, T, D).
        """
        lengths, mask = lengths_and_mask(self, features)
        hidden, _ = self.tower.feature_projection(features.values.transpose(1, 2))  # (B, T, D)
        values = self.tower.encoder(hidden, attention_mask=mask).last_hidden_state
        if self.tower.intermediate_ffn is not None:
            values = values + 0.5 * self.tower.intermediate_ffn(values)
        return Frames(values, lengths, self.rate_hz, heard_s(self, features, BANK_FIELD))
