"""The parallel world: one right translation, sound that tells the sentence, splits that never meet, proper writing."""

import ctypes
import re
from collections import Counter

import numpy as np
import pytest

from ossicle.world import parallel_words as w
from ossicle.world import say_english, say_french, say_german
from ossicle.world.grammar import split_of
from ossicle.world.parallel import KINDS, LANGUAGES, Parallel, parallel, spoken_form
from ossicle.world.parallel_meaning import (
    Clause,
    Clock,
    Fixed,
    Idiom,
    Joined,
    Meaning,
    Name,
    Near,
    Quality,
    Question,
    Request,
    Statement,
    There,
    Thing,
    TimeIs,
    Verb,
)
from ossicle.world.speech import STRESS_MARKS, _espeak

MARK = {"en": r"[.?]", "fr": r"(\.| \?)", "de": r"[.?]"}


def noun(name: str, **more) -> Thing:
    found = next(noun for nouns in w.NOUNS.values() for noun in nouns if noun.en == name)
    return Thing(found, **{"det": "the", **more})


def verb(name: str) -> Verb:
    return next(verb for verb in (*w.TRANSITIVE, *w.GIVING, *w.ACTING, *w.COMING) if verb.en[0] == name)


def adjectives(*names: str) -> dict[str, tuple]:
    return {"adjectives": tuple(w.ADJECTIVES[name] for name in names)}


def idiom(name: str) -> Idiom:
    return next(idiom for idiom in (*w.IDIOMS, *w.BEING_WEATHER) if idiom.en == name)


def said(meaning: Meaning) -> list[str]:
    return [say_english.english(meaning), say_french.french(meaning), say_german.german(meaning)]


@pytest.fixture(scope="module")
def drawn() -> list[Parallel]:
    rng = np.random.default_rng(1)
    return [parallel(rng, "train") for _ in range(3000)]


@pytest.mark.parametrize(("one", "other"), [("en", "fr"), ("en", "de"), ("fr", "en"), ("de", "en")])
def test_equal_text_has_equal_translations(drawn, one, other):
    """As heard, too: nothing hangs on a capital or a mark."""
    for form in (str, spoken_form):
        found: dict[str, str] = {}
        for sentence in drawn:
            text, translation = form(sentence.texts[one]), form(sentence.texts[other])
            assert found.setdefault(text, translation) == translation, text


def phones(text: str) -> str:
    library = _espeak().library
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    buffer = ctypes.create_string_buffer(text.encode())
    rest, found = ctypes.c_void_p(ctypes.addressof(buffer)), b""
    while rest.value:
        found += library.espeak_TextToPhonemes(ctypes.byref(rest), 1, 0)
    return re.sub(f"[{STRESS_MARKS} ]", "", found.decode())


@pytest.mark.parametrize(("language", "voice"), [("en", "en-us"), ("fr", "fr"), ("de", "de")])
def test_a_sentence_can_be_known_from_its_sound(drawn, language, voice):
    assert _espeak().library.espeak_SetVoiceByName(voice.encode()) == 0
    found: dict[str, str] = {}
    for sentence in drawn:
        text = spoken_form(sentence.texts[language])
        assert found.setdefault(phones(text), text) == text
    _espeak().voice = ""
    assert len(found) > 2700


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_sentences_belong_to_their_split(split):
    rng = np.random.default_rng(2)
    for _ in range(60):
        assert split_of(parallel(rng, split).texts["en"]) == split


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_written_and_counted_as_they_should_be(drawn, language):
    letters = {"en": "a-z", "fr": "a-zàâçèéêîôùûœ", "de": "a-zäöüß"}[language]
    for sentence in drawn:
        text = sentence.texts[language]
        assert text[0].isupper() and re.fullmatch(rf"[{letters}',\- ]+{MARK[language]}", text, re.IGNORECASE), text
        assert not re.search(r"  | [,.]|--", text), text
        assert 4 <= len(spoken_form(text).split()) <= 14
        assert re.fullmatch(rf"[{letters}' ]+", spoken_form(text))


def test_kinds_are_balanced_and_sentences_many(drawn):
    counts = Counter(sentence.kind for sentence in drawn)
    assert set(counts) == set(KINDS) and len(KINDS) == 20
    assert min(counts.values()) > 0.6 * len(drawn) / len(KINDS)
    assert len({sentence.texts["en"] for sentence in drawn}) > 0.97 * len(drawn)


