"""The encoder's own lessons: targets where the events are, masks, padding."""

import math
from dataclasses import replace

import numpy as np
import torch

from ossicle.audio.features import log_mel
from ossicle.train.hear import FRAME_HZ, UNKNOWN, frame_targets, mask_features
from ossicle.train.objectives import IGNORE
from ossicle.train.sources import Sample
from ossicle.world.parts import Event, Pause, Scene, Speech, Voice
from ossicle.world.speech import PHONES
from ossicle.world.telling import LETTERS, MARKS

from .support import MODEL, RNG, items, tiny_hear


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


def test_a_hear_item_has_one_target_for_each_frame_of_the_encoder() -> None:
    for n in (1, 160, 161, 320, 321, 9_600):
        sample = replace(spoken_sample(), samples=np.full(n, 0.1, np.float32))
        item = tiny_hear().item(sample, RNG(0))
        assert len(item.phones) == len(item.marks) == MODEL.encoder.n_frames(n)
        assert item.seconds == n / 16_000 and MODEL.encoder.rate_hz == FRAME_HZ


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
