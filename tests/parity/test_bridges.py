"""Published bridges: the same tokens as the classes of `transformers`, from the same weights."""

from typing import Any

import pytest
import torch
from bridge.support import random_frames
from transformers import Blip2QFormerConfig, Blip2QFormerModel, GraniteSpeechConfig, VoxtralConfig
from transformers.models.granite_speech.modeling_granite_speech import GraniteSpeechEncoderProjector
from transformers.models.voxtral.modeling_voxtral import VoxtralMultiModalProjector

from ossicle.bridge.forms import voxtral
from ossicle.bridge.qformer import QFormer, WindowQFormer

BLOCKS = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 64, "encoder_hidden_size": 6}


def give(bridge: QFormer | WindowQFormer, blocks: Any, query: torch.Tensor, linear: torch.nn.Linear) -> None:
    """Put published weights into a bridge of ours."""
    bridge.former.blocks.load_state_dict(blocks.state_dict())
    bridge.output.linear.load_state_dict(linear.state_dict())
    with torch.no_grad():
        bridge.former.query.copy_(query)


@pytest.mark.parametrize("n_frames", [1, 14, 15, 16, 45, 52])
@torch.no_grad()
def test_windows_as_granite_reads_them(n_frames: int) -> None:
    torch.manual_seed(n_frames)
    blocks = {**BLOCKS, "num_hidden_layers": 2, "cross_attention_frequency": 1, "model_type": "blip_2_qformer"}
    config = GraniteSpeechConfig(projector_config=blocks, text_config={"model_type": "granite", "hidden_size": 10})
    theirs = GraniteSpeechEncoderProjector(config).eval()
    ours = WindowQFormer(6, 10, hidden=16, heads=4, tail="zero").eval()
    give(ours, theirs.qformer, theirs.query[0], theirs.linear)
    frames = random_frames([n_frames])
    torch.testing.assert_close(ours(frames).values, theirs(frames.values), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[9], [9, 4], [3, 1, 12]])
@torch.no_grad()
def test_clips_as_blip_2_reads_them(lengths: list[int]) -> None:
    torch.manual_seed(len(lengths))
    blocks = Blip2QFormerModel(Blip2QFormerConfig(**BLOCKS, num_hidden_layers=4)).eval()
    query, linear = torch.randn(5, 16), torch.nn.Linear(16, 10)
    ours = QFormer(6, 10, queries=5, hidden=16, layers=4, heads=4).eval()
    give(ours, blocks, query, linear)
    frames = random_frames(lengths)
    tokens = ours(frames).values
    for row, n in enumerate(lengths):
        read = blocks(query[None], encoder_hidden_states=frames.values[row : row + 1, :n]).last_hidden_state
        torch.testing.assert_close(tokens[row : row + 1], linear(read), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_stacks_as_voxtral_projects_them() -> None:
    torch.manual_seed(0)
    config = VoxtralConfig(
        audio_config={"hidden_size": 6, "intermediate_size": 24, "model_type": "voxtral_encoder"},
        text_config={"hidden_size": 10, "num_attention_heads": 2, "model_type": "llama"},
    )
    theirs, ours = VoxtralMultiModalProjector(config), voxtral(6, 10)
    ours.inner[0].load_state_dict(theirs.linear_1.state_dict())
    ours.output.linear.load_state_dict(theirs.linear_2.state_dict())
    frames = random_frames([20])
    wanted = theirs(frames.values.reshape(1, 5, 24))
    torch.testing.assert_close(ours(frames).values, wanted, atol=1e-5, rtol=1e-5)
