"""Plans as text."""

from ossicle.plan.bridges import bridge_rule
from ossicle.plan.planner import make_plan, plan_all
from ossicle.plan.quality import Figure
from ossicle.plan.render import lines, quality, table

SPEECH = {"words_per_minute": 150.0, "tokens_per_word": 1.33}


def test_a_plan_in_lines():
    assert lines(make_plan(seconds=1800), **SPEECH) == (
        "1800 s: whisper-large-v3 mean_pool k=2 tail=pool -> llama-3.1-8b, bfloat16, batch 1\n"
        "  frames        90000\n"
        "  audio tokens  45000 (25 a second; nominal 25 a second, 45000)\n"
        "  text tokens   5985 (150 words a minute x 1.33 tokens = 3.325 a second), 7.5 to 1\n"
        "  context       131072: 65.7% left for text\n"
        "  memory        keys and values 5.49 GiB of audio, 6.22 GiB with text; weights 16.14 GiB\n"
        "  compute       encoder 136 TFLOP, prefill 1.25 PFLOP, decode 39.7 GFLOP a token, 247 TFLOP for the text\n"
        "  verdict       fits"
    )


def test_a_family_a_cut_and_no_text():
    text = lines(
        make_plan(seconds=60, encoder="qwen2-audio", words_per_minute=0), words_per_minute=0, tokens_per_word=1
    )
    assert text.startswith("60 s, of which 30 s are heard: qwen2-audio -> llama-3.1-8b")
    assert "frames" not in text and "encoder" not in text and " to 1" not in text
    assert text.endswith("verdict       fits if: calls of at most 30 s each (what is longer is cut off in silence)")


def test_large_rates_have_no_exponent():
    assert "375 (18750 a second; nominal 12.5 a second, 1)" in lines(
        make_plan(seconds=0.02, encoder="voxtral"), **SPEECH
    )


def test_small_numbers_and_ways_out():
    text = lines(make_plan(seconds=30, bridge="ctc", encoder="mini", llm="mini", context=2_000), **SPEECH)
    assert "375, at most 1500" in text and " MiB of audio" in text and " MFLOP a token" in text
    text = lines(make_plan(seconds=60, llm="mini", encoder="mini"), **SPEECH)
    assert "fits if: at most 7.33 audio tokens a second; or at most 22.5 s; or a context of 1700" in text
    text = lines(make_plan(seconds=60, memory_gb=1), **SPEECH)
    assert text.endswith("does not fit: that takes 17.6 GB of memory")


def test_a_table_has_a_row_a_plan():
    rates, families = plan_all(seconds=7200, context=32_768)
    text = table(rates, families).splitlines()
    assert text[0].startswith("7200 s -> llama-3.1-8b, bfloat16, context 32768, batch 1; 23940 text tokens")
    assert text[1].split() == ["nominal/s", "nominal", "tokens", "tokens/s", "left", "KV", "prefill", "verdict"]
    assert len(text) == 2 + len(rates) + len(families)
    assert text[2].split()[:6] == ["whisper-large-v3", "mean_pool", "k=1", "tail=pool", "50", "360000"]
    assert "fits if: at most 1.22 audio tokens a second" in text[2] and "; or" not in text[2]
    assert table([], families).splitlines()[2].split()[0] == families[0].name


def test_quality_in_lines():
    found = [
        Figure("music", "score", "higher", "mini", 25.0, 5.5, "measured", "a command", 5.0, 6.0),
        Figure("music", "score", "higher", "Other", 12.5, 6.5, "published", "a README"),
    ]
    assert quality("music", found, {"score": "no winner"}) == (
        "music:\n"
        "  score  mini   25/s    5.5  measured (5 to 6)  a command\n"
        "  score  Other  12.5/s  6.5  published          a README\n"
        "  score: no winner"
    )
    assert quality("music", [], {}) == "music: no figure is measured or published"


def test_queries_are_named():
    plan = make_plan(seconds=2, bridge=bridge_rule("qformer", queries=8))
    assert "whisper-large-v3 qformer queries=8 -> " in lines(plan, **SPEECH)
