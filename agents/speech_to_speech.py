"""ossicle as a SimulEval agent: speech in, speech out, phrase by phrase.

    simuleval --agent agents/speech_to_speech.py --source wavs.txt --target references.txt --output out \
        --source-segment-size 320 --latency-metrics StartOffset EndOffset --to fr

As for speech_to_text.py. What it said is in out/wavs; SimulEval's own ASR-BLEU needs fairseq, so quality is measured
by `ossicle evaluate`.
"""

from argparse import ArgumentParser

import numpy as np
import torch
from simuleval.agents import SpeechToSpeechAgent
from simuleval.agents.actions import Action, ReadAction, WriteAction
from simuleval.data.segments import SpeechSegment
from simuleval.utils import entrypoint

from ossicle.hub.translator import load_translator
from ossicle.simul.named import best_policy, policy_named
from ossicle.simul.speech import Uttered, Uttering
from ossicle.simul.stream import Interpreting


@entrypoint
class Agent(SpeechToSpeechAgent):
    """One utterance at a time."""

    def __init__(self, args) -> None:
        torch.set_num_threads(1)
        self.model = load_translator(args.model, device="cpu")
        self.policy_name = args.policy or best_policy(self.model)
        self.language, self.voice = args.to, args.voice
        super().__init__(args)

    @staticmethod
    def add_args(parser: ArgumentParser) -> None:
        """What the command line may say beside SimulEval's own options."""
        parser.add_argument("--model", default="mini-simul", help="a shipped name, or a translator's folder")
        parser.add_argument("--policy", default=None, help="as of ossicle translate --live; the model's best")
        parser.add_argument("--to", required=True, help="language to speak")
        parser.add_argument("--voice", default=None, help="who speaks; the language's own")

    def reset(self) -> None:
        """A new utterance."""
        super().reset()
        voice = Uttering(self.model, self.language, self.voice)
        policy = policy_named(self.policy_name, self.model)
        self.session = Interpreting(self.model, policy, self.language, voice=voice)

    def policy(self) -> Action:
        """What is said after the samples that came since it was asked before."""
        states = self.states
        done = round(self.session.heard_s * self.model.sample_rate)
        events = self.session.hear(np.asarray(states.source[done:], np.float32))
        if states.source_finished:
            events += self.session.finish()
        phrases = [one.samples for one in events if isinstance(one, Uttered)]
        if not phrases and not states.source_finished:
            return ReadAction()
        samples = np.concatenate(phrases).tolist() if phrases else []
        # a segment is handed on as it is, so it says itself whether it is the last; without a language it has no JSON
        segment = SpeechSegment(
            content=samples,
            sample_rate=self.model.sample_rate,
            finished=states.source_finished,
            tgt_lang=self.language,
        )
        return WriteAction(segment, finished=states.source_finished)
