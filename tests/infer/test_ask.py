"""Asking: voice chat and questions, several clips, history, streams and batches, and the ledger of each answer."""

import io
import re

import numpy as np
import pytest
import soundfile
import torch
from models.tiny import noise, tiny_model

from ossicle.audio.clip import Clip
from ossicle.bridge.cif import Cif
from ossicle.bridge.ctc import Ctc
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.errors import AudioInputError, ContextError, FetchError, RequestError
from ossicle.infer.ask import ask, stream
from ossicle.infer.generate import Sampling
from ossicle.infer.requests import Request, ask_all, ask_batch, conversation
from ossicle.infer.transcribe import transcribe
from ossicle.prompt.chat import Message


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_the_ledger_tells_what_was_given_heard_and_spent(model):
    answer = ask(model, noise(1.0), "What is said?", max_tokens=9)
    ledger = answer.ledger
    assert ledger.seconds_given == ledger.seconds_heard == pytest.approx(1.0)
    assert (ledger.tail_s, ledger.frames, ledger.audio_tokens) == (0.0, 50, 25)
    assert ledger.text_tokens == 9 and answer.finish == "length"
    assert ledger.time_to_first_token_s > 0 and ledger.tokens_per_s > 0


def test_a_dropped_tail_stands_in_the_ledger():
    model = tiny_model(bridge=MeanPool(32, 32, k=4, tail="drop", output_norm="rms"))
    ledger = ask(model, noise(1.02), "What is said?", max_tokens=2).ledger  # 51 frames, 12 tokens of 4
    assert (ledger.frames, ledger.audio_tokens) == (51, 12)
    assert ledger.tail_s == pytest.approx(0.06)
    assert ledger.seconds_heard + ledger.tail_s == pytest.approx(ledger.seconds_given)


def test_one_written_token_still_has_a_rate(model):
    ledger = ask(model, noise(0.3), max_tokens=1).ledger
    assert ledger.text_tokens == 1 and ledger.tokens_per_s > 0


def test_clips_of_history_and_turn_are_all_in_the_ledger(model):
    history = (Message("user", (noise(0.5), "One?")), Message("assistant", ("yes",)))
    ledger = ask(model, [noise(1.0), noise(0.2)], "And these?", history=history, max_tokens=2).ledger
    assert ledger.seconds_given == pytest.approx(1.7)
    assert ledger.audio_tokens == 13 + 25 + 5


def test_voice_chat_is_a_turn_of_audio_alone(model):
    clip = noise(0.5)
    assert conversation([clip], None) == (Message("user", (clip,)),)
    spoken = ask(model, clip, max_tokens=8)
    assert spoken.text == ask(model, clip, None, max_tokens=8).text
    assert spoken.ledger.audio_tokens == 13


def test_what_is_heard_changes_the_answer(model):
    clips = [noise(0.8), noise(1.7), Clip(np.zeros(12_800, np.float32), 16_000)]
    answers = {ask(model, clip, "What is said?", max_tokens=12).text for clip in clips}
    assert len(answers) > 1


def test_text_alone_is_answered_too(model):
    ledger = ask(model, [], "Hello?", max_tokens=3).ledger
    assert (ledger.seconds_given, ledger.audio_tokens, ledger.text_tokens) == (0, 0, 3)


@pytest.mark.parametrize("question", [None, ""])
def test_a_turn_of_nothing_is_refused(model, question):
    with pytest.raises(RequestError, match="a turn needs a clip, a question or both") as caught:
        ask(model, [], question)
    assert caught.value.code == "missing_parameter"


def test_a_path_and_bytes_are_read(model, tmp_path):
    clip = noise(0.6)
    path = tmp_path / "noise.wav"
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    want = ask(model, clip, "What?", max_tokens=8).text
    assert ask(model, path, "What?", max_tokens=8).text == want
    assert ask(model, str(path), "What?", max_tokens=8).text == want
    assert ask(model, [path.read_bytes()], "What?", max_tokens=8).text == want
    with pytest.raises(FetchError):
        ask(model, tmp_path / "missing.wav")


