"""A translator that is taught: what its stages need, and how it is saved.

Knows recipes and translators; does not know steps or checkpoints.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ossicle.codec.units import Codebook
from ossicle.data.check import Checked, Longest
from ossicle.errors import ConfigError
from ossicle.hub.translator import load_translator, save_translator
from ossicle.simul.choice import Choices
from ossicle.simul.encoder import chunks_of
from ossicle.simul.hearing import Hearing
from ossicle.train.align import Align
from ossicle.train.conformer import conformer_of
from ossicle.train.interpret import Interpret
from ossicle.train.objectives import Objective
from ossicle.train.pairs import Beside, Pairs
from ossicle.train.pretrain import Pretrain, check_settings
from ossicle.train.pretraining import PretrainSettings
from ossicle.train.recipe import Recipe
from ossicle.train.recipe_parts import NewSpeaker
from ossicle.train.recipe_stages import SPEAKS, Data, Stage
from ossicle.train.recognise import Recognise
from ossicle.train.simultaneous import Simultaneous
from ossicle.train.sources import Sample, Source
from ossicle.train.spoken import learn_codebook
from ossicle.train.stage import hidden_matrices, optimizer_of
from ossicle.train.timing import Timing
from ossicle.train.translator_parts import (
    characters_of,
    new_aligner,
    new_translator,
    new_unit_decoder,
    new_vocoder,
)
from ossicle.train.utter import Utter
from ossicle.train.vocode import Vocode
from ossicle.train.vocoding import Vocoding
from ossicle.train.weights import fingerprint
from ossicle.translate.quick_vocoder import QuickVocoder
from ossicle.translate.translator import Translator
from ossicle.world.parts import Speech
from ossicle.world.speech import TARGET_VOICES


def pairs_of(recipe: Recipe, index: int, data: str | None) -> Source:
    """The sentences of the parallel world that a stage learns from.

    Raises:
        ConfigError: the stage, or ``data``, names something else; or pairs that there are not.
    """
    stage, settings = recipe.stages[index], recipe.stages[index].data
    if data is not None or settings.source != "world":
        raise ConfigError(f"stage {stage.name}: a translator learns from the world, it takes no manifest")
    target = stage.objective in SPEAKS
    speaker = recipe.parts.speaker
    if speaker is None:
        return Pairs(
            recipe.seed,
            index,
            settings.split,
            settings.tasks,
            target=target,
            clean=settings.clean,
            also_read=settings.also_read,
            own_voice=settings.own_voice,
            abrupt=settings.abrupt,
            joined_s=settings.joined_s,
            dry=stage.objective == "read",
        )
    own = {f"{speaker.language}-{speaker.language}": 1.0}
    new = Pairs(recipe.seed, 0, settings.split, own, voice=speaker.voice, sentences=speaker.sentences)
    tasks = settings.tasks or {f"{one}-{one}": 1.0 for one in TARGET_VOICES}
    there = Pairs(recipe.seed, index, settings.split, tasks, target=True)
    return Beside((recipe.seed, index, 1), new, there, speaker.others) if speaker.others > 0 else new


NEEDS = {
    "align": ("codebook", "aligner"),
    "utter": ("codebook", "aligner", "unit_decoder"),
    "vocode": ("codebook", "vocoder"),
}
"""Parts without which a stage of speech out cannot be."""


class TranslatorPupil:
    """A Translator that is taught.

    Args:
        recipe: of the run.

    Raises:
        ConfigError: a part that cannot be built, or that a stage cannot train.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = taught(recipe)
        self.recognise: Recognise | None = None
        self.ear = ear_before(recipe)
        if self.ear is not None:  # the units are those of an ear that the model has no more
            self.model.codebook = self.model.aligner = None

    @property
    def lasting(self) -> nn.Module | None:
        """The heads of the speech encoder's own lesson."""
        return self.recognise

    def to(self, device: torch.device) -> None:
        """Move the model, and make the heads that last."""
        self.model = self.model.to(device)
        self.ear = None if self.ear is None else self.ear.to(device).eval()
        if any(stage.objective == "recognise" or stage.hear_weight > 0 for stage in self.recipe.stages):
            self.recognise = Recognise(self.model).to(device)

    def named(self) -> dict[str, torch.Tensor]:
        """Every weight that some stage of the run trains, by name, without the tied twins; and the centroids."""
        parts = {part for stage in self.recipe.stages for part in stage.trains}
        found: dict[str, torch.Tensor] = {
            name: p for name, p in self.model.named_parameters() if name.split(".", 1)[0] in parts
        }
        book = self.model.codebook
        hearing = self.model.hearing
        if isinstance(hearing, Hearing) and torch.isfinite(hearing.variance).all():
            found |= {"hearing.mean": hearing.mean, "hearing.variance": hearing.variance}
        if "text_decoder" in parts:  # the table of tokens belongs to it
            found["shared.weight"] = self.model.shared.weight
        if isinstance(book, Codebook) and torch.isfinite(book.centroids).all():
            found["codebook.centroids"] = book.centroids
        return found

    def fingerprints(self) -> dict[str, str]:
        """Of the parts that no stage trains, and of the tokens: another world would give others."""
        trained: set[str] = {part for stage in self.recipe.stages for part in stage.trains}
        if "text_decoder" in trained:
            trained |= {"shared", "lm_head"}
        found = {name: fingerprint(part) for name, part in self.model.named_children() if name not in trained}
        return {**found, "tokenizer": text_digest(self.model)}

    def check(self, data: str | None) -> list[Checked | None]:
        """No stage of a translator reads a manifest.

        Raises:
            ConfigError: one is named.
        """
        return [None for index, _ in enumerate(self.recipe.stages) if pairs_of(self.recipe, index, data)]

    def source(self, index: int, data: str | None, *, without: Collection[int] = ()) -> Source:
        """Sentences of the parallel world."""
        return pairs_of(self.recipe, index, data)

    def longest(self, data: Data) -> Longest:
        """What the data say, or what is heard at once."""
        said = Longest(data.max_clip_s)
        return said if said.seconds <= self.model.max_s else Longest(self.model.max_s, "all that is heard at once")

    def look_at(self, index: int) -> None:
        """Nothing is computed twice in a translator, and pre-training fits its conformer.

        Raises:
            ConfigError: the stage wants something else.
        """
        stage = self.recipe.stages[index]
        if stage.objective == "pretrain":
            check_settings(stage.pretraining or PretrainSettings(), conformer_of(self.model).n_layers)
        if stage.checkpointing:
            raise ConfigError(f"stage {stage.name}: a translator has no gradient checkpointing, leave it out")

    def objective(self, index: int) -> Objective:
        """What a stage trains.

        Raises:
            ConfigError: the model lacks a part that no stage makes.
        """
        stage = self.recipe.stages[index]
        match stage.objective:
            case "pretrain":
                return self._pretraining(stage)
            case "recognise":
                assert self.recognise is not None
                return self.recognise
            case "read":
                return Interpret(self.model, hears=False)
            case "interpret":
                aside = self.recognise if stage.hear_weight > 0 else None
                return Interpret(self.model, recognise=aside, recognise_weight=stage.hear_weight)
            case "simultaneous":
                timing = stage.timing or Timing()
                self._attach_ears(timing)
                return Simultaneous(self.model, timing)
            case _:
                return self._speaking(stage)

    def _pretraining(self, stage: Stage) -> Objective:
        """Sound alone; the random numbers of its heads are the recipe's."""
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            return Pretrain(self.model.banks, conformer_of(self.model), stage.pretraining)

    def _speaking(self, stage: Stage) -> Objective:
        """An objective of speech out; its parts are made where they are not there yet."""
        self._attach(stage)
        letters = characters_of(self.model.text)
        match stage.objective:
            case "align":
                return Align(self.model, letters)
            case "utter":
                return Utter(self.model, letters, ear=self.ear)
            case _:
                speaker = self.recipe.parts.speaker
                return Vocode(
                    self.model, stage.vocoding or Vocoding(), who=_who if speaker is None else by_speaker(speaker)
                )

    def _attach(self, stage: Stage) -> None:
        """Make what a stage of speech out needs and a new model does not have: the codebook is empty, the rest random.

        Raises:
            ConfigError: the base lacks it.
        """
        model, sizes = self.model, self.recipe.parts.translator
        if sizes is None:
            if self.ear is not None and stage.objective != "utter":
                raise ConfigError(
                    f"stage {stage.name}: this recipe changes the ear of {self.recipe.parts.base}, and units of speech "
                    f"are those that it found before: only `utter` can be taught with them (got {stage.objective})"
                )
            lacking = [one for one in NEEDS[stage.objective] if getattr(self._knowing(one), one) is None]
            if lacking:
                raise ConfigError(f"stage {stage.name}: {self.recipe.parts.base} has no {' and no '.join(lacking)}")
            return
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            if model.codebook is None:
                empty = torch.full((sizes.units.count, model.width), float("nan"))
                model.codebook = Codebook(empty, layer=sizes.units.layer).to(model.device)
            if model.aligner is None and stage.objective in ("align", "utter"):
                model.aligner = new_aligner(model, sizes.units).to(model.device)
            if model.unit_decoder is None and stage.objective == "utter":
                model.unit_decoder = new_unit_decoder(model).to(model.device)
            if model.vocoder is None and stage.objective == "vocode":
                model.vocoder = new_vocoder(sizes).to(model.device)

    def _knowing(self, part: str) -> Translator:
        """The model that has a part of speech out."""
        return self.model if self.ear is None or part in ("unit_decoder", "vocoder") else self.ear

    def _attach_ears(self, timing: Timing) -> None:
        """Make what a model needs that is to hear piece by piece, where it has none: the usual is unknown, choices are
        random."""
        model, config = self.model, self.model.settings
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            if model.hearing is None:
                chunks = chunks_of(timing.chunk_s, model, left_s=timing.left_s)
                bins = model.banks.width // model.banks.stack
                made = Hearing(bins, frames=chunks.frames, left=chunks.left)
                made.variance.fill_(float("nan"))
                model.hearing = made.to(model.device)
            if model.choices is None:
                heads, n = config.decoder_attention_heads, config.decoder_layers
                made_too = Choices(model.width, heads, n, ratio=timing.ratio, layers=timing.layers)
                model.choices = made_too.to(model.device)

    def prepared(self, index: int, source: Source, *, begun: bool, folder: Path, precision: str) -> Objective:
        """The first stage that needs units finds them: clusters of what the speech encoder, which from here on stays
        as it is, makes of the stage's first clips."""
        objective = self.objective(index)
        book, hearing = self.model.codebook, self.model.hearing
        if isinstance(hearing, Hearing) and not torch.isfinite(hearing.variance).all():
            clips = (self.recipe.stages[index].timing or Timing()).clips
            hearing.learn(self.model, [source.sample(i).samples for i in range(clips)])
        if isinstance(book, Codebook) and not torch.isfinite(book.centroids).all():
            assert self.recipe.parts.translator is not None
            units = self.recipe.parts.translator.units
            samples = (source.sample(i) for i in range(units.clips))
            found = learn_codebook(self.model, samples, count=units.count, layer=units.layer, seed=self.recipe.seed)
            book.centroids.copy_(found.centroids)
        return objective

    def trained(self, stage: Stage, objective: Objective) -> list[nn.Parameter]:
        """Let a stage's weights take gradients and no others, with none left of the stage before."""
        self.model.zero_grad()
        objective.heads.zero_grad()
        wanted = {*stage.trains, *(("shared",) if "text_decoder" in stage.trains else ())}
        for name, value in self.model.named_parameters():
            value.requires_grad_(name.split(".", 1)[0] in wanted)
        objective.heads.requires_grad_(True)
        self.model.train()
        for name, part in self.model.named_children():
            if name not in wanted:
                part.eval()
        return [p for p in [*self.model.parameters(), *objective.heads.parameters()] if p.requires_grad]

    def optimizer(self, stage: Stage, objective: Objective, trained: list[nn.Parameter]) -> torch.optim.Optimizer:
        """AdamW, with Muon for hidden matrices if the stage says so; matrices decay, the rest do not; the speech
        encoder and its heads may have a rate of their own.

        Raises:
            ConfigError: there is nothing to train.
        """
        ear = [] if self.model.speech_encoder is None else [*self.model.speech_encoder.parameters()]
        slow = {id(p) for p in [*ear, *(() if self.recognise is None else self.recognise.parameters())]}
        return optimizer_of(stage, trained, encoder=slow, blocks=_blocks(self.model) if stage.optimizer.muon else {})

    def recomputed(self, stage: Stage) -> AbstractContextManager[None]:
        """Nothing is."""
        return nullcontext()

    def resumed(self, stage: Stage, *, begun: bool, done: bool) -> None:
        """Parts that speak are there from the first stage on that needs them."""
        for one in self.recipe.stages:
            if one.objective == "simultaneous" and (one != stage or begun or done):
                self._attach_ears(one.timing or Timing())
                assert isinstance(self.model.hearing, Hearing)
                self.model.hearing.variance.zero_()  # in place of which comes that of the checkpoint
            if one.objective in SPEAKS and (one != stage or begun or done):
                self._attach(one)
                if isinstance(self.model.codebook, Codebook):
                    self.model.codebook.centroids.zero_()  # in place of which come those of the checkpoint
            if one == stage:
                return

    def left(self, stage: Stage) -> None:
        """Nothing changes."""

    def kept_after(self, stage: Stage) -> bool:
        """Whether the stage translates or speaks."""
        return stage.objective in ("interpret", "simultaneous") or stage.objective in SPEAKS

    def save(self, folder: Path, stages: tuple[Stage, ...], origin: Mapping[str, Any]) -> None:
        """Write the model's folder."""
        save_translator(self.model, folder, origin=origin, dtype="float16", overwrite=True)

    def score(self, folder: Path, out: Path, data: str | None, without: Collection[int]) -> None:
        """Nothing is held out of the world: `ossicle evaluate` scores on its test split."""


