"""Put a trained model into the package: fp16 weights, where it comes from, and a card with its measured figures.

    ossicle evaluate --model runs/mini/model --compare runs/mini/stages/connect --json > scores.json
    python tools/ship.py runs/mini/model scores.json

    ossicle evaluate --model runs/mini-translate/model --json > scores.json
    python tools/ship.py runs/mini-translate/model scores.json

    python tools/ship.py runs/simul/model
    ossicle evaluate --model mini-simul --suite simul --json > scores.json
    python tools/ship.py src/ossicle/assets/mini-simul scores.json

A folder that holds a translator becomes `mini-translate`, one that chooses when to write `mini-simul`, any other
`mini`. Without scores a translator's card says that nothing was measured yet. Refuses a folder that is too large, and
scores of another model: the folder's fingerprint stands in the scores; where it does not, name and number of parameters
must agree. The new folder is written and verified beside the old one, then renamed: killed at any time, a model that
was shipped before is whole, and what was left beside it goes with the next one that is shipped. Everything on the card
comes from the two arguments.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ossicle.evaluate.report import table
from ossicle.evaluate.score import percent
from ossicle.evaluate.simultaneous import OFFLINE, kind
from ossicle.evaluate.simultaneous_report import LATE
from ossicle.hub.description import CONFIG, fingerprint
from ossicle.hub.folder import ASSETS, load, save, verify
from ossicle.hub.translator import holds_translator, load_translator, save_translator, verify_translator
from ossicle.hub.whole import whole_folder

MAX_BYTES = {"mini": 15_000_000, "mini-translate": 12_000_000, "mini-simul": 12_000_000}

ABOUT = """# mini

An audio language model with {parameters:,} parameters: {summary}. It was trained from scratch on the synthetic world of
ossicle by the recipe `mini` ({hours:.0f} hours of generated audio, {minutes:.0f} minutes of training), in pattern
`{pattern}`.

It shows that the chain works, offline and on a laptop. It is no general listener: it knows English from speech
synthesisers, over a grammar of some 1,500 words, and everyday sounds and melodies made by arithmetic. Real speech,
other words and other languages lie outside; it will then answer with what sounds like its world. The slices
`unheard_words` (words that it never heard) and `festival` (a synthesiser that it never heard) tell how far that goes.

## Small-world figures

These are figures of a small model on a small synthetic world. They cannot be compared with those of any other model.

{figures}

Where it comes from - commit, recipe, seeds, versions, the log of its one run - stands in `origin.json`.
"""

ABOUT_TRANSLATOR = """# mini-translate

A translator with {parameters:,} parameters: {summary}. It was trained from scratch on the parallel world of ossicle by
the recipe `{recipe}`, on {hours:.0f} hours of generated sentences (of those that are only read, the hours that saying
them would take), in {minutes:.0f} minutes of training.

It shows that the chain works, offline and on a laptop: speech and text in, text and speech out. It is no general
translator. It knows {languages} from speech synthesisers, in the words and the sentences of one small grammar, and its
voices are learned from those synthesisers. Real speech, other words, other sentences and other languages lie outside;
it will then answer with what sounds like its world.

## Small-world figures

These are figures of a small model on a small synthetic world. They cannot be compared with those of any other model.
{figures}

Where it comes from - commit, recipe, seeds, versions, the log of its run - stands in `origin.json`.
"""
ABOUT_SIMULTANEOUS = """# mini-simul

A translator with {parameters:,} parameters that writes while it hears: {summary}. It was made of `mini-translate` by
the recipe `{recipe}`, on {hours:.0f} hours of generated sentences, in {minutes:.0f} minutes of training.

It shows that the chain works, offline and on a laptop: while somebody speaks, text and speech in another language. It
is no general translator. It knows {languages} from speech synthesisers, in the words and the sentences of one small
grammar. Real speech, other words, other sentences and other languages lie outside; it will then answer with what sounds
like its world.

## Small-world figures

These are figures of a small model on a small synthetic world. They cannot be compared with those of any other model.
{figures}

Where it comes from - commit, recipe, seeds, versions, the log of its run - stands in `origin.json`.
"""
UNMEASURED = "Nothing was measured yet."
HOW_TRANSLATED = """Measured on {n} sentences that training never saw, said by voices that it never heard, without
noise, the same for all pairs of languages (seed {seed}); 95 % intervals in brackets.

