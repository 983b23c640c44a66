"""Ask two questions about a sound file, the second one with the first in mind.

python examples/ask.py FILE [MODEL]
"""

import sys

import ossicle


def main(file: str, name: str = "mini") -> None:
    model = ossicle.load(name)
    clip = ossicle.read_clip(file)
    first = ossicle.ask(model, clip, "what is said?", max_tokens=100)
    print("what is said:", first.text)

    history = [ossicle.Message("user", (clip, "what is said?")), ossicle.Message("assistant", (first.text,))]
    second = ossicle.ask(model, [], "who says it?", history=history, max_tokens=100)
    print("who says it:", second.text)

    ledger = first.ledger
    print(f"heard {ledger.seconds_heard:.2f} of {ledger.seconds_given:.2f} s in {ledger.audio_tokens} audio tokens")


main(*sys.argv[1:])
