"""Does sound without labels help where labels are few? One small encoder, with and without pre-training.

python benchmarks/pretrain.py [FOLDER] [--hours H] [--tenth N] [--seeds 1 2] [--before S] [--after S] [--out FILE]

Writes docs/results/pretrain.md. Clips of the synthetic world, clean, one voice each. What is said is known of every
N-th clip alone; the sound of all. Each arm learns to hear (the objective `hear`: letters by CTC, phones, marks) from
the same clips in the same order for as many steps; those with pre-training had theirs before, on all clips. Word errors
are those of greedy CTC on test sentences in test voices. Killed and started again, it goes on.
"""

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.data.batching import like_length_batches
from ossicle.encoders.w2v_bert import STACKED, W2vBertEncoder, W2vBertSizes
from ossicle.evaluate.metrics import Counts, count, pooled, pooled_difference
from ossicle.evaluate.report import points, table, write_page
from ossicle.evaluate.score import percent
from ossicle.train.checkpoint import Checkpoint, newest, save
from ossicle.train.conformer import conformer_of
from ossicle.train.hear import BLANK, Hear, HearItem, frame_targets, masked
from ossicle.train.muon import MuonAdamW
from ossicle.train.objectives import Loss
from ossicle.train.origin import segment
from ossicle.train.pretrain import Pretrain
from ossicle.train.pretraining import PretrainSettings
from ossicle.train.process import locked
from ossicle.train.recipe import digest_of
from ossicle.train.sources import Sample, World
from ossicle.train.stage import RELATIVE
from ossicle.train.weights import dump_optimizer, load_named, load_optimizer
from ossicle.world.telling import LETTERS

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "pretrain.md"
TASKS = {"transcribe": 0.6, "transcribe:random_words": 0.4}
SIZES = W2vBertSizes(width=144, layers=3, heads=4, ffn=384, kernel=15)
SETTINGS = PretrainSettings(layer=2, cooled=1000)
ARMS = {"none": "no pre-training", "learned": "w2v-BERT", "random_projection": "random targets (BEST-RQ)"}
POOL, BATCH_S, LR, WARMUP, DECAY, SAVED = 96, 8.0, 1.5e-3, 0.1, 0.05, 100
METRICS = {"wer": "word error rate", "cer": "character error rate"}
CLIPPED, GUESSED = 1.0, 60


@dataclass(frozen=True, eq=False)
class Kept:
    """A clip as it is kept: features (F, T) float16, what it lasts, what it says; the targets of `Hear` where its
    letters may be used."""

    features: np.ndarray
    n_samples: int
    seconds: float
    said: str
    labels: HearItem | None


def clips(encoder: W2vBertEncoder, split: Any, seconds: float, every: int) -> list[Kept]:
    """Clips of the world until there is enough; every so many-th with labels."""
    world, found, total = World(7, 0, split, TASKS, clean=True), [], 0.0
    while total < seconds:
        sample = world.sample(len(found))
        found.append(kept(encoder, sample, labels=len(found) % every == 0))
        total += found[-1].seconds
    return found


def kept(encoder: W2vBertEncoder, sample: Sample, *, labels: bool) -> Kept:
    read, seconds = encoder.features([Clip(sample.samples, SAMPLE_RATE)]), len(sample.samples) / SAMPLE_RATE
    features, n = read.values[0].numpy(), int(read.n_samples[0])
    targets = frame_targets(sample, encoder.n_frames(n), rate_hz=encoder.rate_hz)
    item = HearItem(features, n, *targets, seconds) if labels else None
    return Kept(features.astype(np.float16), n, seconds, sample.said or "", item)


