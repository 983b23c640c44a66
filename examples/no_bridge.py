"""The control of a bridge: frames cut, or filled up with zeros, to the LLM's width; nothing is learned.

python examples/no_bridge.py FILE [MODEL]
"""

import sys

import torch

import ossicle
from ossicle.bridge.runs import Runs, run_lengths, run_spans
from ossicle.tensors import AudioTokens, length_mask


class NoBridge(Runs, torch.nn.Module):  # `Runs`: the lengths of a bridge that makes each run of k frames one token
    k, tail = 1, "pool"

    def __init__(self, width_in, width_out):
        super().__init__()
        self.width_in, self.width_out = width_in, width_out

    def forward(self, frames):
        lengths = run_lengths(frames.lengths, self.k, self.tail)
        valid = length_mask(lengths, frames.values.shape[1])[..., None].to(frames.values.device)
        values = torch.nn.functional.pad(frames.values, (0, self.width_out - self.width_in))  # cuts where that is below 0
        return AudioTokens(values.masked_fill(~valid, 0), lengths, *run_spans(frames, lengths, self.k, self.tail))


if __name__ == "__main__":
    model = ossicle.load(*sys.argv[2:3])
    print("with its bridge:", ossicle.ask(model, sys.argv[1], max_tokens=20).text)
    model.bridge = NoBridge(model.encoder.width, model.bridge.width_out).eval()
    print(ossicle.check_bridge(model.bridge))
    answer = ossicle.ask(model, sys.argv[1], max_tokens=20)
    print("without:", answer.text, answer.ledger)
