"""What happens in a meeting of the world, as data: who says what from which sample to which, and what can be asked.

Knows speakers, pauses, sounds and facts; does not know how a meeting is written or heard (``meeting.py``). Everything
follows from one seed; every utterance is spoken once here, to learn its length. Facts are spoken commands: no other
utterance of the meeting holds half of the content words by which a fact is looked up, so that there is exactly one
place to find.
"""

from dataclasses import dataclass

import numpy as np

from ossicle.audio.clip import SAMPLE_RATE, seconds_to_samples
from ossicle.errors import ConfigError
from ossicle.world.grammar import Command, Split, command, sentence
from ossicle.world.music import compose
from ossicle.world.parts import Event, Music, Sound, Speech, Voice
from ossicle.world.scenes import Speak, make_part
from ossicle.world.sounds import KINDS
from ossicle.world.speech import VARIANTS, sample_voice, speak_afresh
from ossicle.world.tasks_spoken import slot_questions

GAIN_DB = 3.0
"""How much louder or softer than the common level a speaker may be."""
BREATH_S = 0.4
"""The shortest pause: between utterances, between an utterance and a sound, and at both ends."""
LONGEST_S = 10_800.0
"""A longer meeting would run out of sentences that no fact could be taken for."""
MOST_FACTS, SHARE_S = 40, 12.0
"""How many facts can be told apart, and the least time for each."""
_USUAL_S, _LONG_S, _LONGER_S = (BREATH_S, 1.5), (2.0, 6.0), (8.0, 20.0)
_LONG_SHARE, _LONGER_EACH_S, _SOUND_SHARE, _MELODY_SHARE = 0.12, 900.0, 0.125, 0.25
_MISSES = 6
_SMALL = frozenset(
    ("a", "an", "the", "this", "that", "my", "me", "i", "you", "it", "is", "are", "am", "do", "does", "how", "what",
     "when", "where", "will", "to", "in", "on", "at", "of", "for", "from", "into", "by", "with", "about", "and", "or",
     "please", "not", "so", "some")
)  # fmt: skip
"""Words by which nothing can be looked up."""


@dataclass(frozen=True)
class Utterance:
    """What one speaker says, from the first sample to the one behind the last.

    Args:
        start_s, end_s: seconds from the meeting's first sample, whole samples.
        text: lower-case words.
        voice: the speaker's.
        speaker: number of the speaker, from 0.
    """

    start_s: float
    end_s: float
    text: str
    voice: Voice
    speaker: int


@dataclass(frozen=True)
class Fact:
    """Something that is said once and can be asked for.

    Args:
        utterance: which of the meeting's utterances says it.
        minute: in which minute that begins, from 0.
        text: all its words.
        about: its words without those of the answer: by them it can be looked up.
        question: one about the utterance, heard alone.
        answer: words of the utterance that stand nowhere in ``about``.
        depth: where it begins, as a share of the meeting.
    """

    utterance: int
    minute: int
    text: str
    about: str
    question: str
    answer: str
    depth: float


@dataclass(frozen=True)
class Interlude:
    """A sound or a melody between two utterances, from ``start_s`` to ``end_s``."""

    start_s: float
    end_s: float
    part: Sound | Music


@dataclass(frozen=True)
class Meeting:
    """A meeting as data.

    Args:
        seed: fixes everything, the noise too.
        split: whose sentences and voices these are.
        duration_s: length of the recording.
        utterances: in order; none overlaps another.
        facts: in order, one in each equal share of the duration.
        interludes: in order, each at least `BREATH_S` from any utterance.
        voices: each speaker's.
        gains_db: each speaker's level over the common one.
    """

    seed: int
    split: Split
    duration_s: float
    utterances: tuple[Utterance, ...]
    facts: tuple[Fact, ...]
    interludes: tuple[Interlude, ...]
    voices: tuple[Voice, ...]
    gains_db: tuple[float, ...]

    @property
    def n_samples(self) -> int:
        """Length in samples at 16 kHz."""
        return seconds_to_samples(self.duration_s, SAMPLE_RATE)

    @property
    def sounds(self) -> tuple[Event, ...]:
        """The interludes as they are heard: "sound" and its kind, or "music" and its timbre."""
        return tuple(
            Event(one.start_s, one.end_s, "sound", one.part.kind)
            if isinstance(one.part, Sound)
            else Event(one.start_s, one.end_s, "music", one.part.timbre)
            for one in self.interludes
        )


