"""Make the recordings in ``examples/``: one sentence of the parallel world's test split, said in each of its languages.

    python tools/example_speech.py [FOLDER]

Beside each LANGUAGE.wav (16 kHz, mono, 16 bit) stands LANGUAGE.txt with what is said in it: the right translation of
en.wav to French is fr.txt. The voices are of the test split too, so that no model of ours heard them in training.
"""

import sys
from pathlib import Path

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.audio.io import write_clip
from ossicle.world.parallel import parallel
from ossicle.world.parts import Pause, Scene, Speech, Voice
from ossicle.world.scenes import render
from ossicle.world.speech import speak_afresh

EXAMPLES = Path(__file__).parents[1] / "examples"
SENTENCE = 53
"""One that mini-translate gets right in all directions, as it does not always: docs/results/mini-translate.md."""
AROUND = Pause(0.25)
ACCENTS = {"en": "en-us", "fr": "fr-fr", "de": "de"}


def main(folder: Path) -> None:
    """Write a recording and a text for each language."""
    texts = parallel(np.random.default_rng(SENTENCE), "test").texts
    for language, accent in ACCENTS.items():
        voice = Voice("espeak", accent, "m5", rate_wpm=160, pitch=50, warp=1.0)
        scene = Scene((AROUND, Speech(texts[language], voice), AROUND))
        write_clip(Clip(render(scene, speak=speak_afresh).samples, SAMPLE_RATE), folder / f"{language}.wav")
        (folder / f"{language}.txt").write_text(f"{texts[language]}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES)
