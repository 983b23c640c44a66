"""A policy of your own, which writes while it is sure: python examples/own_policy.py FILE [MODEL]; or on the command
line: ossicle translate --live --to fr --policy examples/own_policy.py:Sure"""

import sys

from ossicle.audio.io import read_clip
from ossicle.hub.translator import load_translator
from ossicle.simul.policies import Read, Write
from ossicle.simul.stream import Interpreting


class Sure:
    def begin(self):
        """A new utterance: this policy remembers nothing."""

    def decide(self, pen):
        ids, reasons = [], []
        while len(ids) < pen.most and not pen.ends(token := pen.likeliest(), len(ids)):
            p = float(pen.step.log_probs[token].exp())
            if p < 0.9 and not pen.finished:
                break
            ids, reasons = [*ids, token], [*reasons, f"it is {p:.0%} sure"]
            if token == pen.eos:  # the sentence is over, the next one may begin
                break
            pen.go_on(token)
        return Write(tuple(ids), tuple(reasons)) if ids else Read("it is not sure of the next token")


if __name__ == "__main__":
    clip = read_clip(sys.argv[1], rate=16_000)
    session = Interpreting(load_translator(*(sys.argv[2:3] or ["mini-simul"])), Sure(), "fr")
    for at in range(0, clip.n_samples, 5120):  # 0.32 s each, as if they came from a microphone
        for piece in session.hear(clip.samples[at : at + 5120]):
            print(f"{piece.at_s:6.2f} s {piece.text}")
    print(f"{clip.duration_s:6.2f} s {session.finish()[0].text}")
