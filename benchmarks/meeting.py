"""Thirty minutes heard whole: a meeting of the world, transcribed and asked about; what it costs, and what is lost.

python benchmarks/meeting.py [--seed N] [--model MODEL] [--minutes M] [--folder DIR] [--out FILE]
    writes docs/results/meeting.md

The meeting is made where the folder does not hold it yet. Peak memory is that of a process of its own for each call, as
the kernel counts it (Linux). Beside the whole meeting stand its utterances, each transcribed alone, and the questions
about its facts, each asked of the one utterance that holds the answer.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.io import read_blocks, write_clip
from ossicle.data.manifest import TRANSCRIBE
from ossicle.evaluate.metrics import Counts, Difference, count, interval, normalise, paired
from ossicle.evaluate.report import table
from ossicle.evaluate.score import percent
from ossicle.hub.folder import load
from ossicle.infer.ask import ask
from ossicle.infer.describe import physical_cores
from ossicle.infer.generate import Sampling
from ossicle.infer.lower import merged
from ossicle.infer.recording import Recording, find, listen
from ossicle.infer.requests import Request, conversation, run_batch
from ossicle.infer.transcribe import Segment, Transcript, transcribe
from ossicle.models.audio_lm import AudioLM, Heard
from ossicle.train.origin import segment
from ossicle.world.meeting import write_meeting

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "meeting.md"
ALONE_S = 0.25
SHARES = (1.0, 0.8, 0.65, 0.5)
BATCH = 32
CHILD = """
import sys
from ossicle.cli import run
code = run(sys.argv[1:])
with open("/proc/self/status") as status:  # getrusage would tell the peak of whoever began this process
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


def called(*arguments: str) -> tuple[dict[str, Any], float, float]:
    """What a command prints as JSON, its peak memory in MB, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ossicle {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed, int(done.stderr.split()[-1]) / 1024, time.perf_counter() - began


def minute(source: Path, target: Path, seconds: float) -> None:
    """The beginning of a file as a file of its own."""
    samples = []
    for block in read_blocks(source, rate=SAMPLE_RATE):
        samples.append(block.samples)
        if sum(map(len, samples)) >= seconds * SAMPLE_RATE:
            break
    write_clip(Clip(np.concatenate(samples)[: round(seconds * SAMPLE_RATE)], SAMPLE_RATE), target)


def alone(source: Path, utterances: Sequence[dict[str, Any]]) -> list[Clip]:
    """Each utterance of a meeting with a little of the room on either side."""
    samples = np.concatenate([block.samples for block in read_blocks(source, rate=SAMPLE_RATE)])
    spans = [(round((one["start_s"] - ALONE_S) * SAMPLE_RATE), one) for one in utterances]
    ends = [round((one["end_s"] + ALONE_S) * SAMPLE_RATE) for one in utterances]
    return [
        Clip(samples[max(a, 0) : b].copy(), SAMPLE_RATE, a / SAMPLE_RATE) for (a, _), b in zip(spans, ends, strict=True)
    ]


def written(model: AudioLM, clips: Sequence[Clip], heard: Sequence[Heard]) -> list[str]:
    """What is said in clips that were heard before."""
    texts: list[str] = []
    for at in range(0, len(clips), BATCH):
        some = clips[at : at + BATCH]
        requests = [Request(conversation([clip], TRANSCRIBE), Sampling(128)) for clip in some]
        known = {id(clip): one for clip, one in zip(some, heard[at : at + BATCH], strict=True)}
        found = [""] * len(some)
        for deltas in run_batch(model, requests, None, known):
            for i, delta in enumerate(deltas):
                found[i] += delta.text
        texts += found
    return texts


def by_utterance(segments: Sequence[Segment], utterances: Sequence[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The words of the segments that lie mostly on each utterance, in order, and the words that lie on none."""
    texts: list[list[str]] = [[] for _ in utterances]
    besides = []
    for one in segments:
        shared = [min(one.end_s, u["end_s"]) - max(one.start_s, u["start_s"]) for u in utterances]
        best = int(np.argmax(shared))
        if one.text:
            (texts[best] if shared[best] > 0 else besides).append(one.text)
    return [" ".join(words) for words in texts], besides


