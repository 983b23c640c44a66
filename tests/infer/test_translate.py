"""Translation of any length: each piece and sentence as if it came alone, every sample heard once, pauses kept."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny import tiny_model
from torch import nn
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import (
    SeamlessM4Tv2TextToUnitForConditionalGeneration,
)
from translate.small import LETTERS, tiny
from translate.tiny import louden

from ossicle.audio.clip import Clip
from ossicle.audio.pauses import pieces
from ossicle.errors import AudioInputError, RequestError
from ossicle.infer.transcribe import GROUP
from ossicle.infer.translate import SENTENCE_PAUSE_S, WINDOW_S, Voice, say, translate
from ossicle.translate.search import search
from ossicle.translate.speaking import speak_ids
from ossicle.translate.text import BLANK
from ossicle.translate.unit_decoder import UnitDecoder

RATE = 16_000
LEDGER_OF_NO_SOUND = {"seconds_given": 0, "seconds_heard": 0, "tail_s": 0, "frames": 0, "audio_tokens": 0}


class Humming(nn.Module):
    """Says every unit as 320 samples of a hum, which differs from unit to unit and has no quiet edge."""

    def __init__(self):
        super().__init__()
        self.languages, self.speakers, self.n_units = ("en", "fr"), {"ann": 0, "bob": 1}, 20

    def default_speaker(self, language):
        return self.languages.index(language)

    def speaker_row(self, who, language):
        if who is None:
            return self.default_speaker(language)
        if who not in self.speakers:
            raise RequestError(f"no speaker {who!r}")
        return self.speakers[who]

    def forward(self, units, lengths, *, languages, speakers):
        wave = torch.sin(torch.arange(320) * (2 * torch.pi * 5 / 320))
        valid = torch.arange(units.shape[1])[None] < lengths[:, None]
        loud = torch.where(valid, 0.2 + 0.01 * units, torch.tensor(0.0))
        return (loud[..., None] * wave).flatten(1)


def writing():
    """A tiny translator that writes letters, others for each source."""
    model = tiny()
    louden(model, size=0.3)
    with torch.no_grad():
        model.shared.weight *= 0.02  # a letter does not write itself again and again
        model.shared.weight[[0, 1, 2, 4, 5, 6]] *= 0.05  # what says nothing is hardly written
        for layer in model.text_decoder.layers:
            layer.cross_attention.out_proj.weight *= 4.0
    return model


def talking():
    """The same with the voices of English and French."""
    model = writing()
    torch.manual_seed(3)
    t2u = SeamlessM4Tv2TextToUnitForConditionalGeneration(model.settings)
    model.unit_decoder = UnitDecoder(t2u, letters={one: i + 4 for i, one in enumerate((BLANK, *LETTERS))})
    with torch.no_grad():
        t2u.model.decoder.duration_predictor.proj.bias.fill_(1.2)
    model.vocoder = Humming()
    return model.eval()


MUTE, MODEL = writing(), talking()


def talk(*seconds, rate=RATE, seed=0):
    """Noise and silence in turn, of so many seconds each."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.normal(scale=0.1 if i % 2 == 0 else 0.0, size=round(one * rate)).astype(np.float32)
        for i, one in enumerate(seconds)
    ]
    return Clip(np.concatenate(parts), rate)


def test_each_piece_is_translated_as_if_it_came_alone():
    clip = talk(2.0, 0.5, 3.0, 2.0, 1.0, 0.6, *[1.0, 0.6] * GROUP)
    result = translate(MODEL, clip, to="fr", max_tokens=8)
    found = list(pieces([clip], WINDOW_S))
    assert len(found) > GROUP and any(piece.quiet for piece in found)
    for piece, segment in zip(found, result.segments, strict=True):
        assert (segment.start_s, segment.end_s) == (piece.clip.start_s, piece.clip.end_s)
        if piece.quiet:
            assert (segment.text, segment.finish) == ("", "quiet")
            continue
        heard = MODEL.hear(MODEL.features([piece.clip]))
        one = search(MODEL, heard, ["fr"], max_tokens=8)[0][0]
        assert segment.text == MODEL.text.decode(one.ids).strip()
        assert segment.finish == ("end" if one.whole else "length")
    assert result.text == " ".join(segment.text for segment in result.segments if segment.text) != ""
    assert result.audio is None and all(segment.spoken_s is None for segment in result.segments)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.floats(0.1, 6.0), min_size=1, max_size=5), st.sampled_from([RATE, 44_100]))
