"""One more voice for a translator that speaks: how near its speech comes to the voice, and what the others lose by it.

python benchmarks/new_voice.py [RUN] [--items N] [--seed SEED] [--out FILE]

Writes docs/results/new-voice.md. RUN is the folder of a run of recipes/new-voice.yaml. The new voice says sentences
that the run never heard; the model's ear and codebook make units of them, and the vocoder speech of those: before
training, when the new speaker is the mean of the others, and after it. The voices that the model had already are asked
the same. Mel distances are to the true recording; recognisers read all three: the model itself, PocketSphinx.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vocoder import THREADS, errors, installed, readers_of, said_again, span, text_of, worse

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import ConfigError
from ossicle.evaluate.metrics import Counts, interval, paired
from ossicle.evaluate.recognisers import Recogniser
from ossicle.evaluate.report import table, write_page
from ossicle.evaluate.score import percent
from ossicle.hub.translator import load_translator
from ossicle.train.origin import segment
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.spectral_loss import mel_distance
from ossicle.translate.translator import Translator
from ossicle.world.parts import Voice
from ossicle.world.speech import TARGET_VOICES, speak_afresh

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "new-voice.md"
RUN = Path("runs/new-voice")
NEAR = ("voice", "n", "before", "95 % interval", "after", "95 % interval", "after - before")
READ = ("voice", "read by", "n", "true", "95 % interval", "before", "95 % interval", "after", "95 % interval")
READ_MORE = ("after - before, points", "after - true, points")


@dataclass(frozen=True, eq=False)
class Heard:
    """Sentences in one voice: as they are said, and by the vocoder before and after training."""

    voice: str
    language: str
    texts: list[str]
    true: list[Clip]
    before: list[Clip]
    after: list[Clip]


def models_of(origin: dict[str, Any], folder: Path) -> tuple[Translator, Translator]:
    """The model before training, with the new speaker, and after it.

    Raises:
        ConfigError: the run taught no new speaker, or more than the vocoder.
    """
    parts = origin["recipe"]["parts"]
    if parts.get("speaker") is None:
        raise ConfigError(f"{folder} was taught no new speaker: it takes a run of recipes/new-voice.yaml")
    before, after = (load_translator(one, device="cpu", dtype="float32") for one in (parts["base"], folder))
    assert isinstance(before.vocoder, QuickVocoder)
    before.vocoder = before.vocoder.with_speaker(parts["speaker"]["name"], parts["speaker"]["language"])
    theirs = before.state_dict()
    for name, value in after.state_dict().items():
        if not name.startswith("vocoder.") and not torch.equal(value, theirs[name]):
            raise ConfigError(f"{folder} differs from {parts['base']} in {name}: only vocoders are compared here")
    return before, after


def heard(
    models: Sequence[Translator], name: str, language: str, voice: Voice, speaker: str | None, n: int, seed: int
) -> Heard:
    """Test sentences in a voice, and what the vocoders of both models make of their units."""
    texts = [text_of(language, number, seed) for number in range(n)]
    true = [Clip(speak_afresh(text, voice).samples, SAMPLE_RATE) for text in texts]
    before, after = ([said_again(model, clip, language, speaker)[0] for clip in true] for model in models)
    return Heard(name, language, texts, true, before, after)


def distances(made: Sequence[Clip], true: Sequence[Clip]) -> Counts:
    """Mel distance of each clip to its true recording, over what both have."""
    found = []
    for one, other in zip(made, true, strict=True):
        n = min(one.n_samples, other.n_samples)
        found.append(float(mel_distance(*(torch.from_numpy(clip.samples[:n])[None] for clip in (one, other)))))
    return Counts(np.array(found), np.ones(len(found)))


def near(one: Heard) -> tuple[str, ...]:
    """A line of the table of mel distances."""
    before, after = (distances(made, one.true) for made in (one.before, one.after))
    cells = []
    for counts in (before, after):
        ends = interval(counts)
        assert ends is not None
        cells += [f"{counts.rate:.3f}", f"{ends[0]:.3f} to {ends[1]:.3f}"]
    change = paired(before, after)
    assert change is not None
    return one.voice, str(len(one.texts)), *cells, f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"


def read(one: Heard, reader: Recogniser) -> tuple[str, ...]:
    """A line of the table of word error rates."""
    true, before, after = (
        errors(reader, one.language, one.texts, clips) for clips in (one.true, one.before, one.after)
    )
    cells = (*span(true), *span(before), *span(after), worse(before, after), worse(true, after))
    return one.voice, reader.name, str(len(one.texts)), *cells


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=RUN)
    parser.add_argument("--items", type=int, default=50, help="sentences in each voice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    given = parser.parse_args(arguments)
    folder = given.run / "model"
    if not folder.is_dir():
        print(f"there is no finished run in {given.run}: ossicle train recipes/new-voice.yaml --out {given.run}")
        return
    torch.set_num_threads(THREADS)
    origin = json.loads((folder / "origin.json").read_text(encoding="utf-8"))
    models = models_of(origin, folder)
    speaker = origin["recipe"]["parts"]["speaker"]
    name, language, voice = speaker["name"], speaker["language"], Voice(**speaker["voice"])
    readers, nobody = readers_of(models[0])
    languages, silent = installed(readers[0].languages)
    found = [heard(models, f"{name} (new)", language, voice, name, given.items, given.seed)]
    for one in languages:
        found.append(heard(models, f"{one}, its own", one, TARGET_VOICES[one], None, given.items, given.seed))
    about, left_out = segment(torch.device("cpu"), "float32", None), [*nobody, *silent]
    lines = [
        "# One more voice",
        "",
        f"Made by `{shlex.join(['python', 'benchmarks/new_voice.py', *arguments])}`",
        f"at commit {about['commit']}, {about['started']}, torch {torch.__version__}. Figures of a small world.",
        f"{origin['recipe']['parts']['base']} was taught {name} ({voice.engine}, {voice.accent}+{voice.variant}) from",
        f"{speaker['sentences']} sentences, over and over: {origin['data_hours']:.2f} hours of audio, of which",
        f"{percent(speaker.get('others', 0.0))} in the voices that it had; "
        f"{60 * origin['training_hours']:.1f} minutes.",
        "",
        table(NEAR, [near(one) for one in found]),
        "",
        "Mel distance to the true recording (mean absolute difference of log-mels), low is good: test sentences, said",
        "again from the units that the model's own ear and codebook make of the recording. Before training the new",
        "speaker is the mean of the others. Intervals are over sentences, of differences paired. The lower lines are",
        "the voices that the model had before: what they lose is the price.",
        "",
        table((*READ, *READ_MORE), [read(one, by) for one in found for by in readers if one.language in by.languages]),
        "",
        "Word error rates of this speech, both sides in lower case without marks. The model reads as it did before,",
        "because only its vocoder was taught.",
        *(["", "Left out:", "", *(f"- {one}" for one in left_out)] if left_out else []),
    ]
    write_page(given.out, "\n".join(lines) + "\n")
    print(given.out)


if __name__ == "__main__":
    main()
