"""Checks of parts: ours keep their promises, and each way to break one is told."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models.tiny import ENCODER
from torch import nn

from ossicle.bridge.attention import AttentionPool
from ossicle.bridge.cif import Cif
from ossicle.bridge.conv import ConvMLP
from ossicle.bridge.ctc import Ctc
from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.bridge.merging import Merging
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer, WindowQFormer
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.waves import at_16k, fitted
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.evaluate.contracts import check_bridge, check_encoder
from ossicle.hub.own import build_own
from ossicle.tensors import Frames, stacked

OWN = Path(__file__).parents[2] / "examples"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
ENCODERS: dict[str, Callable[[], Any]] = {
    "Whisper": lambda: WhisperEncoder(ENCODER),
    "Whisper in chunks": lambda: WhisperEncoder(replace(ENCODER, chunks=True)),
    "wav2vec2": lambda: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}),
    "w2v-BERT": lambda: W2vBertEncoder(SMALL),
    "wav2vec2 drop": lambda: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}, tail="drop"),
    "w2v-BERT drop": lambda: W2vBertEncoder(SMALL, tail="drop"),
}
BRIDGES: dict[str, Callable[[], Any]] = {
    "MeanPool": lambda: MeanPool(16, 8, k=3),
    "MeanPool drop": lambda: MeanPool(16, 8, k=3, tail="drop"),
    "MeanPool rms": lambda: MeanPool(16, 8, k=2, output_norm="rms", norm_in=False),
    "StackMLP": lambda: StackMLP(16, 8, k=4, hidden=32),
    "StackSwiGLU": lambda: StackSwiGLU(16, 8, k=4, hidden=32),
    "StackMLP drop": lambda: StackMLP(16, 8, k=4, hidden=32, tail="drop"),
    "ConvMLP": lambda: ConvMLP(16, 8, k=4, hidden=32),
    "ConvMLP drop": lambda: ConvMLP(16, 8, k=4, hidden=32, tail="drop"),
    "AttentionPool": lambda: AttentionPool(16, 8, k=4, queries=2, heads=4),
    "QFormer": lambda: QFormer(16, 8, queries=4, hidden=16, layers=3, heads=2),
    "WindowQFormer": lambda: WindowQFormer(16, 8, k=4, queries=2, hidden=16, heads=2),
    "WindowQFormer zero": lambda: WindowQFormer(16, 8, k=4, queries=2, hidden=16, heads=2, tail="zero"),
    "Ctc": lambda: Ctc(16, 8, letters=28),
    "Ctc with blanks": lambda: Ctc(16, 8, letters=2, keep_blanks=True),
    "Ctc drop": lambda: Ctc(16, 8, letters=2, mode="drop", theta=0.99),
    "Cif": lambda: Cif(16, 8, k=3),
    "Merging": lambda: Merging(16, 8, k=3),
    "Matryoshka": lambda: Matryoshka(16, 8, k=3, hidden=8),
    "Loudest of one's own": lambda: build_own(
        f"{OWN / 'own_bridge.py'}:Loudest", {"width_in": 16, "width_out": 8, "k": 3}
    ),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_our_encoders_keep_every_promise(name: str) -> None:
    torch.manual_seed(0)
    found = check_encoder(ENCODERS[name]())
    assert found.kept and str(found).endswith("every promise is kept"), str(found)


def test_an_encoder_of_ones_own_keeps_every_promise() -> None:
    torch.manual_seed(0)
    found = check_encoder(build_own(f"{OWN / 'own_encoder.py'}:WavLM"), examples=2)  # all of them in test_examples.py
    assert found.kept, str(found)


@pytest.mark.parametrize("name", BRIDGES)
def test_our_bridges_keep_every_promise(name: str) -> None:
    torch.manual_seed(0)
    found = check_bridge(BRIDGES[name]())
    assert found.kept, str(found)


class Miscounts(WhisperEncoder):
    def n_frames(self, n_samples: int) -> int:
        return n_samples // 320


class Leaks(WhisperEncoder):
    """Its padding changes what it hears."""

    def forward(self, features: Any) -> Any:
        frames = super().forward(features)
        return replace(frames, values=frames.values + frames.values.shape[1])


class Deaf(WhisperEncoder):
    def forward(self, features: Any) -> Any:
        frames = super().forward(features)
        return replace(frames, values=torch.zeros_like(frames.values))


class Raises(WhisperEncoder):
    def forward(self, features: Any) -> Any:
        raise ValueError("no idea")


class Narrow(WhisperEncoder):
    def forward(self, features: Any) -> Any:
        frames = super().forward(features)
        return replace(frames, values=frames.values[..., 1:])


def changes(kind: Any, name: str, change: Callable[[Any], dict[str, Any]], **values: Any) -> Any:
    """A class whose output is changed in one thing."""

    def forward(self: Any, given: Any) -> Any:
        out = kind.forward(self, given)
        return replace(out, **change(out))

    return type(name, (kind,), {"forward": forward, **values})


Mute = changes(WhisperEncoder, "Mute", lambda f: {"lengths": f.lengths * 0}, n_frames=lambda self, n: 0)
Floats = changes(WhisperEncoder, "Floats", lambda f: {"lengths": f.lengths.double()})
Hasty = changes(WhisperEncoder, "Hasty", lambda f: {"durations_s": f.durations_s + 1})
Stingy = changes(WhisperEncoder, "Stingy", lambda f: {"durations_s": f.durations_s / 2})
Slow = changes(WhisperEncoder, "Slow", lambda f: {"rate_hz": 40.0})


class Crowd(WhisperEncoder):
    """A clip in company gets the frames of the longest."""

    def forward(self, features: Any) -> Any:
        frames = super().forward(features)
        return replace(frames, lengths=torch.full_like(frames.lengths, int(frames.lengths.max())))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Mute, r"length: a clip of \d+ samples at \d+ Hz gives no frame"),
        (Floats, r"length: lengths are torch\.float64 on cpu, wanted int64 on the CPU"),
        (Hasty, r"length: a clip of .* lasts \d+\.\d+ s, durations_s says \d+\.\d+"),
        (Stingy, r"length: a clip of .*: durations_s leaves out its last \d+\.\d+ s, allowed are less than two frames"),
        (Slow, r"coverage: a clip of .*: its frames end [+-]\d\.\d+ s from its end, wanted is less than 0\.025 s"),
        (Slow, r"length: its frames come at 40 Hz, its rate_hz says 50"),
        (Crowd, r"batch: a clip of .* gives \d+ frames alone, \d+ in a batch"),
        (Miscounts, r"length: a clip of \d+ samples at \d+ Hz gives \d+ frames, n_frames says \d+"),
        (Leaks, r"batch: .* its frames differ by \d+ alone and in a batch"),
        (Deaf, r"coverage: .* sample 0 changes no frame, so it is not heard"),
        (Raises, r"length: raised ValueError: no idea"),
        (Narrow, r"length: values have the shape .*31\), wanted .*32\)"),
    ],
)
def test_a_broken_encoder_is_told_what_it_broke(kind: Any, fault: str) -> None:
    torch.manual_seed(0)
    found = check_encoder(kind(ENCODER))
    assert not found.kept and str(found).splitlines()[0] == f"{kind.__name__}: {len(found.faults)} broken"
    assert any(re.fullmatch(fault + ".*", one) for one in found.faults), str(found)


def test_a_class_is_no_part() -> None:
    assert check_encoder(WhisperEncoder).faults == (
        "promise: this is the class, not a part: make one, WhisperEncoder(...)",
    )
    assert check_bridge(MeanPool).part == "MeanPool" and not check_bridge(MeanPool).kept


def test_an_encoder_has_positions_for_what_it_says_it_reads() -> None:
    encoder = WhisperEncoder(ENCODER)
    encoder.max_samples += 320
    (fault,) = check_encoder(encoder, examples=2).faults
    assert fault.startswith("longest: raised ")


@pytest.mark.parametrize("n_samples", [320, 3_000, 16_000, 61 * 16_000])
def test_an_encoder_is_tried_on_no_more_than_it_says_it_reads(n_samples: int) -> None:
    class Reads(WhisperEncoder):
        """It refuses what is longer than it says."""

        def features(self, clips: Any) -> Any:
            tried.append(max(clip.duration_s for clip in clips))
            return super().features(clips)

    tried: list[float] = []
    encoder = Reads(ENCODER)
    encoder.max_samples = n_samples
    found = check_encoder(encoder, examples=2)
    assert found.kept, str(found)
    assert (max(tried) == n_samples / 16_000) == (n_samples <= 60 * 16_000)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_part_is_tried_as_it_is(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for found in (
        check_encoder(WhisperEncoder(ENCODER).to(dtype), examples=4),
        check_bridge(MeanPool(16, 8, k=3).to(dtype), examples=4),
        check_bridge(BRIDGES["Loudest of one's own"]().to(dtype), examples=4),
    ):
        assert found.kept, str(found)
    assert not check_encoder(Leaks(ENCODER).to(dtype), examples=4).kept


class Weightless(WhisperEncoder):
    """It has a table of its own in place of weights."""

    def __init__(self) -> None:
        super().__init__(ENCODER)
        del self.tower
        self.register_buffer("maps", torch.randn(160, 32) / 18)

    def features(self, clips: Any) -> Any:
        rows = [fitted(one, 320 * self.n_frames(len(one))) for one in at_16k(clips, self.max_samples)]
        n_samples = [clip.at(16_000).n_samples for clip in clips]
        return stacked([row[None] for row in rows], n_samples, [clip.duration_s for clip in clips])

    def forward(self, features: Any) -> Any:
        lengths = torch.tensor([self.n_frames(n) for n in features.n_samples.tolist()])
        halves = features.values.reshape(len(lengths), -1, 2, 160)[:, : int(lengths.max())]
        return Frames((halves @ self.maps).sum(2), lengths, 50.0, features.durations_s)


def test_parts_without_weights_or_with_frozen_ones_keep_their_promises() -> None:
    encoder = Weightless()
    bridge = MeanPool(16, 8, k=3).requires_grad_(False)
    found = check_encoder(encoder), check_bridge(bridge), check_bridge(Bare(16, 16))
    assert all(one.kept for one in found), "\n".join(map(str, found))


class Bare(MeanPool):
    """The mean itself."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, norm_in=False)
        self.output = nn.Identity()


