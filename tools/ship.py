"""Put a trained model into the package: fp16 weights, where it comes from, and a card with its measured figures.

    ossicle evaluate --model runs/mini/model --compare runs/mini/stages/connect --json > scores.json
    python tools/ship.py runs/mini/model scores.json

Refuses a folder that is too large. Everything on the card comes from the two arguments.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ossicle.hub.folder import ASSETS, load, save, verify

MAX_BYTES = 15_000_000

ABOUT = """# mini

An audio language model with {parameters:,} parameters: {summary}. It was trained from scratch on the synthetic world of
ossicle by the recipe `mini` ({hours:.0f} hours of generated audio, {minutes:.0f} minutes of training), in pattern
`{pattern}`.

It shows that the chain works, offline and on a laptop. It is no general listener: it knows English from speech
synthesisers, over a grammar of some 1,500 words, and everyday sounds and melodies made by arithmetic. Real speech,
other words and other languages lie outside; it will then answer with what sounds like its world. The slices
`unheard_words` (words that it never heard) and `festival` (a synthesiser that it never heard) tell how far that goes.

## Small-world figures

These are figures of a small model on a small synthetic world. They cannot be compared with those of any other model.

{figures}

Where it comes from - commit, recipe, seeds, versions, the log of its one run - stands in `origin.json`.
"""


def figures(scores: dict[str, Any]) -> str:
    """The scores as a Markdown table: a row a task, and a row for each slice of speech."""
    rows = ["| task | metric | value | 95 % interval | with silence | n |", "| --- | --- | --- | --- | --- | --- |"]
    for name, one in scores["tasks"].items():
        metric = "word error rate" if one["metric"] == "wer" else one["metric"]
        span = f"{one['low']:.1%} to {one['high']:.1%}"
        rows.append(f"| {name} | {metric} | {one['value']:.1%} | {span} | {one['silence']:.1%} | {one['n']} |")
    rows += ["", "| slice of transcribe | word error rate | n |", "| --- | --- | --- |"]
    for name, one in scores["tasks"]["transcribe"]["slices"].items():
        rows.append(f"| {name} | {'none' if one['value'] is None else format(one['value'], '.1%')} | {one['n']} |")
    return "\n".join(rows)


def ship(folder: Path, scores: dict[str, Any]) -> Path:
    """Write ``assets/mini``.

    Args:
        folder: the model folder that the recipe left.
        scores: what ``ossicle evaluate --json`` printed about it.

    Raises:
        SystemExit: the folder is larger than the package may hold.
    """
    model, origin = load(folder, device="cpu"), json.loads((folder / "origin.json").read_text())
    card = ABOUT.format(
        parameters=sum(weight.numel() for weight in model.parameters()),
        summary=origin["recipe"]["summary"],
        hours=origin["data_hours"],
        minutes=60 * origin["training_hours"],
        pattern=model.pattern,
        figures=figures(scores),
    )
    target = save(model, ASSETS / "mini", card=card, origin=origin, dtype="float16", overwrite=True)
    size = sum(path.stat().st_size for path in target.rglob("*"))
    if size > MAX_BYTES:
        raise SystemExit(f"{target} holds {size:,} bytes, at most {MAX_BYTES:,} may be shipped")
    verify(str(target))
    return target


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())))
