"""Half an hour translated while it is spoken: does the delay grow, does memory, how much of it is work.

python benchmarks/live.py [--model MODEL] [--policy NAME] [--minutes M] [--to fr] [--folder DIR] [--out FILE]
    writes docs/results/live.md

One voice of the test split says different test sentences with pauses of 0.15 to 0.9 s between them, over a little pink
noise. The sound is handed in by pieces of 0.32 s with a clock that waits for the speaker: work on a piece begins when
it is there and the work before it is done. A sentence's delay is its LAAL by that clock, after the whole text was laid
on the sentences with the fewest word errors (StreamLAAL). Memory is that of the process (Linux), looked at after every
minute of sound.

Beside it: seconds of work a second of sound for text and for speech, with one thread and with two; and what the ear
costs that computes each frame once, against one that hears all again from the start with every piece, as the release
of SeamlessStreaming does.
"""

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from talk import write_talk

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.io import read_clip
from ossicle.errors import OssicleError
from ossicle.evaluate.likeness import likeness
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.simultaneous import hardware
from ossicle.evaluate.simultaneous_runs import PIECE_S, long_items
from ossicle.hub.translator import load_translator
from ossicle.simul.continuous import Continuous
from ossicle.simul.hearing import hearing_of
from ossicle.simul.latency import Sentence, segmented, stream_laal, tokens
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.speech import Uttering
from ossicle.simul.stream import Interpreting, Said
from ossicle.tensors import stacked
from ossicle.translate.translator import Translator

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "live.md"
PAUSES_S = (0.15, 0.9)
SIZE = round(PIECE_S * SAMPLE_RATE)
PART_S = 300.0
GROWS = 1.1
N_SPEED = 12
PREFIX_S = (5.0, 10.0, 20.0)


@dataclass
class Streamed:
    """What came of a long sound.

    Args:
        words, elapsed: of the text, and ms of the clock.
        covered: spans follow each other from the first to the last sample.
        memory: bytes of the process after each minute.
        spent: seconds of work.
        utterances: that it was cut into.
    """

    words: list[str]
    elapsed: list[float]
    covered: bool
    memory: list[int]
    spent: float
    utterances: int


def stream(model: Translator, policy: str, to: str, samples: np.ndarray) -> Streamed:
    """Translate a long sound as if it were spoken now."""
    session = Continuous(model, lambda: policy_named(policy, model), to)
    made = Streamed([], [], True, [], 0.0, 0)
    clock = end_s = 0.0
    for at in range(0, len(samples) + SIZE, SIZE):
        begun = time.perf_counter()
        part = samples[at : at + SIZE]
        events = session.hear(part) if len(part) else session.finish()
        work = time.perf_counter() - begun
        clock, made.spent = max(clock, min(at + SIZE, len(samples)) / SAMPLE_RATE) + work, made.spent + work
        for one in events:
            assert isinstance(one, Said)
            made.covered &= one.span_s[0] == end_s
            end_s = one.span_s[1]
            made.words += (new := one.text.split())
            made.elapsed += [1000 * clock] * len(new)
        if at // (60 * SAMPLE_RATE) > len(made.memory):
            made.memory.append(resident())
        if not len(part):
            break
    made.covered &= end_s == len(samples) / SAMPLE_RATE
    made.utterances = session.n_utterances
    return made


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Translated:
    """What was written of a sentence.

    Args:
        start_s: when it begins.
        late_s: its LAAL by the clock, None where nothing was written of it.
        text, reference: what was written, and is right.
    """

    start_s: float
    late_s: float | None
    text: str
    reference: str


def translated(made: Streamed, sentences: Sequence[dict], to: str) -> list[Translated]:  # type: ignore[type-arg]
    """The text laid on the sentences."""
    told = [Sentence(one["texts"][to], 1000 * one["start_s"], 1000 * one["end_s"]) for one in sentences]
    each = stream_laal(made.words, made.elapsed, told).each
    cuts = segmented(made.words, [tokens(one.reference) for one in told])
    return [
        Translated(one.start / 1000, None if late is None else late / 1000, " ".join(made.words[a:b]), one.reference)
        for one, late, (a, b) in zip(told, each, cuts, strict=True)
    ]


def delay_rows(found: Sequence[Translated], total_s: float) -> tuple[list[tuple[str, ...]], float]:
    """Delays and BLEU of each five minutes, and how many times the first 95th percentile the last one is."""
    rows: list[tuple[str, ...]] = []
    tops, part_s = [], min(PART_S, total_s / 2)
    for begin in np.arange(0, total_s - part_s + 1, part_s):
        some = [one for one in found if begin <= one.start_s < begin + part_s]
        if not some:
            continue
        late = [one.late_s for one in some if one.late_s is not None] or [float("inf")]
        half, top = np.quantile(late, [0.5, 0.95])
        tops.append(top)
        bleu = likeness("bleu", [one.reference for one in some], [one.text for one in some]).value
        minutes = f"{begin / 60:.0f} to {(begin + part_s) / 60:.0f}"
        rows.append((minutes, str(len(some)), *(f"{one:.2f}" for one in (np.mean(late), half, top)), f"{bleu:.1f}"))
    return rows, tops[-1] / tops[0]