def test_a_part_is_left_as_it_was() -> None:
    encoder, bridge = WhisperEncoder(ENCODER).train(), MeanPool(16, 8).train()
    encoder.tower.layers[0].eval()
    before = [[one.training for one in part.modules()] for part in (encoder, bridge)]
    check_encoder(encoder, examples=1), check_bridge(bridge, examples=1)
    assert [[one.training for one in part.modules()] for part in (encoder, bridge)] == before
    assert all(value.grad is None for value in bridge.parameters())

    class Other:
        """No module, but with modes."""

        training = True

        def eval(self) -> None:
            self.training = False

    other = Other()
    assert not check_encoder(other).kept and other.training


def test_a_few_examples_find_a_fault_too() -> None:
    assert not check_encoder(Miscounts(ENCODER), examples=2).kept
    assert not check_bridge(Holes(16, 8, k=3), examples=2).kept


def test_a_part_that_cannot_be_called_is_told() -> None:
    names = ("width", "rate_hz", "sample_rate", "max_samples", "features", "n_frames", "parameters")
    silent = type("Silent", (), dict.fromkeys(names, print))()
    assert check_encoder(silent).faults == ("promise: it cannot be called",)


def test_what_is_no_part_at_all_lacks_all_that_is_promised() -> None:
    assert check_encoder(object()).faults == (
        "promise: it lacks width, rate_hz, sample_rate, max_samples, features(), n_frames(), parameters()",
    )
    (fault,) = check_bridge(object()).faults
    assert fault == "promise: it lacks width_in, width_out, fixed_rate, expected_hz(), max_tokens()"


