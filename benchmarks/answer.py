"""How long an answer takes: hearing, the first token and the rate after it, alone and in a batch.

python benchmarks/answer.py [MODEL]      writes docs/results/answer.md
"""

import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

import ossicle
from ossicle.infer.describe import physical_cores
from ossicle.infer.generate import Sampling
from ossicle.infer.requests import Request, ask_batch, conversation

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "answer.md"
SECONDS, REPEATS, TOKENS = 4.0, 5, 60


def measure(model: ossicle.AudioLM, batch: int) -> tuple[float, float, float]:
    """Medians over the repeats: seconds to hear, seconds to the first token, tokens a second of the whole batch."""
    rng = np.random.default_rng(0)
    clips = [ossicle.Clip(rng.normal(0, 0.05, int(SECONDS * 16_000)).astype(np.float32), 16_000) for _ in range(batch)]
    requests = [
        Request(conversation([clip], "what is said?"), Sampling(TOKENS, 1.0, seed=i)) for i, clip in enumerate(clips)
    ]
    rows = []
    for _ in range(REPEATS + 1):  # the first is warm-up
        began = time.perf_counter()
        model.hear(clips)
        heard_s, began = time.perf_counter() - began, time.perf_counter()
        answers = ask_batch(model, requests)
        whole_s = time.perf_counter() - began
        first_s = answers[0].ledger.time_to_first_token_s
        rows.append((heard_s, first_s, sum(one.ledger.text_tokens for one in answers) / max(whole_s - first_s, 1e-9)))
    heard_s, first_s, rate = np.median(rows[1:], axis=0)
    return float(heard_s), float(first_s), float(rate)


def main(name: str = "mini") -> None:
    torch.set_num_threads(physical_cores())
    model = ossicle.load(name, device="cpu")
    lines = [
        "# Time of an answer",
        "",
        f"Made by `python benchmarks/answer.py {name}`: {SECONDS:g} s of noise, at most {TOKENS} tokens, median of "
        f"{REPEATS};",
        f"{physical_cores()} physical cores ({platform.machine()}), torch {torch.__version__}, float32.",
        "",
        "| batch | hearing, s | audio seconds per second | first token, s | tokens per second |",
        "| --- | --- | --- | --- | --- |",
    ]
    for batch in (1, 4, 16):
        heard_s, first_s, rate = measure(model, batch)
        lines.append(f"| {batch} | {heard_s:.3f} | {batch * SECONDS / heard_s:.0f} | {first_s:.3f} | {rate:.0f} |")
        print(lines[-1], flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


main(*sys.argv[1:])
