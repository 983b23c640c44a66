"""The planner: counts, costs, verdicts and the ways out that it names."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ossicle
from ossicle.audio.clip import Clip
from ossicle.errors import NotFoundError, RequestError
from ossicle.plan.bridges import bridge_rule
from ossicle.plan.cards import CARDS
from ossicle.plan.encoders import ENCODERS, encoder_sizes
from ossicle.plan.llms import LLMS
from ossicle.plan.planner import DTYPES, SHRINKS, make_plan, n_samples, plan_all


def test_half_an_hour_at_25_tokens_a_second():
    plan = make_plan(seconds=1800)
    llm = LLMS["llama-3.1-8b"]
    assert (plan.frames, plan.audio_tokens, plan.audio_tokens_most, plan.nominal_tokens) == (90_000, *[45_000] * 3)
    assert (plan.text_tokens, plan.context, plan.tokens_per_s, plan.heard_s) == (5_985, 131_072, 25.0, 1800)
    assert plan.left == 1 - 45_000 / 131_072
    assert plan.kv_audio_bytes == llm.kv_bytes(45_000, 2)
    assert plan.kv_bytes == llm.kv_bytes(45_000 + 5_985, 2)
    assert plan.weight_bytes == 2 * (llm.parameters + encoder_sizes("whisper-large-v3").parameters)
    assert plan.encoder_flops == encoder_sizes("whisper-large-v3").flops(1800 * 16_000)
    assert plan.prefill_flops == llm.prefill_flops(45_000)
    assert (plan.decode_flops, plan.answer_flops) == (llm.decode_flops(45_000), llm.decode_flops(45_000, 5_985))
    assert (plan.verdict, plan.ways) == ("fits", ())


def test_a_plan_is_plain_data_and_frozen():
    plan = ossicle.make_plan(seconds=1)
    assert isinstance(plan, ossicle.Budget)
    assert json.loads(json.dumps(dataclasses.asdict(plan)))["audio_tokens"] == 25
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.batch = 2


def test_bytes_and_flops_are_the_batchs_and_counts_one_clips():
    one, four = make_plan(seconds=10), make_plan(seconds=10, batch=4)
    for name in ("kv_audio_bytes", "kv_bytes", "encoder_flops", "prefill_flops", "decode_flops", "answer_flops"):
        assert getattr(four, name) == 4 * getattr(one, name)
    assert (four.audio_tokens, four.weight_bytes) == (one.audio_tokens, one.weight_bytes)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_dtypes_are_bytes(dtype, size):
    assert DTYPES[dtype] == size
    assert make_plan(seconds=2, dtype=dtype).kv_audio_bytes == LLMS["llama-3.1-8b"].kv_bytes(50, size)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_hears_50_frames_a_second(name):
    assert make_plan(seconds=2, encoder=name, bridge="mean_pool").frames == 100


def test_the_speaking_rate_is_an_input():
    assert make_plan(seconds=60, words_per_minute=120, tokens_per_word=2).text_tokens == 240
    assert make_plan(seconds=60, words_per_minute=0).text_tokens == 0


def test_long_audio_is_counted_in_windows_and_the_table_uncapped():
    rule = bridge_rule("mean_pool", k=17)
    assert make_plan(seconds=1800, bridge=rule).audio_tokens == 60 * math.ceil(1_500 / 17) == 5_340
    rates, _ = plan_all(seconds=1800)
    assert {row.name.split()[2]: row.audio_tokens for row in rates}["k=17"] == math.ceil(90_000 / 17) == 5_295


def test_the_table_holds_every_rate_and_every_family():
    rates, families = plan_all(seconds=30)
    assert [row.audio_tokens for row in rates] == [1_500, 750, 375, 300, 188, 150, 89, 50]  # fact table 1.1
    assert [row.nominal_hz for row in rates] == [50 / k for k in SHRINKS]
    assert [row.name for row in families] == list(CARDS)
    found = {row.name: row for row in families}
    assert (found["ultravox"].nominal_hz, found["qwen3-omni"].audio_tokens) == (6.25, 390)
    assert (found["moshi"].audio_tokens, found["qwen2-audio"].audio_tokens) == (375, 750)
    assert all(row.frames is None and row.encoder_flops is None for row in families)


def test_what_a_family_cuts_is_said():
    plan = make_plan(seconds=1800, encoder="qwen2-audio")
    assert (plan.audio_tokens, plan.heard_s, plan.nominal_tokens) == (750, 30.0, 45_000)
    assert plan.verdict == "fits if"
    assert plan.ways == ("calls of at most 30 s each (what is longer is cut off in silence)",)
    assert make_plan(seconds=30, encoder="qwen2-audio").verdict == "fits"


def test_calls_of_a_family_that_cuts_must_fit_too():
    small = make_plan(seconds=1800, encoder="qwen2-audio", context=425)  # 25 tokens of audio a second, 3.325 of text
    assert (small.verdict, small.ways) == (
        "fits if",
        ("calls of at most 15 s each (what is longer is cut off in silence)",),
    )
    assert make_plan(seconds=15, encoder="qwen2-audio", context=425).verdict == "fits"
    assert make_plan(seconds=15.1, encoder="qwen2-audio", context=425).verdict == "fits if"
    heavy = make_plan(seconds=1800, encoder="qwen2-audio", memory_gb=10)
    assert (heavy.verdict, heavy.ways) == ("does not fit", ("17 GB of memory",))


def test_what_a_family_refuses_is_said():
    refusing = dataclasses.replace(CARDS["qwen2-audio"], past_cap="error")
    ways = ("calls of at most 30 s each (what is longer is refused)",)
    assert make_plan(seconds=31, encoder=refusing).ways == ways
    assert make_plan(seconds=31, encoder=dataclasses.replace(refusing, past_cap="windows")).verdict == "fits"


def test_a_clip_of_which_nothing_is_heard_does_not_fit():
    plan = make_plan(seconds=0.02, encoder="qwen2-audio")
    assert (plan.audio_tokens, plan.heard_s, plan.verdict) == (0, 0.0, "does not fit")
    assert plan.ways == ("a longer clip (this one gives no token)",)


def test_an_encoder_of_ones_own_sizes():
    own = dataclasses.replace(ENCODERS["mini"], window_s=10)
    plan = make_plan(seconds=25, encoder=own, bridge=bridge_rule("qformer"))
    assert (plan.frames, plan.audio_tokens) == (1_250, 96)


def way(plan, pattern):
    """The numbers of the way out that has these words."""
    found = [re.fullmatch(pattern, one) for one in plan.ways]
    return [float(number) for one in found if one for number in one.groups()]


def test_too_much_for_the_context_names_three_ways_and_each_is_one():
    call = {"seconds": 3600.0, "llm": "llama-3.1-8b", "bridge": bridge_rule("mean_pool", k=1)}
    plan = make_plan(**call)
    assert (plan.verdict, plan.left) == ("fits if", 0.0)
    assert plan.ways == ("at most 33.08 audio tokens a second", "at most 2457.9 s", "a context of 191970")
    assert make_plan(**call | {"seconds": 2457.9}).verdict == "fits"
    assert make_plan(**call | {"seconds": 2458.0}).verdict == "fits if"
    assert make_plan(**call, context=191_970).verdict == "fits"
    assert make_plan(**call, context=191_969).verdict == "fits if"
    (hz,) = way(plan, r"at most ([\d.]+) audio tokens a second")
    assert hz * 3600 + plan.text_tokens <= 131_072 < (hz + 0.01) * 3600 + plan.text_tokens


def test_too_much_for_the_memory_names_a_batch_and_the_memory():
    call = {"seconds": 600.0, "batch": 8}
    plan = make_plan(**call, memory_gb=25)
    (batch,) = way(plan, r"a batch of (\d+)")
    (memory,) = way(plan, r"([\d.]+) GB of memory")
    (shorter,) = way(plan, r"at most ([\d.]+) s")
    assert plan.verdict == "fits if" and 0 < batch < 8
    assert make_plan(**call | {"batch": int(batch)}, memory_gb=25).verdict == "fits"
    assert make_plan(**call | {"batch": int(batch) + 1}, memory_gb=25).verdict == "fits if"
    assert make_plan(**call, memory_gb=memory).verdict == "fits"
    assert make_plan(**call, memory_gb=memory - 0.1).verdict == "fits if"
    assert make_plan(**call | {"seconds": shorter}, memory_gb=25).verdict == "fits"


def test_weights_that_do_not_fit_are_no_matter_of_the_clip():
    plan = make_plan(seconds=10, memory_gb=10)
    assert (plan.verdict, plan.ways) == ("does not fit", ("17.4 GB of memory",))
    assert make_plan(seconds=10, memory_gb=17.4).verdict == "fits"


def test_context_and_memory_lack_together():
    plan = make_plan(seconds=36_000, memory_gb=10)
    assert (plan.verdict, plan.ways) == ("does not fit", ("a context of 1019700 and 151 GB of memory",))


def test_a_variable_bridge_is_expected_and_may_give_more():
    plan = make_plan(seconds=1800, bridge="ctc", llm="qwen3-4b")
    assert (plan.audio_tokens, plan.audio_tokens_most, plan.verdict) == (22_500, 90_000, "fits if")
    assert plan.ways == ("the bridge gives at most 34975 of the 90000 tokens that it can",)
    assert make_plan(seconds=60, bridge="cif").verdict == "fits"


def test_a_fixed_number_of_tokens_is_a_rate_that_depends_on_the_clip():
    plan = make_plan(seconds=2, bridge=bridge_rule("qformer", queries=8))
    assert (plan.frames, plan.audio_tokens, plan.nominal_hz) == (100, 8, 4.0)
    assert make_plan(seconds=60, bridge="qformer").audio_tokens == 2 * 32


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 192_000])
@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 10**9))
def test_seconds_of_a_file_give_its_samples(rate, n):
    assert n_samples(n / rate, rate) == n
    assert n_samples(n / rate, 16_000) == -(-n * 16_000 // rate)


def test_a_clip_that_is_resampled_has_the_samples_that_are_planned():
    clip = Clip(np.zeros(44_101, np.float32), 44_100)
    assert clip.at(16_000).n_samples == n_samples(clip.duration_s, 16_000)


@settings(deadline=None, max_examples=60)
@given(
    seconds=st.floats(0.1, 10_000),
    kind=st.sampled_from(["mean_pool", "stack_mlp", "qformer", "cif"]),
    context=st.integers(1, 50_000),
    batch=st.integers(1, 8),
    memory_gb=st.one_of(st.none(), st.floats(0.1, 40)),
)
def test_a_shorter_clip_that_is_named_fits(seconds, kind, context, batch, memory_gb):
    call = {"bridge": kind, "llm": "qwen3-0.6b", "context": context, "batch": batch, "memory_gb": memory_gb}
    plan = make_plan(seconds=seconds, **call)
    assert (plan.verdict == "fits") == (not plan.ways)
    for shorter in way(plan, r"at most ([\d.]+) s"):
        again = make_plan(seconds=shorter, **call)
        assert again.verdict == "fits" or again.ways[0].startswith("the bridge gives at most")
    for fewer in way(plan, r"a batch of (\d+)"):
        again = make_plan(seconds=seconds, **call | {"batch": int(fewer)})
        assert again.verdict == "fits" or again.ways[0].startswith("the bridge gives at most")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"seconds": 0}, "a clip needs seconds above 0, got 0"),
        ({"seconds": -1}, "a clip needs seconds above 0, got -1"),
        ({"seconds": math.nan}, "a clip needs seconds above 0, got nan"),
        ({"seconds": math.inf}, "a clip needs seconds above 0, got inf"),
        ({"seconds": 1, "encoder": "ear"}, "the encoder 'ear' is not known: .* or a family: .*qwen2-audio"),
        ({"seconds": 1, "bridge": "ear"}, "the bridge 'ear' is not known"),
        ({"seconds": 1, "encoder": "moshi", "bridge": "mean_pool"}, "moshi is a family with a bridge of its own"),
        ({"seconds": 1, "dtype": "int3"}, "the dtype 'int3' is not known: choose one of float32, bfloat16, float16"),
        ({"seconds": 1, "context": 0}, "context must be above 0, got 0"),
        ({"seconds": 1, "batch": 0}, "batch must be above 0, got 0"),
        ({"seconds": 1, "memory_gb": math.nan}, "memory must be above 0, got nan"),
        ({"seconds": 1, "words_per_minute": -1}, "words a minute must be 0 or more, got -1"),
        ({"seconds": 1, "tokens_per_word": math.inf}, "tokens a word must be 0 or more, got inf"),
    ],
)
def test_what_cannot_be_planned_is_refused(call, message):
    with pytest.raises(RequestError, match=message):
        make_plan(**call)


def test_the_table_refuses_the_same():
    with pytest.raises(RequestError, match="the encoder 'moshi' is not known"):
        plan_all(seconds=1, encoder="moshi")
    with pytest.raises(RequestError, match="a clip needs seconds above 0"):
        plan_all(seconds=0)
    with pytest.raises(NotFoundError, match="no LLM of the name 'gpt-0' is known"):
        plan_all(seconds=1, llm="gpt-0")
