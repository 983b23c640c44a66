"""ossicle as a SimulEval agent: speech in, text out, by any of the policies.

    simuleval --agent agents/speech_to_text.py --source wavs.txt --target references.txt --output out \
        --source-segment-size 320 --quality-metrics BLEU --latency-metrics AL LAAL --to fr

SimulEval 1.1.4 works beside current packages when it is installed alone: `pip install --no-deps simuleval==1.1.4` and
`pip install -e '.[simuleval]'`. It feeds recordings of 16 kHz, mono; after the last piece it asks once.
"""

from argparse import ArgumentParser

import numpy as np
import torch
from simuleval.agents import SpeechToTextAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.utils import entrypoint

from ossicle.hub.translator import load_translator
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.stream import Interpreting


@entrypoint
class Agent(SpeechToTextAgent):
    """One utterance at a time."""

    def __init__(self, args) -> None:
        torch.set_num_threads(1)
        self.model = load_translator(args.model, device="cpu")
        self.policy_name = args.policy or best_policy(self.model)
        self.language = args.to
        super().__init__(args)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """What the command line may say beside SimulEval's own options."""
        parser.add_argument("--model", default="mini-simul", help="a shipped name, or a translator's folder")
        parser.add_argument("--policy", default=None, help="as of ossicle translate --live; the model's best")
        parser.add_argument("--to", required=True, help="language to write")

    def reset(self) -> None:
        """A new utterance."""
        super().reset()
        self.session = Interpreting(self.model, policy_named(self.policy_name, self.model), self.language)

    def policy(self) -> Action:
        """What is written after the samples that came since it was asked before."""
        states = self.states
        done = round(self.session.heard_s * self.model.sample_rate)
        new = np.asarray(states.source[done:], np.float32)
        events = self.session.hear(new)
        if states.source_finished:
            events += self.session.finish()
        text = "".join(one.text for one in events)
        if states.source_finished:
            return WriteAction(text, finished=True)
        return WriteAction(text, finished=False) if text else ReadAction()
