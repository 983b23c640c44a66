"""One cell: what it answers is what the model answers, and what it spends is counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import ConfigError
from ossicle.evaluate.items import silence, with_audio, world_items
from ossicle.evaluate.metrics import count
from ossicle.evaluate.score import MAX_TOKENS
from ossicle.infer.generate import Sampling
from ossicle.infer.requests import Request, ask_all
from ossicle.tensors import Features, Frames
from ossicle.train.cell import at_rate, costs, scored
from ossicle.train.grid import Cell
from ossicle.train.kept import Asked, Kept, write_kept
from ossicle.train.sources import Sample

from .support import tiny_model
from .sweeps import arm, sweep_of


class Half(WhisperEncoder):
    """Frames that half precision can hold, so that keeping them changes nothing."""

    def forward(self, features: Features) -> Frames:
        frames = super().forward(features)
        return replace(frames, values=frames.values.half().float())


def model_and_items(folder: Path) -> tuple[Any, Kept, list[Any]]:
    model = tiny_model()
    encoder = Half(model.encoder.settings)
    encoder.load_state_dict(model.encoder.state_dict())
    model.encoder = encoder.eval()
    groups = list(world_items(("transcribe", "instrument"), 2, 0))
    asked = []
    for name, metric, items, _ in groups:
        for item in (one for one in items if one.headline):
            clip, *question = item.messages[0].content
            assert isinstance(clip, Clip)
            sample = Sample(clip.samples, str(question[0]) if question else None, item.answer, name)
            asked += [Asked(sample, metric), Asked(sample, metric, silent=True)]
    write_kept(folder, model.encoder, asked, identity="", show=lambda _: None)
    return model, Kept(folder), groups


def test_a_score_is_that_of_the_model_that_hears_the_clips(tmp_path: Path) -> None:
    model, test, groups = model_and_items(tmp_path / "test")
    found = scored(model, test)
    for name, metric, items, _ in groups:
        items = [one for one in items if one.headline]
        for change, silent in ((lambda clip: clip, False), (silence, True)):
            requests = [Request(with_audio(one, change).messages, Sampling(MAX_TOKENS)) for one in items]
            texts = [answer.text for answer in ask_all(model, requests, batch=1)]
            counts = count(metric, [one.answer for one in items], texts)
            task = found["tasks"][name]
            if silent:
                assert task["silence"] == counts.rate
            else:
                assert task["numerators"] == counts.numerators.tolist() and task["metric"] == metric
    real = [clip for clip in test.clips if not clip.silent]
    n = [model.bridge.n_tokens(clip.n_frames) for clip in real]
    assert found["tokens_per_s"] == pytest.approx(sum(n) / sum(clip.n_samples / 16_000 for clip in real))
    written = [(m, clip) for m, clip in zip(n, real, strict=True) if clip.metric == "wer"]
    words = sum(len(clip.answer.split()) for _, clip in written)
    letters = sum(len(model.tokenizer(clip.answer)["input_ids"]) for _, clip in written)
    assert found["tokens_per_word"] == pytest.approx(sum(m for m, _ in written) / words)
    assert found["tokens_per_text_token"] == pytest.approx(sum(m for m, _ in written) / letters)


def test_where_the_context_leaves_no_room_the_answer_is_empty(tmp_path: Path) -> None:
    model, test, _ = model_and_items(tmp_path / "test")
    model.context = 10
    found = scored(model, test)
    assert found["tasks"]["transcribe"]["numerators"] == found["tasks"]["transcribe"]["denominators"]
    assert found["tasks"]["instrument"]["numerators"] == [0.0, 0.0]


def test_operations_are_counted_for_a_second_of_audio(tmp_path: Path) -> None:
    model, test, _ = model_and_items(tmp_path / "test")
    real = [clip for clip in test.clips if not clip.silent]
    rows = len(real) * model.bridge.n_tokens(max(clip.n_frames for clip in real))  # padded, as the bridge computes it
    found = costs(model, test)
    wanted = 2 * rows * 16 * 16 / sum(clip.n_samples / 16_000 for clip in real)
    assert found["flops_per_audio_s"] == pytest.approx(wanted) and found["bridge_s_per_audio_s"] > 0


def test_a_trained_bridge_serves_another_rate_with_the_same_weights(tmp_path: Path) -> None:
    own = {"name": "own", "bridge_from": f"{Path(__file__).parents[2] / 'examples' / 'own_bridge.py'}:Loudest"}
    sweep = sweep_of(tmp_path, arms=[arm("mean", "mean_pool", also_at=[16]), arm("stack", "stack_mlp"), own])
    torch.manual_seed(0)
    trained = MeanPool(16, 16, k=8, output_norm="rms")
    other = at_rate(sweep, Cell(sweep.arms[0], 8, 1), trained, 16)
    assert other.k == 16 and other.output_norm == "rms" and not other.training
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in trained.state_dict().items())
    loud = at_rate(sweep, Cell(sweep.arms[2], 8, 1), _loudest(own["bridge_from"]), 4)
    assert loud.k == 4
    with pytest.raises(ConfigError, match="stack: also_at is for a bridge whose weights serve several rates; at k 4"):
        at_rate(sweep, Cell(sweep.arms[1], 8, 1), StackMLP(16, 16, k=8), 4)


def _loudest(source: str) -> Any:
    from ossicle.hub.own import build_own

    return build_own(source, {"width_in": 16, "width_out": 16, "k": 8})
