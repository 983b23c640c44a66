"""How a translator hears piece by piece, as a part of it."""

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.errors import ConfigError
from ossicle.hub.translator import load_translator, save_translator
from ossicle.simul.choice import Choices
from ossicle.simul.encoder import masked
from ossicle.simul.hearing import Hearing, choices_of, hearing_of
from ossicle.tensors import stacked
from ossicle.translate.speech_encoder import Chunks


def sound(n: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=n)).astype(np.float32)


def test_what_is_learned_from_and_what_listens_agree() -> None:
    model = tiny()
    hearing = Hearing(80, frames=16, left=1, weight=30, memory=500)
    hearing.learn(model, [sound(20000), sound(8000, 1)])
    waves = [sound(30000, 2), sound(11000, 3)]
    rows = [hearing.normed(model.banks, wave).T for wave in waves]
    with torch.no_grad():
        whole = hearing.heard(model, stacked(rows, [len(wave) for wave in waves], [1.875, 0.6875]))
        assert torch.equal(whole.values, masked(model, waves, hearing.chunks, hearing.usual).values)
    ears = hearing.begin(model)
    piecewise = torch.cat([ears.hear(waves[0]), ears.finish()], 1)
    assert (piecewise - whole.values[:1]).abs().max() < 1e-5


def test_a_folder_keeps_it(tmp_path) -> None:
    model = tiny()
    model.hearing = Hearing(80, frames=16, left=3, weight=30, memory=500)
    model.hearing.learn(model, [sound(20000)])
    model.choices = Choices(32, 4, 2, ratio=3, layers=2, bias=-0.25)
    again = load_translator(save_translator(model, tmp_path / "model"), device="cpu", dtype="float32")
    hearing, choices = hearing_of(again), choices_of(again)
    assert hearing.settings() == {"bins": 80, "frames": 16, "left": 3, "weight": 30.0, "memory": 500.0}
    assert hearing.chunks == Chunks(16, 3) and torch.equal(hearing.mean, model.hearing.mean)
    assert choices.settings() == {"width": 32, "heads": 4, "n_layers": 2, "ratio": 3, "layers": 2}
    theirs = model.choices.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in choices.state_dict().items())
    plain = load_translator(save_translator(tiny(), tmp_path / "plain"), device="cpu")
    assert plain.hearing is None and plain.choices is None


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"left": -2}, {"weight": 0.0}, {"memory": 0.0}, {"bins": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="hearing has bins and frames of 1 or more, left of -1 or more"):
        Hearing(**{"bins": 80, "frames": 8, **wrong})
