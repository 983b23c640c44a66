"""The world asked by tags: each task has a sequence, and no two that ask different things share one."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ossicle.prompt.tags import OWN_INSTRUCTIONS, render, vocabulary, written
from ossicle.world.tagging import TABLE, tagged, tokens_of
from ossicle.world.tasks import TASKS, sample


def test_every_task_has_tags_and_every_tag_of_ours_is_used() -> None:
    assert TABLE.keys() == TASKS.keys()
    asked = [one for one in TABLE.values() if one.question is None]
    assert len(set(asked)) == len(asked)
    assert {one.instruction for one in asked} >= set(OWN_INSTRUCTIONS)


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_asked_by_its_tags(task: str) -> None:
    example = sample(task, np.random.default_rng(1), "train")
    tags = tagged(example)
    if TABLE[task].question is None:
        assert tags == TABLE[task] and (example.question is None) == (task == "arithmetic")
    else:
        assert tags.question == example.question and render(tags).endswith(f"{example.question}<|answer|>")
    assert (tags.audio_language == "en") == (TASKS[task].slices != () or task.startswith("speaker_"))


def test_the_tokens_of_tasks_are_few_and_in_the_released_order() -> None:
    assert tokens_of(("transcribe",)) == (
        *("<|startoftranscript|>", "<|transcribe|>", "<|en|>", "<|notimestamps|>", "<|wo_itn|>"),
    )
    found = tokens_of(("count", "said", "sound"))
    assert found[-1] == "<|own_count|>" and "<|question|>" in found and "<|own_when|>" not in found
    every = tokens_of(tuple(TASKS))
    assert [one for one in every if one in vocabulary()] == sorted(
        (one for one in every if one in vocabulary()), key=vocabulary().__getitem__
    )
    assert every[-len(OWN_INSTRUCTIONS) :] == tuple(map(written, OWN_INSTRUCTIONS)) and len(every) < 30


def test_the_guide_shows_the_table() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "tags.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| `(.*)` \| .* \|$", guide, re.MULTILINE))
    shown = {
        task: render(tags if tags.question is None else replace(tags, question="QUESTION"))
        for task, tags in TABLE.items()
    }
    assert {task: row.replace("\\|", "|") for task, row in rows.items()} == shown
