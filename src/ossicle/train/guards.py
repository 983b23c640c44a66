"""What a run must show at its end: the score of the items that it never trained on, with silence and with wrong audio.

Knows manifests and scores; does not know how the model was trained.
"""

import json
import sys
from collections.abc import Collection
from pathlib import Path

from ossicle.audio.clip import Clip
from ossicle.data.check import Longest
from ossicle.data.manifest import Item, write
from ossicle.errors import DataError
from ossicle.evaluate.score import Scores, evaluate
from ossicle.models.audio_lm import AudioLM
from ossicle.train.sources import divided


def score_held_out(
    model: AudioLM,
    manifest: str | Path,
    holdout: float,
    out: Path,
    longest: Longest | None = None,
    without: Collection[int] = (),
) -> Scores | None:
    """Score a model on a manifest's held-out items.

    Writes ``holdout.jsonl`` (so that `ossicle evaluate --data` can score the same items again) and ``score.json``.

    Args:
        model: what was trained.
        manifest: its data.
        holdout: share of the items that was left out.
        out: the run's folder.
        without: lines of the manifest that cannot be used, and were told before.
        longest: longer items are left out, as in training; what is left out is told on standard error.

    Returns:
        The scores; None if no item was held out, or none of them can be used.
    """
    items = [item for item in divided(manifest, holdout, without)[1] if _usable(item, longest or Longest())]
    if not items:
        return None
    write(out / "holdout.jsonl", items)
    scores = evaluate(model, manifest=out / "holdout.jsonl")
    (out / "score.json").write_text(json.dumps(scores.as_dict(), indent=1) + "\n", encoding="utf-8")
    return scores


def _usable(item: Item, longest: Longest) -> bool:
    """Whether an item's audio can be read and is not too long; says so if not."""
    try:
        clips = [part for message in item.open() for part in message.content if isinstance(part, Clip)]
    except DataError as error:
        print(f"left out of the score: {error}", file=sys.stderr)
        return False
    fault = longest.fault(max((clip.duration_s for clip in clips), default=0.0))
    if fault is not None:
        print(f"left out of the score: {item.where}: {fault}", file=sys.stderr)
    return fault is None
