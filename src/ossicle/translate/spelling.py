"""Characters of translated text as the unit decoder reads them: how many belong to each token, and their ids.

Knows the written form of each token; does not know models, nor what is decoded from the characters. The mark of a
space belongs to the token that it begins, but after a token that is one punctuation mark it moves to that mark.
Source: Barrault et al. 2023 (Seamless), section 3.3.3; the rules as in `transformers`' SeamlessM4Tv2.
"""

from collections.abc import Mapping, Sequence

import torch

from ossicle.translate.text import BLANK, TextTokens
from ossicle.translate.unit_decoder import Characters

UNKNOWN = 1
"""The id of a character that the table lacks, and the one character of an unknown token."""


def counts_of(pieces: Sequence[str | None]) -> list[int]:
    """Characters of each token of a text.

    Args:
        pieces: written form of each token, with `BLANK` for a space; None for the unknown token, which counts one; what
            is not spoken (a mark of language or end) is the empty string.
    """
    spaced = [piece is not None and len(piece) > 1 and piece[0] == BLANK for piece in pieces]
    counts = [1 if piece is None else len(piece) for piece in pieces]
    for i in range(1, len(pieces)):
        if spaced[i] and _is_mark(pieces[i - 1]):
            counts[i - 1] += 1
            counts[i] -= 1
    return counts


def _is_mark(piece: str | None) -> bool:
    """Is this token one punctuation mark?"""
    return piece is not None and len(piece) == 1 and not piece.isalpha() and not piece.isnumeric() and piece != BLANK


def spelled(text: TextTokens, rows: Sequence[Sequence[int]], letters: Mapping[str, int]) -> Characters:
    """The characters of a batch of token ids.

    Args:
        text: says what stands in each token; those of languages, end and padding are silent.
        rows: ids t1..tn of each text, without language and end.
        letters: as `spell` takes them.
    """
    silent = {text.pad, text.bos, text.eos, *text.ids.values()}
    told = [
        [None if one == text.unk else "" if one in silent else piece for one, piece in zip(ids, pieces, strict=True)]
        for ids, pieces in ((ids, text.pieces(ids)) for ids in rows)
    ]
    return spell(told, letters)


def spell(rows: Sequence[Sequence[str | None]], letters: Mapping[str, int]) -> Characters:
    """The characters of a batch of texts.

    Args:
        rows: the tokens t1..tn of each text as `counts_of` reads them, without language and end.
        letters: ids of the characters; what is not in it is unknown.

    Returns:
        counts (B, L) over the decoder's positions [end, language, t1..tn], L = n + 2 for the longest text: the position
        that predicts a token carries its characters, so they stand one to the left of it.
    """
    counts = [[0, *counts_of(row), 0] for row in rows]
    ids = [[char for piece in row for char in _ids_of(piece, letters)] for row in rows]
    lengths = torch.tensor([len(row) for row in ids], dtype=torch.int64)
    return Characters(_padded(ids), _padded(counts), lengths)


def _ids_of(piece: str | None, letters: Mapping[str, int]) -> list[int]:
    return [UNKNOWN] if piece is None else [letters.get(char, UNKNOWN) for char in piece]


def _padded(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Rows of any length as one (B, N) int64, zero beyond each."""
    n = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (n - len(row))] for row in rows], dtype=torch.int64).reshape(len(rows), n)
