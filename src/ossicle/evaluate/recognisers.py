"""Who reads synthesised speech back: recognisers, each with the name that its numbers carry.

Knows clips, languages and texts; does not know what the speech should have said. A score by a recogniser is one of the
speech and of the recogniser: none is given without its name. The model itself is at hand for all its languages, but may
hear its own mistakes kindly; PocketSphinx knows English alone, was trained on other people's speech, and errs much.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.errors import DependencyError, RequestError

RECOGNISERS = ("itself", "pocketsphinx")


class Recogniser(Protocol):
    """Speech to text."""

    @property
    def name(self) -> str:
        """What its numbers are marked with."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What it understands."""

    def read(self, clip: Clip, language: str) -> str:
        """The words of a clip.

        Raises:
            RequestError: ``unsupported_language``.
        """


@dataclass(frozen=True, eq=False)
class Itself:
    """A translator into the language that is spoken.

    Args:
        name: of the model.
        languages: that it knows.
        hear: (clip, language) to text.
    """

    name: str
    languages: tuple[str, ...]
    hear: Callable[[Clip, str], str]

    def read(self, clip: Clip, language: str) -> str:
        """The words of a clip."""
        check_language(self, language)
        return self.hear(clip, language)


class PocketSphinx:
    """CMU PocketSphinx with the general US English model of its package: hidden Markov models, a trigram of words.

    Raises:
        DependencyError: it is not installed (extra ``bench``).
    """

    languages = ("en",)

    def __init__(self) -> None:
        try:
            import pocketsphinx
        except ImportError as error:
            raise DependencyError(
                "reading speech back by PocketSphinx needs its package: pip install 'ossicle[bench]'"
            ) from error
        self.name = f"PocketSphinx {version('pocketsphinx')}, US English"
        self.decoder: Any = pocketsphinx.Decoder(samprate=float(SAMPLE_RATE), loglevel="FATAL")

    def read(self, clip: Clip, language: str) -> str:
        """The words of a clip, lower case."""
        check_language(self, language)
        samples = clip.at(SAMPLE_RATE).samples
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self.decoder.start_utt()
        self.decoder.process_raw(pcm, full_utt=True)
        self.decoder.end_utt()
        found = self.decoder.hyp()
        return "" if found is None else str(found.hypstr)


def recogniser(name: str, itself: Recogniser) -> Recogniser:
    """A recogniser by its name on the command line.

    Args:
        name: one of `RECOGNISERS`.
        itself: the model that is scored, as a recogniser.

    Raises:
        RequestError: an unknown name.
        DependencyError: it is not installed.
    """
    match name:
        case "itself":
            return itself
        case "pocketsphinx":
            return PocketSphinx()
        case _:
            raise RequestError(f"there is no recogniser {name!r}, known are {', '.join(RECOGNISERS)}")


def check_language(recogniser: Recogniser, language: str) -> None:
    """Refuse a language that nobody there understands.

    Raises:
        RequestError: ``unsupported_language``.
    """
    if language not in recogniser.languages:
        raise RequestError(
            f"{recogniser.name} does not understand {language!r}, but {', '.join(recogniser.languages)}",
            code="unsupported_language",
        )
