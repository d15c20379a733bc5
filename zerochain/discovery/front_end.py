"""What lies between features and units: which features, normalised how, averaged over what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from zerochain.errors import InputError
from zerochain.features.normalisation import (
    Normalisation,
    NormalisationKind,
    default_normalisation,
)
from zerochain.features.projection import Projection
from zerochain.formats.features import Features


class FrontEndOptions(BaseModel):
    """How features are prepared before units are found in them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    normalisation: NormalisationKind | None = None
    """None takes the speaker's if every utterance's is known, else the utterance's."""
    context: int = Field(0, ge=0)
    """Frames on each side that are stacked beside each frame."""
    components: int | None = Field(None, ge=1)
    """Principal components that are kept, not whitened; None keeps every dimension."""


@dataclass(frozen=True)
class FrontEnd:
    """Turns an utterance's features (T, D) into what is clustered: (⌈T / stride⌉, D')."""

    extractor: str
    options: Mapping[str, Any]
    step_ms: float
    stride: int
    normalisation: Normalisation
    projection: Projection | None = None

    @classmethod
    def fit(cls, features: Features, stride: int, options: FrontEndOptions) -> FrontEnd:
        """Fit the normalisation, then the projection of what it leaves."""
        kind = options.normalisation or default_normalisation(features)
        normalisation = Normalisation.fit(kind, features)
        front_end = cls(
            extractor=features.extractor,
            options=dict(features.options),
            step_ms=features.step_ms,
            stride=stride,
            normalisation=normalisation,
        )
        if options.context == 0 and options.components is None:
            return front_end
        utterances = (normalisation(features[n], features.speakers[n]) for n in features.ids)
        projection = Projection.fit(utterances, options.context, options.components)
        return replace(front_end, projection=projection)

    def covering(self, features: Features) -> FrontEnd:
        """This front end, ready for features that may have speakers it never met.

        Raises:
            InputError: the features are of another extractor or other options.
        """
        mine = self.extractor, _lasting(self.options)
        theirs = features.extractor, _lasting(features.options)
        if mine != theirs:
            raise InputError(
                f"the features are {theirs[0]} {theirs[1]}, the model was fitted on {mine[0]} "
                f"{mine[1]}",
                cause="they were extracted with other options",
                remedy="leave --features out, and the model extracts what it needs",
            )
        return replace(self, normalisation=self.normalisation.covering(features))

    def __call__(self, features: Features, name: str) -> NDArray[np.float32]:
        """One utterance, normalised and averaged over the stride."""
        frames = self.normalisation(features[name], features.speakers[name])
        if self.projection is not None:
            frames = self.projection(frames)
        return average(frames, self.stride)

    def n_steps(self, n_frames: int) -> int:
        """How many steps so many frames become."""
        return -(-n_frames // self.stride)

    def dim(self, dim: int) -> int:
        """Dimensions that `dim` dimensions of features become."""
        return dim if self.projection is None else self.projection.matrix.shape[1]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Its arrays, for a bundle."""
        projection = {} if self.projection is None else self.projection.tensors()
        return {**self.normalisation.tensors(), **projection}

    @property
    def unit_step_ms(self) -> float:
        """How long one unit lasts."""
        return self.step_ms * self.stride

    @property
    def summary(self) -> str:
        """It in a few words for people."""
        words = [self.extractor, f"norm={self.normalisation.kind}"]
        if self.projection is not None:
            words.append(f"±{self.projection.context}→{self.projection.matrix.shape[1]}")
        return " ".join(words)

    def config(self) -> dict[str, Any]:
        """What a bundle's config.json holds of it; its arrays are `tensors()`."""
        return {
            "extractor": self.extractor,
            "options": dict(self.options),
            "step_ms": self.step_ms,
            "stride": self.stride,
            "normalisation": self.normalisation.kind,
            "normalisation_of": self.normalisation.names,
            "normalisation_corpus": self.normalisation.corpus_id,
            "context": 0 if self.projection is None else self.projection.context,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> FrontEnd:
        """The inverse of `config` and `tensors`."""
        return cls(
            extractor=config["extractor"],
            options=config["options"],
            step_ms=config["step_ms"],
            stride=config["stride"],
            normalisation=Normalisation.from_tensors(
                config["normalisation"],
                config["normalisation_of"],
                tensors,
                config["normalisation_corpus"],
            ),
            projection=Projection.from_tensors(config["context"], tensors),
        )


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without the place where a checkpoint lay: elsewhere it gives the same."""
    return {name: value for name, value in options.items() if name != "path"}


def average(frames: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Mean of every `stride` frames, the last over as many as are left: (⌈T / stride⌉, D)."""
    if stride == 1:
        return frames
    starts = np.arange(0, len(frames), stride)
    counts = np.diff(np.append(starts, len(frames)))[:, None]
    return np.asarray(np.add.reduceat(frames, starts, axis=0) / counts, np.float32)