def test_every_sample_is_heard_once_and_the_ledger_says_so(seconds, rate):
    clip = talk(*seconds, rate=rate)
    result = translate(MUTE, clip, to="de", max_tokens=1)
    edges = [(segment.start_s, segment.end_s) for segment in result.segments]
    assert edges[0][0] == 0 and edges[-1][1] == pytest.approx(clip.duration_s)
    assert all(before[1] == pytest.approx(after[0]) for before, after in pairwise(edges))
    ledger = result.ledger
    assert ledger.seconds_given == pytest.approx(clip.duration_s) and ledger.seconds_heard == ledger.seconds_given
    assert ledger.tail_s == 0 and ledger.frames >= 50 * clip.duration_s - 1
    quiet_s = sum(segment.end_s - segment.start_s for segment in result.segments if segment.finish == "quiet")
    assert ledger.seconds_dropped == pytest.approx(quiet_s)
    assert ledger.text_tokens == sum(segment.finish != "quiet" for segment in result.segments)


def test_a_long_talk_is_heard_whole_from_a_file(tmp_path):
    path, clip = tmp_path / "talk.wav", talk(*[7.3, 1.4] * 20)
    soundfile.write(path, clip.samples, clip.rate, subtype="FLOAT")
    whole = translate(MUTE, clip, to="fr", max_tokens=2)
    for source in (path, path.read_bytes(), path.open("rb")):
        assert translate(MUTE, source, to="fr", max_tokens=2).segments == whole.segments
    assert whole.ledger.seconds_heard == whole.ledger.seconds_given == pytest.approx(174.0)
    assert len(whole.segments) >= 40 and whole.ledger.time_to_first_token_s > 0 and whole.ledger.tokens_per_s > 0


def test_silence_gives_no_text_and_no_samples():
    result = translate(MODEL, talk(0.0, 30.0), to="fr", speak=True)
    assert (result.text, result.audio.n_samples, result.ledger.text_tokens) == ("", 0, 0)
    assert {segment.finish for segment in result.segments} == {"quiet"}
    assert result.ledger.seconds_heard == result.ledger.seconds_dropped == pytest.approx(30.0)


def test_pauses_of_the_source_stand_in_the_speech():
    pauses = (0.6, 1.0, 2.5)
    clip = talk(1.2, pauses[0], 2.0, pauses[1], 1.5, pauses[2], 2.0, 3.0)
    result = translate(MODEL, clip, to="fr", speak=True, max_tokens=6)
    spoken = [segment.spoken_s for segment in result.segments if segment.spoken_s is not None]
    assert len(spoken) == 4 and spoken[0][0] == 0 and spoken[-1][1] == pytest.approx(result.audio.duration_s)
    for (before, after), pause in zip(pairwise(spoken), pauses, strict=True):
        assert after[0] - before[1] == pytest.approx(pause, rel=0.2)
        between = result.audio.cut(before[1] + 0.02, after[0] - 0.02).samples
        assert not between.any()
    assert all(segment.text for segment in result.segments if segment.spoken_s is not None)