class Holes(MeanPool):
    def forward(self, frames: Any) -> Any:
        tokens = super().forward(frames)
        return replace(tokens, spans_s=tokens.spans_s * 0.9)


class Padded(MeanPool):
    def forward(self, frames: Any) -> Any:
        tokens = super().forward(frames)
        return replace(tokens, values=tokens.values + 1)


class Greedy(MeanPool):
    def max_tokens(self, n_frames: int) -> int:
        return self.n_tokens(n_frames) - 1


class Frozen(MeanPool):
    def forward(self, frames: Any) -> Any:
        tokens = super().forward(frames)
        return replace(tokens, values=tokens.values.detach().requires_grad_())


Silent = changes(MeanPool, "Silent", lambda t: {"lengths": t.lengths * 0})
Wide = changes(MeanPool, "Wide", lambda t: {"values": torch.cat([t.values, t.values], -1)})
Spanless = changes(MeanPool, "Spanless", lambda t: {"spans_s": t.spans_s[..., :1]})
Late = changes(MeanPool, "Late", lambda t: {"spans_s": t.spans_s + 1})
Gaps = changes(MeanPool, "Gaps", lambda t: {"spans_s": t.spans_s * torch.tensor([1.0, 0.9])})
Peeks = changes(MeanPool, "Peeks", lambda t: {"values": t.values + t.values.shape[1] * t.values.ne(0)})
Wrong = type("Wrong", (MeanPool,), {"n_tokens": lambda self, n: 1, "max_tokens": lambda self, n: n})


