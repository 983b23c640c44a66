"""Messages to token ids: the LLM's own chat template, with places kept for the audio tokens.

Knows messages, templates and ids; does not know tensors or models. Voice chat is a user's turn of audio alone, audio
analysis is audio and text: the same message, only its content differs. What a person wrote never passes through the
template and is never read for special tokens, so that no text can close a turn, open another or claim to be audio.
Source: Chu et al. 2023 (Qwen-Audio) for the two modes; CVE-2026-44222 for what happens without the separation.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

from jinja2 import TemplateError
from pydantic import ConfigDict

from ossicle.audio.clip import Clip
from ossicle.errors import RequestError
from ossicle.prompt.tags import Tags
from ossicle.prompt.tags import pieces as pieces_of

ROLES = ("system", "user", "assistant")
AUDIO_BEGIN, AUDIO_END = "<|audio_bos|>", "<|audio_eos|>"
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The template for a tokenizer that brings none."""

_MARK = re.compile(r"ossiclepart(\d+)end")
_LOCK = Lock()  # a fast tokenizer keeps "split special tokens" as state, so two threads must not encode at once


class AddedToken(Protocol):
    """A token that was added to a vocabulary by name."""

    content: str


class Tokenizer(Protocol):
    """What is needed of a ``PreTrainedTokenizerFast``."""

    chat_template: Any
    eos_token_id: int | None
    unk_token_id: int | None

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...

    def __call__(self, text: str, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Message:
    """One turn.

    Args:
        role: "system", "user" or "assistant".
        content: parts in the order in which they are read; a `Clip` is audio, a string is text, `Tags` are a request
            in the special tokens of a model that was trained with them.

    Raises:
        RequestError: an unknown role, no content, a part of another kind, or audio in a system message.
    """

    role: str
    content: tuple[Clip | str | Tags, ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise RequestError(f"the role {self.role!r} is not known: choose one of {', '.join(ROLES)}")
        if not isinstance(self.content, tuple) or not all(isinstance(part, Clip | str | Tags) for part in self.content):
            raise RequestError(
                "the content of a message is a tuple of clips and strings, such as (clip, 'What is it?')"
            )
        if not self.content:
            raise RequestError(f"a {self.role} message needs at least one part", code="missing_parameter")
        if self.role == "system" and any(isinstance(part, Clip) for part in self.content):
            raise RequestError("a system message holds text only: put the clip into a user message")


@dataclass(frozen=True)
class Slot:
    """Where audio tokens go: positions ``start`` to ``start + length`` hold those of clip number ``clip``."""

    start: int
    length: int
    clip: int


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the slots among them that audio tokens replace."""

    ids: list[int]
    slots: list[Slot]


@dataclass(frozen=True)
class ClipText:
    """What a published layout writes around each clip, such as "Audio 1: " before it.

    Args:
        before: text before a clip; "{n}" is the clip's number in the whole conversation, from 1.
        after: text behind it.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    before: str = ""
    after: str = ""


def render(
    messages: Sequence[Message],
    tokens_per_clip: Sequence[int],
    tokenizer: Tokenizer,
    *,
    pad_id: int,
    add_generation_prompt: bool = True,
    clip_text: ClipText | None = None,
) -> Prompt:
    """Turn a conversation into ids and slots.

    Each piece of the template and each text part is tokenised by itself, so a prompt for training and one for
    generation agree id by id. A template that can think first is asked not to (``enable_thinking=False``).

    Args:
        messages: at least one turn.
        tokens_per_clip: audio tokens of every clip, in the order in which the clips stand in the messages.
        tokenizer: the LLM's; its chat template is used, or `CHATML` if it has none. Clips stand between
            ``<|audio_bos|>`` and ``<|audio_eos|>`` if it knows these tokens.
        pad_id: what is written into the slots.
        add_generation_prompt: end with the opening of the assistant's turn.
        clip_text: what stands around each clip; nothing by default.

    Raises:
        RequestError: no message, a wrong count of ``tokens_per_clip``, a clip of no tokens, messages that the
            template refuses, a tag that the tokenizer does not have, or a character that it keeps for itself.
    """
    if not messages:
        raise RequestError("a prompt needs at least one message", code="missing_parameter")
    parts = [part for message in messages for part in message.content]
    n_clips = sum(isinstance(part, Clip) for part in parts)
    if n_clips != len(tokens_per_clip):
        raise RequestError(f"the messages hold {n_clips} clips, but token counts were given for {len(tokens_per_clip)}")
    if min(tokens_per_clip, default=1) < 1:
        raise RequestError("a clip gives no audio tokens: it is too short to be heard")
    pieces = _template_pieces(messages, tokenizer, add_generation_prompt=add_generation_prompt)
    reserved = _reserved_ids(tokenizer)
    begin, end = ([key] if key is not None else [] for key in _audio_marks(tokenizer))
    around = clip_text or ClipText()
    ids: list[int] = []
    slots: list[Slot] = []
    waiting = pieces[0]  # of the template: read together with what the layout writes around a clip
    for part, piece in zip(parts, pieces[1:], strict=True):
        if isinstance(part, Clip):
            ids += _encode(tokenizer, waiting + around.before.replace("{n}", str(len(slots) + 1)))[0]
            slots.append(Slot(len(ids) + len(begin), tokens_per_clip[len(slots)], len(slots)))
            ids += begin + [pad_id] * slots[-1].length + end
            waiting = around.after + piece
        elif isinstance(part, Tags):
            ids += _encode(tokenizer, waiting)[0] + _tag_ids(tokenizer, part, reserved)
            waiting = piece
        else:
            ids += _encode(tokenizer, waiting)[0] + _plain_ids(tokenizer, part, reserved)
            waiting = piece
    return Prompt(ids + _encode(tokenizer, waiting)[0], slots)


def resized(prompt: Prompt, lengths: Sequence[int]) -> Prompt:
    """The same prompt with slots of other lengths, for audio tokens whose number was not known before.

    Args:
        prompt: as rendered, with any lengths.
        lengths: audio tokens of each slot, in their order.

    Raises:
        RequestError: another number of lengths than of slots, or one below 1.
    """
    if len(lengths) != len(prompt.slots) or min(lengths, default=1) < 1:
        told = ", ".join(map(str, lengths)) or "none"
        raise RequestError(f"the {len(prompt.slots)} slots of a prompt need a length of at least 1 each, got {told}")
    ids: list[int] = []
    slots: list[Slot] = []
    at = 0
    for slot, n in zip(prompt.slots, lengths, strict=True):
        ids += prompt.ids[at : slot.start]
        slots.append(Slot(len(ids), n, slot.clip))
        ids += [prompt.ids[slot.start]] * n
        at = slot.start + slot.length
    return Prompt(ids + prompt.ids[at:], slots)


def render_answer(tokenizer: Tokenizer, answer: str) -> list[int]:
    """The ids that generation should give for ``answer``: its text, then the end of the turn.

    Raises:
        RequestError: as `render`, or a tokenizer with neither an end of turn nor an end of sequence.
    """
    return [*_plain_ids(tokenizer, answer, _reserved_ids(tokenizer)), end_of_turn(tokenizer)]


def template_of(tokenizer: Tokenizer) -> str:
    """The chat template of a tokenizer: of several the one named "default", `CHATML` where it has none.

    Raises:
        RequestError: it has several, and none is the default.
    """
    named = tokenizer.chat_template
    if isinstance(named, Mapping):
        if "default" not in named:
            raise RequestError(
                f"the tokenizer has the chat templates {', '.join(sorted(named))} and none named default: set its "
                "chat_template to one of them"
            )
        named = named["default"]
    return str(named or CHATML)


def clip_marks(tokenizer: Tokenizer) -> tuple[str, str]:
    """The tokens that every prompt writes around a clip, where the tokenizer knows them, else nothing."""
    known = {token.content for token in tokenizer.added_tokens_decoder.values()}
    begin, end = (mark if mark in known else "" for mark in (AUDIO_BEGIN, AUDIO_END))
    return begin, end


def control_words(tokenizer: Tokenizer, text: str) -> list[str]:
    """Names of the tokenizer's special tokens that a text spells, such as ``<|im_end|>``.

    `render` reads them as plain text; in a manifest they are most often what is left of another system's template.
    """
    named = (str(token.content) for token in tokenizer.added_tokens_decoder.values() if token.special)
    return sorted(name for name in named if name.strip("\u2581 \t\r\n") and name in text)


def end_of_turn(tokenizer: Tokenizer) -> int:
    """The id that closes an assistant's turn: what the template writes there, else the end of the sequence.

    Raises:
        RequestError: the tokenizer has neither.
    """
    turns = (Message("user", ("",)), Message("assistant", ("",)))
    closing = _encode(tokenizer, _template_pieces(turns, tokenizer, add_generation_prompt=False)[-1])[0]
    if closing and closing[0] in _reserved_ids(tokenizer):
        return closing[0]
    if tokenizer.eos_token_id is None:
        raise RequestError("the tokenizer has no token that ends a turn: give it an eos_token")
    return tokenizer.eos_token_id


def _template_pieces(messages: Sequence[Message], tokenizer: Tokenizer, *, add_generation_prompt: bool) -> list[str]:
    """What the template writes before, between and after the parts; the parts themselves never enter it."""
    counts = iter(range(sum(len(message.content) for message in messages)))
    turns = [
        {"role": message.role, "content": "".join(f"ossiclepart{next(counts)}end" for _ in message.content)}
        for message in messages
    ]
    try:
        text = tokenizer.apply_chat_template(
            turns,
            chat_template=template_of(tokenizer),
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=False,
        )
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        why = f"the LLM's chat template refuses these messages: {error}"
        if any(message.role == "system" for message in messages):  # Gemma and the first Mistral have no such role
            why += " (many templates have no system turn: say it at the beginning of the first user turn instead)"
        raise RequestError(why) from error
    split = _MARK.split(text)  # piece, number, piece, number, ..., piece
    if [int(number) for number in split[1::2]] != list(range(sum(len(m.content) for m in messages))):
        raise RequestError(
            "the LLM's chat template loses, repeats or reorders these messages: use another order of roles"
        )
    return split[0::2]


def _audio_marks(tokenizer: Tokenizer) -> tuple[int | None, int | None]:
    """Ids of the tokens around a clip, where the tokenizer has them."""
    named = {token.content: key for key, token in tokenizer.added_tokens_decoder.items()}
    return named.get(AUDIO_BEGIN), named.get(AUDIO_END)


def _reserved_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids that text may never give: every added token with a name, but not runs of blanks and not "unknown"."""
    named = {key for key, token in tokenizer.added_tokens_decoder.items() if token.content.strip("\u2581 \t\r\n")}
    return frozenset(named - {tokenizer.unk_token_id})


def _tag_ids(tokenizer: Tokenizer, tags: Tags, reserved: frozenset[int]) -> list[int]:
    """Ids of tags; the text of a question stays text.

    Raises:
        RequestError: the tokenizer lacks a tag.
    """
    named = {token.content: key for key, token in tokenizer.added_tokens_decoder.items()}
    ids: list[int] = []
    for special, text in pieces_of(tags):
        if special and text not in named:
            raise RequestError(f"the tokenizer has no tag {text}: ask in words, or train a model with prompts: tags")
        ids += [named[text]] if special else _plain_ids(tokenizer, text, reserved)
    return ids


def _encode(tokenizer: Tokenizer, text: str, *, plain: bool = False) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a text with the characters that each comes from; ``plain`` reads special tokens as ordinary text.

    Raises:
        RequestError: a tokenizer that does not tell where its tokens come from.
    """
    if not text:
        return [], []
    with _LOCK:
        got = tokenizer(text, add_special_tokens=False, split_special_tokens=plain, return_offsets_mapping=True)
    if "offset_mapping" not in got:
        raise RequestError(
            f"a {type(tokenizer).__name__} does not tell which characters a token comes from: a fast one is needed, "
            "which `tokenizers` reads from tokenizer.json"
        )
    return list(got["input_ids"]), list(got["offset_mapping"])


def _plain_ids(tokenizer: Tokenizer, text: str, reserved: frozenset[int]) -> list[int]:
    """Ids of a text that a person wrote; none of them is reserved.

    Some tokenizers still give a reserved id (tokens that were added as "not special", vocabularies that hold the name
    as a word): there the text is cut inside each such name and the pieces are read by themselves.

    Raises:
        RequestError: a single character that the tokenizer keeps for itself, or half of a surrogate pair.
    """
    if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
        raise RequestError("a text holds bytes that are no Unicode: give it as UTF-8")
    ids, offsets = _encode(tokenizer, text, plain=True)
    spans = [span for key, span in zip(ids, offsets, strict=True) if key in reserved]
    if not spans:
        return ids
    if len(text) < 2:
        raise RequestError(f"the tokenizer keeps the character {text!r} for itself: leave it out of the text")
    cuts = sorted({0, len(text), *(min(max((first + last) // 2, 1), len(text) - 1) for first, last in spans)})
    pieces = [text[first:last] for first, last in pairwise(cuts)]
    return [key for piece in pieces for key in _plain_ids(tokenizer, piece, reserved)]
