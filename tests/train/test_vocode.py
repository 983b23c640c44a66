"""The vocoder's lesson: crops where they belong, gradients where they belong, and two vocoders that learn by it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2CodeHifiGan

from ossicle.audio.clip import Clip
from ossicle.codec.units import Codebook
from ossicle.errors import ConfigError
from ossicle.tensors import Features, Frames
from ossicle.train.sources import Sample
from ossicle.train.spoken import units_of
from ossicle.train.vocode import Vocode, VocodeBatch, Who
from ossicle.train.vocoding import Vocoding
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.vocoder import HifiGan
from ossicle.world.parts import Voice
from ossicle.world.speech import speak_afresh

from .support import RNG, Ear

N_UNITS = 60
QUICK = {"width": 48, "ffn": 96, "unit_blocks": 1, "frame_blocks": 2, "kernel": 5}
GAN = {
    **{"upsample_initial_channel": 48, "unit_embed_dim": 32, "lang_embed_dim": 4, "spkr_embed_dim": 4},
    **{"unit_hifi_gan_vocab_size": N_UNITS, "vocoder_num_langs": 2, "vocoder_num_spkrs": 2},
    **{"resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [1, 3]]},
}


class Speaker(nn.Module):
    """A model that hears by a small map, has a codebook and a vocoder: what the lesson knows of a translator."""

    def __init__(self, vocoder: nn.Module | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = Ear(16_000)
        self.features, self.n_units = self.encoder.features, self.encoder.n_frames
        frames = self.encoder(self.features([Clip(said(), 16_000)])).values[0].detach()
        self.codebook: nn.Module | None = Codebook(frames[:N_UNITS], layer=1)
        self.name, self.device, self.speech_encoder = "speaker", torch.device("cpu"), None
        self.vocoder = vocoder

    def frames(self, features: Features, *, layer: int) -> Frames:
        assert layer == 1
        return self.encoder(features)

    def moments(self, features: Features, layer: int) -> Frames:
        return self.frames(features, layer=layer)


@cache
def said() -> np.ndarray:
    voice = Voice("espeak", "en-us", "", rate_wpm=165, pitch=50, warp=1.0)
    samples = speak_afresh("seven green apples fell off", voice).samples
    return samples[: 320 * (len(samples) // 320) - 100]  # the last unit is not whole


def sample(samples: np.ndarray | None = None) -> Sample:
    return Sample(said() if samples is None else samples, None, "", "t")


def quick(**changed: Any) -> QuickVocoder:
    torch.manual_seed(1)
    return QuickVocoder(N_UNITS, ("en", "fr"), {"ann": "en", "bob": "fr"}, **{**QUICK, **changed})


def hifi_gan(**changed: Any) -> HifiGan:
    torch.manual_seed(1)
    made, rows = SeamlessM4Tv2CodeHifiGan(SeamlessM4Tv2Config(**{**GAN, **changed})), {"en": 0, "fr": 1}
    return HifiGan(made, rows, speakers=rows)


def english(_: Sample) -> Who:
    return "en", None


def batch_of(objective: Vocode, samples: Sequence[np.ndarray | None], seed: int = 0) -> VocodeBatch:
    items = [objective.item(sample(one), RNG(seed + i)) for i, one in enumerate(samples)]
    return objective.collate([item for item in items if item is not None])


def test_crops_are_the_waveform_of_their_units_and_a_short_clip_ends_in_silence() -> None:
    objective = Vocode(Speaker(None), Vocoding(crop_units=20, crops=3), who=english)
    short = said()[:3000]  # 9.4 units: one crop
    batch = batch_of(objective, [None, short])
    assert batch.rows == (0, 0, 0, 1) and batch.who == (("en", None),) * 4 and batch.firsts[3] == 0
    assert batch.waves.shape == (4, 20 * 320) and len(set(batch.firsts)) > 1
    assert batch.seconds == pytest.approx((len(said()) + 3000) / 16_000)
    whole = np.pad(said(), (0, 20 * 320))
    for wave, first in zip(batch.waves[:3].numpy(), batch.firsts, strict=False):
        np.testing.assert_array_equal(wave, whole[320 * first :][: 20 * 320])
    np.testing.assert_array_equal(batch.waves[3, :3000].numpy(), short)
    assert not batch.waves[3, 3000:].any()
    firsts = [one for i in range(100) for one in objective.item(sample(), RNG(i)).firsts]
    ends = (0, objective.n_units(len(said())) - 20)
    assert (min(firsts), max(firsts)) == ends
    for end in ends:  # as many crops hold the ends of a clip as hold its middle
        assert 10 * 300 / ends[1] / 2 < firsts.count(end) < 20 * 300 / ends[1]


def test_a_crop_sounds_as_it_does_in_the_whole_clip() -> None:
    model = Speaker(quick().eval())
    how = Vocoding(crop_units=12, crops=4, context_units=model.vocoder.reach)
    objective = Vocode(model, how, who=english)
    short = said()[:2000]
    batch = batch_of(objective, [None, short, None], seed=3)
    with torch.no_grad():
        crops = objective.spoken(model, batch)
        units, lengths = units_of(model, batch.features)
        whole = model.vocoder(units, lengths, languages=["en"] * 3, speakers=[None] * 3)
    whole = nn.functional.pad(whole, (0, 12 * 320))
    for crop, row, first in zip(crops, batch.rows, batch.firsts, strict=True):
        torch.testing.assert_close(crop, whole[row, 320 * first :][: 12 * 320], atol=1e-5, rtol=0)
    narrow = Vocode(model, Vocoding(crop_units=12, crops=4, context_units=0), who=english)
    with torch.no_grad():
        assert (narrow.spoken(model, batch) - crops).abs().max() > 1e-3  # what is read beside a crop counts


def test_languages_and_speakers_reach_the_vocoder() -> None:
    model = Speaker(quick().eval())
    crops = []
    for who in (("en", None), ("en", "ann"), ("fr", None), ("fr", "ann")):
        objective = Vocode(model, Vocoding(), who=lambda _, who=who: who)
        with torch.no_grad():
            crops.append(objective.spoken(model, batch_of(objective, [None])))
    assert torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], crops[2]) and not torch.equal(crops[2], crops[3])


def gradients(model: nn.Module, objective: Vocode, batch: VocodeBatch) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Of the vocoder and of the discriminators; nothing else has any."""
    model.zero_grad()
    objective.heads.zero_grad()
    total, n, parts = objective.loss(model, batch)
    assert n == len(batch.waves) and all(np.isfinite(value) for value in parts.values())
    total.backward()
    assert all(value.grad is None for value in model.encoder.parameters())
    found = ([p.grad for p in part.parameters() if p.grad is not None] for part in (model.vocoder, objective.heads))
    ours, theirs = ([value.clone() for value in some] for some in found)
    return ours, theirs


