"""Curves of a sweep as one picture: a panel for each group of tasks, a line for each bridge, bars for intervals.

Knows rows and numbers; does not know how they were made. Plain SVG without scripts or fonts of its own, on white.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, log2

from ossicle.train.ranking import Found, Key, Row

COLUMNS, WIDTH, HEIGHT = 3, 320, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 40
COLOURS = ("#1b6ca8", "#d1495b", "#2a9d5c", "#8a5cb8", "#d9822b", "#2b9fa8", "#7a5c3e", "#c2459b", "#5f6b76", "#9aa11f")
WORDS = {"wer": "word error rate, %", "accuracy": "accuracy, %"}


def svg(found: Found) -> str:
    """The picture; empty where there is no row."""
    keys, names = found.keys, list(dict.fromkeys(row.place[0] for row in found.rows))
    if not keys:
        return ""
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    lines, x = ceil(len(keys) / COLUMNS), 16.0
    legend = []
    y = HEIGHT * lines + 22.0
    for name in names:
        wide = 34 + 7.2 * len(name)
        if x + wide > COLUMNS * WIDTH:
            x, y = 16.0, y + 20
        stroke = f'stroke="{colours[name]}" stroke-width="3"'
        legend.append(f'<line x1="{x:g}" y1="{y - 4:g}" x2="{x + 20:g}" y2="{y - 4:g}" {stroke}/>')
        legend.append(f'<text x="{x + 25:g}" y="{y:g}">{escape(name)}</text>')
        x += wide
    panels = [_panel(found, key, colours, i) for i, key in enumerate(keys)]
    size = f'width="{COLUMNS * WIDTH}" height="{y + 14:g}" viewBox="0 0 {COLUMNS * WIDTH} {y + 14:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="#222">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *panels, *legend, "</svg>"]) + "\n"


def _panel(found: Found, key: Key, colours: dict[str, str], number: int) -> str:
    """Axes, lines and bars of one group."""
    rows = [row for row in found.rows if row.key == key and not row.place[2]]
    rates = {row.place: found.costs[row.place].tokens_per_s for row in rows}
    first, last = log2(min(rates.values())) - 0.15, log2(max(rates.values())) + 0.15
    low, high = _round_span([100 * end for row in rows for end in (row.low, row.high)])
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(rate: float) -> float:
        return LEFT + wide * (log2(rate) - first) / (last - first)

    def up(percent: float) -> float:
        return TOP + tall * (high - percent) / (high - low)

    step = (high - low) / 4
    parts = [f'<g transform="translate({WIDTH * (number % COLUMNS)} {HEIGHT * (number // COLUMNS)})">']
    parts.append(f'<text x="{LEFT}" y="18" font-weight="bold">{escape(key[0])}: {WORDS[key[1]]}</text>')
    for i in range(5):
        y = up(low + i * step)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{low + i * step:g}</text>')
    for rate in _ticks(found, [row.place[1] for row in rows]):
        x = f"{across(rate):.1f}"
        parts.append(f'<line x1="{x}" y1="{HEIGHT - BOTTOM}" x2="{x}" y2="{HEIGHT - BOTTOM + 4}" stroke="#222"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{rate:.3g}</text>')
    parts.append(f'<text x="{LEFT + wide / 2:g}" y="{HEIGHT - 7}" text-anchor="middle">audio tokens a second</text>')
    for name, colour in colours.items():
        own = sorted((row for row in rows if row.place[0] == name), key=lambda row: rates[row.place])
        parts += _line([(across(rates[row.place]), up(100 * row.value)) for row in own], colour)
        parts += [_bar(across(rates[row.place]), row, up, colour) for row in own]
    return "\n".join([*parts, "</g>"])


def _line(points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [f'<polyline points="{told}" fill="none" stroke="{colour}" stroke-width="2"/>'] if points else []


def _bar(x: float, row: Row, up: Callable[[float], float], colour: str) -> str:
    ends = f'y1="{up(100 * row.low):.1f}" y2="{up(100 * row.high):.1f}"'
    told = f"{escape(row.place[0])}: {100 * row.value:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return (
        f'<g><title>{told}</title><line x1="{x:.1f}" x2="{x:.1f}" {ends} stroke="{colour}" opacity="0.55"/>'
        f'<circle cx="{x:.1f}" cy="{up(100 * row.value):.1f}" r="3.2" fill="{colour}"/></g>'
    )


def _ticks(found: Found, ks: Sequence[int]) -> list[float]:
    """Rates of the mean pool, where it stands; else any arm's."""
    ticks = {}
    for place, cost in found.costs.items():
        if place[1] in ks and not place[2] and (place[1] not in ticks or place[0] == found.reference):
            ticks[place[1]] = cost.tokens_per_s
    return list(ticks.values())


def _round_span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis: steps of 1, 2, 2.5, 5 or their tens, four of them, that hold all values."""
    low, high = min(values), max(values)
    for step in (one * ten for ten in (1, 10, 100) for one in (1, 2, 2.5, 5)):
        first = low // step * step
        if first + 4 * step >= high:
            return first, first + 4 * step
    return 0.0, 100.0 * ceil(high / 100)
