"""The context check: fits, or an error with the numbers."""

import pytest

from ossicle.errors import ContextError
from ossicle.plan.budget import check


def test_what_fits_gives_the_need() -> None:
    assert check(900, 800, 32.0, 124, 1024, "mini") == 1024


def test_too_much_audio_names_the_numbers_and_the_ways_out() -> None:
    with pytest.raises(ContextError) as caught:
        check(1100, 1000, 40.0, 100, 1000, "mini")
    assert str(caught.value) == (
        "the prompt needs 1200 tokens (1000 of them audio, 40.0 s at 25 per second, and 100 for the answer) "
        "but mini reads 1000: shorten the clip to 31.3 s, or choose a bridge of at most 20 tokens per second, "
        "or say what to do with long audio: retrieve passages of it, or lower its rate"
    )
    assert (caught.value.code, caught.value.exit_code) == ("context_length_exceeded", 4)
    assert check(100 + int(31.3 * 25), 782, 31.3, 100, 1000, "mini") <= 1000


@pytest.mark.parametrize(("prompt_tokens", "audio_tokens"), [(1100, 0), (1100, 50)])
def test_too_much_text_is_not_blamed_on_the_clip(prompt_tokens: int, audio_tokens: int) -> None:
    with pytest.raises(ContextError, match=r"the text needs \d+ tokens \(100 of them for the answer\) but mini reads"):
        check(prompt_tokens, audio_tokens, 2.0, 100, 1000, "mini")
