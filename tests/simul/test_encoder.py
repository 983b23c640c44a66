"""A speech encoder that hears piece by piece against one masked run over everything."""

import numpy as np
import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.errors import EncoderError, RequestError
from ossicle.simul.encoder import Listening, Norm, Usual, chunks_of, masked, normed, usual_of
from ossicle.train.translator_parts import new_translator
from ossicle.translate.sizes import SpeechSizes, TextSizes, TranslatorSizes
from ossicle.translate.speech_encoder import Chunks
from ossicle.translate.translator import Translator

from .small import louden

TEXT = TextSizes(vocabulary=300, encoder_layers=1, decoder_layers=1, ffn=32, context=64)
TOLERANCE = 1e-5


def model_of(stack: int, shorten: int, tail: str = "pad") -> Translator:
    """Two layers, width 32; one output for ``shorten`` frames of ``stack`` filter banks."""
    speech = SpeechSizes(layers=2, ffn=32, kernel=5, left=6, right=3, stack=stack, shorten=shorten)
    made = new_translator(TranslatorSizes(width=32, heads=4, speech=speech, text=TEXT), name="tiny", seed=1)
    louden(made.speech_encoder)
    made.banks.tail = tail
    return made.eval()


MODELS = {(4, 2): model_of(4, 2), (2, 8): model_of(2, 8), (2, 4): model_of(2, 4)}
USUAL = usual_of(MODELS[4, 2], [np.random.default_rng(9).normal(0, 0.1, 16000).astype(np.float32)], weight=20.0)


