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
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2SpeechEncoder

from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.errors import ConfigError
from ossicle.tensors import length_mask


@dataclass(frozen=True, eq=False)
class Conformer:
    """A tower's projection and its layers.

    Args:
        projection: features (B, T, F) to (B, T, D).
        stack: has ``layers``, and takes (B, T, D) with ``attention_mask`` (B, T) bool.
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
        """Hidden states behind a layer and behind the last one.

        Args:
            projected: (B, T, D) frames, masked or not.
            lengths: (B,) int64 on the CPU, valid frames.
            layer: counted from 1; one that layer drop skips gives what it was given.

        Returns:
            (B, T, D) and (B, T, D); frames past ``lengths`` hold anything.
        """
        n = projected.shape[1]
        mask = None if int(lengths.min()) == n else length_mask(lengths, n).to(projected.device)
        newest = [projected]

        def keep(_layer: nn.Module, _given: Any, out: Any) -> None:
            newest[0] = out[0] if isinstance(out, tuple) else out

        kept = [one.register_forward_hook(keep) for one in self.stack.layers[:layer]]
        try:
            found = self.stack(projected, attention_mask=mask)
        finally:
            for one in kept:
                one.remove()
        last: torch.Tensor = found if isinstance(found, torch.Tensor) else found.last_hidden_state
        return newest[0], last


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