@pytest.mark.parametrize("vocoder", [quick, hifi_gan])
def test_a_step_with_a_gan_moves_both_sides_and_neither_by_the_loss_of_the_other(vocoder: Any) -> None:
    model = Speaker(vocoder())

    def made(**weights: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        torch.manual_seed(5)
        how = Vocoding(gan=True, discriminator_width=2, crop_units=16, **weights)
        objective = Vocode(model, how, who=english)
        return gradients(model, objective, batch_of(objective, [None]))

    ours, theirs = made()
    for grads in (ours, theirs):
        assert grads and all(value.isfinite().all() for value in grads)
        assert sum(bool(value.any()) for value in grads) > 0.9 * len(grads)
    nothing, alone = made(mel_weight=0, stft_weight=0, feature_weight=0, deception_weight=0)
    assert not any(value.any() for value in nothing)  # the discriminators' loss moves no vocoder
    for a, b in zip(theirs, alone, strict=True):
        torch.testing.assert_close(a, b)  # the vocoder's loss moves no discriminator
    deceiving, _ = made(mel_weight=0, stft_weight=0, feature_weight=0)
    matching, _ = made(mel_weight=0, stft_weight=0, deception_weight=0)
    assert any(value.any() for value in deceiving) and any(value.any() for value in matching)


def test_without_a_gan_there_are_no_discriminators() -> None:
    model, objective = Speaker(quick()), Vocode(Speaker(None), Vocoding(), who=english)
    assert not list(objective.heads.parameters())
    _, _, parts = objective.loss(model, batch_of(objective, [None]))
    assert set(parts) == {"mel", "stft"}
    with_gan = Vocode(model, Vocoding(gan=True, discriminator_width=2), who=english)
    _, _, parts = with_gan.loss(model, batch_of(with_gan, [None]))
    assert set(parts) == {"mel", "stft", "features", "deception", "discriminators"}


@pytest.mark.parametrize(
    ("vocoder", "steps"),
    [
        pytest.param(quick, 100, id="quick"),
        pytest.param(lambda: hifi_gan(upsample_initial_channel=96), 200, marks=pytest.mark.slow, id="hifi_gan"),
    ],
)
def test_a_small_vocoder_learns_half_a_second_by_heart(vocoder: Any, steps: int) -> None:
    model = Speaker(vocoder())
    if isinstance(model.vocoder, HifiGan):
        model.vocoder.norm_weights()
    objective = Vocode(model, Vocoding(crop_units=28), who=english)
    batch = batch_of(objective, [said()[4000 : 4000 + 28 * 320]])
    moves = torch.optim.AdamW(model.vocoder.parameters(), lr=1e-2, betas=(0.8, 0.99))
    fading = torch.optim.lr_scheduler.LambdaLR(
        moves, lambda step: min(1.0, (step + 1) / 10) * (1 - step / steps) ** 0.5
    )
    mels = []
    for _ in range(steps):
        total, n, parts = objective.loss(model, batch)
        mels.append(parts["mel"])
        moves.zero_grad()
        (total / n).backward()
        nn.utils.clip_grad_norm_(model.vocoder.parameters(), 50.0)
        moves.step()
        fading.step()
    assert np.mean(mels[-5:]) < mels[0] / 5


def test_what_is_missing_is_said() -> None:
    model = Speaker(None)
    objective = Vocode(model, Vocoding(), who=english)
    batch = batch_of(objective, [None])
    with pytest.raises(ConfigError, match="the model has no vocoder that could be trained"):
        objective.loss(model, batch)
    model.vocoder, model.codebook = quick(), None
    with pytest.raises(ConfigError, match="speaker has no codebook that makes units of speech"):
        objective.loss(model, batch)