S2T is speech to text, T2T text to text, S2S speech to speech, T2S text to speech. A cascade recognises, translates the
text, and says it. Speech is scored by what a recogniser reads back (here: {readers}), both sides in lower case without
marks. Such a figure is one of the speech and of the recogniser, and a model that reads its own speech back may hear its
own mistakes kindly."""
LANGUAGES = {"en": "English", "fr": "French", "de": "German"}
METRICS = {"bleu": "BLEU", "chrf": "chrF"}
VOICES = {"people": "the test voices", "engine": "its own"}


def figures(scores: dict[str, Any]) -> str:
    """The scores as a Markdown table: a row a task, and a row for each slice of speech."""
    rows = ["| task | metric | value | 95 % interval | with silence | n |", "| --- | --- | --- | --- | --- | --- |"]
    for name, one in scores["tasks"].items():
        metric = "word error rate" if one["metric"] == "wer" else one["metric"]
        span = f"{one['low']:.1%} to {one['high']:.1%}"
        rows.append(f"| {name} | {metric} | {one['value']:.1%} | {span} | {one['silence']:.1%} | {one['n']} |")
    rows += ["", "| slice of transcribe | word error rate | n |", "| --- | --- | --- |"]
    for name, one in scores["tasks"]["transcribe"]["slices"].items():
        rows.append(f"| {name} | {'none' if one['value'] is None else format(one['value'], '.1%')} | {one['n']} |")
    return "\n".join(rows)


def figures_of_translation(scores: dict[str, Any]) -> str:
    """A translator's scores: for each metric a row a pair and a column a direction; who reads what how well."""
    rows = scores["translation"]
    pairs = list(dict.fromkeys((one["source"], one["to"]) for one in rows))
    columns = list(dict.fromkeys((one["direction"], one["way"], one["recogniser"]) for one in rows))
    cells = {(one["source"], one["to"], one["direction"], one["way"], one["recogniser"]): one for one in rows}
    several = len(_readers(scores)) > 1
    heads = [
        direction.upper() + (f", {way}" if way != "direct" else "") + (f", {who}" if who and several else "")
        for direction, way, who in columns
    ]
    parts = []
    for metric, name in METRICS.items():
        lines = [
            (f"{pair[0]} to {pair[1]}", *(_likeness(cells.get((*pair, *column)), metric) for column in columns))
            for pair in pairs
        ]
        parts.append(table((name, *heads), lines))
    heard = [
        (
            one["language"],
            VOICES[one["voice"]],
            one["recogniser"],
            f"{percent(one['wer'])} ({percent(one['low'])} to {percent(one['high'])})",
        )
        for one in scores["recognition"]
    ]
    parts.append(table(("language", "voice", "read by", "word error rate"), heard))
    signatures = dict.fromkeys(
        f"- `{METRICS[metric]} {one[metric]['signature']}`" for one in rows for metric in METRICS
    )
    how = HOW_TRANSLATED.format(
        n=rows[0]["bleu"]["n"],
        seed=scores["seed"],
        readers=", ".join(_readers(scores)) or "nobody, it does not speak",
    )
    return "\n\n".join([how, *parts, "\n".join(signatures)])


def figures_of_simultaneous(scores: dict[str, Any]) -> str:
    """What each policy reaches within two seconds, and what is said, with what was measured and how."""
    points = scores["simultaneous"]
    lines = []
    for pair in dict.fromkeys((one["source"], one["to"]) for one in points):
        own = [one for one in points if (one["source"], one["to"]) == pair]
        for policy in dict.fromkeys(kind(one["policy"]) for one in own):
            fit = [one for one in own if kind(one["policy"]) == policy and (policy == OFFLINE or _late(one) <= LATE)]
            best = max(fit, key=lambda one: one["bleu"]["value"], default=None)
            if best is not None:
                lines.append((" to ".join(pair), best["policy"], _likeness(best, "bleu"), *_seconds(best, "laal")))
    n = points[0]["bleu"]["n"]
    parts = [
        f"Measured on {n} utterances of each source language, at least 8 s long, by voices that training never heard "
        f"(seed {scores['seed']}), on {scores['hardware']}; 95 % intervals in brackets. Of each policy the setting "
        f"that is best within {LATE / 1000:g} s of lag (LAAL, mean, counted in words; by the clock the work counts "
        "too); `offline` is the model when it is told where sentences are and hears each to its end.",
        table(("pair", "policy", "BLEU", "LAAL, s", "by the clock"), lines),
    ]
    spoken = [
        (f"{one['source']} to {one['to']}", one["policy"], one["recogniser"], _likeness(one, "asr_bleu"))
        for one in scores["spoken"]
    ]
    if spoken:
        parts.append(table(("pair", "policy", "read back by", "ASR-BLEU"), spoken))
    return "\n\n".join([*parts, f"- `BLEU {points[0]['bleu']['signature']}`"])


def _late(point: dict[str, Any]) -> float:
    """Mean LAAL in ms; for ever where nothing was written."""
    return float(point["latency_ms"]["laal"]["value"]) if point["latency_ms"] else float("inf")


def _seconds(point: dict[str, Any], measure: str) -> tuple[str, str]:
    """A latency and its twin by the clock, in seconds."""
    late = point["latency_ms"]
    return f"{late[measure]['value'] / 1000:.2f}", f"{late[measure + '_ca']['value'] / 1000:.2f}"


