"""What the benchmarks of talks and folders measure by: talks of an exact length, and demands that can be missed."""

import importlib.util
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from ossicle.errors import RequestError
from ossicle.evaluate.metrics import Counts

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_benchmark", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as path:
        path.syspath_prepend(str(BENCHMARKS))  # they import each other
        spec.loader.exec_module(module)
    return module


talk, folder, pretrain = loaded("talk"), loaded("folder"), loaded("pretrain")


def test_a_talk_is_as_long_as_was_asked_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        talk.write_talk(tmp_path / name, 3, "de", 12.5)
    one, other = ((tmp_path / name / "talk.wav").read_bytes() for name in ("one", "other"))
    assert one == other and soundfile.info(tmp_path / "one" / "talk.wav").frames == 200_000
    told = json.loads((tmp_path / "one" / "talk.json").read_text(encoding="utf-8"))
    spans = [(sentence["start_s"], sentence["end_s"]) for sentence in told["sentences"]]
    assert len(spans) >= 2 and spans[0][0] >= 0.6 and spans[-1][1] <= 12.5 - 0.6
    assert all(0.599 <= later[0] - earlier[1] <= 1.801 for earlier, later in pairwise(spans))
    assert len({sentence["texts"]["de"] for sentence in told["sentences"]}) == len(spans)


def test_a_talk_needs_room_for_a_sentence_and_another_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RequestError, match="the first sentence of the talk does not fit into 1 s: let it be longer"):
        talk.write_talk(tmp_path / "talk", 3, "de", 1.0)
    assert not (tmp_path / "talk").exists()
    with pytest.raises(SystemExit):
        talk.main(["--from", "fr"])
    assert "--to names another language than --from, which is fr" in capsys.readouterr().err


def test_no_text_of_a_talk_is_left_out_wherever_it_lies() -> None:
    sentences = [{"start_s": 1.0, "end_s": 2.0}, {"start_s": 4.0, "end_s": 6.0}]
    spans = [(0.0, 0.4, "a"), (0.4, 1.5, "b"), (1.5, 4.4, "c"), (4.4, 6.2, "d"), (6.2, 7.0, ""), (7.0, 9.0, "e")]
    segments = [{"start_s": start_s, "end_s": end_s, "text": text} for start_s, end_s, text in spans]
    assert talk.by_sentence(segments, sentences) == ["a b c", "d e"]


def test_word_errors_in_a_row_do_not_hang_on_the_cuts_and_the_aim_can_be_missed() -> None:
    references = ["Das Haus ist rot.", "Der Hund schläft."]
    assert talk.in_a_row(references, ["das haus ist", "rot der", "hund schläft"]).rate == 0
    assert talk.in_a_row(references, ["das haus ist", "der hund schläft"]).rate == pytest.approx(1 / 7)
    assert talk.one_by_one(references, ["das haus ist rot der", "hund schläft"]).rate == pytest.approx(2 / 7)
    assert "is reached: -1.90" in talk.verdict("BLEU", -1.9) and "is missed: -2.10" in talk.verdict("BLEU", -2.1)


def test_a_folder_that_is_translated_as_it_should_be_meets_all_demands_and_no_other_does() -> None:
    broken = {"1.wav": "audio_empty"}
    early, late = {"0.txt": (10, "a")}, {"2.txt": (30, "c"), "3.txt": (31, "d")}
    whole = folder.Run(7, [], 1.0, {"0.txt": (1, "a"), "2.txt": (2, "c"), "3.txt": (3, "d")})
    killed = folder.Run(-9, [], 1.0, early)
    again = folder.Run(7, ["1 of 4 are there from an earlier run"], 1.0, {**early, **late})
    right = {"whole": whole, "killed": killed, "again": again, "once_more": again, "named": [broken] * 3}
    assert all(met for _, met in folder.demands(4, broken, **right))
    twice = {**early, **late, "0.txt": (40, "a")}
    for wrong in (
        {"whole": replace(whole, code=0)},
        {"named": [{"1.wav": "audio_truncated"}, broken, broken]},
        {"named": [broken, {}, broken]},
        {"killed": replace(killed, code=0)},
        {"killed": replace(killed, results={"0.txt": (10, "half")})},
        {"again": replace(again, results=twice), "once_more": replace(again, results=twice)},
        {"killed": replace(killed, code=1, results={})},  # it ended before it wrote anything
        {"killed": replace(killed, code=7, results=whole.results)},  # it was done before it was killed
        {"whole": replace(whole, results={}), "named": [{}] * 3, "again": replace(again, results=early)},
        {"again": replace(again, told=[])},
        {"again": replace(again, results={**early, "2.txt": (30, "c")})},
        {"again": replace(again, results={**early, **late, "2.txt": (30, "other")})},
        {"once_more": replace(again, results=twice)},
    ):
        assert not all(met for _, met in folder.demands(4, broken, **{**right, **wrong})), wrong


def test_a_command_that_wrote_no_errors_named_none_and_a_kill_comes_before_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder.errors_of(tmp_path) == {}
    (tmp_path / "errors.jsonl").write_text('{"file": "a/1.wav", "code": "audio_empty"}\n', encoding="utf-8")
    assert folder.errors_of(tmp_path) == {"1.wav": "audio_empty"}
    for after in ("0", "7"):
        with pytest.raises(SystemExit):
            folder.main(["--files", "10", "--after", after])
        assert "--after lies between 0 and the 7 files that are not broken" in capsys.readouterr().err


def test_pre_training_is_compared_over_the_seeds_that_both_have() -> None:
    worse, better = (Counts(np.full(4, edits), np.full(4, 4.0)) for edits in (2.0, 1.0))
    alike = "-25.0 points (-25.0 to -25.0)"
    assert pretrain.difference([worse], [better]) == pretrain.difference([worse, better], [better]) == alike
    assert pretrain.difference([worse], [better, worse]) == alike
