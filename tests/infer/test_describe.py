"""What a model is made of, and what is installed."""

import importlib.metadata
import os
from dataclasses import replace

import pytest
import torch
from models.tiny import noise, tiny_model
from torch import nn
from translate.small import tiny
from translate.test_quick_vocoder import small

from infer.test_translate import talking
from ossicle.bridge.cif import Cif
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer
from ossicle.codec.units import Codebook
from ossicle.infer.describe import (
    CORE,
    EXTRAS,
    calibration,
    describe,
    describe_translator,
    environment,
    physical_cores,
)
from ossicle.translate.aligner import Aligner


def test_a_model_is_told_by_its_parts():
    model = tiny_model()
    found = describe(model)
    assert (found["name"], found["pattern"], found["context"], found["dtype"]) == ("tiny", "frozen", 400, "float32")
    assert found["encoder"] | {"parameters": 0} == {
        "kind": "WhisperEncoder",
        "width": 32,
        "sample_rate": 16_000,
        "frames_per_s": 50.0,
        "window_s": 2.0,
        "parameters": 0,
    }
    assert (found["bridge"]["kind"], found["bridge"]["fixed_rate"], found["bridge"]["tokens_per_s"]) == (
        "MeanPool",
        True,
        25,
    )
    assert (found["llm"]["width"], found["llm"]["vocabulary"]) == (32, 320)
    parts = sum(found[part]["parameters"] for part in ("encoder", "bridge", "llm"))
    assert found["parameters"] == parts == sum(one.numel() for one in model.parameters())


def test_a_bridge_that_reads_the_whole_clip_is_told_by_its_rate_at_30_s():
    bridge = QFormer(32, 32, queries=3, hidden=16, layers=1, heads=2)
    found = describe(tiny_model(bridge=bridge))["bridge"]
    assert (found["kind"], found["fixed_rate"], found["tokens_per_s"]) == ("QFormer", True, 0.1)
    assert found["parameters"] == sum(one.numel() for one in bridge.parameters())


def test_of_a_variable_rate_the_expected_is_told():
    found = describe(tiny_model(bridge=Cif(32, 32, k=4).eval()))
    assert (found["bridge"]["kind"], found["bridge"]["fixed_rate"]) == ("Cif", False)
    assert found["bridge"]["tokens_per_s"] == 12.5


def test_calibration_sets_tokens_beside_embeddings_and_sees_a_change():
    model = tiny_model()
    before = calibration(model)
    assert before["median_norm_of_embeddings"] == pytest.approx(
        float(model.table.weight.norm(dim=1).median()), abs=1e-4
    )
    assert before == calibration(model)
    with torch.no_grad():
        for weight in model.bridge.parameters():
            weight.mul_(2.0)
    after = calibration(model)
    assert after["median_norm_of_audio_tokens"] > 1.5 * before["median_norm_of_audio_tokens"]
    assert after["norm_ratio"] > 1.5 * before["norm_ratio"]
    assert before["norm_ratio"] == pytest.approx(
        before["median_norm_of_audio_tokens"] / before["median_norm_of_embeddings"], rel=1e-3
    )


def test_calibration_hears_the_clip_that_it_is_given():
    model, clip = tiny_model(), noise(0.7, seed=3)
    tokens = model.hear([clip])[0].values
    found = calibration(model, clip)
    assert found["median_norm_of_audio_tokens"] == pytest.approx(float(tokens.norm(dim=1).median()), abs=1e-4)
    assert found != calibration(model)
    assert describe(model, clip)["calibration"] == found


def test_the_angles_are_those_of_every_pair():
    model, clip = tiny_model(), noise(0.3)
    tokens, text = model.hear([clip])[0].values, model.table.weight.detach()
    found = calibration(model, clip)
    pairs = torch.cosine_similarity(tokens[:, None], tokens[None], dim=-1)
    n = len(tokens)
    assert found["mean_cosine_of_audio_tokens"] == pytest.approx(float(pairs.sum() - n) / (n * (n - 1)), abs=1e-4)
    nearest = torch.cosine_similarity(tokens[:, None], text[None], dim=-1).amax(dim=1).median()
    assert found["nearest_word_cosine"] == pytest.approx(float(nearest), abs=1e-4)
    means = torch.cosine_similarity(tokens.mean(dim=0), text.mean(dim=0), dim=0)
    assert found["cosine_of_means"] == pytest.approx(float(means), abs=1e-4)
    assert found["angle_of_means_deg"] == pytest.approx(float(torch.rad2deg(torch.acos(means))), abs=0.01)


