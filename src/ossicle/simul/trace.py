"""When a translation read and when it wrote, drawn over the sound: one page that shows why every token stands there.

Knows decisions with their reasons, token pieces and how loud the sound was; does not know models. A picture for each
utterance: time from left to right, tokens from top to bottom; the line goes right while it reads and down when it
writes. Whoever points at a token or a turn is told the reason. Plain HTML and SVG without scripts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.simul.blocks import Blocks
from ossicle.simul.continuous import Utterance
from ossicle.simul.policies import Write
from ossicle.translate.text import BLANK

BAR_S = 0.05
SECOND, ROW, WAVE, LEFT, RIGHT = 90, 17, 46, 14, 160
"""Pixels of a second, of a token, of the sound's height, and of the margins."""


@dataclass
class Loudness:
    """How loud a sound is, bar by bar, as it comes."""

    bars: list[float] = field(default_factory=list)
    blocks: Blocks = field(default_factory=lambda: Blocks(round(BAR_S * SAMPLE_RATE)))

    def hear(self, samples: np.ndarray) -> None:
        """More sound, (S,) float32 at 16 kHz."""
        self.bars += np.abs(self.blocks.hear(samples)).max(1, initial=0.0).tolist()


def page(
    title: str, utterances: Sequence[Utterance], pieces: Sequence[Sequence[str]], loudness: Loudness, rate_hz: float
) -> str:
    """The page.

    Args:
        title: of it.
        utterances: in order.
        pieces: what stands in each token of each utterance.
        loudness: of the whole sound.
        rate_hz: outputs of the encoder a second.
    """
    peak = max([1e-6, *loudness.bars])
    bars = [one / peak for one in loudness.bars]
    drawn = [_utterance(one, said, bars, rate_hz) for one, said in zip(utterances, pieces, strict=True)]
    style = (
        "body{font:14px sans-serif;color:#222;margin:24px}svg{display:block;margin:6px 0 26px}"
        "text{font:12px sans-serif}.w{fill:#b9c7d3}.p{fill:none;stroke:#1b6ca8;stroke-width:2}.t{fill:#1b6ca8}"
        ".r{fill:transparent}.r:hover,.t:hover{fill:#d1495b}h2{font-size:14px;font-weight:normal;color:#555}"
    )
    words = "The line goes right while it listens and down when it writes; point at it for the reason."
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style>'
        f"<h1>{escape(title)}</h1><p>{words}</p>{''.join(drawn)}</html>\n"
    )


def _utterance(one: Utterance, pieces: Sequence[str], bars: Sequence[float], rate_hz: float) -> str:
    length = one.end_s - one.start_s
    wide, tall = LEFT + RIGHT + SECOND * length, WAVE + ROW * (len(one.ids) + 2)
    first = round(one.start_s / BAR_S)
    parts = []
    for i, bar in enumerate(bars[first : round(one.end_s / BAR_S)]):
        high = max(1.0, bar * (WAVE - 10))
        x = LEFT + SECOND * BAR_S * i
        parts.append(
            f'<rect class="w" x="{x:.1f}" y="{(WAVE - high) / 2:.1f}" width="{SECOND * BAR_S - 1:.1f}" '
            f'height="{high:.1f}"/>'
        )
    for second in range(int(length) + 1):
        x = LEFT + SECOND * second
        parts.append(f'<line x1="{x}" y1="{WAVE}" x2="{x}" y2="{tall - ROW}" stroke="#eee"/>')
        parts.append(f'<text x="{x}" y="{tall - 3}" fill="#888">{one.start_s + second:.0f} s</text>')
    x, y, n = float(LEFT), float(WAVE), 0
    path, marks = [f"M{x:.1f} {y:.1f}"], []
    for turn in one.turns:
        at = LEFT + SECOND * min(turn.n_heard / rate_hz, length)
        path.append(f"H{at:.1f}")
        decision = turn.decision
        if not isinstance(decision, Write):
            marks.append(_mark("r", at, y, f"reads: {decision.reason}"))
        else:
            for reason in decision.reasons:
                y += ROW
                text = pieces[n].replace(BLANK, " ").strip() or "\u00b7"
                marks.append(_mark("t", at, y, f"writes {text!r}: {reason}"))
                marks.append(f'<text x="{at + 8:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
                n += 1
            path.append(f"V{y:.1f}")
        x = at
    head = f"{one.start_s:.2f} to {one.end_s:.2f} s, {len(one.ids)} tokens{', cut' if one.n_full else ''}"
    line = f'<path class="p" d="{" ".join(path)}"/>'
    size = f'width="{wide:.0f}" height="{tall:.0f}" viewBox="0 0 {wide:.0f} {tall:.0f}"'
    return f'<h2>{head}</h2><svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join([*parts, line, *marks])}</svg>'


def _mark(kind: str, x: float, y: float, said: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(said)}</title></circle>'
