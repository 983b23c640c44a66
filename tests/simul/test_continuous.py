"""Speech without an end: utterances, times of the whole sound, memory."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.continuous import Continuous, Utterance
from ossicle.simul.policies import LocalAgreement, WaitK
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting, Said
from ossicle.simul.trace import Loudness, page
from ossicle.simul.utterances import Heard, Pauses, Utterances, joined

from .small import sound, speaking

MODEL = speaking()
RATE = 16_000


def scene(*parts: tuple[str, float], seed: int = 0, floor: float = 1e-4) -> np.ndarray:
    """Loud and quiet noise in turns."""
    rng = np.random.default_rng(seed)
    sizes = [(floor if kind == "quiet" else 0.1, round(seconds * RATE)) for kind, seconds in parts]
    return np.concatenate([level * rng.normal(size=n) for level, n in sizes]).astype(np.float32)


TALK = scene(
    ("quiet", 1.0), ("loud", 2.0), ("quiet", 0.3), ("loud", 1.0), ("quiet", 1.5), ("loud", 3.0), ("quiet", 0.8)
)


def cut(wave: np.ndarray, sizes: list[int], pauses: Pauses | None = None) -> list[Heard]:
    cutter, found, at = Utterances(pauses), [], 0
    for n in [*sizes, len(wave)]:
        found += cutter.hear(wave[at : at + n])
        at += n
    return joined([*found, *cutter.finish()])


def test_utterances_begin_and_end_with_speech() -> None:
    first, second = cut(TALK, [])
    assert first.ends and second.ends and first.paused
    assert first.start / RATE == pytest.approx(0.8, abs=0.06)
    assert (first.start + len(first.samples)) / RATE == pytest.approx(4.3 + 0.5, abs=0.08)
    assert second.start / RATE == pytest.approx(5.6, abs=0.06)
    for one in (first, second):
        assert np.array_equal(one.samples, TALK[one.start : one.start + len(one.samples)])


@pytest.mark.parametrize("seed", range(5))
def test_cuts_do_not_hang_on_how_the_sound_comes(seed: int) -> None:
    sizes = np.random.default_rng(seed).integers(1, 9000, 30).tolist()
    for one, other in zip(cut(TALK, sizes), cut(TALK, []), strict=True):
        assert one.start == other.start and np.array_equal(one.samples, other.samples)


def test_who_does_not_pause_is_cut_at_the_longest_and_loses_nothing() -> None:
    wave = scene(("quiet", 0.5), ("loud", 9.0), ("quiet", 1.0))
    some = Pauses(soft_s=2, most_s=3)
    parts = cut(wave, [], some)
    assert [one.paused for one in parts] == [False] * (len(parts) - 1) + [True] and len(parts) >= 3
    assert all(len(one.samples) <= 3 * RATE for one in parts)
    gaps = [b.start - a.start - len(a.samples) for a, b in itertools.pairwise(parts)]
    assert gaps == [0] * len(gaps)


def test_short_pauses_end_what_is_long() -> None:
    parts = [("quiet", 0.5), *[("loud", 1.0), ("quiet", 0.3)] * 9, ("quiet", 1.0)]
    long = cut(scene(*parts), [], Pauses(soft_s=5, short_s=0.2))
    assert len(long) == 3 and all(one.paused for one in long)
    assert all(5 < len(one.samples) / RATE < 7 for one in long[:2])


@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-2, 0.3])
def test_silence_and_steady_noise_are_no_utterance_but_what_stands_out_of_them_is(level: float) -> None:
    steady = scene(("quiet", 5.0), floor=level)
    assert cut(steady, [777]) == []
    if level < 0.05:
        (one,) = cut(np.concatenate([steady, scene(("loud", 2.0), ("quiet", 1.0), floor=level)]), [777])
        assert one.start / RATE == pytest.approx(4.8, abs=0.06)
    assert cut(np.zeros(0, np.float32), []) == []


def test_what_is_faint_does_not_stand_out_of_silence() -> None:
    silence = np.zeros(3 * RATE, np.float32)
    assert cut(np.concatenate([silence, scene(("quiet", 2.0)), silence]), [777]) == []
    assert len(cut(np.concatenate([TALK, silence, scene(("quiet", 2.0))]), [777])) == len(cut(TALK, []))


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.75])
def test_speech_that_began_before_the_sound_is_whole(phase: float) -> None:
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (4 * np.arange(3 * RATE) / RATE + phase))
    wave = np.concatenate([syllables * scene(("loud", 3.0)), scene(("quiet", 1.0))]).astype(np.float32)
    (one,) = cut(wave, [500])
    assert one.start == 0 and one.ends


def test_what_is_remembered_does_not_grow() -> None:
    cutter, sizes = Utterances(), []
    for _ in range(6):
        cutter.hear(np.concatenate([TALK] * 4))
        sizes.append(cutter.kept_bytes)
    assert max(sizes) < 40_000 and sizes[-1] <= sizes[1]


@pytest.mark.parametrize("changed", [{"pause_s": 0.1}, {"lead_s": -1}, {"soft_s": 20}, {"most_s": 0.5, "soft_s": 0.5}])
def test_pauses_out_of_range_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="an utterance ends after pauses of"):
        Pauses(**changed)


def through(wave: np.ndarray, sizes: list[int], **options) -> tuple[Continuous, list[Said | Uttered], list[Utterance]]:
    seen: list[Utterance] = []
    session = Continuous(MODEL, lambda: WaitK(1), "fr", max_tokens=40, look=seen.append, **options)
    found, at = [], 0
    for n in [*sizes, len(wave)]:
        found += session.hear(wave[at : at + n])
        at += n
    return session, [*found, *session.finish()], seen


def test_every_utterance_is_what_it_is_alone_and_spans_cover_the_sound() -> None:
    session, events, seen = through(TALK, [1280] * 200)
    parts = cut(TALK, [])
    alone = []
    for part in parts:
        one = Interpreting(MODEL, WaitK(1), "fr", max_tokens=40)
        cuts = [*range(0, len(part.samples), 1280)]
        said = [event for at in cuts for event in one.hear(part.samples[at : at + 1280])] + one.finish()
        alone.append("".join(event.text for event in said))
    texts = [list(group) for _, group in itertools.groupby(events, key=lambda one: sum(one.at_s > end for end in ENDS))]
    assert ["".join(one.text for one in some) for some in texts][: len(alone)] == alone and all(alone)
    spans = [one.span_s for one in events]
    assert spans[0][0] == 0 and spans[-1][1] == len(TALK) / RATE == session.heard_s
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert session.n_utterances == 2 == len(seen) and all(one.n_full <= len(one.ids) // 40 for one in seen)
    assert [round(one.end_s, 3) for one in seen] == [round((one.start + len(one.samples)) / RATE, 3) for one in parts]


ENDS = [(one.start + len(one.samples)) / RATE for one in cut(TALK, [])]


def test_sound_without_speech_is_one_empty_piece() -> None:
    _, events, seen = through(np.zeros(2 * RATE, np.float32), [])
    assert events == [Said("", 2.0, (0.0, 2.0), last=True)] and seen == []
    assert through(np.zeros(0, np.float32), [])[1] == [Said("", 0.0, (0.0, 0.0), last=True)]


def test_every_utterance_gets_a_voice() -> None:
    _, events, seen = through(TALK, [5000] * 20, voice=lambda: Uttering(MODEL, "fr", least_s=0.1))
    spoken = [one for one in events if isinstance(one, Uttered)]
    written = "".join(one.text for one in events if isinstance(one, Said))
    assert "".join(one.text for one in spoken).replace(" ", "") == written.replace(" ", "")
    assert {sum(one.at_s > end for end in ENDS) for one in spoken} == {0, 1} and len(seen) == 2


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(RequestError, match="'it'"):
        Continuous(MODEL, lambda: WaitK(1), "it")
    session = Continuous(MODEL, lambda: LocalAgreement(), "fr")
    with pytest.raises(RequestError, match="samples are"):
        session.hear(np.array([np.nan], np.float32))
    session.finish()
    for again in (session.finish, lambda: session.hear(sound(5))):
        with pytest.raises(RequestError, match="the sound has ended"):
            again()


def test_a_page_shows_every_token_and_turn() -> None:
    loudness = Loudness()
    for at in range(0, len(TALK), 777):
        loudness.hear(TALK[at : at + 777])
    assert len(loudness.bars) == len(TALK) // 800
    assert np.allclose(loudness.bars[3], np.abs(TALK[2400:3200]).max())
    _, _, seen = through(TALK, [1280] * 200)
    pieces = [MODEL.text.pieces(one.ids) for one in seen]
    shown = page("a & b", seen, pieces, loudness, MODEL.encoded_hz)
    assert shown.startswith("<!doctype html>") and "a &amp; b" in shown and "<script" not in shown
    pictures = re.findall(r"<svg.*?</svg>", shown, re.DOTALL)
    assert len(pictures) == 2
    for picture, one in zip(pictures, seen, strict=True):
        drawn = ET.fromstring(picture)
        told = [mark.text or "" for mark in drawn.iter("{http://www.w3.org/2000/svg}title")]
        assert sum(said.startswith("writes") for said in told) == len(one.ids) > 0
        assert sum(said.startswith("reads") for said in told) == sum(
            type(turn.decision).__name__ == "Read" for turn in one.turns
        )
