"""Pre-training: what is hidden stays hidden, a batch changes nothing, and the clips are learned."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.errors import ConfigError
from ossicle.train.conformer import conformer_of
from ossicle.train.objectives import Objective
from ossicle.train.pretrain import (
    NONE,
    Pretrain,
    PretrainItem,
    check_settings,
    contrast,
    hidden_spans,
    others,
)
from ossicle.train.pretraining import PretrainSettings
from ossicle.train.sources import Sample

from .conformers import TOWERS, model_of, tiny_encoder
from .support import RNG, samples

SMALL = PretrainSettings(span=4, probability=0.1, n_codes=8, code_width=8, n_negatives=6)
EAR = tiny_encoder()


def objective_of(model: Any, settings: PretrainSettings = SMALL, seed: int = 0) -> Pretrain:
    torch.manual_seed(seed)
    return Pretrain(EAR, conformer_of(model), settings)


def noise(n_samples: int, seed: int) -> Sample:
    return Sample(RNG(seed).normal(0, 0.1, n_samples).astype(np.float32), None, "", "t")


def noises(objective: Pretrain, lengths: tuple[int, ...] = (16_000, 9_000, 12_345)) -> list[PretrainItem]:
    return [objective.item(noise(n, i), RNG(i)) for i, n in enumerate(lengths)]


def test_it_keeps_the_promise_of_an_objective() -> None:
    objective = objective_of(model_of("w2v_bert"))
    promised: Objective = objective
    assert promised.heads is objective
    names = {name.split(".")[0] for name, _ in objective.named_parameters()}
    assert names == {"mask", "norm", "guess", "contrast", "quantiser", "steps"}  # no weight of the encoder


def test_spans_are_hidden_as_often_as_asked_and_never_none() -> None:
    hidden = hidden_spans(20_000, RNG(0), probability=0.065, span=10)
    assert abs(hidden.mean() - (1 - (1 - 0.065) ** 10)) < 0.02
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    runs = edges[1::2] - edges[::2]
    assert runs[:-1].min() == 10  # the last one may be cut
    for n in (1, 3, 30):
        for seed in range(20):
            few = hidden_spans(n, RNG(seed), probability=1e-9, span=4)
            assert len(few) == n and 1 <= few.sum() <= 4


def test_a_place_is_never_told_from_itself_and_may_be_told_from_any_other() -> None:
    drawn = others(4, 200, RNG(0))
    for place, row in enumerate(drawn):
        assert set(row.tolist()) == {0, 1, 2, 3} - {place}
    assert (others(1, 3, RNG(0)) == NONE).all()


def test_a_batch_holds_each_clips_own_negatives_and_hides_no_padding() -> None:
    objective = objective_of(model_of("w2v_bert"))
    items = noises(objective)
    batch = objective.collate(items)
    assert batch.seconds == sum(item.seconds for item in items)
    assert batch.to(torch.device("meta")).features.values.is_meta and not batch.features.values.is_meta
    assert batch.lengths.tolist() == [EAR.n_frames(item.n_samples) for item in items] == [50, 29, 39]
    assert not any(row[n:].any() for row, n in zip(batch.hidden, batch.lengths, strict=True))
    at = 0
    for item in items:
        n = int(item.hidden.sum())
        rows = batch.negatives[at : at + n]
        assert torch.equal(rows - at, torch.from_numpy(item.negatives)) and rows.min() >= at and rows.max() < at + n
        at += n
    alone = objective.item(noise(200, 9), RNG(9))  # one frame: nothing to be told from
    both = objective.collate([items[0], alone])
    assert both.negatives[-1].tolist() == [NONE] * SMALL.n_negatives
    total, n, parts = objective.loss(model_of("w2v_bert"), objective.collate([alone]))
    assert n == 1 and torch.isfinite(total) and parts["contrast"] == 0 and parts["contrast_right"] == 0


@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("targets", ["learned", "random_projection"])
def test_what_is_hidden_changes_nothing_that_is_said_about_it(kind: str, targets: Any) -> None:
    model = model_of(kind)
    conformer = conformer_of(model)
    objective = objective_of(model, replace(SMALL, targets=targets)).eval()
    batch = objective.collate(noises(objective))
    seen: list[torch.Tensor] = []

    def watched(values: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        seen.clear()
        hooks = [objective.guess.register_forward_hook(lambda _, __, out: seen.append(out))]
        if targets == "learned":
            hooks.append(objective.contrast.register_forward_hook(lambda _, __, out: seen.append(out)))
        _, _, parts = objective.conformer_loss(
            conformer, replace(batch, features=replace(batch.features, values=values))
        )
        for hook in hooks:
            hook.remove()
        return torch.cat([one.flatten() for one in seen]), parts

    values = batch.features.values
    said, parts = watched(values)
    under = torch.where(batch.hidden[:, None], torch.randn_like(values), values)
    again, others_parts = watched(under)
    assert torch.equal(said, again)  # the masks hold to the last bit
    assert parts["guess"] != others_parts["guess"]  # yet there was something else to guess
    beside = values.clone()
    row, frame = torch.nonzero(~batch.hidden & (torch.arange(50) < batch.lengths[:, None]))[3].tolist()
    beside[row, :, frame] += 1.0
    assert not torch.equal(said, watched(beside)[0])  # what is not hidden is heard


def test_of_a_hidden_waveform_only_the_norm_over_the_clip_is_left() -> None:
    """Samples that lie in hidden frames alone: all other features move by one shift and one scale a bin."""
    objective = objective_of(model_of("w2v_bert"))
    sample = noise(16_000, 0)
    item = objective.item(sample, RNG(1))
    (first, *_), n = np.flatnonzero(item.hidden), SMALL.span
    assert item.hidden[first : first + n].all()
    inside = slice((first * 320) + 240 + 1, (first + n) * 320)  # beyond the field of the frame before, before the next
    changed = sample.samples.copy()
    changed[inside] = RNG(5).normal(0, 0.3, changed[inside].shape)
    other = EAR.features([Clip(changed, 16_000)]).values[0].numpy()
    assert not np.allclose(item.features[:, item.hidden], other[:, item.hidden], atol=0.1)
    open_frames = ~item.hidden
    for bin_ in range(80):
        here = item.features[[bin_, bin_ + 80]][:, open_frames].ravel().astype(np.float64)
        there = other[[bin_, bin_ + 80]][:, open_frames].ravel().astype(np.float64)
        slope, shift = np.polyfit(here, there, 1)
        assert np.abs(slope * here + shift - there).max() < 1e-3


@pytest.mark.parametrize("kind", [*TOWERS, "eager"])
@pytest.mark.parametrize("targets", ["learned", "random_projection"])
def test_a_batch_costs_what_its_clips_cost_alone(kind: str, targets: Any) -> None:
    model = model_of(kind)
    settings = replace(SMALL, targets=targets, unused_weight=0.0)  # that is of a batch, not of a clip
    objective = objective_of(model, settings).eval()
    items = noises(objective)
    with torch.no_grad():
        whole, n, parts = objective.loss(model, objective.collate(items))
        alone = [objective.loss(model, objective.collate([item])) for item in items]
    assert n == sum(count for _, count, _ in alone) == sum(int(item.hidden.sum()) for item in items)
    assert whole.item() == pytest.approx(sum(total.item() for total, _, _ in alone), rel=1e-5)
    right = sum(count * found["guess_right"] for _, count, found in alone) / n
    assert parts["guess_right"] == pytest.approx(right)


def test_the_contrast_is_the_cosines_cross_entropy_without_places_of_the_same_codes() -> None:
    drawn = torch.Generator().manual_seed(0)
    said, vectors = torch.randn(4, 3, generator=drawn), torch.randn(4, 3, generator=drawn)
    codes = torch.tensor([[0, 1], [0, 1], [0, 2], [3, 3]])
    negatives = torch.tensor([[1, 2], [0, 0], [NONE, NONE], [0, 1]])
    total, right, asked, chance = contrast(said, vectors, codes, negatives)
    near = torch.nn.functional.cosine_similarity(said[:, None], vectors[None], dim=-1) / 0.1
    wanted = torch.zeros(())
    for place, rows in ((0, [2]), (3, [0, 1])):  # 1 has only itself in other clothes, 2 nobody
        wanted = wanted + torch.logsumexp(near[place, [place, *rows]], 0) - near[place, place]
    assert total.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert asked == 2 and chance == pytest.approx(1 / 2 + 1 / 3)
    assert right == sum(bool((near[place, place] > near[place, rows]).all()) for place, rows in ((0, [2]), (3, [0, 1])))


def test_targets_send_no_gradient_into_the_projection() -> None:
    model = model_of("w2v_bert")
    objective = objective_of(model).train()
    batch = objective.collate(noises(objective))
    everything = torch.arange(50) < batch.lengths[:, None]
    n = int(everything.sum())
    hidden = replace(batch, hidden=everything, negatives=torch.zeros(n, 2, dtype=torch.int64))
    total, count, _ = objective.loss(model, hidden)
    total.backward()
    assert count == n and objective.mask.grad is not None and objective.mask.grad.abs().sum() > 0
    weight = model.encoder.tower.feature_projection.projection.weight
    assert weight.grad is None or weight.grad.abs().sum() == 0  # only frames that are seen move it
    objective.loss(model, batch)[0].backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_steps_are_counted_in_training_and_cool_the_choices() -> None:
    model = model_of("w2v_bert")
    objective = objective_of(model, replace(SMALL, hot=2.0, cold=0.5, cooled=4))
    batch = objective.collate(noises(objective))
    objective.eval().loss(model, batch)
    with torch.no_grad():
        objective.train().loss(model, batch)
    assert objective.steps == 0
    for _ in range(2):
        objective.loss(model, batch)
    assert objective.steps == 2 and "steps" in dict(objective.named_parameters())  # a checkpoint holds it
    temperatures = [objective.settings.temperature(steps) for steps in (0, 2, 4, 100)]
    assert temperatures == pytest.approx([2.0, 1.0, 0.5, 0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "guessed"}, "unknown targets 'guessed', allowed are learned, random_projection"),
        ({"probability": 1.0}, "above 0 and below 1, got 1"),
        ({"span": 0}, "at least 1, got span 0 and n_negatives 6"),
        ({"n_negatives": 0}, "at least 1, got span 4 and n_negatives 0"),
        ({"layer": 3}, "no layer 3 to contrast, the encoder has 2"),
        ({"cold": 3.0}, "falls to one above 0, got 2 to 3"),
    ],
)
def test_settings_that_allow_no_training_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_settings(replace(SMALL, **change), 2)
    with pytest.raises(ConfigError, match=message):
        objective_of(model_of("w2v_bert"), replace(SMALL, **change))


@pytest.mark.parametrize("targets", ["learned", "random_projection"])
@pytest.mark.parametrize(("steps", "better"), [(150, 1.5), pytest.param(600, 2.5, marks=pytest.mark.slow)])
def test_a_handful_of_clips_is_learned(targets: Any, steps: int, better: float) -> None:
    encoder = tiny_encoder(width=32)
    model = SimpleNamespace(encoder=encoder.train())
    settings = PretrainSettings(
        targets=targets, span=4, probability=0.1, n_codes=16, code_width=16, n_negatives=20, hot=1.0, cooled=100
    )
    objective = objective_of(model, settings).train()
    spoken = [one.samples for one in samples(9, "transcribe") if len(one.samples) > 32_000][:3]
    read = [encoder.features([Clip(one[8_000:32_000], 16_000)]).values[0].numpy() for one in spoken]
    optimizer = torch.optim.AdamW([*encoder.parameters(), *objective.parameters()], lr=5e-3)

    def told(step: int) -> tuple[torch.Tensor, int, dict[str, float]]:
        items = [objective.hide(one, 24_000, 1.5, RNG([step, i])) for i, one in enumerate(read)]
        return objective.loss(model, objective.collate(items))

    assert len(read) == 3
    for step in range(steps):
        total, n, _ = told(step)
        optimizer.zero_grad()
        (total / n).backward()
        optimizer.step()
    objective.eval()
    with torch.no_grad():
        parts = [told(step)[2] for step in range(10_000, 10_010)]  # other masks, and no noise in the choices
    mean = {key: np.mean([one[key] for one in parts]) for key in parts[0]}
    print(mean)
    assert mean["guess_right"] > better * mean["guess_chance"] and mean["codes_used"] > 5
    if targets == "learned":
        assert mean["contrast_right"] > 2 * better * mean["contrast_chance"]