def plan_meeting(
    seed: int,
    *,
    duration_s: float = 1800.0,
    n_facts: int = 20,
    n_speakers: int = 5,
    split: Split = "test",
    speak: Speak = speak_afresh,
) -> Meeting:
    """Draw a meeting.

    Args:
        seed: every choice, >= 0.
        duration_s: length, at least `SHARE_S` for each fact.
        n_facts: 1-40, each said in its own equal share of the duration.
        n_speakers: distinct voices of eSpeak NG.
        split: whose sentences and voices.
        speak: the synthesiser; it must say a text in the same length again when the meeting is rendered.

    Raises:
        ConfigError: a number out of range, an unknown split, or a fact that is longer than its share.
    """
    _check(seed, duration_s, n_facts, n_speakers, split)
    rng = np.random.default_rng(seed)
    voices = _voices(rng, split, n_speakers)
    gains_db = tuple(float(gain) for gain in rng.uniform(-GAIN_DB, GAIN_DB, n_speakers).round(2))
    told = _draw_facts(rng, split, n_facts)
    n_samples = seconds_to_samples(duration_s, SAMPLE_RATE)
    longer = rng.uniform(0, n_samples, round(duration_s / _LONGER_EACH_S))
    draft = _Draft(rng, split, voices, told, sorted(longer.tolist()), speak)
    edges = [n_samples * k // n_facts for k in range(n_facts + 1)]
    facts = []
    for one, begin, end in zip(told, edges[:-1], edges[1:], strict=True):
        said = draft.turn(one.order.text)
        latest = end - said.n_samples
        if latest - _n(_USUAL_S[1]) <= begin:
            raise ConfigError(
                f"the fact {one.order.text!r} takes {said.n_samples / SAMPLE_RATE:.1f} s, its share of the meeting is "
                f"{(end - begin) / SAMPLE_RATE:.1f} s: give a longer meeting or fewer facts"
            )
        draft.talk(int(rng.integers(begin, latest)), latest - _n(_USUAL_S[1]))
        draft.say(said, max(draft.at + draft.pause(_USUAL_S), begin))
        facts.append(one.said(len(draft.utterances) - 1, draft.utterances[-1].start_s, duration_s))
    draft.talk(n_samples, n_samples - _n(BREATH_S))
    spoken, between = tuple(draft.utterances), tuple(draft.interludes)
    return Meeting(seed, split, duration_s, spoken, tuple(facts), between, voices, gains_db)


@dataclass(frozen=True)
class _Told:
    """A fact before its time is known."""

    order: Command
    key: str
    about: str

    @property
    def others(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """What the order is, but for the answer."""
        return self.order.intent, frozenset(slot for slot in self.order.slots.items() if slot[0] != self.key)

    def said(self, utterance: int, start_s: float, duration_s: float) -> Fact:
        """The fact at its time."""
        return Fact(
            utterance=utterance,
            minute=int(start_s // 60),
            text=self.order.text,
            about=self.about,
            question=slot_questions(self.key)[0],
            answer=self.order.slots[self.key],
            depth=start_s / duration_s,
        )

    def fits(self, text: str) -> bool:
        """Whether a text holds at least half of the content words by which this is looked up."""
        wanted = _content(self.about)
        return 2 * len(wanted & _content(text)) >= len(wanted)


@dataclass(frozen=True)
class _Turn:
    """Something that a speaker could say next."""

    speech: Speech
    speaker: int
    n_samples: int


class _Draft:
    """A meeting in the making: what was said, and the sample ``at`` which all is quiet again."""

    def __init__(
        self,
        rng: np.random.Generator,
        split: Split,
        voices: tuple[Voice, ...],
        told: list[_Told],
        longer: list[float],
        speak: Speak,
    ) -> None:
        self.rng, self.split, self.voices, self.told, self.longer, self.speak = rng, split, voices, told, longer, speak
        self.at = 0
        self.utterances: list[Utterance] = []
        self.interludes: list[Interlude] = []
        self.texts: set[str] = set()

    def talk(self, until: int, deadline: int) -> None:
        """Ordinary turns until one ends behind ``until``; none ends behind ``deadline``."""
        misses = 0
        while self.at < until and misses < _MISSES:
            turn = self.turn(self.sentence())
            pause, between = (self.pause(_USUAL_S), None) if misses else self.before()
            start = self.at + pause
            if start + turn.n_samples > deadline:
                misses += 1
                continue
            if between is not None:
                self.interludes.append(between)
            self.longer = [moment for moment in self.longer if moment > self.at]
            self.say(turn, start)

    def turn(self, text: str) -> _Turn:
        """A text in the mouth of someone else than the last speaker."""
        last = self.utterances[-1].speaker if self.utterances else -1
        others = [i for i in range(len(self.voices)) if i != last] or [last]
        speaker = others[int(self.rng.integers(len(others)))]
        speech = Speech(text, self.voices[speaker])
        return _Turn(speech, speaker, len(make_part(speech, self.speak)[0]))

    def say(self, turn: _Turn, start: int) -> None:
        self.at = start + turn.n_samples
        self.texts.add(turn.speech.text)
        self.utterances.append(
            Utterance(start / SAMPLE_RATE, self.at / SAMPLE_RATE, turn.speech.text, turn.speech.voice, turn.speaker)
        )

    def sentence(self) -> str:
        """One that was not said yet and that no fact could be taken for."""
        while True:
            text = sentence(self.rng, self.split).text
            if text not in self.texts and not any(one.fits(text) for one in self.told):
                return text

    def pause(self, between_s: tuple[float, float]) -> int:
        """A pause in samples."""
        return _n(float(self.rng.uniform(*between_s)))

    def before(self) -> tuple[int, Interlude | None]:
        """Samples until the next utterance, and what is heard in them."""
        if self.longer and self.longer[0] <= self.at:
            return self.pause(_LONGER_S), None
        draw = self.rng.random()
        if draw >= _SOUND_SHARE + _LONG_SHARE:
            return self.pause(_USUAL_S), None
        if draw >= _SOUND_SHARE:
            return self.pause(_LONG_S), None
        part = self.part()
        first = self.pause(_USUAL_S)
        n_samples = len(make_part(part, self.speak)[0])
        start = self.at + first
        between = Interlude(start / SAMPLE_RATE, (start + n_samples) / SAMPLE_RATE, part)
        return first + n_samples + self.pause(_USUAL_S), between

    def part(self) -> Sound | Music:
        """An everyday sound of about a second, or a short melody."""
        if self.rng.random() < _MELODY_SHARE:
            return compose(self.rng, tempo="fast")
        kind = KINDS[int(self.rng.integers(len(KINDS)))]
        return Sound(kind, int(self.rng.integers(2**31)), round(float(self.rng.uniform(0.8, 2.4)), 3))


def _voices(rng: np.random.Generator, split: Split, n_speakers: int) -> tuple[Voice, ...]:
    """Voices of eSpeak NG, no two of one variant."""
    found: dict[str, Voice] = {}
    while len(found) < n_speakers:
        voice = sample_voice(rng, split)
        if voice.engine == "espeak":
            found.setdefault(voice.variant, voice)
    return tuple(found.values())


def _draw_facts(rng: np.random.Generator, split: Split, n_facts: int) -> list[_Told]:
    """Facts of which none can be taken for another."""
    found: list[_Told] = []
    while len(found) < n_facts:
        order = command(rng, split)
        keys = tuple(order.slots)
        for key in (keys[i] for i in rng.permutation(len(keys))):
            about = _without(order.text, order.slots[key])
            one = _Told(order, key, "" if about is None else about)
            if len(_content(one.about)) >= 2 and not any(_alike(one, other) for other in found):
                found.append(one)
                break
    return found


def _alike(one: _Told, other: _Told) -> bool:
    return one.others == other.others or one.fits(other.order.text) or other.fits(one.order.text)


def _without(text: str, answer: str) -> str | None:
    """A text without the one place where the answer stands; None where a word of it stands elsewhere too."""
    before, found, after = f" {text} ".partition(f" {answer} ")
    rest = f"{before} {after}".split()
    return " ".join(rest) if found and not set(rest) & set(answer.split()) else None


def _content(text: str) -> frozenset[str]:
    return frozenset(text.split()) - _SMALL


def _n(seconds: float) -> int:
    return seconds_to_samples(seconds, SAMPLE_RATE)


def _check(seed: int, duration_s: float, n_facts: int, n_speakers: int, split: Split) -> None:
    if split not in VARIANTS:
        raise ConfigError(f"unknown split {split!r}, allowed are {', '.join(VARIANTS)}")
    if seed < 0:
        raise ConfigError(f"the seed of a meeting is {seed}, allowed is 0 or more")
    if not 1 <= n_facts <= MOST_FACTS:
        raise ConfigError(f"a meeting of {n_facts} facts cannot be planned, allowed are 1-{MOST_FACTS}")
    if not 1 <= n_speakers <= len(VARIANTS[split]):
        raise ConfigError(
            f"a meeting of {n_speakers} speakers cannot be planned: the split {split!r} has 1-{len(VARIANTS[split])}"
        )
    if not n_facts * SHARE_S <= duration_s <= LONGEST_S:
        raise ConfigError(
            f"a meeting of {duration_s:g} s with {n_facts} facts cannot be planned: allowed are "
            f"{n_facts * SHARE_S:g} s ({SHARE_S:g} s a fact) to {LONGEST_S:g} s"
        )
