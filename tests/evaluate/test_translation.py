"""Translation scored: what each direction is given, what a cascade does, what recognisers read back."""

from dataclasses import replace

import numpy as np
import pytest

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.evaluate.recognisers import Itself
from ossicle.evaluate.translation import Engine, ParallelItem, score_translation
from ossicle.evaluate.translation_report import tables, write

TEXTS = [
    {"en": "The dog sleeps in the garden.", "fr": "Le chien dort dans le jardin."},
    {"en": "Where is my green coat?", "fr": "Où est mon manteau vert ?"},
    {"en": "Anna's sister reads two books.", "fr": "La sœur d'Anna lit deux livres."},
]
RATE = 16_000


class Fake:
    """An engine that knows the sentences by heart: speech is a clip as long as its sentence's number, in samples."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.calls: list[tuple[str, str, str, str]] = []
        self.deaf = deaf

    def clip(self, number: int, language: str) -> Clip:
        return Clip(np.full(10 * (number + 1) + (language == "fr"), 0.1, np.float32), RATE)

    def number(self, given: Clip | str) -> int:
        if isinstance(given, Clip):
            return len(given.samples) // 10 - 1
        return next(i for i, texts in enumerate(TEXTS) if given in texts.values())

    def translate(self, given: Clip | str, source: str, to: str) -> str:
        self.calls.append(("text", "s" if isinstance(given, Clip) else "t", source, to))
        if self.deaf and isinstance(given, Clip):
            return " "
        return TEXTS[self.number(given)][to]

    def speak(self, given: Clip | str, source: str, to: str) -> Clip:
        self.calls.append(("speech", "s" if isinstance(given, Clip) else "t", source, to))
        return self.clip(self.number(given), to)

    def read(self, clip: Clip, language: str) -> str:
        assert len(clip.samples) % 10 == (language == "fr")
        return TEXTS[self.number(clip)][language].upper()

    def engine(self, *, voice: bool = True) -> Engine:
        return Engine("fake", ("en", "fr"), 1_500_000, self.translate, self.speak if voice else None)


def items(fake: Fake) -> list[ParallelItem]:
    return [ParallelItem(texts, {one: fake.clip(i, one) for one in texts}) for i, texts in enumerate(TEXTS)]


def test_every_pair_and_direction_is_scored_direct_and_from_speech_as_a_cascade_too() -> None:
    fake = Fake()
    shown: list[str] = []
    reader = Itself("fake", ("en", "fr"), fake.read)
    found = score_translation(fake.engine(), items(fake), recognisers=[reader], show=shown.append)
    wanted = [
        (source, to, direction, way)
        for source, to in (("en", "fr"), ("fr", "en"))
        for direction, way in (
            *(("s2t", "direct"), ("s2t", "cascade"), ("t2t", "direct")),
            *(("s2s", "direct"), ("s2s", "cascade"), ("t2s", "direct")),
        )
    ]
    assert [(row.source, row.to, row.direction, row.way) for row in found.rows] == wanted
    assert len(shown) == 12 and shown[0].startswith("en to fr, s2t, direct: BLEU 100.0, ")
    for row in found.rows:
        assert row.bleu.value == pytest.approx(100) and row.chrf.value == pytest.approx(100) and row.bleu.n == 3
        spoken = row.direction[-1] == "s"
        assert row.recogniser == ("fake" if spoken else None)
        assert row.bleu.signature.endswith("|text:spoken") == spoken
    assert [(one.language, one.voice, one.recogniser, one.wer) for one in found.heard] == [
        (language, voice, by, 0.0)
        for language in ("en", "fr")
        for voice, by in (("people", "fake"), ("engine", "fake"))
    ]


@pytest.mark.parametrize(
    ("direction", "way", "calls"),
    [
        ("s2t", "direct", [("text", "s", "en", "fr")]),
        ("t2t", "direct", [("text", "t", "en", "fr")]),
        ("s2s", "direct", [("speech", "s", "en", "fr")]),
        ("t2s", "direct", [("speech", "t", "en", "fr")]),
        ("s2t", "cascade", [("text", "s", "en", "en"), ("text", "t", "en", "fr")]),
        ("s2s", "cascade", [("text", "s", "en", "en"), ("text", "t", "en", "fr"), ("speech", "t", "fr", "fr")]),
    ],
)
def test_each_way_calls_what_it_says(direction: str, way: str, calls: list[tuple[str, str, str, str]]) -> None:
    fake = Fake()
    given, reader = items(fake), Itself("fake", ("fr",), fake.read)
    score_translation(
        *(fake.engine(), given),
        pairs=[("en", "fr")],
        directions=[direction],
        recognisers=[reader],
        cascade=way != "direct",
    )
    before = 0 if way == "direct" else 3  # the direct way comes first
    assert fake.calls[before : before + 3 * len(calls)] == calls * 3


def test_a_cascade_that_hears_nothing_says_nothing() -> None:
    fake = Fake(deaf=True)
    reader = Itself("fake", ("fr",), fake.read)
    found = score_translation(
        fake.engine(), items(fake), pairs=[("en", "fr")], directions=["s2t", "s2s"], recognisers=[reader]
    )
    scores = {(row.direction, row.way): row.bleu.value for row in found.rows}
    assert scores["s2t", "cascade"] == scores["s2s", "cascade"] == 0 and scores["s2s", "direct"] == pytest.approx(100)
    assert next(one for one in found.heard if one.voice == "people").wer == 1


def test_words_that_are_wrong_cost_and_marks_of_speech_do_not() -> None:
    fake = Fake()
    given = items(fake)
    given[0] = replace(given[0], texts={"en": "The cat sleeps in the garden.", "fr": "Le chat dort dans le jardin !"})
    reader = Itself("fake", ("fr",), fake.read)
    found = score_translation(fake.engine(), given[1:], pairs=[("en", "fr")], directions=["s2s"], recognisers=[reader])
    assert found.rows[0].bleu.value == pytest.approx(100)
    wrong = Engine("fake", ("en", "fr"), 1, lambda one, source, to: "Le chien dort." if to == "fr" else "", None)
    scores = score_translation(wrong, given, pairs=[("en", "fr")], directions=["t2t"])
    assert scores.rows[0].bleu.value < 50 and {one.language for one in scores.heard} == {"en", "fr"}
    assert next(one for one in scores.heard if one.language == "en").wer == 1


def test_an_engine_without_a_voice_is_scored_on_text_alone() -> None:
    fake = Fake()
    found = score_translation(fake.engine(voice=False), items(fake))
    assert {row.direction for row in found.rows} == {"s2t", "t2t"}
    assert {one.voice for one in found.heard} == {"people"}


def test_the_page_names_recognisers_signatures_and_the_command(tmp_path) -> None:
    fake = Fake()
    reader = Itself("fake", ("en", "fr"), fake.read)
    found = score_translation(fake.engine(), items(fake), recognisers=[reader], directions=["t2t", "s2s"], seed=4)
    write(tmp_path / "page.md", found, command="ossicle evaluate --model fake")
    text = (tmp_path / "page.md").read_text()
    assert text.startswith("# fake: translation\n\nMade by `ossicle evaluate --model fake` (seed 4).\n")
    assert tables(found) in text and "1.5 million parameters" in text
    (line,) = (one for one in text.splitlines() if one.startswith("| en to fr") and "cascade" in one)
    assert "speech to speech" in line and "fake" in line and "100.0" in line
    assert "- `BLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in text and "|text:spoken`" in text
    told = found.as_dict()
    assert set(told) == {"model", "parameters", "seed", "translation", "recognition"}
    assert told["translation"][0]["bleu"]["value"] == pytest.approx(100) and told["recognition"][0]["wer"] == 0


def test_what_cannot_be_scored_is_refused() -> None:
    fake = Fake()
    engine, given = fake.engine(), items(fake)
    with pytest.raises(RequestError, match="at least one item, got none"):
        score_translation(engine, [])
    with pytest.raises(RequestError, match="unknown direction s2x, known are s2t, t2t, s2s, t2s"):
        score_translation(engine, given, directions=["s2x"])
    with pytest.raises(RequestError, match="fake does not know 'de', but en, fr"):
        score_translation(engine, given, pairs=[("en", "de")])
    with pytest.raises(RequestError, match="not every item has a text and speech in 'fr'"):
        score_translation(engine, [ParallelItem({"en": "Yes."}, {"en": fake.clip(0, "en")})], pairs=[("en", "fr")])
    with pytest.raises(RequestError, match="nobody reads back speech in fr: give a recogniser, or s2t and t2t"):
        score_translation(engine, given, pairs=[("en", "fr")], recognisers=[Itself("fake", ("en",), fake.read)])
