"""Qwen2-Audio weights here and in `transformers`: speed, first token, decoding, the same audio again, side by side.

python benchmarks/qwen2_audio.py [--blocks 9] [--folder FOLDER]      writes docs/results/qwen2_audio.md

Arms, in one process, on the same tensors, clips, threads, float32, greedy, the end token off:
  ours       `ask_all`: valid frames only, batches by length, keys and values in buffers, the head on the last position
  reference  the published processor and `generate`
  tuned      the same with all that a user can patch in from outside: clips sorted by length, the extractor and the
             encoder set to each batch's longest clip instead of 30 s
each at its own best of the batch sizes 1, 4, 8 and 16.
A block runs every arm twice, A B C C B A; a ratio is of the two sums of a block. A block whose two runs of an arm
differ by over 10 % is measured again, at most twice. Without --folder the model is random: an encoder of 7 million
parameters, an LLM of 11 million and 4,096 tokens.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

from ossicle.audio.io import read_clip
from ossicle.hub.qwen2_audio import TEMPLATE, load_qwen2_audio, named
from ossicle.infer.ask import ask
from ossicle.infer.describe import physical_cores
from ossicle.infer.generate import Sampling, generate
from ossicle.infer.memory import Memory
from ossicle.infer.requests import Request, ask_all, conversation, prepare
from ossicle.models.audio_lm import AudioLM
from ossicle.train.origin import commit

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "qwen2_audio.md"
QUESTION, OTHER = "What is said?", "Who speaks here?"
WORDS = f"system\nuser\nassistant\n You are a helpful assistant. Audio 1: 2: {QUESTION} {OTHER}\n"
RATE, TOKENS, DRAWS, APART, WARM = 16_000, 24, 10_000, 0.10, 3
BATCHES = (1, 4, 8, 16)
LEGEND = (
    "A ratio is the median over the blocks, with a 95 % bootstrap interval; a goal counts as reached when the poorer",
    "end of the interval passes it. Times are medians of single runs: ours / reference / tuned (G7: again / first), in",
    "seconds for many clips, else in milliseconds. The last column counts blocks that were measured again",
    "because two runs of one arm differed by over 10 %.",
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")


def tokenizer_of(n_ids: int) -> PreTrainedTokenizerFast:
    """A tokenizer that reads a prompt in about as many tokens as a published one does, and has a text of its own for
    each id: common words are one token, what is left of the ids is never read."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = byte_level
    trainer = trainers.BpeTrainer(initial_alphabet=sorted(byte_level.alphabet()), show_progress=False)
    learned.train_from_iterator([WORDS], trainer)
    model = json.loads(learned.to_str())["model"]
    known = list(model["vocab"])
    vocab = {one: i for i, one in enumerate([*known, *(f"<{i}>" for i in range(n_ids - len(known) - len(SPECIALS)))])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(pair) for pair in model["merges"]]))
    made.pre_tokenizer, made.decoder = byte_level, decoders.ByteLevel()
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in SPECIALS])
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def write_random(folder: Path) -> None:
    """A random checkpoint in the published layout."""
    torch.manual_seed(0)
    tokenizer = tokenizer_of(4096)
    text = Qwen2Config(
        vocab_size=4096, hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6,
        num_key_value_heads=6, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None, tie_word_embeddings=False, initializer_range=0.1,
    )  # fmt: skip
    audio = Qwen2AudioEncoderConfig(
        d_model=384, encoder_layers=4, encoder_attention_heads=6, encoder_ffn_dim=1536, num_mel_bins=80
    )
    token = tokenizer.convert_tokens_to_ids("<|AUDIO|>")
    config = Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=token)
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)


class Endless(AudioLM):
    """Ours with the end token off."""

    end_ids = frozenset()


