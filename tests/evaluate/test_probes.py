"""Probes: what is in the vectors is found, what is not is not, and a loss is laid at the right part's door."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from models.tiny import ENCODER, noise, tiny_model
from torch import nn

from ossicle.audio.clip import Clip
from ossicle.bridge.cif import Cif
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import BridgeError, EncoderError, LimitError, RequestError
from ossicle.evaluate.labelled import PROBES, VOICES, Labelled, label_at, labelled, scenes
from ossicle.evaluate.metrics import Difference
from ossicle.evaluate.probes import Sides, _read, judged, mean_over, probe, sides_of, verdict
from ossicle.world.grammar import split_of
from ossicle.world.parts import Event, Speech
from ossicle.world.tasks import TASKS

WIDTH, N_PHONES, RATE_HZ, FRAMES_A_PHONE, K = 24, 6, 50.0, 8, 4
SILENCE = Clip(np.zeros(160, np.float32), 16_000)


def clip_of(events):
    return Labelled(SILENCE, events, "", ())


def hearing(bridge=None):
    """A tiny model that reads clips of up to 8 s."""
    torch.manual_seed(0)
    return tiny_model(encoder=WhisperEncoder(replace(ENCODER, max_frames=400)), bridge=bridge)


class Made:
    """Clips whose frames are made up: each of 8 frames the same phone, and per clip one speaker."""

    def __init__(self, n, *, seed, told=3.0, n_runs=12):
        rng = torch.Generator().manual_seed(seed)
        ways = torch.Generator().manual_seed(99)  # the same for every part
        phones, voices = (torch.randn(N_PHONES, WIDTH, generator=ways) for _ in range(2))
        self.items, self.frames = [], []
        for i in range(n):
            names = torch.randint(N_PHONES, (n_runs,), generator=rng)
            values = told * (phones[names] + voices[i % N_PHONES]).repeat_interleave(FRAMES_A_PHONE, dim=0)
            self.frames.append(values + torch.randn(len(values), WIDTH, generator=rng))
            edges = [j * FRAMES_A_PHONE / RATE_HZ for j in range(n_runs + 1)]
            events = [Event(edges[j], edges[j + 1], "phone", str(int(name))) for j, name in enumerate(names)]
            self.items.append(Labelled(SILENCE, tuple(events), f"voice {i % N_PHONES}", ()))

    def through(self, bridge):
        """Both sides of each clip, for a bridge that is a function of K-frame means."""
        sides = []
        for values in self.frames:
            at = torch.arange(len(values) + 1, dtype=torch.float64) / RATE_HZ
            spans, tokens = torch.stack([at[:-1], at[1:]], dim=1), torch.stack([at[:-K:K], at[K::K]], dim=1)
            means = values.view(-1, K, WIDTH).mean(dim=1)
            sides.append(Sides(values, spans, bridge(means), tokens, float(at[-1])))
        return self.items, sides


def found_by(name, bridge, *, told=3.0):
    return judged(
        PROBES[name], Made(60, seed=1, told=told).through(bridge), Made(48, seed=2, told=told).through(bridge)
    )


def halved(means):
    """A bridge that zeroes all but two numbers of each token."""
    return torch.cat([means[:, :2], torch.zeros(len(means), WIDTH - 2)], dim=1)


@pytest.mark.parametrize("name", ["content", "speaker"])
def test_a_bridge_that_passes_all_on_loses_nothing(name):
    one = found_by(name, lambda means: means)
    assert one.frames.value > 0.95 and one.pooled.value > 0.99
    assert (one.after, one.loss, one.verdict) == (one.pooled, Difference(0.0, 0.0, 0.0), "kept")
    assert one.chance < 0.3 and (one.n_fit, one.n_test, one.n_classes) == (60, 48, N_PHONES)
    assert one.n_vectors == {"content": 48 * 12 * FRAMES_A_PHONE // K, "speaker": 48}[name]


def test_a_bridge_that_turns_and_scales_loses_nothing():
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0)))[0]
    one = found_by("content", lambda means: 40 * means @ turn + 7)
    assert abs(one.loss.value) < 0.01 and one.verdict == "kept"


@pytest.mark.parametrize("name", ["content", "speaker"])
def test_a_bridge_that_zeroes_what_tells_is_blamed(name):
    one = found_by(name, halved)
    assert one.loss.low > 0.1 and one.verdict == "lost at the bridge"
    assert one.loss.value == pytest.approx(one.pooled.value - one.after.value)
    assert one.after.low <= one.after.value <= one.after.high < one.pooled.low


def test_of_noise_a_probe_knows_what_chance_knows():
    one = found_by("content", lambda means: means, told=0.0)
    assert abs(one.frames.value - 1 / N_PHONES) < 0.05 and abs(one.after.value - one.chance) < 0.06
    assert one.verdict == "not in the encoder"


def test_tokens_too_wide_for_a_phone_are_lost_to_the_rate():
    parts = []
    for n, seed in ((60, 1), (48, 2)):
        items, sides = Made(n, seed=seed).through(lambda means: means)
        whole = torch.tensor([[0.0, sides[0].duration_s]], dtype=torch.float64)
        means = [one.frames.mean(dim=0, keepdim=True) for one in sides]
        parts.append(
            (items, [replace(one, tokens=m, token_spans_s=whole) for one, m in zip(sides, means, strict=True)])
        )
    one = judged(PROBES["content"], *parts)
    assert one.frames.value > 0.95 and one.verdict == "lost to the token rate"


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ((0.10, -0.01, 0.2), "kept"),
        ((0.01, 0.005, 0.015), "kept"),
        ((0.03, 0.005, 0.05), "lost at the bridge"),
        ((-0.05, -0.08, -0.02), "kept"),
    ],
)
def test_the_verdict_follows_the_interval(loss, says):
    assert verdict(True, True, Difference(*loss)) == says
    assert verdict(False, True, Difference(*loss)) == verdict(False, False, Difference(*loss)) == "not in the encoder"
    assert verdict(True, False, Difference(*loss)) == "lost to the token rate"


def ordered(n, seed, *, seen):
    """Clips of two sounds in both orders, whose halves show which sound they hold, or only that both are somewhere."""
    rng, kinds = torch.Generator().manual_seed(seed), torch.eye(WIDTH)[:4] * 5
    items, sides = [], []
    at = torch.tensor([[0.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    for i in range(n):
        a, b = torch.randperm(4, generator=torch.Generator().manual_seed(1000 * seed + i // 2))[:2].tolist()
        a, b = (b, a) if i % 2 else (a, b)
        values = kinds[[a, b]] if seen else (kinds[a] + kinds[b]).expand(2, -1)
        values = values + torch.randn(2, WIDTH, generator=rng)
        items.append(Labelled(SILENCE, (), f"kind {a}", tuple(sorted((f"kind {a}", f"kind {b}")))))
        sides.append(Sides(values, at, values, at, 2.0))
    return items, sides


def test_order_needs_the_halves_and_chance_is_one_half():
    one = judged(PROBES["order"], ordered(120, 1, seen=True), ordered(60, 2, seen=True))
    assert one.chance == 0.5 and one.after.value > 0.95
    bag = judged(PROBES["order"], ordered(120, 1, seen=False), ordered(60, 2, seen=False))
    assert bag.chance == 0.5 and bag.after.value < 0.75 and bag.verdict == "not in the encoder"


# Spans


def test_the_label_of_a_place_is_that_of_its_middle():
    events = (Event(0.1, 0.3, "speech", "ab"), Event(0.1, 0.2, "phone", "a"), Event(0.2, 0.3, "phone", "b"))
    spans = [[0.0, 0.19], [0.0, 0.2], [0.1, 0.299], [0.15, 0.25], [0.15, 0.44], [0.2, 0.4]]
    sides = Sides(torch.eye(6), torch.tensor(spans).double(), torch.eye(6), torch.tensor(spans).double(), 0.44)
    read = [
        (int(vector.argmax()), label) for vector, label in _read(PROBES["content"], clip_of(events), sides, "after")
    ]
    assert read == [(1, "a"), (2, "a"), (3, "b"), (4, "b")]  # 0.095 and 0.3 s lie in no phone; 0.2 s begins b
    assert label_at(events, "speech", 0.2) == "ab" and label_at(events, "note", 0.2) is None


def test_means_are_weighted_by_the_seconds_that_are_shared():
    values = torch.tensor([[0.0], [10.0], [40.0]])
    spans = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    wanted = torch.tensor([[0.0, 2.0], [0.5, 2.0], [1.5, 1.6], [0.0, 4.0], [3.0, 3.0], [9.0, 9.5]], dtype=torch.float64)
    got = mean_over(values, spans, wanted)
    torch.testing.assert_close(got[:, 0], torch.tensor([5.0, 20 / 3, 10.0, 22.5, 40.0, 40.0]))


@pytest.mark.parametrize(
    "bridge", [MeanPool(32, 32, k=4), Cif(32, 32, k=4), QFormer(32, 32, queries=3, hidden=16, layers=1, heads=2)]
)
def test_both_sides_are_what_the_model_hears(bridge):
    model = hearing(bridge.eval())
    clip = noise(1.23)
    sides, heard = sides_of(model, clip), model.hear([clip])[0]
    torch.testing.assert_close(sides.tokens, heard.values, rtol=1e-5, atol=1e-6)
    assert torch.equal(sides.token_spans_s, heard.spans_s) and len(sides.frames) == heard.n_frames == 62
    assert sides.frame_spans_s[0].tolist() == [0.0, 0.02]
    assert sides.frame_spans_s[-1].tolist() == pytest.approx([1.22, 1.23])
    pooled, spans = sides.view("pooled")
    assert pooled.shape == (len(heard.values), 32) and torch.equal(spans, heard.spans_s)
    if isinstance(bridge, MeanPool):
        torch.testing.assert_close(pooled[0], sides.frames[:4].mean(dim=0), rtol=1e-5, atol=1e-6)


# The clips


def texts_of(name, split, n=40):
    return {
        part.text
        for asked in scenes(PROBES[name], split, n, 0)
        for part in asked.scene.parts
        if isinstance(part, Speech)
    }


@pytest.mark.parametrize("name", ["content", "speaker"])
def test_fit_and_test_share_no_sentence(name):
    for split in ("train", "test"):
        assert {split_of(text) for text in texts_of(name, split)} == {split}
    assert not texts_of(name, "train") & texts_of(name, "test")


def test_the_speakers_are_the_same_while_their_sentences_differ():
    both = [scenes(PROBES["speaker"], split, 2 * len(VOICES), 0) for split in ("train", "test")]
    fit, test = ([asked.scene.parts[1].voice for asked in part] for part in both)
    assert fit == test == [*VOICES, *VOICES] and len({asked.label for asked in both[0]}) == len(VOICES)


@pytest.mark.parametrize("name", ["pitch", "event", "order"])
def test_sounds_of_the_test_are_other_ones(name):
    seeds = [
        {
            part.seed
            for asked in scenes(PROBES[name], split, 30, 0)
            for part in asked.scene.parts
            if hasattr(part, "seed")
        }
        for split in ("train", "test")
    ]
    assert seeds[0] and not seeds[0] & seeds[1]
    assert scenes(PROBES[name], "test", 30, 0) == scenes(PROBES[name], "test", 30, 0)
    assert scenes(PROBES[name], "test", 30, 0) != scenes(PROBES[name], "test", 30, 1)


def test_the_order_is_asked_of_the_same_sounds_both_ways_round():
    asked = scenes(PROBES["order"], "test", 40, 0)
    for one, other in zip(asked[::2], asked[1::2], strict=True):
        assert one.scene.parts == other.scene.parts[::-1] and one.choices == other.choices
        assert one.label != other.label and {one.label, other.label} == set(one.choices)
        assert (one.label, other.label) == (one.scene.parts[1].kind, other.scene.parts[1].kind)


def test_every_phone_and_note_has_its_seconds():
    for name, kind in (("content", "phone"), ("pitch", "note")):
        (item,) = [labelled(asked) for asked in scenes(PROBES[name], "test", 1, 0)]
        named = [event for event in item.events if event.kind == kind]
        assert len(named) > 3 and named[-1].end_s <= item.clip.duration_s
        assert label_at(item.events, kind, named[1].start_s + 1e-6) == named[1].label
        assert label_at(item.events, kind, 0.01) is None


# The whole


def test_a_model_is_probed_from_sound_to_verdict():
    lines = []
    found = probe(hearing(), items=24, probes=("event",), show=lines.append)
    (row,) = found.found.values()
    assert (row.n_fit, row.n_test, row.n_vectors, row.answers) == (48, 24, 24, None)
    assert row.frames.value == row.pooled.value > row.chance  # even random weights tell a bell from rain
    assert len(lines) == 1 and lines[0].startswith("event: before ") and lines[0].endswith(row.verdict)
    assert found == probe(hearing(), items=24, probes=("event",))
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["probes"]["event"]["loss"]["value"] == pytest.approx(row.loss.value, abs=1e-6)
    assert plain["probes"]["event"]["frames"]["high"] == pytest.approx(row.frames.high, abs=1e-6)


def test_the_llm_may_be_asked_too():
    found = probe(hearing(), items=24, probes=("event",), answers=2).found["event"].answers
    assert (found.task, found.metric, found.n, found.rate.value) == ("sound", "accuracy", 2, 0.0)
    assert {one.task for one in PROBES.values()} <= set(TASKS)


def test_bad_input_is_refused():
    model = tiny_model()
    with pytest.raises(
        RequestError, match="there is no probe 'smell', known are content, speaker, pitch, event, order"
    ):
        probe(model, probes=("event", "smell"))
    with pytest.raises(RequestError, match="there is nothing to probe, known are content"):
        probe(model, probes=())
    with pytest.raises(RequestError, match="at least 4 items to be scored on, got 3"):
        probe(model, items=3)
    with pytest.raises(LimitError, match=r"a clip of the probes lasts 2\.50 s, the encoder reads 2 s at once"):
        sides_of(model, noise(2.5))


def test_nothing_to_ask_about_is_told():
    items, sides = Made(20, seed=1).through(lambda means: means)
    silent = [clip_of(()) for _ in items]
    with pytest.raises(RequestError, match="no vector of the probe content has a label: give it more items"):
        judged(PROBES["content"], (items, sides), (silent, sides))


class Broken(nn.Module):
    """A bridge whose every token is one value, or that gives none."""

    width_in, width_out, fixed_rate = 32, 32, True

    def __init__(self, value):
        super().__init__()
        self.value, self.pool = value, MeanPool(32, 32)

    def forward(self, frames):
        tokens = self.pool(frames)
        if self.value is None:
            return replace(tokens, lengths=torch.zeros_like(tokens.lengths))
        return replace(tokens, values=torch.full_like(tokens.values, self.value))


def test_parts_that_give_nothing_or_no_numbers_are_named():
    with pytest.raises(BridgeError, match=r"the bridge gives no token for a clip of 0\.50 s: check_bridge tells more"):
        sides_of(hearing(Broken(None)), noise(0.5))
    with pytest.raises(BridgeError, match="the bridge gives tokens that are not finite numbers"):
        sides_of(hearing(Broken(math.inf)), noise(0.5))
    model = hearing()
    with torch.no_grad():
        next(model.encoder.parameters()).fill_(math.nan)
    with pytest.raises(EncoderError, match="the encoder gives frames that are not finite numbers"):
        sides_of(model, noise(0.5))
