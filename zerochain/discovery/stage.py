"""The stage as functions of files: fit a unit model on a corpus, encode a corpus with one.

Open a unit model by what its bundle says it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from zerochain.discovery.cpc import CPCUnits
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.mixtures import DPGMMUnits, GMMUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.neural import NeuralUnits
from zerochain.discovery.penalty import (
    SegmentationOptions,
    segment_rates,
    speech_sample,
    with_bitrate,
)
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.self_training import SelfTrainedUnits
from zerochain.discovery.vqvae import VQVAEUnits
from zerochain.errors import InputError
from zerochain.features.extraction import Options, extracted, options_of
from zerochain.features.normalisation import NormalisationKind
from zerochain.formats.atomic import check_replaceable
from zerochain.formats.bundle import MARKER, Fit, opened_as, read_bundle, write_fit
from zerochain.formats.corpus import Corpus, read_corpus
from zerochain.formats.features import MARKER as FEATURES_MARKER
from zerochain.formats.features import Features, read_features, write_features
from zerochain.formats.training_log import MARKER as LOG
from zerochain.formats.training_log import read_training_log
from zerochain.formats.units import UnitFile, write_units
from zerochain.training.device import described, is_main_process
from zerochain.training.loop import CHECKPOINT, training_folder

_KINDS: dict[str, type[UnitModel]] = {
    kind.name: kind
    for kind in (KMeansUnits, GMMUnits, DPGMMUnits, VQVAEUnits, CPCUnits, SelfTrainedUnits)
}


def load_unit_model(folder: Path, device: str = "cpu") -> UnitModel:
    """A fitted unit model.

    Raises:
        InputError: not a bundle, a bundle of something else, or one that lacks something.
    """
    bundle = read_bundle(folder)
    if bundle.model not in _KINDS:
        raise InputError(
            f"holds a {bundle.model}, not a unit model",
            path=folder,
            cause="two arguments were swapped",
            remedy="'zerochain show FOLDER' says what a bundle is",
        )
    with opened_as("unit model", folder, "discover the units again"):
        _Config.model_validate(bundle.config)
        model = _KINDS[bundle.model].from_bundle(bundle, device)
        model.segmentation = Segmentation.from_config(bundle.config)
        _check(model)
        model.came_from(bundle.id)
    return model


class _Config(BaseModel):
    """What the bundles of all unit models say."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    n_units: int = Field(ge=1)
    penalty: float = Field(ge=0)
    min_duration: int = Field(ge=1)
    max_duration: int | None
    extractor: str
    options: dict[str, Any]
    step_ms: float = Field(gt=0, le=1e6)
    stride: int = Field(ge=1)
    normalisation: NormalisationKind
    normalisation_of: list[str]
    normalisation_corpus: str
    warp_of: list[str] | None
    context: int = Field(ge=0, le=1000)
    speaker_attenuation: float = Field(ge=0)
    settings: dict[str, Any]


def _check(model: UnitModel) -> None:
    """Raise ValueError unless the parts of a model were made for each other."""
    codebook, front_end = model.codebook, model.front_end
    shape = () if codebook is None else codebook.shape
    if len(shape) != 2 or shape[0] != model.n_units:
        raise ValueError(f"has a codebook of shape {shape} for {model.n_units} units")
    assert codebook is not None
    assert front_end is not None
    floats = [codebook, *front_end.tensors().values()]
    if any(array.dtype.kind != "f" for array in floats):
        raise ValueError("has a tensor of another type than floating point")
    n_in, dim = shape[1], shape[1]
    if isinstance(model, NeuralUnits):
        n_in = model.n_in
        dim = model.latents_of([np.zeros((model.stride, n_in), np.float32)])[0].shape[1]
    front_end.check(n_in)
    if dim != shape[1]:
        raise ValueError(f"has a codebook of {shape[1]} dimensions and latents of {dim}")
    if not (math.isfinite(model.distortion) and model.distortion >= 0):
        raise ValueError(f"has a mean distortion of {model.distortion}")


_AS_IT_IS = SegmentationOptions()


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
    device: str = "cpu",
    jobs: int | None = None,
) -> Discovered:
    """Fit a unit model on a corpus and save it as the bundle `out`.

    The checkpoint and log.csv of one that is trained stand beside it in `<out>.training`; called
    again after it was interrupted, training goes on from there with the same result.

    Args:
        features: a features folder of the corpus, or what to extract for the occasion.
        segmentation: what the model does by itself when it encodes; a bit rate is that of the
            speech it is fitted on.
        split: fit on this split alone.

    Raises:
        InputError: as `with_bitrate`; the model is saved all the same, without a penalty.
    """
    model.segmentation = segmentation.applied_to(model.segmentation)
    part = read_corpus(corpus).select(split=split)
    check_replaceable(out, MARKER)  # now rather than after an hour
    checkpoints = training_folder(out)
    if isinstance(model, NeuralUnits):
        model.training_folder = checkpoints
    with features_of(part, features, device=device, jobs=jobs) as given:
        before, begun = _seconds_spent(model), time.monotonic()
        model.fit(given)
        if not is_main_process():
            return Discovered(model, None)
        fit = Fit(before + time.monotonic() - begun, described(device))
        _save(model, out, fit)
        for checkpoint in checkpoints.rglob(CHECKPOINT):
            checkpoint.unlink()
        if segmentation == _AS_IT_IS:
            return Discovered(model, None)
        seconds = _seconds(part)
        if segmentation.bitrate is not None:
            _choose_penalty(model, given, seconds, segmentation.bitrate, out)
            _save(model, out, fit)
        sample = given.restrict(speech_sample(given, model.n_units))
        return Discovered(model, segment_rates(model.encode(sample), seconds))


