"""The speech chain as a model, and its training from files.

`train_chain` reads what is paired and what is not, and trains by one of four methods: `chain`, the
loop of `loop.py` from models trained on the pairs; `propagation`, on the pairs and on transcripts
of speech alone by a recogniser trained on the pairs (label propagation; Zhu and Ghahramani 2002);
`paired`, on the pairs alone; and `all`, with every text of the corpus, the bound.

From top to bottom: the model and config, the stage, the four methods. What is read is in
`sources.py`.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from zerochain.errors import InputError, ModelMismatchError, counted, listed
from zerochain.formats.bundle import Bundled, timeless
from zerochain.formats.identity import short
from zerochain.listeners.speaker_encoder import SpeakerEncoder
from zerochain.metrics.text import NORMALISATION
from zerochain.modules.joint_recogniser import RecogniserSizes
from zerochain.modules.synthesiser import SynthesiserSizes
from zerochain.speechchain import recogniser as listening
from zerochain.speechchain import synthesiser as speaking
from zerochain.speechchain.ctc import Ints, durations
from zerochain.speechchain.data import Material, Pairs, Symbols, n_steps
from zerochain.speechchain.loop import RECIPE, ChainNetwork, LoopConfig, LoopTask, trusted
from zerochain.speechchain.recogniser import BEAM, ChainRecogniser, train_recogniser, validated
from zerochain.speechchain.sources import Method, Sources, read_material
from zerochain.speechchain.synthesis_loss import SynthesisLoss, SynthesisLosses, losses_of
from zerochain.speechchain.synthesiser import (
    Aligned,
    ChainSynthesiser,
    alignable,
    aligned,
    train_synthesiser,
)
from zerochain.training.checkpoint import fingerprint
from zerochain.training.outcome import Outcome
from zerochain.training.recipe import Recipe
from zerochain.training.run import Fitted, Running, finish, fit, weights_id
from zerochain.training.task import Row

_FEW_KEPT = 0.5  # of what is generated: below that, most of the loop's work is lost


class ChainWarning(UserWarning):
    """The loop does little, or harm."""


class ChainConfig(LoopConfig):
    """How a speech chain is trained."""

    method: Method = "chain"
    """The speech chain; label propagation; the pairs alone; or all texts of the corpus, the
    bound."""
    paired: float | None = Field(
        None, gt=0, lt=1, json_schema_extra={"default": "all texts of the corpus"}
    )
    """For experiments: the fraction of the texts that stay paired. Of the others, half lose their
    recordings and half of the recordings their texts."""
    languages: str = Field("", pattern=r"^([\w-]+(,[\w-]+)+)?$")
    """Of texts that switch between languages and are tagged: "en,es" for "<en>where is the
    <es>mercado". Characters and their languages are predicted together."""
    keep: Literal["best", "last"] = "best"
    """Which models are kept: the best by the held-out pairs, be they those before the loop; or
    those of the loop's last step, which then has no end but its steps."""
    longest_s: float = Field(20.0, gt=0, json_schema_extra={"option": "--longest"})
    """Seconds; longer utterances are left out of training."""

    @property
    def spoken(self) -> list[str]:
        """The languages of tagged texts, each once."""
        return list(dict.fromkeys(filter(None, self.languages.split(","))))


@dataclass(frozen=True)
class Recipes:
    """Of the recogniser and the synthesiser on pairs, and of the loop after them."""

    asr: Recipe = listening.RECIPE
    tts: Recipe = speaking.RECIPE
    loop: Recipe = RECIPE


@dataclass(frozen=True, eq=False)
class SpeechChain(Bundled):
    """A recogniser and a synthesiser of the same symbols."""

    MODEL = "speech-chain"
    WHAT = "speech chain"

    recogniser: ChainRecogniser
    synthesiser: ChainSynthesiser
    training: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        self.recogniser.check()
        self.synthesiser.check()
        one, other = self.recogniser, self.synthesiser
        if (one.symbols, one.unit_model) != (other.symbols, other.unit_model):
            raise ValueError("its recogniser and its synthesiser have different symbols")


