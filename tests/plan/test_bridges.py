"""Rules of bridges: the modules' own counts, plain counting, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.errors import RequestError
from ossicle.hub.parts import BRIDGES, build_bridge
from ossicle.plan.bridges import KINDS, WITH_QUERIES, bridge_rule

SMALL = {
    "ctc": {"letters": 5},
    "attention_pool": {"heads": 2},
    "window_qformer": {"hidden": 16, "heads": 2, "layers": 1},
    "qformer": {"hidden": 16, "heads": 2, "layers": 1},
}
RULED = sorted(set(BRIDGES) & set(KINDS))


def test_every_bridge_that_can_be_built_has_a_rule():
    assert sorted(BRIDGES) == RULED


@pytest.mark.parametrize("kind", RULED)
def test_the_rules_are_the_modules(kind):
    module = build_bridge(kind, {"width_in": 8, "width_out": 8, **SMALL.get(kind, {})}).eval()
    rule = bridge_rule(kind)
    for n in [*range(1, 70), 1_499, 1_500]:
        if rule.variable:
            assert rule.most(n) == module.max_tokens(n)
        else:
            assert rule.expected(n) == module.n_tokens(n)
    assert rule.nominal_hz(50.0, 30.0) == pytest.approx(module.expected_hz(50.0))


@settings(deadline=None)
@given(n=st.integers(0, 4_000), kind=st.sampled_from(sorted(KINDS)), k=st.integers(1, 40), queries=st.integers(1, 9))
def test_counts_by_plain_counting(n, kind, k, queries):
    usual, tails = KINDS[kind]
    given_k = k if usual.k else None
    given_queries = queries if kind in WITH_QUERIES else None
    for tail in tails or (None,):
        rule = bridge_rule(kind, k=given_k, queries=given_queries, tail=tail)
        if kind == "qformer":
            want = queries if n else 0
        else:
            runs = [min(k, n - first) for first in range(0, n, k)]
            if tail == "drop" and len(runs) > 1 and runs[-1] < k:
                runs.pop()
            want = len(runs) * (queries if kind in WITH_QUERIES else 1)
        assert rule.expected(n) == want
        assert rule.most(n) == (n if kind in ("ctc", "cif") else want)


def test_what_is_not_given_is_usual():
    assert str(bridge_rule("mean_pool")) == "mean_pool k=2 tail=pool"
    assert str(bridge_rule("window_qformer")) == "window_qformer k=15 queries=3 tail=mask"
    assert str(bridge_rule("qformer", queries=8)) == "qformer queries=8"
    assert str(bridge_rule("cif")) == "cif k=4"
    assert bridge_rule("window_qformer", k=17, queries=1).expected(1_500) == 89


@pytest.mark.parametrize(
    ("kind", "given_", "message"),
    [
        ("ear", {}, r"the bridge 'ear' is not known: choose one of mean_pool, stack_mlp, "),
        ("qformer", {"k": 2}, "qformer has no k: it gives as many tokens however long a clip is"),
        ("mean_pool", {"queries": 2}, "mean_pool has no queries: those that do are attention_pool, "),
        ("mean_pool", {"k": 0}, "mean_pool needs k of at least 1, got 0"),
        ("qformer", {"queries": 0}, "qformer needs queries of at least 1, got 0"),
        ("mean_pool", {"tail": "zero"}, "mean_pool does not know the tail 'zero': choose one of pool, drop"),
        ("cif", {"tail": "drop"}, "cif does not know the tail 'drop': it has none"),
    ],
)
def test_what_a_kind_does_not_have_is_refused(kind, given_, message):
    with pytest.raises(RequestError, match=message):
        bridge_rule(kind, **given_)
