"""Stage 2, files → files: discover units in a corpus, encode a corpus with a unit model.

Features are given as a folder, or extracted for as long as they are needed. A unit model is a
bundle; what it encodes is a unit file, or a features folder of latents or posteriors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict, Unpack

import numpy as np

from zerochain import audio
from zerochain.discovery import adapted
from zerochain.discovery.adapted import AdaptedOptions
from zerochain.discovery.cpc import CPCUnits
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import DPGMMUnits, GMMUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.penalty import (
    SegmentationOptions,
    segment_rates,
    speech_sample,
    with_bitrate,
)
from zerochain.discovery.self_training import SelfTrainedUnits
from zerochain.discovery.topline import ToplineUnits, phone_classes
from zerochain.discovery.vqvae import VQVAEUnits
from zerochain.errors import InputError
from zerochain.features.extraction import Options, extracted, extracted_from, options_of
from zerochain.features.vtln import in_other_voices
from zerochain.formats.atomic import check_replaceable, scratch
from zerochain.formats.bundle import Fit, opened_as, read_bundle, write_fit
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import MARKER as FEATURES_MARKER
from zerochain.formats.features import Features, read_features, write_features
from zerochain.formats.phones import PHONES_FILE, read_phones
from zerochain.formats.units import UnitFile, write_units
from zerochain.metrics.silences import SILENCES
from zerochain.training.device import described, is_main_process
from zerochain.training.run import Running

METHODS: dict[str, type[UnitModel]] = {
    kind.name: kind
    for kind in (
        KMeansUnits,
        GMMUnits,
        DPGMMUnits,
        VQVAEUnits,
        CPCUnits,
        SelfTrainedUnits,
        ToplineUnits,
    )
}
"""What bundles and the command line call a method → its class."""
_AS_IT_IS = SegmentationOptions()
Needed = Options | AdaptedOptions
"""What a model can need of recordings."""
Notice = Callable[[str], Any]
"""Is given lines for people."""


class Discovered(NamedTuple):
    """A fitted unit model, and what its segments of (a sample of) the speech are like."""

    model: UnitModel
    rates: str | None
    """A line for people; None where nothing was asked of segments."""


def discover(
    model: UnitModel,
    corpus: Path,
    out: Path,
    *,
    features: Path | Options,
    segmentation: SegmentationOptions = _AS_IT_IS,
    split: str | None = None,
    running: Running | None = None,
    jobs: int | None = None,
) -> Discovered:
    """Fit a unit model on a corpus and save it as the bundle `out`.

    The checkpoint and log.csv of one that is trained stand beside it in `<out>.training`; called
    again, training goes on from there with the same result.

    Args:
        features: a features folder of the corpus, or what to extract for the occasion.
        segmentation: the model's own, for when it encodes; a bit rate is that of the speech it is
            fitted on.
        split: fit on this split alone.
        running: None is the model's device.

    Raises:
        InputError: as `with_bitrate`; the model is saved all the same, without a penalty.
    """
    running = (running or Running(model.device)).beside(out)
    model.segmentation = segmentation.applied_to(model.segmentation)
    part = read_corpus(corpus).select(split=split)
    with features_of(part, features, device=running.device, jobs=jobs) as given:
        begun = time.monotonic()
        model.fit(given, running)
        if not is_main_process():
            return Discovered(model, None)
        seconds = model.earlier_s + time.monotonic() - begun
        fit = Fit(seconds, described(running.device))
        _save(model, out, fit)
        if segmentation == _AS_IT_IS:
            return Discovered(model, None)
        durations_s = _durations_s(part)
        if segmentation.bitrate is not None:
            _choose_penalty(model, given, durations_s, segmentation.bitrate, out)
            _save(model, out, fit)
        sample = given.restrict(speech_sample(given, model.n_units))
        return Discovered(
            model, segment_rates(model.encode(sample), durations_s, segmentation.bitrate)
        )


def topline_of(
    corpus: Path,
    stride: int = 1,
    *,
    split: str | None = None,
    silences: Collection[str] = SILENCES,
    **settings: Any,
) -> ToplineUnits:
    """The topline of a corpus, to be fitted by `discover` on the same split.

    Args:
        split: its phones are the classes.
        silences: labels that are no phones.
        settings: of `ToplineUnits`.

    Raises:
        InputError: no gold phones.
    """
    whole = read_corpus(corpus)
    path = whole.home / PHONES_FILE
    if not path.is_file():
        raise InputError(
            f"corpus {whole.name!r} has no gold phones, which a topline is trained on",
            path=path,
            remedy="import it again with alignments ('zerochain import folder --alignments …')",
        )
    gold = read_phones(path)
    phones = phone_classes(gold, whole.select(split=split).ids, silences)
    return ToplineUnits(phones, stride, gold=gold, **settings)


def targets_of(corpus: Path, folder: Path, *, split: str | None = None) -> Features:
    """The targets of a model that learns posteriors, to be fitted by `discover` on the same split.

    Args:
        folder: posteriors of the corpus, as `fuse_posteriors` writes them.

    Raises:
        InputError: not posteriors, or of another corpus.
    """
    part = read_corpus(corpus).select(split=split)
    with features_of(part, folder) as targets:
        if targets.extractor != "posteriors":
            raise InputError(
                f"holds {targets.extractor!r}, not posteriors",
                path=folder,
                remedy="make the targets by 'zerochain extract --posteriors MODEL'",
            )
        return targets


def _choose_penalty(
    model: UnitModel,
    features: Features,
    durations_s: Mapping[str, float],
    bitrate: float,
    out: Path,
) -> None:
    """Give a saved model its penalty."""
    try:
        model.segmentation = with_bitrate(model, model.segmentation, features, durations_s, bitrate)
    except InputError as error:
        raise InputError(
            error.found,
            cause=error.cause,
            remedy=f"{out} holds the model without a penalty: give 'zerochain encode' another "
            "bit rate",
        ) from error


def _save(model: UnitModel, out: Path, fit: Fit) -> None:
    model.save(out)
    write_fit(out, fit)


def _durations_s(corpus: Corpus) -> dict[str, float]:
    return {u.id: u.duration for u in corpus.utterances}


def load_unit_model(folder: Path, device: str = "cpu") -> UnitModel:
    """A fitted unit model, of whatever method its bundle says.

    Raises:
        InputError: not a bundle, a bundle of something else, or one that lacks something.
    """
    bundle = read_bundle(folder)
    if bundle.model not in METHODS:
        raise InputError(
            f"holds a {bundle.model}, not a unit model",
            path=folder,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a bundle is",
        )
    with opened_as("unit model", folder, "discover the units again"):
        return METHODS[bundle.model].from_bundle(bundle, device)


class Speech(TypedDict, total=False):
    """Which speech of a corpus models read, and how: arguments of all that encodes."""

    features: Path | None
    """A features folder of the corpus; None, the default, extracts what the model needs."""
    split: str | None
    """Take this split alone."""
    pool_speakers: bool
    """As the attribute of `UnitModel`."""
    voice_factor: float | None
    """Encode the speech as others would have spoken it, with vocal tracts this many times as
    long; with 1, too, the speakers are unknown to the model. None, the default, changes nothing."""
    device: str
    """"cpu", the default, or "cuda"."""
    jobs: int | None
    """Processes, as for `extract`."""
    notice: Notice | None
    """Called with the speech on which unknown speakers were measured, in words."""


def encode(
    model: Path,
    corpus: Path,
    out: Path,
    *,
    segmentation: SegmentationOptions = _AS_IT_IS,
    **speech: Unpack[Speech],
) -> UnitFile:
    """Encode a corpus with a unit model, and write its units to the unit file `out`.

    Args:
        segmentation: what is to differ from the model's; a bit rate is that of this speech.
        speech: see `Speech`.
    """
    fitted, part = _model(model, speech), _part(corpus, speech)
    asked = segmentation.applied_to(fitted.segmentation)
    with _features_for(fitted, model, part, speech) as given:
        if segmentation.bitrate is not None:
            asked = with_bitrate(fitted, asked, given, _durations_s(part), segmentation.bitrate)
        units = fitted.encode(given, asked)
    factor = speech.get("voice_factor")
    if factor is not None:
        units = replace(
            units, speakers=_speakers(part), method=f"{units.method}, voices × {factor:g}"
        )
    write_units(out, units)
    return units


def encode_frames(
    what: Literal["latents", "posteriors"],
    model: Path,
    corpus: Path,
    out: Path,
    **speech: Unpack[Speech],
) -> Features:
    """Write latents or posteriors of a corpus to the features folder `out`.

    Args:
        what: latents, the vectors that are quantised; or posteriors, the probability of every
            unit at every step.
        speech: see `Speech`.

    Raises:
        InputError: the model has no posteriors.
    """
    if what == "posteriors":
        return fuse_posteriors([model], corpus, out, **speech)
    fitted, part = _model(model, speech), _part(corpus, speech)
    check_replaceable(out, FEATURES_MARKER)
    with (
        _features_for(fitted, model, part, speech) as given,
        write_features(
            out,
            extractor=what,
            options={"model": fitted.id},
            step_ms=fitted.step_ms,
            corpus_id=given.corpus_id,
        ) as writer,
    ):
        speakers = _speakers(part)
        for name, frames in fitted.latents(given):
            writer.add(name, frames, speakers[name])
    return read_features(out)


def adapt(model: Path, corpus: Path, out: Path, **speech: Unpack[Speech]) -> Features:
    """Write the features of a corpus, as a unit model adapts them, to the features folder `out`.

    Args:
        model: a mixture that was fitted with `adapt`.
        speech: see `Speech`.

    Raises:
        InputError: the model adapts nothing.
    """
    fitted = _model(model, speech)
    options = AdaptedOptions.of(fitted, model)
    part = _part(corpus, speech)
    check_replaceable(out, FEATURES_MARKER)
    with _features_for(fitted, model, part, speech) as given:
        return _write_adapted(fitted, given, options, out)


def fuse_posteriors(
    models: Sequence[Path], corpus: Path, out: Path, **speech: Unpack[Speech]
) -> Features:
    """Write the posteriors of one or several unit models, fused, to the features folder `out`.

    The posteriors of M models stand side by side, divided by M: (T, K₁ + … + K_M), which sums to
    1. A KL divergence between such frames is the mean of the models' divergences.

    Args:
        speech: see `Speech`.

    Raises:
        InputError: a model has no posteriors, or their units are of different lengths.
    """
    fitted = [_model(model, speech) for model in models]
    for one in fitted:
        one.check_posteriors()
    steps = {one.step_ms for one in fitted}
    if len(steps) > 1:
        raise InputError(
            f"posteriors every {' and every '.join(f'{s:g} ms' for s in sorted(steps))} can't be "
            "fused",
            cause="the models have different strides, or features of different steps",
            remedy="fuse models with the same stride",
        )
    part = _part(corpus, speech)
    check_replaceable(out, FEATURES_MARKER)
    with ExitStack() as stack:
        given = [
            stack.enter_context(_features_for(one, model, part, speech))
            for one, model in zip(fitted, models, strict=True)
        ]
        ids = [one.id for one in fitted]
        writer = stack.enter_context(
            write_features(
                out,
                extractor="posteriors",
                options={"model": ids[0]} if len(ids) == 1 else {"models": ids},
                step_ms=steps.pop(),
                corpus_id=part.id,
            )
        )
        made = [one.posteriors(features) for one, features in zip(fitted, given, strict=True)]
        speakers = _speakers(part)
        for parts in zip(*made, strict=True):
            name = parts[0][0]
            frames = np.concatenate([frames for _, frames in parts], axis=1)
            frames /= np.float32(len(parts))
            writer.add(name, frames, speakers[name])
    return read_features(out)


def _model(folder: Path, speech: Speech) -> UnitModel:
    fitted = load_unit_model(folder, speech.get("device", "cpu"))
    fitted.pool_speakers = speech.get("pool_speakers", False)
    return fitted


def _speakers(part: Corpus) -> dict[str, str | None]:
    """Utterance → its speaker, also where it was encoded as another's."""
    return {u.id: u.speaker for u in part.utterances}


