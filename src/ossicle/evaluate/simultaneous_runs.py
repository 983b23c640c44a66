"""Long utterances translated as if they were spoken now, with a clock that waits for the speaker.

Knows items, translators, policies and clocks; does not know scores. What the encoder makes of a piece is computed once
for all policies, and the time that it took is counted for each. Work on a piece begins when the piece is there and the
work before it is done; the elapsed time of a word is when its piece is through.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.simul.hearing import hearing_of
from ossicle.simul.latency import tokens
from ossicle.simul.named import policy_named
from ossicle.simul.policies import WaitK
from ossicle.simul.speech import Uttered
from ossicle.simul.stream import Interpreting, Said
from ossicle.translate.translator import Translator
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parallel_speech import said
from ossicle.world.scenes import render
from ossicle.world.speech import speak_afresh

LEAST_S = 8.0
"""What an utterance lasts at least."""
PIECE_S = 0.32
HEARS_ALL = 10**6
AROUND = 1600
"""Samples around a sentence that is heard alone."""


@dataclass(frozen=True, eq=False)
class LongItem:
    """An utterance of several sentences.

    Args:
        texts: by language.
        language: that it is said in.
        speech: of `LEAST_S` seconds at least.
        sentences: where each is said, first sample and end.
    """

    texts: dict[str, str]
    language: str
    speech: Clip
    sentences: tuple[tuple[int, int], ...]


def long_items(n: int, language: str, *, seed: int = 0) -> list[LongItem]:
    """Test utterances of several sentences; the first ones are the same for any ``n``.

    Raises:
        DependencyError: eSpeak NG is not installed.
    """
    found = []
    for number in range(n):
        drawn = np.random.default_rng([seed, number, 8])
        sentences: list[dict[str, str]] = []
        while True:
            sentences.append(dict(parallel(drawn, "test").texts))
            rng = np.random.default_rng([seed, number, 9, LANGUAGES.index(language)])
            scene = said(rng, "test", language, [one[language] for one in sentences], clean=True)
            made = render(scene, speak=speak_afresh)
            if len(made.samples) >= LEAST_S * SAMPLE_RATE:
                break
        texts = {one: " ".join(sentence[one] for sentence in sentences) for one in LANGUAGES}
        spoken = [event for event in made.events if event.kind == "speech"]
        bounds = tuple((round(one.start_s * SAMPLE_RATE), round(one.end_s * SAMPLE_RATE)) for one in spoken)
        found.append(LongItem(texts, language, Clip(made.samples, SAMPLE_RATE), bounds))
    return found


@dataclass(frozen=True, eq=False)
class Pieces:
    """What ears made of a sound, piece by piece.

    Args:
        sizes: samples of each piece.
        values: (1, n, D) of the encoder after each, and one more after the end.
        seconds: that each took.
    """

    sizes: list[int]
    values: list[torch.Tensor]
    seconds: list[float]


class Recorded:
    """Ears that say what they made before; `spent` is the time that it took."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.n_samples = self.place = 0
        self.spent = 0.0

    def hear(self, samples: np.ndarray) -> torch.Tensor:
        """The outputs of as many pieces as there are in these samples."""
        found, end = [], self.n_samples + len(samples)
        while self.n_samples < end:
            self.n_samples += self.pieces.sizes[self.place]
            found.append(self._next())
        assert self.n_samples == end, "recorded ears hear whole pieces"
        return torch.cat(found, 1)

    def finish(self) -> torch.Tensor:
        """The outputs at the end."""
        return self._next()

    def _next(self) -> torch.Tensor:
        self.spent += self.pieces.seconds[self.place]
        self.place += 1
        return self.pieces.values[self.place - 1]


