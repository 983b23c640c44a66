"""Every exception that ossicle raises on purpose; nothing else in the package defines one.

Each carries a machine-readable ``code`` and the exit status of the command line. The message says what was wrong,
what was got, what is allowed and what to do; it never quotes a decoder, an address or a path inside the package.

    OssicleError                     exit  code (default first)
    |-- AudioInputError                3   audio_undecodable, audio_empty, audio_too_short, audio_truncated,
    |                                      format_mismatch, bad_sample_rate, too_many_channels, bad_pcm_length,
    |                                      audio_not_finite, audio_out_of_range, invalid_base64, unsupported_media_type
    |-- FetchError                     3   file_not_found, local_media_disabled, path_not_allowed
    |-- LimitError                     4   audio_too_long, audio_too_large, too_many_audios
    |   `-- ContextError               4   context_length_exceeded
    |-- RequestError                   2   invalid_value, missing_parameter, unknown_parameter,
    |                                      unsupported_language
    |-- ConfigError                    2   unknown_key, bad_value
    |   |-- EncoderError               2   bad_encoder
    |   `-- BridgeError                2   bad_bridge
    |-- NotFoundError                  6   model_not_found
    |-- CheckpointError                6   incomplete, hash_mismatch, key_mismatch, bad_format
    |-- StorageError                   5   not_writable, no_space
    |-- DependencyError                5   missing_dependency
    |-- DataError                      7   bad_item, too_many_bad_items
    `-- TrainingError                  1   diverged, out_of_memory, worker_lost
"""

from typing import ClassVar


class OssicleError(Exception):
    """Base of every error that ossicle raises on purpose.

    Args:
        message: one line for a person.
        code: one of the class's ``codes``; the first one by default.
    """

    exit_code: ClassVar[int] = 1
    codes: ClassVar[tuple[str, ...]] = ("internal_error",)

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = self.codes[0] if code is None else code
        assert self.code in self.codes, f"{type(self).__name__} has no code {self.code!r}"


class AudioInputError(OssicleError):
    """The bytes, samples or numbers that were given are not audio that can be read."""

    exit_code = 3
    codes = (
        "audio_undecodable",
        "audio_empty",
        "audio_too_short",
        "audio_truncated",
        "format_mismatch",
        "bad_sample_rate",
        "too_many_channels",
        "bad_pcm_length",
        "audio_not_finite",
        "audio_out_of_range",
        "invalid_base64",
        "unsupported_media_type",
    )


class FetchError(OssicleError):
    """A source that was named cannot be fetched."""

    exit_code = 3
    codes = ("file_not_found", "local_media_disabled", "path_not_allowed")


class LimitError(OssicleError):
    """What was given is readable, but larger than what can be served."""

    exit_code = 4
    codes: ClassVar[tuple[str, ...]] = ("audio_too_long", "audio_too_large", "too_many_audios")


class ContextError(LimitError):
    """Audio and text together need more tokens than the model reads."""

    codes = ("context_length_exceeded",)


class RequestError(OssicleError):
    """An argument of a call is missing, unknown or out of range."""

    exit_code = 2
    codes = ("invalid_value", "missing_parameter", "unknown_parameter", "unsupported_language")


class ConfigError(OssicleError):
    """A recipe, a configuration or a setting says something that is not allowed."""

    exit_code = 2
    codes: ClassVar[tuple[str, ...]] = ("bad_value", "unknown_key")


class EncoderError(ConfigError):
    """An encoder was built or called against its promise."""

    codes = ("bad_encoder",)


class BridgeError(ConfigError):
    """A bridge was built or called against its promise."""

    codes = ("bad_bridge",)


class NotFoundError(OssicleError):
    """No model of that name."""

    exit_code = 6
    codes = ("model_not_found",)


class CheckpointError(OssicleError):
    """A model folder or a checkpoint is incomplete, damaged, or does not match its description."""

    exit_code = 6
    codes = ("incomplete", "hash_mismatch", "key_mismatch", "bad_format")


class StorageError(OssicleError):
    """A file or a folder cannot be written."""

    exit_code = 5
    codes = ("not_writable", "no_space")


class DependencyError(OssicleError):
    """An optional package that this call needs is not installed."""

    exit_code = 5
    codes = ("missing_dependency",)


class DataError(OssicleError):
    """A manifest or an item of it cannot be used."""

    exit_code = 7
    codes = ("bad_item", "too_many_bad_items")


class TrainingError(OssicleError):
    """Training cannot go on; what was saved before stays."""

    exit_code = 1
    codes = ("diverged", "out_of_memory", "worker_lost")
