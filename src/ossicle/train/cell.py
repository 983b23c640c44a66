"""One cell of a sweep: a bridge trained on kept clips by the one training loop, then scored on the test items.

Knows a sweep, a cell and two folders of kept clips; does not know other cells. A result is a plain mapping that JSON
holds, with every item's count, so that intervals over items and seeds can be made later.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import ConfigError
from ossicle.evaluate.metrics import count
from ossicle.evaluate.score import MAX_TOKENS
from ossicle.hub.own import build_own
from ossicle.hub.parts import build_bridge
from ossicle.hub.strict import check_keys, read_tensors
from ossicle.infer.generate import Sampling, generate
from ossicle.models.audio_lm import AudioLM, Heard
from ossicle.prompt.chat import render, render_answer
from ossicle.train.answers import asked_turn
from ossicle.train.grid import Cell, Sweep, rate_of, recipe_at, settings_at
from ossicle.train.kept import Kept
from ossicle.train.loop import Run
from ossicle.train.parts import build
from ossicle.train.process import lanes, stop_on_signal
from ossicle.train.stage import pattern_after

BATCH = 64
SPARE = 4
FLOPS_CLIPS = 16
"""Clips on which a bridge's operations are counted."""


def train_cell(sweep: Sweep, cell: Cell, folder: Path, pool: Path, *, device: str) -> Run | None:
    """Train a cell's bridge in a folder, or go on where a kill left it; None if a signal stopped it before the end."""
    training = Run(recipe_at(sweep, cell, pool), folder, minutes=None, data=None, device=device)
    with stop_on_signal(training):
        training.go()
    return None if training.stopping else training


def model_of(sweep: Sweep, cell: Cell, weights: Path) -> AudioLM:
    """The base model with a cell's bridge, in float32 on the CPU.

    Args:
        sweep: the cell's.
        cell: whose bridge.
        weights: the bridge's safetensors file.

    Raises:
        CheckpointError, NotFoundError: the base or the weights cannot be read, or the weights are of another bridge.
        ConfigError, BridgeError: a class of one's own cannot be built, or breaks a promise.
    """
    recipe = recipe_at(sweep, cell, Path())
    model = build(recipe.parts, name=cell.name, seed=cell.seed)
    bridge: Any = model.bridge
    found = read_tensors(weights)
    check_keys(bridge.state_dict(), found, weights.name)
    bridge.load_state_dict(found)
    model.pattern = pattern_after(recipe.stages)
    return model.eval()


def result_of(sweep: Sweep, cell: Cell, training: Run, test: Kept) -> dict[str, Any]:
    """What a trained cell costs and how it answers, at its own rate and at those at which it is scored besides."""
    model, trained = training.model.eval(), training.model.bridge
    began = time.monotonic()
    rates: dict[str, Any] = {}
    for k in (cell.k, *cell.arm.also_at):
        model.bridge = trained if k == cell.k else at_rate(sweep, cell, trained, k)
        rates[str(k)] = {**costs(model, test), **scored(model, test)}
    model.bridge = trained
    return {
        "arm": cell.arm.name,
        "k": cell.k,
        "seed": cell.seed,
        "double": cell.double,
        "steps": training.place.step // sweep.optimizer.accumulate,
        "trained_audio_h": round(training.place.audio_s / 3600, 4),
        "train_s": round(training.place.wall_s, 1),
        "score_s": round(time.monotonic() - began, 1),
        "parameters": sum(value.numel() for value in parameters(trained)),
        "rates": rates,
    }


def parameters(bridge: Any) -> list[torch.nn.Parameter]:
    """A bridge's weights."""
    return list(bridge.parameters())


def at_rate(sweep: Sweep, cell: Cell, trained: Any, k: int) -> Any:
    """A trained bridge at another rate: built for that rate, with the same weights.

    Raises:
        ConfigError: at that rate the bridge has other weights.
    """
    settings, own, told = settings_at(cell.arm, k), cell.arm.bridge_from, rate_of(cell.arm, k)
    if own is None:
        bridge: Any = build_bridge(str(settings["kind"]), {**trained.settings(), **told})
    else:
        bridge = build_own(own, {"width_in": trained.width_in, "width_out": trained.width_out, **settings})
    try:
        bridge.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"{cell.arm.name}: also_at is for a bridge whose weights serve several rates; at k {k} it has others than "
            f"at k {cell.k}"
        ) from error
    return bridge.to(next(iter(trained.parameters())).device).eval()


