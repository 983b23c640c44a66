"""Ten minutes translated whole: a talk of the parallel world, against the very same sentences heard alone.

python benchmarks/talk.py [--model MODEL] [--from en] [--to fr] [--seed N] [--minutes M] [--folder DIR] [--out FILE]
    writes docs/results/talk.md

One voice of the test split says different test sentences with pauses between them, over a little pink noise; the talk
is made where the folder does not hold it yet. `ossicle translate` makes of it another language, and its own: each call
is a process of its own, whose peak memory the kernel counts (Linux). Beside the talk stand its sentences, cut from the
same file with a quarter of a second on either side, each translated alone.

The talk is cut in its pauses and not told where sentences end. Its word errors are those of all words in a row, so that
the cuts do not matter. For BLEU each segment's text goes to the sentence that it lies on for longest, or lies nearest
to: no text is left out.
"""

import functools
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from aligner import between, is_there
from meeting import called

from ossicle.audio.clip import SAMPLE_RATE, Clip, seconds_to_samples
from ossicle.audio.io import read_clip, write_clip
from ossicle.errors import RequestError
from ossicle.evaluate.likeness import Likeness, likeness
from ossicle.evaluate.metrics import Counts, count, paired
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.score import percent
from ossicle.hub.translator import load_translator
from ossicle.infer.describe import physical_cores
from ossicle.infer.translate import translate
from ossicle.train.origin import segment
from ossicle.translate.translator import Translator
from ossicle.world.parallel import parallel, spoken_form
from ossicle.world.parts import Part, Pause, Scene, Speech
from ossicle.world.scenes import render
from ossicle.world.speech import sample_voice, speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "talk.md"
ALONE_S = 0.25
PAUSES_S = (0.6, 1.8)
SNR_DB = 40.0
AIM = 2.0
"""Points of BLEU and of the word error rate that a talk may cost."""


def write_talk(
    folder: Path, seed: int, language: str, duration_s: float, *, pauses_s: tuple[float, float] = PAUSES_S
) -> None:
    """A talk of exactly so many seconds: ``talk.wav`` (16 bit), then ``talk.json`` with every sentence and its times.

    Sentences are added until the next one would not fit; what is left is the last pause.

    Raises:
        RequestError: not even the first one fits.
    """
    voice = sample_voice(np.random.default_rng([seed, 0]), "test", language=language)
    rng, speak = np.random.default_rng([seed, 1]), functools.cache(speak_afresh)
    n_left, number = seconds_to_samples(duration_s, SAMPLE_RATE), 0
    parts: list[Part] = []
    texts: dict[str, dict[str, str]] = {}
    while True:
        said = parallel(np.random.default_rng([seed, 2, number]), "test").texts
        number += 1
        if said[language] in texts:
            continue
        pause = Pause(float(rng.uniform(*pauses_s)))
        n_pause = seconds_to_samples(pause.duration_s, SAMPLE_RATE)
        needed = n_pause + len(speak(said[language], voice).samples)
        if needed + seconds_to_samples(pauses_s[0], SAMPLE_RATE) > n_left:
            break
        parts += [pause, Speech(said[language], voice)]
        texts[said[language]] = said
        n_left -= needed
    if not texts:
        raise RequestError(f"the first sentence of the talk does not fit into {duration_s:g} s: let it be longer")
    scene = Scene((*parts, Pause(n_left / SAMPLE_RATE)), noise="pink", snr_db=SNR_DB, seed=seed)
    made = render(scene, speak=speak)
    heard = [event for event in made.events if event.kind == "speech"]
    folder.mkdir(parents=True, exist_ok=True)
    write_clip(Clip(made.samples, SAMPLE_RATE), folder / "talk.wav")
    told = {
        "voice": asdict(voice),
        "sentences": [{"start_s": one.start_s, "end_s": one.end_s, "texts": texts[one.label]} for one in heard],
    }
    write_page(folder / "talk.json", json.dumps(told, ensure_ascii=False, indent=1) + "\n")


