"""Q-Formers: lengths, what each window reads, padding, float32, sizes, settings and refusals.

Values against the published classes are in tests/parity/test_bridges.py.
"""

from collections.abc import Callable

import pytest
import torch

from ossicle.bridge.calibrate import calibrate
from ossicle.bridge.qformer import QFormer, Queries, WindowQFormer
from ossicle.errors import BridgeError
from ossicle.tensors import Frames

from .support import random_frames, row_of

SMALL = {"hidden": 8, "layers": 2, "heads": 2}
Either = QFormer | WindowQFormer
EITHER: dict[str, Callable[[], Either]] = {
    "clip": lambda: QFormer(6, 4, queries=5, **SMALL),
    "mask": lambda: WindowQFormer(6, 4, k=3, queries=2, **SMALL),
    "zero": lambda: WindowQFormer(6, 4, k=3, queries=2, tail="zero", **SMALL),
}
EACH = pytest.mark.parametrize("name", EITHER)


def made(name: str) -> Either:
    torch.manual_seed(0)
    return EITHER[name]().eval()


@pytest.mark.parametrize(("n_frames", "clip", "window"), [(0, 0, 0), (1, 5, 2), (3, 5, 2), (4, 5, 4), (40, 5, 28)])
def test_a_clip_gives_as_many_tokens_as_queries_and_a_window_too(n_frames: int, clip: int, window: int) -> None:
    for name, wanted in (("clip", clip), ("mask", window), ("zero", window)):
        bridge = made(name)
        tokens = bridge(random_frames([n_frames, 9]))
        assert tokens.lengths.tolist() == [wanted, bridge.n_tokens(9)] and tokens.tail_s.tolist() == [0, 0]
        assert bridge.n_tokens(n_frames) == bridge.max_tokens(n_frames) == wanted


def test_spans_are_equal_shares_of_the_clip_or_the_window() -> None:
    frames = random_frames([4])
    spans = made("clip")(frames).spans_s[0]
    torch.testing.assert_close(spans[:, 0], torch.arange(5, dtype=torch.float64) * 0.016)
    assert torch.equal(spans[1:, 0], spans[:-1, 1]) and float(spans[-1, 1]) == 0.08
    spans = made("mask")(frames).spans_s[0]
    torch.testing.assert_close(spans[:, 0], torch.tensor([0.0, 0.03, 0.06, 0.07], dtype=torch.float64))
    assert torch.equal(spans[1:, 0], spans[:-1, 1]) and float(spans[-1, 1]) == 0.08


def test_the_last_window_reads_what_is_there_or_zeros_too() -> None:
    frames, filled = random_frames([4]), random_frames([6])
    filled.values[:, :4], filled.values[:, 4:] = frames.values, 0
    mask, zero = made("mask"), made("zero")
    torch.testing.assert_close(mask(frames).values[:, :2], zero(frames).values[:, :2])
    torch.testing.assert_close(zero(frames).values, zero(filled).values)
    torch.testing.assert_close(mask(filled).values, zero(filled).values)
    assert not torch.allclose(mask(frames).values[:, 2:], zero(frames).values[:, 2:], atol=1e-4)
    once = Frames(frames.values[:, 3:], torch.tensor([1]), 50.0, torch.tensor([0.02], dtype=torch.float64))
    torch.testing.assert_close(mask(once).values[0], mask(frames).values[0, 2:])


@EACH
def test_garbage_in_the_padding_reaches_neither_tokens_nor_gradients(name: str) -> None:
    bridge, frames = made(name), random_frames([8, 1, 0, 5], pad=4)
    tokens = bridge(frames)
    tokens.values.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in bridge.parameters())
    for row, n in enumerate(tokens.lengths.tolist()):
        assert tokens.values[row, n:].eq(0).all()
        torch.testing.assert_close(tokens.values[row, :n], bridge(row_of(frames, row)).values[0])


@EACH
def test_clips_without_frames_and_batches_without_clips_give_no_tokens(name: str) -> None:
    for lengths in ([], [0], [0, 0]):
        tokens = made(name)(random_frames(lengths, pad=2 if lengths else 0))
        assert tokens.values.shape == (len(lengths), 0, 4) and tokens.lengths.tolist() == [0] * len(lengths)


@EACH
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_blocks_stay_float32_where_the_rest_is_cast(name: str, dtype: torch.dtype) -> None:
    bridge, frames = made(name), random_frames([8, 5])
    rounded = Frames(frames.values.nan_to_num().to(dtype), frames.lengths, 50.0, frames.durations_s)
    with torch.no_grad():
        before = bridge(Frames(rounded.values.float(), frames.lengths, 50.0, frames.durations_s)).values
        weights = {key: value.clone() for key, value in bridge.former.state_dict().items()}
        bridge.to(dtype)
        after = bridge(rounded).values
    assert bridge.output.linear.weight.dtype == after.dtype == dtype
    assert all(torch.equal(value, weights[key]) for key, value in bridge.former.state_dict().items())
    torch.testing.assert_close(after.float(), before, atol=0.02, rtol=0.02)
    assert {value.dtype for value in bridge.double().parameters()} == {torch.float64}
    assert {value.device.type for value in bridge.to("meta").parameters()} == {"meta"}


