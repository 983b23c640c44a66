"""The published vocoder: 320 samples a unit, a row in a batch what it is alone, voices by name."""

from typing import Any

import pytest
import torch
from transformers import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2CodeHifiGan

from ossicle.errors import ConfigError, RequestError
from ossicle.translate.vocoder import FIRST_SPEAKERS, UNIT_SAMPLES, HifiGan
from translate.tiny import SIZES, VOICES, published

N = [9, 1, 30, 4]
SPEAKERS = {"eng": 7, "fra": 11}
CLOSE = {"atol": 1e-5, "rtol": 0}


def made(**sizes: Any) -> HifiGan:
    return HifiGan(published(**sizes).vocoder, VOICES, speakers=SPEAKERS).eval()


@pytest.fixture(scope="module")
def vocoder() -> HifiGan:
    return made()


def units(n: list[int], beyond: int = -1) -> tuple[torch.Tensor, torch.Tensor]:
    """Units of each row, unit 1 among them, the same in any batch."""
    rows = torch.full((len(n), max(n)), beyond)
    for row, length in zip(rows, n, strict=True):
        row[:length] = torch.randint(0, 70, (length,), generator=torch.Generator().manual_seed(length))
        row[length // 2] = 1
    return rows, torch.tensor(n)


@pytest.mark.parametrize("n", N)
@torch.no_grad()
def test_samples_equal_those_of_the_published_class_where_it_stretches_nothing(n):
    vocoder = made()
    vocoder.vocoder.dur_predictor.proj.weight.zero_()
    vocoder.vocoder.dur_predictor.proj.bias.fill_(0.0)  # the published class then repeats no unit
    rows, lengths = units([n])
    theirs, _ = vocoder.vocoder(rows, speaker_id=torch.tensor([[11]]), lang_id=torch.tensor([[VOICES["fra"]]]))
    got = vocoder(rows, lengths, languages=["fra"], speakers=[None])
    assert got.shape == (1, n * UNIT_SAMPLES)
    assert torch.allclose(got[0], theirs.reshape(-1), **CLOSE)
    assert float(got.std()) > 0.05


@torch.no_grad()
def test_stretched_units_give_what_the_published_class_says(vocoder):
    rows, lengths = units([9])
    theirs, _ = vocoder.vocoder(rows, speaker_id=torch.tensor([[7]]), lang_id=torch.tensor([[VOICES["eng"]]]))
    longer, n = vocoder.stretched(rows, lengths)
    assert int(n[0]) > 9
    got = vocoder(longer, n, languages=["eng"], speakers=["eng"])
    assert torch.allclose(got, theirs, **CLOSE)


@torch.no_grad()
def test_stretching_in_a_batch_is_what_it_is_alone(vocoder):
    longer, n = vocoder.stretched(*units(N))
    for i, length in enumerate(N):
        alone, m = vocoder.stretched(*units([length]))
        assert int(n[i]) == int(m[0]) and longer[i, : n[i]].tolist() == alone[0].tolist()
    assert vocoder.stretched(torch.zeros(1, 0, dtype=torch.long), torch.tensor([0]))[0].shape == (1, 0)


@torch.no_grad()
def test_a_row_in_a_batch_is_what_it_is_alone(vocoder):
    languages, speakers = ["eng", "fra", "arb", "eng"], [None, 3, 0, "fra"]
    together = vocoder(*units([*N, 0]), languages=[*languages, "eng"], speakers=[*speakers, None])
    for i, n in enumerate(N):
        alone = vocoder(*units([n]), languages=languages[i : i + 1], speakers=speakers[i : i + 1])
        assert torch.allclose(together[i, : n * UNIT_SAMPLES], alone[0], **CLOSE)
        assert not together[i, n * UNIT_SAMPLES :].any()
    assert not together[-1].any()
    assert vocoder(torch.zeros(2, 0).long(), torch.tensor([0, 0]), languages=["eng"] * 2, speakers=[1, 1]).shape == (
        2,
        0,
    )


@torch.no_grad()
def test_languages_and_speakers_are_heard(vocoder):
    def said(language: str, speaker: str | int | None) -> torch.Tensor:
        return vocoder(*units([5]), languages=[language], speakers=[speaker])

    assert torch.equal(said("eng", None), said("eng", 7)) and torch.equal(said("eng", "fra"), said("eng", 11))
    assert not torch.allclose(said("eng", 7), said("eng", 11), atol=1e-3)
    assert not torch.allclose(said("eng", 7), said("fra", 7), atol=1e-3)


@torch.no_grad()
def test_the_output_is_float32_whatever_the_weights_are():
    assert made().bfloat16()(*units(N), languages=["eng"] * 4, speakers=[1] * 4).dtype == torch.float32


def test_weights_are_split_for_training_and_joined_again(vocoder):
    vocoder = made()
    names, said = list(vocoder.state_dict()), {"languages": ["eng"] * 2, "speakers": [None] * 2}
    few = units([3, 2])
    with torch.no_grad():
        before = vocoder(*few, **said)
    vocoder.norm_weights()
    assert list(vocoder.state_dict()) != names
    after = vocoder(*few, **said)
    assert torch.allclose(after, before, **CLOSE)
    after.square().sum().backward()
    gradients = [one.grad for name, one in vocoder.named_parameters() if "original" in name]
    assert len(gradients) > 100 and all(one is not None and one.isfinite().all() and one.any() for one in gradients)
    vocoder.plain_weights()
    assert sorted(vocoder.state_dict()) == sorted(names)
    with torch.no_grad():
        assert torch.allclose(vocoder(*few, **said), before, **CLOSE)
    vocoder.plain_weights()  # where nothing is split, nothing happens


def released(languages: list[str]) -> HifiGan:
    config = SeamlessM4Tv2Config(**{**SIZES, "vocoder_num_spkrs": 200, "vocoder_num_langs": 36})
    with torch.device("meta"):
        return HifiGan(SeamlessM4Tv2CodeHifiGan(config), {name: i for i, name in enumerate(languages)})


def test_each_language_has_its_own_first_speaker():
    vocoder = released([*FIRST_SPEAKERS, "ita"])
    assert {name: vocoder.default_speaker(name) for name in FIRST_SPEAKERS} == FIRST_SPEAKERS
    assert len(set(FIRST_SPEAKERS.values())) == len(FIRST_SPEAKERS)
    assert [name for name in vocoder.languages if name != "ita" and vocoder.default_speaker(name) == 0] == ["arb"]
    with pytest.raises(RequestError, match=r"first speaker of 'ita' is not known: give a speaker, a number 0..199"):
        vocoder.default_speaker("ita")


def test_a_table_of_another_size_has_no_known_speakers():
    with pytest.raises(RequestError, match=r"first speaker of 'arb' is not known: give a speaker, a number 0..19"):
        HifiGan(published().vocoder, VOICES).default_speaker("arb")


def test_what_is_not_there_is_refused(vocoder):
    rows, lengths = units([3])
    with pytest.raises(RequestError, match="no voice speaks 'kan': the vocoder speaks arb, eng, fra") as found:
        vocoder(rows, lengths, languages=["kan"], speakers=[0])
    assert found.value.code == "unsupported_language"
    with pytest.raises(RequestError, match=r"first speaker of 'arb'.* or one of \['eng', 'fra'\]"):
        vocoder(rows, lengths, languages=["arb"], speakers=[None])
    for who in (20, -1, "deu"):
        with pytest.raises(RequestError, match=rf"no speaker {who!r}: a speaker is a number 0..19 or one of"):
            vocoder(rows, lengths, languages=["eng"], speakers=[who])
    with pytest.raises(RequestError, match="1 rows of units need as many languages and speakers: 2 and 1"):
        vocoder(rows, lengths, languages=["eng", "eng"], speakers=[1])
    with pytest.raises(RequestError, match=r"units are 0..69, got .*70"):
        vocoder(rows.clamp(min=70), lengths, languages=["eng"], speakers=[1])


def test_tables_and_rates_must_fit():
    vocoder = published().vocoder
    with pytest.raises(ConfigError, match=r"table of languages has rows 0..3, got {'ita': 4}"):
        HifiGan(vocoder, {"ita": 4})
    with pytest.raises(ConfigError, match=r"table of speakers has rows 0..19, got {'eng': 20}"):
        HifiGan(vocoder, VOICES, speakers={"eng": 20})
    vocoder.config.upsample_rates = [5, 4, 4, 2, 4]
    with pytest.raises(ConfigError, match=r"320 samples of a unit.*640"):
        HifiGan(vocoder, VOICES)
    vocoder.config.upsample_rates, vocoder.config.upsample_kernel_sizes = [5, 4, 4, 2, 2], [10, 8, 8, 4, 4]
    with pytest.raises(ConfigError, match="each odd or even as its rate"):
        HifiGan(vocoder, VOICES)
