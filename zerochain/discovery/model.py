"""What every unit model has in common: encode features into units, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from zerochain.discovery.front_end import FrontEnd
from zerochain.errors import InputError
from zerochain.formats.bundle import Bundle, pack, packed_id, write_bundle
from zerochain.formats.features import Features
from zerochain.formats.units import UnitFile
from zerochain.progress import track

Frames = NDArray[np.float32]
_BATCH_FRAMES = 65_536


class UnitModel(ABC):
    """A unit model, used as in scikit-learn: `Model(…).fit(features).encode(features)`.

    Attributes:
        front_end: what turns features into what is clustered; None before the fit.
        codebook: (K, D), the vector of each unit; None before the fit.
    """

    name: ClassVar[str]
    n_units: int
    front_end: FrontEnd | None = None
    codebook: Frames | None = None
    trained_on: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def fit(self, features: Features) -> Self:
        """Learn the units from features."""

    @abstractmethod
    def _assign(self, utterances: list[Frames]) -> list[NDArray[np.int32]]:
        """Units of utterances that the front end has prepared, one a row."""

    @abstractmethod
    def _settings(self) -> Mapping[str, Any]:
        """What config.json records of how the model was fitted."""

    @classmethod
    @abstractmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The model that `save` wrote."""

    def encode(self, features: Features) -> UnitFile:
        """Units of every utterance, one for each stride of frames.

        Raises:
            InputError: the model is not fitted, or the features are not of its kind.
        """
        front_end = self._fitted.covering(features)
        units: dict[str, NDArray[np.int32]] = {}
        for names in track(list(_batches(features, self._fitted.stride)), "Encoding"):
            prepared = [front_end(features, name) for name in names]
            units.update(zip(names, self._assign(prepared), strict=True))
        return UnitFile(
            units=units,
            n_units=self.n_units,
            step_ms=front_end.unit_step_ms,
            model_id=self.id,
            method=self.method,
            speakers=dict(features.speakers),
            corpus_id=features.corpus_id,
        )

    @property
    def id(self) -> str:
        """SHA-256 of the bundle that `save` writes."""
        return packed_id(*pack(*self._parts()))

    @property
    def method(self) -> str:
        """The model in a few words for people."""
        front_end = self._fitted
        return (
            f"{self.name} K={self.n_units} {front_end.stride}T {front_end.extractor} "
            f"norm={front_end.normalisation.kind}"
        )

    def save(self, folder: Path) -> str:
        """Write the model as a bundle and return its id."""
        return write_bundle(folder, *self._parts())

    def _parts(self) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]], Mapping[str, str]]:
        front_end = self._fitted
        config = {
            "n_units": self.n_units,
            "method": self.method,
            **front_end.config(),
            "settings": dict(self._settings()),
        }
        return self.name, config, self._tensors(), self.trained_on

    def _tensors(self) -> dict[str, NDArray[Any]]:
        assert self.codebook is not None
        return {"codebook": self.codebook, **self._fitted.normalisation.tensors()}

    @property
    def _fitted(self) -> FrontEnd:
        if self.front_end is None:
            raise InputError(f"this {self.name} model is not fitted", remedy="call fit first")
        return self.front_end


def _batches(features: Features, stride: int) -> Iterator[list[str]]:
    """Ids in groups of about `_BATCH_FRAMES` frames after the stride."""
    group: list[str] = []
    size = 0
    for name, (_, n_frames) in features.index.items():
        group.append(name)
        size += n_frames // stride
        if size >= _BATCH_FRAMES:
            yield group
            group, size = [], 0
    if group:
        yield group
