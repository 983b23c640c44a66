"""A plan as text: a few lines for one, a table for many.

Knows words and columns; counts nothing itself.
"""

from collections.abc import Sequence

from ossicle.plan.planner import Budget
from ossicle.plan.quality import Figure

GIB = 2**30


def lines(plan: Budget, *, words_per_minute: float, tokens_per_word: float) -> str:
    """One plan."""
    most = "" if plan.audio_tokens_most == plan.audio_tokens else f", at most {plan.audio_tokens_most}"
    heard = "" if plan.heard_s == plan.seconds else f", of which {plan.heard_s:g} s are heard"
    frames = "" if plan.frames is None else f"\n  frames        {plan.frames}"
    ratio = f", {plan.audio_tokens / plan.text_tokens:.1f} to 1" if plan.text_tokens else ""
    encoder = "" if plan.encoder_flops is None else f"encoder {_flops(plan.encoder_flops)}, "
    return (
        f"{plan.seconds:g} s{heard}: {plan.name} -> {plan.llm}, {plan.dtype}, batch {plan.batch}{frames}\n"
        f"  audio tokens  {plan.audio_tokens}{most} ({_rate(plan.tokens_per_s)} a second; nominal "
        f"{_rate(plan.nominal_hz)} a second, {plan.nominal_tokens})\n"
        f"  text tokens   {plan.text_tokens} ({words_per_minute:g} words a minute x {tokens_per_word:g} tokens = "
        f"{words_per_minute * tokens_per_word / 60:.4g} a second){ratio}\n"
        f"  context       {plan.context}: {plan.left:.1%} left for text\n"
        f"  memory        keys and values {_bytes(plan.kv_audio_bytes)} of audio, {_bytes(plan.kv_bytes)} with text; "
        f"weights {_bytes(plan.weight_bytes)}\n"
        f"  compute       {encoder}prefill {_flops(plan.prefill_flops)}, decode {_flops(plan.decode_flops)} a token, "
        f"{_flops(plan.answer_flops)} for the text\n"
        f"  verdict       {_verdict(plan)}"
    )


def table(rates: Sequence[Budget], families: Sequence[Budget]) -> str:
    """Rates, then families, one a row."""
    head = ("", "nominal/s", "nominal", "tokens", "tokens/s", "left", "KV", "prefill", "verdict")
    first = (rates or families)[0]
    said = (
        f"{first.seconds:g} s -> {first.llm}, {first.dtype}, context {first.context}, batch {first.batch}; "
        f"{first.text_tokens} text tokens; KV with text, left and prefill without"
    )
    return "\n".join([said, *_columns([head, *map(_row, [*rates, *families])])])


def quality(task: str, found: Sequence[Figure], won: dict[str, str]) -> str:
    """The figures of a task with their marks, and what wins."""
    if not found:
        return f"{task}: no figure is measured or published"
    rows = [
        (one.metric, one.system, f"{one.hz:g}/s", f"{one.value:.4g}", one.kind + _interval(one), one.source)
        for one in found
    ]
    return "\n".join(
        [f"{task}:", *_columns([*rows], indent="  "), *(f"  {metric}: {name}" for metric, name in won.items())]
    )


def _row(plan: Budget) -> tuple[str, ...]:
    return (
        plan.name,
        _rate(plan.nominal_hz),
        str(plan.nominal_tokens),
        str(plan.audio_tokens),
        _rate(plan.tokens_per_s),
        f"{plan.left:.1%}",
        _bytes(plan.kv_bytes),
        _flops(plan.prefill_flops),
        _verdict(plan, short=True),
    )


def _columns(rows: Sequence[tuple[str, ...]], indent: str = "") -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _verdict(plan: Budget, *, short: bool = False) -> str:
    ways = plan.ways[:1] if short else plan.ways
    match plan.verdict:
        case "fits":
            return plan.verdict
        case "fits if":
            return f"{plan.verdict}: {'; or '.join(ways)}"
    return f"{plan.verdict}: that takes {'; or '.join(ways)}"


def _rate(hz: float) -> str:
    return f"{hz:.4g}" if hz < 1_000 else f"{hz:.0f}"


def _interval(one: Figure) -> str:
    return "" if one.low is None else f" ({one.low:.4g} to {one.high:.4g})"


def _bytes(n: int) -> str:
    return f"{n / GIB:.2f} GiB" if n >= GIB / 100 else f"{n / 2**20:.2f} MiB"


def _flops(n: int) -> str:
    for size, name in ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP")):
        if n >= size:
            return f"{n / size:.3g} {name}"
    return f"{n / 1e6:.3g} MFLOP"
