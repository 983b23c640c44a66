"""Frames of an encoder that stays as it is: a clip's own, whatever lies beside it, kept or not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from models.tiny import noise

from ossicle.data.cache import FrameCache
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.train.answers import Answer
from ossicle.train.frozen import FrozenEncoder, cache_of, gather, identity_of
from ossicle.train.recipe_stages import Data

from .support import RNG, samples, tiny_model

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "conv_dim": [8] * 7}
KINDS = {
    "whisper": lambda: WhisperEncoder(WhisperSettings(16, 1, 2, 32, max_frames=100)),
    "window": lambda: WhisperEncoder(WhisperSettings(16, 1, 2, 32, max_frames=100, window=True)),
    "wav2vec2": lambda: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}),
    "w2v_bert": lambda: W2vBertEncoder(SMALL),
}
CLIPS = [noise(seconds, seed=i) for i, seconds in enumerate((0.31, 1.2, 0.7))]


def made(kind: str) -> WhisperEncoder | Wav2Vec2Encoder | W2vBertEncoder:
    torch.manual_seed(0)
    return KINDS[kind]().eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_has_its_own_frames_whatever_lies_beside_it_and_wherever_they_come_from(
    kind: str, tmp_path: Path
) -> None:
    encoder = made(kind)
    cache = FrameCache(tmp_path, "one", limit_bytes=10**8)
    plain, keeping = FrozenEncoder(encoder), FrozenEncoder(encoder, cache)
    alone = [plain.frames(gather([plain.sound(clip)])) for clip in CLIPS]
    known = keeping.sound(CLIPS[1])
    keeping.frames(gather([known]))
    mixed = gather([keeping.sound(clip) for clip in CLIPS])
    assert [width > 0 for width in mixed.widths] == [True, False, True]
    assert list(mixed.n_samples) == [0, CLIPS[1].n_samples, 0]
    together = [plain.frames(gather([plain.sound(clip) for clip in CLIPS])), keeping.frames(mixed)]
    together.append(keeping.frames(gather([keeping.sound(clip) for clip in CLIPS])))  # all of them kept
    for batch in together:
        assert batch.rate_hz == encoder.rate_hz and batch.durations_s.tolist() == [clip.duration_s for clip in CLIPS]
        for row, one in enumerate(alone):
            n = int(one.lengths[0])
            assert batch.lengths[row] == n == encoder.n_frames(CLIPS[row].n_samples)
            assert torch.equal(batch.values[row, :n], one.values[0]) and batch.values[row, n:].abs().sum() == 0
    whole = encoder(encoder.features(CLIPS))  # as a batch, equal to rounding
    for row, n in enumerate(whole.lengths.tolist()):
        torch.testing.assert_close(whole.values[row, :n], together[0].values[row, :n], atol=1e-5, rtol=1e-4)


def test_an_entry_that_is_damaged_or_too_narrow_is_computed_again(tmp_path: Path) -> None:
    encoder = made("whisper")
    keeping = FrozenEncoder(encoder, FrameCache(tmp_path, "one", limit_bytes=10**8))
    wanted = keeping.frames(gather([keeping.sound(CLIPS[0])])).values
    (path,) = tmp_path.glob("*/*")
    key = path.stem
    path.write_bytes(path.read_bytes()[:-1])
    sounds = gather([keeping.sound(CLIPS[0])])
    assert sounds.features is None and torch.equal(keeping.frames(sounds).values, wanted)
    assert torch.equal(keeping.cache.get(key), wanted[0])
    keeping.cache.put(key, torch.zeros(4, 3))
    assert torch.equal(keeping.frames(sounds).values, wanted) and torch.equal(keeping.cache.get(key), wanted[0])


def test_the_identity_follows_from_all_that_frames_depend_on() -> None:
    encoder = made("whisper")
    found = [identity_of(encoder, "float32"), identity_of(encoder, "bfloat16"), identity_of(made("window"), "float32")]
    with torch.no_grad():
        encoder.tower.conv1.bias[0] += 1e-3
    found.append(identity_of(encoder, "float32"))
    assert len(set(found)) == 4 and identity_of(made("whisper"), "float32") == found[0]


def test_a_cache_lies_where_the_data_say(tmp_path: Path) -> None:
    encoder = made("whisper")
    assert cache_of(Data(cache=False), encoder, tmp_path, "float32") is None
    own = cache_of(Data(), encoder, tmp_path, "float32")
    named = cache_of(Data(cache=str(tmp_path / "x"), cache_gb=1.5), encoder, tmp_path, "float32")
    assert (own.folder, own.limit_bytes) == (tmp_path / "cache", 20_000_000_000)
    assert (named.folder, named.limit_bytes, named.identity) == (tmp_path / "x", 1_500_000_000, own.identity)


def test_an_answer_has_the_same_loss_with_clips_alone_to_rounding() -> None:
    model = tiny_model()
    plain, alone = Answer(model), Answer(model, frozen=FrozenEncoder(model.encoder))
    batches = [one.collate([one.item(s, RNG(0)) for s in samples(3, "sound")]) for one in (plain, alone)]
    assert batches[1].features is None and batches[0].sounds is None
    assert batches[0].prompts == batches[1].prompts and batches[0].seconds == batches[1].seconds
    (total, count, _), (other, n, _) = plain.loss(model, batches[0]), alone.loss(model, batches[1])
    assert count == n and torch.allclose(total, other, rtol=1e-5)
    assert np.isfinite(total.item())
