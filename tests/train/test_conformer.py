"""What pre-training sees of a conformer: the same hidden states as transformers tells, of both models that it knows."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.train.conformer import conformer_of

from .conformers import model_of
from .support import MODEL


@pytest.mark.parametrize(
    ("kind", "positions"),
    [("seamless", "relative_key"), ("w2v_bert", "relative_key"), ("w2v_bert", "relative"), ("w2v_bert", "rotary")],
)
def test_hidden_states_are_those_that_transformers_tells(kind: str, positions: str) -> None:
    model = model_of(kind, positions)
    conformer = conformer_of(model)
    values = torch.randn(2, 160, 12, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([12, 7])
    mask = torch.arange(12)[None] < lengths[:, None]
    tower: Any = model.encoder.tower if kind == "w2v_bert" else model.speech_encoder
    told = tower(values.transpose(1, 2), attention_mask=mask, output_hidden_states=True)
    assert conformer.n_layers == 2
    projected = conformer.project(values)
    first, last = conformer.hidden(projected, lengths, 1)
    assert torch.allclose(first[mask], told.hidden_states[1][mask], atol=1e-5)
    second, again = conformer.hidden(projected, lengths, 2)
    assert torch.equal(last[mask], again[mask]) and not torch.allclose(first[mask], second[mask], atol=1e-2)
    if kind == "w2v_bert":
        assert torch.equal(second, again) and torch.allclose(last[mask], told.last_hidden_state[mask], atol=1e-5)
    else:  # behind the layers stands a norm
        assert torch.allclose(last, tower.encoder.layer_norm(second), atol=1e-6)


@pytest.mark.parametrize("model", [MODEL, SimpleNamespace(encoder=None)], ids=["whisper", "none"])
def test_an_encoder_that_is_no_conformer_is_refused(model: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"only a conformer can be pre-trained.* hears with (WhisperEncoder|NoneType)"
    ):
        conformer_of(model)
