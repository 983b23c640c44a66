"""Transcription of any length: every sample in one window, each window as if it were asked alone."""

import time
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny import ENCODER, noise, tiny_model

from ossicle.audio.clip import Clip
from ossicle.audio.windows import split
from ossicle.data.manifest import TRANSCRIBE
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import AudioInputError, ContextError, RequestError
from ossicle.infer.ask import ask
from ossicle.infer.transcribe import WINDOW_S, transcribe
from ossicle.world.questions import TRANSCRIBE as PHRASINGS

MODEL = tiny_model()


def test_the_question_is_one_that_the_world_teaches():
    assert TRANSCRIBE in PHRASINGS


def test_each_window_is_asked_by_itself_and_the_texts_are_joined():
    clip = noise(3 * WINDOW_S + 1.5)
    result = transcribe(MODEL, clip, max_tokens=6)
    windows = split(clip, WINDOW_S)
    texts = [ask(MODEL, window, TRANSCRIBE, max_tokens=6).text.strip() for window in windows]
    assert [segment.text for segment in result.segments] == texts
    assert result.text == " ".join(filter(None, texts))
    assert len(windows) >= 4


def test_a_file_is_read_as_it_goes_and_cut_where_the_clip_would_be(tmp_path):
    clip = noise(21.0)
    path = tmp_path / "noise.wav"
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    whole = transcribe(MODEL, clip, max_tokens=4)
    for source in (path, path.read_bytes(), path.open("rb")):
        assert transcribe(MODEL, source, max_tokens=4).segments == whole.segments


def test_more_windows_than_a_group_are_all_written():
    result = transcribe(MODEL, noise(9 * WINDOW_S), max_tokens=1)
    assert len(result.segments) >= 9 and result.ledger.text_tokens == len(result.segments)


@settings(deadline=None, max_examples=10)
@given(st.integers(1300, 400_000), st.sampled_from([16_000, 44_100]))
def test_segments_cover_the_clip_without_a_hole_and_the_ledger_says_so(n_samples, rate):
    clip = Clip(noise(n_samples / rate, rate=rate).samples[:n_samples], rate)
    result = transcribe(MODEL, clip, max_tokens=1)
    edges = [(segment.start_s, segment.end_s) for segment in result.segments]
    assert edges[0][0] == 0 and edges[-1][1] == pytest.approx(clip.duration_s)
    assert all(before[1] == pytest.approx(after[0]) for before, after in pairwise(edges))
    assert result.ledger.seconds_given == pytest.approx(clip.duration_s)
    assert abs(result.ledger.seconds_heard - clip.duration_s) < 0.05


def test_a_clip_that_was_cut_from_a_source_keeps_its_times():
    clip = Clip(noise(1.0).samples, 16_000, start_s=7.5)
    (segment,) = transcribe(MODEL, clip, max_tokens=1).segments
    assert (segment.start_s, segment.end_s) == (7.5, 8.5)


def test_a_clip_of_no_samples_is_refused():
    with pytest.raises(AudioInputError, match="the clip holds no samples") as caught:
        transcribe(MODEL, Clip(np.zeros(0, np.float32), 16_000))
    assert caught.value.code == "audio_empty"


class Slow(WhisperEncoder):
    """Takes its time to hear."""

    def forward(self, features):
        time.sleep(0.3)
        return super().forward(features)


def test_the_time_to_the_first_token_includes_hearing():
    assert transcribe(tiny_model(encoder=Slow(ENCODER)), noise(1.0), max_tokens=1).ledger.time_to_first_token_s >= 0.3


def test_a_language_that_the_model_does_not_know_is_refused():
    assert transcribe(MODEL, noise(0.3), language="en", max_tokens=1).segments
    with pytest.raises(RequestError, match="the language 'xx' is not supported, allowed are en") as caught:
        transcribe(MODEL, noise(0.3), language="xx")
    assert caught.value.code == "unsupported_language"


def test_settings_reach_the_windows():
    with pytest.raises(RequestError, match="temperature is 9"):
        transcribe(MODEL, noise(0.3), temperature=9.0)
    with pytest.raises(ContextError, match="but tiny reads 400"):
        transcribe(MODEL, noise(0.3), max_tokens=400)
    texts = {transcribe(MODEL, noise(0.5), temperature=1.5, seed=seed, max_tokens=8).text for seed in range(3)}
    assert len(texts) > 1
