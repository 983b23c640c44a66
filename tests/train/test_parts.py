"""The parts of a model before training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.tiny import tiny_llm
from prompt.vocabularies import byte_level

from ossicle.audio.clip import Clip
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
from ossicle.encoders.w2v_bert import W2vBertEncoder, W2vBertSizes
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import BridgeError, ConfigError, NotFoundError, RequestError
from ossicle.hub.folder import load, save
from ossicle.infer.ask import ask
from ossicle.prompt.tags import Tags
from ossicle.train.answers import Answer
from ossicle.train.parts import LETTERS, SPECIALS, add_tags, build, letter_tokenizer, new_bridge, new_encoder
from ossicle.train.recipe_parts import BridgePart, FormPart, Parts
from ossicle.train.recipe_stages import Data
from ossicle.train.sources import World
from ossicle.world.tagging import tokens_of
from ossicle.world.telling import LETTERS as SAID

from .support import tiny_model, tiny_recipe

TOKENIZER = letter_tokenizer()


@settings(deadline=None, max_examples=200)
@given(text=st.text(LETTERS + " ", min_size=1, max_size=60).filter(lambda text: not text.startswith(" ")))
def test_letters_are_one_token_each_and_come_back(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text
    assert len(ids) == len(text) + 1  # a blank opens every text


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(exclude_categories=("Cs", "Lu", "Lt", "M")), max_size=40))
def test_any_text_can_be_read_and_written(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert all(0 <= key < len(TOKENIZER) for key in ids) and TOKENIZER.unk_token_id not in ids
    normal = TOKENIZER.backend_tokenizer.normalizer.normalize_str(text)
    assert TOKENIZER.decode(ids, clean_up_tokenization_spaces=False).lstrip(" ") == normal.lstrip(" ").replace(
        "\u2581", " "
    ).lstrip(" ")


def test_special_tokens_and_the_template_are_one_token_each() -> None:
    text = TOKENIZER.apply_chat_template(
        [{"role": "user", "content": "<|AUDIO|>why?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|user|><|AUDIO|>why?<|im_end|><|assistant|>"
    assert [TOKENIZER.convert_tokens_to_ids(token) for token in SPECIALS] == list(range(len(SPECIALS)))
    assert TOKENIZER.eos_token == "<|im_end|>" and TOKENIZER.pad_token == "<|AUDIO|>"


def test_a_model_follows_from_its_seed() -> None:
    one, two = tiny_model(), tiny_model()
    other = build(tiny_recipe().parts, name="tiny", seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.table.weight, other.table.weight)
    assert (one.name, one.context, one.llm.config.vocab_size) == ("tiny", 400, len(TOKENIZER))
    assert one.llm.get_output_embeddings().weight is one.table.weight


def test_a_new_encoder_starts_with_small_positions_and_large_convolutions() -> None:
    wanted = WhisperSettings(width=16, layers=1, heads=2, ffn=32, max_frames=20)
    torch.manual_seed(0)
    plain = WhisperEncoder(wanted)
    torch.manual_seed(0)
    new = new_encoder(wanted)
    torch.testing.assert_close(new.tower.embed_positions.weight, 0.1 * plain.tower.embed_positions.weight)
    torch.testing.assert_close(new.tower.conv1.weight, 2 * plain.tower.conv1.weight)
    torch.testing.assert_close(new.tower.conv2.weight, 2 * plain.tower.conv2.weight)
    assert torch.equal(new.tower.layers[0].fc1.weight, plain.tower.layers[0].fc1.weight)


def test_a_new_w2v_bert_encoder_has_the_sizes_that_are_said_and_drops_nothing() -> None:
    made = new_encoder(W2vBertSizes(width=24, layers=2, heads=3, ffn=40, kernel=5, left=7, right=2))
    assert isinstance(made, W2vBertEncoder) and (made.width, made.tail, len(made.tower.encoder.layers)) == (
        24,
        "pad",
        2,
    )
    layer = made.tower.encoder.layers[0]
    assert layer.conv_module.depthwise_conv.kernel_size == (5,) and layer.ffn1.intermediate_dense.out_features == 40
    assert (layer.self_attn.num_heads, layer.self_attn.distance_embedding.num_embeddings) == (3, 7 + 1 + 2)
    config = made.tower.config
    dropped = (config.layerdrop, config.conformer_conv_dropout, config.hidden_dropout, config.attention_dropout)
    assert dropped == (0, 0, 0, 0) == (config.activation_dropout, config.feat_proj_dropout, 0, 0)


def test_each_kind_of_bridge_gets_its_settings() -> None:
    pool = new_bridge(BridgePart("mean_pool", k=3, tail="drop", norm_in=False, output_norm="rms"), 8, 4)
    assert isinstance(pool, MeanPool) and (pool.k, pool.tail) == (3, "drop")
    assert pool.settings()["norm_in"] is False and pool.settings()["output_norm"] == "rms"
    stack = new_bridge(BridgePart("stack_mlp", k=4, hidden=10), 8, 4)
    assert isinstance(stack, StackMLP) and (stack.k, stack.tail, stack.settings()["hidden"]) == (4, "duplicate", 10)
    assert new_bridge(BridgePart("stack_mlp", tail="drop"), 8, 4).tail == "drop"
    gated = new_bridge(BridgePart("stack_swiglu", k=8, hidden=12, output_norm="rms"), 8, 4)
    assert isinstance(gated, StackSwiGLU) and (gated.k, gated.hidden, gated.output_norm) == (8, 12, "rms")
    conv = new_bridge(BridgePart("conv", k=4, hidden=10), 8, 4)
    assert isinstance(conv, ConvMLP) and (conv.k, conv.tail, conv.hidden) == (4, "zero", 10)
    assert new_bridge(BridgePart("conv", tail="drop"), 8, 4).tail == "drop"
    pool = new_bridge(BridgePart("attention_pool", k=4, queries=2, norm_in=False), 16, 4)
    assert isinstance(pool, AttentionPool) and (pool.k, pool.queries, pool.heads, pool.norm_in) == (4, 2, 8, None)
    clip = new_bridge(BridgePart("qformer", hidden=16, layers=2, queries=5, output_norm="rms"), 8, 4)
    assert isinstance(clip, QFormer) and (clip.queries, clip.output_norm) == (5, "rms")
    assert clip.sizes == {"hidden": 16, "layers": 2, "heads": 8, "cross_every": 2}
    window = new_bridge(BridgePart("window_qformer", k=15, hidden=16, heads=4), 8, 4)
    assert isinstance(window, WindowQFormer) and (window.k, window.queries, window.tail) == (15, 3, "mask")
    assert window.sizes == {"hidden": 16, "layers": 2, "heads": 4, "cross_every": 1}
    assert new_bridge(BridgePart("window_qformer", hidden=16, tail="zero"), 8, 4).tail == "zero"
    slam = new_bridge(FormPart("slam"), 8, 4)
    assert isinstance(slam, StackMLP) and (slam.k, slam.hidden, slam.tail) == (5, 2048, "drop")
    ctc = new_bridge(BridgePart("ctc", k=4, keep_blanks=True, own_weight=0.5), 8, 4)
    assert isinstance(ctc, Ctc) and (ctc.mode, ctc.keep_blanks, ctc.own_weight) == ("runs", True, 0.5)
    assert (ctc.k, ctc.letters, ctc.output_norm) == (4, len(SAID), "none")
    assert new_bridge(BridgePart("ctc", mode="drop"), 8, 4).settings()["mode"] == "drop"
    cif = new_bridge(BridgePart("cif", k=8, own_weight=2.0), 8, 4)
    assert isinstance(cif, Cif) and (cif.k, cif.own_weight) == (8, 2.0)
    merging = new_bridge(BridgePart("merging", k=8, output_norm="rms"), 8, 4)
    assert isinstance(merging, Merging) and (merging.k, merging.output_norm) == (8, "rms")
    any_rate = new_bridge(BridgePart("matryoshka", k=16, hidden=12), 8, 4)
    assert isinstance(any_rate, Matryoshka) and (any_rate.k, any_rate.hidden) == (16, 12)
    with pytest.raises(BridgeError, match="duplicate"):
        new_bridge(BridgePart("mean_pool", tail="duplicate"), 8, 4)


def test_a_base_gives_all_that_is_not_said(tmp_path: Path) -> None:
    base = tiny_model()
    save(base, tmp_path / "base")
    kept = build(Parts(base=str(tmp_path / "base")), name="mine", seed=9)
    assert kept.name == "mine"
    ours, theirs = dict(kept.named_parameters()), dict(base.named_parameters())
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    bridged = build(Parts(base=str(tmp_path / "base"), bridge=BridgePart("stack_mlp", k=3)), name="mine", seed=9)
    assert isinstance(bridged.bridge, StackMLP) and bridged.bridge.k == 3
    assert torch.equal(bridged.table.weight, base.table.weight)
    new = Parts(base=str(tmp_path / "base"), encoder=W2vBertSizes(width=8, layers=1, heads=2), bridge=BridgePart())
    eared, again = build(new, name="mine", seed=9), build(new, name="mine", seed=9)
    assert isinstance(eared.encoder, W2vBertEncoder) and eared.bridge.width_in == 8
    pairs = zip(eared.llm.parameters(), base.llm.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(eared.parameters(), again.parameters(), strict=True))


def test_parts_that_make_no_model_are_refused() -> None:
    parts = tiny_recipe().parts
    for missing in ("encoder", "bridge", "llm"):
        with pytest.raises(ConfigError, match=r"without a base must name encoder .*, bridge .* and llm"):
            build(Parts(**{**vars(parts), missing: None}), name="tiny", seed=1)
    with pytest.raises(ConfigError, match="may name another encoder and a new bridge; its LLM is the base's"):
        build(Parts(base="mini", llm=parts.llm), name="tiny", seed=1)
    with pytest.raises(ConfigError, match=r"needs a new bridge: name parts\.bridge beside encoder or encoder_from"):
        build(Parts(base="mini", encoder=parts.encoder), name="tiny", seed=1)
    with pytest.raises(NotFoundError, match="nobody"):
        build(Parts(base="nobody"), name="tiny", seed=1)


# Tags

TAGGED = replace(tiny_recipe().stages[2], prompts="tags", trains=("bridge", "llm"), data=Data(tasks={"count": 1.0}))
COUNT = Tags("startofanalysis", "unknown", "keyword", "en", "notimestamps", "own_count")


def test_only_the_tags_that_stages_ask_with_become_tokens_and_rows() -> None:
    plain, made = (build(tiny_recipe().parts, name="t", seed=3, stages=stages) for stages in ((), (TAGGED,)))
    new = set(made.tokenizer.get_vocab()) - set(plain.tokenizer.get_vocab())
    assert new == set(tokens_of(("count",))) and made.table.weight.shape[0] == len(made.tokenizer)
    assert set(plain.tokenizer.get_vocab()) == set(TOKENIZER.get_vocab())


def test_a_base_gets_rows_and_a_tagged_question_is_answered_and_saved(tmp_path: Path) -> None:
    model = build(Parts(base="mini"), name="t", seed=3, stages=(TAGGED,))
    before = build(Parts(base="mini"), name="t", seed=3)
    n = before.table.weight.shape[0]
    assert model.table.weight.shape[0] == len(model.tokenizer) == n + len(tokens_of(("count",)))
    assert torch.equal(model.table.weight[:n], before.table.weight)
    assert model.llm.get_output_embeddings().weight is model.table.weight
    sample = World(1, 0, "train", {"count": 1.0}, tags=True).sample(0)
    item = Answer(model).item(sample, np.random.default_rng(0))
    ids = model.tokenizer.convert_tokens_to_ids(list(tokens_of(("count",))))
    assert set(ids) <= set(item.prompt.ids)
    clip = Clip(sample.samples, 16_000)
    again = load(save(model, tmp_path / "m"))
    assert ask(again, clip, COUNT, max_tokens=2).text == ask(model.eval(), clip, COUNT, max_tokens=2).text
    with pytest.raises(RequestError, match=r"the tokenizer has no tag <\|own_count\|>|no tag <\|startofanalysis\|>"):
        ask(before.eval(), clip, COUNT, max_tokens=2)
    later = build(Parts(base=str(tmp_path / "m")), name="t", seed=3, stages=(replace(TAGGED, trains=("bridge",)),))
    assert torch.equal(later.table.weight, model.table.weight)  # it has them: a frozen LLM may be asked by them


def test_tags_that_nothing_learns_are_refused() -> None:
    frozen = replace(TAGGED, name="frozen", trains=("bridge",))
    message = r"stage frozen asks by tags such as <\|startofanalysis\|>, which are new rows .* must train llm"
    for stages in ((frozen,), (replace(TAGGED, prompts="plain"), frozen), (frozen, TAGGED)):
        with pytest.raises(ConfigError, match=message):
            build(tiny_recipe().parts, name="t", seed=3, stages=stages)
    build(tiny_recipe().parts, name="t", seed=3, stages=(TAGGED, frozen))
    other = replace(frozen, data=Data(tasks={"when": 1.0}))
    with pytest.raises(ConfigError, match=r"stage frozen asks by tags such as <\|own_when\|>"):
        build(tiny_recipe().parts, name="t", seed=3, stages=(TAGGED, other))


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_a_published_llm_keeps_its_rows_and_gets_more(family: str) -> None:
    llm, tokenizer = tiny_llm(family), byte_level()
    ids = torch.arange(5)
    llm.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    before = llm.get_input_embeddings()(ids)
    add_tags(tokenizer, llm, (TAGGED,))
    assert llm.get_input_embeddings().weight.shape[0] == len(tokenizer) == llm.config.vocab_size
    assert torch.equal(llm.get_input_embeddings()(ids), before)  # Gemma's scale too
