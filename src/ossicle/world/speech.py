"""Spoken sentences with exact phone times, from three engines, in voices that the splits never share.

Knows text and voices; does not know scenes or tasks. eSpeak NG runs in this process through its C interface (the
library comes with the package `espeakng-loader`, extra `world`) and tells when each phone begins; flite and festival
are programs, used where they are installed. A voice is an accent, a variant, a rate, a pitch and a formant factor:
formants are moved by playing the engine's sound faster or slower, with its rate and pitch moved back.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.audio.io import read_clip
from ossicle.errors import ConfigError, DependencyError
from ossicle.world.accents import base_and_rules, is_made, made_accent
from ossicle.world.parts import Voice

ACCENTS = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-gb-x-gbclan")
UNSEEN_ACCENT = "en-gb-x-gbcwmd"
ACCENTS_OF = {"en": ACCENTS, "fr": ("fr-fr", "fr-be", "fr-ch"), "de": ("de",)}
"""eSpeak NG's accents of each language that can be spoken."""
ENGINE_NAMES = {"en-gb": "en", "fr-fr": "fr"}
"""Accents that eSpeak NG itself calls otherwise."""
FLITE_VOICES = ("kal16", "awb", "rms", "slt")
FESTIVAL_VOICES = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")

# eSpeak NG's variants by split; "" is the plain voice. What is left out (whisperf, croak and the like) is an effect,
# not a voice: people do not understand those either.
TRAIN_VARIANTS = (
    "", "Alex", "Alicia", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo", "Lee", "Marco",
    "Mario", "Michael", "Mr serious", "Nguyen", "Reed", "RicishayMax", "RicishayMax3", "anika", "anikaRobot",
    "antonio", "aunty", "benjamin", "boris", "david", "edward", "edward2", "f1", "f3", "f5", "grandma", "grandpa",
    "gustave", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "klatt", "klatt2", "klatt4", "klatt6", "m1",
    "m3", "m4", "m6", "m7", "m8", "marcelo", "max", "miguel", "mike2", "norbert", "paul", "pedro", "quincy", "rob",
    "robert", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5", "robosoft6", "shelby", "steph",
    "steph3", "travis", "victor", "zac",
)  # fmt: skip
VALIDATION_VARIANTS = ("m2", "f4", "klatt3", "ed", "linda", "sandro")
TEST_VARIANTS = ("m5", "f2", "klatt5", "adam", "belinda", "ian", "michel", "Andrea", "Jacky", "Mike", "pablo", "steph2")
VARIANTS = {"train": TRAIN_VARIANTS, "validation": VALIDATION_VARIANTS, "test": TEST_VARIANTS}
# Variants whose pitch is steady enough to be called low or high: (low, high) for each split.
PITCHED = {
    "train": (("", "m1", "m3", "m4", "m6", "m7", "m8", "john", "max"), ("f1", "f3", "f5", "steph", "Alicia", "anika")),
    "validation": (("m2", "sandro"), ("f4", "linda")),
    "test": (("m5", "adam", "Mike", "michel"), ("f2", "belinda", "steph2", "Andrea")),
}
PITCH_SETTINGS = {"low": (0, 36), "high": (50, 96)}
"""eSpeak NG's pitch numbers for a low voice (measured 56-95 Hz) and a high one (180-400 Hz): half-open ranges."""
PACE_WPM = {"slow": (90, 116), "fast": (255, 311)}
"""Words a minute of a slow and a fast speaker, half-open; all other speech keeps to `USUAL_WPM`."""
USUAL_WPM = (120, 241)
FLITE_SHARE = 0.10
MADE_SHARE = 0.55
"""Share of eSpeak NG's training clips whose accent is made up; see `ossicle.world.accents`."""
PHONES = (
    "t", "n", "s", "I", "k", "d", "z", "r", "l", "m", "p", "E", "i", "@", "3", "b", "a", "f", "eI", "V", "oU", "I2",
    "N", "0", "aI", "w", "g", "v", "u", "dZ", "a#", "tS", "@L", "h", "S", "A@", "aU", "j", "O", "O@", "aa", "U", "T",
    "e@", "o@", "i@3", "D", "aI@", "A", "i@", "OI", "I#", "t#", "t[", "aI2", "O2", "VR", "IR", "@-", "r-", "U@", "w#",
    "Z", "aI3", "t2", "?", "n-", "@2",
)  # fmt: skip
"""eSpeak NG's names of every phone that the English accents use; training in English knows no other."""
PHONES_3 = (
    *PHONES, "A~", "o", "y", "e", "a-", "z2", "E~", "W", "O~", "e-", "W~", "y-", "Y", "OY", "ts", "C", "!", "x", "R",
    "UR", "pF", "@5",
)  # fmt: skip
"""`PHONES`, and what French and German, and English sentences as they are written, add to them."""
TARGET_VOICES = {
    "en": Voice("flite", "en-us", "slt", rate_wpm=165, pitch=50, warp=1.0),
    "fr": Voice("espeak", "fr-fr", "", rate_wpm=175, pitch=50, warp=1.0),
    "de": Voice("espeak", "de", "", rate_wpm=175, pitch=50, warp=1.0),
}
"""The one voice of each language that a model learns to speak in."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """Speech with its phones.

    Args:
        samples: (S,) float32 at 16 kHz.
        phones: (label, start_s, end_s), in eSpeak NG's phone names; empty from engines that do not tell.
        words: (place, start_s), the place of a word's first letter in the text, from 0. From eSpeak NG alone; it passes
            over a word that it says in one with the one before ("in the"), and tells places inside some words too.
    """

    samples: np.ndarray
    phones: tuple[tuple[str, float, float], ...]
    words: tuple[tuple[int, float], ...] = ()


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_END, _WORD, _PHONEME = 0, 1, 7
STRESS_MARKS = "',%=_:|;"
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Espeak:
    """eSpeak NG: one for the process, because its library keeps global state; or a copy of it, with a state of its own.

    Args:
        library: the library's file; None is the package's.
    """

    def __init__(self, library: str | None = None) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise DependencyError(
                "speech for the world needs eSpeak NG: install the extra `world` (package espeakng-loader)"
            ) from error
        self.data = Path(espeakng_loader.get_data_path())
        self.library = ctypes.CDLL(library or espeakng_loader.get_library_path())
        synchronous, phoneme_events, no_exit = 2, 0x0001, 0x8000  # without threads, so that a fork is safe
        self.rate = self.library.espeak_Initialize(
            synchronous, 500, str(self.data.parent).encode(), phoneme_events | no_exit
        )
        assert self.rate > 0, "eSpeak NG did not start"
        self.pieces: list[np.ndarray] = []
        self.marks: list[tuple[str, int]] = []
        self.words: list[tuple[int, int]] = []  # place in the text, from 1, and first sample
        self.callback = _Callback(self._take)
        self.library.espeak_SetSynthCallback(self.callback)
        self.voice = ""

    def _take(self, wave: "ctypes._Pointer[ctypes.c_short]", n: int, events: "ctypes._Pointer[_Event]") -> int:
        if wave and n > 0:
            self.pieces.append(np.ctypeslib.as_array(wave, (n,)).copy())
        i = 0
        while events[i].type != _END:
            if events[i].type == _PHONEME:
                self.marks.append((events[i].name.decode("utf-8", "replace"), events[i].sample))
            elif events[i].type == _WORD:
                self.words.append((events[i].text_position, events[i].sample))
            i += 1
        return 0

    def speak(
        self, text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int
    ) -> tuple[np.ndarray, list[tuple[str, int]]]:
        """Samples (S,) float32 at ``self.rate``, and each phone's name and first sample."""
        if voice != self.voice:
            self._take_voice(voice)
            self.voice = voice
        for parameter, value in ((_RATE, rate_wpm), (_PITCH, pitch), (_RANGE, pitch_range)):
            self.library.espeak_SetParameter(parameter, value, 0)
        self.pieces, self.marks, self.words = [], [], []
        data = text.encode()
        utf8 = 1
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, utf8, None, None)
        self.library.espeak_Synchronize()
        wave = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.int16)
        return wave.astype(np.float32) / 32768, self.marks

    def _take_voice(self, voice: str) -> None:
        accent, _, variant = voice.partition("+")
        if not is_made(accent):
            if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ConfigError(f"eSpeak NG has no voice {voice!r}")
            return
        file, rules = base_and_rules(accent)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as own:
            own.write((self.data / "lang" / "gmw" / file).read_text(encoding="utf-8") + "\n" + rules)
            own.flush()
            named = f"{own.name}+{variant}" if variant else own.name
            if self.library.espeak_ng_SetVoiceByFile(named.encode()) != 0:
                raise ConfigError(f"eSpeak NG does not take the accent {accent!r}")

    def close(self) -> None:
        """Free the library; nothing can be said after it."""
        self.library.espeak_Terminate()
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(self.library._handle))


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


