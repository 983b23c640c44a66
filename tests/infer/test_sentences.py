"""Sentences: every text whole, cut where one ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossicle.infer.sentences import fitted, paragraphs

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.lists(
    st.sampled_from(["Dr.", "ab", "C.", "d!", "e?", '"', "\u201d", "f,", "3.", "\n", "\u3002", "Z.B."]), max_size=40
).map(" ".join)


def without_white_space(text):
    return "".join(text.split())


@given(texts)
def test_no_character_is_lost(text):
    found = paragraphs(text)
    assert without_white_space("".join("".join(line) for line in found)) == without_white_space(text)
    assert all(one == one.strip() != "" for line in found for one in line)
    assert not found or (found[0] and found[-1])


@given(texts, st.integers(1, 30))
def test_parts_fit_and_lose_nothing(text, most):
    found = fitted(text.strip(), lambda one: len(one) <= most)
    assert without_white_space("".join(found)) == without_white_space(text)
    assert all(len(one) <= most for one in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One. Two! Three?", [["One.", "Two!", "Three?"]]),
        ("One.\n\n Two.\r\nThree", [["One."], [], ["Two."], ["Three"]]),
        ("\n \nOne.\n\n\nTwo.\n", [["One."], [], [], ["Two."]]),
        ("Dr. Smith met J. Doe. They spoke.", [["Dr. Smith met J. Doe.", "They spoke."]]),
        ("Das ist z.B. Brot. Am 3. Mai kam er.", [["Das ist z.B. Brot.", "Am 3. Mai kam er."]]),
        ('He said "Stop!" She ran.', [['He said "Stop!"', "She ran."]]),
        ("It fell... and broke.", [["It fell... and broke."]]),
        ("3.5 metres. Yes", [["3.5 metres.", "Yes"]]),
        ("\u4f60\u597d\u3002\u518d\u89c1\u3002", [["\u4f60\u597d\u3002", "\u518d\u89c1\u3002"]]),
        (" \n", []),
    ],
)
def test_sentences_by_example(text, found):
    assert paragraphs(text) == found


def test_a_long_sentence_is_cut_at_a_clause_near_the_middle():
    text = "When it rains, the cat stays here, and we read"
    assert fitted(text, lambda one: len(one) < 40) == ["When it rains,", "the cat stays here, and we read"]
    assert fitted("one two three four", lambda one: len(one) < 12) == ["one two", "three four"]
    assert fitted("abcdef", lambda one: len(one) < 4) == ["abc", "def"]
    assert fitted("ab", lambda one: False) == ["a", "b"]
