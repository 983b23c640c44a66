"""Decoding: cached = uncached, batched = alone, and text that is never taken back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny import TOKENIZER, asked, tiny_model

from ossicle.errors import CheckpointError, RequestError
from ossicle.infer.generate import Sampling, Step, TextStream, choose, generate
from ossicle.prompt.chat import Prompt
from ossicle.train.parts import letter_tokenizer

END = 0
LETTER_BY_LETTER = letter_tokenizer()
"""Writes blanks as signs and strips the first one when it decodes, which a stream must not do in the middle."""


class Letters:
    """A tokenizer whose id is the character."""

    def decode(self, ids, skip_special_tokens):
        assert skip_special_tokens
        return "".join(map(chr, ids))


class Scripted:
    """A model that says given texts, and remembers what it was fed."""

    end_ids = frozenset({END})
    pad_id = 7
    context = 300

    def __init__(self, *texts):
        self.tokenizer = Letters()
        self.script = [[*map(ord, text), END] for text in texts]
        self.fed = []

    def logits(self, n):
        table = torch.zeros(len(self.script), 1000)
        for row, ids in enumerate(self.script):
            table[row, ids[min(n, len(ids) - 1)]] = 10.0
        return table

    def prefill(self, prompts, heard, *, room):
        self.room = room
        return None, self.logits(0)

    def step(self, ids, state):
        self.fed.append(ids.tolist())
        return self.logits(len(self.fed))


def run(model, sampling, n=None):
    """Every step of a scripted model, one list a sequence."""
    n = len(model.script) if n is None else n
    return list(zip(*generate(model, [Prompt([1], [])] * n, [[]] * n, sampling), strict=True))


def text_of(steps):
    return "".join(step.text for step in steps)


def test_the_end_token_ends_a_sequence_and_is_no_text():
    (steps,) = run(Scripted("hi"), Sampling())
    assert steps == (Step((104,), "h", False), Step((105,), "i", False), Step((END,), "", True, "end"))


def test_max_tokens_ends_a_sequence():
    (steps,) = run(Scripted("hello"), Sampling(max_tokens=3))
    assert text_of(steps) == "hel"
    assert steps[-1] == Step((108,), "l", True, "length")


def test_each_sequence_ends_by_itself_and_is_then_fed_padding():
    model = Scripted("a", "abc", "ab")
    first, second, third = run(model, [Sampling(), Sampling(), Sampling(max_tokens=1)])
    assert [text_of(steps) for steps in (first, second, third)] == ["a", "abc", "a"]
    assert [steps[-1].finish for steps in (first, second, third)] == ["end", "end", "length"]
    assert model.fed == [[97, 97, 97], [END, 98, 7], [7, 99, 7]]
    assert third[1] == Step((), "", True, "length")


def test_no_prompts_give_no_steps():
    assert list(generate(Scripted(), [], [], Sampling())) == []


def test_a_stop_string_ends_the_text_before_it():
    (steps,) = run(Scripted("one. two"), Sampling(stop=(". t", "zzz")))
    assert text_of(steps) == "one"
    assert steps[-1].finish == "stop" and len(steps) == 6


def test_what_may_become_a_stop_string_is_held_back_and_given_if_it_does_not():
    (steps,) = run(Scripted("a<b<e>c"), Sampling(stop=("<end>",)))
    assert [step.text for step in steps] == ["a", "", "<b", "", "", "<e>", "c", ""]
    (steps,) = run(Scripted("a<en"), Sampling(stop=("<end>",)))
    assert [step.text for step in steps] == ["a", "", "", "", "<en"]
    (steps,) = run(Scripted("a<end"), Sampling(stop=("<end>",), max_tokens=4))
    assert text_of(steps) == "a<en" and steps[-1].finish == "length"


def test_a_stop_string_that_the_last_piece_completes_counts():
    (steps,) = run(Scripted("ab"), Sampling(stop=("b",), max_tokens=2))
    assert text_of(steps) == "a" and steps[-1].finish == "stop"


@settings(deadline=None)
@given(st.sampled_from([TOKENIZER, LETTER_BY_LETTER]), st.text(max_size=30), st.text(min_size=1, max_size=3))
def test_streamed_text_is_the_whole_text_up_to_the_stop_string(tokenizer, text, stop):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    stream = TextStream(tokenizer, [stop])
    pieces = []
    for token in ids:
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    else:
        pieces.append(stream.finish())
    assert "".join(pieces) == whole.split(stop)[0]
    assert stream.stopped == (stop in whole)


def test_characters_come_whole():
    ids = TOKENIZER("é😀", add_special_tokens=False)["input_ids"]
    stream = TextStream(TOKENIZER)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) == "é😀" and len(ids) > 2
    assert all(piece in ("", "é", "😀", "é😀") for piece in pieces)


def test_bytes_that_never_become_a_character_are_told_at_the_end():
    ids = TOKENIZER("😀", add_special_tokens=False)["input_ids"]
    stream = TextStream(TOKENIZER)
    assert [stream.push(token) for token in ids[:-1]] == [""] * (len(ids) - 1)
    assert stream.finish() == TOKENIZER.decode(ids[:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0, allowed is 1 or more"),
        ({"temperature": -0.1}, r"temperature is -0.1, allowed is 0 \(greedy\) to 2"),
        ({"temperature": 2.1}, "temperature is 2.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0, allowed is above 0 up to 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"stop": ("",)}, "stop holds at most 4 strings of 1 to 256 characters each"),
        ({"stop": ("x" * 257,)}, "stop holds at most 4"),
        ({"stop": tuple("abcde")}, "stop holds at most 4"),
        ({"stop": "aei "}, r"stop is 'aei ', wanted are strings in a list, such as \['\.'\]"),
        ({"stop": 3}, "stop is 3, wanted are strings"),
        ({"stop": b"ab"}, "stop is b'ab', wanted are strings"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5, wanted is a whole number"),
        ({"max_tokens": "5"}, "max_tokens is '5', wanted is a whole number"),
        ({"temperature": "hot"}, "temperature is 'hot', wanted is a number"),
        ({"top_p": None}, "top_p is None, wanted is a number"),
        ({"seed": 0.5}, "seed is 0.5, wanted is a whole number"),
        ({"seed": 2**63}, "seed is 9223372036854775808, allowed are signed 64-bit integers"),
    ],
)
def test_settings_out_of_range_are_named(arguments, message):
    with pytest.raises(RequestError, match=message) as caught:
        Sampling(**arguments)
    assert caught.value.code == "invalid_value"


def test_greedy_takes_the_likeliest_and_the_lowest_among_equals():
    logits = torch.tensor([0.0, 3.0, 3.0, 1.0])
    assert choose(logits, Sampling(), torch.Generator()) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_draw_nothing(temperature, bad):
    with pytest.raises(CheckpointError, match="gives logits that are no finite numbers: its weights are damaged"):
        choose(torch.tensor([0.0, bad, 1.0]), Sampling(temperature=temperature), torch.Generator())
    never = torch.tensor([-float("inf"), 1.0])
    assert choose(never, Sampling(temperature=temperature), torch.Generator()) == 1


def draws(logits, sampling, n=4000):
    generator = torch.Generator().manual_seed(5)
    return torch.bincount(torch.tensor([choose(logits, sampling, generator) for _ in range(n)]), minlength=4) / n


def test_sampling_follows_the_distribution_at_each_temperature():
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    assert draws(logits, Sampling(temperature=1.0)).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)
    squared = torch.tensor([0.01, 0.04, 0.09, 0.16]) / 0.3
    assert draws(logits, Sampling(temperature=0.5)).tolist() == pytest.approx(squared.tolist(), abs=0.03)


def test_ids_that_are_almost_equally_likely_are_drawn_alike_whichever_rounding_puts_first():
    one, other = torch.zeros(50), torch.zeros(50)
    one[::2] += 1e-6
    other[1::2] += 1e-6
    for seed in range(20):
        drawn = [
            choose(logits, Sampling(temperature=1.0), torch.Generator().manual_seed(seed)) for logits in (one, other)
        ]
        assert drawn[0] == drawn[1]


def test_the_nucleus_keeps_the_likeliest_that_reach_top_p():
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    found = draws(logits, Sampling(temperature=1.0, top_p=0.6))
    assert found.tolist() == pytest.approx([0, 0, 3 / 7, 4 / 7], abs=0.03)
    assert draws(logits, Sampling(temperature=1.0, top_p=1e-9))[3] == 1


def ids_of(model, pairs, sampling):
    prompts, heard = zip(*pairs, strict=True)
    steps = generate(model, prompts, heard, sampling)
    return [[key for step in row for key in step.ids] for row in zip(*steps, strict=True)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_batched_equals_alone(temperature):
    model = tiny_model()
    pairs = [asked(model, seconds) for seconds in ([0.5], [1.3, 0.2], [], [0.9])]
    each = [Sampling(12, temperature, seed=seed) for seed in (3, 3, 4, -5)]
    together = ids_of(model, pairs, each)
    assert together == [ids_of(model, [pair], [one])[0] for pair, one in zip(pairs, each, strict=True)]
    assert len({tuple(ids) for ids in together}) > 1


def test_cached_equals_uncached():
    model = tiny_model()
    prompt, heard = asked(model, [0.7])
    (ids,) = ids_of(model, [(prompt, heard)], Sampling(10))
    said = []
    with torch.no_grad():
        for _ in ids:
            values = model.embed([Prompt(prompt.ids + said, prompt.slots)], [heard])[0]
            said.append(int(model.llm(inputs_embeds=values[None]).logits[0, -1].argmax()))
    assert ids == said


def test_a_seed_repeats_and_another_differs():
    model = tiny_model()
    pair = asked(model, [0.7])
    first, again, other = (ids_of(model, [pair], Sampling(12, 1.5, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_model_is_told_how_many_steps_may_come():
    model = Scripted("a", "b")
    list(generate(model, [None, None], [[], []], [Sampling(3), Sampling(9)]))
    assert model.room == 9
    list(generate(model, [None, None], [[], []], Sampling(10_000)))
    assert model.room == model.context
