"""A small random folder in the Ultravox layout, and the published computation on it, written from its description.

Nothing of ours is used: the mel is the published extractor's, the tower's layers and the LLM are of `transformers`,
the bridge is plain arithmetic on the tensors.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prompt.vocabularies import byte_level
from safetensors.torch import save_file
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ossicle.prompt.chat import CHATML

K, HIDDEN, WIDTH = 8, 48, 32
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TOKENIZER = byte_level(special=SPECIAL, template=CHATML)


class Published:
    """The model of a folder, as published."""

    def __init__(self, *, ln_mid: bool = True, tied: bool = False) -> None:
        torch.manual_seed(0)
        audio = WhisperConfig(
            d_model=WIDTH, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, num_mel_bins=80
        )
        text = LlamaConfig(
            vocab_size=320, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=None, eos_token_id=2,
            tie_word_embeddings=tied,
        )  # fmt: skip
        self.tower, self.llm = WhisperEncoder(audio).eval(), LlamaForCausalLM(text).eval()
        sizes = {"ln_pre": (K * WIDTH,), "linear_1": (HIDDEN, K * WIDTH), "linear_2": (WIDTH, HIDDEN // 2)}
        sizes |= {"ln_mid": (HIDDEN // 2,)} if ln_mid else {"ln_post": (WIDTH,)}
        self.bridge = {f"multi_modal_projector.{name}.weight": 0.2 * torch.randn(size) for name, size in sizes.items()}
        with torch.no_grad():  # larger weights than those of initialisation: small mistakes shall show
            for value in (*self.tower.parameters(), *self.llm.parameters()):
                value.add_(0.1 * torch.randn_like(value) if value.ndim > 1 else 0)
        self.config: dict[str, Any] = {
            "model_type": "ultravox",
            "architectures": ["UltravoxModel"],
            "hidden_size": HIDDEN,
            "audio_config": audio.to_dict(),
            "text_config": text.to_dict(),
            "vocab_size": 320,
        }
        if ln_mid:
            self.config["projector_ln_mid"] = True

    def tensors(self, tower: str = "audio_tower.") -> dict[str, torch.Tensor]:
        """What stands on disk."""
        tied = self.llm.config.tie_word_embeddings
        return {
            **{tower + name: value.clone() for name, value in self.tower.state_dict().items()},
            **self.bridge,
            **{
                f"language_model.{name}": value.clone()
                for name, value in self.llm.state_dict().items()
                if not (tied and name == "lm_head.weight")
            },
        }

    def write(self, folder: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: Any) -> Path:
        """The folder, with other tensors or with changes to its config (None takes a key out)."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {key: value for key, value in {**self.config, **changes}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(config))
        save_file(self.tensors() if tensors is None else tensors, folder / "model.safetensors", {"format": "pt"})
        TOKENIZER.save_pretrained(folder)
        return folder

    @torch.no_grad()
    def frames(self, mel: torch.Tensor, n: int) -> torch.Tensor:
        """(T, D) of log-mel (80, M) of which ``n`` frames are valid: all keys past them are masked."""
        tower = self.tower
        hidden = functional.gelu(tower.conv2(functional.gelu(tower.conv1(mel[None])))).transpose(1, 2)
        hidden = hidden + tower.embed_positions.weight[: hidden.shape[1]]
        mask = torch.zeros(1, 1, hidden.shape[1], hidden.shape[1])
        mask[..., (n - 1) // 2 + 1 :] = float("-inf")
        for layer in tower.layers:
            hidden = layer(hidden, mask)
        return tower.layer_norm(hidden)[0]

    @torch.no_grad()
    def heard(self, samples: np.ndarray, *, fill: bool = False) -> torch.Tensor:
        """(N, E) of one clip; with ``fill`` its last token holds what the tower makes of padding, else zeros."""
        samples = np.pad(samples, (0, max(0, 320 - len(samples))))
        got = WhisperFeatureExtractor()(
            samples, sampling_rate=16_000, padding="longest", pad_to_multiple_of=160, truncation=False,
            return_attention_mask=True, return_tensors="pt",
        )  # fmt: skip
        mel, length, found = got["input_features"][0], int(got["attention_mask"].sum()), []
        for first in range(0, length, 3000):
            chunk, n = mel[:, first : first + 3000], min(3000, length - first)
            if first:
                chunk = functional.pad(chunk, (0, 3000 - chunk.shape[1]))
            frames, n_frames = self.frames(chunk, n), (n - 1) // 2 + 1
            if not fill:
                frames = frames[:n_frames]
            frames = functional.pad(frames, (0, 0, 0, -len(frames) % K))
            found.append(self.projected(frames.reshape(-1, K * WIDTH))[: -(-n_frames // K)])
        return torch.cat(found)

    def projected(self, values: torch.Tensor) -> torch.Tensor:
        weights = {name.split(".")[1]: value for name, value in self.bridge.items()}

        def rms(rows: torch.Tensor, name: str) -> torch.Tensor:
            return rows * (rows.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weights[name]

        values = rms(values, "ln_pre") @ weights["linear_1"].T
        first, second = values[:, : HIDDEN // 2], values[:, HIDDEN // 2 :]
        values = first * (second * torch.sigmoid(second))
        values = rms(values, "ln_mid") if "ln_mid" in weights else values
        values = values @ weights["linear_2"].T
        return rms(values, "ln_post") if "ln_post" in weights else values

    @torch.no_grad()
    def logits(self, text: str, clips: Sequence[np.ndarray], more: Sequence[int] = ()) -> torch.Tensor:
        """(V,) of what follows a prompt with placeholders, and further ids."""
        parts = text.split("<|audio|>")
        assert len(parts) == len(clips) + 1
        rows = []
        for part, clip in zip(parts, [*clips, None], strict=True):
            ids = TOKENIZER(part, add_special_tokens=False)["input_ids"] + (list(more) if clip is None else [])
            rows.append(self.llm.get_input_embeddings()(torch.tensor(ids, dtype=torch.int64)))
            if clip is not None:
                rows.append(self.heard(clip))
        return self.llm(inputs_embeds=torch.cat(rows)[None]).logits[0, -1]

    def greedy(self, text: str, clips: Sequence[np.ndarray], n: int) -> list[int]:
        ids: list[int] = []
        while len(ids) < n and 2 not in ids:
            ids.append(int(self.logits(text, clips, ids).argmax()))
        return ids