def test_quiet_at_the_edges_of_speech_is_part_of_the_pause():
    voice, hum = Voice(RATE), 0.3 * np.sin(np.arange(RATE) * 0.2).astype(np.float32)
    still = np.zeros(RATE // 4, np.float32)
    voice.say(np.concatenate([still, hum, still]), 9.0)
    begins, _ = voice.say(np.concatenate([still, hum]), 1.0)
    assert begins - 1.5 == pytest.approx(0.5, abs=0.06)
    begins, ends = voice.say(hum, 0.0)
    assert (begins, ends) == (voice.n_samples / RATE - 1, voice.clip().duration_s)


def test_what_is_spoken_is_what_is_written_in_this_voice():
    clip = talk(2.0)
    result = translate(MODEL, clip, to="fr", speak=True, max_tokens=6, speaker="bob", pace=0.5)
    heard = MODEL.hear(MODEL.features([clip]))
    ids = [search(MODEL, heard, ["fr"], max_tokens=6)[0][0].ids]
    speech = speak_ids(MODEL, heard, ids, ["fr"], speakers=["bob"], pace=0.5)
    assert np.allclose(result.audio.samples, speech.samples[0, : speech.lengths[0]].numpy(), atol=1e-5)
    assert result.audio.n_samples % 320 == 0 and result.audio.rate == RATE
    quicker = translate(MODEL, clip, to="fr", speak=True, max_tokens=6, pace=1.0)
    assert quicker.text == result.text and quicker.audio.n_samples < result.audio.n_samples


class Noting:
    """Tokens that note which languages are written in."""

    def __init__(self, text):
        self.text, self.noted = text, []

    def __getattr__(self, name):
        return getattr(self.text, name)

    def prefix(self, language):
        self.noted.append(language)
        return self.text.prefix(language)


def test_every_piece_is_written_in_the_language_that_was_asked_for():
    model = talking()
    model.text = Noting(model.text)
    translate(model, talk(1.0, 0.6, 1.0), to="fr", source_language="de", speak=True, max_tokens=4)
    assert model.text.noted == ["fr"] * 4  # written, then read once more to be spoken


def test_the_first_token_is_there_before_the_last_and_before_speech(monkeypatch):
    now = iter(range(1, 10_000))
    monkeypatch.setattr("ossicle.infer.translate.time.perf_counter", lambda: float(next(now)))
    result = translate(MODEL, talk(2.0, 0.5, 3.0), to="fr", max_tokens=8, speak=True)
    assert result.ledger.time_to_first_token_s == 1.0  # the clock is asked once between the begin and the first token


def test_beams_are_those_of_the_search():
    clip = talk(2.0)
    heard = MODEL.hear(MODEL.features([clip]))
    best = search(MODEL, heard, ["en"], beams=3, max_tokens=8)[0][0]
    assert translate(MODEL, clip, to="en", beams=3, max_tokens=8).text == MODEL.text.decode(best.ids).strip()


def test_a_text_is_translated_sentence_by_sentence():
    text = "ab cd! ef?\n\n" + "gh ij? " * GROUP
    result = translate(MODEL, text, to="fr", source_language="en", max_tokens=8)
    assert [one.source for one in result.segments] == ["ab cd!", "ef?", *["gh ij?"] * GROUP]
    for segment in result.segments[:3]:
        alone = translate(MODEL, segment.source, to="fr", source_language="en", max_tokens=8)
        assert (alone.text, alone.segments[0].finish) == (segment.text, segment.finish)
        encoded = MODEL.read([MODEL.text.encode(segment.source, "en")])
        assert segment.text == MODEL.text.decode(search(MODEL, encoded, ["fr"], max_tokens=8)[0][0].ids).strip()
    first, blank, second = result.text.split("\n")
    assert blank == "" and first == " ".join(filter(None, [one.text for one in result.segments[:2]])) and second
    assert {key: getattr(result.ledger, key) for key in LEDGER_OF_NO_SOUND} == LEDGER_OF_NO_SOUND
    assert 0 < result.ledger.text_tokens <= 8 * len(result.segments)
    assert all((one.start_s, one.end_s, one.spoken_s) == (0, 0, None) for one in result.segments)


def test_a_sentence_that_is_too_long_is_read_in_parts():
    result = translate(MUTE, "abcd efgh, " * 20, to="fr", source_language="en", max_tokens=4)
    assert len(result.segments) >= 4
    assert "".join(one.source.replace(" ", "") for one in result.segments) == "abcdefgh," * 20
    assert max(len(MUTE.text.tokens(one.source)) for one in result.segments) <= 42  # two thirds of 62 positions


def test_a_text_in_its_own_language_is_itself_and_is_said_exactly():
    text = "ab cd? ef gh?"
    result = translate(MODEL, text, to="en", source_language="en", speak=True)
    assert result.text == text and result.ledger.text_tokens == 0
    assert np.array_equal(say(MODEL, text, language="en").samples, result.audio.samples)
    (first, second) = (segment.spoken_s for segment in result.segments)
    assert second[0] - first[1] == pytest.approx(SENTENCE_PAUSE_S, abs=0.03)
    assert [(one.start_s, one.end_s) for one in result.segments] == [first, second]
    encoded = MODEL.read([MODEL.text.encode("ab cd?", "en")])
    speech = speak_ids(MODEL, encoded, [MODEL.text.tokens("ab cd?")], ["en"])
    assert first == (0.0, int(speech.lengths[0]) / RATE)
    without = translate(MUTE, text, to="en", source_language="en")
    assert (without.text, without.audio) == (text, None)
    assert say(MODEL, text, language="en", speaker="bob", pace=0.5).n_samples > result.audio.n_samples


def test_what_has_no_token_is_left_out_and_told():
    text = "It is 5 o\u2019clock! 7? 88 \u4f60. ab"
    result = translate(MODEL, text, to="fr", source_language="en", max_tokens=8)
    assert [(one.source, one.unread) for one in result.segments] == [
        ("It is 5 o\u2019clock!", "5\u2019"),
        ("7?", "7"),
        ("88 \u4f60. ab", "8\u4f60"),
    ]
    assert result.segments[1].finish == "unread" and result.segments[1].text == ""
    for i, plain in ((0, "it is oclock."), (2, ". ab")):
        alone = translate(MODEL, plain, to="fr", source_language="en", max_tokens=8)
        assert (alone.text, alone.segments[0].finish) == (result.segments[i].text, result.segments[i].finish)
    said = translate(MODEL, text, to="en", source_language="en", speak=True)
    assert said.text == text and [one.unread for one in said.segments] == ["5\u2019", "7", "8\u4f60"]
    alone = say(MODEL, "it is oclock.", language="en")
    assert np.array_equal(said.audio.samples[: alone.n_samples], alone.samples)


def test_a_sentence_of_which_nothing_can_be_read_is_nothing_among_others():
    result = translate(MODEL, "ab cd. 55\nef", to="fr", source_language="en", max_tokens=8, speak=True)
    assert [(one.finish == "unread", one.unread) for one in result.segments] == [(False, ""), (True, "5"), (False, "")]
    assert (result.segments[1].text, result.segments[1].spoken_s) == ("", None)
    alone = translate(MODEL, "ef", to="fr", source_language="en", max_tokens=8, speak=True)
    assert result.segments[2].text == alone.text
    begin, end = (round(one * RATE) for one in result.segments[2].spoken_s)
    assert np.array_equal(result.audio.samples[begin:end], alone.audio.samples)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"source": "a b"}, "missing_parameter", "a text needs source_language, one of en, fr, de$"),
        (
            {"source": "a b", "source_language": "xx"},
            "unsupported_language",
            "'xx' is not supported, allowed are en, fr",
        ),
        ({"to": "xx"}, "unsupported_language", "'xx' is not supported, allowed are en, fr, de"),
        ({"source_language": "xx"}, "unsupported_language", "'xx' is not supported"),
        ({"source": " \n", "source_language": "en"}, "invalid_value", "there is no text: it is empty or blank"),
        ({"speak": True, "to": "de"}, "unsupported_language", "tiny does not speak 'de': it speaks en, fr"),
        ({"speak": True, "pace": 0.0}, "invalid_value", "the pace is 0: it is from 0.1 to 10, 1 as"),
        ({"speak": True, "pace": 1e-3}, "invalid_value", "the pace is 0.001: it is from 0.1 to 10"),
        ({"speak": True, "pace": 11.0}, "invalid_value", "the pace is 11: it is from 0.1 to 10"),
        ({"speak": True, "pace": float("nan")}, "invalid_value", "the pace is nan: it is from 0.1 to 10"),
        ({"speak": True, "speaker": "eve"}, "invalid_value", "no speaker 'eve'"),
        ({"source": "5 & 7", "source_language": "en"}, "invalid_value", "nothing of the text .* no token for 5 & 7$"),
        ({"model": MUTE, "speak": True}, "invalid_value", "tiny writes, but does not speak"),
        ({"source": np.zeros(9, np.float32)}, "missing_parameter", "an array says nothing of its sample rate"),
        ({"beams": 0}, "invalid_value", "beams is 0"),
        ({"max_tokens": 999}, "invalid_value", "max_tokens is 999"),
    ],
)
def test_what_cannot_be_done_is_told(arguments, code, message):
    given = {"model": MODEL, "source": talk(0.5), "to": "fr"} | arguments
    with pytest.raises(RequestError, match=message) as caught:
        translate(given.pop("model"), given.pop("source"), **given)
    assert caught.value.code == code


def test_a_path_that_is_given_as_a_string_is_told(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(b"")
    with pytest.raises(RequestError, match=r"for the file of that name give Path\('.*talk\.wav'\)"):
        translate(MODEL, str(path), to="fr")


def test_a_model_that_is_no_translator_is_told():
    with pytest.raises(RequestError, match="tiny is an AudioLM, which answers questions about sound"):
        translate(tiny_model(), "a", to="fr", source_language="en")


def test_a_clip_of_nothing_is_refused():
    with pytest.raises(AudioInputError, match="the clip holds no samples"):
        translate(MODEL, Clip(np.zeros(0, np.float32), RATE), to="fr")