def _part(corpus: Path, speech: Speech) -> Corpus:
    return read_corpus(corpus).select(split=speech.get("split"))


@contextmanager
def _features_for(
    model: UnitModel, folder: Path, part: Corpus, speech: Speech
) -> Iterator[Features]:
    """What a model from a folder reads of a part of a corpus; the notice is given."""
    needed = speech.get("features") or needed_options(model, folder)
    with features_of(
        part,
        needed,
        pool_speakers=model.pool_speakers,
        device=model.device,
        jobs=speech.get("jobs"),
    ) as given:
        factor = speech.get("voice_factor")
        spoken = given if factor is None else in_other_voices(given, factor)
        _note(model, spoken, speech.get("notice"))
        yield spoken


def _note(model: UnitModel, features: Features, notice: Notice | None) -> None:
    """Say on how much speech unknown speakers are measured."""
    if notice is None or model.front_end is None:
        return
    words = model.front_end.rests_on(features, pool=model.pool_speakers)
    if words is not None:
        notice(words)


def _write_adapted(
    model: UnitModel, features: Features, options: AdaptedOptions, out: Path
) -> Features:
    with write_features(
        out,
        extractor=adapted.KIND,
        options=options.model_dump(),
        step_ms=features.step_ms,
        corpus_id=features.corpus_id,
    ) as writer:
        for name, frames in adapted.adapted(model, features):
            writer.add(name, frames, features.speakers[name])
    return read_features(out)