@contextmanager
def _fresh_espeak() -> Iterator[_Espeak]:
    """An eSpeak NG that never spoke: a copy of its library, loaded beside the process's own and freed again.

    The library's tremble of the voice goes on from sentence to sentence, whatever is initialised anew.
    """
    copy = os.memfd_create("espeak-ng")
    try:
        with open(_espeak().library._name, "rb") as library:
            os.sendfile(copy, library.fileno(), 0, os.fstat(library.fileno()).st_size)
        engine = _Espeak(f"/proc/self/fd/{copy}")
        try:
            engine.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else by the clock: breath differs by the second
            yield engine
        finally:
            engine.close()
    finally:
        os.close(copy)


def engines() -> tuple[str, ...]:
    """The engines that are installed, of "espeak", "flite" and "festival"."""
    programs = (("flite", "flite"), ("festival", "text2wave"))
    return ("espeak", *(engine for engine, program in programs if shutil.which(program)))


def sample_voice(
    rng: np.random.Generator,
    split: str,
    *,
    pitch: str | None = None,
    pace: str | None = None,
    slice: str | None = None,
    language: str = "en",
) -> Voice:
    """A voice of a split. French and German are spoken by eSpeak NG alone, in its own accents.

    Args:
        rng: draws everything.
        split: "train", "validation" or "test".
        pitch: "low", "high" or None for anything.
        pace: "slow", "fast" or None for the usual range.
        slice: "unseen_accent" or "festival" of the test split, in English; anything else is the seen accents.
        language: "en", "fr" or "de".

    Raises:
        ConfigError: an unknown split, pitch, pace or language, or an English slice of another language.
    """
    for name, value, known in (
        ("split", split, VARIANTS),
        ("pitch", pitch, PITCH_SETTINGS),
        ("pace", pace, PACE_WPM),
        ("language", language, ACCENTS_OF),
    ):
        if value not in known and not (value is None and name in ("pitch", "pace")):
            raise ConfigError(f"unknown {name} {value!r}, allowed are {', '.join(known)}")
    if language != "en" and slice in ("unseen_accent", "festival"):
        raise ConfigError(f"the slice {slice!r} is of English voices, language is {language!r}")
    rate = int(rng.integers(*(USUAL_WPM if pace is None else PACE_WPM[pace])))
    if slice == "festival":
        return Voice("festival", "en-us", str(rng.choice(FESTIVAL_VOICES)), rate, 50, 1.0)
    plain = pitch is None and pace is None
    english = language == "en"
    if english and split == "train" and plain and rng.random() < FLITE_SHARE and "flite" in engines():
        return Voice("flite", "en-us", str(rng.choice(FLITE_VOICES)), rate, int(rng.integers(20, 81)), 1.0)
    if slice == "unseen_accent":
        accent = UNSEEN_ACCENT
    elif english and split == "train" and rng.random() < MADE_SHARE:
        accent = made_accent(rng, ACCENTS)
    else:
        accent = str(rng.choice(ACCENTS_OF[language]))
    if pitch is not None:
        variant = str(rng.choice(PITCHED[split][pitch == "high"]))
        return Voice("espeak", accent, variant, rate, int(rng.integers(*PITCH_SETTINGS[pitch])), 1.0)
    variant = str(rng.choice(VARIANTS[split]))
    warp = float(rng.uniform(0.87, 1.15)) if plain and rng.random() < 0.6 else 1.0
    return Voice("espeak", accent, variant, rate, int(rng.integers(15, 86)), warp)