def ship(folder: Path, scores: dict[str, Any] | None = None, *, assets: Path = ASSETS) -> Path:
    """Write ``assets/mini``, or ``assets/mini-translate`` or ``assets/mini-simul`` of a translator.

    Args:
        folder: the model folder that the recipe left.
        scores: what ``ossicle evaluate --json`` printed about it; a translator may have none, and be measured then.
        assets: where shipped models lie.

    Raises:
        SystemExit: the folder is larger than the package may hold, or the scores are another model's.
        StorageError: the target cannot be written.
    """
    translates = holds_translator(folder)
    _check_folder(folder, scores or {})
    origin = json.loads((folder / "origin.json").read_text())
    told = {
        "summary": origin["recipe"]["summary"],
        "hours": origin["data_hours"],
        "minutes": 60 * origin["training_hours"],
    }
    chooses = translates and "choices" in json.loads((folder / CONFIG).read_text())["parts"]
    target = assets / ("mini-simul" if chooses else "mini-translate" if translates else "mini")
    with whole_folder(target, replaces=lambda _: True) as draft:
        made = draft / target.name
        if translates:
            _write_translator(folder, made, scores, origin, told)
        elif scores is not None:
            _write(folder, made, scores, origin, told)
        else:
            raise SystemExit(f"{folder} holds no translator, and its card needs scores: ossicle evaluate --json")
        size = sum(path.stat().st_size for path in made.rglob("*"))
        if size > MAX_BYTES[target.name]:
            raise SystemExit(f"{folder} makes {size:,} bytes, at most {MAX_BYTES[target.name]:,} may be shipped")
        (verify_translator if translates else verify)(made)
        for path in made.iterdir():
            path.replace(draft / path.name)
        made.rmdir()
    return target


def _check_folder(folder: Path, scores: dict[str, Any]) -> None:
    """Refuse scores that say that they are of another folder."""
    ours, theirs = fingerprint(folder), scores.get("fingerprint")
    if theirs not in (None, ours):
        raise SystemExit(f"the scores are of a folder with the fingerprint {theirs}, not of {folder} with {ours}")


def _check_model(model: Any, scores: dict[str, Any]) -> None:
    """Refuse scores of a model with another name, or with more or fewer parameters where they tell those."""
    ours = (model.name, _parameters(model))
    theirs = (scores["model"], scores.get("parameters", ours[1]))
    if ours != theirs:
        raise SystemExit(
            f"the scores are of {theirs[0]} with {theirs[1]:,} parameters, not of {ours[0]} with {ours[1]:,}"
        )


def _write(folder: Path, draft: Path, scores: dict[str, Any], origin: dict[str, Any], told: dict[str, Any]) -> None:
    model = load(folder, device="cpu")
    _check_model(model, scores)
    card = ABOUT.format(parameters=_parameters(model), pattern=model.pattern, figures=figures(scores), **told)
    save(model, draft, card=card, origin=origin, dtype="float16")


def _write_translator(
    folder: Path, draft: Path, scores: dict[str, Any] | None, origin: dict[str, Any], told: dict[str, Any]
) -> None:
    model = load_translator(folder, device="cpu")
    if scores is not None:
        _check_model(model, scores)
    told |= {
        "parameters": _parameters(model),
        "recipe": origin["recipe"]["name"],
        "languages": " and ".join(", ".join(LANGUAGES[one] for one in model.languages).rsplit(", ", 1)),
    }
    if model.choices is not None:
        card = ABOUT_SIMULTANEOUS.format(figures=_figures(scores, "simultaneous", figures_of_simultaneous), **told)
    else:
        card = ABOUT_TRANSLATOR.format(figures=_figures(scores, "translation", figures_of_translation), **told)
    save_translator(model, draft, card=card, origin=origin, dtype="float16")


def _figures(scores: dict[str, Any] | None, wanted: str, made: Callable[[dict[str, Any]], str]) -> str:
    """The figures of one suite, of which the scores must be."""
    if scores is None:
        return UNMEASURED
    if wanted not in scores:
        raise SystemExit(f"these are no scores of this kind of model: wanted {wanted!r} among {', '.join(scores)}")
    return made(scores)


def _readers(scores: dict[str, Any]) -> list[str]:
    """Who read speech back."""
    return list(dict.fromkeys(one["recogniser"] for one in scores["translation"] if one["recogniser"]))


def _likeness(row: dict[str, Any] | None, metric: str) -> str:
    """A score with its interval; nothing where none was measured."""
    if row is None:
        return ""
    return "{value:.1f} ({low:.1f} to {high:.1f})".format(**row[metric])


def _parameters(model: Any) -> int:
    return sum(weight.numel() for weight in model.parameters())


if __name__ == "__main__":
    print(ship(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()) if sys.argv[2:] else None))
