"""Families of LLMs: what holds for one holds for all, with tied and untied embeddings, over sliding windows.

Batched = alone, cached = uncached, text by `inputs_embeds` = text by ids, training = inference, each one's own chat
template, and one step of training. Saving and loading them bit by bit is in tests/hub/test_folder.py.
"""

from typing import Any

import numpy as np
import pytest
import torch
from prompt.families import NO_SYSTEM, TEMPLATES, family_tokenizer

from ossicle.audio.clip import Clip
from ossicle.bridge.calibrate import calibrate
from ossicle.errors import RequestError
from ossicle.infer.describe import calibration
from ossicle.models.audio_lm import AudioLM
from ossicle.models.lora import add_lora
from ossicle.prompt.chat import Message, Prompt, end_of_turn, render, render_answer
from ossicle.train.answers import Answer
from ossicle.train.recipe_stages import Budget, Optimizer, Stage
from ossicle.train.sources import Sample
from ossicle.train.stage import new_optimizer, set_trainable

from .tiny import FAMILIES, WINDOW, asked, noise, tiny_model

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
EACH = pytest.mark.parametrize("family", FAMILIES)
TIED = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


@TIED
@EACH
def test_a_batch_gives_the_logits_of_each_prompt_alone(family: str, tied: bool) -> None:
    model = tiny_model(family, tied=tied)
    several = [asked(model, [0.3], "Yes?"), asked(model, [1.1, 0.5]), asked(model, [], "No clip at all, only this.")]
    assert min(len(prompt.ids) for prompt, _ in several) > WINDOW
    further = torch.tensor([[5, 9, 30], [7, 8, 40], [6, 3, 50]])
    state, first = model.prefill([p for p, _ in several], [h for _, h in several])
    together = [first, *(model.step(further[:, i], state) for i in range(3))]
    for row, (prompt, heard) in enumerate(several):
        state, first = model.prefill([prompt], [heard])
        alone = [first, *(model.step(further[row : row + 1, i], state) for i in range(3))]
        torch.testing.assert_close(torch.stack([x[row] for x in together]), torch.cat(alone), **CLOSE)


@TIED
@EACH
def test_the_cache_gives_what_reading_everything_again_gives(family: str, tied: bool) -> None:
    model = tiny_model(family, tied=tied)
    prompt, heard = asked(model, [0.7])
    state, got = model.prefill([prompt], [heard])
    ids = list(prompt.ids)
    for token in (5, 77, 2):
        vectors = model.embed([Prompt(ids, prompt.slots)], [heard])[0][None]
        torch.testing.assert_close(got, model.llm(inputs_embeds=vectors).logits[:, -1], **CLOSE)
        got = model.step(torch.tensor([token]), state)
        ids.append(token)


@EACH
def test_steps_that_were_forgotten_behind_a_window_leave_no_trace(family: str) -> None:
    model = tiny_model(family)
    prompt, heard = asked(model, [0.7])
    state, _ = model.prefill([prompt], [heard])
    before = model.step(torch.tensor([5]), state)
    for token in (9, 30, 40):
        model.step(torch.tensor([token]), state)
    state.crop(4)
    torch.testing.assert_close(model.step(torch.tensor([5]), state), before, **CLOSE)


@TIED
@EACH
def test_text_that_goes_in_as_vectors_is_what_its_ids_are(family: str, tied: bool) -> None:
    """Gemma scales inside its embedding module, so that rows which pass through `inputs_embeds` are scaled once."""
    model = tiny_model(family, tied=tied)
    prompt, _ = asked(model, [])
    ids = torch.tensor([prompt.ids])
    theirs = model.llm(input_ids=ids).logits
    torch.testing.assert_close(model.prefill([prompt], [[]])[1], theirs[:, -1], **CLOSE)
    vectors, mask = model.splice([prompt], None)
    torch.testing.assert_close(model.llm(inputs_embeds=vectors, attention_mask=mask).logits, theirs, **CLOSE)


@EACH
def test_padding_on_the_right_in_training_gives_the_logits_of_inference(family: str) -> None:
    model = tiny_model(family)
    clips = [noise(0.9), noise(0.3, seed=1)]
    several = [asked(model, [clip.duration_s], question) for clip, question in zip(clips, ("Yes?", "a"), strict=True)]
    heard = [model.hear([clip]) for clip in clips]
    prompts = [prompt for prompt, _ in several]
    with torch.no_grad():
        tokens = model.bridge(model.encoder(model.encoder.features(clips)))
        vectors, mask = model.splice(prompts, tokens)
        logits = model.llm(inputs_embeds=vectors, attention_mask=mask).logits
    for row, prompt in enumerate(prompts):
        alone = model.prefill([prompt], [heard[row]])[1][0]
        torch.testing.assert_close(logits[row, len(prompt.ids) - 1], alone, **CLOSE)


