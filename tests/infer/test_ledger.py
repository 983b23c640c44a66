"""The ledger: ten keys, and sums of them."""

import pytest

from ossicle.infer.ledger import Ledger, summed

KEYS = [
    "seconds_given",
    "seconds_heard",
    "tail_s",
    "frames",
    "audio_tokens",
    "text_tokens",
    "time_to_first_token_s",
    "tokens_per_s",
    "seconds_merged",
    "seconds_dropped",
]


def test_the_keys_stand_in_their_order_and_counts_stay_whole():
    found = Ledger(1.23456789, 1.0, 0.25, 50, 25, 7, 0.1, 30.0).as_dict()
    assert list(found) == KEYS
    assert found["seconds_given"] == 1.234568
    assert all(isinstance(found[key], int) for key in ("frames", "audio_tokens", "text_tokens"))


def test_a_sum_adds_counts_and_seconds_and_takes_the_times_of_the_call():
    one, two = (
        Ledger(1.0, 0.9, 0.1, 50, 25, 7, 0.1, 30.0, 0.5, 0.1),
        Ledger(2.0, 2.0, 0.0, 100, 50, 3, 0.2, 10.0, 0.0, 1.5),
    )
    total = summed([one, two], time_to_first_token_s=0.3, tokens_per_s=5.0)
    assert total.as_dict() == pytest.approx(
        dict(zip(KEYS, [3.0, 2.9, 0.1, 150, 75, 10, 0.3, 5.0, 0.5, 1.6], strict=True))
    )
