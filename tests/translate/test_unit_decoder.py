"""The unit decoder: equal to the published class, a row in a batch what it is alone, and it learns."""

import pytest
import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.translate.spelling import spell
from ossicle.translate.unit_decoder import Characters, UnitDecoder, repeated
from translate.tiny import CHAR_TO_ID, published

TEXTS = [["▁ab", ",", "▁cde", None, "fg"], ["▁h"], ["▁ijk", "l", "▁m", "no", "!", "▁pqr", "st", "▁u", "v"]]
WIDTH = 32


def made(attention: str = "sdpa") -> UnitDecoder:
    return UnitDecoder(published(attention=attention).t2u_model, letters=CHAR_TO_ID).eval()


def given(texts: list[list[str | None]], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Characters]:
    """States of each text, the same in any batch; noise where a text is over."""
    rows = [
        torch.randn(len(text) + 2, WIDTH, generator=torch.Generator().manual_seed(seed + len(text))) for text in texts
    ]
    n = max(map(len, rows))
    states = torch.stack([torch.cat([row, torch.randn(n - len(row), WIDTH)]) for row in rows])
    return states, torch.tensor([len(row) for row in rows]), spell(texts, CHAR_TO_ID)


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def decoder(request: pytest.FixtureRequest) -> UnitDecoder:
    return made(request.param)


@pytest.mark.parametrize("text", TEXTS)
@torch.no_grad()
def test_units_equal_those_of_the_published_class(decoder, text):
    states, lengths, characters = given([text])
    theirs = decoder.t2u(
        inputs_embeds=states,
        attention_mask=torch.ones(states.shape[:2]),
        char_input_ids=characters.ids,
        char_count_per_id=characters.counts,
    )
    logits = theirs.last_hidden_state[..., decoder.offset : decoder.offset + decoder.n_units]
    units = decoder(states, lengths, characters)
    assert units.ids.tolist() == logits.argmax(-1).tolist()
    assert units.lengths.tolist() == theirs.padding_mask.sum(1).tolist()
    assert int(units.durations.max()) > 1


@torch.no_grad()
def test_a_row_in_a_batch_is_what_it_is_alone(decoder):
    together = decoder(*given([*TEXTS, []]))
    assert together.lengths[-1] == 0 and not together.ids[-1].any()
    said = set()
    for i, text in enumerate(TEXTS):
        alone, n = decoder(*given([text])), int(together.lengths[i])
        assert together.ids[i, :n].tolist() == alone.ids[0].tolist()
        assert not together.ids[i, n:].any()
        c = alone.durations.shape[1]
        assert together.durations[i, :c].tolist() == alone.durations[0].tolist()
        assert not together.durations[i, c:].any()
        said |= set(alone.ids[0].tolist())
    assert len(said) > 5


@torch.no_grad()
def test_a_row_in_a_batch_is_what_it_is_alone_before_rounding_to_units(decoder):
    hidden, valid = decoder._spelled(*given(TEXTS))
    decoded = decoder._decoded(hidden, 2 * valid.long())
    for i, text in enumerate(TEXTS):
        alone, inside = decoder._spelled(*given([text]))
        n = alone.shape[1]
        assert torch.allclose(hidden[i, :n], alone[0], atol=1e-5)
        assert torch.allclose(decoded[i, : 2 * n], decoder._decoded(alone, 2 * inside.long())[0], atol=1e-5)


@torch.no_grad()
def test_every_unit_is_one_even_where_another_token_scores_more():
    decoder = made()
    outside = [*range(decoder.offset), *range(decoder.offset + decoder.n_units, decoder.t2u.lm_head.weight.shape[0])]
    assert len(outside) > decoder.offset
    decoder.t2u.lm_head.weight[outside] = 100.0
    units = decoder(*given(TEXTS))
    assert int(units.ids.min()) >= 0
    assert int(units.ids.max()) < decoder.n_units


@torch.no_grad()
def test_pace_shortens_and_lengthens(decoder):
    slow, usual, fast = (decoder(*given(TEXTS), pace=pace) for pace in (0.5, 1.0, 2.0))
    assert (slow.lengths > usual.lengths).all() and (usual.lengths > fast.lengths).all()
    hasty = decoder(*given(TEXTS), pace=1e6)
    assert hasty.lengths.tolist() == given(TEXTS)[2].lengths.tolist()


@torch.no_grad()
def test_given_durations_are_kept(decoder):
    states, lengths, characters = given(TEXTS)
    durations = torch.randint(0, 4, characters.ids.shape, generator=torch.Generator().manual_seed(1))
    units = decoder(states, lengths, characters, durations=durations)
    valid = torch.arange(characters.ids.shape[1])[None] < characters.lengths[:, None]
    assert units.durations.tolist() == (durations * valid).tolist()
    assert units.lengths.tolist() == (durations * valid).sum(1).tolist()
    own = decoder(states, lengths, characters)
    again = decoder(states, lengths, characters, durations=own.durations)
    assert torch.equal(again.ids, own.ids)


@torch.no_grad()
def test_texts_of_no_characters_give_no_units(decoder):
    units = decoder(*given([[], []]))
    assert units.ids.shape == (2, 0) and units.lengths.tolist() == [0, 0] and units.durations.shape == (2, 0)
    assert decoder(*given(TEXTS[:1]), durations=torch.zeros(1, 11, dtype=torch.long)).ids.shape == (1, 0)


