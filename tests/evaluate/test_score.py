"""Scores: a model that listens, one that guesses and one that is deaf, told apart by the controls."""

import json

import numpy as np
import pytest
import torch
from models.tiny import TOKENIZER, noise, tiny_model

from ossicle.audio.clip import Clip
from ossicle.errors import ContextError, RequestError
from ossicle.evaluate.items import Item, write_world
from ossicle.evaluate.metrics import normalise
from ossicle.evaluate.score import BATCH, MAX_TOKENS, _room, evaluate, score
from ossicle.infer.ask import ask
from ossicle.infer.requests import prepare
from ossicle.models.audio_lm import Heard
from ossicle.prompt.chat import ClipText, Message

WORDS = ("low", "high", "none")


class Oracle:
    """A stand-in for a model that answers by the loudness of its clip: as a perfect listener would, or always alike."""

    name, context, pad_id, end_ids, tokenizer = "oracle", 10_000, 0, frozenset({2}), TOKENIZER
    clip_text = ClipText()

    class bridge:
        fixed_rate = False

    def __init__(self, says=None):
        self.says = says

    def hear(self, clips):
        level = [float(np.abs(clip.samples).max()) for clip in clips]
        return [
            Heard(torch.full((1, 1), x), torch.zeros(1, 2), 1, c.duration_s, c.duration_s, 0.0)
            for x, c in zip(level, clips, strict=True)
        ]

    def answer(self, heard):
        level = float(heard[0].values[0, 0])
        word = self.says or (WORDS[2] if level == 0 else WORDS[0] if level < 0.3 else WORDS[1])
        return [*TOKENIZER(word)["input_ids"], 2]

    def logits(self, n):
        table = torch.zeros(len(self.script), 320)
        for row, ids in enumerate(self.script):
            table[row, ids[min(n, len(ids) - 1)]] = 1.0
        return table

    def prefill(self, prompts, heard, *, room):
        self.script, self.at = [self.answer(clips) for clips in heard], 0
        return None, self.logits(0)

    def step(self, ids, state):
        self.at += 1
        return self.logits(self.at)


def items(n=30, headline=True):
    """Clips that are soft and loud in turn, of every length."""
    made = []
    for i in range(n):
        level = (0.1, 0.5)[i % 2]
        clip = Clip(np.full(2000 + 100 * ((7 * i) % n), level, np.float32), 16_000)
        made.append(Item((Message("user", (clip, "How loud?")),), WORDS[i % 2], (WORDS[i % 2],), headline))
    return made


def test_a_listener_is_right_and_its_controls_are_wrong():
    one = score(Oracle(), items(), "accuracy")
    assert (one.value, one.low, one.high, one.n, one.n_control, one.n_swapped) == (1.0, 1.0, 1.0, 30, 30, 30)
    assert (one.silence, one.swapped) == (0.0, 0.0)
    assert one.listens


def test_one_that_guesses_is_as_good_without_hearing():
    one = score(Oracle("low"), items(), "accuracy", n_control=10)
    assert (one.value, one.silence, one.swapped, one.n_control) == (0.5, 0.5, 0.5, 10)
    assert one.low < 0.5 < one.high and not one.listens
    assert one.slices == {"low": (1.0, 15), "high": (0.0, 15)}


def test_word_errors_are_better_when_lower():
    one = score(Oracle(), items(), "wer")
    assert (one.value, one.silence, one.swapped) == (0.0, 1.0, 1.0) and one.listens


def test_items_beside_the_headline_count_in_their_slice_only():
    one = score(
        Oracle("low"), items(10) + [item for item in items(10, headline=False) if item.answer == "low"], "accuracy"
    )
    assert (one.value, one.n) == (0.5, 10)
    assert one.slices == {"low": (1.0, 10), "high": (0.0, 5)}


def test_a_missing_slice_is_listed_with_none():
    assert score(Oracle(), items(4), "accuracy", missing=["festival"]).slices["festival"] == (None, 0)


def test_nothing_to_score_and_nothing_to_swap():
    one = score(Oracle(), [], "wer")
    assert (one.value, one.low, one.high, one.n, one.silence, one.swapped) == (None, None, None, 0, None, None)
    assert not one.listens
    assert score(Oracle(), items(1), "accuracy").swapped is None