def _adapter(options: AdaptedOptions, device: str) -> UnitModel:
    """The model that adapts features.

    Raises:
        InputError: it is gone, or another one.
    """
    folder = Path(options.path)
    return options.check(load_unit_model(folder, device) if folder.is_dir() else None)


def features_in_memory(
    waves: Mapping[str, audio.Waveform],
    options: Needed,
    *,
    speakers: Mapping[str, str | None] | None = None,
    device: str = "cpu",
) -> Features:
    """Features in memory of waveforms at hand, as `extracted_from`, adapted where that is needed.

    Raises:
        InputError: as `extracted_from`; or the model that adapts them is gone, or another one.
    """
    if not isinstance(options, AdaptedOptions):
        return extracted_from(waves, options, speakers=speakers, device=device)
    adapter = _adapter(options, device)
    needed = needed_options(adapter, Path(options.path))
    given = features_in_memory(waves, needed, speakers=speakers, device=device)
    return adapted.in_memory(adapter, given, options.model_dump())


def needed_options(model: UnitModel, folder: Path) -> Needed:
    """What to extract for a fitted model.

    Raises:
        InputError: as `options_of`.
    """
    front_end = model.front_end
    assert front_end is not None
    if front_end.extractor == adapted.KIND:
        return AdaptedOptions(**front_end.options)
    return options_of(front_end.extractor, front_end.options, folder)


