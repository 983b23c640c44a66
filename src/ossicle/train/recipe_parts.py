"""What a recipe says of the parts of a model, and what must hold of it.

Knows names and numbers; does not know how a part is made.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from ossicle.encoders.w2v_bert import W2vBertSizes
from ossicle.encoders.whisper import WhisperSettings
from ossicle.hub.own import is_own
from ossicle.translate.sizes import TranslatorSizes
from ossicle.world.parts import Voice

MELS = (80, 128)
FORMS = {None: "(whisper)", "w2v_bert": "(w2v_bert)"}
"""Names under which pydantic tells the forms of ``parts.encoder`` apart, by their kind."""


READS = {"ctc": ("mode", "keep_blanks", "own_weight"), "cif": ("own_weight",), "merging": (), "matryoshka": ("hidden",)}
"""What bridges with more than a run's settings read beside k and output_norm."""
READ_BY_SOME = ("mode", "keep_blanks", "own_weight")


def _form(said: Any) -> str | None:
    return FORMS.get(said.get("kind") if isinstance(said, dict) else getattr(said, "kind", None))


NewEncoder = Annotated[
    Annotated[WhisperSettings, Tag(FORMS[None])] | Annotated[W2vBertSizes, Tag(FORMS["w2v_bert"])],
    Discriminator(
        _form,
        custom_error_type="encoder_kind",
        custom_error_message="the kind of a new encoder is w2v_bert; without a kind it is a Whisper encoder",
    ),
]


@dataclass(frozen=True)
class BridgePart:
    """Which bridge, and how many frames it makes one token of.

    A ``tail`` of "pool" keeps the last frames in the way that the kind has: repeated, beside zeros, or read alone.
    ``queries`` (tokens of a window or a clip), ``layers`` and ``heads`` (8 by default) are of the kinds that attend.
    ``ctc`` has the frames per token only to be expected, and finds tokens by its ``mode``; ``matryoshka`` serves other
    rates too. ``own_weight`` is that of what ``ctc`` and ``cif`` learn beside the answers.
    """

    kind: Literal[
        "mean_pool",
        "stack_mlp",
        "stack_swiglu",
        "conv",
        "attention_pool",
        "qformer",
        "window_qformer",
        "ctc",
        "cif",
        "merging",
        "matryoshka",
    ] = "mean_pool"
    k: int = 2
    tail: Literal["pool", "duplicate", "drop", "zero"] = "pool"
    hidden: int = 512
    norm_in: bool = True
    output_norm: Literal["none", "rms"] = "none"
    queries: int | None = None
    layers: int | None = None
    heads: int | None = None
    mode: Literal["runs", "drop"] = "runs"
    keep_blanks: bool = False
    own_weight: float = 1.0


@dataclass(frozen=True)
class FormPart:
    """A published bridge by its name, with all its numbers (see `ossicle.bridge.forms`)."""

    form: Literal["qwen_audio", "slam", "ultravox", "voxtral", "salmonn", "granite"]


TAKES = {
    "queries": ("attention_pool", "qformer", "window_qformer"),
    "layers": ("qformer", "window_qformer"),
    "heads": ("attention_pool", "qformer", "window_qformer"),
}
"""Which kinds of bridge an option is of; the other options are of all, or have no effect."""
TAILLESS = ("attention_pool", "qformer")
BY_KIND, BY_FORM = "(kind)", "(form)"
"""Names under which pydantic tells the two ways to name a bridge apart."""


def _way(said: Any) -> str:
    formed = "form" in said if isinstance(said, dict) else isinstance(said, FormPart)
    return BY_FORM if formed else BY_KIND


NewBridge = Annotated[
    Annotated[BridgePart, Tag(BY_KIND)] | Annotated[FormPart, Tag(BY_FORM)],
    Discriminator(_way),
]


@dataclass(frozen=True)
class LlmPart:
    """Sizes of a Qwen2-shaped LLM that starts from random weights."""

    width: int = 192
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 512
    context: int = 640
    dropout: float = 0.0