def alone(talk: Clip, sentences: Sequence[dict[str, Any]]) -> list[Clip]:
    """Each sentence of a talk with a little of the pause on either side."""
    found = []
    for one in sentences:
        first, end = (seconds_to_samples(at, SAMPLE_RATE) for at in (one["start_s"] - ALONE_S, one["end_s"] + ALONE_S))
        found.append(Clip(talk.samples[first:end].copy(), SAMPLE_RATE, first / SAMPLE_RATE))
    return found


def by_sentence(segments: Sequence[dict[str, Any]], sentences: Sequence[dict[str, Any]]) -> list[str]:
    """The text of each sentence: that of the segments that lie on it for longest, or lie nearest to it."""
    texts: list[list[str]] = [[] for _ in sentences]
    for one in segments:
        shared = [min(one["end_s"], s["end_s"]) - max(one["start_s"], s["start_s"]) for s in sentences]
        if one["text"]:
            texts[int(np.argmax(shared))].append(one["text"])
    return [" ".join(several) for several in texts]


def each_alone(model: Translator, clips: Sequence[Clip], to: str) -> tuple[list[str], float]:
    """What sentences become one by one, and the seconds it took."""
    began = time.perf_counter()
    texts = [translate(model, clip, to=to).text for clip in clips]
    return texts, time.perf_counter() - began


def in_a_row(references: Sequence[str], texts: Sequence[str]) -> Counts:
    """Word errors of all words in a row."""
    return count("wer", [" ".join(map(spoken_form, references))], [" ".join(map(spoken_form, texts))])


def one_by_one(references: Sequence[str], texts: Sequence[str]) -> Counts:
    """Word errors of each sentence."""
    return count("wer", [*map(spoken_form, references)], [*map(spoken_form, texts)])


def recognised(references: Sequence[str], single: Sequence[str], found: dict[str, Any], whole: list[str]) -> list[str]:
    """Word errors of the talk and of its sentences alone."""
    first = in_a_row(references, single).rate
    talk = in_a_row(references, [one["text"] for one in found["segments"]]).rate
    assert first is not None and talk is not None
    by_itself, inside = one_by_one(references, single), one_by_one(references, whole)
    change = paired(by_itself, inside)
    assert change is not None
    points = 100 * (talk - first)
    between = f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
    rows = [
        ("each sentence alone", percent(first), "-", percent(by_itself.rate), "-"),
        ("the talk", percent(talk), f"{points:+.1f}", percent(inside.rate), between),
    ]
    head = ("what", "word error rate, all words in a row", "points", "sentence by sentence", "points (95 % interval)")
    return [table(head, rows), "", verdict("word error rate", points)]


def translated(references: Sequence[str], single: Sequence[str], whole: Sequence[str], seed: int) -> list[str]:
    """BLEU and chrF of the talk and of its sentences alone."""
    scores = {
        metric: [likeness(metric, references, texts, seed=seed) for texts in (single, whole)]
        for metric in ("bleu", "chrf")
    }

    def cells(pair: list[Likeness], which: int) -> tuple[str, str, str]:
        one = pair[which]
        points = f"{one.value - pair[0].value:+.1f}" if which else "-"
        return f"{one.value:.1f}", f"{one.low:.1f} to {one.high:.1f}", points

    rows = [
        (name, *cells(scores["bleu"], which), *cells(scores["chrf"], which))
        for which, name in enumerate(("each sentence alone", "the talk"))
    ]
    head = ("what", "BLEU", "95 % interval", "points", "chrF", "95 % interval", "points")
    alike = sum(one == other for one, other in zip(single, whole, strict=True))
    return [
        table(head, rows),
        "",
        f"Of {len(single)} sentences {alike} became the same text in the talk as alone.",
        verdict("BLEU", scores["bleu"][1].value - scores["bleu"][0].value),
        "",
        *(f"- `{name} {pair[0].signature}`" for name, pair in (("BLEU", scores["bleu"]), ("chrF", scores["chrf"]))),
    ]


def verdict(what: str, points: float) -> str:
    reached = "reached" if abs(points) <= AIM else "missed"
    return f"The aim, {what} within {AIM:g} points of the sentences alone, is {reached}: {points:+.2f}."


