"""Show an answer while it is written.

python examples/stream.py FILE [MODEL]
"""

import sys

import ossicle


def main(file: str, name: str = "mini") -> None:
    model = ossicle.load(name)
    for delta in ossicle.stream(model, file, "what do you hear?", max_tokens=100):
        print(delta.text, end="", flush=True)
        if delta.answer is not None:
            print(f"\n{delta.answer.ledger.tokens_per_s:.0f} tokens a second")


main(*sys.argv[1:])