@dataclass(frozen=True)
class NewSpeaker:
    """One more speaker for a base that speaks: a name, the language that is the speaker's own, and the voice of the
    world who says so many ``sentences`` to learn from. A share ``others`` of what is learned from is said in the voices
    that the base has, so that they are not forgotten."""

    name: str
    language: str
    voice: Voice
    sentences: int = 200
    others: float = 0.0


@dataclass(frozen=True)
class Parts:
    """What the model is made of.

    ``base`` (a model folder or a shipped name) replaces all that is not said; a part of its maker's own stays in it,
    and ``encoder_from`` or ``bridge_from`` names its file. ``encoder`` and ``llm`` are sizes of new parts with random
    weights; ``encoder_from`` and ``llm_from`` name published ones, a folder or a hub id, and
    ``context`` the most tokens of prompt and answer for such an LLM (by default all its positions, at most 4,096).
    ``llm_bits`` of 4 holds it in 4 bits on a GPU: it stays frozen, or gets a LoRA in the last stage that is not merged,
    and the model's folder refers to its weights.

    A part of one's own is a class in a file, ``encoder_from`` or ``bridge_from`` as ``FILE.py:CLASS``; it is built with
    the arguments ``encoder_config`` or ``bridge_config``, a bridge also with ``width_in`` and ``width_out``.

    ``translator`` is sizes of a new translator, which is a model by itself and takes no other part; ``speaker`` is one
    more for the vocoder of a translator that is the base.
    """

    base: str | None = None
    encoder: NewEncoder | None = None
    encoder_from: str | None = None
    bridge: NewBridge | None = None
    llm: LlmPart | None = None
    llm_from: str | None = None
    context: int | None = None
    llm_bits: Literal[4] | None = None
    encoder_config: dict[str, Any] | None = None
    bridge_from: str | None = None
    bridge_config: dict[str, Any] | None = None
    translator: TranslatorSizes | None = None
    speaker: NewSpeaker | None = None

    @property
    def own(self) -> dict[str, str]:
        """The parts of one's own: "encoder" and "bridge" to ``FILE.py:CLASS``."""
        named = {"encoder": self.encoder_from, "bridge": self.bridge_from}
        return {key: one for key, one in named.items() if one is not None and is_own(one)}


def said_of_parts(parts: Parts) -> dict[str, Any]:
    """The parts without options that are younger than the first recipes, where they are not used: a run that was begun
    before an option came goes on."""
    said = asdict(parts)
    younger = ("encoder_from", "llm_from", "context", "llm_bits", "encoder_config", "bridge_from", "bridge_config")
    for key in (*younger, "translator", "speaker"):
        if said[key] is None:
            del said[key]
    for key in TAKES:
        if isinstance(parts.bridge, BridgePart) and said["bridge"][key] is None:
            del said["bridge"][key]
    for key in ("mode", "keep_blanks", "own_weight"):
        if said["bridge"] is not None and said["bridge"].get(key) == getattr(BridgePart, key):
            del said["bridge"][key]
    if parts.speaker is not None and parts.speaker.others == 0:
        del said["speaker"]["others"]
    for key in ("window", "chunks"):
        if said["encoder"] is not None and said["encoder"].get(key) is False:
            del said["encoder"][key]
    return said


