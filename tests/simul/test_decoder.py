"""A decoder over a source that grows against runs over everything."""

import numpy as np
import pytest
import torch

from ossicle.errors import RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.decoder import PREFIX, Reading, expected, limited
from ossicle.translate.search import Decoding
from ossicle.translate.translator import Translator

from .small import RATIO, heard, small_choices, small_model


@pytest.fixture(scope="module")
def model() -> Translator:
    return small_model()


@pytest.fixture(scope="module")
def choices() -> Choices:
    return small_choices()


def sentence(model: Translator, n: int, seed: int = 0) -> list[int]:
    ids = np.random.default_rng(seed).integers(10, 290, n).tolist()
    return [*model.text.prefix("fr"), *ids]


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() <= 1e-5)


def test_with_the_whole_source_it_is_the_translators_own_decoder(model: Translator) -> None:
    encoded, ids = heard(model, 9), sentence(model, 6)
    reading = Reading(model)
    reading.hear(encoded.values)
    with torch.no_grad():
        theirs = Decoding(model, encoded)
        states = model.states(encoded, [ids])
        assert close(theirs.step(torch.tensor([ids[:2]]))[0], reading.write(ids[:2]).log_probs)
        for i in range(2, len(ids)):
            step = reading.write([ids[i]])
            assert close(theirs.step(torch.tensor([[ids[i]]]))[0], step.log_probs)
            assert close(step.state, states[0, i]) and step.p_write is None
            assert step.attention.shape == (3, 4, 9) and close(step.attention.sum(-1), torch.ones(3, 4))
        one, other = heard(model, 9, 5), [ids, ids[:4]]
        both = limited(model, one, other, torch.tensor([[9] * 8, [5] * 8]), None)
        assert close(both.states[1, :4], model.states(one, other)[1, :4])


@pytest.mark.parametrize("seed", range(8))
def test_what_is_reused_is_what_a_run_over_everything_computes(model: Translator, choices: Choices, seed: int) -> None:
    """Random chunks of the source, tokens at random moments, some of which are taken back and written later."""
    rng = np.random.default_rng(seed)
    encoded, ids = heard(model, 23), sentence(model, 12, seed)
    reading, at, limits, steps = Reading(model, choices), 0, [], []
    while len(limits) < len(ids):
        if at < 23 and rng.random() < 0.6:
            n = int(rng.integers(0, 5))
            reading.hear(encoded.values[:, at : at + n])
            at = min(23, at + n)
        elif at:
            n = int(rng.integers(1, 4)) if limits else 2
            some = ids[len(limits) : len(limits) + n]
            steps += [None] * (len(some) - 1) + [reading.write(some)]
            limits += [at] * len(some)
            taken_back = int(rng.integers(0, 2 if len(limits) > 2 else 1))
            reading.forget(taken_back)
            del limits[len(limits) - taken_back :], steps[len(steps) - taken_back :]
    with torch.no_grad():
        whole = limited(model, encoded, [ids], torch.tensor([limits]), choices)
    assert len({*limits}) > 2 and reading.n_heard == at and reading.n_written == len(ids)
    for i, (step, limit) in enumerate(zip(steps, limits, strict=True)):
        if step is None:
            continue
        assert close(step.state, whole.states[0, i])
        assert close(step.log_probs, model.logits(whole.states)[0, i].log_softmax(-1))
        assert close(step.attention, torch.stack([one[0, :, i, :limit] for one in whole.attention]))
        assert (torch.stack([one[0, :, i, limit:] for one in whole.attention]) == 0).all()
        if limit % RATIO == 0:  # else the newest step was not whole yet
            newest = limit // RATIO - 1
            assert close(step.p_write, torch.stack([one[0, :, i, newest] for one in whole.p_write]))


def test_an_open_step_is_the_mean_of_what_has_come(model: Translator, choices: Choices) -> None:
    encoded, ids = heard(model, 7), sentence(model, 2)
    for chunks in ([7], [1] * 7, [2, 3, 2], [3, 4]):
        reading, at = Reading(model, choices), 0
        for n in chunks:
            reading.hear(encoded.values[:, at : at + n])
            at += n
            step = reading.write(ids)
            reading.forget(len(ids))
        with torch.no_grad():
            alone = limited(model, encoded, [ids], torch.full((1, len(ids)), 7), choices)
        assert close(step.p_write, torch.stack([one[0, :, -1, -1] for one in alone.p_write]))


@pytest.mark.parametrize(("bias", "sees"), [(1e4, RATIO), (-1e4, 10)])
def test_where_all_is_sure_what_is_expected_is_what_happens(model: Translator, bias: float, sees: int) -> None:
    """All written at the first step, or none before the end."""
    sure, encoded, ids = Choices(32, 4, 3, ratio=RATIO), heard(model, 10), sentence(model, 5)
    for one in sure.each():
        torch.nn.init.constant_(one.bias, bias)
    limits = torch.full((1, 7), sees)
    limits[0, : PREFIX - 1] = RATIO  # nothing is decided there
    with torch.no_grad():
        found = expected(model, encoded, [ids], sure)
        assert close(found.states, limited(model, encoded, [ids], limits, None).states)


def test_what_is_expected_in_a_batch_is_what_is_expected_alone(model: Translator, choices: Choices) -> None:
    encoded, ids = heard(model, 10, 4, 7), [sentence(model, n, n) for n in (3, 9, 5)]
    with torch.no_grad():
        together = expected(model, encoded, ids, choices)
        for row, one in enumerate(ids):
            alone = expected(model, encoded.rows([row]), [one], choices)
            n, steps = len(one), alone.alpha[0].shape[-1]
            assert close(together.states[row, :n], alone.states[0])
            for layer in range(3):
                assert close(together.alpha[layer][row, :, :n, :steps], alone.alpha[layer][0])
                assert (together.alpha[layer][row, :, :, steps:] == 0).all()
                assert close(together.attention[layer][row, :, :n].sum(-1), torch.ones(4, n))


def test_gradients_reach_every_choice(model: Translator, choices: Choices) -> None:
    found = expected(model, heard(model, 10), [sentence(model, 4)], choices)
    (found.states * torch.randn(found.states.shape)).sum().backward()
    grads = {name: value.grad for name, value in choices.named_parameters()}
    assert all(one is not None and torch.isfinite(one).all() for one in grads.values())
    moved = {".".join(name.split(".")[:3]) for name, one in grads.items() if one is not None and one.abs().sum() > 0}
    assert moved == {f"layers.{i}.{side}" for i in range(3) for side in ("bias", "state", "source")}
    model.zero_grad()


def test_what_cannot_be_is_refused(model: Translator) -> None:
    reading = Reading(model)
    reading.hear(torch.zeros(1, 0, 32))
    with pytest.raises(RequestError, match="tiny writes when it has heard something, up to 64 tokens: 0 outputs"):
        reading.write([3])
    reading.hear(heard(model, 2).values)
    for ids in ([], [5] * 65):
        with pytest.raises(RequestError, match=rf"2 outputs were heard, 0 tokens written, {len(ids)} to come"):
            reading.write(ids)
    reading.write([5])
    for n in (2, -1):
        with pytest.raises(RequestError, match=f"1 tokens were given, {n} cannot be forgotten"):
            reading.forget(n)
