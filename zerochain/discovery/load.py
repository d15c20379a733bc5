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
from zerochain.formats.bundle import Bundle, read_bundle


def load_unit_model(folder: Path, device: str = "cpu") -> UnitModel:
    """A fitted unit model.

    Raises:
        InputError: not a bundle, or a bundle of something else.
    """
    bundle = read_bundle(folder)
    model = _model(bundle, folder, device)
    model.segmentation = Segmentation.from_config(bundle.config)
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