@dataclass(frozen=True, kw_only=True)
class ChainTraining(Outcome):
    """How the training of a chain went; steps and loss are of its last part."""

    method: Method
    n_pairs: int
    """In training."""
    n_texts: int
    n_speech: int
    """Texts and recordings alone."""
    minutes: float
    """Of paired speech in training."""
    excluded: Mapping[str, int]
    seconds: float
    parts: Sequence[Mapping[str, Any]]
    """Each "part" in its order, "recogniser", "synthesiser" or "loop", and those of the start:
    how many "steps" it had, and whether it "converged"."""
    valid_cer: float
    """In %, of the held-out pairs, by CTC's best path."""
    valid_mel_db: float | None
    """Root mean squared error of the held-out pairs' frames, in dB; None where the recogniser can
    align none of them with their texts."""
    start_cer: float | None
    """`valid_cer` before the loop, or before label propagation."""
    kept_start: bool
    """Whether the recogniser was better before, so that the models before are kept."""
    texts_kept: float | None
    """Share of what was generated that the loop used, at its last validation; None without."""
    speech_kept: float | None


def train_chain(
    sources: Sources,
    out: Path,
    *,
    config: ChainConfig | None = None,
    asr: RecogniserSizes | None = None,
    tts: SynthesiserSizes | None = None,
    loss: SynthesisLoss | None = None,
    recipes: Recipes | None = None,
    running: Running | None = None,
) -> ChainTraining:
    """Train a speech chain, or one of its baselines, and save it as the bundle `out`.

    Checkpoints and logs are in `<out>.training`, in a folder for each part. If training was
    interrupted, the same call continues it, with the same result.

    Raises:
        InputError: fewer than two pairs, nothing beside them for the chain, a start of other
            symbols or another speaker encoder, or for pairs alone, or divergence.
    """
    settings = _Settings(
        config or ChainConfig(),
        asr or RecogniserSizes(),
        tts or SynthesiserSizes(),
        loss or SynthesisLoss(),
        recipes or Recipes(),
        (running or Running()).beside(out),
    )
    config, device = settings.config, settings.running.device
    if sources.start is not None and config.method in {"paired", "all"}:
        raise InputError(
            f"method={config.method!r} trains on pairs from the beginning",
            remedy="leave start= out",
        )
    settings.running.discard()
    start = None if sources.start is None else SpeechChain.load(sources.start, device)
    encoder = None if sources.speakers is None else SpeakerEncoder.load(sources.speakers, device)
    spoken_by = settings.tts if start is None else start.synthesiser.network.config
    with read_material(
        sources,
        config.method,
        paired=config.paired,
        longest_s=config.longest_s,
        languages=config.spoken,
        encoder=encoder,
        device=device,
        waves=spoken_by.architecture == "tacotron",
    ) as (material, trained_on):
        _check_feedback(config, material)
        if start is not None:
            _check_start(start, material, encoder, sources, trained_on["corpus"])
            trained_on["start"] = start.id
        training = _Training(settings, material, start, encoder, trained_on)
        made = _trained(training)
        report = _report(training, made)
    record = {
        "config": config.model_dump(),
        "loss": settings.loss.model_dump(),
        "pairs": pairs_id(material),
        "recipes": _recipes_used(settings.recipes, made),
        "text": NORMALISATION if not material.symbols.are_units else "units",
        **timeless(asdict(report)),
    }
    chain = replace(made.chain, training=record, trained_on=trained_on)
    finish(made.last, out, lambda: chain.save(out), seconds=report.seconds)
    return report


def _recipes_used(recipes: Recipes, made: _Made) -> dict[str, Any]:
    """Those of the parts that were trained: of the pairs alone, another number of steps of the loop
    makes no other chain, and a loop that starts from it continues."""
    parts = {"recogniser": "asr", "synthesiser": "tts", "loop": "loop"}
    return {parts[part]: getattr(recipes, parts[part]).model_dump() for part in made.fitted}