class Words(nn.Module):
    """A bridge whose every token is one embedding, ``scale`` times as large."""

    width_in, width_out, fixed_rate = 32, 32, True

    def __init__(self, row, scale):
        super().__init__()
        self.row, self.scale, self.pool = row, scale, MeanPool(32, 32)

    def expected_hz(self, rate_hz):
        return self.pool.expected_hz(rate_hz)

    def forward(self, frames):
        tokens = self.pool(frames)
        return replace(tokens, values=(self.scale * self.row).expand_as(tokens.values))


def test_tokens_that_all_copy_one_word_are_seen_as_that():
    row = tiny_model().table.weight[7].detach()
    found = calibration(tiny_model(bridge=Words(row, -3.0)), noise(0.5))
    assert found["mean_cosine_of_audio_tokens"] == pytest.approx(1.0, abs=1e-3)
    assert found["nearest_word_cosine"] < 0.9
    same = calibration(tiny_model(bridge=Words(row, 3.0)), noise(0.5))
    assert same["nearest_word_cosine"] == pytest.approx(1.0, abs=1e-3)
    assert same["angle_of_means_deg"] == pytest.approx(180 - found["angle_of_means_deg"], abs=0.1)
    wanted = 3 * float(row.norm()) / same["median_norm_of_embeddings"]
    assert same["norm_ratio"] == pytest.approx(wanted, rel=1e-3)


def test_a_single_token_has_no_other_to_compare_with():
    bridge = QFormer(32, 32, queries=1, hidden=16, layers=1, heads=2)
    found = calibration(tiny_model(bridge=bridge))
    assert found["mean_cosine_of_audio_tokens"] is None and found["nearest_word_cosine"] is not None


def test_embeddings_of_no_size_give_no_ratio():
    model = tiny_model()
    with torch.no_grad():
        model.table.weight.zero_()
    found = calibration(model)
    assert (found["norm_ratio"], found["cosine_of_means"], found["angle_of_means_deg"]) == (None, 0.0, 90.0)


def test_a_translator_is_told_by_its_parts():
    model = talking()
    model.vocoder, model.codebook = small(), Codebook(torch.zeros(20, 32), layer=1)
    found = describe_translator(model)
    assert (found["name"], found["languages"], found["tokens"]["count"]) == ("tiny", ["en", "fr", "de"], 36)
    assert found["vocoder"]["speakers"] == {"ann": 0, "bob": 1, "cleo": 2}
    assert (found["unit_decoder"]["units"], found["unit_decoder"]["units_per_s"]) == (20, 50)
    assert found["codebook"] == {"kind": "Codebook", "units": 20, "of_layer": 1, "parameters": 0}
    assert (found["text_decoder"]["longest_text"], "aligner" in found) == (64, False)
    model.aligner = Aligner(40, 20, width=8)
    found = describe_translator(model)
    parts = [one["parameters"] for one in found.values() if isinstance(one, dict)]
    assert found["parameters"] == sum(parts) == sum(one.numel() for one in model.parameters())
    assert len(parts) == 8 and found["aligner"]["kind"] == "Aligner"


@pytest.mark.parametrize(("stack", "frames"), [(2, 50.0), (4, 25.0)])
def test_the_rates_of_a_translator_are_those_of_its_speech(stack, frames):
    model = tiny(stack=stack)
    found = describe_translator(model)["speech_encoder"]
    assert (found["frames_per_s"], found["tokens_per_s"], found["window_s"]) == (frames, frames / 4, 30.0)
    assert model.n_encoded(40 * 16_000) == pytest.approx(40 * found["tokens_per_s"], abs=1)
    assert "unit_decoder" not in describe_translator(model)


def test_the_environment_lists_what_is_installed_and_how_to_get_what_is_not():
    found = environment()
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert list(found["packages"]) == list(CORE) and list(found["extras"]) == list(EXTRAS)
    assert found["devices"][0] == "cpu"
    told = environment({"smell": ("nose-for-python", "numpy")})["extras"]["smell"]
    assert told == "missing nose-for-python: pip install 'ossicle[smell]'"


def test_cores_are_counted_once():
    assert 1 <= physical_cores() <= len(os.sched_getaffinity(0))


def test_cores_are_counted_where_linux_does_not_tell(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert physical_cores() == os.cpu_count()
