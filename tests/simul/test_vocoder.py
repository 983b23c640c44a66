"""Speech that comes while units still come is sample for sample what all units at once would be."""

import numpy as np
import pytest
import torch
from transformers import SeamlessM4Tv2Config
from transformers.models.seamless_m4t_v2.modeling_seamless_m4t_v2 import SeamlessM4Tv2CodeHifiGan

from ossicle.errors import RequestError
from ossicle.simul.vocoder import Saying
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.vocoder import HifiGan, UnitVocoder

SIZES = {
    **{"unit_hifi_gan_vocab_size": 40, "unit_embed_dim": 8, "lang_embed_dim": 4, "spkr_embed_dim": 4},
    **{"upsample_initial_channel": 32, "vocoder_num_langs": 2, "vocoder_num_spkrs": 3},
}


def hifi_gan(**sizes: object) -> HifiGan:
    torch.manual_seed(0)
    made = HifiGan(
        SeamlessM4Tv2CodeHifiGan(SeamlessM4Tv2Config(**SIZES, **sizes)), {"en": 0, "fr": 1}, speakers={"en": 2}
    )
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(1.3)  # else little of a unit comes far, and with more all samples are at their limit
    return made.double().eval()  # rounding is amplified by such weights; where samples come from is what is asked


def quick(**sizes: int) -> QuickVocoder:
    torch.manual_seed(0)
    return QuickVocoder(40, ("en", "fr"), {"ann": "en", "cleo": "fr"}, width=16, ffn=32, **sizes).eval()


VOCODERS: dict[str, UnitVocoder] = {
    "hifi-gan": hifi_gan(),
    "hifi-gan, other rates": hifi_gan(
        upsample_rates=[8, 5, 8], upsample_kernel_sizes=[16, 11, 14],
        resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3, 5], [1, 2, 4]],
    ),
    "quick": quick(),
    "quick, deep": quick(unit_blocks=3, frame_blocks=5, kernel=3),
}  # fmt: skip


def units(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 40, n))


def whole(vocoder: UnitVocoder, some: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return vocoder(some[None], torch.tensor([len(some)]), languages=["en"], speakers=[None])[0]


def test_the_published_vocoder_reaches_21_units() -> None:
    assert VOCODERS["hifi-gan"].reach == 21 and VOCODERS["quick"].reach == 15
    assert Saying(VOCODERS["hifi-gan"], "en").lag_s == pytest.approx(0.42)


@pytest.mark.parametrize("name", VOCODERS)
def test_samples_depend_on_units_as_far_as_is_said_and_no_farther(name: str) -> None:
    vocoder = VOCODERS[name]
    some = units(2 * vocoder.reach + 9)
    other = some.clone()
    middle = len(some) // 2
    other[middle] = (other[middle] + 17) % 40
    changed = (whole(vocoder, some) - whole(vocoder, other)).reshape(-1, 320).abs().amax(1) > 0
    assert changed.nonzero().flatten().min() >= middle - vocoder.reach
    assert changed.nonzero().flatten().max() <= middle + vocoder.reach
    assert changed[middle]


@pytest.mark.parametrize("sizes", [[1] * 120, [7] * 17 + [1], [50, 50, 20], [120], [0, 3, 0, 60, 57], "random"])
@pytest.mark.parametrize("name", VOCODERS)
def test_piece_by_piece_is_all_at_once(name: str, sizes: list[int] | str) -> None:
    vocoder, some = VOCODERS[name], units(120, 1)
    if isinstance(sizes, str):
        sizes = np.random.default_rng(5).multinomial(120, [0.05] * 20).tolist()
    saying, said, at = Saying(vocoder, "en"), [], 0
    for n in sizes:
        said.append(saying.say(some[at : at + n]))
        at += n
        assert sum(map(len, said)) == 320 * max(0, at - vocoder.reach)
        assert len(saying.units) <= 2 * vocoder.reach + 1 or n > 1  # what was said is forgotten
    said.append(saying.finish())
    joined, at_once = torch.cat(said), whole(vocoder, some)
    assert joined.shape == at_once.shape and (joined - at_once).abs().max() <= 1e-5 and at_once.abs().max() > 1e-3


def test_few_units_and_none() -> None:
    for n in (0, 1, 5):
        saying = Saying(VOCODERS["quick"], "fr", "ann")
        assert len(saying.say(units(n))) == 0
        assert len(saying.finish()) == 320 * n


def test_what_cannot_be_is_refused() -> None:
    for speaker in (None, "ann"):
        with pytest.raises(RequestError, match="this vocoder does not speak 'de', it speaks en, fr"):
            Saying(VOCODERS["quick"], "de", speaker)
    with pytest.raises(RequestError, match="has no speaker 'bob'"):
        Saying(VOCODERS["quick"], "en", "bob")
    saying = Saying(VOCODERS["quick"], "en")
    saying.finish()
    for again in (saying.finish, lambda: saying.say(units(1))):
        with pytest.raises(RequestError, match="the utterance has ended: a new one needs a new voice"):
            again()