def test_the_stream_is_the_answer_in_pieces(model):
    arguments = {"max_tokens": 20, "temperature": 1.2, "top_p": 0.9, "seed": 11, "stop": ["zz"]}
    deltas = list(stream(model, noise(0.8), "What is said?", **arguments))
    want = ask(model, noise(0.8), "What is said?", **arguments)
    assert "".join(delta.text for delta in deltas) == want.text == deltas[-1].answer.text
    assert [delta.answer is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]
    assert deltas[-1].answer.ledger.text_tokens == want.ledger.text_tokens


def test_a_stream_refuses_bad_arguments_at_once(model):
    with pytest.raises(RequestError, match="temperature is 3"):
        stream(model, noise(0.5), temperature=3.0)


def test_batched_equals_alone(model):
    requests = [
        Request(conversation([noise(1.1)], "What is said?"), Sampling(10)),
        Request(conversation([noise(0.3, seed=1), noise(0.4, seed=2)], None), Sampling(5, 1.0, seed=8)),
        Request(conversation([], "Hello?"), Sampling(7)),
    ]
    together = ask_batch(model, requests)
    for request, answer in zip(requests, together, strict=True):
        alone = ask_batch(model, [request])[0]
        assert (answer.text, answer.finish) == (alone.text, alone.finish)
        keys = ("seconds_given", "seconds_heard", "tail_s", "frames", "audio_tokens", "text_tokens")
        assert [getattr(answer.ledger, key) for key in keys] == [getattr(alone.ledger, key) for key in keys]
    assert ask_batch(model, []) == []


def test_text_over_the_context_is_refused_with_the_numbers(model):
    with pytest.raises(
        ContextError, match=r"the prompt needs \d+ tokens \(2\d\d of them audio, 10.0 s .* but tiny reads 400"
    ):
        ask(model, noise(10.0), "What is said?", max_tokens=140)


def test_audio_that_cannot_fit_is_refused_before_it_is_heard(model):
    class Deaf(type(model)):
        def hear(self, clips):
            raise AssertionError("was heard")

    deaf = tiny_model()
    deaf.__class__ = Deaf
    with pytest.raises(ContextError, match=r"\(500 of them audio, 20.0 s at 25 per second, .*but tiny reads 400"):
        ask(deaf, noise(20.0), max_tokens=10)


@pytest.mark.parametrize(
    ("bridge", "least", "most"),  # of 10 windows or a few more, cut where it is quiet
    [
        (Ctc(32, 32, letters=5, k=2), 10, 15),
        (Cif(32, 32, k=25), 20, 80),
        (Matryoshka(32, 32, k=2, hidden=8).at(25), 40, 55),
    ],
    ids=["ctc", "cif", "matryoshka"],
)
def test_what_could_have_been_too_much_is_heard_and_counted(bridge, least, most):
    """1000 frames may give more tokens than the context of 400 holds; what counts is how many they give."""
    model, clip, data = tiny_model(bridge=bridge.eval()), noise(20.0), io.BytesIO()
    assert bridge.max_tokens(1000) > model.context
    soundfile.write(data, clip.samples, clip.rate, format="WAV")
    for sound in (clip, data.getvalue()):
        assert least <= ask(model, sound, max_tokens=1).ledger.audio_tokens <= most


def test_a_variable_rate_that_is_too_high_is_refused_after_it_was_heard():
    bridge = Cif(32, 32, k=2).eval()
    with torch.no_grad():
        bridge.weight.bias.fill_(9)  # every frame is a token
    with pytest.raises(ContextError, match=r"\(10\d\d of them audio, 20.0 s at 50.* per second, .*but tiny reads 400"):
        ask(tiny_model(bridge=bridge), noise(20.0), max_tokens=10)


