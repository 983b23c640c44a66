"""Groups of rows: each row once and in order, on a processor little padding, on a GPU many rows."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ossicle.models.batches import MAX_BATCH, together

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@given(lengths=st.lists(st.integers(1, 300), max_size=60), most=st.integers(1, 900), device=st.sampled_from([CPU, GPU]))
def test_groups_hold_every_row_once_and_no_more_than_gains(lengths, most, device):
    groups = together(lengths, most, device)
    assert [row for group in groups for row in group] == list(range(len(lengths)))
    for group in groups:
        assert 1 <= len(group) <= MAX_BATCH
        if device == CPU and len(group) > 1:
            assert len(group) * max(lengths[row] for row in group) <= most


def test_a_group_is_as_large_as_it_may_be():
    assert together([10, 20, 30, 40], 90, CPU) == [range(0, 3), range(3, 4)]
    assert together([10, 20, 30, 40], 90, GPU) == [range(0, 4)]
    assert together([1] * 40, 10**6, CPU) == [range(0, 16), range(16, 32), range(32, 40)]