@torch.no_grad()
def costs(model: AudioLM, test: Kept) -> dict[str, float]:
    """Products and sums of the bridge alone for a second of audio (two for each multiplication with an addition, as
    torch counts them), and the seconds that they take here."""
    rows = [i for i, clip in enumerate(test.clips) if not clip.silent][:FLOPS_CLIPS]
    frames = test.to(model.device).rows(rows)
    seconds = sum(test.clips[i].n_samples for i in rows) / SAMPLE_RATE
    model.bridge(frames)
    began = time.perf_counter()
    model.bridge(frames)
    spent = time.perf_counter() - began
    with (
        FlopCounterMode(display=False) as counter,
        torch.enable_grad(),
    ):  # without gradients it fails on learned queries
        model.bridge(frames)
    return {"flops_per_audio_s": counter.get_total_flops() / seconds, "bridge_s_per_audio_s": spent / seconds}


def scored(model: AudioLM, test: Kept) -> dict[str, Any]:
    """Counts of each task's items, their rate with silence, and how many tokens were spent."""
    longest = _longest(model, test)
    order = sorted(range(len(test.clips)), key=lambda i: (longest[test.clips[i].task], test.clips[i].n_frames))
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]  # of answers of about one length
    there = test.to(model.device)

    def answered(rows: list[int]) -> list[tuple[int, str]]:
        heard = _heard(model, there, rows)
        texts = _answers(model, test, rows, heard, [longest[test.clips[row].task] for row in rows])
        return [(len(one.values), text) for one, text in zip(heard, texts, strict=True)]

    with lanes(len(batches), model.device) as run_all:
        found = dict(zip(order, [one for batch in run_all(answered, batches) for one in batch], strict=True))
    spent, texts = [found[i][0] for i in range(len(order))], [found[i][1] for i in range(len(order))]
    tasks: dict[str, Any] = {}
    for task in dict.fromkeys(clip.task for clip in test.clips):
        real, silent = (
            [i for i, c in enumerate(test.clips) if c.task == task and c.silent is s] for s in (False, True)
        )
        metric = test.clips[real[0]].metric
        counts, without = (
            count(metric, [test.clips[i].answer for i in rows], [texts[i] for i in rows]) for rows in (real, silent)
        )
        tasks[task] = {
            "metric": metric,
            "numerators": counts.numerators.tolist(),
            "denominators": counts.denominators.tolist(),
            "silence": without.rate,
        }
    real = [i for i, clip in enumerate(test.clips) if not clip.silent]
    seconds = sum(test.clips[i].n_samples for i in real) / SAMPLE_RATE
    written = [i for i in real if test.clips[i].metric == "wer" and test.clips[i].answer]
    letters = sum(len(render_answer(model.tokenizer, test.clips[i].answer)) - 1 for i in written)
    words = sum(len(test.clips[i].answer.split()) for i in written)
    audio = sum(spent[i] for i in written)
    return {
        "tokens_per_s": sum(spent[i] for i in real) / seconds,
        "tokens_per_text_token": audio / letters if letters else None,
        "tokens_per_word": audio / words if words else None,
        "tasks": tasks,
    }


def _longest(model: AudioLM, test: Kept) -> dict[str, int]:
    """Most tokens that an answer of each task may have: what is longer than every right one, and is scored by being
    equal, is wrong already."""
    most: dict[str, int] = {}
    for clip in test.clips:
        n = len(render_answer(model.tokenizer, clip.answer)) + SPARE if clip.metric == "accuracy" else MAX_TOKENS
        most[clip.task] = min(MAX_TOKENS, max(n, most.get(clip.task, 0)))
    return most


@torch.no_grad()
def _heard(model: AudioLM, test: Kept, rows: Sequence[int]) -> list[Heard]:
    """Clips as the LLM reads them."""
    frames = test.rows(rows)
    tokens = model.bridge(frames)
    found = []
    for row, n in enumerate(tokens.lengths.tolist()):
        seconds, tail_s = float(frames.durations_s[row]), float(tokens.tail_s[row])
        values, spans, n_frames = tokens.values[row, :n], tokens.spans_s[row, :n], int(frames.lengths[row])
        found.append(Heard(values, spans, n_frames, seconds, seconds - tail_s, tail_s))
    return found


def _answers(model: AudioLM, test: Kept, rows: Sequence[int], heard: Sequence[Heard], most: Sequence[int]) -> list[str]:
    """What the model answers, greedily; nothing where the context leaves no room."""
    prompts = []
    for row, one in zip(rows, heard, strict=True):
        turn = asked_turn(test.clips[row].question, with_clip=True)
        n = [len(one.values)]
        prompts.append(render([turn], n, model.tokenizer, pad_id=model.pad_id, clip_text=model.clip_text))
    texts = [""] * len(rows)
    room = [min(n, model.context - len(prompt.ids)) for n, prompt in zip(most, prompts, strict=True)]
    fits = [i for i, n in enumerate(room) if n > 0]
    if fits:
        samplings = [Sampling(room[i]) for i in fits]
        for steps in generate(model, [prompts[i] for i in fits], [[heard[i]] for i in fits], samplings):
            for i, step in zip(fits, steps, strict=True):
                texts[i] += step.text
    return texts