class Reference:
    """The published class and processor on our tensors; ``tuned`` patches in what can be."""

    def __init__(self, folder: Path, ours: AudioLM, *, tuned: bool) -> None:
        self.tuned = tuned
        self.model = Qwen2AudioForConditionalGeneration.from_pretrained(folder).eval()
        self.processor = Qwen2AudioProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"
        self.template = self.processor.chat_template or TEMPLATE
        tensors = {_inner(name): value for name, value in named(ours).items()}
        for name, value in self.model.named_parameters():
            assert torch.equal(value, tensors[name]), name
            value.data = tensors[name].data  # the very same memory
        self.tower, self.positions = self.model.model.audio_tower, self.model.model.audio_tower.embed_positions.weight

    @torch.no_grad()
    def answers(self, sounds: Sequence[bytes], n: int, *, batch: int) -> list[str]:
        """Texts of ``n`` tokens, one for each encoded sound."""
        told = [{"role": "user", "content": [{"type": "audio", "audio_url": "x"}, {"type": "text", "text": QUESTION}]}]
        text = self.processor.apply_chat_template(
            told, chat_template=self.template, add_generation_prompt=True, tokenize=False
        )
        order = sorted(range(len(sounds)), key=lambda i: len(sounds[i]) if self.tuned else i)
        answers = [""] * len(sounds)
        for at in range(0, len(order), batch):
            group = order[at : at + batch]
            audio = [soundfile.read(io.BytesIO(sounds[i]), dtype="float32")[0] for i in group]
            if self.tuned:
                self._trim(max(map(len, audio)))
            inputs = self.processor(
                text=[text] * len(group), audio=audio, sampling_rate=RATE, return_tensors="pt", padding=True
            )
            ids = self.model.generate(**inputs, max_new_tokens=n, min_new_tokens=n, do_sample=False)
            new = ids[:, inputs["input_ids"].shape[1] :]
            for i, said in zip(group, self.processor.batch_decode(new, skip_special_tokens=True), strict=True):
                answers[i] = said
        return answers

    def _trim(self, n_samples: int) -> None:
        """Extractor and encoder for clips of at most so many samples, with the two frames that the last one sees."""
        n_frames = min(-(-n_samples // 320) + 1, len(self.positions))
        self.processor.feature_extractor.n_samples = 320 * n_frames
        self.tower.config.max_source_positions = n_frames
        self.tower.embed_positions.weight = nn.Parameter(self.positions[:n_frames], requires_grad=False)


def _inner(name: str) -> str:
    """The name in memory of a name on disk."""
    if name == "language_model.lm_head.weight":
        return "lm_head.weight"
    return "model." + name.replace("language_model.model.", "language_model.")


def sounds_of(seconds: Sequence[float], seed: int) -> list[bytes]:
    """WAV files of noise that comes and goes."""
    rng = np.random.default_rng(seed)
    files = []
    for length in seconds:
        n = round(length * RATE)
        samples = rng.normal(0, 0.1, n) * (1.2 + np.sin(np.arange(n) / RATE * rng.uniform(2, 20)))
        file = io.BytesIO()
        soundfile.write(file, samples.astype(np.float32), RATE, format="WAV", subtype="PCM_16")
        files.append(file.getvalue())
    return files


def ours_answers(model: AudioLM, sounds: Sequence[bytes], n: int, *, batch: int) -> list[str]:
    """As `Reference.answers`."""
    requests = [Request(conversation([read_clip(one, rate=RATE)], QUESTION), Sampling(n)) for one in sounds]
    return [answer.text for answer in ask_all(model, requests, batch=batch)]


@dataclass
class Blocks:
    """Times of the arms: for each, two runs in every block."""

    times: dict[str, list[tuple[float, float]]]
    again: int

    def ratio(self, above: str, below: str) -> tuple[float, float, float]:
        """Median over the blocks of the time of one arm over that of another, with a 95 % bootstrap interval."""
        each = np.array([sum(a) / sum(b) for a, b in zip(self.times[above], self.times[below], strict=True)])
        rng = np.random.default_rng(0)
        draws = np.median(each[rng.integers(0, len(each), (DRAWS, len(each)))], axis=1)
        return float(np.median(each)), *(float(x) for x in np.percentile(draws, [2.5, 97.5]))

    def seconds(self, arm: str) -> float:
        """Median of an arm's single runs."""
        return float(np.median(self.times[arm]))


def measure(arms: dict[str, Callable[[], float | None]], n_blocks: int) -> Blocks:
    """Run the arms in blocks. An arm that returns a number is timed by that, the others by the clock."""

    def once(arm: Callable[[], float | None]) -> float:
        began = time.perf_counter()
        told = arm()
        return time.perf_counter() - began if told is None else told

    for arm in arms.values():
        once(arm)
    blocks = Blocks({name: [] for name in arms}, 0)
    for _ in range(n_blocks):
        for left in (2, 1, 0):
            first = {name: once(arm) for name, arm in arms.items()}
            second = {name: once(arms[name]) for name in reversed(arms)}
            if left == 0 or all(abs(first[k] - second[k]) <= APART * max(first[k], second[k]) for k in arms):
                break
            blocks.again += 1
        for name in arms:
            blocks.times[name].append((first[name], second[name]))
    return blocks


class Bench:
    """The arms, and the rows of the table."""

    def __init__(self, folder: Path, n_blocks: int) -> None:
        plain = load_qwen2_audio(folder)
        self.ours = Endless(
            plain.encoder, plain.bridge, plain.llm, plain.tokenizer,
            context=plain.context, pattern="full", name="ours", clip_text=plain.clip_text,
        ).eval()  # fmt: skip
        self.reference = Reference(folder, self.ours, tuned=False)
        self.tuned = Reference(folder, self.ours, tuned=True)
        self.n_blocks = n_blocks
        self.rows: list[str] = []
        self.notes: list[str] = []

    def row(self, goal: str, what: str, blocks: Blocks, ratio: tuple[str, str], wanted: float, unit: float) -> None:
        """A line: the ratio with its interval, and whether its poorer end reaches what is wanted."""
        value, low, high = blocks.ratio(*ratio)
        least = wanted >= 0.9
        reached = low >= wanted if least else high <= wanted
        said = f"{value:.2f} ({low:.2f} to {high:.2f})"
        times = " / ".join(f"{unit * blocks.seconds(arm):.3g}" for arm in blocks.times)
        mark, verdict = (">=" if least else "<="), ("reached" if reached else "not reached")
        self.rows.append(f"| {goal} | {what} | {said} | {mark} {wanted:g} | {verdict} | {times} | {blocks.again} |")
        print(self.rows[-1], flush=True)

    def offline(self, goal: str, what: str, seconds: Sequence[float], wanted: float) -> None:
        """Whole answers to many clips."""
        sounds = sounds_of(seconds, 1)
        answers: dict[str, Callable[..., list[str]]] = {
            "ours": partial(ours_answers, self.ours, sounds, TOKENS),
            "reference": partial(self.reference.answers, sounds, TOKENS),
            "tuned": partial(self.tuned.answers, sounds, TOKENS),
        }
        best = {name: _best(arm, len(sounds)) for name, arm in answers.items()}
        said = {name: arm(batch=best[name]) for name, arm in answers.items()}
        ties, other = self._differences(sounds, said["ours"], said["reference"])
        same = sum(a == b for a, b in zip(said["tuned"], said["reference"], strict=True))
        digest = hashlib.sha256(b"".join(sounds)).hexdigest()[:12]
        self.notes.append(
            f"{what}: {len(sounds)} clips, {sum(seconds):.1f} s (sha256 {digest}), {TOKENS} tokens each; best batch "
            f"{', '.join(f'{n} ({name})' for name, n in best.items())}; answers equal to the reference's "
            f"{len(sounds) - ties - other}, at a tie of the two likeliest tokens (below 1e-4) {ties}, "
            f"different {other}; tuned equal to the reference {same}."
        )

        def answered(name: str) -> Callable[[], float | None]:
            return lambda: _none(answers[name](batch=best[name]))

        arms = {name: answered(name) for name in answers}
        blocks = measure(arms, self.n_blocks)
        self.row(goal, f"{what}, time against the reference", blocks, ("reference", "ours"), wanted, 1)
        self.row(goal, f"{what}, time against the tuned", blocks, ("tuned", "ours"), wanted, 1)

    def _differences(self, sounds: Sequence[bytes], ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, int]:
        """Answers that part at a tie, and answers that part otherwise."""
        ties = other = 0
        for sound, one, two in zip(sounds, ours, theirs, strict=True):
            if one != two:
                at = _tie(self.ours, sound, one, two)
                ties, other = ties + at, other + (not at)
        return ties, other

    def first_token(self, seconds: float, wanted: float) -> None:
        """Bytes in, one token out."""
        sounds, batch = sounds_of([seconds], 2), 1
        arms: dict[str, Callable[[], float | None]] = {
            "ours": lambda: _none(ours_answers(self.ours, sounds, 1, batch=batch)),
            "reference": lambda: _none(self.reference.answers(sounds, 1, batch=batch)),
            "tuned": lambda: _none(self.tuned.answers(sounds, 1, batch=batch)),
        }
        for _ in range(WARM):
            [arm() for arm in arms.values()]
        blocks = measure(arms, self.n_blocks)
        what = f"first token, {seconds:g} s clip, against the"
        self.row("G2", f"{what} reference", blocks, ("reference", "ours"), wanted, 1000)
        self.row("G2", f"{what} tuned", blocks, ("tuned", "ours"), wanted, 1000)

    def decode(self) -> None:
        """Time of a further token, batch 1: what 65 tokens take longer than one, over 64."""
        sounds = sounds_of([5.0], 3)

        def step(answers: Callable[..., list[str]]) -> float:
            few, many = (_timed(partial(answers, sounds, n, batch=1)) for n in (1, 65))
            return (many - few) / 64

        blocks = measure(
            {
                "ours": lambda: step(partial(ours_answers, self.ours)),
                "reference": lambda: step(self.reference.answers),
                "tuned": lambda: step(self.tuned.answers),
            },
            self.n_blocks,
        )
        self.row("G4", "a decoding step, of the reference's", blocks, ("ours", "reference"), 0.5, 1000)
        self.row("G4", "a decoding step, of the tuned's", blocks, ("ours", "tuned"), 0.5, 1000)

    def again(self, seconds: float) -> None:
        """The same audio asked something else, with a memory."""
        clip = read_clip(sounds_of([seconds], 4)[0], rate=RATE)
        same = ask(self.ours, clip, OTHER, max_tokens=TOKENS).text

        def first() -> float:
            return _timed(lambda: ask(self.ours, clip, OTHER, max_tokens=1))

        def second() -> float:
            memory = Memory(self.ours)
            ask(self.ours, clip, QUESTION, max_tokens=1, memory=memory)
            return _timed(lambda: ask(self.ours, clip, OTHER, max_tokens=1, memory=memory))

        memory = Memory(self.ours)
        ask(self.ours, clip, QUESTION, max_tokens=1, memory=memory)
        equal = ask(self.ours, clip, OTHER, max_tokens=TOKENS, memory=memory).text == same
        verdict = "equals" if equal else "DIFFERS FROM"
        self.notes.append(f"{seconds:g} s clip asked again: the answer {verdict} the one without memory.")
        blocks = measure({"again": second, "first": first}, self.n_blocks)
        what = f"first token, {seconds:g} s clip asked again"
        self.row("G7", f"{what}, of the first time's", blocks, ("again", "first"), 0.3, 1000)


def _best(answers: Callable[..., list[str]], n_clips: int) -> int:
    """The batch size at which an arm is fastest; each is run once to warm up, once for the clock."""

    def seconds(batch: int) -> float:
        answers(batch=batch)
        return _timed(partial(answers, batch=batch))

    return min((n for n in BATCHES if n <= max(n_clips, min(BATCHES))), key=seconds)


def _none(_: Any) -> None:
    """For arms that the clock times."""


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _tie(model: AudioLM, sound: bytes, one: str, two: str) -> bool:
    """Whether two answers part where the two likeliest tokens are nearly equal."""
    prompts, heard = prepare(model, [conversation([read_clip(sound, rate=RATE)], QUESTION)])
    state, logits = model.prefill(prompts, heard)
    said = ""
    for steps in generate(model, prompts, heard, Sampling(TOKENS)):
        best = logits[0].topk(2).values
        said += steps[0].text
        if not two.startswith(said):
            return bool(best[0] - best[1] < 1e-4)
        logits = model.step(torch.tensor([steps[0].ids[0]]), state)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="a checkpoint in the Qwen2-Audio layout; else a random one")
    parser.add_argument("--clips", type=int, default=16, help="of the uniform and of the short mix")
    given = parser.parse_args()
    torch.set_num_threads(physical_cores())
    transformers.utils.logging.set_verbosity_error()
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if given.folder is None:
            write_random(folder)
        bench = Bench(folder, given.blocks)
        rng = np.random.default_rng(0)
        uniform = rng.uniform(1, 30, given.clips)
        short = np.clip(rng.lognormal(np.log(6.3) - 0.7**2 / 2, 0.7, given.clips), 0.5, 30)
        bench.first_token(1.0, 10)
        bench.first_token(5.0, 4)
        bench.decode()
        bench.again(5.0)
        bench.again(30.0)
        bench.offline("G1", "uniform 1 to 30 s", uniform.tolist(), 2.0)
        bench.offline("G1", "log-normal, mean 6.3 s", short.tolist(), 3.0)
        bench.offline("G3", "30 s", [30.0] * (given.clips // 2), 0.95)
        digest = hashlib.sha256()
        for value in bench.ours.state_dict().values():
            digest.update(value.numpy().tobytes())
    model = given.folder.name if given.folder else "random, 7 + 11 + 2 million parameters"
    keys = ("blocks", "clips", "folder")
    said = [f"--{key} {getattr(given, key)}" for key in keys if getattr(given, key) is not None]
    head = (
        f"Made by `{' '.join(['python benchmarks/qwen2_audio.py', *said])}` at commit {commit()} on "
        f"{datetime.now(UTC):%Y-%m-%d}: {_cpu()}, {physical_cores()} cores, {torch.get_num_threads()} threads, "
        f"float32; torch {torch.__version__}, transformers {transformers.__version__}; load average before "
        f"{before[0]:.1f}, after {os.getloadavg()[0]:.1f}; model: {model}, weights sha256 {digest.hexdigest()[:12]}, "
        f"one copy in memory for all arms; {given.blocks} blocks."
    )
    table = ["| goal | what | ratio | wanted | | times | again |", "| --- | --- | --- | --- | --- | --- | --- |"]
    lines = ["# Qwen2-Audio weights, here and in transformers", "", head, "", *LEGEND, "", *table, *bench.rows, ""]
    lines += [f"- {note}" for note in bench.notes]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


def _cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
