"""Scores of simultaneous translation as tables and curves, with the command that made them.

Knows numbers and words; does not know how anything was measured. The picture is plain SVG on white: BLEU over LAAL, a
panel for each pair of languages, a line for each policy, the ceiling dashed.
"""

import os
from html import escape
from operator import itemgetter
from pathlib import Path

from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.simultaneous import OFFLINE, Mean, Point, SimultaneousScores, SpokenPoint, kind

LATE = 2000.0
"""ms of LAAL at which policies are compared."""
COLOURS = {"emma": "#1b6ca8", "wait-k": "#d1495b", "agreement": "#2a9d5c", "alignatt": "#8a5cb8"}
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 320, 46, 14, 30, 66
HEAD = ("pair", "policy", "piece, s", "BLEU", "95 % interval", "LAAL", "95 % interval", "LAAL by the clock")
SPOKEN = (
    *("pair", "policy", "read back by", "ASR-BLEU", "95 % interval", "start", "by the clock", "end", "by the clock"),
    *("ATD", "by the clock", "work a second", "n"),
)
MORE = ("AL", "AP", "DAL", "ATD", "start", "end", "work a second")


def tables(scores: SimultaneousScores) -> str:
    """The tables of one evaluation as Markdown: who is best within two seconds, and every point."""
    lines = [
        f"{scores.points[0].bleu.n} utterances of each source language, "
        + ", ".join(f"{seconds / 60:.1f} minutes of {one}" for one, seconds in scores.seconds.items())
        + f", on {scores.hardware}. Latencies are means over utterances, in seconds (AP is a share), counted in words. "
        "LAAL by the clock counts the work too. The ceiling, `offline`, is the model itself, told where sentences are, "
        "which hears each to its end. Work a second is of all that was computed, encoder and decoder.",
        f"Best setting of each policy whose LAAL is at most {LATE / 1000:g} s:",
        table(
            ("pair", "policy", "BLEU", "95 % interval", "of the ceiling", "LAAL", "LAAL by the clock"),
            [row for pair in _pairs(scores) for row in _best(scores, *pair)],
        ),
        "All settings:",
        table((*HEAD, *MORE, "n"), [_row(one) for one in scores.points]),
        f"- `BLEU {scores.points[0].bleu.signature}`",
    ]
    if scores.spoken:
        lines[3:3] = [
            "Speech to speech; its sentences are read back, both sides in lower case without marks:",
            table(SPOKEN, [_spoken(one) for one in scores.spoken]),
        ]
    return "\n\n".join(lines)


def write(path: str | os.PathLike[str], scores: SimultaneousScores, *, command: str) -> None:
    """Write the tables to a file, under the command that made them, and the picture beside it; each whole or not.

    Raises:
        StorageError: a file cannot be written.
    """
    picture = Path(path).with_suffix(".svg")
    write_page(picture, svg(scores))
    head = f"# {scores.model}: simultaneous translation\n\nMade by `{command}` (seed {scores.seed})."
    shown = f"![BLEU over LAAL]({picture.name})"
    write_page(path, f"{head}\n\n{shown}\n\n{tables(scores)}\n")


def _pairs(scores: SimultaneousScores) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.source, one.to) for one in scores.points))


def _policies(scores: SimultaneousScores) -> list[str]:
    return [one for one in dict.fromkeys(kind(one.policy) for one in scores.points) if one != OFFLINE]


def _best(scores: SimultaneousScores, source: str, to: str) -> list[tuple[str, ...]]:
    top, rows = scores.ceiling(source, to), []
    for policy in (OFFLINE, *_policies(scores)):
        one = top if policy == OFFLINE else scores.within(source, to, policy, LATE)
        if one is None:
            rows.append((f"{source} to {to}", policy, *["none"] * 5))
            continue
        share = "" if one is top or not top.bleu.value else f"{100 * one.bleu.value / top.bleu.value:.0f} %"
        late = (_seconds(one, "laal"), _seconds(one, "laal_ca"))
        rows.append((f"{source} to {to}", one.policy, *_bleu(one), share, *late))
    return rows


