"""Text in as it is written, text out that stays, and speech: for policies that need no choices of the decoder.

A text encoder looks at a whole text, so with every word all of it is read again, and the decoder goes once more through
what is written already; nothing of that is changed. The end of the text is read only when there is one. Knows words,
tokens and policies; does not know where the words come from.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from ossicle.errors import RequestError
from ossicle.simul.decoder import Reading
from ossicle.simul.policies import Decision, Policy
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Said, whole_words
from ossicle.simul.writer import Sentence, Writer
from ossicle.translate.translator import Translator

OVER = re.compile(r"[.?!\u2026][\"'\u00bb\u201d)]*\s$")
"""A word with which a sentence is over."""


class Rewriter(Writer):
    """A writer whose source is given anew with every turn."""

    def read(self, values: torch.Tensor, *, finished: bool = False) -> list[Decision]:
        """All of the source until now, (1, n, D) of the encoder, and what is written after it.

        Raises:
            RequestError: the source had ended before.
        """
        self.reading, self.kept = Reading(self.model, None), values[:, :0]
        return self.hear(values, finished=finished)


class Following:
    """A translation of a text while it is written.

    Args:
        model: that reads text, in evaluation mode.
        policy: when to write; its steps are tokens of the source.
        source_language, language: of the text, and to write.
        voice: that says what is written.
        max_tokens: as `Writer`.

    Raises:
        RequestError: an unknown language, a model that reads no text, tokens out of range.
    """

    def __init__(
        self,
        model: Translator,
        policy: Policy,
        source_language: str,
        language: str,
        *,
        voice: Uttering | None = None,
        max_tokens: int | None = None,
    ) -> None:
        if model.text_encoder is None:
            raise RequestError(f"{model.name} reads no text: it was made without a text encoder")
        self.model, self.source_language, self.voice = model, source_language, voice
        model.text.language_id(source_language)
        self.writer = Rewriter(model, policy, language, max_tokens=max_tokens, several=False)
        self.source: list[str] = []
        """Words that have come."""
        self.text = ""
        """All that was handed out."""
        self.closed = 0
        self.over: Sentence | None = None
        """All of it, when nothing more is written."""

    @torch.no_grad()
    def read(self, word: str) -> list[Said | Uttered]:
        """One more word, and what is written after it: nothing, or a piece, and speech behind it. Times are words.

        Raises:
            RequestError: the text had ended; it is longer than the model reads.
        """
        self.source += word.split()
        return self._written(last=False)

    @torch.no_grad()
    def finish(self) -> list[Said | Uttered]:
        """The text has ended: the rest, one piece that may be empty, and its speech.

        Raises:
            RequestError: it had ended before.
        """
        return self._written(last=True)

    def _written(self, *, last: bool) -> list[Said | Uttered]:
        text = self.model.text.legible(" ".join(self.source))[0]
        ids = self.model.text.encode(text, self.source_language)
        legible, width = any(char.isalnum() for char in text), self.model.width
        values = self.model.read([ids if last else ids[:-1]]).values if legible else torch.zeros(1, 0, width)
        if self.over is None:
            self.writer.read(values, finished=last)
            self.over = self.writer.sentences[0] if self.writer.sentences else None
        over = self.over
        done = list(self.writer.ids) if over is None else list(over.ids)
        n = len(done) if last else whole_words(self.model.text, done)
        whole = self.model.text.decode(done[:n])
        new = whole[len(self.text) :]
        if not new and not last:
            return []
        read = len(self.source)
        events: list[Said | Uttered] = [Said(new, read, (self.closed, read), last)]
        self.text, self.closed = whole, read
        if self.voice is not None and n:
            states = self.writer.states(n) if over is None else over.states
            said = self.voice.say(states, done[:n], last=last)
            events += [] if said is None else [Uttered(*said, read)]
        return events


class Lines:
    """Texts one after another, as they are typed: each sentence and each line is translated by itself.

    A sentence ends with a mark that ends one, or where the model reads no more. Characters without a token are left out
    and kept in ``unread``.

    Args:
        model: as `Following`.
        policy, voice: make one for each line.
        source_language, language, max_tokens: as `Following`.
        clock: seconds; times are those since the begin.

    Raises:
        RequestError: as `Following`.
    """

    def __init__(
        self,
        model: Translator,
        policy: Callable[[], Policy],
        source_language: str,
        language: str,
        *,
        voice: Callable[[], Uttering] | None = None,
        max_tokens: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.policy, self.voice, self.max_tokens = model, policy, voice, max_tokens
        self.source_language, self.language, self.clock = source_language, language, clock
        self.begun, self.waiting = clock(), ""
        self.closed_s = 0.0
        self.n_utterances = self.n_full = 0
        self.unread = ""
        self.line = self._begin()

    @property
    def heard_s(self) -> float:
        """Seconds since the begin."""
        return self.clock() - self.begun

    def hear(self, text: str) -> list[Said | Uttered]:
        """More of the text, cut anywhere, and what comes of the words that are whole."""
        found: list[Said | Uttered] = []
        *whole, self.waiting = re.split(r"(?<=\s)", self.waiting + text)
        for word in whole:
            if word.strip():
                found += [] if self._has_room(word) else self._ended()
                found += self._placed(self.line.read(word))
            found += self._ended() if word.endswith("\n") or OVER.search(word) else []
        return found

    def finish(self) -> list[Said | Uttered]:
        """The text has ended: the rest."""
        return self.hear("\n")

    def _begin(self) -> Following:
        voice = None if self.voice is None else self.voice()
        return Following(
            self.model, self.policy(), self.source_language, self.language, voice=voice, max_tokens=self.max_tokens
        )

    def _has_room(self, word: str) -> bool:
        """Whether the model reads one more word of the sentence; a first one it has to."""
        text = " ".join([*self.line.source, *word.split()])
        n_tokens = len(self.model.text.encode(self.model.text.legible(text)[0], self.source_language))
        return not self.line.source or n_tokens <= self.model.settings.max_position_embeddings

    def _ended(self) -> list[Said | Uttered]:
        if not self.line.source:
            return []
        unread = self.model.text.legible(" ".join(self.line.source))[1]
        self.unread = "".join(dict.fromkeys(self.unread + unread))
        found = self._placed(self.line.finish())
        self.n_utterances += 1
        self.n_full += self.line.over is not None and self.line.over.full
        self.line = self._begin()
        return found

    def _placed(self, events: list[Said | Uttered]) -> list[Said | Uttered]:
        at_s = self.heard_s
        found: list[Said | Uttered] = []
        for one in events:
            if isinstance(one, Said):
                found.append(replace(one, at_s=at_s, span_s=(self.closed_s, at_s)))
                self.closed_s = at_s
            else:
                found.append(replace(one, at_s=at_s))
        return found
