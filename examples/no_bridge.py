"""The control of a bridge: means of k frames, cut or filled up with zeros to the LLM's width; nothing is learned.

python examples/no_bridge.py FILE [MODEL]
"""

import sys

import torch

import ossicle
from ossicle.bridge.pooling import mean_runs
from ossicle.bridge.runs import Runs, run_lengths, run_spans
from ossicle.tensors import AudioTokens


class NoBridge(Runs, torch.nn.Module):  # `Runs`: the lengths of a bridge that makes each run of k frames one token
    tail = "pool"

    def __init__(self, width_in, width_out, k):
        super().__init__()
        self.width_in, self.width_out, self.k = width_in, width_out, k

    def forward(self, frames):
        lengths = run_lengths(frames.lengths, self.k, self.tail)
        values = mean_runs(frames.values, frames.lengths, self.k)[:, : int(lengths.max())]
        values = torch.nn.functional.pad(values, (0, self.width_out - self.width_in))  # cuts where that is below 0
        return AudioTokens(values, lengths, *run_spans(frames, lengths, self.k, self.tail))


if __name__ == "__main__":
    model = ossicle.load(*sys.argv[2:3])
    print("with its bridge:", ossicle.ask(model, sys.argv[1], max_tokens=20).text)
    model.bridge = NoBridge(model.encoder.width, model.bridge.width_out, k=2).eval()
    print(ossicle.check_bridge(model.bridge))  # it learns nothing, and keeps every promise
    print("without:", ossicle.ask(model, sys.argv[1], max_tokens=20).text)
