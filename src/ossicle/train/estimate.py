"""What a preflight found, as numbers and as text: an example, the data, memory and time of each stage.

Knows numbers and how they add up; does not know models, nor how anything is counted or measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from ossicle.data.check import Checked
from ossicle.train.example import Example
from ossicle.train.memory import Bytes

MOST_SHOWN = 20
"""Faults that are shown of a manifest."""


@dataclass(frozen=True)
class Stage:
    """What a stage would need.

    Args:
        name: of the stage.
        parts: memory by part.
        working: bytes beside these while the backward pass begins: twice the largest tensor that is kept (in most
            models the logits), for its gradient and for the sum that it comes from.
        measured: on a GPU the most bytes that were in use, else None.
        batch_s: seconds of audio of the largest batch.
        step_s: seconds of computing for a second of audio, measured.
        known_s: the same once the frames of an encoder that stays as it is are kept; as ``step_s`` where none are.
        made_s: seconds of a worker for a second of audio, measured.
        workers: how many there are; 0 where they share the trainer's processor and so add their time to its.
        epoch_s: seconds of audio until a clip comes again; infinite for the world.
        audio_s: seconds of audio that the stage would take.
    """

    name: str
    parts: dict[str, Bytes]
    working: int
    measured: int | None
    batch_s: float
    step_s: float
    known_s: float
    made_s: float
    workers: int
    epoch_s: float
    audio_s: float

    @property
    def bytes(self) -> int:
        """Everything together."""
        return sum(part.total for part in self.parts.values()) + self.working

    @property
    def seconds(self) -> float:
        """Time for all its audio: the first epoch at the pace ``step_s``, the rest at ``known_s``.

        Data are made beside the steps: on a GPU the slower of the two counts, on a processor they share its cores, so
        that the times add up.
        """
        first = min(self.audio_s, self.epoch_s)
        return first * self.pace(self.step_s) + (self.audio_s - first) * self.pace(self.known_s)

    def pace(self, step_s: float) -> float:
        """Seconds for a second of audio, data and step together."""
        return max(step_s, self.made_s / self.workers) if self.workers else step_s + self.made_s


@dataclass(frozen=True, eq=False)
class Report:
    """All that a preflight found.

    Args:
        example: of the first stage; None where it learns no text.
        checked: the manifests, each once.
        held_out: share of the items that is never trained on.
        stages: what each would need.
        device, precision: where and how it would compute.
    """

    example: Example | None
    checked: tuple[Checked, ...]
    held_out: float
    stages: tuple[Stage, ...]
    device: str
    precision: str

    def refuse(self) -> None:
        """Nothing, if it would train.

        Raises:
            DataError: over 1 % of a manifest's items are bad.
        """
        for one in self.checked:
            one.refuse()


def show(report: Report, console: Console) -> None:
    """Print a report: in colour where the console has any."""
    colour = console.color_system is not None
    for line in _lines(report, colour=colour):
        console.print(line, soft_wrap=True, highlight=False)


def _lines(report: Report, *, colour: bool) -> Iterator[Text]:
    example = report.example
    if example is not None:
        marks = "green is learned, the rest only read" if colour else "what stands between {+ and +} is learned"
        yield Text(f"example: {example.where} ({marks})")
        yield example.painted(colour=colour)
        rate = example.n_audio / example.seconds
        yield Text(
            f"tokens: {example.n_audio} of audio ({rate:.1f} a second), {example.n_text} of text, of which "
            f"{example.n_learned} are learned"
        )
    for one in report.checked:
        seconds = sum(length.seconds for length in one.lengths.values())
        share = f", {report.held_out:.0%} of them held out" if report.held_out else ""
        yield Text(
            f"data: {one.path.name}: {len(one.lengths)} of {one.n_items} items usable{share}; {seconds / 3600:.2f} h, "
            f"{sum(length.audio_tokens for length in one.lengths.values())} audio tokens, "
            f"{sum(length.text_tokens for length in one.lengths.values())} text tokens"
        )
        for fault in one.faults[:MOST_SHOWN]:
            yield Text(f"  rejected: {fault}")
        if len(one.faults) > MOST_SHOWN:
            yield Text(f"  rejected: {len(one.faults) - MOST_SHOWN} more")
    for stage in report.stages:
        yield Text(f"stage {stage.name}, on {report.device} in {report.precision}:")
        for name, part in stage.parts.items():
            yield Text(
                f"  {name}: weights {_size(part.weights)}, gradients {_size(part.gradients)}, optimiser "
                f"{_size(part.optimiser)}, activations {_size(part.activations)}"
            )
        measured = "" if stage.measured is None else f"; measured {_size(stage.measured)}"
        yield Text(f"  memory: about {_size(stage.bytes)} for a batch of {stage.batch_s:.0f} s{measured}")
        hours = stage.audio_s / 3600
        yield Text(
            f"  time: about {stage.seconds / 3600:.2f} h for {hours:.2f} h of audio, "
            f"{stage.audio_s / stage.seconds:.1f} audio-hours an hour"
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.2f} MB"