def _row(one: Point) -> tuple[str, ...]:
    laal = one.latency.get("laal")
    return (
        f"{one.source} to {one.to}",
        one.policy,
        f"{one.piece_s:.2f}",
        *_bleu(one),
        _seconds(one, "laal"),
        _span(laal),
        _seconds(one, "laal_ca"),
        _seconds(one, "al"),
        f"{one.latency['ap'].value:.2f}" if laal else "",
        *(_seconds(one, name) for name in ("dal", "atd", "start_offset", "end_offset")),
        f"{one.rtf:.3f}",
        str(one.bleu.n - one.n_silent),
    )


def _spoken(one: SpokenPoint) -> tuple[str, ...]:
    names = ("start_offset", "start_offset_ca", "end_offset", "end_offset_ca", "atd", "atd_ca")
    late = [f"{one.latency[name].value / 1000:.2f}" if name in one.latency else "" for name in names]
    pair = f"{one.source} to {one.to}"
    return pair, one.policy, one.recogniser, *_bleu(one), *late, f"{one.rtf:.3f}", str(one.bleu.n - one.n_silent)


def _bleu(one: Point | SpokenPoint) -> tuple[str, str]:
    return f"{one.bleu.value:.1f}", f"{one.bleu.low:.1f} to {one.bleu.high:.1f}"


def _seconds(one: Point, name: str) -> str:
    return f"{one.latency[name].value / 1000:.2f}" if name in one.latency else ""


def _span(mean: Mean | None) -> str:
    return "" if mean is None else f"{mean.low / 1000:.2f} to {mean.high / 1000:.2f}"


def svg(scores: SimultaneousScores) -> str:
    """The picture."""
    pairs = _pairs(scores)
    panels = [_panel(scores, pair, i) for i, pair in enumerate(pairs)]
    wide = WIDTH * len(pairs)
    x, legend = 16.0, []
    for policy in _policies(scores):
        colour = COLOURS.get(policy, "#5f6b76")
        legend.append(
            f'<line x1="{x:g}" y1="{HEIGHT - 12}" x2="{x + 20:g}" y2="{HEIGHT - 12}" stroke="{colour}" '
            f'stroke-width="3"/><text x="{x + 25:g}" y="{HEIGHT - 8}">{escape(policy)}</text>'
        )
        x += 44 + 7.2 * len(policy)
    legend.append(f'<text x="{x:g}" y="{HEIGHT - 8}">dashed: each sentence heard first</text>')
    size = f'width="{wide}" height="{HEIGHT}" viewBox="0 0 {wide} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="#222">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *panels, *legend, "</svg>"]) + "\n"


def _panel(scores: SimultaneousScores, pair: tuple[str, str], number: int) -> str:
    """Axes, lines and bars of one pair of languages."""
    top = scores.ceiling(*pair)
    points = [one for one in scores.points if (one.source, one.to) == pair and one is not top and one.latency]
    late = [one.latency["laal"].value / 1000 for one in points]
    last = max([1.0, *late]) * 1.05
    first = min([0.0, *late])
    high = max([10.0, top.bleu.high, *(one.bleu.high for one in points)])
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(seconds: float) -> float:
        return LEFT + wide * (seconds - first) / (last - first)

    def up(bleu: float) -> float:
        return TOP + tall * (1 - bleu / high)

    parts = [f'<g transform="translate({WIDTH * number} 0)">']
    parts.append(f'<text x="{LEFT}" y="18" font-weight="bold">{pair[0]} to {pair[1]}: BLEU over LAAL, s</text>')
    for i in range(5):
        value = high * i / 4
        y = up(value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.0f}</text>')
        x = first + (last - first) * i / 4
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:.1f}</text>')
    y = up(top.bleu.value)
    parts.append(
        f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#222" stroke-dasharray="5 4"/>'
    )
    for policy in _policies(scores):
        colour = COLOURS.get(policy, "#5f6b76")
        own = sorted(
            ((one.latency["laal"].value, one) for one in points if kind(one.policy) == policy), key=itemgetter(0)
        )
        places = [(across(x / 1000), up(one.bleu.value), one) for x, one in own]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, one in places:
            low, above = up(one.bleu.low), up(one.bleu.high)
            parts.append(
                f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{above:.1f}" stroke="{colour}" opacity="0.4"/>'
            )
            said = f"{one.policy}: BLEU {one.bleu.value:.1f}, LAAL {one.latency['laal'].value / 1000:.2f} s"
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{said}</title></circle>')
    return "\n".join([*parts, "</g>"])
