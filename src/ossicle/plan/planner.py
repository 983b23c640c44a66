"""The planner: what a clip costs an LLM that hears it, before anything is loaded, and whether it fits.

Knows lengths, sizes and arithmetic; does not know files, weights or quality (`plan/quality.py`). Audio longer than an
encoder's window is counted in whole windows of it; where the package cuts long audio at quiet places, each window may
add a token. Activations are in none of the bytes. Source: sections 1.1 and 7.2 of the project's notes on projection.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ossicle.audio.lengths import resampled_samples
from ossicle.errors import RequestError
from ossicle.plan.bridges import BridgeRule, bridge_rule
from ossicle.plan.cards import CARDS, Card, card
from ossicle.plan.encoders import ENCODERS, EncoderSizes, encoder_sizes
from ossicle.plan.llms import LLMSizes, llm_sizes

DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one value."""
SHRINKS = (1, 2, 4, 5, 8, 10, 17, 30)
"""Frames a token of the table of rates: 50 a second down to 1.67."""
FINEST = 192_000
"""The highest rate of audio that is read: seconds of a file are a fraction of at most this denominator."""
WORDS_PER_MINUTE, TOKENS_PER_WORD = 150.0, 1.33
"""Speech, and the 3.32 tokens a second that LibriSpeech has in Qwen3's tokens (arXiv 2606.12199)."""
STEPS = 10
"""Clips that fit are looked for in tenths of a second."""


@dataclass(frozen=True)
class Budget:
    """What one call spends. Bytes and FLOPs are those of the whole batch, counts those of one clip.

    Args:
        name: encoder and bridge, or a family of `plan/cards.py`.
        llm: what reads the tokens.
        dtype: of weights, keys and values.
        context: tokens that the LLM may read.
        batch: clips of this length at once.
        seconds: given.
        heard_s: of these, what becomes tokens; less where a family cuts, 0 where it makes no token of them.
        frames: the encoder's, None for a family.
        nominal_hz: tokens a second as one says it.
        nominal_tokens: ``nominal_hz * seconds``, rounded up.
        audio_tokens: counted by the exact rule; for a bridge of variable rate what is expected.
        audio_tokens_most: the most that they can be.
        tokens_per_s: audio tokens for each second given.
        text_tokens: of the words that are said in the clip at the given speaking rate.
        left: share of the context that the audio leaves for text.
        kv_audio_bytes: keys and values of the audio tokens.
        kv_bytes: of audio and text.
        weight_bytes: LLM, and encoder where it is known.
        encoder_flops: None for a family.
        prefill_flops: the LLM reading the audio tokens.
        decode_flops: the LLM writing the first token after them.
        answer_flops: the LLM writing all text tokens after them.
        verdict: "fits" (audio and text in the context, keys, values and weights in the memory), "fits if" (a slower
            bridge, a shorter clip or a smaller batch would), "does not fit".
        ways: what would make it fit, each by itself.
    """

    name: str
    llm: str
    dtype: str
    context: int
    batch: int
    seconds: float
    heard_s: float
    frames: int | None
    nominal_hz: float
    nominal_tokens: int
    audio_tokens: int
    audio_tokens_most: int
    tokens_per_s: float
    text_tokens: int
    left: float
    kv_audio_bytes: int
    kv_bytes: int
    weight_bytes: int
    encoder_flops: int | None
    prefill_flops: int
    decode_flops: int
    answer_flops: int
    verdict: str
    ways: tuple[str, ...]


@dataclass(frozen=True)
class _Reader:
    """Everything but the clip and what hears it."""

    llm: LLMSizes
    context: int
    batch: int
    dtype: str
    memory: float | None
    text_per_s: float

    def text(self, seconds: float) -> int:
        return math.ceil(seconds * self.text_per_s - 1e-9)

    def limit(self, weights: int) -> int:
        """Tokens of one clip that context and memory both have room for."""
        if self.memory is None:
            return self.context
        each = self.batch * self.llm.kv_bytes(1, DTYPES[self.dtype])
        return min(self.context, math.floor((self.memory - weights) / each))


