"""Does a translator that hears everything first go through the sound in order? EMMA's premise, head by head.

python benchmarks/monotone.py [--model MODEL] [--items N] [--out FILE]
    writes docs/results/monotone.md

The offline model decodes the reference of each test sentence, all of the sound before it. For each head of each layer
the centre of its cross-attention is where a token looks, in seconds. Told for every pair of languages: the rank
correlation (Spearman's) of the tokens' places and of where they look, the mean over sentences; the share of tokens that
look further back than the token before by more than a tenth of a second; and how far, at most, a token looks behind the
furthest that one before it looked, the mean over sentences. A head that writes as it hears has 1, none and nothing.
"""

import shlex
import sys
from pathlib import Path

import numpy as np
import torch
import typer

from ossicle.errors import OssicleError
from ossicle.evaluate.parallel import CODES, parallel_items
from ossicle.evaluate.report import table, write_page
from ossicle.hub.translator import load_translator
from ossicle.simul.decoder import PREFIX, limited
from ossicle.translate.translator import Translator

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "monotone.md"
PAIRS = (("en", "fr"), ("en", "de"), ("fr", "en"), ("de", "en"))
BACK_S = 0.1


@torch.no_grad()
def centres(model: Translator, sound, text: str, to: str) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Where every token looks, (layers, heads, tokens), seconds."""
    encoded = model.hear(model.features([sound]))
    n = int(encoded.lengths[0])
    ids = [*model.text.prefix(to), *model.text.tokens(text)]
    made = limited(model, encoded, [ids], torch.full((1, len(ids)), n), None)
    places = (torch.arange(n) + 0.5) / model.encoded_hz
    looked = torch.stack([(one[0, :, PREFIX - 1 : -1] * places).sum(-1) for one in made.attention])
    return looked.numpy()


def rank(values: np.ndarray) -> float:
    """Spearman's correlation of some values with their places; 0 where all are the same."""
    order = np.argsort(np.argsort(values, kind="stable")).astype(float)
    return float(np.corrcoef(order, np.arange(len(values)))[0, 1]) if np.ptp(values) > 1e-6 else 0.0


def main(model: str = "mini-translate", items: int = 100, out: Path = RESULTS) -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    loaded = load_translator(model, device="cpu")
    sounds = parallel_items(items)
    rows = []
    for source, to in PAIRS:
        code = next(one for one in CODES[to] if one in loaded.languages)
        found = [centres(loaded, item.speech[source], item.texts[to], code) for item in sounds]
        for layer in range(found[0].shape[0]):
            for head in range(found[0].shape[1]):
                own = [one[layer, head] for one in found if one.shape[2] > 2]
                steps = [np.diff(one) for one in own]
                behind = [float((np.maximum.accumulate(one) - one).max()) for one in own]
                rows.append(
                    (
                        f"{source} to {to}",
                        str(layer + 1),
                        str(head + 1),
                        f"{np.mean([rank(one) for one in own]):.2f}",
                        f"{100 * np.mean(np.concatenate(steps) < -BACK_S):.0f} %",
                        f"{np.mean(behind):.2f}",
                    )
                )
    page = "\n\n".join(
        [
            f"# {loaded.name}: does its attention go through the sound in order?",
            f"Made by `{shlex.join(['python', 'benchmarks/monotone.py', *sys.argv[1:]])}`: {items} test sentences, all "
            "of each heard first, the reference decoded. Correlation is that of the places of tokens with the centres "
            f"of attention, by ranks; steps back are of more than {BACK_S:g} s; behind is how far a token looks behind "
            "the furthest before it, at most, seconds, the mean over sentences.",
            table(("pair", "layer", "head", "correlation", "steps back", "behind, s"), rows),
        ]
    )
    print(page)
    write_page(out, page + "\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except OssicleError as error:
        sys.exit(f"error: {error.code}: {error}")
