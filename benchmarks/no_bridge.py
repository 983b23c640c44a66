"""Why a bridge at all? mini with its bridge, and with the frames only cut or filled up to the LLM's width.

python benchmarks/no_bridge.py [--limit N] [--out FILE]      writes docs/results/no_bridge.md

The control is `examples/no_bridge.py`: the same mean of two frames as mini's bridge, cut to the LLM's width, and
nothing learned; beside it the same at the size of the LLM's own embeddings.
"""

import argparse
import runpy
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ossicle.evaluate.report import table
from ossicle.evaluate.score import TaskScore, evaluate, percent
from ossicle.hub.folder import load
from ossicle.tensors import AudioTokens, Frames
from ossicle.train.origin import segment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "no_bridge.md"
TASKS = ("transcribe", "said", "intent", "speaker_pitch", "sound", "order", "instrument")


class Sized(nn.Module):
    """A bridge whose tokens are brought to one norm."""

    def __init__(self, bridge: Any, norm: float) -> None:
        super().__init__()
        self.bridge, self.norm = bridge, norm
        self.width_in, self.width_out, self.fixed_rate = bridge.width_in, bridge.width_out, True
        self.expected_hz, self.max_tokens, self.n_tokens = bridge.expected_hz, bridge.max_tokens, bridge.n_tokens

    def forward(self, frames: Frames) -> AudioTokens:
        found: AudioTokens = self.bridge(frames)
        values = nn.functional.normalize(found.values, dim=-1) * self.norm
        return AudioTokens(values, found.lengths, found.spans_s, found.tail_s)


def shown(score: TaskScore) -> str:
    assert score.low is not None and score.high is not None
    return f"{percent(score.value)} ({100 * score.low:.1f} to {100 * score.high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    model = load("mini", device="cpu", dtype="float32")
    control = runpy.run_path(str(ROOT / "examples" / "no_bridge.py"))["NoBridge"]
    none = control(model.encoder.width, model.bridge.width_out, k=2).eval()
    size = float(model.embedding_rows().norm(dim=1).median())
    found = []
    for bridge in (model.bridge, none, Sized(none, size).eval()):
        model.bridge = bridge
        found.append(evaluate(model, tasks=TASKS, limit=given.limit).tasks)
    head = (
        "task",
        "metric",
        "with its bridge",
        "no bridge",
        "no bridge, tokens of a word's size",
        "its bridge, silence",
    )
    rows = [
        (name, score.metric, *(shown(scores[name]) for scores in found), percent(score.silence))
        for name, score in found[0].items()
    ]
    about = segment(model.device, "float32", None)
    lines = [
        "# Why a bridge at all",
        "",
        f"Made by `python benchmarks/no_bridge.py{''.join(' ' + one for one in sys.argv[1:])}`",
        f"at commit {about['commit']}, torch {torch.__version__}. mini on {given.limit} items a task; figures of a",
        "small world, 95 % intervals over items. Without a bridge the LLM reads the same frames, means of two,",
        "cut to its width; nothing is learned.",
        "",
        table(head, rows),
    ]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
