"""What a text becomes before it is read: nothing is left out without being told."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from ossicle.translate.text import BLANK, TextTokens
from translate.small import letters


def marks() -> TextTokens:
    """Letters and marks, with the normaliser of a translator of ours."""
    vocabulary = {one: i for i, one in enumerate(("<pad>", "<unk>", "<s>", "</s>", "__en__", BLANK, *"abEe'-,.\u00e9"))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True))
    tokenizer.add_special_tokens(["<pad>", "<unk>", "<s>", "</s>", "__en__"])
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always", split=True)
    return TextTokens(tokenizer, {"en": 4})


@pytest.mark.parametrize(
    ("text", "read", "left_out"),
    [
        ("ab  a", "ab  a", ""),
        ("a\u2019b!", "a'b.", ""),
        ("a; b: a\u2010b", "a, b, a-b", ""),
        ("\u00c9a BEA", "\u00e9a bEa", ""),
        ("a 12 b 21", "a b", "12"),
        ("a\u2026", "a\u2026", ""),
        ("e\u0301", "e\u0301", ""),
        ("\u4f60 z", "", "\u4f60z"),
        ("", "", ""),
    ],
)
def test_a_text_is_read_as_far_as_there_are_tokens(text, read, left_out):
    assert marks().legible(text) == (read, left_out)


def test_a_mark_that_has_a_token_stays_and_one_without_a_plain_one_goes():
    assert letters().legible("ab! c's?") == ("ab. cs?", "'")


@pytest.mark.parametrize("text", ["a__en__b", "a</s>b", "<pad>"])
def test_a_special_token_cannot_be_written(text):
    read, left_out = marks().legible(text)
    assert set(marks().tokens(text)) & {0, 2, 3, 4} == set() and "_" not in read and left_out