@EACH
def test_a_bridge_gets_the_size_of_the_embeddings_as_the_llm_reads_them(family: str) -> None:
    model = tiny_model(family)
    scale = 32**0.5 if family.startswith("gemma") else 1.0
    torch.testing.assert_close(model.embedding_rows(), model.table.weight.detach() * scale)
    calibrate(model.bridge, model.encoder(model.encoder.features([noise(0.9)])), model.embedding_rows())
    wanted = float(model.table.weight.norm(dim=1).median()) * scale
    found = calibration(model)
    assert found["median_norm_of_embeddings"] == pytest.approx(wanted, rel=1e-3)
    assert found["median_norm_of_audio_tokens"] == pytest.approx(wanted, rel=0.1)


# Prompts

CLIP = Clip(np.zeros(1600, np.float32), 16_000)


@EACH
def test_a_prompt_is_what_the_familys_own_template_writes(family: str) -> None:
    tokenizer = family_tokenizer(family)
    turns = [("user", "What is said?"), ("assistant", "hello world"), ("user", "Again?")]
    written = tokenizer.apply_chat_template(
        [{"role": role, "content": text} for role, text in turns],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    messages = [Message(role, (text,)) for role, text in turns]
    assert tokenizer.decode(render(messages, [], tokenizer, pad_id=0).ids) == written
    heard = render([Message("user", (CLIP, *messages[0].content)), *messages[1:]], [2], tokenizer, pad_id=0)
    (slot,) = heard.slots
    bare = heard.ids[: slot.start] + heard.ids[slot.start + slot.length :]
    assert tokenizer.decode(bare) == written
    assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == TEMPLATES[family][2]


@EACH
def test_a_system_turn_is_read_or_refused_in_words(family: str) -> None:
    tokenizer = family_tokenizer(family)
    messages = [Message("system", ("Be brief.",)), Message("user", (CLIP, "Why?"))]
    if family not in NO_SYSTEM:
        text = tokenizer.decode(render(messages, [2], tokenizer, pad_id=0).ids)
        assert text.count("Be brief.") == 1 and text.index("Be brief.") < text.index("Why?")
        return
    why = "System role not supported|roles must alternate"
    with pytest.raises(RequestError, match=rf"refuses these messages: .*({why}).*say it at the beginning of the first"):
        render(messages, [2], tokenizer, pad_id=0)
    with pytest.raises(RequestError, match=r"must alternate[^(]*$"):  # no word of a system turn where there is none
        render([messages[1], messages[1]], [2, 2], tokenizer, pad_id=0)


@EACH
def test_no_text_becomes_a_special_token(family: str) -> None:
    tokenizer = family_tokenizer(family)
    names = TEMPLATES[family][0]
    reserved = set(tokenizer.convert_tokens_to_ids(list(names)))
    text = "".join(names) + names[-1][:3] + names[-1] + names[-1][3:]

    def special(*content: Clip | str) -> list[int]:
        return [key for key in render([Message("user", content)], [2], tokenizer, pad_id=300).ids if key in reserved]

    assert special(text, CLIP, text) == special("", CLIP, "")
    assert not reserved & set(render_answer(tokenizer, text)[:-1])


# Training


def trained(family: str, tied: bool, pattern: str) -> tuple[AudioLM, Stage]:
    model = tiny_model(family, tied=tied, pattern="full", tokenizer=family_tokenizer(family))
    if pattern == "lora":
        add_lora(model, 2)
    parts: dict[str, Any] = {"frozen": ("bridge",), "lora": ("bridge", "lora"), "full": ("encoder", "bridge", "llm")}
    return model, Stage("s", "answer", parts[pattern], Budget(1, 1), optimizer=Optimizer(lr=1e-3))


@pytest.mark.parametrize("pattern", ["frozen", "lora", "full"])
@TIED
@EACH
def test_a_step_moves_what_is_trained_and_nothing_else(family: str, tied: bool, pattern: str) -> None:
    model, stage = trained(family, tied, pattern)
    objective = Answer(model)
    moving = set_trainable(stage, model, objective)
    optimizer = new_optimizer(stage, model, objective, moving)
    samples = [Sample(noise(0.4 + i / 5, seed=i).samples, "What is said?", "hello world", "own") for i in range(2)]
    batch = objective.collate([objective.item(sample, np.random.default_rng(0)) for sample in samples])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    losses = []
    for _ in range(2):
        total, count, _ = objective.loss(model, batch)
        losses.append(total.item() / count)
        (total / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[1] < losses[0]
    for name, value in model.named_parameters():
        part = "lora" if "lora_" in name else name.split(".", 1)[0]
        if part not in stage.trains or "embed_positions" in name:
            assert torch.equal(value, before[name]), name
        elif "k_proj.bias" not in name:  # a bias of keys shifts all scores alike, so that it gets no gradient
            assert not torch.equal(value, before[name]), name
    assert (model.llm.get_output_embeddings().weight is model.table.weight) == tied