def _choose_penalty(
    model: UnitModel, features: Features, seconds: Mapping[str, float], bitrate: float, out: Path
) -> None:
    """Give a saved model its penalty."""
    try:
        model.segmentation = with_bitrate(model, model.segmentation, features, seconds, bitrate)
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


def _seconds_spent(model: UnitModel) -> float:
    """What training had taken before it was interrupted; 0 where it was not."""
    if not isinstance(model, NeuralUnits) or model.restart or model.training_folder is None:
        return 0.0
    started = (file.parent for file in model.training_folder.rglob(CHECKPOINT))
    return sum(read_training_log(f)["seconds"][-1] for f in started if (f / LOG).exists())


def _seconds(corpus: Corpus) -> dict[str, float]:
    return {u.id: u.duration for u in corpus.utterances}


def encode(
    model: Path,
    corpus: Path,
    out: Path,
    *,
    features: Path | None = None,
    segmentation: SegmentationOptions = _AS_IT_IS,
    split: str | None = None,
    device: str = "cpu",
    jobs: int | None = None,
) -> UnitFile:
    """Write the units of a corpus, as a unit model sees it, to the unit file `out`.

    Args:
        features: a features folder of the corpus; None extracts what the model needs.
        segmentation: where it is not to be the model's; a bit rate is that of this speech.
        split: encode this split alone.
    """
    fitted = load_unit_model(model, device)
    asked = segmentation.applied_to(fitted.segmentation)
    part = read_corpus(corpus).select(split=split)
    needed = features or needed_options(fitted, model)
    with features_of(part, needed, device=device, jobs=jobs) as given:
        if segmentation.bitrate is not None:
            asked = with_bitrate(fitted, asked, given, _seconds(part), segmentation.bitrate)
        units = fitted.encode(given, asked)
    write_units(out, units)
    return units


def encode_frames(
    what: Literal["latents", "posteriors"],
    model: Path,
    corpus: Path,
    out: Path,
    *,
    features: Path | None = None,
    split: str | None = None,
    device: str = "cpu",
    jobs: int | None = None,
) -> Features:
    """Write what a unit model makes of a corpus, before units, to the features folder `out`.

    Args:
        what: latents, the vectors that are quantised, or the probability of every unit at every
            step.
        features: a features folder of the corpus; None extracts what the model needs.
        split: encode this split alone.

    Raises:
        InputError: the model has no posteriors.
    """
    fitted = load_unit_model(model, device)
    if what == "posteriors":
        fitted.check_posteriors()
    part = read_corpus(corpus).select(split=split)
    check_replaceable(out, FEATURES_MARKER)
    needed = features or needed_options(fitted, model)
    with (
        features_of(part, needed, device=device, jobs=jobs) as given,
        write_features(
            out,
            extractor=what,
            options={"model": fitted.id},
            step_ms=fitted.step_ms,
            corpus_id=given.corpus_id,
        ) as writer,
    ):
        made = fitted.latents(given) if what == "latents" else fitted.posteriors(given)
        for name, frames in made:
            writer.add(name, frames, given.speakers[name])
    return read_features(out)


def needed_options(model: UnitModel, folder: Path) -> Options:
    """What to extract for a fitted model.

    Raises:
        InputError: as `options_of`.
    """
    front_end = model.front_end
    assert front_end is not None
    return options_of(front_end.extractor, front_end.options, folder)


@contextmanager
def features_of(
    corpus: Corpus,
    features: Path | Options,
    *,
    device: str = "cpu",
    jobs: int | None = None,
) -> Iterator[Features]:
    """The features of a corpus (or of a part of it), read from a folder or extracted.

    Raises:
        InputError: the folder's features are of another corpus.
    """
    if not isinstance(features, Path):
        with extracted(corpus, features, device=device, jobs=jobs) as given:
            yield given
        return
    given = read_features(features)
    if given.corpus_id != corpus.id:
        raise InputError(
            f"the features are of corpus {given.corpus_id[:12]}, not of {corpus.name} "
            f"({corpus.id[:12]})",
            path=features,
            cause="the corpus was imported again, or two arguments were swapped",
            remedy="extract the features of this corpus",
        )
    yield given.restrict(corpus.ids)