@dataclass(frozen=True)
class _Settings:
    """How a chain is trained."""

    config: ChainConfig
    asr: RecogniserSizes
    tts: SynthesiserSizes
    loss: SynthesisLoss
    recipes: Recipes
    running: Running


@dataclass(frozen=True, eq=False)
class _Training:
    """How a chain is trained, and on what."""

    settings: _Settings
    material: Material
    start: SpeechChain | None
    encoder: SpeakerEncoder | None
    trained_on: Mapping[str, str]
    """The ids of the files that were read."""

    @property
    def device(self) -> str:
        return self.settings.running.device

    def losses(self, synthesiser: ChainSynthesiser, *, of_voices: bool) -> SynthesisLosses:
        """Of a synthesiser; that of voices only where there is a speaker encoder."""
        voices = self.encoder.network if self.encoder is not None and of_voices else None
        return losses_of(self.settings.loss, synthesiser.moments, voices, self.device)

    def cer(self, chain: SpeechChain) -> float:
        """The error rate of the held-out pairs in %, by CTC's best path."""
        row = validated(chain.recogniser.network, self.material.valid, self.device)
        return row["valid_cer_%"]


@dataclass(frozen=True, eq=False)
class _Made:
    """A chain, and how its training went."""

    chain: SpeechChain
    cer: float
    """Of held-out pairs, in %."""
    fitted: Mapping[str, Fitted] = field(default_factory=dict)
    """By part: "recogniser", "synthesiser" and "loop"."""
    n_failed: int = 0
    """Pairs that couldn't be aligned."""
    start_parts: Sequence[Mapping[str, Any]] = ()
    start_cer: float | None = None
    kept_start: bool = False

    @property
    def last(self) -> Fitted:
        """The part that was trained last."""
        return list(self.fitted.values())[-1]

    @property
    def parts(self) -> list[Mapping[str, Any]]:
        """How each part ended, those of a chain to start from included."""
        own = [
            {"part": name, "steps": one.outcome.steps, "converged": one.outcome.converged}
            for name, one in self.fitted.items()
        ]
        return [*self.start_parts, *own]


def _report(training: _Training, made: _Made) -> ChainTraining:
    material, synthesiser = training.material, made.chain.synthesiser
    # What is trained is saved even if its recogniser can't align the held-out pairs any more.
    valid = alignable(made.chain.recogniser, material.valid)
    mel = (
        None
        if valid is None
        else speaking.validated(
            synthesiser.network,
            training.losses(synthesiser, of_voices=False),
            valid,
            training.device,
        )
    )
    last = made.last.history[-1]
    return ChainTraining(
        **asdict(made.last.outcome),
        method=training.settings.config.method,
        n_pairs=len(material.train),
        n_texts=len(material.texts),
        n_speech=len(material.speech),
        minutes=material.train.speech.minutes,
        excluded={**material.excluded, **({"unaligned": made.n_failed} if made.n_failed else {})},
        seconds=sum(fitted.seconds for fitted in made.fitted.values()),
        parts=made.parts,
        valid_cer=made.cer,
        valid_mel_db=None if mel is None else mel["valid_mel_dB"],
        start_cer=made.start_cer,
        kept_start=made.kept_start,
        texts_kept=last.get("texts_kept"),
        speech_kept=last.get("speech_kept"),
    )


def _digest(material: Material) -> str:
    """SHA-256 of what is paired with what, and of what is alone."""

    def lists(texts: Sequence[Ints]) -> list[list[int]]:
        return [text.tolist() for text in texts]

    return fingerprint(
        {
            "symbols": material.symbols.names,
            "train": [material.train.speech.names, lists(material.train.texts)],
            "valid": [material.valid.speech.names, lists(material.valid.texts)],
            "texts": lists(material.texts),
            "speech": material.speech.names,
        }
    )


