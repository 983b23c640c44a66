"""What pre-training sees of a conformer: the same hidden states as transformers tells, of both models that it knows."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.train.conformer import conformer_of

from .conformers import TOWERS, model_of
from .support import MODEL


@pytest.mark.parametrize("kind", TOWERS)
def test_hidden_states_are_those_that_transformers_tells(kind: str) -> None:
    model = model_of(kind)
    conformer = conformer_of(model)
    values = torch.randn(2, 160, 12, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([12, 7])
    mask = torch.arange(12)[None] < lengths[:, None]
    tower: Any = model.encoder.tower if kind == "w2v_bert" else model.speech_encoder
    wanted = tower(values.transpose(1, 2), attention_mask=mask, output_hidden_states=True).hidden_states
    assert conformer.n_layers == 2
    hooks = [len(layer._forward_hooks) for layer in conformer.stack.layers]  # of transformers
    projected = conformer.project(values)
    first, last = conformer.hidden(projected, lengths, 1)
    assert torch.equal(first[mask], wanted[1][mask])
    second, again = conformer.hidden(projected, lengths, 2)
    assert torch.equal(last[mask], again[mask]) and not torch.equal(first[mask], second[mask])
    if kind == "w2v_bert":
        assert torch.equal(second, again)  # behind the other's layers stands a norm
    assert hooks == [len(layer._forward_hooks) for layer in conformer.stack.layers]  # of ours none stays


def test_a_layer_that_is_skipped_gives_what_it_was_given() -> None:
    model = model_of("seamless")
    model.speech_encoder.config.speech_encoder_layerdrop = 1.0
    model.speech_encoder.train()
    conformer = conformer_of(model)
    projected = torch.randn(1, 5, 16)
    middle, _ = conformer.hidden(projected, torch.tensor([5]), 1)
    assert torch.equal(middle, projected)


@pytest.mark.parametrize("model", [MODEL, SimpleNamespace(encoder=None)], ids=["whisper", "none"])
def test_an_encoder_that_is_no_conformer_is_refused(model: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"only a conformer can be pre-trained.* hears with (WhisperEncoder|NoneType)"
    ):
        conformer_of(model)
