"""Open a unit model by what its bundle says it is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from zerochain.discovery.cpc import CPCUnits
from zerochain.discovery.dpgmm import DPGMMUnits
from zerochain.discovery.gmm import GMMUnits
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.neural import NeuralUnits
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.self_training import SelfTrainedUnits
from zerochain.discovery.vqvae import VQVAEUnits
from zerochain.errors import InputError
from zerochain.features.normalisation import NormalisationKind
from zerochain.formats.bundle import opened_as, read_bundle

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
