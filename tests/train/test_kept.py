"""Clips that are kept with their frames: the frames that the encoder gives, in an order that the seed fixes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ossicle.audio.clip import Clip
from ossicle.errors import DataError, StorageError
from ossicle.train import kept as kepts
from ossicle.train.frozen import gather
from ossicle.train.kept import Asked, Kept, write_kept

from .support import MODEL, samples

SAMPLES = [*samples(2, "transcribe"), *samples(2, "instrument")]


def kept(folder: Path, *, silent: bool = False) -> Kept:
    told: list[float] = []
    asked = [Asked(one, "wer", silent=silent) for one in SAMPLES]
    write_kept(folder, MODEL.encoder, asked, identity="one", show=told.append)
    assert told[-1] == pytest.approx(sum(len(one.samples) for one in SAMPLES) / 16_000)
    return Kept(folder, 5)


def test_frames_are_those_of_the_encoder_to_half_precision(tmp_path: Path) -> None:
    found = kept(tmp_path / "a")
    frames = found.rows([3, 0])
    for row, sample in zip(range(2), (SAMPLES[3], SAMPLES[0]), strict=True):
        with torch.no_grad():
            made = MODEL.encoder(MODEL.encoder.features([Clip(sample.samples, 16_000)]))
        n = int(frames.lengths[row])
        assert n == int(made.lengths[0]) and frames.rate_hz == made.rate_hz
        assert torch.equal(frames.values[row, :n], made.values[0, :n].half().float())
        assert frames.values[row, n:].abs().sum() == 0 and frames.values.dtype == torch.float32
        assert frames.durations_s[row] == len(sample.samples) / 16_000
    assert found.to(torch.device("meta")).rows([0]).values.device.type == "meta" and frames.values.device.type == "cpu"
    assert (found.identity, found.seconds) == ("one", pytest.approx(sum(len(s.samples) for s in SAMPLES) / 16_000))


def test_samples_come_back_once_an_epoch_with_what_was_asked(tmp_path: Path) -> None:
    found = kept(tmp_path / "a")
    epochs = [[found.sample(4 * epoch + i) for i in range(4)] for epoch in range(3)]
    for several in epochs:
        assert {one.answer for one in several} == {one.answer for one in SAMPLES}
        for one in several:
            (like,) = (s for s in SAMPLES if (s.answer, s.question) == (one.answer, one.question))
            assert (one.task, one.more, one.said, one.samples.shape) == (
                *(like.task, like.more, like.said),
                like.samples.shape,
            )
            assert one.sound is not None
            assert torch.equal(found.frames(gather([one.sound])).values, found.rows([int(one.sound.key)]).values)
    orders = [[one.sound.key for one in several if one.sound] for several in epochs]
    assert len(set(map(tuple, orders))) > 1
    again = Kept(tmp_path / "a", 5)
    assert [again.sample(i).sound.key for i in range(4)] == orders[0]


def test_silence_keeps_the_length(tmp_path: Path) -> None:
    found = kept(tmp_path / "a", silent=True)
    n = len(SAMPLES[1].samples)
    with torch.no_grad():
        made = MODEL.encoder(MODEL.encoder.features([Clip(SAMPLES[1].samples * 0, 16_000)]))
    assert found.clips[1].silent and found.clips[1].n_samples == n
    assert torch.equal(found.rows([1]).values[0], made.values[0, : int(made.lengths[0])].half().float())


def test_many_frames_lie_in_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kept(tmp_path / "a")
    monkeypatch.setattr(kepts, "SHARD_FRAMES", 1)
    found = kept(tmp_path / "b")
    assert [clip.shard for clip in found.clips] == [0, 1, 2, 3]
    assert torch.equal(found.rows([2, 1]).values, whole.rows([2, 1]).values)


def test_what_is_no_such_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no clips with their frames that can be read"):
        Kept(tmp_path)
    kept(tmp_path / "a")
    with pytest.raises(StorageError, match="exists: choose another name"):
        kept(tmp_path / "a")
    about = json.loads((tmp_path / "a" / kepts.ABOUT).read_text())
    (tmp_path / "a" / kepts.ABOUT).write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(DataError, match="is of format 2, this version reads 1"):
        Kept(tmp_path / "a")
    with pytest.raises(DataError, match="there is no clip to keep"):
        write_kept(tmp_path / "b", MODEL.encoder, [], identity="", show=print)
    assert not (tmp_path / "b").exists()


def test_a_silent_twin_differs_only_in_sound() -> None:
    one = Asked(SAMPLES[0], "wer")
    assert replace(one, silent=True).sample is one.sample
