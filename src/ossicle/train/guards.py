"""What a run must show at its end: the score of the items that it never trained on, with silence and with wrong audio.

Knows manifests and scores; does not know how the model was trained.
"""

import json
from pathlib import Path

from ossicle.data.manifest import write
from ossicle.evaluate.score import Scores, evaluate
from ossicle.models.audio_lm import AudioLM
from ossicle.train.sources import divided


def score_held_out(model: AudioLM, manifest: str | Path, holdout: float, out: Path) -> Scores | None:
    """Score a model on a manifest's held-out items.

    Writes ``holdout.jsonl`` (so that `ossicle evaluate --data` can score the same items again) and ``score.json``.

    Args:
        model: what was trained.
        manifest: its data.
        holdout: share of the items that was left out.
        out: the run's folder.

    Returns:
        The scores; None if no item was held out.
    """
    items = divided(manifest, holdout)[1]
    if not items:
        return None
    write(out / "holdout.jsonl", items)
    scores = evaluate(model, manifest=out / "holdout.jsonl")
    (out / "score.json").write_text(json.dumps(scores.as_dict(), indent=1) + "\n", encoding="utf-8")
    return scores