def errors(texts: Sequence[str], besides: Sequence[str], utterances: Sequence[dict[str, Any]]) -> Counts:
    """Word errors of each utterance, and last those written where nobody speaks."""
    counts = count("wer", [one["text"] for one in utterances], texts)
    more = float(sum(len(normalise(text).split()) for text in besides))
    return Counts(np.append(counts.numerators, more), np.append(counts.denominators, 0.0))


def rate_of(counts: Counts) -> str:
    low, high = interval(counts) or (float("nan"), float("nan"))
    return f"{percent(counts.rate)} ({100 * low:.1f} to {100 * high:.1f})"


def points_of(change: Difference) -> str:
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def cache_mb(model: AudioLM) -> float:
    """Keys and values of a full context in MB, in float32."""
    config = model.llm.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return float(2 * config.num_hidden_layers * config.num_key_value_heads * head * 4 * model.context / 2**20)


def memory(model: AudioLM, source: Path, name: str, fact: dict[str, Any], folder: Path) -> list[str]:
    """Peak memory of one minute and of all, by the commands that a user types."""
    short = folder / "minute.wav"
    minute(source, short, 60.0)
    rows = []
    first = 0.0
    question = [fact["question"], "--long", "retrieve", "--about", fact["about"], "--passages", "1"]
    for label, arguments in (
        ("transcribe, 1 minute", ["transcribe", str(short), "--json", "--model", name]),
        ("transcribe, all", ["transcribe", str(source), "--json", "--model", name]),
        ("ask one question, retrieve, all", ["ask", str(source), *question, "--json", "--model", name]),
    ):
        found, peak, seconds = called(*arguments)
        first = first or peak
        ledger = found["ledger"]
        heard = f"{ledger['seconds_heard']:.1f} of {ledger['seconds_given']:.1f}"
        rows.append(
            (label, heard, f"{ledger['seconds_dropped']:.1f}", f"{peak:.0f}", f"{peak / first:.2f}", f"{seconds:.0f}")
        )
    head = ("command", "seconds heard", "of these not read", "peak memory, MB", "of one minute", "seconds it took")
    cache = f"Keys and values of a full context of {model.context} tokens, float32: {cache_mb(model):.1f} MB"
    return [table(head, rows), "", f"{cache}, within the peak."]


def words(
    model: AudioLM, source: Path, utterances: Sequence[dict[str, Any]]
) -> tuple[list[str], list[Clip], list[Heard]]:
    """Word errors in the meeting and alone."""
    clips = alone(source, utterances)
    heard = [one for at in range(0, len(clips), 8) for one in model.hear(clips[at : at + 8])]
    single = errors(written(model, clips, heard), [], utterances)
    rows = [("each utterance alone", rate_of(single), "-", "-", "-")]
    for label, only in (("transcribe", False), ("transcribe --speech-only", True)):
        found: Transcript = transcribe(model, source, speech_only=only)
        texts, besides = by_utterance(found.segments, utterances)
        counts = errors(texts, besides, utterances)
        change = paired(single, counts)
        assert change is not None
        kinds = [one.finish for one in found.segments]
        pieces = f"{len(kinds)}: {kinds.count('quiet')} quiet, {kinds.count('no_speech')} no speech"
        rows.append((label, rate_of(counts), points_of(change), str(int(counts.numerators[-1])), pieces))
    head = ("what", "word error rate", "against alone, points", "words where nobody speaks", "pieces")
    return [table(head, rows)], clips, heard