def test_any_rate_is_heard_for_as_long_as_it_is(model):
    for rate in (8_000, 22_050, 48_000):
        ledger = ask(model, noise(0.7, rate=rate), max_tokens=1).ledger
        assert abs(ledger.seconds_given - 0.7) < 0.001 and abs(ledger.seconds_heard - 0.7) < 0.05


def test_a_file_object_of_encoded_audio_is_read_by_read_clip_first(model):
    data = io.BytesIO()
    soundfile.write(data, np.zeros(8000, np.float32), 16_000, format="WAV")
    assert ask(model, data.getvalue(), max_tokens=1).ledger.seconds_given == 0.5


@pytest.mark.parametrize("call", [ask, transcribe])
def test_an_array_says_nothing_of_its_rate(model, call):
    with pytest.raises(RequestError, match="an array says nothing of its sample rate") as caught:
        call(model, np.zeros(44_100, np.float32))
    assert caught.value.code == "missing_parameter"


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "audio_not_finite"), (np.inf, "audio_not_finite"), (1e30, "audio_out_of_range")]
)
def test_numbers_that_are_no_sound_are_not_heard(model, value, code):
    for call in (ask, transcribe):
        with pytest.raises(AudioInputError) as caught:
            call(model, Clip(np.full(16_000, value, np.float32), 16_000))
        assert caught.value.code == code


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind_are_one_source(model, kind):
    data = io.BytesIO()
    soundfile.write(data, np.zeros(8000, np.float32), 16_000, format="WAV")
    assert ask(model, kind(data.getvalue()), max_tokens=1).ledger.seconds_given == 0.5


@pytest.mark.parametrize("history", [[("user", "x")], Message("user", ("x",)), None])
def test_history_is_made_of_messages(model, history):
    with pytest.raises(RequestError, match="history holds Message objects"):
        ask(model, noise(0.3), history=history)


def test_one_stop_string_alone_is_not_read_as_its_letters(model):
    for call in (ask, stream):
        with pytest.raises(RequestError, match="stop is 'aei ', wanted are strings in a list"):
            call(model, noise(0.3), stop="aei ")


def test_a_clip_of_the_length_that_the_error_names_is_heard(model):
    data = io.BytesIO()
    soundfile.write(data, noise(30.0).samples, 16_000, format="WAV")
    for sound in (data.getvalue(), noise(30.0)):
        with pytest.raises(ContextError) as caught:
            ask(model, sound, "What is said?", max_tokens=20)
        advice = re.search(r"shorten the clip to ([0-9.]+) s", str(caught.value))
        assert advice is not None and float(advice[1]) > 10
        assert ask(model, noise(float(advice[1])), "What is said?", max_tokens=20).finish


def test_a_file_is_refused_for_what_its_frames_cost_not_by_a_mean_rate():
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    bridge = QFormer(32, 32, queries=64, hidden=16, layers=1, heads=2)
    model = tiny_model(encoder=W2vBertEncoder(sizes, max_s=60.0), bridge=bridge, context=120)
    data = io.BytesIO()
    soundfile.write(data, noise(59.0).samples, 16_000, format="WAV")
    assert bridge.expected_hz(50.0) * 59 > model.context
    assert ask(model, data.getvalue(), "Who?", max_tokens=2).ledger.audio_tokens == 64


def test_many_requests_are_answered_in_batches_of_like_length_and_come_in_their_order(model):
    seconds = (1.3, 0.3, 0.9, 0.2, 1.1)
    requests = [Request(conversation([noise(s, seed=i)], "What?"), Sampling(4)) for i, s in enumerate(seconds)]
    alone = [ask_batch(model, [request])[0] for request in requests]
    for batch in (1, 2, 8):
        answers = ask_all(model, requests, batch=batch)
        assert [one.text for one in answers] == [one.text for one in alone]
        assert [one.ledger.audio_tokens for one in answers] == [one.ledger.audio_tokens for one in alone]
    assert ask_all(model, []) == []
    with pytest.raises(RequestError, match="batch is 0, allowed is 1 or more"):
        ask_all(model, requests, batch=0)