def speed_rows(model: Translator, policy: str, to: str) -> list[tuple[str, ...]]:
    """How many times as fast as it is said text and speech are made."""
    items, rows = long_items(N_SPEED, "en", seed=3), []
    seconds = sum(item.speech.duration_s for item in items)
    voices: dict[str, Callable[[], Uttering | None]] = {
        "speech to text": lambda: None,
        "speech to speech": lambda: Uttering(model, to),
    }
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, voice in voices.items():
            for item in items[:1]:
                run(model, policy, to, item.speech.samples, voice())
            begun = time.perf_counter()
            for item in items:
                run(model, policy, to, item.speech.samples, voice())
            spent = time.perf_counter() - begun
            rows.append((name, str(threads), f"{spent / seconds:.3f}", f"{seconds / spent:.1f}"))
    torch.set_num_threads(1)
    return rows


def run(model: Translator, policy: str, to: str, samples: np.ndarray, voice: Uttering | None) -> None:
    """One utterance, piece by piece."""
    session = Interpreting(model, policy_named(policy, model), to, voice=voice)
    for at in range(0, len(samples), SIZE):
        session.hear(samples[at : at + SIZE])
    session.finish()


@torch.no_grad()
def ear_rows(model: Translator, samples: np.ndarray) -> list[tuple[str, ...]]:
    """What an ear costs that computes each frame once, and one that begins anew with every piece."""
    hearing, rows = hearing_of(model), []
    for length in PREFIX_S:
        wave = samples[: round(length * SAMPLE_RATE)]
        ears = hearing.begin(model)
        begun = time.perf_counter()
        for at in range(0, len(wave), SIZE):
            ears.hear(wave[at : at + SIZE])
        ears.finish()
        once = time.perf_counter() - begun
        begun = time.perf_counter()
        for end in range(SIZE, len(wave) + SIZE, SIZE):
            prefix = wave[:end]
            rows_of = hearing.normed(model.banks, prefix)
            hearing.heard(model, stacked([rows_of.T], [len(prefix)], [len(prefix) / SAMPLE_RATE]))
        again = time.perf_counter() - begun
        rows.append((f"{length:.0f}", f"{once:.2f}", f"{again:.2f}", f"{once / again:.2f}"))
    return rows


def main(
    model: str = "mini-simul",
    policy: str | None = None,
    minutes: Annotated[float, typer.Option(min=2.0)] = 30.0,
    to: str = "fr",
    folder: Path = Path("runs/live"),
    out: Path = RESULTS,
) -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    loaded = load_translator(model, device="cpu")
    name = policy or best_policy(loaded)
    if not (folder / "talk.json").exists():
        write_talk(folder, 0, "en", 60 * minutes, pauses_s=PAUSES_S)
    samples = read_clip(folder / "talk.wav", rate=SAMPLE_RATE).samples
    sentences = json.loads((folder / "talk.json").read_text())["sentences"]
    total_s = len(samples) / SAMPLE_RATE
    made = stream(loaded, name, to, samples)
    found = translated(made, sentences, to)
    rows, grew = delay_rows(found, total_s)
    after = made.memory[min(5, len(made.memory) // 2) :]
    slope = float(np.polyfit(np.arange(len(after)), after, 1)[0]) * 60 / 1e6 if len(after) > 1 else 0.0
    page = "\n\n".join(
        [
            f"# {loaded.name}: half an hour while it is spoken",
            f"Made by `{shlex.join(['python', 'benchmarks/live.py', *sys.argv[1:]])}`: {total_s / 60:.1f} minutes of "
            f"English, {len(sentences)} sentences, to {to}, policy `{name}`, on {hardware()}.",
            "Delay of a sentence by the clock, seconds, and BLEU:",
            table(("minutes", "sentences", "mean", "median", "95th percentile", "BLEU"), rows),
            f"The last 95th percentile is {grew:.2f} times the first (aim: at most {GROWS:g}). "
            f"{sum(bool(one.text) for one in found)} of {len(found)} sentences have a translation of their own. "
            f"The spans of the pieces {'cover every sample once' if made.covered else 'DO NOT cover the sound'}. "
            f"{made.utterances} utterances; {made.spent:.0f} s of work, {total_s / made.spent:.1f} times as fast as "
            "it was said.",
            f"Memory of the process after 1, {len(made.memory) // 2} and {len(made.memory)} minutes: "
            f"{made.memory[0] / 1e6:.0f}, {made.memory[len(made.memory) // 2 - 1] / 1e6:.0f} and "
            f"{made.memory[-1] / 1e6:.0f} MB; from the sixth minute on it changes by {slope:+.1f} MB an hour (a line "
            "through all minutes).",
            "Work in pieces of 0.32 s, of utterances of at least 8 s:",
            table(("what", "threads", "seconds a second", "times as fast as said"), speed_rows(loaded, name, to)),
            "The ear alone, one thread, seconds for a sound of so many seconds:",
            table(
                ("seconds", "each frame once", "from the start with every piece", "share"), ear_rows(loaded, samples)
            ),
        ]
    )
    print(page)
    write_page(out, page + "\n")
    if grew > GROWS or not made.covered:
        raise typer.Exit(1)


if __name__ == "__main__":
    try:
        typer.run(main)
    except OssicleError as error:
        sys.exit(f"error: {error.code}: {error}")
