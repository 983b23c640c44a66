"""An encoder of your own, here WavLM, between a sound and mini's LLM: python examples/own_encoder.py FILE [MODEL]"""

import sys

import torch
from transformers import WavLMConfig, WavLMModel

import ossicle
from ossicle.bridge.pooling import MeanPool
from ossicle.encoders.waves import at_16k, fitted
from ossicle.tensors import Frames, stacked


class WavLM(torch.nn.Module):
    width, rate_hz, sample_rate, max_samples = 64, 50.0, 16_000, 480_000

    def __init__(self):
        super().__init__()
        self.ear = WavLMModel(WavLMConfig(hidden_size=64, conv_dim=[8] * 7, num_hidden_layers=2, num_attention_heads=4))

    def n_frames(self, n_samples):
        return -(-n_samples // 320)

    def features(self, clips):
        waves = at_16k(clips, self.max_samples)  # a frame sees 400 samples: the last one reaches the clip's end
        rows = [fitted(one, 400 + 320 * (self.n_frames(len(one)) - 1))[None] for one in waves]
        return stacked(rows, [len(one) for one in waves], [clip.duration_s for clip in clips])

    def forward(self, features):
        n_frames = [self.n_frames(n) for n in features.n_samples.tolist()]
        rows = zip(features.values, n_frames, strict=True)  # one by one: its first norm would see the padding
        heard = [self.ear(row[:, : 400 + 320 * (n - 1)]).last_hidden_state[0] for row, n in rows]
        values = torch.nn.utils.rnn.pad_sequence(heard, batch_first=True)
        return Frames(values, torch.tensor(n_frames), self.rate_hz, features.durations_s)


if __name__ == "__main__":
    model, encoder = ossicle.load(*sys.argv[2:3]), WavLM()
    model.encoder, model.bridge = encoder, MeanPool(encoder.width, model.bridge.width_out).eval()
    print(ossicle.check_encoder(encoder), ossicle.ask(model, sys.argv[1], max_tokens=20).ledger, sep="\n")  # untrained
