"""Text in word by word, text out that stays."""

import itertools

import pytest
import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.policies import AlignAtt, Emma, LocalAgreement, WaitK
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Said
from ossicle.simul.text import Following, Lines
from ossicle.translate.search import search

from .small import speaking

MODEL = speaking()
with torch.no_grad():
    MODEL.shared.weight[:7] *= 0.1
WORDS = ["abc", "de", "fghi", "jkl", "mno"]


def written(policy, words=WORDS, **options) -> tuple[Following, list[Said | Uttered]]:
    session = Following(MODEL, policy, "en", "fr", max_tokens=30, **options)
    return session, [event for word in words for event in session.read(word)] + session.finish()


@pytest.mark.parametrize("make", [lambda: WaitK(1, ratio=1), lambda: WaitK(4, ratio=1), LocalAgreement, AlignAtt])
def test_text_is_never_taken_back_and_closes_every_word(make) -> None:
    session, events = written(make())
    assert "".join(one.text for one in events) == session.text == MODEL.text.decode(session.writer.ids)
    spans = [one.span_s for one in events]
    assert spans[0][0] == 0 and spans[-1][1] == len(WORDS) and all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert [one.last for one in events] == [False] * (len(events) - 1) + [True] and session.text


def test_who_waits_for_the_end_writes_what_a_translator_writes() -> None:
    session, _ = written(WaitK(100, ratio=1))
    encoded = MODEL.read([MODEL.text.encode(" ".join(WORDS), "en")])
    assert session.writer.ids == search(MODEL, encoded, ["fr"], max_tokens=30)[0][0].ids[:30]


def test_what_is_written_early_hangs_on_the_words_until_then_alone() -> None:
    one, _ = written(WaitK(3, ratio=1))
    other, _ = written(WaitK(3, ratio=1), [*WORDS[:3], "xyz", "uvw"])
    n = sum(len(turn.decision.ids) for turn in one.writer.turns[:3] if hasattr(turn.decision, "ids"))
    assert n > 0 and one.writer.ids[:n] == other.writer.ids[:n]


def test_speech_says_all_of_it() -> None:
    _, events = written(WaitK(1, ratio=1), voice=Uttering(MODEL, "fr", least_s=0.1))
    said = "".join(one.text for one in events if isinstance(one, Uttered))
    assert said.replace(" ", "") == "".join(one.text for one in events if isinstance(one, Said)).replace(" ", "")


def test_nothing_written_nothing_read() -> None:
    session, events = written(WaitK(1), [])
    assert events == [Said("", 0, (0, 0), last=True)] and session.text == ""
    with pytest.raises(RequestError, match="the source has ended"):
        session.finish()


def test_sentences_are_translated_one_by_one_and_what_cannot_be_read_is_kept() -> None:
    def through(*parts: str) -> tuple[Lines, str]:
        session = Lines(MODEL, lambda: WaitK(1, ratio=1), "en", "fr", max_tokens=30)
        events = [one for part in parts for one in session.hear(part)] + session.finish()
        assert session.closed_s == max(one.at_s for one in events if isinstance(one, Said))
        return session, "|".join(one.text + ("|" if one.last else "") for one in events if isinstance(one, Said))

    alone = "|".join(through(one)[1] for one in ("abc de.", "fghi jk?", "l.m no"))
    session, text = through("abc d", "e. fghi jk? l.", "m no")
    assert text == alone and session.n_utterances == 3 and session.unread == ""
    session, _ = through("a\u20acb 7. \u20ac8\n")
    assert session.unread == "\u20ac78" and session.n_utterances == 2


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="this one has none: train them, or take another policy"):
        written(Emma())
    with pytest.raises(RequestError, match="'it'"):
        Following(MODEL, WaitK(), "it", "fr")
    deaf = speaking()
    deaf.text_encoder = None
    with pytest.raises(RequestError, match="reads no text"):
        Following(deaf, WaitK(), "en", "fr")
