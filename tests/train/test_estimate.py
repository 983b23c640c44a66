"""What a preflight found: how the numbers add up, and how they are told."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ossicle.data.check import Checked, Fault, Length
from ossicle.errors import DataError
from ossicle.train.estimate import MOST_SHOWN, Report, Stage, show
from ossicle.train.example import Example
from ossicle.train.memory import Bytes

STAGE = Stage(
    name="connect",
    parts={"encoder": Bytes(2_000_000_000), "bridge": Bytes(10_000_000, 10_000_000, 20_000_000, 40_000_000)},
    working=1_000_000,
    measured=None,
    batch_s=30.0,
    step_s=0.5,
    known_s=0.1,
    made_s=0.2,
    workers=0,
    epoch_s=1_000.0,
    audio_s=3_600.0,
)
EXAMPLE = Example(
    "own.jsonl, line 3", (("read", "<|u|>"), ("audio", "[audio x 50]"), ("learned", "yes")), 2.0, 50, 9, 2
)
CHECKED = Checked(
    Path("some") / "own.jsonl",
    200,
    tuple(Fault("own.jsonl", line, "no sound") for line in range(1, 3)),
    {line: Length(36.0, 10, 5, 2) for line in range(3, 201)},
)
REPORT = Report(EXAMPLE, (CHECKED,), 0.1, (STAGE,), "cpu", "float32")


def shown(report: Report, **options: object) -> str:
    file = StringIO()
    show(report, Console(file=file, width=40, **options))
    return file.getvalue()


def test_memory_is_the_sum_of_its_parts() -> None:
    assert STAGE.bytes == 2_000_000_000 + 80_000_000 + 1_000_000


def test_the_first_epoch_has_its_own_pace_and_data_share_the_processor() -> None:
    assert STAGE.seconds == pytest.approx(1_000 * (0.5 + 0.2) + 2_600 * (0.1 + 0.2))
    assert replace(STAGE, epoch_s=float("inf")).seconds == pytest.approx(3_600 * 0.7)
    assert replace(STAGE, workers=4).seconds == pytest.approx(1_000 * 0.5 + 2_600 * 0.1)
    assert replace(STAGE, workers=1).seconds == pytest.approx(1_000 * 0.5 + 2_600 * 0.2)  # the data are slower


def test_it_is_told_in_plain_lines() -> None:
    assert shown(REPORT).splitlines() == [
        "example: own.jsonl, line 3 (what stands between {+ and +} is learned)",
        "<|u|>[audio x 50]{+yes+}",
        "tokens: 50 of audio (25.0 a second), 9 of text, of which 2 are learned",
        "data: own.jsonl: 198 of 200 items usable, 10% of them held out; 1.98 h, 1980 audio tokens, 990 text tokens",
        "  rejected: own.jsonl, line 1: no sound",
        "  rejected: own.jsonl, line 2: no sound",
        "stage connect, on cpu in float32:",
        "  encoder: weights 2.00 GB, gradients 0.00 MB, optimiser 0.00 MB, activations 0.00 MB",
        "  bridge: weights 10.00 MB, gradients 10.00 MB, optimiser 20.00 MB, activations 40.00 MB",
        "  memory: about 2.08 GB for a batch of 30 s",
        "  time: about 0.41 h for 1.00 h of audio, 2.4 audio-hours an hour",
    ]


def test_colours_stand_in_place_of_marks() -> None:
    told = shown(REPORT, force_terminal=True, color_system="standard", no_color=False)
    assert "{+" not in told and "\x1b[1;32myes\x1b[0m" in told and "green is learned" in told


def test_what_is_not_there_is_not_told() -> None:
    several = replace(CHECKED, faults=tuple(Fault("own.jsonl", line, "x") for line in range(1, MOST_SHOWN + 4)))
    told = shown(replace(REPORT, example=None, checked=(several,), stages=(replace(STAGE, measured=3 * 10**9),)))
    assert "example" not in told and "  rejected: 3 more\n" in told and "30 s; measured 3.00 GB" in told
    assert "held out" not in shown(replace(REPORT, held_out=0.0))


def test_a_report_refuses_what_training_would_refuse() -> None:
    assert REPORT.refuse() is None
    with pytest.raises(DataError, match="2 of 199 items of the manifest cannot be used"):
        replace(REPORT, checked=(replace(CHECKED, n_items=199),)).refuse()
