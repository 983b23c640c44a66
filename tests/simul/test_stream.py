"""Sound in as it comes, whole words out."""

import itertools

import numpy as np
import pytest
import torch
from translate.small import tiny

from ossicle.errors import RequestError
from ossicle.simul.hearing import Hearing
from ossicle.simul.policies import LocalAgreement, WaitK, Write
from ossicle.simul.stream import Interpreting, Said
from ossicle.simul.writer import Writer

from .small import listening, small_choices, sound

MODEL = listening()


def heard(policy, wave: np.ndarray, sizes: list[int]) -> tuple[Interpreting, list[Said]]:
    session, found, at = Interpreting(MODEL, policy, "fr", max_tokens=40), [], 0
    for n in sizes:
        found += session.hear(wave[at : at + n])
        at += n
    return session, [*found, *session.hear(wave[at:]), *session.finish()]


def whole_text(writer: Writer) -> str:
    """The text of all that was decided, sentence by sentence."""
    sentences: list[list[int]] = [[]]
    for turn in writer.turns:
        for token in turn.decision.ids if isinstance(turn.decision, Write) else ():
            if token != MODEL.text.eos:
                sentences[-1].append(token)
            if token == MODEL.text.eos or len(sentences[-1]) == 40:
                sentences.append([])
    texts = [MODEL.text.decode(one) for one in sentences]
    return " ".join(one for one in texts if one)


@pytest.mark.parametrize("make", [lambda: WaitK(1), lambda: WaitK(4), LocalAgreement])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_whole_words_and_tile_the_source(make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave = sound(int(rng.integers(20000, 70000)), seed)
    session, found = heard(make(), wave, rng.integers(160, 9000, 6).tolist())
    assert "".join(one.text for one in found) == session.text == whole_text(session.writer)
    assert [one.last for one in found] == [False] * (len(found) - 1) + [True]
    edges = [0.0, *(one.at_s for one in found)]
    assert [one.span_s for one in found] == list(itertools.pairwise(edges))
    assert found[-1].at_s == len(wave) / 16000 == session.heard_s
    for one in found[1:-1]:
        assert one.text.startswith(" ")


def test_translations_come_in_several_pieces() -> None:
    assert max(len(heard(WaitK(1), sound(60000, seed), [5120] * 11)[1]) for seed in range(4)) > 3


def test_the_text_is_that_of_a_writer_who_hears_the_same() -> None:
    wave = sound(50000, 3)
    session, _ = heard(WaitK(2), wave, [5120 + 320] + [5120] * 8)
    ears = MODEL.hearing.begin(MODEL)
    writer, at = Writer(MODEL, WaitK(2), "fr", max_tokens=40), 0
    for n in [5120 + 320] + [5120] * 8:
        writer.hear(ears.hear(wave[at : at + n]))
        at += n
    writer.hear(torch.cat([ears.hear(wave[at:]), ears.finish()], 1), finished=True)
    assert writer.ids == session.writer.ids and len(writer.ids) > 3


def test_silence_of_no_samples() -> None:
    session, found = heard(WaitK(1), sound(0), [])
    assert found == [Said("", 0.0, (0.0, 0.0), last=True)] and session.text == ""
    with pytest.raises(RequestError, match="the sound has ended"):
        session.finish()


def test_choices_are_the_models_own() -> None:
    MODEL.choices = small_choices()
    try:
        session = Interpreting(MODEL, WaitK(1), "fr")
        assert session.writer.reading.choices is MODEL.choices
    finally:
        MODEL.choices = None
    bare = tiny()
    with pytest.raises(RequestError, match="tiny does not hear piece by piece: teach it first"):
        Interpreting(bare, WaitK(1), "fr")
    session = Interpreting(bare, WaitK(1), "fr", hearing=Hearing(80, frames=8))
    assert session.hear(sound(100)) == []
