"""What pre-training sees of a speech encoder: its projection, its conformer layers, and what flows between them.

Knows the two conformers that `transformers` names alike: of a w2v-BERT and of SeamlessM4T v2 (the same layers; behind
the last of them stands a norm). Does not know clips, masks or losses, nor what comes behind the conformer (adaptor,
bridge).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import Wav2Vec2BertModel
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2ConformerEncoder,
    SeamlessM4Tv2SpeechEncoder,
)

from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.errors import ConfigError
from ossicle.translate.speech_encoder import additive, chunked, published_chunks, valid


@dataclass(frozen=True, eq=False)
class Conformer:
    """A tower's projection and its layers.

    Args:
        projection: features (B, T, F) to (B, T, D).
        stack: of ``layers``.
    """

    projection: nn.Module
    stack: Any

    @property
    def n_layers(self) -> int:
        """How many layers it has."""
        return len(self.stack.layers)

    def project(self, values: torch.Tensor) -> torch.Tensor:
        """Features (B, F, T) to projected frames (B, T, D)."""
        found = self.projection(values.transpose(1, 2))
        projected: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return projected

    def hidden(self, projected: torch.Tensor, lengths: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states behind a layer and behind the last one; no layer is skipped.

        Args:
            projected: (B, T, D) frames, masked or not.
            lengths: (B,) int64 on the CPU, valid frames.
            layer: counted from 1.

        Returns:
            (B, T, D) twice, the second behind the norm where there is one; frames past ``lengths`` mean nothing.
        """
        stack, n = self.stack, projected.shape[1]
        mask = valid(lengths, n, projected.device)
        hidden = projected if mask is None else projected.masked_fill(~mask[..., None], 0.0)
        chunks = (
            chunked(n, published_chunks(stack.config)) if isinstance(stack, SeamlessM4Tv2ConformerEncoder) else None
        )
        seen = additive(mask, chunks, hidden)
        hidden = middle = stack.dropout(hidden)
        positions = getattr(stack, "embed_positions", None)
        placed = {} if positions is None else {"relative_position_embeddings": positions(hidden)}
        for number, one in enumerate(stack.layers, 1):
            hidden = one(hidden, attention_mask=seen, conv_attention_mask=mask, **placed)
            if number == layer:
                middle = hidden
        norm = getattr(stack, "layer_norm", None)
        return middle, hidden if norm is None else norm(hidden)


def conformer_of(model: Any) -> Conformer:
    """The conformer inside a model: that of its ``speech_encoder`` (a translator) or of its ``encoder`` (all others).

    Raises:
        ConfigError: its encoder is no conformer.
    """
    ear = getattr(model, "speech_encoder", None) or getattr(model, "encoder", None)
    match ear:
        case W2vBertEncoder(tower=Wav2Vec2BertModel(feature_projection=projection, encoder=stack)):
            return Conformer(projection, stack)
        case SeamlessM4Tv2SpeechEncoder(feature_projection=projection, encoder=stack):
            return Conformer(projection, stack)
        case _:
            raise ConfigError(
                f"only a conformer can be pre-trained, a w2v-BERT encoder or that of a SeamlessM4T v2; "
                f"{type(model).__name__} hears with {type(ear).__name__}"
            )
