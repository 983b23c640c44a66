"""Greedy and beam search over a translator, in batches: the same tokens as `transformers`' generate.

Knows the text decoder, its caches and scores; does not know what was encoded, nor what becomes of the tokens. What is
attended to is encoded once, its keys and values are computed once; a row that is finished leaves the batch, so that an
answer never depends on its neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, EncoderDecoderCache

from ossicle.errors import RequestError
from ossicle.translate import speech_encoder
from ossicle.translate.translator import Encoded, Translator

MAX_TOKENS = 256
"""The most tokens of an answer, where nothing is said: as published."""
NEVER = -1.0e9
"""The score of what is not there."""


@dataclass(frozen=True)
class Hypothesis:
    """A translation.

    Args:
        ids: t1..tn, without language and end.
        score: the mean log-probability of its tokens and its end.
        whole: it came to its end; else ``max_tokens`` cut it.
    """

    ids: list[int]
    score: float
    whole: bool


class Decoding:
    """The cached way through a text decoder, for one batch of what it attends to.

    Args:
        model: whose decoder.
        encoded: B items.
    """

    def __init__(self, model: Translator, encoded: Encoded) -> None:
        self.model, self.values = model, encoded.values
        self.seen = speech_encoder.valid(encoded.lengths, encoded.values.shape[1], model.device)
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def step(self, ids: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the token after ``ids`` (B, n), which follow all ids given before: (B, V) float32."""
        states = self.model.text_decoder(
            input_ids=ids,
            encoder_hidden_states=self.values,
            encoder_attention_mask=self.seen,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        return torch.log_softmax(self.model.logits(states[:, -1:])[:, 0].float(), dim=-1)

    def repeat(self, n: int) -> None:
        """Each row n times, side by side."""
        self.cache.batch_repeat_interleave(n)
        self._attend(torch.arange(len(self.values), device=self.values.device).repeat_interleave(n))

    def select(self, rows: torch.Tensor, *, same: bool) -> None:
        """Only these rows, in this order; ``same`` where each attends to what the row in its place did before."""
        self.cache.self_attention_cache.batch_select_indices(rows)
        if not same:
            self.cache.cross_attention_cache.batch_select_indices(rows)
            self._attend(rows)

    def _attend(self, rows: torch.Tensor) -> None:
        self.values = self.values[rows]
        self.seen = None if self.seen is None else self.seen[rows]


@torch.no_grad()
def search(
    model: Translator,
    encoded: Encoded,
    languages: Sequence[str],
    *,
    beams: int = 1,
    max_tokens: int | None = None,
    on_first: Callable[[], None] = lambda: None,
) -> list[list[Hypothesis]]:
    """Translations of a batch, the best first.

    Args:
        model: in evaluation mode.
        encoded: what `Translator.hear` or `Translator.read` made of B items.
        languages: that each is translated into.
        beams: 1 takes the likeliest token each time; n > 1 keeps n beginnings and gives n hypotheses.
        max_tokens: the most tokens of a hypothesis, its end among them; None is 256, or what the model has positions
            for.
        on_first: called when the scores of the first token are known.

    Returns:
        for each item 1 or ``beams`` hypotheses.

    Raises:
        RequestError: not one language for each item, an unknown one; beams or tokens out of range.
    """
    if len(languages) != len(encoded.values):
        raise RequestError(f"{len(encoded.values)} items need as many languages, got {len(languages)}")
    prefixes = [model.text.prefix(language) for language in languages]
    room = model.settings.max_position_embeddings - len(prefixes[0])
    most = min(MAX_TOKENS, room) if max_tokens is None else max_tokens
    if not 1 <= most <= room:
        raise RequestError(f"max_tokens is {most}: {model.name} writes 1 to {room}")
    vocabulary = model.settings.vocab_size
    if not 1 <= beams <= vocabulary // 2:
        raise RequestError(f"beams is {beams}: allowed is 1 to {vocabulary // 2}, half of the vocabulary")
    decoding = Decoding(model, encoded)
    first = decoding.step(torch.tensor(prefixes, device=model.device))
    on_first()
    if beams == 1:
        return [[one] for one in _greedy(decoding, first, most)]
    return _beams(decoding, first, beams, most)


def _greedy(decoding: Decoding, scores: torch.Tensor, most: int) -> list[Hypothesis]:
    """The likeliest token each time, after a prefix that was read; ``scores`` (B, V) are of the first token."""
    eos = decoding.model.text.eos
    ids: list[list[int]] = [[] for _ in scores]
    totals = [0.0] * len(ids)
    rows = list(range(len(ids)))  # which item stands in each row of the batch
    for t in range(most):
        best = scores.max(dim=-1)
        for row, token, score in zip(rows, best.indices.tolist(), best.values.tolist(), strict=True):
            ids[row].append(token)
            totals[row] += score
        kept = [i for i, row in enumerate(rows) if ids[row][-1] != eos]
        if not kept or t + 1 == most:
            break
        if len(kept) < len(rows):
            rows = [rows[i] for i in kept]
            decoding.select(torch.tensor(kept, device=scores.device), same=False)
        scores = decoding.step(best.indices[torch.tensor(kept, device=scores.device)][:, None])
    return [_hypothesis(one, total / len(one), eos) for one, total in zip(ids, totals, strict=True)]


def _beams(decoding: Decoding, scores: torch.Tensor, n: int, most: int) -> list[list[Hypothesis]]:
    """The n likeliest sequences that n beginnings at a time come to, scored by their mean log-probability.

    An item is finished when its best beginning, scored as if it ended here, is no better than the worst of n finished.
    """
    eos, device, size = decoding.model.text.eos, scores.device, len(scores)
    decoding.repeat(n)
    scores = scores.repeat_interleave(n, dim=0)
    running = torch.zeros(size, n, most, dtype=torch.int64, device=device)
    totals = torch.full((size, n), NEVER, device=device)
    totals[:, 0] = 0.0  # the beginnings are all the same: one counts
    ended = running.clone()
    ended_scores = torch.full((size, n), NEVER, device=device)
    ended_lengths = torch.zeros(size, n, dtype=torch.int64, device=device)
    found: list[list[Hypothesis]] = [[] for _ in range(size)]
    rows = list(range(size))
    for t in range(most):
        sums = (scores.view(len(rows), n, -1) + totals[..., None]).flatten(1)  # (B, n * V)
        best = sums.topk(2 * n)  # so many that n go on even if all n end
        beam, token = best.indices // scores.shape[-1], best.indices % scores.shape[-1]
        candidates = _taken(running, beam)
        candidates[:, :, t] = token
        ends = (token == eos) | (t + 1 == most)
        going = (best.values + ends * NEVER).topk(n)
        running, totals, last = _taken(candidates, going.indices), going.values, beam.gather(1, going.indices)
        may_end = ends & (torch.arange(2 * n, device=device) < n)  # what is not among the n best is only held ready
        closing = best.values / (t + 1) + ~may_end * NEVER
        merged = torch.cat([ended_scores, closing], dim=1).topk(n)
        ended = _taken(torch.cat([ended, candidates], dim=1), merged.indices)
        lengths = torch.cat([ended_lengths, torch.full_like(token, t + 1)], dim=1)
        ended_lengths, ended_scores = lengths.gather(1, merged.indices), merged.values
        open_ = (totals[:, 0] / (t + 1) > ended_scores.min(dim=1).values) & (t + 1 < most)
        kept = [i for i, goes in enumerate(open_.tolist()) if goes]
        for i in set(range(len(rows))) - set(kept):
            parts = zip(ended[i].tolist(), ended_lengths[i].tolist(), ended_scores[i].tolist(), strict=True)
            found[rows[i]] = [_hypothesis(one[:length], score, eos) for one, length, score in parts if score > NEVER]
        if not kept:
            break
        index = torch.tensor(kept, device=device)
        beams = (index[:, None] * n + last[index]).flatten()
        decoding.select(beams, same=len(kept) == len(rows))
        rows = [rows[i] for i in kept]
        running, totals, ended = running[index], totals[index], ended[index]
        ended_scores, ended_lengths = ended_scores[index], ended_lengths[index]
        scores = decoding.step(running[:, :, t].reshape(-1, 1))
    return found


def _taken(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(B, N, M) and (B, K) indices into N: (B, K, M)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def _hypothesis(ids: list[int], score: float, eos: int) -> Hypothesis:
    whole = ids[-1] == eos
    return Hypothesis(ids[:-1] if whole else ids, score, whole)