def pairs_id(material: Material) -> str:
    """SHA-256 of the pairs alone, those held out included."""
    return _digest(replace(material, texts=[], speech=material.speech.take([])))


def _check_feedback(config: ChainConfig, material: Material) -> None:
    """Refuses feedback through speech where the loop has none."""
    wanted = config.feedback != "none" and config.feedback_from == "speech"
    used = config.method == "chain" and config.beta > 0 and len(material.speech) > 0
    if wanted and not used and config.method in {"chain", "propagation"}:
        raise InputError(
            "feedback_from='speech' only applies to the loop with speech without texts",
            cause="there is no such speech, beta=0 leaves it out, or method= is not 'chain'",
            remedy="use feedback_from='pairs', or give speech=",
        )


def _check_start(
    start: SpeechChain,
    material: Material,
    encoder: SpeakerEncoder | None,
    sources: Sources,
    corpus_id: str,
) -> None:
    own = start.recogniser.spelling
    if own.unit_model != material.symbols.unit_model:
        raise ModelMismatchError(
            f"the texts here are {_kind(material.symbols)}, but the chain to start from was "
            f"trained on {_kind(own)}",
            cause="the units were encoded with another model, or units= was left out",
            remedy="give units of the model of the start, or train another start on these",
        )
    if own.names != material.symbols.names:
        missing = set(material.symbols.names) ^ set(own.names)
        raise InputError(
            f"has other symbols than the pairs here: {listed(sorted(map(repr, missing)))}",
            path=sources.start,
            cause="it was trained on other pairs",
            remedy="leave start= out, or give the chain of these pairs",
        )
    of_corpus = start.trained_on.get("corpus") == corpus_id
    if of_corpus and start.training.get("pairs") != pairs_id(material):
        raise InputError(
            "was trained on other pairs of this corpus, perhaps on what is held out here",
            path=sources.start,
            cause="paired=, split= or method= was another one",
            remedy="train the start with the same settings and method='paired'",
        )
    given = "" if encoder is None else encoder.id
    if start.synthesiser.speaker_encoder_id != given:
        raise ModelMismatchError(
            "the chain to start from was trained with another speaker encoder",
            cause="the encoder was trained again, or is left out here",
            remedy="give the same speakers= as for the start",
        )


def _kind(symbols: Symbols) -> str:
    return f"units of {short(symbols.unit_model)}" if symbols.are_units else "characters"


# The methods.


def _trained(training: _Training) -> _Made:
    config, material = training.settings.config, training.material
    before = _started(training)
    if config.method in {"paired", "all"}:
        return before
    if config.method == "propagation":
        learned = _propagated(config, material, before.chain)
        material = replace(material, texts=[], speech=material.speech.take([]))
    else:
        learned = aligned(before.chain.recogniser, material.train)
    after, looped = _looped(training, material, learned, before.chain)
    cer = training.cer(after)
    worse = cer > before.cer
    kept_start = worse and config.keep == "best"
    if worse:
        kept = "the models before it are kept" if kept_start else "keep='last' keeps its last ones"
        warnings.warn(
            f"the {config.method} ended with an error rate of {cer:.1f} % on held-out "
            f"pairs, and {before.cer:.1f} % before it: {kept}",
            ChainWarning,
            stacklevel=2,
        )
    return _Made(
        before.chain if kept_start else after,
        before.cer if kept_start else cer,
        {**before.fitted, "loop": looped},
        learned.n_failed,
        before.start_parts,
        before.cer,
        kept_start,
    )


