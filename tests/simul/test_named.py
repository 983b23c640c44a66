"""Policies by name."""

import pytest

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.policies import AlignAtt, Emma, LocalAgreement, WaitK

from .small import RATIO, small_choices, small_model

MODEL = small_model()
CHOOSING = small_model()
CHOOSING.choices = small_choices()


def test_names_with_numbers() -> None:
    emma = policy_named("emma:0.7,reduced=mean,wait=3", CHOOSING)
    assert isinstance(emma, Emma) and (emma.threshold, emma.reduced, emma.wait, emma.ratio) == (0.7, "mean", 3, RATIO)
    wait = policy_named("wait-k:5", CHOOSING)
    assert isinstance(wait, WaitK) and (wait.k, wait.ratio) == (5, RATIO)
    other = policy_named("wait-k", MODEL)
    assert isinstance(other, WaitK) and (other.k, other.ratio) == (3, 2)
    agree = policy_named("agreement:4", MODEL)
    assert isinstance(agree, LocalAgreement) and agree.n == 4
    align = policy_named("alignatt:6,layer=2", MODEL)
    assert isinstance(align, AlignAtt) and (align.frames, align.layer) == (6, 2)
    assert policy_named("alignatt:layer=2,frames=6", MODEL).frames == 6  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hold:3", "there is no policy 'hold', known are emma, wait-k, agreement, alignatt"),
        ("wait-k:many", "k is a number like 3, got 'many'"),
        ("wait-k:2.5", "k is a number like 3, got '2.5'"),
        ("wait-k:3,4", "wait-k takes each of k, ratio once, by name, k first"),
        ("wait-k:3,k=4", "once, by name"),
        ("alignatt:3,head=1", "alignatt takes each of frames, layer once"),
        ("emma:0.5", "has not learned when to write, which emma asks it"),
    ],
)
def test_what_is_no_policy_is_said(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        policy_named(text, MODEL)


def test_numbers_out_of_range_are_told_by_the_policy() -> None:
    with pytest.raises(ConfigError, match="waits for at least 1 step"):
        policy_named("wait-k:0", MODEL)
    with pytest.raises(ConfigError, match="threshold from 0 to 1"):
        policy_named("emma:1.5", CHOOSING)


def test_what_decides_where_nothing_is_named_is_a_policy_of_the_model() -> None:
    model = small_model()
    assert best_policy(model) == "alignatt:8,layer=2" and isinstance(policy_named(best_policy(model), model), AlignAtt)
    model.settings.decoder_layers = 1
    assert best_policy(model) == "agreement:2"
    assert isinstance(policy_named(best_policy(model), model), LocalAgreement)
