"""The tasks: every answer follows from the scene, every split keeps to itself, every question is asked in many ways."""

import re
from collections import Counter

import numpy as np
import pytest

from ossicle.errors import ConfigError
from ossicle.world import grammar, orders, tasks
from ossicle.world import questions as q
from ossicle.world.music import TIMBRES
from ossicle.world.parts import Music, Part, Pause, Sound, Speech
from ossicle.world.sounds import COUNTABLE, KINDS
from ossicle.world.speech import UNSEEN_ACCENT, pace_of, pitch_of
from ossicle.world.tasks import SPLITS, TASKS, Example, mixture, sample

PLAIN = re.compile(r"[a-z]+( [a-z]+)*")
QUESTION = re.compile(r"[a-z ,:.?]+[.?]")


def draw(task: str, *, n: int = 60, seed: int = 0, split: str = "test", slice: str | None = None) -> list[Example]:
    rng = np.random.default_rng(seed)
    return [sample(task, rng, split, slice=slice) for _ in range(n)]


def heard(example: Example) -> list[Part]:
    return [part for part in example.scene.parts if not isinstance(part, Pause)]


def the_text(example: Example) -> str:
    parts = heard(example)
    assert all(isinstance(part, Speech) for part in parts)
    return " ".join(part.text for part in parts)


def test_there_are_at_least_thirteen_tasks_with_eight_phrasings_each():
    assert len(TASKS) >= 13
    for task in TASKS.values():
        assert task.name == "arithmetic" or len(set(task.phrasings)) >= 8, task.name
    assert TASKS["arithmetic"].phrasings == ()  # it is asked aloud
    assert sum(len(lines) for lines, _ in orders.SUMS.values()) >= 8
    for kind in q.FACT_NOUN:
        assert kind in grammar.FACTS
    assert set(q.FACT_NOUN) == set(grammar.FACTS) - {"verb"}


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_plain_closed_and_short(task):
    for example in draw(task):
        assert example.task == task
        assert PLAIN.fullmatch(example.answer), example.answer
        assert example.question is None or QUESTION.fullmatch(example.question), example.question
        assert (example.question is None) == (task == "arithmetic")
        assert example.question is None or example.question in TASKS[task].phrasings
        assert example.metric == ("wer" if task == "transcribe" else "accuracy")
        assert not example.choices or example.answer in example.choices
        assert len(set(example.choices)) == len(example.choices)
        first, last = example.scene.parts[0], example.scene.parts[-1]
        assert isinstance(first, Pause) and isinstance(last, Pause)
        assert 0.05 <= first.duration_s <= 0.5 and 0.05 <= last.duration_s <= 0.5
        made_s = sum(part.duration_s for part in example.scene.parts if not isinstance(part, Speech | Music))
        assert made_s <= 6.5


@pytest.mark.parametrize("task", [name for name in TASKS if name not in ("transcribe", "said", "slot", "arithmetic")])
def test_closed_tasks_list_their_choices_and_give_each(task):
    examples = draw(task, n=600)
    assert all(example.choices for example in examples)
    if task in ("caption", "order"):
        return
    assert {example.answer for example in examples} == set(examples[0].choices)


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_said_belongs_to_the_split(split):
    for task in TASKS:
        for example in draw(task, n=30, split=split):
            for part in heard(example):
                if isinstance(part, Speech) and len(part.text.split()) > 1:
                    assert grammar.split_of(part.text) == split


def test_the_splits_share_no_voice():
    voices = {
        split: {
            (part.voice.accent, part.voice.variant, part.voice.rate_wpm, part.voice.pitch, part.voice.warp)
            for example in draw("transcribe", n=300, split=split)
            for part in heard(example)
            if isinstance(part, Speech)
        }
        for split in SPLITS
    }
    assert not voices["train"] & voices["validation"]
    assert not voices["train"] & voices["test"]
    assert not voices["validation"] & voices["test"]


def test_transcripts_are_what_is_said():
    for slice in (None, *tasks.SLICES):
        for example in draw("transcribe", n=40, slice=slice):
            assert example.answer == the_text(example)
            assert example.slices == (slice or "accents",)


def test_slices_change_the_voice_or_the_words():
    def speeches(slice: str) -> list[Speech]:
        parts = [part for example in draw("transcribe", slice=slice) for part in heard(example)]
        assert all(isinstance(part, Speech) for part in parts)
        return parts

    assert {part.voice.accent for part in speeches("unseen_accent")} == {UNSEEN_ACCENT}
    assert UNSEEN_ACCENT not in {part.voice.accent for part in speeches("accents")}
    assert {part.voice.engine for part in speeches("festival")} == {"festival"}
    assert {part.voice.engine for part in speeches("accents")} == {"espeak"}
    unheard = {word for part in speeches("unheard_words") for word in part.text.split()}
    assert unheard <= set(grammar.UNHEARD)
    assert {part.voice.engine for part in speeches("unheard_words")} == {"espeak"}
    lengths = {len(part.text.split()) for part in speeches("random_words")}
    assert lengths <= set(range(3, 9))