def sound(n: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness wanders."""
    rng = np.random.default_rng(seed)
    loud = np.interp(np.arange(n), np.linspace(0, n, 9), rng.uniform(0.001, 0.3, 9))
    return (loud * rng.normal(size=n)).astype(np.float32)


def heard(model: Translator, wave: np.ndarray, chunks: Chunks, sizes: list[int]) -> torch.Tensor:
    ear, at, found = Listening(model, chunks, USUAL), 0, []
    for n in sizes:
        found.append(ear.hear(wave[at : at + n]))
        at += n
    found += [ear.hear(wave[at:]), ear.finish()]
    assert ear.n_samples == len(wave)
    return torch.cat(found, 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("stack", "shorten", "chunks"), [
    (4, 2, Chunks(8, 2)), (4, 2, Chunks(2, 5)), (4, 2, Chunks(6, -1)), (4, 2, Chunks(8, 0)),
    (2, 8, Chunks(16, 4)), (2, 8, Chunks(8, 1)), (2, 4, Chunks(12, 2)),
])  # fmt: skip
def test_piece_by_piece_is_the_masked_run(stack: int, shorten: int, chunks: Chunks, seed: int) -> None:
    """Pieces of 10 ms to 2 s at random, lengths that end anywhere in a chunk."""
    model, rng = MODELS[stack, shorten], np.random.default_rng(seed)
    wave = sound(int(rng.integers(9000, 60000)), seed)
    sizes = [int(n) for n in rng.integers(160, 32000, 40)]
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), len(wave)))]
    with torch.no_grad():
        whole = masked(model, [wave], chunks, USUAL)
    found = heard(model, wave, chunks, sizes)
    assert found.shape == whole.values.shape and int(whole.lengths[0]) == model.n_encoded(len(wave))
    assert (found - whole.values).abs().max() <= TOLERANCE


@pytest.mark.parametrize("n", [*range(5120, 5120 + 4 * 640, 80), 640, 641, 1280, 1, 400, 5119])
def test_every_end_of_a_sound(n: int) -> None:
    model, chunks, wave = MODELS[4, 2], Chunks(4, 1), sound(n, n)
    with torch.no_grad():
        whole = masked(model, [wave], chunks, USUAL).values
    for sizes in ([], [160] * (n // 160), [n // 2]):
        found = heard(model, wave, chunks, sizes)
        assert found.shape == whole.shape and (found - whole).abs().max() <= TOLERANCE


def test_what_comes_later_changes_nothing() -> None:
    model, chunks = MODELS[4, 2], Chunks(8, -1)
    wave = sound(40000)
    other = np.concatenate([wave[:20000], sound(20000, 5)])
    ears = [Listening(model, chunks, USUAL) for _ in range(2)]
    first = [ear.hear(one[:20000]) for ear, one in zip(ears, (wave, other), strict=True)]
    assert torch.equal(*first) and first[0].shape[1] == 20000 // (8 * 640) * 4
    later = [ear.hear(one[20000:]) for ear, one in zip(ears, (wave, other), strict=True)]
    assert not torch.equal(*later)
    # chunk by chunk, none waits for the next
    ear, n_out = Listening(model, chunks, USUAL), []
    for at in range(0, 40000, 160):
        n_out += [at + 160] * ear.hear(wave[at : at + 160]).shape[1]
    # 8 frames of 4 filter banks of 25 ms each: 5,120 samples and what the last of them overlaps
    assert n_out == [5120 * (i // 4 + 1) + 320 for i in range(len(n_out))] and len(n_out) == 28
    assert ear.heard_s == pytest.approx(7 * 5120 / 16000)


def test_with_all_in_one_chunk_the_layers_are_the_models_own() -> None:
    model, wave = MODELS[4, 2], sound(16000)
    features = model.features([Clip(wave, 16000)])
    row = normed(model.banks, wave, Chunks(1000), USUAL)
    with torch.no_grad():
        features.values[0] = torch.from_numpy(row.T)
        assert torch.equal(model.hear(features).values, masked(model, [wave], Chunks(1000), USUAL).values)


def test_a_masked_batch_is_its_items_alone() -> None:
    model, chunks = MODELS[2, 8], Chunks(16, 1)
    waves = [sound(n, n) for n in (20000, 9000, 31000)]
    with torch.no_grad():
        together = masked(model, waves, chunks, USUAL)
        for row, wave in enumerate(waves):
            alone = masked(model, [wave], chunks, USUAL)
            n = int(alone.lengths[0])
            assert (together.values[row, :n] - alone.values[0]).abs().max() <= TOLERANCE
            assert (together.values[row, n:] == 0).all() and int(together.lengths[row]) == n


def test_what_is_kept_does_not_grow() -> None:
    model, chunks = MODELS[4, 2], Chunks(8, 3)
    ear, sizes = Listening(model, chunks, USUAL), set()
    for i in range(60):
        ear.hear(sound(5120, i))
        kept = [one.kept.keys.shape[2] for one in (*ear.layers, *ear.adaptor) if one.kept.keys is not None]
        if i > 5:
            sizes.add((*kept, len(ear.samples) < 640, len(ear.waiting) < 32))
    assert sizes == {(24, 24, 12, True, True)}


def test_the_norm_is_that_of_what_has_come() -> None:
    rng = np.random.default_rng(0)
    banks = rng.normal(3, 2, (50, 4)).astype(np.float32)
    norm = Norm(Usual(np.zeros(4), np.ones(4), weight=1e-9, memory=1e12))
    blocks = [norm.block(banks[at : at + 10], 10) for at in range(0, 50, 10)]
    for i, block in enumerate(blocks):
        past = banks[: 10 * (i + 1)].astype(np.float64)
        assert np.allclose(block, (banks[10 * i : 10 * i + 10] - past.mean(0)) / past.std(0), atol=1e-5)
    strong = Norm(Usual(np.full(4, 3.0), np.full(4, 4.0), weight=1e9))
    assert np.allclose(strong.block(banks[:10], 10), (banks[:10] - 3) / 2, atol=1e-5)
    short = Norm(Usual(np.zeros(4), np.ones(4), weight=100.0, memory=10.0))
    for _ in range(40):
        short.block(banks, 50)
    assert np.allclose(short.sums / short.n, banks.mean(0), atol=1e-4)  # the beginning is forgotten
    unheard = Norm(Usual(np.zeros(4), np.ones(4)))
    assert np.allclose(unheard.block(banks[:10], 0), banks[:10], atol=1e-4) and unheard.n == 100


def test_chunks_of_seconds() -> None:
    assert chunks_of(0.32, MODELS[4, 2]) == Chunks(8, -1)
    assert chunks_of(0.32, MODELS[2, 8], left_s=1.2) == Chunks(16, 4)
    assert chunks_of(0.001, MODELS[2, 8], left_s=0) == Chunks(8, 0)


def test_what_cannot_be_is_refused() -> None:
    model, chunks = MODELS[4, 2], Chunks(8, 1)
    with pytest.raises(EncoderError, match="a chunk of 9 frames holds no whole number of the adaptor's 2"):
        Listening(model, Chunks(9), USUAL)
    ear = Listening(model, chunks, USUAL)
    for wrong in (np.zeros((1, 3), np.float32), np.zeros(3), np.full(3, np.nan, np.float32)):
        with pytest.raises(RequestError, match=r"samples are \(S,\) float32 and finite: got"):
            ear.hear(wrong)
    assert ear.finish().shape == (1, 0, 32)  # nothing was heard
    for again in (lambda: ear.hear(sound(3)), ear.finish):
        with pytest.raises(RequestError, match="the sound has ended: a new one needs a new ear"):
            again()
    with pytest.raises(RequestError, match="tiny leaves out the end of a clip, as published"):
        Listening(model_of(4, 2, "drop"), chunks, USUAL)
    deaf = model_of(4, 2)
    deaf.speech_encoder = None
    with pytest.raises(RequestError, match="tiny hears no speech"):
        Listening(deaf, chunks, USUAL)
    with pytest.raises(RequestError, match="needs two of them at least"):
        usual_of(model, [sound(100)])