def pitch_of(voice: Voice) -> str | None:
    """ "low" or "high" where the voice is one that a question about pitch may use, else None."""
    for low, high in PITCHED.values():
        for name, variants in (("low", low), ("high", high)):
            first, end = PITCH_SETTINGS[name]
            if (
                voice.engine == "espeak"
                and voice.variant in variants
                and first <= voice.pitch < end
                and voice.warp == 1.0
            ):
                return name
    return None


def pace_of(voice: Voice) -> str | None:
    """ "slow" or "fast", or None for the usual pace."""
    return next((name for name, (first, end) in PACE_WPM.items() if first <= voice.rate_wpm < end), None)


def speak(text: str, voice: Voice) -> Spoken:
    """Say a text.

    eSpeak NG keeps some state from sentence to sentence, so two renderings may differ in length by about a millisecond.

    Raises:
        ConfigError: an unknown engine, accent or variant.
        DependencyError: the engine or its voice is not installed.
    """
    known = {"flite": FLITE_VOICES, "festival": FESTIVAL_VOICES}.get(voice.engine)
    if known is not None and voice.variant not in known:
        raise ConfigError(f"{voice.engine} has no voice {voice.variant!r}, allowed are {', '.join(known)}")
    match voice.engine:
        case "espeak":
            return _speak_espeak(text, voice, _espeak())
        case "flite":
            stretch, mean_hz = 165 / voice.rate_wpm, 70 + 1.4 * voice.pitch
            options = ["--setf", f"duration_stretch={stretch:.3f}", "--setf", f"int_f0_target_mean={mean_hz:.0f}"]
            return _speak_program("flite", ["flite", "-voice", voice.variant, *options, "-t", text, "-o"])
        case "festival":
            options = [
                "-eval",
                f"(voice_{voice.variant})",
                "-eval",
                f"(Parameter.set 'Duration_Stretch {165 / voice.rate_wpm:.3f})",
            ]
            return _speak_program("festival", ["text2wave", *options, "-o"], text)
        case _:
            raise ConfigError(f"unknown engine {voice.engine!r}, allowed are espeak, flite, festival")