class Levels(MeanPool):
    """A clip in company gives the tokens of the shortest, and says that its rate is not fixed."""

    fixed_rate = False

    def forward(self, frames: Any) -> Any:
        tokens = super().forward(frames)
        n = int(tokens.lengths.min())
        shape = {"values": tokens.values[:, :n], "spans_s": tokens.spans_s[:, :n]}
        return replace(tokens, lengths=torch.full_like(tokens.lengths, n), **shape)


class Many(MeanPool):
    """Its own loss is one a clip."""

    own_weight = 1.0

    def own_loss(self, frames: Any, letters: Any) -> torch.Tensor:
        return torch.zeros(len(letters.n))


Hopeless = type("Hopeless", (Many,), {"own_loss": lambda self, frames, letters: torch.tensor(float("inf"))})


class Idle(MeanPool):
    """Has a weight of which nothing learns, its own loss neither."""

    own_weight = 1.0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.more = torch.nn.Linear(1, 1, bias=False)

    def own_loss(self, frames: Any, letters: Any) -> torch.Tensor:
        return torch.zeros(())


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Many, r"gradient: own_loss gives \[0\.0, 0\.0, 0\.0\], wanted one finite number"),
        (Hopeless, r"gradient: own_loss gives inf, wanted one finite number"),
        (Idle, r"gradient: 1 of 5 weights get no finite gradient"),
        (Silent, r"length: \d+ frames give no token"),
        (Wide, r"length: values have the shape .*16\), wanted .*8\) \(B, N, width_out\)"),
        (Spanless, r"length: spans_s has the shape .*1\), wanted .*2\) \(B, N, 2\)"),
        (Late, r"coverage: the first span begins at 1 s, wanted 0"),
        (Gaps, r"coverage: the spans have a hole, or overlap"),
        (Peeks, r"batch: the tokens of \d+ frames differ by \d.* alone and in a batch"),
        (Wrong, r"length: \d+ frames give \d+ tokens, n_tokens says 1"),
        (Levels, r"batch: \d+ frames give \d+ tokens alone, \d+ in a batch"),
        (Holes, r"coverage: spans and tail_s end at"),
        (Padded, r"batch: places past the \d+ tokens of a clip are not zero"),
        (Greedy, r"length: \d+ frames give \d+ tokens, max_tokens says at most \d+"),
        (Frozen, r"gradient: \d of \d weights get no finite gradient"),
    ],
)
def test_a_broken_bridge_is_told_what_it_broke(kind: Any, fault: str) -> None:
    found = check_bridge(kind(16, 8, k=3))
    assert any(re.fullmatch(fault + ".*", one) for one in found.faults), str(found)
