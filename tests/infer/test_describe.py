"""What a model is made of, and what is installed."""

import importlib.metadata
import os

import pytest
import torch
from models.tiny import tiny_model

from ossicle.bridge.cif import Cif
from ossicle.bridge.qformer import QFormer
from ossicle.infer.describe import CORE, EXTRAS, calibration, describe, environment, physical_cores


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
    assert calibration(model)["median_norm_of_audio_tokens"] > 1.5 * before["median_norm_of_audio_tokens"]


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