def test_two_sentences_are_said_by_one_voice_with_a_pause_between():
    for example in draw("transcribe", slice="two_sentences"):
        first, pause, second = example.scene.parts[1:-1]
        assert isinstance(pause, Pause)
        assert first.voice == second.voice
        assert example.answer == f"{first.text} {second.text}"


@pytest.mark.parametrize("task", ["said", "slot"])
def test_facts_and_slots_are_spoken(task):
    nouns = set()
    for example in draw(task, n=1000):
        assert re.search(rf"\b{example.answer}\b", the_text(example))
        nouns.add(example.question)
    assert len(nouns) > 80
    assert sample(task, np.random.default_rng(0), "test", slice="unseen_accent").slices == ("unseen_accent",)


@pytest.mark.parametrize("task", TASKS)
def test_what_else_is_asked_is_true_too(task):
    seen = 0
    for example in draw(task, n=200):
        assert len(example.more) <= tasks.MORE
        parts = heard(example)
        text = " ".join(part.text for part in parts if isinstance(part, Speech))
        kinds = [part.kind for part in parts if isinstance(part, Sound)]
        for place, (question, answer) in enumerate(example.more):
            seen += 1
            assert question != example.question and QUESTION.fullmatch(question) and PLAIN.fullmatch(answer)
            if question in q.TRANSCRIBE:
                assert answer == text and place == len(example.more) - 1
            elif question in q.PITCH + q.PACE:
                (voice,) = {part.voice for part in parts if isinstance(part, Speech)}
                assert answer == (pitch_of(voice) if question in q.PITCH else pace_of(voice))
            elif question in q.KIND:
                assert isinstance(parts[0], {"sound": Sound, "music": Music}[answer]) and len(parts) == 1
            elif question in q.INSTRUMENT:
                assert answer == parts[0].timbre
            elif question in q.INTENT:
                assert answer in grammar.INTENTS
            elif question in TASKS["order"].phrasings:
                last = {kinds[-1]: "last", kinds[0]: "first", " then ".join(kinds): "order"}[answer]
                assert question in q.ORDER if last == "order" else last in question
            elif question in q.SOUND:
                assert answer == kinds[0]
            else:
                assert question in TASKS["said"].phrasings + TASKS["slot"].phrasings
                assert re.search(rf"\b{answer}\b", text)
    assert seen >= 100 or task in ("caption", "speech_or_not", "when")


@pytest.mark.parametrize(
    ("words", "intent"),
    [("alarm", "set alarm"), ("timer", "set timer"), ("turn off the light", "light off"), ("calendar", "calendar"),
     ("translate", "translate"), ("remind", "reminder"), ("weather", "weather")],
)  # fmt: skip
def test_the_intent_fits_the_words(words, intent):
    found = [example for example in draw("intent", n=500) if words in the_text(example)]
    assert found
    assert {example.answer for example in found} == {intent}


def test_spoken_sums_are_right():
    numbers = {grammar.number_word(number): number for number in range(100)}
    sums = 0
    for example in draw("arithmetic", n=400, split="train"):
        if match := re.fullmatch(r"what is (.+) (plus|minus|times) (.+)", the_text(example)):
            a, b = numbers[match[1]], numbers[match[3]]
            assert numbers[example.answer] == {"plus": a + b, "minus": a - b, "times": a * b}[match[2]]
            sums += 1
    assert sums > 20


def test_pitch_and_pace_are_the_voice():
    for task, told in (("speaker_pitch", pitch_of), ("speaker_pace", pace_of)):
        for example in draw(task):
            (part,) = heard(example)
            assert isinstance(part, Speech)
            assert told(part.voice) == example.answer


def test_the_sound_is_in_the_scene_and_is_counted():
    for example in draw("sound"):
        (part,) = heard(example)
        assert (part.kind, part.strokes) == (example.answer, 0)
    for example in draw("count"):
        (part,) = heard(example)
        assert part.kind in COUNTABLE
        assert grammar.number_word(part.strokes) == example.answer
        assert part.duration_s >= 0.5 * part.strokes


