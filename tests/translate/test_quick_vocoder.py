"""The quick vocoder: lengths, batch = alone, how far a unit is heard, voices by name, what it refuses."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.errors import ConfigError, RequestError
from ossicle.translate.quick_vocoder import CLARITY, CLEAR_FRAMES, N_BINS, N_FFT, QuickVocoder, cleared

SPEAKERS = {"ann": "en", "bob": "en", "cleo": "fr"}
SMALL = {"width": 12, "ffn": 24, "unit_blocks": 1, "frame_blocks": 2, "kernel": 5}


def small(seed: int = 0, **changed: Any) -> QuickVocoder:
    torch.manual_seed(seed)
    told = {"n_units": 20, "languages": ("en", "fr", "de"), "speakers": SPEAKERS, **SMALL, **changed}
    return QuickVocoder(**told).eval()


def said(vocoder: QuickVocoder, units: torch.Tensor, lengths: list[int], **who: Any) -> torch.Tensor:
    n = len(units)
    with torch.no_grad():
        told = {"languages": ["en"] * n, "speakers": [None] * n, **who}
        return vocoder(units, torch.tensor(lengths), **told)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 20, shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_row_of_a_batch_is_what_it_is_alone_and_has_320_samples_a_unit(lengths: list[int], seed: int) -> None:
    vocoder, units = small(), drawn(len(lengths), max(lengths) + 3, seed=seed)
    for row, n in zip(units, lengths, strict=True):
        row[n:] = -1  # what codebooks give past the end
    speakers = [list(SPEAKERS)[i % 3] for i in range(len(lengths))]
    languages = ["en", "fr", "de", "en"][: len(lengths)]
    together = said(vocoder, units, lengths, languages=languages, speakers=speakers)
    assert together.shape == (len(lengths), 320 * (max(lengths) + 3)) and together.dtype == torch.float32
    for i, n in enumerate(lengths):
        alone = said(vocoder, units[i : i + 1, :n], [n], languages=languages[i : i + 1], speakers=speakers[i : i + 1])
        assert alone.shape == (1, 320 * n)
        torch.testing.assert_close(together[i, : 320 * n], alone[0], atol=1e-5, rtol=0)
        assert alone.abs().max() > 1e-3
        assert not together[i, 320 * n :].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_say_about_the_same(dtype: torch.dtype) -> None:
    units = drawn(1, 40)
    whole, half = said(small(), units, [40]), said(small().to(dtype), units, [40])
    assert half.dtype == torch.float32
    assert (half - whole).square().mean() < 0.01 * whole.square().mean()


@pytest.mark.parametrize("changed", [{}, {"unit_blocks": 2, "frame_blocks": 1}, {"kernel": 3, "frame_blocks": 3}])
def test_units_are_heard_as_far_as_the_reach_and_no_further(changed: dict[str, int]) -> None:
    vocoder = small(**changed)
    reach, at = vocoder.reach, 30
    units = drawn(1, 61)
    other = units.clone()
    other[0, at] = (other[0, at] + 1) % 20
    apart = (said(vocoder, units, [61]) - said(vocoder, other, [61])).abs().view(61, 320).amax(dim=1)
    heard = apart.nonzero().flatten().tolist()
    assert (heard[0], heard[-1]) == (at - reach, at + reach)


def test_the_published_size_has_under_a_million_weights() -> None:
    vocoder = QuickVocoder(500, ("en", "fr", "de"), {"a": "en", "b": "fr", "c": "de"})
    assert 800_000 < sum(value.numel() for value in vocoder.parameters()) < 1_000_000
    assert vocoder.reach == 15


def test_the_inverse_transform_undoes_the_transform() -> None:
    vocoder = small()
    wave = torch.randn(1, 160 * 30, generator=torch.Generator().manual_seed(3))
    padded = torch.nn.functional.pad(wave, (240, 240))
    spectrum = torch.stft(padded, N_FFT, 160, window=torch.hann_window(N_FFT), center=False, return_complex=True)
    spectrum = spectrum.transpose(1, 2)  # (B, F, T) -> (B, T, F)
    assert spectrum.shape[1:] == (30, N_BINS)
    spectra = torch.cat([spectrum.abs().log(), spectrum.angle()], dim=-1)
    back = vocoder.waves(spectra, torch.ones(1, 30, 1))
    torch.testing.assert_close(back[:, 240:-240], wave[:, 240:-240], atol=1e-4, rtol=0)


def test_spectra_move_more_when_it_speaks_and_not_while_it_learns() -> None:
    torch.manual_seed(0)
    spectra, valid = torch.randn(1, 30, 6), torch.ones(1, 30, 1)
    valid[:, 20:] = 0
    clear = cleared(spectra, valid)
    assert torch.equal(clear[..., 3:], spectra[..., 3:])  # phases stay
    for t in range(20):
        around = spectra[0, max(0, t - CLEAR_FRAMES) : min(20, t + CLEAR_FRAMES + 1), :3]
        wanted = spectra[0, t, :3] + CLARITY * (spectra[0, t, :3] - around.mean(0))
        torch.testing.assert_close(clear[0, t, :3], wanted)
    steady = torch.full((1, 9, 6), 2.5)
    torch.testing.assert_close(cleared(steady, torch.ones(1, 9, 1)), steady)
    vocoder, units = small(), drawn(1, 12)
    speaks = said(vocoder, units, [12])
    assert not torch.equal(said(vocoder.train(), units, [12]), speaks)


def test_magnitudes_stay_bounded() -> None:
    spectra = torch.full((1, 4, 2 * N_BINS), 90.0)
    assert small().waves(spectra, torch.ones(1, 4, 1)).isfinite().all()


def test_every_language_and_speaker_sounds_otherwise() -> None:
    vocoder, units = small(), drawn(1, 10).repeat(4, 1)
    waves = said(vocoder, units, [10] * 4, languages=["en", "en", "fr", "de"], speakers=["ann", "bob", "ann", "ann"])
    apart = torch.cdist(waves, waves)
    assert (apart[~torch.eye(4, dtype=torch.bool)] > 1e-2).all()


def test_the_default_speaker_is_the_first_of_the_language() -> None:
    vocoder, units = small(), drawn(2, 5)
    assert (vocoder.default_speaker("en"), vocoder.default_speaker("fr")) == (0, 2)
    default = said(vocoder, units, [5, 5], languages=["fr", "en"], speakers=[None, 1])
    named = said(vocoder, units, [5, 5], languages=["fr", "en"], speakers=["cleo", "bob"])
    assert torch.equal(default, named)


def test_settings_build_the_same_vocoder_again() -> None:
    vocoder = small()
    again = QuickVocoder(**vocoder.settings()).eval()
    again.load_state_dict(vocoder.state_dict())
    units = drawn(1, 9)
    assert torch.equal(said(again, units, [9]), said(vocoder, units, [9]))


def test_a_new_speaker_begins_as_the_mean_and_changes_nobody_else() -> None:
    vocoder, units = small(), drawn(1, 9)
    grown = vocoder.with_speaker("dieter", "de")
    assert grown.default_speaker("de") == grown.speakers["dieter"] == 3 and "dieter" not in vocoder.speakers
    for name in SPEAKERS:
        assert torch.equal(said(grown, units, [9], speakers=[name]), said(vocoder, units, [9], speakers=[name]))
    torch.testing.assert_close(grown.speaker.weight[3], vocoder.speaker.weight.mean(dim=0))
    assert not grown.training and vocoder.train().with_speaker("eve", "de").training
    with torch.no_grad():
        grown.unit.weight.zero_()
    assert vocoder.unit.weight.any()  # nothing is shared


def test_phases_are_computed_in_full_precision_under_autocast() -> None:
    vocoder, units = small(), drawn(1, 12)
    with torch.autocast("cpu", torch.bfloat16):
        rough = said(vocoder, units, [12])
    assert rough.dtype == torch.float32
    exact = said(vocoder, units, [12])
    assert 0 < (rough - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"n_units": 0}, "n_units is 0, it must be at least 1"),
        ({"frame_blocks": 0}, "frame_blocks is 0"),
        ({"kernel": 4}, "kernel is 4, it must be odd"),
        ({"languages": ()}, "languages are none: name at least one"),
        ({"languages": ("en", "fr", "en")}, "languages are en, fr, en: name at least one, each once"),
        ({"speakers": {}}, "there are no speakers"),
        ({"speakers": {"dora": "es"}}, "the speaker 'dora' speaks 'es', the languages are en, fr, de"),
    ],
)
def test_sizes_and_names_that_give_no_vocoder_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        small(**changed)


def test_a_speaker_who_is_there_already_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is a speaker 'bob' already: speakers are ann, bob, cleo"):
        small().with_speaker("bob", "en")
    with pytest.raises(ConfigError, match="speaks 'es'"):
        small().with_speaker("dora", "es")


@pytest.mark.parametrize(
    ("units", "lengths", "who", "told"),
    [
        (drawn(1, 4), [5], {}, r"lengths are \[5\]: one for each row, from 1 to 4"),
        (drawn(1, 4), [0], {}, r"lengths are \[0\]"),
        (drawn(1, 4), [4, 4], {}, r"lengths are \[4, 4\]"),
        (torch.tensor([[0, 20]]), [2], {}, "a unit is 20, this vocoder knows 0 to 19"),
        (torch.tensor([[0, -1]]), [2], {}, "a unit is -1"),
        (drawn(1, 4), [4], {"languages": ["es"]}, "does not speak 'es', it speaks en, fr, de"),
        (drawn(1, 4), [4], {"languages": ["de"]}, "no speaker of this vocoder speaks 'de': name one of ann, bob, cleo"),
        (drawn(1, 4), [4], {"speakers": ["dora"]}, "no speaker 'dora', its 3 are ann, bob, cleo"),
        (drawn(1, 4), [4], {"speakers": [3]}, "no speaker 3"),
        (drawn(1, 4), [4], {"speakers": [-1]}, "no speaker -1"),
        (drawn(1, 4), [4], {"speakers": []}, "1 rows of units have 1 languages and 0 speakers"),
    ],
)
def test_what_cannot_be_said_is_refused(
    units: torch.Tensor, lengths: list[int], who: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        said(small(), units, lengths, **who)
