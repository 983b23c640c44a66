"""How a run shows itself: a bar on a terminal, plain lines elsewhere, and every reading in ``log.jsonl``.

Knows numbers and where to print them; does not know models.
"""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

LINE_S = 15.0


class Progress:
    """Readings of one stage.

    Args:
        stage: its name.
        log: file that each reading is added to, one JSON object a line.
    """

    def __init__(self, stage: str, log: Path) -> None:
        self.stage, self.log = stage, log
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.shown = self.began = time.monotonic()
        self.from_audio_s: float | None = None
        self.from_s = 0.0
        self.mean_loss = float("nan")

    def show(
        self, step: int, share: float, audio_s: float, seconds: float, parts: dict[str, float]
    ) -> dict[str, float]:
        """Take one step's reading; every 15 s, and at the end of the stage, print and log their means.

        Returns:
            What was logged, empty if nothing was.
        """
        for key, value in parts.items():
            if not math.isfinite(value):  # of a step that was skipped
                continue
            self.sums[key], self.counts[key] = self.sums.get(key, 0.0) + value, self.counts.get(key, 0) + 1
        if self.from_audio_s is None:
            self.from_audio_s, self.from_s = audio_s, seconds
        if time.monotonic() - self.shown < LINE_S and share < 1:
            return {}
        means = {key: value / self.counts[key] for key, value in self.sums.items()}
        self.mean_loss = means.get("loss", self.mean_loss)
        rate = (audio_s - self.from_audio_s) / max(seconds - self.from_s, 1e-9)
        left_s = seconds * (1 - share) / share if share > 0 else float("inf")
        done = {"audio_h": audio_s / 3600, "minutes": seconds / 60}  # of the stage
        reading = {"step": step, "share": share, **done, "audio_s_per_s": rate, **means}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": self.stage, **{k: round(v, 5) for k, v in reading.items()}}) + "\n")
        shown = "  ".join(f"{key} {value:.3g}" for key, value in means.items())
        left = f"{audio_s / 3600:.2f} audio-h  {rate:.0f} audio-s/s  {left_s / 60:.1f} min left"
        end = "\r" if sys.stderr.isatty() and share < 1 else "\n"
        print(f"{self.stage}  {share:4.0%}  {left}  {shown}", file=sys.stderr, end=end, flush=True)
        self.sums, self.counts, self.shown = {}, {}, time.monotonic()
        self.from_audio_s, self.from_s = audio_s, seconds
        return reading


def forget_after(log: Path, step: int) -> None:
    """Take away what a log says of later steps, which a resumed run does again, and lines that are none: the last one
    if a kill cut it off, or what a full disk or another hand left."""
    if not log.is_file():
        return
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith(b"\n") and (one := _reading(line)) and one["step"] <= step]
    if kept != lines:
        partial = log.with_name(log.name + ".partial")
        partial.write_bytes(b"".join(kept))
        partial.replace(log)


def readings(log: Path, *, most: int = 120) -> list[dict[str, Any]]:
    """The readings of a run's log, thinned evenly to at most ``most``, the last of each stage among them."""
    if not log.is_file():
        return []
    found = [one for line in log.read_bytes().splitlines() if (one := _reading(line))]
    last = {one["stage"]: i for i, one in enumerate(found)}
    every = -(-len(found) // max(most - len(last), 1)) if found else 1
    return [one for i, one in enumerate(found) if i % every == 0 or i == last[one["stage"]]]


def _reading(line: bytes) -> dict[str, Any] | None:
    """A line of a log; None if it is no reading."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(said, dict) and isinstance(said.get("stage"), str) and isinstance(said.get("step"), int)
    return said if whole else None
