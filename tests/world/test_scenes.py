"""Scenes: everything at its time and level, and conditions that are what they are called."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.audio.clip import SAMPLE_RATE
from ossicle.errors import ConfigError
from ossicle.world.music import TIMBRES, compose
from ossicle.world.parts import Event, Music, Part, Pause, Rendered, Scene, Sound, Speech, Voice
from ossicle.world.scenes import LEVEL, LOUDEST, NOISES, random_conditions, render
from ossicle.world.sounds import COUNTABLE, KINDS
from ossicle.world.waves import noise

VOICE = Voice(engine="espeak", accent="en-us", variant="", rate_wpm=160, pitch=50, warp=1.0)
HELLO = Speech("hello there", VOICE)
MELODY = Music("flute", (60, 64), (1.0, 1.0), 120.0, "major", 1)


@dataclass(frozen=True)
class FakeSpoken:
    samples: np.ndarray
    phones: tuple[tuple[str, float, float], ...]


def fake_speak(text: str, voice: Voice) -> FakeSpoken:
    """Noise of 0.1 s a character, one phone each."""
    samples = 0.01 * noise(1600 * len(text), np.random.default_rng(len(text)))
    return FakeSpoken(samples, tuple((letter, i / 10, (i + 1) / 10) for i, letter in enumerate(text)))


def hear(*parts: Part, **fields: object) -> Rendered:
    return render(Scene(parts, **fields), speak=fake_speak)


def inside(rendered: Rendered, kinds: tuple[str, ...]) -> np.ndarray:
    """Which samples lie in an event of one of these kinds."""
    mask = np.zeros(len(rendered.samples), bool)
    for event in rendered.events:
        if event.kind in kinds:
            mask[round(event.start_s * SAMPLE_RATE) : round(event.end_s * SAMPLE_RATE)] = True
    return mask


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def test_every_part_has_its_events_at_their_times() -> None:
    got = hear(Pause(0.5), Speech("ab", VOICE), Pause(0.25), Sound("rain", 1, 0.5), MELODY)
    assert got.events == (
        Event(0.5, 0.7, "speech", "ab"),
        Event(0.5, 0.6, "phone", "a"),
        Event(0.6, 0.7, "phone", "b"),
        Event(0.95, 1.45, "sound", "rain"),
        Event(1.45, 2.45, "music", "flute"),
        Event(1.45, 1.95, "note", "60"),
        Event(1.95, 2.45, "note", "64"),
    )
    assert got.samples.shape == (round(2.45 * SAMPLE_RATE),) and got.samples.dtype == np.float32


parts = st.one_of(
    st.builds(Pause, st.floats(0, 0.6)),
    st.builds(Sound, st.sampled_from(KINDS), st.integers(0, 999), st.floats(0.2, 1.5)),
    st.builds(Sound, st.sampled_from(COUNTABLE), st.integers(0, 999), st.floats(0.7, 1.5), st.integers(1, 4)),
    st.builds(Speech, st.sampled_from(("one", "two words")), st.just(VOICE)),
    st.builds(lambda seed, timbre: compose(np.random.default_rng(seed), timbre=timbre, tempo="fast", n_notes=4),
              st.integers(0, 999), st.sampled_from(TIMBRES)),
)  # fmt: skip


@given(chosen=st.lists(parts, min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_a_clean_dry_scene_is_silent_outside_its_events(chosen: list[Part]) -> None:
    got = hear(Pause(0.1), *chosen)
    mask = inside(got, ("speech", "sound", "music"))
    assert not got.samples[~mask].any()
    assert np.abs(got.samples).max() <= LOUDEST + 1e-6
    for event in got.events:
        first, last = round(event.start_s * SAMPLE_RATE), round(event.end_s * SAMPLE_RATE)
        assert 0 <= first < last <= len(got.samples)
        assert np.abs(got.samples[first:last]).max() > 0.01
    assert list(got.events) == sorted(got.events, key=lambda event: event.start_s)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_each_stroke_is_an_event(n: int) -> None:
    got = hear(Pause(0.3), Sound("knock", 4, 1.5, strokes=n))
    assert [(event.kind, event.label) for event in got.events] == [("sound", "knock")] * n


def test_the_same_scene_sounds_the_same_and_another_seed_another_way() -> None:
    fields = {"noise": "babble", "room": 0.5, "tilt_db": 3.0, "gain_db": -2.0}
    one, same, other = (hear(HELLO, Sound("dog", 1, 1.0), seed=seed, **fields) for seed in (1, 1, 2))
    assert np.array_equal(one.samples, same.samples) and one.events == same.events == other.events
    assert not np.array_equal(one.samples, other.samples)


def test_a_sound_does_not_depend_on_what_is_around_it() -> None:
    alone = hear(Sound("engine", 7, 1.0)).samples
    after = hear(Pause(0.5), HELLO, Sound("engine", 7, 1.0)).samples
    assert np.array_equal(alone, after[-SAMPLE_RATE:])


def test_steady_parts_come_out_equally_loud() -> None:
    for part in (HELLO, Sound("rain", 1, 1.0), Sound("siren", 1, 1.0), replace(MELODY, timbre="organ")):
        assert level_db(hear(part).samples) == pytest.approx(20 * np.log10(LEVEL), abs=1.5)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize(("snr_db", "room"), [(5.0, 0.0), (20.0, 0.6)])
def test_the_noise_is_as_far_down_as_asked(name: str, snr_db: float, room: float) -> None:
    said = (Pause(0.4), HELLO, Pause(0.6))
    clean = hear(*said, room=room, seed=5)
    noisy = hear(*said, room=room, seed=5, noise=name, snr_db=snr_db)
    mask = inside(clean, ("speech",))
    under = noisy.samples - clean.samples
    assert level_db(clean.samples[mask]) - level_db(under) == pytest.approx(snr_db, abs=1.0)
    assert noisy.events == clean.events


def test_noise_in_a_scene_without_sound_is_heard_at_its_distance_from_the_usual_level() -> None:
    assert not hear(Pause(1.0)).samples.any()
    got = hear(Pause(1.0), noise="pink", snr_db=20.0)
    assert got.events == () and level_db(got.samples) == pytest.approx(20 * np.log10(LEVEL) - 20, abs=0.5)


def test_noises_are_not_alike() -> None:
    def spectrum(name: str) -> np.ndarray:
        samples = hear(Pause(2.0), noise=name, snr_db=0.0).samples
        power = (np.abs(np.fft.rfft(samples)) ** 2)[1:].reshape(-1, 1000).mean(axis=1)  # 16 bands of 500 Hz
        return np.log10(power / power.sum())

    spectra = [spectrum(name) for name in NOISES]
    apart = [np.abs(a - b).max() for i, a in enumerate(spectra) for b in spectra[:i]]
    assert min(apart) > 0.3


def test_a_room_adds_a_tail_and_moves_nothing() -> None:
    click = (Pause(0.2), Sound("clap", 1, 0.2, strokes=1), Pause(0.8))
    dry, small, large = (hear(*click, room=room, seed=2) for room in (0.0, 0.2, 1.0))
    assert dry.events == small.events == large.events and len(dry.samples) == len(large.samples)
    tails = [float(np.sum(np.square(got.samples[round(0.45 * SAMPLE_RATE) :]))) for got in (dry, small, large)]
    assert tails[0] == 0 and tails[2] > 4 * tails[1] > 0
    assert not large.samples[: round(0.2 * SAMPLE_RATE)].round(5).any()
    match = np.correlate(large.samples[3200:6400], dry.samples[3200:6400], "full")
    assert int(np.argmax(match)) == 3199


def test_the_equaliser_tilts_by_what_is_asked() -> None:
    plain, tilted = (hear(HELLO, tilt_db=tilt).samples for tilt in (0.0, 12.0))
    ratio = np.abs(np.fft.rfft(tilted)) ** 2 / np.abs(np.fft.rfft(plain)) ** 2
    hz = np.fft.rfftfreq(len(plain), 1 / SAMPLE_RATE)
    octave_db = [10 * np.log10(np.median(ratio[(hz > low) & (hz < 2 * low)])) for low in (500, 1000, 2000)]
    assert np.diff(octave_db) == pytest.approx([2.0, 2.0], abs=0.4)


def test_gain_scales_and_a_peak_over_full_scale_is_scaled_not_clipped() -> None:
    plain, soft, loud = (hear(HELLO, gain_db=gain).samples for gain in (0.0, -6.0, 40.0))
    np.testing.assert_allclose(soft, plain * 10 ** (-6 / 20), rtol=1e-4)
    assert np.abs(loud).max() == pytest.approx(LOUDEST, rel=1e-5)
    np.testing.assert_allclose(loud, plain * (LOUDEST / np.abs(plain).max()), atol=1e-5)


def test_a_background_sounds_under_everything_at_its_level() -> None:
    alone = hear(Pause(0.5), HELLO)
    both = hear(Pause(0.5), HELLO, background=Sound("rain", 3, 60.0), background_db=-12.0)
    under = both.samples - alone.samples
    assert level_db(under) == pytest.approx(20 * np.log10(LEVEL) - 12, abs=1.5)
    assert both.events[0] == Event(0.0, 1.6, "sound", "rain") and both.events[1:] == alone.events
    assert len(both.samples) == len(alone.samples)


def test_a_background_that_is_shorter_ends_and_its_late_events_are_not_told() -> None:
    got = hear(Pause(1.5), background=Sound("rain", 3, 0.5))
    assert np.abs(got.samples[:8000]).max() > 0.01 and not got.samples[8000:].any()
    cut = hear(Pause(0.75), background=MELODY)
    assert cut.events == (
        Event(0.0, 0.75, "music", "flute"),
        Event(0.0, 0.5, "note", "60"),
        Event(0.5, 0.75, "note", "64"),
    )
    assert hear(Pause(0.5), background=MELODY).events[-1] == Event(0.0, 0.5, "note", "60")


def test_training_conditions_are_clean_half_of_the_time_and_always_renderable() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_conditions(rng) for _ in range(2000)]
    clean = [c for c in drawn if c["noise"] is None and c["room"] == 0]
    assert len(clean) / 2000 == pytest.approx(0.5, abs=0.04)
    assert {c["noise"] for c in drawn} == {None, *NOISES}
    assert all(8 <= c["snr_db"] <= 30 and 0 <= c["room"] <= 1 and abs(c["tilt_db"]) <= 6 for c in drawn)
    assert sum(c["room"] > 0 for c in drawn) > 400 and sum(c["tilt_db"] != 0 for c in drawn) > 500
    for conditions in drawn[:40]:
        got = render(Scene((HELLO,), seed=1, **conditions), speak=fake_speak)
        assert np.isfinite(got.samples).all() and 0.01 < np.abs(got.samples).max() <= LOUDEST + 1e-6


def test_conditions_come_from_the_generator_alone() -> None:
    assert random_conditions(np.random.default_rng(3)) == random_conditions(np.random.default_rng(3))


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene(()), "a scene needs at least one part that takes time"),
        (Scene((Pause(0.0),)), "a scene needs at least one part that takes time"),
        (Scene((Pause(-1.0), HELLO)), "a pause of -1 s cannot be made: 0-3600 s can be"),
        (Scene((Pause(float("nan")), HELLO)), "a pause of nan s cannot be made"),
        (Scene((HELLO,), noise="green"), "no noise is called 'green': the known ones are white, pink, brown, hum,"),
        (Scene((HELLO,), room=1.5), "the room is 1.5, allowed is 0 .dry. to 1"),
        (Scene((HELLO,), snr_db=float("nan")), "snr_db is nan, allowed is -60 to 60"),
        (Scene((HELLO,), gain_db=99.0), "gain_db is 99, allowed is -60 to 60"),
        (Scene((HELLO,), tilt_db=-99.0), "tilt_db is -99, allowed is -60 to 60"),
        (Scene((HELLO,), background_db=99.0), "background_db is 99, allowed is -60 to 60"),
        (Scene((Sound("unicorn", 1, 1.0),)), "no sound is called 'unicorn'"),
    ],
)
def test_a_scene_that_cannot_be_rendered_is_refused(scene: Scene, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(scene, speak=fake_speak)