def batches(seconds: Sequence[float], seed: int) -> Iterator[list[int]]:
    """Numbers of clips of like length, for ever, each clip once an epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(seconds))
        for first in range(0, len(order), POOL):
            pool = order[first : first + POOL]
            for batch in like_length_batches([seconds[i] for i in pool], BATCH_S, rng):
                yield [int(pool[i]) for i in batch]


def optimizer_of(encoder: nn.Module, heads: nn.Module, width: int) -> MuonAdamW:
    """Hidden matrices of the layers move orthogonally, attention head by head."""
    sides = {"linear_q": width, "linear_k": width, "linear_v": width, "linear_out": -width}
    groups: dict[tuple[bool, int | None], list[nn.Parameter]] = {}
    for name, value in [*encoder.named_parameters(), *heads.named_parameters(prefix="heads")]:
        hidden = ".layers." in name and value.ndim == 2 and not any(one in name for one in RELATIVE)
        block = sides.get(name.split(".")[-2], 0) if hidden else None
        if value.requires_grad:
            groups.setdefault((value.ndim >= 2, block), []).append(value)
    made = [
        {"params": values, "weight_decay": DECAY if matrix else 0.0, "block": block}
        for (matrix, block), values in groups.items()
    ]
    return MuonAdamW(made, lr=LR, betas=(0.9, 0.98))


def rate(step: int, steps: int) -> float:
    share = step / steps
    return min(share / WARMUP, 1.0) * (0.05 + 0.95 * (1 + math.cos(math.pi * share)) / 2)


def learn(
    encoder: nn.Module,
    heads: nn.Module,
    loss: Callable[[int], tuple[Loss, float]],
    *,
    steps: int,
    folder: Path,
    log: str,
) -> dict[str, Any]:
    """The plain loop: steps of one batch each, resumed from its newest checkpoint.

    Returns:
        what it took: CPU seconds, seconds of audio, and the means of the last log line.
    """
    encoder.train()
    heads.train()
    named = {f"encoder.{name}": value for name, value in encoder.named_parameters()}
    named |= {f"heads.{name}": value for name, value in heads.named_parameters()}
    optimizer = optimizer_of(encoder, heads, SIZES.width // SIZES.heads)
    found = newest(folder)
    spent: dict[str, Any] = {"step": 0, "cpu_s": 0.0, "audio_s": 0.0, "parts": {}}
    if found is not None:
        load_named(dict(named), found.tensors["weights"])
        load_optimizer(optimizer, found.tensors["optimizer"])
        torch.set_rng_state(found.tensors["random"]["cpu"])
        spent = {key: found.state[key] for key in spent}
    shown: list[dict[str, float]] = []
    for step in range(spent["step"], steps):
        begun = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = LR * rate(step, steps)
        (total, n, parts), seconds = loss(step)
        optimizer.zero_grad()
        (total / n).backward()
        nn.utils.clip_grad_norm_([value for value in named.values() if value.grad is not None], CLIPPED)
        optimizer.step()
        shown.append({"loss": total.item() / n, **parts})
        spent["cpu_s"] += time.process_time() - begun
        spent["audio_s"] += seconds
        if (step + 1) % SAVED == 0 or step + 1 == steps:
            spent["parts"] = {key: round(float(np.mean([one[key] for one in shown])), 4) for key in shown[0]}
            spent["step"] = step + 1
            print(f"{log} {step + 1}/{steps} cpu {spent['cpu_s']:.0f} s {spent['parts']}", flush=True)
            shown = []
            random = {"cpu": torch.get_rng_state()}
            tensors = {"weights": named, "optimizer": dump_optimizer(optimizer), "random": random}
            save(folder, step + 1, Checkpoint(tensors, spent), keep=1)
    return spent


def pretrained(arm: str, seed: int, train: list[Kept], test: list[Kept], steps: int, folder: Path) -> dict[str, Any]:
    """An encoder that has heard all clips: its weights, what it took, and its guesses on test clips."""
    encoder = encoder_of(seed)
    model = SimpleNamespace(encoder=encoder)
    objective = Pretrain(encoder, conformer_of(model), replace(SETTINGS, targets=arm))
    order = list(islice(batches([clip.seconds for clip in train], seed), steps))

    def batch_of(some: list[Kept], *key: int) -> Any:
        rngs = [np.random.default_rng([*key, i]) for i in range(len(some))]
        one = zip(some, rngs, strict=True)
        return objective.collate(
            [objective.hide(c.features.astype(np.float32), c.n_samples, c.seconds, r) for c, r in one]
        )

    def loss(step: int) -> tuple[Loss, float]:
        batch = batch_of([train[i] for i in order[step]], seed, step)
        return objective.loss(model, batch), batch.seconds

    spent = learn(encoder, objective, loss, steps=steps, folder=folder, log=f"{arm} seed {seed}")
    encoder.eval()
    objective.eval()
    with torch.no_grad():
        guesses = objective.loss(model, batch_of(test[:GUESSED], 0))[2]
    return {"weights": encoder.state_dict(), "spent": spent, "test": guesses}


def encoder_of(seed: int) -> W2vBertEncoder:
    torch.manual_seed(seed)
    return W2vBertEncoder(SIZES.config())


def heard(
    weights: dict[str, torch.Tensor] | None, seed: int, train: list[Kept], steps: int, folder: Path, log: str
) -> Any:
    """An encoder that learned letters from labelled clips, its head, and what it took."""
    encoder = encoder_of(seed)
    torch.manual_seed(seed)
    hear = Hear(encoder)
    if weights is not None:
        encoder.load_state_dict(weights)
    labelled = [clip.labels for clip in train if clip.labels is not None]
    order = list(islice(batches([one.seconds for one in labelled], seed), steps))
    model: Any = SimpleNamespace(encoder=encoder)

    def loss(step: int) -> tuple[Loss, float]:
        rng = np.random.default_rng([seed, step, 1])
        items = [labelled[i] for i in order[step]]
        batch = hear.collate([replace(item, features=masked(item.features, STACKED, rng)) for item in items])
        return hear.loss(model, batch), batch.seconds

    spent = learn(encoder, hear, loss, steps=steps, folder=folder, log=log)
    return encoder.eval(), hear.eval(), spent


def errors(encoder: W2vBertEncoder, hear: Hear, test: list[Kept]) -> dict[str, Counts]:
    """Words and characters that greedy CTC gets wrong, each clip alone."""
    texts = []
    for clip in test:
        assert clip.labels is not None
        with torch.no_grad():
            frames = encoder(hear.collate([clip.labels]).features)
            best = hear.letter(hear.norm(frames.values[0])).argmax(-1).tolist()
        runs = [one for i, one in enumerate(best) if one != BLANK and (i == 0 or one != best[i - 1])]
        texts.append("".join(LETTERS[one - 1] for one in runs))
    print(*(f"  {clip.said} | {text}" for clip, text in list(zip(test, texts, strict=True))[:3]), sep="\n", flush=True)
    said = [clip.said for clip in test]
    letters = [[" ".join(text.replace(" ", "_")) for text in some] for some in (said, texts)]  # each a word
    return {"wer": count("wer", said, texts), "cer": count("wer", *letters)}


def cached(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result in a file, made where it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(make()) + "\n", encoding="utf-8")
        partial.replace(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/pretrain"))
    parser.add_argument("--hours", type=float, default=4.0, help="of clips, with letters or without")
    parser.add_argument("--tenth", type=int, default=10, help="letters are known of every so many-th clip")
    parser.add_argument("--test-minutes", type=float, default=8.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--once", nargs="*", choices=ARMS, default=["random_projection"], help="arms of one seed")
    parser.add_argument("--before", type=int, default=1200, help="steps of pre-training")
    parser.add_argument("--after", type=int, default=1200, help="steps with letters")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    ear = encoder_of(0)
    train = clips(ear, "train", 3600 * given.hours, given.tenth)
    test = clips(ear, "test", 60 * given.test_minutes, 1)
    labelled = [clip for clip in train if clip.labels is not None]
    print(f"{len(train)} clips, {len(labelled)} with letters, {len(test)} to test on", flush=True)
    facts = [given.hours, given.tenth, given.test_minutes, given.before, given.after, asdict(SIZES), asdict(SETTINGS)]
    here = given.folder / digest_of([*facts, POOL, BATCH_S, LR, WARMUP, DECAY])
    results: dict[tuple[str, int], dict[str, Any]] = {}
    with locked(given.folder):
        for seed in given.seeds:
            for arm in given.arms:
                if arm in given.once and seed != given.seeds[0]:
                    continue
                place = here / f"{arm}-{seed}"

                def made(arm: str = arm, seed: int = seed, place: Path = place) -> dict[str, Any]:
                    before = (
                        None if arm == "none" else pretrained(arm, seed, train, test, given.before, place / "before")
                    )
                    weights = None if before is None else before.pop("weights")
                    after = place / "after"
                    encoder, hear, spent = heard(
                        weights, seed, train, given.after, after, f"letters after {arm} seed {seed}"
                    )
                    found = errors(encoder, hear, test)
                    sums = {
                        metric: [one.numerators.tolist(), one.denominators.tolist()] for metric, one in found.items()
                    }
                    return {"before": before, "spent": spent, "errors": sums}

                results[arm, seed] = cached(place / "result.json", made)
    write_page(given.out, page(given, train, labelled, test, results))
    print(given.out)


def page(
    given: Any,
    train: list[Kept],
    labelled: list[Kept],
    test: list[Kept],
    results: dict[tuple[str, int], dict[str, Any]],
) -> str:
    """The results as a page."""
    about = segment(torch.device("cpu"), "float32", None)
    rows = [row for metric in METRICS for row in compared(given, results, metric)]
    guesses = []
    for (arm, seed), one in results.items():
        if one["before"] is None:
            continue
        found, took = one["before"]["test"], one["before"]["spent"]
        contrast = ""
        if "contrast_right" in found:
            contrast = f"{percent(found['contrast_right'])} ({percent(found['contrast_chance'])})"
        guesses.append(
            (
                f"{ARMS[arm]}, seed {seed}",
                f"{percent(found['guess_right'])} ({percent(found['guess_chance'])})",
                contrast,
                f"{found['codes_used']:.1f} of {SETTINGS.n_codes}",
                f"{took['audio_s'] / 3600:.2f}",
                f"{took['cpu_s'] / 60:.1f}",
            )
        )
    spent = [
        one["spent"]["cpu_s"] + (one["before"] or {"spent": {"cpu_s": 0}})["spent"]["cpu_s"] for one in results.values()
    ]
    hours = [sum(clip.seconds for clip in some) / 3600 for some in (train, labelled, test)]
    n_weights = sum(value.numel() for value in encoder_of(0).parameters())
    lines = [
        "# Pre-training on sound without labels",
        "",
        f"Made by `python benchmarks/pretrain.py{''.join(f' {shlex.quote(one)}' for one in sys.argv[1:])}`",
        f"at commit {about['commit']}, torch {torch.__version__}, 1 thread, {sum(spent) / 60:.0f} CPU-minutes of",
        "training. Figures of a small world.",
        "",
        f"A w2v-BERT-shaped encoder ({SIZES.layers} layers, width {SIZES.width}, {n_weights / 1e6:.2f} million",
        f"weights) learns to hear (letters by CTC, phones, marks) from {len(labelled)} clips ({hours[1]:.2f} h), one",
        f"in {given.tenth} of the {len(train)} ({hours[0]:.2f} h) whose sound it may hear: {given.after} steps of at",
        f"most {BATCH_S:g} s, the same clips in the same order for all arms. Pre-training comes before, on all clips",
        f"without labels: {given.before} steps. Error rates of greedy CTC on {len(test)} test clips",
        f"({60 * hours[2]:.1f} min; test sentences, test voices, no language model).",
        "",
        table(("what", "pre-training", "rate (95 % interval)", "each seed", "against none"), rows),
        "",
        "Intervals over seeds and clips; so few seeds tell little of how far seeds differ.",
        "",
        "## What is guessed behind the masks",
        "",
        table(
            (
                "pre-training",
                "codes right (chance)",
                "told apart (chance)",
                "codes in use",
                "hours heard",
                "CPU-minutes",
            ),
            guesses,
        ),
        "",
        f"On the first {min(GUESSED, len(test))} test clips, masks drawn once. Chance of a guess is the share of the",
        "most frequent code, that of the contrast one over the places to choose from. Codes of different rows are",
        "different codes: their rates do not compare.",
        "",
    ]
    return "\n".join(lines)


def compared(given: Any, results: dict[tuple[str, int], dict[str, Any]], metric: str) -> list[tuple[str, ...]]:
    """A line for each arm: the rate over its seeds, each seed's, and the difference to no pre-training."""
    counts = {
        arm: [
            Counts(*(np.array(side) for side in one["errors"][metric]))
            for one in (results[arm, s] for s in given.seeds if (arm, s) in results)
        ]
        for arm in given.arms
    }
    rows = []
    for arm in given.arms:
        whole = pooled(counts[arm])
        assert whole is not None
        told_apart = "" if arm == "none" or "none" not in counts else difference(counts["none"], counts[arm])
        rate = f"{percent(whole[0])} ({100 * whole[1]:.1f} to {100 * whole[2]:.1f})"
        rows.append((METRICS[metric], ARMS[arm], rate, ", ".join(percent(one.rate) for one in counts[arm]), told_apart))
    return rows


def difference(none: list[Counts], other: list[Counts]) -> str:
    """Against no pre-training, with the seeds that both have: all of them, or the first."""
    n = min(len(none), len(other))
    found = pooled_difference(none[:n], other[:n])
    assert found is not None
    return f"{points(found.value)} points ({points(found.low)} to {points(found.high)})"


if __name__ == "__main__":
    main()
