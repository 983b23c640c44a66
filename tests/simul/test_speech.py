"""What was written is said, phrase by phrase."""

import numpy as np
import pytest
import torch

from ossicle.errors import RequestError
from ossicle.simul.policies import WaitK
from ossicle.simul.speech import FADE, Uttered, Uttering
from ossicle.simul.stream import Interpreting
from ossicle.translate.speaking import speak_ids
from ossicle.translate.translator import Encoded

from .small import listening, sound, speaking

MODEL = speaking()
IDS = MODEL.text.tokens("abc de fghi. jkl mn.")
STOP = IDS.index(MODEL.text.tokens(".")[-1]) + 1


def states(ids: list[int]) -> tuple[Encoded, torch.Tensor]:
    torch.manual_seed(8)
    encoded = Encoded(torch.randn(1, 12, MODEL.width), torch.tensor([12]))
    with torch.no_grad():
        return encoded, MODEL.states(encoded, [[*MODEL.text.prefix("fr"), *ids]])


def test_a_sentence_that_comes_at_once_is_said_as_offline() -> None:
    ids = IDS[:STOP]
    encoded, made = states(ids)
    said = Uttering(MODEL, "fr").say(made, ids, last=True)
    assert said is not None and said[1] == "abc de fghi."
    whole = speak_ids(MODEL, encoded, [ids], ["fr"]).samples[0].numpy()
    assert said[0].shape == whole.shape and np.abs(said[0] - whole).max() <= 1e-5 < np.abs(whole).max()


def test_characters_are_said_once_each() -> None:
    one, texts, units = Uttering(MODEL, "fr", least_s=0.02), [], 0
    for ids in (IDS[:STOP], IDS[STOP:]):  # a sentence after another
        _, made = states(ids)
        for n in range(1, len(ids) + 1):
            said = one.say(made[:, : n + 2], ids[:n], last=n == len(ids))
            if said is not None:
                assert len(said[0]) % 320 == 0 and len(said[0]) > 0
                texts.append(said[1])
                units += len(said[0]) // 320
    assert "".join(texts).replace(" ", "") == "abcdefghi.jklmn." and len(texts) > 4
    assert units >= len("abc de fghi. jkl mn.")


def test_too_little_waits_until_a_sentence_or_the_source_ends() -> None:
    ids, others = IDS[:STOP], IDS[STOP:]
    _, made = states(ids)
    one = Uttering(MODEL, "fr", least_s=1000)
    assert all(one.say(made[:, : n + 2], ids[:n], last=False) is None for n in range(1, STOP))
    said = one.say(made, ids, last=False)  # its mark ends it
    assert said is not None and said[1] == "abc de fghi."
    assert one.say(made, ids, last=True) is None  # all is said
    _, made = states(others)
    assert one.say(made[:, : len(others) + 1], others[:-1], last=False) is None
    rest = one.say(made[:, : len(others) + 1], others[:-1], last=True)  # without a mark
    assert rest is not None and rest[1] == "jkl mn"
    assert one.say(made[:, :2], [], last=True) is None


def test_phrases_fade_where_the_utterance_goes_on() -> None:
    _, made = states(IDS)
    one = Uttering(MODEL, "fr", least_s=0.02)
    n = 4
    first = one.say(made[:, : n + 2], IDS[:n], last=False)
    rest = one.say(made, IDS, last=True)
    assert first is not None and rest is not None
    assert abs(first[0][-1]) <= np.abs(first[0]).max() / FADE and rest[0][0] == 0
    plain = Uttering(MODEL, "fr", least_s=0.02).say(made[:, : n + 2], IDS[:n], last=True)
    assert plain is not None
    assert np.array_equal(plain[0][:-FADE], first[0][:-FADE]) and abs(plain[0][-1]) > abs(first[0][-1])


@pytest.mark.parametrize("seed", range(3))
def test_an_interpreter_says_all_that_it_writes(seed: int) -> None:
    wave = sound(60000, seed)
    voice = Uttering(MODEL, "fr", "ann", least_s=0.1)
    session = Interpreting(MODEL, WaitK(1), "fr", voice=voice, max_tokens=40)
    events = [one for at in range(0, len(wave), 5120) for one in session.hear(wave[at : at + 5120])]
    events += session.finish()
    spoken = [one for one in events if isinstance(one, Uttered)]
    assert "".join(one.text for one in spoken).replace(" ", "") == session.text.replace(" ", "")
    assert all(0 < one.at_s <= 3.75 for one in spoken) and session.text


def test_states_that_may_still_change_are_not_given() -> None:
    wave = sound(40000, 1)
    session = Interpreting(MODEL, WaitK(3), "fr")
    for at in range(0, len(wave), 5120):
        session.hear(wave[at : at + 5120])
    n = len(session.writer.ids)
    assert n > 1
    assert session.writer.states(n - 1).shape == (1, n + 1, MODEL.width)
    with pytest.raises(RequestError, match=f"{n} tokens are written, the last may still change"):
        session.writer.states(n)


def test_who_does_not_speak_says_so() -> None:
    with pytest.raises(RequestError, match="tiny writes, but does not speak"):
        Uttering(listening(), "fr")
    with pytest.raises(RequestError, match="does not speak 'it'"):
        Uttering(MODEL, "it")
