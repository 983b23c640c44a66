"""One prompt as it is learned: which text is only read, which is learned, and where audio stands.

Knows prompts and spans of answers; does not know models. In colour on a terminal, with marks elsewhere.
"""

from dataclasses import dataclass
from typing import Any, Literal

from rich.text import Text

from ossicle.prompt.chat import Prompt
from ossicle.train.objectives import Spans

Kind = Literal["read", "learned", "audio"]
STYLES: dict[Kind, str] = {"read": "dim", "learned": "bold green", "audio": "cyan"}


@dataclass(frozen=True)
class Example:
    """A prompt in pieces.

    Args:
        where: file and line, or a task of the world.
        pieces: what becomes of it, and the text; of audio, in place of text, how many tokens stand there.
        seconds: of audio.
        n_audio, n_text, n_learned: audio tokens, tokens of text, and how many of these are learned.
    """

    where: str
    pieces: tuple[tuple[Kind, str], ...]
    seconds: float
    n_audio: int
    n_text: int
    n_learned: int

    def painted(self, *, colour: bool) -> Text:
        """The whole prompt: colours, or ``{+`` and ``+}`` around what is learned."""
        marks = {"read": "{}", "learned": "{}" if colour else "{{+{}+}}", "audio": "{}"}
        text = Text()
        for kind, piece in self.pieces:
            text.append(marks[kind].format(piece), STYLES[kind] if colour else None)
        return text


def example_of(tokenizer: Any, prompt: Prompt, answers: Spans, seconds: float, where: str) -> Example:
    """A prompt with its answers, cut where what becomes of it changes.

    Args:
        tokenizer: that made the ids.
        prompt: ids and slots.
        answers: start and length of each answer among the ids.
        seconds: of its audio.
        where: what it is called.
    """
    kinds: list[Kind] = ["read"] * len(prompt.ids)
    for start, n in answers:
        kinds[start : start + n] = ["learned"] * n
    for slot in prompt.slots:
        kinds[slot.start : slot.start + slot.length] = ["audio"] * slot.length
    pieces: list[tuple[Kind, str]] = []
    first = 0
    for at in range(1, len(kinds) + 1):
        if at == len(kinds) or kinds[at] != kinds[first]:
            audio = kinds[first] == "audio"
            text = f"[audio x {at - first}]" if audio else tokenizer.decode(prompt.ids[first:at])
            pieces.append((kinds[first], text))
            first = at
    n_audio = kinds.count("audio")
    return Example(where, tuple(pieces), seconds, n_audio, len(kinds) - n_audio, kinds.count("learned"))