def speak_afresh(text: str, voice: Voice) -> Spoken:
    """Say a text as if nothing had been said before: the same samples every time, at some 40 ms more than `speak`.

    Raises:
        ConfigError, DependencyError: as `speak` does.
    """
    if voice.engine != "espeak":
        return speak(text, voice)
    with _fresh_espeak() as engine:
        return _speak_espeak(text, voice, engine)


def _speak_espeak(text: str, voice: Voice, engine: _Espeak) -> Spoken:
    accent = ENGINE_NAMES.get(voice.accent, voice.accent)
    if voice.variant and not (engine.data / "voices" / "!v" / voice.variant).is_file():
        raise ConfigError(f"eSpeak NG has no variant {voice.variant!r}")
    name = f"{accent}+{voice.variant}" if voice.variant else accent
    # Played `warp` times faster, formants, pitch and pace all rise by it: pace and pitch are set back here.
    rate = int(np.clip(voice.rate_wpm / voice.warp, 80, 400))
    pitch = int(np.clip(voice.pitch - 70 * np.log2(voice.warp), 0, 99))
    wave, marks = engine.speak(text, name, rate, pitch, 50)
    speed = engine.rate * voice.warp
    samples = soxr.resample(wave, speed, SAMPLE_RATE).astype(np.float32, copy=False)
    starts = [sample / speed for _, sample in marks]
    ends = [*starts[1:], len(samples) / SAMPLE_RATE]
    labels = [label.strip(STRESS_MARKS) for label, _ in marks]
    phones = tuple((n, a, b) for n, a, b in zip(labels, starts, ends, strict=True) if n and b > a)
    words = tuple((place - 1, sample / speed) for place, sample in engine.words)
    return Spoken(samples, phones, words)


def _speak_program(engine: str, command: list[str], text: str | None = None) -> Spoken:
    if shutil.which(command[0]) is None:
        raise DependencyError(f"the engine {engine} is not installed (program {command[0]} is not on the path)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([*command, str(path)], input=text, text=True, check=False, capture_output=True)
        if not path.is_file():  # festival exits 0 when it does not know a voice
            said = " ".join(command)
            raise DependencyError(f"the engine {engine} made no sound: is the voice of {said} there?")
        return Spoken(read_clip(path, rate=SAMPLE_RATE).samples, ())
