"""How a run shows itself: a bar on a terminal, plain lines elsewhere, and every reading in ``log.jsonl``.

Knows numbers and where to print them; does not know models.
"""

import json
import sys
import time
from pathlib import Path

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
        self.n = 0
        self.shown = self.began = time.monotonic()
        self.from_audio_s: float | None = None
        self.from_s = 0.0
        self.mean_loss = float("nan")

    def show(self, step: int, share: float, audio_s: float, seconds: float, parts: dict[str, float]) -> None:
        """Take one step's reading; print and log the mean of the readings every 15 s, and at the end of the stage."""
        for key, value in parts.items():
            self.sums[key] = self.sums.get(key, 0.0) + value
        self.n += bool(parts)
        if self.from_audio_s is None:
            self.from_audio_s, self.from_s = audio_s, seconds
        if time.monotonic() - self.shown < LINE_S and share < 1:
            return
        means = {key: value / max(self.n, 1) for key, value in self.sums.items()}
        self.mean_loss = means.get("loss", self.mean_loss)
        rate = (audio_s - self.from_audio_s) / max(seconds - self.from_s, 1e-9)
        left_s = seconds * (1 - share) / share if share > 0 else float("inf")
        reading = {"stage": self.stage, "step": step, "share": share, "audio_h": audio_s / 3600, "rate": rate, **means}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({key: round(v, 5) if isinstance(v, float) else v for key, v in reading.items()}) + "\n"
            )
        shown = "  ".join(f"{key} {value:.3g}" for key, value in means.items())
        line = f"{self.stage}  {share:4.0%}  {audio_s / 3600:.2f} audio-h  {rate:.0f} audio-s/s  {left_s / 60:.1f} min left  {shown}"
        end = "\r" if sys.stderr.isatty() and share < 1 else "\n"
        print(line, file=sys.stderr, end=end, flush=True)
        self.sums, self.n, self.shown = {}, 0, time.monotonic()
        self.from_audio_s, self.from_s = audio_s, seconds
