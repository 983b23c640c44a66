"""Readings: what a stage logs and prints, and when."""

import json
from pathlib import Path

import pytest

from ossicle.train.report import Progress, forget_after, readings


def test_the_last_step_of_a_stage_is_logged_with_the_means_of_all_since_the_last_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("hear", tmp_path / "log.jsonl")
    assert progress.show(1, 0.25, 10.0, 1.0, {"loss": 4.0}) == {}
    assert progress.show(2, 0.50, 20.0, 2.0, {"loss": 2.0, "norm": 3.0}) == {}
    assert not (tmp_path / "log.jsonl").exists() and capsys.readouterr().err == ""
    reading = progress.show(3, 1.0, 36.0, 3.0, {"loss": 3.0})
    done = {"step": 3, "share": 1.0, "audio_h": 0.01, "minutes": 0.05}
    assert reading == {**done, "audio_s_per_s": 13.0, "loss": 3.0, "norm": 3.0}
    assert progress.mean_loss == 3.0
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line) == {"stage": "hear", **reading}
    printed = capsys.readouterr().err
    assert printed == "hear  100%  0.01 audio-h  13 audio-s/s  0.0 min left  loss 3  norm 3\n"  # a plain line


def test_a_reading_starts_afresh_after_each_line(tmp_path: Path) -> None:
    progress = Progress("hear", tmp_path / "log.jsonl")
    progress.show(1, 1.0, 36.0, 2.0, {"loss": 8.0})
    reading = progress.show(2, 1.0, 72.0, 4.0, {"loss": 2.0})
    assert reading["loss"] == progress.mean_loss == 2.0 and reading["audio_s_per_s"] == 18.0
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_nothing_read_yet_is_no_loss(tmp_path: Path) -> None:
    progress = Progress("hear", tmp_path / "log.jsonl")
    assert progress.mean_loss != progress.mean_loss


def test_a_log_is_thinned_evenly_and_keeps_each_stages_last_reading(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert readings(log) == []
    lines = [{"stage": stage, "step": step} for stage in "ab" for step in range(100)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert readings(log, most=500) == lines
    few = readings(log, most=12)
    assert len(few) <= 12 and few[0] == lines[0] and few[-1] == lines[-1] and lines[99] in few
    assert few == sorted(few, key=lines.index)


def test_a_resumed_run_forgets_what_it_does_again_and_a_line_that_a_kill_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    forget_after(log, 3)
    assert not log.exists()
    log.write_text("".join(json.dumps({"stage": "a", "step": i}) + "\n" for i in range(6)) + '{"stage": "a", "st')
    forget_after(log, 3)
    Progress("a", log).show(4, 1.0, 36.0, 2.0, {"loss": 8.0})
    assert [one["step"] for one in readings(log)] == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_lines_that_are_no_readings_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    whole = [json.dumps({"stage": "a", "step": i}).encode() for i in range(3)]
    others = [
        b"gar\x00bage",
        b"\xff\xfe",
        b"[]",
        b"3",
        b'{"stage": "a"}',
        b'{"step": 1}',
        b'{"stage": "a", "step": null}',
        b"",
    ]
    log.write_bytes(b"\n".join([whole[0], *others, *whole[1:], b"[" * 100_000]) + b"\n")
    assert [one["step"] for one in readings(log)] == [0, 1, 2]
    forget_after(log, 1)
    assert log.read_bytes() == b"\n".join(whole[:2]) + b"\n"


def test_a_step_that_was_skipped_does_not_spoil_the_mean(tmp_path: Path) -> None:
    progress = Progress("hear", tmp_path / "log.jsonl")
    progress.show(1, 0.5, 36.0, 2.0, {"loss": float("nan"), "norm": float("inf"), "skipped": 1.0})
    progress.show(2, 1.0, 72.0, 4.0, {"loss": 3.0, "norm": 1.0})
    (reading,) = readings(tmp_path / "log.jsonl")
    assert progress.mean_loss == reading["loss"] == 3.0 and reading["skipped"] == 1.0