@EACH
def test_autocast_ends_where_the_blocks_begin(name: str) -> None:
    bridge, frames = made(name), random_frames([8, 5])
    reads: list[torch.Tensor] = []
    bridge.former.register_forward_hook(lambda module, given, read: reads.append(read))
    with torch.no_grad():
        bridge(frames)
        with torch.autocast("cpu", torch.bfloat16):
            values = bridge(frames).values
    assert torch.equal(*reads) and reads[0].dtype == torch.float32 and values.dtype == torch.bfloat16


def test_dropout_is_of_training_only() -> None:
    bridge, frames = QFormer(6, 4, queries=3, dropout=0.5, **SMALL), random_frames([8])
    assert not torch.equal(bridge(frames).values, bridge(frames).values)
    assert torch.equal(bridge.eval()(frames).values, bridge(frames).values)


def test_every_second_block_reads_the_frames() -> None:
    def reads(bridge: Either) -> list[bool]:
        return [hasattr(block, "crossattention") for block in bridge.former.blocks.encoder.layer]

    assert reads(QFormer(6, 4, hidden=8, layers=4, heads=2)) == [True, False, True, False]
    assert reads(QFormer(6, 4, hidden=8, layers=4, heads=2, cross_every=3)) == [True, False, False, True]
    assert reads(WindowQFormer(6, 4, **SMALL)) == [True, True]


@pytest.mark.parametrize(("layers", "millions"), [(8, 69.3), (12, 104.0)])
def test_the_published_sizes_over_a_clip(layers: int, millions: float) -> None:
    with torch.device("meta"):
        blocks = Queries(1280, queries=64, hidden=768, layers=layers, heads=12, cross_every=2, dropout=0.0).blocks
    assert round(sum(p.numel() for p in blocks.parameters()) / 1e6, 1) == millions


@EACH
@pytest.mark.parametrize("output_norm", ["none", "rms"])
def test_it_is_calibrated(name: str, output_norm: str) -> None:
    settings = made(name).settings() | {"width_out": 16, "output_norm": output_norm}
    bridge = type(made(name))(**settings)
    assert calibrate(bridge, random_frames([40]), torch.randn(50, 16) * 0.02).ratio == pytest.approx(1, abs=0.05)


def test_rates_and_settings() -> None:
    clip = QFormer(6, 4, queries=60, cross_every=1, dropout=0.1, output_norm="rms", **SMALL)
    assert (clip.expected_hz(50.0), clip.expected_hz(25.0), clip.fixed_rate, clip.streamable) == (2, 2, True, False)
    window = WindowQFormer(6, 4, k=15, queries=3, cross_every=2, tail="zero", dropout=0.1, output_norm="rms", **SMALL)
    assert (window.expected_hz(50.0), window.fixed_rate, window.streamable) == (10, True, True)
    for bridge in (clip, window):
        assert type(bridge)(**bridge.settings()).settings() == bridge.settings()
        said = bridge.settings()
        assert (said["hidden"], said["dropout"], said["output_norm"]) == (8, 0.1, "rms")
    assert (clip.settings()["cross_every"], window.settings()["cross_every"], window.settings()["k"]) == (1, 2, 15)


@pytest.mark.parametrize("kind", [QFormer, WindowQFormer])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": 0}, "QFormer needs at least 1 query, got 0"),
        ({"heads": 3}, "QFormer needs a number of heads that divides the width 8, got 3"),
        ({"hidden": 0}, "QFormer needs widths of at least 1, got 6, 4, 0"),
        ({"layers": 0}, r"QFormer needs layers and cross_every of at least 1, got 0 and \d"),
        ({"cross_every": 0}, "QFormer needs layers and cross_every of at least 1, got 2 and 0"),
        ({"dropout": 1.0}, "QFormer needs a dropout from 0 to below 1, got 1"),
        ({"output_norm": "layer"}, "does not know the output norm 'layer': choose one of none, rms"),
    ],
)
def test_bad_settings_are_refused(kind: type[Either], arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        kind(**{"width_in": 6, "width_out": 4, **SMALL, **arguments})


def test_windows_of_no_frames_and_unknown_tails_are_refused() -> None:
    with pytest.raises(BridgeError, match="WindowQFormer needs k of at least 1 frame per audio token, got 0"):
        WindowQFormer(6, 4, k=0, **SMALL)
    with pytest.raises(BridgeError, match="WindowQFormer does not know the tail 'drop': choose one of mask, zero"):
        WindowQFormer(6, 4, tail="drop", **SMALL)


@EACH
def test_frames_of_another_width_are_refused(name: str) -> None:
    bridge = made(name)
    with pytest.raises(BridgeError, match=f"{type(bridge).__name__} was built for frames of width 6, got 7"):
        bridge(random_frames([4], width=7))
