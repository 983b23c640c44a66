"""The five contracts, as properties over random inputs: length, coverage, batch invariance, streaming, round trip.

For the encoders and the bridges, each at least 200 examples; and for the model that they make.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from models.tiny import ENCODER, tiny_model

from ossicle.audio.clip import Clip
from ossicle.audio.lengths import resampled_samples, whisper_frames
from ossicle.bridge.attention import AttentionPool
from ossicle.bridge.cif import Cif
from ossicle.bridge.conv import ConvMLP
from ossicle.bridge.ctc import Ctc
from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.matryoshka import Matryoshka
from ossicle.bridge.merging import Merging
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.qformer import QFormer, WindowQFormer
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.w2v_bert import W2vBertEncoder
from ossicle.encoders.wav2vec2 import Wav2Vec2Encoder
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.hub.folder import load, save
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import Message, render
from ossicle.tensors import AudioTokens, Frames

CHUNKS = replace(ENCODER, chunks=True)
EXAMPLES = settings(deadline=None, max_examples=200)
FEWER = settings(deadline=None, max_examples=60)
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
WIDTH = ENCODER.width
RATES = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)


def build(seed: int, make: Callable[[], Any]) -> Any:
    torch.manual_seed(seed)
    return make().eval()


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLUTIONS = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
WAV2VEC2 = {**SMALL, **CONVOLUTIONS}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
ENCODERS = {
    "Whisper": build(0, lambda: WhisperEncoder(ENCODER)),
    "Whisper in chunks": build(0, lambda: WhisperEncoder(CHUNKS)),
    "wav2vec2 base": build(0, lambda: Wav2Vec2Encoder(WAV2VEC2, max_s=2.0)),
    "wav2vec2 large": build(0, lambda: Wav2Vec2Encoder({**WAV2VEC2, **LARGE}, max_s=2.0)),
    "w2v-BERT": build(0, lambda: W2vBertEncoder(SMALL, max_s=2.0)),
}
ENC = ENCODERS["Whisper"]
EACH_ENCODER = pytest.mark.parametrize("name", ENCODERS)


@st.composite
def clips(draw: st.DrawFn, *, rates: tuple[int, ...] = (16_000,)) -> Clip:
    """Noise of 1 sample to 2 s, the longest that the small encoder reads at once; short and odd lengths are likely."""
    rate = draw(st.sampled_from(rates))
    n = draw(st.integers(1, 2 * rate) | st.integers(1, 700) | st.sampled_from([1, 160, 161, 320, 321, 2 * rate]))
    samples = np.random.default_rng(draw(st.integers(0, 99))).normal(0, 0.1, n)
    return Clip(samples.astype(np.float32), rate)


@st.composite
def frames(draw: st.DrawFn, *, rows: int = 4) -> Frames:
    """Random frames of some clips; the padding holds garbage, durations end inside the last frame."""
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=rows))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    values = torch.randn(len(lengths), max(lengths) + draw(st.integers(0, 3)), WIDTH, generator=generator)
    for row, n in enumerate(lengths):
        values[row, n:] = float("nan")
    durations = torch.tensor([(n - draw(st.floats(0, 0.99))) / 50 for n in lengths], dtype=torch.float64)
    return Frames(values, torch.tensor(lengths), 50.0, durations)


@st.composite
def mean_pools(draw: st.DrawFn) -> MeanPool:
    k, tail = draw(st.integers(1, 9)), draw(st.sampled_from(["pool", "drop"]))
    norms = {"norm_in": draw(st.booleans()), "output_norm": draw(st.sampled_from(["none", "rms"]))}
    return build(k, lambda: MeanPool(WIDTH, 8, k=k, tail=tail, **norms))


@st.composite
def stacks(draw: st.DrawFn) -> StackMLP:
    k, tail = draw(st.integers(1, 9)), draw(st.sampled_from(["duplicate", "drop"]))
    norm = draw(st.sampled_from(["none", "rms"]))
    return build(k, lambda: StackMLP(WIDTH, 8, k=k, hidden=64, tail=tail, output_norm=norm))


@st.composite
def gated_stacks(draw: st.DrawFn) -> StackSwiGLU:
    k, norm = draw(st.integers(1, 9)), draw(st.sampled_from(["none", "rms"]))
    return build(k, lambda: StackSwiGLU(WIDTH, 8, k=k, hidden=64, output_norm=norm))


@st.composite
def convolutions(draw: st.DrawFn) -> ConvMLP:
    k, tail = draw(st.integers(1, 9)), draw(st.sampled_from(["zero", "drop"]))
    norm = draw(st.sampled_from(["none", "rms"]))
    return build(k, lambda: ConvMLP(WIDTH, 8, k=k, hidden=64, tail=tail, output_norm=norm))


@st.composite
def attention_pools(draw: st.DrawFn) -> AttentionPool:
    """New ones, and ones whose queries have left zero."""
    k, queries, heads = draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 4]))
    norms = {"norm_in": draw(st.booleans()), "output_norm": draw(st.sampled_from(["none", "rms"]))}
    bridge = build(k, lambda: AttentionPool(WIDTH, 8, k=k, queries=queries, heads=heads, **norms))
    if draw(st.booleans()):
        torch.nn.init.normal_(bridge.query)
    return bridge


BLOCKS = {"hidden": 16, "layers": 2, "heads": 2}


@cache  # of the many examples: blocks take longer to make than to use
def qformer(queries: int, norm: str) -> QFormer:
    return build(queries, lambda: QFormer(WIDTH, 8, queries=queries, output_norm=norm, **BLOCKS))


@cache
def window_qformer(k: int, queries: int, tail: str, norm: str) -> WindowQFormer:
    options = {"tail": tail, "output_norm": norm, **BLOCKS}
    return build(k, lambda: WindowQFormer(WIDTH, 8, k=k, queries=queries, **options))


def qformers() -> st.SearchStrategy[QFormer]:
    return st.builds(qformer, st.integers(1, 9), st.sampled_from(["none", "rms"]))


def window_qformers() -> st.SearchStrategy[WindowQFormer]:
    tails, norms = st.sampled_from(["mask", "zero"]), st.sampled_from(["none", "rms"])
    return st.builds(window_qformer, st.integers(1, 9), st.integers(1, 3), tails, norms)


@st.composite
def ctcs(draw: st.DrawFn) -> Ctc:
    mode = draw(st.sampled_from([{}, {"keep_blanks": True}, {"mode": "drop", "theta": 0.5}]))
    bridge = build(draw(st.integers(0, 9)), lambda: Ctc(WIDTH, 8, letters=2, **mode))
    with torch.no_grad():
        bridge.head[1].bias.zero_()  # an untrained head hears blanks only
    return bridge


@st.composite
def cifs(draw: st.DrawFn) -> Cif:
    k, norm = draw(st.integers(2, 9)), draw(st.sampled_from(["none", "rms"]))
    return build(k, lambda: Cif(WIDTH, 8, k=k, output_norm=norm))


@st.composite
def mergings(draw: st.DrawFn) -> Merging:
    k, norm = draw(st.integers(1, 9)), draw(st.sampled_from(["none", "rms"]))
    return build(k, lambda: Merging(WIDTH, 8, k=k, output_norm=norm))


@st.composite
def matryoshkas(draw: st.DrawFn) -> Matryoshka:
    k, norm = draw(st.integers(2, 25)), draw(st.sampled_from(["none", "rms"]))
    bridge = build(k, lambda: Matryoshka(WIDTH, 8, hidden=16, output_norm=norm).at(k))
    with torch.no_grad():
        for part in (bridge.rate, bridge.shape):  # as training may move them
            part.weight.normal_(0, 0.1)
    return bridge


FIXED = {
    "MeanPool": mean_pools(),
    "StackMLP": stacks(),
    "StackSwiGLU": gated_stacks(),
    "ConvMLP": convolutions(),
    "AttentionPool": attention_pools(),
    "QFormer": qformers(),
    "WindowQFormer": window_qformers(),
    "Merging": mergings(),
    "Matryoshka": matryoshkas(),
}
EVERY_BRIDGE = {**FIXED, "Ctc": ctcs(), "Cif": cifs()}
STREAMED = {name: bridges for name, bridges in FIXED.items() if name not in ("QFormer", "Merging")}
BRIDGES = pytest.mark.parametrize("bridges", FIXED.values(), ids=FIXED)
IN_PLACE = [name for name in FIXED if name != "Merging"]  # tokens whose frames are known from their place
ALL_BRIDGES = pytest.mark.parametrize("bridges", EVERY_BRIDGE.values(), ids=EVERY_BRIDGE)


def listen(encoder: Any, several: list[Clip]) -> Frames:
    with torch.no_grad():
        return encoder(encoder.features(several))


def bridged(bridge: Any, heard: Frames) -> AudioTokens:
    with torch.no_grad():
        return bridge(heard)


def row_of(heard: Frames, row: int, first: int = 0, last: int | None = None) -> Frames:
    """Frames ``first`` to ``last`` of one clip, alone and without padding."""
    last = int(heard.lengths[row]) if last is None else last
    duration = min(float(heard.durations_s[row]), last / 50) - first / 50
    values = heard.values[row : row + 1, first:last]
    return Frames(values, torch.tensor([last - first]), 50.0, torch.tensor([duration], dtype=torch.float64))


# 1. Length


@EACH_ENCODER
@EXAMPLES
@given(several=st.lists(clips(rates=RATES), min_size=1, max_size=3))
def test_length_of_the_encoders(name: str, several: list[Clip]) -> None:
    encoder = ENCODERS[name]
    heard = listen(encoder, several)
    n_samples = [resampled_samples(clip.n_samples, clip.rate, 16_000) for clip in several]
    assert heard.lengths.tolist() == [encoder.n_frames(n) for n in n_samples] == [whisper_frames(n) for n in n_samples]
    assert heard.values.shape == (len(several), int(heard.lengths.max()), encoder.width)
    assert heard.lengths.min() >= 1


@ALL_BRIDGES
@EXAMPLES
@given(data=st.data(), heard=frames())
def test_length_of_the_bridges(bridges: Any, data: st.DataObject, heard: Frames) -> None:
    bridge = data.draw(bridges)
    tokens = bridged(bridge, heard)
    if bridge.fixed_rate:
        assert tokens.lengths.tolist() == [bridge.n_tokens(n) for n in heard.lengths.tolist()]
    assert tokens.values.shape == (len(heard.lengths), int(tokens.lengths.max()), 8)
    assert tokens.spans_s.shape == (*tokens.values.shape[:2], 2)
    assert tokens.lengths.min() >= 1
    pairs = zip(tokens.lengths.tolist(), heard.lengths.tolist(), strict=True)
    assert all(n <= bridge.max_tokens(n_frames) for n, n_frames in pairs)


@EACH_ENCODER
@settings(deadline=None, max_examples=20)
@given(data=st.data(), several=st.lists(clips(rates=RATES), min_size=1, max_size=2))
def test_length_of_every_bridge_after_every_encoder(name: str, data: st.DataObject, several: list[Clip]) -> None:
    encoder = ENCODERS[name]
    heard = listen(encoder, several)
    n_frames = [encoder.n_frames(resampled_samples(clip.n_samples, clip.rate, 16_000)) for clip in several]
    for bridges in EVERY_BRIDGE.values():
        bridge = data.draw(bridges)
        tokens = bridged(bridge, heard)
        for n, there in zip(n_frames, tokens.lengths.tolist(), strict=True):
            assert there == bridge.n_tokens(n) if bridge.fixed_rate else 1 <= there <= bridge.max_tokens(n)
        for row, clip in enumerate(several):
            assert float(tokens.spans_s[row].max() + tokens.tail_s[row]) == pytest.approx(clip.duration_s, abs=1e-9)


@BRIDGES
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_length_and_spans_of_the_bridges_from_1_to_3000_frames(bridges: Any, data: st.DataObject) -> None:
    bridge = data.draw(bridges)
    counts = [bridge.n_tokens(n) for n in range(3_001)]
    assert counts[0] == 0 < counts[1]
    assert all(0 <= b - a <= counts[1] for a, b in pairwise(counts))
    lengths = data.draw(st.lists(st.integers(1, 3_000) | st.just(3_000), min_size=1, max_size=2))
    values = torch.randn(len(lengths), max(lengths), WIDTH)
    tokens = bridged(bridge, Frames(values, torch.tensor(lengths), 50.0, torch.tensor(lengths).double() / 50))
    assert tokens.lengths.tolist() == [counts[n] for n in lengths]
    assert tokens.values.shape[:2] == tokens.spans_s.shape[:2] and tokens.values.isfinite().all()
    for row, n in enumerate(tokens.lengths.tolist()):
        spans = tokens.spans_s[row, :n]
        assert spans[0, 0] == 0 and torch.equal(spans[1:, 0], spans[:-1, 1])
        assert float(spans[-1, 1] + tokens.tail_s[row]) == pytest.approx(lengths[row] / 50, abs=1e-9)


# 2. Coverage


@EACH_ENCODER
@EXAMPLES
@given(clip=clips(), data=st.data())
def test_coverage_of_the_encoders_every_sample_is_heard(name: str, clip: Clip, data: st.DataObject) -> None:
    encoder = ENCODERS[name]
    assume(clip.n_samples > 1 or "Whisper" in name)  # normed to mean 0, a single sample says nothing
    at = data.draw(st.integers(0, clip.n_samples - 1) | st.just(clip.n_samples - 1))
    other = clip.samples.copy()
    other[at] += 1.0
    a, b = listen(encoder, [clip]), listen(encoder, [Clip(other, clip.rate)])
    assert not torch.equal(a.values, b.values)
    assert a.durations_s.tolist() == [clip.duration_s]
    assert 0 <= a.lengths.item() / a.rate_hz - clip.duration_s < 1 / a.rate_hz


@ALL_BRIDGES
@EXAMPLES
@given(data=st.data(), several=st.lists(clips(rates=RATES), min_size=1, max_size=2))
def test_coverage_of_the_bridges(bridges: Any, data: st.DataObject, several: list[Clip]) -> None:
    bridge, heard = data.draw(bridges), listen(ENC, several)
    tokens = bridged(bridge, heard)
    for row, clip in enumerate(several):
        n = int(tokens.lengths[row])
        spans, tail_s = tokens.spans_s[row, :n], float(tokens.tail_s[row])
        assert spans[0, 0] == 0
        assert torch.equal(spans[1:, 0], spans[:-1, 1])
        assert (spans[:, 1] > spans[:, 0]).all()
        assert float(spans[-1, 1]) + tail_s == pytest.approx(clip.duration_s, abs=1e-9)
        assert tokens.spans_s[row, n:].eq(0).all()
        lost = int(heard.lengths[row]) - n * bridge.k if getattr(bridge, "tail", "") == "drop" else 0
        assert tail_s == 0 if lost <= 0 else (lost - 1) / 50 < tail_s <= lost / 50 + 1e-9


@pytest.mark.parametrize("name", IN_PLACE)
@EXAMPLES
@given(data=st.data(), heard=frames(rows=1))
def test_coverage_of_the_bridges_every_frame_that_is_not_dropped_counts(
    name: str, data: st.DataObject, heard: Frames
) -> None:
    bridge = data.draw(FIXED[name])
    last = int(heard.lengths[0]) - 1
    at = data.draw(st.integers(0, last) | st.just(last))
    other = heard.values.clone()
    other[0, at] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(at)) * 3
    before = bridged(bridge, heard).values
    after = bridged(bridge, Frames(other, heard.lengths, 50.0, heard.durations_s)).values
    changed = (before != after).any(-1)[0].nonzero().flatten().tolist()
    n = before.shape[1]
    run = range(n)  # of the tokens that hold the frame
    if not isinstance(bridge, QFormer):
        queries = getattr(bridge, "queries", 1)
        first = at // bridge.k * queries
        run = range(min(first, n), min(first + queries, n))
    assert changed == list(run)


# 3. Batch invariance


@EACH_ENCODER
@EXAMPLES
@given(several=st.lists(clips(), min_size=2, max_size=4))
def test_batch_invariance_of_the_encoders(name: str, several: list[Clip]) -> None:
    encoder = ENCODERS[name]
    together = listen(encoder, several)
    for row, clip in enumerate(several):
        alone = listen(encoder, [clip])
        torch.testing.assert_close(together.values[row, : int(together.lengths[row])], alone.values[0], **CLOSE)


@ALL_BRIDGES
@EXAMPLES
@given(data=st.data(), heard=frames())
def test_batch_invariance_of_the_bridges(bridges: Any, data: st.DataObject, heard: Frames) -> None:
    bridge = data.draw(bridges)
    together = bridged(bridge, heard)
    for row, n in enumerate(together.lengths.tolist()):
        alone = bridged(bridge, row_of(heard, row))
        torch.testing.assert_close(together.values[row, :n], alone.values[0], **CLOSE)
        torch.testing.assert_close(together.spans_s[row, :n], alone.spans_s[0], atol=1e-5, rtol=0)
        assert together.values[row, n:].eq(0).all()


@pytest.fixture(scope="module")
def model() -> AudioLM:
    return tiny_model()


@FEWER
@given(several=st.lists(st.tuples(clips(), st.text(max_size=9)), min_size=2, max_size=3))
def test_batch_invariance_of_the_model_on_either_padding_side(model: AudioLM, several: list[tuple[Clip, str]]) -> None:
    heard = [model.hear([clip]) for clip, _ in several]
    prompts = [
        render([Message("user", part)], [len(one[0].values)], model.tokenizer, pad_id=model.pad_id)
        for part, one in zip(several, heard, strict=True)
    ]
    left = model.prefill(prompts, heard)[1]
    with torch.no_grad():
        tokens = model.bridge(model.encoder(model.encoder.features([clip for clip, _ in several])))
        vectors, mask = model.splice(prompts, tokens)
        right = model.llm(inputs_embeds=vectors, attention_mask=mask).logits
    for row, (prompt, one) in enumerate(zip(prompts, heard, strict=True)):
        alone = model.prefill([prompt], [one])[1][0]
        torch.testing.assert_close(left[row], alone, **CLOSE)
        torch.testing.assert_close(right[row, len(prompt.ids) - 1], alone, **CLOSE)


# 4. Streaming


@EACH_ENCODER
def test_streaming_of_the_encoders_is_not_promised(name: str) -> None:
    assert not getattr(ENCODERS[name], "streamable", False)


def test_streaming_of_a_bridge_that_reads_the_whole_clip_is_not_promised() -> None:
    assert not qformer(3, "none").streamable


@pytest.mark.parametrize("bridges", STREAMED.values(), ids=STREAMED)
@EXAMPLES
@given(data=st.data(), heard=frames(rows=1))
def test_streaming_of_the_bridges_equals_offline(bridges: Any, data: st.DataObject, heard: Frames) -> None:
    bridge, n = data.draw(bridges), int(heard.lengths[0])
    assert bridge.streamable
    offline = bridged(bridge, heard)
    runs = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=60))
    at, values, spans = 0, [], []
    while n - at > 0:
        whole = (runs.pop() if runs else 1) * bridge.k
        last = n if n - at < 2 * bridge.k else min(at + whole, (n - bridge.k) // bridge.k * bridge.k)
        tokens = bridged(bridge, row_of(heard, 0, at, last))
        values.append(tokens.values[0])
        spans.append(tokens.spans_s[0] + at / 50)
        at = last
    torch.testing.assert_close(torch.cat(values), offline.values[0], **CLOSE)
    torch.testing.assert_close(torch.cat(spans), offline.spans_s[0])


# 5. Round trip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[AudioLM, AudioLM]]:
    """Models with each bridge, and the same from disk, stored in float32."""
    folder: Path = tmp_path_factory.mktemp("round_trip")
    pool, stack = MeanPool(WIDTH, 32, k=3), StackMLP(WIDTH, 32, k=4, hidden=16)
    made = {"MeanPool": tiny_model(bridge=pool), "StackMLP": tiny_model("llama", bridge=stack)}
    gated = StackSwiGLU(WIDTH, 32, k=4, hidden=16)
    made["StackSwiGLU"] = tiny_model(encoder=ENCODERS["Whisper in chunks"], bridge=gated)
    made["ConvMLP"] = tiny_model(bridge=ConvMLP(WIDTH, 32, k=4, hidden=16))
    made["AttentionPool"] = tiny_model(bridge=AttentionPool(WIDTH, 32, k=4, queries=2))
    made["QFormer"] = tiny_model(bridge=QFormer(WIDTH, 32, queries=3, **BLOCKS))
    made["WindowQFormer"] = tiny_model("llama", bridge=WindowQFormer(WIDTH, 32, k=6, queries=2, **BLOCKS))
    for one in (Ctc(WIDTH, 32, letters=5), Cif(WIDTH, 32), Merging(WIDTH, 32), Matryoshka(WIDTH, 32, k=9)):
        made[type(one).__name__] = tiny_model(bridge=one.eval())
    for kind in ("wav2vec2 base", "wav2vec2 large", "w2v-BERT"):
        made[kind] = tiny_model(encoder=ENCODERS[kind], bridge=MeanPool(ENCODERS[kind].width, 32))
    return {name: (one, load(save(one, folder / name), device="cpu")) for name, one in made.items()}


@pytest.mark.parametrize("name", ["MeanPool", "StackSwiGLU", "wav2vec2 base", "wav2vec2 large", "w2v-BERT"])
@EXAMPLES
@given(clip=clips(rates=RATES))
def test_round_trip_of_the_encoders(pairs: dict[str, tuple[AudioLM, AudioLM]], name: str, clip: Clip) -> None:
    before, after = (listen(one.encoder, [clip]) for one in pairs[name])
    assert torch.equal(before.values, after.values)
    assert torch.equal(before.lengths, after.lengths)


@pytest.mark.parametrize("name", EVERY_BRIDGE)
@EXAMPLES
@given(heard=frames())
def test_round_trip_of_the_bridges(pairs: dict[str, tuple[AudioLM, AudioLM]], name: str, heard: Frames) -> None:
    before, after = (bridged(one.bridge, heard) for one in pairs[name])
    assert torch.equal(before.values, after.values)
    assert torch.equal(before.spans_s, after.spans_s)


@pytest.mark.parametrize("name", EVERY_BRIDGE)
@FEWER
@given(clip=clips(rates=RATES), text=st.text(max_size=9))
def test_round_trip_of_the_model(pairs: dict[str, tuple[AudioLM, AudioLM]], name: str, clip: Clip, text: str) -> None:
    logits = []
    for one in pairs[name]:
        heard = one.hear([clip])
        messages = [Message("user", (clip, text))]
        prompt = render(messages, [len(heard[0].values)], one.tokenizer, pad_id=one.pad_id)
        logits.append(one.prefill([prompt], [heard])[1])
    assert torch.equal(*logits)
