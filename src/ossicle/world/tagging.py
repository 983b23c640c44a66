"""The tasks of the world asked by hierarchical tags instead of phrasings (Qwen-Audio, `prompt.tags`).

A task has a sequence of the released vocabulary where that has one; where a task asks several things, its question
stays text between the released tags for questions; what has no name there is an instruction of our own, ``own_...``.
Knows tasks and tags; does not know tokenizers. Source: Chu et al. 2023, section 3.2; the released evaluation prompts.
"""

from dataclasses import replace

from ossicle.prompt.tags import OWN_INSTRUCTIONS, Tags, pieces, vocabulary, written
from ossicle.world.tasks import Example


def _keyword(language: str, instruction: str) -> Tags:
    return Tags("startofanalysis", language, "keyword", "en", "notimestamps", instruction)


_ASKED = Tags("startofanalysis", "en", question="")
TABLE: dict[str, Tags] = {
    "transcribe": Tags("startoftranscript", "en", "transcribe", "en", "notimestamps", "wo_itn"),
    "said": _ASKED,
    "intent": _keyword("en", "speech_understanding"),
    "slot": _ASKED,
    "arithmetic": _keyword("en", "own_spoken_question"),
    "speaker_pitch": _keyword("en", "own_speaker_pitch"),
    "speaker_pace": _keyword("en", "own_speaker_pace"),
    "sound": _keyword("unknown", "event"),
    "count": _keyword("unknown", "own_count"),
    "order": replace(_ASKED, audio_language="unknown"),
    "when": _keyword("unknown", "own_when"),
    "instrument": _keyword("unknown", "instrument"),
    "tempo": _keyword("unknown", "own_tempo"),
    "melody": _keyword("unknown", "own_melody"),
    "speech_or_not": _keyword("unknown", "own_audio_kind"),
    "caption": Tags("startofanalysis", "unknown", "caption", "en", "notimestamps", "caption_plain"),
}
"""Each task's tags; an empty question is filled with the example's own."""


def tagged(example: Example) -> Tags:
    """How an example is asked by tags."""
    tags = TABLE[example.task]
    return tags if tags.question is None else replace(tags, question=example.question)


def tokens_of(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The special tokens that tasks are asked with, in the order of the released vocabulary, ours behind."""
    wanted = {text for task in tasks for special, text in pieces(TABLE[task]) if special}
    return tuple(one for one in (*vocabulary(), *map(written, OWN_INSTRUCTIONS)) if one in wanted)
