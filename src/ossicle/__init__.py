"""ossicle carries sound to a language model: waveform, encoder, bridge, LLM.

The public face. Nothing heavy is imported until a name is first used, so that `import ossicle` and `ossicle --help`
answer at once; what a name means stands in the room that `_HOMES` names.
"""

from importlib import import_module
from typing import Any

from ossicle.errors import (
    AudioInputError,
    BridgeError,
    CheckpointError,
    ConfigError,
    ContextError,
    DataError,
    DependencyError,
    EncoderError,
    FetchError,
    LimitError,
    NotFoundError,
    OssicleError,
    RequestError,
    StorageError,
    TrainingError,
)

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AudioInputError",
    "AudioLM",
    "BridgeError",
    "Budget",
    "CheckpointError",
    "Clip",
    "ConfigError",
    "ContextError",
    "DataError",
    "Delta",
    "DependencyError",
    "EncoderError",
    "FetchError",
    "Ledger",
    "LimitError",
    "Memory",
    "Message",
    "NotFoundError",
    "OssicleError",
    "Recording",
    "RequestError",
    "StorageError",
    "Tags",
    "TrainingError",
    "Transcript",
    "Translation",
    "Translator",
    "ask",
    "check_bridge",
    "check_encoder",
    "listen",
    "load",
    "load_translator",
    "make_plan",
    "make_translation",
    "probe",
    "read_clip",
    "save",
    "say",
    "stream",
    "transcribe",
    "write_clip",
]

_HOMES = {
    "Answer": "ossicle.infer.requests",
    "AudioLM": "ossicle.models.audio_lm",
    "Budget": "ossicle.plan.planner",
    "Clip": "ossicle.audio.clip",
    "Delta": "ossicle.infer.requests",
    "Ledger": "ossicle.infer.ledger",
    "Memory": "ossicle.infer.memory",
    "Message": "ossicle.prompt.chat",
    "Recording": "ossicle.infer.recording",
    "Tags": "ossicle.prompt.tags",
    "Transcript": "ossicle.infer.transcribe",
    "Translation": "ossicle.infer.translate",
    "Translator": "ossicle.translate.translator",
    "ask": "ossicle.infer.ask",
    "check_bridge": "ossicle.evaluate.contracts",
    "check_encoder": "ossicle.evaluate.contracts",
    "listen": "ossicle.infer.recording",
    "load": "ossicle.hub.folder",
    "load_translator": "ossicle.hub.translator",
    "make_plan": "ossicle.plan.planner",
    "make_translation": "ossicle.infer.translate",
    "probe": "ossicle.audio.io",
    "read_clip": "ossicle.audio.io",
    "save": "ossicle.hub.folder",
    "say": "ossicle.infer.translate",
    "stream": "ossicle.infer.ask",
    "transcribe": "ossicle.infer.transcribe",
    "write_clip": "ossicle.audio.io",
}

_IN_THEIR_ROOMS = {"make_translation": "translate"}
"""What is called otherwise where it stands: `ossicle.translate` is a room, which a function of that name would hide."""


def __getattr__(name: str) -> Any:
    """Import the room of a public name the first time that it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ossicle' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), _IN_THEIR_ROOMS.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
