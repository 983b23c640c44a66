"""Bring a bridge of your own, here the loudest of k frames: check what it promises, then put it into a model.

python examples/own_bridge.py FILE [MODEL]
"""

import sys

import torch

import ossicle
from ossicle.bridge.runs import Runs, zero_filled
from ossicle.tensors import length_mask


class Loudest(Runs, torch.nn.Module):  # `Runs`: the lengths of a bridge that makes each run of k frames one token
    tail = "pool"

    def __init__(self, width_in, width_out, k):
        super().__init__()
        self.width_in, self.width_out, self.k = width_in, width_out, k
        self.linear = torch.nn.Linear(width_in, width_out)

    def forward(self, frames):
        lengths, n = self.count(frames)
        valid = length_mask(frames.lengths, frames.values.shape[1])[..., None].to(frames.values.device)
        values = frames.values.masked_fill(~valid, float("-inf")).split(self.k, dim=1)
        values = torch.stack([run.amax(dim=1) for run in values], dim=1)[:, :n]
        return self.tokens(self.linear(zero_filled(values, lengths)), frames, lengths)


if __name__ == "__main__":
    model = ossicle.load(*sys.argv[2:3])
    model.bridge = Loudest(model.encoder.width, model.bridge.width_out, k=4).to(model.table.weight).eval()
    print(ossicle.check_bridge(model.bridge))
    print(ossicle.ask(model, sys.argv[1], max_tokens=20).ledger)  # untrained: look at what was given and heard
