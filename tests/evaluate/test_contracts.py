"""Checks of parts: ours keep their promises, and each way to break one is told."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from models.tiny import ENCODER

from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.evaluate.contracts import check_bridge, check_encoder

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
ENCODERS: dict[str, Callable[[], Any]] = {
    "Whisper": lambda: WhisperEncoder(ENCODER),
    "Whisper in chunks": lambda: WhisperEncoder(replace(ENCODER, chunks=True)),
    "wav2vec2": lambda: Wav2Vec2Encoder({**SMALL, **CONVOLUTIONS}),
    "w2v-BERT": lambda: W2vBertEncoder(SMALL),
}
BRIDGES: dict[str, Callable[[], Any]] = {
    "MeanPool": lambda: MeanPool(16, 8, k=3),
    "MeanPool drop": lambda: MeanPool(16, 8, k=3, tail="drop"),
    "StackMLP": lambda: StackMLP(16, 8, k=4, hidden=32),
    "StackSwiGLU": lambda: StackSwiGLU(16, 8, k=4, hidden=32),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_our_encoders_keep_every_promise(name: str) -> None:
    torch.manual_seed(0)
    found = check_encoder(ENCODERS[name]())
    assert found.kept and str(found).endswith("every promise is kept"), str(found)


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


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
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


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Holes, r"coverage: spans and tail_s end at"),
        (Padded, r"batch: places past the \d+ tokens of a clip are not zero"),
        (Greedy, r"length: \d+ frames give \d+ tokens, max_tokens says at most \d+"),
        (Frozen, r"gradient: \d of \d weights get no finite gradient"),
    ],
)
def test_a_broken_bridge_is_told_what_it_broke(kind: Any, fault: str) -> None:
    found = check_bridge(kind(16, 8, k=3))
    assert any(re.fullmatch(fault + ".*", one) for one in found.faults), str(found)
