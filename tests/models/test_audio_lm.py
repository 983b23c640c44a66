"""AudioLM: hearing, splicing, and what was cropped was never read; the other equalities are in test_families.py."""

from dataclasses import replace

import pytest
import torch
from transformers import (
    BartConfig,
    BartForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)

from ossicle.audio.clip import Clip
from ossicle.audio.lengths import ceil_div, chunk_frames
from ossicle.bridge.gated import StackSwiGLU
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.stacking import StackMLP
from ossicle.encoders.whisper import WhisperEncoder
from ossicle.errors import AudioInputError, ConfigError, RequestError
from ossicle.models.audio_lm import AudioLM, Heard
from ossicle.models.batches import MAX_BATCH, MOST_TOKENS
from ossicle.prompt.chat import Prompt, Slot, end_of_turn
from ossicle.tensors import AudioTokens, Features, Frames, stacked

from .tiny import ENCODER, TOKENIZER, asked, noise, tiny_llm, tiny_model

MODEL = tiny_model()
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def test_several_tokens_at_once_are_read_as_one_by_one() -> None:
    several = [asked(MODEL, [0.3]), asked(MODEL, [1.0])]
    prompts, heard = [p for p, _ in several], [h for _, h in several]
    ids = torch.tensor([[5, 9, 30], [7, 8, 40]])
    state, _ = MODEL.prefill(prompts, heard)
    together = MODEL.step(ids, state)
    state, _ = MODEL.prefill(prompts, heard)
    for i in range(3):
        one_by_one = MODEL.step(ids[:, i], state)
    torch.testing.assert_close(together, one_by_one, **CLOSE)


@pytest.mark.parametrize("seconds", [[0.3], [0.3, 1.0]])
def test_forgotten_steps_leave_no_trace(seconds: list[float]) -> None:
    several = [asked(MODEL, [s]) for s in seconds]
    prompts, heard = [p for p, _ in several], [h for _, h in several]
    first, second = torch.tensor([5, 6])[: len(prompts)], torch.tensor([8, 9])[: len(prompts)]
    state, _ = MODEL.prefill(prompts, heard)
    MODEL.step(first, state)
    before = MODEL.step(second, state)
    MODEL.step(torch.randint(5, 90, (len(prompts), 3)), state)
    state.crop(4)
    torch.testing.assert_close(MODEL.step(second, state), before, **CLOSE)
    state.crop(0)
    assert state.n_steps == 2
    with pytest.raises(RequestError, match="cannot forget 3 steps: 2 were taken since the prompt"):
        state.crop(3)
    with pytest.raises(RequestError, match="cannot forget -1 steps"):
        state.crop(-1)


def test_a_prompt_is_needed() -> None:
    with pytest.raises(RequestError, match="there is no prompt to read"):
        MODEL.prefill([], [])


def test_audio_tokens_stand_in_the_slots_and_nowhere_else() -> None:
    prompt, heard = asked(MODEL, [0.5, 0.9])
    vectors = MODEL.embed([prompt], [heard])[0]
    inside = torch.zeros(len(prompt.ids), dtype=torch.bool)
    for slot in prompt.slots:
        inside[slot.start : slot.start + slot.length] = True
        assert torch.equal(vectors[slot.start : slot.start + slot.length], heard[slot.clip].values)
    assert torch.equal(vectors[~inside], MODEL.table.weight[torch.tensor(prompt.ids)[~inside]])


def test_slots_must_match_the_clips() -> None:
    prompt, heard = asked(MODEL, [0.5])
    with pytest.raises(RequestError, match="the prompt keeps 13 places for clip 0, which has 0 tokens"):
        MODEL.embed([prompt], [[]])
    with pytest.raises(RequestError, match="the prompt keeps 12 places for clip 0, which has 13 tokens"):
        MODEL.embed([Prompt(prompt.ids, [Slot(2, 12, 0)])], [heard])


def tokens_of(heard: list[Heard]) -> AudioTokens:
    """Clips as a batch that a bridge would give; what is past each length is garbage."""
    lengths = torch.tensor([len(one.values) for one in heard])
    values = torch.full((len(heard), int(lengths.max()), 32), float("nan"))
    for row, one in enumerate(heard):
        values[row, : len(one.values)] = one.values
    zeros = torch.zeros(len(heard), dtype=torch.float64)
    return AudioTokens(values, lengths, torch.zeros(len(heard), int(lengths.max()), 2, dtype=torch.float64), zeros)


