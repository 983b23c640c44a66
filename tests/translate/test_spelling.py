"""Characters of tokens: equal to the published class, for whatever it reads."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import SeamlessM4Tv2PreTrainedModel

from ossicle.translate.spelling import counts_of, spell, spelled
from ossicle.translate.text import TextTokens
from translate.tiny import CHAR_TO_ID, LANGUAGES, MARKS, pieces

PIECES = pieces()
WORDS = st.one_of(st.sampled_from(range(4, LANGUAGES["eng"])), st.sampled_from([1, *MARKS]))


def theirs(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts over [end, language, t1..tn] and ids of characters, as the published class makes them for speech."""
    kind = SeamlessM4Tv2PreTrainedModel
    model = SimpleNamespace(generation_config=SimpleNamespace(id_to_text=PIECES, char_to_id=CHAR_TO_ID))
    n = max(map(len, rows))
    ids = torch.tensor([row + [0] * (n - len(row)) for row in rows], dtype=torch.long).reshape(len(rows), n)
    subwords = kind._indices_to_subwords(model, ids)
    counts = kind._count_character_length_in_subword(model, ids, subwords)
    zero = counts.new_zeros(len(rows), 1)
    counts = torch.cat([zero, counts, zero], dim=1)
    return counts, kind._get_char_input_ids(model, ids, subwords, counts)


def tokens() -> TextTokens:
    empty = Tokenizer(models.WordLevel({"<unk>": 1}, unk_token="<unk>"))
    return TextTokens(empty, LANGUAGES, names={int(i): piece for i, piece in PIECES.items()})


@given(rows=st.lists(st.lists(WORDS, min_size=0, max_size=12), min_size=1, max_size=4))
def test_counts_and_ids_equal_those_of_the_published_class(rows):
    counts, ids = theirs(rows)
    got = spelled(tokens(), rows, CHAR_TO_ID)
    assert torch.equal(got.counts, counts)
    assert torch.equal(got.ids, ids)
    assert got.lengths.tolist() == counts.sum(1).tolist()


def test_a_space_belongs_to_its_word_and_after_a_mark_to_the_mark():
    assert counts_of(["▁ab", ",", "▁c", "d"]) == [3, 2, 1, 1]
    assert counts_of([",", "▁"]) == [1, 1]  # a space alone stays
    assert counts_of(["▁", "7", "▁a"]) == [1, 1, 2]  # a digit is no mark


def test_an_unknown_token_is_one_unknown_character_and_a_character_may_be_unknown():
    got = spell([["▁a", None, "é"]], CHAR_TO_ID)
    assert got.counts.tolist() == [[0, 2, 1, 1, 0]]
    assert got.ids.tolist() == [[CHAR_TO_ID["▁"], CHAR_TO_ID["a"], 1, 1]]


def test_marks_of_language_and_end_are_silent_wherever_they_stand():
    got = spelled(tokens(), [[5, LANGUAGES["fra"], 3, 0, 7]], CHAR_TO_ID)
    assert got.counts.tolist() == [[0, len(PIECES["5"]), 0, 0, 0, len(PIECES["7"]), 0]]
    assert got.ids.shape == (1, int(got.lengths[0]))


def test_texts_of_no_tokens_have_no_characters():
    got = spell([[], []], CHAR_TO_ID)
    assert got.ids.shape == (2, 0) and got.counts.tolist() == [[0, 0], [0, 0]] and got.lengths.tolist() == [0, 0]
