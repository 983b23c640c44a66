"""Simultaneous translation scored: recorded ears, clocks, points."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from simul.small import listening, sound, speaking

from ossicle.audio.clip import Clip
from ossicle.cli import run
from ossicle.errors import RequestError
from ossicle.evaluate import simultaneous_report
from ossicle.evaluate.simultaneous import OFFLINE, SETTINGS, mean, score_simultaneous
from ossicle.evaluate.simultaneous_runs import (
    LEAST_S,
    LongItem,
    Pieces,
    interpreted,
    long_items,
    ms_of,
    offline,
    recorded,
)
from ossicle.evaluate.simultaneous_speech import Phrases, phrases, score_spoken
from ossicle.hub.translator import save_translator
from ossicle.simul.choice import Choices
from ossicle.simul.latency import MEASURES
from ossicle.simul.named import policy_named
from ossicle.simul.policies import WaitK
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting
from ossicle.translate.text import BLANK, TextTokens

SHORT = {"max_position_embeddings": 14}
"""Sentences of random weights do not end by themselves."""
MODEL = listening(**SHORT)
with torch.random.fork_rng():
    torch.manual_seed(4)
    MODEL.choices = Choices(32, 4, 2, bias=0.3)
with torch.no_grad():
    MODEL.shared.weight[:7] = 0  # neither the end nor any other special token is ever likeliest


class Words(TextTokens):
    """Every token is a word, so that there are words whatever random weights write."""

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [f"{BLANK}w{one}" for one in ids]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(f"w{one}" for one in ids)


MODEL.text = Words(MODEL.text.tokenizer, MODEL.text.ids)


@pytest.mark.parametrize("policy", ["wait-k:2", "emma:0.6", "agreement:2", "wait-k:1000"])
def test_recorded_ears_give_what_ears_give(policy: str) -> None:
    wave = sound(60000, 1)
    made = interpreted(MODEL, policy, "fr", wave, recorded(MODEL, wave))
    live = Interpreting(MODEL, policy_named(policy, MODEL), "fr")
    said = [one for at in range(0, len(wave), 5120) for one in live.hear(wave[at : at + 5120])] + live.finish()
    assert made.text == live.text and made.said == said
    words = [(word, 1000 * one.at_s) for one in said for word in one.text.split()]
    assert made.text.split() == [word for word, _ in words] and made.delays == [delay for _, delay in words]
    assert made.source == 3750 and all(0 < one <= 3750 for one in made.delays)
    if policy == "wait-k:1000":
        assert set(made.delays) == {3750.0}


def test_the_ceiling_hears_each_sentence_alone() -> None:
    wave = sound(60000, 1)
    item = LongItem({"en": "a b", "fr": "a b"}, "en", Clip(wave, 16000), ((3000, 20000), (30000, 58000)))
    made = offline(MODEL, "fr", item)
    alone = []
    for first, end in ((1400, 21600), (28400, 59600)):
        one = Interpreting(MODEL, WaitK(10**6), "fr")
        one.hear(wave[first:end])
        one.finish()
        alone.append(one.text)
    assert made.text == " ".join(alone) and all(alone) and made.spent > 0
    assert set(made.delays) == {3750.0} and set(made.elapsed) == {3750 + made.spent}


def test_what_is_written_at_the_end_is_as_late_as_the_source_is_long_to_the_last_bit() -> None:
    lengths = range(120_000, 140_000)
    assert any(1000 * (n / 16_000) < 1000 * n / 16_000 for n in lengths)
    assert all(ms_of(n / 16_000) == 1000 * n / 16_000 for n in lengths)
    wave = sound(129_378, 1)
    made = interpreted(MODEL, "wait-k:1000", "fr", wave, recorded(MODEL, wave))
    assert {*made.delays} == {made.source}


def test_the_clock_waits_for_the_sound_and_for_the_work_before() -> None:
    wave = sound(60000, 1)
    pieces = recorded(MODEL, wave)
    slow = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert len(slow) == len(pieces.seconds)
    made = interpreted(MODEL, "wait-k:1", "fr", wave, replace(pieces, seconds=slow))
    assert made.elapsed == sorted(made.elapsed) and len(set(made.delays)) > 2
    for delay, elapsed in zip(made.delays, made.elapsed, strict=True):
        # the first piece is through at 320 + 2000 ms; what comes until then waits, what comes later does not
        assert max(delay, 2320) <= elapsed <= max(delay, 2320) + made.spent - 2000
    assert made.spent >= 2000
    assert max(made.elapsed) < 3750 + made.spent - 2000 + 1


def test_several_pieces_at_once_are_fewer_turns() -> None:
    wave = sound(60000, 2)
    pieces = recorded(MODEL, wave)
    made = interpreted(MODEL, "wait-k:1", "fr", wave, pieces, at_once=4)
    assert {*made.delays} <= {1280.0, 2560.0, 3750.0} and len({*made.delays}) > 1


def test_ears_hear_whole_pieces() -> None:
    wave = sound(20000, 2)
    pieces = recorded(MODEL, wave)
    odd = Pieces([pieces.sizes[0] + 1, *pieces.sizes[1:]], pieces.values, pieces.seconds)
    with pytest.raises(AssertionError):
        interpreted(MODEL, "wait-k:1", "fr", wave[:-5], odd)


def test_utterances_are_long_and_the_first_are_the_same() -> None:
    two, one = long_items(2, "en"), long_items(1, "en")
    assert all(item.speech.duration_s >= LEAST_S for item in two)
    assert two[0].texts == one[0].texts and np.array_equal(two[0].speech.samples, one[0].speech.samples)
    for item in two:
        edges = [edge for bounds in item.sentences for edge in bounds]
        assert edges == sorted(edges) and edges[0] > 0 and edges[-1] < item.speech.n_samples
        assert len(item.sentences) == sum(item.texts["de"].count(mark) for mark in ".?!") > 1
        quiet = item.speech.samples[item.sentences[0][1] : item.sentences[1][0]]
        assert np.abs(quiet).max() < 0.01 * np.abs(item.speech.samples).max()
    assert all(sum(text.count(mark) for mark in ".?!") > 1 for item in two for text in item.texts.values())
    other = long_items(1, "fr")[0]
    assert other.language == "fr" and other.speech.duration_s >= LEAST_S


def test_points_tables_and_picture(tmp_path) -> None:
    shown: list[str] = []
    settings = [("emma:0.2", 1), ("emma:0.9", 1), ("wait-k:2", 1), ("agreement:2", 3)]
    scores = score_simultaneous(MODEL, n=2, pairs=[("en", "fr")], settings=settings, show=shown.append)
    assert [one.policy for one in scores.points] == [OFFLINE, *(name for name, _ in settings)]
    assert len(shown) == 5 and scores.points[-1].piece_s == pytest.approx(0.96)
    top = scores.ceiling("en", "fr")
    assert top is scores.points[0] and top.latency["al"].value == pytest.approx(1000 * scores.seconds["en"] / 2)
    assert {*top.latency} == {*MEASURES, *(f"{one}_ca" for one in MEASURES)}
    for one in scores.points[1:]:
        assert one.latency["laal_ca"].value > one.latency["laal"].value and one.rtf > 0
    best = scores.within("en", "fr", "emma", 1e9)
    assert best is max(scores.points[1:3], key=lambda one: one.bleu.value)
    assert scores.within("en", "fr", "emma", -1e9) is None
    told = json.loads(json.dumps(scores.as_dict()))
    assert told["simultaneous"][1]["policy"] == "emma:0.2" and told["hardware"]
    simultaneous_report.write(tmp_path / "page.md", scores, command="ossicle evaluate --suite simul")
    page = (tmp_path / "page.md").read_text()
    assert re.search(r"\| en to fr \| emma:0.2 +\| 0.32 +\|", page) and "](page.svg)" in page
    drawn = ET.fromstring((tmp_path / "page.svg").read_text())
    assert len(drawn.findall(".//{http://www.w3.org/2000/svg}circle")) == len(settings)


def test_means_have_intervals() -> None:
    found = mean([1.0, 2.0, 3.0, 4.0] * 25, 0)
    assert found.value == 2.5 and 2.2 < found.low < 2.5 < found.high < 2.8


def test_what_cannot_be_scored_is_said() -> None:
    with pytest.raises(RequestError, match="there is no policy 'no'"):
        score_simultaneous(MODEL, n=1, settings=[("no", 1)])
    with pytest.raises(RequestError, match="does not know 'it', but en, fr, de"):
        score_simultaneous(MODEL, n=1, pairs=[("en", "it")])
    deaf = listening()
    deaf.hearing = None
    with pytest.raises(RequestError, match="does not hear piece by piece"):
        score_simultaneous(deaf, n=1)


class Told:
    """A recogniser that says how many clips it was given, and of how many samples."""

    name, languages = "told", ("fr", "de")

    def __init__(self) -> None:
        self.clips: list[int] = []

    def read(self, clip: Clip, language: str) -> str:
        self.clips.append(clip.n_samples)
        return f"{language} sentence"


SPEAKS = speaking(**SHORT)
with torch.no_grad():
    SPEAKS.shared.weight[:8] = 0  # letters are likeliest, not a blank


def test_phrases_and_their_moments() -> None:
    wave = sound(60000, 1)
    made = phrases(SPEAKS, "wait-k:1", "fr", wave)
    assert made.said and len(made.said) == len(made.delays) == len(made.elapsed) == len(made.durations)
    assert made.durations == [len(one.samples) / 16 for one in made.said] and made.source == 3750
    assert made.delays == [1000 * one.at_s for one in made.said] == sorted(made.delays)
    assert all(late > delay for delay, late in zip(made.delays, made.elapsed, strict=True))
    live = Interpreting(SPEAKS, policy_named("wait-k:1", SPEAKS), "fr", voice=Uttering(SPEAKS, "fr"))
    events = [one for at in range(0, len(wave), 5120) for one in live.hear(wave[at : at + 5120])] + live.finish()
    assert [one.text for one in events if isinstance(one, Uttered)] == [one.text for one in made.said]
    assert sum(len(one.samples) for one in made.sentences()) == sum(len(one.samples) for one in made.said)


def test_phrases_are_joined_to_sentences() -> None:
    said = [
        Uttered(np.full(n, 0.1, np.float32), text, 1.0) for n, text in ((10, "a b"), (20, "c."), (30, "d?"), (5, "e"))
    ]
    made = Phrases(said, [1.0] * 4, [1.0] * 4, 2000.0, 0.0)
    assert [len(one.samples) for one in made.sentences()] == [30, 30, 5]


def test_speech_is_scored_beside_text(tmp_path) -> None:
    recogniser, shown = Told(), []
    rows = score_spoken(SPEAKS, "wait-k:2", recogniser, n=2, pairs=[("en", "fr"), ("en", "de")], show=shown.append)
    assert [(one.source, one.to, one.recogniser) for one in rows] == [("en", "fr", "told"), ("en", "de", "told")]
    assert recogniser.clips and len(shown) == 2
    for one in rows:
        assert {*one.latency} == {f"{name}{ca}" for name in ("start_offset", "end_offset", "atd") for ca in ("", "_ca")}
        assert one.latency["start_offset_ca"].value > one.latency["start_offset"].value > 0 and one.rtf > 0
    scores = score_simultaneous(SPEAKS, n=1, pairs=[("en", "fr")], settings=[("wait-k:2", 1)])
    whole = replace(scores, spoken=rows)
    assert [one["recogniser"] for one in whole.as_dict()["spoken"]] == ["told", "told"]
    page = simultaneous_report.tables(whole)
    assert (
        "Speech to speech" in page
        and page.count("| told ") == 2
        and "Speech to speech" not in simultaneous_report.tables(scores)
    )
    mute = listening()
    with pytest.raises(RequestError, match="tiny writes, but does not speak"):
        score_spoken(mute, "wait-k:2", recogniser, n=1)


def test_the_suite_on_the_command_line(tmp_path, capsys, monkeypatch) -> None:
    assert {policy.partition(":")[0] for policy, _ in SETTINGS} == {"emma", "wait-k", "agreement", "alignatt"}
    few = (("emma:0.5", 1), ("wait-k:9", 1), ("agreement:2", 5), ("alignatt:5,layer=2", 1))
    monkeypatch.setattr("ossicle.evaluate.simultaneous.SETTINGS", few)
    folder = save_translator(SPEAKS, tmp_path / "tiny")
    assert run(["evaluate", "--model", str(folder), "--suite", "simul", "--limit", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    policies = {one["policy"].partition(":")[0] for one in told["simultaneous"]}
    assert policies == {"offline", "emma", "wait-k", "agreement", "alignatt"} and told["spoken"] == []
    assert {(one["source"], one["to"]) for one in told["simultaneous"]} == {("en", "fr"), ("en", "de")}
    assert told["fingerprint"]
    assert run(["evaluate", "--model", str(folder), "--suite", "other"]) == 2
    assert "--suite world or simul (got 'other')" in capsys.readouterr().err
