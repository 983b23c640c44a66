"""Is speech still understood when units and the vocoder have said it again, and how quick is that?

python benchmarks/vocoder.py [MODEL] [--items N] [--seed SEED] [--out FILE]

Writes docs/results/vocoder.md. MODEL is the folder of a translator with a codebook and a vocoder. Test sentences are
said in the voices that the model speaks with; the model's own ear and codebook make units of them, and its vocoder says
those. Recognisers read both, the true speech and what came of it: the model itself, and PocketSphinx for English. Units
are held against the phones of eSpeak NG and flite. What is not installed is left out, and the page says so.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from aligner import MODEL, flite_phones, is_there
from swap import processor

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.codec.units import Phone, statistics
from ossicle.errors import DependencyError
from ossicle.evaluate.metrics import Counts, count, interval, paired
from ossicle.evaluate.parallel import engine_of
from ossicle.evaluate.recognisers import Itself, PocketSphinx, Recogniser
from ossicle.evaluate.report import points, table, write_page
from ossicle.evaluate.score import percent
from ossicle.evaluate.translation import read_back
from ossicle.hub.translator import load_translator
from ossicle.infer.translate import check_voice, say
from ossicle.train.origin import segment
from ossicle.train.spoken import units_of
from ossicle.translate.translator import Translator
from ossicle.world.parallel import parallel, spoken_form
from ossicle.world.speech import TARGET_VOICES, engines, speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "vocoder.md"
THREADS = 2
HEARD = ("language", "read by", "n", "true speech", "95 % interval", "said again", "95 % interval", "worse by, points")
UNITS = ("language", "units", "used", "perplexity", "run, ms", "purity", "of one unit alone", "information")
QUICK = ("what", "n", "seconds of speech", "seconds taken", "real-time factor", "95 % interval", "median sentence")


@dataclass(frozen=True, eq=False)
class Again:
    """A sentence as it is said, and as the vocoder says it.

    Args:
        text: as written.
        true, made: the two.
        units: (U,) int64, between the two.
        phones: of ``true``.
        vocoder_s: seconds that the vocoder took.
    """

    text: str
    true: Clip
    made: Clip
    units: torch.Tensor
    phones: Sequence[Phone]
    vocoder_s: float


@torch.no_grad()
def said_again(model: Translator, clip: Clip, language: str, speaker: str | None) -> tuple[Clip, torch.Tensor, float]:
    """A clip as the vocoder says it from its units; those, (U,) int64; and the seconds that the vocoder took."""
    assert model.vocoder is not None
    units, n_units = units_of(model, model.features([clip]))
    began = time.perf_counter()
    samples = model.vocoder(units, n_units, languages=[language], speakers=[speaker])
    took_s = time.perf_counter() - began
    return Clip(samples[0].cpu().numpy(), SAMPLE_RATE), units[0].cpu(), took_s


def readers_of(model: Translator) -> tuple[list[Recogniser], list[str]]:
    """Who reads speech back, the model itself first; and who would, but is not installed."""
    engine = engine_of(model)
    itself = Itself(engine.name, engine.languages, lambda clip, language: engine.translate(clip, language, language))
    try:
        return [itself, PocketSphinx()], []
    except DependencyError as error:
        return [itself], [f"PocketSphinx: {error}"]


def installed(languages: Sequence[str]) -> tuple[list[str], list[str]]:
    """Languages in which the voice that a model learns can be heard here; and which cannot, with the reason."""
    there = [one for one in languages if TARGET_VOICES[one].engine in engines()]
    return there, [
        f"{one}: {TARGET_VOICES[one].engine}, which says it, is not installed" for one in languages if one not in there
    ]


def text_of(language: str, number: int, seed: int) -> str:
    """A test sentence, the same that `ossicle evaluate` takes."""
    return parallel(np.random.default_rng([seed, number]), "test").texts[language]


def errors(reader: Recogniser, language: str, texts: Sequence[str], clips: Sequence[Clip]) -> Counts:
    """Word errors of a recogniser, both sides in their spoken form."""
    return count("wer", [spoken_form(text) for text in texts], [read_back(reader, clip, language) for clip in clips])


def worse(this: Counts, other: Counts) -> str:
    """Other minus this in points, with its paired interval, as a cell."""
    found = paired(this, other)
    return "none" if found is None else f"{points(found.value)} ({points(found.low)} to {points(found.high)})"


def sentences(model: Translator, language: str, n: int, seed: int) -> list[Again]:
    """Test sentences in the voice that the model speaks with."""
    voice, found = TARGET_VOICES[language], []
    for number in range(n):
        text = text_of(language, number, seed)
        spoken = speak_afresh(text, voice)
        phones = flite_phones(text, voice) if voice.engine == "flite" else spoken.phones
        true = Clip(spoken.samples, SAMPLE_RATE)
        made, units, took_s = said_again(model, true, language, None)
        found.append(Again(text, true, made, units, phones, took_s))
    return found


def span(counts: Counts) -> tuple[str, str]:
    """A rate in percent and its interval, as cells."""
    ends = interval(counts)
    return percent(counts.rate), "none" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"


def heard(language: str, several: Sequence[Again], reader: Recogniser) -> tuple[str, ...]:
    """A line of the table of word error rates."""
    texts = [one.text for one in several]
    true = errors(reader, language, texts, [one.true for one in several])
    made = errors(reader, language, texts, [one.made for one in several])
    return language, reader.name, str(len(several)), *span(true), *span(made), worse(true, made)


def of_units(language: str, several: Sequence[Again]) -> tuple[str, ...]:
    """A line of the table of units."""
    units, phones = [one.units for one in several], [one.phones for one in several]
    found = statistics(units, phones)
    alone = statistics([torch.zeros_like(one) for one in units], phones)
    return (
        language,
        str(found.n),
        str(found.used),
        f"{found.perplexity:.0f}",
        f"{1000 * found.run_s:.0f}",
        percent(found.purity),
        percent(alone.purity),
        percent(found.information),
    )


def quick(what: str, took_s: Sequence[float], clips: Sequence[Clip]) -> tuple[str, ...]:
    """A line of the table of times."""
    counts = Counts(np.array(took_s), np.array([clip.duration_s for clip in clips]))
    ends, lasting = interval(counts), counts.denominators > 0
    told = ("none", "none", "none")
    if counts.rate is not None and ends is not None:
        median = np.median(counts.numerators[lasting] / counts.denominators[lasting])
        told = (f"{counts.rate:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}", f"{median:.3f}")
    return what, str(len(clips)), f"{counts.denominators.sum():.1f}", f"{counts.numerators.sum():.2f}", *told


def timed(model: Translator, found: dict[str, list[Again]]) -> list[tuple[str, ...]]:
    """The table of times: each sentence from units, as it was said above, and from text, as `say` says it."""
    rows = []
    for language, several in found.items():
        say(model, several[0].text, language=language)  # nor here
        took_s, clips = [], []
        for one in several:
            began = time.perf_counter()
            clips.append(say(model, one.text, language=language))
            took_s.append(time.perf_counter() - began)
        from_units_s, from_units = [one.vocoder_s for one in several], [one.made for one in several]
        rows.append(quick(f"units to speech, {language}", from_units_s, from_units))
        rows.append(quick(f"text to speech, {language}", took_s, clips))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("--items", type=int, default=100, help="sentences of each language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if not is_there(given.model):
        return
    torch.set_num_threads(THREADS)
    load_before = os.getloadavg()[0]
    model = load_translator(given.model, device="cpu", dtype="float32")
    readers, nobody = readers_of(model)
    languages, silent = installed(readers[0].languages)
    left_out = [*nobody, *silent]
    found: dict[str, list[Again]] = {}
    for language in languages:
        check_voice(model, language)
        sentences(model, language, 1, given.seed)  # nothing is timed that runs for the first time
        found[language] = sentences(model, language, given.items, given.seed)
    times = timed(model, found)
    read = [
        heard(language, several, one)
        for language, several in found.items()
        for one in readers
        if language in one.languages
    ]
    about = segment(torch.device("cpu"), "float32", None)
    lines = [
        "# Speech said again from its units",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/vocoder.py', *arguments])}`",
        f"at commit {about['commit']}, {about['started']}, torch {torch.__version__}. Figures of a small world.",
        "",
        table(HEARD, read),
        "",
        "Word error rates, low is good: test sentences in the voice that the model speaks with, and the same after its",
        "own ear and codebook made units of them and its vocoder speech of those. Both sides in lower case without",
        "marks. Intervals are over sentences, of the difference paired. The model may hear its own vocoder more kindly",
        "than others would; PocketSphinx learned from other people's speech and knows nothing of either.",
        *(["", "Left out:", "", *(f"- {one}" for one in left_out)] if left_out else []),
        "",
        table(UNITS, [of_units(language, several) for language, several in found.items()]),
        "",
        "Units of the true speech, 50 a second. Run: mean time until another unit comes. Purity: share of the units",
        "inside phones whose phone is the one that their unit meets most often; beside it what it would be if there",
        "were one unit. Information: what a unit tells of its phone, of all that there is to tell. Phones are those of",
        "the engine that spoke, eSpeak NG's for French and German, flite's for English.",
        "",
        table(QUICK, times),
        "",
        "Real-time factor: seconds taken for a second of speech, each sentence alone, once, after one that was not",
        f"timed; all sentences together, and the one in the middle. On {processor()}, {THREADS} threads, float32; load",
        f"average before {load_before:.1f}. Text to speech is `say`: text encoder, decoder, unit decoder, vocoder.",
    ]
    write_page(given.out, "\n".join(lines) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
