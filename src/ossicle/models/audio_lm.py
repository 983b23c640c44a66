"""AudioLM: an encoder, a bridge and a language model that reads audio tokens beside text (patterns 1 and 2).

The only file that knows all three parts. Knows clips, prompts and tensors; does not know files, sampling or training.
Any decoder-only LLM of `transformers` will do whose forward takes ``inputs_embeds``, positions and a cache of keys
and values.
Source: Chu et al. 2023 (Qwen-Audio); Tsimpoukelli et al. 2021 for a frozen LLM that reads foreign vectors.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache

from ossicle.audio.clip import Clip
from ossicle.audio.guards import check_finite, check_peak
from ossicle.audio.windows import split
from ossicle.errors import AudioInputError, ConfigError, RequestError
from ossicle.models.batches import MOST_FRAMES, MOST_TOKENS, together
from ossicle.models.decoder import ROOM, Buffers, Decoder
from ossicle.prompt.chat import ClipText, Prompt, end_of_turn
from ossicle.tensors import AudioTokens, Features, Frames, sample_of, side_by_side

PATTERNS = ("frozen", "lora", "full")
NEEDED = ("inputs_embeds", "past_key_values", "position_ids", "logits_to_keep")
"""What an LLM's forward must take by name: one that swallows a cache unread forgets the prompt at its first step."""
Window = tuple[Clip, Features | None]
"""A piece of a clip that the encoder can read at once, with its features where the encoder cut it itself."""


class Encoder(Protocol):
    """What AudioLM asks of an encoder."""

    width: int
    rate_hz: float
    sample_rate: int
    max_samples: int

    def features(self, clips: Sequence[Clip]) -> Features: ...

    def n_frames(self, n_samples: int) -> int: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def __call__(self, features: Features) -> Frames: ...


@runtime_checkable
class OwnWindows(Protocol):
    """An encoder that may cut long clips itself, because their windows share something; it does where ``chunks``."""

    chunks: bool

    def windows(self, clip: Clip) -> list[tuple[Clip, Features]]: ...


class Bridge(Protocol):
    """What AudioLM asks of a bridge."""

    width_in: int
    width_out: int

    @property
    def fixed_rate(self) -> bool: ...

    def expected_hz(self, rate_hz: float) -> float: ...

    def max_tokens(self, n_frames: int) -> int: ...

    def __call__(self, frames: Frames) -> AudioTokens: ...