def test_splice_is_embed_padded_on_the_right() -> None:
    several = [asked(MODEL, [0.3, 0.8]), asked(MODEL, [], "Only text."), asked(MODEL, [1.2], "A longer question!")]
    prompts = [prompt for prompt, _ in several]
    vectors, mask = MODEL.splice(prompts, tokens_of([one for _, heard in several for one in heard]))
    assert mask.sum(1).tolist() == [len(prompt.ids) for prompt in prompts]
    for row, expected in enumerate(MODEL.embed(prompts, [heard for _, heard in several])):
        assert torch.equal(vectors[row, : len(expected)], expected)
        assert mask[row, : len(expected)].eq(1).all()
    text, _ = MODEL.splice(prompts[1:2], None)
    assert torch.equal(text[0], MODEL.table.weight[torch.tensor(prompts[1].ids)])


def test_gradients_flow_through_splice_into_bridge_and_encoder_but_not_into_a_frozen_llm() -> None:
    model = tiny_model(pattern="frozen").train()
    clips = [noise(0.4), noise(0.6, seed=1)]
    tokens = model.bridge(model.encoder(model.encoder.features(clips)))
    prompts = [asked(model, [0.4])[0], asked(model, [0.6])[0]]
    vectors, mask = model.splice(prompts, tokens)
    model.llm(inputs_embeds=vectors, attention_mask=mask).logits[mask.bool()].square().mean().backward()
    assert model.bridge.output.linear.weight.grad.abs().sum() > 0
    assert model.encoder.tower.conv1.weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in model.llm.parameters())
    assert (model.bridge.training, model.llm.training) == (True, False)


def test_a_full_llm_trains() -> None:
    model = tiny_model(pattern="full").train()
    assert model.llm.training
    assert all(p.requires_grad for p in model.llm.parameters())


def test_splice_refuses_clips_that_do_not_match() -> None:
    prompt, heard = asked(MODEL, [0.5])
    with pytest.raises(RequestError, match=r"keep places for clips of 13 tokens, the bridge gave none"):
        MODEL.splice([prompt], None)
    with pytest.raises(RequestError, match=r"keep places for clips of no tokens, the bridge gave 13"):
        MODEL.splice([asked(MODEL, [])[0]], tokens_of(heard))


def test_a_clip_is_heard_alike_alone_and_in_a_batch_of_many_lengths() -> None:
    clips = [noise(0.05 + 0.13 * i, seed=i) for i in range(MAX_BATCH + 3)]
    together = MODEL.hear(clips)
    for clip, one in zip(clips[::4], together[::4], strict=True):
        alone = MODEL.hear([clip])[0]
        torch.testing.assert_close(one.values, alone.values, **CLOSE)
        assert torch.equal(one.spans_s, alone.spans_s)
        assert (one.n_frames, one.seconds_given) == (alone.n_frames, alone.seconds_given)