@dataclass(frozen=True)
class _Hearer:
    """What hears: its counts as functions of seconds."""

    name: str
    counts: Callable[[float], tuple[int | None, int, int]]  # frames, tokens, most tokens
    nominal_hz: float
    weights: int
    flops: Callable[[float], int] | None
    cap_s: float | None
    past_cap: str


def make_plan(
    *,
    seconds: float,
    encoder: str | EncoderSizes | Card = "whisper-large-v3",
    bridge: str | BridgeRule | None = None,
    llm: str = "llama-3.1-8b",
    context: int | None = None,
    batch: int = 1,
    dtype: str = "bfloat16",
    memory_gb: float | None = None,
    words_per_minute: float = WORDS_PER_MINUTE,
    tokens_per_word: float = TOKENS_PER_WORD,
) -> Budget:
    """What a clip costs, and whether it fits.

    Args:
        seconds: of audio, above 0.
        encoder: a name of `plan.encoders.ENCODERS`, or a family of `plan.cards.CARDS`; or one that is in neither.
        bridge: a kind of `plan.bridges.KINDS` or what `plan.bridges.bridge_rule` made; mean_pool with k = 2 by
            default, and none for a family, which has its own.
        llm: a name of `plan.llms.LLMS`, or a config.json or its folder.
        context: tokens that the LLM may read; its own by default.
        batch: clips at once.
        dtype: "float32", "bfloat16" or "float16", of weights, keys and values.
        memory_gb: 10 ** 9 bytes that weights, keys and values may take; not looked at by default.
        words_per_minute: speaking rate; 0 where nothing is said.
        tokens_per_word: of the LLM's tokenizer.

    Raises:
        RequestError: an unknown name, a number that is out of range, or a bridge for a family.
        NotFoundError, CheckpointError: of ``llm``.
    """
    reader = _reader(llm, context, batch, dtype, memory_gb, words_per_minute, tokens_per_word)
    _check_seconds(seconds)
    heard = _encoder(encoder)
    if isinstance(heard, Card):
        if bridge is not None:
            raise RequestError(f"{heard.name} is a family with a bridge of its own: leave the bridge out")
        return _budget(_family(heard), reader, seconds)
    rule = bridge if isinstance(bridge, BridgeRule) else bridge_rule(bridge or "mean_pool")
    return _budget(_parts(heard, rule, DTYPES[dtype], seconds), reader, seconds)


def plan_all(
    *,
    seconds: float,
    encoder: str = "whisper-large-v3",
    llm: str = "llama-3.1-8b",
    context: int | None = None,
    batch: int = 1,
    dtype: str = "bfloat16",
    memory_gb: float | None = None,
    words_per_minute: float = WORDS_PER_MINUTE,
    tokens_per_word: float = TOKENS_PER_WORD,
) -> tuple[list[Budget], list[Budget]]:
    """The same clip at every rate of a mean pool, counted uncapped (no window anywhere), and in every family.

    Args:
        as for `make_plan`.

    Raises:
        RequestError, NotFoundError, CheckpointError: as `make_plan`.
    """
    reader = _reader(llm, context, batch, dtype, memory_gb, words_per_minute, tokens_per_word)
    _check_seconds(seconds)
    sizes = encoder_sizes(encoder)
    rules = [bridge_rule("mean_pool", k=k) for k in SHRINKS]
    rates = [_parts(sizes, rule, DTYPES[dtype], seconds, uncapped=True) for rule in rules]
    return (
        [_budget(one, reader, seconds) for one in rates],
        [_budget(_family(one), reader, seconds) for one in CARDS.values()],
    )