def test_the_order_is_that_of_the_scene():
    asked = Counter()
    for example in draw("order", n=200):
        kinds = [part.kind for part in heard(example)]
        assert len(set(kinds)) == len(kinds) in (2, 3)
        if example.question in q.ORDER:
            asked["order"] += 1
            assert example.answer == " then ".join(kinds)
            assert len(example.choices) == {2: 2, 3: 6}[len(kinds)]
        else:
            which = re.search("first|last", example.question)[0]
            asked[which] += 1
            assert example.answer == kinds[0 if which == "first" else -1]
            assert example.choices == KINDS
    assert min(asked[name] for name in ("first", "last", "order")) > 40


def test_the_sound_is_where_the_answer_says():
    for example in draw("when", n=200):
        inner = example.scene.parts[1:-1]
        (at,) = [i for i, part in enumerate(inner) if isinstance(part, Sound)]
        before = any(not isinstance(part, Pause) or part.duration_s > 0.7 for part in inner[:at])
        after = any(not isinstance(part, Pause) or part.duration_s > 0.7 for part in inner[at + 1 :])
        expected = {(False, True): "beginning", (True, True): "middle", (True, False): "end"}
        assert example.answer == expected[before, after]


def test_music_is_what_it_is_said_to_be():
    for example in draw("instrument"):
        (part,) = heard(example)
        assert part.timbre == example.answer
        assert example.choices == TIMBRES
    for example in draw("tempo"):
        (part,) = heard(example)
        assert example.answer == ("slow" if part.tempo_bpm < 90 else "fast")
        assert not 90 <= part.tempo_bpm <= 130
    for example in draw("melody"):
        (part,) = heard(example)
        assert example.answer == ("up" if part.notes[-1] > part.notes[0] else "down")


def test_speech_music_sound_and_silence():
    types = {"speech": Speech, "music": Music, "sound": Sound}
    for example in draw("speech_or_not", n=100):
        parts = heard(example)
        assert [type(part) for part in parts] == ([types[example.answer]] if example.answer != "silence" else [])
        assert example.scene.noise not in ("babble", "traffic")
        assert example.scene.snr_db >= (20 if example.answer == "silence" else 8)


def described(example: Example) -> str:
    """The caption again, from the scene alone."""

    def clause(part: Part) -> str:
        match part:
            case Speech():
                return "a person speaks"
            case Music():
                return f"{'an' if part.timbre == 'organ' else 'a'} {part.timbre} plays"
            case _:
                return q.CLAUSES[part.kind]

    parts = heard(example)
    if example.scene.background is not None:
        return f"{clause(parts[0])} over {q.UNDER[example.scene.background.kind]}"
    if len(parts) == 1 and isinstance(parts[0], Sound):
        return f"{clause(parts[0])} {('one time', 'two times', 'three times')[parts[0].strokes - 1]}"
    return " then ".join(map(clause, parts))


def test_captions_tell_the_scene():
    assert set(q.CLAUSES) == set(COUNTABLE)
    assert set(q.UNDER) == set(KINDS) - set(COUNTABLE)
    shapes = Counter()
    for example in draw("caption", n=300):
        assert example.answer == described(example)
        shapes[("over" in example.answer, "then" in example.answer, "time" in example.answer)] += 1
        assert example.scene.snr_db >= 20
    assert len(shapes) == 4


def test_the_mixture_keeps_its_weights():
    rng = np.random.default_rng(0)
    found = [mixture(rng, "train") for _ in range(2000)]
    counts = Counter(example.task for example in found)
    assert set(counts) == set(TASKS)
    assert counts["transcribe"] / 2000 == pytest.approx(0.45, abs=0.04)
    transcripts = [example for example in found if example.task == "transcribe"]
    for part, share in (("random_words", 0.2), ("two_sentences", 0.1)):
        assert sum(example.slices == (part,) for example in transcripts) / len(transcripts) == pytest.approx(
            share, abs=0.04
        )
    assert sum(task.weight for task in TASKS.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_draws_the_same(task):
    assert draw(task, n=5, seed=4) == draw(task, n=5, seed=4)
    assert draw(task, n=5, seed=4) != draw(task, n=5, seed=5)


def test_what_is_unknown_is_refused_with_what_is_known():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="unknown task 'sing', allowed are transcribe, said"):
        sample("sing", rng, "train")
    with pytest.raises(ConfigError, match="unknown split 'dev', allowed are train, validation, test"):
        sample("sound", rng, "dev")
    with pytest.raises(ConfigError, match="the task 'sound' has no slice 'festival', it has none"):
        sample("sound", rng, "test", slice="festival")
    with pytest.raises(ConfigError, match="'said' has no slice 'random_words', it has accents, unseen_accent"):
        sample("said", rng, "test", slice="random_words")
