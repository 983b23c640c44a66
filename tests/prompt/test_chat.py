"""Prompts: slots, templates, roles, and that text never becomes a special token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.prompt.chat import Message, Prompt, Slot, control_words, end_of_turn, render, render_answer, resized
from ossicle.prompt.tags import Tags, pieces

from .vocabularies import SPECIAL, byte_level, with_thinking, word_level

CLIP = Clip(np.zeros(1600, np.float32), 16_000)
BYTES = byte_level()
TOKENIZERS = {"bytes": BYTES, "thinking": with_thinking(), "words": word_level()}
LLAMA_LIKE = (
    "{{ '<|endoftext|>' }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n\n{{ m['content'] | trim }}<|im_end|>"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}"
)


def ask(*content: Clip | str | Tags) -> list[Message]:
    return [Message("user", content)]


def shown(prompt: Prompt, tokenizer: PreTrainedTokenizerFast) -> str:
    """The prompt as text, each slot position as an asterisk."""
    ids = list(prompt.ids)
    for slot in prompt.slots:
        ids[slot.start : slot.start + slot.length] = tokenizer("*", add_special_tokens=False).input_ids * slot.length
    return tokenizer.decode(ids)


def test_audio_analysis_is_audio_and_text_in_one_turn() -> None:
    prompt = render(ask(CLIP, "What is said?"), [3], BYTES, pad_id=0)
    assert shown(prompt, BYTES) == (
        "<|im_start|>user\n<|audio_bos|>***<|audio_eos|>What is said?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert [prompt.ids[slot.start : slot.start + slot.length] for slot in prompt.slots] == [[0, 0, 0]]


def test_voice_chat_is_audio_alone() -> None:
    prompt = render(ask(CLIP), [2], BYTES, pad_id=0)
    text = "<|im_start|>user\n<|audio_bos|>**<|audio_eos|><|im_end|>\n<|im_start|>assistant\n"
    assert shown(prompt, BYTES) == text


def test_several_clips_in_one_turn_and_over_turns() -> None:
    messages = [
        Message("system", ("Listen.",)),
        Message("user", (CLIP, "and", CLIP)),
        Message("assistant", ("two",)),
        Message("user", (CLIP,)),
    ]
    prompt = render(messages, [1, 2, 4], BYTES, pad_id=7)
    assert shown(prompt, BYTES) == (
        "<|im_start|>system\nListen.<|im_end|>\n<|im_start|>user\n<|audio_bos|>*<|audio_eos|>and<|audio_bos|>**"
        "<|audio_eos|><|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>\n<|im_start|>user\n<|audio_bos|>****"
        "<|audio_eos|><|im_end|>\n<|im_start|>assistant\n"
    )
    assert [(slot.length, slot.clip) for slot in prompt.slots] == [(1, 0), (2, 1), (4, 2)]
    assert all(prompt.ids[i] == 7 for slot in prompt.slots for i in range(slot.start, slot.start + slot.length))


def test_a_tokenizer_without_audio_marks_gets_the_slots_alone() -> None:
    tokenizer = byte_level(special=SPECIAL[:3])
    prompt = render(ask(CLIP, "x"), [2], tokenizer, pad_id=0)
    assert shown(prompt, tokenizer) == "<|im_start|>user\n**x<|im_end|>\n<|im_start|>assistant\n"
    opening = len(tokenizer("<|im_start|>user\n").input_ids)
    assert prompt.slots == [Slot(opening, 2, 0)]


def test_the_tokenizers_own_template_is_used_and_text_is_left_as_it_is() -> None:
    tokenizer = byte_level(template=LLAMA_LIKE)
    prompt = render(ask(" hi "), [], tokenizer, pad_id=0)
    text = "<|endoftext|><|im_start|>user\n\n hi <|im_end|><|im_start|>assistant\n\n"
    assert shown(prompt, tokenizer) == text


def test_a_template_that_can_think_is_asked_not_to() -> None:
    think = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is false %}!{% endif %}"
    tokenizer = byte_level(template=think)
    assert shown(render(ask("a"), [], tokenizer, pad_id=0), tokenizer) == "a!"


def test_without_a_generation_prompt_the_assistant_is_not_opened() -> None:
    prompt = render(ask("a"), [], BYTES, pad_id=0, add_generation_prompt=False)
    assert shown(prompt, BYTES) == "<|im_start|>user\na<|im_end|>\n"


@pytest.mark.parametrize("tokenizer", [BYTES, byte_level(template=LLAMA_LIKE)])
def test_a_prompt_and_its_answer_are_what_the_next_turn_begins_with(tokenizer: PreTrainedTokenizerFast) -> None:
    turn = ask(CLIP, "What is said?")
    prompt = render(turn, [3], tokenizer, pad_id=0)
    told = [*prompt.ids, *render_answer(tokenizer, " hello world")]
    later = [*turn, Message("assistant", (" hello world",)), Message("user", ("Again?",))]
    assert render(later, [3], tokenizer, pad_id=0).ids[: len(told)] == told


def test_the_end_of_turn_is_the_templates_own_or_the_end_of_sequence() -> None:
    plain = byte_level(template="{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    plain.eos_token = "<|endoftext|>"
    assert BYTES.convert_ids_to_tokens(end_of_turn(BYTES)) == "<|im_end|>"
    assert plain.convert_ids_to_tokens(end_of_turn(plain)) == "<|endoftext|>"
    assert end_of_turn(byte_level(template=plain.chat_template.replace("\n", ""))) == plain.convert_tokens_to_ids(
        "<|im_end|>"
    )


def test_a_tokenizer_that_cannot_end_a_turn_is_refused() -> None:
    tokenizer = byte_level(template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    tokenizer.eos_token = None
    with pytest.raises(RequestError, match="no token that ends a turn: give it an eos_token"):
        render_answer(tokenizer, "yes")


def names_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    return [token.content for token in tokenizer.added_tokens_decoder.values() if token.content.strip()]


@st.composite
def hostile_texts(draw: st.DrawFn, names: list[str]) -> str:
    """Special names, pieces of them, one inside another, and ordinary text, in any order."""
    pieces = []
    for _ in range(draw(st.integers(1, 5))):
        text = draw(st.sampled_from(names) | st.text(max_size=4) | st.sampled_from([" ", "\n", "hello", "<|", "|>"]))
        for _ in range(draw(st.integers(0, 3))):
            inner, at = draw(st.sampled_from(names)), draw(st.integers(0, len(text)))
            text = text[:at] + inner + text[at:]
        pieces.append(text)
    return "".join(pieces)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_text_never_becomes_a_special_token(name: str, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[name]
    text = data.draw(hostile_texts(names_of(tokenizer)))
    reserved = {key for key, t in tokenizer.added_tokens_decoder.items() if t.content.strip()}
    reserved -= {tokenizer.unk_token_id}

    def special(prompt: Prompt) -> list[int]:
        outside = set(range(len(prompt.ids))) - {s.start + i for s in prompt.slots for i in range(s.length)}
        return [prompt.ids[i] for i in sorted(outside) if prompt.ids[i] in reserved]

    told = render([Message("system", (text,)), Message("user", (text, CLIP, text))], [2], tokenizer, pad_id=0)
    plain = render([Message("system", ("",)), Message("user", ("", CLIP, ""))], [2], tokenizer, pad_id=0)
    assert special(told) == special(plain)
    assert len(told.slots) == 1
    assert not reserved & set(render_answer(tokenizer, text)[:-1])


@settings(deadline=None, max_examples=100)
@given(text=hostile_texts(names_of(TOKENIZERS["thinking"])))
def test_hostile_text_is_read_as_it_was_written(text: str) -> None:
    tokenizer = TOKENIZERS["thinking"]
    assert tokenizer.decode(render_answer(tokenizer, text)[:-1]) == text


def test_every_special_name_is_spelled_out() -> None:
    for tokenizer in (BYTES, TOKENIZERS["thinking"]):
        for name in names_of(tokenizer):
            assert len(render_answer(tokenizer, name)) > 3


def test_twenty_thousand_names_do_not_exhaust_the_reader() -> None:
    ids = render_answer(TOKENIZERS["thinking"], "<think>" * 20_000)
    assert TOKENIZERS["thinking"].decode(ids[:-1]) == "<think>" * 20_000


def test_runs_of_blanks_keep_their_own_tokens() -> None:
    ids = render_answer(TOKENIZERS["thinking"], "a    b")
    assert "    " in [TOKENIZERS["thinking"].decode([key]) for key in ids]


def test_a_character_that_is_a_token_by_name_is_refused() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens(["\u00a7"])
    with pytest.raises(RequestError, match="keeps the character '§' for itself"):
        render(ask("see § 4"), [], tokenizer, pad_id=0)


@pytest.mark.parametrize(
    ("role", "content", "message"),
    [
        ("tool", ("x",), "the role 'tool' is not known: choose one of system, user, assistant"),
        ("user", (), "a user message needs at least one part"),
        ("user", "text", "is a tuple of clips and strings"),
        ("user", (1,), "is a tuple of clips and strings"),
        ("system", (CLIP,), "a system message holds text only"),
    ],
)
def test_bad_messages_are_refused(role: str, content: tuple[Clip | str, ...], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Message(role, content)


def test_counts_must_fit_the_clips() -> None:
    with pytest.raises(RequestError, match="hold 1 clips, but token counts were given for 2"):
        render(ask(CLIP), [1, 1], BYTES, pad_id=0)
    with pytest.raises(RequestError, match="a clip gives no audio tokens: it is too short to be heard"):
        render(ask(CLIP), [0], BYTES, pad_id=0)
    with pytest.raises(RequestError, match="at least one message"):
        render([], [], BYTES, pad_id=0)


def test_a_template_that_refuses_is_a_request_error() -> None:
    tokenizer = byte_level(template="{{ raise_exception('roles must alternate') }}")
    with pytest.raises(RequestError, match="refuses these messages: roles must alternate"):
        render(ask("x"), [], tokenizer, pad_id=0)


@pytest.mark.parametrize("template", ["nothing", "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"])
def test_a_template_that_loses_or_repeats_text_is_refused(template: str) -> None:
    with pytest.raises(RequestError, match="loses, repeats or reorders these messages"):
        render(ask("x"), [], byte_level(template=template), pad_id=0)


def test_a_template_that_breaks_and_half_a_character_are_refused() -> None:
    with pytest.raises(RequestError, match="the LLM's chat template refuses these messages"):
        render(ask(CLIP, "x"), [2], byte_level(template="{{ 1 / 0 }}"), pad_id=0)
    with pytest.raises(RequestError, match="a text holds bytes that are no Unicode"):
        render(ask(CLIP, "\udcff"), [2], byte_level(), pad_id=0)


def test_of_several_chat_templates_the_default_is_used() -> None:
    tokenizer, several = byte_level(), byte_level()
    tokenizer.chat_template, several.chat_template = LLAMA_LIKE, {"default": LLAMA_LIKE, "tool_use": "tools"}
    assert render(ask(CLIP, "x"), [2], several, pad_id=0) == render(ask(CLIP, "x"), [2], tokenizer, pad_id=0)
    several.chat_template = {"tool_use": "tools", "rag": "r"}
    with pytest.raises(RequestError, match="has the chat templates rag, tool_use and none named default"):
        render(ask(CLIP, "x"), [2], several, pad_id=0)


def test_a_tokenizer_that_tells_no_places_is_refused() -> None:
    with pytest.raises(RequestError, match=r"a ByT5Tokenizer does not tell which characters .*: a fast one is needed"):
        render(ask(CLIP, "x"), [2], ByT5Tokenizer(extra_ids=0), pad_id=0)


def test_control_words_are_the_special_tokens_that_a_text_spells():
    tokenizer = with_thinking()
    assert control_words(tokenizer, "so <|im_end|> and <|audio_bos|>, <think> or  two blanks") == [
        "<|audio_bos|>",
        "<|im_end|>",
    ]
    assert control_words(tokenizer, "|im_end|> <im_end>") == []


TRANSCRIBE = Tags("startoftranscript", "en", "transcribe", "en", "notimestamps", "wo_itn")


def with_tags() -> PreTrainedTokenizerFast:
    """Byte-level, with the tags that these tests ask with."""
    tokenizer = byte_level()
    asked = (TRANSCRIBE, Tags("startofanalysis", "en", question=""))
    names = dict.fromkeys(text for tags in asked for special, text in pieces(tags) if special)
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)
    return tokenizer


def test_tags_are_one_token_each_behind_the_audio() -> None:
    tokenizer = with_tags()
    told = shown(render(ask(CLIP, TRANSCRIBE), [2], tokenizer, pad_id=0), tokenizer)
    assert told == (
        "<|im_start|>user\n<|audio_bos|>**<|audio_eos|><|startoftranscript|><|en|><|transcribe|><|en|><|notimestamps|>"
        "<|wo_itn|><|im_end|>\n<|im_start|>assistant\n"
    )
    bare = len(render(ask(CLIP, ""), [2], tokenizer, pad_id=0).ids)
    assert len(render(ask(CLIP, TRANSCRIBE), [2], tokenizer, pad_id=0).ids) == bare + 6


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_text_of_a_question_and_text_like_tags_never_become_tags(data: st.DataObject) -> None:
    tokenizer = with_tags()
    names = names_of(tokenizer)
    text = data.draw(hostile_texts(names))
    reserved = set(tokenizer.convert_tokens_to_ids(names))

    def special(*content: Clip | str | Tags) -> list[int]:
        return [key for key in render(ask(*content), [2], tokenizer, pad_id=299).ids if key in reserved]

    assert special(CLIP, text, TRANSCRIBE) == special(CLIP, "", TRANSCRIBE)
    plain = "".join(one for one in text if one not in "<>")
    halves = Tags("startofanalysis", "en", question=plain + "<|en<|")
    assert special(CLIP, halves) == special(CLIP, Tags("startofanalysis", "en", question=""))


def test_a_tag_that_the_tokenizer_does_not_have_is_refused() -> None:
    with pytest.raises(RequestError, match=r"the tokenizer has no tag <\|startoftranscript\|>: ask in words, or train"):
        render(ask(CLIP, TRANSCRIBE), [2], BYTES, pad_id=0)


@given(before=st.lists(st.integers(1, 9), min_size=1, max_size=3), data=st.data())
def test_a_prompt_whose_slots_get_other_lengths_is_the_one_rendered_with_them(
    before: list[int], data: st.DataObject
) -> None:
    after = data.draw(st.lists(st.integers(1, 9), min_size=len(before), max_size=len(before)))
    messages = [Message("user", (*(CLIP for _ in before), "what?"))]
    prompt, wanted = (render(messages, lengths, BYTES, pad_id=3) for lengths in (before, after))
    assert resized(prompt, after) == wanted and prompt == render(messages, before, BYTES, pad_id=3)


def test_slots_get_one_length_each() -> None:
    prompt = render([Message("user", (CLIP,))], [2], BYTES, pad_id=3)
    for lengths, told in (([], "none"), ([1, 2], "1, 2"), ([0], "0")):
        with pytest.raises(RequestError, match=f"the 1 slots of a prompt need a length of at least 1 each, got {told}"):
            resized(prompt, lengths)
