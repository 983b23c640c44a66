"""What speech loses on its way through text: is the voice, is the pitch still there in the translation?

python benchmarks/through_text.py [--model mini-translate] [--from en] [--to fr] [--items N] [--out FILE]

Writes docs/results/through_text.md. Test sentences are said by speakers that are always the same, at a low, a usual and
a high pitch, and translated from speech to speech. A linear probe tells speaker and pitch from the mean frame of the
model's own encoder and from the shares of its units: of the source, and of the speech that comes out. What passes
through text comes out with one voice: there chance is what is left.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from aligner import between, is_there

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.evaluate.linear import Rows, fitted
from ossicle.evaluate.metrics import Counts, interval
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.score import percent
from ossicle.hub.translator import load_translator
from ossicle.infer.translate import translate
from ossicle.train.origin import segment
from ossicle.translate.translator import Translator
from ossicle.world.grammar import Split
from ossicle.world.parallel import parallel
from ossicle.world.parts import Voice
from ossicle.world.speech import TEST_VARIANTS, speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "through_text.md"
ACCENTS = {"en": "en-us", "fr": "fr-fr", "de": "de"}
PITCHES = {"low": 20, "usual": 50, "high": 80}
N_SPEAKERS, FIT_TIMES, HELD_OUT = 8, 2, 5
VIEWS = ("source, frames", "source, units", "translation, frames", "translation, units")


def said(language: str, split: Split, n: int, seed: int) -> list[tuple[Clip, int, int]]:
    """Clips with the numbers of their speaker and pitch; of a multiple of 24 every speaker as often at every
    pitch."""
    found = []
    for number in range(n):
        text = parallel(np.random.default_rng([seed, number, split == "test"]), split).texts[language]
        speaker, pitch = number % N_SPEAKERS, number // N_SPEAKERS % len(PITCHES)
        voice = Voice("espeak", ACCENTS[language], TEST_VARIANTS[speaker], 170, 50, 1.0)
        voice = replace(voice, pitch=tuple(PITCHES.values())[pitch])
        found.append((Clip(speak_afresh(text, voice).samples, SAMPLE_RATE), speaker, pitch))
    return found


@torch.no_grad()
def views(model: Translator, clip: Clip) -> list[torch.Tensor]:
    """The mean frame (D,) of a clip, and where there is a codebook the shares of its units (K,); of as much of it as is
    heard at once."""
    if not len(clip.samples):
        clip = Clip(np.zeros(SAMPLE_RATE // 10, np.float32), SAMPLE_RATE)  # nothing was said
    clip = Clip(clip.samples[: int(model.max_s * SAMPLE_RATE)], SAMPLE_RATE)
    features = model.features([clip])
    found = [model.frames(features).values[0].mean(0).float().cpu()]
    if model.codebook is not None:
        frames = model.moments(features, model.codebook.layer)
        units = model.codebook(frames.values, frames.lengths)[0]
        found.append(torch.bincount(units, minlength=model.codebook.n_units).float().cpu() / len(units))
    return found


def told(values: Sequence[torch.Tensor], labels: Sequence[int], n_fit: int, n_classes: int) -> str:
    """Accuracy of a linear probe on what follows the first ``n_fit`` rows."""
    rows = Rows(torch.stack(list(values)), torch.tensor(labels), torch.arange(len(values)))
    first = rows.clips < n_fit
    probe = fitted(rows.subset(first), n_classes, first_held_out=n_fit - n_fit // HELD_OUT)
    hits = probe.hits(rows.subset(~first)).double().numpy()
    counts = Counts(hits, np.ones_like(hits))
    ends = interval(counts)
    assert ends is not None
    return f"{percent(counts.rate)} ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = between(__doc__)
    parser.add_argument("--items", type=int, default=96, help="scored on, a multiple of 24; fitted on twice as many")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    if not is_there(given.model):
        return
    torch.set_num_threads(1)
    model = load_translator(given.model, device="cpu", dtype="float32")
    n_fit = FIT_TIMES * given.items
    clips = said(given.source, "train", n_fit, given.seed) + said(given.source, "test", given.items, given.seed)
    seen: list[list[torch.Tensor]] = []
    for number, (clip, _, _) in enumerate(clips, 1):
        spoken = translate(model, clip, to=given.to, speak=True).audio
        assert spoken is not None
        seen.append(views(model, clip) + views(model, spoken))
        if number % 24 == 0:
            print(f"{number} of {len(clips)}", flush=True)
    names = VIEWS if len(seen[0]) == len(VIEWS) else VIEWS[::2]
    rows = []
    for what, which, n_classes in (("speaker", 1, N_SPEAKERS), ("pitch", 2, len(PITCHES))):
        labels = [one[which] for one in clips]
        chance = np.bincount(labels[n_fit:]).max() / given.items
        scores = (told([one[i] for one in seen], labels, n_fit, n_classes) for i in range(len(names)))
        rows.append((f"{what} (of {n_classes})", percent(float(chance)), *scores))
    about = segment(torch.device("cpu"), "float32", None)
    lines = [
        "# What speech loses on its way through text",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/through_text.py', *arguments])}`",
        f"at commit {about['commit']}, torch {torch.__version__}, 1 thread. Figures of a small world.",
        "",
        table(("asked", "chance", *names), rows),
        "",
        f"{given.model}, {given.source} to {given.to}, {given.items} test sentences by {N_SPEAKERS} speakers (fitted",
        f"on {n_fit} other sentences by the same); 95 % intervals over clips. Linear probes of the mean frame of the",
        f"encoder{', and of the shares of its units' if names is VIEWS else ''}.",
        "",
    ]
    write_page(given.out, "\n".join(lines))
    print(given.out)


if __name__ == "__main__":
    main()