def part_demands(parts: Parts) -> Iterator[tuple[bool, str]]:
    """Each demand on the numbers of parts, and the words for one that is not met."""
    if parts.llm is not None:
        llm = parts.llm
        for name in ("width", "layers", "heads", "kv_heads", "ffn", "context"):
            value = getattr(llm, name)
            yield value > 0, f"parts.llm.{name} must be above 0 (got {value})"
        yield (
            llm.heads % llm.kv_heads == 0 and llm.width % (2 * llm.heads) == 0,
            f"parts.llm: kv_heads must divide heads, and twice the heads the width (got {llm.kv_heads}, {llm.heads} "
            f"and {llm.width})",
        )
    if parts.encoder is not None:
        encoder = parts.encoder
        own = ("max_frames",) if isinstance(encoder, WhisperSettings) else ("kernel", "left", "right")
        for name in ("width", "layers", "heads", "ffn", *own):
            value = getattr(encoder, name)
            yield value > 0, f"parts.encoder.{name} must be above 0 (got {value})"
        if isinstance(encoder, WhisperSettings):
            yield (
                encoder.n_mels in MELS,
                f"parts.encoder.n_mels is one of {', '.join(map(str, MELS))} (got {encoder.n_mels})",
            )
        else:
            yield encoder.kernel % 2 == 1, f"parts.encoder.kernel must be odd (got {encoder.kernel})"
        yield (
            encoder.width % encoder.heads == 0 and encoder.width % 2 == 0,
            f"parts.encoder: the width is even and heads divide it (got {encoder.width} and {encoder.heads})",
        )
    if parts.translator is not None:
        speech = parts.translator.speech
        yield (
            speech.stack > 0 and speech.stack % 2 == 0,
            f"parts.translator.speech.stack must be even, for units come 50 times a second (got {speech.stack})",
        )
    for one in ("encoder", "llm"):
        yield (
            getattr(parts, one) is None or getattr(parts, f"{one}_from") is None,
            f"parts names both {one} and {one}_from: a part is new or published, not both",
        )
    yield parts.bridge is None or parts.bridge_from is None, "parts names both bridge and bridge_from"
    yield (
        parts.bridge_from is None or "bridge" in parts.own,
        f"parts.bridge_from is a class of your own, FILE.py:CLASS (got {parts.bridge_from!r})",
    )
    for one in ("encoder", "bridge"):
        yield (
            getattr(parts, f"{one}_config") is None or one in parts.own,
            f"parts.{one}_config is for a class of your own: {one}_from: FILE.py:CLASS",
        )
    yield parts.context is None or parts.llm_from is not None, "parts.context is of the LLM that llm_from names"
    yield parts.context is None or parts.context > 0, f"parts.context must be above 0 (got {parts.context})"
    if isinstance(parts.bridge, BridgePart):
        bridge = parts.bridge
        yield bridge.k > 0 and bridge.hidden > 0, "parts.bridge: k and hidden must be above 0"
        yield (
            bridge.kind != "stack_swiglu" or (bridge.tail == "pool" and bridge.hidden % 2 == 0),
            f"parts.bridge: stack_swiglu fills its tail with zeros, so names none, and halves hidden, which is even "
            f"(got {bridge.tail!r} and {bridge.hidden})",
        )
        yield (
            bridge.kind not in TAILLESS or bridge.tail == "pool",
            f"parts.bridge: {bridge.kind} reads the frames that are there, so it names no tail (got {bridge.tail!r})",
        )
        yield (
            bridge.kind != "qformer" or bridge.k == BridgePart.k,
            f"parts.bridge: qformer reads the whole clip, so it names no k (got {bridge.k})",
        )
        for name, kinds in TAKES.items():
            value = getattr(bridge, name)
            yield (
                value is None or bridge.kind in kinds,
                f"parts.bridge: {name} is of {', '.join(kinds)}, not of {bridge.kind}",
            )
            yield value is None or value > 0, f"parts.bridge.{name} must be above 0 (got {value})"
        yield from _read_demands(bridge)


def _read_demands(bridge: BridgePart) -> Iterator[tuple[bool, str]]:
    """What a bridge does not read must not be said, else somebody would think that it counts."""
    kind, read = bridge.kind, READS.get(bridge.kind)
    for one in fields(BridgePart):
        if one.name in ("kind", "k", "output_norm") or (read is None and one.name not in READ_BY_SOME):
            continue
        value = getattr(bridge, one.name)
        yield (
            value == one.default or (read is not None and one.name in read),
            f"parts.bridge: {kind} does not read {one.name} (got {value!r})",
        )