def recorded(model: Translator, samples: np.ndarray, piece_s: float = PIECE_S) -> Pieces:
    """A sound through a model's ears, piece by piece.

    Raises:
        RequestError: the model does not hear so.
    """
    ears, size = hearing_of(model).begin(model), round(piece_s * SAMPLE_RATE)
    pieces = Pieces([], [], [])
    for at in range(0, len(samples), size):
        part, begun = samples[at : at + size], time.perf_counter()
        pieces.values.append(ears.hear(part))
        pieces.seconds.append(time.perf_counter() - begun)
        pieces.sizes.append(len(part))
    begun = time.perf_counter()
    pieces.values.append(ears.finish())
    pieces.seconds.append(time.perf_counter() - begun)
    return pieces


@dataclass(frozen=True)
class Interpreted:
    """A translation and when its words were written.

    Args:
        text: of all.
        delays: of each word, ms of the source that had been handed in.
        elapsed: of each word, ms of the clock.
        source: ms.
        spent: ms of work in all.
        said: the pieces of it.
    """

    text: str
    delays: list[float]
    elapsed: list[float]
    source: float
    spent: float
    said: list[Said] = field(default_factory=list, repr=False)


def interpreted(
    model: Translator, policy: str, language: str, samples: np.ndarray, pieces: Pieces, *, at_once: int = 1
) -> Interpreted:
    """Translate a sound as if it were spoken now.

    Args:
        model: that hears piece by piece.
        policy: by name.
        language: to write, by the model's code.
        samples: (S,) of the sound.
        pieces: what the model's ears made of it.
        at_once: pieces that are handed in at once.

    Raises:
        RequestError, ConfigError: as `policy_named` and `Interpreting`.
    """
    ears = Recorded(pieces)
    session = Interpreting(model, policy_named(policy, model), language, ears=ears)
    said: list[Said] = []
    delays: list[float] = []
    elapsed: list[float] = []
    spent = 0.0
    for events, clock, work in turns(session, ears, samples, at_once=at_once):
        spent += work
        for one in (event for event in events if isinstance(event, Said)):
            words = tokens(one.text)
            delays += [ms_of(one.at_s)] * len(words)
            elapsed += [clock] * len(words)
            said.append(one)
    return Interpreted(session.text, delays, elapsed, 1000 * len(samples) / SAMPLE_RATE, spent, said)


def ms_of(second: float) -> float:
    """ms of a second that is a whole number of samples, equal to those of the source where it is its last one."""
    return 1000 * round(second * SAMPLE_RATE) / SAMPLE_RATE


def turns(
    session: Interpreting, ears: Recorded, samples: np.ndarray, *, at_once: int = 1
) -> Iterator[tuple[list[Said | Uttered], float, float]]:
    """What comes of a sound that is handed in piece by piece and then ends: of each turn the events, the clock when it
    is through, and the work that it took, ms.

    Args:
        session: that hears with these ears.
        ears: whose pieces are those of the sound.
        samples: (S,) of the sound.
        at_once: pieces that are handed in at once.
    """
    sizes, at, clock = ears.pieces.sizes, 0, 0.0
    for n in [*(sum(sizes[i : i + at_once]) for i in range(0, len(sizes), at_once)), 0]:
        before, begun = ears.spent, time.perf_counter()
        events = session.hear(samples[at : at + n]) if n else session.finish()
        work = 1000 * (time.perf_counter() - begun + ears.spent - before)
        at += n
        clock = max(clock, 1000 * at / SAMPLE_RATE) + work
        yield events, clock, work


def offline(model: Translator, language: str, item: LongItem) -> Interpreted:
    """Each sentence of an utterance by itself, heard to its end by the same ears before anything is written: what the
    model knows when it need not hurry, nor find out where a sentence ends.

    Raises:
        RequestError: as `Interpreting`.
    """
    samples, texts, begun = item.speech.samples, [], time.perf_counter()
    for first, end in item.sentences:
        session = Interpreting(model, WaitK(HEARS_ALL), language)
        session.hear(samples[max(0, first - AROUND) : end + AROUND])
        session.finish()
        texts.append(session.text)
    spent, source = 1000 * (time.perf_counter() - begun), 1000 * len(samples) / SAMPLE_RATE
    text = " ".join(one for one in texts if one)
    n = len(tokens(text))
    return Interpreted(text, [source] * n, [source + spent] * n, source, spent)