def n_samples(seconds: float, rate: int) -> int:
    """Samples at ``rate`` of a clip of ``seconds``, those of a file exactly: its own samples, resampled."""
    exact = Fraction(seconds).limit_denominator(FINEST)
    return resampled_samples(exact.numerator, exact.denominator, rate)


def _encoder(source: str | EncoderSizes | Card) -> EncoderSizes | Card:
    if not isinstance(source, str):
        return source
    if source not in CARDS and source not in ENCODERS:
        known = f"choose one of {', '.join(ENCODERS)}, or a family: {', '.join(CARDS)}"
        raise RequestError(f"the encoder {source!r} is not known: {known}")
    return card(source) if source in CARDS else encoder_sizes(source)


def _check_seconds(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds * FINEST >= 1):
        raise RequestError(f"a clip needs seconds above 0, got {seconds:g}")


def _reader(
    llm: str,
    context: int | None,
    batch: int,
    dtype: str,
    memory_gb: float | None,
    words_per_minute: float,
    tokens_per_word: float,
) -> _Reader:
    if dtype not in DTYPES:
        raise RequestError(f"the dtype {dtype!r} is not known: choose one of {', '.join(DTYPES)}")
    for name, value in (("context", context), ("batch", batch), ("memory", memory_gb)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise RequestError(f"{name} must be above 0, got {value:g}")
    for name, value in (("words a minute", words_per_minute), ("tokens a word", tokens_per_word)):
        if not (math.isfinite(value) and value >= 0):
            raise RequestError(f"{name} must be 0 or more, got {value:g}")
    sizes = llm_sizes(llm)
    memory = None if memory_gb is None else memory_gb * 1e9
    return _Reader(sizes, context or sizes.context, batch, dtype, memory, words_per_minute * tokens_per_word / 60)


def _parts(
    sizes: EncoderSizes, rule: BridgeRule, bytes_each: int, seconds: float, *, uncapped: bool = False
) -> _Hearer:
    def counts(clip_s: float) -> tuple[int, int, int]:
        samples = n_samples(clip_s, sizes.rate)
        windows = [(sizes.n_frames(samples), 1)] if uncapped else sizes.windows(samples)
        return (
            sum(frames * times for frames, times in windows),
            sum(rule.expected(frames) * times for frames, times in windows),
            sum(rule.most(frames) * times for frames, times in windows),
        )

    return _Hearer(
        name=f"{sizes.name} {rule}",
        counts=counts,
        nominal_hz=rule.nominal_hz(sizes.rate_hz, min(seconds, sizes.window_s)),
        weights=sizes.parameters * bytes_each,
        flops=lambda clip_s: sizes.flops(n_samples(clip_s, sizes.rate)),
        cap_s=None,
        past_cap="none",
    )


def _family(rules: Card) -> _Hearer:
    def counts(clip_s: float) -> tuple[None, int, int]:
        tokens = rules.tokens(n_samples(clip_s, rules.rate))
        return None, tokens, tokens

    return _Hearer(rules.name, counts, float(rules.nominal_hz), 0, None, rules.cap_s, rules.past_cap)


def _budget(hearer: _Hearer, reader: _Reader, seconds: float) -> Budget:
    frames, tokens, most = hearer.counts(seconds)
    llm, batch, bytes_each = reader.llm, reader.batch, DTYPES[reader.dtype]
    text = reader.text(seconds)
    capped = hearer.cap_s is not None and hearer.past_cap in ("cut", "error") and seconds > hearer.cap_s
    verdict, ways = _verdict(hearer, reader, seconds, capped)
    return Budget(
        name=hearer.name,
        llm=llm.name,
        dtype=reader.dtype,
        context=reader.context,
        batch=batch,
        seconds=seconds,
        heard_s=(hearer.cap_s or 0.0) if capped else seconds if tokens else 0.0,
        frames=frames,
        nominal_hz=hearer.nominal_hz,
        nominal_tokens=math.ceil(hearer.nominal_hz * seconds - 1e-9),
        audio_tokens=tokens,
        audio_tokens_most=most,
        tokens_per_s=tokens / seconds,
        text_tokens=text,
        left=max(0.0, 1 - tokens / reader.context),
        kv_audio_bytes=batch * llm.kv_bytes(tokens, bytes_each),
        kv_bytes=batch * llm.kv_bytes(tokens + text, bytes_each),
        weight_bytes=llm.parameters * bytes_each + hearer.weights,
        encoder_flops=None if hearer.flops is None else batch * hearer.flops(seconds),
        prefill_flops=batch * llm.prefill_flops(tokens),
        decode_flops=batch * llm.decode_flops(tokens),
        answer_flops=batch * llm.decode_flops(tokens, text),
        verdict=verdict,
        ways=ways,
    )


def _verdict(hearer: _Hearer, reader: _Reader, seconds: float, capped: bool) -> tuple[str, tuple[str, ...]]:
    """Whether audio and its text fit, and what would make them fit, each way by itself."""
    weights = reader.llm.parameters * DTYPES[reader.dtype] + hearer.weights
    _, tokens, most = hearer.counts(seconds)
    text, limit = reader.text(seconds), reader.limit(weights)
    if not tokens:
        return "does not fit", ("a longer clip (this one gives no token)",)
    if capped:
        call_s = _longest(hearer, reader, limit, hearer.cap_s or seconds)
        if call_s is None:
            return "does not fit", (_more(reader, weights, tokens + text),)
        return "fits if", (f"calls of at most {call_s:g} s each ({_past(hearer)})",)
    if tokens + text <= limit:
        if most + text <= limit:
            return "fits", ()
        return "fits if", (f"the bridge gives at most {limit - text} of the {most} tokens that it can",)
    ways = []
    slower = math.floor((limit - text) / seconds * 100) / 100
    if slower > 0:
        ways.append(f"at most {slower:g} audio tokens a second")
    shorter = _longest(hearer, reader, limit, seconds)
    if shorter is not None:
        ways.append(f"at most {shorter:g} s")
    fewer = _batch(reader, weights, tokens + text)
    if fewer:
        ways.append(f"a batch of {fewer}")
    verdict = "fits if" if ways else "does not fit"
    return verdict, (*ways, _more(reader, weights, tokens + text))


def _past(hearer: _Hearer) -> str:
    return "what is longer is cut off in silence" if hearer.past_cap == "cut" else "what is longer is refused"


def _longest(hearer: _Hearer, reader: _Reader, limit: int, seconds: float) -> float | None:
    """The longest clip of at most ``seconds`` that fits: these, or whole tenths, by halving, for counts only grow.

    None where a tenth of a second does not fit.
    """

    def fits(clip_s: float) -> bool:
        return hearer.counts(clip_s)[1] + reader.text(clip_s) <= limit

    if fits(seconds):
        return seconds
    low, high = 0, math.floor(seconds * STEPS)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle / STEPS) else (low, middle - 1)
    return low / STEPS if low else None


def _batch(reader: _Reader, weights: int, need: int) -> int:
    """The largest smaller batch that fits, 0 where none does or the batch is not what is too much."""
    if reader.memory is None or need > reader.context:
        return 0
    each = reader.llm.kv_bytes(need, DTYPES[reader.dtype])
    return max(0, math.floor((reader.memory - weights) / each))


def _more(reader: _Reader, weights: int, need: int) -> str:
    """The context, the memory or both that would do."""
    lacking = [f"a context of {need}"] if need > reader.context else []
    bytes_needed = weights + reader.batch * reader.llm.kv_bytes(need, DTYPES[reader.dtype])
    if reader.memory is not None and bytes_needed > reader.memory:
        lacking.append(f"{math.ceil(bytes_needed / 1e8) / 10:g} GB of memory")
    return " and ".join(lacking)
