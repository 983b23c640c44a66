"""Sentence by sentence: where one is over, the decoder begins anew, as if there had been nothing before."""

import itertools

import numpy as np
import pytest
import torch

from ossicle.errors import ConfigError
from ossicle.simul.policies import Decision, Pen, Read, WaitK, Write
from ossicle.simul.stream import Levels
from ossicle.simul.writer import Writer

from .small import RATIO, heard, small_choices, small_model

MODEL, CHOICES = small_model(), small_choices()
N = 40


class Ending:
    """Writes a token a turn, and an end behind so many; begins are counted."""

    def __init__(self, n: int) -> None:
        self.n, self.begun = n, 0

    def begin(self) -> None:
        self.begun += 1

    def decide(self, pen: Pen) -> Decision:
        if pen.finished:
            return Read("nothing more")
        if pen.n_pieces == self.n:
            return Write((pen.eos,), ("so many are enough",))
        token = int(pen.step.log_probs.index_fill(0, torch.tensor([pen.eos]), -1e9).argmax())
        pen.go_on(token)
        return Write((token,), ("it comes next",))


def written(values: torch.Tensor, policy: Ending, **options) -> Writer:
    writer = Writer(MODEL, policy, "fr", choices=CHOICES, **options)
    for at in range(0, values.shape[1], 2):
        writer.hear(values[:, at : at + 2])
    writer.hear(values[:, :0], finished=True)
    return writer


@pytest.mark.parametrize("n", [1, 3, 5])
def test_every_sentence_is_what_it_is_from_its_place_on(n: int) -> None:
    values = heard(MODEL, N).values
    policy = Ending(n)
    writer = written(values, policy)
    done = writer.sentences
    assert len(done) > 2 and all(len(one.ids) == n for one in done[:-1])
    assert policy.begun == len(done) + (not writer.ids)  # once for each, and for one that nothing is written of
    assert done[0].first == 0 and all(a.end == b.first > a.first for a, b in itertools.pairwise(done))
    for one in done:
        alone = Writer(MODEL, Ending(n), "fr", choices=CHOICES)
        at = one.first
        for limit in dict.fromkeys(one.limits):
            alone.hear(values[:, at : one.first + limit])
            at = one.first + limit
        assert tuple(alone.ids) == one.ids
        last = torch.tensor([at - one.first])
        assert one.states.shape == (1, len(one.ids) + 2, MODEL.width) and last > 0
        # a state stays from when the token behind it was written on; that of the last token is of the end
        states = alone.reading.states
        assert (one.states[:, : states.shape[1]] - states)[:, : len(one.ids) + 1].abs().max() <= 1e-5


def test_what_is_kept_of_the_source_does_not_grow() -> None:
    writer, sizes = Writer(MODEL, Ending(2), "fr", choices=CHOICES), []
    for seed in range(12):
        values = heard(MODEL, N, seed=seed).values
        for at in range(0, N, 2):
            writer.hear(values[:, at : at + 2])
        sizes.append(writer.kept.shape[1])
    assert writer.n_heard == 12 * N and max(sizes) <= N and writer.first > 10 * N


def test_a_sentence_is_left_at_the_quietest_place_around_where_it_looked() -> None:
    asked = []

    def quietest(first: int, end: int) -> int:
        asked.append((first, end))
        return end - 1

    values = heard(MODEL, N).values
    done = written(values, Ending(3), quietest=quietest).sentences
    assert asked and [end - 1 for _, end in asked] == [one.end for one in done[: len(asked)]]
    assert all(first < end for first, end in asked)


def test_what_has_room_for_no_more_is_over_and_told() -> None:
    values = heard(MODEL, N).values
    done = written(values, Ending(99), max_tokens=4).sentences
    assert len(done) > 1 and all(one.full and len(one.ids) == 4 for one in done[:-1])
    assert not any(one.full for one in written(values, Ending(2), max_tokens=4).sentences)


def test_one_sentence_only_has_no_end_before_the_source_has() -> None:
    writer = Writer(MODEL, WaitK(1, ratio=RATIO), "fr", choices=CHOICES, max_tokens=5, several=False)
    values = heard(MODEL, N).values
    for at in range(0, N, 2):
        decisions = writer.hear(values[:, at : at + 2])
        assert writer.sentences == [] and len(decisions) == 1
    writer.hear(values[:, :0], finished=True)
    assert [one.ids for one in writer.sentences] == [tuple(writer.ids)] and writer.first == 0


@pytest.mark.parametrize(
    "wrong", [3, Write((), ()), Write((5,), ()), Write((3, 5), ("a", "b")), Write((5,) * 9, ("a",) * 9)]
)
def test_a_policy_that_may_not_is_told(wrong: object) -> None:
    class Wrong(Ending):
        def decide(self, pen: Pen) -> Decision:
            return wrong  # type: ignore[return-value]

    assert MODEL.text.eos == 3
    with pytest.raises(ConfigError, match=r"the policy Wrong decides on Read\(reason\), or on Write"):
        Writer(MODEL, Wrong(1), "fr", max_tokens=8).hear(heard(MODEL, 4).values)


def test_levels_are_of_outputs_however_the_sound_comes() -> None:
    rng = np.random.default_rng(0)
    wave = (rng.normal(size=2000) * np.repeat([1, 0.5, 0.001, 2, 0.001, 1, 1, 1], 250)).astype(np.float32)
    for sizes in ([2000], [7] * 285 + [5], [249, 2, 1000, 749]):
        levels, at = Levels(250), 0
        for n in sizes:
            levels.hear(wave[at : at + n])
            at += n
        assert np.allclose(levels.powers, np.square(wave.astype(float)).reshape(8, 250).mean(1))
        assert levels.quietest(0, 4) == 2 and levels.quietest(5, 8) in (5, 6, 7)
        levels.forget(3)
        assert levels.quietest(3, 8) == 4 and len(levels.powers) == 5
    silent = Levels(10)
    silent.hear(np.zeros(70, np.float32))
    assert silent.quietest(1, 6) == 3 and silent.quietest(7, 9) == 8  # the middle; what has not come is the last
