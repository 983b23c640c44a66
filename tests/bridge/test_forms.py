"""Published bridges: their sizes, rates and lengths as the sheets and released code give them."""

import typing

import pytest
import torch

from ossicle.bridge import forms
from ossicle.bridge.forms import FORMS, build_form
from ossicle.errors import BridgeError
from ossicle.train.recipe_parts import FormPart

from .support import random_frames


@pytest.mark.parametrize(
    ("name", "width_in", "width_out", "millions"),
    [
        ("qwen_audio", 1280, 4096, 5.25),
        ("slam", 1024, 4096, 18.88),
        ("slam", 1280, 4096, 21.50),
        ("ultravox", 1280, 4096, 50.34),
        ("voxtral", 1280, 3072, 25.17),
    ],
)
def test_the_published_sizes(name: str, width_in: int, width_out: int, millions: float) -> None:
    with torch.device("meta"):
        bridge = build_form(name, width_in, width_out)
    assert round(sum(p.numel() for p in bridge.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(
    ("name", "width_in", "millions", "linear"), [("salmonn", 2048, 22.8, 3.1), ("granite", 1024, 33.6, 4.2)]
)
def test_the_published_sizes_of_the_blocks_and_their_linear(
    name: str, width_in: int, millions: float, linear: float
) -> None:
    with torch.device("meta"):
        bridge = build_form(name, width_in, 4096)
    sizes = [sum(p.numel() for p in one.parameters()) / 1e6 for one in (bridge.former.blocks, bridge.output)]
    assert [round(size, 1) for size in sizes] == [millions, linear]


@pytest.mark.parametrize(
    ("name", "hz", "counts"),
    [
        ("qwen_audio", 25, {1500: 750, 3: 1, 1: 1}),
        ("slam", 10, {1500: 300, 1499: 299, 4: 1}),
        ("ultravox", 6.25, {1500: 188, 1: 1}),
        ("voxtral", 12.5, {1500: 375, 1: 1}),
        ("salmonn", 50 / 17, {1496: 88, 1500: 89, 1: 1}),
        ("granite", 10, {1500: 300, 370: 75, 1: 3}),
    ],
)
def test_rates_and_lengths(name: str, hz: float, counts: dict[int, int]) -> None:
    bridge = build_form(name, 8, 4)
    assert bridge.expected_hz(50) == pytest.approx(hz)
    assert {n: bridge.n_tokens(n) for n in counts} == counts
    assert bridge.n_tokens(0) == 0


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_tokens_and_can_be_built_from_its_settings(name: str) -> None:
    bridge = build_form(name, 6, 4).eval()
    with torch.no_grad():
        tokens = bridge(random_frames([40, 7]))
    assert tokens.values.isfinite().all() and tokens.lengths.tolist() == [bridge.n_tokens(40), bridge.n_tokens(7)]
    again = type(bridge)(**bridge.settings())
    again.load_state_dict(bridge.state_dict())
    assert again.settings() == bridge.settings()


def test_what_each_form_says() -> None:
    built = {name: build_form(name, 6, 4).settings() for name in FORMS}
    assert {name: said["output_norm"] for name, said in built.items()} == dict.fromkeys(FORMS, "none")
    tails = {name: said.get("tail") for name, said in built.items()}
    assert tails == {
        **{"qwen_audio": "drop", "slam": "drop", "ultravox": None},
        **{"voxtral": "duplicate", "salmonn": "zero", "granite": "zero"},
    }
    assert built["qwen_audio"]["norm_in"] and (built["slam"]["activation"], built["slam"]["bias"]) == ("relu", True)
    assert (built["voxtral"]["activation"], built["voxtral"]["bias"], built["voxtral"]["hidden"]) == ("gelu", False, 4)
    for name, heads in (("salmonn", 12), ("granite", 16)):
        assert (built[name]["layers"], built[name]["heads"], built[name]["cross_every"]) == (2, heads, 1)
        assert built[name]["dropout"] == 0.1


def test_queries_begin_as_small_as_published() -> None:
    torch.manual_seed(0)
    for name, size in (("salmonn", 0.02), ("granite", 1.0)):
        assert build_form(name, 6, 4).former.query.std().item() == pytest.approx(size, rel=0.1)


def test_the_names_are_those_of_the_functions_and_of_recipes() -> None:
    assert all(callable(getattr(forms, name)) for name in FORMS)
    assert typing.get_args(typing.get_type_hints(FormPart)["form"]) == FORMS
    with pytest.raises(BridgeError, match="no published bridge 'blsp': choose one of qwen_audio, slam, ultravox, vox"):
        build_form("blsp", 6, 4)
