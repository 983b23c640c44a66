"""Text to token ids and back, for a translator of several languages.

Knows a tokenizer of the package `tokenizers` and one special token a language; does not know models. Layout of
SeamlessM4T: a source reads ``[language, t1, .., tn, eos]``, a target is written behind ``[eos, language]``.
"""

from collections.abc import Iterable, Mapping, Sequence

from tokenizers import Tokenizer

from ossicle.errors import RequestError

BLANK = "\u2581"
"""Stands for the blank before a word, as SentencePiece writes it."""
PLAIN = {
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2212", "-"),
    **dict.fromkeys(";:", ","),
    **dict.fromkeys("\u2026!", "."),
}
"""What is read in place of a mark that has no token of its own."""


class TextTokens:
    """A tokenizer with its languages.

    Args:
        tokenizer: splits text to tokens without adding special ones.
        languages: code of each language to the id of its token.
        pad, unk, bos, eos: ids.
        names: what stands in a token, by its id; by default what the tokenizer calls it. Published folders keep a table
            of their own for the unit decoder.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        languages: Mapping[str, int],
        *,
        pad: int = 0,
        unk: int = 1,
        bos: int = 2,
        eos: int = 3,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.tokenizer, self.ids = tokenizer, dict(languages)
        self.tokenizer.encode_special_tokens = True  # a text that names one says its letters
        self.pad, self.unk, self.bos, self.eos = pad, unk, bos, eos
        self.names = None if names is None else dict(names)
        self._silent = {pad, bos, eos, *self.ids.values()}

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes that text may be written in."""
        return tuple(self.ids)

    def language_id(self, language: str) -> int:
        """The id of a language's token.

        Raises:
            RequestError: ``unsupported_language``.
        """
        if language not in self.ids:
            raise RequestError(
                f"the language {language!r} is not supported, allowed are {', '.join(self.ids)}",
                code="unsupported_language",
            )
        return self.ids[language]

    def tokens(self, text: str) -> list[int]:
        """The ids of a text alone.

        Raises:
            RequestError: a text with half a character, as bytes that are no UTF-8 become on a command line.
        """
        check_text(text)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def places(self, text: str) -> list[int]:
        """Where in the text the first letter of each token stands, blanks passed over."""
        spans = self.tokenizer.encode(text, add_special_tokens=False).offsets
        return [begin + (end > begin and text[begin].isspace()) for begin, end in spans]

    def legible(self, text: str) -> tuple[str, str]:
        """A text as it can be read, and what of it cannot.

        A character without a token is read as a plainer mark (`PLAIN`) or as the letter in its other case, where that
        one has a token; else it is left out.

        Returns:
            the text, and the characters that were left out, each once, in their order.

        Raises:
            RequestError: as `tokens`.
        """
        check_text(text)
        if self.unk not in (tokens := self.tokenizer.encode(text, add_special_tokens=False)).ids:
            return text, ""
        kept, left_out = list(text), []
        lost = [
            at for one, (a, b) in zip(tokens.ids, tokens.offsets, strict=True) if one == self.unk for at in range(a, b)
        ]
        for at in lost:
            char = text[at]
            kept[at] = next((one for one in (PLAIN.get(char, ""), char.swapcase()) if self._knows(one)), "")
            left_out += [] if kept[at] or char.isspace() else [char]
        return " ".join("".join(kept).split()), "".join(dict.fromkeys(left_out))

    def _knows(self, one: str) -> bool:
        return one != "" and self.unk not in self.tokens(one)

    def encode(self, text: str, language: str) -> list[int]:
        """A source: ``[language, t1, .., tn, eos]``.

        Raises:
            RequestError: ``unsupported_language``.
        """
        return [self.language_id(language), *self.tokens(text), self.eos]

    def prefix(self, language: str) -> list[int]:
        """What stands before a target: ``[eos, language]``.

        Raises:
            RequestError: ``unsupported_language``.
        """
        return [self.eos, self.language_id(language)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens say nothing."""
        return str(self.tokenizer.decode([one for one in ids if one not in self._silent], skip_special_tokens=True))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each id stands for, with `BLANK` for a blank; "None" for one that the table does not know, as
        `transformers` has it."""
        if self.names is not None:
            return [self.names.get(one, "None") for one in ids]
        return [str(self.tokenizer.id_to_token(one)) for one in ids]


def check_text(text: str) -> None:
    """Refuse what no tokenizer takes for a text.

    Raises:
        RequestError: a text with half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        wrong = ascii(text[error.start : error.start + 8])
        raise RequestError(
            f"a text is characters in UTF-8: what stands at place {error.start} is none ({wrong})"
        ) from error
