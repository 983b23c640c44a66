"""What a search refuses, and what it gives at its edges; that its tokens are right is shown in `parity`."""

import pytest
import torch
from transformers import SeamlessM4Tv2Config

from ossicle.errors import RequestError
from ossicle.translate.search import search
from ossicle.translate.text import TextTokens
from ossicle.translate.translator import Encoded, Translator
from translate.tiny import LANGUAGES, SIZES, louden, tokenizer


@pytest.fixture(scope="module")
def model() -> Translator:
    torch.manual_seed(0)
    made = Translator(SIZES, TextTokens(tokenizer().backend_tokenizer, LANGUAGES), hears=False).eval()
    louden(made)
    return made


@pytest.fixture(scope="module")
def encoded(model: Translator) -> Encoded:
    with torch.no_grad():
        return model.read([model.text.encode(text, "eng") for text in ("a bird", "the sun, over there", "no")])


def test_as_many_hypotheses_as_beams_none_longer_than_asked(model, encoded):
    for beams in (1, 2, 4):
        for rows in search(model, encoded, ["fra", "eng", "arb"], beams=beams, max_tokens=5):
            assert len(rows) == beams == len({tuple(one.ids) for one in rows})
            assert all(len(one.ids) + one.whole <= 5 for one in rows)
            assert all(len(one.ids) == 5 for one in rows if not one.whole)


def test_scores_are_mean_log_probabilities(model, encoded):
    for beams in (1, 3):
        found = search(model, encoded, ["fra"] * 3, beams=beams, max_tokens=6)
        for i, rows in enumerate(found):
            for one in rows:
                ids = [*one.ids, *[model.text.eos] * one.whole]
                read = [*model.text.prefix("fra"), *ids[:-1]]
                with torch.no_grad():
                    scores = model.logits(model.states(encoded.rows([i]), [read]))[0, 1:].log_softmax(-1)
                want = scores[torch.arange(len(ids)), torch.tensor(ids)].mean()
                assert one.score == pytest.approx(float(want), abs=1e-4)


def test_a_wider_beam_finds_no_worse(model, encoded):
    one = search(model, encoded, ["fra"] * 3, beams=2, max_tokens=4)
    more = search(model, encoded, ["fra"] * 3, beams=20, max_tokens=4)
    assert all(b[0].score >= a[0].score - 1e-5 for a, b in zip(one, more, strict=True))


def test_what_cannot_be_searched_is_refused(model, encoded):
    room = SeamlessM4Tv2Config(**SIZES).max_position_embeddings - 2
    assert len(search(model, encoded, ["fra"] * 3)[0][0].ids) <= room
    with pytest.raises(RequestError, match="3 items need as many languages, got 1"):
        search(model, encoded, ["fra"])
    with pytest.raises(RequestError, match="'kan' is not supported"):
        search(model, encoded, ["kan"] * 3)
    for most in (0, room + 1):
        with pytest.raises(RequestError, match=rf"max_tokens is {most}: own writes 1 to {room}"):
            search(model, encoded, ["fra"] * 3, max_tokens=most)
    for beams in (0, 51):
        with pytest.raises(RequestError, match=rf"beams is {beams}: allowed is 1 to 50"):
            search(model, encoded, ["fra"] * 3, beams=beams)
