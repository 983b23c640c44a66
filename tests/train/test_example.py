"""A prompt in pieces: what is read, what is learned, where audio stands."""

from ossicle.prompt.chat import Prompt
from ossicle.train.answers import prompt_with_answers
from ossicle.train.example import example_of

from .support import MODEL


def test_a_prompt_is_cut_where_what_becomes_of_it_changes() -> None:
    told = [("which animal?", "a dog"), ("how many?", "one")]
    prompt, spans = prompt_with_answers(MODEL.tokenizer, MODEL.pad_id, told, 7)
    example = example_of(MODEL.tokenizer, prompt, spans, 0.28, "own.jsonl, line 3")
    kinds = [kind for kind, _ in example.pieces]
    assert kinds == ["read", "audio", "read", "learned", "read", "learned"]
    assert example.pieces[1] == ("audio", "[audio x 7]")
    assert [text.strip() for kind, text in example.pieces if kind == "learned"] == ["a dog<|im_end|>", "one<|im_end|>"]
    assert "which animal?" in example.pieces[2][1] and "how many?" in example.pieces[4][1]
    assert (example.n_audio, example.n_audio + example.n_text) == (7, len(prompt.ids))
    assert example.n_learned == sum(n for _, n in spans) and example.seconds == 0.28


def test_marks_and_colours_say_the_same() -> None:
    prompt, spans = prompt_with_answers(MODEL.tokenizer, MODEL.pad_id, [(None, "a dog")], 2)
    example = example_of(MODEL.tokenizer, prompt, spans, 1.0, "x")
    plain, painted = example.painted(colour=False), example.painted(colour=True)
    assert plain.plain.count("{+") == plain.plain.count("+}") == 1 and plain.plain.endswith("<|im_end|>+}")
    assert plain.plain.replace("{+", "").replace("+}", "") == painted.plain and plain.spans == []
    styles = {painted.plain[span.start : span.end]: span.style for span in painted.spans}
    assert styles["[audio x 2]"] == "cyan"
    assert [text for text, style in styles.items() if style == "bold green"] == [example.pieces[-1][1]]


def test_an_answer_at_the_end_or_none_at_all() -> None:
    ids = MODEL.tokenizer("hm", add_special_tokens=False)["input_ids"]
    assert [kind for kind, _ in example_of(MODEL.tokenizer, Prompt(ids, []), (), 1.0, "x").pieces] == ["read"]
