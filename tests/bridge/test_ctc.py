"""CTC: which frames become tokens, their spans, the loss against every path counted, settings and refusals."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ossicle.bridge.ctc import Ctc
from ossicle.bridge.own import Letters, OwnLesson
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of


def reader(**arguments: object) -> Ctc:
    """A bridge whose head reads the letter of a frame off its largest place; the blank is place 0."""
    bridge = Ctc(4, 5, **{"letters": 3, **arguments})
    with torch.no_grad():
        bridge.head[1].weight.copy_(torch.eye(4) * 4)
        bridge.head[1].bias.zero_()
    return bridge.eval()


def heard(*clips: str) -> Frames:
    """Frames that say the letters a, b and c; "-" is a blank. The padding holds garbage."""
    lengths = torch.tensor([len(clip) for clip in clips])
    values = torch.full((len(clips), int(lengths.max()) + 1, 4), float("nan"))
    generator = torch.Generator().manual_seed(0)
    for row, clip in zip(values, clips, strict=True):
        for frame, letter in zip(row, clip, strict=False):
            frame.copy_(torch.randn(4, generator=generator) * 0.1)
            frame["-abc".index(letter)] += 3
    return Frames(values, lengths, 50.0, lengths.double() / 50)


def tokens_of(bridge: Ctc, frames: Frames, row: int, segments: list[list[int]]) -> torch.Tensor:
    """The tokens of frames that are averaged as told."""
    return bridge.output(bridge.norm_in(torch.stack([frames.values[row, at].mean(0) for at in segments])))


def test_runs_are_averaged_and_blanks_dropped() -> None:
    bridge, frames = reader(), heard("-aa--abbc-", "cc")
    tokens = bridge(frames)
    assert tokens.lengths.tolist() == [4, 1]
    expected = tokens_of(bridge, frames, 0, [[1, 2], [5], [6, 7], [8]])
    torch.testing.assert_close(tokens.values[0], expected)
    assert (tokens.spans_s[0, :, 0] * 50).tolist() == pytest.approx([0, 5, 6, 8])
    assert (tokens.spans_s[0, :, 1] * 50).tolist() == pytest.approx([5, 6, 8, 10])
    assert tokens.values[1, 1:].eq(0).all() and tokens.spans_s[1].flatten().tolist()[:2] == [0.0, 0.04]


def test_runs_of_blanks_can_be_kept() -> None:
    bridge, frames = reader(keep_blanks=True), heard("-aa--abbc-")
    tokens = bridge(frames)
    expected = tokens_of(bridge, frames, 0, [[0], [1, 2], [3, 4], [5], [6, 7], [8], [9]])
    torch.testing.assert_close(tokens.values[0], expected)
    assert (tokens.spans_s[0, :, 0] * 50).tolist() == pytest.approx([0, 1, 3, 5, 6, 8, 9])
    assert bridge(heard("---")).lengths.tolist() == [1]


def test_dropping_keeps_each_frame_that_is_no_sure_blank() -> None:
    bridge, frames = reader(mode="drop", theta=0.5), heard("--aa-b--", "abc")
    tokens = bridge(frames)
    assert tokens.lengths.tolist() == [3, 3]
    torch.testing.assert_close(tokens.values[0], tokens_of(bridge, frames, 0, [[2], [3], [5]]))
    assert (tokens.spans_s[0] * 50).flatten().tolist() == pytest.approx([0, 3, 3, 4, 4, 8])


def test_theta_is_the_likeliest_blank_that_is_kept() -> None:
    blank = reader().log_probs(heard("-"))[0, 0, 0].exp().item()
    for theta, kept in ((blank - 1e-4, 1), (blank + 1e-4, 2)):
        assert reader(mode="drop", theta=theta)(heard("-a")).lengths.tolist() == [kept]


@pytest.mark.parametrize("arguments", [{}, {"mode": "drop", "theta": 0.5}])
def test_a_clip_of_blanks_gives_its_mean(arguments: dict[str, object]) -> None:
    bridge, frames = reader(**arguments), heard("a-b", "----")
    tokens = bridge(frames)
    assert tokens.lengths.tolist() == [2, 1]
    torch.testing.assert_close(tokens.values[1, :1], tokens_of(bridge, frames, 1, [[0, 1, 2, 3]]))
    assert tokens.spans_s[1, 0].tolist() == [0.0, 0.08]


@settings(deadline=None, max_examples=30)
@given(clips=st.lists(st.text("-abc", min_size=1, max_size=20), min_size=1, max_size=4), drop=st.booleans())
def test_counts_follow_what_is_read(clips: list[str], drop: bool) -> None:
    bridge = reader(mode="drop", theta=0.5) if drop else reader()
    tokens = bridge(heard(*clips))
    letters = [sum(c != "-" for c in clip) for clip in clips]
    runs = [sum("-" != c != before for before, c in zip("-" + clip, clip, strict=False)) for clip in clips]
    wanted = [max(1, n) for n in (letters if drop else runs)]
    assert tokens.lengths.tolist() == wanted
    assert all(n <= bridge.max_tokens(len(clip)) for n, clip in zip(wanted, clips, strict=True))


@pytest.mark.parametrize("arguments", [{}, {"mode": "drop"}])
def test_an_untrained_head_hears_blanks(arguments: dict[str, object]) -> None:
    torch.manual_seed(0)
    bridge = Ctc(16, 8, letters=28, **arguments).eval()
    assert bridge(random_frames([200, 7], width=16)).lengths.tolist() == [1, 1]


def ways(log_probs: torch.Tensor, letters: list[int]) -> torch.Tensor:
    """The probability of some letters by counting every path through the frames."""
    total = torch.zeros(())
    for path in product(range(log_probs.shape[1]), repeat=log_probs.shape[0]):
        said = [c for before, c in zip((0, *path), path, strict=False) if c != 0 and c != before]
        if said == letters:
            total = total + log_probs[torch.arange(len(path)), torch.tensor(path)].sum().exp()
    return total


def test_the_loss_is_that_of_all_paths_per_frame() -> None:
    torch.manual_seed(3)
    bridge, frames = Ctc(6, 5, letters=2), random_frames([4, 3, 5], pad=2)
    said = [[1, 2], [2, 2], []]  # a double letter needs a blank between, a clip without speech blanks only
    letters = Letters(torch.tensor([key for one in said for key in one]), torch.tensor([2, 2, 0]))
    read = bridge.log_probs(frames)
    wanted = -sum(ways(read[i, :n], said[i]).log() for i, n in enumerate(frames.lengths.tolist())) / 12
    loss = bridge.own_loss(frames, letters)
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    assert all(torch.isfinite(one.grad).all() and one.grad.any() for one in bridge.head.parameters())


def test_letters_that_nobody_knows_or_that_do_not_fit_teach_nothing() -> None:
    bridge, frames = Ctc(6, 5, letters=2), random_frames([2])
    assert bridge.own_loss(frames, None).tolist() == 0
    assert bridge.own_loss(frames, Letters(torch.tensor([1, 2, 1]), torch.tensor([3]))).tolist() == 0
    silent = Letters(torch.zeros(0, dtype=torch.int64), torch.tensor([0]))
    blanks = -bridge.log_probs(frames)[0, :, 0].mean()
    torch.testing.assert_close(bridge.own_loss(frames, silent), blanks)
    assert torch.isfinite(bridge.own_loss(random_frames([0, 2]), Letters(torch.tensor([1]), torch.tensor([0, 1]))))
    assert isinstance(bridge, OwnLesson)


def test_wrong_letters_are_refused() -> None:
    bridge, frames = Ctc(6, 5, letters=2), random_frames([4, 3])
    with pytest.raises(BridgeError, match="Ctc got the letters of 1 clips for 2 clips"):
        bridge.own_loss(frames, Letters(torch.tensor([1]), torch.tensor([1])))
    for key in (0, 3):
        with pytest.raises(BridgeError, match=f"Ctc has letters from 1 to 2, got {min(key, 1)} to {max(key, 1)}"):
            bridge.own_loss(frames, Letters(torch.tensor([1, key]), torch.tensor([1, 1])))


@pytest.mark.parametrize("arguments", [{}, {"keep_blanks": True}, {"mode": "drop", "theta": 0.5}])
def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients(arguments: dict[str, object]) -> None:
    bridge, frames = reader(**arguments), heard("ab-c", "-", "a--bb-aa")
    frames = Frames(frames.values.requires_grad_(), frames.lengths, frames.rate_hz, frames.durations_s)
    tokens = bridge(frames)
    loss = bridge.own_loss(frames, Letters(torch.tensor([1, 2]), torch.tensor([1, 0, 1])))
    (tokens.values.sum() + loss).backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    assert torch.isfinite(frames.values.grad).all()
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


def test_empty_clips_and_batches_give_no_tokens() -> None:
    bridge = Ctc(6, 5, letters=2).eval()
    assert bridge(random_frames([0, 3])).lengths.tolist() == [0, 1]
    assert bridge(random_frames([])).values.shape == (0, 0, 5)


def test_rates_and_settings() -> None:
    bridge = Ctc(6, 4, letters=3, k=5, mode="drop", theta=0.9, own_weight=0.5, output_norm="none")
    assert (bridge.expected_hz(50.0), bridge.fixed_rate, bridge.streamable) == (10.0, False, False)
    assert Ctc(**bridge.settings()).settings() == bridge.settings()
    assert (bridge.settings()["mode"], bridge.own_weight, bridge.max_tokens(7)) == ("drop", 0.5, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "Ctc needs k of at least 1 frame per audio token, got 0"),
        ({"letters": 0}, "Ctc needs widths of at least 1, got 6, 4, 0"),
        ({"mode": "peaks"}, "Ctc does not know the mode 'peaks': choose one of runs, drop"),
        ({"mode": "drop", "keep_blanks": True}, "Ctc keeps runs of blanks in the mode 'runs' only"),
        ({"theta": 1.5}, "Ctc needs a theta from 0 to 1, a probability of the blank, got 1.5"),
        ({"own_weight": -1.0}, "Ctc needs an own_weight of at least 0, got -1"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        Ctc(**{"width_in": 6, "width_out": 4, "letters": 3, **arguments})


def test_frames_of_another_width_are_refused() -> None:
    with pytest.raises(BridgeError, match="Ctc was built for frames of width 8, got 6"):
        Ctc(8, 4, letters=3)(random_frames([4]))
