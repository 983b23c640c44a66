"""The encoder's own lessons: targets where the events are, masks, padding."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.audio.features import log_mel
from ossicle.audio.lengths import resampled_samples
from ossicle.encoders.w2v_bert import W2vBertEncoder, W2vBertSizes
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.train.hear import UNKNOWN, Hear, frame_targets, mask_features, masked, picture_columns
from ossicle.train.objectives import IGNORE
from ossicle.train.sources import Sample
from ossicle.world.parts import Event, Pause, Scene, Speech, Voice
from ossicle.world.speech import PHONES
from ossicle.world.telling import LETTERS, MARKS

from .support import MODEL, RNG, Ear, items, tiny_hear

CONFORMER = W2vBertEncoder(W2vBertSizes(width=16, layers=1, heads=2, ffn=16, kernel=3).config()).eval()
WAVES = Wav2Vec2Encoder(
    {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
    }
).eval()


def spoken_sample(pitch: int = 10) -> Sample:
    voice = Voice("espeak", "en-us", "m3", rate_wpm=100, pitch=pitch, warp=1.0)
    events = (
        Event(0.1, 0.5, "speech", "a b"),
        Event(0.1, 0.2, "phone", "eI"),
        Event(0.2, 0.201, "phone", "b"),
        Event(0.3, 0.5, "phone", "unheard of"),
    )
    scene = Scene((Pause(0.1), Speech("a b", voice)))
    return Sample(np.zeros(9_600, np.float32), None, "x", "t", scene, events)


def test_frame_targets_are_where_the_events_are() -> None:
    letters, phones, grid = frame_targets(spoken_sample(), 30)
    assert [LETTERS[letter - 1] for letter in letters] == list("a b")  # 0 is the blank of CTC
    assert phones[:11].tolist() == [IGNORE] * 5 + [PHONES.index("eI")] * 5 + [PHONES.index("b")]
    assert set(phones[11:].tolist()) == {IGNORE}
    for word, wanted in (("speech", 1), ("low", 1), ("slow", 1), ("high", 0), ("rain", 0)):
        column = grid[:, MARKS.index(word)]
        assert set(column[5:25].tolist()) == {wanted} and set(column[:5].tolist()) == {0}, word
    unsure = frame_targets(spoken_sample(pitch=45), 30)[2]
    assert set(unsure[:, [MARKS.index("low"), MARKS.index("high")]].ravel().tolist()) == {UNKNOWN}
    assert set(unsure[5:25, MARKS.index("speech")].tolist()) == {1}


def test_frames_of_another_rate_have_targets_at_their_own_times() -> None:
    _, phones, grid = frame_targets(spoken_sample(), 15, rate_hz=25.0)
    assert phones[:6].tolist() == [IGNORE, IGNORE, *[PHONES.index("eI")] * 3, PHONES.index("b")]
    assert grid[:, MARKS.index("speech")].tolist() == [0] * 2 + [1] * 11 + [0] * 2


@pytest.mark.parametrize(
    "encoder", [MODEL.encoder, CONFORMER, WAVES, Ear(8_000)], ids=["whisper", "w2v_bert", "wav2vec2", "8 kHz"]
)
def test_a_hear_item_has_one_target_for_each_frame_of_the_encoder(encoder: Any) -> None:
    hear = Hear(encoder)
    assert {name.split(".")[0] for name, _ in hear.named_parameters()} == {"norm", "letter", "phone", "mark"}

    def n_frames(n: int) -> int:
        return encoder.n_frames(resampled_samples(n, 16_000, encoder.sample_rate))

    for n in (1, 160, 161, 320, 321, 9_600):
        sample = replace(spoken_sample(), samples=RNG(n).normal(0, 0.1, n).astype(np.float32))
        item = hear.item(sample, RNG(0))
        assert len(item.phones) == len(item.marks) == n_frames(n)
        assert item.seconds == n / 16_000
    batch = hear.collate([item, hear.item(replace(sample, samples=sample.samples[:5_000]), RNG(1))])
    frames = encoder(batch.features)
    assert frames.values.shape[1] == batch.phones.shape[1] == n_frames(9_600)
    assert frames.durations_s.tolist() == [0.6, 0.3125]
    total, n, _ = hear.frame_loss(frames, batch)
    assert math.isfinite(total.item()) and n == n_frames(9_600) + n_frames(5_000)


def test_a_picture_of_stacked_frames_is_masked_as_it_was_before_they_were_stacked() -> None:
    assert [picture_columns(one) for one in (MODEL.encoder, CONFORMER, WAVES)] == [1, 2, 0]
    features = CONFORMER.features([Clip(RNG(3).normal(0, 0.1, 16_000).astype(np.float32), 16_000)]).values[0].numpy()
    picture = np.stack([features[:80], features[80:]], axis=2).reshape(80, -1)  # (160, T) -> (80, 2 T)
    bands = times = 0
    for seed in range(20):
        got, wanted = masked(features, 2, RNG(seed)), mask_features(picture, RNG(seed))
        assert np.array_equal(got[:80], wanted[:, ::2]) and np.array_equal(got[80:], wanted[:, 1::2])
        changed = got != features
        bands += changed.all(1).any()
        times += changed.all(0).any()
        assert np.array_equal(changed.all(1)[:80], changed.all(1)[80:])  # a band is masked in both of two frames
        assert np.array_equal(masked(picture, 1, RNG(seed)), wanted)
    assert bands > 5 and times > 5
    wave = RNG(0).normal(0, 0.1, (1, 900)).astype(np.float32)
    assert masked(wave, 0, RNG(1)) is wave


def test_padding_and_what_nobody_knows_cost_nothing() -> None:
    objective = tiny_hear()
    one, other = items(objective, 2, "count")
    batch = objective.collate([one, other])
    n = min(len(one.phones), len(other.phones))
    short = 0 if len(one.phones) == n else 1
    assert (batch.phones[short, n:] == IGNORE).all() and (batch.marks[short, n:] == UNKNOWN).all()
    frames = MODEL.encoder(batch.features)
    for marks in (batch.marks, torch.full_like(batch.marks, UNKNOWN)):
        asked = replace(batch, marks=marks, phones=torch.full_like(batch.phones, IGNORE))
        total, _, parts = objective.frame_loss(frames, asked)
        assert parts["phone"] == 0 and math.isfinite(total.item())
    assert parts["mark"] == 0


def test_masking_sets_bands_and_times_to_the_mean_and_nothing_else() -> None:
    mel = log_mel(RNG(0).normal(0, 0.1, 16_000).astype(np.float32))
    before = mel.copy()
    shares = []
    for seed in range(30):
        masked = mask_features(mel, RNG(seed))
        changed = masked != mel
        assert np.array_equal(mel, before)
        np.testing.assert_allclose(masked[changed], mel.mean(), rtol=1e-6)
        shares.append(changed.mean())
    assert min(shares) == 0.0 and 0.05 < np.mean(shares) < 0.4
    assert mask_features(mel[:, :3], RNG(1)).shape == (80, 3)