def _started(training: _Training) -> _Made:
    """The chain to start from, or a recogniser of the pairs, then a synthesiser as it aligns them.

    The parts don't depend on what isn't paired: another loop continues with the same ones.
    """
    start, material, settings = training.start, training.material, training.settings
    if start is not None:
        return _Made(start, training.cer(start), start_parts=start.training.get("parts", ()))
    own = {"corpus": training.trained_on["corpus"], "pairs": pairs_id(material)}
    recogniser, first = train_recogniser(
        material, settings.asr, settings.recipes.asr, settings.running.part("recogniser"), own
    )
    voices = None if training.encoder is None else (training.encoder.network, training.encoder.id)
    synthesiser, second, n_failed = train_synthesiser(
        material,
        recogniser,
        settings.tts,
        settings.loss,
        voices,
        settings.recipes.tts,
        settings.running.part("synthesiser"),
        own,
        follows={"recogniser": weights_id(recogniser.network)},
    )
    chain = SpeechChain(recogniser, synthesiser)
    fitted = {"recogniser": first, "synthesiser": second}
    return _Made(chain, training.cer(chain), fitted, n_failed)


def _propagated(config: ChainConfig, material: Material, start: SpeechChain) -> Aligned:
    """The pairs, and speech alone with transcripts by beam search, as aligned pairs."""
    true = aligned(start.recogniser, material.train)
    speech = material.speech
    paths = start.recogniser.transcribe(speech.frames, BEAM)
    rows, texts, lasting, weights = [], [], [], []
    for i, (path, frames) in enumerate(zip(paths, speech.frames, strict=True)):
        n = n_steps(len(frames))
        weight = trusted(path, n, material.rates, config)
        if weight > 0:
            rows.append(i)
            texts.append(path.symbols)
            lasting.append(durations(path.steps, n))
            weights.append(weight)
    if not rows:
        warnings.warn(
            f"none of {counted(len(speech), 'transcript')} can be trusted: labels are not "
            "propagated",
            ChainWarning,
            stacklevel=2,
        )
    pseudo = Pairs(speech.take(rows), texts, np.array(weights, np.float32))
    return Aligned(true.pairs.joined(pseudo), true.durations + lasting, true.n_failed)


def _looped(
    training: _Training, material: Material, learned: Aligned, start: SpeechChain
) -> tuple[SpeechChain, Fitted]:
    """A chain after the loop, or after training on propagated labels: then nothing is alone."""
    settings = training.settings
    recipe = settings.recipes.loop.model_copy(update={"keep": settings.config.keep})
    torch.manual_seed(recipe.seed)
    network = ChainNetwork(
        copy.deepcopy(start.recogniser.network), copy.deepcopy(start.synthesiser.network)
    ).requires_grad_(requires_grad=True)
    task = LoopTask(
        network,
        training.losses(start.synthesiser, of_voices=True),
        material,
        learned,
        aligned(start.recogniser, material.valid),
        settings.config,
        recipe,
        training.device,
    )
    fitted = fit(
        task,
        recipe,
        settings.running.part("loop"),
        inputs={
            "sources": training.trained_on,
            "material": _digest(training.material),
            "config": settings.config.model_dump(exclude={"paired", "longest_s"}),
            "loss": settings.loss.model_dump(),
        },
        follows={
            "recogniser": weights_id(start.recogniser.network),
            "synthesiser": weights_id(start.synthesiser.network),
        },
        watch=_watch(),
    )
    network.to(training.device)
    return (
        SpeechChain(
            replace(start.recogniser, network=network.recogniser, id=""),
            replace(start.synthesiser, network=network.synthesiser, id=""),
        ),
        fitted,
    )


def _watch() -> Any:
    """Warns once if the loop can't use most of what it generates."""
    warned: set[str] = set()

    def watch(history: list[Row]) -> None:
        for name, what, why in (
            ("texts_kept", "texts that are spoken", "the synthesiser runs on or stops early"),
            ("speech_kept", "transcripts", "they are empty, unsure, or too long or short"),
        ):
            share = history[-1].get(name, 1.0)
            if share < _FEW_KEPT and name not in warned:
                warned.add(name)
                warnings.warn(
                    f"only {100 * share:.0f} % of the {what} are used by the loop, as {why}: more "
                    "pairs would help, or texts and speech that are more like them",
                    ChainWarning,
                    stacklevel=2,
                )

    return watch