def lesson(decoder: UnitDecoder, texts: list[list[str | None]]) -> dict[str, torch.Tensor]:
    states, lengths, characters = given(texts)
    valid = torch.arange(characters.ids.shape[1])[None] < characters.lengths[:, None]
    durations = (2 + torch.arange(characters.ids.shape[1]) % 3).expand_as(characters.ids) * valid
    n = durations.sum(1)
    units = (torch.arange(int(n.max())) * 7 % decoder.n_units).expand(len(texts), -1).clone()
    units[torch.arange(int(n.max()))[None] >= n[:, None]] = -1
    return {"states": states, "lengths": lengths, "characters": characters, "durations": durations, "units": units}


def test_a_step_reaches_encoder_durations_and_decoder():
    decoder = made().train()
    for part in (decoder.t2u.model.encoder, decoder.t2u.model.decoder):
        part.layerdrop = 0.0
    batch = lesson(decoder, TEXTS)
    batch["states"].requires_grad_()
    entropy, n_units, error, n_characters = decoder.loss(**batch)
    assert n_units == int(batch["durations"].sum()) and n_characters == int(batch["characters"].lengths.sum())
    (entropy / n_units + error / n_characters).backward()
    model = decoder.t2u.model
    for part in (model.encoder, model.decoder.duration_predictor, model.decoder.layers, decoder.t2u.lm_head):
        for name, weight in part.named_parameters():
            assert weight.grad is not None and weight.grad.isfinite().all(), name
            assert weight.grad.any() or "k_proj.bias" in name, name  # a bias of the keys moves no attention
    assert batch["states"].grad.isfinite().all() and batch["states"].grad.any()


def test_twenty_steps_lower_both_losses():
    torch.manual_seed(0)
    decoder = made()
    optimiser = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    batch = lesson(decoder, TEXTS)
    losses = []
    for _ in range(20):
        entropy, n_units, error, n_characters = decoder.loss(**batch)
        losses.append((entropy.item() / n_units, error.item() / n_characters))
        optimiser.zero_grad()
        (entropy / n_units + error / n_characters).backward()
        optimiser.step()
    assert losses[-1][0] < 0.8 * losses[0][0] and losses[-1][1] < 0.5 * losses[0][1]


def test_a_loss_of_a_batch_is_the_sum_of_its_rows():
    decoder = made()
    with torch.no_grad():
        whole = decoder.loss(**lesson(decoder, TEXTS))
        rows = [decoder.loss(**lesson(decoder, [text])) for text in TEXTS]
        smooth = decoder.loss(**lesson(decoder, TEXTS), label_smoothing=0.2)
    for total, parts in zip(whole, zip(*rows, strict=True), strict=True):
        assert float(total) == pytest.approx(float(sum(parts)), rel=1e-4)
    assert not torch.isclose(smooth[0], whole[0], rtol=1e-3) and torch.equal(smooth[2], whole[2])


def test_the_loss_of_durations_is_that_of_their_logarithms():
    decoder = made()
    batch = lesson(decoder, TEXTS[:1])
    with torch.no_grad():
        own = decoder(batch["states"], batch["lengths"], batch["characters"])
        spelled, valid = decoder._spelled(batch["states"], batch["lengths"], batch["characters"])
        said = decoder.t2u.model.decoder.duration_predictor(spelled, padding_mask=valid)
        *_, error, n = decoder.loss(**batch)
    assert float(error) == pytest.approx(
        float((torch.log1p(batch["durations"].float()) - said).square().sum()), rel=1e-5
    )
    assert n == own.durations.shape[1]


def test_repeated_repeats():
    values = torch.arange(12.0).reshape(2, 3, 2)
    got = repeated(values, torch.tensor([[2, 0, 1], [0, 1, 0]]))
    assert got.tolist() == [[[0, 1], [0, 1], [4, 5]], [[8, 9], [0, 0], [0, 0]]]


@pytest.mark.parametrize("pace", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pace_is_positive(decoder, pace):
    with pytest.raises(RequestError, match=r"pace is .*positive"):
        decoder(*given(TEXTS), pace=pace)


def test_what_does_not_fit_is_refused(decoder):
    states, lengths, characters = given(TEXTS)
    batch = lesson(decoder, TEXTS)
    with pytest.raises(RequestError, match="count the characters of states"):
        decoder(states[:, :-1], lengths, characters)
    with pytest.raises(RequestError, match="count the characters of states"):
        decoder(states, lengths, Characters(characters.ids, characters.counts, characters.lengths + 1))
    with pytest.raises(RequestError, match="ids of shape"):
        decoder(states, lengths, Characters(characters.ids[:, 1:], characters.counts, characters.lengths))
    with pytest.raises(RequestError, match="durations of shape"):
        decoder(states, lengths, characters, durations=batch["durations"][:, 1:])
    with pytest.raises(RequestError, match="not negative, the least is -2"):
        decoder(states, lengths, characters, durations=torch.full_like(characters.ids, -2))
    with pytest.raises(RequestError, match="units of shape"):
        decoder.loss(**{**batch, "units": batch["units"][:, 1:]})
    with pytest.raises(RequestError, match=f"units are 0..{decoder.n_units - 1}, got .*{decoder.n_units}"):
        decoder.loss(**{**batch, "units": batch["units"].clamp(min=decoder.n_units)})
    with pytest.raises(RequestError, match="ids of shape"):
        decoder.loss(
            *given([[]]), durations=torch.zeros(1, 0, dtype=torch.long), units=torch.zeros(1, 0, dtype=torch.long)
        )


def test_tables_without_room_are_refused():
    t2u = published().t2u_model
    with pytest.raises(ConfigError, match=r"char_vocab_size says; got 1..60"):
        UnitDecoder(t2u, letters={"a": 1, "b": 60})
    t2u.config.unit_hifi_gan_vocab_size = 0
    with pytest.raises(ConfigError, match="unit_hifi_gan_vocab_size 0"):
        UnitDecoder(t2u)
