"""What lies between features and units: which features, normalised how, averaged over what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zerochain.errors import InputError
from zerochain.features.normalisation import (
    Normalisation,
    NormalisationKind,
    default_normalisation,
)
from zerochain.formats.features import Features


@dataclass(frozen=True)
class FrontEnd:
    """Turns an utterance's features (T, D) into what is clustered: (⌈T / stride⌉, D)."""

    extractor: str
    options: Mapping[str, Any]
    step_ms: float
    stride: int
    normalisation: Normalisation

    @classmethod
    def fit(cls, features: Features, stride: int, kind: NormalisationKind | None) -> FrontEnd:
        """Fit the normalisation; None takes speakers if all are known, else utterances."""
        return cls(
            extractor=features.extractor,
            options=dict(features.options),
            step_ms=features.step_ms,
            stride=stride,
            normalisation=Normalisation.fit(kind or default_normalisation(features), features),
        )

    def covering(self, features: Features) -> FrontEnd:
        """This front end, ready for features that may have speakers it never met.

        Raises:
            InputError: the features are of another extractor or other options.
        """
        mine, theirs = (
            (self.extractor, dict(self.options)),
            (
                features.extractor,
                dict(features.options),
            ),
        )
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
        return average(frames, self.stride)

    @property
    def unit_step_ms(self) -> float:
        """How long one unit lasts."""
        return self.step_ms * self.stride

    def config(self) -> dict[str, Any]:
        """What a bundle's config.json holds of it; its arrays are `normalisation.tensors()`."""
        return {
            "extractor": self.extractor,
            "options": dict(self.options),
            "step_ms": self.step_ms,
            "stride": self.stride,
            "normalisation": self.normalisation.kind,
            "normalisation_of": self.normalisation.names,
            "normalisation_corpus": self.normalisation.corpus_id,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
    ) -> FrontEnd:
        """The inverse of `config` and `normalisation.tensors`."""
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
        )


def average(frames: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Mean of every `stride` frames, the last over as many as are left: (⌈T / stride⌉, D)."""
    if stride == 1:
        return frames
    starts = np.arange(0, len(frames), stride)
    counts = np.diff(np.append(starts, len(frames)))[:, None]
    return np.asarray(np.add.reduceat(frames, starts, axis=0) / counts, np.float32)