@contextmanager
def features_of(
    corpus: Corpus,
    features: Path | Needed,
    *,
    pool_speakers: bool = False,
    device: str = "cpu",
    jobs: int | None = None,
) -> Iterator[Features]:
    """The features of a corpus (or of a part of it), read from a folder or extracted.

    Args:
        pool_speakers: of the model that adapts features, where one does.

    Raises:
        InputError: the folder's features are of another corpus, or the model that adapts them is
            gone or another one.
    """
    if isinstance(features, AdaptedOptions):
        adapter = _adapter(features, device)
        adapter.pool_speakers = pool_speakers
        needed = needed_options(adapter, Path(features.path))
        with (
            features_of(corpus, needed, pool_speakers=pool_speakers, device=device, jobs=jobs) as f,
            scratch() as folder,
        ):
            yield _write_adapted(adapter, f, features, Path(folder) / "adapted")
        return
    if not isinstance(features, Path):
        with extracted(corpus, features, device=device, jobs=jobs) as given:
            yield given
        return
    given = read_features(features)
    if corpus.has_recordings_of(given.corpus_id):
        given = replace(given, corpus_id=corpus.id)
    if given.corpus_id != corpus.id:
        raise InputError(
            f"the features are of corpus {given.corpus_id[:12]}, not of {corpus.name} "
            f"({corpus.id[:12]})",
            path=features,
            cause="the corpus was imported again, or two arguments were swapped",
            remedy="extract the features of this corpus",
        )
    yield given.restrict(corpus.ids)
