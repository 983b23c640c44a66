"""What the probes of a model found, as a table in Markdown with the command that made it.

Knows numbers and words; does not know how anything was measured.
"""

import os

from ossicle.evaluate.probes import SMALL, Answers, Probed, Rate
from ossicle.evaluate.report import points, table, write_page
from ossicle.evaluate.score import percent

ABOUT = f"""\
Linear classifiers, fitted on clips of the world's train split and scored on its test split; encoder, bridge and LLM
stay as they are. `frames` is before the bridge at the frames' own rate, `pooled` the mean of the frames over each audio
token's span, `after` the audio tokens; brackets hold 95 % intervals over clips. Chance, `pooled`, `after` and the loss
are of the same spans. The loss is pooled minus after in points, with a paired bootstrap over clips. Where it says
`kept`, no loss to speak of is shown: the interval holds zero, or lies below {100 * SMALL:g} points."""
ASKED = """\
Answers are the LLM's own on test items of the task that is nearest. Its questions are others than the probe's: where a
probe finds what the answers miss, it is in the tokens and the LLM does not use it."""


def tables(found: Probed) -> str:
    """The table of all probes, and what its columns mean."""
    asked = any(one.answers for one in found.found.values())
    head = ["probe", "asks", "classes", "asked of", "chance", "frames", "pooled", "after", "loss", "95 % interval"]
    head += ["verdict", *(["the LLM's answers"] if asked else [])]
    rows = []
    for one in found.found.values():
        row = [one.probe, one.asks, str(one.n_classes), f"{one.n_vectors} in {one.n_test} clips", percent(one.chance)]
        row += [_rate(rate) for rate in (one.frames, one.pooled, one.after)]
        row += [points(one.loss.value), f"{points(one.loss.low)} to {points(one.loss.high)}", one.verdict]
        rows.append(row + ([_answers(one.answers)] if asked else []))
    return "\n\n".join([table(head, rows), ABOUT, *([ASKED] if asked else [])])


def write(path: str | os.PathLike[str], found: Probed, *, command: str) -> None:
    """Write the table to a file, under the command that made it; whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    made = f"Made by `{command}` (seed {found.seed})."
    write_page(path, f"# What reaches the LLM of {found.model}: linear probes\n\n{made}\n\n{tables(found)}\n")


def _rate(rate: Rate) -> str:
    return f"{percent(rate.value)} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _answers(one: Answers | None) -> str:
    if one is None:
        return "none"
    metric = "word error rate" if one.metric == "wer" else one.metric
    return f"{one.task}: {metric} {_rate(one.rate)} of {one.n}"
