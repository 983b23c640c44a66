"""An 8B-shaped LLM with a Whisper-large-shaped encoder on one GPU: 50 steps of two patterns, memory and its estimate.

python benchmarks/eight_b.py            writes docs/results/eight_b.md; needs a GPU of 80 GB and 40 GB of disk
python benchmarks/eight_b.py --small    the same way on tiny parts, on any processor; writes nothing

Weights are random, as speed and memory do not ask what they are; the way is a user's: folders of published parts, a
manifest, `recipes/own-parts.yaml`, first its preflight, then the run.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from ossicle.train.loop import run
from ossicle.train.origin import commit
from ossicle.train.preflight import preflight

ROOT = Path(__file__).parents[1]
RECIPE, RESULTS = ROOT / "recipes" / "own-parts.yaml", ROOT / "docs" / "results" / "eight_b.md"
STEPS, CLIP_S, BATCH_S, CLIPS = 50, 10.0, 80.0, 120
LARGE = {"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120}
EIGHT = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128_256,
}  # fmt: skip
TINY_EAR = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
TINY_LLM = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 320,
}  # fmt: skip
PATTERNS = {
    "1 (bridge)": (),
    "2 (bridge, LoRA)": ("connect.trains=[bridge, lora]", "connect.lora_rank=16", "connect.checkpointing=true"),
}


def write_parts(folder: Path, ear: dict[str, int], llm: dict[str, int], device: str) -> None:
    """Random parts in the published form, in bfloat16."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        torch.manual_seed(0)
        few = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64}  # of which nothing is used
        WhisperModel(WhisperConfig(num_mel_bins=128, **ear, **few)).save_pretrained(folder / "ear")
        LlamaForCausalLM(LlamaConfig(**llm, max_position_embeddings=8192)).save_pretrained(folder / "llm")
    torch.set_default_dtype(torch.float32)
    WhisperFeatureExtractor(feature_size=128).save_pretrained(folder / "ear")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={one: i for i, one in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    ends = ("<|im_start|>", "<|im_end|>")
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in ends])
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token=ends[1], pad_token=ends[0]).save_pretrained(folder / "llm")


def write_manifest(folder: Path) -> Path:
    """Clips of noise with a sentence each."""
    rng, lines = np.random.default_rng(0), []
    for i in range(CLIPS):
        samples = rng.normal(0, 0.1, int(CLIP_S * 16_000)).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", samples, 16_000)
        lines.append(json.dumps({"audio": f"{i}.wav", "text": "the quick brown fox jumps over the lazy dog " * 2}))
    (folder / "own.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "own.jsonl"


def measure(folder: Path, data: Path, name: str, changes: tuple[str, ...], device: str) -> str:
    """One row: preflight, then the run."""
    asked: dict[str, Any] = {
        "data": str(data),
        "device": device,
        "overrides": (
            f"parts.encoder_from={folder / 'ear'}", f"parts.llm_from={folder / 'llm'}", "holdout=0", *changes,
            f"connect.data.batch_s={BATCH_S}", "connect.data.cache=false", "connect.optimizer.accumulate=1",
            f"connect.budget.audio_hours={STEPS * BATCH_S / 3600}",
        ),
    }  # fmt: skip
    (stage,) = preflight(RECIPE, **asked).stages
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    out = folder / f"run-{name[0]}"
    run(RECIPE, out=out, **asked)
    origin = json.loads((out / "model" / "origin.json").read_text())
    speed = origin["data_hours"] / origin["training_hours"]
    said = f"| {name} | {origin['steps']} | {speed:.0f} | {stage.bytes / 1e9:.2f} GB |"
    if device != "cuda":
        return f"{said} not on a processor | |"
    peak = torch.cuda.max_memory_allocated()
    return f"{said} {peak / 1e9:.2f} GB | {stage.bytes / peak:.2f} |"


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "a processor"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny parts, any processor")
    small = parser.parse_args().small
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not small:
        print("eight_b needs a GPU; --small goes the same way with tiny parts")
        return
    lines = [
        "# Training an 8B-shaped LLM with a Whisper-large-shaped encoder", "",
        f"Made by `python benchmarks/eight_b.py` at commit {commit()} on {_device()},"
        f" torch {torch.__version__}: random weights, {STEPS} steps of {BATCH_S:g} s in clips of {CLIP_S:g} s.", "",
        "| pattern | steps | audio-hours an hour | memory, by preflight | at its peak | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_parts(folder, *((TINY_EAR, TINY_LLM) if small else (LARGE, EIGHT)), device)
        data = write_manifest(folder)
        for name, changes in PATTERNS.items():
            lines.append(measure(folder, data, name, changes, device))
            print(lines[-1], flush=True)
    if not small:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
