"""Open a unit model by what its bundle says it is."""

from __future__ import annotations

from pathlib import Path

from zerochain.discovery.cpc import CPCUnits
from zerochain.discovery.dpgmm import DPGMMUnits
from zerochain.discovery.gmm import GMMUnits
from zerochain.discovery.kmeans import KMeansUnits
from zerochain.discovery.model import UnitModel
from zerochain.discovery.segmentation import Segmentation
from zerochain.discovery.self_training import SelfTrainedUnits
from zerochain.discovery.vqvae import VQVAEUnits
from zerochain.errors import InputError
from zerochain.formats.bundle import Bundle, opened_as, read_bundle


def load_unit_model(folder: Path, device: str = "cpu") -> UnitModel:
    """A fitted unit model.

    Raises:
        InputError: not a bundle, a bundle of something else, or one that lacks something.
    """
    bundle = read_bundle(folder)
    with opened_as("unit model", folder, "discover the units again"):
        model = _model(bundle, folder, device)
        model.segmentation = Segmentation.from_config(bundle.config)
        shape = () if model.codebook is None else model.codebook.shape
        if len(shape) != 2 or shape[0] != model.n_units:
            raise ValueError(f"has a codebook of shape {shape} for {model.n_units} units")
    return model


def _model(bundle: Bundle, folder: Path, device: str) -> UnitModel:
    match bundle.model:
        case "kmeans":
            return KMeansUnits.from_bundle(bundle, device)
        case "gmm":
            return GMMUnits.from_bundle(bundle, device)
        case "dpgmm":
            return DPGMMUnits.from_bundle(bundle, device)
        case "vqvae":
            return VQVAEUnits.from_bundle(bundle, device)
        case "vqcpc":
            return CPCUnits.from_bundle(bundle, device)
        case "selftrain":
            return SelfTrainedUnits.from_bundle(bundle, device)
        case other:
            raise InputError(
                f"holds a {other}, not a unit model",
                path=folder,
                cause="two arguments were swapped",
                remedy="'zerochain show FOLDER' says what a bundle is",
            )