class Counter(torch.nn.Module):
    """An encoder without weights: how loud each 20 ms are."""

    width, rate_hz, sample_rate, max_samples = 32, 50.0, 16_000, 480_000

    def n_frames(self, n_samples: int) -> int:
        return -(-n_samples // 320)

    def features(self, clips: list[Clip]) -> Features:
        rows = [clip.at(self.sample_rate).samples[None] for clip in clips]
        return stacked(rows, [row.shape[1] for row in rows], [clip.duration_s for clip in clips])

    def forward(self, features: Features) -> Frames:
        runs = torch.nn.functional.pad(features.values, (0, -features.values.shape[-1] % 320)).view(
            len(features.values), -1, 320
        )
        lengths = torch.tensor([self.n_frames(n) for n in features.n_samples.tolist()])
        return Frames(runs.square().mean(-1, keepdim=True).expand(-1, -1, 32), lengths, 50.0, features.durations_s)


def test_an_encoder_without_weights_is_heard() -> None:
    model = AudioLM(Counter(), MODEL.bridge, MODEL.llm, MODEL.tokenizer, context=MODEL.context).eval()
    heard = model.hear([noise(1.0), noise(0.3)])
    assert [len(one.values) for one in heard] == [25, 8]
    assert all(torch.isfinite(one.values).all() for one in heard)


def test_prompts_that_are_read_in_several_groups_go_on_as_if_each_were_alone() -> None:
    several = [asked(MODEL, [seconds]) for seconds in (6.0, 0.3, 0.4, 5.5, 0.3)]
    prompts, heard = [p for p, _ in several], [h for _, h in several]
    assert max(len(p.ids) for p in prompts) * len(prompts) > MOST_TOKENS
    state, logits = MODEL.prefill(prompts, heard, room=1)
    further = [MODEL.step(torch.tensor([7, 8, 9, 10, 11]), state) for _ in range(3)]
    for row, (prompt, clips) in enumerate(several):
        alone, first = MODEL.prefill([prompt], [clips])
        torch.testing.assert_close(logits[row], first[0], **CLOSE)
        for step in further:
            torch.testing.assert_close(step[row], MODEL.step(torch.tensor([7 + row]), alone)[0], **CLOSE)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_long_clip_is_heard_whole_in_windows(rate: int) -> None:
    clip = Clip(noise(7.3, rate=rate).samples, rate, start_s=100.0)
    heard = MODEL.hear([clip])[0]
    assert heard.seconds_given == clip.duration_s
    assert heard.seconds_heard == pytest.approx(clip.duration_s)
    assert heard.tail_s == pytest.approx(0)
    spans = heard.spans_s
    assert spans[0, 0].item() == pytest.approx(0)
    assert spans[-1, 1].item() == pytest.approx(clip.duration_s)
    torch.testing.assert_close(spans[1:, 0], spans[:-1, 1])
    assert len(heard.values) == len(spans) == pytest.approx(clip.duration_s * 25, abs=8)
    assert heard.n_frames >= clip.duration_s * 50


def test_what_a_bridge_drops_is_not_counted_as_heard() -> None:
    heard = tiny_model(bridge=StackMLP(32, 32, k=4, hidden=16, tail="drop")).hear([noise(0.5)])[0]
    assert heard.n_frames == 25
    assert heard.tail_s == pytest.approx(0.02)
    assert heard.seconds_heard == pytest.approx(0.48)


def test_a_clip_without_samples_is_refused() -> None:
    with pytest.raises(AudioInputError, match="the clip holds no samples") as caught:
        MODEL.hear([noise(0.5), noise(0.0)])
    assert caught.value.code == "audio_empty"


class Deaf(MeanPool):
    """A bridge that gives no token for anything."""

    def forward(self, frames: Frames) -> AudioTokens:
        tokens = super().forward(frames)
        empty = tokens.lengths * 0
        return AudioTokens(tokens.values[:, :0], empty, tokens.spans_s[:, :0], frames.durations_s)


def test_a_clip_that_gives_no_token_is_refused() -> None:
    with pytest.raises(AudioInputError, match=r"a clip of 0\.500 s gives no audio token") as caught:
        tiny_model(bridge=Deaf(32, 32)).hear([noise(0.5)])
    assert caught.value.code == "audio_too_short"


def test_the_ids_that_end_and_the_id_that_fills() -> None:
    model = tiny_model()
    assert model.end_ids == {end_of_turn(TOKENIZER), 2}
    model.llm.generation_config.eos_token_id = [2, 17]
    assert model.end_ids == {end_of_turn(TOKENIZER), 2, 17}
    model.llm.generation_config.eos_token_id = None
    assert model.end_ids == {end_of_turn(TOKENIZER)}
    assert model.pad_id == TOKENIZER.pad_token_id


def test_a_tokenizer_without_padding_fills_with_the_first_id() -> None:
    model = tiny_model()
    model.tokenizer = type("Bare", (), {"pad_token_id": None})()
    assert model.pad_id == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "native"}, "the pattern 'native' is not known: choose one of frozen, lora, full"),
        ({"context": 513}, "a context of 513 tokens is not possible: the LLM has 512 positions"),
        ({"context": 0}, "a context of 0 tokens is not possible"),
        ({"bridge": MeanPool(16, 32)}, "the bridge reads frames of width 16, the encoder gives 32"),
        ({"bridge": MeanPool(32, 16)}, "the bridge gives tokens of width 16, the LLM reads 32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_model(**arguments)


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused() -> None:
    llm = tiny_llm()
    llm.resize_token_embeddings(100, mean_resizing=False)
    with pytest.raises(ConfigError, match=r"the tokenizer has \d+ tokens, the LLM only 100 embeddings"):
        AudioLM(WhisperEncoder(ENCODER), MeanPool(32, 32), llm, TOKENIZER, context=100)


def test_an_encoder_may_cut_long_clips_itself() -> None:
    bridge = StackSwiGLU(32, 32, k=8, hidden=16)
    model = tiny_model(encoder=WhisperEncoder(replace(ENCODER, chunks=True)), bridge=bridge)
    clips = [noise(4.321, rate=44_100), noise(0.3), noise(2.0, seed=1), noise(7.0, rate=8_000)]
    together = model.hear(clips)
    for clip, heard in zip(clips, together, strict=True):
        sizes = chunk_frames(clip.at(16_000).n_samples, 200)
        assert len(heard.values) == sum(ceil_div(ceil_div(n, 2), 8) for n in sizes)  # runs end with their chunk
        torch.testing.assert_close(heard.values, model.hear([clip])[0].values, atol=1e-5, rtol=1e-4)
        assert heard.spans_s[0, 0] == 0 and heard.seconds_heard == pytest.approx(clip.duration_s)
        torch.testing.assert_close(heard.spans_s[1:, 0], heard.spans_s[:-1, 1])
        assert float(heard.spans_s[-1, 1]) == pytest.approx(clip.duration_s)


def test_an_llm_in_few_bits_cannot_be_trained_in_full() -> None:
    llm = tiny_llm()
    llm.hf_quantizer = object()  # as `transformers` marks it
    parts = (WhisperEncoder(ENCODER), MeanPool(32, 32), llm, TOKENIZER)
    with pytest.raises(
        ConfigError, match="an LLM in 4 bits cannot be trained in full: choose the pattern frozen or lora"
    ):
        AudioLM(*parts, context=100, pattern="full")
    assert AudioLM(*parts, context=100).quantized and not MODEL.quantized


SMALL = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 1}
FORGETFUL = {
    "Mamba": lambda: MambaForCausalLM(MambaConfig(**SMALL, state_size=4)),
    "Mamba2": lambda: Mamba2ForCausalLM(Mamba2Config(**SMALL, state_size=4, num_heads=8, head_dim=8, n_groups=1)),
    "Rwkv": lambda: RwkvForCausalLM(RwkvConfig(**{**SMALL, "num_hidden_layers": 2})),
    "Bart": lambda: BartForCausalLM(
        BartConfig(vocab_size=320, d_model=32, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32)
    ),
}