def test_answers_come_back_in_the_items_order_whatever_the_batches():
    model = tiny_model()
    n = BATCH + 3
    clips = [noise(0.2 + 0.07 * ((5 * i) % n), seed=i) for i in range(n)]
    texts = [ask(model, clip, "What?", max_tokens=MAX_TOKENS).text for clip in clips]
    asked = [Item((Message("user", (clip, "What?")),), text) for clip, text in zip(clips, texts, strict=True)]
    assert len(set(map(normalise, texts))) > 1
    assert score(model, asked, "accuracy", n_control=0).value == 1.0


def test_an_evaluation_of_the_world_has_the_keys_that_are_promised():
    model = tiny_model()
    lines = []
    found = evaluate(model, tasks=["melody", "transcribe"], limit=2, show=lines.append)
    report = found.as_dict()
    assert (report["model"], report["suite"], list(report["tasks"])) == ("tiny", "world", ["melody", "transcribe"])
    assert list(report) == ["model", "suite", "tasks"]
    keys = ["metric", "value", "low", "high", "n", "silence", "swapped", "n_swapped", "slices"]
    assert all(list(task) == keys for task in report["tasks"].values())
    transcribe = report["tasks"]["transcribe"]
    assert (transcribe["metric"], transcribe["n"]) == ("wer", 2)
    assert {"accents", "unseen_accent", "festival", "random_words"} <= set(transcribe["slices"])
    assert transcribe["value"] == transcribe["slices"]["accents"]["value"]
    assert [line.split(":")[0] for line in lines] == ["melody", "transcribe"]


def test_a_manifest_takes_the_suites_place_and_another_model_is_compared(tmp_path):
    path = write_world(tmp_path, "melody", 4, split="test")
    found = evaluate(Oracle("up"), manifest=path, compare=Oracle("down"))
    report = found.as_dict()
    assert (report["suite"], list(report["tasks"]), report["tasks"]["melody"]["n"]) == (str(path), ["melody"], 4)
    other = report["compare"]
    assert other["model"] == "oracle"
    assert other["tasks"]["melody"]["value"] == pytest.approx(1 - report["tasks"]["melody"]["value"])
    assert other["tasks"]["melody"]["low"] <= other["tasks"]["melody"]["difference"] <= other["tasks"]["melody"]["high"]


def test_an_item_over_the_context_is_named_by_its_line(tmp_path):
    first, second = write_world(tmp_path, "melody", 2, split="test").read_text().splitlines()
    told = json.loads(second)
    told["messages"][0]["content"][1]["text"] += " please" * 200
    path = tmp_path / "long.jsonl"
    path.write_text(f"{first}\n{json.dumps(told)}\n")
    model = Oracle("up")
    model.context = 600
    with pytest.raises(ContextError, match=r"long\.jsonl, line 2: .* 600"):
        evaluate(model, manifest=path)


def test_an_unknown_suite_is_named():
    with pytest.raises(RequestError, match="there is no suite 'moon', known are world"):
        evaluate(Oracle(), suite="moon")


def test_a_context_without_room_for_the_longest_answer_gives_what_it_leaves():
    asked = [Item((Message("user", (noise(0.3 + i / 10, seed=i), "What?")),), "x") for i in range(3)]
    lengths = [len(prompt.ids) for prompt in prepare(tiny_model(), [item.messages for item in asked])[0]]
    model = tiny_model(context=max(lengths) + 5)
    with pytest.raises(ContextError):
        ask(model, asked[0].messages[0].content[0], "What?", max_tokens=MAX_TOKENS)
    one = score(model, asked, "wer")
    assert (one.n, one.n_control, one.n_swapped, one.value is None) == (3, 3, 3, False)
    assert [_room(model, item) for item in asked] == [model.context - n for n in lengths]
    assert [_room(tiny_model(), item) for item in asked] == [MAX_TOKENS] * 3


def test_audio_that_does_not_fit_beside_anothers_text_is_exchanged_for_shorter_or_left_out():
    long, short = noise(6.0), noise(0.3, seed=1)
    lines = [(short, "w " * 60), (long, "w"), (noise(0.4, seed=2), "w")]
    asked = [Item((Message("user", content),), "x") for content in lines]
    model = tiny_model(
        context=max(len(prompt.ids) for prompt in prepare(tiny_model(), [i.messages for i in asked])[0]) + 20
    )
    with pytest.raises(ContextError):  # the first one's text beside the second one's audio
        ask(model, long, "w " * 60, max_tokens=1)
    one = score(model, asked, "wer")
    assert (one.n, one.n_control, one.n_swapped) == (3, 3, 3)  # with the audio of the third
    two = score(model, asked[:2], "wer")
    assert (two.n, two.n_control, two.n_swapped) == (2, 2, 1)
