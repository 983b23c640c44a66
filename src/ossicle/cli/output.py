"""How results stand on a terminal: text and JSON on standard output, everything about them on standard error.

Knows ledgers as plain mappings; does not know commands.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def line(code: str, message: str) -> str:
    """What is told of an error, as one line."""
    return f"error: {code}: {' '.join(message.split())}"


def as_line(value: Mapping[str, Any]) -> str:
    """One JSON object as one line, without its end."""
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # of a file name that is no Unicode: \udcff


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object as one line on standard output."""
    print(as_line(value), flush=True)


def print_note(note: str, passages: Sequence[tuple[float, float]]) -> None:
    """What was done with long audio, on standard error."""
    if note:
        spans = ", ".join(f"{start_s:.1f}-{end_s:.1f} s" for start_s, end_s in passages)
        print(f"  {note}{': ' if spans else ''}{spans}", file=sys.stderr, flush=True)


def print_ledger(ledger: dict[str, Any], *, cut: bool) -> None:
    """The ledger as one line on standard error, so that standard output holds the text alone."""
    tail = f" ({ledger['tail_s']:.2f} s dropped at the end)" if ledger["tail_s"] else ""
    tail += f" ({ledger['seconds_merged']:.2f} s merged)" if ledger["seconds_merged"] else ""
    tail += f" ({ledger['seconds_dropped']:.2f} s not read)" if ledger["seconds_dropped"] else ""
    heard = (
        f"heard {ledger['seconds_heard']:.2f} of {ledger['seconds_given']:.2f} s{tail} · {ledger['frames']} frames · "
        f"{ledger['audio_tokens']} audio tokens · "
    )
    print(
        f"  {heard if ledger['seconds_given'] else ''}{ledger['text_tokens']} text tokens"
        f"{' (cut off at --max-tokens)' if cut else ''} · first after {ledger['time_to_first_token_s']:.2f} s · "
        f"{ledger['tokens_per_s']:.0f} a second",
        file=sys.stderr,
        flush=True,
    )


def print_pairs(value: dict[str, Any], indent: str = "") -> None:
    """Nested names and values, one a line."""
    for key, one in value.items():
        if isinstance(one, dict):
            print(f"{indent}{key}")
            print_pairs(one, indent + "  ")
        else:
            print(f"{indent}{key}: {one}")