def facts(model: AudioLM, recording: Recording, meeting: dict[str, Any], duration_s: float) -> list[str]:
    """Recall by depth: found, answered from the recording, answered from the utterance alone."""
    utterances = meeting["utterances"]
    thirds: list[list[tuple[bool, bool, bool, bool]]] = [[], [], []]
    clips = {i: clip for i, clip in enumerate(meeting["clips"])}
    for fact in meeting["facts"]:
        said = utterances[fact["utterance"]]
        best = find(recording, fact["about"], 1)[0]
        there = best.start_s < said["end_s"] and best.end_s > said["start_s"]
        right = []
        for passages in (1, 3):
            answer = ask(model, recording, fact["question"], about=fact["about"], passages=passages, max_tokens=32)
            right.append(normalise(answer.text) == normalise(fact["answer"]))
        single = ask(model, clips[fact["utterance"]], fact["question"], max_tokens=32)
        by_itself = normalise(single.text) == normalise(fact["answer"])
        thirds[min(int(3 * said["start_s"] / duration_s), 2)].append((there, *right, by_itself))
    every = [row for third in thirds for row in third]
    names = [f"minutes {i * duration_s / 180:.0f} to {(i + 1) * duration_s / 180:.0f}" for i in range(3)]
    rows = [
        (name, *(f"{sum(column)} of {len(group)}" for column in zip(*group, strict=True)))
        for name, group in zip((*names, "all"), (*thirds, every), strict=True)
        if group
    ]
    head = ("said in", "passage found first", "right, 1 passage read", "right, up to 3 read", "right, utterance alone")
    return [table(head, rows)]


def lower(
    model: AudioLM, clips: Sequence[Clip], heard: Sequence[Heard], utterances: Sequence[dict[str, Any]]
) -> list[str]:
    """Word errors of the utterances alone at lower rates, by merging without training."""
    rows = []
    first: Counts | None = None
    seconds = sum(one.seconds_given for one in heard)
    for share in SHARES:
        fewer = [one if share == 1 else merged(one, max(int(len(one.values) * share), 1)) for one in heard]
        counts = errors(written(model, clips, fewer), [], utterances)
        first = first or counts
        change = paired(first, counts)
        assert change is not None
        rate = sum(len(one.values) for one in fewer) / seconds
        rows.append(
            (f"{100 * share:.0f} %", f"{rate:.1f}", rate_of(counts), "-" if counts is first else points_of(change))
        )
    return [table(("tokens kept", "tokens a second", "word error rate", "against all tokens, points"), rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/meeting"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    duration_s = 60 * given.minutes
    folder = given.folder / f"seed-{given.seed}-{given.minutes:g}-minutes"
    if not (folder / "meeting.json").is_file():
        write_meeting(folder, given.seed, duration_s=duration_s)
    source = folder / "meeting.wav"
    meeting = json.loads((folder / "meeting.json").read_text(encoding="utf-8"))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", physical_cores())))
    model = load(given.model, device="cpu", dtype="float32")
    utterances = meeting["utterances"]
    peaks = memory(model, source, given.model, meeting["facts"][0], folder)
    errors_found, clips, heard = words(model, source, utterances)
    meeting["clips"] = clips
    recording = listen(model, source, speech_only=True)
    about = segment(model.device, "float32", None)
    lines = [
        f"# {given.minutes:g} minutes heard whole: a meeting of the world",
        "",
        f"Made by `python benchmarks/meeting.py{'' if sys.argv[1:] == [] else ' ' + ' '.join(sys.argv[1:])}`",
        f"at commit {about['commit']}, on {platform.machine()}, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, torch {torch.__version__}.",
        f"Seed {given.seed}: {len(utterances)} utterances of {len({u['speaker'] for u in utterances})} speakers, "
        f"{len(meeting['sounds'])} sounds and melodies between them, {len(meeting['facts'])} facts said once; "
        f"model {model.name}, which reads {model.context} tokens at once. A figure of a small world.",
        "",
        "## Heard whole, in flat memory",
        "",
        *peaks,
        "",
        "## Written down",
        "",
        "Words that are written where nobody speaks count as errors.",
        "",
        *errors_found,
        "",
        "## Asked about",
        "",
        "Each fact is one utterance; the words to look for are those of the utterance without the answer.",
        "",
        *facts(model, recording, meeting, duration_s),
        "",
        "## At a lower rate",
        "",
        "The utterances alone; neighbouring audio tokens that are alike are merged, nothing is trained for it.",
        "",
        *lower(model, clips, heard, utterances),
    ]
    given.out.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
