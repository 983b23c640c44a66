"""Objectives: a batch's loss is the sum of its items' losses, and what cannot be trained is refused."""

import math

import pytest
import torch

from ossicle.train.answers import Answer, Tell

from .support import MODEL, items, tiny_hear

OBJECTIVES = {
    "hear": (lambda: tiny_hear(), "transcribe", False),
    "hear sounds": (lambda: tiny_hear(), "count", False),
    "tell": (lambda: Tell(MODEL, noise=0.0), "transcribe", True),
    "answer": (lambda: Answer(MODEL), "instrument", False),
}


@torch.no_grad()
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batchs_loss_is_the_sum_of_its_items(name: str) -> None:
    make, task, dry = OBJECTIVES[name]
    objective = make()
    several = items(objective, 4, task, dry=dry)
    together, n, parts = objective.loss(MODEL, objective.collate(several))
    alone = [objective.loss(MODEL, objective.collate([item])) for item in several]
    assert n == sum(count for _, count, _ in alone) > 4
    assert together.item() == pytest.approx(sum(total.item() for total, _, _ in alone), rel=1e-4)
    assert together.item() > 0 and all(math.isfinite(value) for value in parts.values())
    batch = objective.collate(several)
    assert batch.seconds == pytest.approx(sum(item.seconds for item in several))
    assert all(item.size > 0 for item in several)