@pytest.mark.parametrize("name", FORGETFUL)
def test_an_llm_that_would_forget_its_prompt_or_its_places_is_refused(name: str) -> None:
    lacks = "position_ids" if name == "Bart" else "past_key_values, position_ids"
    with pytest.raises(ConfigError, match=f"the forward of {name}ForCausalLM takes no {lacks}: choose an LLM"):
        AudioLM(WhisperEncoder(ENCODER), MeanPool(32, 32), FORGETFUL[name](), TOKENIZER, context=100)


def test_an_llm_that_peft_has_wrapped_is_judged_by_its_own_forward() -> None:
    peft = pytest.importorskip("peft")
    for llm, layer in ((tiny_llm(), "q_proj"), (FORGETFUL["Mamba"](), "in_proj")):
        wrapped = peft.get_peft_model(llm, peft.LoraConfig(r=2, target_modules=[layer], task_type="CAUSAL_LM"))
        parts = (WhisperEncoder(ENCODER), MeanPool(32, 32), wrapped, TOKENIZER)
        if layer == "q_proj":
            assert AudioLM(*parts, context=100, pattern="lora").llm is wrapped
            continue
        with pytest.raises(ConfigError, match="the forward of MambaForCausalLM takes no past_key_values"):
            AudioLM(*parts, context=100, pattern="lora")