def taught(recipe: Recipe) -> Translator:
    """The translator that a recipe begins with.

    Raises:
        ConfigError: sizes that give none; a speaker whom the base's vocoder cannot take.
        NotFoundError, CheckpointError: the base.
    """
    parts = recipe.parts
    if parts.translator is not None:
        return new_translator(parts.translator, name=recipe.name, seed=recipe.seed)
    model = load_translator(str(parts.base), device="cpu", dtype="float32")
    model.name = recipe.name
    if parts.speaker is not None:
        if not isinstance(model.vocoder, QuickVocoder):
            raise ConfigError(f"{parts.base} has no vocoder that takes one more speaker")
        model.vocoder = model.vocoder.with_speaker(parts.speaker.name, parts.speaker.language)
    return model


def ear_before(recipe: Recipe) -> Translator | None:
    """The translator that a recipe begins with, where a stage changes its ear.

    Raises:
        NotFoundError, CheckpointError: the base.
    """
    trained = {part for stage in recipe.stages for part in stage.trains}
    if recipe.parts.base is None or "speech_encoder" not in trained:
        return None
    return load_translator(str(recipe.parts.base), device="cpu", dtype="float32").eval()


def by_speaker(speaker: NewSpeaker) -> Callable[[Sample], tuple[str, str | int | None]]:
    """What the new speaker's voice says is the speaker's, all else each language's default speaker's."""

    def who(sample: Sample) -> tuple[str, str | int | None]:
        assert sample.scene is not None
        new = any(isinstance(part, Speech) and part.voice == speaker.voice for part in sample.scene.parts)
        return (speaker.language, speaker.name) if new else _who(sample)

    return who


def _who(sample: Sample) -> tuple[str, str | int | None]:
    """The language of a sample's speech, in its default voice."""
    assert sample.pair is not None
    return sample.pair.source, None


def text_digest(model: Translator) -> str:
    """Digest of a translator's tokenizer."""
    return hashlib.sha256(model.text.tokenizer.to_str().encode()).hexdigest()[:16]


def _blocks(model: Translator) -> dict[int, int]:
    """The hidden matrices of a translator, as `hidden_matrices` tells."""
    sizes = model.settings
    towers: list[tuple[nn.Module | None, int]] = [
        (model.speech_encoder, sizes.hidden_size // sizes.speech_encoder_attention_heads),
        (model.text_encoder, sizes.hidden_size // sizes.encoder_attention_heads),
        (model.text_decoder, sizes.hidden_size // sizes.decoder_attention_heads),
        (model.unit_decoder, sizes.hidden_size // sizes.t2u_decoder_attention_heads),
    ]
    return hidden_matrices((tower, head) for tower, head in towers if tower is not None)
