"""Every policy: what all must keep to, and what each is."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ossicle.errors import ConfigError, RequestError
from ossicle.simul.choice import Choices
from ossicle.simul.decoder import limited
from ossicle.simul.policies import PREFIX, AlignAtt, Emma, LocalAgreement, Policy, Read, WaitK, Write, repeats
from ossicle.simul.writer import Writer
from ossicle.translate.search import search
from ossicle.translate.translator import Encoded, Translator

from .small import RATIO, heard, small_choices, small_model

POLICIES: dict[str, Callable[[], Policy]] = {
    "wait-1": lambda: WaitK(1, ratio=RATIO),
    "wait-3": lambda: WaitK(3, ratio=RATIO),
    "agreement-2": LocalAgreement,
    "agreement-3": lambda: LocalAgreement(3),
    "alignatt": lambda: AlignAtt(2, layer=2),
    "emma": lambda: Emma(0.3, reduced="mean", ratio=RATIO),
    "emma-block": lambda: Emma(0.2, reduced="median", first_layer=2, wait=2, most=3, block=2, ratio=RATIO),
}
N = 24
MOST = 18


@pytest.fixture(scope="module")
def model() -> Translator:
    return small_model()


@pytest.fixture(scope="module")
def choices() -> Choices:
    return small_choices()


def chunked(seed: int) -> list[int]:
    rng, chunks = np.random.default_rng(seed), []
    while sum(chunks) < N:
        chunks.append(min(int(rng.integers(0, 6)), N - sum(chunks)))
    return chunks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", POLICIES)
def test_what_all_policies_keep_to(model: Translator, choices: Choices, name: str, seed: int) -> None:
    encoded = heard(model, N, seed=seed)
    writer, at, before = Writer(model, POLICIES[name](), "fr", choices=choices, max_tokens=MOST, several=False), 0, []
    for n in chunked(seed):
        (decision,) = writer.hear(encoded.values[:, at : at + n])
        at += n
        assert writer.ids[: len(before)] == before  # never taken back
        assert n > 0 or isinstance(decision, Read)  # nothing new, nothing written
        new = decision.ids if isinstance(decision, Write) else ()
        assert [*before, *new] == writer.ids and model.text.eos not in new
        assert isinstance(decision, Read) or 0 < len(decision.ids) == len(decision.reasons)
        before = list(writer.ids)
    writer.hear(encoded.values[:, :0], finished=True)
    assert len(writer.turns) == len(chunked(seed)) + 1 and writer.turns[-1].finished
    with torch.no_grad():  # all is written: it would end here, or may not go on
        limits = torch.tensor([[N] * (PREFIX + len(writer.ids))])
        for i, limit in enumerate(writer.limits):
            limits[0, PREFIX - 1 + i] = limit
        limits[0, : PREFIX - 1] = next(turn.n_heard for turn in writer.turns if turn.n_heard)
        ids = [*model.text.prefix("fr"), *writer.ids]
        # what stays computed is what a run over everything computes, with what had come when the next token was written
        whole = limited(model, encoded, [ids], limits, choices)
        if len(writer.ids) < MOST:
            assert int(model.logits(whole.states[:, -1]).argmax()) == model.text.eos
        for i, token in enumerate(writer.ids):
            assert int(model.logits(whole.states[0, PREFIX - 1 + i]).argmax()) == token
    with pytest.raises(RequestError, match="the source has ended: a new one needs a new writer"):
        writer.hear(encoded.values)


@pytest.mark.parametrize("name", POLICIES)
def test_a_source_that_comes_whole_is_translated_as_ever(model: Translator, choices: Choices, name: str) -> None:
    for seed in range(3):
        encoded = heard(model, N, seed=seed)
        writer = Writer(model, POLICIES[name](), "fr", choices=choices, max_tokens=MOST, several=False)
        writer.hear(encoded.values, finished=True)
        found = search(model, encoded, ["fr"], max_tokens=MOST)[0][0]
        assert writer.ids == found.ids


def paced(
    model: Translator, policy: Policy, choices: Choices | None, encoded: Encoded, piece: int, most: int = MOST
) -> Writer:
    """A source that comes evenly."""
    writer, n = Writer(model, policy, "fr", choices=choices, max_tokens=most, several=False), encoded.values.shape[1]
    for at in range(0, n, piece):
        writer.hear(encoded.values[:, at : at + piece], finished=at + piece >= n)
    return writer


def test_wait_k_is_a_diagonal(model: Translator) -> None:
    for k in (1, 3):
        writer = paced(model, WaitK(k, ratio=RATIO), None, heard(model, N), RATIO, most=5)
        assert writer.limits == [RATIO * (k + i) for i in range(5)]
        whys = [turn.decision.reason for turn in writer.turns if isinstance(turn.decision, Read)]
        assert whys[: k - 1] == [f"token 1 wants {k} steps"] * (k - 1) and whys[k - 1 :] == ["5 tokens are written"] * (
            4 - k
        )
    late = paced(model, WaitK(50, ratio=RATIO), None, heard(model, N), RATIO, most=5)
    assert late.limits == [N] * 5  # nothing before the end, then all


def test_agreement_writes_the_common_beginning(model: Translator) -> None:
    """Against translations of every beginning, made anew with what is committed."""
    encoded, committed, last = heard(model, N, seed=2), [], None
    writer = Writer(model, LocalAgreement(), "fr", max_tokens=MOST, several=False)
    for at in range(0, N, 4):
        writer.hear(encoded.values[:, at : at + 4])
        if last is not None:
            new = translated(model, encoded, at + 4, writer, committed)
            agreed = next(
                (i for i, (a, b) in enumerate(zip(last, new, strict=False)) if a != b), min(len(last), len(new))
            )
            committed = new[: max(agreed, len(committed))]
            last = new
        else:
            last = translated(model, encoded, at + 4, writer, [])
        assert writer.ids == committed
    assert committed


def translated(model: Translator, encoded: Encoded, n: int, writer: Writer, committed: list[int]) -> list[int]:
    """What a beginning of the source would become behind what is committed; that has seen what it saw."""
    ids = [*model.text.prefix("fr"), *committed]
    first = next(turn.n_heard for turn in writer.turns if turn.n_heard)
    while len(ids) - PREFIX < MOST:
        limits = [*[first] * (PREFIX - 1), *writer.limits[: len(committed)]]
        limits += [n] * (len(ids) - len(limits))
        with torch.no_grad():
            states = limited(model, encoded, [ids], torch.tensor([limits]), None).states
        token = int(model.logits(states[0, -1]).argmax())
        if token == model.text.eos:
            break
        ids.append(token)
    return ids[PREFIX:]


def test_alignatt_never_writes_what_looks_at_the_newest(model: Translator) -> None:
    encoded = heard(model, N, seed=1)
    for frames in (1, 3, 6):
        writer = paced(model, AlignAtt(frames, layer=2), None, encoded, 2)
        for turn in writer.turns[:-1]:
            if isinstance(turn.decision, Write):
                for why in turn.decision.reasons:
                    looks, of = (int(one) for one in why.removeprefix("it looks at ").split(", of "))
                    assert of == turn.n_heard and looks < turn.n_heard - frames
    soon, late = (sum(paced(model, AlignAtt(n, layer=2), None, encoded, 2, 6).limits) for n in (1, 12))
    assert soon < late


def test_emma_writes_later_where_the_threshold_is_higher(model: Translator, choices: Choices) -> None:
    delays = []
    for threshold in (0.0, 0.4, 0.44, 0.48, 0.52, 0.56, 1.0):
        writer = paced(model, Emma(threshold, reduced="mean", ratio=RATIO), choices, heard(model, N), 2, 6)
        delays.append(sum(writer.limits))
        if threshold == 0:
            assert isinstance(writer.turns[0].decision, Write)
    assert delays == sorted(delays) and len({*delays}) > 2 and delays[-1] == N * 6


@pytest.mark.parametrize(("reduced", "of"), [("min", torch.amin), ("mean", torch.mean), ("median", None)])
def test_emma_reduces_over_layers_and_heads(model: Translator, choices: Choices, reduced, of) -> None:
    writer = Writer(model, Emma(), "fr", choices=choices)
    writer.reading.hear(heard(model, 7).values)
    step = writer.reading.write(writer.prefix)
    assert step.p_write is not None and step.p_write.shape == (3, 4)
    assert step.p_steps is not None and step.p_steps.shape == (3, 4, 3)  # seven outputs, three a step
    assert torch.equal(step.p_steps[..., -1], step.p_write)
    for first, since in ((1, 0), (3, 0), (3, 1), (1, 2), (1, 9)):
        waits = (1 - step.p_steps[first - 1 :, :, min(since, 2) :]).prod(-1).flatten()  # at no step since then
        newest = step.p_write[first - 1 :].flatten()
        for counted, some in (("since", 1 - waits), ("newest", newest)):
            wanted = np.median(some.numpy()) if of is None else of(some).item()
            emma = Emma(reduced=reduced, first_layer=first, counted=counted)
            emma.since = since
            assert emma.probability(step) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ConfigError, match="the decoder has 3 layers, EMMA begins at 4"):
        Emma(first_layer=4).probability(step)


def test_a_token_is_waited_for_from_the_one_before(model: Translator, choices: Choices) -> None:
    """What the policy says at each turn, against the choices of a run over everything."""
    encoded, emma = heard(model, N, seed=3), Emma(0.7, ratio=RATIO)
    writer = Writer(model, emma, "fr", choices=choices, max_tokens=MOST, several=False)
    since, n_told = 0, 0
    for at in range(0, N, RATIO):
        ids = [*model.text.prefix("fr"), *writer.ids]
        (decision,) = writer.hear(encoded.values[:, at : at + RATIO])
        if isinstance(decision, Read) and " is below 0.7" in decision.reason:
            with torch.no_grad():
                limits = torch.tensor([[RATIO, *writer.limits, at + RATIO]])
                here = Encoded(encoded.values[:, : at + RATIO], torch.tensor([at + RATIO]))
                p = torch.stack([one[0, :, -1, since:] for one in limited(model, here, [ids], limits, choices).p_write])
            told = float(decision.reason.split(" ")[0])
            assert told == pytest.approx(float((1 - (1 - p).prod(-1)).mean()), abs=0.02)
            n_told += 1
        if isinstance(decision, Write):
            since = at // RATIO
    assert n_told >= 2


def test_emma_waits_stops_and_blocks(model: Translator, choices: Choices) -> None:
    encoded = heard(model, N)
    waited = paced(model, Emma(0.0, wait=3, ratio=RATIO), choices, encoded, RATIO)
    assert [turn.decision for turn in waited.turns[:2]] == [Read("1 of 3 steps"), Read("2 of 3 steps")]
    assert waited.limits[0] == 3 * RATIO
    few = paced(model, Emma(0.0, most=2, ratio=RATIO), choices, encoded, RATIO)
    assert all(len(one.decision.ids) <= 2 for one in few.turns[:-1] if isinstance(one.decision, Write))
    assert repeats([1, 2, 3, 1, 2], 2) and not repeats([1, 2, 3, 1, 2], 3) and not repeats([1, 1], 0)
    assert repeats([7, 7], 1) and not repeats([1, 2], 2) and repeats([5, 5, 5], 2)
    for seed in range(6):
        free, blocked = (
            paced(model, Emma(0.0, block=n, ratio=RATIO), choices, heard(model, N, seed=seed), RATIO, 40)
            for n in (0, 1)
        )
        early = [i for i, limit in enumerate(blocked.limits) if limit < N]
        ids = [blocked.ids[i] for i in early]
        assert len({*ids}) == len(ids)
        if len({*free.ids[: len(early) + 1]}) <= len(early):
            break
    else:
        pytest.fail("nothing came again in any of these translations: another seed shows what is blocked")


def test_the_policies_differ(model: Translator, choices: Choices) -> None:
    paths = {tuple(paced(model, make(), choices, heard(model, N), 2).limits) for make in POLICIES.values()}
    assert len(paths) > 4


def test_what_cannot_be_is_refused(model: Translator) -> None:
    for make, message in (
        (lambda: WaitK(0), "wait-k waits for at least 1 step of at least 1 output: got k 0, ratio 2"),
        (lambda: LocalAgreement(1), "at least 2 translations can agree: got 1"),
        (lambda: AlignAtt(0), "AlignAtt holds back at least 1 output and looks at layer 1 or above: 0, 1"),
        (lambda: Emma(1.5), "EMMA has a threshold from 0 to 1; .* got 1.5, 1, 1, 50, 2, 0"),
        (lambda: Emma(most=0), "got 0.5, 1, 1, 0, 2, 0"),
        (lambda: Emma(block=-1), "got 0.5, 1, 1, 50, 2, -1"),
        (lambda: Emma(counted="all"), "choices are counted since the token before, or at the newest step, not 'all'"),
        (lambda: Emma(reduced="max"), "choices are reduced by min, mean or median, not 'max'"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()
    encoded = heard(model, 5)
    with pytest.raises(ConfigError, match="the decoder has 3 layers, AlignAtt looks at 4"):
        Writer(model, AlignAtt(1, layer=4), "fr").hear(encoded.values)
    with pytest.raises(ConfigError, match="EMMA decides by a decoder's choices, this one has none"):
        Writer(model, Emma(), "fr").hear(encoded.values)
    for n in (0, 63):
        with pytest.raises(RequestError, match=f"max_tokens is {n}: tiny writes 1 to 62"):
            Writer(model, WaitK(), "fr", max_tokens=n)
