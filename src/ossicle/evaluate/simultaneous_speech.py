"""Speech that is made while somebody speaks, scored: what a recogniser reads back, and when it is heard.

Knows items, translators, recognisers and clocks; does not know the look of a table. Phrases are played when they are
made, or when the one before has been; what a sentence's phrases say is read back together, without the gaps between
them. Delays are those of phrases, their ends with what is still being played.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, Clip
from ossicle.evaluate.likeness import likeness
from ossicle.evaluate.parallel import engine_of
from ossicle.evaluate.recognisers import Itself, Recogniser
from ossicle.evaluate.simultaneous import N_ITEMS, PAIRS, Show, SpokenPoint, code_of, mean
from ossicle.evaluate.simultaneous_runs import PIECE_S, Recorded, long_items, ms_of, recorded, turns
from ossicle.evaluate.translation import read_back
from ossicle.hub.translator import load_translator
from ossicle.simul.latency import average_token_delay, end_offset, start_offset
from ossicle.simul.named import policy_named
from ossicle.simul.speech import STOP, Uttered, Uttering
from ossicle.simul.stream import Interpreting
from ossicle.translate.translator import Translator
from ossicle.world.parallel import spoken_form


@dataclass(frozen=True, eq=False)
class Phrases:
    """What was said of one utterance.

    Args:
        said: phrase by phrase.
        delays, elapsed: ms of the source that had been handed in, and of the clock, of each.
        source: ms.
        spent: ms of work.
    """

    said: list[Uttered]
    delays: list[float]
    elapsed: list[float]
    source: float
    spent: float

    @property
    def durations(self) -> list[float]:
        """ms of each phrase."""
        return [1000 * len(one.samples) / SAMPLE_RATE for one in self.said]

    def sentences(self) -> list[Clip]:
        """The sound of each sentence, its phrases without gaps."""
        found: list[list[np.ndarray]] = [[]]
        for one in self.said:
            found[-1].append(one.samples)
            if STOP.search(one.text):
                found.append([])
        return [Clip(np.concatenate(some), SAMPLE_RATE) for some in found if some]


def phrases(model: Translator, policy: str, language: str, samples: np.ndarray) -> Phrases:
    """Say a translation of a sound as if it were spoken now, in pieces of `PIECE_S`.

    Raises:
        RequestError: the model does not speak the language, or does not hear piece by piece.
    """
    ears, voice = Recorded(recorded(model, samples)), Uttering(model, language)
    session = Interpreting(model, policy_named(policy, model), language, ears=ears, voice=voice)
    said: list[Uttered] = []
    delays: list[float] = []
    elapsed: list[float] = []
    spent = 0.0
    for events, clock, work in turns(session, ears, samples):
        spent += work
        for one in (event for event in events if isinstance(event, Uttered)):
            said.append(one)
            delays.append(ms_of(one.at_s))
            elapsed.append(clock)
    return Phrases(said, delays, elapsed, 1000 * len(samples) / SAMPLE_RATE, spent)


def score_spoken(
    model: Translator,
    policy: str,
    recogniser: Recogniser,
    *,
    n: int = N_ITEMS,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    seed: int = 0,
    show: Show = lambda line: None,
) -> tuple[SpokenPoint, ...]:
    """Score what a model says while it hears.

    Args:
        model: that hears piece by piece, and speaks.
        policy: by name.
        recogniser: that reads it back.
        n, pairs, seed, show: as `score_simultaneous`, whose items these are.

    Raises:
        RequestError: as `phrases`; a language that the recogniser does not know.
    """
    found = []
    for source, to in pairs:
        items = long_items(n, source, seed=seed)
        code = code_of(model, to)
        made = [phrases(model, policy, code, item.speech.samples) for item in items]
        read = [" ".join(read_back(recogniser, clip, to) for clip in one.sentences()) for one in made]
        bleu = likeness("bleu", [spoken_form(item.texts[to]) for item in items], read, seed=seed)
        spoke = [one for one in made if one.said]
        latency = {}
        for name, times in (("", "delays"), ("_ca", "elapsed")) if spoke else ():
            each = [(getattr(one, times), one.source, one.durations) for one in spoke]
            latency[f"start_offset{name}"] = mean([start_offset(delays) for delays, _, _ in each], seed)
            ends = [end_offset(delays, lasts, durations=durations) for delays, lasts, durations in each]
            latency[f"end_offset{name}"] = mean(ends, seed)
            late = [average_token_delay(delays, lasts, durations=durations) for delays, lasts, durations in each]
            latency[f"atd{name}"] = mean(late, seed)
        rtf = sum(one.spent for one in made) / sum(one.source for one in made)
        found.append(SpokenPoint(source, to, policy, recogniser.name, bleu, latency, rtf, len(made) - len(spoke)))
        show(f"{source} to {to}, spoken, {policy}, {PIECE_S:g} s: BLEU {bleu.value:.1f} by {recogniser.name}")
    return tuple(found)


def reader(name: str) -> Recogniser:
    """A translator that hears everything first, which reads back what another one says.

    Args:
        name: a shipped one, or a folder.

    Raises:
        NotFoundError, CheckpointError: there is none.
        RequestError: it knows fewer than two languages of the world.
    """
    engine = engine_of(load_translator(name, device="cpu"))
    return Itself(engine.name, engine.languages, lambda clip, language: engine.translate(clip, language, language))