def test_french_elides_and_contracts(drawn):
    apart = re.compile(r" (le|la|de|ne|je|se|me|te|que|ma|ta|de le|de les|à le|à les) (?!onze|huit)[aeiouâéêîôœ]")
    for sentence in drawn:
        assert not apart.search(f" {sentence.texts['fr'].lower()}"), sentence
        assert not re.search(r"\b(de|à) les? ", sentence.texts["fr"]), sentence


def test_the_number_of_a_fact_is_said(drawn):
    counted = [sentence for sentence in drawn if "number" in sentence.facts]
    assert len(counted) > 200
    for sentence in counted:
        value = int(sentence.facts["number"])
        assert f" {say_english.number(value)} " in sentence.texts["en"]
        assert say_german.number(value) in sentence.texts["de"].lower()
        french = {say_french.number(value), say_french.number(value, feminine=True)}
        assert any(f" {words} " in f" {sentence.texts['fr'].lower()}" for words in french)


def test_the_same_seed_draws_the_same():
    one, two = np.random.default_rng(3), np.random.default_rng(3)
    assert [parallel(one).texts for _ in range(30)] == [parallel(two).texts for _ in range(30)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_asked_for(kind):
    assert parallel(np.random.default_rng(4), kind=kind).kind == kind


@pytest.mark.parametrize(
    ("value", "english", "french", "german"),
    [
        (21, "twenty-one", "vingt et un", "einundzwanzig"),
        (16, "sixteen", "seize", "sechzehn"),
        (30, "thirty", "trente", "dreißig"),
        (67, "sixty-seven", "soixante-sept", "siebenundsechzig"),
        (70, "seventy", "soixante-dix", "siebzig"),
        (71, "seventy-one", "soixante et onze", "einundsiebzig"),
        (80, "eighty", "quatre-vingts", "achtzig"),
        (81, "eighty-one", "quatre-vingt-un", "einundachtzig"),
        (92, "ninety-two", "quatre-vingt-douze", "zweiundneunzig"),
        (99, "ninety-nine", "quatre-vingt-dix-neuf", "neunundneunzig"),
    ],
)
def test_numbers(value, english, french, german):
    assert say_english.number(value) == english
    assert say_french.number(value) == french
    assert say_german.number(value) == german


def test_a_french_one_has_a_gender():
    assert say_french.number(21, feminine=True) == "vingt et une"
    assert say_french.number(81, feminine=True) == "quatre-vingt-une"
    assert say_french.number(71, feminine=True) == "soixante et onze"


@pytest.mark.parametrize(
    ("clock", "english", "french", "german"),
    [
        (Clock(4, 30), "half past four", "quatre heures et demie", "halb fünf"),
        (Clock(12, 45), "quarter to one", "une heure moins le quart", "Viertel vor eins"),
        (Clock(1, 0), "one o'clock", "une heure", "ein Uhr"),
        (Clock(1, 15), "quarter past one", "une heure et quart", "Viertel nach eins"),
        (Clock(9, 40), "twenty to ten", "dix heures moins vingt", "zwanzig vor zehn"),
        (Clock(8, 5), "five past eight", "huit heures cinq", "fünf nach acht"),
    ],
)
def test_times_of_day(clock, english, french, german):
    assert [tell.time_of_day(clock) for tell in (say_english, say_french, say_german)] == [english, french, german]


ME, YOU, SHE, WE = (w.PRONOUNS[word] for word in ("I", "you", "she", "we"))
OLD_MAN = noun("man", **adjectives("old"))
TWO_RED_HOUSES = noun("house", det="number", plural=True, number=2, **adjectives("red"))
TOMORROW = w.TIMES["future"][0]
SENTENCES = [
    (
        Joined("that", Clause(ME, w.KNOW_THAT), Clause(OLD_MAN, verb("see"), object=TWO_RED_HOUSES)),
        "I know that the old man sees two red houses.",
        "Je sais que le vieil homme voit deux maisons rouges.",
        "Ich weiß, dass der alte Mann zwei rote Häuser sieht.",
    ),
    (
        Statement(Clause(noun("girl"), verb("open"), "past", object=noun("window"), time=w.ON_DAYS[0], fronted=True)),
        "On Monday the girl opened the window.",
        "Lundi, la fille a ouvert la fenêtre.",
        "Am Montag hat das Mädchen das Fenster aufgemacht.",
    ),
    (
        Joined("because", Clause(SHE, w.STAY, place=w.HOME), Clause(w.IT, w.RAINING[0], now=True)),
        "She stays at home because it is raining.",
        "Elle reste à la maison parce qu'il pleut.",
        "Sie bleibt zu Hause, weil es regnet.",
    ),
    (
        Joined("because", Clause(ME, verb("wait")), Clause(YOU, verb("close"), object=noun("door", det="your"))),
        "I wait because you close your door.",
        "J'attends parce que tu fermes ta porte.",
        "Ich warte, weil du deine Tür zumachst.",
    ),
    (
        Statement(Clause(noun("sister", det="my"), verb("get up"), "past", clock=Clock(6, 30))),
        "My sister got up at half past six.",
        "Ma sœur s'est levée à six heures et demie.",
        "Meine Schwester ist um halb sieben aufgestanden.",
    ),
    (
        Statement(Clause(WE, verb("go to bed"), "future", time=TOMORROW, negative=True)),
        "We will not go to bed tomorrow.",
        "Nous ne nous coucherons pas demain.",
        "Wir werden morgen nicht ins Bett gehen.",
    ),
    (
        Statement(Clause(noun("teacher"), w.HAVE, object=noun("car", det="a", **adjectives("red")), negative=True)),
        "The teacher does not have a red car.",
        "Le professeur n'a pas de voiture rouge.",
        "Der Lehrer hat kein rotes Auto.",
    ),
    (
        Statement(Clause(noun("boy"), verb("find"), "past", object=noun("key", det="my"), negative=True)),
        "The boy did not find my key.",
        "Le garçon n'a pas trouvé ma clé.",
        "Der Junge hat meinen Schlüssel nicht gefunden.",
    ),
    (
        Statement(Clause(noun("child", plural=True), verb("help"), object=noun("farmer", **adjectives("poor")))),
        "The children help the poor farmer.",
        "Les enfants aident le fermier pauvre.",
        "Die Kinder helfen dem armen Bauern.",
    ),
    (
        Statement(Clause(noun("aunt", det="my"), verb("visit"), object=noun("grandmother", det="your"))),
        "My aunt visits your grandmother.",
        "Ma tante rend visite à ta grand-mère.",
        "Meine Tante besucht deine Großmutter.",
    ),
    (
        Statement(Clause(noun("woman"), verb("give"), "past", object=noun("apple", det="a"), receiver=noun("child"))),
        "The woman gave the child an apple.",
        "La femme a donné une pomme à l'enfant.",
        "Die Frau hat dem Kind einen Apfel gegeben.",
    ),
    (
        Statement(
            Clause(
                noun("house", of=noun("friend", det="my")),
                w.BE,
                quality=Quality(w.ADJECTIVES["big"], degree="more", other=noun("church")),
            )
        ),
        "My friend's house is bigger than the church.",
        "La maison de mon ami est plus grande que l'église.",
        "Das Haus meines Freundes ist größer als die Kirche.",
    ),
    (
        Statement(
            Clause(Name("Anna", "f"), w.BE, quality=Quality(w.ADJECTIVES["big"], degree="as", other=noun("doctor")))
        ),
        "Anna is as tall as the doctor.",
        "Anna est aussi grande que le médecin.",
        "Anna ist so groß wie der Arzt.",
    ),
    (
        Question("where", Clause(noun("brother", det="your"), w.GO, motion=True)),
        "Where does your brother go?",
        "Où est-ce que ton frère va ?",
        "Wohin geht dein Bruder?",
    ),
    (
        Question("how many", Clause(noun("uncle", det="your"), w.HAVE, object=noun("dog", det="many", plural=True))),
        "How many dogs does your uncle have?",
        "Combien de chiens est-ce que ton oncle a ?",
        "Wie viele Hunde hat dein Onkel?",
    ),
    (
        Question("who", Clause(w.WHO, verb("bring"), "past", object=noun("bread", det="bare"))),
        "Who brought bread?",
        "Qui a apporté du pain ?",
        "Wer hat Brot mitgebracht?",
    ),
    (
        Question("how old", Clause(noun("tower", det="this"), w.BE)),
        "How old is this tower?",
        "Quel âge a cette tour ?",
        "Wie alt ist dieser Turm?",
    ),
    (
        Question("how old", Clause(SHE, w.BE)),
        "How old is she?",
        "Quel âge a-t-elle ?",
        "Wie alt ist sie?",
    ),
    (
        Question("how old", Clause(YOU, w.BE)),
        "How old are you?",
        "Quel âge as-tu ?",
        "Wie alt bist du?",
    ),
    (
        Question("yes", Clause(YOU, verb("buy"), "past", object=noun("egg", plural=True, det="bare"))),
        "Did you buy eggs?",
        "Est-ce que tu as acheté des œufs ?",
        "Hast du Eier gekauft?",
    ),
    (
        There(noun("bird", det="number", plural=True, number=21), Near("in", noun("basket", **adjectives("old")))),
        "There are twenty-one birds in the old basket.",
        "Il y a vingt et un oiseaux dans le vieux panier.",
        "Im alten Korb sind einundzwanzig Vögel.",
    ),
    (
        Request(verb("give"), noun("orange", det="the"), noun("nurse")),
        "Give the nurse the orange, please.",
        "Donne l'orange à l'infirmière, s'il te plaît.",
        "Gib bitte der Krankenschwester die Orange.",
    ),
    (
        Statement(Clause(WE, idiom("hungry").verb, "past", idiom=idiom("hungry"), negative=True)),
        "We were not hungry.",
        "Nous n'avions pas faim.",
        "Wir hatten keinen Hunger.",
    ),
    (
        Statement(Clause(ME, verb("wait for"), modal="like", object=noun("train"))),
        "I would like to wait for the train.",
        "Je voudrais attendre le train.",
        "Ich möchte auf den Zug warten.",
    ),
    (
        Statement(Clause(noun("dog"), verb("drink"), object=noun("milk", det="bare"), often="never")),
        "The dog never drinks milk.",
        "Le chien ne boit jamais de lait.",
        "Der Hund trinkt nie Milch.",
    ),
    (
        Joined("when", Clause(YOU, verb("come home")), Clause(w.IT, idiom("cold").verb, idiom=idiom("cold"))),
        "When it is cold, you come home.",
        "Quand il fait froid, tu rentres.",
        "Wenn es kalt ist, kommst du nach Hause.",
    ),
    (
        Statement(Clause(w.IT, w.RAINING[0], "past", place=Fixed("in Paris", "à Paris", "in Paris"), negative=True)),
        "It did not rain in Paris.",
        "Il n'a pas plu à Paris.",
        "Es hat in Paris nicht geregnet.",
    ),
    (
        Statement(Clause(w.NAMES[0], verb("wear"), object=noun("coat", det="this", **adjectives("beautiful", "blue")))),
        "Anna wears this beautiful blue coat.",
        "Anna porte ce beau manteau bleu.",
        "Anna trägt diesen schönen blauen Mantel.",
    ),
    (
        TimeIs(Clock(3, 45), Fixed("in Rome", "à Rome", "in Rom")),
        "It is quarter to four in Rome.",
        "Il est quatre heures moins le quart à Rome.",
        "In Rom ist es Viertel vor vier.",
    ),
]


@pytest.mark.parametrize(("meaning", "english", "french", "german"), SENTENCES, ids=[row[1] for row in SENTENCES])
def test_a_meaning_is_said_as_each_language_says_it(meaning, english, french, german):
    assert said(meaning) == [english, french, german]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("L'homme a quatre-vingt-un ans.", "l'homme a quatre vingt un ans"),
        ("Où est-ce qu\u2019Anna va ?", "où est ce qu'anna va"),
        ("Ich weiß, dass er Häuser sieht.", "ich weiß dass er häuser sieht"),
        ("At seven o'clock 'she' goes.", "at seven o'clock she goes"),
        ("E\u0301te\u0301", "été"),
    ],
)
def test_the_spoken_form_has_no_marks(text, heard):
    assert spoken_form(text) == heard