@runtime_checkable
class Counts(Protocol):
    """A bridge that can tell its tokens beforehand; it does where ``fixed_rate``."""

    @property
    def fixed_rate(self) -> bool: ...

    def n_tokens(self, n_frames: int) -> int: ...


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip as the LLM will read it.

    Args:
        values: (N, E) float, its audio tokens.
        spans_s: (N, 2) float64 on the CPU, start and end of each token in seconds from the clip's first sample.
        n_frames: encoder frames that were computed.
        seconds_given: seconds of the clip.
        seconds_heard: seconds that the spans cover.
        tail_s: seconds at the end that encoder and bridge dropped.
    """

    values: torch.Tensor
    spans_s: torch.Tensor
    n_frames: int
    seconds_given: float
    seconds_heard: float
    tail_s: float


@dataclass(eq=False)
class State:
    """Where a batch stands: what was read so far, and what it takes to read on.

    Args:
        cache: keys and values of every layer.
        decoder: the lean way through the LLM's blocks; None where the LLM's own forward is used.
        mask: (B, L) int64, zero at the padding on the left; None if no sequence has any.
        positions: (B,) int64, position of the next token of each sequence.
        n_steps: tokens of each sequence since the prompt.
    """

    cache: DynamicCache | Buffers
    mask: torch.Tensor | None
    positions: torch.Tensor
    n_steps: int = 0
    decoder: Decoder | None = None

    def crop(self, n: int) -> None:
        """Forget the newest ``n`` tokens of every sequence.

        Raises:
            RequestError: fewer than ``n`` were taken since the prompt.
        """
        if not 0 <= n <= self.n_steps:
            raise RequestError(f"cannot forget {n} steps: {self.n_steps} were taken since the prompt")
        if n == 0:
            return
        self.cache.crop(-n)
        self.mask = None if self.mask is None else self.mask[:, :-n]
        self.positions = self.positions - n
        self.n_steps -= n


class AudioLM(nn.Module):
    """A language model with ears.

    Args:
        encoder: frames from clips.
        bridge: audio tokens from frames.
        llm: a decoder-only LLM of `transformers`, or one that PEFT has wrapped.
        tokenizer: the LLM's, a ``PreTrainedTokenizerFast``.
        context: most tokens that prompt and answer may have together; what the model was trained for.
        pattern: "frozen" (the LLM takes no gradient and stays in evaluation mode), "lora" or "full".
        name: what messages call the model.
        clip_text: what its prompts write around each clip.

    Raises:
        ConfigError: an unknown pattern, an LLM whose forward lacks one of `NEEDED`, parts whose widths do not meet, a
            context that the LLM has no positions for, a tokenizer with more tokens than the LLM has embeddings, the
            pattern "full" for an LLM in 4 bits.
    """

    def __init__(
        self,
        encoder: Encoder,
        bridge: Bridge,
        llm: Any,
        tokenizer: Any,
        *,
        context: int,
        pattern: str = "frozen",
        name: str = "audio-lm",
        clip_text: ClipText | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.bridge, self.llm, self.tokenizer = encoder, bridge, llm, tokenizer
        self.context, self.pattern, self.name = context, pattern, name
        self.clip_text = clip_text or ClipText()
        self._check()
        if pattern == "frozen":
            llm.requires_grad_(False)
            llm.eval()

    def _check(self) -> None:
        table, limit = self.table.weight, getattr(self.llm.config, "max_position_embeddings", self.context)
        if self.pattern not in PATTERNS:
            raise ConfigError(f"the pattern {self.pattern!r} is not known: choose one of {', '.join(PATTERNS)}")
        _check_forward(self.llm)
        if self.bridge.width_in != self.encoder.width:
            raise ConfigError(
                f"the bridge reads frames of width {self.bridge.width_in}, the encoder gives {self.encoder.width}"
            )
        if self.bridge.width_out != table.shape[1]:
            raise ConfigError(
                f"the bridge gives tokens of width {self.bridge.width_out}, the LLM reads {table.shape[1]}"
            )
        if not 1 <= self.context <= limit:
            raise ConfigError(f"a context of {self.context} tokens is not possible: the LLM has {limit} positions")
        if len(self.tokenizer) > table.shape[0]:
            raise ConfigError(
                f"the tokenizer has {len(self.tokenizer)} tokens, the LLM only {table.shape[0]} embeddings"
            )
        if self.quantized and self.pattern == "full":
            raise ConfigError("an LLM in 4 bits cannot be trained in full: choose the pattern frozen or lora")

    @property
    def quantized(self) -> bool:
        """Whether the LLM's weights are held in few bits, so that they can be neither trained nor written."""
        return getattr(self.llm, "hf_quantizer", None) is not None

    @property
    def table(self) -> Any:
        """The LLM's embedding module."""
        return self.llm.get_input_embeddings()

    @torch.no_grad()
    def embedding_rows(self) -> torch.Tensor:
        """The embeddings (V, E) as the LLM reads them; Gemma's are sqrt(E) times as large as their weights."""
        rows: torch.Tensor = self.table(torch.arange(self.table.weight.shape[0], device=self.device))
        return rows

    @property
    def device(self) -> torch.device:
        """Where the LLM's embeddings lie; inputs are brought there."""
        device: torch.device = self.table.weight.device
        return device

    @property
    def pad_id(self) -> int:
        """An id for places that nothing reads."""
        key = self.tokenizer.pad_token_id
        return int(key) if key is not None else 0

    @property
    def end_ids(self) -> frozenset[int]:
        """Ids that end an answer: the template's end of turn, and the ends that tokenizer and LLM name."""
        settings = getattr(self.llm, "generation_config", None)
        named = getattr(settings, "eos_token_id", None)
        several = named if isinstance(named, list) else [named]
        ends = {end_of_turn(self.tokenizer), self.tokenizer.eos_token_id, *several}
        return frozenset(int(key) for key in ends if key is not None)

    def train(self, mode: bool = True) -> "AudioLM":
        """As every module's, but a frozen LLM stays in evaluation mode."""
        super().train(mode)
        if self.pattern == "frozen":
            self.llm.eval()
        return self

    @torch.no_grad()
    def hear(self, clips: Sequence[Clip]) -> list[Heard]:
        """Audio tokens of clips of any length and rate.

        A clip that is longer than what the encoder reads at once is cut into windows; windows of like length go through
        the encoder together, where that is faster.

        Raises:
            AudioInputError: ``audio_empty``, ``audio_too_short`` for a clip that gives no token, ``audio_not_finite``,
                ``audio_out_of_range``.
        """
        windows = [self._windows(clip) for clip in clips]
        flat = [window for several in windows for window in several]
        order = sorted(range(len(flat)), key=lambda i: flat[i][0].duration_s)
        parts: dict[int, Heard] = {}
        n_frames = [round(flat[i][0].duration_s * self.encoder.rate_hz) for i in order]
        for rows in together(n_frames, MOST_FRAMES, sample_of(self.encoder, self.table.weight).device):
            group = [order[row] for row in rows]
            parts.update(zip(group, self._hear_batch([flat[i] for i in group]), strict=True))
        ordered = iter(parts[i] for i in range(len(flat)))
        return [
            joined(
                clip.duration_s,
                [piece.start_s - clip.start_s for piece, _ in several],
                [next(ordered) for _ in several],
            )
            for clip, several in zip(clips, windows, strict=True)
        ]

    def _windows(self, clip: Clip) -> list[Window]:
        if clip.n_samples == 0:
            raise AudioInputError("the clip holds no samples", code="audio_empty")
        check_finite(clip.samples)
        check_peak(float(np.abs(clip.samples).max()))
        if isinstance(self.encoder, OwnWindows) and self.encoder.chunks:
            return list(self.encoder.windows(clip))
        limit, rate = self.encoder.max_samples, self.encoder.sample_rate
        fits = clip.n_samples * rate <= limit * clip.rate
        return [(piece, None) for piece in ([clip] if fits else split(clip, limit / rate))]

    def _hear_batch(self, windows: Sequence[Window]) -> list[Heard]:
        """Windows that fit the encoder, in one batch."""
        weight = sample_of(self.encoder, self.table.weight)
        clips = [piece for piece, _ in windows]
        ready = [features for _, features in windows if features is not None]
        features = side_by_side(ready) if ready else self.encoder.features(clips)
        frames = self.encoder(features.to(weight.device, weight.dtype))
        tokens = self.bridge(frames)
        heard = []
        for row, clip in enumerate(clips):
            n = int(tokens.lengths[row])
            unframed_s = max(0.0, float(features.durations_s[row]) - float(frames.durations_s[row]))
            spans, tail_s = tokens.spans_s[row, :n], float(tokens.tail_s[row]) + unframed_s
            seconds = float((spans[:, 1] - spans[:, 0]).sum())
            heard.append(
                Heard(tokens.values[row, :n], spans, int(frames.lengths[row]), clip.duration_s, seconds, tail_s)
            )
        return heard

    def embed(self, prompts: Sequence[Prompt], heard: Sequence[Sequence[Heard]]) -> list[torch.Tensor]:
        """Each prompt as vectors (L, E): embeddings of its ids, audio tokens in its slots.

        Args:
            prompts: B prompts.
            heard: for each prompt its clips, in the order of its slots.

        Raises:
            RequestError: a slot whose clip is missing or has another number of tokens.
        """
        return [self._embed_one(prompt, clips) for prompt, clips in zip(prompts, heard, strict=True)]

    def _embed_one(self, prompt: Prompt, heard: Sequence[Heard]) -> torch.Tensor:
        values: torch.Tensor = self.table(torch.tensor(prompt.ids, device=self.device)).clone()  # (L, E)
        for slot in prompt.slots:
            n = len(heard[slot.clip].values) if slot.clip < len(heard) else 0
            if n != slot.length:
                raise RequestError(f"the prompt keeps {slot.length} places for clip {slot.clip}, which has {n} tokens")
            values[slot.start : slot.start + slot.length] = heard[slot.clip].values.to(values)
        return values

    @torch.no_grad()
    def prefill(
        self,
        prompts: Sequence[Prompt],
        heard: Sequence[Sequence[Heard]],
        *,
        room: int = ROOM,
        begun: Buffers | None = None,
    ) -> tuple[State, torch.Tensor]:
        """Read prompts, padded on the left; the head runs on the last position only.

        Args:
            prompts: B prompts.
            heard: for each prompt its clips.
            room: steps that will follow, as far as one knows: buffers are made once.
            begun: keys and values of the first positions of a single prompt, which then are not read again.

        Returns:
            The state, and logits (B, V) of what follows each prompt.

        Raises:
            RequestError: no prompt, or as `embed`.
        """
        if not prompts:
            raise RequestError("there is no prompt to read", code="missing_parameter")
        rows = self.embed(prompts, heard)
        if begun is not None:
            (row,), n = rows, begun.length
            positions = torch.tensor([len(row)], device=row.device)
            state = State(begun, None, positions, decoder=Decoder.of(self.llm))
            places = torch.arange(n, len(row), device=row.device)[None]
            return state, self._forward(state, places, inputs_embeds=row[None, n:])
        n, lengths = max(map(len, rows)), torch.tensor([len(row) for row in rows], device=self.device)
        places = torch.arange(n, device=self.device)[None] - (n - lengths)[:, None]  # (B, L), negative at the padding
        mask = None if bool((lengths == n).all()) else (places >= 0).long()
        decoder = Decoder.of(self.llm)
        if decoder is None:
            state, values = State(DynamicCache(), mask, lengths), _left_padded(rows)
            return state, self._forward(state, places.clamp(min=0), inputs_embeds=values)
        cache = decoder.buffers(len(rows), n, room=room)
        logits = []
        for group in together([len(row) for row in rows], MOST_TOKENS, self.device):  # each where it belongs in `cache`
            some = slice(group.start, group.stop)
            longest = max(len(rows[i]) for i in group)
            own = None if mask is None or bool(mask[some, n - longest :].all()) else mask[some, n - longest :]
            values = _left_padded(rows[some])
            at = places[some, n - longest :].clamp(min=0)
            logits.append(decoder(values, at, own, cache.part(some, n - longest)))
        cache.done(n)
        return State(cache, mask, lengths, decoder=decoder), torch.cat(logits)

    @torch.no_grad()
    def step(self, ids: torch.Tensor, state: State) -> torch.Tensor:
        """Read one or more further tokens of every sequence; ``state`` moves on.

        Args:
            ids: (B,) or (B, n) int64.
            state: from `prefill`.

        Returns:
            Logits (B, V) of what follows the last of them.
        """
        ids = (ids[:, None] if ids.dim() == 1 else ids).to(state.positions.device)  # (B, n)
        n = ids.shape[1]
        places = state.positions[:, None] + torch.arange(n, device=ids.device)[None]  # (B, n)
        if state.mask is not None:
            state.mask = torch.cat([state.mask, state.mask.new_ones(len(ids), n)], dim=1)
        state.positions = state.positions + n
        state.n_steps += n
        return self._forward(state, places, input_ids=ids)

    def _forward(self, state: State, places: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        if state.decoder is not None:
            assert isinstance(state.cache, Buffers)
            values = inputs["inputs_embeds"] if "inputs_embeds" in inputs else self.table(inputs["input_ids"])
            return state.decoder(values, places, state.mask, state.cache)
        out = self.llm(
            **inputs,
            attention_mask=state.mask,
            position_ids=places,
            past_key_values=state.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def splice(self, prompts: Sequence[Prompt], audio_tokens: AudioTokens | None) -> tuple[torch.Tensor, torch.Tensor]:
        """A training batch: prompts as vectors, padded on the right, with gradients through the audio tokens.

        Args:
            prompts: B prompts (with their answers' ids, if these are to be learned).
            audio_tokens: what the bridge gave for all clips of the batch: those of the first prompt, then those of the
                second, and so on; None if no prompt has a clip.

        Returns:
            Vectors (B, L, E) and the attention mask (B, L) int64.

        Raises:
            RequestError: the clips do not match the slots.
        """
        ids = pad_sequence(
            [torch.tensor(prompt.ids) for prompt in prompts], batch_first=True, padding_value=self.pad_id
        )
        lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long().to(self.device)
        values: torch.Tensor = self.table(ids.to(self.device))  # (B, L, E)
        rows, places = _slot_places(prompts, [] if audio_tokens is None else audio_tokens.lengths.tolist())
        if audio_tokens is None or not len(rows):
            return values, mask
        valid = torch.arange(audio_tokens.values.shape[1])[None] < audio_tokens.lengths[:, None]
        tokens = audio_tokens.values[valid.to(audio_tokens.values.device)]  # (B, N, E) -> (all tokens, E)
        return values.index_put((rows.to(values.device), places.to(values.device)), tokens.to(values)), mask


def _left_padded(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """B of (L, E) -> (B, L, E)."""
    return pad_sequence(list(rows), batch_first=True, padding_side="left")


def _check_forward(llm: Any) -> None:
    """Refuse an LLM whose own forward does not name all that it will be given; PEFT's wrapper takes anything.

    Raises:
        ConfigError: with what it lacks.
    """
    own = type(llm.get_base_model() if hasattr(llm, "get_base_model") else llm)
    known = inspect.signature(own.forward).parameters
    lacking = [name for name in NEEDED if name not in known]
    if lacking:
        raise ConfigError(
            f"the forward of {own.__name__} takes no {', '.join(lacking)}: choose an LLM that keeps keys and values of "
            "what it read, such as Qwen, Llama, Mistral or Gemma"
        )


def _slot_places(prompts: Sequence[Prompt], n_tokens: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and place in the batch of every audio token, clip after clip."""
    rows: list[int] = []
    places: list[int] = []
    slots = [(row, slot) for row, prompt in enumerate(prompts) for slot in prompt.slots]
    if [slot.length for _, slot in slots] != list(n_tokens):
        raise RequestError(
            f"the prompts keep places for clips of {', '.join(str(slot.length) for _, slot in slots) or 'no'} tokens, "
            f"the bridge gave {', '.join(map(str, n_tokens)) or 'none'}"
        )
    for row, slot in slots:
        rows += [row] * slot.length
        places += range(slot.start, slot.start + slot.length)
    return torch.tensor(rows, dtype=torch.int64), torch.tensor(places, dtype=torch.int64)


def joined(seconds: float, offsets_s: Sequence[float], parts: Sequence[Heard]) -> Heard:
    """One clip from its windows: tokens in a row, spans counted from the clip's first sample.

    Args:
        seconds: of the clip.
        offsets_s: where in the clip each window begins.
        parts: the windows as they were heard.

    Raises:
        AudioInputError: ``audio_too_short``, no window gives a token.
    """
    values = torch.cat([part.values for part in parts])
    if not len(values):
        raise AudioInputError(f"a clip of {seconds:.3f} s gives no audio token", code="audio_too_short")
    return Heard(
        values=values,
        spans_s=torch.cat([part.spans_s + offset for part, offset in zip(parts, offsets_s, strict=True)]),
        n_frames=sum(part.n_frames for part in parts),
        seconds_given=seconds,
        seconds_heard=sum(part.seconds_heard for part in parts),
        tail_s=sum(part.tail_s for part in parts),
    )