def costs(runs: dict[str, tuple[dict[str, Any], float, float]]) -> list[str]:
    """Seconds heard, peak memory and time of each command."""
    first = next(iter(runs.values()))[1]
    rows = []
    for name, (found, peak, seconds) in runs.items():
        ledger = found["ledger"]
        quiet = [one["finish"] for one in found["segments"]].count("quiet")
        rows.append(
            (
                name,
                f"{ledger['seconds_heard']} of {ledger['seconds_given']}",
                f"{len(found['segments'])}, {quiet} quiet",
                f"{peak:.0f}",
                f"{peak / first:.2f}",
                f"{seconds:.0f}",
                f"{ledger['seconds_given'] / seconds:.1f}",
            )
        )
    head = (
        "command",
        "seconds heard",
        "pieces",
        "peak memory, MB",
        "of the first",
        "seconds it took",
        "times as fast",
    )
    return [table(head, rows)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = between(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/talk"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if given.source == given.to:
        parser.error(f"--to names another language than --from, which is {given.source}")
    if not is_there(given.model):
        return
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", physical_cores())))
    model = load_translator(given.model, device="cpu", dtype="float32")
    folder = given.folder / f"seed-{given.seed}-{given.source}-{given.minutes:g}-minutes"
    if not (folder / "talk.json").is_file():
        write_talk(folder, given.seed, given.source, 60 * given.minutes)
    told = json.loads((folder / "talk.json").read_text(encoding="utf-8"))
    sentences = told["sentences"]
    talk = read_clip(folder / "talk.wav")
    duration_s = round(talk.duration_s, 6)  # as a ledger tells seconds
    n_minute = min(60 * SAMPLE_RATE, talk.n_samples)
    write_clip(Clip(talk.samples[:n_minute].copy(), SAMPLE_RATE), folder / "minute.wav")

    def run(file: str, to: str) -> tuple[dict[str, Any], float, float]:
        return called("translate", str(folder / file), "--to", to, "--json", "--model", given.model, "--device", "cpu")

    runs = {
        f"translate --to {given.to}, first {n_minute / SAMPLE_RATE:g} s": run("minute.wav", given.to),
        f"translate --to {given.to}, all": run("talk.wav", given.to),
        f"translate --to {given.source}, all": run("talk.wav", given.source),
    }
    _, translation, recognition = (found for found, _, _ in runs.values())
    whole = all(one["ledger"]["seconds_heard"] == duration_s for one in (translation, recognition))
    whole &= all(one["ledger"]["seconds_given"] == duration_s for one in (translation, recognition))
    clips = alone(talk, sentences)
    single, took = each_alone(model, clips, given.to)
    heard_alone, took_heard = each_alone(model, clips, given.source)
    written, wanted = ([one["texts"][language] for one in sentences] for language in (given.source, given.to))
    about = segment(model.device, "float32", None)
    voice = told["voice"]
    lines = [
        f"# {given.minutes:g} minutes translated whole: a talk of the parallel world",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/talk.py', *arguments])}`",
        f"at commit {about['commit']}, on {platform.machine()}, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}.",
        f"Seed {given.seed}: {len(sentences)} test sentences in the language {given.source}, said by one test voice "
        f"({voice['accent']}, {voice['variant'] or 'plain'}, {voice['rate_wpm']} words a minute) with pauses between "
        f"them; model {model.name}. A figure of a small world.",
        "",
        "## Heard whole",
        "",
        *costs(runs),
        "",
        f"Seconds given and heard are {duration_s} in both calls: {'yes' if whole else 'no'}. The sentences alone, one "
        f"after another, took {took:.0f} s to {given.to} and {took_heard:.0f} s to {given.source}.",
        "",
        f"## Translated, {given.source} to {given.to}",
        "",
        "The text of a segment counts for the sentence that it lies on for longest, or lies nearest to.",
        "",
        *translated(wanted, single, by_sentence(translation["segments"], sentences), given.seed),
        "",
        f"## Written down, {given.source}",
        "",
        *recognised(written, heard_alone, recognition, by_sentence(recognition["segments"], sentences)),
    ]
    write_page(given.out, "\n".join(lines) + "\n")
    print(given.out)
    if not whole:
        raise SystemExit(f"the talk of {duration_s} s was not heard whole, see {given.out}")


if __name__ == "__main__":
    main()
