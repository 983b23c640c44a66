"""Qwen2-Audio folders: the same token counts, logits and greedy answers as the published class and processor."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.tiny import ENCODER, FAMILIES, noise, tiny_model
from prompt.families import family_tokenizer
from prompt.vocabularies import byte_level
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

import ossicle
from ossicle.audio.clip import Clip
from ossicle.bridge.pooling import MeanPool
from ossicle.bridge.stacking import StackMLP
from ossicle.cli import run
from ossicle.encoders.whisper import WhisperEncoder, WhisperSettings
from ossicle.errors import CheckpointError, ConfigError
from ossicle.hub import qwen2_audio
from ossicle.hub.folder import ASSETS, load, save
from ossicle.hub.qwen2_audio import export_qwen2_audio, load_qwen2_audio, named
from ossicle.infer.generate import Sampling
from ossicle.infer.requests import Request, ask_batch, prepare
from ossicle.models.audio_lm import AudioLM
from ossicle.prompt.chat import CHATML, ClipText, Message

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
QUESTION = "What is said?"
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Every byte a token, as the published BPE begins, and the published special tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={one: i for i, one in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in SPECIALS])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def write(folder: Path, *, tied: bool = False, n_mels: int = 80) -> None:
    """A small random checkpoint, as the published classes write it."""
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, tie_word_embeddings=tied,
    )  # fmt: skip
    audio = Qwen2AudioEncoderConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=n_mels
    )
    token = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    model = Qwen2AudioForConditionalGeneration(
        Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=token)
    )
    with torch.no_grad():  # larger weights than those of initialisation: small mistakes shall show
        for value in model.parameters():
            value.add_(0.1 * torch.randn_like(value) if value.ndim > 1 else 0)
    model.save_pretrained(folder)
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=n_mels), tokenizer).save_pretrained(folder)


class Theirs:
    """The published class and processor."""

    def __init__(self, folder: Path) -> None:
        self.model = Qwen2AudioForConditionalGeneration.from_pretrained(folder).eval()
        self.processor = Qwen2AudioProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"

    def inputs(self, conversations: list[tuple[Message, ...]]) -> Any:
        template = self.processor.chat_template or self.processor.default_chat_template
        texts, audios = [], []
        for turns in conversations:
            told = []
            for turn in turns:
                parts = [
                    {"type": "audio", "audio_url": "x"} if isinstance(part, Clip) else {"type": "text", "text": part}
                    for part in turn.content
                ]
                audios += [part.at(16_000).samples for part in turn.content if isinstance(part, Clip)]
                told.append({"role": turn.role, "content": parts})
            texts.append(
                self.processor.apply_chat_template(
                    told, chat_template=template, add_generation_prompt=True, tokenize=False
                )
            )
        return self.processor(text=texts, audio=audios, sampling_rate=16_000, return_tensors="pt", padding=True)

    def logits(self, conversations: list[tuple[Message, ...]]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(**self.inputs(conversations)).logits[:, -1]

    def answers(self, conversations: list[tuple[Message, ...]], n: int) -> list[list[int]]:
        inputs = self.inputs(conversations)
        with torch.no_grad():
            out = self.model.generate(**inputs, max_new_tokens=n, do_sample=False)
        return out[:, inputs["input_ids"].shape[1] :].tolist()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[AudioLM, Theirs]:
    folder = tmp_path_factory.mktemp("qwen2-audio")
    write(folder)
    return load_qwen2_audio(folder), Theirs(folder)


def user(*parts: Any) -> tuple[Message, ...]:
    return (Message("user", parts),)


TALKS: dict[str, list[tuple[Message, ...]]] = {
    "voice chat": [user(noise(1.0))],
    "analysis": [user(noise(2.345), QUESTION)],
    "short": [user(noise(0.1), QUESTION)],
    "30 s": [user(noise(30.0), QUESTION)],
    "three clips": [user(noise(1.0), noise(0.73, seed=1), noise(3.21, seed=2), QUESTION)],
    "two turns": [
        (*user(noise(1.0), QUESTION), Message("assistant", ("a dog",)), *user(noise(0.5, seed=1), "And here?")),
    ],
    "system": [(Message("system", ("Be short.",)), *user(noise(1.0), QUESTION))],
    "a mixed batch": [user(noise(0.5)), user(noise(7.77, seed=1), QUESTION), user(noise(2.0), noise(1.1, seed=3))],
}


@pytest.mark.parametrize("name", TALKS)
def test_the_same_prompts_logits_and_answers(pair: tuple[AudioLM, Theirs], name: str) -> None:
    ours, theirs = pair
    talks = TALKS[name]
    prompts, heard = prepare(ours, talks)
    inputs = theirs.inputs(talks)
    audio = theirs.model.config.audio_token_id
    for row, prompt in enumerate(prompts):
        ids = list(prompt.ids)
        for slot in prompt.slots:
            ids[slot.start : slot.start + slot.length] = [audio] * slot.length
        assert ids == inputs["input_ids"][row][inputs["attention_mask"][row].bool()].tolist()
    torch.testing.assert_close(ours.prefill(prompts, heard)[1], theirs.logits(talks), **CLOSE)
    answers = ask_batch(ours, [Request(turns, Sampling(6)) for turns in talks])
    for answer, ids in zip(answers, theirs.answers(talks, 6), strict=True):
        tokens = [key for key in ids if key not in ours.end_ids and key != ours.pad_id]
        assert answer.text == theirs.processor.tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("n", [321, 480, 961, 1_600, 5_000, 16_080, 31_999, 160_123])
def test_every_length_gives_the_published_count(pair: tuple[AudioLM, Theirs], n: int) -> None:
    ours, theirs = pair
    clip = Clip(np.random.default_rng(n).normal(0, 0.1, n).astype(np.float32), 16_000)
    (_,), ((heard,),) = prepare(ours, [user(clip)])
    ids = theirs.inputs([user(clip)])["input_ids"]
    assert len(heard.values) == int((ids == theirs.model.config.audio_token_id).sum()) == (-(-n // 160) + 1) // 4


def test_a_sharded_checkpoint_is_the_same_model(pair: tuple[AudioLM, Theirs], tmp_path: Path) -> None:
    ours, theirs = pair
    theirs.processor.save_pretrained(tmp_path)
    theirs.model.save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2 and (tmp_path / "model.safetensors.index.json").is_file()
    talks = TALKS["analysis"]
    again = load_qwen2_audio(tmp_path)
    assert torch.equal(again.prefill(*prepare(again, talks))[1], ours.prefill(*prepare(ours, talks))[1])


def test_the_released_seven_billion_are_mapped_name_by_name_and_shape_by_shape() -> None:
    text = {
        "model_type": "qwen2", "vocab_size": 156_032, "hidden_size": 4096, "intermediate_size": 11_008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False,
        "max_position_embeddings": 8192,
    }  # fmt: skip
    audio = {
        "model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": 32, "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120, "d_model": 1280,
    }  # fmt: skip
    config = Qwen2AudioConfig(audio_config=audio, text_config=text)
    with torch.device("meta"):
        theirs = Qwen2AudioForConditionalGeneration(config)
        sizes = WhisperSettings(width=1280, layers=32, heads=20, ffn=5120, n_mels=128, final_norm=False)
        encoder, bridge = WhisperEncoder(sizes), MeanPool(1280, 4096, k=2, tail="drop")
        llm = AutoModelForCausalLM.from_config(config.text_config)
    ours = named(AudioLM(encoder, bridge, llm, byte_tokenizer(), context=8192, pattern="full"))
    shapes = {on_disk(name): tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in ours.items()} == shapes
    assert len(shapes) == 4 + 1 + 32 * 15 + 2 + 2 + 1 + 32 * 12 + 1 + 1
    assert sum(value.numel() for value in ours.values()) == 8_397_094_912  # the published count


def on_disk(name: str) -> str:
    """The name in released folders of a weight of the class in memory."""
    if name == "lm_head.weight":
        return f"language_model.{name}"
    return name.removeprefix("model.").replace("language_model.", "language_model.model.")


def test_a_head_that_is_there_counts_and_one_that_lacks_is_tied(tmp_path: Path) -> None:
    write(tmp_path, tied=True)
    talks = TALKS["analysis"]
    model = load_qwen2_audio(tmp_path)
    torch.testing.assert_close(model.prefill(*prepare(model, talks))[1], Theirs(tmp_path).logits(talks), **CLOSE)
    path = tmp_path / "model.safetensors"
    weights = {key: value for key, value in load_file(path).items() if not key.endswith("lm_head.weight")}
    save_file(weights, path, {"format": "pt"})
    tied = load_qwen2_audio(tmp_path)
    assert tied.llm.get_output_embeddings().weight is tied.table.weight
    again = load(str(save(tied, tmp_path / "own")), device="cpu")
    assert torch.equal(again.llm.get_output_embeddings().weight, tied.table.weight)


def test_a_template_that_writes_no_clip_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    with pytest.raises(CheckpointError, match=r"writes <\|audio_bos\|><\|AUDIO\|><\|audio_eos\|> 0 times for 2 clips"):
        load_qwen2_audio(tmp_path)


def test_it_is_saved_and_read_again_as_our_own(pair: tuple[AudioLM, Theirs], tmp_path: Path) -> None:
    ours, _ = pair
    again = load(str(save(ours, tmp_path / "own")), device="cpu")
    talks = TALKS["two turns"]
    assert again.clip_text == ours.clip_text
    assert torch.equal(again.prefill(*prepare(again, talks))[1], ours.prefill(*prepare(ours, talks))[1])


EXAMPLES = sorted((ASSETS / "examples").glob("*.flac"))


def test_mini_says_the_same_in_the_published_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "mini", str(tmp_path / "out")]) == 0
    assert "the same answers" in capsys.readouterr().out
    ours, theirs = ossicle.load("mini", device="cpu"), Theirs(tmp_path / "out")
    again = ossicle.load(str(tmp_path / "out"), device="cpu")
    for path in EXAMPLES:
        clip = ossicle.read_clip(path)
        for question in path.with_suffix(".txt").read_text().splitlines():
            (ids,) = theirs.answers([user(clip, question)], 100)
            told = theirs.processor.tokenizer.decode(ids, skip_special_tokens=True)
            assert told == ossicle.ask(ours, clip, question).text == ossicle.ask(again, clip, question).text


def test_there_and_back_again_is_the_same_model(pair: tuple[AudioLM, Theirs], tmp_path: Path) -> None:
    ours, _ = pair
    again = load_qwen2_audio(export_qwen2_audio(ours, tmp_path / "out"))
    assert again.clip_text == ours.clip_text == ClipText("Audio {n}: ", "\n")
    for talks in TALKS.values():
        before, after = (model.prefill(*prepare(model, talks))[1] for model in (ours, again))
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


def test_what_the_layout_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    model = tiny_model(bridge=StackMLP(32, 32, k=2, hidden=16))
    with pytest.raises(ConfigError, match=r"without final_norm, window and chunks; its bridge is mean_pool with k 2"):
        export_qwen2_audio(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_that_fails_leaves_nothing(
    pair: tuple[AudioLM, Theirs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = qwen2_audio._tensors

    def damaged(model: AudioLM, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        made = tensors(model, dtype)
        made["multi_modal_projector.linear.bias"] += 1
        return made

    monkeypatch.setattr(qwen2_audio, "_tensors", damaged)
    with pytest.raises(CheckpointError, match="gives logits that are"):
        export_qwen2_audio(pair[0], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_without_the_audio_token_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("<|AUDIO|>", "<|sound|>"))
    with pytest.raises(CheckpointError, match=r"the tokenizer lacks <\|AUDIO\|>"):
        load_qwen2_audio(tmp_path)


def own_model(family: str = "qwen2", **arguments: Any) -> AudioLM:
    """A model of our own parts that fits the layout; its bridge keeps the odd frame that the layout drops."""
    encoder = WhisperEncoder(replace(ENCODER, final_norm=False))
    return tiny_model(family, encoder=encoder, bridge=MeanPool(32, 32), **arguments)


def same_answers(ours: AudioLM, again: AudioLM) -> None:
    turns = (*user(noise(1.0), QUESTION), Message("assistant", ("a dog",)), *user(noise(0.52, seed=1), "And here?"))
    for talk in ([turns], [user(noise(0.99))]):
        before, after = (model.prefill(*prepare(model, talk))[1] for model in (ours, again))
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_back_as_it_was_or_is_refused(tmp_path: Path, family: str) -> None:
    ours = own_model(family, tokenizer=family_tokenizer(family))
    if family == "gemma2":
        with pytest.raises(
            ConfigError, match=r"its LLM leaves logits as its head gives them \(without final_logit_soft"
        ):
            export_qwen2_audio(ours, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        return
    again = load(str(export_qwen2_audio(ours, tmp_path / "out")), device="cpu")
    same_answers(ours, again)
    assert (again.context, again.clip_text) == (400, ClipText())  # the LLM has 512 positions
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["model_max_length"] == 400


def test_a_tokenizer_with_the_marks_of_a_clip_and_several_templates(tmp_path: Path) -> None:
    several = byte_level()
    several.chat_template = {"default": CHATML, "tool_use": "tools"}
    ours = own_model(tokenizer=several, clip_text=ClipText("Audio {n}: ", "\n"))
    again = load(str(export_qwen2_audio(ours, tmp_path / "out")), device="cpu")
    same_answers(ours, again)
    assert again.clip_text == ours.clip_text and isinstance(again.tokenizer.chat_template, str)


@pytest.mark.parametrize("change", [{"chunks": True}, {"window": True}, {"final_norm": True}])
def test_an_encoder_that_hears_otherwise_is_refused(tmp_path: Path, change: dict[str, bool]) -> None:
    model = own_model()
    model.encoder = WhisperEncoder(replace(model.encoder.settings, **change))
    with pytest.raises(
        ConfigError, match="only if its encoder is a Whisper encoder without final_norm, window and chunks"
    ):
        export_qwen2_audio(model, tmp_path / "out")


@pytest.mark.parametrize("name", ["logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier"])
def test_an_llm_that_scales_its_logits_is_refused(tmp_path: Path, name: str) -> None:
    model = own_model()
    setattr(model.llm.config, name, 0.5)
    with pytest.raises(ConfigError, match=rf"its LLM leaves logits as its head gives them \(without {name}\)"):
        export_qwen2_audio(model, tmp_path / "out")


def test_a_weight_that_no_question_needs_is_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = qwen2_audio._tensors
    row = "language_model.model.embed_tokens.weight"

    def damaged(model: AudioLM, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        made = tensors(model, dtype)
        made[row][-1] += 1
        return made

    monkeypatch.setattr(qwen2_audio, "_tensors", damaged)
    with pytest.raises(CheckpointError, match=rf"the exported weights are others than ours: {row}"):
        export_qwen2_audio(own_model(tied=False), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_exported_folder_is_read_as_a_user_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings = qwen2_audio.write_settings

    def damaged(model: AudioLM, extractor: Any, folder: Path, *, processor: str) -> None:
        write_settings(model, extractor, folder, processor=processor)
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 300}))

    monkeypatch.setattr(qwen2_audio, "write_settings", damaged)
    with pytest.raises(CheckpointError, match=r"the exported prompt is read as another than ours: .*, context 300"):
        export_qwen2_audio(own_model(), tmp_path / "out")


def test_an_encoder_of_another_activation_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "config.json"
    said = json.loads(path.read_text())
    said["audio_config"]["activation_function"] = "relu"
    path.write_text(json.dumps(said))
    with pytest.raises(CheckpointError, match="the activation is 'relu', that of a Whisper encoder is 'gelu'"):
        load_qwen2_audio(tmp_path)
