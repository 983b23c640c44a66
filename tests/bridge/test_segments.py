"""Segments: means over any frames, spans that may be cut inside a frame."""

import pytest
import torch

from ossicle.bridge.segments import segment_means, segment_spans
from ossicle.tensors import Frames


def test_means_read_only_the_frames_of_their_segment() -> None:
    values = torch.tensor([[[1.0], [3.0], [float("nan")], [5.0]], [[2.0], [float("nan")], [4.0], [float("nan")]]])
    ids = torch.tensor([[0, 0, -1, 2], [1, -1, 1, -1]])
    assert segment_means(values, ids, 3)[..., 0].tolist() == [[2.0, 0.0, 5.0], [0.0, 3.0, 0.0]]


def test_long_segments_of_half_precision_are_summed_in_full() -> None:
    values = torch.full((1, 3000, 1), 1.0, dtype=torch.bfloat16)
    means = segment_means(values, torch.zeros(1, 3000, dtype=torch.int64), 1)
    assert means.dtype == torch.bfloat16 and means.item() == 1.0


@pytest.mark.parametrize(("duration_s", "inside"), [(0.06, 0.05), (0.042, 0.041), (0.08, 0.06)])
def test_cuts_inside_the_last_frame_lie_before_the_end_of_the_clip(duration_s: float, inside: float) -> None:
    frames = Frames(torch.zeros(2, 3, 1), torch.tensor([3, 0]), 50.0, torch.tensor([duration_s, 0.0]).double())
    spans, tails = segment_spans(frames, [torch.tensor([0.5, 2.0, 2.5]), torch.zeros(0)], 4)
    wanted = [0, 0.01, 0.01, 0.04, 0.04, inside, inside, duration_s]
    assert spans[0].flatten().tolist() == pytest.approx(wanted)
    assert spans[1].eq(0).all() and tails.tolist() == [0, 0]
