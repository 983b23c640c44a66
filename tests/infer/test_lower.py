"""Lower rates: all of a long source in the context, merged or by a Matryoshka bridge, and told."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from models.tiny import noise, tiny_model

from ossicle.audio.clip import Clip
from ossicle.bridge.cif import Cif
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.errors import ContextError, RequestError
from ossicle.infer.ask import ask
from ossicle.infer.lower import LEAST_HZ, at_rate, lowered, merged, n_native
from ossicle.infer.memory import Memory
from ossicle.infer.transcribe import transcribe
from ossicle.prompt.chat import Message
from ossicle.tensors import length_mask

MODEL = tiny_model()  # 25 tokens a second, 400 read
NESTED = tiny_model(bridge=Matryoshka(32, 32, k=2, hidden=16))


def test_what_fits_is_read_as_it_is():
    heard, told = lowered(MODEL, noise(1.9), 48)
    assert told == "" and len(heard.values) == 48
    torch.testing.assert_close(heard.values, MODEL.hear([noise(1.9)])[0].values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("room", [749, 400, 90])
def test_merging_gives_no_more_tokens_than_there_is_room_and_covers_every_second(room):
    heard, told = lowered(MODEL, noise(30.0), room)
    assert room - 2 <= len(heard.values) <= room and "merged" in told and "instead of 25" in told
    assert heard.seconds_heard == pytest.approx(30.0)
    edges = heard.spans_s
    assert float(edges[0, 0]) == 0 and float(edges[-1, 1]) == pytest.approx(30.0)
    torch.testing.assert_close(edges[1:, 0], edges[:-1, 1])


def test_tokens_that_are_alike_become_their_mean():
    (heard,) = MODEL.hear([noise(1.0)])
    heard.values[3] = heard.values[4] = heard.values[5]
    found = merged(heard, 23)
    assert len(found.values) == 23
    torch.testing.assert_close(found.values[3], heard.values[3])
    assert found.spans_s[3].tolist() == [heard.spans_s[3, 0], heard.spans_s[5, 1]]
    others = [i for i in range(25) if i not in (4, 5)]
    torch.testing.assert_close(found.values, heard.values[others])


def test_a_matryoshka_bridge_is_told_a_rate_instead():
    heard, told = lowered(NESTED, noise(20.0), 120)
    assert told == "read at 5.56 audio tokens a second instead of 25.2 (Matryoshka)"
    assert len(heard.values) <= 120
    slower = at_rate(NESTED, 50 / 9)
    torch.testing.assert_close(heard.values, slower.hear([noise(20.0)])[0].values, rtol=0, atol=1e-5)
    assert NESTED.bridge.k == 2, "the model itself stays as it is"


def test_too_long_is_too_long():
    with pytest.raises(
        ContextError, match=r"30\.0 s of audio cannot be lowered to the 50 tokens that tiny has room for"
    ):
        lowered(MODEL, noise(30.0), 50)
    with pytest.raises(ContextError, match=rf"below {LEAST_HZ:g} a second; give at most 25 s, or retrieve"):
        lowered(NESTED, noise(30.0), 50)
    with pytest.raises(ContextError, match="to the 0 tokens"):
        lowered(MODEL, noise(30.0), -5)


def test_asking_with_a_lower_rate_tells_so_in_answer_and_ledger(tmp_path):
    clip = noise(30.0)
    with pytest.raises(
        ContextError, match="or say what to do with long audio: retrieve passages of it, or lower its rate"
    ):
        ask(MODEL, clip, "What?", max_tokens=5)
    answer = ask(MODEL, clip, "What?", long="lower", max_tokens=5)
    assert answer.ledger.seconds_merged == answer.ledger.seconds_heard == pytest.approx(30.0)
    assert answer.ledger.audio_tokens <= 400 and answer.note.endswith("(neighbours that are alike were merged)")
    path = tmp_path / "noise.wav"
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    for source in (path, path.read_bytes(), path.open("rb"), io.BytesIO(path.read_bytes())):
        assert ask(MODEL, source, "What?", long="lower", max_tokens=5).text == answer.text
    short = ask(MODEL, noise(1.0), "What?", long="lower", max_tokens=5)
    assert short.note == "" and short.ledger.seconds_merged == 0
    assert short.text == ask(MODEL, noise(1.0), "What?", max_tokens=5).text
    with pytest.raises(RequestError, match="long='lower' is for one source, got 2"):
        ask(MODEL, [clip, clip], "What?", long="lower")


class Many(Cif):
    """Expects a token of every tenth frame, and gives one of every frame or of few."""

    def __init__(self, every: int) -> None:
        super().__init__(32, 32, k=10)
        self.every = every

    def weights(self, frames):
        return length_mask(frames.lengths, frames.values.shape[1]).double() / self.every


def test_where_no_rate_is_fixed_what_was_heard_decides():
    more, fewer = tiny_model(bridge=Many(1)), tiny_model(bridge=Many(50))
    heard, told = lowered(more, noise(15.0), 200)  # expected are 75, heard 750
    assert 198 <= len(heard.values) <= 200 and "audio tokens a second instead of 50.1 (" in told
    assert heard.seconds_heard == pytest.approx(15.0)
    heard, told = lowered(fewer, noise(15.0), 20)  # expected are 75, heard one a window of 1 s or so
    assert len(heard.values) <= 20 and told == ""
    answer = ask(more, noise(15.0), "What?", long="lower", max_tokens=5)
    assert answer.ledger.seconds_merged == pytest.approx(15.0)


def test_what_is_merged_leaves_room_for_clips_of_the_history_and_is_told_apart_from_them():
    history = (Message("user", (noise(1.0, seed=3), "Hello")), Message("assistant", ("Hi",)))
    answer = ask(MODEL, noise(30.0), "What?", long="lower", history=history, max_tokens=5)
    assert answer.ledger.seconds_merged == pytest.approx(30.0)
    assert answer.ledger.seconds_given == answer.ledger.seconds_heard == pytest.approx(31.0)
    short = ask(MODEL, noise(2.0), "What?", long="lower", history=history, max_tokens=5)
    assert short == replace(ask(MODEL, noise(2.0), "What?", history=history, max_tokens=5), ledger=short.ledger)


def test_a_short_clip_is_not_heard_again_by_a_memory_whatever_the_way():
    memory = Memory(MODEL)
    for long in ("refuse", "lower", "retrieve"):
        ask(MODEL, noise(1.0), "What?", long=long, memory=memory, max_tokens=2)
    assert memory.n_clips == 1


def test_a_text_that_leaves_no_room_is_told_as_such_whatever_is_done_with_the_audio():
    with pytest.raises(ContextError, match="shorten the text or the history, or ask for fewer tokens"):
        ask(MODEL, noise(30.0), "What?", long="lower", max_tokens=400)


def test_a_text_file_is_refused_as_such(tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(0.5).samples, 16_000)
    with path.open("r") as file, pytest.raises(RequestError, match="open a text file in binary mode"):
        ask(MODEL, file, "What?", long="lower")


def test_rates_that_a_bridge_does_not_serve_are_refused():
    assert len(at_rate(NESTED, 6.25).hear([noise(1.0)])[0].values) == 7
    with pytest.raises(RequestError, match="the bridge of tiny is a MeanPool, which serves one rate"):
        at_rate(MODEL, 6.25)
    with pytest.raises(RequestError, match="30 audio tokens a second are not served: tiny serves 2 to 25"):
        at_rate(NESTED, 30.0)
    assert transcribe(at_rate(NESTED, 5.0), noise(2.0), max_tokens=2).ledger.audio_tokens == 10


def test_the_native_count_is_what_is_heard_and_what_is_expected_where_no_rate_is_fixed():
    clip = Clip(np.tile(noise(4.1).samples, 3), 16_000)
    assert n_native(MODEL, clip) == len(MODEL.hear([clip])[0].values)
    assert n_native(tiny_model(bridge=Cif(32, 32, k=4)), noise(2.0)) == 25
