"""Sentences of the parallel world as samples: said in one language, written in another.

Knows the world; does not know features, tokens or models. A sample is a function of (seed, stage, index) alone.
"""

from collections.abc import Mapping

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import ConfigError
from ossicle.train.sources import Pair, Sample, Sentence, Source, said_in
from ossicle.world import speech
from ossicle.world.grammar import Split
from ossicle.world.parallel import LANGUAGES, parallel
from ossicle.world.parallel_speech import said
from ossicle.world.parts import Scene, Speech, Voice
from ossicle.world.scenes import render
from ossicle.world.speech import Spoken

LETTERS_A_SECOND = 15.0
"""That somebody says, about."""


class Pairs:
    """Samples of the parallel world.

    Args:
        seed: of the run.
        stage: number of the stage, so that stages never hear the same scene.
        split: "train", "validation" or "test".
        tasks: weights of language pairs, "en-fr" being English speech and French text; None takes all pairs alike,
            a language with itself too.
        target: said in the one voice in which each language is spoken by a model, without noise, instead of any.
        clean: scenes without noise, room or equaliser.
        voice: that says everything, and nothing else is heard.
        sentences: so many different ones, over and over; None never repeats one on purpose.
        also_read: further sentences of a sample, which nobody says.
        own_voice: share of the samples that are said as with ``target``.
        abrupt: share of the others that begin and end without a pause.
        dry: no sound is made: silence of about the length that saying it would take.
        joined_s: sentences are joined until saying them takes about a time drawn from 0 to so many seconds.

    Raises:
        ConfigError: an unknown language, or a weight that is not positive.
    """

    def __init__(
        self,
        seed: int,
        stage: int,
        split: Split,
        tasks: Mapping[str, float] | None = None,
        *,
        target: bool = False,
        clean: bool = False,
        voice: Voice | None = None,
        sentences: int | None = None,
        also_read: int = 0,
        own_voice: float = 0.0,
        abrupt: float = 0.0,
        dry: bool = False,
        joined_s: float = 0.0,
    ) -> None:
        weights = dict(tasks or {f"{one}-{other}": 1.0 for one in LANGUAGES for other in LANGUAGES})
        for key, weight in weights.items():
            languages = key.split("-")
            if len(languages) != 2 or not {*languages} <= {*LANGUAGES}:
                raise ConfigError(
                    f"a pair of languages reads en-fr, of {', '.join(LANGUAGES)} (got {key!r} among the tasks)"
                )
            if not weight > 0:
                raise ConfigError(f"the pair {key} has the weight {weight:g}: leave it out, or give it one above 0")
        self.key, self.split, self.target, self.clean = (seed, stage), split, target, clean
        self.voice, self.sentences, self.also_read, self.dry = voice, sentences, also_read, dry
        self.own_voice, self.abrupt, self.joined_s = own_voice, abrupt, joined_s
        self.names, total = tuple(weights), sum(weights.values())
        self.shares = np.array([weights[name] / total for name in self.names])

    def sample(self, index: int) -> Sample:
        """The sample of an index."""
        rng = np.random.default_rng([*self.key, index if self.sentences is None else index % self.sentences])
        source, target = self._languages(rng)
        texts = self._texts(rng, source)
        pair = Pair(source, target, *(" ".join(one[language] for one in texts) for language in (source, target)))
        also = tuple(self._read(rng) for _ in range(self.also_read))
        if self.dry:
            silence = np.zeros(int(SAMPLE_RATE * len(pair.source_text) / LETTERS_A_SECOND), np.float32)
            return Sample(silence, None, pair.target_text, f"{source}-{target}", pair=pair, also=also)
        if self.voice is not None:
            scene = Scene((Speech(pair.source_text, self.voice),))
        else:
            own = self.target or (self.own_voice > 0 and bool(rng.random() < self.own_voice))
            spoken = [one[source] for one in texts]
            scene = said(rng, self.split, source, spoken, target=own, clean=self.clean, abrupt=self.abrupt)
        began: list[tuple[int, float]] = []

        def speak(text: str, voice: Voice) -> Spoken:
            made = speech.speak(text, voice)
            began.extend(made.words)
            return made

        rendered = render(scene, speak=speak)
        events = tuple(rendered.events)
        heard = [event for event in events if event.kind == "speech"]
        sentences = tuple(
            Sentence(event.start_s, event.end_s, one[target]) for event, one in zip(heard, texts, strict=False)
        )
        name = f"{source}-{target}"
        return Sample(
            rendered.samples,
            None,
            pair.target_text,
            name,
            scene,
            events,
            said=said_in(events),
            pair=pair,
            also=also,
            sentences=sentences if len(heard) == len(texts) else (),
            words=tuple((place, heard[0].start_s + second) for place, second in began) if len(texts) == 1 else (),
        )

    def _texts(self, rng: np.random.Generator, source: str) -> list[dict[str, str]]:
        """A sentence in every language, or several in a row."""
        texts = [dict(parallel(rng, self.split).texts)]
        letters = LETTERS_A_SECOND * self.joined_s * rng.random() if self.joined_s else 0.0
        while sum(len(one[source]) for one in texts) < letters:
            texts.append(dict(parallel(rng, self.split).texts))
        return texts

    def _languages(self, rng: np.random.Generator) -> tuple[str, str]:
        source, _, target = self.names[int(rng.choice(len(self.names), p=self.shares))].partition("-")
        return source, target

    def _read(self, rng: np.random.Generator) -> Pair:
        """A sentence that nobody says."""
        source, target = self._languages(rng)
        texts = parallel(rng, self.split).texts
        return Pair(source, target, texts[source], texts[target])


class Beside:
    """Samples of one source, and now and then one of another in place.

    Args:
        key: of what is drawn; another than theirs, or which of them it is would hang on what they draw.
        one, other: the two.
        share: of the samples that are ``other``'s.
    """

    def __init__(self, key: tuple[int, ...], one: Source, other: Source, share: float) -> None:
        self.key, self.one, self.other, self.share = key, one, other, share

    def sample(self, index: int) -> Sample:
        """The sample of an index."""
        drawn = np.random.default_rng([*self.key, index]).random()
        return (self.other if drawn < self.share else self.one).sample(index)
